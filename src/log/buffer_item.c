/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The log items of buffers.  (XFS: xfs_buf_log_item.)
 *
 * States of an item, and who makes the transition:
 *
 *   no item          -> in a transaction     buffer_item_get()
 *   in a transaction -> in a checkpoint      commit: pin, then release
 *                    -> no item              release, when it is clean and not in the tail list
 *   in a checkpoint  -> in the tail list     committed, unpin
 *   in the tail list -> no item              buffer_item_write_done()
 *   stale            -> no item              the last of release and unpin: the buffer was locked all the time
 *
 * After a shutdown what was in a checkpoint goes to the tail list as well, and tail_drop() gets rid of it.
 */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "internal.h"

/* Where items of aborted checkpoints wait to be dropped. */
#define LSN_ABORTED lsn_make(UINT32_MAX, 0)

enum {
	WORD_BITS = 64,
	MAP_WORD_BITS = 32,		/* of blf_data_map */
};

static struct buffer_item *item_of(const struct log_item *item)
{
	return container_of(item, struct buffer_item, item);
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

struct buffer_item *buffer_item_get(struct log *log, struct buffer *buf)
{
	uint32_t chunks = (uint32_t)div_round_up(buf->bytes, XFS_BLF_CHUNK);
	struct buffer_item *bip = buf->log_item;

	if (bip)
		return bip;
	bip = mem_alloc_zeroed_sure(sizeof(*bip) + div_round_up(chunks, WORD_BITS) * sizeof(uint64_t));
	log_item_init(log, &bip->item, &buffer_item_ops);
	bip->buf = buf;
	bip->chunk_count = chunks;
	buffer_hold(buf);
	buf->log_item = bip;
	buf->write_done = buffer_item_write_done;
	return bip;
}

/* The buffer is locked, and nobody else knows the item. */
static void item_free(struct buffer_item *bip)
{
	struct buffer *buf = bip->buf;

	ensure(atomic_load(&bip->refs) == 0);
	buf->log_item = NULL;
	atomic_store(&buf->lsn, 0);
	mem_free(bip);
	buffer_put(buf);
}

static bool is_in_tail_list(const struct buffer_item *bip)
{
	return atomic_load(&bip->item.flags) & LOG_ITEM_IN_TAIL_LIST;
}

/*
 * The log on disk says that the block's old contents are void, or never will.  Ends the lock taken before the
 * commit.
 */
static void finish_stale(struct buffer_item *bip)
{
	struct buffer *buf = bip->buf;

	log_item_done(&bip->item);
	log_items_written(buf, log_is_shutdown(bip->item.log) ? -EIO : 0);
	item_free(bip);
	buffer_release(buf);
}

/* ---- which bytes --------------------------------------------------------------------------------------------- */

static bool chunk_is_set(const struct buffer_item *bip, uint32_t chunk)
{
	return bip->chunks[chunk / WORD_BITS] >> chunk % WORD_BITS & 1;
}

void buffer_item_log(struct buffer_item *bip, uint32_t first_off, uint32_t end_off)
{
	ensure(first_off < end_off && end_off <= bip->buf->bytes);
	for (uint32_t chunk = first_off / XFS_BLF_CHUNK; chunk <= (end_off - 1) / XFS_BLF_CHUNK; chunk++)
		bip->chunks[chunk / WORD_BITS] |= 1ull << chunk % WORD_BITS;
}

bool buffer_item_is_logged(const struct buffer_item *bip)
{
	for (uint32_t i = 0; i < div_round_up(bip->chunk_count, WORD_BITS); i++) {
		if (bip->chunks[i])
			return true;
	}
	return false;
}

void buffer_item_clear(struct buffer_item *bip)
{
	memset(bip->chunks, 0, div_round_up(bip->chunk_count, WORD_BITS) * sizeof(uint64_t));
}

/*
 * The next run of set chunks in [@from, @end).  false: none.
 */
static bool next_run(const struct buffer_item *bip, uint32_t from, uint32_t end, uint32_t *first, uint32_t *count)
{
	uint32_t chunk = from;

	while (chunk < end && !chunk_is_set(bip, chunk))
		chunk++;
	if (chunk >= end)
		return false;
	*first = chunk;
	while (chunk < end && chunk_is_set(bip, chunk))
		chunk++;
	*count = chunk - *first;
	return true;
}

/* ---- formatting ---------------------------------------------------------------------------------------------- */

/* One piece of the buffer on disk: its share of the chunks. */
struct piece {
	const struct buffer_map *map;
	uint32_t first, end;		/* chunks of the buffer */
	uint32_t map_words;		/* of blf_data_map */
};

static struct piece piece_of(const struct buffer_map *map, uint32_t first_chunk)
{
	uint32_t chunks = (uint32_t)div_round_up((uint64_t)map->count * SECTOR_UNIT_BYTES, XFS_BLF_CHUNK);

