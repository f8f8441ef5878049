/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writing buffers home.
 *
 * A write list belongs to one thread; a buffer's place in it is guarded by the buffer's lock through QUEUED: a buffer
 * that is no longer wanted loses the flag, and the list's owner drops the entry when it gets there.
 *
 * A list is worked off in windows: WINDOW writes are in flight at a time, and the oldest is waited for before the
 * next is started.
 */
#include <stdlib.h>
#include <string.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "internal.h"

enum {
	WINDOW = 128,
};

/* ---- one write ----------------------------------------------------------------------------------------------- */

/* The LSN to seal with: of a block that was never logged, the one it has. */
static lsn_t lsn_to_seal(const struct buffer *buf)
{
	lsn_t lsn = atomic_load(&buf->lsn);
	__be64 old;

	if (lsn || buf->type->lsn_off == LSN_OFF_NONE)
		return lsn;
	memcpy(&old, (const char *)buf->data + buf->type->lsn_off, sizeof(old));
	return be64_to_cpu(old);
}

static int prepare_write(struct buffer *buf)
{
	struct buffer_cache *cache = buf->cache;
	int err;

	ensure(olock_is_locked(&buf->lock));
	ensure(atomic_load(&buf->pins) == 0);
	ensure(buf->type);
	if (cache->ops && cache->ops->is_shut_down(cache->ops_context))
		return -EIO;
	err = block_verify_write(buf->type, cache->geo, buf->data, buf->bytes, buf->daddr);
	if (err)
		return err;
	block_seal(buf->type, cache->geo, buf->data, buf->bytes, lsn_to_seal(buf));
	atomic_fetch_or(&buf->flags, BUFFER_WRITING);
	return 0;
}

/* Everything but letting go of the lock. */
static void finish_write(struct buffer *buf, int err)
{
	buf->err = err;
	atomic_fetch_and(&buf->flags, ~(uint32_t)BUFFER_WRITING);
	if (!err) {
		atomic_fetch_and(&buf->flags, ~(uint32_t)BUFFER_WRITE_FAILED);
	} else if (!(atomic_fetch_or(&buf->flags, BUFFER_WRITE_FAILED) & BUFFER_WRITE_FAILED) &&
		   !(buf->cache->ops && buf->cache->ops->is_shut_down(buf->cache->ops_context))) {
		msg_error("writing %s at daddr %llu: %s", buf->type->name, (unsigned long long)buf->daddr,
			  strerror(-err));
	}
	if (buf->write_done)
		buf->write_done(buf);
}

int buffer_write(struct buffer *buf)
{
	int err = prepare_write(buf);

	if (!err && buffer_io_is_aligned(buf))
		err = buffer_io_wait(buffer_io_start(buf, DEVICE_WRITE, NULL));
	else if (!err)
		err = buffer_io_bounce(buf, DEVICE_WRITE);
	finish_write(buf, err);
	return err;
}

/* ---- writes that end inside device_pass() -------------------------------------------------------------------- */

static void count_in_flight(struct buffer_cache *cache, int change)
{
	mutex_lock(&cache->wait_lock);
	cache->writes_in_flight += (uint32_t)change;
	if (!cache->writes_in_flight)
		cond_broadcast(&cache->wait);
	mutex_unlock(&cache->wait_lock);
}

static void write_ended(struct buffer_io *io)
{
	struct buffer *buf = io->buf;
	struct buffer_cache *cache = buf->cache;
	int err = atomic_load(&io->err);

	mem_free(io);
	finish_write(buf, err);
	buffer_release(buf);
	count_in_flight(cache, -1);
}

static void start_unattended(struct buffer *buf)
{
	int err = prepare_write(buf);

	if (!err && buffer_io_is_aligned(buf)) {
		count_in_flight(buf->cache, 1);
		buffer_io_start(buf, DEVICE_WRITE, write_ended);
		return;
	}
	if (!err)
		err = buffer_io_bounce(buf, DEVICE_WRITE);
	finish_write(buf, err);
	buffer_release(buf);
}

void buffer_cache_drain(struct buffer_cache *cache)
{
	buffer_finish_readaheads(cache);
	mutex_lock(&cache->wait_lock);
	while (cache->writes_in_flight) {
		unsigned ended;

		mutex_unlock(&cache->wait_lock);
		ended = device_pass(cache->dev, false);
		mutex_lock(&cache->wait_lock);
		/* Nothing to collect just now: another thread may be at it, so the wait is short. */
		if (!ended && cache->writes_in_flight)
			cond_wait_until(&cache->wait, &cache->wait_lock, clock_now_ns() + NS_PER_SEC / 1000);
	}
	mutex_unlock(&cache->wait_lock);
}

/* ---- lists --------------------------------------------------------------------------------------------------- */

