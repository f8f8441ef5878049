/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One file's pages: finding, making, removing folios.
 *
 * A folio found in the index is referenced under the mapping's lock, then locked without it; whoever gets the lock
 * checks folio->mapping and looks again if it was removed meanwhile.
 */
#include "internal.h"

#include <string.h>

#include <userxfs/base/memory.h>

static struct folio *folio_at(struct mapping *m, uint64_t off)
{
	struct chunk *chunk = page_index_find(&m->index, off / CHUNK_BYTES);

	return chunk ? chunk->pages[off / PAGE_BYTES % CHUNK_PAGES] : NULL;
}

static unsigned first_page(const struct folio *f)
{
	return (unsigned)(f->off_bytes / PAGE_BYTES % CHUNK_PAGES);
}

void mapping_tag(struct mapping *m, struct folio *folio, enum index_tag tag, bool on)
{
	struct chunk *chunk = page_index_find(&m->index, folio->off_bytes / CHUNK_BYTES);
	uint32_t before;

	ensure(chunk);
	before = chunk->tagged[tag];
	chunk->tagged[tag] += on ? 1u : -1u;
	if (!before != !chunk->tagged[tag])
		page_index_retag(&m->index, chunk, tag);
}

int mapping_create(struct pagecache *cache, uint32_t block_bytes, const struct writeback_ops *ops, void *owner,
		   struct mapping **out)
{
	struct mapping *m = mem_alloc_zeroed(sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->cache = cache;
	m->ops = ops;
	m->owner = owner;
	m->block_bytes = block_bytes;
	m->block_log = (uint8_t)log2_floor(block_bytes);
	m->min_folio_bytes = block_bytes > PAGE_BYTES ? block_bytes : PAGE_BYTES;
	mutex_init(&m->lock, RANK_MAPPING, 0, "mapping");
	list_init(&m->dirty_node);
	*out = m;
	return 0;
}

void mapping_destroy(struct mapping *m, bool discard)
{
	if (!m)
		return;
	ensure(discard || !atomic_load(&m->dirty_folios));
	mapping_truncate(m, 0, UINT64_MAX);
	mutex_lock(&m->cache->lock);
	ensure(m->busy_folios == 0);
	list_remove(&m->dirty_node);
	mutex_unlock(&m->cache->lock);
	page_index_deinit(&m->index);
	mutex_deinit(&m->lock);
	mem_free(m);
}

struct folio *mapping_find(struct mapping *m, uint64_t off)
{
	struct folio *f;

	mutex_lock(&m->lock);
	f = folio_at(m, off);
	if (f)
		folio_hold(f);
	mutex_unlock(&m->lock);
	if (f)
		atomic_store_explicit(&folio_blocks(f)->was_referenced, true, memory_order_relaxed);
	return f;
}

struct folio *mapping_find_locked(struct mapping *m, uint64_t off)
{
	for (;;) {
		struct folio *f = mapping_find(m, off);

		if (!f)
			return NULL;
		folio_lock(f);
		if (f->mapping == m)
			return f;
		folio_release(f);
	}
}

/* The first folio that ends after @off and starts before @end; referenced.  mapping->lock held. */
static struct folio *next_folio(struct mapping *m, uint64_t off, uint64_t end, int tag, uint32_t flag)
{
	uint64_t number = off / CHUNK_BYTES;
	unsigned page = (unsigned)(off / PAGE_BYTES % CHUNK_PAGES);

	for (;;) {
		struct chunk *chunk = page_index_next(&m->index, number, tag);

		if (!chunk || chunk->number * CHUNK_BYTES >= end)
			return NULL;
		if (chunk->number != number)
			page = 0;
		for (; page < CHUNK_PAGES; page++) {
			struct folio *f = chunk->pages[page];

			if (!f)
				continue;
			if (f->off_bytes >= end)
				return NULL;
			if (!flag || atomic_load(&f->flags) & flag) {
				folio_hold(f);
				return f;
			}
			page = first_page(f) + f->bytes / PAGE_BYTES - 1;
		}
		number = chunk->number + 1;
		page = 0;
	}
}

struct folio *mapping_next_flagged(struct mapping *m, uint64_t off, uint64_t end, enum index_tag tag)
{
	struct folio *f;

	mutex_lock(&m->lock);
	f = next_folio(m, off, end, (int)tag, tag == TAG_DIRTY ? FOLIO_DIRTY : FOLIO_WRITEBACK);
	mutex_unlock(&m->lock);
	return f;
}

static struct folio *next_any(struct mapping *m, uint64_t off, uint64_t end)
{
	struct folio *f;

