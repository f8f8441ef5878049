/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One folio: its memory, lock, references and per-block state (Linux: iomap_folio_state).
 *
 * State is two bit arrays, one bit for each block: uptodate and dirty.  FOLIO_UPTODATE and FOLIO_DIRTY in .flags
 * summarise them for readers that hold no lock.
 */
#include "internal.h"

#include <string.h>

#include <userxfs/base/memory.h>

static uint64_t *uptodate_bits(const struct folio *f)
{
	return folio_blocks(f)->bits;
}

static uint64_t *dirty_bits(const struct folio *f)
{
	return folio_blocks(f)->bits + folio_blocks(f)->words;
}

/* Sets bits [from, end) and returns how many changed. */
static uint32_t set_bits(uint64_t *bits, uint32_t from, uint32_t end)
{
	uint32_t changed = 0;

	while (from < end) {
		uint32_t word = from / 64, low = from % 64, high = (uint32_t)min_u64(64, low + (end - from));
		uint64_t mask = (high == 64 ? ~0ull : (1ull << high) - 1) & ~((1ull << low) - 1);

		changed += (uint32_t)__builtin_popcountll(mask & ~bits[word]);
		bits[word] |= mask;
		from += high - low;
	}
	return changed;
}

static uint32_t clear_bits(uint64_t *bits, uint32_t from, uint32_t end)
{
	uint32_t changed = 0;

	while (from < end) {
		uint32_t word = from / 64, low = from % 64, high = (uint32_t)min_u64(64, low + (end - from));
		uint64_t mask = (high == 64 ? ~0ull : (1ull << high) - 1) & ~((1ull << low) - 1);

		changed += (uint32_t)__builtin_popcountll(mask & bits[word]);
		bits[word] &= ~mask;
		from += high - low;
	}
	return changed;
}

/* The first bit in [from, end) that is @value; @end when none. */
static uint32_t find_bit(const uint64_t *bits, uint32_t from, uint32_t end, bool value)
{
	while (from < end) {
		uint64_t word = value ? bits[from / 64] : ~bits[from / 64];

		word &= ~0ull << (from % 64);
		if (word)
			return (uint32_t)min_u64(end, from / 64 * 64 + (uint32_t)__builtin_ctzll(word));
		from = from / 64 * 64 + 64;
	}
	return end;
}

/* Clips a byte range of the file to the folio and turns it into block indices, rounding outward or inward. */
static bool clip(const struct folio *f, uint64_t off, uint64_t count, bool outward, uint32_t *from, uint32_t *end)
{
	/* Readers without the lock come here while the folio leaves its mapping. */
	unsigned log = folio_blocks(f)->block_log;
	uint64_t first = max_u64(off, f->off_bytes), last = min_u64(off + count, f->off_bytes + f->bytes);

	if (first >= last)
		return false;
	first -= f->off_bytes;
	last -= f->off_bytes;
	if (outward) {
		*from = (uint32_t)(first >> log);
		*end = (uint32_t)((last + (1u << log) - 1) >> log);
	} else {
		*from = (uint32_t)((first + (1u << log) - 1) >> log);
		*end = (uint32_t)(last >> log);
	}
	return *from < *end;
}

struct folio *folio_create(struct mapping *m, uint64_t off, uint32_t bytes)
{
	struct pagecache *cache = m->cache;
	uint32_t blocks = bytes >> m->block_log, words = (blocks + 63) / 64;
	struct folio *f = mem_alloc_zeroed(sizeof(*f));
	struct folio_blocks *fb = mem_alloc_zeroed(sizeof(*fb) + 2 * words * sizeof(uint64_t));

	if (!f || !fb)
		goto fail;
	mutex_lock(&cache->lock);
	f->data = buddy_alloc(&cache->memory, bytes, &fb->region);
	mutex_unlock(&cache->lock);
	if (!f->data)
		goto fail;
	fb->block_count = blocks;
	fb->words = words;
	fb->block_log = m->block_log;
	f->blocks = fb;
	olock_init(&f->lock);
	olock_lock(&f->lock);
	atomic_store(&f->refs, 1);
	f->bytes = bytes;
	f->cache = cache;
	f->mapping = m;
	f->off_bytes = off;
	list_init(&f->lru_node);
	return f;

fail:
	mem_free(fb);
	mem_free(f);
	return NULL;
}

static void folio_destroy(struct folio *f, struct pagecache *cache)
{
	struct folio_blocks *fb = folio_blocks(f);

	mutex_lock(&cache->lock);
	pagecache_unlist(cache, f);
	buddy_free(&cache->memory, fb->region, f->data, f->bytes);
	mutex_unlock(&cache->lock);
	atomic_fetch_sub(&cache->cached_bytes, f->bytes);
	mem_free(f->stamps);
	mem_free(fb);
	mem_free(f);
}

void folio_hold(struct folio *folio)
{
	atomic_fetch_add_explicit(&folio->refs, 1, memory_order_relaxed);
}

void folio_put(struct folio *folio)
{
	if (folio && atomic_fetch_sub_explicit(&folio->refs, 1, memory_order_acq_rel) == 1)
		folio_destroy(folio, folio->cache);
}

void folio_lock(struct folio *folio)
{
	olock_lock(&folio->lock);
}

bool folio_trylock(struct folio *folio)
{
	return olock_trylock(&folio->lock);
}

