/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The tail list: what is in the log and not written home, by LSN.  (XFS: the AIL, xfsaild.)
 *
 * One thread at a time pushes.  The item inside its .push is .push_item; log_item_done() of another thread waits
 * until it is not, so that the owner can free the item.  .push_cursor is the next place to visit and moves on when
 * that leaves the list.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>

#include "internal.h"

enum {
	PUSH_MAX = 512,			/* items in one round */
};

void tail_init(struct log *log)
{
	mutex_init(&log->tail_lock, RANK_LOG_TAIL, 0, "log tail");
	cond_init(&log->tail_cond);
	list_init(&log->tail_items);
	list_init(&log->writes);
	log->push_cursor = &log->tail_items;
}

void tail_deinit(struct log *log)
{
	ensure(list_is_empty(&log->tail_items) && list_is_empty(&log->writes));
	cond_deinit(&log->tail_cond);
	mutex_deinit(&log->tail_lock);
}

/* ---- in and out ---------------------------------------------------------------------------------------------- */

static struct log_item *item_at(struct list *node)
{
	return list_entry(node, struct log_item, tail_node);
}

static void unlink_item(struct log *log, struct log_item *item)
{
	if (log->push_cursor == &item->tail_node)
		log->push_cursor = item->tail_node.next;
	list_remove(&item->tail_node);
}

void tail_insert(struct log *log, struct log_item *item, lsn_t lsn)
{
	struct list *after;

	mutex_lock(&log->tail_lock);
	if (atomic_load(&item->flags) & LOG_ITEM_IN_TAIL_LIST) {
		/* Younger never makes it older. */
		if (atomic_load(&item->lsn) >= lsn) {
			mutex_unlock(&log->tail_lock);
			return;
		}
		unlink_item(log, item);
	}
	after = log->tail_items.prev;
	while (after != &log->tail_items && atomic_load(&item_at(after)->lsn) > lsn)
		after = after->prev;
	list_push_front(after, &item->tail_node);
	atomic_store(&item->lsn, lsn);
	atomic_fetch_or(&item->flags, LOG_ITEM_IN_TAIL_LIST);
	mutex_unlock(&log->tail_lock);
}

void log_item_recovered(struct log_item *item, lsn_t lsn)
{
	tail_insert(item->log, item, lsn);
}

static void wait_until_not_pushed(struct log *log, struct log_item *item) REQUIRES(log->tail_lock);

static void wait_until_not_pushed(struct log *log, struct log_item *item)
{
	while (log->push_item == item && !pthread_equal(log->push_thread, pthread_self()))
		cond_wait(&log->tail_cond, &log->tail_lock);
}

static void remove_item(struct log_item *item, lsn_t only_at)
{
	struct log *log = item->log;

	mutex_lock(&log->tail_lock);
	if (atomic_load(&item->flags) & LOG_ITEM_IN_TAIL_LIST && (!only_at || atomic_load(&item->lsn) == only_at)) {
		unlink_item(log, item);
		atomic_store(&item->lsn, 0);
		atomic_fetch_and(&item->flags, ~(uint32_t)(LOG_ITEM_IN_TAIL_LIST | LOG_ITEM_FAILED));
	}
	wait_until_not_pushed(log, item);
	mutex_unlock(&log->tail_lock);
}

void log_item_done(struct log_item *item)
{
	remove_item(item, 0);
}

void log_item_done_at(struct log_item *item, lsn_t lsn)
{
	remove_item(item, lsn);
}

lsn_t tail_first(struct log *log)
{
	lsn_t lsn = 0;

	mutex_lock(&log->tail_lock);
	if (!list_is_empty(&log->tail_items))
		lsn = atomic_load(&item_at(log->tail_items.next)->lsn);
	mutex_unlock(&log->tail_lock);
	return lsn;
}

bool tail_is_empty(struct log *log)
{
	return tail_first(log) == 0;
}


/* ---- how far ------------------------------------------------------------------------------------------------- */

/* A quarter of the log should be free, or half when somebody waits. */
lsn_t tail_target(struct log *log)
{
	uint64_t want = log->capacity_bytes / 4, used;
	logpos_t tail;
	lsn_t target = 0;

	mutex_lock(&log->grant_lock);
	if (!list_is_empty(&log->begin_waiters) || !list_is_empty(&log->renew_waiters))
		want = log->capacity_bytes / 2;
	used = (log->head - log->durable_tail) * BLOCK_BYTES + log->reserve_bytes;
	tail = log->durable_tail;
	if (used + want > log->capacity_bytes) {
		logpos_t up_to = tail + (used + want - log->capacity_bytes) / BLOCK_BYTES;

		target = pos_to_lsn(log->blocks, min_u64(up_to, log->head));
	}
	mutex_unlock(&log->grant_lock);
	return target;
}

