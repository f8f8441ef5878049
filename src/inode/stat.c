// SPDX-License-Identifier: GPL-2.0
/* What an inode tells about itself, and that it was read.  (XFS: xfs_vn_getattr; Linux: atime_needs_update.) */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>

#include "cache.h"
#include "xflags.h"

#define PAGE_BYTES 4096			/* the smallest block size a program is told */
#define RELATIME_SEC (24 * 60 * 60)
#define DEVICE_MINOR_BITS 18

static uint32_t decode_device(uint32_t dev)
{
	return (uint32_t)makedev(dev >> DEVICE_MINOR_BITS, dev & ((1u << DEVICE_MINOR_BITS) - 1));
}

void inode_stat(struct inode *inode, struct inode_stat *out)
{
	const struct geometry *geo = inode->cache->geo;
	const struct file_map *map = &inode->map;
	uint64_t blocks;

	rwlock_read_lock(&inode->map_lock);
	blocks = map->block_count + atomic_load(&map->delayed_blocks);
	*out = (struct inode_stat){
		.ino = inode->ino,
		.generation = inode->generation,
		.mode = inode->mode,
		.nlink = inode->nlink,
		.uid = inode->uid,
		.gid = inode->gid,
		.project = inode->project,
		.rdev = map->data.format == FORK_DEVICE ? decode_device(map->data.dev) : 0,
		.size_bytes = atomic_load(&inode->size_bytes),
		.blocks_512 = blocks << (geo->block_log - SECTOR_UNIT_LOG),
		.block_bytes = (uint32_t)max_u64(geo->block_bytes, PAGE_BYTES),
		.atime = inode->atime,
		.mtime = inode->mtime,
		.ctime = inode->ctime,
		.btime = inode->btime,
		.xflags = xflags_of_inode(inode),
		.extent_hint_bytes = inode->extent_hint << geo->block_log,
		.cow_hint_bytes = inode->cow_hint << geo->block_log,
		.extent_count = map->data.extent_count,
		.attr_extent_count = map->attr_space ? map->attr.extent_count : 0,
	};
	rwlock_read_unlock(&inode->map_lock);
}

/* ---- access time ---- */

static bool is_before(struct timespec a, struct timespec b)
{
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/* Not seen since the last change, or not for a day. */
static bool is_access_news(const struct inode *inode, struct timespec now, bool strict)
{
	if (inode->di_flags & XFS_DIFLAG_NOATIME)
		return false;
	if (strict)
		return is_before(inode->atime, now) || is_before(now, inode->atime);
	return !is_before(inode->mtime, inode->atime) || !is_before(inode->ctime, inode->atime) ||
	       now.tv_sec - inode->atime.tv_sec >= RELATIME_SEC;
}

static bool must_update(struct inode *inode, bool strict)
{
	struct timespec now = timestamp_clamp(inode->cache->geo, clock_wall());
	bool is_news;

	rwlock_read_lock(&inode->map_lock);
	is_news = inode->nlink && is_access_news(inode, now, strict);
	rwlock_read_unlock(&inode->map_lock);
	return is_news;
}

void inode_accessed(struct inode *inode, bool strict) NO_LOCK_ANALYSIS
{
	struct log *log = inode->cache->log;
	struct tx *tx;

	if (log_is_read_only(log) || !must_update(inode, strict))
		return;
	if (tx_begin(log, &log_reservations(log)->inode_change, 0, 0, &tx))
		return;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	inode_touch(tx, inode, INODE_ATIME);
	/* A lost access time is no news to whoever reads. */
	(void)tx_commit(tx);
}
