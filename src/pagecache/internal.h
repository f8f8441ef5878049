/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Inside the page cache.
 *
 * Locks: a folio's lock, then its mapping's .lock (index and tags), then the cache's .lock (memory, LRU, dirty list,
 * accounting).  Conditions: .ended wakes everybody who waits for writeback or for room below the limits.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/pagecache.h>

#define CHUNK_BYTES FOLIO_MAX_BYTES
#define CHUNK_PAGES (CHUNK_BYTES / PAGE_BYTES)
#define FOLIO_ORDERS 9				/* 4 KiB .. 1 MiB */

/* ---- buddy.c: page memory ---- */

struct region;

struct buddy {
	struct list free[FOLIO_ORDERS];		/* free blocks; the nodes live in side tables */
	struct list regions;
	uint64_t mapped_bytes;
	uint32_t empty_regions;
};

void buddy_init(struct buddy *b);
void buddy_deinit(struct buddy *b);
/* A naturally aligned block of @bytes (power of two, 4 KiB to 1 MiB); NULL when the system has none.  *region is for
 * buddy_free(). */
void *buddy_alloc(struct buddy *b, uint32_t bytes, struct region **region);
/* Whether buddy_alloc() needs no new region. */
bool buddy_has(const struct buddy *b, uint32_t bytes);
void buddy_free(struct buddy *b, struct region *region, void *data, uint32_t bytes);

/* ---- index.c: one mapping's folios by position ---- */

enum index_tag { TAG_DIRTY, TAG_WRITEBACK, TAG_COUNT };

struct chunk {					/* 1 MiB of a file */
	uint64_t number;
	uint32_t folio_count;
	uint32_t tagged[TAG_COUNT];		/* folios with the tag */
	struct folio *pages[CHUNK_PAGES];	/* the folio that covers each page */
};

struct index {
	void *root;				/* struct index_node or, at height 0, struct chunk */
	unsigned height;
};

/* The chunk that holds number @number, or NULL. */
struct chunk *page_index_find(struct index *ix, uint64_t number);
/* Makes it; NULL when there is no memory. */
struct chunk *page_index_make(struct index *ix, uint64_t number);
/* The first chunk numbered @from or higher; with @tag >= 0 only chunks so tagged. */
struct chunk *page_index_next(struct index *ix, uint64_t from, int tag);
/* Frees an empty chunk and the nodes that become empty. */
void page_index_drop(struct index *ix, struct chunk *chunk);
/* Frees the nodes that failed page_index_make() calls left; no chunk exists any more. */
void page_index_deinit(struct index *ix);
/* chunk->tagged[tag] became zero or non-zero. */
void page_index_retag(struct index *ix, struct chunk *chunk, enum index_tag tag);

/* ---- objects ---- */

struct pagecache {
	struct device *dev;			/* [I] */
	struct pagecache_options options;	/* [I] */
	void (*pin)(void *owner);		/* [I after setup] */
	void (*unpin)(void *owner);

	struct mutex walk_lock;			/* one walk over all busy mappings at a time; outside folio locks */
	struct mutex lock;
	struct cond ended;			/* an I/O ended, memory became clean */
	struct cond work;			/* for pagecache_wait_work() */
	struct buddy memory;			/* [lock] */
	struct list lru;			/* [lock] every folio but those in .written, oldest first */
	struct list written;			/* [lock] written out, oldest first: the first to go */
	uint64_t written_bytes;			/* [lock] of the folios in .written */
	struct list dirty;			/* [lock] busy mappings, those with the oldest dirty folios first */
	uint64_t round;				/* [lock] of pagecache_write_all() */
	bool wake_requested;			/* [lock] */
	uint32_t throttled;			/* [lock] writers waiting */
	_Atomic uint64_t cached_bytes, dirty_bytes, writeback_bytes;
	_Atomic uint32_t ended_waiters;
};

struct mapping {
	struct pagecache *cache;		/* [I] */
	const struct writeback_ops *ops;	/* [I] */
	void *owner;				/* [I] */
	uint32_t block_bytes;			/* [I] */
	uint8_t block_log;			/* [I] */
	uint32_t min_folio_bytes;		/* [I] */
	struct mutex lock;
	struct index index;			/* [lock] */
	_Atomic uint64_t cached_bytes;
	_Atomic uint64_t last_read;
	/* [cache lock] */
	struct list dirty_node;
	uint64_t dirtied_ns;			/* when it joined the dirty list */
	uint64_t writeback_from;		/* where background writeback goes on */
	uint64_t round;				/* the last that came by */
	uint32_t busy_folios;			/* dirty or under writeback: the owner is pinned while > 0 */
	int error;
	uint64_t error_sequence;
	_Atomic uint32_t dirty_folios;
};

/* Per-folio state behind folio->blocks. */
struct folio_blocks {
	struct region *region;
	uint32_t block_count;
	uint32_t words;
	uint8_t block_log;			/* of the mapping it was made for */
	_Atomic uint32_t io_count;		/* writeback I/Os that carry it */
	_Atomic bool was_referenced;		/* second chance in the LRU */
	bool is_in_written;			/* not in the LRU [cache lock] */
	uint64_t bits[];			/* uptodate words, then dirty words */
};

static inline struct folio_blocks *folio_blocks(const struct folio *folio)
{
	return folio->blocks;
}

/* mapping.c; mapping->lock held.  Sets or clears the tag of a folio in the index. */
void mapping_tag(struct mapping *m, struct folio *folio, enum index_tag tag, bool on);
/* Takes a locked folio out of the index (mapping->lock taken inside); the index's reference goes. */
void mapping_remove_folio(struct mapping *m, struct folio *folio);

/* The first folio with the tag that ends after @off and starts before @end: referenced, not locked; NULL. */
struct folio *mapping_next_flagged(struct mapping *m, uint64_t off, uint64_t end, enum index_tag tag);

/* folio.c */
/* Locked, with one reference, outside the index; NULL without memory. */
struct folio *folio_create(struct mapping *m, uint64_t off, uint32_t bytes);
uint64_t folio_seek_uptodate(const struct folio *folio, uint64_t off, uint64_t end, bool data);
/*
 * One more (one less) reason for the mapping to be busy: a dirty folio, one under writeback, somebody at work on it.
 * The last one gone, the mapping may be destroyed: do not touch it afterwards.
 */
void mapping_hold_busy(struct mapping *m);
void folio_become_busy(struct folio *folio);
void folio_stop_being_busy(struct mapping *m);
/* Waits for cache->ended unless @done(arg) already; helps with completions when there are no threads. */
void pagecache_wait_ended(struct mapping *m, bool (*done)(void *arg), void *arg);
void pagecache_signal_ended(struct pagecache *cache);
/* @f has been written out: memory for pagecache_recycle() unless somebody uses it again. */
void pagecache_folio_written(struct pagecache *cache, struct folio *f);
/* Takes @f off the list it stands on.  cache->lock held. */
void pagecache_unlist(struct pagecache *cache, struct folio *f) REQUIRES(cache->lock);
/* Lets go of folios that were written out, instead of having the cache grow by @bytes. */
void pagecache_recycle(struct pagecache *cache, uint32_t bytes);
