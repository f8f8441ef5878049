// SPDX-License-Identifier: GPL-2.0
/*
 * Delayed extents: promised and taken back.  (XFS: xfs_bmapi_reserve_delalloc, xfs_bmap_add_extent_hole_delay,
 * xfs_bmap_punch_delalloc_range, xfs_bmap_del_extent_delay.)
 *
 * The free counter is decremented first and the extent inserted after; what the extent does not need for itself or
 * its indirect blocks goes back at once:
 *
 *	merged with neighbours	min(worst case of the whole, sum of the parts)
 *	head or tail removed	min(worst case of the rest, what it had)
 *	middle removed		the worst cases of both rests, as far as what it had and the removed blocks go round
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/extent/delay.h>

#include "alloc.h"
#include "delay_piece.h"
#include "edit.h"
#include "fork.h"
#include "indirect.h"

/* ---- reserving ---- */

static uint64_t total_indirect(const struct irec *recs, unsigned count)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < count; i++)
		total += recs[i].indirect;
	return total;
}

static int reserve(struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count, bool use_pool,
		   struct extent *got)
{
	uint64_t indirect = delay_worst_indirect(map, count), before, after;
	struct irec put = { .ext = { off, count, FSBLK_NONE, EXTENT_DELAYED }, .indirect = (uint32_t)indirect };
	struct edit edit;
	int err;

	err = space_take(map->space, count + indirect, use_pool);
	if (err)
		return err;
	edit_plan(&edit, map, which, off, count, &put);
	before = total_indirect(edit.old, edit.old_count) + indirect;
	after = total_indirect(edit.new, edit.new_count);
	err = edit_apply(&edit, NULL, false, NULL);
	ensure(!err);
	space_give(map->space, before - after);
	atomic_fetch_add(&map->delayed_blocks, count);
	space_add_delayed(map->space, (int64_t)(count + indirect) - (int64_t)(before - after));
	*got = put.ext;
	return 0;
}

int delay_reserve(struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count, uint64_t prealloc,
		  struct extent *got)
{
	struct fork *fork = map_fork(map, which);
	struct tree_cursor cur;
	struct irec prev, next;
	bool has_prev, has_next;
	uint64_t room, length;
	fileblk_t at = off;
	int err;

	ensure(count && which != FORK_ATTR && rwlock_is_write_locked(map->lock));
	if (!fork->is_present)
		fork_make_empty(fork, FORK_EXTENTS);
	has_next = tree_lookup(&fork->tree, off, &cur, &next);
	has_prev = tree_lookup_before(&fork->tree, off, &cur, &prev);
	ensure(!has_next || next.ext.off > off);

	room = min_u64(has_next ? next.ext.off - off : EXTENT_MAX_BLOCKS, EXTENT_MAX_BLOCKS);
	length = min_u64(count + prealloc, room);
	count = min_u64(count, room);
	/* Copies of shared blocks are made in larger pieces, so that they do not scatter the file. */
	if (which == FORK_COW && !prealloc)
		hint_align(map_hint(map, which), has_prev ? &prev.ext : NULL, has_next ? &next.ext : NULL, &at,
			   &length);
	err = reserve(map, which, at, length, false, got);
	if (err == -ENOSPC && (at != off || length != count))
		err = reserve(map, which, off, count, false, got);
	return err;
}

int delay_reserve_from_pool(struct file_map *map, fileblk_t off, uint64_t count, struct extent *got)
{
	struct tree_cursor cur;
	struct irec next;

	ensure(count && rwlock_is_write_locked(map->lock));
	if (tree_lookup(&map->data.tree, off, &cur, &next)) {
		ensure(next.ext.off > off);
		count = min_u64(count, next.ext.off - off);
	}
	return reserve(map, FORK_DATA, off, min_u64(count, EXTENT_MAX_BLOCKS), true, got);
}

/* ---- taking back ---- */

void delay_remove(struct file_map *map, enum fork_which which, const struct irec *rec, fileblk_t off, fileblk_t end)
{
	uint64_t removed = end - off, have = rec->indirect, left = 0, right = 0, stolen = 0;
	struct edit edit;
	int err;

	edit_plan(&edit, map, which, off, removed, NULL);
	if (edit.left_rest)
		left = delay_worst_indirect(map, edit.left_rest->ext.count);
	if (edit.right_rest)
		right = delay_worst_indirect(map, edit.right_rest->ext.count);
	if (left && right) {
		if (left + right > have)
			stolen = min_u64(left + right - have, removed);
		if (left + right > have + stolen)
			indirect_share(have + stolen, &left, &right);
	} else {
		left = min_u64(left, have);
		right = min_u64(right, have);
	}
	if (edit.left_rest)
		edit.left_rest->indirect = (uint32_t)left;
	if (edit.right_rest)
		edit.right_rest->indirect = (uint32_t)right;
	err = edit_apply(&edit, NULL, false, NULL);
	ensure(!err);
	atomic_fetch_sub(&map->delayed_blocks, removed);
	space_give(map->space, removed + have - left - right);
	space_add_delayed(map->space, -(int64_t)(removed + have - left - right));
}

void delay_punch(struct file_map *map, enum fork_which which, fileblk_t off, fileblk_t end)
{
	struct fork *fork = map_fork(map, which);
	struct tree_cursor cur;
	struct irec rec;

	ensure(rwlock_is_write_locked(map->lock));
	while (end > off && tree_lookup_before(&fork->tree, end, &cur, &rec) && extent_end(&rec.ext) > off) {
		fileblk_t first = max_u64(rec.ext.off, off);

		if (rec.ext.state == EXTENT_DELAYED)
			delay_remove(map, which, &rec, first, min_u64(extent_end(&rec.ext), end));
		end = first;
	}
}
