/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Finding buffers, and letting go of them.
 *
 * A buffer that is found gets its reference under the shard's lock, and the last reference is dropped under it, so
 * that a buffer is on the LRU exactly while nobody has it.  The buffer's own lock is waited for after the shard's
 * lock has been dropped.
 */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "internal.h"

enum {
	FIRST_BUCKETS = 64,
};

static struct buffer_shard *shard_of(struct buffer_cache *cache, daddr_u64 daddr)
{
	return &cache->shards[hash_u64(daddr) % SHARD_COUNT];
}

static struct list *bucket_of(struct buffer_shard *shard, daddr_u64 daddr)
{
	return &shard->buckets[(hash_u64(daddr) / SHARD_COUNT) & (shard->bucket_count - 1)];
}

static bool has_flag(const struct buffer *buf, enum buffer_flag flag)
{
	return atomic_load_explicit(&buf->flags, memory_order_acquire) & flag;
}

/* ---- shards -------------------------------------------------------------------------------------------------- */

static struct list *buckets_new(size_t count)
{
	struct list *buckets = mem_alloc(count * sizeof(*buckets));

	for (size_t i = 0; buckets && i < count; i++)
		list_init(&buckets[i]);
	return buckets;
}

/* Doubles the buckets; without memory the chains just get longer. */
static void shard_grow(struct buffer_shard *shard)
{
	struct list *old = shard->buckets;
	size_t old_count = shard->bucket_count;
	struct list *grown = buckets_new(2 * old_count);

	if (!grown)
		return;
	shard->buckets = grown;
	shard->bucket_count = 2 * old_count;
	for (size_t i = 0; i < old_count; i++) {
		while (!list_is_empty(&old[i])) {
			struct buffer *buf = list_first(&old[i], struct buffer, hash_node);

			list_remove(&buf->hash_node);
			list_push_back(bucket_of(shard, buf->daddr), &buf->hash_node);
		}
	}
	mem_free(old);
}

static void shard_insert(struct buffer_shard *shard, struct buffer *buf)
{
	if (shard->count >= shard->bucket_count)
		shard_grow(shard);
	list_push_front(bucket_of(shard, buf->daddr), &buf->hash_node);
	shard->count++;
}

static void note_oldest(struct buffer_shard *shard)
{
	uint64_t oldest = UINT64_MAX;

	if (!list_is_empty(&shard->lru))
		oldest = list_first(&shard->lru, struct buffer, lru_node)->unused_since;
	atomic_store_explicit(&shard->oldest, oldest, memory_order_relaxed);
}

static void lru_remove(struct buffer_shard *shard, struct buffer *buf)
{
	bool was_first = shard->lru.next == &buf->lru_node;

	list_remove(&buf->lru_node);
	if (was_first)
		note_oldest(shard);
}

static void lru_append(struct buffer_shard *shard, struct buffer *buf)
{
	buf->unused_since = atomic_fetch_add_explicit(&buf->cache->clock, 1, memory_order_relaxed);
	list_push_back(&shard->lru, &buf->lru_node);
	if (shard->lru.next == &buf->lru_node)
		note_oldest(shard);
}

static void shard_remove(struct buffer_shard *shard, struct buffer *buf)
{
	list_remove(&buf->hash_node);
	lru_remove(shard, buf);
	shard->count--;
}

/* ---- the cache ----------------------------------------------------------------------------------------------- */

int buffer_cache_create(struct device *dev, const struct geometry *geo, size_t budget_bytes,
			struct buffer_cache **out)
{
	struct buffer_cache *cache = mem_alloc_zeroed(sizeof(*cache));
	unsigned ready = 0;

	if (!cache)
		return -ENOMEM;
	for (; ready < SHARD_COUNT; ready++) {
		struct buffer_shard *shard = &cache->shards[ready];

		shard->buckets = buckets_new(FIRST_BUCKETS);
		if (!shard->buckets)
			goto no_memory;
		shard->bucket_count = FIRST_BUCKETS;
		mutex_init(&shard->lock, RANK_BUFFER_CACHE, ready, "buffer cache");
		list_init(&shard->lru);
		atomic_init(&shard->oldest, UINT64_MAX);
	}
	cache->dev = dev;
	cache->geo = geo;
	cache->budget_bytes = budget_bytes;
	mutex_init(&cache->wait_lock, RANK_LEAF, 0, "buffer waits");
	cond_init(&cache->wait);
	mutex_init(&cache->readahead_lock, RANK_LEAF, 0, "buffer read-ahead");
	list_init(&cache->readaheads);
	*out = cache;
	return 0;

no_memory:
	while (ready--) {
		mutex_deinit(&cache->shards[ready].lock);
		mem_free(cache->shards[ready].buckets);
	}
	mem_free(cache);
	return -ENOMEM;
}

