/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Deferred work.  (XFS: xfs_defer.c.)
 *
 * An example: a truncate that unmaps two extents a and b of a volume with reverse mappings, as the log sees it.  tN
 * are the transactions of the chain.
 *
 *   t0  inode without a and b; intent: free a, b
 *   t1  done of that intent; a and b freed; intent: remove the reverse mappings   (queued while finishing)
 *   t2  done; reverse mappings removed
 *
 * A crash between t0 and t1 leaves an intent without its done item: recovery does the work.
 *
 * Work queued by a step comes before what was queued earlier, because the step is complete only with it.
 */
#include <stdlib.h>

#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "internal.h"

enum {
	RECOVERED_ITEMS_MAX = 4,	/* done in one transaction: what the "truncate" reservation is for */
};

/* Items of one type, at most one intent's worth. */
struct defer_pending {
	struct list node;		/* tx->deferred, then tx->pending */
	const struct defer_type *type;
	struct list items;
	uint32_t count;
	struct log_item *intent;	/* logged, its done item not yet; NULL: none */
};

static struct defer_pending *pending_at(struct list *node)
{
	return list_entry(node, struct defer_pending, node);
}

static struct defer_pending *pending_new(const struct defer_type *type)
{
	struct defer_pending *p = mem_alloc_zeroed_sure(sizeof(*p));

	p->type = type;
	list_init(&p->items);
	return p;
}

void tx_defer(struct tx *tx, const struct defer_type *type, struct defer_item *item)
{
	struct defer_pending *p = NULL;

	if (!list_is_empty(&tx->deferred)) {
		p = pending_at(tx->deferred.prev);
		if (p->type != type || (type->max_items && p->count >= type->max_items))
			p = NULL;
	}
	if (!p) {
		p = pending_new(type);
		list_push_back(&tx->deferred, &p->node);
	}
	list_push_back(&p->items, &item->node);
	p->count++;
}

bool tx_has_deferred(const struct tx *tx)
{
	return !list_is_empty(&tx->deferred) || !list_is_empty(&tx->pending);
}

/* ---- steps --------------------------------------------------------------------------------------------------- */

/* A stable insertion sort: intents are short. */
static void sort_items(struct defer_pending *p)
{
	struct list sorted = LIST_INIT(sorted);

	while (!list_is_empty(&p->items)) {
		struct list *node = p->items.next, *after = sorted.prev;

		list_remove(node);
		while (after != &sorted && p->type->compare(list_entry(after, struct defer_item, node),
							    list_entry(node, struct defer_item, node)) > 0)
			after = after->prev;
		list_push_front(after, node);
	}
	list_splice_back(&p->items, &sorted);
}

/*
 * Logs the done item of @p's intent.  When both end up in one checkpoint, neither need be in it: the work is as well.
 */
static struct log_item *log_done(struct tx *tx, struct defer_pending *p)
{
	struct log_item *done = p->type->create_done(tx, p->intent, p->count);

	done->ends = p->intent;
	p->intent = NULL;
	return done;
}

static void log_intent(struct tx *tx, struct defer_pending *p)
{
	p->intent = p->type->create_intent(tx, &p->items, p->count);
}

/* Logs intents of everything newly queued and puts it before the rest.  true: there were intents. */
static bool start_new(struct tx *tx)
{
	struct list fresh = LIST_INIT(fresh);
	bool has_intents = false;

	list_splice_back(&fresh, &tx->deferred);
	list_for_each(node, &fresh) {
		struct defer_pending *p = pending_at(node);

		if (p->type->compare)
			sort_items(p);
		log_intent(tx, p);
		has_intents |= p->intent != NULL;
	}
	list_splice_back(&fresh, &tx->pending);
	list_splice_back(&tx->pending, &fresh);
	return has_intents;
}

/* An intent that waits long stands in the way of the tail: it is replaced by the same, newer. */
static void relog_old_intents(struct tx *tx)
{
	list_for_each(node, &tx->pending) {
		struct defer_pending *p = pending_at(node);

		if (!p->intent || !tail_is_in_the_way(p->intent))
			continue;
		log_done(tx, p);
		log_intent(tx, p);
	}
}

