// SPDX-License-Identifier: GPL-2.0
/*
 * Making a chunk of inodes.  (XFS: xfs_ialloc_ag_alloc, xfs_inobt_insert, xfs_inobt_insert_sprec.)
 *
 * Where, first that works:
 *	right behind the chunk made last		so that a stripe unit fills with inodes
 *	near the root of the inobt, aligned to the stripe, then to the cluster
 *	a piece of a chunk, near the root of the inobt	sparse inodes: free space is in splinters
 *
 * Each try asks for no more than the one before it.  The first may refill the AGFL, which dirties the transaction,
 * and a later failure must not be one that the first would not have seen.
 *
 * On volumes with sparse inodes chunks are aligned to their own size, so a piece belongs to exactly one possible
 * chunk number: its record is made, or the piece is added to it.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#include "ialloc_private.h"

static const struct rmap_owner inodes_owner = { .owner = XFS_RMAP_OWN_INODES };

struct chunk {
	agblk_t agblk;
	uint32_t blocks;
	uint32_t inodes;
	bool is_piece;			/* less than a whole chunk */
};

/* As many blocks as @req says, in @ag; .blocks stays 0 when there is no such place. */
static int try_place(struct tx *tx, struct ag *ag, struct alloc_request *req, agblk_t target, struct chunk *out)
{
	const struct geometry *geo = space_geometry(ag->space);
	int err;

	req->target = fsblk_make(geo, ag->agno, target);
	err = space_alloc(tx, ag->space, req);
	if (err || fsblk_is_none(req->start))
		return err;
	out->agblk = fsblk_agblk(geo, req->start);
	out->blocks = req->count;
	out->inodes = req->count << geo->inopb_log;
	return 0;
}

static int try_behind_newest(struct tx *tx, struct ag *ag, const struct xfs_agi *agi, struct alloc_request *req,
			     struct chunk *out)
{
	const struct geometry *geo = space_geometry(ag->space);
	agino_t newest = be32_to_cpu(agi->agi_newino);
	agblk_t agblk = agino_to_agblk(geo, newest) + geo->ialloc_blocks;
	int err;

	if (newest == NULLAGINO || agblk >= ag->blocks)
		return 0;
	req->how = ALLOC_EXACT;
	req->alignment = 1;
	/* What the aligned try after this one will need, so that it cannot fail where this one refilled the AGFL. */
	req->alignment_slop = geo->cluster_align_blocks - 1;
	err = try_place(tx, ag, req, agblk, out);
	req->alignment_slop = 0;
	return err;
}

/* Stripe units that are no multiple of the inode alignment are no use (XFS: igeo->ialloc_align). */
static uint32_t stripe_alignment(const struct geometry *geo)
{
	uint32_t mask = geo->cluster_align_blocks - 1;

	return mask && !(geo->stripe_unit_blocks & mask) ? geo->stripe_unit_blocks : 0;
}

static int try_near_root(struct tx *tx, struct ag *ag, const struct xfs_agi *agi, struct alloc_request *req,
			 uint32_t alignment, struct chunk *out)
{
	req->how = ALLOC_NEAR_THIS_AG;
	req->alignment = alignment;
	return try_place(tx, ag, req, be32_to_cpu(agi->agi_root), out);
}

/* The piece's chunk must start behind the AG's headers and end inside the AG. */
static int try_piece(struct tx *tx, struct ag *ag, const struct xfs_agi *agi, struct alloc_request *req,
		     struct chunk *out)
{
	const struct geometry *geo = space_geometry(ag->space);
	agblk_t end = (agblk_t)round_down_u64(ag->blocks, geo->cluster_align_blocks);

	if (end < geo->cluster_align_blocks + geo->ialloc_blocks)
		return 0;
	req->min_count = req->max_count = geo->ialloc_min_blocks;
	req->min_agblk = geo->cluster_align_blocks;
	req->max_agblk = end - 1;
	out->is_piece = true;
	return try_near_root(tx, ag, agi, req, geo->sparse_align_blocks, out);
}

/* out->blocks 0: no room. */
static int alloc_blocks(struct tx *tx, struct ag *ag, const struct xfs_agi *agi, struct chunk *out)
{
	const struct geometry *geo = space_geometry(ag->space);
	uint32_t stripe = stripe_alignment(geo);
	struct alloc_request req = {
		.min_count = geo->ialloc_blocks,
		.max_count = geo->ialloc_blocks,
		.min_left = geo->inobt.max_levels,
		.owner = inodes_owner,
		.resv = AG_RESV_NONE,
	};
	int err;

	*out = (struct chunk){ 0 };
	err = try_behind_newest(tx, ag, agi, &req, out);
	if (!err && !out->blocks && stripe)
		err = try_near_root(tx, ag, agi, &req, stripe, out);
	if (!err && !out->blocks)
		err = try_near_root(tx, ag, agi, &req, geo->cluster_align_blocks, out);
	if (!err && !out->blocks && geo->has_sparse_inodes && geo->ialloc_min_blocks < geo->ialloc_blocks)
		err = try_piece(tx, ag, agi, &req, out);
	return err;
}

