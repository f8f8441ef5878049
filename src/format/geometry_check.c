// SPDX-License-Identifier: GPL-2.0
/*
 * The superblock's numbers against their bounds, against each other and against the device.
 * (XFS: xfs_validate_sb_common, plus what mounting checks later.)
 *
 * Everything that later code shifts by, divides by or multiplies with is made safe here.
 */
#include "geometry_private.h"

#include <userxfs/base/bits.h>
#include <userxfs/format/crc32c.h>

#define MIN_V5_INODE_BYTES 512u
#define MIN_RT_EXTENT_BYTES 4096u
#define MAX_RT_EXTENT_BYTES (1u << 30)
/* Packed block numbers are 52 bits wide in an extent record, inode numbers 56 bits in a v3 inode. */
#define MAX_FSBLK_BITS 52
#define MAX_INUM_BITS 56

bool superblock_check_identity(const struct xfs_dsb *sb, size_t bytes, struct reason *why)
{
	unsigned version = be16_to_cpu(sb->sb_versionnum) & XFS_SB_VERSION_NUMBITS;
	uint32_t sector_bytes = be16_to_cpu(sb->sb_sectsize);

	if (be32_to_cpu(sb->sb_magicnum) != XFS_SB_MAGIC) {
		reason_set(why, "not an XFS volume (no XFS magic number at its start); is the offset right?");
		return false;
	}
	if (version != XFS_SB_VERSION_5) {
		reason_set(why,
			   "XFS version %u is not supported, only version 5; mount it with the kernel or convert it "
			   "(copy the files to a volume made by a current mkfs.xfs)",
			   version);
		return false;
	}
	if (!is_power_of_two(sector_bytes) || sector_bytes < XFS_MIN_SECTORSIZE ||
	    sector_bytes > XFS_MAX_SECTORSIZE) {
		reason_set(why, "the superblock is damaged (impossible sector size %u); run xfs_repair",
			   sector_bytes);
		return false;
	}
	if (sector_bytes > bytes) {
		reason_set(why,
			   "the image is truncated: it ends within its superblock (%u bytes wanted, %zu there); "
			   "fetch or restore the whole image",
			   sector_bytes, bytes);
		return false;
	}
	if (!crc32c_block_is_valid(sb, sector_bytes, offsetof(struct xfs_dsb, sb_crc))) {
		reason_set(why, "the superblock's checksum is wrong; run xfs_repair");
		return false;
	}
	return true;
}

/* NULL or the wrong sizes and their logarithms. */
static const char *check_sizes(const struct xfs_dsb *sb)
{
	uint32_t block_bytes = be32_to_cpu(sb->sb_blocksize);
	uint32_t sector_bytes = be16_to_cpu(sb->sb_sectsize);
	uint32_t inode_bytes = be16_to_cpu(sb->sb_inodesize);

	if (!is_power_of_two(block_bytes) || block_bytes < XFS_MIN_CRC_BLOCKSIZE || block_bytes > XFS_MAX_BLOCKSIZE ||
	    log2_floor(block_bytes) != sb->sb_blocklog)
		return "block size";
	if (log2_floor(sector_bytes) != sb->sb_sectlog || sector_bytes > block_bytes)
		return "sector size";
	if (!is_power_of_two(inode_bytes) || inode_bytes < MIN_V5_INODE_BYTES || inode_bytes > XFS_DINODE_MAX_SIZE ||
	    inode_bytes > block_bytes || log2_floor(inode_bytes) != sb->sb_inodelog)
		return "inode size";
	if (be16_to_cpu(sb->sb_inopblock) != block_bytes / inode_bytes ||
	    sb->sb_inopblog != sb->sb_blocklog - sb->sb_inodelog)
		return "inodes per block";
	if (sb->sb_dirblklog > XFS_MAX_BLOCKSIZE_LOG - sb->sb_blocklog)
		return "directory block size";
	return NULL;
}

static const char *check_groups(const struct xfs_dsb *sb)
{
	uint64_t blocks = be64_to_cpu(sb->sb_dblocks);
	uint64_t ag_blocks = be32_to_cpu(sb->sb_agblocks);
	uint32_t ag_count = be32_to_cpu(sb->sb_agcount);
	uint64_t last_ag_blocks;
	unsigned agno_bits;

	if (ag_blocks << sb->sb_blocklog < XFS_MIN_AG_BYTES || ag_blocks << sb->sb_blocklog > XFS_MAX_AG_BYTES)
		return "allocation group size";
	if (sb->sb_agblklog != log2_floor(ag_blocks - 1) + 1)
		return "allocation group size";
	if (!ag_count || !blocks || div_round_up(blocks, ag_blocks) != ag_count)
		return "number of allocation groups";
	last_ag_blocks = blocks - (ag_count - 1) * ag_blocks;
	if (last_ag_blocks < XFS_MIN_AG_BLOCKS)
		return "size of the last allocation group";
	if (blocks > (uint64_t)INT64_MAX >> sb->sb_blocklog)
		return "number of blocks";

	agno_bits = ag_count > 1 ? log2_floor(ag_count - 1) + 1 : 0;
	if (agno_bits + sb->sb_agblklog > MAX_FSBLK_BITS ||
	    agno_bits + sb->sb_agblklog + sb->sb_inopblog > MAX_INUM_BITS)
		return "number of blocks";
	return NULL;
}

