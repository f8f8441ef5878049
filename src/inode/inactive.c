// SPDX-License-Identifier: GPL-2.0
/*
 * The inactivation queue, the tags, and walks over all inodes in memory.  (XFS: xfs_inodegc, xfs_icwalk.)
 *
 * Who walks never holds a cache lock while it calls: numbers or references are collected first.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "cache.h"

#define TAG_FLAGS (INODE_EOFBLOCKS | INODE_COWBLOCKS)

/* ---- inactivation ---- */

void inode_cache_set_needs_inactivation(struct inode_cache *cache, bool (*needs)(struct inode *inode))
{
	cache->needs = needs;
}

void inode_cache_set_wake(struct inode_cache *cache, void (*wake)(void *context), void *context)
{
	cache->wake = wake;
	cache->wake_context = context;
}

bool inode_needs_inactivation(struct inode *inode)
{
	struct inode_cache *cache = inode->cache;

	if (inode->mode == 0 || inode_has_flag(inode, INODE_STALE | INODE_SICK))
		return false;
	if (log_is_read_only(cache->log) || log_is_shutdown(cache->log))
		return false;
	return inode->nlink == 0 || (cache->needs && cache->needs(inode));
}

bool inode_queue_inactive(struct inode *inode)
{
	struct inode_cache *cache = inode->cache;
	bool was_empty;

	if (inode_has_flag(inode, INODE_INACTIVE_QUEUED))
		return false;
	mutex_lock(&cache->inactive_lock);
	was_empty = list_is_empty(&cache->inactive);
	list_push_back(&cache->inactive, &inode->inactive_node);
	atomic_fetch_add(&cache->inactive_count, 1);
	inode_set_flag(inode, INODE_INACTIVE_QUEUED);
	mutex_unlock(&cache->inactive_lock);
	return was_empty;
}

void inode_unqueue_inactive(struct inode *inode)
{
	struct inode_cache *cache = inode->cache;

	if (!inode_has_flag(inode, INODE_INACTIVE_QUEUED))
		return;
	mutex_lock(&cache->inactive_lock);
	list_remove(&inode->inactive_node);
	atomic_fetch_sub(&cache->inactive_count, 1);
	inode_clear_flag(inode, INODE_INACTIVE_QUEUED);
	mutex_unlock(&cache->inactive_lock);
}

static bool first_inactive(struct inode_cache *cache, struct inum *out)
{
	bool is_empty;

	mutex_lock(&cache->inactive_lock);
	is_empty = list_is_empty(&cache->inactive);
	if (!is_empty)
		*out = list_first(&cache->inactive, struct inode, inactive_node)->ino;
	mutex_unlock(&cache->inactive_lock);
	return !is_empty;
}

bool inode_take_inactive(struct inode_cache *cache, struct inode **out)
{
	struct inode *taken = NULL;
	struct inum ino;

	while (!taken && first_inactive(cache, &ino)) {
		struct inode_shard *shard = inode_shard_of(cache, ino);
		struct inode *inode;

		mutex_lock(&shard->lock);
		inode = inode_shard_find(cache, shard, ino);
		if (inode && inode_has_flag(inode, INODE_INACTIVE_QUEUED)) {
			inode_unqueue_inactive(inode);
			inode_set_flag(inode, INODE_INACTIVATING);
			inode->taken_gets = atomic_load(&inode->gets);
			inode_shard_hold(cache, inode);
			taken = inode;
		}
		mutex_unlock(&shard->lock);
	}
	if (taken)
		*out = taken;
	return taken;
}

uint64_t inode_inactive_count(struct inode_cache *cache)
{
	return atomic_load(&cache->inactive_count);
}

/* ---- tags ---- */

static struct inode_tag_set *tag_set_of(struct inode *inode)
{
	return &inode->cache->tags[inum_agno(inode->cache->geo, inode->ino)];
}

void inode_set_tag(struct inode *inode, uint32_t flag)
{
	struct inode_tag_set *set = tag_set_of(inode);

	ensure(flag && !(flag & ~(uint32_t)TAG_FLAGS));
	if ((atomic_load(&inode->flags) & flag) == flag)
		return;
	mutex_lock(&set->lock);
	inode_set_flag(inode, flag);
	if (list_is_empty(&inode->tag_node)) {
		list_push_back(&set->inodes, &inode->tag_node);
		set->count++;
	}
	mutex_unlock(&set->lock);
}

