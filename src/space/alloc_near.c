// SPDX-License-Identifier: GPL-2.0
/*
 * Allocation as near as possible to a given block of an AG.  (XFS: xfs_alloc_ag_vextent_near and its helpers.)
 *
 * When the free extents that are long enough all lie in the last leaf of the cntbt, which is so in small trees and
 * for large wishes, all of them are compared.  Otherwise three cursors search in turns: the bnobt to the left and to
 * the right of the target, and the cntbt, of each length the extent nearest to the target, lengths doubling.  A hit
 * in the bnobt ends it, after the other direction was searched up to the same distance.  Whatever is found, longer
 * wins over nearer.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#include "alloc_private.h"

struct search_cursor {
	struct btree_cursor cur;
	bool is_by_block;		/* bnobt */
	bool is_active;			/* on a record, and further ones may be better */
};

struct near_search {
	struct search_cursor cnt, left, right;
	uint32_t length;		/* the cntbt is searched from here on */

	/* The best so far; .count 0: none. */
	struct free_extent whole;
	agblk_t start;
	uint32_t count;
	uint32_t distance;

	bool was_busy;
	uint64_t busy_generation;
};

static uint32_t distance(agblk_t a, agblk_t b)
{
	return a > b ? a - b : b - a;
}

/* How far the nearest block of @e is. */
static uint32_t distance_of_extent(struct free_extent e, agblk_t target)
{
	if (target < e.start)
		return e.start - target;
	return target - e.start < e.count ? 0 : target - (e.start + e.count - 1);
}

/* The wish lies inside the free extent, but has to be aligned: the aligned places around it. */
static agblk_t place_aligned_around(const struct alloc *a, agblk_t end, agblk_t free_start, uint32_t count)
{
	agblk_t after = (agblk_t)round_up_u64(a->target, a->alignment), before = after - a->alignment;
	uint32_t after_count = 0, before_count = 0;
	bool has_after = after < end, has_before = after >= a->alignment && before >= free_start;

	if (has_after)
		after_count = (uint32_t)min_u64(count, end - after);
	if (has_before)
		before_count = (uint32_t)min_u64(count, end - before);
	if (has_after && has_before) {
		if (after_count < before_count || (after_count == before_count &&
						   distance(after, a->target) > distance(before, a->target)))
			return before;
		return after;
	}
	return has_before ? before : has_after ? after : AGBLK_NONE;
}

/*
 * Where in the free extent @e @count blocks lie nearest to the target: there, if it has them; at its start when it
 * begins behind the target, and for file data, which may grow, also when it ends too early; else at its end.
 */
static agblk_t place_near(const struct alloc *a, struct free_extent e, uint32_t count)
{
	uint64_t end = (uint64_t)e.start + e.count, wanted_end = (uint64_t)a->target + count;
	agblk_t start;

	if (e.start >= a->target || (a->is_user_data && end < wanted_end)) {
		start = (agblk_t)round_up_u64(e.start, a->alignment);
		return start >= end ? AGBLK_NONE : start;
	}
	if (end >= wanted_end)
		return a->alignment > 1 ? place_aligned_around(a, (agblk_t)end, e.start, count) : a->target;
	if (a->alignment == 1)
		return (agblk_t)end - count;
	start = (agblk_t)round_up_u64(end - count, a->alignment);
	if (start > end - count && start - a->alignment >= e.start)
		return start - a->alignment;
	return start >= end ? AGBLK_NONE : start;
}

