// SPDX-License-Identifier: GPL-2.0
/*
 * Which AG an allocation tries, and what follows when it has succeeded.  (XFS: xfs_alloc_vextent_start_ag and its
 * siblings, xfs_alloc_fix_freelist, xfs_alloc_space_available.)
 *
 * Against deadlock: a transaction keeps the AGFs it has locked, so it may wait only for AGs after the highest of
 * them.  The first pass over the AGs takes only those whose AGF is unlocked; the second waits, from the highest AG
 * locked so far on.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/space/rmap.h>

#include "alloc_private.h"

static void alloc_init(struct alloc *a, struct tx *tx, const struct alloc_request *req)
{
	memset(a, 0, sizeof(*a));
	a->tx = tx;
	a->resv = req->resv;
	a->min_count = req->min_count;
	a->max_count = req->max_count;
	a->mod = req->mod;
	a->prod = req->prod;
	a->alignment = req->alignment ? req->alignment : 1;
	a->alignment_slop = req->alignment_slop;
	a->min_left = req->min_left;
	a->total = req->total;
	a->is_user_data = req->is_user_data;
	a->min_agblk = req->min_agblk;
	a->max_agblk = req->max_agblk;
	alloc_fail(a);
}

/* Whether the wish makes sense at all; shortens it to what an AG can have. */
static bool is_possible(const struct geometry *geo, const struct alloc_request *req, struct alloc *a)
{
	agno_t agno = fsblk_agno(geo, req->target);

	if (a->max_count > geo->ag_blocks)
		a->max_count = geo->ag_blocks;
	return a->min_count && a->min_count <= a->max_count && agno < geo->ag_count &&
	       fsblk_agblk(geo, req->target) < geometry_ag_blocks(geo, agno) && (a->prod <= 1 || a->mod < a->prod);
}

/* One AG; .agf stays NULL when it does not qualify. */
static int try_ag(struct alloc *a, struct space *space, agno_t agno, enum alloc_how how, agblk_t target)
{
	uint32_t max_count = a->max_count;
	int err;

	a->ag = space_ag(space, agno);
	a->target = target;
	err = alloc_prepare_ag(a);
	if (!err && a->agf) {
		if (how == ALLOC_EXACT)
			err = alloc_exact(a);
		else if (how == ALLOC_NEAR_THIS_AG)
			err = alloc_near(a);
		else
			err = alloc_by_size(a);
	}
	a->max_count = max_count;
	return err;
}

/* From @start on, wrapping to @lowest; the first AG that qualifies decides, whether it succeeds or not. */
static int pass_over_ags(struct alloc *a, struct space *space, agno_t start, agno_t lowest, agblk_t target)
{
	agno_t count = space->geo->ag_count, agno = start;
	int err;

	do {
		bool is_near = agno == start && target;

		err = try_ag(a, space, agno, is_near ? ALLOC_NEAR_THIS_AG : ALLOC_BY_SIZE_THIS_AG,
			     is_near ? target : 0);
		if (err || a->agf)
			return err;
		if (++agno == count)
			agno = lowest;
	} while (agno != start);
	return 0;
}

static int alloc_any_ag(struct alloc *a, struct space *space, const struct alloc_request *req, agno_t lowest)
{
	agno_t start = (agno_t)max_u64(lowest, fsblk_agno(space->geo, req->target));
	agblk_t target = fsblk_agblk(space->geo, req->target);
	int err;

	if (req->how == ALLOC_NEAR) {
		a->is_trylock = true;
		err = pass_over_ags(a, space, start, 0, target);
		a->is_trylock = false;
		if (err || a->agf)
			return err;
	}
	return pass_over_ags(a, space, start, lowest, target);
}

/* The blocks are taken: who owns them, which counts they leave, which reservation pays. */
static int account(struct alloc *a, struct space *space, const struct alloc_request *req)
{
	int err;

	if (!req->owner.skip_update) {
		err = rmap_add(a->tx, a->ag, a->agf, a->start, a->count, &req->owner);
		if (err)
			return err;
	}
	if (!a->was_from_agfl) {
		err = agf_change_free_blocks(a->tx, a->ag, a->agf, -(int64_t)a->count);
		if (err)
			return err;
	}
	ag_resv_account_alloc(a->tx, a->ag, req->resv, a->count);
	return 0;
}

int space_alloc(struct tx *tx, struct space *space, struct alloc_request *req)
{
	agno_t highest = tx_highest_ag(tx), lowest = highest == AGNO_NONE ? 0 : highest;
	struct alloc a;
	int err;

	req->start = FSBLK_NONE;
	req->count = 0;
	req->was_from_agfl = false;
	alloc_init(&a, tx, req);
	if (!is_possible(space->geo, req, &a))
		return 0;
	if (req->how == ALLOC_NEAR || req->how == ALLOC_FIRST_AG) {
		err = alloc_any_ag(&a, space, req, lowest);
	} else {
		agno_t agno = fsblk_agno(space->geo, req->target);

		if (agno < lowest)
			return 0;
		err = try_ag(&a, space, agno, req->how, fsblk_agblk(space->geo, req->target));
	}

	/* Also when nothing was found: this AGF stays locked, lower ones may not be waited for any more. */
	if (a.agf && (highest == AGNO_NONE || a.ag->agno > highest))
		tx_set_highest_ag(tx, a.ag->agno);
	if (err || a.start == AGBLK_NONE)
		return err;
	err = account(&a, space, req);
	if (err)
		return err;
	req->start = fsblk_make(space->geo, a.ag->agno, a.start);
	req->count = a.count;
	req->was_from_agfl = a.was_from_agfl;
	return 0;
}
