// SPDX-License-Identifier: GPL-2.0
/*
 * How inodes lie on disk: blocks, clusters (what is read and written together) and chunks (64 inodes, what one record
 * of the inode tree stands for).  (XFS: xfs_ialloc_setup_geometry.)
 *
 *	chunk    |0                      63|     64 inodes, aligned to cluster_align_blocks
 *	cluster  |0      |16     |32     |48     8 KiB for 256-byte inodes, more for larger ones
 *	block    |0  |8  |16 |...
 *
 * A block can hold more than one chunk (64 KiB blocks); then an allocation makes a whole block of inodes.
 */
#include "geometry_private.h"

#include <userxfs/base/bits.h>

#define BASE_CLUSTER_BYTES 8192u
#define BASE_INODE_BYTES 256u

/* The cluster size that mkfs wanted; a larger block or a smaller alignment may make it different in fact. */
static uint32_t wanted_cluster_bytes(const struct geometry *geo, uint32_t inode_align)
{
	uint32_t scaled = BASE_CLUSTER_BYTES * (geo->inode_bytes / BASE_INODE_BYTES);

	return inode_align >= scaled >> geo->block_log ? scaled : BASE_CLUSTER_BYTES;
}

static uint64_t max_inodes(const struct geometry *geo, uint8_t percent)
{
	uint64_t blocks;

	if (!percent)
		return 0;
	/* blocks * percent cannot overflow: a volume has less than 2^54 blocks. */
	blocks = geo->blocks * percent / 100;
	return round_down_u64(blocks, geo->ialloc_blocks) << geo->inopb_log;
}

void geometry_derive_inodes(struct geometry *geo, const struct xfs_dsb *sb)
{
	uint32_t inode_align = be32_to_cpu(sb->sb_inoalignmt);
	uint32_t wanted_bytes = wanted_cluster_bytes(geo, inode_align);

	geo->ialloc_inodes = (uint32_t)max_u64(XFS_INODES_PER_CHUNK, geo->inodes_per_block);
	geo->ialloc_blocks = geo->ialloc_inodes >> geo->inopb_log;
	geo->chunk_blocks = (uint32_t)max_u64(1, XFS_INODES_PER_CHUNK >> geo->inopb_log);

	geo->cluster_blocks = (uint32_t)max_u64(1, wanted_bytes >> geo->block_log);
	geo->cluster_bytes = geo->cluster_blocks << geo->block_log;
	geo->cluster_inodes = geo->cluster_blocks << geo->inopb_log;

	geo->cluster_align_blocks = inode_align >= geo->cluster_blocks ? inode_align : 1;
	geo->has_cluster_alignment = geo->cluster_align_blocks >= geo->cluster_blocks;
	geo->cluster_align_inodes = geo->cluster_align_blocks << geo->inopb_log;

	geo->sparse_align_blocks = geo->has_sparse_inodes ? wanted_bytes >> geo->block_log : 0;
	geo->ialloc_min_blocks = geo->sparse_align_blocks ? geo->sparse_align_blocks : geo->ialloc_blocks;

	geo->max_inodes = max_inodes(geo, sb->sb_imax_pct);
	if (geo->has_bigtime)
		geo->new_inode_flags2 |= XFS_DIFLAG2_BIGTIME;
	if (geo->has_nrext64)
		geo->new_inode_flags2 |= XFS_DIFLAG2_NREXT64;
}
