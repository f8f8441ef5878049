/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Switches that take a rule back which keeps data safe, so that a test can show what happens without it, and that the
 * test would notice.  Only in builds configured with -Dlab=true; elsewhere every switch is a constant false.
 */
#include <stdbool.h>

#define UNFIX_SWITCHES(X) \
	X(log_without_flush, "log records are written without a flush of what they build on") \
	X(size_before_data, "the on-disk size and the extents' states change when data are submitted, not when " \
	  "they are on the disk") \
	X(reuse_while_busy, "freed blocks are given out again before their freeing is on the disk") \
	X(recover_trusts_torn, "recovery goes by a block's LSN alone, be its checksum right or wrong, as Linux does")

enum unfix_switch {
#define X(name, what) UNFIX_##name,
	UNFIX_SWITCHES(X)
#undef X
	UNFIX_COUNT
};

#ifdef USERXFS_LAB
bool unfix(enum unfix_switch which);
/* Turns one on, by name.  False: there is no such switch. */
bool unfix_turn_on(const char *name);
#else
static inline bool unfix(enum unfix_switch which)
{
	return false;
}
#endif