void inode_clear_tag(struct inode *inode, uint32_t flag)
{
	struct inode_tag_set *set = tag_set_of(inode);

	if (!inode_has_flag(inode, flag))
		return;
	mutex_lock(&set->lock);
	inode_clear_flag(inode, flag);
	if (!inode_has_flag(inode, TAG_FLAGS) && !list_is_empty(&inode->tag_node)) {
		list_remove(&inode->tag_node);
		set->count--;
	}
	mutex_unlock(&set->lock);
}

/* The numbers of the tagged inodes of one AG, in memory of the caller. */
static int tagged_numbers(struct inode_tag_set *set, uint32_t flags, struct inum **out, uint32_t *count)
{
	struct inum *numbers;
	uint32_t capacity, n = 0;

	mutex_lock(&set->lock);
	capacity = set->count;
	mutex_unlock(&set->lock);
	numbers = mem_alloc((capacity + 1) * sizeof(*numbers));
	if (!numbers)
		return -ENOMEM;
	mutex_lock(&set->lock);
	list_for_each(node, &set->inodes) {
		const struct inode *inode = list_entry(node, struct inode, tag_node);

		if (n == capacity)
			break;
		if (inode_has_flag(inode, flags))
			numbers[n++] = inode->ino;
	}
	mutex_unlock(&set->lock);
	*out = numbers;
	*count = n;
	return 0;
}

int inode_for_each_tagged(struct inode_cache *cache, uint32_t flags, int (*visit)(struct inode *, void *),
			  void *context)
{
	int err = 0;

	for (agno_t agno = 0; agno < cache->geo->ag_count && !err; agno++) {
		struct inum *numbers;
		uint32_t count;

		err = tagged_numbers(&cache->tags[agno], flags, &numbers, &count);
		if (err)
			break;
		for (uint32_t i = 0; i < count && !err; i++) {
			struct inode *inode;

			if (inode_get(cache, NULL, numbers[i], INODE_GET_CACHED, &inode))
				continue;
			err = visit(inode, context);
			inode_put(inode);
		}
		mem_free(numbers);
	}
	return err;
}

/* ---- all ---- */

struct inode_batch {
	struct inode **inodes;
	size_t count, capacity;
};

static bool is_alive(const struct inode *inode)
{
	if (inode_has_flag(inode, INODE_NEW) || inode->mode == 0)
		return false;
	return inode->nlink || !inode_has_flag(inode, INODE_INACTIVE_QUEUED | INODE_INACTIVATING);
}

/* References the living inodes of one bucket; false: they do not fit, and none is. */
static bool collect_bucket(struct inode_cache *cache, uint64_t bucket, struct inode_batch *batch)
{
	struct inode_shard *shard = &cache->shards[bucket % INODE_SHARDS];
	struct list *head = &cache->buckets[bucket];
	size_t n = 0;

	batch->count = 0;
	mutex_lock(&shard->lock);
	list_for_each(node, head)
		n += is_alive(list_entry(node, struct inode, hash_node));
	if (n <= batch->capacity) {
		list_for_each(node, head) {
			struct inode *inode = list_entry(node, struct inode, hash_node);

			if (!is_alive(inode))
				continue;
			inode_shard_hold(cache, inode);
			atomic_fetch_add(&inode->gets, 1);
			batch->inodes[batch->count++] = inode;
		}
	}
	mutex_unlock(&shard->lock);
	return n <= batch->capacity;
}

static int grow_batch(struct inode_batch *batch)
{
	size_t capacity = batch->capacity ? 2 * batch->capacity : 64;
	struct inode **inodes = mem_resize(batch->inodes, capacity * sizeof(struct inode *));

	if (!inodes)
		return -ENOMEM;
	batch->inodes = inodes;
	batch->capacity = capacity;
	return 0;
}

static int visit_batch(const struct inode_batch *batch, int (*visit)(struct inode *, void *), void *context)
{
	int err = 0;

	for (size_t i = 0; i < batch->count; i++) {
		if (err)
			inode_put(batch->inodes[i]);
		else
			err = visit(batch->inodes[i], context);
	}
	return err;
}

int inode_for_each(struct inode_cache *cache, int (*visit)(struct inode *, void *), void *context)
{
	struct inode_batch batch = { 0 };
	int err = grow_batch(&batch);

	for (uint64_t bucket = 0; bucket <= cache->bucket_mask && !err; bucket++) {
		while (!err && !collect_bucket(cache, bucket, &batch))
			err = grow_batch(&batch);
		if (!err)
			err = visit_batch(&batch, visit, context);
	}
	mem_free(batch.inodes);
	return err;
}
