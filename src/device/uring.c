/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The io_uring engine.
 *
 * Any thread submits, under the engine's lock; the thread that has the turn is alone on the completion side and waits
 * there without the lock.  A no-op without a request wakes it.
 */
#include <liburing.h>
#include <sys/uio.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "async.h"

enum {
	RETRY_NS = 1000 * 1000,	/* between attempts to submit when the kernel refuses */
};

struct uring_engine {
	struct async_engine async;
	struct io_uring ring;
	bool is_wake_queued;	/* a no-op is under way [async.lock] */
};

static struct uring_engine *uring_engine(struct async_engine *engine)
{
	return container_of(engine, struct uring_engine, async);
}

static void prepare_transfer(struct io_uring_sqe *sqe, const struct async_engine *engine, struct device_request *req)
{
	uint64_t off = engine->file.off_bytes + req->off_bytes + req->progress_bytes;
	int count;
	struct iovec *iov = request_iov(req, &count);

	if (req->op == DEVICE_READ)
		io_uring_prep_readv(sqe, 0, iov, (unsigned)count, off);
	else
		io_uring_prep_writev2(sqe, 0, iov, (unsigned)count, off, req->flags & DEVICE_FUA ? RWF_DSYNC : 0);
}

static int uring_start(struct async_engine *engine, struct device_request *req)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring_engine(engine)->ring);

	if (!sqe)
		return -EAGAIN;
	if (async_is_flush(req))
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
	else
		prepare_transfer(sqe, engine, req);
	/* The file is the ring's registered file 0. */
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, req);
	return 0;
}

static void uring_flush(struct async_engine *engine)
{
	struct io_uring *ring = &uring_engine(engine)->ring;

	/* What the kernel refuses for now stays in the ring; the collector tries again. */
	if (io_uring_sq_ready(ring))
		io_uring_submit(ring);
}

static void uring_wake(struct device *dev)
{
	struct async_engine *engine = async_engine(dev);
	struct uring_engine *uring = uring_engine(engine);
	struct io_uring_sqe *sqe;

	mutex_lock(&engine->lock);
	sqe = uring->is_wake_queued ? NULL : io_uring_get_sqe(&uring->ring);
	if (sqe) {
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data(sqe, NULL);
		uring->is_wake_queued = true;
		uring_flush(engine);
	}
	mutex_unlock(&engine->lock);
}

/* True when everything prepared is with the kernel, so that waiting for completions makes sense. */
static bool is_all_submitted(struct async_engine *engine)
{
	bool is_submitted;

	mutex_lock(&engine->lock);
	uring_flush(engine);
	is_submitted = io_uring_sq_ready(&uring_engine(engine)->ring) == 0;
	mutex_unlock(&engine->lock);
	return is_submitted;
}

static void wait_for_completion(struct async_engine *engine)
{
	struct io_uring_cqe *cqe;

	if (is_all_submitted(engine))
		io_uring_wait_cqe(&uring_engine(engine)->ring, &cqe);
	else
		clock_sleep_ns(RETRY_NS);
}

static void uring_reap(struct async_engine *engine, bool wait, struct list *out)
{
	struct uring_engine *uring = uring_engine(engine);
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;

	if (wait)
		wait_for_completion(engine);

	mutex_lock(&engine->lock);
	io_uring_for_each_cqe(&uring->ring, head, cqe) {
		struct device_request *req = io_uring_cqe_get_data(cqe);

		if (req)
			async_step_done(engine, req, cqe->res, out);
		else
			uring->is_wake_queued = false;
		count++;
	}
	io_uring_cq_advance(&uring->ring, count);
	if (count)
		async_start_pending(engine);
	mutex_unlock(&engine->lock);
}

static void uring_close(struct device *dev)
{
	struct uring_engine *uring = uring_engine(async_engine(dev));

	async_deinit(&uring->async);
	io_uring_unregister_files(&uring->ring);
	io_uring_queue_exit(&uring->ring);
	file_close(&uring->async.file);
	mem_free(uring);
}

static const struct async_backend uring_backend = {
	.start = uring_start,
	.flush = uring_flush,
	.reap = uring_reap,
};

static const struct device_ops uring_ops = {
	.name = "uring",
	.submit = async_submit,
	.collect = async_collect,
	.wake = uring_wake,
	.finish = file_perform,
	.perform = file_perform,
	.drop_exclusive = file_drop_exclusive,
	.close = uring_close,
};

int uring_engine_create(const struct file_device *file, struct device **out)
{
	struct uring_engine *uring = mem_alloc_zeroed(sizeof(*uring));
	int err;

	if (!uring)
		return -ENOMEM;
	err = io_uring_queue_init(ASYNC_DEPTH, &uring->ring, 0);
	if (err)
		goto free_engine;
	err = io_uring_register_files(&uring->ring, &file->fd, 1);
	if (err)
		goto exit_ring;
	async_init(&uring->async, file, &uring_ops, &uring_backend);
	*out = &uring->async.file.dev;
	return 0;

exit_ring:
	io_uring_queue_exit(&uring->ring);
free_engine:
	mem_free(uring);
	return err;
}