void folio_unlock(struct folio *folio)
{
	olock_unlock(&folio->lock);
}

void folio_release(struct folio *folio)
{
	folio_unlock(folio);
	folio_put(folio);
}

bool folio_is_uptodate(const struct folio *folio, uint64_t off, uint64_t count)
{
	uint32_t from, end;

	if (atomic_load_explicit(&folio->flags, memory_order_acquire) & FOLIO_UPTODATE)
		return true;
	if (!clip(folio, off, count, true, &from, &end))
		return true;
	return find_bit(uptodate_bits(folio), from, end, false) == end;
}

bool folio_is_dirty(const struct folio *folio, uint64_t off, uint64_t count)
{
	uint32_t from, end;

	if (!(atomic_load_explicit(&folio->flags, memory_order_acquire) & FOLIO_DIRTY))
		return false;
	if (!clip(folio, off, count, true, &from, &end))
		return false;
	return find_bit(dirty_bits(folio), from, end, true) != end;
}

void folio_set_uptodate(struct folio *folio, uint64_t off, uint64_t count)
{
	uint32_t from, end;

	if (!clip(folio, off, count, false, &from, &end))
		return;
	set_bits(uptodate_bits(folio), from, end);
	if (find_bit(uptodate_bits(folio), 0, folio_blocks(folio)->block_count, false) ==
	    folio_blocks(folio)->block_count)
		atomic_fetch_or_explicit(&folio->flags, FOLIO_UPTODATE, memory_order_release);
}

void folio_set_dirty(struct folio *folio, uint64_t off, uint64_t count)
{
	struct mapping *m = folio->mapping;
	uint32_t from, end, changed;

	ensure(m);
	if (!clip(folio, off, count, true, &from, &end))
		return;
	ensure(find_bit(uptodate_bits(folio), from, end, false) == end);
	changed = set_bits(dirty_bits(folio), from, end);
	if (!changed)
		return;
	atomic_fetch_add(&m->cache->dirty_bytes, (uint64_t)changed << m->block_log);
	if (atomic_fetch_or(&folio->flags, FOLIO_DIRTY) & FOLIO_DIRTY)
		return;
	atomic_fetch_add(&m->dirty_folios, 1);
	mutex_lock(&m->lock);
	mapping_tag(m, folio, TAG_DIRTY, true);
	mutex_unlock(&m->lock);
	folio_become_busy(folio);
}

void folio_clear_dirty(struct folio *folio, uint64_t off, uint64_t count)
{
	struct mapping *m = folio->mapping;
	struct folio_blocks *fb = folio_blocks(folio);
	uint32_t from, end, changed;

	if (!m || !clip(folio, off, count, true, &from, &end))
		return;
	changed = clear_bits(dirty_bits(folio), from, end);
	if (!changed)
		return;
	atomic_fetch_sub(&m->cache->dirty_bytes, (uint64_t)changed << m->block_log);
	if (find_bit(dirty_bits(folio), 0, fb->block_count, true) != fb->block_count)
		return;
	atomic_fetch_and(&folio->flags, ~(uint32_t)FOLIO_DIRTY);
	mutex_lock(&m->lock);
	mapping_tag(m, folio, TAG_DIRTY, false);
	mutex_unlock(&m->lock);
	atomic_fetch_sub(&m->dirty_folios, 1);
	folio_stop_being_busy(m);
}

bool folio_next_dirty(const struct folio *folio, uint64_t from, uint64_t end, uint64_t *off, uint64_t *run_end)
{
	unsigned log = folio->mapping->block_log;
	uint32_t first, last, start, stop;

	if (!clip(folio, from, end - from, true, &first, &last))
		return false;
	start = find_bit(dirty_bits(folio), first, last, true);
	if (start == last)
		return false;
	stop = find_bit(dirty_bits(folio), start, last, false);
	*off = folio->off_bytes + ((uint64_t)start << log);
	*run_end = folio->off_bytes + ((uint64_t)stop << log);
	return true;
}

void folio_stamp(struct folio *folio, uint64_t off, uint64_t count, uint64_t unique)
{
	uint64_t first = (off - folio->off_bytes) / PAGE_BYTES,
		 last = (off + count - 1 - folio->off_bytes) / PAGE_BYTES;

	if (!folio->stamps)
		folio->stamps = mem_alloc_zeroed_sure(folio->bytes / PAGE_BYTES * sizeof(uint64_t));
	for (uint64_t page = first; page <= last; page++)
		folio->stamps[page] = max_u64(folio->stamps[page], unique);
}

bool folio_is_stamped_after(const struct folio *folio, uint64_t off, uint64_t unique)
{
	return folio->stamps && folio->stamps[(off - folio->off_bytes) / PAGE_BYTES] > unique;
}

/* The first block boundary >= @off below @end whose block is (is not) uptodate; @end when none.  Folio referenced. */
uint64_t folio_seek_uptodate(const struct folio *folio, uint64_t off, uint64_t end, bool data)
{
	unsigned log = folio->mapping->block_log;
	uint32_t first, last, found;

	if (!clip(folio, off, end - off, true, &first, &last))
		return end;
	found = find_bit(uptodate_bits(folio), first, last, data);
	if (found == last)
		return end;
	return max_u64(off, folio->off_bytes + ((uint64_t)found << log));
}
