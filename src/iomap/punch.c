/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Releasing unused delayed blocks without touching anybody's data (Linux: iomap_write_delalloc_release and its
 * helpers).
 *
 * "Unused" is decided by the page cache: a delayed block is in use when a dirty block inside the file lies over it.
 * Clean folios protect nothing: either they are written back, and then no delayed block is under them, or they were
 * filled with zeroes by a reader of the hole.
 *
 *      start                                              end
 *        |----------|#dirty#|-----clean-----|#dirty#|------|
 *        `- punched-'       `---- punched --'       `------'
 */
#include "internal.h"

#include <userxfs/base/bits.h>
#include <userxfs/extent/delay.h>

static void punch(struct inode *inode, uint64_t off, uint64_t end, enum fork_which which)
{
	const struct geometry *geo = inode_geometry(inode);

	if (off >= end)
		return;
	rwlock_write_lock(&inode->map_lock);
	if (map_is_loaded(&inode->map, which))
		delay_punch(&inode->map, which, bytes_to_blocks_down(geo, off), bytes_to_blocks_up(geo, end));
	rwlock_write_unlock(&inode->map_lock);
}

/* [@off, @end) lies in the locked, dirty @folio: punches its blocks that are not dirty. */
static void punch_clean_blocks(struct inode *inode, struct folio *folio, uint64_t off, uint64_t end,
			       enum fork_which which)
{
	uint64_t dirty, dirty_end;

	while (off < end) {
		if (!folio_next_dirty(folio, off, end, &dirty, &dirty_end))
			dirty = dirty_end = end;
		punch(inode, off, min_u64(dirty, end), which);
		off = dirty_end;
	}
}

/* One run of cached data; returns from where on nothing is decided yet. */
static uint64_t punch_around_dirty(struct inode *inode, uint64_t punch_from, uint64_t off, uint64_t end,
				   enum fork_which which)
{
	while (off < end) {
		struct folio *folio = mapping_next_locked(inode->mapping, off, end);
		uint64_t part_off, part_end;

		if (!folio)
			break;
		part_off = max_u64(off, folio->off_bytes);
		part_end = min_u64(end, folio->off_bytes + folio->bytes);
		if (atomic_load(&folio->flags) & FOLIO_DIRTY) {
			punch(inode, punch_from, part_off, which);
			punch_clean_blocks(inode, folio, part_off, part_end, which);
			punch_from = part_end;
		}
		folio_release(folio);
		off = part_end;
	}
	return punch_from;
}

void iomap_punch_unused(struct inode *inode, uint64_t off, uint64_t end, bool cow_fork)
{
	enum fork_which which = cow_fork ? FORK_COW : FORK_DATA;
	/* The block that EOF cuts counts whole: what ends inside it would be rounded down and take it away. */
	uint64_t size = round_up_u64(atomic_load(&inode->size_bytes), inode_geometry(inode)->block_bytes);
	uint64_t punch_from = off, scan = off, scan_end = min_u64(end, size);

	while (inode->mapping && scan < scan_end) {
		uint64_t data_end;

		scan = mapping_seek_cached(inode->mapping, scan, scan_end, true);
		if (scan >= scan_end)
			break;
		data_end = mapping_seek_cached(inode->mapping, scan, scan_end, false);
		punch_from = punch_around_dirty(inode, punch_from, scan, data_end, which);
		scan = data_end;
	}
	punch(inode, punch_from, end, which);
}