/* Sparse inodes need chunks aligned to their own size, and halves of chunks aligned to a cluster. */
static const char *check_inodes(const struct xfs_dsb *sb)
{
	uint32_t align = be32_to_cpu(sb->sb_inoalignmt);
	uint32_t chunk_blocks = XFS_INODES_PER_CHUNK * be16_to_cpu(sb->sb_inodesize) >> sb->sb_blocklog;

	if (sb->sb_imax_pct > 100)
		return "inode percentage";
	if (align && (!is_power_of_two(align) || align > be32_to_cpu(sb->sb_agblocks)))
		return "inode alignment";
	if (be32_to_cpu(sb->sb_features_incompat) & XFS_SB_FEAT_INCOMPAT_SPINODES && align != chunk_blocks)
		return "inode alignment";
	if (be16_to_cpu(sb->sb_qflags) & (XFS_OQUOTA_ENFD | XFS_OQUOTA_CHKD))
		return "quota flags";
	return NULL;
}

static const char *check_log(const struct xfs_dsb *sb)
{
	uint64_t log_blocks = be32_to_cpu(sb->sb_logblocks);
	uint32_t log_sector_bytes = be16_to_cpu(sb->sb_logsectsize);
	uint32_t sunit_bytes = be32_to_cpu(sb->sb_logsunit);
	uint32_t block_bytes = be32_to_cpu(sb->sb_blocksize);

	if (!log_blocks || log_blocks > XFS_MAX_LOG_BLOCKS || log_blocks << sb->sb_blocklog > XFS_MAX_LOG_BYTES)
		return "log size";
	if (be16_to_cpu(sb->sb_versionnum) & XFS_SB_VERSION_SECTORBIT) {
		if (!is_power_of_two(log_sector_bytes) || log_sector_bytes < XFS_MIN_SECTORSIZE ||
		    log_sector_bytes > XFS_MAX_SECTORSIZE || log2_floor(log_sector_bytes) != sb->sb_logsectlog)
			return "log sector size";
	} else if (log_sector_bytes || sb->sb_logsectlog) {
		return "log sector size";
	}
	if (sunit_bytes > 1 && (sunit_bytes % block_bytes || sunit_bytes > XLOG_MAX_RECORD_BSIZE))
		return "log stripe unit";
	return NULL;
}

static const char *check_stripes(const struct xfs_dsb *sb)
{
	bool has_stripes = be16_to_cpu(sb->sb_versionnum) & XFS_SB_VERSION_DALIGNBIT;
	uint32_t unit = be32_to_cpu(sb->sb_unit), width = be32_to_cpu(sb->sb_width);
	uint64_t rt_extent_bytes = (uint64_t)be32_to_cpu(sb->sb_rextsize) << sb->sb_blocklog;

	if (!!unit != has_stripes || !!width != has_stripes)
		return "stripe unit";
	if (unit && (unit > width || width % unit))
		return "stripe width";
	if (rt_extent_bytes < MIN_RT_EXTENT_BYTES || rt_extent_bytes > MAX_RT_EXTENT_BYTES)
		return "realtime extent size";
	if (sb->sb_shared_vn)
		return "shared version";
	return NULL;
}

bool superblock_check_numbers(const struct xfs_dsb *sb, uint64_t device_bytes, struct reason *why)
{
	const char *wrong = check_sizes(sb);
	uint64_t want_bytes;

	if (!wrong)
		wrong = check_groups(sb);
	if (!wrong)
		wrong = check_inodes(sb);
	if (!wrong)
		wrong = check_log(sb);
	if (!wrong)
		wrong = check_stripes(sb);
	if (wrong) {
		reason_set(why, "the superblock is damaged (impossible %s); run xfs_repair", wrong);
		return false;
	}

	want_bytes = be64_to_cpu(sb->sb_dblocks) << sb->sb_blocklog;
	if (device_bytes && want_bytes > device_bytes) {
		reason_set(why,
			   "the image is truncated: the volume has %llu bytes, the image only %llu (%llu are "
			   "missing); fetch or restore the whole image",
			   (unsigned long long)want_bytes, (unsigned long long)device_bytes,
			   (unsigned long long)(want_bytes - device_bytes));
		return false;
	}
	return true;
}
