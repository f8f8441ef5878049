// SPDX-License-Identifier: GPL-2.0
/*
 * Changing an inode's attributes.  (XFS: xfs_setattr_nonsize, xfs_ioctl_setattr; Linux: notify_change,
 * fileattr_set_prepare.)
 *
 * Everything is checked, with the map lock held, before the first field changes; then nothing can fail but the
 * commit.
 */
#include <errno.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <userxfs/base/clock.h>

#include "cache.h"
#include "xflags.h"

#define CHANGE_TIMES (CHANGE_ATIME | CHANGE_MTIME | CHANGE_CTIME)
#define CHANGE_OWNER (CHANGE_UID | CHANGE_GID)
#define CHANGE_FLAGS (CHANGE_XFLAGS | CHANGE_EXTENT_HINT | CHANGE_COW_HINT | CHANGE_PROJECT)

/* ---- checks ---- */

/* Who may change these flags is decided elsewhere; who has them set may still change its flags. */
static int check_immutable(const struct inode *inode, const struct inode_change *change)
{
	bool sets_times = change->valid & CHANGE_TIMES;

	if (!(change->valid & (CHANGE_MODE | CHANGE_OWNER | CHANGE_TIMES)))
		return 0;
	if (inode->di_flags & XFS_DIFLAG_IMMUTABLE)
		return -EPERM;
	if (!(inode->di_flags & XFS_DIFLAG_APPEND))
		return 0;
	if (change->valid & (CHANGE_MODE | CHANGE_OWNER) || (sets_times && !(change->valid & CHANGE_TOUCH)))
		return -EPERM;
	return 0;
}

/* The flags and hints of an inode, as they are or as they shall be. */
struct hints {
	uint16_t di_flags;
	uint64_t di_flags2;
	uint32_t extent_hint, cow_hint;
};

/* A hint of 0 turns its flag off; a hint that is not given goes with its flag. */
static void match_flags(const struct inode_change *change, struct hints *hints)
{
	if (!(change->valid & CHANGE_EXTENT_HINT) &&
	    !(hints->di_flags & (XFS_DIFLAG_EXTSIZE | XFS_DIFLAG_EXTSZINHERIT)))
		hints->extent_hint = 0;
	if (!hints->extent_hint)
		hints->di_flags &= ~(XFS_DIFLAG_EXTSIZE | XFS_DIFLAG_EXTSZINHERIT);
	if (!(change->valid & CHANGE_COW_HINT) && !(hints->di_flags2 & XFS_DIFLAG2_COWEXTSIZE))
		hints->cow_hint = 0;
	if (!hints->cow_hint)
		hints->di_flags2 &= ~(uint64_t)XFS_DIFLAG2_COWEXTSIZE;
}

static int check_xflags(const struct inode *inode, uint32_t xflags)
{
	bool is_file = S_ISREG(inode->mode), is_directory = S_ISDIR(inode->mode);

	if (xflags & (FS_XFLAG_REALTIME | FS_XFLAG_RTINHERIT))
		return -EINVAL;
	if (xflags & FS_XFLAG_EXTSIZE && !is_file)
		return -EINVAL;
	if (xflags & FS_XFLAG_EXTSZINHERIT && !is_directory)
		return -EINVAL;
	if (xflags & (FS_XFLAG_COWEXTSIZE | FS_XFLAG_DAX) && !is_file && !is_directory)
		return -EINVAL;
	return 0;
}

static int plan_hints(const struct inode *inode, const struct inode_change *change, struct hints *out)
{
	const struct geometry *geo = inode->cache->geo;
	struct hints hints = { inode->di_flags, inode->di_flags2, inode->extent_hint, inode->cow_hint };

	if (change->valid & CHANGE_XFLAGS) {
		int err = check_xflags(inode, change->xflags);

		if (err)
			return err;
		hints.di_flags = xflags_to_di_flags(inode, change->xflags);
		hints.di_flags2 = xflags_to_di_flags2(inode, change->xflags);
	}
	if (change->valid & CHANGE_EXTENT_HINT) {
		if (change->extent_hint_bytes % geo->block_bytes)
			return -EINVAL;
		hints.extent_hint = change->extent_hint_bytes >> geo->block_log;
	}
	if (change->valid & CHANGE_COW_HINT) {
		if (change->cow_hint_bytes % geo->block_bytes)
			return -EINVAL;
		hints.cow_hint = change->cow_hint_bytes >> geo->block_log;
	}
	match_flags(change, &hints);
	/* What is allocated or reserved already does not follow the new size. */
	if (S_ISREG(inode->mode) && (inode->map.data.extent_count || map_has_delayed(&inode->map)) &&
	    hints.extent_hint != inode->extent_hint)
		return -EINVAL;
	if (inode_extent_hint_verify(geo, inode->mode, hints.di_flags, hints.extent_hint) ||
	    inode_cow_hint_verify(geo, inode->mode, hints.di_flags, hints.di_flags2, hints.cow_hint))
		return -EINVAL;
	*out = hints;
	return 0;
}

/* ---- changes ---- */

/* The group's set-id bit only means that where the group may execute; elsewhere it asks for mandatory locking. */
static uint16_t without_privileges(uint16_t mode)
{
	mode &= (uint16_t)~S_ISUID;
	return mode & S_IXGRP ? mode & (uint16_t)~S_ISGID : mode;
}

static void apply_owner(struct inode *inode, const struct inode_change *change)
{
	bool kills_privileges = change->valid & (CHANGE_OWNER | CHANGE_KILL_PRIV);

	if (kills_privileges && !S_ISDIR(inode->mode))
		inode->mode = without_privileges(inode->mode);
	if (change->valid & CHANGE_UID)
		inode->uid = change->uid;
	if (change->valid & CHANGE_GID)
		inode->gid = change->gid;
	if (change->valid & CHANGE_PROJECT)
		inode->project = change->project;
	if (change->valid & CHANGE_MODE)
		inode->mode = (inode->mode & S_IFMT) | (change->mode & (uint16_t)~S_IFMT);
}

static void apply_times(struct inode *inode, const struct inode_change *change)
{
	const struct geometry *geo = inode->cache->geo;

	if (change->valid & CHANGE_ATIME)
		inode->atime = timestamp_clamp(geo, change->atime);
	if (change->valid & CHANGE_MTIME)
		inode->mtime = timestamp_clamp(geo, change->mtime);
	inode->ctime = timestamp_clamp(geo, change->valid & CHANGE_CTIME ? change->ctime : clock_wall());
}

static void apply(struct tx *tx, struct inode *inode, const struct inode_change *change, const struct hints *hints)
{
	apply_owner(inode, change);
	apply_times(inode, change);
	if (change->valid & CHANGE_FLAGS) {
		inode->di_flags = hints->di_flags;
		inode->di_flags2 = hints->di_flags2;
		inode->extent_hint = hints->extent_hint;
		inode->cow_hint = hints->cow_hint;
		inode_refresh_map_hints(inode);
	}
	inode_log(tx, inode, !(change->valid & ~(unsigned)(CHANGE_TIMES | CHANGE_TOUCH)));
}

int inode_change(struct inode *inode, const struct inode_change *change) NO_LOCK_ANALYSIS
{
	struct log *log = inode->cache->log;
	struct hints hints;
	struct tx *tx;
	int err;

	err = tx_begin(log, &log_reservations(log)->inode_change, 0, 0, &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	err = check_immutable(inode, change);
	if (!err)
		err = plan_hints(inode, change, &hints);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	apply(tx, inode, change, &hints);
	return tx_commit(tx);
}
