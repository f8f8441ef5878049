/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Worst cases of what each kind of transaction logs.  (XFS: xfs_trans_resv.c, xfs_trans_space.h, xfs_log_rlimit.c.)
 *
 * The numbers are XFS's, so that a log that mkfs.xfs thinks large enough is.  Where XFS takes the larger of several
 * transactions of one chain (the change itself; the frees it defers), so does this.
 */
#include <userxfs/base/bits.h>
#include <userxfs/format/ondisk.h>
#include <userxfs/log/reservation.h>

enum {
	DA_MAX_DEPTH = 5,		/* XFS_DA_NODE_MAXDEPTH */
	OP_HEADER = sizeof(struct xlog_op_header),
	/* Six dquots of a rename, each a format and a dquot. */
	DQUOTS = 6 * (sizeof(struct xfs_dq_logformat) + sizeof(struct xfs_disk_dquot)),
	ATTR_VALUE_MAX = 64 << 10,
	NAME_MAX_BYTES = 256,
};

typedef const struct geometry *geo_t;

/* ---- pieces -------------------------------------------------------------------------------------------------- */

static uint32_t buffers(uint32_t count, uint32_t bytes)
{
	return count * (bytes + (uint32_t)round_up_u64(OP_HEADER + sizeof(struct xfs_buf_log_format), 128));
}

static uint32_t blocks(geo_t geo, uint32_t count)
{
	return buffers(count, geo->block_bytes);
}

static uint32_t sectors(geo_t geo, uint32_t count)
{
	return buffers(count, geo->sector_bytes);
}

/* Blocks of the free-space trees (and the reverse mappings) that @extents allocations or frees may change. */
static uint32_t allocfree(geo_t geo, uint32_t extents)
{
	uint32_t n = extents * 2 * (2 * geo->bnobt.max_levels - 1);

	if (geo->has_rmapbt)
		n += extents * (2 * geo->rmapbt.max_levels - 1);
	return n;
}

static uint32_t refcounts(geo_t geo, uint32_t extents)
{
	if (!geo->has_reflink)
		return 0;
	return sectors(geo, extents) + blocks(geo, extents * (2 * geo->refcountbt.max_levels - 1));
}

static uint32_t inodes(geo_t geo, uint32_t count)
{
	return count * (4 * OP_HEADER + sizeof(struct xfs_inode_log_format) + geo->inode_bytes +
			2 * XFS_BTREE_LBLOCK_CRC_LEN);
}

static uint32_t inobt(geo_t geo)
{
	return blocks(geo, geo->inobt.max_levels) + blocks(geo, allocfree(geo, 1));
}

static uint32_t finobt(geo_t geo)
{
	return geo->has_finobt ? inobt(geo) : 0;
}

/* Map blocks for @count more blocks of a fork with trees of @levels. */
static uint32_t map_blocks(geo_t geo, uint32_t count, uint32_t levels)
{
	uint32_t extents_per_block = geo->bmbt.max_leaf - geo->bmbt.min_leaf;

	return (uint32_t)div_round_up(count, extents_per_block) * (levels - 1);
}

/* Blocks of a directory's tree, and of its map, that one entry may change. */
static uint32_t directory_change(geo_t geo)
{
	uint32_t depth = DA_MAX_DEPTH + 2;
	uint32_t per_level = geo->dir.fs_blocks;

	return depth * per_level + depth * map_blocks(geo, per_level, geo->bmbt.max_levels) + 1;
}

static uint32_t unlinked_remove(geo_t geo)
{
	return sectors(geo, 1) + 2 * geo->cluster_bytes;
}

static uint32_t unlinked_add(geo_t geo)
{
	return sectors(geo, 1) + geo->cluster_bytes;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return (uint32_t)max_u64(a, b);
}

/* ---- transactions -------------------------------------------------------------------------------------------- */

static uint32_t write_bytes(geo_t geo)
{
	uint32_t change = inodes(geo, 1) + blocks(geo, geo->bmbt.max_levels) + sectors(geo, 3) +
			  blocks(geo, allocfree(geo, 2));
	uint32_t frees = sectors(geo, 5) + blocks(geo, allocfree(geo, 2));

	return DQUOTS + larger(larger(change, frees), refcounts(geo, 1));
}

static uint32_t truncate_bytes(geo_t geo)
{
	uint32_t change = inodes(geo, 1) + blocks(geo, geo->bmbt.max_levels + 1);
	uint32_t frees = sectors(geo, 9) + blocks(geo, allocfree(geo, 4));

	return DQUOTS + larger(larger(change, frees), refcounts(geo, 2));
}

static uint32_t rename_bytes(geo_t geo)
{
	uint32_t change = inodes(geo, 5) + blocks(geo, 2 * directory_change(geo));
	uint32_t frees = sectors(geo, 7) + blocks(geo, allocfree(geo, 3));

	return DQUOTS + larger(change, frees);
}

static uint32_t link_bytes(geo_t geo)
{
	uint32_t change = inodes(geo, 2) + blocks(geo, directory_change(geo));
	uint32_t frees = sectors(geo, 3) + blocks(geo, allocfree(geo, 1));

	return DQUOTS + unlinked_remove(geo) + larger(change, frees);
}

