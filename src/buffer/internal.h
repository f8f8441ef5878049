/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the files of the buffer room share. */
#include <userxfs/base/list.h>
#include <userxfs/base/lock.h>
#include <userxfs/buffer.h>

enum {
	SHARD_COUNT = 16,
	READAHEAD_MAX = 64,		/* read-aheads nobody has asked for yet */
};

/* Buffers spread over shards by their daddr. */
struct buffer_shard {
	struct mutex lock;		/* RANK_BUFFER_CACHE */
	struct list *buckets;		/* [lock] bucket_count heads; a power of two */
	size_t bucket_count;		/* [lock] */
	size_t count;			/* [lock] buffers hashed here */
	struct list lru;		/* [lock] unreferenced buffers, oldest first */
	_Atomic uint64_t oldest;	/* .unused_since of the first of them; UINT64_MAX: none; set with the lock */
};

struct buffer_cache {
	struct device *dev;		/* [I] */
	const struct geometry *geo;	/* [I] */
	size_t budget_bytes;		/* [I] */
	const struct buffer_cache_ops *ops; /* [I] while in use */
	void *ops_context;
	struct buffer_shard shards[SHARD_COUNT];
	_Atomic size_t bytes;		/* memory of all buffers */
	_Atomic uint64_t clock;		/* counts buffers that went out of use */

	struct mutex wait_lock;		/* RANK_LEAF: the counters below and their condition */
	struct cond wait;
	uint32_t writes_in_flight;	/* [wait_lock] with a callback */
	_Atomic uint32_t unpin_waiters;

	struct mutex readahead_lock;	/* RANK_LEAF */
	struct list readaheads;		/* [readahead_lock] struct buffer_io, oldest first */
	uint32_t readahead_count;	/* [readahead_lock] */
};

/* ---- cache.c ------------------------------------------------------------------------------------------------- */

enum lookup_mode {
	LOOKUP_CREATE,			/* make it when it is not there; wait for its lock */
	LOOKUP_FIND,			/* *out = NULL when it is not there; wait for its lock */
	LOOKUP_TRY,			/* *out = NULL when it is not there or locked */
	LOOKUP_CREATE_TRY,		/* make it when it is not there; *out = NULL when it is locked */
	LOOKUP_NEW,			/* *out = NULL when it is there */
};

int buffer_lookup(struct buffer_cache *cache, const struct buffer_map *maps, uint32_t map_count,
		  enum lookup_mode mode, struct buffer **out);

/* ---- io.c ---------------------------------------------------------------------------------------------------- */

struct buffer_piece {
	struct device_request req;
	struct iovec iov;
};

/* One buffer's transfer: a request for each piece of the disk. */
struct buffer_io {
	struct buffer *buf;
	struct list node;		/* readaheads */
	void (*done)(struct buffer_io *io); /* NULL: buffer_io_wait() */
	_Atomic uint32_t pending;	/* pieces in flight, when .done */
	_Atomic int err;
	uint32_t count;
	struct buffer_piece pieces[];
};

/*
 * Submits all pieces.  With @done, that is called when the last has ended, and owns the io; without, the caller
 * does.
 */
struct buffer_io *buffer_io_start(struct buffer *buf, enum device_op op, void (*done)(struct buffer_io *io));
/* Waits for an io without .done, frees it and returns its error. */
int buffer_io_wait(struct buffer_io *io);
/* Whether the device takes the buffer as it is; else only buffer_io_bounce() does. */
bool buffer_io_is_aligned(const struct buffer *buf);
int buffer_io_bounce(struct buffer *buf, enum device_op op);

/* ---- read.c -------------------------------------------------------------------------------------------------- */

/* Completes the read-ahead of @buf if there is one; its lock is free (or somebody else's) afterwards. */
void buffer_finish_readahead(struct buffer *buf);
/* Completes all read-aheads. */
void buffer_finish_readaheads(struct buffer_cache *cache);
