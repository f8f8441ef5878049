/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Buffers in transactions.  (XFS: xfs_trans_buf.c.)
 *
 * A buffer that a transaction has is locked by it; its item carries one reference for the transaction, however
 * often the buffer was asked for.
 */
#include <string.h>

#include <userxfs/base/error.h>

#include "internal.h"

static struct buffer_item *item_of(struct tx *tx, struct buffer *buf)
{
	ensure(buf->tx == tx);
	return buf->log_item;
}

/* ---- getting them -------------------------------------------------------------------------------------------- */

/* The transaction's own buffer with these pieces, or NULL. */
static struct buffer *find_joined(struct tx *tx, const struct buffer_map *maps, uint32_t map_count)
{
	list_for_each(node, &tx->items) {
		struct log_item *item = list_entry(node, struct log_item, tx_node);
		struct buffer *buf;

		if (item->ops != &buffer_item_ops)
			continue;
		buf = container_of(item, struct buffer_item, item)->buf;
		if (buf->map_count == map_count && !memcmp(buf->maps, maps, map_count * sizeof(*maps)))
			return buf;
	}
	return NULL;
}

void tx_buffer_join(struct tx *tx, struct buffer *buf)
{
	struct buffer_item *bip;

	ensure(!buf->tx && olock_is_locked(&buf->lock));
	bip = buffer_item_get(tx->log, buf);
	atomic_fetch_add(&bip->refs, 1);
	bip->joined = 1;
	buf->tx = tx;
	tx_join(tx, &bip->item);
}

int tx_buffer_get_maps(struct tx *tx, const struct buffer_map *maps, uint32_t map_count, struct buffer **out)
{
	struct buffer *buf = find_joined(tx, maps, map_count);
	int err;

	if (buf) {
		item_of(tx, buf)->joined++;
		*out = buf;
		return 0;
	}
	err = buffer_get_maps(tx->log->cache, maps, map_count, &buf);
	if (err)
		return err;
	tx_buffer_join(tx, buf);
	*out = buf;
	return 0;
}

int tx_buffer_get(struct tx *tx, daddr_u64 daddr, uint32_t count, struct buffer **out)
{
	struct buffer_map map = { .daddr = daddr, .count = count };

	return tx_buffer_get_maps(tx, &map, 1, out);
}

/* What the transaction has already must make sense as @type too. */
static int check_joined(struct tx *tx, struct buffer *buf, const struct block_type *type)
{
	int err;

	if (!type || !buf->type || buf->type == type || block_resolve_type(type, buf->data) == buf->type)
		return 0;
	err = block_verify_write(type, tx->log->geo, buf->data, buf->bytes, buf->daddr);
	if (!err)
		buf->type = block_resolve_type(type, buf->data);
	return err;
}

int tx_buffer_read_maps(struct tx *tx, const struct buffer_map *maps, uint32_t map_count,
			const struct block_type *type, struct buffer **out)
{
	struct buffer *buf = find_joined(tx, maps, map_count);
	int err;

	if (buf) {
		err = check_joined(tx, buf, type);
		if (err)
			return err;
		item_of(tx, buf)->joined++;
		*out = buf;
		return 0;
	}
	err = buffer_read_maps(tx->log->cache, maps, map_count, type, &buf);
	if (err)
		return err;
	tx_buffer_join(tx, buf);
	*out = buf;
	return 0;
}

int tx_buffer_read(struct tx *tx, daddr_u64 daddr, uint32_t count, const struct block_type *type, struct buffer **out)
{
	struct buffer_map map = { .daddr = daddr, .count = count };

	return tx_buffer_read_maps(tx, &map, 1, type, out);
}

/* ---- changing them ------------------------------------------------------------------------------------------- */

/* The block is used again in the transaction that freed it: it is not cancelled after all. */
static void revive(struct buffer_item *bip)
{
	bip->flags &= ~(uint32_t)BUFFER_ITEM_STALE;
	atomic_fetch_and(&bip->buf->flags, ~(uint32_t)BUFFER_STALE);
}

void tx_buffer_log(struct tx *tx, struct buffer *buf, uint32_t first_off, uint32_t end_off)
{
	struct buffer_item *bip = item_of(tx, buf);

	ensure(buf->type);
	if (bip->flags & BUFFER_ITEM_STALE)
		revive(bip);
	/* Whoever logs it has given it contents. */
	atomic_fetch_or(&buf->flags, BUFFER_VALID);
	buffer_item_log(bip, first_off, end_off);
	atomic_fetch_and(&bip->item.flags, ~(uint32_t)LOG_ITEM_ORDERED);
	tx_mark_dirty(tx, &bip->item);
}

void tx_buffer_log_all(struct tx *tx, struct buffer *buf)
{
	tx_buffer_log(tx, buf, 0, (uint32_t)buf->bytes);
}

void tx_buffer_set_ordered(struct tx *tx, struct buffer *buf)
{
	struct buffer_item *bip = item_of(tx, buf);

	ensure(buf->type && !(bip->flags & BUFFER_ITEM_STALE));
	atomic_fetch_or(&buf->flags, BUFFER_VALID);
	/* What was logged before must be logged on. */
	if (!buffer_item_is_logged(bip))
		atomic_fetch_or(&bip->item.flags, LOG_ITEM_ORDERED);
	tx_mark_dirty(tx, &bip->item);
}

void tx_buffer_set_inodes(struct tx *tx, struct buffer *buf, bool is_new_chunk)
{
	struct buffer_item *bip = item_of(tx, buf);

	bip->flags |= BUFFER_ITEM_INODES | (is_new_chunk ? BUFFER_ITEM_NEW_INODES : 0);
}

void tx_buffer_invalidate(struct tx *tx, struct buffer *buf)
{
	struct buffer_item *bip = item_of(tx, buf);

	if (bip->flags & BUFFER_ITEM_STALE)
		return;
	ensure(!(bip->flags & BUFFER_ITEM_HOLD));
	buffer_mark_stale(buf);
	buffer_item_clear(bip);
	bip->flags &= ~(uint32_t)(BUFFER_ITEM_INODES | BUFFER_ITEM_NEW_INODES);
	bip->flags |= BUFFER_ITEM_STALE;
	atomic_fetch_and(&bip->item.flags, ~(uint32_t)LOG_ITEM_ORDERED);
	tx_mark_dirty(tx, &bip->item);
}

/* ---- letting go ---------------------------------------------------------------------------------------------- */

bool tx_buffer_is_dirty(struct tx *tx, struct buffer *buf)
{
	return atomic_load(&item_of(tx, buf)->item.flags) & LOG_ITEM_DIRTY;
}

void tx_buffer_release(struct tx *tx, struct buffer *buf)
{
	struct buffer_item *bip = item_of(tx, buf);

	if (bip->joined > 1) {
		bip->joined--;
		return;
	}
	if (atomic_load(&bip->item.flags) & LOG_ITEM_DIRTY || bip->flags & BUFFER_ITEM_STALE)
		return;
	tx_forget(&bip->item);
	bip->item.ops->release(&bip->item, false, false);
}

void tx_buffer_hold(struct tx *tx, struct buffer *buf)
{
	struct buffer_item *bip = item_of(tx, buf);

	ensure(!(bip->flags & BUFFER_ITEM_STALE));
	bip->flags |= BUFFER_ITEM_HOLD;
}

void tx_buffer_unhold(struct tx *tx, struct buffer *buf)
{
	item_of(tx, buf)->flags &= ~(uint32_t)BUFFER_ITEM_HOLD;
}
