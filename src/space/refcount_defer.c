// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of reference counts that file operations ask for, done in transactions of their own after a CUI.
 * (XFS: xfs_refcount_item.c, xfs_refcount_finish_one.)
 *
 * One range may touch any number of records.  When the transaction is full the item keeps what is left, and goes on
 * in the next one under a new CUI.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/list.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/space/intent.h>
#include <userxfs/space/rmap.h>

#include "refcountbt.h"

/* As in the log (XFS: enum xfs_refcount_intent_type). */
enum refcount_how {
	REFCOUNT_INCREASE = 1,
	REFCOUNT_DECREASE,
	REFCOUNT_ALLOC_COW,
	REFCOUNT_FREE_COW,
};

struct refcount_work {
	struct defer_item defer;	/* first */
	struct space *space;
	enum refcount_how how;
	struct fsblk start;
	uint32_t count;
};

/* What goes from item to item: the tree being changed, and how full the transaction is. */
struct refcount_state {
	struct ag *ag;
	struct btree_cursor cur;
	struct refcount_budget budget;
};

static struct refcount_work *work_of(const struct defer_item *item)
{
	return (struct refcount_work *)item;
}

static agno_t work_agno(const struct refcount_work *work)
{
	return fsblk_agno(space_geometry(work->space), work->start);
}

static int work_compare(const struct defer_item *a, const struct defer_item *b)
{
	agno_t x = work_agno(work_of(a)), y = work_agno(work_of(b));

	return x < y ? -1 : x > y;
}

static struct log_item *work_create_intent(struct tx *tx, struct list *items, uint32_t count)
{
	struct log_item *intent = intent_create(tx, &intent_cui, count);
	uint32_t i = 0;

	list_for_each(node, items) {
		const struct refcount_work *work = list_entry(node, struct refcount_work, defer.node);
		struct xfs_phys_extent *entry = intent_entry(intent, i++);

		entry->pe_startblock = work->start.v;
		entry->pe_len = work->count;
		entry->pe_flags = work->how;
	}
	ensure(i == count);
	return intent;
}

static struct log_item *work_create_done(struct tx *tx, struct log_item *intent, uint32_t count)
{
	return intent_create_done(tx, intent);
}

static void state_leave_ag(struct refcount_state *state)
{
	if (state->ag)
		btree_cursor_deinit(&state->cur);
	state->ag = NULL;
}

static int state_enter_ag(struct refcount_state *state, struct tx *tx, struct ag *ag)
{
	struct buffer *agf;
	int err;

	if (state->ag == ag)
		return 0;
	state_leave_ag(state);
	err = ag_read_agf(tx, ag, false, &agf);
	if (err)
		return err;
	refcountbt_cursor_init(&state->cur, tx, ag, agf);
	state->ag = ag;
	return 0;
}

/* *work is left with what was not done. */
static int work_apply(struct refcount_state *state, struct refcount_work *work)
{
	const struct geometry *geo = space_geometry(work->space);
	agblk_t agblk = fsblk_agblk(geo, work->start);
	int err;

	switch (work->how) {
	case REFCOUNT_INCREASE:
	case REFCOUNT_DECREASE:
		err = refcount_adjust(&state->cur, &state->budget, &agblk, &work->count,
				      work->how == REFCOUNT_INCREASE ? 1 : -1);
		work->start = fsblk_make(geo, state->ag->agno, agblk);
		return err;
	case REFCOUNT_ALLOC_COW:
		err = refcount_add_staging(&state->cur, agblk, work->count);
		break;
	default:
		ensure(work->how == REFCOUNT_FREE_COW);
		err = refcount_remove_staging(&state->cur, agblk, work->count);
		break;
	}
	work->count = 0;
	return err;
}

static int work_finish(struct tx *tx, struct log_item *done, struct defer_item *item, void **state_ptr)
{
	struct refcount_work *work = work_of(item);
	struct refcount_state *state = *state_ptr;
	int err;

	if (!state)
		*state_ptr = state = mem_alloc_zeroed_sure(sizeof(*state));
	err = state_enter_ag(state, tx, space_ag(work->space, work_agno(work)));
	if (!err)
		err = work_apply(state, work);
	if (!err && work->count)
		return -EAGAIN;
	mem_free(work);
	return err;
}

static void work_cleanup(struct tx *tx, void *state_ptr, int err)
{
	struct refcount_state *state = state_ptr;

	if (state)
		state_leave_ag(state);
	mem_free(state);
}

static void work_cancel(struct defer_item *item)
{
	mem_free(work_of(item));
}

static const struct defer_type refcount_defer_type = {
	.name = "refcount",
	.max_items = INTENT_MAX_ITEMS,
	.compare = work_compare,
	.create_intent = work_create_intent,
	.create_done = work_create_done,
	.finish_item = work_finish,
	.finish_cleanup = work_cleanup,
	.cancel_item = work_cancel,
	.abort_intent = intent_abort,
};

static void defer(struct tx *tx, struct space *space, enum refcount_how how, struct fsblk start, uint32_t count)
{
	struct refcount_work *work;

	if (!space_geometry(space)->has_reflink)
		return;
	work = mem_alloc_zeroed_sure(sizeof(*work));
	work->space = space;
	work->how = how;
	work->start = start;
	work->count = count;
	tx_defer(tx, &refcount_defer_type, &work->defer);
}

void refcount_increase_deferred(struct tx *tx, struct space *space, const struct extent *ext)
{
	defer(tx, space, REFCOUNT_INCREASE, ext->start, (uint32_t)ext->count);
}

void refcount_decrease_deferred(struct tx *tx, struct space *space, const struct extent *ext)
{
	defer(tx, space, REFCOUNT_DECREASE, ext->start, (uint32_t)ext->count);
}

void refcount_alloc_cow_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count)
{
	if (!space_geometry(space)->has_reflink)
		return;
	defer(tx, space, REFCOUNT_ALLOC_COW, start, count);
	rmap_alloc_cow_deferred(tx, space, start, count);
}

void refcount_free_cow_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count)
{
	if (!space_geometry(space)->has_reflink)
		return;
	rmap_free_cow_deferred(tx, space, start, count);
	defer(tx, space, REFCOUNT_FREE_COW, start, count);
}

/* ---- after a crash ---- */

static bool entry_is_valid(const struct geometry *geo, const struct xfs_phys_extent *entry)
{
	if (entry->pe_flags < REFCOUNT_INCREASE || entry->pe_flags > REFCOUNT_FREE_COW)
		return false;
	return geometry_is_valid_extent(geo, (struct fsblk){ entry->pe_startblock }, entry->pe_len);
}

int space_recover_cui(struct tx *tx, struct space *space, struct log_item *cui)
{
	const struct geometry *geo = space_geometry(space);
	struct list items = LIST_INIT(items);

	for (uint32_t i = 0; i < intent_entry_count(cui); i++) {
		if (!geo->has_reflink || !entry_is_valid(geo, intent_entry(cui, i))) {
			msg_error("the log promises an impossible change of reference counts; run xfs_repair");
			return -EFSCORRUPTED;
		}
	}
	for (uint32_t i = 0; i < intent_entry_count(cui); i++) {
		const struct xfs_phys_extent *entry = intent_entry(cui, i);
		struct refcount_work *work = mem_alloc_zeroed_sure(sizeof(*work));

		work->space = space;
		work->how = (enum refcount_how)entry->pe_flags;
		work->start = (struct fsblk){ entry->pe_startblock };
		work->count = entry->pe_len;
		list_push_back(&items, &work->defer.node);
	}
	tx_defer_recovered(tx, &refcount_defer_type, &items, cui);
	return 0;
}
