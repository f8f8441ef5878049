/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes of one B+tree block.
 *
 *	leaf:	header | record 1 | record 2 | ...
 *	node:	header | key 1 | key 2 | ... | key max | pointer 1 | pointer 2 | ... | pointer max
 *
 * The pointers start behind the room for the greatest number of keys, whatever the count is.
 */
#include "btree_private.h"

#include <userxfs/base/bits.h>

size_t btree_block_bytes(const struct btree_ops *ops)
{
	return ops->has_long_pointers ? XFS_BTREE_LBLOCK_CRC_LEN : XFS_BTREE_SBLOCK_CRC_LEN;
}

size_t keys_bytes(const struct btree_ops *ops)
{
	return (size_t)ops->key_bytes * (ops->is_overlapping ? 2 : 1);
}

size_t slot_bytes(const struct btree_ops *ops, uint32_t level)
{
	return level == 0 ? ops->rec_bytes : keys_bytes(ops);
}

static size_t ptr_bytes(const struct btree_ops *ops)
{
	return ops->has_long_pointers ? sizeof(__be64) : sizeof(__be32);
}

void *btree_rec_at(const struct btree_ops *ops, struct xfs_btree_block *block, uint32_t index)
{
	return (char *)block + btree_block_bytes(ops) + (size_t)(index - 1) * ops->rec_bytes;
}

void *btree_key_at(const struct btree_ops *ops, struct xfs_btree_block *block, uint32_t index)
{
	return (char *)block + btree_block_bytes(ops) + (size_t)(index - 1) * keys_bytes(ops);
}

void *btree_ptr_at(const struct btree_ops *ops, struct xfs_btree_block *block, uint32_t index, uint32_t max)
{
	return (char *)block + btree_block_bytes(ops) + max * keys_bytes(ops) + (size_t)(index - 1) * ptr_bytes(ops);
}

void btree_block_init(const struct btree_ops *ops, const struct geometry *geo, void *data, size_t bytes,
		      daddr_u64 daddr, uint32_t level, uint64_t block_owner)
{
	struct xfs_btree_block *block = data;

	memset(data, 0, bytes);
	block->bb_magic = cpu_to_be32(ops->magic);
	block->bb_level = cpu_to_be16((uint16_t)level);
	if (ops->has_long_pointers) {
		block->bb_u.l.bb_leftsib = cpu_to_be64(NULLFSBLOCK);
		block->bb_u.l.bb_rightsib = cpu_to_be64(NULLFSBLOCK);
		block->bb_u.l.bb_blkno = cpu_to_be64(daddr);
		block->bb_u.l.bb_owner = cpu_to_be64(block_owner);
		memcpy(&block->bb_u.l.bb_uuid, geo->meta_uuid, sizeof(geo->meta_uuid));
	} else {
		block->bb_u.s.bb_leftsib = cpu_to_be32(NULLAGBLOCK);
		block->bb_u.s.bb_rightsib = cpu_to_be32(NULLAGBLOCK);
		block->bb_u.s.bb_blkno = cpu_to_be64(daddr);
		block->bb_u.s.bb_owner = cpu_to_be32((uint32_t)block_owner);
		memcpy(&block->bb_u.s.bb_uuid, geo->meta_uuid, sizeof(geo->meta_uuid));
	}
}

void *node_slot(const struct btree_cursor *cur, const struct node *n, uint32_t index)
{
	if (n->level == 0)
		return btree_rec_at(cur->ops, n->block, index);
	return btree_key_at(cur->ops, n->block, index);
}

union btree_ptr *node_ptr_at(const struct btree_cursor *cur, const struct node *n, uint32_t index)
{
	return btree_ptr_at(cur->ops, n->block, index, n->capacity);
}

union btree_ptr ptr_copy(const struct btree_cursor *cur, const void *at)
{
	union btree_ptr p = { 0 };

	memcpy(&p, at, ptr_bytes(cur->ops));
	return p;
}

