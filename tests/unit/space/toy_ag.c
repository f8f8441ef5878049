/* SPDX-License-Identifier: GPL-2.0 */
/* An AG in memory; see toy_ag.h.  Included by the tests: each of them is one file. */
#include "toy_ag.h"

#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

struct toy_buffer {
	struct buffer buf;
	bool is_allocated, is_dirty;
	uint32_t joins;
};

struct toy_ag toy;
static uint8_t block_data[TOY_BLOCKS][TOY_BLOCK_BYTES] __attribute__((aligned(8)));
static struct toy_buffer buffers[TOY_BLOCKS];
static uint64_t random_state;

void toy_random_seed(uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ull + 1;
}

uint32_t toy_random(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state * 0x2545f4914f6cdd1dull >> 32) % below);
}

struct tx *toy_tx(void)
{
	return (struct tx *)(void *)&toy;
}

/* ---- the log room ---- */

static struct toy_buffer *buffer_at(daddr_u64 daddr)
{
	ensure(daddr < TOY_BLOCKS);
	return &buffers[daddr];
}

struct buffer_cache *tx_cache(struct tx *tx)
{
	return NULL;
}

struct log *tx_log(struct tx *tx)
{
	return NULL;
}

const struct tx_reservations *log_reservations(const struct log *log)
{
	return &toy.reservations;
}

int tx_buffer_read(struct tx *tx, daddr_u64 daddr, uint32_t count, const struct block_type *type, struct buffer **out)
{
	return tx_buffer_get(tx, daddr, count, out);
}

int tx_buffer_get(struct tx *tx, daddr_u64 daddr, uint32_t count, struct buffer **out)
{
	struct toy_buffer *b = buffer_at(daddr);

	ensure(b->is_allocated || b->joins);
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
}

void tx_buffer_invalidate(struct tx *tx, struct buffer *buf)
{
	buffer_at(buf->daddr)->is_dirty = true;
	memset(block_data[buf->daddr], 0xde, TOY_BLOCK_BYTES);
}

/* Every cursor has a transaction: these two are never called. */
int buffer_read(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, const struct block_type *type,
		struct buffer **out)
{
	ensure(false);
	return -EIO;
}

void buffer_release(struct buffer *buf)
{
	ensure(false);
}

void buffer_readahead(struct buffer_cache *cache, daddr_u64 daddr, uint32_t count, const struct block_type *type)
{
	ensure(daddr < TOY_BLOCKS);
}

/* A cursor lets go of what it does not change; what it changes stays until the commit. */
void toy_ag_commit(void)
{
	for (uint32_t i = 0; i < TOY_BLOCKS; i++) {
		ensure(!buffers[i].joins || buffers[i].is_dirty);
		buffers[i].is_dirty = false;
		buffers[i].joins = 0;
	}
}

/* ---- the space room's other half ---- */

const struct geometry *space_geometry(struct space *space)
{
	return &toy.geo;
}

struct buffer_cache *space_cache(struct space *space)
{
	return NULL;
}

void agf_log(struct tx *tx, struct buffer *agf, uint32_t fields)
{
}

static agblk_t take_block(void)
{
	agblk_t agblk;

	ensure(toy.tree_blocks < TOY_BLOCKS / 4);
	do
		agblk = TOY_BLOCKS / 2 + toy_random(TOY_BLOCKS / 2);
	while (buffers[agblk].is_allocated);
	buffers[agblk].is_allocated = true;
	toy.tree_blocks++;
	return agblk;
}

static void give_block(agblk_t agblk)
{
	ensure(buffers[agblk].is_allocated);
	buffers[agblk].is_allocated = false;
	toy.tree_blocks--;
}

int agfl_take(struct tx *tx, struct ag *ag, struct buffer *agf, agblk_t *out, bool for_btree)
{
	*out = take_block();
	return 0;
}

int agfl_put(struct tx *tx, struct ag *ag, struct buffer *agf, agblk_t agblk, bool for_btree)
{
	give_block(agblk);
	return 0;
}

void ag_resv_account_alloc(struct tx *tx, struct ag *ag, enum ag_reservation resv, uint32_t count)
{
	ensure(resv == AG_RESV_RMAPBT);
	toy.accounted += count;
}

