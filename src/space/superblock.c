// SPDX-License-Identifier: GPL-2.0
/* The counters between mount and unmount: loading them, and writing them into the superblock. */
#include <stddef.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "resv.h"
#include "space_private.h"

#define POOL_MAX_BLOCKS 8192	/* XFS: xfs_default_resblks */
#define AGS_AHEAD 32		/* whose headers are being read while one is looked at */

struct totals {
	uint64_t inodes, free_inodes, free_blocks;
};

static int load_ag(struct ag *ag)
{
	int err;

	err = ag_load_agf(ag);
	return err ? err : ag_load_agi(ag);
}

/* What the headers of all AGs say together; blocks of AGFLs and of the free-space trees are free. */
static int sum_up(struct space *space, struct totals *out)
{
	agno_t ahead = 0;

	memset(out, 0, sizeof(*out));
	for (agno_t agno = 0; agno < space->geo->ag_count; agno++) {
		struct ag *ag = &space->ags[agno];

		if (!ag->agf_loaded || !ag->agi_loaded) {
			int err;

			for (; ahead < space->geo->ag_count && ahead <= agno + AGS_AHEAD; ahead++)
				ag_readahead(&space->ags[ahead]);
			err = load_ag(ag);

			if (err)
				return err;
		}
		out->inodes += ag->inodes;
		out->free_inodes += ag->free_inodes;
		out->free_blocks += (uint64_t)ag->free_blocks + ag->agfl_count + ag->btree_blocks;
	}
	return 0;
}

int space_load(struct space *space, const struct xfs_dsb *sb, bool recount)
{
	struct totals totals = { .inodes = be64_to_cpu(sb->sb_icount), .free_inodes = be64_to_cpu(sb->sb_ifree),
				 .free_blocks = be64_to_cpu(sb->sb_fdblocks) };
	int err;

	if (recount) {
		err = sum_up(space, &totals);
		if (err)
			return err;
	}
	if (totals.free_inodes > totals.inodes || totals.free_blocks > space->geo->blocks) {
		msg_error("the superblock counts more free inodes or blocks than there are; run xfs_repair");
		return -EFSCORRUPTED;
	}
	atomic_store(&space->inodes, (int64_t)totals.inodes);
	atomic_store(&space->free_inodes, (int64_t)totals.free_inodes);
	atomic_store(&space->free_blocks, (int64_t)totals.free_blocks);
	return 0;
}

int space_start(struct space *space, struct log *log)
{
	struct totals totals;
	bool is_short = false;
	int err;

	space->log = log;
	space->ag_max_usable = space_max_usable(space->geo);
	err = sum_up(space, &totals);
	if (!err)
		err = space_set_pool(space, min_u64(space->geo->blocks / 20, POOL_MAX_BLOCKS));
	for (agno_t agno = 0; !err && agno < space->geo->ag_count; agno++) {
		err = ag_resv_start(&space->ags[agno]);
		if (err == -ENOSPC) {
			is_short = true;
			err = 0;
		}
	}
	if (err)
		space_stop(space);
	else if (is_short)
		msg_warning("the volume is too full to reserve all the space that its metadata may need");
	return err;
}

void space_stop(struct space *space)
{
	for (agno_t agno = 0; agno < space->geo->ag_count; agno++)
		ag_resv_stop(&space->ags[agno]);
	space_set_pool(space, 0);
}

int space_change_superblock(struct space *space, uint32_t tx_flags, size_t first, size_t end,
			    bool (*change)(struct xfs_dsb *sb, void *context), void *context)
{
	struct buffer *buf;
	struct tx *tx;
	int err;

	err = tx_begin(space->log, &log_reservations(space->log)->superblock, 0, tx_flags, &tx);
	if (err)
		return err;
	err = tx_buffer_read(tx, 0, space->geo->sector_bytes >> SECTOR_UNIT_LOG, &block_superblock, &buf);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	if (change(buf->data, context))
		tx_buffer_log(tx, buf, first, end);
	return tx_commit(tx);
}

static bool set_counters(struct xfs_dsb *sb, void *context)
{
	const struct totals *totals = context;

	if (be64_to_cpu(sb->sb_icount) == totals->inodes && be64_to_cpu(sb->sb_ifree) == totals->free_inodes &&
	    be64_to_cpu(sb->sb_fdblocks) == totals->free_blocks)
		return false;
	sb->sb_icount = cpu_to_be64(totals->inodes);
	sb->sb_ifree = cpu_to_be64(totals->free_inodes);
	sb->sb_fdblocks = cpu_to_be64(totals->free_blocks);
	return true;
}

int space_log_superblock(struct space *space)
{
	struct totals totals;
	int err = sum_up(space, &totals);

	return err ? err :
		     space_change_superblock(space, TX_NO_WRITE_COUNT, offsetof(struct xfs_dsb, sb_icount),
					     offsetof(struct xfs_dsb, sb_fdblocks) + sizeof(__be64), set_counters,
					     &totals);
}
