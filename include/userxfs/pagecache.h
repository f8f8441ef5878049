/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * File data in memory: folios of 4 KiB to 1 MiB with per-block uptodate and dirty state, one memory budget, dirty
 * limits and the writeback engine.  Knows neither inodes nor extents: it asks the owner of a mapping through struct
 * writeback_ops.  (Linux: address_space, folio, iomap_folio_state, write_cache_pages, iomap_ioend.)
 *
 * A folio covers [index * 4096, + bytes) of one file, naturally aligned; two folios of a mapping never overlap.
 *
 * Rules, checked by mapping_verify():
 *   - a dirty block is uptodate; a folio with a dirty block is in its mapping and has the DIRTY flag;
 *   - a folio's bytes and block state change only with its lock held; the lock is held across device reads;
 *   - a folio under writeback is not modified on disk twice at once: writeback of it waits for the one in flight;
 *     its bytes may be stored to meanwhile (it just becomes dirty again);
 *   - a locked, dirty or written-back folio is never reclaimed.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/base/list.h>
#include <userxfs/base/lock.h>
#include <userxfs/device.h>

#define PAGE_BYTES 4096u
#define PAGE_LOG 12
#define FOLIO_MAX_BYTES (1u << 20)

struct pagecache;
struct mapping;

enum folio_flag {
	FOLIO_DIRTY = 1 << 0,		/* some block is dirty */
	FOLIO_WRITEBACK = 1 << 1,	/* I/O in flight */
	FOLIO_UPTODATE = 1 << 2,	/* every block is */
	FOLIO_ERROR = 1 << 3,		/* its last writeback failed; data are still here */
};

struct folio {
	struct olock lock;
	_Atomic uint32_t refs;
	_Atomic uint32_t flags;		/* enum folio_flag */
	uint32_t bytes;			/* [I] power of two, at least the mapping's block and page size */
	struct pagecache *cache;	/* [I] */
	struct mapping *mapping;	/* [lock to change] NULL: truncated or reclaimed: drop it and look again */
	uint64_t off_bytes;		/* [I] position in the file */
	uint8_t *data;			/* [I] page-aligned */
	/* The cache's. */
	void *blocks;			/* per-block bits; NULL while all blocks are in the same state */
	struct list lru_node;
	uint64_t *stamps;		/* [lock] per page, the number of the last store from outside; NULL: none */
};

/* How one run of a file's dirty bytes is to be written. */
struct writeback_target {
	uint64_t device_off_bytes;
	uint64_t count_bytes;		/* from the asked offset on, at least one block */
	uint32_t kind;			/* the owner's (unwritten, written, shared): only equal kinds share an I/O */
	bool is_hole;			/* nothing to write there: skip (past EOF, truncated) */
};

/* One write I/O over contiguous file bytes, contiguous on disk, of one kind.  (Linux: iomap_ioend.) */
struct writeback_io {
	struct mapping *mapping;
	uint64_t off_bytes, count_bytes;
	uint64_t device_off_bytes;
	uint32_t kind;
	int err;			/* of the device */
	void *owner;			/* the mapping's */
	struct list node;		/* the owner's queue between .done and the call of writeback_io_end() */
	struct device_request request;	/* the cache's from here on */
	uint64_t padded_bytes;		/* count_bytes rounded up to whole blocks: what the device writes */
	struct folio **folios;
	uint32_t folio_count, folio_capacity;
	struct iovec *iov;
	uint32_t iov_count, iov_capacity;
};

struct writeback_ops {
	/*
	 * Required.  Where do the dirty bytes from @off on go?  May allocate (delayed extents), blocks, takes locks
	 * below RANK_FOLIO. Called with the folio locked, at most once per run. @end: end of the dirty run. An error
	 * drops nothing: the bytes stay dirty, the error is recorded in the mapping.
	 */
	int (*map)(void *owner, uint64_t off, uint64_t end, struct writeback_target *out);
	/* Required.  In-core file size: nothing past it is written; bytes past it in the last block are zeroed. */
	uint64_t (*size)(void *owner);
	/* Optional.  Just before the I/O is submitted (CoW state change).  An error fails the I/O. */
	int (*submit)(void *owner, struct writeback_io *io);
	/*
	 * Required. The device is done (io->err). Called from a device pass: must not block; either finishes at once
	 * with writeback_io_end(), or queues it for a pass that runs transactions (conversion, size) and calls it
	 * then.
	 */
	void (*done)(void *owner, struct writeback_io *io);
	/*
	 * Optional.  Runs queued completions; called by threads that wait for writeback (they hold no lock inside
	 * RANK_FOLIO), so that waiting works without a completion thread.  Returns whether it did anything.
	 */
	bool (*help)(void *owner);
};

