/* SPDX-License-Identifier: GPL-2.0 */
/*
 * O_DIRECT (XFS: xfs_file_dio_read, xfs_file_dio_write; Linux: fs/iomap/direct-io.c).
 *
 * Cached data of the range are written first; a write also drops them and drops them again when it is done.  Writes
 * that are not aligned to blocks, or over pages that cannot be dropped, answer -ENOTBLK: the caller goes through the
 * cache and syncs.
 */
#include "internal.h"

#include <string.h>

#include <userxfs/base/memory.h>

#define PIECE_BYTES (1u << 20)

/* One mapping's part of a read, into position @pos of @iov. */
static int read_piece(struct files *files, const struct iomap_iter *iter, uint64_t count, const struct iovec *iov,
		      uint64_t pos)
{
	uint64_t device_off = iter->map.device_off_bytes + (iter->off - iter->map.off_bytes);

	while (pos >= iov->iov_len) {
		pos -= iov->iov_len;
		iov++;
	}
	while (count) {
		uint64_t n = min_u64(count, iov->iov_len - pos);
		uint8_t *to = (uint8_t *)iov->iov_base + pos;
		int err = 0;

		if (iter->map.type == IOMAP_MAPPED)
			err = device_read(files->dev, device_off, to, n);
		else
			memset(to, 0, n);
		if (err)
			return err;
		device_off += n;
		count -= n;
		pos = 0;
		iov++;
	}
	return 0;
}

int file_read_direct(struct inode *inode, uint64_t off, const struct iovec *iov, int iov_count, uint64_t *done)
{
	struct iomap_iter iter = { .inode = inode, .off = off };
	uint64_t count = 0, size;
	int ret = file_check_regular(inode);

	if (ret)
		return ret;
	for (int i = 0; i < iov_count; i++)
		count += iov[i].iov_len;
	rwlock_read_lock(&inode->io_lock);
	size = file_size(inode);
	iter.count = off < size ? min_u64(count, size - off) : 0;
	if (iter.count)
		ret = file_flush(inode, off, off + iter.count);
	if (!ret) {
		while ((ret = iomap_next(&iter, &read_ops)) > 0) {
			uint64_t n = iomap_length(&iter);
			int err = read_piece(inode_files(inode), &iter, n, iov, iter.off - off);

			iter.processed = err ? err : (int64_t)n;
		}
	}
	rwlock_read_unlock(&inode->io_lock);
	if (ret && iter.off == off)
		return ret;
	*done = iter.off - off;
	return 0;
}

/* @count bytes at @pos of the source, as they lie in the caller's memory or copied into *bounce; NULL: *err. */
static const uint8_t *source_bytes(struct write_source *src, uint64_t pos, uint64_t count, uint8_t **bounce, int *err)
{
	const uint8_t *bytes = write_source_bytes(src, pos, count);

	if (bytes)
		return bytes;
	if (!*bounce)
		*bounce = mem_alloc_aligned(PAGE_BYTES, PIECE_BYTES);
	if (!*bounce)
		*err = -ENOMEM;
	else if (src->copy(src, pos, *bounce, count) != count)
		*err = -EFAULT;
	return *err ? NULL : *bounce;
}

static int write_mapping(struct iomap_iter *iter, struct write_source *src, uint64_t src_base, uint8_t **bounce)
{
	struct inode *inode = iter->inode;
	struct files *files = inode_files(inode);
	uint64_t left = iomap_length(iter), off = iter->off;
	bool must_convert = iter->map.type == IOMAP_UNWRITTEN;
	int err = 0;

	while (left && !err) {
		uint64_t n = min_u64(left, PIECE_BYTES);
		const uint8_t *bytes = source_bytes(src, src_base + (off - iter->off), n, bounce, &err);

		if (err)
			break;
		err = device_write(files->dev, iter->map.device_off_bytes + (off - iter->map.off_bytes), bytes, n, 0);
		if (!err && off + n > file_size(inode))
			file_set_size(inode, off + n);
		if (!err)
			err = must_convert ? file_convert_unwritten(inode, off, off + n)
					   : file_update_disk_size(inode, off + n);
		if (!err) {
			off += n;
			left -= n;
		}
	}
	iter->processed = off > iter->off ? (int64_t)(off - iter->off) : err;
	return err;
}

/* io_lock held. */
static int write_locked(struct inode *inode, struct mapping *m, uint64_t off, uint64_t count,
			struct write_source *src, uint64_t *done)
{
	struct iomap_iter iter = { .inode = inode, .off = off, .count = count, .flags = IOMAP_WRITE | IOMAP_DIRECT };
	uint8_t *bounce = NULL;
	int ret = file_flush(inode, off, off + count);

	if (ret)
		return ret;
	if (!mapping_invalidate(m, off, off + count))
		return -ENOTBLK;
	while ((ret = iomap_next(&iter, &direct_write_ops)) > 0)
		write_mapping(&iter, src, iter.off - off, &bounce);
	mem_free(bounce);
	mapping_invalidate(m, off, off + count);
	*done = iter.off - off;
	return *done ? 0 : ret;
}

int file_write_direct(struct inode *inode, uint64_t off, uint64_t count, struct write_source *src, uint32_t flags,
		      uint64_t *done)
{
	struct files *files = inode_files(inode);
	uint32_t block = files->geo->block_bytes;
	bool is_exclusive;
	struct mapping *m;
	uint64_t size;
	int err = file_mapping(inode, &m);

	if (err)
		return err;
	rwlock_write_lock(&inode->io_lock);
	size = file_size(inode);
	if (flags & FILE_WRITE_APPEND)
		off = size;
	if (off % block || count % block || off + count > files->geo->max_file_bytes || off + count < off) {
		rwlock_write_unlock(&inode->io_lock);
		return -ENOTBLK;
	}
	if (off > size) {
		rwlock_write_lock(&inode->invalidate_lock);
		err = file_zero_range(inode, size, off, NULL);
		rwlock_write_unlock(&inode->invalidate_lock);
	}
	if (!err)
		err = file_modified(inode, flags & FILE_WRITE_KILL_PRIV);
	is_exclusive = off + count > size;
	if (!is_exclusive)
		rwlock_demote(&inode->io_lock);
	if (!err)
		err = write_locked(inode, m, off, count, src, done);
	if (is_exclusive)
		rwlock_write_unlock(&inode->io_lock);
	else
		rwlock_read_unlock(&inode->io_lock);
	if (!err && flags & (FILE_WRITE_SYNC | FILE_WRITE_DSYNC))
		err = file_fsync(inode, !(flags & FILE_WRITE_SYNC), NULL);
	return err;
}
