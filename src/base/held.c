/* SPDX-License-Identifier: GPL-2.0 */
/* The lock order, checked: see held.h. */
#ifndef NDEBUG

#include <stdlib.h>

#include <userxfs/base/hash.h>
#include <userxfs/base/message.h>

#include "held.h"

enum {
	HELD_MAX = 64,		/* deeper acquisitions are only counted */
	RELEASE_COUNTERS = 1024,
};

struct held {
	const void *lock;
	const char *name;
	uint64_t order;
	enum lock_rank rank;
	uint32_t foreign_releases;	/* the counter's value when the entry was made */
};

static _Thread_local struct held held[HELD_MAX];
static _Thread_local unsigned held_count;
static _Thread_local unsigned untracked_count;
static _Atomic uint32_t foreign_releases[RELEASE_COUNTERS];

static const char *const rank_names[RANK_COUNT] = {
	[RANK_FREEZE] = "freeze",
	[RANK_RENAME] = "rename",
	[RANK_INODE_IO] = "inode io",
	[RANK_INVALIDATE] = "invalidate",
	[RANK_FOLIO] = "folio",
	[RANK_INODE_MAP] = "inode map",
	[RANK_AG] = "AG",
	[RANK_BUFFER] = "buffer",
	[RANK_INODE_CACHE] = "inode cache",
	[RANK_INODE_STATE] = "inode state",
	[RANK_MAPPING] = "mapping",
	[RANK_PAGECACHE] = "pagecache",
	[RANK_BUFFER_CACHE] = "buffer cache",
	[RANK_CHECKPOINT] = "checkpoint",
	[RANK_LOG_GRANT] = "log grant",
	[RANK_LOG_WRITER] = "log writer",
	[RANK_LOG_TAIL] = "log tail",
	[RANK_SPACE] = "space",
	[RANK_DEVICE] = "device",
	[RANK_LEAF] = "leaf",
};

static _Atomic uint32_t *release_counter(const void *lock)
{
	return &foreign_releases[hash_u64((uintptr_t)lock) % RELEASE_COUNTERS];
}

static bool is_stale(const struct held *h)
{
	return atomic_load_explicit(release_counter(h->lock), memory_order_acquire) != h->foreign_releases;
}

static void remove_at(unsigned index)
{
	for (; index + 1 < held_count; index++)
		held[index] = held[index + 1];
	held_count--;
}

static void drop_stale(void)
{
	for (unsigned i = held_count; i-- > 0;) {
		if (is_stale(&held[i]))
			remove_at(i);
	}
}

static _Noreturn void die(const char *verb, enum lock_rank rank, uint64_t order, const char *name,
			  const struct held *h)
{
	msg_error("BUG: lock order: %s \"%s\" (rank %s, order %llu) while holding \"%s\" (rank %s, order %llu)", verb,
		  name, rank_names[rank], (unsigned long long)order, h->name, rank_names[h->rank],
		  (unsigned long long)h->order);
	abort();
}

void held_check(const void *lock, enum lock_rank rank, uint64_t order, const char *name)
{
	for (unsigned i = 0; i < held_count; i++) {
		const struct held *h = &held[i];

		if (h->rank < rank || (h->rank == rank && h->order < order && h->lock != lock))
			continue;
		if (!is_stale(h))
			die("taking", rank, order, name, h);
	}
}

void held_check_wait(const void *lock, enum lock_rank rank, const char *name)
{
	for (unsigned i = 0; i < held_count; i++) {
		const struct held *h = &held[i];

		if (h->lock != lock && h->rank > rank && !is_stale(h))
			die("waiting under", rank, 0, name, h);
	}
}

void held_push(const void *lock, enum lock_rank rank, uint64_t order, const char *name)
{
	if (held_count == HELD_MAX)
		drop_stale();
	if (held_count == HELD_MAX) {
		untracked_count++;
		return;
	}
	held[held_count++] = (struct held){
		.lock = lock,
		.name = name,
		.order = order,
		.rank = rank,
		.foreign_releases = atomic_load_explicit(release_counter(lock), memory_order_relaxed),
	};
}

bool held_remove(const void *lock)
{
	for (unsigned i = held_count; i-- > 0;) {
		if (held[i].lock == lock) {
			remove_at(i);
			return true;
		}
	}
	if (untracked_count) {
		untracked_count--;
		return true;
	}
	return false;
}

void held_release_foreign(const void *lock)
{
	atomic_fetch_add_explicit(release_counter(lock), 1, memory_order_release);
}

#endif
