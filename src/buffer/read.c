/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reading buffers, and verifying them.
 *
 * A read-ahead submits its request and returns, leaving the buffer locked and the request in .io.  Whoever wants the
 * buffer next takes the request out of .io, waits for it, verifies and unlocks.  When there are many that nobody
 * wants, the oldest are ended by the next read-ahead.  So no thread has to stand by for them.
 */
#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "internal.h"

static bool is_valid(const struct buffer *buf)
{
	return atomic_load(&buf->flags) & BUFFER_VALID;
}

/* The bytes have arrived (or not: @err): verify, and remember the outcome. */
static int finish_read(struct buffer *buf, const struct block_type *type, int err)
{
	if (err)
		msg_error("reading %s at daddr %llu: %s", type ? type->name : "block", (unsigned long long)buf->daddr,
			  strerror(-err));
	else if (type)
		err = block_verify_read(type, buf->cache->geo, buf->data, buf->bytes, buf->daddr);
	buf->err = err;
	if (err)
		return err;
	buf->type = type ? block_resolve_type(type, buf->data) : NULL;
	atomic_fetch_or(&buf->flags, BUFFER_VALID);
	return 0;
}

/* ---- read-ahead ---------------------------------------------------------------------------------------------- */

/* The caller has taken @io out of its buffer. */
static void finish_taken(struct buffer_io *io)
{
	struct buffer *buf = io->buf;
	struct buffer_cache *cache = buf->cache;
	const struct block_type *type = buf->type;

	mutex_lock(&cache->readahead_lock);
	list_remove(&io->node);
	cache->readahead_count--;
	mutex_unlock(&cache->readahead_lock);

	buf->type = NULL;
	finish_read(buf, type, buffer_io_wait(io));
	buffer_release(buf);
}

void buffer_finish_readahead(struct buffer *buf)
{
	struct buffer_io *io = atomic_exchange(&buf->io, NULL);

	if (io)
		finish_taken(io);
}

/* Ends the oldest ones until at most @keep are left. */
static void finish_oldest(struct buffer_cache *cache, uint32_t keep)
{
	for (;;) {
		struct buffer_io *io = NULL;

		mutex_lock(&cache->readahead_lock);
		if (cache->readahead_count > keep) {
			list_for_each(node, &cache->readaheads) {
				io = list_entry(node, struct buffer_io, node);
				/* Somebody else may have taken it and be about to unlink it. */
				io = atomic_exchange(&io->buf->io, NULL);
				if (io)
					break;
			}
		}
		mutex_unlock(&cache->readahead_lock);
		if (!io)
			return;
		finish_taken(io);
	}
}

void buffer_finish_readaheads(struct buffer_cache *cache)
{
	finish_oldest(cache, 0);
}

void buffer_readahead(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, const struct block_type *type)
{
	struct buffer_map map = { .daddr = daddr, .count = count };
	struct buffer_io *io;
	struct buffer *buf;

	if (buffer_lookup(cache, &map, 1, LOOKUP_NEW, &buf) || !buf)
		return;
	if (!buffer_io_is_aligned(buf)) {
		buffer_release(buf);
		return;
	}
	buf->type = type;
	buffer_hold(buf);
	io = buffer_io_start(buf, DEVICE_READ, NULL);
	mutex_lock(&cache->readahead_lock);
	list_push_back(&cache->readaheads, &io->node);
	cache->readahead_count++;
	atomic_store(&buf->io, io);
	mutex_unlock(&cache->readahead_lock);

	/* Who came before .io was set waits for the lock and does not know. */
	if (atomic_load(&buf->refs) > 2)
		buffer_finish_readahead(buf);
	buffer_put(buf);
	finish_oldest(cache, READAHEAD_MAX);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static int read_now(struct buffer *buf, const struct block_type *type)
{
	int err;

	if (buffer_io_is_aligned(buf))
		err = buffer_io_wait(buffer_io_start(buf, DEVICE_READ, NULL));
	else
		err = buffer_io_bounce(buf, DEVICE_READ);
	return finish_read(buf, type, err);
}

/*
 * Cached as something else: what it holds must make sense as what is asked for now.  Its checksum is only right on
 * disk, so the contents alone are looked at.
 */
static int check_type(struct buffer *buf, const struct block_type *type)
{
	int err;

	if (!type || buf->type == type)
		return 0;
	if (buf->type && block_resolve_type(type, buf->data) == buf->type)
		return 0;
	err = block_verify_write(type, buf->cache->geo, buf->data, buf->bytes, buf->daddr);
	if (!err)
		buf->type = block_resolve_type(type, buf->data);
	return err;
}

/* @mode: LOOKUP_CREATE or LOOKUP_CREATE_TRY. */
static int read_maps(struct buffer_cache *cache, const struct buffer_map *maps, uint32_t map_count,
		     const struct block_type *type, enum lookup_mode mode, struct buffer **out)
{
	struct buffer *buf;
	int err;

	err = buffer_lookup(cache, maps, map_count, mode, &buf);
	if (err)
		return err;
	if (buf)
		err = is_valid(buf) ? check_type(buf, type) : read_now(buf, type);
	if (err) {
		buffer_release(buf);
		return err;
	}
	*out = buf;
	return 0;
}

int buffer_read_maps(struct buffer_cache *cache, const struct buffer_map *maps, uint32_t map_count,
		     const struct block_type *type, struct buffer **out)
{
	return read_maps(cache, maps, map_count, type, LOOKUP_CREATE, out);
}

int buffer_read(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, const struct block_type *type,
		struct buffer **out)
{
	struct buffer_map map = { .daddr = daddr, .count = count };

	return read_maps(cache, &map, 1, type, LOOKUP_CREATE, out);
}

int buffer_try_read(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, const struct block_type *type,
		    struct buffer **out)
{
	struct buffer_map map = { .daddr = daddr, .count = count };

	return read_maps(cache, &map, 1, type, LOOKUP_CREATE_TRY, out);
}
