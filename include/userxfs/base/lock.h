/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Locks.  Everything in the program that can block does it through this header, thread.h and clock.h, so that a
 * scheduler can decide who runs next (builds configured with -Dlab=true).
 *
 * Every lock has a rank.  Debug builds (-Db_ndebug=false) keep a per-thread stack of held ranks and abort when a
 * lock of an outer rank is taken while an inner one is held, or two of one rank in the wrong .order.  try-locks
 * are never wrong.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/base/list.h>

/* Clang thread-safety annotations; nothing under gcc. */
#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif
#define CAPABILITY(name) TSA(capability(name))
#define REQUIRES(...) TSA(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) TSA(requires_shared_capability(__VA_ARGS__))
#define ACQUIRES(...) TSA(acquire_capability(__VA_ARGS__))
#define ACQUIRES_SHARED(...) TSA(acquire_shared_capability(__VA_ARGS__))
#define RELEASES(...) TSA(release_capability(__VA_ARGS__))
#define RELEASES_GENERIC(...) TSA(release_generic_capability(__VA_ARGS__))
#define TRY_ACQUIRES(...) TSA(try_acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRES_SHARED(...) TSA(try_acquire_shared_capability(__VA_ARGS__))
#define GUARDED_BY(x) TSA(guarded_by(x))
/* For functions that hand a lock over to another owner (a transaction, an I/O in flight). */
#define NO_LOCK_ANALYSIS TSA(no_thread_safety_analysis)

/* The whole lock order of the program, outermost first. */
enum lock_rank {
	RANK_FREEZE,		/* volume: writers against a freeze or remount */
	RANK_RENAME,		/* volume: one cross-directory rename at a time */
	RANK_INODE_IO,		/* file size and data, directory entries (XFS: IOLOCK); two: by inode number */
	RANK_INVALIDATE,	/* a file's page cache against removal (XFS: MMAPLOCK) */
	RANK_FOLIO,		/* one folio's contents and state; ascending index; held across device reads */
	RANK_INODE_MAP,		/* an inode's core and forks (XFS: ILOCK); two: by inode number */
	RANK_AG,		/* an AG's headers; two AGs: lower number first; held across device reads */
	RANK_BUFFER,		/* one metadata block; held across its device I/O */
	RANK_INODE_CACHE,	/* inode lookup and lifetime */
	RANK_INODE_STATE,	/* flags and lists of one inode or a per-AG inode set */
	RANK_MAPPING,		/* the index of one file's folios */
	RANK_PAGECACHE,		/* LRU, budget and writeback queues */
	RANK_BUFFER_CACHE,	/* buffer lookup and LRU */
	RANK_CHECKPOINT,	/* joining items to the current checkpoint */
	RANK_LOG_GRANT,		/* reserving log space */
	RANK_LOG_WRITER,	/* the ring of log records */
	RANK_LOG_TAIL,		/* items ordered by LSN (XFS: AIL) */
	RANK_SPACE,		/* per-AG summaries, busy extents, counters */
	RANK_DEVICE,		/* request queues of the device room */
	RANK_LEAF,		/* anything that takes no other lock */
	RANK_COUNT
};

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t native;
	enum lock_rank rank;
	uint64_t order;		/* within one rank: ascending */
	const char *name;
};

#define MUTEX_INIT(rank_, name_) { .native = PTHREAD_MUTEX_INITIALIZER, .rank = (rank_), .name = (name_) }

void mutex_init(struct mutex *m, enum lock_rank rank, uint64_t order, const char *name);
void mutex_deinit(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRES(m);
bool mutex_trylock(struct mutex *m) TRY_ACQUIRES(true, m);
void mutex_unlock(struct mutex *m) RELEASES(m);

/* A condition variable; always waited for in a loop. */
struct cond {
	pthread_cond_t native;	/* on CLOCK_MONOTONIC */
};

void cond_init(struct cond *c);
void cond_deinit(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m) REQUIRES(m);
/* Returns false when @deadline_ns (of clock_now_ns()) has passed. */
bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns) REQUIRES(m);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/*
 * A reader-writer lock that may be demoted and may be released by another thread than the one that took it.
 * A waiting writer keeps new readers out, so that a stream of readers cannot starve a truncate; readers that waited
 * for a writer go before the next writer.  A thread must not take it shared twice.  Uncontended operations are one
 * atomic instruction.  try-locks fail while others wait.  The rank is checked as long as the thread that took the
 * lock also releases it.
 */
struct CAPABILITY("rwlock") rwlock {
	_Atomic uint32_t state;	/* readers, writer bit, waiting bit: see src/base/rwlock.c */
	uint32_t write_waiters;	/* [wait_lock] */
	uint32_t read_waiters;	/* [wait_lock] */
	struct list waiters;	/* oldest first [wait_lock] */
	struct mutex wait_lock;
	enum lock_rank rank;
	uint64_t order;
	const char *name;
};

void rwlock_init(struct rwlock *l, enum lock_rank rank, uint64_t order, const char *name);
void rwlock_deinit(struct rwlock *l);
void rwlock_read_lock(struct rwlock *l) ACQUIRES_SHARED(l);
void rwlock_write_lock(struct rwlock *l) ACQUIRES(l);
bool rwlock_read_trylock(struct rwlock *l) TRY_ACQUIRES_SHARED(true, l);
bool rwlock_write_trylock(struct rwlock *l) TRY_ACQUIRES(true, l);
void rwlock_read_unlock(struct rwlock *l) RELEASES_GENERIC(l);
void rwlock_write_unlock(struct rwlock *l) RELEASES(l);
/* Exclusive becomes shared without a gap. */
void rwlock_demote(struct rwlock *l) NO_LOCK_ANALYSIS;
bool rwlock_is_write_locked(const struct rwlock *l);
bool rwlock_is_locked(const struct rwlock *l);

/*
 * A lock without an owner: taken by one thread, released by another (a buffer under I/O, a folio under
 * writeback).  4 bytes, sleeping waiters share a hashed set of condition variables.
 */
struct CAPABILITY("ownerless lock") olock {
	_Atomic uint32_t state;	/* 0 free, 1 taken, 2 taken and somebody waits */
};

void olock_init(struct olock *l);
void olock_lock(struct olock *l) ACQUIRES(l);
bool olock_trylock(struct olock *l) TRY_ACQUIRES(true, l);
void olock_unlock(struct olock *l) RELEASES(l);
bool olock_is_locked(const struct olock *l);
