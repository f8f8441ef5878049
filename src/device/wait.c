/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who collects, who sleeps meanwhile, and who calls back.
 *
 * One thread at a time has the turn: it is inside ->collect, perhaps blocked in the kernel.  Everybody else sleeps,
 * device_pass() callers on .turn, device_wait() callers each on a condition of its own in .sleepers, so that a
 * completion wakes exactly the thread that waits for it.
 *
 * A device_wait() caller that has the turn may have lost the race for its own request: another thread has collected
 * it before and finishes it now.  .collecting_for tells that thread to wake the collector.
 *
 * The turn is never lost: whoever gives it up, and whoever was woken and does not take it, calls pass_on().  So while
 * there are sleepers, one thread has the turn or has been woken to take it.
 *
 * A device_wait() caller may hold locks that a stranger's .done wants; it leaves such requests in .ready for the
 * next device_pass().
 */
#include <userxfs/base/error.h>

#include "internal.h"
#include "wait.h"

struct sleeper {
	struct list node;	/* unlinked: woken [lock] */
	const struct device_request *req;
	struct cond wake;
};

static struct device_request *first_request(struct list *l)
{
	return list_first(l, struct device_request, node);
}

static bool is_done(struct device_request *req)
{
	return atomic_load_explicit(&req->is_done, memory_order_acquire) == REQUEST_DONE;
}

static void wake_sleeper(struct sleeper *s)
{
	list_remove(&s->node);
	cond_signal(&s->wake);
}

/* If the turn is free: somebody take it. */
static void pass_on(struct device *dev) REQUIRES(dev->lock);

static void pass_on(struct device *dev)
{
	if (dev->is_collecting)
		return;
	if (dev->turn_waiters)
		cond_signal(&dev->turn);
	else if (!list_is_empty(&dev->sleepers))
		wake_sleeper(list_first(&dev->sleepers, struct sleeper, node));
}

/* ---- completing ------------------------------------------------------------------------------------------------ */

/* Marks a request without .done as done and wakes who waits for it. */
static void finish_awaited(struct device *dev, struct device_request *req)
{
	bool is_collector;

	/* From here on the waiting thread may return and reuse @req: only its address is used below. */
	if (atomic_exchange_explicit(&req->is_done, REQUEST_DONE, memory_order_acq_rel) != REQUEST_AWAITED)
		return;

	mutex_lock(&dev->lock);
	list_for_each(node, &dev->sleepers) {
		struct sleeper *s = list_entry(node, struct sleeper, node);

		if (s->req == req) {
			wake_sleeper(s);
			break;
		}
	}
	is_collector = dev->collecting_for == req;
	mutex_unlock(&dev->lock);

	if (is_collector)
		dev->ops->wake(dev);
}

static void call_back(struct device_request *req)
{
	atomic_store_explicit(&req->is_done, REQUEST_DONE, memory_order_relaxed);
	req->done(req);
}

static void leave_ready(struct device *dev, struct device_request *req)
{
	bool is_blocked;

	mutex_lock(&dev->lock);
	list_push_back(&dev->ready, &req->node);
	is_blocked = dev->is_collecting && !dev->turn_waiters;
	if (dev->turn_waiters)
		cond_signal(&dev->turn);
	mutex_unlock(&dev->lock);

	if (is_blocked)
		dev->ops->wake(dev);
}

void wait_settled(struct device *dev, struct device_request *req)
{
	if (req->done)
		leave_ready(dev, req);
	else
		finish_awaited(dev, req);
}

/* Completes the requests of @batch that need nothing but waking a thread.  By the thread that has the turn. */
static unsigned complete_awaited(struct device *dev, struct list *batch)
{
	unsigned count = 0;

	list_for_each_safe(node, batch) {
		struct device_request *req = list_entry(node, struct device_request, node);

		if (req->done || req->needs_finish)
			continue;
		list_remove(&req->node);
		if (req == dev->collecting_for)
			atomic_store_explicit(&req->is_done, REQUEST_DONE, memory_order_relaxed);
		else
			finish_awaited(dev, req);
		count++;
	}
	return count;
}

static unsigned complete_all(struct device *dev, struct list *batch, bool may_call_back)
{
	unsigned count = 0;

	while (!list_is_empty(batch)) {
		struct device_request *req = first_request(batch);

		list_remove(&req->node);
		if (req->needs_finish) {
			req->needs_finish = false;
			dev->ops->finish(dev, req);
		}
		if (!req->done)
			finish_awaited(dev, req);
		else if (may_call_back)
			call_back(req);
		else
			leave_ready(dev, req);
		count++;
	}
	return count;
}

