/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Metadata blocks in memory: find, lock, pin, verify at read, seal at write-back.  (XFS: xfs_buf.)
 *
 * One cache per device.  A buffer is found by the daddr of its first piece; it may be made of several pieces of the
 * disk that are not adjacent (directory blocks larger than a filesystem block), but its data are one piece of memory.
 *
 * Life: buffer_get()/buffer_read() return it referenced and locked.  The lock belongs to no thread: a transaction
 * holds it until commit, a write in flight until its completion.  A pinned buffer has changes that are not in the
 * log on disk yet and is not written home.  Unreferenced buffers stay cached until buffer_cache_shrink() takes
 * them, oldest first; one with a log item is referenced by it.
 *
 * A stale buffer stays locked until it is unpinned, so that its blocks are not used again before the log on disk says
 * that their old contents are void; whoever wants its lock has the log forced (buffer_cache_set_ops()).
 *
 * Invariants: .data of a VALID buffer has passed its type's read verifier or was initialised by its owner; two
 * buffers that are not stale never overlap on disk.  Asking for another length at a daddr whose buffer is in use is
 * -EFSCORRUPTED with a log line; an unused one gives way.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <userxfs/base/list.h>
#include <userxfs/base/lock.h>
#include <userxfs/device.h>
#include <userxfs/format/block.h>
#include <userxfs/format/geometry.h>

struct buffer_cache;
struct buffer_io;
struct tx;

struct buffer_map {
	daddr_u64 daddr;
	uint64_t count;			/* 512-byte units */
};

#define BUFFER_MAX_MAPS 64		/* a 64 KiB directory block of 1 KiB pieces */

enum buffer_flag {
	BUFFER_VALID = 1 << 0,		/* data are up to date and verified */
	BUFFER_STALE = 1 << 1,		/* freed on disk: never written again, dropped at the last put */
	BUFFER_WRITING = 1 << 2,	/* a write is in flight */
	BUFFER_QUEUED = 1 << 3,		/* on a write list */
	BUFFER_WRITE_FAILED = 1 << 4,	/* the last write failed; it is retried by the tail pusher */
	BUFFER_UNCACHED = 1 << 5,	/* [I] of buffer_get_uncached(): nobody finds it */
};

struct buffer {
	struct buffer_cache *cache;	/* [I] */
	daddr_u64 daddr;		/* [I] of the first piece */
	size_t bytes;			/* [I] */
	void *data;			/* [I] pointer; bytes under .lock */
	const struct block_type *type;	/* [lock] NULL: no verifier (never written home) */
	struct olock lock;
	_Atomic uint32_t refs;
	_Atomic uint32_t pins;
	_Atomic uint32_t flags;		/* enum buffer_flag */
	int err;			/* [lock] of the last I/O */

	/* The log room's. */
	struct tx *tx;			/* [lock] the transaction that holds the lock */
	void *log_item;			/* [lock] this buffer's own item, NULL when never logged */
	struct list attached_items;	/* [lock] items of others flushed into this buffer (inodes) */
	_Atomic lsn_t lsn;		/* what block_seal() gets at write-back; 0: the LSN in the block stays */
	/* Called when a write has ended, buffer still locked, before waiters run; .err is set.  [lock] */
	void (*write_done)(struct buffer *buf);

	/* The cache's. */
	struct list queue_node;		/* write list */
	struct list hash_node, lru_node;
	uint64_t unused_since;		/* on the cache's own clock */
	uint32_t map_count;		/* [I] */
	struct buffer_map *maps;	/* [I] map_count pieces */
	struct buffer_map inline_map;
	_Atomic(struct buffer_io *) io;	/* a read-ahead that nobody waits for yet */
};

/* What the cache asks of the log above it. */
struct buffer_cache_ops {
	/* Required.  Makes all that is committed durable: pinned buffers become unpinned. */
	void (*force_log)(void *context);
	/* Required.  Once true nothing is written any more: writes end with -EIO. */
	bool (*is_shut_down)(void *context);
};

/* @budget_bytes: what buffer_cache_shrink() aims at. */
int buffer_cache_create(struct device *dev, const struct geometry *geo, size_t budget_bytes,
			struct buffer_cache **out);
