// SPDX-License-Identifier: GPL-2.0
/*
 * The inode cache: finding, reading and holding inodes.  (XFS: xfs_icache.c.)  See cache.h for states and locks.
 *
 * A reader that finds nothing locks the cluster buffer, puts a NEW inode into the bucket and decodes it.  A second
 * reader of the same number waits for the buffer, or finds the NEW inode and waits for that.  Everything that may
 * block comes before the inode is in the bucket, so that who waits for a NEW inode waits for nobody who waits.
 */
#include "cache.h"

#include <sys/random.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#define MIN_BUCKETS 4096u
#define MAX_BUCKETS (1u << 18)
#define PAST_LIFE_FLAGS \
	(INODE_INACTIVATING | INODE_SICK | INODE_LINKABLE | INODE_TRUNCATED | INODE_RELEASED)

/* ---- life of the cache ---- */

static uint64_t bucket_count(uint32_t max_unused)
{
	uint64_t wanted = min_u64(max_u64(max_unused, MIN_BUCKETS), MAX_BUCKETS);

	return 1ull << (log2_floor(wanted - 1) + 1);
}

static void init_shards(struct inode_cache *cache)
{
	for (unsigned i = 0; i < INODE_SHARDS; i++) {
		mutex_init(&cache->shards[i].lock, RANK_INODE_CACHE, i, "inode cache");
		cond_init(&cache->shards[i].ready);
		list_init(&cache->shards[i].unused);
	}
	for (uint64_t i = 0; i <= cache->bucket_mask; i++)
		list_init(&cache->buckets[i]);
}

static void init_tags(struct inode_cache *cache)
{
	for (agno_t agno = 0; agno < cache->geo->ag_count; agno++) {
		mutex_init(&cache->tags[agno].lock, RANK_INODE_STATE, agno, "inode tags");
		list_init(&cache->tags[agno].inodes);
	}
}

static uint64_t random_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)clock_wall().tv_nsec;
	return seed;
}

