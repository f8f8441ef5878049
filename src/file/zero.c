/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Zeroing a range through the page cache (Linux: iomap_zero_range): holes and clean unwritten blocks already read as
 * zeroes and are skipped; unwritten blocks with dirty pages over them are written first, so that their state is
 * settled.
 */
#include "internal.h"

#include <string.h>

static int zero_folio(struct iomap_iter *iter, struct mapping *m, uint64_t off, uint64_t *count)
{
	struct inode *inode = iter->inode;
	uint32_t block = inode_files(inode)->geo->block_bytes;
	struct folio *folio;
	uint64_t end;
	int err;

	err = mapping_get_locked(m, off, min_u64(*count + off % PAGE_BYTES, FOLIO_MAX_BYTES), &folio);
	if (err)
		return err;
	if (!iomap_is_valid(inode, &iter->map)) {
		iter->map.flags |= IOMAP_F_STALE;
		*count = 0;
		goto out;
	}
	end = min_u64(off + *count, folio->off_bytes + folio->bytes);
	if (off % block)
		err = folio_fill(inode, folio, off, 1);
	if (!err && end % block)
		err = folio_fill(inode, folio, end - 1, 1);
	if (err)
		goto out;
	memset(folio->data + (off - folio->off_bytes), 0, end - off);
	folio_set_uptodate(folio, off, end - off);
	folio_set_dirty(folio, off, end - off);
	*count = end - off;
out:
	folio_release(folio);
	return err;
}

static bool needs_no_zeroing(const struct iomap_iter *iter, struct mapping *m)
{
	uint64_t end = iter->off + iomap_length(iter);

	if (iter->map.type == IOMAP_HOLE)
		return true;
	return iter->map.type == IOMAP_UNWRITTEN && !mapping_has_dirty_or_writeback(m, iter->off, end);
}

static void zero_mapping(struct iomap_iter *iter, struct mapping *m, bool *did_zero)
{
	uint64_t left = iomap_length(iter), off = iter->off;
	int err = 0;

	if (needs_no_zeroing(iter, m)) {
		/* Data that were still being written when the mapping was made may be in written blocks now. */
		if (iomap_is_valid(iter->inode, &iter->map))
			iter->processed = (int64_t)left;
		else
			iter->map.flags |= IOMAP_F_STALE;
		return;
	}
	while (left) {
		uint64_t n = left;

		err = zero_folio(iter, m, off, &n);
		if (err || !n)
			break;
		if (did_zero)
			*did_zero = true;
		off += n;
		left -= n;
	}
	iter->processed = off > iter->off ? (int64_t)(off - iter->off) : err;
}

/* Dirty data over unwritten blocks, other than in the block that @off cuts: settled by writing them. */
static int settle_unwritten(struct inode *inode, struct mapping *m, uint64_t off, uint64_t end)
{
	struct iomap_iter iter = { .inode = inode, .off = off, .count = end - off };
	uint32_t block = inode_files(inode)->geo->block_bytes;
	bool must_flush = false;
	int ret;

	if (end - off < block && off / block == (end - 1) / block)
		return 0;
	if (!mapping_has_dirty_or_writeback(m, off, end))
		return 0;
	while ((ret = iomap_next(&iter, &read_ops)) > 0) {
		if (iter.map.type == IOMAP_UNWRITTEN)
			must_flush = true;
		iter.processed = (int64_t)iomap_length(&iter);
	}
	if (ret)
		return ret;
	return must_flush ? file_flush(inode, off, end) : 0;
}

int file_zero_range(struct inode *inode, uint64_t off, uint64_t end, bool *did_zero)
{
	struct iomap_iter iter = { .inode = inode, .off = off, .count = end - off };
	struct mapping *m;
	int err;

	if (off >= end)
		return 0;
	err = file_mapping(inode, &m);
	if (!err)
		err = settle_unwritten(inode, m, off, end);
	if (err)
		return err;
	while ((err = iomap_next(&iter, &zero_ops)) > 0)
		zero_mapping(&iter, m, did_zero);
	return err;
}