void ag_resv_account_free(struct tx *tx, struct ag *ag, enum ag_reservation resv, uint32_t count)
{
	ensure(resv == AG_RESV_RMAPBT);
	toy.accounted -= count;
}

int space_alloc(struct tx *tx, struct space *space, struct alloc_request *req)
{
	ensure(req->min_count == 1 && req->owner.owner == XFS_RMAP_OWN_REFC && req->resv == AG_RESV_METADATA);
	req->start = fsblk_make(&toy.geo, 0, take_block());
	req->count = 1;
	return 0;
}

void space_free_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count,
			 const struct rmap_owner *owner, enum ag_reservation resv, bool skip_discard)
{
	agblk_t agblk = fsblk_agblk(&toy.geo, start);

	if (resv == AG_RESV_METADATA) {
		ensure(count == 1);
		give_block(agblk);
		return;
	}
	ensure(owner->skip_update);
	for (uint32_t i = 0; i < count; i++)
		toy.freed[agblk + i]++;
}

/* ---- life ---- */

void toy_set_log_reservation(uint32_t log_bytes)
{
	toy.reservations.write.log_bytes = toy.reservations.truncate.log_bytes = log_bytes;
}

static void set_limits(struct btree_limits *limits, uint32_t max_leaf, uint32_t max_node)
{
	*limits = (struct btree_limits){ .max_leaf = max_leaf, .min_leaf = max_leaf / 2, .max_node = max_node,
					 .min_node = max_node / 2, .max_levels = 11 };
}

static agblk_t make_root(uint32_t magic)
{
	agblk_t agblk = take_block();
	struct xfs_btree_block *root = (void *)block_data[agblk];

	memset(root, 0, TOY_BLOCK_BYTES);
	root->bb_magic = cpu_to_be32(magic);
	root->bb_u.s.bb_leftsib = root->bb_u.s.bb_rightsib = cpu_to_be32(NULLAGBLOCK);
	root->bb_u.s.bb_blkno = cpu_to_be64(agblk);
	return agblk;
}

static void init_buffers(void)
{
	memset(buffers, 0, sizeof(buffers));
	for (uint32_t i = 0; i < TOY_BLOCKS; i++) {
		buffers[i].buf.daddr = i;
		buffers[i].buf.bytes = TOY_BLOCK_BYTES;
		buffers[i].buf.data = block_data[i];
	}
}

void toy_ag_create(uint32_t max_leaf, uint32_t max_node)
{
	memset(&toy, 0, sizeof(toy));
	init_buffers();
	toy.geo = (struct geometry){
		.block_bytes = TOY_BLOCK_BYTES, .block_log = 9, .sector_bytes = 512, .sector_log = 9,
		.inode_bytes = 512, .agblk_log = 13, .agino_log = 14, .inopb_log = 1, .blocks = TOY_BLOCKS,
		.ag_count = 1,
		.ag_blocks = TOY_BLOCKS,
		.has_external_log = true, .cluster_align_blocks = 1, .has_rmapbt = true, .has_reflink = true,
	};
	set_limits(&toy.geo.rmapbt, max_leaf, max_node);
	set_limits(&toy.geo.refcountbt, max_leaf, max_node);
	toy_set_log_reservation(1u << 20);
	toy.ag.blocks = TOY_BLOCKS;
	toy.ag.space = (void *)&toy;
	toy.ag.rmap_level = toy.ag.refcount_level = 1;
	toy.agf.data = &toy.agf_data;
	toy.agf_data.agf_roots[XFS_BTNUM_RMAPi] = cpu_to_be32(make_root(XFS_RMAP_CRC_MAGIC));
	toy.agf_data.agf_levels[XFS_BTNUM_RMAPi] = cpu_to_be32(1);
	toy.agf_data.agf_refcount_root = cpu_to_be32(make_root(XFS_REFC_CRC_MAGIC));
	toy.agf_data.agf_refcount_level = cpu_to_be32(1);
}

void toy_ag_destroy(void)
{
	toy_ag_commit();
}
