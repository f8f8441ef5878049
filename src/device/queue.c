/* SPDX-License-Identifier: GPL-2.0 */
/* A queue of requests: see queue.h. */
#include <userxfs/base/error.h>

#include "internal.h"
#include "queue.h"

void queue_init(struct queue *q)
{
	mutex_init(&q->lock, RANK_DEVICE, ORDER_ENGINE, "device queue");
	cond_init(&q->fill);
	list_init(&q->requests);
	q->is_woken = false;
}

void queue_deinit(struct queue *q)
{
	ensure(list_is_empty(&q->requests));
	cond_deinit(&q->fill);
	mutex_deinit(&q->lock);
}

void queue_submit(struct queue *q, struct device_request *req)
{
	req->needs_finish = true;
	mutex_lock(&q->lock);
	list_push_back(&q->requests, &req->node);
	cond_signal(&q->fill);
	mutex_unlock(&q->lock);
}

void queue_collect(struct queue *q, bool wait, struct list *out)
{
	mutex_lock(&q->lock);
	while (wait && list_is_empty(&q->requests) && !q->is_woken)
		cond_wait(&q->fill, &q->lock);
	q->is_woken = false;
	if (!list_is_empty(&q->requests))
		list_move_back(out, q->requests.next);
	mutex_unlock(&q->lock);
}

void queue_wake(struct queue *q)
{
	mutex_lock(&q->lock);
	q->is_woken = true;
	cond_signal(&q->fill);
	mutex_unlock(&q->lock);
}