void buffer_cache_set_ops(struct buffer_cache *cache, const struct buffer_cache_ops *ops, void *context)
{
	cache->ops = ops;
	cache->ops_context = context;
}

void buffer_cache_destroy(struct buffer_cache *cache)
{
	if (!cache)
		return;
	buffer_cache_drop(cache);
	for (unsigned i = 0; i < SHARD_COUNT; i++) {
		struct buffer_shard *shard = &cache->shards[i];

		ensure(shard->count == 0);
		mutex_deinit(&shard->lock);
		mem_free(shard->buckets);
	}
	ensure(atomic_load(&cache->bytes) == 0);
	mutex_deinit(&cache->readahead_lock);
	cond_deinit(&cache->wait);
	mutex_deinit(&cache->wait_lock);
	mem_free(cache);
}

struct device *buffer_cache_device(struct buffer_cache *cache)
{
	return cache->dev;
}

const struct geometry *buffer_cache_geometry(struct buffer_cache *cache)
{
	return cache->geo;
}

size_t buffer_cache_bytes(struct buffer_cache *cache)
{
	return atomic_load(&cache->bytes);
}

/* ---- buffers come and go ------------------------------------------------------------------------------------- */

static size_t data_alignment(const struct buffer_cache *cache)
{
	return max_u64(cache->dev->alignment_bytes, SECTOR_UNIT_BYTES);
}

static void buffer_free(struct buffer *buf)
{
	ensure(!buf->log_item && list_is_empty(&buf->attached_items));
	ensure(atomic_load(&buf->pins) == 0);
	atomic_fetch_sub(&buf->cache->bytes, sizeof(*buf) + buf->bytes);
	if (buf->maps != &buf->inline_map)
		mem_free(buf->maps);
	mem_free(buf->data);
	mem_free(buf);
}

/* Locked and referenced once; contents undefined.  Wanted when transactions are dirty: there is always memory. */
static struct buffer *buffer_new(struct buffer_cache *cache, const struct buffer_map *maps, uint32_t map_count)
	NO_LOCK_ANALYSIS;

static struct buffer *buffer_new(struct buffer_cache *cache, const struct buffer_map *maps, uint32_t map_count)
{
	struct buffer *buf = mem_alloc_zeroed_sure(sizeof(*buf));

	for (uint32_t i = 0; i < map_count; i++)
		buf->bytes += (size_t)maps[i].count * SECTOR_UNIT_BYTES;
	buf->data = mem_alloc_aligned_sure(data_alignment(cache), buf->bytes);
	buf->maps = map_count == 1 ? &buf->inline_map : mem_alloc_sure(map_count * sizeof(*maps));
	memcpy(buf->maps, maps, map_count * sizeof(*maps));
	buf->map_count = map_count;
	buf->cache = cache;
	buf->daddr = maps[0].daddr;
	olock_init(&buf->lock);
	olock_lock(&buf->lock);
	atomic_init(&buf->refs, 1);
	list_init(&buf->attached_items);
	list_init(&buf->queue_node);
	list_init(&buf->hash_node);
	list_init(&buf->lru_node);
	atomic_fetch_add(&cache->bytes, sizeof(*buf) + buf->bytes);
	return buf;
}

void buffer_hold(struct buffer *buf)
{
	ensure(atomic_fetch_add(&buf->refs, 1) > 0);
}

/* The last reference of a cached buffer goes under its shard's lock. */
static void put_last(struct buffer *buf)
{
	struct buffer_shard *shard = shard_of(buf->cache, buf->daddr);
	bool is_gone = false;

	mutex_lock(&shard->lock);
	if (atomic_fetch_sub(&buf->refs, 1) == 1) {
		is_gone = has_flag(buf, BUFFER_STALE) || !has_flag(buf, BUFFER_VALID);
		if (is_gone)
			shard_remove(shard, buf);
		else
			lru_append(shard, buf);
	}
	mutex_unlock(&shard->lock);
	if (is_gone)
		buffer_free(buf);
}