/*
 * Ends an I/O: clears FOLIO_WRITEBACK, wakes waiters, records @err in the mapping, frees @io.  Blocks whose write
 * failed stay uptodate and clean (XFS's behaviour for data): the error is what fsync reports.
 */
void writeback_io_end(struct writeback_io *io, int err);

struct pagecache_options {
	uint64_t budget_bytes;		/* all folios */
	uint64_t dirty_background_bytes; /* writeback starts */
	uint64_t dirty_limit_bytes;	/* writers wait */
	uint64_t dirty_expire_ns;	/* 30 s: age at which periodic writeback takes a mapping */
	uint32_t max_inflight_bytes;	/* writeback I/O in flight at once; 0: 32 MiB */
};

int pagecache_create(struct device *dev, const struct pagecache_options *options, struct pagecache **out);
void pagecache_destroy(struct pagecache *cache);

/*
 * One file's pages.  @block_bytes: state granularity and smallest folio (1 KiB to 64 KiB).  @owner is passed to @ops.
 */
int mapping_create(struct pagecache *cache, uint32_t block_bytes, const struct writeback_ops *ops, void *owner,
		   struct mapping **out);
/* No folio is dirty or under writeback (or they are to be discarded after a shutdown: @discard). */
void mapping_destroy(struct mapping *mapping, bool discard);

/* ---- folios ---- */

/* The folio that covers @off, referenced and locked (not truncated), or NULL. */
struct folio *mapping_find_locked(struct mapping *mapping, uint64_t off);
/* Referenced, unlocked; for readers that only need uptodate bytes. */
struct folio *mapping_find(struct mapping *mapping, uint64_t off);
/*
 * The same, made if absent: as large as @want_bytes (rounded down to a power of two), alignment, the budget and
 * neighbours allow; contents undefined, no block uptodate.  -ENOMEM only when not even the smallest can be had.
 */
int mapping_get_locked(struct mapping *mapping, uint64_t off, uint64_t want_bytes, struct folio **out);
/* The first folio at or after @off below @end: referenced, locked; NULL. */
struct folio *mapping_next_locked(struct mapping *mapping, uint64_t off, uint64_t end);

void folio_hold(struct folio *folio);
void folio_put(struct folio *folio);
void folio_lock(struct folio *folio);
bool folio_trylock(struct folio *folio);
void folio_unlock(struct folio *folio);
/* Unlock and put. */
void folio_release(struct folio *folio);
void folio_wait_writeback(struct folio *folio);

/* Block state; byte ranges of the file; folio locked.  Set rounds outward for dirty, inward for uptodate. */
bool folio_is_uptodate(const struct folio *folio, uint64_t off, uint64_t count);
bool folio_is_dirty(const struct folio *folio, uint64_t off, uint64_t count);	/* any block */
void folio_set_uptodate(struct folio *folio, uint64_t off, uint64_t count);
/* Also accounts dirty memory and puts the mapping on the dirty list. */
void folio_set_dirty(struct folio *folio, uint64_t off, uint64_t count);
void folio_clear_dirty(struct folio *folio, uint64_t off, uint64_t count);
/* The first run at or after @from (below @end) that is dirty; false: none. */
bool folio_next_dirty(const struct folio *folio, uint64_t from, uint64_t end, uint64_t *off, uint64_t *run_end);

/*
 * Stores from the kernel's page cache carry request numbers, and each contains everything an older one did: whoever
 * comes late with an older number must not overwrite.  Stamp notes @unique for the pages of the range;
 * is_stamped_after() tells whether the page that holds @off has a younger stamp.  Folio locked.
 */
