/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reading through the page cache (Linux: filemap_read; XFS: xfs_file_buffered_read).
 *
 * Holes and unwritten blocks that nobody has stored to are answered with zeroes and not kept: they would take memory,
 * and a later store through mmap would have to reserve blocks for all that a large folio of zeroes covers.
 *
 * A folio that is missing is read under its lock and under the invalidate lock held shared, so that a truncate or
 * punch cannot free blocks while they are being read.  Sequential misses read ahead: the folio made is as large as
 * what follows in the file, up to 1 MiB, so one I/O serves the requests to come.
 */
#include "internal.h"

#include <string.h>

#include <userxfs/base/memory.h>

#define READ_AHEAD_BYTES FOLIO_MAX_BYTES
#define FIRST_READ_BYTES (128u << 10)

/* What file_read_iov() points to for holes; never written. */
static uint8_t zero_bytes[FOLIO_MAX_BYTES];

/* How much to read for a miss at @off: the request, or a window when the file is read from front to back. */
static uint64_t window(struct mapping *m, uint64_t off, uint64_t count, uint64_t size)
{
	uint64_t end = off + count;
	bool goes_on = mapping_swap_last_read(m, end) == off;

	if (off == 0)
		end = max_u64(end, FIRST_READ_BYTES);
	else if (goes_on)
		end = max_u64(end, off + READ_AHEAD_BYTES);
	return min_u64(end, round_up_u64(size, PAGE_BYTES)) - off;
}

/* Bytes from @off on, at most @count, that are neither on disk nor in memory; 0: there is something at @off. */
static int find_zeroes(struct inode *inode, struct mapping *m, uint64_t off, uint64_t count, uint64_t *zeroes)
{
	struct iomap map, source;
	int err;

	/*
	 * What was in memory when the mapping was made may be on disk afterwards, and not in memory any more: look
	 * again.
	 */
	do {
		*zeroes = 0;
		err = read_ops.begin(inode, off, count, 0, &map, &source);
		if (err || (map.type != IOMAP_HOLE && map.type != IOMAP_UNWRITTEN))
			return err;
		*zeroes = mapping_seek_cached(m, off, min_u64(off + count, map.off_bytes + map.count_bytes), true) -
			  off;
	} while (!iomap_is_valid(inode, &map));
	return 0;
}

/*
 * The folio that covers @off, uptodate for what it has of [@off, @off + @count), referenced and unlocked; or NULL,
 * and *zeroes bytes from @off on are zero.
 */
static int get_uptodate(struct inode *inode, struct mapping *m, uint64_t off, uint64_t count, uint64_t size,
			struct folio **out, uint64_t *zeroes)
{
	struct folio *folio = mapping_find(m, off);
	int err;

	if (folio) {
		if (atomic_load_explicit(&folio->flags, memory_order_acquire) & FOLIO_UPTODATE) {
			*out = folio;
			return 0;
		}
		folio_put(folio);
	}
	rwlock_read_lock(&inode->invalidate_lock);
	err = find_zeroes(inode, m, off, count, zeroes);
	if (err || *zeroes) {
		rwlock_read_unlock(&inode->invalidate_lock);
		*out = NULL;
		return err;
	}
	err = mapping_get_locked(m, off, window(m, off, count, size), &folio);
	if (!err) {
		uint64_t end = min_u64(off + max_u64(count, folio->bytes), folio->off_bytes + folio->bytes);

		err = folio_fill(inode, folio, off, end - off);
		folio_unlock(folio);
		if (err)
			folio_put(folio);
	}
	rwlock_read_unlock(&inode->invalidate_lock);
	if (!err)
		*out = folio;
	return err;
}

/* Clips a request to the file; false: nothing to read. */
static bool clip_to_size(struct inode *inode, uint64_t off, uint64_t *count, uint64_t *size)
{
	*size = file_size(inode);
	if (off >= *size || !*count)
		return false;
	*count = min_u64(*count, *size - off);
	return true;
}

