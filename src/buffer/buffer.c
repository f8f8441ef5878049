/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One buffer: its lock, its pins, going stale.
 *
 * The lock is waited for in three steps, because who holds it may be no thread that runs: a read-ahead (the waiter
 * ends it itself), or a stale buffer that stays locked until the log on disk says so (the waiter has the log
 * forced).
 */
#include <userxfs/base/error.h>

#include "internal.h"

/* ---- the lock ------------------------------------------------------------------------------------------------ */

static bool is_pinned(const struct buffer *buf)
{
	return atomic_load_explicit(&buf->pins, memory_order_acquire) > 0;
}

static void force_log(struct buffer_cache *cache)
{
	if (cache->ops)
		cache->ops->force_log(cache->ops_context);
}

void buffer_lock(struct buffer *buf)
{
	if (olock_trylock(&buf->lock))
		return;
	buffer_finish_readahead(buf);
	if (is_pinned(buf) && atomic_load(&buf->flags) & BUFFER_STALE)
		force_log(buf->cache);
	olock_lock(&buf->lock);
}

bool buffer_trylock(struct buffer *buf)
{
	if (olock_trylock(&buf->lock))
		return true;
	/* Nobody else may ever come to end a read-ahead. */
	buffer_finish_readahead(buf);
	return olock_trylock(&buf->lock);
}

void buffer_unlock(struct buffer *buf)
{
	olock_unlock(&buf->lock);
}

/* ---- pins ---------------------------------------------------------------------------------------------------- */

void buffer_pin(struct buffer *buf)
{
	atomic_fetch_add(&buf->pins, 1);
}

void buffer_unpin(struct buffer *buf)
{
	struct buffer_cache *cache = buf->cache;
	uint32_t before = atomic_fetch_sub(&buf->pins, 1);

	ensure(before > 0);
	if (before > 1 || !atomic_load(&cache->unpin_waiters))
		return;
	mutex_lock(&cache->wait_lock);
	cond_broadcast(&cache->wait);
	mutex_unlock(&cache->wait_lock);
}

void buffer_wait_unpinned(struct buffer *buf)
{
	struct buffer_cache *cache = buf->cache;

	if (!is_pinned(buf))
		return;
	atomic_fetch_add(&cache->unpin_waiters, 1);
	mutex_lock(&cache->wait_lock);
	while (atomic_load(&buf->pins) > 0)
		cond_wait(&cache->wait, &cache->wait_lock);
	mutex_unlock(&cache->wait_lock);
	atomic_fetch_sub(&cache->unpin_waiters, 1);
}

/* ---- stale --------------------------------------------------------------------------------------------------- */

/*
 * Its place in a write list is taken away by whoever owns the list: buffer_submit_list() finds it no longer
 * QUEUED.
 */
void buffer_mark_stale(struct buffer *buf)
{
	ensure(olock_is_locked(&buf->lock));
	atomic_fetch_or(&buf->flags, BUFFER_STALE);
	atomic_fetch_and(&buf->flags, ~(uint32_t)(BUFFER_QUEUED | BUFFER_WRITE_FAILED));
}