bool tail_is_in_the_way(struct log_item *item)
{
	lsn_t lsn = atomic_load(&item->lsn), target;

	if (!lsn || !(atomic_load(&item->flags) & LOG_ITEM_IN_TAIL_LIST))
		return false;
	target = tail_target(item->log);
	return target && lsn <= target && !log_item_is_in_current_checkpoint(item);
}

/* ---- pushing ------------------------------------------------------------------------------------------------- */

struct push_tally {
	unsigned queued, pinned, failed;
};

static void push_one(struct log *log, struct log_item *item, struct push_tally *tally) REQUIRES(log->tail_lock);

static void push_one(struct log *log, struct log_item *item, struct push_tally *tally)
{
	enum log_push_result result = LOG_PUSH_LOCKED;

	log->push_item = item;
	mutex_unlock(&log->tail_lock);
	if (item->ops->push)
		result = item->ops->push(item, &log->writes);
	mutex_lock(&log->tail_lock);
	log->push_item = NULL;
	cond_broadcast(&log->tail_cond);

	if (result == LOG_PUSH_QUEUED)
		tally->queued++;
	else if (result == LOG_PUSH_PINNED)
		tally->pinned++;
	else if (result == LOG_PUSH_FAILED)
		tally->failed++;
}

static struct push_tally push_up_to(struct log *log, lsn_t target) REQUIRES(log->tail_lock);

static struct push_tally push_up_to(struct log *log, lsn_t target)
{
	struct push_tally tally = { .queued = 0 };
	unsigned pushed = 0;

	log->push_cursor = log->tail_items.next;
	while (log->push_cursor != &log->tail_items) {
		struct log_item *item = item_at(log->push_cursor);

		if (atomic_load(&item->lsn) > target || pushed++ >= PUSH_MAX)
			break;
		log->push_cursor = log->push_cursor->next;
		push_one(log, item, &tally);
	}
	log->push_cursor = &log->tail_items;
	return tally;
}

bool tail_push(struct log *log, lsn_t target, enum tail_progress *progress)
{
	struct push_tally tally;
	lsn_t before, after;
	int err;

	mutex_lock(&log->tail_lock);
	if (log->is_pushing) {
		mutex_unlock(&log->tail_lock);
		return false;
	}
	log->is_pushing = true;
	log->push_thread = pthread_self();
	before = list_is_empty(&log->tail_items) ? 0 : atomic_load(&item_at(log->tail_items.next)->lsn);
	tally = push_up_to(log, target);
	mutex_unlock(&log->tail_lock);

	err = buffer_submit_list(log->cache, &log->writes, true, true);
	after = tail_first(log);

	mutex_lock(&log->tail_lock);
	log->is_pushing = false;
	cond_broadcast(&log->tail_cond);
	mutex_unlock(&log->tail_lock);

	if (!before || before > target)
		*progress = TAIL_NOTHING;
	else if (after != before)
		*progress = TAIL_PROGRESS;
	else if (tally.pinned)
		*progress = TAIL_PINNED;
	else if (err || tally.failed)
		*progress = TAIL_FAILING;
	else
		*progress = tally.queued ? TAIL_PROGRESS : TAIL_STUCK;
	return true;
}

void tail_push_all_later(struct log *log)
{
	mutex_lock(&log->tail_lock);
	if (!list_is_empty(&log->tail_items))
		log->idle_target = atomic_load(&item_at(log->tail_items.prev)->lsn);
	mutex_unlock(&log->tail_lock);
}

bool tail_has_target(struct log *log)
{
	bool has;

	mutex_lock(&log->tail_lock);
	has = log->idle_target;
	mutex_unlock(&log->tail_lock);
	return has || tail_target(log);
}

/* Everything up to @target is home: a tail that moved only in memory is no use, and an idle push has ended. */
static void target_reached(struct log *log, lsn_t target)
{
	mutex_lock(&log->tail_lock);
	if (log->idle_target <= target)
		log->idle_target = 0;
	mutex_unlock(&log->tail_lock);
	if (!tail_target(log))
		return;
	if (checkpoint_is_empty(log))
		checkpoint_write_tail(log);
	else
		log_force(log, 0, NULL);
}

bool log_tail_pass(struct log *log)
{
	enum tail_progress progress = TAIL_NOTHING;
	lsn_t target = tail_target(log);

	mutex_lock(&log->tail_lock);
	target = max_u64(target, log->idle_target);
	mutex_unlock(&log->tail_lock);
	if (!target || !tail_push(log, target, &progress))
		return false;
	if (progress == TAIL_PINNED)
		log_force(log, 0, NULL);
	else if (progress == TAIL_NOTHING)
		target_reached(log, target);
	return progress == TAIL_PROGRESS;
}

void tail_drop(struct log *log)
{
	ensure(log_is_shutdown(log));
	while (!tail_is_empty(log)) {
		enum tail_progress progress = TAIL_STUCK;

		tail_push(log, UINT64_MAX, &progress);
		/* A transaction that has not ended yet still holds something. */
		if (progress != TAIL_PROGRESS)
			clock_sleep_ns(NS_PER_SEC / 1000);
	}
}