static uint64_t iov_bytes(const struct iovec *iov, int iov_count)
{
	uint64_t bytes = 0;

	for (int i = 0; i < iov_count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* Copies @count bytes, or zeroes when @from is NULL, to position @pos of @iov. */
static void copy_to_iov(const struct iovec *iov, uint64_t pos, const uint8_t *from, uint64_t count)
{
	while (pos >= iov->iov_len) {
		pos -= iov->iov_len;
		iov++;
	}
	while (count) {
		uint64_t n = min_u64(count, iov->iov_len - pos);

		if (from)
			memcpy((uint8_t *)iov->iov_base + pos, from, n);
		else
			memset((uint8_t *)iov->iov_base + pos, 0, n);
		from = from ? from + n : NULL;
		count -= n;
		pos = 0;
		iov++;
	}
}

int file_read(struct inode *inode, uint64_t off, const struct iovec *iov, int iov_count, uint64_t *done)
{
	uint64_t count = iov_bytes(iov, iov_count), size, pos = 0;
	struct mapping *m;
	int err = file_mapping(inode, &m);

	if (err)
		return err;
	rwlock_read_lock(&inode->io_lock);
	if (!clip_to_size(inode, off, &count, &size))
		count = 0;
	while (pos < count) {
		struct folio *folio;
		uint64_t at = off + pos, n;

		err = get_uptodate(inode, m, at, count - pos, size, &folio, &n);
		if (err)
			break;
		if (folio)
			n = min_u64(count - pos, folio->off_bytes + folio->bytes - at);
		copy_to_iov(iov, pos, folio ? folio->data + (at - folio->off_bytes) : NULL, n);
		folio_put(folio);
		pos += n;
	}
	rwlock_read_unlock(&inode->io_lock);
	if (pos || !err) {
		*done = pos;
		return 0;
	}
	return err;
}

int file_read_iov(struct inode *inode, uint64_t off, uint64_t count, struct iovec *iov, int capacity, int *iov_count,
		  struct file_read_hold *hold, uint64_t *done)
{
	struct mapping *m;
	uint64_t size, pos = 0;
	int err = file_mapping(inode, &m), n_iov = 0;

	if (err)
		return err;
	hold->count = 0;
	rwlock_read_lock(&inode->io_lock);
	if (!clip_to_size(inode, off, &count, &size))
		count = 0;
	while (pos < count && n_iov < capacity && hold->count < ARRAY_COUNT(hold->folios)) {
		struct folio *folio;
		uint64_t at = off + pos, n;

		err = get_uptodate(inode, m, at, count - pos, size, &folio, &n);
		if (err)
			break;
		if (folio) {
			n = min_u64(count - pos, folio->off_bytes + folio->bytes - at);
			iov[n_iov++] = (struct iovec){ folio->data + (at - folio->off_bytes), n };
			hold->folios[hold->count++] = folio;
		} else {
			n = min_u64(n, sizeof(zero_bytes));
			iov[n_iov++] = (struct iovec){ zero_bytes, n };
		}
		pos += n;
	}
	rwlock_read_unlock(&inode->io_lock);
	if (!pos && err)
		return err;
	*iov_count = n_iov;
	*done = pos;
	return 0;
}

void file_read_put(struct file_read_hold *hold)
{
	for (unsigned i = 0; i < hold->count; i++)
		folio_put(hold->folios[i]);
	hold->count = 0;
}

int file_read_fault(struct inode *inode, uint64_t off, struct folio **out)
{
	struct mapping *m;
	struct folio *folio;
	int err = file_mapping(inode, &m);

	if (err)
		return err;
	rwlock_read_lock(&inode->invalidate_lock);
	/* The page that holds EOF is there as a whole. */
	if (round_down_u64(off, PAGE_BYTES) >= file_size(inode))
		err = -EFAULT;
	if (!err)
		err = mapping_get_locked(m, off, PAGE_BYTES, &folio);
	if (!err) {
		err = folio_fill(inode, folio, folio->off_bytes, folio->bytes);
		if (err)
			folio_release(folio);
	}
	rwlock_read_unlock(&inode->invalidate_lock);
	if (!err)
		*out = folio;
	return err;
}