/* Looks at the record under @c; *is_better: it is the best now.  Stops the cursor when nothing better can follow. */
static int look_at(struct alloc *a, struct near_search *s, struct search_cursor *c, bool *is_better)
{
	struct candidate candidate;
	struct free_extent whole;
	uint32_t count, away;
	agblk_t start;
	int err;

	*is_better = false;
	err = freespace_get(&c->cur, &whole);
	if (err)
		return err;
	if (whole.count < a->min_count) {
		if (!c->is_by_block)
			c->is_active = false;
		return 0;
	}
	/* Before it is asked what is busy: among thousands of blocks just freed, that is what costs. */
	if (c->is_by_block && s->count && distance_of_extent(whole, a->target) > s->distance) {
		c->is_active = false;
		return 0;
	}
	candidate_compute(a, whole, &candidate);
	if (candidate.is_busy) {
		s->was_busy = true;
		s->busy_generation = candidate.busy_generation;
	}
	if (candidate.usable.start < a->min_agblk || candidate.usable.start > a->max_agblk) {
		if (c->is_by_block)
			c->is_active = false;
		return 0;
	}
	if (candidate.usable.count < a->min_count)
		return 0;
	count = alloc_round_count(a, (uint32_t)min_u64(candidate.usable.count, a->max_count));
	if (count < s->count)
		return 0;
	start = place_near(a, candidate.usable, count);
	if (start == AGBLK_NONE)
		return 0;
	away = distance(start, a->target);
	if (away > s->distance) {
		if (c->is_by_block)
			c->is_active = false;
		return 0;
	}

	s->whole = whole;
	s->start = start;
	s->count = count;
	s->distance = away;
	*is_better = true;
	if (away == 0 && count == a->max_count)
		c->is_active = false;
	return 0;
}

static int step(struct search_cursor *c, enum btree_direction to)
{
	bool found;
	int err;

	err = to == BTREE_GE ? btree_increment(&c->cur, 0, &found) : btree_decrement(&c->cur, 0, &found);
	if (!err && !found)
		c->is_active = false;
	return err;
}

/* Up to @steps records from the one under @c on; ends at a better one when @only_one.  *found: there was a better
 * one. */
static int walk(struct alloc *a, struct near_search *s, struct search_cursor *c, enum btree_direction to,
		bool only_one, uint32_t steps, bool *found)
{
	bool is_better;
	int err;

	*found = false;
	while (c->is_active && steps--) {
		err = look_at(a, s, c, &is_better);
		if (err)
			return err;
		if (is_better) {
			*found = true;
			if (only_one)
				return 0;
		}
		if (!c->is_active)
			return 0;
		err = step(c, to);
		if (err)
			return err;
	}
	return 0;
}

/* @short_of: no free extent is long enough. */
static int search_last_leaf(struct alloc *a, struct near_search *s, bool short_of)
{
	bool found;

	/* Shorter ones of the leaf count, too: alignment may leave more of them, or there is nothing else. */
	if (short_of || a->alignment > 1) {
		uint32_t count = btree_entry_count(&s->cnt.cur, 0), i = 1;
		struct free_extent e;
		int err;

		for (; i <= count; i++) {
			s->cnt.cur.path[0].index = i;
			err = freespace_get(&s->cnt.cur, &e);
			if (err)
				return err;
			if (e.count >= a->min_count)
				break;
		}
		if (i > count)
			return 0;
	}
	s->cnt.is_active = true;
	return walk(a, s, &s->cnt, BTREE_GE, false, UINT32_MAX, &found);
}

/* The free extent of the length now searched for, or the next, that is nearest to the target. */
static int search_next_length(struct alloc *a, struct near_search *s)
{
	struct free_extent e, before;
	bool found, is_better;
	uint32_t doubled = s->length << 1;
	int err;

	err = freespace_lookup(&s->cnt.cur, BTREE_GE, (struct free_extent){ a->target, s->length }, &found);
	s->cnt.is_active = !err && found;
	if (err || !found)
		return err;
	err = freespace_get(&s->cnt.cur, &e);
	if (!err)
		err = look_at(a, s, &s->cnt, &is_better);
	if (err)
		return err;
	s->length = e.count;

	/* Of this length, one may lie nearer on the other side of the target. */
	if (e.start > a->target) {
		err = btree_decrement(&s->cnt.cur, 0, &found);
		if (!err && found)
			err = freespace_get_any(&s->cnt.cur, &before, &found);
		if (!err && found && before.count == s->length)
			err = look_at(a, s, &s->cnt, &is_better);
		if (err)
			return err;
	}
	if (!s->count || s->length >= doubled)
		s->length++;
	else
		s->length = doubled;
	return 0;
}