void folio_stamp(struct folio *folio, uint64_t off, uint64_t count, uint64_t unique);
bool folio_is_stamped_after(const struct folio *folio, uint64_t off, uint64_t unique);

/*
 * The first byte >= @off below @end that is (is not) uptodate in memory; @end when none.  For SEEK_DATA/HOLE and
 * punch-out.
 */
uint64_t mapping_seek_cached(struct mapping *mapping, uint64_t off, uint64_t end, bool data);
bool mapping_has_dirty(struct mapping *mapping, uint64_t off, uint64_t end);
bool mapping_has_dirty_or_writeback(struct mapping *mapping, uint64_t off, uint64_t end);
uint64_t mapping_cached_bytes(struct mapping *mapping);
/* Remembers where the last read ended and returns what was remembered: a reader's hint for read-ahead. */
uint64_t mapping_swap_last_read(struct mapping *mapping, uint64_t end);

/*
 * Removes [@off, @end) from memory, dirty or not: whole folios go, partial ones get the range zeroed (state kept
 * dirty where it was).  Waits for writeback.  Caller holds the invalidate lock exclusively.  (Linux:
 * truncate_pagecache_range.)
 */
void mapping_truncate(struct mapping *mapping, uint64_t off, uint64_t end);
/* Removes clean folios of the range; dirty, locked ones stay: false then.  (invalidate_inode_pages2_range.) */
bool mapping_invalidate(struct mapping *mapping, uint64_t off, uint64_t end);

/* ---- writeback ---- */

/*
 * Starts writing the dirty blocks of every folio that touches [@off, @end); returns when all are submitted; first
 * mapping error.  @io_count: folios written.
 */
int mapping_write(struct mapping *mapping, uint64_t off, uint64_t end);
/*
 * Waits for writeback of the range; making progress on the device itself if nobody else does.  Does not consume
 * errors.
 */
void mapping_wait(struct mapping *mapping, uint64_t off, uint64_t end);
/*
 * Starts writing everything that is dirty, mapping by mapping in the order in which they became so; with @wait also
 * waits for everything under writeback.  The first error.
 */
int pagecache_write_all(struct pagecache *cache, bool wait);
/*
 * After a shutdown: drops what can never be written, waits for what is in flight.  Nobody dirties anything any more.
 */
void pagecache_discard_all(struct pagecache *cache);
/* The last error of an I/O or mapping and a number that grows with each: each open file reports each once. */
int mapping_error(struct mapping *mapping, uint64_t *sequence);
void mapping_set_error(struct mapping *mapping, int err);

/*
 * Called by writers after dirtying @bytes without holding a folio lock: waits while the dirty limit is exceeded,
 * writing back itself if no thread does.  (balance_dirty_pages.)
 */
void pagecache_throttle(struct pagecache *cache, struct mapping *mapping, uint64_t bytes);

/* Passes. */
/* One bounded round of background writeback (over the background limit or expired); true: more to do at once. */
bool pagecache_writeback_pass(struct pagecache *cache);
/* Frees clean folios, oldest first, until the budget holds; returns bytes freed. */
uint64_t pagecache_reclaim_pass(struct pagecache *cache);
/* Blocks until writeback has work or the deadline. */
void pagecache_wait_work(struct pagecache *cache, uint64_t deadline_ns);
void pagecache_wake(struct pagecache *cache);
/*
 * Called when writeback needs a mapping's owner to be kept (it takes a reference) and lets it go; keeps an inode in
 * memory while it has dirty data.  From folio_set_dirty(): no locks above RANK_MAPPING may be taken.
 */
void pagecache_set_pin_ops(struct pagecache *cache, void (*pin)(void *owner), void (*unpin)(void *owner));

struct pagecache_counts {
	uint64_t cached_bytes, dirty_bytes, writeback_bytes, budget_bytes;
};
void pagecache_counts(struct pagecache *cache, struct pagecache_counts *out);

/* NULL or what is wrong. */
const char *mapping_verify(struct mapping *mapping);