	return (struct piece){
		.map = map,
		.first = first_chunk,
		.end = first_chunk + chunks,
		.map_words = (uint32_t)div_round_up(chunks, MAP_WORD_BITS),
	};
}

static uint32_t format_bytes(const struct piece *piece)
{
	return (uint32_t)(offsetof(struct xfs_buf_log_format, blf_data_map) + piece->map_words * sizeof(uint32_t));
}

static void item_size(struct log_item *item, uint32_t *regions, uint32_t *bytes)
{
	struct buffer_item *bip = item_of(item);
	struct buffer *buf = bip->buf;
	uint32_t chunk = 0, first, count;

	for (uint32_t i = 0; i < buf->map_count; i++) {
		struct piece piece = piece_of(&buf->maps[i], chunk);

		chunk = piece.end;
		if (!(bip->flags & BUFFER_ITEM_STALE) && !next_run(bip, piece.first, piece.end, &first, &count))
			continue;
		*regions += 1;
		*bytes += format_bytes(&piece);
		for (uint32_t c = piece.first; next_run(bip, c, piece.end, &first, &count); c = first + count) {
			*regions += 1;
			*bytes += count * XFS_BLF_CHUNK;
		}
	}
}

static uint16_t format_flags(const struct buffer_item *bip)
{
	if (bip->flags & BUFFER_ITEM_STALE)
		return XFS_BLF_CANCEL;
	ensure(bip->buf->type);
	return (uint16_t)(bip->buf->type->log_type << XFS_BLFT_SHIFT |
			  (bip->flags & BUFFER_ITEM_INODES ? XFS_BLF_INODE_BUF : 0));
}

/* The regions of one piece: what it is and which chunks follow, then the chunks. */
static void format_piece(struct buffer_item *bip, const struct piece *piece, struct log_region_writer *w)
{
	uint32_t first, count, runs = 0;
	struct xfs_buf_log_format *blf;

	if (!(bip->flags & BUFFER_ITEM_STALE) && !next_run(bip, piece->first, piece->end, &first, &count))
		return;
	blf = log_region_reserve(w, XLOG_REG_TYPE_BFORMAT, format_bytes(piece));
	blf->blf_type = XFS_LI_BUF;
	blf->blf_flags = format_flags(bip);
	blf->blf_len = (uint16_t)piece->map->count;
	blf->blf_blkno = (int64_t)piece->map->daddr;
	blf->blf_map_size = piece->map_words;
	for (uint32_t from = piece->first; next_run(bip, from, piece->end, &first, &count); from = first + count) {
		for (uint32_t chunk = first - piece->first; chunk < first - piece->first + count; chunk++)
			blf->blf_data_map[chunk / MAP_WORD_BITS] |= 1u << chunk % MAP_WORD_BITS;
		log_region_add(w, XLOG_REG_TYPE_BCHUNK, (const char *)bip->buf->data + (size_t)first * XFS_BLF_CHUNK,
			       count * XFS_BLF_CHUNK);
		runs++;
	}
	blf->blf_size = (uint16_t)(1 + runs);
}

static void item_format(struct log_item *item, struct log_region_writer *w)
{
	struct buffer_item *bip = item_of(item);
	uint32_t chunk = 0;

	for (uint32_t i = 0; i < bip->buf->map_count; i++) {
		struct piece piece = piece_of(&bip->buf->maps[i], chunk);

		format_piece(bip, &piece, w);
		chunk = piece.end;
	}
}

/* ---- commit -------------------------------------------------------------------------------------------------- */

static void item_pin(struct log_item *item)
{
	struct buffer_item *bip = item_of(item);

	atomic_fetch_add(&bip->refs, 1);
	buffer_pin(bip->buf);
}

static void item_unpin(struct log_item *item, bool aborted)
{
	struct buffer_item *bip = item_of(item);
	struct buffer *buf = bip->buf;
	bool is_stale, is_last;

	/*
	 * Not stale, the item may be written and freed as soon as the pin is gone: nothing of it is used after
	 * that.
	 */
	is_stale = bip->flags & BUFFER_ITEM_STALE;
	if (aborted && !is_stale && !is_in_tail_list(bip))
		tail_insert(item->log, item, LSN_ABORTED);
	is_last = atomic_fetch_sub(&bip->refs, 1) == 1;
	buffer_unpin(buf);
	if (is_last && is_stale)
		finish_stale(bip);
}

/* A new chunk of inodes is not in the log itself: its tail must not move past the item that describes it. */
static lsn_t item_committed(struct log_item *item, lsn_t lsn)
{
	struct buffer_item *bip = item_of(item);
	lsn_t old = atomic_load(&item->lsn);

	if (bip->flags & BUFFER_ITEM_NEW_INODES && old)
		return old;
	atomic_store(&bip->buf->lsn, lsn);
	return lsn;
}

static void item_release(struct log_item *item, bool dirty, bool aborted)
{
	struct buffer_item *bip = item_of(item);
	struct buffer *buf = bip->buf;
	bool is_held = bip->flags & BUFFER_ITEM_HOLD;
	bool is_stale = bip->flags & BUFFER_ITEM_STALE;
	bool is_last;

	bip->flags &= ~(uint32_t)BUFFER_ITEM_HOLD;
	bip->joined = 0;
	buf->tx = NULL;
	is_last = atomic_fetch_sub(&bip->refs, 1) == 1;
	if (is_stale) {
		ensure(!is_held);
		if (is_last)
			finish_stale(bip);
		return;
	}
	if (is_last && !is_in_tail_list(bip))
		item_free(bip);
	if (!is_held)
		buffer_release(buf);
}

/* ---- home ---------------------------------------------------------------------------------------------------- */

static enum log_push_result item_push(struct log_item *item, struct list *writes)
{
	struct buffer_item *bip = item_of(item);
	struct buffer *buf = bip->buf;
	bool is_queued;