void node_low_key(const struct btree_cursor *cur, const struct node *n, uint32_t index, union btree_key *key)
{
	const void *slot = node_slot(cur, n, index);
	union btree_rec rec;

	if (n->level > 0) {
		memcpy(key, slot, cur->ops->key_bytes);
		return;
	}
	/* Where records are not a multiple of 8 bytes they are not aligned in their block. */
	memcpy(&rec, slot, cur->ops->rec_bytes);
	cur->ops->key_of_rec(&rec, key);
}

void node_high_key(const struct btree_cursor *cur, const struct node *n, uint32_t index, union btree_key *key)
{
	const char *slot = node_slot(cur, n, index);
	union btree_rec rec;

	if (n->level > 0) {
		memcpy(key, slot + cur->ops->key_bytes, cur->ops->key_bytes);
		return;
	}
	memcpy(&rec, slot, cur->ops->rec_bytes);
	cur->ops->high_key_of_rec(&rec, key);
}

void node_keys(const struct btree_cursor *cur, const struct node *n, struct key_pair *out)
{
	union btree_key low, high, k;

	memset(out, 0, sizeof(*out));
	node_low_key(cur, n, 1, &low);
	memcpy(out->bytes, &low, cur->ops->key_bytes);
	if (!cur->ops->is_overlapping)
		return;
	node_high_key(cur, n, 1, &high);
	for (uint32_t i = 2; i <= node_count(n); i++) {
		node_high_key(cur, n, i, &k);
		if (cur->ops->compare(&k, &high) > 0)
			high = k;
	}
	memcpy(out->bytes + cur->ops->key_bytes, &high, cur->ops->key_bytes);
}

static void log_bytes(struct btree_cursor *cur, struct node *n, const void *start, size_t bytes)
{
	size_t off = (size_t)((const char *)start - (const char *)n->block);

	if (!n->buf)
		cur->ops->iroot_log(cur);
	else if (bytes)
		tx_buffer_log(cur->tx, n->buf, (uint32_t)off, (uint32_t)(off + bytes));
}

/* Level, count and siblings lie next to each other in both headers. */
void node_log_header(struct btree_cursor *cur, struct node *n)
{
	size_t bytes = cur->ops->has_long_pointers ? XFS_BTREE_LBLOCK_LEN : XFS_BTREE_SBLOCK_LEN;

	log_bytes(cur, n, n->block, bytes);
}

void node_log_slots(struct btree_cursor *cur, struct node *n, uint32_t first, uint32_t end)
{
	if (first >= end)
		return;
	log_bytes(cur, n, node_slot(cur, n, first), (end - first) * slot_bytes(cur->ops, n->level));
	if (n->level > 0 && n->buf)
		log_bytes(cur, n, node_ptr_at(cur, n, first), (end - first) * ptr_bytes(cur->ops));
}

void node_set_count(struct btree_cursor *cur, struct node *n, uint32_t count)
{
	ensure(count <= n->max);
	n->block->bb_numrecs = cpu_to_be16((uint16_t)count);
	node_log_header(cur, n);
}

/* Moves slots [index, count] with their pointers by one place, up or down. */
static void move_slots(struct btree_cursor *cur, struct node *n, uint32_t index, uint32_t count, int by)
{
	size_t bytes = slot_bytes(cur->ops, n->level);
	char *slot = node_slot(cur, n, index);

	if (index > count)
		return;
	memmove(slot + (ptrdiff_t)bytes * by, slot, (count - index + 1) * bytes);
	if (n->level > 0) {
		char *p = (char *)node_ptr_at(cur, n, index);

		bytes = ptr_bytes(cur->ops);
		memmove(p + (ptrdiff_t)bytes * by, p, (count - index + 1) * bytes);
	}
}

