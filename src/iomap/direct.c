/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mapping for writes that go to the disk at once (XFS: xfs_direct_write_iomap_begin): holes and delayed blocks under the
 * range are allocated now, unwritten; the caller converts them when the data are on disk.
 */
#include "internal.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#define ALLOCATE_MAX_BYTES (1024u * PAGE_BYTES)

static int allocate(struct inode *inode, fileblk_t off_blk, uint64_t blocks, struct extent *out)
{
	struct log *log = inode_cache_log(inode->cache);
	unsigned n = 1;
	struct tx *tx;
	int err;

	err = tx_begin(log, &log_reservations(log)->write, map_write_blocks(&inode->map, blocks), 0, &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, false);
	err = map_write(tx, &inode->map, FORK_DATA, off_blk, blocks, MAP_UNWRITTEN, 0, out, &n);
	if (!err && n == 0)
		err = -ENOSPC;
	if (err) {
		tx_cancel(tx);
		rwlock_write_unlock(&inode->map_lock);
		return err;
	}
	err = tx_commit(tx);
	if (err)
		rwlock_write_unlock(&inode->map_lock);
	return err;
}

int direct_write_begin(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, struct iomap *map,
		       struct iomap *source)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t off_blk = bytes_to_blocks_down(geo, off), end_blk = bytes_to_blocks_up(geo, off + count);
	struct extent ext;
	bool is_eof;
	int err;

	err = iomap_lock_loaded(inode);
	if (err)
		return err;
	ext = iomap_lookup(inode, off_blk, end_blk, &is_eof);
	if (ext.state == EXTENT_HOLE || ext.state == EXTENT_DELAYED) {
		uint64_t blocks = min_u64(ext.off + ext.count, end_blk) - off_blk;

		rwlock_write_unlock(&inode->map_lock);
		blocks = min_u64(blocks, bytes_to_blocks_up(geo, ALLOCATE_MAX_BYTES));
		err = allocate(inode, off_blk, blocks, &ext);
		if (err)
			return err;
		iomap_from_extent(inode, &ext, IOMAP_F_NEW, map);
	} else {
		err = iomap_refuse_shared(inode, off_blk, &ext);
		iomap_from_extent(inode, &ext, 0, map);
	}
	rwlock_write_unlock(&inode->map_lock);
	return err;
}

const struct iomap_ops direct_write_ops = { .name = "direct write", .begin = direct_write_begin };
