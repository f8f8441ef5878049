/* SPDX-License-Identifier: GPL-2.0 */
/* The common half of the asynchronous engines: see async.h. */
#include <userxfs/base/error.h>

#include "async.h"

void async_init(struct async_engine *engine, const struct file_device *file, const struct device_ops *ops,
		const struct async_backend *backend)
{
	engine->file = *file;
	device_init(&engine->file.dev, ops);
	engine->backend = backend;
	mutex_init(&engine->lock, RANK_DEVICE, ORDER_ENGINE, "device engine");
	engine->in_flight = 0;
	list_init(&engine->pending);
	list_init(&engine->for_finish);
}

void async_deinit(struct async_engine *engine)
{
	ensure(engine->in_flight == 0);
	ensure(list_is_empty(&engine->pending));
	ensure(list_is_empty(&engine->for_finish));
	mutex_deinit(&engine->lock);
}

bool async_is_flush(const struct device_request *req)
{
	return req->stage == STAGE_PREFLUSH || req->op == DEVICE_FLUSH;
}

static void leave_for_finish(struct async_engine *engine, struct device_request *req) REQUIRES(engine->lock);

static void leave_for_finish(struct async_engine *engine, struct device_request *req)
{
	req->needs_finish = true;
	list_move_back(&engine->for_finish, &req->node);
}

void async_start_pending(struct async_engine *engine)
{
	while (!list_is_empty(&engine->pending) && engine->in_flight < ASYNC_DEPTH) {
		struct device_request *req = list_first(&engine->pending, struct device_request, node);
		int err = engine->backend->start(engine, req);

		/* A full kernel queue has room again when something completes. */
		if (err == -EAGAIN && engine->in_flight)
			break;
		if (err) {
			leave_for_finish(engine, req);
			continue;
		}
		list_remove(&req->node);
		engine->in_flight++;
	}
	if (engine->backend->flush)
		engine->backend->flush(engine);
}

void async_submit(struct device *dev, struct device_request *req)
{
	struct async_engine *engine = async_engine(dev);
	bool is_for_finish;

	req->stage = req->op == DEVICE_WRITE && (req->flags & DEVICE_PREFLUSH) ? STAGE_PREFLUSH : STAGE_MAIN;
	mutex_lock(&engine->lock);
	list_push_back(&engine->pending, &req->node);
	/* The kernel discards in the calling thread, however long that takes: not in this one. */
	if (req->op == DEVICE_DISCARD)
		leave_for_finish(engine, req);
	else
		async_start_pending(engine);
	is_for_finish = !list_is_empty(&engine->for_finish);
	mutex_unlock(&engine->lock);

	if (is_for_finish)
		dev->ops->wake(dev);
}

void async_collect(struct device *dev, bool wait, struct list *out)
{
	struct async_engine *engine = async_engine(dev);

	mutex_lock(&engine->lock);
	list_splice_back(out, &engine->for_finish);
	mutex_unlock(&engine->lock);

	engine->backend->reap(engine, wait && list_is_empty(out), out);
}

/* Sets .err and returns true when the request is over; else says in .stage and .iov_index how it goes on. */
static bool take_result(struct device_request *req, int64_t result)
{
	req->err = 0;
	/* ECANCELED: the thread that submitted the step has exited (io_uring). */
	if (result == -EINTR || result == -EAGAIN || result == -ECANCELED)
		return false;
	if (result < 0) {
		req->err = (int)result;
		return true;
	}
	if (req->stage == STAGE_PREFLUSH) {
		req->stage = STAGE_MAIN;
		return false;
	}
	if (req->op == DEVICE_FLUSH)
		return true;
	if (result == 0) {
		/* The file has become shorter than it was when it was opened. */
		req->err = -EIO;
		return true;
	}
	request_advance(req, (uint64_t)result);
	return req->progress_bytes == req->length_bytes;
}

void async_step_done(struct async_engine *engine, struct device_request *req, int64_t result, struct list *out)
{
	engine->in_flight--;
	if (take_result(req, result))
		list_push_back(out, &req->node);
	else
		list_push_front(&engine->pending, &req->node);
}
