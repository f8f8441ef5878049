/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A device on top of another that is never written: what is written stays in memory and is what is read afterwards.
 *
 * Memory is kept in pages; a page that is written in part is read first.  Requests are queued like those of the sync
 * engine, and carried out by the thread that collects them.
 */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/memory.h>

#include "internal.h"
#include "queue.h"

enum {
	PAGE_BYTES = 4096,		/* no less than what O_DIRECT ever asks for */
	BUCKETS = 1 << 16,
};

struct page {
	struct list node;
	uint64_t index;
	char *bytes;
};

struct overlay {
	struct device dev;
	struct device *base;		/* [I] owned */
	struct queue queue;
	struct mutex pages_lock;	/* of the table and of the pages' bytes */
	struct list *buckets;
	uint64_t page_count;		/* [pages_lock] */
};

static struct overlay *overlay(struct device *dev)
{
	return container_of(dev, struct overlay, dev);
}

/* ---- pages ----------------------------------------------------------------------------------------------------- */

static struct list *bucket_of(struct overlay *o, uint64_t index)
{
	return &o->buckets[hash_u64(index) % BUCKETS];
}

static struct page *find_page(struct overlay *o, uint64_t index)
{
	list_for_each(node, bucket_of(o, index)) {
		struct page *page = list_entry(node, struct page, node);

		if (page->index == index)
			return page;
	}
	return NULL;
}

static void free_page(struct page *page)
{
	mem_free(page->bytes);
	mem_free(page);
}

/* The page, made if need be; its old contents are read unless all of it is going to be written. */
static int get_page(struct overlay *o, uint64_t index, bool is_whole, struct page **out)
{
	struct page *page = find_page(o, index);
	uint64_t off = index * PAGE_BYTES;
	int err = 0;

	if (!page) {
		page = mem_alloc_zeroed(sizeof(*page));
		if (!page)
			return -ENOMEM;
		page->index = index;
		page->bytes = mem_alloc_aligned(PAGE_BYTES, PAGE_BYTES);
		if (!page->bytes)
			err = -ENOMEM;
		else if (!is_whole)
			err = device_read(o->base, off, page->bytes, min_u64(PAGE_BYTES, o->dev.size_bytes - off));
		if (err) {
			free_page(page);
			return err;
		}
		list_push_back(bucket_of(o, index), &page->node);
		o->page_count++;
	}
	*out = page;
	return 0;
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

/* Copies between @data and what the pages have of [@off, @off + @bytes). */
static int copy(struct overlay *o, enum device_op op, uint64_t off, char *data, uint64_t bytes)
{
	while (bytes) {
		uint64_t skip = off % PAGE_BYTES, step = min_u64(bytes, PAGE_BYTES - skip);
		struct page *page = find_page(o, off / PAGE_BYTES);
		int err = 0;

		if (op == DEVICE_WRITE)
			err = get_page(o, off / PAGE_BYTES, step == PAGE_BYTES, &page);
		if (err)
			return err;
		if (op == DEVICE_WRITE)
			memcpy(page->bytes + skip, data, step);
		else if (page)
			memcpy(data, page->bytes + skip, step);
		off += step;
		data += step;
		bytes -= step;
	}
	return 0;
}

/* One piece of memory of a request. */
static int transfer(struct overlay *o, enum device_op op, uint64_t off, const struct iovec *v)
{
	int err = 0;

	if (op == DEVICE_READ)
		err = device_read(o->base, off, v->iov_base, v->iov_len);
	if (!err && (op == DEVICE_WRITE || o->page_count))
		err = copy(o, op, off, v->iov_base, v->iov_len);
	return err;
}

static void overlay_perform(struct device *dev, struct device_request *req)
{
	struct overlay *o = overlay(dev);
	uint64_t off = req->off_bytes;

	req->err = 0;
	if (req->op != DEVICE_READ && req->op != DEVICE_WRITE)
		return;
	/* One at a time: what is read is what some order of all requests would give. */
	mutex_lock(&o->pages_lock);
	for (int i = 0; i < req->iov_count && !req->err; i++) {
		req->err = transfer(o, req->op, off, &req->iov[i]);
		off += req->iov[i].iov_len;
	}
	mutex_unlock(&o->pages_lock);
}

static void overlay_drop_exclusive(struct device *dev)
{
	device_drop_exclusive(overlay(dev)->base);
}

static void overlay_close(struct device *dev)
{
	struct overlay *o = overlay(dev);

	for (unsigned i = 0; i < BUCKETS; i++) {
		list_for_each_safe(node, &o->buckets[i])
			free_page(list_entry(node, struct page, node));
	}
	device_close(o->base);
	queue_deinit(&o->queue);
	mutex_deinit(&o->pages_lock);
	mem_free(o->buckets);
	mem_free(o);
}

static const struct device_ops overlay_ops = {
	.name = "overlay",
	.submit = queue_submit,
	.collect = queue_collect,
	.wake = queue_wake,
	.finish = overlay_perform,
	.perform = overlay_perform,
	.drop_exclusive = overlay_drop_exclusive,
	.close = overlay_close,
};

int device_create_overlay(struct device *base, struct device **out)
{
	struct overlay *o = mem_alloc_zeroed(sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->buckets = mem_alloc(BUCKETS * sizeof(*o->buckets));
	if (!o->buckets) {
		mem_free(o);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&o->buckets[i]);
	o->base = base;
	o->dev.size_bytes = base->size_bytes;
	o->dev.alignment_bytes = base->alignment_bytes;
	device_init(&o->dev, &overlay_ops);
	queue_init(&o->queue, &o->dev);
	mutex_init(&o->pages_lock, RANK_DEVICE, ORDER_OVERLAY, "overlay");
	*out = &o->dev;
	return 0;
}
