/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The libaio engine.  Completions raise an eventfd, so that a collector can wait for them and be woken alike; it
 * clears the eventfd before it looks for events and then takes them all, so none is left without a signal.
 */
#include <libaio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "async.h"

enum {
	BATCH = 64,	/* events taken from the kernel at a time */
};

struct aio_engine {
	struct async_engine async;
	io_context_t context;	/* [I] */
	int event_fd;		/* [I] */
};

static struct aio_engine *aio_engine(struct async_engine *engine)
{
	return container_of(engine, struct aio_engine, async);
}

static void prepare_transfer(struct iocb *cb, const struct file_device *file, struct device_request *req)
{
	long long off = (long long)(file->off_bytes + req->off_bytes + req->progress_bytes);
	int count;
	struct iovec *iov = request_iov(req, &count);

	if (req->op == DEVICE_READ)
		io_prep_preadv(cb, file->fd, iov, count, off);
	else
		io_prep_pwritev2(cb, file->fd, iov, count, off, req->flags & DEVICE_FUA ? RWF_DSYNC : 0);
}

static int aio_start(struct async_engine *engine, struct device_request *req)
{
	struct aio_engine *aio = aio_engine(engine);
	struct iocb cb, *list = &cb;
	int count;

	if (async_is_flush(req))
		io_prep_fdsync(&cb, engine->file.fd);
	else
		prepare_transfer(&cb, &engine->file, req);
	io_set_eventfd(&cb, aio->event_fd);
	cb.data = req;
	count = io_submit(aio->context, 1, &list);
	return count == 1 ? 0 : count < 0 ? count : -EAGAIN;
}

static void aio_wake(struct device *dev)
{
	uint64_t one = 1;

	/* A full counter is a raised one. */
	(void)!write(aio_engine(async_engine(dev))->event_fd, &one, sizeof(one));
}

static void take_events(struct async_engine *engine, struct list *out) REQUIRES(engine->lock);

static void take_events(struct async_engine *engine, struct list *out)
{
	struct io_event events[BATCH];
	struct timespec at_once = { 0 };
	int count;

	do {
		count = io_getevents(aio_engine(engine)->context, 0, BATCH, events, &at_once);
		for (int i = 0; i < count; i++)
			async_step_done(engine, events[i].data, (int64_t)events[i].res, out);
	} while (count == BATCH || count == -EINTR);
	async_start_pending(engine);
}

static void aio_reap(struct async_engine *engine, bool wait, struct list *out)
{
	struct aio_engine *aio = aio_engine(engine);
	struct pollfd p = { .fd = aio->event_fd, .events = POLLIN };
	uint64_t count;

	if (wait)
		poll(&p, 1, -1);
	/* Nothing to clear is no error: the look is free. */
	(void)!read(aio->event_fd, &count, sizeof(count));

	mutex_lock(&engine->lock);
	take_events(engine, out);
	mutex_unlock(&engine->lock);
}

static void aio_close(struct device *dev)
{
	struct aio_engine *aio = aio_engine(async_engine(dev));

	async_deinit(&aio->async);
	io_destroy(aio->context);
	close(aio->event_fd);
	file_close(&aio->async.file);
	mem_free(aio);
}

static const struct async_backend aio_backend = {
	.start = aio_start,
	.reap = aio_reap,
};

static const struct device_ops aio_ops = {
	.name = "aio",
	.submit = async_submit,
	.collect = async_collect,
	.wake = aio_wake,
	.finish = file_perform,
	.perform = file_perform,
	.drop_exclusive = file_drop_exclusive,
	.close = aio_close,
};

int aio_engine_create(const struct file_device *file, struct device **out)
{
	struct aio_engine *aio = mem_alloc_zeroed(sizeof(*aio));
	int err;

	if (!aio)
		return -ENOMEM;
	aio->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (aio->event_fd < 0) {
		err = -errno;
		goto free_engine;
	}
	err = io_setup(ASYNC_DEPTH, &aio->context);
	if (err)
		goto close_event_fd;
	async_init(&aio->async, file, &aio_ops, &aio_backend);
	*out = &aio->async.file.dev;
	return 0;

close_event_fd:
	close(aio->event_fd);
free_engine:
	mem_free(aio);
	return err;
}
