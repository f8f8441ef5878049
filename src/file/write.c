/* SPDX-License-Identifier: GPL-2.0 */
/*
 * write(2) through the page cache (XFS: xfs_file_buffered_write; Linux: iomap_write_iter).
 *
 * Happy path: io_lock exclusive; zero the gap when the write starts past EOF; times; then mapping by mapping, folio
 * by folio: lock the folio, check the mapping, prepare the partial blocks at its edges, copy, mark dirty, raise the
 * size before the folio is unlocked.
 *
 * Failure: what a mapping reserved and no byte filled is punched out by its end.  No space: once per call everything
 * dirty is flushed and speculation trimmed, then the write is tried again; only then -ENOSPC, and only if nothing was
 * written.
 */
#include "internal.h"

#include <string.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/fault.h>
#include <userxfs/base/memory.h>

/* ---- where bytes come from ---- */

static uint64_t copy_from_iov(struct write_source *src, uint64_t pos, void *to, uint64_t count)
{
	const struct iovec *iov = src->iov;
	int left = src->iov_count;
	uint64_t copied = 0;

	while (left && pos >= iov->iov_len) {
		pos -= iov->iov_len;
		iov++;
		left--;
	}
	while (left && copied < count) {
		uint64_t n = min_u64(count - copied, iov->iov_len - pos);

		memcpy((uint8_t *)to + copied, (const uint8_t *)iov->iov_base + pos, n);
		copied += n;
		pos = 0;
		iov++;
		left--;
	}
	return copied;
}

void write_source_iov(struct write_source *src, const struct iovec *iov, int iov_count)
{
	*src = (struct write_source){ .copy = copy_from_iov, .iov = iov, .iov_count = iov_count };
}

const uint8_t *write_source_bytes(const struct write_source *src, uint64_t pos, uint64_t count)
{
	const struct iovec *iov = src->iov;
	int left = src->iov_count;

	if (src->copy != copy_from_iov)
		return NULL;
	while (left && pos >= iov->iov_len) {
		pos -= iov->iov_len;
		iov++;
		left--;
	}
	return left && count <= iov->iov_len - pos ? (const uint8_t *)iov->iov_base + pos : NULL;
}

/* The copy, but for pages that hold younger bytes already. */
static uint64_t copy_old_pages(struct write_source *src, uint64_t pos, struct folio *folio, uint64_t off,
			       uint64_t count)
{
	uint64_t done = 0;

	while (done < count) {
		uint64_t n = min_u64(count - done, PAGE_BYTES - (off + done) % PAGE_BYTES), copied = n;

		if (!folio_is_stamped_after(folio, off + done, src->unique))
			copied = src->copy(src, pos + done, folio->data + (off + done - folio->off_bytes), n);
		done += copied;
		if (copied < n)
			break;
	}
	return done;
}

/* The copy, through the fault point that makes it fail or stop short. */
static uint64_t copy_in(struct inode *inode, struct write_source *src, uint64_t pos, struct folio *folio,
			uint64_t off, uint64_t count)
{
	struct fault_site site = { .ino = inode->ino.v, .off_bytes = off, .count_bytes = count };
	int64_t value = 0;

	if (fault_hit(FAULT_write_copyin, &site, &value, NULL))
		count = min_u64(count, value > 0 ? (uint64_t)value : 0);
	if (!count)
		return 0;
	if (src->unique && folio->stamps)
		return copy_old_pages(src, pos, folio, off, count);
	return src->copy(src, pos, folio->data + (off - folio->off_bytes), count);
}

/* ---- one folio ---- */

/* Makes the block at @block_off, which the write covers only in part, uptodate. */
static int prepare_block(struct inode *inode, const struct iomap_iter *iter, struct folio *folio, uint64_t block_off,
			 uint32_t block)
{
	uint8_t *to = folio->data + (block_off - folio->off_bytes);
	int err;

	if (folio_is_uptodate(folio, block_off, block))
		return 0;
	if (iter->map.type == IOMAP_MAPPED && !(iter->map.flags & IOMAP_F_NEW) && block_off < file_size(inode)) {
		err = device_read(inode_files(inode)->dev,
				  iter->map.device_off_bytes + (block_off - iter->map.off_bytes), to, block);
		if (err)
			return err;
	} else {
		memset(to, 0, block);
	}
	folio_set_uptodate(folio, block_off, block);
	return 0;
}

/* The first and last block of [@off, @end) when the write covers them only in part. */
static int prepare_edges(struct inode *inode, const struct iomap_iter *iter, struct folio *folio, uint64_t off,
			 uint64_t end)
{
	uint32_t block = inode_files(inode)->geo->block_bytes;
	uint64_t first = round_down_u64(off, block), last = round_down_u64(end - 1, block);
	int err = 0;

	if (off != first || end < first + block)
		err = prepare_block(inode, iter, folio, first, block);
	if (!err && last != first && end < last + block)
		err = prepare_block(inode, iter, folio, last, block);
	return err;
}

/*
 * The copy stopped at @stop, inside a block that was to be covered whole and is not uptodate: what the block has of
 * the old file is put behind the copied bytes.
 */
static int complete_block(struct inode *inode, const struct iomap_iter *iter, struct folio *folio, uint64_t stop)
{
	uint32_t block = inode_files(inode)->geo->block_bytes;
	uint64_t block_off = round_down_u64(stop, block);
	uint8_t *data = folio->data + (block_off - folio->off_bytes), *copied;
	int err;

	if (stop == block_off || folio_is_uptodate(folio, block_off, block))
		return 0;
	copied = mem_alloc(block);
	if (!copied)
		return -ENOMEM;
	memcpy(copied, data, stop - block_off);
	err = prepare_block(inode, iter, folio, block_off, block);
	memcpy(data, copied, stop - block_off);
	mem_free(copied);
	return err;
}