bool buffer_queue_write(struct buffer *buf, struct list *list)
{
	ensure(olock_is_locked(&buf->lock));
	if (atomic_fetch_or(&buf->flags, BUFFER_QUEUED) & BUFFER_QUEUED)
		return false;
	/* An entry whose flag was taken away is still on its list, and counts again. */
	if (list_is_empty(&buf->queue_node)) {
		buffer_hold(buf);
		list_push_back(list, &buf->queue_node);
	}
	return true;
}

/* Takes an entry off its list and drops the list's reference; the buffer is locked. */
static void drop_entry(struct buffer *buf)
{
	list_remove(&buf->queue_node);
	buffer_release(buf);
}

static void wait_unpinned(struct buffer *buf)
{
	struct buffer_cache *cache = buf->cache;

	if (atomic_load(&buf->pins) == 0)
		return;
	if (cache->ops)
		cache->ops->force_log(cache->ops_context);
	buffer_wait_unpinned(buf);
}

/* Locks an entry if it can be written at once. */
static bool trylock_entry(struct buffer *buf) NO_LOCK_ANALYSIS;

static bool trylock_entry(struct buffer *buf)
{
	if (atomic_load(&buf->pins) || !buffer_trylock(buf))
		return false;
	if (atomic_load(&buf->pins)) {
		buffer_unlock(buf);
		return false;
	}
	return true;
}

static int compare_daddr(const void *a, const void *b)
{
	const struct buffer *x = *(struct buffer *const *)a, *y = *(struct buffer *const *)b;

	return (x->daddr > y->daddr) - (x->daddr < y->daddr);
}

/* The buffers of @list in disk order; mem_free() it. */
static struct buffer **sorted_entries(struct list *list, size_t *count)
{
	struct buffer **entries;
	size_t n = 0;

	list_for_each(node, list)
		n++;
	entries = mem_alloc_sure(n * sizeof(struct buffer *) + 1);
	n = 0;
	list_for_each(node, list)
		entries[n++] = list_entry(node, struct buffer, queue_node);
	qsort(entries, n, sizeof(struct buffer *), compare_daddr);
	*count = n;
	return entries;
}

struct write_window {
	struct buffer_io *ios[WINDOW];
	unsigned first, count;
	int err;
};

static void window_end(struct write_window *window, struct buffer *buf, int err)
{
	if (err && !window->err)
		window->err = err;
	finish_write(buf, err);
	buffer_release(buf);
}

static void window_wait_oldest(struct write_window *window)
{
	struct buffer_io *io = window->ios[window->first];
	struct buffer *buf = io->buf;

	window->first = (window->first + 1) % WINDOW;
	window->count--;
	window_end(window, buf, buffer_io_wait(io));
}

static void window_start(struct write_window *window, struct buffer *buf)
{
	int err = prepare_write(buf);

	if (!err && buffer_io_is_aligned(buf)) {
		if (window->count == WINDOW)
			window_wait_oldest(window);
		window->ios[(window->first + window->count++) % WINDOW] = buffer_io_start(buf, DEVICE_WRITE, NULL);
		return;
	}
	if (!err)
		err = buffer_io_bounce(buf, DEVICE_WRITE);
	window_end(window, buf, err);
}

static void window_drain(struct write_window *window)
{
	while (window->count)
		window_wait_oldest(window);
}

/*
 * Locks an entry and waits until it can be written.  Whoever has it may want one whose write is in the window: that
 * is emptied first.
 */
static void lock_entry(struct write_window *window, struct buffer *buf) NO_LOCK_ANALYSIS;

static void lock_entry(struct write_window *window, struct buffer *buf)
{
	if (trylock_entry(buf))
		return;
	window_drain(window);
	buffer_lock(buf);
	wait_unpinned(buf);
}

int buffer_submit_list(struct buffer_cache *cache, struct list *list, bool nowait, bool wait)
{
	struct write_window window = { .count = 0 };
	struct buffer **entries;
	size_t count;

	if (list_is_empty(list))
		return 0;
	entries = sorted_entries(list, &count);
	for (size_t i = 0; i < count; i++) {
		struct buffer *buf = entries[i];

		if (!nowait)
			lock_entry(&window, buf);
		else if (!trylock_entry(buf))
			continue;
		if (!(atomic_fetch_and(&buf->flags, ~(uint32_t)BUFFER_QUEUED) & BUFFER_QUEUED)) {
			drop_entry(buf);
			continue;
		}
		list_remove(&buf->queue_node);
		if (wait)
			window_start(&window, buf);
		else
			start_unattended(buf);
	}
	window_drain(&window);
	mem_free(entries);
	return window.err;
}

void buffer_cancel_list(struct list *list)
{
	while (!list_is_empty(list)) {
		struct buffer *buf = list_first(list, struct buffer, queue_node);

		buffer_lock(buf);
		atomic_fetch_and(&buf->flags, ~(uint32_t)BUFFER_QUEUED);
		drop_entry(buf);
	}
}
