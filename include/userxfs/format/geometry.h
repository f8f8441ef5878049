/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * A volume's fixed numbers, computed once from its superblock, and the unit conversions they define.
 * Read-only after geometry_decode(); shared by every room.  Pure: no I/O, no locks, no allocation.
 * (XFS: the derived fields of xfs_mount, xfs_sb_mount_common, xfs_ialloc_setup_geometry, xfs_da_mount.)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <userxfs/format/ondisk.h>
#include <userxfs/format/units.h>

#define BTREE_MAX_LEVELS 12	/* of any tree of any volume geometry_decode() accepts, plus slack */

/* Records and keys per block of one B+tree, and its greatest height. */
struct btree_limits {
	uint32_t max_leaf, min_leaf;	/* records */
	uint32_t max_node, min_node;	/* keys and pointers */
	uint8_t max_levels;
};

/* A directory or attribute tree's numbers (XFS: xfs_da_geometry). */
struct da_geometry {
	uint32_t block_bytes;		/* directory block (attributes: filesystem block) */
	uint32_t fs_blocks;		/* filesystem blocks per directory block */
	uint8_t block_log;
	uint32_t node_entries;		/* keys per node block */
	uint32_t leaf_entries;		/* hash entries per dir3 leafn block */
	uint32_t free_bests;		/* bests per free block */
	fileblk_t leaf_fileblk;		/* first filesystem block of the leaf section (32 GiB) */
	fileblk_t free_fileblk;		/* first filesystem block of the free section (64 GiB) */
	uint32_t magic_pct_bytes;	/* join when less than this is used (37 %) */
};

struct geometry {
	/* Sizes. */
	uint32_t block_bytes;
	uint32_t sector_bytes;
	uint32_t inode_bytes;
	uint32_t log_sector_bytes;
	uint8_t block_log, sector_log, inode_log, agblk_log, agino_log;
	uint8_t inopb_log;		/* log2 of inodes per block */
	uint32_t inodes_per_block;

	/* Extent of the volume. */
	uint64_t blocks;		/* sb_dblocks */
	agno_t ag_count;
	agblk_t ag_blocks;		/* of every AG but the last */

	/* The log. */
	bool has_external_log;
	struct fsblk log_start;		/* internal log: first block */
	uint32_t log_blocks;		/* filesystem blocks */
	uint32_t log_sunit_bytes;	/* 0 or 1: none */
	bool has_log_v2;

	/* Inodes. */
	struct inum root;
	struct inum internal[5];	/* realtime bitmap and summary, quota: no name leads to them; or INUM_NONE */
	uint32_t chunk_blocks;		/* blocks of a full 64-inode chunk, at least 1 */
	uint32_t cluster_bytes;		/* inode cluster buffer */
	uint32_t cluster_blocks;
	uint32_t cluster_inodes;
	uint32_t cluster_align_blocks;	/* of chunks: sb_inoalignmt, or 1 when that is less than a cluster */
	uint32_t cluster_align_inodes;
	bool has_cluster_alignment;	/* chunks are aligned: a cluster's place follows from an inode number alone */
	uint32_t sparse_align_blocks;	/* 0: no sparse inodes, or blocks so large that chunks cannot be sparse */
	uint32_t ialloc_inodes;		/* inodes per chunk allocation: max(64, inodes per block) */
	uint32_t ialloc_blocks;
	uint32_t ialloc_min_blocks;	/* sparse: smallest chunk */
	uint64_t max_inodes;		/* by sb_imax_pct; 0: no limit */
	uint64_t new_inode_flags2;	/* XFS_DIFLAG2_* that every new inode gets (bigtime, nrext64) */

	/* Data layout hints, in blocks; 0: none. */
	uint32_t stripe_unit_blocks, stripe_width_blocks;

	/* Identity. */
	uint8_t uuid[16];		/* sb_uuid, what a user sees */
	uint8_t meta_uuid[16];		/* what metadata blocks carry */
	char label[13];

	/* Features. */
	bool has_ftype, has_finobt, has_rmapbt, has_reflink, has_inobt_counts, has_sparse_inodes, has_bigtime,
		has_nrext64, has_projid32, has_attr2, has_quota, has_ascii_ci;
	uint16_t version_bits;		/* sb_versionnum */
	uint32_t features_compat, features_ro_compat, features_incompat, features_log_incompat;

	/* Trees. */
	struct btree_limits bnobt, cntbt, inobt, finobt, rmapbt, refcountbt, bmbt;
	uint8_t bmbt_max_levels_attr;
	struct da_geometry dir, attr;

	/* Limits. */
	uint64_t max_file_bytes;	/* s_maxbytes: 2^63-1 */
	int64_t time_min_sec, time_max_sec;
};

enum geometry_verdict {
	GEOMETRY_OK,
	GEOMETRY_READ_ONLY,		/* unknown read-only-compatible features: -o ro only */
	GEOMETRY_REFUSED,
};

