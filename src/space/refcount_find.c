// SPDX-License-Identifier: GPL-2.0
/*
 * Questions to the reference counts: which blocks are shared, which staging blocks a crash left behind.
 * (XFS: xfs_refcount_find_shared, xfs_refcount_recover_cow_leftovers.)
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "refcountbt.h"
#include "space_private.h"

/* Extends the run [@first, *end) up to @limit while the next record touches it. */
static int find_end_of_shared(struct btree_cursor *cur, agblk_t limit, agblk_t *end)
{
	struct refcount_record rec;
	bool found;
	int err;

	while (*end < limit) {
		err = btree_increment(cur, 0, &found);
		if (!err && found)
			err = refcountbt_get(cur, &rec, &found);
		if (err || !found || rec.set != REFCOUNT_SHARED || rec.agblk != *end)
			return err;
		*end = refcount_record_end(&rec);
	}
	return 0;
}

static int find_run(struct btree_cursor *cur, agblk_t agblk, uint32_t count, bool find_end, agblk_t *first,
		    agblk_t *end)
{
	agblk_t limit = agblk + count;
	struct refcount_record rec;
	bool found;
	int err;

	*first = *end = AGBLK_NONE;
	err = refcountbt_find(cur, REFCOUNT_SHARED, agblk, &rec, &found);
	if (err || !found || rec.agblk >= limit)
		return err;
	*first = (agblk_t)max_u64(rec.agblk, agblk);
	*end = refcount_record_end(&rec);
	err = find_end ? find_end_of_shared(cur, limit, end) : 0;
	*end = (agblk_t)min_u64(*end, limit);
	return err;
}

int refcount_find_shared(struct tx *tx, struct space *space, agno_t agno, agblk_t agblk, uint32_t count,
			 bool find_end, agblk_t *shared_agblk, uint32_t *shared_count)
{
	struct ag *ag = space_ag(space, agno);
	struct btree_cursor cur;
	struct buffer *agf;
	agblk_t first, end;
	int err;

	if (!space_geometry(space)->has_reflink) {
		*shared_agblk = AGBLK_NONE;
		*shared_count = 0;
		return 0;
	}
	err = ag_read_agf(tx, ag, false, &agf);
	if (err)
		return err;
	refcountbt_cursor_init(&cur, tx, ag, agf);
	err = find_run(&cur, agblk, count, find_end, &first, &end);
	btree_cursor_deinit(&cur);
	ag_release_header(tx, agf);
	if (err)
		return err;
	*shared_agblk = first;
	*shared_count = first == AGBLK_NONE ? 0 : end - first;
	return 0;
}

/* ---- leftovers ---- */

/* The first staging record, which is the next leftover once the ones before it are gone. */
static int find_leftover(struct ag *ag, struct refcount_record *rec, bool *found)
{
	struct btree_cursor cur;
	struct buffer *agf;
	int err;

	err = ag_read_agf(NULL, ag, false, &agf);
	if (err)
		return err;
	refcountbt_cursor_init(&cur, NULL, ag, agf);
	err = refcountbt_find(&cur, REFCOUNT_STAGING, 0, rec, found);
	btree_cursor_deinit(&cur);
	buffer_release(agf);
	return err;
}

static int free_leftover(struct space *space, agno_t agno, const struct refcount_record *rec)
{
	static const struct rmap_owner unmapped_already = { .skip_update = true };
	struct fsblk start = fsblk_make(space_geometry(space), agno, rec->agblk);
	struct log *log = space_log(space);
	struct tx *tx;
	int err;

	err = tx_begin(log, &log_reservations(log)->write, 0, 0, &tx);
	if (err)
		return err;
	refcount_free_cow_deferred(tx, space, start, rec->count);
	space_free_deferred(tx, space, start, rec->count, &unmapped_already, AG_RESV_NONE, false);
	return tx_commit(tx);
}

int refcount_free_leftover_cow(struct space *space, agno_t agno)
{
	struct refcount_record rec;
	uint64_t blocks = 0;
	bool found;
	int err;

	if (!space_geometry(space)->has_reflink)
		return 0;
	for (;;) {
		err = find_leftover(space_ag(space, agno), &rec, &found);
		if (err || !found)
			break;
		err = free_leftover(space, agno, &rec);
		if (err)
			break;
		blocks += rec.count;
	}
	if (blocks)
		msg_info("AG %u: freed %llu blocks of copies on write that did not end", agno,
			 (unsigned long long)blocks);
	return err;
}