static uint32_t remove_bytes(geo_t geo)
{
	uint32_t change = inodes(geo, 2) + blocks(geo, directory_change(geo));
	uint32_t frees = sectors(geo, 4) + blocks(geo, allocfree(geo, 2));

	return DQUOTS + unlinked_add(geo) + larger(change, frees);
}

/* A new chunk's inodes are not logged: another item describes them. */
static uint32_t new_chunk(geo_t geo)
{
	return sectors(geo, 2) + geo->sector_bytes + blocks(geo, allocfree(geo, 1)) + inobt(geo) + finobt(geo);
}

static uint32_t create_bytes(geo_t geo)
{
	uint32_t change = inodes(geo, 2) + sectors(geo, 1) + geo->block_bytes + blocks(geo, directory_change(geo)) +
			  finobt(geo);

	return DQUOTS + larger(new_chunk(geo), change);
}

static uint32_t inode_free_bytes(geo_t geo)
{
	return DQUOTS + inodes(geo, 1) + sectors(geo, 3) + unlinked_remove(geo) + blocks(geo, allocfree(geo, 1)) +
	       buffers(geo->ialloc_blocks, 0) + inobt(geo) + finobt(geo);
}

static uint32_t attr_add_fork_bytes(geo_t geo)
{
	return DQUOTS + inodes(geo, 1) + sectors(geo, 2) + buffers(1, geo->dir.block_bytes) +
	       blocks(geo, map_blocks(geo, geo->dir.fs_blocks, geo->bmbt.max_levels) + 1) +
	       blocks(geo, allocfree(geo, 1));
}

/* Blocks that one attribute may need: the tree and its map, and either a large local value or a remote one. */
static uint32_t attr_blocks(geo_t geo)
{
	uint32_t tree = DA_MAX_DEPTH + DA_MAX_DEPTH * map_blocks(geo, 1, geo->bmbt_max_levels_attr);
	/* XFS lets local entries take three quarters of a block, and counts that twice over. */
	uint32_t local = geo->block_bytes - geo->block_bytes / 4 - NAME_MAX_BYTES;
	uint32_t local_blocks = (uint32_t)bytes_to_blocks_up(geo, local) +
				map_blocks(geo, local, geo->bmbt_max_levels_attr);
	uint32_t value = (uint32_t)bytes_to_blocks_up(geo, ATTR_VALUE_MAX) + 1;
	uint32_t remote_blocks = value + map_blocks(geo, value, geo->bmbt_max_levels_attr);

	return tree + larger(local_blocks, remote_blocks);
}

static uint32_t attr_set_bytes(geo_t geo)
{
	uint32_t fixed = DQUOTS + inodes(geo, 1) + sectors(geo, 1) + blocks(geo, DA_MAX_DEPTH);
	uint32_t per_block = sectors(geo, 1) + blocks(geo, geo->bmbt_max_levels_attr);

	return fixed + per_block * attr_blocks(geo);
}

static uint32_t attr_remove_bytes(geo_t geo)
{
	uint32_t change = inodes(geo, 1) + blocks(geo, DA_MAX_DEPTH) + geo->bmbt_max_levels_attr * geo->block_bytes +
			  buffers(geo->bmbt.max_levels, 0);
	uint32_t frees = sectors(geo, 5) + blocks(geo, allocfree(geo, 2));

	return DQUOTS + larger(change, frees);
}

static struct tx_reservation reservation(uint32_t log_bytes, uint32_t log_count)
{
	return (struct tx_reservation){ .log_bytes = log_bytes, .log_count = log_count };
}

/* More rolls of chains that map extents: for mapping, reverse mapping and reference count intents. */
static uint32_t intent_rolls(geo_t geo)
{
	return (geo->has_reflink || geo->has_rmapbt) + geo->has_reflink + geo->has_rmapbt;
}

void tx_reservations_init(const struct geometry *geo, struct tx_reservations *out)
{
	uint32_t create = create_bytes(geo);

	*out = (struct tx_reservations){
		.write = reservation(write_bytes(geo), 2 + intent_rolls(geo)),
		.truncate = reservation(truncate_bytes(geo), 2 + intent_rolls(geo)),
		.rename = reservation(rename_bytes(geo), 2),
		.link = reservation(link_bytes(geo), 2),
		.remove = reservation(remove_bytes(geo), 2),
		.symlink = reservation(create + buffers(1, XFS_SYMLINK_MAXLEN), 3),
		.create = reservation(create, 2),
		.mkdir = reservation(create, 3),
		.create_tmpfile = reservation(DQUOTS + new_chunk(geo) + unlinked_add(geo), 2),
		.inode_free = reservation(inode_free_bytes(geo), 2),
		.inode_change = reservation(DQUOTS + inodes(geo, 1) + sectors(geo, 1), 1),
		.attr_add_fork = reservation(attr_add_fork_bytes(geo), 2),
		.attr_set = reservation(attr_set_bytes(geo), 3),
		.attr_remove = reservation(attr_remove_bytes(geo), 3),
		.superblock = reservation(sectors(geo, 1), 1),
	};
}
