// SPDX-License-Identifier: GPL-2.0
/*
 * Making parts of a fork real, and changing unwritten to written and back.  (XFS: xfs_bmapi_write.)
 *
 * What becomes of a delayed extent's indirect reservation when part of it becomes real (@used blocks of it went into
 * the bmbt):
 *
 *	head or tail	the rest keeps min(worst case of the rest, what is left)
 *	middle		both rests get their worst case; what is missing comes from the free counter
 *	all of it	nothing is kept
 *
 * and what is not kept goes back to the free counter at once.
 */
#include "write.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/extent/delay.h>
#include <userxfs/space/refcount.h>
#include <userxfs/space/rmap.h>

#include "alloc.h"
#include "edit.h"
#include "indirect.h"

uint64_t map_write_blocks(const struct file_map *map, uint64_t count)
{
	return count + space_geometry(map->space)->bmbt.max_levels - 1;
}

/* ---- delayed becomes real ---- */

static void set_indirect(struct fork *fork, const struct irec *rest, uint64_t blocks)
{
	struct irec rec = *rest;

	rec.indirect = (uint32_t)blocks;
	tree_update(&fork->tree, &rec);
}

/* Divides what is left of the reservation @had after @used of it between the rests. */
static int settle_indirect(const struct edit *edit, uint64_t had, uint64_t used)
{
	struct file_map *map = edit->map;
	struct fork *fork = map_fork(map, edit->which);
	uint64_t left = edit->left_rest ? delay_worst_indirect(map, edit->left_rest->ext.count) : 0;
	uint64_t right = edit->right_rest ? delay_worst_indirect(map, edit->right_rest->ext.count) : 0;
	uint64_t have = had;

	if (used > have) {
		/* More splits than the worst case foresaw: earlier pieces of the extent had their share of it. */
		if (space_take(map->space, used - have, true))
			return -ENOSPC;
		have = used;
	}
	have -= used;
	if (left && right && left + right > have) {
		if (space_take(map->space, left + right - have, true) == 0)
			have = left + right;
		else
			indirect_share(have, &left, &right);
	} else if (left + right > have) {
		left = min_u64(left, have);
		right = min_u64(right, have);
	}
	if (edit->left_rest)
		set_indirect(fork, edit->left_rest, left);
	if (edit->right_rest)
		set_indirect(fork, edit->right_rest, right);
	space_give(map->space, have - left - right);
	space_add_delayed(map->space, (int64_t)(left + right) - (int64_t)had);
	return 0;
}

static int insert_real(struct tx *tx, struct file_map *map, enum fork_which which, const struct extent *real,
		       const struct irec *delayed)
{
	struct irec put = { .ext = *real };
	uint32_t used = 0;
	struct edit edit;
	int err;

	edit_plan(&edit, map, which, real->off, real->count, &put);
	err = edit_apply(&edit, tx, delayed != NULL, &used);
	if (!err && delayed)
		err = settle_indirect(&edit, delayed->indirect, used);
	if (err)
		return err;
	if (which == FORK_COW) {
		refcount_alloc_cow_deferred(tx, map->space, real->start, (uint32_t)real->count);
		return 0;
	}
	rmap_map_deferred(tx, map->space, map->ino, which == FORK_ATTR, map->is_reflink, real);
	return 0;
}

int map_make_real(struct tx *tx, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
		  uint32_t flags, uint64_t total, uint32_t min_left, struct fsblk *start)
{
	const struct extent_tree *tree = &map_fork(map, which)->tree;
	struct map_alloc a = {
		.which = which,
		.flags = flags,
		.off = off,
		.count = min_u64(count, EXTENT_MAX_BLOCKS),
		.total = total,
		.min_left = min_left,
	};
	struct tree_cursor cur;
	struct extent real;
	int err;

	a.has_next = tree_lookup(tree, off, &cur, &a.next);
	a.was_delayed = a.has_next && a.next.ext.off <= off;
	a.has_prev = tree_lookup_before(tree, a.was_delayed ? a.next.ext.off : off, &cur, &a.prev);
	ensure(!a.was_delayed || (a.next.ext.state == EXTENT_DELAYED && which != FORK_ATTR));
	a.min_count = flags & MAP_CONTIGUOUS ? (uint32_t)a.count : 1;

	err = map_alloc_blocks(tx, map, &a);
	*start = a.start;
	if (err || fsblk_is_none(a.start))
		return err;
	real = (struct extent){ a.off, a.count, a.start, flags & MAP_UNWRITTEN ? EXTENT_UNWRITTEN : EXTENT_WRITTEN };
	return insert_real(tx, map, which, &real, a.was_delayed ? &a.next : NULL);
}