int inode_cache_create(struct space *space, struct log *log, uint32_t max_unused, struct inode_cache **out)
{
	struct inode_cache *cache = mem_alloc_zeroed(sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->space = space;
	cache->log = log;
	cache->buffers = space_cache(space);
	cache->geo = space_geometry(space);
	cache->max_unused = max_unused;
	cache->bucket_mask = bucket_count(max_unused) - 1;
	cache->buckets = mem_alloc((cache->bucket_mask + 1) * sizeof(*cache->buckets));
	if (!cache->buckets)
		goto free_cache;
	cache->tags = mem_alloc_zeroed(cache->geo->ag_count * sizeof(*cache->tags));
	if (!cache->tags)
		goto free_buckets;
	atomic_init(&cache->next_generation, random_seed());
	init_shards(cache);
	init_tags(cache);
	mutex_init(&cache->inactive_lock, RANK_INODE_STATE, 0, "inactive inodes");
	list_init(&cache->inactive);
	*out = cache;
	return 0;

free_buckets:
	mem_free(cache->buckets);
free_cache:
	mem_free(cache);
	return -ENOMEM;
}

static void free_everything(struct inode_cache *cache)
{
	for (uint64_t i = 0; i <= cache->bucket_mask; i++) {
		while (!list_is_empty(&cache->buckets[i])) {
			struct inode *inode = list_first(&cache->buckets[i], struct inode, hash_node);

			ensure(atomic_load(&inode->refs) == 0);
			list_remove(&inode->hash_node);
			list_remove(&inode->lru_node);
			inode_unqueue_inactive(inode);
			inode_cache_free(inode);
		}
	}
	for (unsigned i = 0; i < INODE_SHARDS; i++) {
		struct list *unused = &cache->shards[i].unused;

		while (!list_is_empty(unused)) {
			struct inode *inode = list_first(unused, struct inode, lru_node);

			list_remove(&inode->lru_node);
			inode_cache_free(inode);
		}
	}
}

void inode_cache_destroy(struct inode_cache *cache)
{
	if (!cache)
		return;
	free_everything(cache);
	for (unsigned i = 0; i < INODE_SHARDS; i++) {
		cond_deinit(&cache->shards[i].ready);
		mutex_deinit(&cache->shards[i].lock);
	}
	for (agno_t agno = 0; agno < cache->geo->ag_count; agno++)
		mutex_deinit(&cache->tags[agno].lock);
	mutex_deinit(&cache->inactive_lock);
	mem_free(cache->tags);
	mem_free(cache->buckets);
	mem_free(cache);
}

struct space *inode_cache_space(struct inode_cache *cache)
{
	return cache->space;
}

struct log *inode_cache_log(struct inode_cache *cache)
{
	return cache->log;
}

const struct geometry *inode_geometry(const struct inode *inode)
{
	return inode->cache->geo;
}

void inode_cache_set_private(struct inode_cache *cache, enum inode_private_slot slot, void *private)
{
	ensure(slot < INODE_PRIVATE_COUNT);
	cache->private[slot] = private;
}

void *inode_cache_private(const struct inode_cache *cache, enum inode_private_slot slot)
{
	ensure(slot < INODE_PRIVATE_COUNT);
	return cache->private[slot];
}

void inode_cache_set_evict(struct inode_cache *cache, void (*evict)(struct inode *inode))
{
	cache->evict = evict;
}

/* ---- buckets ---- */

/* A chunk's inodes have buckets side by side: a flush visits all of a cluster. */
static uint64_t bucket_index(const struct inode_cache *cache, struct inum ino)
{
	uint64_t chunk = ino.v / XFS_INODES_PER_CHUNK, within = ino.v % XFS_INODES_PER_CHUNK;

	return (hash_u64(chunk) + within) & cache->bucket_mask;
}

static struct list *bucket_of(struct inode_cache *cache, struct inum ino)
{
	return &cache->buckets[bucket_index(cache, ino)];
}

struct inode_shard *inode_shard_of(struct inode_cache *cache, struct inum ino)
{
	return &cache->shards[bucket_index(cache, ino) % INODE_SHARDS];
}

struct inode *inode_shard_find(struct inode_cache *cache, struct inode_shard *shard, struct inum ino)
{
	struct list *bucket = bucket_of(cache, ino);

	list_for_each(node, bucket) {
		struct inode *inode = list_entry(node, struct inode, hash_node);

		if (inum_equal(inode->ino, ino))
			return inode;
	}
	return NULL;
}

void inode_shard_hold(struct inode_cache *cache, struct inode *inode)
{
	if (atomic_load_explicit(&inode->refs, memory_order_relaxed) == 0)
		inode_shard_unretire(cache, inode);
	atomic_fetch_add_explicit(&inode->refs, 1, memory_order_relaxed);
}

static struct inode *init_inode(struct cached_inode *cached, struct inode_cache *cache, struct inum ino,
				const struct inode_place *place)
{
	struct inode *inode = &cached->inode;

	inode->cache = cache;
	inode->ino = ino;
	inode->place = *place;
	inode->next_unlinked = AGINO_NONE;
	inode->prev_unlinked = AGINO_NONE;
	rwlock_init(&inode->io_lock, RANK_INODE_IO, ino.v, "inode io");
	rwlock_init(&inode->invalidate_lock, RANK_INVALIDATE, ino.v, "inode invalidate");
	rwlock_init(&inode->map_lock, RANK_INODE_MAP, ino.v, "inode map");
	mutex_init(&inode->state_lock, RANK_INODE_STATE, ino.v, "inode state");
	atomic_init(&inode->flags, INODE_NEW);
	atomic_init(&inode->refs, 1);
	list_init(&inode->hash_node);
	list_init(&inode->lru_node);
	list_init(&inode->inactive_node);
	list_init(&inode->tag_node);
	inode_item_init(&cached->item, inode, cache->log);
	inode->log_item = &cached->item;
	map_init(&inode->map, cache->space, ino, &inode->map_lock, &cached->item.log);
	return inode;
}

/* Puts @inode into its bucket unless that number is there already. */
static bool insert(struct inode *inode)
{
	struct inode_cache *cache = inode->cache;
	struct inode_shard *shard = inode_shard_of(cache, inode->ino);
	bool is_first;

	mutex_lock(&shard->lock);
	is_first = !inode_shard_find(cache, shard, inode->ino);
	if (is_first)
		list_push_front(bucket_of(cache, inode->ino), &inode->hash_node);
	mutex_unlock(&shard->lock);
	return is_first;
}

void inode_cache_forget(struct inode *inode)
{
	struct inode_shard *shard = inode_shard_of(inode->cache, inode->ino);

	mutex_lock(&shard->lock);
	list_remove(&inode->hash_node);
	mutex_unlock(&shard->lock);
}

void inode_cache_publish(struct inode *inode, int err)
{
	struct inode_shard *shard = inode_shard_of(inode->cache, inode->ino);
	bool is_last = false;

	mutex_lock(&shard->lock);
	if (err) {
		list_remove(&inode->hash_node);
		inode_set_flag(inode, INODE_STALE);
		is_last = atomic_fetch_sub(&inode->refs, 1) == 1;
	}
	inode_clear_flag(inode, INODE_NEW);
	cond_broadcast(&shard->ready);
	mutex_unlock(&shard->lock);
	if (is_last)
		inode_cache_free(inode);
}

/*
 * Waits, with a reference, until @inode is not NEW any more.  False: it never became an inode, and the reference
 * is gone.
 */
static bool wait_until_ready(struct inode_shard *shard, struct inode *inode, bool *is_last) REQUIRES(shard->lock)
{
	atomic_fetch_add(&inode->refs, 1);
	while (inode_has_flag(inode, INODE_NEW))
		cond_wait(&shard->ready, &shard->lock);
	*is_last = false;
	if (!inode_has_flag(inode, INODE_STALE))
		return true;
	*is_last = atomic_fetch_sub(&inode->refs, 1) == 1;
	return false;
}

/* ---- get ---- */

/* An unlinked inode that nobody holds is as good as gone. */
static bool is_going_away(const struct inode *inode)
{
	return inode_has_flag(inode, INODE_INACTIVE_QUEUED | INODE_INACTIVATING) && inode->nlink == 0;
}

/*
 * References the inode if it is in memory: 0; -ENODATA: it is not; -EAGAIN: look again; -ENOENT: it is about to be
 * freed, unless @even_dying.
 */
static int get_cached(struct inode_cache *cache, struct inum ino, bool even_dying, struct inode **out)
{
	struct inode_shard *shard = inode_shard_of(cache, ino);
	struct inode *inode;
	bool is_last = false;
	int err = 0;

	mutex_lock(&shard->lock);
	inode = inode_shard_find(cache, shard, ino);
	if (!inode) {
		err = -ENODATA;
	} else if (inode_has_flag(inode, INODE_NEW)) {
		if (!wait_until_ready(shard, inode, &is_last))
			err = -EAGAIN;
	} else if (is_going_away(inode) && !even_dying) {
		err = -ENOENT;
	} else {
		if (inode->nlink)
			inode_unqueue_inactive(inode);
		inode_shard_hold(cache, inode);
	}
	if (!err)
		atomic_fetch_add_explicit(&inode->gets, 1, memory_order_relaxed);
	mutex_unlock(&shard->lock);
	if (is_last)
		inode_cache_free(inode);
	if (!err)
		*out = inode;
	return err;
}

/* Makes the inode in @cluster (locked).  -EAGAIN: somebody else has put it into the cache meanwhile. */
static int make_from_cluster(struct inode_cache *cache, struct inum ino, const struct inode_place *place,
			     struct buffer *cluster, struct inode **out)
{
	struct cached_inode *cached = mem_alloc_zeroed(sizeof(*cached));
	struct inode *inode;
	int err;

	if (!cached)
		return -ENOMEM;
	inode = init_inode(cached, cache, ino, place);
	if (!insert(inode)) {
		inode_cache_free(inode);
		return -EAGAIN;
	}
	err = inode_decode(inode, inode_in_cluster(inode, cluster));
	if (!err && inode->mode == 0)
		err = -ENOENT;
	inode_cache_publish(inode, err);
	if (!err)
		*out = inode;
	return err;
}

static int get_from_disk(struct inode_cache *cache, struct tx *tx, struct inum ino, uint32_t flags,
			 struct inode **out)
{
	struct inode_place place;
	struct buffer *cluster;
	int err;

	err = ialloc_place(tx, cache->space, ino, flags & INODE_GET_UNTRUSTED, &place);
	if (err)
		return err;
	err = inode_cluster_read(cache, tx, &place, &cluster);
	if (err)
		return err;
	err = make_from_cluster(cache, ino, &place, cluster, out);
	inode_cluster_release(tx, cluster);
	return err;
}

static int get(struct inode_cache *cache, struct tx *tx, struct inum ino, uint32_t flags, bool even_dying,
	       struct inode **out)
{
	struct inode *inode;
	int err;

	do {
		err = get_cached(cache, ino, even_dying, &inode);
		if (err == -ENODATA && !(flags & INODE_GET_CACHED))
			err = get_from_disk(cache, tx, ino, flags, &inode);
	} while (err == -EAGAIN);
	if (err)
		return err;
	if (inode->mode == 0)
		err = -ENOENT;
	else if (inode_has_flag(inode, INODE_SICK))
		err = -EFSCORRUPTED;
	if (err)
		inode_put(inode);
	else
		*out = inode;
	return err;
}

int inode_get(struct inode_cache *cache, struct tx *tx, struct inum ino, uint32_t flags, struct inode **out)
{
	int err = get(cache, tx, ino, flags, false, out);

	if ((err == -ENOENT || err == -EINVAL) && (flags & INODE_GET_UNTRUSTED))
		return -ESTALE;
	return err;
}

int inode_cache_get_unlinked(struct inode_cache *cache, struct tx *tx, struct inum ino, struct inode **out)
{
	return get(cache, tx, ino, 0, true, out);
}

struct inode *inode_cache_peek(struct inode_cache *cache, struct inum ino)
{
	struct inode_shard *shard = inode_shard_of(cache, ino);
	struct inode *inode;

	mutex_lock(&shard->lock);
	inode = inode_shard_find(cache, shard, ino);
	if (inode && inode_has_flag(inode, INODE_NEW))
		inode = NULL;
	if (inode)
		inode_shard_hold(cache, inode);
	mutex_unlock(&shard->lock);
	return inode;
}

/* ---- claim ---- */

/* -EAGAIN: look again; -ENODATA: not in memory. */
static int claim_cached(struct inode_cache *cache, struct inum ino, struct inode **out)
{
	struct inode_shard *shard = inode_shard_of(cache, ino);
	struct inode *inode;
	int err = 0;

	mutex_lock(&shard->lock);
	inode = inode_shard_find(cache, shard, ino);
	if (!inode) {
		err = -ENODATA;
	} else if (inode_has_flag(inode, INODE_NEW)) {
		cond_wait(&shard->ready, &shard->lock);
		err = -EAGAIN;
	} else if (inode->mode != 0) {
		err = inode_complain(inode, "is free in the inode tree, but in use");
	} else {
		inode_shard_hold(cache, inode);
		inode_set_flag(inode, INODE_NEW);
		/* Whoever freed it may not have put it yet: that was its last life. */
		atomic_fetch_add(&inode->gets, 1);
		inode_clear_flag(inode, PAST_LIFE_FLAGS);
	}
	mutex_unlock(&shard->lock);
	if (!err)
		*out = inode;
	return err;
}

static int claim_fresh(struct inode_cache *cache, struct inum ino, const struct inode_place *place,
		       struct inode **out)
{
	struct inode *inode = init_inode(mem_alloc_zeroed_sure(sizeof(struct cached_inode)), cache, ino, place);

	if (!insert(inode)) {
		inode_cache_free(inode);
		return -EAGAIN;
	}
	/* A number that was never used in this mount's memory: nothing may take it for its last owner. */
	inode->generation = (uint32_t)hash_u64(atomic_fetch_add(&cache->next_generation, 1));
	*out = inode;
	return 0;
}

int inode_cache_claim(struct inode_cache *cache, struct inum ino, const struct inode_place *place, struct inode **out)
{
	int err;

	do {
		err = claim_cached(cache, ino, out);
		if (err == -ENODATA)
			err = claim_fresh(cache, ino, place, out);
	} while (err == -EAGAIN);
	return err;
}

/* ---- references ---- */

void inode_hold_n(struct inode *inode, uint32_t n)
{
	ensure(atomic_fetch_add_explicit(&inode->refs, n, memory_order_relaxed) != 0);
}

void inode_hold(struct inode *inode)
{
	inode_hold_n(inode, 1);
}

/* Drops @n references unless they are the last. */
static bool put_some(struct inode *inode, uint64_t n)
{
	uint32_t refs = atomic_load_explicit(&inode->refs, memory_order_relaxed);

	ensure(refs >= n);
	while (refs > n) {
		uint32_t left = refs - (uint32_t)n;

		if (atomic_compare_exchange_weak(&inode->refs, &refs, left))
			return true;
	}
	return false;
}

/*
 * The last put.  What remains to be done is asked without locks, so somebody may have got and put the inode, and
 * given it work, between the question and the lock; .gets tells, and the question is asked again.  False: ask again.
 */
static bool put_last(struct inode *inode, uint64_t n)
{
	struct inode_cache *cache = inode->cache;
	struct inode_shard *shard = inode_shard_of(cache, inode->ino);
	uint32_t gets = atomic_load(&inode->gets);
	bool is_queued = false, is_done = false, must_free = false, must_wake = false;

	if (!inode_has_flag(inode, INODE_INACTIVATING) || gets != inode->taken_gets)
		is_queued = inode_needs_inactivation(inode);
	mutex_lock(&shard->lock);
	if (atomic_load(&inode->refs) == n && atomic_load(&inode->gets) == gets) {
		is_done = true;
		inode_clear_flag(inode, INODE_INACTIVATING);
		atomic_store_explicit(&inode->refs, 0, memory_order_release);
		if (is_queued)
			must_wake = inode_queue_inactive(inode);
		else if (!inode_has_flag(inode, INODE_INACTIVE_QUEUED))
			must_free = inode_shard_retire(cache, shard, inode);
	}
	mutex_unlock(&shard->lock);
	if (must_free)
		inode_cache_free(inode);
	if (must_wake && cache->wake)
		cache->wake(cache->wake_context);
	return is_done;
}

void inode_put_n(struct inode *inode, uint64_t n)
{
	if (!inode || !n)
		return;
	while (!put_some(inode, n) && !put_last(inode, n))
		;
}

void inode_put(struct inode *inode)
{
	inode_put_n(inode, 1);
}

int inode_complain(const struct inode *inode, const char *reason)
{
	msg_error("inode %llu %s", (unsigned long long)inode->ino.v, reason);
	return -EFSCORRUPTED;
}