/* ---- collecting ------------------------------------------------------------------------------------------------ */

/*
 * Rounds of the thread that has the turn: one, or for a device_wait() caller as many as it takes, unless there is
 * something else to do for the requests it leaves in @batch.  Gives up the turn.
 */
static unsigned collect(struct device *dev, bool wait, struct device_request *wanted, struct list *batch)
{
	unsigned count = 0;

	do {
		dev->ops->collect(dev, wait, batch);
		count += complete_awaited(dev, batch);
	} while (wanted && list_is_empty(batch) && !is_done(wanted));

	mutex_lock(&dev->lock);
	dev->is_collecting = false;
	dev->collecting_for = NULL;
	pass_on(dev);
	mutex_unlock(&dev->lock);
	return count;
}

/*
 * Waits (if @wait) until there is something in .ready, which goes to @batch, or the turn is free, which is then
 * taken.  *may_block: the turn was taken and there is nothing else to do.
 */
static bool take_turn(struct device *dev, bool wait, struct list *batch, bool *may_block)
{
	bool is_mine;

	mutex_lock(&dev->lock);
	while (wait && dev->is_collecting && list_is_empty(&dev->ready) && !dev->is_stopping) {
		dev->turn_waiters++;
		cond_wait(&dev->turn, &dev->lock);
		dev->turn_waiters--;
	}
	list_splice_back(batch, &dev->ready);
	is_mine = !dev->is_collecting;
	if (is_mine)
		dev->is_collecting = true;
	*may_block = wait && list_is_empty(batch) && !dev->is_stopping;
	mutex_unlock(&dev->lock);
	return is_mine;
}

unsigned device_pass(struct device *dev, bool wait)
{
	struct list batch = LIST_INIT(batch);
	unsigned count = 0;
	bool may_block;

	if (take_turn(dev, wait, &batch, &may_block))
		count = collect(dev, may_block, NULL, &batch);
	return count + complete_all(dev, &batch, true);
}

void device_wake(struct device *dev)
{
	bool is_blocked;

	mutex_lock(&dev->lock);
	dev->is_stopping = true;
	is_blocked = dev->is_collecting;
	cond_broadcast(&dev->turn);
	mutex_unlock(&dev->lock);

	/* A collector that has just given up the turn leaves this behind for the next one: a round for nothing. */
	if (is_blocked)
		dev->ops->wake(dev);
}

/* ---- waiting --------------------------------------------------------------------------------------------------- */

/* False when it is done already; else whoever finishes it will wake somebody. */
static bool mark_awaited(struct device_request *req)
{
	uint32_t state = REQUEST_PENDING;

	return atomic_compare_exchange_strong_explicit(&req->is_done, &state, REQUEST_AWAITED, memory_order_acquire,
						       memory_order_acquire) ||
	       state == REQUEST_AWAITED;
}

/* Sleeps until @req, which is marked, is done or it is this thread's turn. */
static void sleep_for(struct device *dev, struct device_request *req) REQUIRES(dev->lock);

static void sleep_for(struct device *dev, struct device_request *req)
{
	struct sleeper s = { .req = req };

	cond_init(&s.wake);
	list_push_back(&dev->sleepers, &s.node);
	while (!list_is_empty(&s.node))
		cond_wait(&s.wake, &dev->lock);
	cond_deinit(&s.wake);
}

/* Rounds for @req by a thread that finds the turn free. */
static void collect_for(struct device *dev, struct device_request *req) REQUIRES(dev->lock);

static void collect_for(struct device *dev, struct device_request *req)
{
	struct list batch = LIST_INIT(batch);

	dev->is_collecting = true;
	dev->collecting_for = req;
	mutex_unlock(&dev->lock);
	collect(dev, true, req, &batch);
	complete_all(dev, &batch, false);
	mutex_lock(&dev->lock);
}

int device_wait(struct device *dev, struct device_request *req)
{
	ensure(!req->done);
	if (is_done(req))
		return req->err;

	mutex_lock(&dev->lock);
	while (mark_awaited(req)) {
		if (dev->is_collecting)
			sleep_for(dev, req);
		else
			collect_for(dev, req);
	}
	pass_on(dev);
	mutex_unlock(&dev->lock);
	return req->err;
}