	mutex_lock(&m->lock);
	f = next_folio(m, off, end, -1, 0);
	mutex_unlock(&m->lock);
	return f;
}

struct folio *mapping_next_locked(struct mapping *m, uint64_t off, uint64_t end)
{
	for (;;) {
		struct folio *f = next_any(m, off, end);

		if (!f)
			return NULL;
		folio_lock(f);
		if (f->mapping == m)
			return f;
		folio_release(f);
	}
}

static bool range_is_empty(struct mapping *m, uint64_t off, uint32_t bytes)
{
	struct chunk *chunk = page_index_find(&m->index, off / CHUNK_BYTES);
	unsigned page = (unsigned)(off / PAGE_BYTES % CHUNK_PAGES);

	if (!chunk)
		return true;
	for (unsigned i = 0; i < bytes / PAGE_BYTES; i++) {
		if (chunk->pages[page + i])
			return false;
	}
	return true;
}

/* Puts a new folio into the index; false when something is there already or there is no memory. */
static int insert(struct mapping *m, struct folio *f)
{
	struct chunk *chunk;
	unsigned page = first_page(f);

	if (!range_is_empty(m, f->off_bytes, f->bytes))
		return -EEXIST;
	chunk = page_index_make(&m->index, f->off_bytes / CHUNK_BYTES);
	if (!chunk)
		return -ENOMEM;
	for (unsigned i = 0; i < f->bytes / PAGE_BYTES; i++)
		chunk->pages[page + i] = f;
	chunk->folio_count++;
	folio_hold(f);
	return 0;
}

/* How large a new folio at @off may be: as asked, naturally aligned at its start, not over a neighbour. */
static uint32_t choose_bytes(struct mapping *m, uint64_t *off, uint64_t want)
{
	uint32_t bytes = FOLIO_MAX_BYTES;
	uint64_t start = round_down_u64(*off, m->min_folio_bytes);

	while (bytes > m->min_folio_bytes && (bytes > want || start % bytes || !range_is_empty(m, start, bytes)))
		bytes /= 2;
	*off = start;
	return bytes;
}

static struct folio *unused_folio(struct mapping *m, uint64_t off, uint64_t want)
{
	struct pagecache *cache = m->cache;
	uint32_t bytes;
	struct folio *f;