/*
 * Copies into the locked folio. *done: the bytes that count as written. After a copy that stopped short inside a
 * block these are all that were copied if the rest of that block can be made right (as the kernel's retry with a
 * shorter chunk makes it), else only those of the blocks before.
 */
static int write_folio(struct inode *inode, const struct iomap_iter *iter, struct folio *folio, uint64_t off,
		       uint64_t count, struct write_source *src, uint64_t src_pos, uint64_t *done)
{
	uint32_t block = inode_files(inode)->geo->block_bytes;
	uint64_t copied;
	int err = prepare_edges(inode, iter, folio, off, off + count);

	if (err)
		return err;
	copied = copy_in(inode, src, src_pos, folio, off, count);
	if (copied && copied < count) {
		err = complete_block(inode, iter, folio, off + copied);
		if (err)
			copied -= min_u64(copied, (off + copied) % block);
	}
	*done = copied;
	if (!copied)
		return err;
	folio_set_uptodate(folio, off, copied);
	folio_set_dirty(folio, off, copied);
	if (off + copied > file_size(inode))
		file_set_size(inode, off + copied);
	return 0;
}

/* ---- one mapping ---- */

/* @start: where the source's first byte goes. */
static void write_mapping(struct iomap_iter *iter, struct mapping *m, struct write_source *src, uint64_t start)
{
	struct inode *inode = iter->inode;
	uint64_t left = iomap_length(iter), off = iter->off, total = 0;
	int err = 0;

	while (left) {
		uint64_t n = 0, chunk;
		struct folio *folio;

		err = mapping_get_locked(m, off, left, &folio);
		if (err)
			break;
		if (!iomap_is_valid(inode, &iter->map)) {
			iter->map.flags |= IOMAP_F_STALE;
			folio_release(folio);
			break;
		}
		chunk = min_u64(left, folio->off_bytes + folio->bytes - off);
		err = write_folio(inode, iter, folio, off, chunk, src, off - start, &n);
		folio_release(folio);
		total += n;
		off += n;
		left -= n;
		pagecache_throttle(inode_files(inode)->pages, m, n);
		if (!err && n < chunk)
			err = -EFAULT;
		if (err)
			break;
	}
	iter->processed = total ? (int64_t)total : err;
}

static int write_buffered(struct inode *inode, struct mapping *m, uint64_t off, uint64_t count,
			  struct write_source *src, uint64_t *done)
{
	struct iomap_iter iter = { .inode = inode, .off = off, .count = count, .flags = IOMAP_WRITE };
	int ret;

	while ((ret = iomap_next(&iter, &buffered_write_ops)) > 0) {
		struct fault_site site = { .ino = inode->ino.v, .off_bytes = iter.off, .count_bytes = iter.count };
		int64_t delay_ms;

		if (fault_hit(FAULT_write_delay_ms, &site, &delay_ms, NULL))
			clock_sleep_ns((uint64_t)delay_ms * 1000000);
		write_mapping(&iter, m, src, off);
	}
	*done = iter.off - off;
	return *done ? 0 : ret;
}

/* ---- the call ---- */

/* io_lock held exclusively: everything before the first byte.  May move *off (append) and shorten *count. */
static int start_write(struct inode *inode, uint64_t *off, uint64_t *count, uint32_t flags)
{
	struct files *files = inode_files(inode);
	uint64_t size = file_size(inode);
	int err = 0;

	if (flags & FILE_WRITE_APPEND)
		*off = size;
	if (*off >= files->geo->max_file_bytes)
		return -EFBIG;
	*count = min_u64(*count, files->geo->max_file_bytes - *off);
	if (*off > size) {
		rwlock_write_lock(&inode->invalidate_lock);
		err = file_zero_range(inode, size, *off, NULL);
		rwlock_write_unlock(&inode->invalidate_lock);
	}
	return err ? err : file_modified(inode, flags & FILE_WRITE_KILL_PRIV);
}

static int finish_write(struct inode *inode, uint64_t off, uint64_t done, uint32_t flags)
{
	int err;

	if (!(flags & (FILE_WRITE_SYNC | FILE_WRITE_DSYNC)) && !inode_files(inode)->options.sync_always)
		return 0;
	err = file_flush(inode, off, off + done);
	return err ? err : file_fsync(inode, !(flags & FILE_WRITE_SYNC), NULL);
}

int file_write(struct inode *inode, uint64_t off, uint64_t count, struct write_source *src, uint32_t flags,
	       uint64_t *done)
{
	struct mapping *m;
	bool is_second_try = false;
	uint64_t start, n = 0;
	int err = file_mapping(inode, &m);

	if (err)
		return err;
	*done = 0;
	if (!count)
		return 0;
	if (flags & FILE_WRITE_DIRECT) {
		err = file_write_direct(inode, off, count, src, flags, done);
		if (err == -ENOSPC) {
			files_make_space(inode_files(inode));
			err = file_write_direct(inode, off, count, src, flags, done);
		}
		if (err != -ENOTBLK)
			return err;
		flags |= FILE_WRITE_DSYNC;
	}
	for (;;) {
		start = off;
		rwlock_write_lock(&inode->io_lock);
		err = start_write(inode, &start, &count, flags);
		if (!err)
			err = write_buffered(inode, m, start, count, src, &n);
		rwlock_write_unlock(&inode->io_lock);
		if (err != -ENOSPC || n || is_second_try)
			break;
		is_second_try = true;
		files_make_space(inode_files(inode));
	}
	if (err)
		return err;
	*done = n;
	return finish_write(inode, start, n, flags);
}
