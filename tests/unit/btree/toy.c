/* SPDX-License-Identifier: GPL-2.0 */
/* B+trees in memory; see toy.h.  Included by the tests: each of them is one file. */
#include "toy.h"

#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

struct toy_buffer {
	struct buffer buf;
	bool is_allocated, is_dirty;
	uint32_t joins;			/* by the transaction */
	bool is_locked;			/* without one */
};

static uint8_t block_data[TOY_BLOCKS][TOY_BLOCK_BYTES] __attribute__((aligned(8)));
static uint8_t block_shadow[TOY_BLOCKS][TOY_BLOCK_BYTES] __attribute__((aligned(8)));
static struct toy_buffer buffers[TOY_BLOCKS];
static struct toy *current;
static uint64_t random_state;

void toy_random_seed(uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ull + 1;
}

uint64_t toy_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1dull >> 16;
}

/* ---- the rooms that the tree calls
 * ------------------------------------------------------------------------------ */

static struct toy_buffer *buffer_at(daddr_u64 daddr)
{
	ensure(daddr < TOY_BLOCKS);
	return &buffers[daddr];
}

static void count_read(void)
{
	ensure(++current->reads <= current->read_limit);
}

int buffer_read(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, const struct block_type *type,
		struct buffer **out)
{
	struct toy_buffer *b = buffer_at(daddr);

	count_read();
	ensure(count == 1 && !b->is_locked);
	b->is_locked = true;
	*out = &b->buf;
	return 0;
}

void buffer_release(struct buffer *buf)
{
	struct toy_buffer *b = buffer_at(buf->daddr);

	ensure(b->is_locked);
	b->is_locked = false;
}

void buffer_readahead(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, const struct block_type *type)
{
	ensure(daddr < TOY_BLOCKS);
}

struct buffer_cache *tx_cache(struct tx *tx)
{
	return (void *)tx;
}

int tx_buffer_read(struct tx *tx, daddr_u64 daddr, uint32_t count, const struct block_type *type, struct buffer **out)
{
	struct toy_buffer *b = buffer_at(daddr);

	count_read();
	b->joins++;
	*out = &b->buf;
	return 0;
}

int tx_buffer_get(struct tx *tx, daddr_u64 daddr, uint32_t count, struct buffer **out)
{
	struct toy_buffer *b = buffer_at(daddr);

	b->joins++;
	*out = &b->buf;
	return 0;
}

void tx_buffer_release(struct tx *tx, struct buffer *buf)
{
	struct toy_buffer *b = buffer_at(buf->daddr);

	ensure(b->joins > 0);
	if (!b->is_dirty)
		b->joins--;
}

void tx_buffer_log(struct tx *tx, struct buffer *buf, uint32_t first_off, uint32_t end_off)
{
	struct toy_buffer *b = buffer_at(buf->daddr);

	ensure(b->joins > 0 && first_off < end_off && end_off <= TOY_BLOCK_BYTES);
	b->is_dirty = true;
	memcpy(block_shadow[buf->daddr] + first_off, block_data[buf->daddr] + first_off, end_off - first_off);
}

void tx_buffer_invalidate(struct tx *tx, struct buffer *buf)
{
	struct toy_buffer *b = buffer_at(buf->daddr);

	ensure(b->joins > 0);
	b->is_dirty = true;
	memset(block_data[buf->daddr], 0xde, TOY_BLOCK_BYTES);
	memset(block_shadow[buf->daddr], 0xad, TOY_BLOCK_BYTES);
}

void toy_commit(struct toy *toy)
{
	for (uint32_t i = 0; i < TOY_BLOCKS; i++) {
		buffers[i].is_dirty = false;
		buffers[i].joins = 0;
	}
}

uint32_t toy_held(void)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < TOY_BLOCKS; i++)
		held += buffers[i].is_locked || (buffers[i].joins && !buffers[i].is_dirty);
	return held;
}

/* ---- the owner's ops
 * -------------------------------------------------------------------------------------------- */

static uint32_t take_block(struct toy *toy)
{
	uint32_t block;

	ensure(toy->blocks_allocated < TOY_BLOCKS / 2);
	do
		block = 16 + (uint32_t)(toy_random() % (TOY_BLOCKS - 16));
	while (buffers[block].is_allocated);
	buffers[block].is_allocated = true;
	toy->blocks_allocated++;
	return block;
}

static int toy_alloc_block(struct btree_cursor *cur, const union btree_ptr *near, union btree_ptr *out)
{
	uint32_t block = take_block(cur->host);

	if (cur->ops->has_long_pointers)
		out->l = cpu_to_be64(block);
	else
		out->s = cpu_to_be32(block);
	return 0;
}

static int toy_free_block(struct btree_cursor *cur, struct buffer *buf)
{
	struct toy *toy = cur->host;

	if (!buffers[buf->daddr].is_allocated)
		return -EFSCORRUPTED;
	buffers[buf->daddr].is_allocated = false;
	toy->blocks_allocated--;
	return 0;
}

