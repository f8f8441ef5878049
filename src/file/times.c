/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a write does to the inode besides its data (XFS: xfs_file_write_checks, file_update_time, file_remove_privs).
 *
 * Timestamps move with the kernel's coarse clock, whose tick is 4 ms: a stream of small writes logs the inode at most
 * once per tick.
 */
#include "internal.h"

#include <userxfs/base/clock.h>

#define TICK_NS 4000000ll

static bool is_within_tick(struct timespec then, struct timespec now)
{
	int64_t diff = (int64_t)(now.tv_sec - then.tv_sec) * (int64_t)NS_PER_SEC + (now.tv_nsec - then.tv_nsec);

	return diff >= 0 && diff < TICK_NS;
}

static bool has_priv_bits(const struct inode *inode)
{
	return inode->mode & S_ISUID || (inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
}

int file_modified(struct inode *inode, bool kill_priv)
{
	struct log *log = inode_cache_log(inode->cache);
	struct timespec now = clock_wall();
	bool is_fresh, kill;
	struct tx *tx;
	int err;

	rwlock_read_lock(&inode->map_lock);
	is_fresh = is_within_tick(inode->mtime, now) && is_within_tick(inode->ctime, now);
	kill = kill_priv && has_priv_bits(inode);
	rwlock_read_unlock(&inode->map_lock);
	if (kill) {
		struct inode_change change = { .valid = CHANGE_KILL_PRIV };

		err = inode_change(inode, &change);
		if (err)
			return err;
	}
	if (is_fresh)
		return 0;
	err = tx_begin(log, &log_reservations(log)->inode_change, 0, 0, &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	inode_touch(tx, inode, INODE_MTIME | INODE_CTIME);
	return tx_commit(tx);
}
