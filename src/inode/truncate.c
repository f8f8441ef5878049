// SPDX-License-Identifier: GPL-2.0
/*
 * Freeing the blocks of a fork from some block on.  (XFS: xfs_itruncate_extents_flags.)
 *
 * Backwards from the end, a few extents at a time, each step with its deferred freeing in a chain of transactions: a
 * crash in between leaves a shorter file.
 */
#include <userxfs/base/error.h>

#include "cache.h"

#define EXTENTS_PER_STEP 2		/* what the truncate reservation is made for */

/* Nothing is dirty when it returns, so the next step begins with a whole reservation. */
static int finish_step(struct tx *tx)
{
	int err = tx_finish_deferred(tx);

	if (!err && tx_is_dirty(tx))
		err = tx_roll(tx);
	return err;
}

int inode_free_blocks_in(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t from_blk)
{
	struct file_map *map = &inode->map;
	int err;

	err = map_load(map, which);
	while (!err) {
		fileblk_t end = map_end(map, which);
		uint64_t left;

		if (end <= from_blk)
			break;
		err = map_unmap(tx, map, which, from_blk, end - from_blk, EXTENTS_PER_STEP, &left);
		if (!err)
			err = finish_step(tx);
	}
	return err;
}

int inode_free_blocks(struct inode *inode, enum fork_which which, fileblk_t from_blk) NO_LOCK_ANALYSIS
{
	struct log *log = inode->cache->log;
	struct tx *tx;
	int err;

	err = tx_begin(log, &log_reservations(log)->truncate, 0, 0, &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	if (map_fork(&inode->map, which)->is_present)
		err = inode_free_blocks_in(tx, inode, which, from_blk);
	if (!err)
		return tx_commit(tx);
	tx_cancel(tx);
	return err;
}