void buffer_put(struct buffer *buf)
{
	uint32_t refs;

	if (!buf)
		return;
	refs = atomic_load(&buf->refs);
	while (refs > 1) {
		if (atomic_compare_exchange_weak(&buf->refs, &refs, refs - 1))
			return;
	}
	ensure(refs == 1);
	if (!has_flag(buf, BUFFER_UNCACHED))
		put_last(buf);
	else if (atomic_fetch_sub(&buf->refs, 1) == 1)
		buffer_free(buf);
}

void buffer_release(struct buffer *buf)
{
	if (!buf)
		return;
	buffer_unlock(buf);
	buffer_put(buf);
}

/* ---- looking up ---------------------------------------------------------------------------------------------- */

static bool has_maps(const struct buffer *buf, const struct buffer_map *maps, uint32_t map_count)
{
	if (buf->map_count != map_count)
		return false;
	for (uint32_t i = 0; i < map_count; i++) {
		if (buf->maps[i].daddr != maps[i].daddr || buf->maps[i].count != maps[i].count)
			return false;
	}
	return true;
}

/*
 * The buffer with exactly these pieces, or NULL.  A stale one with others is the block's former life, on its way out;
 * an unused one is only a copy of what the disk has: @evicted, to be freed.
 */
static int shard_find(struct buffer_shard *shard, const struct buffer_map *maps, uint32_t map_count,
		      struct buffer **out, struct buffer **evicted)
{
	*out = *evicted = NULL;
	list_for_each(node, bucket_of(shard, maps[0].daddr)) {
		struct buffer *buf = list_entry(node, struct buffer, hash_node);

		if (buf->daddr != maps[0].daddr)
			continue;
		if (has_maps(buf, maps, map_count)) {
			*out = buf;
			return 0;
		}
		if (has_flag(buf, BUFFER_STALE))
			continue;
		if (atomic_load(&buf->refs) > 0) {
			msg_error("block at daddr %llu: wanted with %llu units in %u pieces, in use with %zu bytes "
				  "in %u: metadata overlap; unmount and run xfs_repair",
				  (unsigned long long)buf->daddr, (unsigned long long)maps[0].count, map_count,
				  buf->bytes, buf->map_count);
			return -EFSCORRUPTED;
		}
		shard_remove(shard, buf);
		*evicted = buf;
		return 0;
	}
	return 0;
}

/* References the buffer, made if it was not there (then *made). */
static int find_or_create(struct buffer_cache *cache, const struct buffer_map *maps, uint32_t map_count,
			  enum lookup_mode mode, struct buffer **out, bool *made)
{
	struct buffer_shard *shard = shard_of(cache, maps[0].daddr);
	struct buffer *found, *evicted, *fresh = NULL;
	bool may_create = mode == LOOKUP_CREATE || mode == LOOKUP_CREATE_TRY || mode == LOOKUP_NEW;
	int err;

	*made = false;
	for (;;) {
		mutex_lock(&shard->lock);
		err = shard_find(shard, maps, map_count, &found, &evicted);
		if (found && mode == LOOKUP_NEW) {
			found = NULL;
			may_create = false;
		} else if (found) {
			atomic_fetch_add(&found->refs, 1);
			lru_remove(shard, found);
		} else if (!err && fresh) {
			shard_insert(shard, fresh);
			found = fresh;
			fresh = NULL;
			*made = true;
		}
		mutex_unlock(&shard->lock);
		if (evicted)
			buffer_free(evicted);
		if (err || found || !may_create)
			break;
		fresh = buffer_new(cache, maps, map_count);
	}
	if (fresh)
		buffer_free(fresh);
	if (!err)
		*out = found;
	return err;
}

/* Waits for the lock; false: it was only to be tried, and somebody has it. */
static bool lock_found(struct buffer *buf, enum lookup_mode mode) NO_LOCK_ANALYSIS;

