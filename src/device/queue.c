/* SPDX-License-Identifier: GPL-2.0 */
/* A queue of requests: see queue.h. */
#include <userxfs/base/error.h>

#include "internal.h"
#include "queue.h"

void queue_init(struct queue *q, struct device *dev)
{
	mutex_init(&q->lock, RANK_DEVICE, ORDER_ENGINE, "device queue");
	cond_init(&q->fill);
	list_init(&q->requests);
	q->is_woken = false;
	dev->queue = q;
}

void queue_deinit(struct queue *q)
{
	ensure(list_is_empty(&q->requests));
	cond_deinit(&q->fill);
	mutex_deinit(&q->lock);
}

void queue_submit(struct device *dev, struct device_request *req)
{
	struct queue *q = dev->queue;

	req->needs_finish = true;
	mutex_lock(&q->lock);
	list_push_back(&q->requests, &req->node);
	cond_signal(&q->fill);
	mutex_unlock(&q->lock);
}

void queue_collect(struct device *dev, bool wait, struct list *out)
{
	struct queue *q = dev->queue;

	mutex_lock(&q->lock);
	while (wait && list_is_empty(&q->requests) && !q->is_woken)
		cond_wait(&q->fill, &q->lock);
	q->is_woken = false;
	if (!list_is_empty(&q->requests))
		list_move_back(out, q->requests.next);
	mutex_unlock(&q->lock);
}

void queue_wake(struct device *dev)
{
	struct queue *q = dev->queue;

	mutex_lock(&q->lock);
	q->is_woken = true;
	cond_signal(&q->fill);
	mutex_unlock(&q->lock);
}
