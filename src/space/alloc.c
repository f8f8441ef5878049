// SPDX-License-Identifier: GPL-2.0
/*
 * One allocation in one AG: what all the ways of choosing have in common.  (XFS: xfs_alloc_compute_aligned,
 * xfs_alloc_fix_len, xfs_alloc_ag_vextent_small.)
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/space/rmap.h>

#include "alloc_private.h"

void candidate_compute(const struct alloc *a, struct free_extent whole, struct candidate *out)
{
	struct busy_trim trim = { .min_count = a->min_count, .max_count = a->max_count };
	struct free_extent e = whole;

	out->whole = whole;
	out->is_busy = busy_trim(a->ag, &trim, &e.start, &e.count);
	out->busy_generation = trim.generation;

	/* It starts before the bounds but reaches into them. */
	if (e.start < a->min_agblk && e.start + e.count > a->min_agblk) {
		e.count -= a->min_agblk - e.start;
		e.start = a->min_agblk;
	}
	if (a->alignment > 1 && e.count >= a->min_count) {
		agblk_t aligned = (agblk_t)round_up_u64(e.start, a->alignment);

		e.count = aligned - e.start >= e.count ? 0 : e.count - (aligned - e.start);
		e.start = aligned;
	}
	out->usable = e;
}

uint32_t alloc_round_count(const struct alloc *a, uint32_t count)
{
	uint32_t rest, rounded;

	if (a->prod <= 1 || count < a->mod || count == a->max_count || (a->mod == 0 && count < a->prod))
		return count;
	rest = count % a->prod;
	if (rest == a->mod)
		return count;
	rounded = rest > a->mod ? count - (rest - a->mod) : count - a->prod + (a->mod - rest);
	/* Below zero counts as too small, too. */
	return (int32_t)rounded < (int32_t)a->min_count ? count : rounded;
}

void alloc_fail(struct alloc *a)
{
	a->start = AGBLK_NONE;
	a->count = 0;
}

int alloc_finish(struct alloc *a, struct free_extent whole, agblk_t start, uint32_t count)
{
	int err;

	err = freespace_take_part(a->tx, a->ag, a->agf, whole, (struct free_extent){ start, count });
	if (err)
		return err;
	a->start = start;
	a->count = count;
	a->was_from_agfl = false;
	return 0;
}

/* What a tree had in the block must not be written over the file's data. */
static int forget_block(struct alloc *a, agblk_t agblk)
{
	const struct geometry *geo = a->ag->space->geo;
	struct buffer *buf;
	int err;

	err = tx_buffer_get(a->tx, agblk_to_daddr(geo, a->ag->agno, agblk), geo->block_bytes >> SECTOR_UNIT_LOG,
			    &buf);
	if (!err)
		tx_buffer_invalidate(a->tx, buf);
	return err;
}

/* A block of the AGFL becomes an ordinary one. */
static int take_from_agfl(struct alloc *a)
{
	agblk_t agblk;
	int err;

	err = agfl_first(a->tx, a->ag, a->agf, &agblk);
	if (err || agblk == AGBLK_NONE)
		return err;
	err = a->is_user_data ? busy_wait(a->ag, agblk, 1) : busy_reuse(a->ag, agblk, 1);
	/* This transaction has freed it itself: it is as good as not there. */
	if (err == -EAGAIN)
		return 0;
	if (!err)
		err = agfl_take(a->tx, a->ag, a->agf, &agblk, false);
	if (!err && a->is_user_data)
		err = forget_block(a, agblk);
	if (!err)
		err = rmap_remove(a->tx, a->ag, a->agf, agblk, 1, &rmap_owner_ag);
	if (err)
		return err;
	a->start = agblk;
	a->count = 1;
	a->was_from_agfl = true;
	return 0;
}

int alloc_small(struct alloc *a, struct btree_cursor *cnt, struct free_extent *out, bool *found)
{
	bool exists;
	int err;

	*found = false;
	err = btree_decrement(cnt, 0, &exists);
	if (!err && exists) {
		err = freespace_get(cnt, out);
		*found = !err && out->count >= a->min_count;
		return err;
	}
	if (err || a->min_count != 1 || a->alignment != 1 || a->resv == AG_RESV_AGFL ||
	    a->ag->agfl_count <= a->min_left)
		return err;
	return take_from_agfl(a);
}

int alloc_flush_busy(struct alloc *a, uint64_t generation, bool *again)
{
	int err;

	*again = false;
	err = busy_flush(a->ag, generation);
	*again = err == 0;
	return err == -EAGAIN ? 0 : err;
}