void node_insert_slot(struct btree_cursor *cur, struct node *n, uint32_t index, const struct entry *e)
{
	uint32_t count = node_count(n);

	ensure(index >= 1 && index <= count + 1);
	node_set_count(cur, n, count + 1);
	move_slots(cur, n, index, count, 1);
	memcpy(node_slot(cur, n, index), n->level == 0 ? (const void *)&e->rec : (const void *)&e->keys,
	       slot_bytes(cur->ops, n->level));
	if (n->level > 0)
		memcpy(node_ptr_at(cur, n, index), &e->ptr, ptr_bytes(cur->ops));
	node_log_slots(cur, n, index, count + 2);
}

void node_remove_slot(struct btree_cursor *cur, struct node *n, uint32_t index)
{
	uint32_t count = node_count(n);

	ensure(index >= 1 && index <= count);
	move_slots(cur, n, index + 1, count, -1);
	node_set_count(cur, n, count - 1);
	node_log_slots(cur, n, index, count);
}

void node_copy_slots(struct btree_cursor *cur, struct node *to, uint32_t to_index, const struct node *from,
		     uint32_t from_index, uint32_t count)
{
	ensure(to->level == from->level && to_index + count - 1 <= to->max);
	memcpy(node_slot(cur, to, to_index), node_slot(cur, from, from_index),
	       count * slot_bytes(cur->ops, to->level));
	if (to->level > 0)
		memcpy(node_ptr_at(cur, to, to_index), node_ptr_at(cur, from, from_index),
		       count * ptr_bytes(cur->ops));
	node_log_slots(cur, to, to_index, to_index + count);
}

/* ---- pointers
 * --------------------------------------------------------------------------------------------------- */

union btree_ptr ptr_none(const struct btree_cursor *cur)
{
	union btree_ptr p = { 0 };

	if (cur->ops->has_long_pointers)
		p.l = cpu_to_be64(NULLFSBLOCK);
	else
		p.s = cpu_to_be32(NULLAGBLOCK);
	return p;
}

bool ptr_is_none(const struct btree_cursor *cur, const union btree_ptr *p)
{
	union btree_ptr none = ptr_none(cur);

	return ptr_is_equal(cur, p, &none);
}

bool ptr_is_equal(const struct btree_cursor *cur, const union btree_ptr *a, const union btree_ptr *b)
{
	return memcmp(a, b, ptr_bytes(cur->ops)) == 0;
}

static void *sibling_at(const struct btree_cursor *cur, const struct node *n, enum side side)
{
	if (cur->ops->has_long_pointers)
		return side == SIDE_LEFT ? &n->block->bb_u.l.bb_leftsib : &n->block->bb_u.l.bb_rightsib;
	return side == SIDE_LEFT ? (void *)&n->block->bb_u.s.bb_leftsib : (void *)&n->block->bb_u.s.bb_rightsib;
}

/* The siblings of a root in an inode mean nothing. */
union btree_ptr node_sibling(const struct btree_cursor *cur, const struct node *n, enum side side)
{
	if (!n->buf)
		return ptr_none(cur);
	return ptr_copy(cur, sibling_at(cur, n, side));
}

void node_set_sibling(struct btree_cursor *cur, struct node *n, enum side side, const union btree_ptr *p)
{
	memcpy(sibling_at(cur, n, side), p, ptr_bytes(cur->ops));
	node_log_header(cur, n);
}

daddr_u64 ptr_daddr(const struct btree_cursor *cur, const union btree_ptr *p)
{
	if (cur->ops->has_long_pointers)
		return fsblk_to_daddr(cur->geo, (struct fsblk){ be64_to_cpu(p->l) });
	return agblk_to_daddr(cur->geo, cur->agno, be32_to_cpu(p->s));
}

union btree_ptr node_own_ptr(const struct btree_cursor *cur, const struct node *n)
{
	union btree_ptr p = { 0 };

	if (cur->ops->has_long_pointers)
		p.l = cpu_to_be64(daddr_to_fsblk(cur->geo, n->buf->daddr).v);
	else
		p.s = cpu_to_be32((uint32_t)((n->buf->daddr >> (cur->geo->block_log - SECTOR_UNIT_LOG)) -
					     (uint64_t)cur->agno * cur->geo->ag_blocks));
	return p;
}
