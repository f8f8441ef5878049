// SPDX-License-Identifier: GPL-2.0
/* Allocation of any blocks of an AG, from the smallest free extent that is enough.  (XFS:
 * xfs_alloc_ag_vextent_size.) */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#include "alloc_private.h"

struct size_search {
	struct btree_cursor cnt;
	struct candidate best;		/* .whole.count 0: none */
	bool was_busy;
	uint64_t busy_generation;
	uint64_t generation;		/* of the AG's busy extents, when the search began */
	bool is_settling;		/* what is long enough is busy and stays so: take something shorter */
};

static uint32_t usable_count(const struct alloc *a, const struct candidate *c)
{
	return (uint32_t)min_u64(c->usable.count, a->max_count);
}

static void look_at(struct alloc *a, struct size_search *s, struct free_extent whole, struct candidate *c)
{
	candidate_compute(a, whole, c);
	if (c->is_busy) {
		s->was_busy = true;
		s->busy_generation = c->busy_generation;
	}
}

/*
 * Where many small extents have been freed since the last checkpoint, all of them would be looked at again and again
 * only to find that they are busy.  What comes before the first that is not is remembered with the AG: free extents
 * that are freed, alone or joined with others, change nothing about it, since they are busy too; what is left of one
 * that an allocation takes a part of does (busy_prefix_note()).
 */
static bool comes_before(struct free_extent a, struct free_extent b)
{
	return a.count < b.count || (a.count == b.count && a.start < b.start);
}

static struct free_extent prefix_end(const struct busy_prefix *prefix)
{
	return (struct free_extent){ prefix->start, prefix->count };
}

void busy_prefix_note(struct ag *ag, struct free_extent extent)
{
	struct busy_prefix *prefix = &ag->busy_prefix;

	if (!extent.count || !comes_before(extent, prefix_end(prefix)))
		return;
	prefix->count = extent.count;
	prefix->start = extent.start;
}

static bool prefix_is_valid(const struct alloc *a, uint64_t generation)
{
	return a->ag->busy_prefix.wanted && a->ag->busy_prefix.generation == generation;
}

/* Where a search for @wanted blocks may begin. */
static struct free_extent search_start(const struct alloc *a, const struct size_search *s, uint32_t wanted)
{
	const struct busy_prefix *prefix = &a->ag->busy_prefix;
	struct free_extent start = { 0, wanted };

	if (prefix_is_valid(a, s->generation) && prefix->wanted <= a->max_count &&
	    comes_before(start, prefix_end(prefix)))
		return prefix_end(prefix);
	return start;
}

/* @s has found that nothing before @end is long enough without its busy parts. */
static void remember_prefix(const struct alloc *a, const struct size_search *s, struct free_extent end)
{
	struct busy_prefix *prefix = &a->ag->busy_prefix;

	/* With alignment or bounds it was perhaps not being busy that ruled them out. */
	if (!s->was_busy || a->alignment > 1 || a->min_agblk || s->generation != busy_generation(a->ag))
		return;
	if (prefix_is_valid(a, s->generation) && prefix->wanted < a->max_count)
		return;
	*prefix = (struct busy_prefix){ .generation = s->generation, .wanted = a->max_count, .count = end.count,
					.start = end.start };
}

/* From the first free extent that is long enough upwards: the first that is still long enough without its busy
 * parts. */
static int search_long_enough(struct alloc *a, struct size_search *s)
{
	bool found = true;
	int err = 0;

	while (!err && found) {
		struct free_extent whole;
		struct candidate c;

		err = freespace_get(&s->cnt, &whole);
		if (err)
			return err;
		look_at(a, s, whole, &c);
		if (c.usable.count >= a->max_count) {
			remember_prefix(a, s, whole);
			s->best = c;
			return 0;
		}
		err = btree_increment(&s->cnt, 0, &found);
	}
	return err;
}

/* None is long enough: the longest, or of those a bit shorter the one that alignment leaves most of. */
static int search_longest(struct alloc *a, struct size_search *s, struct free_extent last)
{
	struct free_extent whole = last;
	bool found = true;
	int err = 0;

	look_at(a, s, whole, &s->best);
	while (!err && usable_count(a, &s->best) < a->max_count) {
		struct candidate c;

		err = btree_decrement(&s->cnt, 0, &found);
		if (err || !found)
			break;
		err = freespace_get(&s->cnt, &whole);
		if (err || whole.count <= usable_count(a, &s->best))
			break;
		look_at(a, s, whole, &c);
		if (usable_count(a, &c) > usable_count(a, &s->best))
			s->best = c;
	}
	return err;
}

static int search(struct alloc *a, struct size_search *s)
{
	uint64_t enough = min_u64((uint64_t)a->max_count + a->alignment - 1, UINT32_MAX);
	struct free_extent last;
	bool found;
	int err;

	err = freespace_lookup(&s->cnt, BTREE_GE, search_start(a, s, (uint32_t)enough), &found);
	if (err)
		return err;
	if (found && !s->is_settling)
		return search_long_enough(a, s);
	err = alloc_small(a, &s->cnt, &last, &found);
	if (err || !found)
		return err;
	return search_longest(a, s, last);
}

int alloc_by_size(struct alloc *a)
{
	struct size_search s;
	bool again, is_settling = false;
	int err;

	do {
		memset(&s, 0, sizeof(s));
		s.is_settling = is_settling;
		s.generation = busy_generation(a->ag);
		again = false;
		alloc_fail(a);
		cntbt_cursor_init(&s.cnt, a->tx, a->ag, a->agf);
		err = search(a, &s);
		btree_cursor_deinit(&s.cnt);
		if (err || a->start != AGBLK_NONE)
			return err;
		if (s.best.whole.count && usable_count(a, &s.best) >= a->min_count)
			return alloc_finish(a, s.best.whole, s.best.usable.start,
					    alloc_round_count(a, usable_count(a, &s.best)));
		if (s.was_busy)
			err = alloc_flush_busy(a, s.busy_generation, &again);
		if (err || again || !s.was_busy)
			continue;
		/* What this transaction itself has freed stays busy until it commits. */
		if (!is_settling)
			again = is_settling = true;
		else if (a->is_freeing)
			err = -EAGAIN;
	} while (!err && again);
	return err;
}
