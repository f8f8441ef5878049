/* SPDX-License-Identifier: GPL-2.0 */
/* Log items in general: formatting into vectors, being attached to buffers. */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "internal.h"

enum {
	REGION_ALIGN = 8,
};

void log_item_init(struct log *log, struct log_item *item, const struct log_item_ops *ops)
{
	*item = (struct log_item){ .ops = ops, .log = log };
	list_init(&item->tx_node);
	list_init(&item->tail_node);
	list_init(&item->buffer_node);
}

/* ---- vectors ------------------------------------------------------------------------------------------------- */

static size_t data_off(const struct log_vector *v)
{
	return round_up_u64(sizeof(*v) + v->region_max * sizeof(v->regions[0]), REGION_ALIGN);
}

static struct log_vector *vector_new(uint32_t regions, uint32_t bytes)
{
	struct log_vector head = { .region_max = regions, .data_max = bytes + regions * REGION_ALIGN };
	struct log_vector *v = mem_alloc_sure(data_off(&head) + head.data_max);

	*v = head;
	list_init(&v->node);
	return v;
}

void log_vector_free(struct log_vector *vector)
{
	mem_free(vector);
}

const void *log_vector_data(const struct log_vector *vector, const struct log_region *region)
{
	return (const char *)vector + data_off(vector) + region->off;
}

static void *region_new(struct log_vector *v, uint32_t type, uint32_t bytes)
{
	uint32_t padded = (uint32_t)round_up_u64(bytes, 4);
	uint32_t off = (uint32_t)round_up_u64(v->data_used, REGION_ALIGN);
	char *data;

	ensure(bytes > 0);
	ensure(v->region_count < v->region_max && off + padded <= v->data_max);
	v->regions[v->region_count++] = (struct log_region){ .type = type, .off = off, .bytes = padded };
	v->data_used = off + padded;
	v->payload_bytes += padded + OP_BYTES;
	data = (char *)v + data_off(v) + off;
	memset(data + bytes, 0, padded - bytes);
	return data;
}

void log_region_add(struct log_region_writer *w, uint32_t region_type, const void *data, uint32_t bytes)
{
	memcpy(region_new(w->vector, region_type, bytes), data, bytes);
}

void *log_region_reserve(struct log_region_writer *w, uint32_t region_type, uint32_t bytes)
{
	return memset(region_new(w->vector, region_type, bytes), 0, bytes);
}

void log_item_prepare(struct log_item *item)
{
	bool is_ordered = atomic_load(&item->flags) & LOG_ITEM_ORDERED;
	struct log_region_writer w;
	uint32_t regions = 0, bytes = 0;

	ensure(!item->shadow);
	if (!is_ordered)
		item->ops->size(item, &regions, &bytes);
	if (!is_ordered && !regions)
		return;
	w.vector = vector_new(regions, bytes);
	w.vector->item = item;
	w.vector->is_ordered = is_ordered;
	if (!is_ordered)
		item->ops->format(item, &w);
	item->shadow = w.vector;
}

/* ---- attached to buffers ------------------------------------------------------------------------------------- */

void log_item_attach(struct log_item *item, struct buffer *buf)
{
	ensure(!item->buffer && olock_is_locked(&buf->lock));
	buffer_hold(buf);
	item->buffer = buf;
	buf->write_done = buffer_item_write_done;
	list_push_back(&buf->attached_items, &item->buffer_node);
}

void log_item_detach(struct log_item *item)
{
	struct buffer *buf = item->buffer;

	if (!buf)
		return;
	list_remove(&item->buffer_node);
	item->buffer = NULL;
	buffer_put(buf);
}

void log_items_written(struct buffer *buf, int err)
{
	struct list items = LIST_INIT(items);

	/* .written may attach its item again: each is told once. */
	list_splice_back(&items, &buf->attached_items);
	while (!list_is_empty(&items)) {
		struct log_item *item = list_first(&items, struct log_item, buffer_node);

		log_item_detach(item);
		if (err)
			atomic_fetch_or(&item->flags, LOG_ITEM_FAILED);
		else
			atomic_fetch_and(&item->flags, ~(uint32_t)LOG_ITEM_FAILED);
		if (item->ops->written)
			item->ops->written(item, buf, err);
	}
}