/* ---- unwritten, written ---- */

/* Gives [@off, @end) of real record @rec the other state. */
static int switch_state(struct tx *tx, struct file_map *map, enum fork_which which, const struct irec *rec,
			fileblk_t off, fileblk_t end)
{
	struct irec put = {
		.ext = {
			.off = off,
			.count = end - off,
			.start = fsblk_add(rec->ext.start, off - rec->ext.off),
			.state = rec->ext.state == EXTENT_UNWRITTEN ? EXTENT_WRITTEN : EXTENT_UNWRITTEN,
		},
	};
	struct edit edit;
	int err;

	edit_plan(&edit, map, which, off, end - off, &put);
	err = edit_apply(&edit, tx, false, NULL);
	if (!err && which != FORK_COW)
		rmap_convert_deferred(tx, map->space, map->ino, which == FORK_ATTR, map->is_reflink, &put.ext);
	return err;
}

/* ---- the loop ---- */

struct write {
	struct tx *tx;
	struct file_map *map;
	enum fork_which which;
	fileblk_t off, end;		/* still to do */
	uint32_t flags;
	uint64_t total;
	uint32_t min_left;
	struct extent *out;
	unsigned capacity, used, allocations;
};

static bool has_wrong_state(const struct write *w, const struct irec *rec)
{
	if (!(w->flags & MAP_CONVERT) || rec->ext.state == EXTENT_DELAYED)
		return false;
	return rec->ext.state != (w->flags & MAP_UNWRITTEN ? EXTENT_UNWRITTEN : EXTENT_WRITTEN);
}

/* Reports what of @rec lies in the range, joined with what was reported before if it goes on there. */
static void report(struct write *w, const struct irec *rec)
{
	fileblk_t end = min_u64(extent_end(&rec->ext), w->end);
	struct irec piece = { .ext = { w->off, end - w->off, FSBLK_NONE, rec->ext.state } }, last;

	if (rec->ext.state != EXTENT_DELAYED)
		piece.ext.start = fsblk_add(rec->ext.start, w->off - rec->ext.off);
	if (w->used) {
		last = (struct irec){ .ext = w->out[w->used - 1] };
		if (irec_can_merge(&last, &piece)) {
			w->out[w->used - 1].count += piece.ext.count;
			w->off = end;
			return;
		}
	}
	w->out[w->used++] = piece.ext;
	w->off = end;
}

/* One step: something is allocated, converted or reported.  *done: no space. */
static int write_step(struct write *w, bool *done)
{
	struct fork *fork = map_fork(w->map, w->which);
	struct tree_cursor cur;
	struct irec rec;
	bool found = tree_lookup(&fork->tree, w->off, &cur, &rec), is_hole = !found || rec.ext.off > w->off;
	fileblk_t end = w->end;
	struct fsblk start;

	if (is_hole && found)
		end = min_u64(end, rec.ext.off);
	else if (!is_hole)
		end = min_u64(end, extent_end(&rec.ext));

	if (is_hole || (rec.ext.state == EXTENT_DELAYED && !(w->flags & MAP_NO_ALLOC_DELAYED))) {
		int err = map_make_real(w->tx, w->map, w->which, w->off, end - w->off, w->flags, w->total,
					w->min_left, &start);

		*done = !err && fsblk_is_none(start);
		if (!err && !*done)
			w->allocations++;
		return err;
	}
	if (has_wrong_state(w, &rec))
		return switch_state(w->tx, w->map, w->which, &rec, w->off, end);
	report(w, &rec);
	/* Every allocation may have changed another AG's trees; the log reservation allows for so many. */
	*done = w->allocations >= w->capacity;
	return 0;
}

int map_write(struct tx *tx, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
	      uint32_t flags, uint64_t total, struct extent *out, unsigned *n)
{
	struct fork *fork = map_fork(map, which);
	struct write w = {
		.tx = tx,
		.map = map,
		.which = which,
		.off = off,
		.end = off + count,
		.flags = flags,
		.total = total,
		.out = out,
		.capacity = *n,
	};
	bool done = false;
	int err;

	ensure(count && *n && rwlock_is_write_locked(map->lock));
	ensure(fork->format == FORK_EXTENTS || fork->format == FORK_BTREE);
	err = map_load(map, which);
	if (err)
		return err;
	err = edit_check_count(map, which, flags & MAP_CONVERT ? 2 : 1);
	if (err)
		return err;
	/* Converting in the CoW fork happens in memory alone and needs no transaction. */
	if (tx)
		w.min_left = map_min_left(tx, map, which);
	while (!err && !done && w.off < w.end && w.used < w.capacity)
		err = write_step(&w, &done);
	if (!err)
		*n = w.used;
	return err;
}
