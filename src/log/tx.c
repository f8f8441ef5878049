/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Transactions: begin, commit, roll, cancel.  (XFS: xfs_trans.)
 *
 * Commit, happy path: precommit hooks; every dirty item is formatted under its own lock; all are inserted into the
 * current checkpoint at once; the counters learn of the change; the items are let go of; what is left of the
 * reservation goes back.  Failure: only a shutdown (or a precommit hook that fails, which is one).
 */
#include <stdlib.h>

#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "internal.h"

static struct log_item *item_at(struct list *node)
{
	return list_entry(node, struct log_item, tx_node);
}

/* ---- begin and end ------------------------------------------------------------------------------------------- */

static int reserve_blocks(struct tx *tx, uint64_t blocks)
{
	struct log *log = tx->log;
	int err = 0;

	if (blocks && log->space)
		err = log->space->reserve(log->space_context, blocks, tx->flags & TX_USE_POOL);
	if (!err)
		tx->blocks_left += blocks;
	return err;
}

static void unreserve_blocks(struct tx *tx)
{
	struct log *log = tx->log;

	if (tx->blocks_left && log->space)
		log->space->unreserve(log->space_context, tx->blocks_left);
	tx->blocks_left = 0;
}

int tx_begin(struct log *log, const struct tx_reservation *res, uint64_t blocks, uint32_t flags, struct tx **out)
{
	struct tx *tx;
	int err;

	if (log->options.read_only)
		return -EROFS;
	if (log_is_shutdown(log))
		return -EIO;
	/* As in XFS: whoever finishes what was begun, or frees what nobody wants any more, has nobody to tell. */
	tx = mem_alloc_zeroed_sure(sizeof(*tx));
	tx->log = log;
	tx->flags = flags;
	tx->highest_ag = AGNO_NONE;
	list_init(&tx->items);
	list_init(&tx->callbacks);
	list_init(&tx->deferred);
	list_init(&tx->pending);
	/* Blocks first: that does not wait, and log space is not held for somebody who finds the volume full. */
	err = reserve_blocks(tx, blocks);
	if (err)
		goto free_tx;
	err = ticket_begin(log, &tx->ticket, res);
	if (err)
		goto unreserve;
	*out = tx;
	return 0;

unreserve:
	unreserve_blocks(tx);
free_tx:
	mem_free(tx);
	return err;
}

static void tx_free(struct tx *tx)
{
	ensure(list_is_empty(&tx->items) && list_is_empty(&tx->callbacks));
	ensure(list_is_empty(&tx->deferred) && list_is_empty(&tx->pending));
	unreserve_blocks(tx);
	ticket_end(tx->log, &tx->ticket);
	mem_free(tx);
}

/* ---- items --------------------------------------------------------------------------------------------------- */

void tx_join(struct tx *tx, struct log_item *item)
{
	ensure(!item->tx && item->log == tx->log);
	item->tx = tx;
	list_push_back(&tx->items, &item->tx_node);
}

void tx_mark_dirty(struct tx *tx, struct log_item *item)
{
	ensure(item->tx == tx);
	tx->is_dirty = true;
	atomic_fetch_or(&item->flags, LOG_ITEM_DIRTY);
}

void tx_forget(struct log_item *item)
{
	list_remove(&item->tx_node);
	item->tx = NULL;
	atomic_fetch_and(&item->flags, ~(uint32_t)(LOG_ITEM_DIRTY | LOG_ITEM_ORDERED));
}

void tx_unjoin(struct tx *tx, struct log_item *item)
{
	ensure(item->tx == tx && !(atomic_load(&item->flags) & LOG_ITEM_DIRTY));
	tx_forget(item);
}

static bool is_dirty(const struct log_item *item)
{
	return atomic_load(&item->flags) & LOG_ITEM_DIRTY;
}

static void release_item(struct log_item *item, bool aborted)
{
	bool dirty = is_dirty(item);

	if (aborted)
		atomic_fetch_or(&item->flags, LOG_ITEM_ABORTED);
	tx_forget(item);
	item->ops->release(item, dirty, aborted);
}

/* Stays joined and locked when its transaction rolls. */
static bool stays(const struct log_item *item)
{
	if (item->ops == &buffer_item_ops)
		return container_of(item, struct buffer_item, item)->flags & BUFFER_ITEM_HOLD;
	return item->ops->stays_at_roll;
}

static void release_items(struct tx *tx, bool rolls, bool aborted)
{
	list_for_each_safe(node, &tx->items) {
		struct log_item *item = item_at(node);

		if (rolls && stays(item))
			atomic_fetch_and(&item->flags, ~(uint32_t)(LOG_ITEM_DIRTY | LOG_ITEM_ORDERED));
		else
			release_item(item, aborted);
	}
}

/* ---- precommit ----------------------------------------------------------------------------------------------- */

static uint64_t sort_key(const struct log_item *item)
{
	return item->ops->sort_key ? item->ops->sort_key(item) : 0;
}

static int compare_keys(const void *a, const void *b)
{
	uint64_t x = sort_key(*(struct log_item *const *)a), y = sort_key(*(struct log_item *const *)b);

	return (x > y) - (x < y);
}

static bool has_precommit(const struct log_item *item)
{
	return is_dirty(item) && item->ops->precommit;
}

