// SPDX-License-Identifier: GPL-2.0
/*
 * How many records fit a tree's block and how high each tree can grow.
 * (XFS: xfs_allocbt_maxrecs and relatives, xfs_btree_compute_maxlevels, xfs_rmapbt_compute_maxlevels,
 * xfs_bmap_compute_maxlevels.)
 *
 * The heights are the kernel's to the level: reservations are computed from them, and reservations decide when a
 * volume is full.
 */
#include "geometry_private.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

/* A non-leaf record of the rmap tree carries its lowest and its highest key. */
#define RMAP_NODE_BYTES (2 * sizeof(struct xfs_rmap_key) + sizeof(xfs_rmap_ptr_t))
/* The smallest root a fork can have, in records: 3 for data, 2 for attributes. */
#define MIN_DATA_ROOT_RECORDS MINDBTPTRS
#define MIN_ATTR_ROOT_RECORDS MINABTPTRS

static struct btree_limits block_limits(const struct geometry *geo, size_t header_bytes, size_t leaf_bytes,
					size_t node_bytes)
{
	struct btree_limits limits = { 0 };

	limits.max_leaf = (uint32_t)((geo->block_bytes - header_bytes) / leaf_bytes);
	limits.max_node = (uint32_t)((geo->block_bytes - header_bytes) / node_bytes);
	limits.min_leaf = limits.max_leaf / 2;
	limits.min_node = limits.max_node / 2;
	return limits;
}

static struct btree_limits short_limits(const struct geometry *geo, size_t leaf_bytes, size_t node_bytes)
{
	return block_limits(geo, XFS_BTREE_SBLOCK_CRC_LEN, leaf_bytes, node_bytes);
}

/* Height of a tree of @records whose blocks are all as empty as they may be. */
static uint8_t levels_of_records(const struct btree_limits *limits, uint64_t records)
{
	uint64_t blocks = div_round_up(records, limits->min_leaf);
	uint8_t levels = 1;

	for (; blocks > 1; levels++)
		blocks = div_round_up(blocks, limits->min_node);
	return levels;
}

/* Height of the highest tree that fits @blocks blocks: a root of two pointers, all below as empty as it may be. */
static uint8_t levels_of_blocks(const struct btree_limits *limits, uint64_t blocks)
{
	uint64_t level_blocks = 2, left = blocks - 1;
	uint8_t levels = 1;

	for (; level_blocks < left; levels++) {
		left -= level_blocks;
		level_blocks *= limits->min_node;
	}
	return levels;
}

/* Height including the root in the inode, which holds @root_records at least. */
static uint8_t bmbt_levels(const struct btree_limits *limits, uint64_t extents, uint32_t root_records)
{
	uint64_t blocks = div_round_up(extents, limits->min_leaf);
	uint8_t levels = 1;

	for (; blocks > 1; levels++)
		blocks = blocks <= root_records ? 1 : div_round_up(blocks, limits->min_node);
	return levels;
}

static void derive_bmbt(struct geometry *geo)
{
	uint64_t data_extents = geo->has_nrext64 ? XFS_MAX_EXTCNT_DATA_FORK_LARGE : XFS_MAX_EXTCNT_DATA_FORK_SMALL;
	uint64_t attr_extents = geo->has_nrext64 ? XFS_MAX_EXTCNT_ATTR_FORK_LARGE : XFS_MAX_EXTCNT_ATTR_FORK_SMALL;

	geo->bmbt = block_limits(geo, XFS_BTREE_LBLOCK_CRC_LEN, sizeof(struct xfs_bmbt_rec),
				 sizeof(struct xfs_bmbt_key) + sizeof(xfs_bmbt_ptr_t));
	geo->bmbt.max_levels = bmbt_levels(&geo->bmbt, data_extents, MIN_DATA_ROOT_RECORDS);
	geo->bmbt_max_levels_attr = bmbt_levels(&geo->bmbt, attr_extents, MIN_ATTR_ROOT_RECORDS);
}

void geometry_derive_trees(struct geometry *geo)
{
	uint64_t chunks = (1ull << geo->agino_log) / XFS_INODES_PER_CHUNK;

	geo->bnobt = short_limits(geo, sizeof(struct xfs_alloc_rec),
				  sizeof(struct xfs_alloc_rec) + sizeof(xfs_alloc_ptr_t));
	/* No two free extents touch, so there are at most half as many as blocks. */
	geo->bnobt.max_levels = levels_of_records(&geo->bnobt, ((uint64_t)geo->ag_blocks + 1) / 2);
	geo->cntbt = geo->bnobt;

	geo->inobt = short_limits(geo, sizeof(struct xfs_inobt_rec),
				  sizeof(struct xfs_inobt_key) + sizeof(xfs_inobt_ptr_t));
	geo->inobt.max_levels = levels_of_records(&geo->inobt, chunks);
	geo->finobt = geo->inobt;

	geo->rmapbt = short_limits(geo, sizeof(struct xfs_rmap_rec), RMAP_NODE_BYTES);
	if (geo->has_rmapbt)
		/* A shared block has many owners: then only the AG's size bounds the tree. */
		geo->rmapbt.max_levels = geo->has_reflink ? levels_of_blocks(&geo->rmapbt, geo->ag_blocks) :
							    levels_of_records(&geo->rmapbt, geo->ag_blocks);

	geo->refcountbt = short_limits(geo, sizeof(struct xfs_refcount_rec),
				       sizeof(struct xfs_refcount_key) + sizeof(xfs_refcount_ptr_t));
	if (geo->has_reflink)
		geo->refcountbt.max_levels = levels_of_records(&geo->refcountbt, geo->ag_blocks);

	derive_bmbt(geo);
	ensure(geo->bmbt.max_levels <= BTREE_MAX_LEVELS && geo->rmapbt.max_levels <= BTREE_MAX_LEVELS &&
	       geo->inobt.max_levels <= BTREE_MAX_LEVELS);
}
