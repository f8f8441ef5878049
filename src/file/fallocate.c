/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fallocate(2) (XFS: xfs_file_fallocate, xfs_bmap_util.c).  All modes hold io_lock and invalidate_lock exclusively.
 *
 *   allocate     unwritten blocks in holes; delayed blocks become unwritten in place, without a flush
 *   punch        flush and drop the pages of the range, unmap whole blocks, zero the partial ones
 *   zero range   punch, then allocate over the range rounded out to blocks
 *   collapse     punch, then move everything behind it down
 *   insert       move everything from there up
 */
#include "internal.h"

#include <linux/falloc.h>

#include "size.h"

int file_flush_unmap(struct inode *inode, uint64_t off, uint64_t end)
{
	uint32_t unit = (uint32_t)max_u64(inode_files(inode)->geo->block_bytes, PAGE_BYTES);
	struct mapping *m;
	int err = file_mapping(inode, &m);

	if (err)
		return err;
	off = round_down_u64(off, unit);
	end = end > UINT64_MAX - unit ? UINT64_MAX : round_up_u64(end, unit);
	err = file_flush(inode, off, end);
	/*
	 * Everything there is clean, and nobody can dirty it: whole folios go, also what they hold outside the range.
	 */
	return err || mapping_invalidate(m, off, end) ? err : -EBUSY;
}

/* One transaction: a piece of [@off_blk, ...) becomes allocated; *done blocks. */
static int allocate_some(struct inode *inode, fileblk_t off_blk, uint64_t count, uint64_t *done)
{
	struct files *files = inode_files(inode);
	uint64_t blocks = min_u64(iomap_hinted_blocks(inode, off_blk, count), EXTENT_MAX_BLOCKS);
	struct extent ext;
	unsigned n = 1;
	struct tx *tx;
	int err;

	err = file_tx_begin(files, &log_reservations(files->log)->write, map_write_blocks(&inode->map, blocks), 0,
			    &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	err = map_load(&inode->map, FORK_DATA);
	if (!err)
		err = map_write(tx, &inode->map, FORK_DATA, off_blk, count, MAP_UNWRITTEN, 0, &ext, &n);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	if (n == 0) {
		/* The allocator may have moved blocks between its own lists while it searched. */
		err = tx_commit(tx);
		return err ? err : -ENOSPC;
	}
	*done = ext.off + ext.count - off_blk;
	inode->di_flags |= XFS_DIFLAG_PREALLOC;
	inode_log(tx, inode, false);
	return tx_commit(tx);
}

static int allocate_range(struct inode *inode, uint64_t off, uint64_t end)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t off_blk = bytes_to_blocks_down(geo, off), end_blk = bytes_to_blocks_up(geo, end);

	while (off_blk < end_blk) {
		uint64_t done;
		int err = allocate_some(inode, off_blk, end_blk - off_blk, &done);

		if (err)
			return err;
		off_blk += done;
	}
	return 0;
}

static int unmap_blocks(struct inode *inode, fileblk_t off_blk, uint64_t count)
{
	struct log *log = inode_cache_log(inode->cache);

	while (count) {
		struct tx *tx;
		int err;

		err = tx_begin(log, &log_reservations(log)->write, map_write_blocks(&inode->map, 0), TX_USE_POOL,
			       &tx);
		if (err)
			return err;
		rwlock_write_lock(&inode->map_lock);
		inode_join(tx, inode, true);
		err = map_load(&inode->map, FORK_DATA);
		if (!err)
			err = map_unmap(tx, &inode->map, FORK_DATA, off_blk, count, 2, &count);
		if (err) {
			tx_cancel(tx);
			return err;
		}
		err = tx_commit(tx);
		if (err)
			return err;
	}
	return 0;
}

static int punch(struct inode *inode, uint64_t off, uint64_t end)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t first = bytes_to_blocks_up(geo, off), last = bytes_to_blocks_down(geo, end);
	uint64_t size = file_size(inode);
	int err;

	err = file_flush_unmap(inode, off, end);
	if (!err && first < last)
		err = unmap_blocks(inode, first, last - first);
	if (err || off >= size)
		return err;
	end = min_u64(end, size);
	err = file_zero_range(inode, off, end, NULL);
	/* What was zeroed past an unaligned EOF must not be found there after a crash. */
	if (!err && end == size && end % PAGE_BYTES)
		err = file_flush(inode, round_down_u64(end, PAGE_BYTES), UINT64_MAX);
	return err;
}

static int zero_blocks(struct inode *inode, uint64_t off, uint64_t end)
{
	uint32_t block = inode_geometry(inode)->block_bytes;
	int err = punch(inode, off, end);

	return err ? err : allocate_range(inode, round_down_u64(off, block), round_up_u64(end, block));
}

/*
 * Flushes and drops everything from one block before @off on, and trims: extents can move now (XFS:
 * xfs_prepare_shift).
 */
