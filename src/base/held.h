/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Which ranked locks the calling thread holds, and the check of the lock order.  Debug builds only; with NDEBUG the
 * calls are empty.
 *
 * A lock that may be released by another thread (struct rwlock) leaves an entry behind in the thread that took it.
 * Such an entry is recognised as stale when it gets in the way: each foreign release bumps a counter chosen by the
 * lock's address, and an entry whose counter has moved since it was made is no longer believed.  A collision only
 * loses a check; it never makes a false alarm.
 */
#include <userxfs/base/lock.h>

#ifndef NDEBUG

/* Aborts, naming both locks, when a blocking acquisition now would break the order. */
void held_check(const void *lock, enum lock_rank rank, uint64_t order, const char *name);
/* Aborts when a lock of an inner rank is held: waiting on a condition takes @lock a second time. */
void held_check_wait(const void *lock, enum lock_rank rank, const char *name);
void held_push(const void *lock, enum lock_rank rank, uint64_t order, const char *name);
/* False when this thread does not hold @lock. */
bool held_remove(const void *lock);
/* Before a thread that does not hold @lock releases it. */
void held_release_foreign(const void *lock);

#else

static inline void held_check(const void *lock, enum lock_rank rank, uint64_t order, const char *name)
{
}

static inline void held_check_wait(const void *lock, enum lock_rank rank, const char *name)
{
}

static inline void held_push(const void *lock, enum lock_rank rank, uint64_t order, const char *name)
{
}

static inline bool held_remove(const void *lock)
{
	return true;
}

static inline void held_release_foreign(const void *lock)
{
}

#endif
