// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of the reverse map that file operations ask for, done in transactions of their own after an RUI.
 * (XFS: xfs_rmap_item.c, xfs_rmap_finish_one.)
 *
 * The items of one intent are sorted by AG.  The AGF and a cursor are kept from one item to the next in the same AG;
 * the AGFL is filled before the first, because the tree takes its blocks from there.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/list.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/space/intent.h>

#include "rmapbt.h"

struct rmap_work {
	struct defer_item defer;	/* first */
	struct space *space;
	uint32_t how;			/* XFS_RMAP_EXTENT_* type, as in the log */
	uint64_t owner;
	bool is_attr_fork;
	struct extent ext;		/* convert: with its new state */
};

/* What goes from item to item: the tree being changed. */
struct rmap_state {
	struct ag *ag;
	struct btree_cursor cur;
};

static struct rmap_work *work_of(const struct defer_item *item)
{
	return (struct rmap_work *)item;
}

static agno_t work_agno(const struct rmap_work *work)
{
	return fsblk_agno(space_geometry(work->space), work->ext.start);
}

static int work_compare(const struct defer_item *a, const struct defer_item *b)
{
	agno_t x = work_agno(work_of(a)), y = work_agno(work_of(b));

	return x < y ? -1 : x > y;
}

static struct log_item *work_create_intent(struct tx *tx, struct list *items, uint32_t count)
{
	struct log_item *intent = intent_create(tx, &intent_rui, count);
	uint32_t i = 0;

	list_for_each(node, items) {
		const struct rmap_work *work = list_entry(node, struct rmap_work, defer.node);
		struct xfs_map_extent *entry = intent_entry(intent, i++);

		entry->me_owner = work->owner;
		entry->me_startblock = work->ext.start.v;
		entry->me_startoff = work->ext.off;
		entry->me_len = (uint32_t)work->ext.count;
		entry->me_flags = work->how;
		if (work->ext.state == EXTENT_UNWRITTEN)
			entry->me_flags |= XFS_RMAP_EXTENT_UNWRITTEN;
		if (work->is_attr_fork)
			entry->me_flags |= XFS_RMAP_EXTENT_ATTR_FORK;
	}
	ensure(i == count);
	return intent;
}

static struct log_item *work_create_done(struct tx *tx, struct log_item *intent, uint32_t count)
{
	return intent_create_done(tx, intent);
}

static void state_leave_ag(struct rmap_state *state)
{
	if (state->ag)
		btree_cursor_deinit(&state->cur);
	state->ag = NULL;
}

static int state_enter_ag(struct rmap_state *state, struct tx *tx, struct ag *ag)
{
	struct buffer *agf;
	int err;

	if (state->ag == ag)
		return 0;
	state_leave_ag(state);
	err = ag_read_agf(tx, ag, false, &agf);
	if (!err)
		err = ag_fix_agfl(tx, ag, agf);
	if (err)
		return err;
	rmapbt_cursor_init(&state->cur, tx, ag, agf);
	state->ag = ag;
	return 0;
}

static struct rmap_record work_record(const struct geometry *geo, const struct rmap_work *work)
{
	struct rmap_record rec = {
		.agblk = fsblk_agblk(geo, work->ext.start),
		.count = (uint32_t)work->ext.count,
		.owner = work->owner,
	};

	if (work->is_attr_fork)
		rec.flags |= RMAP_ATTR_FORK;
	if (work->ext.state == EXTENT_UNWRITTEN)
		rec.flags |= RMAP_UNWRITTEN;
	if (!rmap_has_no_offset(rec.owner, rec.flags))
		rec.off = work->ext.off;
	return rec;
}

static int work_apply(struct btree_cursor *cur, const struct rmap_work *work)
{
	struct rmap_record rec = work_record(cur->geo, work);

	switch (work->how) {
	case XFS_RMAP_EXTENT_MAP:
	case XFS_RMAP_EXTENT_ALLOC:
		return rmap_map(cur, &rec, false);
	case XFS_RMAP_EXTENT_MAP_SHARED:
		return rmap_map(cur, &rec, true);
	case XFS_RMAP_EXTENT_UNMAP:
	case XFS_RMAP_EXTENT_FREE:
		return rmap_unmap(cur, &rec, false);
	case XFS_RMAP_EXTENT_UNMAP_SHARED:
		return rmap_unmap(cur, &rec, true);
	case XFS_RMAP_EXTENT_CONVERT:
		return rmap_convert(cur, &rec, false);
	default:
		ensure(work->how == XFS_RMAP_EXTENT_CONVERT_SHARED);
		return rmap_convert(cur, &rec, true);
	}
}

static int work_finish(struct tx *tx, struct log_item *done, struct defer_item *item, void **state_ptr)
{
	struct rmap_work *work = work_of(item);
	struct rmap_state *state = *state_ptr;
	int err;

	if (!state)
		*state_ptr = state = mem_alloc_zeroed_sure(sizeof(*state));
	err = state_enter_ag(state, tx, space_ag(work->space, work_agno(work)));
	if (!err)
		err = work_apply(&state->cur, work);
	mem_free(work);
	return err;
}

static void work_cleanup(struct tx *tx, void *state_ptr, int err)
{
	struct rmap_state *state = state_ptr;

	if (state)
		state_leave_ag(state);
	mem_free(state);
}

static void work_cancel(struct defer_item *item)
{
	mem_free(work_of(item));
}