static int prepare_shift(struct inode *inode, uint64_t off)
{
	uint32_t block = inode_geometry(inode)->block_bytes;
	int err = 0;

	if (file_can_trim(inode))
		err = file_trim(inode);
	return err ? err : file_flush_unmap(inode, off >= block ? off - block : 0, UINT64_MAX);
}

/* Moves extents one transaction at a time until @shift says that it is done. */
static int shift_extents(struct inode *inode, uint64_t blocks, fileblk_t from, bool is_left)
{
	struct log *log = inode_cache_log(inode->cache);
	fileblk_t next = is_left ? from : UINT64_MAX;
	bool is_done = false;

	while (!is_done) {
		struct tx *tx;
		int err;

		err = tx_begin(log, &log_reservations(log)->write, map_write_blocks(&inode->map, 0), 0, &tx);
		if (err)
			return err;
		rwlock_write_lock(&inode->map_lock);
		inode_join(tx, inode, true);
		if (is_left)
			err = map_shift_left(tx, &inode->map, &next, blocks, &is_done);
		else
			err = map_shift_right(tx, &inode->map, &next, blocks, from, &is_done);
		if (err) {
			tx_cancel(tx);
			return err;
		}
		err = tx_commit(tx);
		if (err)
			return err;
	}
	return 0;
}

static int collapse(struct inode *inode, uint64_t off, uint64_t count)
{
	const struct geometry *geo = inode_geometry(inode);
	uint64_t size = file_size(inode);
	int err;

	if (off % geo->block_bytes || count % geo->block_bytes || off + count >= size)
		return -EINVAL;
	err = punch(inode, off, off + count);
	if (!err)
		err = prepare_shift(inode, off);
	if (!err)
		err = shift_extents(inode, bytes_to_blocks_down(geo, count), bytes_to_blocks_down(geo, off + count),
				    true);
	return err ? err : file_set_size_locked(inode, size - count, true);
}

static int split_at(struct inode *inode, fileblk_t off_blk)
{
	struct log *log = inode_cache_log(inode->cache);
	struct tx *tx;
	int err;

	err = tx_begin(log, &log_reservations(log)->write, map_write_blocks(&inode->map, 0), 0, &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	err = map_load(&inode->map, FORK_DATA);
	if (!err)
		err = map_split(tx, &inode->map, off_blk);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	return tx_commit(tx);
}

static int insert(struct inode *inode, uint64_t off, uint64_t count)
{
	const struct geometry *geo = inode_geometry(inode);
	uint64_t size = file_size(inode);
	int err;

	if (off % geo->block_bytes || count % geo->block_bytes || off >= size)
		return -EINVAL;
	if (count > geo->max_file_bytes - size)
		return -EFBIG;
	err = file_set_size_locked(inode, size + count, true);
	if (!err)
		err = prepare_shift(inode, off);
	if (!err)
		err = split_at(inode, bytes_to_blocks_down(geo, off));
	return err ? err
		   : shift_extents(inode, bytes_to_blocks_down(geo, count), bytes_to_blocks_down(geo, off), false);
}

static int dispatch(struct inode *inode, int mode, uint64_t off, uint64_t count)
{
	int err;

	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		err = allocate_range(inode, off, off + count);
		break;
	case FALLOC_FL_PUNCH_HOLE:
		return mode & FALLOC_FL_KEEP_SIZE ? punch(inode, off, off + count) : -EOPNOTSUPP;
	case FALLOC_FL_ZERO_RANGE:
		err = zero_blocks(inode, off, off + count);
		break;
	case FALLOC_FL_COLLAPSE_RANGE:
		return mode & FALLOC_FL_KEEP_SIZE ? -EOPNOTSUPP : collapse(inode, off, count);
	case FALLOC_FL_INSERT_RANGE:
		return mode & FALLOC_FL_KEEP_SIZE ? -EOPNOTSUPP : insert(inode, off, count);
	default:
		return -EOPNOTSUPP;
	}
	if (!err && !(mode & FALLOC_FL_KEEP_SIZE) && off + count > file_size(inode))
		err = file_set_size_locked(inode, off + count, true);
	return err;
}

int file_fallocate(struct inode *inode, int mode, uint64_t off, uint64_t count, bool kill_priv)
{
	const struct geometry *geo = inode_geometry(inode);
	int err = file_check_regular(inode);

	if (err)
		return err == -EINVAL ? -ENODEV : err;
	if (!count || off + count < off)
		return -EINVAL;
	if (off + count > geo->max_file_bytes)
		return -EFBIG;
	if (inode->di_flags & XFS_DIFLAG_IMMUTABLE ||
	    (inode->di_flags & XFS_DIFLAG_APPEND && mode & ~FALLOC_FL_KEEP_SIZE))
		return -EPERM;
	rwlock_write_lock(&inode->io_lock);
	rwlock_write_lock(&inode->invalidate_lock);
	err = file_modified(inode, kill_priv);
	if (!err)
		err = dispatch(inode, mode, off, count);
	rwlock_write_unlock(&inode->invalidate_lock);
	rwlock_write_unlock(&inode->io_lock);
	return err;
}
