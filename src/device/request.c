/* SPDX-License-Identifier: GPL-2.0 */
/* A request's way in and out: checks, fault points, progress, completion. */
#include <limits.h>

#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/fault.h>

#include "internal.h"
#include "wait.h"

void device_request_init(struct device_request *req, enum device_op op, uint64_t off_bytes, struct iovec *iov,
			 int iov_count)
{
	*req = (struct device_request){
		.op = op,
		.off_bytes = off_bytes,
		.iov = iov,
		.iov_count = iov_count,
	};
	for (int i = 0; i < iov_count; i++)
		req->length_bytes += iov[i].iov_len;
	list_init(&req->node);
}

void device_init(struct device *dev, const struct device_ops *ops)
{
	dev->ops = ops;
	mutex_init(&dev->bounce_lock, RANK_DEVICE, ORDER_BOUNCE, "device bounce");
	mutex_init(&dev->lock, RANK_DEVICE, ORDER_DEVICE, "device");
	cond_init(&dev->turn);
	list_init(&dev->sleepers);
	list_init(&dev->ready);
	dev->turn_waiters = 0;
	dev->is_collecting = false;
	dev->collecting_for = NULL;
	dev->is_stopping = false;
}

void device_deinit(struct device *dev)
{
	ensure(list_is_empty(&dev->sleepers));
	ensure(list_is_empty(&dev->ready));
	ensure(!dev->is_collecting);
	cond_deinit(&dev->turn);
	mutex_deinit(&dev->lock);
	mutex_deinit(&dev->bounce_lock);
}

void device_close(struct device *dev)
{
	if (!dev)
		return;
	device_deinit(dev);
	dev->ops->close(dev);
}

int device_drop_exclusive(struct device *dev)
{
	if (dev->ops->drop_exclusive)
		dev->ops->drop_exclusive(dev);
	return 0;
}

/* ---- progress -------------------------------------------------------------------------------------------------- */

void request_advance(struct device_request *req, uint64_t count_bytes)
{
	req->progress_bytes += count_bytes;
	while (count_bytes) {
		struct iovec *v = &req->iov[req->iov_index];
		uint64_t step = min_u64(count_bytes, v->iov_len);

		v->iov_base = (char *)v->iov_base + step;
		v->iov_len -= step;
		count_bytes -= step;
		if (!v->iov_len)
			req->iov_index++;
	}
}

struct iovec *request_iov(const struct device_request *req, int *count)
{
	*count = (int)min_s64(req->iov_count - req->iov_index, IOV_MAX);
	return req->iov + req->iov_index;
}

/* ---- checks ---------------------------------------------------------------------------------------------------- */

static int check_alignment(const struct device *dev, const struct device_request *req)
{
	uint64_t mask = dev->alignment_bytes - 1;

	if ((req->off_bytes | req->length_bytes) & mask)
		return -EINVAL;
	for (int i = 0; i < req->iov_count && mask; i++) {
		if (((uintptr_t)req->iov[i].iov_base | req->iov[i].iov_len) & mask)
			return -EINVAL;
	}
	return 0;
}

static int check(const struct device *dev, const struct device_request *req)
{
	if (req->op == DEVICE_FLUSH)
		return 0;
	if (req->off_bytes > dev->size_bytes || req->length_bytes > dev->size_bytes - req->off_bytes)
		return -EIO;
	if (req->op != DEVICE_READ && dev->is_read_only)
		return -EROFS;
	/* A discard of less than the device's unit is the device's to ignore. */
	return req->op == DEVICE_DISCARD ? 0 : check_alignment(dev, req);
}

static int check_faults(const struct device_request *req)
{
	static const enum fault_point points[] = {
		[DEVICE_READ] = FAULT_device_read,
		[DEVICE_WRITE] = FAULT_device_write,
		[DEVICE_FLUSH] = FAULT_device_flush,
	};
	struct fault_site site = { .off_bytes = req->off_bytes, .count_bytes = req->length_bytes };
	int64_t value;
	int err;

	if (req->op == DEVICE_DISCARD || !fault_hit(points[req->op], &site, &value, &err))
		return 0;
	return err;
}

/* True when there is nothing left to do: .err is then set. */
static bool is_settled(struct device *dev, struct device_request *req)
{
	req->err = check(dev, req);
	if (!req->err)
		req->err = check_faults(req);
	if (req->err)
		return true;
	if (req->op == DEVICE_FLUSH)
		return dev->is_read_only;
	return req->length_bytes == 0;
}

static void start(struct device_request *req)
{
	atomic_store_explicit(&req->is_done, REQUEST_PENDING, memory_order_relaxed);
	req->progress_bytes = 0;
	req->iov_index = 0;
	req->stage = 0;
	req->needs_finish = false;
}

void request_copy(const struct device_request *req, char *bytes)
{
	for (int i = 0; i < req->iov_count; i++) {
		const struct iovec *v = &req->iov[i];

		if (req->op == DEVICE_READ)
			memcpy(v->iov_base, bytes, v->iov_len);
		else
			memcpy(bytes, v->iov_base, v->iov_len);
		bytes += v->iov_len;
	}
}

/* ---- in and out ------------------------------------------------------------------------------------------------ */

void device_submit(struct device *dev, struct device_request *req)
{
	start(req);
	if (is_settled(dev, req))
		wait_settled(dev, req);
	else
		dev->ops->submit(dev, req);
}

int device_perform(struct device *dev, struct device_request *req)
{
	ensure(!req->done);
	start(req);
	if (is_settled(dev, req))
		return req->err;
	if (dev->ops->perform) {
		dev->ops->perform(dev, req);
		return req->err;
	}
	dev->ops->submit(dev, req);
	return device_wait(dev, req);
}