/*
 * Decodes and checks a superblock whose bytes @sb come from the start of the volume: @sb_bytes of them, at least 512
 * and enough for the volume's sector (XFS_MAX_SECTORSIZE always is), aligned to 8.
 * @device_bytes: size of the device, to refuse truncated images; 0 when unknown.
 *
 * Anything but GEOMETRY_OK leaves one sentence for the user in @why: what is wrong and what would help.  Features are
 * named ("unknown incompatible features (0x40): metadir; mount with a newer userxfs or Linux 6.13 or newer").
 * GEOMETRY_READ_ONLY fills *@geo.
 */
enum geometry_verdict geometry_decode(const void *sb, size_t sb_bytes, uint64_t device_bytes, struct geometry *geo,
				      char *why, size_t why_bytes);

/* Blocks of AG @agno: geo->ag_blocks except for the last. */
agblk_t geometry_ag_blocks(const struct geometry *geo, agno_t agno);
/* First and one past the last valid agino of @agno (XFS: xfs_agino_range). */
void geometry_agino_range(const struct geometry *geo, agno_t agno, agino_t *first, agino_t *end);
bool geometry_is_valid_fsblk(const struct geometry *geo, struct fsblk b);
/* [@b, @b + @count) lies in one AG, behind its headers. */
bool geometry_is_valid_extent(const struct geometry *geo, struct fsblk b, uint64_t count);
bool geometry_is_valid_inum(const struct geometry *geo, struct inum ino);
bool geometry_is_valid_agino(const struct geometry *geo, agno_t agno, agino_t agino);
/* Valid, and not one of the volume's internal inodes: a directory entry may name it (XFS: xfs_verify_dir_ino). */
bool geometry_is_valid_name_inum(const struct geometry *geo, struct inum ino);
bool geometry_is_valid_agblk(const struct geometry *geo, agno_t agno, agblk_t agblk);

static inline agno_t fsblk_agno(const struct geometry *geo, struct fsblk b)
{
	return (agno_t)(b.v >> geo->agblk_log);
}

static inline agblk_t fsblk_agblk(const struct geometry *geo, struct fsblk b)
{
	return (agblk_t)(b.v & ((1ull << geo->agblk_log) - 1));
}

static inline struct fsblk fsblk_make(const struct geometry *geo, agno_t agno, agblk_t agblk)
{
	return (struct fsblk){ (uint64_t)agno << geo->agblk_log | agblk };
}

/* @b + @count within the same AG (the caller knows that it is). */
static inline struct fsblk fsblk_add(struct fsblk b, uint64_t count)
{
	return (struct fsblk){ b.v + count };
}

static inline daddr_u64 agblk_to_daddr(const struct geometry *geo, agno_t agno, agblk_t agblk)
{
	return ((uint64_t)agno * geo->ag_blocks + agblk) << (geo->block_log - SECTOR_UNIT_LOG);
}

static inline daddr_u64 fsblk_to_daddr(const struct geometry *geo, struct fsblk b)
{
	return agblk_to_daddr(geo, fsblk_agno(geo, b), fsblk_agblk(geo, b));
}

static inline uint64_t fsblk_to_bytes(const struct geometry *geo, struct fsblk b)
{
	return fsblk_to_daddr(geo, b) << SECTOR_UNIT_LOG;
}

/* The packed number of linear block @daddr >> (block_log - 9). */
struct fsblk daddr_to_fsblk(const struct geometry *geo, daddr_u64 daddr);

/* Sector @sector (0 superblock, 1 AGF, 2 AGI, 3 AGFL) of AG @agno. */
static inline daddr_u64 ag_header_daddr(const struct geometry *geo, agno_t agno, unsigned sector)
{
	return agblk_to_daddr(geo, agno, 0) + (sector << (geo->sector_log - SECTOR_UNIT_LOG));
}

static inline agno_t inum_agno(const struct geometry *geo, struct inum ino)
{
	return (agno_t)(ino.v >> geo->agino_log);
}

static inline agino_t inum_agino(const struct geometry *geo, struct inum ino)
{
	return (agino_t)(ino.v & ((1ull << geo->agino_log) - 1));
}

static inline struct inum inum_make(const struct geometry *geo, agno_t agno, agino_t agino)
{
	return (struct inum){ (uint64_t)agno << geo->agino_log | agino };
}

static inline agblk_t agino_to_agblk(const struct geometry *geo, agino_t agino)
{
	return agino >> geo->inopb_log;
}

static inline agino_t agblk_to_agino(const struct geometry *geo, agblk_t agblk)
{
	return agblk << geo->inopb_log;
}

/* The block that holds @ino. */
static inline struct fsblk inum_to_fsblk(const struct geometry *geo, struct inum ino)
{
	return fsblk_make(geo, inum_agno(geo, ino), agino_to_agblk(geo, inum_agino(geo, ino)));
}

/* Bytes to blocks, rounding down and up. */
static inline fileblk_t bytes_to_blocks_down(const struct geometry *geo, uint64_t bytes)
{
	return bytes >> geo->block_log;
}

static inline fileblk_t bytes_to_blocks_up(const struct geometry *geo, uint64_t bytes)
{
	return (bytes >> geo->block_log) + ((bytes & (geo->block_bytes - 1)) != 0);
}

static inline uint64_t blocks_to_bytes(const struct geometry *geo, uint64_t blocks)
{
	return blocks << geo->block_log;
}