static bool lock_found(struct buffer *buf, enum lookup_mode mode)
{
	if (mode == LOOKUP_TRY || mode == LOOKUP_CREATE_TRY) {
		if (!buffer_trylock(buf))
			return false;
	} else {
		buffer_lock(buf);
	}
	/* Its block was freed and is used again: what it held and what it was mean nothing any more. */
	if (has_flag(buf, BUFFER_STALE)) {
		atomic_fetch_and(&buf->flags, ~(uint32_t)(BUFFER_STALE | BUFFER_VALID));
		buf->type = NULL;
		atomic_store(&buf->lsn, 0);
	}
	return true;
}

int buffer_lookup(struct buffer_cache *cache, const struct buffer_map *maps, uint32_t map_count,
		  enum lookup_mode mode, struct buffer **out)
{
	struct buffer *buf;
	bool made;
	int err;

	ensure(map_count >= 1 && map_count <= BUFFER_MAX_MAPS);
	err = find_or_create(cache, maps, map_count, mode, &buf, &made);
	if (err)
		return err;
	if (made && atomic_load(&cache->bytes) > cache->budget_bytes + cache->budget_bytes / 8)
		buffer_cache_shrink(cache);
	if (buf && !made && !lock_found(buf, mode)) {
		buffer_put(buf);
		buf = NULL;
	}
	*out = buf;
	return 0;
}

int buffer_get_maps(struct buffer_cache *cache, const struct buffer_map *maps, uint32_t map_count,
		    struct buffer **out)
{
	return buffer_lookup(cache, maps, map_count, LOOKUP_CREATE, out);
}

int buffer_get(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, struct buffer **out)
{
	struct buffer_map map = { .daddr = daddr, .count = count };

	return buffer_lookup(cache, &map, 1, LOOKUP_CREATE, out);
}

int buffer_find(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, bool try, struct buffer **out)
{
	struct buffer_map map = { .daddr = daddr, .count = count };

	return buffer_lookup(cache, &map, 1, try ? LOOKUP_TRY : LOOKUP_FIND, out);
}

int buffer_get_uncached(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, struct buffer **out)
{
	struct buffer_map map = { .daddr = daddr, .count = count };
	struct buffer *buf = buffer_new(cache, &map, 1);

	memset(buf->data, 0, buf->bytes);
	atomic_store(&buf->flags, BUFFER_UNCACHED);
	*out = buf;
	return 0;
}

/* ---- getting smaller ----------------------------------------------------------------------------------------- */

/* The shard that has the oldest unused buffer, and how old the oldest of the others is. */
static struct buffer_shard *oldest_shard(struct buffer_cache *cache, uint64_t *next_oldest)
{
	struct buffer_shard *oldest = NULL;
	uint64_t first = UINT64_MAX, second = UINT64_MAX;

	for (unsigned i = 0; i < SHARD_COUNT; i++) {
		uint64_t age = atomic_load_explicit(&cache->shards[i].oldest, memory_order_relaxed);

		if (age < first) {
			second = first;
			first = age;
			oldest = &cache->shards[i];
		} else if (age < second) {
			second = age;
		}
	}
	*next_oldest = second;
	return oldest;
}

/* Takes the oldest unused buffer of @shard out of the cache unless it is younger than @limit. */
static struct buffer *take_oldest(struct buffer_shard *shard, uint64_t limit)
{
	struct buffer *buf = NULL;

	mutex_lock(&shard->lock);
	if (!list_is_empty(&shard->lru)) {
		buf = list_first(&shard->lru, struct buffer, lru_node);
		if (buf->unused_since > limit)
			buf = NULL;
		else
			shard_remove(shard, buf);
	}
	mutex_unlock(&shard->lock);
	return buf;
}

static size_t shrink_to(struct buffer_cache *cache, size_t target_bytes)
{
	size_t freed = 0;
	uint64_t limit;

	while (atomic_load(&cache->bytes) > target_bytes) {
		struct buffer_shard *shard = oldest_shard(cache, &limit);
		struct buffer *buf = shard ? take_oldest(shard, limit) : NULL;

		if (!shard)
			break;
		if (!buf)
			continue;
		freed += sizeof(*buf) + buf->bytes;
		buffer_free(buf);
	}
	return freed;
}

size_t buffer_cache_shrink(struct buffer_cache *cache)
{
	return shrink_to(cache, cache->budget_bytes);
}

void buffer_cache_drop(struct buffer_cache *cache)
{
	buffer_cache_drain(cache);
	shrink_to(cache, 0);
}