/* The log introduces itself; NULL: there is no log (any more).  No other call is under way. */
void buffer_cache_set_ops(struct buffer_cache *cache, const struct buffer_cache_ops *ops, void *context);
/* No buffer is referenced, pinned or queued (else our bug).  NULL is fine. */
void buffer_cache_destroy(struct buffer_cache *cache);
struct device *buffer_cache_device(struct buffer_cache *cache);
const struct geometry *buffer_cache_geometry(struct buffer_cache *cache);

/*
 * Finds or makes the buffer, referenced and locked.  Contents are undefined unless BUFFER_VALID: for callers that
 * initialise the whole block.  Blocks for the lock.
 */
int buffer_get(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, struct buffer **out);
int buffer_get_maps(struct buffer_cache *cache, const struct buffer_map *maps, uint32_t map_count,
		    struct buffer **out);
/*
 * Like buffer_get(), only if it is cached; *out = NULL otherwise.  @try: *out = NULL also when somebody holds
 * the lock.
 */
int buffer_find(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, bool try, struct buffer **out);

/*
 * The same, read and verified as @type if it is not valid yet (-EFSBADCRC, -EFSCORRUPTED logged; -EIO).  The
 * outcome of a failed read is not cached.  A buffer that is already valid but was read as another type is verified
 * again as @type.
 */
int buffer_read(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, const struct block_type *type,
		struct buffer **out);
int buffer_read_maps(struct buffer_cache *cache, const struct buffer_map *maps, uint32_t map_count,
		     const struct block_type *type, struct buffer **out);
/* Like buffer_read(), but does not wait for the lock: *out = NULL when somebody has it.  May wait for the read. */
int buffer_try_read(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, const struct block_type *type,
		    struct buffer **out);
/* Starts reading without waiting; errors are forgotten. */
void buffer_readahead(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, const struct block_type *type);

/* A private buffer outside the cache (secondary superblocks, log heads), locked, zeroed. */
int buffer_get_uncached(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, struct buffer **out);

void buffer_lock(struct buffer *buf) ACQUIRES(buf->lock);
bool buffer_trylock(struct buffer *buf) TRY_ACQUIRES(true, buf->lock);
void buffer_unlock(struct buffer *buf) RELEASES(buf->lock);
void buffer_hold(struct buffer *buf);
/* Drops a reference; NULL is fine. */
void buffer_put(struct buffer *buf);
/* Unlocks and drops the reference of a get or read; NULL is fine. */
void buffer_release(struct buffer *buf) NO_LOCK_ANALYSIS;

/* Locked.  The block is free on disk (or will be when the transaction commits): takes it off any write list. */
void buffer_mark_stale(struct buffer *buf);
void buffer_pin(struct buffer *buf);
/* The last unpin wakes buffer_wait_unpinned(). */
void buffer_unpin(struct buffer *buf);
/* The caller holds the lock and has forced the log. */
void buffer_wait_unpinned(struct buffer *buf);

/*
 * Writes home: verifies and seals each with its .lsn, submits, and calls .write_done at the end.  A buffer whose
 * contents fail their verifier is not written: .err = -EFSCORRUPTED and .write_done is called.
 *
 * buffer_write() takes a locked, unpinned buffer, waits and leaves it locked.
 * buffer_queue_write() adds a locked buffer to @list (its own reference; no-op when queued on any list) and leaves it
 * locked.  buffer_submit_list() takes each one's lock and starts its write in disk order; the lock is released by the
 * completion.  Pinned or locked buffers stay on the list when @nowait.  With @wait it returns when all writes have
 * ended (first error), and nobody needs to call device_pass() meanwhile; else at once, and the writes end inside
 * device_pass().  A pinned buffer is waited for (the log is forced) unless @nowait.
 */
int buffer_write(struct buffer *buf);
bool buffer_queue_write(struct buffer *buf, struct list *list);
int buffer_submit_list(struct buffer_cache *cache, struct list *list, bool nowait, bool wait);
/* Forgets the queue entries of @list (after a shutdown). */
void buffer_cancel_list(struct list *list) NO_LOCK_ANALYSIS;
/* Waits until no write of this cache is in flight. */
void buffer_cache_drain(struct buffer_cache *cache);

/* Frees unreferenced buffers until the budget holds; returns bytes freed.  A pass. */
size_t buffer_cache_shrink(struct buffer_cache *cache);
/* Drops every unreferenced buffer (remount, tests). */
void buffer_cache_drop(struct buffer_cache *cache);
size_t buffer_cache_bytes(struct buffer_cache *cache);