static int run_precommits(struct tx *tx)
{
	struct log_item **items;
	size_t count = 0, n = 0;
	int err = 0;

	list_for_each(node, &tx->items)
		count += has_precommit(item_at(node));
	if (!count)
		return 0;
	/* Hooks join more items: what there is now is all that has hooks. */
	items = mem_alloc_sure(count * sizeof(struct log_item *));
	list_for_each(node, &tx->items) {
		if (has_precommit(item_at(node)))
			items[n++] = item_at(node);
	}
	qsort(items, count, sizeof(struct log_item *), compare_keys);
	for (n = 0; n < count && !err; n++)
		err = items[n]->ops->precommit(tx, items[n]);
	mem_free(items);
	if (err)
		log_shutdown(tx->log, SHUTDOWN_CORRUPT_INCORE, "a change could not be completed at commit");
	return err;
}

/* ---- commit -------------------------------------------------------------------------------------------------- */

static void apply_deltas(struct tx *tx)
{
	struct log *log = tx->log;

	if (log->space && (tx->deltas.icount || tx->deltas.ifree || tx->deltas.freed_blocks))
		log->space->apply(log->space_context, &tx->deltas);
	tx->deltas = (struct tx_deltas){ .icount = 0 };
}

int tx_commit_changes(struct tx *tx, bool rolls)
{
	struct log *log = tx->log;
	struct checkpoint *cp = NULL;
	int err = 0;

	if (tx->is_dirty)
		err = run_precommits(tx);
	if (!err && tx->is_dirty && log_is_shutdown(log))
		err = -EIO;
	if (err)
		return err;
	if (tx->is_dirty || !list_is_empty(&tx->callbacks)) {
		list_for_each(node, &tx->items) {
			if (is_dirty(item_at(node)))
				log_item_prepare(item_at(node));
		}
		cp = checkpoint_insert(tx);
	}
	apply_deltas(tx);
	release_items(tx, rolls, false);
	if (cp)
		checkpoint_inserted(log, cp);
	tx->is_dirty = false;
	return 0;
}

static void run_callbacks(struct tx *tx, bool aborted)
{
	while (!list_is_empty(&tx->callbacks)) {
		struct durable_callback *cb = list_first(&tx->callbacks, struct durable_callback, node);

		list_remove(&cb->node);
		cb->run(cb, aborted);
	}
}

void tx_cancel(struct tx *tx)
{
	if (!tx)
		return;
	if (tx->is_dirty)
		log_shutdown(tx->log, SHUTDOWN_CORRUPT_INCORE, "a transaction with changes was cancelled");
	defer_cancel(tx);
	release_items(tx, false, log_is_shutdown(tx->log));
	run_callbacks(tx, true);
	tx_free(tx);
}

int tx_commit_sequence(struct tx *tx, uint64_t *sequence)
{
	struct log *log = tx->log;
	bool is_sync;
	uint64_t committed;
	int err;

	err = tx_finish_deferred(tx);
	if (!err)
		err = tx_commit_changes(tx, false);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	committed = tx->sequence;
	is_sync = tx->flags & TX_SYNC && committed;
	tx_free(tx);
	if (sequence)
		*sequence = committed;
	if (is_sync)
		return log_force(log, committed, NULL);
	checkpoint_throttle(log);
	return 0;
}

int tx_commit(struct tx *tx)
{
	return tx_commit_sequence(tx, NULL);
}

/* ---- roll ---------------------------------------------------------------------------------------------------- */

/* What stays locked cannot be written home: what is old of it goes to the head of the log instead. */
static void relog_items_in_the_way(struct tx *tx)
{
	list_for_each(node, &tx->items) {
		struct log_item *item = item_at(node);

		if (stays(item) && !is_dirty(item) && tail_is_in_the_way(item))
			tx_mark_dirty(tx, item);
	}
}

int tx_roll(struct tx *tx)
{
	int err;

	relog_items_in_the_way(tx);
	err = tx_commit_changes(tx, true);
	if (err)
		return err;
	tx->highest_ag = AGNO_NONE;
	ticket_end_unit(tx->log, &tx->ticket);
	return ticket_renew(tx->log, &tx->ticket);
}

/* ---- what a transaction knows -------------------------------------------------------------------------------- */

struct log *tx_log(struct tx *tx)
{
	return tx->log;
}

struct buffer_cache *tx_cache(struct tx *tx)
{
	return tx->log->cache;
}

const struct geometry *tx_geometry(struct tx *tx)
{
	return tx->log->geo;
}

bool tx_is_dirty(const struct tx *tx)
{
	return tx->is_dirty;
}

uint32_t tx_flags(const struct tx *tx)
{
	return tx->flags;
}

void tx_set_flags(struct tx *tx, uint32_t flags)
{
	tx->flags |= flags;
}

agno_t tx_highest_ag(const struct tx *tx)
{
	return tx->highest_ag;
}

void tx_set_highest_ag(struct tx *tx, agno_t agno)
{
	tx->highest_ag = agno;
}

void tx_use_blocks(struct tx *tx, uint64_t blocks)
{
	ensure(tx->blocks_left >= blocks);
	tx->blocks_left -= blocks;
}

void tx_unuse_blocks(struct tx *tx, uint64_t blocks)
{
	tx->blocks_left += blocks;
}

void tx_free_blocks(struct tx *tx, uint64_t blocks)
{
	tx->deltas.freed_blocks += (int64_t)blocks;
}

uint64_t tx_blocks_left(const struct tx *tx)
{
	return tx->blocks_left;
}

int tx_reserve_more_blocks(struct tx *tx, uint64_t blocks)
{
	return reserve_blocks(tx, blocks);
}

void tx_change_inode_counts(struct tx *tx, int64_t icount, int64_t ifree)
{
	tx->deltas.icount += icount;
	tx->deltas.ifree += ifree;
}

void tx_add_durable_callback(struct tx *tx, struct durable_callback *cb)
{
	list_push_back(&tx->callbacks, &cb->node);
}
