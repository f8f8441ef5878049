/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ownerless lock: one word, and a hashed set of parking lots for those who wait.
 *
 *   FREE -> TAKEN -> FREE                   nobody waits: one atomic instruction each
 *   TAKEN -> CONTENDED -> FREE + wake one   a waiter marks the word before it parks
 *
 * A waiter that wakes up takes the lock as CONTENDED, since others may be parked behind it; at worst its release
 * looks into the lot in vain.  A release never touches the word after freeing it, so that the next owner may free
 * the memory; the word's address alone finds the waiters.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/list.h>

#include "block.h"

enum {
	FREE,
	TAKEN,
	CONTENDED,
};

struct lot {
	struct mutex lock;
	struct list waiters;	/* struct waiter.node, longest waiting first [lock] */
};

struct waiter {
	struct list node;	/* unlinked: woken [lot lock] */
	const struct olock *target;
	struct cond wake;
};

#define LOT(i) [i] = { MUTEX_INIT(RANK_LEAF, "olock waiters"), LIST_INIT(lots[i].waiters) }
#define LOT4(i) LOT(i), LOT((i) + 1), LOT((i) + 2), LOT((i) + 3)
#define LOT16(i) LOT4(i), LOT4((i) + 4), LOT4((i) + 8), LOT4((i) + 12)

static struct lot lots[64] = { LOT16(0), LOT16(16), LOT16(32), LOT16(48) };

static struct lot *lot_of(const struct olock *l)
{
	return &lots[hash_u64((uintptr_t)l) % ARRAY_COUNT(lots)];
}

void olock_init(struct olock *l)
{
	atomic_init(&l->state, FREE);
}

static void lock_slow(struct olock *l)
{
	struct lot *lot = lot_of(l);
	struct waiter w = { .target = l };

	cond_init(&w.wake);
	mutex_lock_unranked(&lot->lock);
	while (atomic_exchange_explicit(&l->state, CONTENDED, memory_order_acquire) != FREE) {
		list_push_back(&lot->waiters, &w.node);
		while (!list_is_empty(&w.node))
			cond_wait_unranked(&w.wake, &lot->lock);
	}
	mutex_unlock_unranked(&lot->lock);
	cond_deinit(&w.wake);
}

static void wake_one(const struct olock *l)
{
	struct lot *lot = lot_of(l);

	mutex_lock_unranked(&lot->lock);
	list_for_each(node, &lot->waiters) {
		struct waiter *w = list_entry(node, struct waiter, node);

		if (w->target != l)
			continue;
		list_remove(&w->node);
		cond_signal(&w->wake);
		break;
	}
	mutex_unlock_unranked(&lot->lock);
}

NO_LOCK_ANALYSIS void olock_lock(struct olock *l)
{
	if (!olock_trylock(l))
		lock_slow(l);
}

NO_LOCK_ANALYSIS bool olock_trylock(struct olock *l)
{
	uint32_t expected = FREE;

	return atomic_compare_exchange_strong_explicit(&l->state, &expected, TAKEN, memory_order_acquire,
						       memory_order_relaxed);
}

NO_LOCK_ANALYSIS void olock_unlock(struct olock *l)
{
	uint32_t old = atomic_exchange_explicit(&l->state, FREE, memory_order_release);

	ensure(old != FREE);
	if (old == CONTENDED)
		wake_one(l);
}

bool olock_is_locked(const struct olock *l)
{
	return atomic_load_explicit(&l->state, memory_order_relaxed) != FREE;
}
