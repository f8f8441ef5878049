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
 * readers do not compete for the lock after waking up: they are given it (.read_generation moves).
 */
#include <userxfs/base/error.h>

#include "block.h"
#include "held.h"

#define WRITER	(1u << 31)
#define WAITING	(1u << 30)
#define READERS	(WAITING - 1)

void rwlock_init(struct rwlock *l, enum lock_rank rank, uint64_t order, const char *name)
{
	atomic_init(&l->state, 0);
	l->write_waiters = 0;
	l->read_waiters = 0;
	l->read_generation = 0;
	mutex_init(&l->wait_lock, RANK_LEAF, 0, "rwlock waiters");
	cond_init(&l->wait);
	l->rank = rank;
	l->order = order;
	l->name = name;
}

void rwlock_deinit(struct rwlock *l)
{
	ensure(atomic_load_explicit(&l->state, memory_order_relaxed) == 0);
	cond_deinit(&l->wait);
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

/* Clears WAITING when nobody does any more.  Under wait_lock. */
static void settle(struct rwlock *l)
{
	if (!l->write_waiters && !l->read_waiters)
		atomic_fetch_and_explicit(&l->state, ~WAITING, memory_order_relaxed);
}

/* Gives the lock, which has no writer, to all waiting readers.  Under wait_lock. */
static void admit_readers(struct rwlock *l)
{
	atomic_fetch_add_explicit(&l->state, l->read_waiters, memory_order_acq_rel);
	l->read_waiters = 0;
	l->read_generation++;
}

static void read_lock_slow(struct rwlock *l)
{
	uint64_t generation;

	mutex_lock_unranked(&l->wait_lock);
	atomic_fetch_or_explicit(&l->state, WAITING, memory_order_relaxed);
	if (!(atomic_load_explicit(&l->state, memory_order_acquire) & WRITER) && !l->write_waiters) {
		atomic_fetch_add_explicit(&l->state, 1, memory_order_acquire);
		settle(l);
		mutex_unlock_unranked(&l->wait_lock);
		return;
	}
	generation = l->read_generation;
	l->read_waiters++;
	while (generation == l->read_generation)
		cond_wait_unranked(&l->wait, &l->wait_lock);
	mutex_unlock_unranked(&l->wait_lock);
}

static void write_lock_slow(struct rwlock *l)
{
	mutex_lock_unranked(&l->wait_lock);
	atomic_fetch_or_explicit(&l->state, WAITING, memory_order_relaxed);
	l->write_waiters++;
	/* With WAITING set nobody changes a state without holders but under wait_lock. */
	while (atomic_load_explicit(&l->state, memory_order_acquire) & (WRITER | READERS))
		cond_wait_unranked(&l->wait, &l->wait_lock);
	atomic_fetch_or_explicit(&l->state, WRITER, memory_order_acquire);
	l->write_waiters--;
	settle(l);
	mutex_unlock_unranked(&l->wait_lock);
}

/* Wakes those who can use what was released.  Under wait_lock. */
static void wake(struct rwlock *l, bool has_admitted_readers)
{
	if (has_admitted_readers)
		cond_broadcast(&l->wait);
	else if (l->write_waiters && !l->read_waiters)
		cond_signal(&l->wait);
	else
		cond_broadcast(&l->wait);
}

static void read_unlock_slow(struct rwlock *l)
{
	uint32_t old;

	mutex_lock_unranked(&l->wait_lock);
	old = atomic_fetch_sub_explicit(&l->state, 1, memory_order_release);
	if ((old & READERS) == 1)
		wake(l, false);
	mutex_unlock_unranked(&l->wait_lock);
}

static void write_unlock_slow(struct rwlock *l)
{
	bool has_readers;

	mutex_lock_unranked(&l->wait_lock);
	has_readers = l->read_waiters > 0;
	atomic_fetch_and_explicit(&l->state, ~WRITER, memory_order_release);
	if (has_readers)
		admit_readers(l);
	settle(l);
	wake(l, has_readers);
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
	if (!try_read(l))
		read_lock_slow(l);
	held_push(l, l->rank, l->order, l->name);
}

NO_LOCK_ANALYSIS void rwlock_write_lock(struct rwlock *l)
{
	held_check(l, l->rank, l->order, l->name);
	if (!try_write(l))
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
	if (l->read_waiters) {
		admit_readers(l);
		cond_broadcast(&l->wait);
	}
	settle(l);
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
