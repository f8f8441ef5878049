/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * How much log one transaction of each kind may need: the same worst cases as XFS, so that every log mkfs.xfs makes
 * is large enough.  Pure.  (XFS: xfs_trans_resv.c.)
 */
#include <stdint.h>

#include <userxfs/format/geometry.h>

struct tx_reservation {
	uint32_t log_bytes;		/* of each transaction in the chain */
	uint32_t log_count;		/* transactions the chain usually has (rolls) */
};

struct tx_reservations {
	struct tx_reservation write;	/* allocate, convert or map extents of a file */
	struct tx_reservation truncate;	/* unmap and free extents of a file; any deferred free */
	struct tx_reservation rename, link, remove, symlink, create, mkdir, create_tmpfile;
	struct tx_reservation inode_free;
	struct tx_reservation inode_change;	/* only the inode core */
	struct tx_reservation attr_add_fork, attr_set, attr_remove;
	struct tx_reservation superblock;	/* log the superblock, AGI unlinked buckets */
};

void tx_reservations_init(const struct geometry *geo, struct tx_reservations *out);
