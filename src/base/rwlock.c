/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The reader-writer lock.
 *
 *   state   31       30        29 .................. 0
 *           WRITER   WAITING   number of readers
 *
 * Without WAITING every operation is one atomic instruction on .state.  WAITING is set while somebody sleeps; then
 * every operation goes through .wait_lock, also the releasing ones: a releaser has let go of the whole structure
 * before the thread it lets in can return, so that the last user may free the lock.
 *
 * Order of service: a waiting writer keeps new readers out; readers that waited while a writer had the lock get it
 * together when that writer leaves, before the next writer.  So neither kind can starve the other.  Waiting
 * readers do not compete for the lock after waking up: they are given it.  A waiting writer is woken when the lock
 * is free, and may find that a running thread was faster.
 *
 * Most locks are held for less time than it takes to go to sleep and be woken, so everybody tries a little longer
 * before sleeping; and each sleeper has a condition of its own, so that nobody is woken for nothing.
 */
#include <userxfs/base/error.h>

#include "block.h"
#include "held.h"

#define WRITER	(1u << 31)
#define WAITING	(1u << 30)
#define READERS	(WAITING - 1)

enum {
	SPINS = 100,		/* tries before sleeping: one or two microseconds */
};

struct rwlock_waiter {
	struct list node;
	bool is_writer;
	bool has_lock;		/* a reader: it was given the lock */
	struct cond wake;
};

void rwlock_init(struct rwlock *l, enum lock_rank rank, uint64_t order, const char *name)
{
	atomic_init(&l->state, 0);
	l->write_waiters = 0;
	l->read_waiters = 0;
	list_init(&l->waiters);
	mutex_init(&l->wait_lock, RANK_LEAF, 0, "rwlock waiters");
	l->rank = rank;
	l->order = order;
	l->name = name;
}

void rwlock_deinit(struct rwlock *l)
{
	ensure(atomic_load_explicit(&l->state, memory_order_relaxed) == 0);
	mutex_deinit(&l->wait_lock);
}

static uint32_t load(const struct rwlock *l)
{
	return atomic_load_explicit(&l->state, memory_order_relaxed);
}

/* Adds a reader unless there is a writer or somebody waits. */
static bool try_read(struct rwlock *l)
{
	uint32_t state = load(l);

	while (!(state & (WRITER | WAITING))) {
		if (atomic_compare_exchange_weak_explicit(&l->state, &state, state + 1, memory_order_acquire,
							  memory_order_relaxed))
			return true;
	}
	return false;
}

static bool try_write(struct rwlock *l)
{
	uint32_t expected = 0;

	return atomic_compare_exchange_strong_explicit(&l->state, &expected, WRITER, memory_order_acquire,
						       memory_order_relaxed);
}

static bool spin(struct rwlock *l, bool (*try_lock)(struct rwlock *l))
{
	for (int i = 0; i < SPINS && !(load(l) & WAITING); i++) {
		if (try_lock(l))
			return true;
		cpu_relax();
	}
	return false;
}

/* ---- with waiters: under wait_lock ----------------------------------------------------------------------------- */

/* Clears WAITING when nobody does any more. */
static void settle(struct rwlock *l)
{
	if (list_is_empty(&l->waiters))
		atomic_fetch_and_explicit(&l->state, ~WAITING, memory_order_relaxed);
}

static void join_waiters(struct rwlock *l, struct rwlock_waiter *w)
{
	cond_init(&w->wake);
	list_push_back(&l->waiters, &w->node);
}

static void leave_waiters(struct rwlock_waiter *w)
{
	list_remove(&w->node);
	cond_deinit(&w->wake);
}

/* Gives the lock, which has no writer, to all waiting readers. */
static void admit_readers(struct rwlock *l)
{
	atomic_fetch_add_explicit(&l->state, l->read_waiters, memory_order_acq_rel);
	l->read_waiters = 0;
	list_for_each(node, &l->waiters) {
		struct rwlock_waiter *w = list_entry(node, struct rwlock_waiter, node);

		if (!w->is_writer && !w->has_lock) {
			w->has_lock = true;
			cond_signal(&w->wake);
		}
	}
}

static void wake_writer(struct rwlock *l)
{
	list_for_each(node, &l->waiters) {
		struct rwlock_waiter *w = list_entry(node, struct rwlock_waiter, node);

		if (w->is_writer) {
			cond_signal(&w->wake);
			return;
		}
	}
}

