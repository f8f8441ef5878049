/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * What the engines over the kernel's asynchronous interfaces share: requests of several steps, a bound on what is
 * in flight, and the requests those interfaces cannot take, which a passing thread carries out itself.
 *
 *   submit -> pending -> in flight -> out          (each step of a request takes this way)
 *               \-> for_finish -> out
 */
#include "internal.h"

enum {
	ASYNC_DEPTH = 256,	/* steps in flight; more requests wait in .pending */
};

enum async_stage {
	STAGE_NEW,
	STAGE_PREFLUSH,		/* a flush before the write */
	STAGE_MAIN,		/* the request's own operation, or what is left of it */
};

struct async_engine;

/* One interface of the kernel. */
struct async_backend {
	/* Starts the step that .stage names.  -errno: not possible, now or ever.  Under the lock. */
	int (*start)(struct async_engine *engine, struct device_request *req);
	/* Optional: hands to the kernel what ->start has prepared.  Under the lock. */
	void (*flush)(struct async_engine *engine);
	/* Calls async_step_done() for steps that are over; @wait as in ->collect.  Takes the lock itself. */
	void (*reap)(struct async_engine *engine, bool wait, struct list *out);
};

struct async_engine {
	struct file_device file;
	const struct async_backend *backend;	/* [I] */
	struct mutex lock;
	unsigned in_flight;	/* [lock] */
	struct list pending;	/* requests that have a step to start [lock] */
	struct list for_finish;	/* requests that a passing thread shall carry out [lock] */
};

static inline struct async_engine *async_engine(struct device *dev)
{
	return container_of(file_device(dev), struct async_engine, file);
}

/* @ops: the engine's own; .submit, .collect and .perform are those below. */
void async_init(struct async_engine *engine, const struct file_device *file, const struct device_ops *ops,
		const struct async_backend *backend);
void async_deinit(struct async_engine *engine);

void async_submit(struct device *dev, struct device_request *req);
void async_collect(struct device *dev, bool wait, struct list *out);

/* Whether the step of @req is a flush. */
bool async_is_flush(const struct device_request *req);
/* The step of @req has ended with @result: a number of bytes or -errno.  Its last step puts the request to @out. */
void async_step_done(struct async_engine *engine, struct device_request *req, int64_t result, struct list *out)
	REQUIRES(engine->lock);
/* Starts what waits for room; backends call it at the end of a reaped batch. */
void async_start_pending(struct async_engine *engine) REQUIRES(engine->lock);
