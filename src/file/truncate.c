/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Changing a file's size (XFS: xfs_setattr_size).
 *
 * Order: zero what becomes visible; move the in-core size and drop the page cache past it; write data up to the new
 * size when the on-disk size has not caught up, so that it never passes data that are not on disk; log the size; free
 * blocks.
 */
#include "internal.h"

#include "size.h"

static int zero_edges(struct inode *inode, uint64_t old, uint64_t new, bool *did_zero)
{
	uint32_t block = inode_files(inode)->geo->block_bytes;

	if (new > old)
		return file_zero_range(inode, old, new, did_zero);
	return file_zero_range(inode, new, min_u64(round_up_u64(new, block), max_u64(old, new)), did_zero);
}

static int log_size(struct inode *inode, uint64_t size, bool touch)
{
	struct log *log = inode_cache_log(inode->cache);
	struct tx *tx;
	int err;

	err = tx_begin(log, &log_reservations(log)->truncate, 0, 0, &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	inode->disk_size_bytes = size;
	if (touch)
		inode_touch(tx, inode, INODE_MTIME | INODE_CTIME);
	inode_log(tx, inode, false);
	return tx_commit(tx);
}

static bool has_blocks_from(struct inode *inode, fileblk_t from_blk)
{
	bool has;

	rwlock_read_lock(&inode->map_lock);
	has = !map_is_loaded(&inode->map, FORK_DATA) || map_end(&inode->map, FORK_DATA) > from_blk;
	rwlock_read_unlock(&inode->map_lock);
	return has;
}

int file_set_size_locked(struct inode *inode, uint64_t size, bool touch)
{
	const struct geometry *geo = inode_geometry(inode);
	uint64_t old = file_size(inode), disk_size;
	bool did_zero = false;
	struct mapping *m;
	int err;

	if (size > geo->max_file_bytes)
		return -EFBIG;
	err = file_mapping(inode, &m);
	if (!err)
		err = zero_edges(inode, old, size, &did_zero);
	if (err)
		return err;
	file_set_size(inode, size);
	mapping_truncate(m, size, UINT64_MAX);
	rwlock_read_lock(&inode->map_lock);
	disk_size = inode->disk_size_bytes;
	rwlock_read_unlock(&inode->map_lock);
	if (disk_size < size && (did_zero || old != disk_size)) {
		err = file_flush(inode, disk_size, size);
		if (err)
			return err;
	}
	err = log_size(inode, size, touch || size != old);
	if (err || size > old)
		return err;
	if (has_blocks_from(inode, bytes_to_blocks_up(geo, size)))
		err = inode_free_blocks(inode, FORK_DATA, bytes_to_blocks_up(geo, size));
	if (err)
		return err;
	atomic_fetch_or(&inode->flags, INODE_TRUNCATED);
	inode_clear_tag(inode, INODE_EOFBLOCKS);
	return 0;
}

int file_truncate(struct inode *inode, uint64_t size_bytes, bool touch)
{
	int err = file_check_regular(inode);

	if (err)
		return err;
	if (inode->di_flags & (XFS_DIFLAG_IMMUTABLE | XFS_DIFLAG_APPEND))
		return -EPERM;
	rwlock_write_lock(&inode->io_lock);
	rwlock_write_lock(&inode->invalidate_lock);
	err = file_set_size_locked(inode, size_bytes, touch);
	rwlock_write_unlock(&inode->invalidate_lock);
	rwlock_write_unlock(&inode->io_lock);
	return err;
}
