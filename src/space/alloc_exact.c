// SPDX-License-Identifier: GPL-2.0
/* Allocation of one given block and what follows it, or nothing.  (XFS: xfs_alloc_ag_vextent_exact.) */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#include "alloc_private.h"

int alloc_exact(struct alloc *a)
{
	struct busy_trim trim = { .min_count = a->min_count, .max_count = a->max_count };
	struct free_extent whole, e;
	struct btree_cursor bno;
	uint64_t end;
	bool found;
	int err;

	alloc_fail(a);
	bnobt_cursor_init(&bno, a->tx, a->ag, a->agf);
	err = freespace_lookup(&bno, BTREE_LE, (struct free_extent){ a->target, 0 }, &found);
	if (!err && found)
		err = freespace_get(&bno, &whole);
	btree_cursor_deinit(&bno);
	if (err || !found)
		return err;

	e = whole;
	busy_trim(a->ag, &trim, &e.start, &e.count);
	end = (uint64_t)e.start + e.count;
	if (e.start > a->target || e.count < a->min_count || end < (uint64_t)a->target + a->min_count)
		return 0;
	end = min_u64(end, (uint64_t)a->target + a->max_count);
	return alloc_finish(a, whole, a->target, alloc_round_count(a, (uint32_t)(end - a->target)));
}