static void read_lock_slow(struct rwlock *l)
{
	struct rwlock_waiter w = { .is_writer = false };

	mutex_lock_unranked(&l->wait_lock);
	atomic_fetch_or_explicit(&l->state, WAITING, memory_order_relaxed);
	if (!(atomic_load_explicit(&l->state, memory_order_acquire) & WRITER) && !l->write_waiters) {
		atomic_fetch_add_explicit(&l->state, 1, memory_order_acquire);
	} else {
		join_waiters(l, &w);
		l->read_waiters++;
		while (!w.has_lock)
			cond_wait_unranked(&w.wake, &l->wait_lock);
		leave_waiters(&w);
	}
	settle(l);
	mutex_unlock_unranked(&l->wait_lock);
}

static void write_lock_slow(struct rwlock *l)
{
	struct rwlock_waiter w = { .is_writer = true };

	mutex_lock_unranked(&l->wait_lock);
	atomic_fetch_or_explicit(&l->state, WAITING, memory_order_relaxed);
	join_waiters(l, &w);
	l->write_waiters++;
	/* With WAITING set nobody changes a state without holders but under wait_lock. */
	while (atomic_load_explicit(&l->state, memory_order_acquire) & (WRITER | READERS))
		cond_wait_unranked(&w.wake, &l->wait_lock);
	atomic_fetch_or_explicit(&l->state, WRITER, memory_order_acquire);
	l->write_waiters--;
	leave_waiters(&w);
	settle(l);
	mutex_unlock_unranked(&l->wait_lock);
}

static void read_unlock_slow(struct rwlock *l)
{
	mutex_lock_unranked(&l->wait_lock);
	if ((atomic_fetch_sub_explicit(&l->state, 1, memory_order_release) & READERS) == 1)
		wake_writer(l);
	mutex_unlock_unranked(&l->wait_lock);
}

static void write_unlock_slow(struct rwlock *l)
{
	mutex_lock_unranked(&l->wait_lock);
	atomic_fetch_and_explicit(&l->state, ~WRITER, memory_order_release);
	if (l->read_waiters)
		admit_readers(l);
	else
		wake_writer(l);
	mutex_unlock_unranked(&l->wait_lock);
}

static void forget_held(struct rwlock *l)
{
	if (!held_remove(l))
		held_release_foreign(l);
}

NO_LOCK_ANALYSIS void rwlock_read_lock(struct rwlock *l)
{
	held_check(l, l->rank, l->order, l->name);
	if (!spin(l, try_read))
		read_lock_slow(l);
	held_push(l, l->rank, l->order, l->name);
}

NO_LOCK_ANALYSIS void rwlock_write_lock(struct rwlock *l)
{
	held_check(l, l->rank, l->order, l->name);
	if (!spin(l, try_write))
		write_lock_slow(l);
	held_push(l, l->rank, l->order, l->name);
}

NO_LOCK_ANALYSIS bool rwlock_read_trylock(struct rwlock *l)
{
	if (!try_read(l))
		return false;
	held_push(l, l->rank, l->order, l->name);
	return true;
}

NO_LOCK_ANALYSIS bool rwlock_write_trylock(struct rwlock *l)
{
	if (!try_write(l))
		return false;
	held_push(l, l->rank, l->order, l->name);
	return true;
}

NO_LOCK_ANALYSIS void rwlock_read_unlock(struct rwlock *l)
{
	uint32_t state = load(l);

	ensure(state & READERS);
	forget_held(l);
	while (!(state & WAITING)) {
		if (atomic_compare_exchange_weak_explicit(&l->state, &state, state - 1, memory_order_release,
							  memory_order_relaxed))
			return;
	}
	read_unlock_slow(l);
}

NO_LOCK_ANALYSIS void rwlock_write_unlock(struct rwlock *l)
{
	uint32_t expected = WRITER;

	ensure(load(l) & WRITER);
	forget_held(l);
	if (!atomic_compare_exchange_strong_explicit(&l->state, &expected, 0, memory_order_release,
						     memory_order_relaxed))
		write_unlock_slow(l);
}

void rwlock_demote(struct rwlock *l)
{
	uint32_t expected = WRITER;

	ensure(load(l) & WRITER);
	if (atomic_compare_exchange_strong_explicit(&l->state, &expected, 1, memory_order_release,
						    memory_order_relaxed))
		return;

	mutex_lock_unranked(&l->wait_lock);
	atomic_fetch_add_explicit(&l->state, 1, memory_order_relaxed);
	atomic_fetch_and_explicit(&l->state, ~WRITER, memory_order_release);
	admit_readers(l);
	mutex_unlock_unranked(&l->wait_lock);
}

bool rwlock_is_write_locked(const struct rwlock *l)
{
	return load(l) & WRITER;
}

bool rwlock_is_locked(const struct rwlock *l)
{
	return load(l) & (WRITER | READERS);
}