static int finish_items_of(struct tx *tx, struct defer_pending *p, struct log_item *done)
{
	void *state = NULL;
	int err = 0;

	while (!list_is_empty(&p->items)) {
		struct defer_item *item = list_first(&p->items, struct defer_item, node);

		list_remove(&item->node);
		err = p->type->finish_item(tx, done, item, &state);
		if (err == -EAGAIN)
			list_push_front(&p->items, &item->node);
		else
			p->count--;
		if (err)
			break;
	}
	if (p->type->finish_cleanup)
		p->type->finish_cleanup(tx, state, err == -EAGAIN ? 0 : err);
	return err;
}

/* Does the first intent's work.  -EAGAIN from an item: what is left of it becomes a new intent. */
static int finish_first(struct tx *tx)
{
	struct defer_pending *p = pending_at(tx->pending.next);
	struct log_item *done = NULL;
	int err;

	if (p->intent)
		done = log_done(tx, p);
	err = finish_items_of(tx, p, done);
	if (err == -EAGAIN) {
		log_intent(tx, p);
		return 0;
	}
	if (err)
		return err;
	list_remove(&p->node);
	mem_free(p);
	return 0;
}

int tx_finish_deferred(struct tx *tx)
{
	bool must_roll = false;
	int err = 0;

	while (tx_has_deferred(tx)) {
		must_roll |= start_new(tx);
		if (must_roll) {
			err = tx_roll(tx);
			if (err)
				break;
			relog_old_intents(tx);
		}
		err = finish_first(tx);
		if (err)
			break;
		must_roll = true;
	}
	if (err)
		log_shutdown(tx->log, SHUTDOWN_CORRUPT_INCORE, "deferred work could not be finished");
	return err;
}

/* ---- work found in the log ------------------------------------------------------------------------------------- */

void tx_defer_recovered(struct tx *tx, const struct defer_type *type, struct list *items, struct log_item *intent)
{
	struct defer_pending *p = pending_new(type);

	ensure(list_is_empty(&tx->pending));
	p->intent = intent;
	list_push_back(&tx->pending, &p->node);
	while (!list_is_empty(items)) {
		if (p->count == RECOVERED_ITEMS_MAX) {
			p = pending_new(type);
			list_push_back(&tx->deferred, &p->node);
		}
		list_move_back(&p->items, items->next);
		p->count++;
	}
}

int tx_commit_captured(struct tx *tx, struct list *chains)
{
	struct deferred_chain *chain;
	int err;

	err = finish_first(tx);
	if (!err) {
		start_new(tx);
		err = tx_commit_changes(tx, false);
	}
	if (err) {
		log_shutdown(tx->log, SHUTDOWN_CORRUPT_INCORE, "work found in the log could not be finished");
		tx_cancel(tx);
		return err;
	}
	if (!list_is_empty(&tx->pending)) {
		chain = mem_alloc_zeroed_sure(sizeof(*chain));
		list_init(&chain->pending);
		list_splice_back(&chain->pending, &tx->pending);
		list_push_back(chains, &chain->node);
	}
	return tx_commit(tx);
}

int tx_commit_chain(struct tx *tx, struct deferred_chain *chain)
{
	list_splice_back(&tx->pending, &chain->pending);
	list_remove(&chain->node);
	mem_free(chain);
	return tx_commit(tx);
}

/* ---- after a shutdown, or of a clean transaction ------------------------------------------------------------- */

static void cancel_list(struct list *list)
{
	while (!list_is_empty(list)) {
		struct defer_pending *p = pending_at(list->next);

		list_remove(&p->node);
		if (p->intent)
			p->type->abort_intent(p->intent);
		while (!list_is_empty(&p->items)) {
			struct defer_item *item = list_first(&p->items, struct defer_item, node);

			list_remove(&item->node);
			p->type->cancel_item(item);
		}
		mem_free(p);
	}
}

void deferred_chain_cancel(struct deferred_chain *chain)
{
	list_remove(&chain->node);
	cancel_list(&chain->pending);
	mem_free(chain);
}

void defer_cancel(struct tx *tx)
{
	cancel_list(&tx->deferred);
	cancel_list(&tx->pending);
}