	if (atomic_load(&buf->pins))
		return LOG_PUSH_PINNED;
	if (!buffer_trylock(buf))
		return atomic_load(&buf->flags) & BUFFER_WRITING ? LOG_PUSH_FLUSHING : LOG_PUSH_LOCKED;
	if (atomic_load(&buf->pins)) {
		buffer_unlock(buf);
		return LOG_PUSH_PINNED;
	}
	is_queued = buffer_queue_write(buf, writes);
	buffer_unlock(buf);
	return is_queued ? LOG_PUSH_QUEUED : LOG_PUSH_FLUSHING;
}

void buffer_item_write_done(struct buffer *buf)
{
	struct buffer_item *bip = buf->log_item;
	struct log *log = bip ? bip->item.log : NULL;

	if (!log && !list_is_empty(&buf->attached_items))
		log = list_first(&buf->attached_items, struct log_item, buffer_node)->log;
	if (!log)
		return;
	if (buf->err == -EFSCORRUPTED)
		log_shutdown(log, SHUTDOWN_CORRUPT_INCORE, "a block to be written failed its own check");
	log_items_written(buf, buf->err && log_is_shutdown(log) ? -EIO : buf->err);
	if (!bip)
		return;
	if (buf->err && !log_is_shutdown(log)) {
		atomic_fetch_or(&bip->item.flags, LOG_ITEM_FAILED);
		return;
	}
	log_item_done(&bip->item);
	buffer_item_clear(bip);
	bip->flags &= ~(uint32_t)(BUFFER_ITEM_NEW_INODES | BUFFER_ITEM_INODES);
	if (atomic_load(&bip->refs) == 0)
		item_free(bip);
}

const struct log_item_ops buffer_item_ops = {
	.name = "buffer",
	.type = XFS_LI_BUF,
	.size = item_size,
	.format = item_format,
	.pin = item_pin,
	.unpin = item_unpin,
	.committed = item_committed,
	.release = item_release,
	.push = item_push,
};