	mutex_lock(&m->lock);
	bytes = choose_bytes(m, &off, want);
	mutex_unlock(&m->lock);
	atomic_fetch_add(&cache->cached_bytes, bytes);
	if (atomic_load(&cache->cached_bytes) > cache->options.budget_bytes)
		pagecache_reclaim_pass(cache);
	else
		pagecache_recycle(cache, bytes);
	f = folio_create(m, off, bytes);
	if (!f && bytes > m->min_folio_bytes) {
		atomic_fetch_sub(&cache->cached_bytes, bytes - m->min_folio_bytes);
		bytes = m->min_folio_bytes;
		f = folio_create(m, off, bytes);
	}
	if (!f)
		atomic_fetch_sub(&cache->cached_bytes, bytes);
	return f;
}

int mapping_get_locked(struct mapping *m, uint64_t off, uint64_t want_bytes, struct folio **out)
{
	for (;;) {
		struct folio *f = mapping_find_locked(m, off);
		int err;

		if (f) {
			*out = f;
			return 0;
		}
		f = unused_folio(m, off, want_bytes);
		if (!f)
			return -ENOMEM;
		mutex_lock(&m->lock);
		err = insert(m, f);
		mutex_unlock(&m->lock);
		if (!err) {
			atomic_fetch_add(&m->cached_bytes, f->bytes);
			mutex_lock(&m->cache->lock);
			list_push_back(&m->cache->lru, &f->lru_node);
			mutex_unlock(&m->cache->lock);
			*out = f;
			return 0;
		}
		folio_release(f);
		if (err != -EEXIST)
			return err;
	}
}

void mapping_remove_folio(struct mapping *m, struct folio *f)
{
	unsigned page = first_page(f);
	struct chunk *chunk;

	folio_clear_dirty(f, f->off_bytes, f->bytes);
	mutex_lock(&m->lock);
	chunk = page_index_find(&m->index, f->off_bytes / CHUNK_BYTES);
	ensure(chunk && chunk->pages[page] == f);
	for (unsigned i = 0; i < f->bytes / PAGE_BYTES; i++)
		chunk->pages[page + i] = NULL;
	if (--chunk->folio_count == 0)
		page_index_drop(&m->index, chunk);
	/* Whoever finds the mapping empty may destroy it as soon as the lock is free. */
	atomic_fetch_sub(&m->cached_bytes, f->bytes);
	mutex_unlock(&m->lock);
	f->mapping = NULL;
	folio_put(f);
}

/* The part of a folio that is cut away: zeroes, and whole blocks of it need no writing. */
static void cut_part(struct mapping *m, struct folio *f, uint64_t off, uint64_t end)
{
	uint64_t from = max_u64(off, f->off_bytes), to = min_u64(end, f->off_bytes + f->bytes);
	uint64_t whole_from = round_up_u64(from, m->block_bytes), whole_to = round_down_u64(to, m->block_bytes);

	memset(f->data + (from - f->off_bytes), 0, to - from);
	if (whole_from < whole_to)
		folio_clear_dirty(f, whole_from, whole_to - whole_from);
}

void mapping_truncate(struct mapping *m, uint64_t off, uint64_t end)
{
	uint64_t pos = off;

	while (pos < end) {
		struct folio *f = mapping_next_locked(m, pos, end);

		if (!f)
			return;
		folio_wait_writeback(f);
		pos = f->off_bytes + f->bytes;
		if (f->off_bytes >= off && pos <= end)
			mapping_remove_folio(m, f);
		else
			cut_part(m, f, off, end);
		folio_release(f);
		if (pos == 0)
			return;
	}
}

bool mapping_invalidate(struct mapping *m, uint64_t off, uint64_t end)
{
	bool all = true;
	uint64_t pos = off;

	while (pos < end) {
		struct folio *f = mapping_next_locked(m, pos, end);

		if (!f)
			break;
		pos = f->off_bytes + f->bytes;
		if (atomic_load(&f->flags) & (FOLIO_DIRTY | FOLIO_WRITEBACK))
			all = false;
		else
			mapping_remove_folio(m, f);
		folio_release(f);
	}
	return all;
}

uint64_t mapping_seek_cached(struct mapping *m, uint64_t off, uint64_t end, bool data)
{
	while (off < end) {
		struct folio *f = mapping_next_locked(m, off, end);
		uint64_t stop, found;

		if (!f)
			return data ? end : off;
		if (!data && f->off_bytes > off) {
			folio_release(f);
			return off;
		}
		stop = min_u64(end, f->off_bytes + f->bytes);
		off = max_u64(off, f->off_bytes);
		found = folio_seek_uptodate(f, off, stop, data);
		folio_release(f);
		if (found < stop)
			return found;
		off = stop;
	}
	return end;
}

static bool has_flagged(struct mapping *m, uint64_t off, uint64_t end, enum index_tag tag)
{
	struct folio *f = mapping_next_flagged(m, off, end, tag);

	folio_put(f);
	return f != NULL;
}

bool mapping_has_dirty(struct mapping *m, uint64_t off, uint64_t end)
{
	return atomic_load(&m->dirty_folios) && has_flagged(m, off, end, TAG_DIRTY);
}

bool mapping_has_dirty_or_writeback(struct mapping *m, uint64_t off, uint64_t end)
{
	return mapping_has_dirty(m, off, end) || has_flagged(m, off, end, TAG_WRITEBACK);
}

uint64_t mapping_cached_bytes(struct mapping *m)
{
	return atomic_load(&m->cached_bytes);
}

uint64_t mapping_swap_last_read(struct mapping *m, uint64_t end)
{
	return atomic_exchange_explicit(&m->last_read, end, memory_order_relaxed);
}

static const char *verify_chunk(struct mapping *m, struct chunk *chunk)
{
	uint32_t folios = 0, tagged[TAG_COUNT] = { 0, 0 };

	for (unsigned page = 0; page < CHUNK_PAGES; page++) {
		struct folio *f = chunk->pages[page];

		if (!f)
			continue;
		if (f->mapping != m || f->off_bytes % f->bytes)
			return "a folio in the index belongs to another mapping or is not aligned";
		if (page < first_page(f) || page >= first_page(f) + f->bytes / PAGE_BYTES)
			return "a folio is in the index at a page it does not cover";
		if (page != first_page(f))
			continue;
		folios++;
		tagged[TAG_DIRTY] += !!(atomic_load(&f->flags) & FOLIO_DIRTY);
		tagged[TAG_WRITEBACK] += !!(atomic_load(&f->flags) & FOLIO_WRITEBACK);
	}
	if (folios != chunk->folio_count)
		return "a chunk's folio count is wrong";
	if (tagged[TAG_DIRTY] != chunk->tagged[TAG_DIRTY] || tagged[TAG_WRITEBACK] != chunk->tagged[TAG_WRITEBACK])
		return "a chunk's tags are wrong";
	return NULL;
}

const char *mapping_verify(struct mapping *m)
{
	const char *why = NULL;
	uint64_t number = 0;
	struct chunk *chunk;

	mutex_lock(&m->lock);
	while (!why && (chunk = page_index_next(&m->index, number, -1)) != NULL) {
		why = verify_chunk(m, chunk);
		number = chunk->number + 1;
	}
	mutex_unlock(&m->lock);
	return why;
}
