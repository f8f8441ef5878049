// SPDX-License-Identifier: GPL-2.0
/*
 * The superblock as a metadata block: the volume's own at daddr 0 and the copy at the start of every other AG.
 * (XFS: xfs_sb_buf_ops.)
 *
 * What the volume is has been decided by geometry_decode(); here it must still say the same.  Copies are written by
 * mkfs and growfs only and may be old, so only what never changes is compared.
 */
#include "verify.h"

static bool has_same_layout(const struct geometry *geo, const struct xfs_dsb *sb)
{
	return be32_to_cpu(sb->sb_blocksize) == geo->block_bytes && sb->sb_blocklog == geo->block_log &&
	       be16_to_cpu(sb->sb_sectsize) == geo->sector_bytes && sb->sb_sectlog == geo->sector_log &&
	       be16_to_cpu(sb->sb_inodesize) == geo->inode_bytes && sb->sb_inodelog == geo->inode_log &&
	       be32_to_cpu(sb->sb_agblocks) == geo->ag_blocks && sb->sb_agblklog == geo->agblk_log &&
	       sb->sb_inopblog == geo->inopb_log;
}

static const char *verify_primary(const struct geometry *geo, const struct xfs_dsb *sb)
{
	if (be64_to_cpu(sb->sb_dblocks) != geo->blocks || be32_to_cpu(sb->sb_agcount) != geo->ag_count)
		return "size differs from the mounted volume's";
	if (be64_to_cpu(sb->sb_rootino) != geo->root.v)
		return "root inode differs from the mounted volume's";
	if (be64_to_cpu(sb->sb_logstart) != geo->log_start.v || be32_to_cpu(sb->sb_logblocks) != geo->log_blocks)
		return "log differs from the mounted volume's";
	if (be32_to_cpu(sb->sb_features_incompat) != geo->features_incompat)
		return "features differ from the mounted volume's";
	if (memcmp(sb->sb_uuid, geo->uuid, sizeof(geo->uuid)))
		return "UUID differs from the mounted volume's";
	if (be64_to_cpu(sb->sb_fdblocks) > geo->blocks)
		return "more free blocks than blocks";
	if (be64_to_cpu(sb->sb_ifree) > be64_to_cpu(sb->sb_icount) ||
	    be64_to_cpu(sb->sb_icount) >> geo->inopb_log > geo->blocks)
		return "impossible inode counts";
	return NULL;
}

static const char *superblock_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	const struct xfs_dsb *sb = data;

	if (bytes != geo->sector_bytes)
		return WRONG_BUFFER_BYTES;
	if (be32_to_cpu(sb->sb_magicnum) != XFS_SB_MAGIC)
		return "wrong magic number";
	if ((be16_to_cpu(sb->sb_versionnum) & XFS_SB_VERSION_NUMBITS) != XFS_SB_VERSION_5)
		return "wrong version";
	if (!has_same_layout(geo, sb))
		return "layout differs from the mounted volume's";
	return daddr == 0 ? verify_primary(geo, sb) : NULL;
}

const struct block_type block_superblock = {
	.name = "superblock",
	.log_type = XFS_BLFT_SB_BUF,
	.crc_off = offsetof(struct xfs_dsb, sb_crc),
	.lsn_off = offsetof(struct xfs_dsb, sb_lsn),
	.verify = superblock_verify,
};
