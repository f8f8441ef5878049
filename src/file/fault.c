/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stores through mmap (XFS: xfs_write_fault; Linux: iomap_page_mkwrite).
 *
 * The folio is uptodate and locked before a mapping is asked for, and it stays locked until it is dirty: whatever
 * happens to the mapping meanwhile (writeback converting it, a failing write punching around it), its bytes are in
 * memory and its blocks are protected by being dirty.  That is why page_mkwrite_ops have no end.
 */
#include "internal.h"

#include <string.h>

/* Maps every block of [@off, @end) inside the locked, uptodate folio and marks it dirty. */
static int make_writable(struct inode *inode, struct folio *folio, uint64_t off, uint64_t end, uint32_t flags)
{
	struct iomap_iter iter = {
		.inode = inode, .off = off, .count = end - off, .flags = IOMAP_WRITE | IOMAP_FAULT | flags
	};
	int ret;

	while ((ret = iomap_next(&iter, &page_mkwrite_ops)) > 0) {
		uint64_t n = iomap_length(&iter);

		folio_set_dirty(folio, iter.off, n);
		iter.processed = (int64_t)n;
	}
	return ret;
}

int file_fault(struct inode *inode, uint64_t off, struct folio **out)
{
	struct mapping *m;
	struct folio *folio;
	uint64_t size;
	int err = file_mapping(inode, &m);

	if (!err)
		err = file_modified(inode, false);
	if (err)
		return err;
	rwlock_read_lock(&inode->invalidate_lock);
	size = file_size(inode);
	/* The page that holds EOF is there as a whole. */
	if (round_down_u64(off, PAGE_BYTES) >= size) {
		err = -EFAULT;
		goto out;
	}
	err = mapping_get_locked(m, off, PAGE_BYTES, &folio);
	if (err)
		goto out;
	err = folio_fill(inode, folio, folio->off_bytes, folio->bytes);
	if (!err)
		err = make_writable(inode, folio, folio->off_bytes, min_u64(folio->off_bytes + folio->bytes, size),
				    0);
	if (err) {
		folio_release(folio);
		goto out;
	}
	folio_wait_writeback(folio);
	*out = folio;
out:
	rwlock_read_unlock(&inode->invalidate_lock);
	return err;
}

/* Copies page by page, leaving pages alone that hold younger bytes. */
static void copy_by_age(struct folio *folio, uint64_t off, uint64_t end, const uint8_t *data, uint64_t unique)
{
	while (off < end) {
		uint64_t n = min_u64(end - off, PAGE_BYTES - off % PAGE_BYTES);

		if (!unique || !folio_is_stamped_after(folio, off, unique))
			memcpy(folio->data + (off - folio->off_bytes), data, n);
		off += n;
		data += n;
	}
}

/*
 * One folio's part of a store that the kernel has already made.  -ENOSPC: what found no room is not dirty, the caller
 * tries once more; on the @last_try it is.
 */
static int store_folio(struct inode *inode, struct mapping *m, uint64_t off, uint64_t *count, const uint8_t *data,
		       uint64_t unique, bool last_try)
{
	uint32_t block = inode_files(inode)->geo->block_bytes;
	struct folio *folio;
	uint64_t end;
	int err;

	err = mapping_get_locked(m, off, min_u64(*count + off % PAGE_BYTES, FOLIO_MAX_BYTES), &folio);
	if (err)
		return err;
	end = min_u64(off + *count, folio->off_bytes + folio->bytes);
	*count = end - off;
	if (off % block)
		err = folio_fill(inode, folio, off, 1);
	if (!err && end % block)
		err = folio_fill(inode, folio, end - 1, 1);
	if (err) {
		folio_release(folio);
		return err;
	}
	copy_by_age(folio, off, end, data, unique);
	if (unique)
		folio_stamp(folio, off, end - off, unique);
	folio_set_uptodate(folio, off, end - off);
	err = make_writable(inode, folio, off, end, IOMAP_STORED);
	if (err == -ENOSPC && !last_try) {
		folio_release(folio);
		return err;
	}
	if (err) {
		/* No room now: the bytes stay, dirty; writeback asks for room again and fsync reports the error. */
		folio_set_dirty(folio, off, end - off);
		mapping_set_error(m, err);
	}
	folio_release(folio);
	return 0;
}

/* Stores what it can of [*off, @end); *off is where it stopped. */
static int store_folios(struct inode *inode, struct mapping *m, uint64_t *off, uint64_t end, const uint8_t *data,
			uint64_t unique, bool last_try)
{
	uint64_t start = *off;
	int err = 0;

	rwlock_read_lock(&inode->invalidate_lock);
	/* The kernel cuts at its size; ours may be smaller for a moment only while a truncate is on its way. */
	end = min_u64(end, file_size(inode));
	while (*off < end && !err) {
		uint64_t n = end - *off;

		err = store_folio(inode, m, *off, &n, data + (*off - start), unique, last_try);
		if (!err)
			*off += n;
	}
	rwlock_read_unlock(&inode->invalidate_lock);
	return err;
}

int file_fault_store(struct inode *inode, uint64_t off, uint64_t count, const void *data, uint64_t unique)
{
	struct mapping *m;
	uint64_t at = off;
	int err = file_mapping(inode, &m);

	if (!err)
		err = file_modified(inode, false);
	if (err)
		return err;
	err = store_folios(inode, m, &at, off + count, data, unique, false);
	if (err == -ENOSPC) {
		files_make_space(inode_files(inode));
		err = store_folios(inode, m, &at, off + count, (const uint8_t *)data + (at - off), unique, true);
	}
	pagecache_throttle(inode_files(inode)->pages, m, count);
	return err;
}
