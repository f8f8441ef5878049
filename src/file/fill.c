/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Making folios uptodate: written blocks are read, holes and unwritten blocks are zeroes (Linux: iomap_read_folio).
 */
#include "internal.h"

#include <string.h>

/* Whole blocks of [@off, @end) that are not uptodate yet, the next run. */
static bool next_missing(struct folio *folio, uint32_t block, uint64_t *off, uint64_t end, uint64_t *run_end)
{
	while (*off < end && folio_is_uptodate(folio, *off, block))
		*off += block;
	if (*off >= end)
		return false;
	*run_end = *off + block;
	while (*run_end < end && !folio_is_uptodate(folio, *run_end, block))
		*run_end += block;
	return true;
}

static int fill_run(struct inode *inode, struct folio *folio, uint64_t off, uint64_t end)
{
	struct iomap_iter iter = { .inode = inode, .off = off, .count = end - off };
	struct files *files = inode_files(inode);
	uint64_t size = round_up_u64(file_size(inode), files->geo->block_bytes);
	int ret;

	while ((ret = iomap_next(&iter, &read_ops)) > 0) {
		uint8_t *to = folio->data + (iter.off - folio->off_bytes);
		uint64_t n = iomap_length(&iter);
		int err = 0;

		/* What lies on disk past EOF is not the file's, and may be freed meanwhile by who trims. */
		if (iter.map.type == IOMAP_MAPPED && iter.off < size) {
			n = min_u64(n, size - iter.off);
			err = device_read(files->dev, iter.map.device_off_bytes + (iter.off - iter.map.off_bytes), to,
					  n);
		} else {
			memset(to, 0, n);
		}
		if (err) {
			iter.processed = err;
			continue;
		}
		folio_set_uptodate(folio, iter.off, n);
		iter.processed = (int64_t)n;
	}
	return ret;
}

int folio_fill(struct inode *inode, struct folio *folio, uint64_t off, uint64_t count)
{
	uint32_t block = inode_files(inode)->geo->block_bytes;
	uint64_t end = min_u64(round_up_u64(off + count, block), folio->off_bytes + folio->bytes), run_end;

	off = max_u64(round_down_u64(off, block), folio->off_bytes);
	while (next_missing(folio, block, &off, end, &run_end)) {
		int err = fill_run(inode, folio, off, run_end);

		if (err)
			return err;
		off = run_end;
	}
	return 0;
}