static void toy_get_root(const struct btree_cursor *cur, union btree_ptr *root, uint32_t *levels)
{
	const struct toy *toy = cur->host;

	root->s = cpu_to_be32(toy->root);
	*levels = toy->levels;
}

static void toy_set_root(struct btree_cursor *cur, const union btree_ptr *root, int level_change)
{
	struct toy *toy = cur->host;

	toy->root = be32_to_cpu(root->s);
	toy->levels += (uint32_t)level_change;
}

static struct btree_iroot *toy_iroot(const struct btree_cursor *cur)
{
	const struct toy *toy = cur->host;

	return toy->iroot;
}

static void toy_iroot_log(struct btree_cursor *cur)
{
}

static int order(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int alloc_compare(const union btree_key *a, const union btree_key *b)
{
	return order(be32_to_cpu(a->alloc.ar_startblock), be32_to_cpu(b->alloc.ar_startblock));
}

static void alloc_key(const union btree_rec *rec, union btree_key *key)
{
	key->alloc = rec->alloc;
}

static void alloc_high_key(const union btree_rec *rec, union btree_key *key)
{
	key->alloc.ar_startblock = cpu_to_be32(be32_to_cpu(rec->alloc.ar_startblock) +
					       be32_to_cpu(rec->alloc.ar_blockcount) - 1);
	key->alloc.ar_blockcount = 0;
}

static int rmap_compare(const union btree_key *a, const union btree_key *b)
{
	return order(be32_to_cpu(a->rmap.rm_startblock), be32_to_cpu(b->rmap.rm_startblock));
}

static void rmap_key(const union btree_rec *rec, union btree_key *key)
{
	key->rmap.rm_startblock = rec->rmap.rm_startblock;
	key->rmap.rm_owner = rec->rmap.rm_owner;
	key->rmap.rm_offset = rec->rmap.rm_offset;
}

static void rmap_high_key(const union btree_rec *rec, union btree_key *key)
{
	rmap_key(rec, key);
	key->rmap.rm_startblock = cpu_to_be32(be32_to_cpu(rec->rmap.rm_startblock) +
					      be32_to_cpu(rec->rmap.rm_blockcount) - 1);
}

static int bmbt_compare(const union btree_key *a, const union btree_key *b)
{
	return order(be64_to_cpu(a->bmbt.br_startoff), be64_to_cpu(b->bmbt.br_startoff));
}

static void bmbt_key(const union btree_rec *rec, union btree_key *key)
{
	key->bmbt.br_startoff = rec->bmbt.l0;
}

static void bmbt_high_key(const union btree_rec *rec, union btree_key *key)
{
	key->bmbt.br_startoff = cpu_to_be64(be64_to_cpu(rec->bmbt.l0) + (be64_to_cpu(rec->bmbt.l1) >> 32) - 1);
}

static const struct block_type toy_block_type = { .name = "toy", .crc_off = CRC_OFF_NONE, .lsn_off = LSN_OFF_NONE };

static const struct btree_ops toy_ops[TOY_KINDS] = {
	[TOY_SHORT] = {
		.name = "short toy", .block = &toy_block_type, .magic = 0x54303031,
		.rec_bytes = sizeof(struct xfs_alloc_rec), .key_bytes = sizeof(struct xfs_alloc_rec),
		.compare = alloc_compare, .key_of_rec = alloc_key, .high_key_of_rec = alloc_high_key,
		.get_root = toy_get_root, .set_root = toy_set_root,
		.alloc_block = toy_alloc_block, .free_block = toy_free_block,
	},
	[TOY_OVERLAPPING] = {
		.name = "overlapping toy", .block = &toy_block_type, .magic = 0x54303032, .is_overlapping = true,
		.rec_bytes = sizeof(struct xfs_rmap_rec), .key_bytes = sizeof(struct xfs_rmap_key),
		.compare = rmap_compare, .key_of_rec = rmap_key, .high_key_of_rec = rmap_high_key,
		.get_root = toy_get_root, .set_root = toy_set_root,
		.alloc_block = toy_alloc_block, .free_block = toy_free_block,
	},
	[TOY_INODE] = {
		.name = "inode toy", .block = &toy_block_type, .magic = 0x54303033,
		.has_long_pointers = true, .is_root_in_inode = true,
		.rec_bytes = sizeof(struct xfs_bmbt_rec), .key_bytes = sizeof(struct xfs_bmbt_key),
		.compare = bmbt_compare, .key_of_rec = bmbt_key, .high_key_of_rec = bmbt_high_key,
		.iroot = toy_iroot, .iroot_log = toy_iroot_log,
		.alloc_block = toy_alloc_block, .free_block = toy_free_block,
	},
};

/* ---- one tree
 * --------------------------------------------------------------------------------------------------- */

void toy_create(struct toy *toy, enum toy_kind kind, uint32_t max_leaf, uint32_t max_node, uint32_t max_root)
{
	uint32_t block;

	memset(toy, 0, sizeof(*toy));
	toy->kind = kind;
	toy->ops = &toy_ops[kind];
	toy->geo.block_bytes = toy->geo.sector_bytes = TOY_BLOCK_BYTES;
	toy->geo.block_log = toy->geo.sector_log = 9;
	toy->geo.agblk_log = 12;
	toy->geo.ag_count = 1;
	toy->geo.ag_blocks = TOY_BLOCKS;
	toy->geo.blocks = TOY_BLOCKS;
	toy->limits = (struct btree_limits){ .max_leaf = max_leaf, .min_leaf = max_leaf / 2, .max_node = max_node,
					     .min_node = max_node / 2, .max_levels = BTREE_MAX_LEVELS };
	toy->tx = (struct tx *)toy;
	toy->read_limit = UINT64_MAX;
	current = toy;

	memset(buffers, 0, sizeof(buffers));
	memset(block_data, 0xee, sizeof(block_data));
	memset(block_shadow, 0xcc, sizeof(block_shadow));
	for (uint32_t i = 0; i < TOY_BLOCKS; i++) {
		buffers[i].buf.daddr = i;
		buffers[i].buf.bytes = TOY_BLOCK_BYTES;
		buffers[i].buf.data = block_data[i];
	}
	block = take_block(toy);
	btree_block_init(toy->ops, &toy->geo, block_data[block], TOY_BLOCK_BYTES, block, 0, TOY_OWNER);
	memcpy(block_shadow[block], block_data[block], TOY_BLOCK_BYTES);
	if (kind != TOY_INODE) {
		toy->root = block;
		toy->levels = 1;
		return;
	}
	toy->iroot = btree_iroot_create(max_root + 2, max_root);
	ensure(toy->iroot);
	toy->iroot->block.bb_numrecs = cpu_to_be16(1);
	*btree_iroot_key(toy->iroot, 1) = 0;
	*btree_iroot_ptr(toy->iroot, 1) = cpu_to_be64(block);
}

void toy_destroy(struct toy *toy)
{
	btree_iroot_destroy(toy->iroot);
}

void toy_cursor(struct toy *toy, struct btree_cursor *cur, bool with_tx)
{
	btree_cursor_init(cur, toy->ops, &toy->geo, &toy->limits, (void *)toy, with_tx ? toy->tx : NULL, TOY_OWNER);
	cur->host = toy;
}

union btree_rec toy_rec(const struct toy *toy, uint32_t start, uint32_t length, uint32_t value)
{
	union btree_rec rec;

	memset(&rec, 0, sizeof(rec));
	switch (toy->kind) {
	case TOY_SHORT:
		rec.alloc.ar_startblock = cpu_to_be32(start);
		rec.alloc.ar_blockcount = cpu_to_be32(length);
		break;
	case TOY_OVERLAPPING:
		rec.rmap.rm_startblock = cpu_to_be32(start);
		rec.rmap.rm_blockcount = cpu_to_be32(length);
		rec.rmap.rm_owner = cpu_to_be64(value);
		break;
	default:
		rec.bmbt.l0 = cpu_to_be64(start);
		rec.bmbt.l1 = cpu_to_be64((uint64_t)length << 32 | value);
		break;
	}
	return rec;
}

void toy_rec_get(const struct toy *toy, const union btree_rec *rec, uint32_t *start, uint32_t *length,
		 uint32_t *value)
{
	switch (toy->kind) {
	case TOY_SHORT:
		*start = be32_to_cpu(rec->alloc.ar_startblock);
		*length = be32_to_cpu(rec->alloc.ar_blockcount);
		*value = 0;
		break;
	case TOY_OVERLAPPING:
		*start = be32_to_cpu(rec->rmap.rm_startblock);
		*length = be32_to_cpu(rec->rmap.rm_blockcount);
		*value = (uint32_t)be64_to_cpu(rec->rmap.rm_owner);
		break;
	default:
		*start = (uint32_t)be64_to_cpu(rec->bmbt.l0);
		*length = (uint32_t)(be64_to_cpu(rec->bmbt.l1) >> 32);
		*value = (uint32_t)be64_to_cpu(rec->bmbt.l1);
		break;
	}
}

union btree_key toy_key(const struct toy *toy, uint32_t start)
{
	union btree_rec rec = toy_rec(toy, start, 1, 0);
	union btree_key key;

	memset(&key, 0, sizeof(key));
	toy->ops->key_of_rec(&rec, &key);
	return key;
}

void toy_swap_shadow(struct toy *toy)
{
	static uint8_t spare[TOY_BLOCK_BYTES];

	for (uint32_t i = 0; i < TOY_BLOCKS; i++) {
		memcpy(spare, block_data[i], TOY_BLOCK_BYTES);
		memcpy(block_data[i], block_shadow[i], TOY_BLOCK_BYTES);
		memcpy(block_shadow[i], spare, TOY_BLOCK_BYTES);
	}
}

uint8_t *toy_block(uint32_t block)
{
	return buffers[block].is_allocated ? block_data[block] : NULL;
}
