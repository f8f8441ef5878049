/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * A page cache over a device in memory, and an owner that maps file bytes to the same device offset plus a base, or
 * says what the test wants it to.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <userxfs/base/bits.h>
#include <userxfs/pagecache.h>

#define KIB 1024ull
#define MIB (1024 * KIB)
#define DEVICE_BYTES (64 * MIB)

struct owner {
	_Atomic uint64_t size;
	uint64_t base; /* device offset of the file's first byte */
	uint64_t piece; /* each map answer covers at most so much; 0: everything */
	int map_err; /* what map answers, if not 0 */
	_Atomic unsigned maps, ios, pins;
	bool is_delayed; /* ends wait for finish_ios() */
	struct list waiting;
	struct mutex lock;
};

struct fixture {
	struct device *dev;
	struct pagecache *cache;
	struct mapping *mapping;
	struct owner owner;
};

static int owner_map(void *context, uint64_t off, uint64_t end, struct writeback_target *out)
{
	struct owner *owner = context;

	atomic_fetch_add(&owner->maps, 1);
	if (owner->map_err)
		return owner->map_err;
	*out = (struct writeback_target){ .device_off_bytes = owner->base + off, .count_bytes = end - off };
	if (owner->piece)
		out->count_bytes = min_u64(out->count_bytes, owner->piece - off % owner->piece);
	return 0;
}

static uint64_t owner_size(void *context)
{
	struct owner *owner = context;

	return atomic_load(&owner->size);
}

static void owner_done(void *context, struct writeback_io *io)
{
	struct owner *owner = context;

	atomic_fetch_add(&owner->ios, 1);
	if (!owner->is_delayed) {
		writeback_io_end(io, io->err);
		return;
	}
	mutex_lock(&owner->lock);
	list_push_back(&owner->waiting, &io->node);
	mutex_unlock(&owner->lock);
}

/* Ends what .is_delayed held back; whether there was anything. */
static inline bool finish_ios(struct owner *owner)
{
	struct writeback_io *io = NULL;

	mutex_lock(&owner->lock);
	if (!list_is_empty(&owner->waiting)) {
		io = list_first(&owner->waiting, struct writeback_io, node);
		list_remove(&io->node);
	}
	mutex_unlock(&owner->lock);
	if (io)
		writeback_io_end(io, io->err);
	return io != NULL;
}

static bool owner_help(void *context)
{
	return finish_ios(context);
}

static const struct writeback_ops owner_ops = {
	.map = owner_map,
	.size = owner_size,
	.done = owner_done,
	.help = owner_help,
};

static void pin(void *context)
{
	atomic_fetch_add(&((struct owner *)context)->pins, 1);
}

static void unpin(void *context)
{
	atomic_fetch_sub(&((struct owner *)context)->pins, 1);
}

static inline void owner_init(struct owner *owner)
{
	memset(owner, 0, sizeof(*owner));
	list_init(&owner->waiting);
	mutex_init(&owner->lock, RANK_LEAF, 0, "owner");
}

static inline struct fixture *fixture_create(const struct pagecache_options *options, uint32_t block_bytes)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(device_create_memory(DEVICE_BYTES, &f->dev), 0);
	assert_int_equal(pagecache_create(f->dev, options, &f->cache), 0);
	pagecache_set_pin_ops(f->cache, pin, unpin);
	owner_init(&f->owner);
	assert_int_equal(mapping_create(f->cache, block_bytes, &owner_ops, &f->owner, &f->mapping), 0);
	return f;
}

static inline void fixture_destroy(struct fixture *f)
{
	assert_null(mapping_verify(f->mapping));
	mapping_destroy(f->mapping, true);
	pagecache_destroy(f->cache);
	assert_int_equal(atomic_load(&f->owner.pins), 0);
	device_close(f->dev);
	mutex_deinit(&f->owner.lock);
	free(f);
}

static const struct pagecache_options roomy = {
	.budget_bytes = 32 * MIB,
	.dirty_background_bytes = 16 * MIB,
	.dirty_limit_bytes = 24 * MIB,
	.dirty_expire_ns = 30ull * 1000000000,
};

/* What a write does: folios as large as they may be, filled with @byte, uptodate and dirty. */
static inline void store(struct mapping *m, struct owner *owner, uint64_t off, uint64_t count, uint8_t byte)
{
	while (count) {
		struct folio *folio;
		uint64_t n;

		assert_int_equal(mapping_get_locked(m, off, count, &folio), 0);
		n = min_u64(count, folio->off_bytes + folio->bytes - off);
		memset(folio->data + (off - folio->off_bytes), byte, n);
		folio_set_uptodate(folio, off, n);
		folio_set_dirty(folio, off, n);
		if (off + n > atomic_load(&owner->size))
			atomic_store(&owner->size, off + n);
		folio_release(folio);
		off += n;
		count -= n;
	}
}

static inline uint8_t device_byte(struct fixture *f, uint64_t off)
{
	return ((uint8_t *)device_memory(f->dev))[f->owner.base + off];
}
