/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Blocks that the log says were freed.  (XFS: xlog_add_buffer_cancelled, xlog_put_buffer_cancelled.)
 *
 * What the log says of a block before it was freed is not replayed: the block may be file data by now, which is not
 * in the log.  It may be freed several times; after the last time it is somebody else's.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/memory.h>

#include "recover.h"

enum {
	FIRST_BUCKETS = 1024,
};

struct cancelled {
	struct list node;
	daddr_u64 daddr;
	uint32_t count;
	uint64_t times;
};

static struct list *make_buckets(uint64_t count)
{
	struct list *buckets = mem_alloc(count * sizeof(*buckets));

	for (uint64_t i = 0; buckets && i < count; i++)
		list_init(&buckets[i]);
	return buckets;
}

static struct list *bucket_of(const struct cancel_table *t, daddr_u64 daddr)
{
	return &t->buckets[hash_u64(daddr) & (t->bucket_count - 1)];
}

int cancel_table_init(struct cancel_table *t)
{
	*t = (struct cancel_table){ .buckets = make_buckets(FIRST_BUCKETS), .bucket_count = FIRST_BUCKETS };
	return t->buckets ? 0 : -ENOMEM;
}

void cancel_table_deinit(struct cancel_table *t)
{
	for (uint64_t i = 0; t->buckets && i < t->bucket_count; i++) {
		list_for_each_safe(node, &t->buckets[i])
			mem_free(list_entry(node, struct cancelled, node));
	}
	mem_free(t->buckets);
}

static struct cancelled *cancel_find(const struct cancel_table *t, daddr_u64 daddr, uint32_t count)
{
	list_for_each(node, bucket_of(t, daddr)) {
		struct cancelled *c = list_entry(node, struct cancelled, node);

		if (c->daddr == daddr && c->count == count)
			return c;
	}
	return NULL;
}

/* Twice the buckets; without memory the chains just get longer. */
static void cancel_grow(struct cancel_table *t)
{
	struct cancel_table old = *t;
	struct list *buckets = make_buckets(2 * old.bucket_count);

	if (!buckets)
		return;
	t->buckets = buckets;
	t->bucket_count = 2 * old.bucket_count;
	for (uint64_t i = 0; i < old.bucket_count; i++) {
		list_for_each_safe(node, &old.buckets[i])
			list_move_back(bucket_of(t, list_entry(node, struct cancelled, node)->daddr), node);
	}
	mem_free(old.buckets);
}

int cancel_table_add(struct cancel_table *t, daddr_u64 daddr, uint32_t count)
{
	struct cancelled *c = cancel_find(t, daddr, count);

	if (!c) {
		c = mem_alloc_zeroed(sizeof(*c));
		if (!c)
			return -ENOMEM;
		c->daddr = daddr;
		c->count = count;
		if (t->count >= t->bucket_count)
			cancel_grow(t);
		list_push_back(bucket_of(t, daddr), &c->node);
		t->count++;
	}
	c->times++;
	return 0;
}

void cancel_table_drop(struct cancel_table *t, daddr_u64 daddr, uint32_t count)
{
	struct cancelled *c = cancel_find(t, daddr, count);

	if (!c || --c->times)
		return;
	list_remove(&c->node);
	t->count--;
	mem_free(c);
}

bool recovery_is_cancelled(const struct recovery *r, daddr_u64 daddr, uint32_t count)
{
	return cancel_find(&r->cancelled, daddr, count);
}
