/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * What the tests of failures do to a volume: every change the library can make, each with a volume made ready for it.
 */
#include <stdbool.h>

#include <userxfs/volume.h>

/* What a step that failed may leave. */
enum leaves {
	LEAVES_NOTHING,		/* it has not happened */
	LEAVES_PART,		/* each byte of each file's data old, new or zero; the size between the two */
	LEAVES_SHIFTED,		/* file data moved in part: each sector is one of the old or new ones, or zero */
};

struct operation {
	const char *name;
	enum leaves leaves;
	bool is_mount;			/* failures come while mounting, not from run() to the unmount */
	bool is_recovery;		/* the prepared volume is not unmounted: its log is dirty */
	unsigned steps;			/* calls of run(), each with a failure or success of its own; 0: one */
	void (*prepare)(struct volume *vol);
	int (*run)(struct volume *vol, unsigned step);
	const char *file;		/* whose data are written, so that an fsync tells of data lost; or NULL */
};

extern const struct operation operations[];
extern const unsigned operation_count;
