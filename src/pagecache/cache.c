/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The cache as a whole: budget, dirty limits, the LRU, waiting.
 *
 * A mapping is busy while it has dirty folios or folios under writeback; while it is busy it stands on the dirty list
 * and its owner is pinned.  Reclaim is second chance: a folio touched since the last look goes to the young end once
 * more.
 *
 * What was written out and not touched since stands on a list of its own, which reclaim takes first: whoever wrote it
 * through the kernel has it in the kernel's cache as well.  A streaming writer gets its memory from there, before the
 * cache grows: memory that is fresh from the system costs more than the write itself.
 */
#include "internal.h"

#include <userxfs/base/clock.h>
#include <userxfs/base/memory.h>

#define DEFAULT_INFLIGHT_BYTES (32u << 20)
#define WAIT_SLICE_NS (100 * 1000000ull)
#define RECLAIM_BATCH 64

int pagecache_create(struct device *dev, const struct pagecache_options *options, struct pagecache **out)
{
	struct pagecache *cache = mem_alloc_zeroed(sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->dev = dev;
	cache->options = *options;
	if (!cache->options.max_inflight_bytes)
		cache->options.max_inflight_bytes = DEFAULT_INFLIGHT_BYTES;
	mutex_init(&cache->walk_lock, RANK_INVALIDATE, UINT64_MAX, "walk of all mappings");
	mutex_init(&cache->lock, RANK_PAGECACHE, 0, "pagecache");
	cond_init(&cache->ended);
	cond_init(&cache->work);
	buddy_init(&cache->memory);
	list_init(&cache->lru);
	list_init(&cache->written);
	list_init(&cache->dirty);
	*out = cache;
	return 0;
}

void pagecache_destroy(struct pagecache *cache)
{
	if (!cache)
		return;
	ensure(list_is_empty(&cache->lru) && list_is_empty(&cache->written));
	buddy_deinit(&cache->memory);
	cond_deinit(&cache->work);
	cond_deinit(&cache->ended);
	mutex_deinit(&cache->lock);
	mutex_deinit(&cache->walk_lock);
	mem_free(cache);
}

void pagecache_set_pin_ops(struct pagecache *cache, void (*pin)(void *owner), void (*unpin)(void *owner))
{
	cache->pin = pin;
	cache->unpin = unpin;
}

/* ---- busy mappings ---- */

void mapping_hold_busy(struct mapping *m)
{
	struct pagecache *cache = m->cache;

	mutex_lock(&cache->lock);
	if (m->busy_folios++ == 0) {
		m->dirtied_ns = clock_now_ns();
		m->writeback_from = 0;
		list_push_back(&cache->dirty, &m->dirty_node);
		if (cache->pin)
			cache->pin(m->owner);
	}
	if (atomic_load(&cache->dirty_bytes) > cache->options.dirty_background_bytes)
		cond_signal(&cache->work);
	mutex_unlock(&cache->lock);
}

void folio_become_busy(struct folio *folio)
{
	mapping_hold_busy(folio->mapping);
}

void folio_stop_being_busy(struct mapping *m)
{
	struct pagecache *cache = m->cache;
	void *owner = m->owner;
	bool is_idle;

	mutex_lock(&cache->lock);
	is_idle = --m->busy_folios == 0;
	if (is_idle)
		list_remove(&m->dirty_node);
	mutex_unlock(&cache->lock);
	if (is_idle && cache->unpin)
		cache->unpin(owner);
}

/* ---- waiting ---- */

void pagecache_signal_ended(struct pagecache *cache)
{
	if (!atomic_load(&cache->ended_waiters))
		return;
	mutex_lock(&cache->lock);
	cond_broadcast(&cache->ended);
	mutex_unlock(&cache->lock);
}

void pagecache_wait_ended(struct mapping *m, bool (*done)(void *arg), void *arg)
{
	struct pagecache *cache = m->cache;

	while (!done(arg)) {
		if (m->ops->help && m->ops->help(m->owner))
			continue;
		if (device_pass(cache->dev, false))
			continue;
		mutex_lock(&cache->lock);
		atomic_fetch_add(&cache->ended_waiters, 1);
		/* The slice is for volumes without threads, where nobody else calls the passes above. */
		if (!done(arg))
			cond_wait_until(&cache->ended, &cache->lock, clock_now_ns() + WAIT_SLICE_NS);
		atomic_fetch_sub(&cache->ended_waiters, 1);
		mutex_unlock(&cache->lock);
	}
}

static bool is_below_limit(void *arg)
{
	struct pagecache *cache = arg;

	return atomic_load(&cache->dirty_bytes) + atomic_load(&cache->writeback_bytes) <=
	       cache->options.dirty_limit_bytes;
}

static bool has_little_in_flight(void *arg)
{
	struct pagecache *cache = arg;

	return is_below_limit(cache) || atomic_load(&cache->writeback_bytes) == 0;
}

void pagecache_throttle(struct pagecache *cache, struct mapping *mapping, uint64_t bytes)
{
	while (!is_below_limit(cache)) {
		if (!pagecache_writeback_pass(cache) && !is_below_limit(cache)) {
			if (atomic_load(&cache->writeback_bytes) == 0)
				return; /* nothing can be written: errors keep it dirty */
			pagecache_wait_ended(mapping, has_little_in_flight, cache);
		}
	}
}

void pagecache_wait_work(struct pagecache *cache, uint64_t deadline_ns)
{
	mutex_lock(&cache->lock);
	if (!cache->wake_requested)
		cond_wait_until(&cache->work, &cache->lock, deadline_ns);
	cache->wake_requested = false;
	mutex_unlock(&cache->lock);
}

void pagecache_wake(struct pagecache *cache)
{
	mutex_lock(&cache->lock);
	cache->wake_requested = true;
	cond_broadcast(&cache->work);
	mutex_unlock(&cache->lock);
}

/* ---- errors ---- */

int mapping_error(struct mapping *m, uint64_t *sequence)
{
	int err;

	mutex_lock(&m->cache->lock);
	err = m->error;
	*sequence = m->error_sequence;
	mutex_unlock(&m->cache->lock);
	return err;
}

void mapping_set_error(struct mapping *m, int err)
{
	mutex_lock(&m->cache->lock);
	m->error = err;
	m->error_sequence++;
	mutex_unlock(&m->cache->lock);
}

/* ---- reclaim ---- */

/* Moves @f to the young end of the LRU, from wherever it stands. */
static void make_young(struct pagecache *cache, struct folio *f) REQUIRES(cache->lock);

static void make_young(struct pagecache *cache, struct folio *f)
{
	pagecache_unlist(cache, f);
	list_push_back(&cache->lru, &f->lru_node);
}

/* Takes clean folios that were not used lately off the old end of @list, referenced: @bytes or a batch. */
static unsigned take_old(struct pagecache *cache, struct list *list, uint64_t bytes, struct folio **batch,
			 unsigned *looked) REQUIRES(cache->lock);

static unsigned take_old(struct pagecache *cache, struct list *list, uint64_t bytes, struct folio **batch,
			 unsigned *looked)
{
	uint64_t taken = 0;
	unsigned n = 0;

	while (n < RECLAIM_BATCH && taken < bytes && *looked && !list_is_empty(list)) {
		struct folio *f = list_first(list, struct folio, lru_node);
		uint32_t refs = atomic_load(&f->refs);

		(*looked)--;
		make_young(cache, f);
		if (atomic_load(&f->flags) & (FOLIO_DIRTY | FOLIO_WRITEBACK))
			continue;
		if (atomic_exchange_explicit(&folio_blocks(f)->was_referenced, false, memory_order_relaxed))
			continue;
		/* Zero: it is on its way to folio_destroy(), which waits for this lock. */
		while (refs && !atomic_compare_exchange_weak(&f->refs, &refs, refs + 1))
			;
		if (!refs)
			continue;
		batch[n++] = f;
		taken += f->bytes;
	}
	return n;
}

/* Removes @f if it is clean and nobody else uses it; drops the batch's reference. */
static uint64_t reclaim_one(struct folio *f)
{
	uint64_t bytes = f->bytes;
	struct mapping *m;
	bool is_free;

	if (!folio_trylock(f)) {
		folio_put(f);
		return 0;
	}
	m = f->mapping;
	is_free = m && !(atomic_load(&f->flags) & (FOLIO_DIRTY | FOLIO_WRITEBACK)) && atomic_load(&f->refs) == 2;
	if (is_free)
		mapping_remove_folio(m, f);
	folio_release(f);
	return is_free ? bytes : 0;
}

uint64_t pagecache_reclaim_pass(struct pagecache *cache)
{
	struct folio *batch[RECLAIM_BATCH];
	uint64_t freed = 0;
	unsigned looked = 1024, n;

	while (atomic_load(&cache->cached_bytes) > cache->options.budget_bytes && looked) {
		mutex_lock(&cache->lock);
		n = take_old(cache, list_is_empty(&cache->written) ? &cache->lru : &cache->written, UINT64_MAX, batch,
			     &looked);
		mutex_unlock(&cache->lock);
		for (unsigned i = 0; i < n; i++)
			freed += reclaim_one(batch[i]);
	}
	return freed;
}

void pagecache_recycle(struct pagecache *cache, uint32_t bytes)
{
	struct folio *batch[RECLAIM_BATCH];
	unsigned looked = RECLAIM_BATCH, n = 0;

	mutex_lock(&cache->lock);
	if (cache->written_bytes > cache->options.dirty_background_bytes && !buddy_has(&cache->memory, bytes))
		n = take_old(cache, &cache->written, bytes, batch, &looked);
	mutex_unlock(&cache->lock);
	for (unsigned i = 0; i < n; i++)
		reclaim_one(batch[i]);
}

void pagecache_folio_written(struct pagecache *cache, struct folio *f)
{
	struct folio_blocks *fb = folio_blocks(f);

	atomic_store_explicit(&fb->was_referenced, false, memory_order_relaxed);
	mutex_lock(&cache->lock);
	pagecache_unlist(cache, f);
	list_push_back(&cache->written, &f->lru_node);
	fb->is_in_written = true;
	cache->written_bytes += f->bytes;
	mutex_unlock(&cache->lock);
}

void pagecache_unlist(struct pagecache *cache, struct folio *f)
{
	struct folio_blocks *fb = folio_blocks(f);

	list_remove(&f->lru_node);
	if (fb->is_in_written)
		cache->written_bytes -= f->bytes;
	fb->is_in_written = false;
}

void pagecache_counts(struct pagecache *cache, struct pagecache_counts *out)
{
	out->cached_bytes = atomic_load(&cache->cached_bytes);
	out->dirty_bytes = atomic_load(&cache->dirty_bytes);
	out->writeback_bytes = atomic_load(&cache->writeback_bytes);
	out->budget_bytes = cache->options.budget_bytes;
}
