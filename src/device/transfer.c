/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Synchronous transfers of any alignment.
 *
 * What is aligned goes straight through; the rest bounces.  An unaligned write reads the device's units around it
 * first and writes them back; the bounce lock makes such writes exclude each other, so that two of them in one unit
 * do not undo each other.  (An aligned write covers its units wholly: whoever made it owns them.)
 */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "internal.h"

enum {
	BOUNCE_MAX = 1 << 20,	/* bytes bounced at a time; more than any alignment */
};

static int transfer(struct device *dev, enum device_op op, uint64_t off_bytes, void *data, uint64_t count_bytes,
		    uint32_t flags)
{
	struct iovec iov = { .iov_base = data, .iov_len = count_bytes };
	struct device_request req;

	device_request_init(&req, op, off_bytes, &iov, 1);
	req.flags = flags;
	return device_perform(dev, &req);
}

static bool is_aligned(const struct device *dev, uint64_t off_bytes, const void *data, uint64_t count_bytes)
{
	return ((off_bytes | (uintptr_t)data | count_bytes) & (dev->alignment_bytes - 1)) == 0;
}

/* The length of the part of [@off, @off + @count) that is bounced first, and the units [*start, *end) around it. */
static uint64_t next_bounce(const struct device *dev, uint64_t off_bytes, uint64_t count_bytes, uint64_t *start,
			    uint64_t *end)
{
	uint64_t limit;

	*start = round_down_u64(off_bytes, dev->alignment_bytes);
	limit = min_u64(*start + BOUNCE_MAX, off_bytes + count_bytes);
	*end = round_up_u64(limit, dev->alignment_bytes);
	return limit - off_bytes;
}

/* The size is a multiple of the unit, so rounding cannot lead past the end. */
static bool is_inside(const struct device *dev, uint64_t off_bytes, uint64_t count_bytes)
{
	return off_bytes <= dev->size_bytes && count_bytes <= dev->size_bytes - off_bytes;
}

static void *bounce_buffer(const struct device *dev, uint64_t count_bytes)
{
	uint64_t size_bytes = min_u64(count_bytes + 2ull * dev->alignment_bytes, BOUNCE_MAX);

	return mem_alloc_aligned(max_u64(dev->alignment_bytes, sizeof(void *)),
				 round_up_u64(size_bytes, dev->alignment_bytes));
}

static int read_bounced(struct device *dev, uint64_t off_bytes, char *data, uint64_t count_bytes)
{
	char *buffer = bounce_buffer(dev, count_bytes);
	int err = 0;

	if (!buffer)
		return -ENOMEM;
	while (count_bytes && !err) {
		uint64_t start, end, step = next_bounce(dev, off_bytes, count_bytes, &start, &end);

		err = transfer(dev, DEVICE_READ, start, buffer, end - start, 0);
		if (!err)
			memcpy(data, buffer + (off_bytes - start), step);
		off_bytes += step;
		data += step;
		count_bytes -= step;
	}
	mem_free(buffer);
	return err;
}

int device_read(struct device *dev, uint64_t off_bytes, void *data, uint64_t count_bytes)
{
	if (is_aligned(dev, off_bytes, data, count_bytes))
		return transfer(dev, DEVICE_READ, off_bytes, data, count_bytes, 0);
	return is_inside(dev, off_bytes, count_bytes) ? read_bounced(dev, off_bytes, data, count_bytes) : -EIO;
}

/* Writes @step bytes of @data by way of @buffer, which holds the units [@start, @end) afterwards. */
NO_LOCK_ANALYSIS static int write_step(struct device *dev, uint64_t off_bytes, const char *data, uint64_t step,
				       uint64_t start, uint64_t end, char *buffer, uint32_t flags)
{
	uint64_t unit = dev->alignment_bytes, last = end - unit;
	bool is_head_cut = off_bytes != start || off_bytes + step < start + unit;
	bool is_tail_cut = last != start && off_bytes + step != end;
	int err = 0;

	if (is_head_cut || is_tail_cut)
		mutex_lock(&dev->bounce_lock);
	if (is_head_cut)
		err = transfer(dev, DEVICE_READ, start, buffer, unit, 0);
	if (!err && is_tail_cut)
		err = transfer(dev, DEVICE_READ, last, buffer + (last - start), unit, 0);
	if (!err) {
		memcpy(buffer + (off_bytes - start), data, step);
		err = transfer(dev, DEVICE_WRITE, start, buffer, end - start, flags);
	}
	if (is_head_cut || is_tail_cut)
		mutex_unlock(&dev->bounce_lock);
	return err;
}

static int write_bounced(struct device *dev, uint64_t off_bytes, const char *data, uint64_t count_bytes,
			 uint32_t flags)
{
	char *buffer = bounce_buffer(dev, count_bytes);
	int err = 0;

	if (!buffer)
		return -ENOMEM;
	while (count_bytes && !err) {
		uint64_t start, end, step = next_bounce(dev, off_bytes, count_bytes, &start, &end);

		err = write_step(dev, off_bytes, data, step, start, end, buffer, flags);
		off_bytes += step;
		data += step;
		count_bytes -= step;
	}
	mem_free(buffer);
	return err;
}

int device_write(struct device *dev, uint64_t off_bytes, const void *data, uint64_t count_bytes, uint32_t flags)
{
	if (is_aligned(dev, off_bytes, data, count_bytes))
		return transfer(dev, DEVICE_WRITE, off_bytes, (void *)(uintptr_t)data, count_bytes, flags);
	if (!is_inside(dev, off_bytes, count_bytes))
		return -EIO;
	return write_bounced(dev, off_bytes, data, count_bytes, flags);
}

int device_flush(struct device *dev)
{
	struct device_request req;

	device_request_init(&req, DEVICE_FLUSH, 0, NULL, 0);
	return device_perform(dev, &req);
}