static const struct defer_type rmap_defer_type = {
	.name = "rmap",
	.max_items = INTENT_MAX_ITEMS,
	.compare = work_compare,
	.create_intent = work_create_intent,
	.create_done = work_create_done,
	.finish_item = work_finish,
	.finish_cleanup = work_cleanup,
	.cancel_item = work_cancel,
	.abort_intent = intent_abort,
};

static void defer(struct tx *tx, struct space *space, uint32_t how, uint64_t owner, bool is_attr_fork,
		  const struct extent *ext)
{
	struct rmap_work *work;

	if (!space_geometry(space)->has_rmapbt)
		return;
	ensure(ext->state == EXTENT_WRITTEN || ext->state == EXTENT_UNWRITTEN);
	work = mem_alloc_zeroed_sure(sizeof(*work));
	work->space = space;
	work->how = how;
	work->owner = owner;
	work->is_attr_fork = is_attr_fork;
	work->ext = *ext;
	tx_defer(tx, &rmap_defer_type, &work->defer);
}

/* Blocks of attribute forks are never shared. */
static bool may_overlap(bool is_attr_fork, bool is_shared)
{
	return is_shared && !is_attr_fork;
}

void rmap_map_deferred(struct tx *tx, struct space *space, struct inum ino, bool is_attr_fork, bool is_shared,
		       const struct extent *ext)
{
	uint32_t how = may_overlap(is_attr_fork, is_shared) ? XFS_RMAP_EXTENT_MAP_SHARED : XFS_RMAP_EXTENT_MAP;

	defer(tx, space, how, ino.v, is_attr_fork, ext);
}

void rmap_unmap_deferred(struct tx *tx, struct space *space, struct inum ino, bool is_attr_fork, bool is_shared,
			 const struct extent *ext)
{
	uint32_t how = may_overlap(is_attr_fork, is_shared) ? XFS_RMAP_EXTENT_UNMAP_SHARED : XFS_RMAP_EXTENT_UNMAP;

	defer(tx, space, how, ino.v, is_attr_fork, ext);
}

void rmap_convert_deferred(struct tx *tx, struct space *space, struct inum ino, bool is_attr_fork, bool is_shared,
			   const struct extent *ext)
{
	uint32_t how = may_overlap(is_attr_fork, is_shared) ? XFS_RMAP_EXTENT_CONVERT_SHARED :
							      XFS_RMAP_EXTENT_CONVERT;

	defer(tx, space, how, ino.v, is_attr_fork, ext);
}

static void defer_cow(struct tx *tx, struct space *space, uint32_t how, struct fsblk start, uint32_t count)
{
	struct extent ext = { .start = start, .count = count, .state = EXTENT_WRITTEN };

	defer(tx, space, how, XFS_RMAP_OWN_COW, false, &ext);
}

void rmap_alloc_cow_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count)
{
	defer_cow(tx, space, XFS_RMAP_EXTENT_ALLOC, start, count);
}

void rmap_free_cow_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count)
{
	defer_cow(tx, space, XFS_RMAP_EXTENT_FREE, start, count);
}

/* ---- after a crash ---- */

static bool entry_is_valid(const struct geometry *geo, const struct xfs_map_extent *entry)
{
	uint32_t how = entry->me_flags & XFS_RMAP_EXTENT_TYPE_MASK;
	uint32_t known = XFS_RMAP_EXTENT_TYPE_MASK | XFS_RMAP_EXTENT_ATTR_FORK | XFS_RMAP_EXTENT_UNWRITTEN;
	bool is_own_cow = entry->me_owner == (uint64_t)XFS_RMAP_OWN_COW;

	if (entry->me_flags & ~known || how < XFS_RMAP_EXTENT_MAP || how > XFS_RMAP_EXTENT_FREE)
		return false;
	if (!is_own_cow && !geometry_is_valid_inum(geo, (struct inum){ entry->me_owner }))
		return false;
	return geometry_is_valid_extent(geo, (struct fsblk){ entry->me_startblock }, entry->me_len);
}

int space_recover_rui(struct tx *tx, struct space *space, struct log_item *rui)
{
	const struct geometry *geo = space_geometry(space);
	struct list items = LIST_INIT(items);

	for (uint32_t i = 0; i < intent_entry_count(rui); i++) {
		if (!geo->has_rmapbt || !entry_is_valid(geo, intent_entry(rui, i))) {
			msg_error("the log promises an impossible change of the reverse map; run xfs_repair");
			return -EFSCORRUPTED;
		}
	}
	for (uint32_t i = 0; i < intent_entry_count(rui); i++) {
		const struct xfs_map_extent *entry = intent_entry(rui, i);
		struct rmap_work *work = mem_alloc_zeroed_sure(sizeof(*work));

		work->space = space;
		work->how = entry->me_flags & XFS_RMAP_EXTENT_TYPE_MASK;
		work->owner = entry->me_owner;
		work->is_attr_fork = entry->me_flags & XFS_RMAP_EXTENT_ATTR_FORK;
		work->ext = (struct extent){
			.off = entry->me_startoff,
			.count = entry->me_len,
			.start = { entry->me_startblock },
			.state = entry->me_flags & XFS_RMAP_EXTENT_UNWRITTEN ? EXTENT_UNWRITTEN : EXTENT_WRITTEN,
		};
		list_push_back(&items, &work->defer.node);
	}
	tx_defer_recovered(tx, &rmap_defer_type, &items, rui);
	return 0;
}