static int start_block_cursors(struct alloc *a, struct near_search *s)
{
	struct free_extent key = { a->target, 0 };
	int err;

	err = freespace_lookup(&s->left.cur, BTREE_LE, key, &s->left.is_active);
	if (!err)
		err = freespace_lookup(&s->right.cur, BTREE_GE, key, &s->right.is_active);
	if (!err)
		err = freespace_lookup(&s->cnt.cur, BTREE_GE, (struct free_extent){ a->target, s->length },
				       &s->cnt.is_active);
	return err;
}

static int search_in_turns(struct alloc *a, struct near_search *s)
{
	struct search_cursor *then = NULL;
	enum btree_direction to = BTREE_LE;
	bool found;
	int err;

	err = start_block_cursors(a, s);
	while (!err && (s->left.is_active || s->right.is_active || s->cnt.is_active)) {
		err = walk(a, s, &s->left, BTREE_LE, true, 1, &found);
		if (err || found) {
			then = &s->right;
			to = BTREE_GE;
			break;
		}
		err = walk(a, s, &s->right, BTREE_GE, true, 1, &found);
		if (err || found) {
			then = &s->left;
			to = BTREE_LE;
			break;
		}
		err = search_next_length(a, s);
		if (err || !s->cnt.is_active)
			break;
	}
	if (err)
		return err;

	/* Nothing near, and nothing was only busy: from the longest down, whatever is there. */
	if (!s->cnt.is_active && !s->count && !s->was_busy) {
		err = btree_decrement(&s->cnt.cur, 0, &found);
		if (err)
			return err;
		if (found) {
			s->cnt.is_active = true;
			then = &s->cnt;
			to = BTREE_LE;
		}
	}
	return then ? walk(a, s, then, to, true, UINT32_MAX, &found) : 0;
}

static int search(struct alloc *a, struct near_search *s)
{
	struct free_extent last;
	bool found, is_long_enough;
	int err;

	s->length = a->max_count;
	err = freespace_lookup(&s->cnt.cur, BTREE_GE, (struct free_extent){ 0, a->max_count }, &is_long_enough);
	if (err)
		return err;
	if (!is_long_enough) {
		err = alloc_small(a, &s->cnt.cur, &last, &found);
		if (err || !found)
			return err;
	}
	if (btree_is_last_block(&s->cnt.cur, 0)) {
		err = search_last_leaf(a, s, !is_long_enough);
		if (err || s->count)
			return err;
	}
	return search_in_turns(a, s);
}

static void init_search(struct alloc *a, struct near_search *s)
{
	memset(s, 0, sizeof(*s));
	s->distance = UINT32_MAX;
	s->left.is_by_block = s->right.is_by_block = true;
	cntbt_cursor_init(&s->cnt.cur, a->tx, a->ag, a->agf);
	bnobt_cursor_init(&s->left.cur, a->tx, a->ag, a->agf);
	bnobt_cursor_init(&s->right.cur, a->tx, a->ag, a->agf);
}

static void deinit_search(struct near_search *s)
{
	btree_cursor_deinit(&s->right.cur);
	btree_cursor_deinit(&s->left.cur);
	btree_cursor_deinit(&s->cnt.cur);
}

int alloc_near(struct alloc *a)
{
	struct near_search s;
	bool again;
	int err;

	if (!a->min_agblk && !a->max_agblk)
		a->max_agblk = a->ag->space->geo->ag_blocks - 1;
	if (a->target < a->min_agblk)
		a->target = a->min_agblk;
	if (a->target > a->max_agblk)
		a->target = a->max_agblk;
	do {
		again = false;
		alloc_fail(a);
		init_search(a, &s);
		err = search(a, &s);
		deinit_search(&s);
		if (err || a->start != AGBLK_NONE)
			return err;
		if (s.count)
			return alloc_finish(a, s.whole, s.start, s.count);
		if (s.was_busy)
			err = alloc_flush_busy(a, s.busy_generation, &again);
	} while (!err && again);
	return err;
}
