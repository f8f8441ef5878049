// SPDX-License-Identifier: GPL-2.0
/*
 * How far behind a write that extends the file to reserve, in the expectation that it goes on.
 * (XFS: xfs_iomap_prealloc_size, xfs_buffered_write_iomap_begin.)
 *
 * A file that grows front to back gets as much again as it has in one piece, up to the longest extent there can be;
 * less when the volume has little left.
 */
#include <userxfs/base/bits.h>
#include <userxfs/extent/delay.h>

#include "tree.h"

/* Length of the piece of disk that ends with @rec, going back from it. */
static uint64_t contiguous_before(struct tree_cursor *cur, const struct irec *last)
{
	struct irec after = *last, rec;
	uint64_t blocks = last->ext.count;

	while (tree_prev(cur, &rec)) {
		if (blocks > EXTENT_MAX_BLOCKS / 2 || rec.ext.state == EXTENT_DELAYED ||
		    extent_end(&rec.ext) != after.ext.off || rec.ext.start.v + rec.ext.count != after.ext.start.v)
			break;
		blocks += rec.ext.count;
		after = rec;
	}
	return blocks;
}

/* 0 while there is plenty: the more of the last 5 per cent are gone, the further the wish is shifted down. */
static unsigned low_space_shift(struct space *space, uint64_t free_blocks)
{
	unsigned shift = 0;

	if (free_blocks >= space_low_threshold(space, 5))
		return 0;
	for (unsigned percent = 1; percent <= 4; percent++)
		shift += free_blocks < space_low_threshold(space, percent);
	return 2 + shift;
}

static uint64_t throttle(struct space *space, uint64_t wish, uint64_t min)
{
	struct space_counts counts;

	space_counts(space, &counts);
	wish = min_u64(wish, EXTENT_MAX_BLOCKS + 1) >> low_space_shift(space, counts.raw_free_blocks);
	if (wish)
		wish = min_u64(1ull << log2_floor(wish), EXTENT_MAX_BLOCKS);
	while (wish && wish >= counts.raw_free_blocks)
		wish >>= 4;
	return max_u64(wish, min);
}

static uint64_t dynamic_blocks(const struct file_map *map, const struct prealloc_input *in, uint64_t min)
{
	const struct geometry *geo = space_geometry(map->space);
	fileblk_t off = bytes_to_blocks_down(geo, in->off_bytes);
	struct tree_cursor cur;
	struct irec prev;
	uint64_t wish;

	if (in->size_bytes < blocks_to_bytes(geo, min))
		return 0;
	if (in->size_bytes < blocks_to_bytes(geo, geo->stripe_unit_blocks) ||
	    !tree_lookup_before(&map->data.tree, off, &cur, &prev) || extent_end(&prev.ext) < off)
		return min;
	wish = 2 * contiguous_before(&cur, &prev);
	if (wish > EXTENT_MAX_BLOCKS)
		wish = bytes_to_blocks_up(geo, in->off_bytes);
	return throttle(map->space, wish, min);
}

uint64_t delay_prealloc_blocks(const struct file_map *map, const struct prealloc_input *in)
{
	const struct geometry *geo = space_geometry(map->space);
	uint32_t log = (uint32_t)max_u64(in->alloc_size_log, geo->block_log);
	uint64_t min = 1ull << (log - geo->block_log), blocks, end;
	fileblk_t write_end = bytes_to_blocks_up(geo, in->off_bytes + in->count_bytes);

	if (!in->count_bytes || in->off_bytes + in->count_bytes <= in->size_bytes)
		return 0;
	blocks = in->is_fixed ? min : dynamic_blocks(map, in, min);
	if (!blocks)
		return 0;
	/* Counted from where the write's last byte lies in units of the allocation size. */
	end = bytes_to_blocks_down(geo, (in->off_bytes + in->count_bytes - 1) >> log << log) + blocks;
	if (in->stripe_align_blocks && in->size_bytes >= blocks_to_bytes(geo, in->stripe_align_blocks))
		end = round_up_u64(end, in->stripe_align_blocks);
	end = min_u64(end, bytes_to_blocks_up(geo, geo->max_file_bytes));
	return end > write_end ? end - write_end : 0;
}
