/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Requests that wait for a thread to carry them out: the submit, collect and wake of engines whose ->finish does the
 * work.
 */
#include <userxfs/device.h>

struct queue {
	struct mutex lock;
	struct cond fill;
	struct list requests;	/* oldest first [lock] */
	bool is_woken;		/* the collector, or the next one, returns [lock] */
};

/* It becomes @dev's queue. */
void queue_init(struct queue *q, struct device *dev);
void queue_deinit(struct queue *q);

/* ---- for struct device_ops ---- */

void queue_submit(struct device *dev, struct device_request *req);
/* Takes one request, so that others are left for other threads. */
void queue_collect(struct device *dev, bool wait, struct list *out);
void queue_wake(struct device *dev);