/* The record of the chunk that a new piece belongs to, with only this piece in it. */
static struct inode_record piece_record(const struct geometry *geo, const struct chunk *chunk)
{
	agblk_t skipped_blocks = chunk->agblk % geo->cluster_align_blocks;
	uint32_t skipped = skipped_blocks << geo->inopb_log;
	uint32_t bits = chunk->inodes / INODES_PER_HOLE_BIT;
	uint16_t existing = (uint16_t)(((1u << bits) - 1) << skipped / INODES_PER_HOLE_BIT);

	return (struct inode_record){
		.first = agblk_to_agino(geo, chunk->agblk) - skipped,
		.holes = (uint16_t)~existing,
		.count = (uint8_t)chunk->inodes,
		.free_count = (uint8_t)chunk->inodes,
		.free = XFS_INOBT_ALL_FREE,
	};
}

/* Adds what @other has to @rec. */
static int merge_records(const struct ag *ag, struct inode_record *rec, const struct inode_record *other)
{
	if (!inode_record_is_sparse(other) || (inode_record_existing(rec) & inode_record_existing(other)))
		return inobt_complain(ag, rec->first, "a chunk has inodes where free space was");
	rec->holes &= other->holes;
	rec->count += other->count;
	rec->free_count += other->free_count;
	rec->free &= other->free;
	return 0;
}

/* Inserts @rec, or puts it in the place of its chunk's record; with @merge, together with what that has. */
static int put_record(struct tx *tx, struct ag *ag, struct buffer *agi, enum inode_tree tree, bool merge,
		      struct inode_record *rec)
{
	struct inode_record present;
	struct btree_cursor cur;
	bool found;
	int err;

	inobt_cursor_init(&cur, tx, ag, agi, tree);
	err = inobt_find(&cur, BTREE_EQ, rec->first, &present, &found);
	if (!err && !found)
		err = inobt_insert(&cur, rec);
	else if (!err && merge)
		err = merge_records(ag, rec, &present);
	if (!err && found)
		err = inobt_update(&cur, rec);
	btree_cursor_deinit(&cur);
	return err;
}

/* The finobt's record may be absent although the chunk exists, and is replaced by what the inobt has. */
static int add_piece(struct tx *tx, struct ag *ag, struct buffer *agi, const struct chunk *chunk, agino_t *newest)
{
	const struct geometry *geo = space_geometry(ag->space);
	struct inode_record rec = piece_record(geo, chunk);
	int err;

	*newest = rec.first;
	err = put_record(tx, ag, agi, INODE_TREE_ALL, true, &rec);
	if (!err && geo->has_finobt)
		err = put_record(tx, ag, agi, INODE_TREE_FREE, false, &rec);
	return err;
}

/* A large block is several chunks. */
static int add_whole_chunks(struct tx *tx, struct ag *ag, struct buffer *agi, enum inode_tree tree, agino_t first,
			    uint32_t inodes)
{
	struct btree_cursor cur;
	int err = 0;

	inobt_cursor_init(&cur, tx, ag, agi, tree);
	for (uint32_t i = 0; i < inodes && !err; i += INODE_CHUNK) {
		struct inode_record rec = {
			.first = first + i,
			.count = INODE_CHUNK,
			.free_count = INODE_CHUNK,
			.free = XFS_INOBT_ALL_FREE,
		};

		err = inobt_insert(&cur, &rec);
	}
	btree_cursor_deinit(&cur);
	return err;
}

static int add_records(struct tx *tx, struct ag *ag, struct buffer *agi, const struct chunk *chunk, agino_t *newest)
{
	const struct geometry *geo = space_geometry(ag->space);
	agino_t first = agblk_to_agino(geo, chunk->agblk);
	int err;

	if (chunk->is_piece)
		return add_piece(tx, ag, agi, chunk, newest);
	*newest = first;
	err = add_whole_chunks(tx, ag, agi, INODE_TREE_ALL, first, chunk->inodes);
	if (!err && geo->has_finobt)
		err = add_whole_chunks(tx, ag, agi, INODE_TREE_FREE, first, chunk->inodes);
	return err;
}

int ialloc_add_chunk(struct tx *tx, struct ag *ag, struct buffer *agi)
{
	struct xfs_agi *header = agi->data;
	struct chunk chunk;
	agino_t newest;
	int err;

	if (ialloc_is_at_limit(ag->space))
		return -ENOSPC;
	err = alloc_blocks(tx, ag, header, &chunk);
	if (err)
		return err;
	if (!chunk.blocks)
		return -EAGAIN;
	err = ialloc_init_inodes(tx, ag, chunk.agblk, chunk.blocks, chunk.inodes);
	if (err)
		return err;
	err = add_records(tx, ag, agi, &chunk, &newest);
	if (err)
		return err;
	header->agi_newino = cpu_to_be32(newest);
	agi_log(tx, agi, XFS_AGI_NEWINO);
	ialloc_count(tx, ag, agi, (int32_t)chunk.inodes, (int32_t)chunk.inodes);
	return 0;
}
