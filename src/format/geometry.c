// SPDX-License-Identifier: GPL-2.0
/*
 * A volume's fixed numbers from its superblock, and the tests whether a number lies within the volume.
 * (XFS: xfs_sb_mount_common, xfs_da_mount; xfs_verify_fsbno and relatives.)
 */
#include "geometry_private.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#define AGFL_SECTOR 3		/* the last header sector of an AG */
#define LEGACY_TIME_MIN ((int64_t)INT32_MIN)
#define LEGACY_TIME_MAX ((int64_t)INT32_MAX)
/* The last second whose nanoseconds, and whose quota timers in units of four seconds, still fit. */
#define BIGTIME_TIME_MAX ((int64_t)(UINT64_MAX / 1000000000u & ~3ull) + INT32_MIN)

static void decode_sizes(struct geometry *geo, const struct xfs_dsb *sb)
{
	geo->block_bytes = be32_to_cpu(sb->sb_blocksize);
	geo->sector_bytes = be16_to_cpu(sb->sb_sectsize);
	geo->inode_bytes = be16_to_cpu(sb->sb_inodesize);
	geo->block_log = sb->sb_blocklog;
	geo->sector_log = sb->sb_sectlog;
	geo->inode_log = sb->sb_inodelog;
	geo->agblk_log = sb->sb_agblklog;
	geo->inopb_log = sb->sb_inopblog;
	geo->agino_log = sb->sb_agblklog + sb->sb_inopblog;
	geo->inodes_per_block = be16_to_cpu(sb->sb_inopblock);

	geo->blocks = be64_to_cpu(sb->sb_dblocks);
	geo->ag_count = be32_to_cpu(sb->sb_agcount);
	geo->ag_blocks = be32_to_cpu(sb->sb_agblocks);

	geo->stripe_unit_blocks = be32_to_cpu(sb->sb_unit);
	geo->stripe_width_blocks = be32_to_cpu(sb->sb_width);
	geo->max_file_bytes = INT64_MAX;
}

static void decode_log(struct geometry *geo, const struct xfs_dsb *sb)
{
	bool has_sector = be16_to_cpu(sb->sb_versionnum) & XFS_SB_VERSION_SECTORBIT;

	geo->log_start.v = be64_to_cpu(sb->sb_logstart);
	geo->has_external_log = !geo->log_start.v;
	geo->log_blocks = be32_to_cpu(sb->sb_logblocks);
	geo->log_sunit_bytes = be32_to_cpu(sb->sb_logsunit);
	geo->log_sector_bytes = has_sector ? be16_to_cpu(sb->sb_logsectsize) : SECTOR_UNIT_BYTES;
	geo->has_log_v2 = be16_to_cpu(sb->sb_versionnum) & XFS_SB_VERSION_LOGV2BIT;
}

static void decode_features(struct geometry *geo, const struct xfs_dsb *sb)
{
	uint32_t features2 = be32_to_cpu(sb->sb_features2);

	geo->version_bits = be16_to_cpu(sb->sb_versionnum);
	geo->features_compat = be32_to_cpu(sb->sb_features_compat);
	geo->features_ro_compat = be32_to_cpu(sb->sb_features_ro_compat);
	geo->features_incompat = be32_to_cpu(sb->sb_features_incompat);
	geo->features_log_incompat = be32_to_cpu(sb->sb_features_log_incompat);

	geo->has_ftype = geo->features_incompat & XFS_SB_FEAT_INCOMPAT_FTYPE || features2 & XFS_SB_VERSION2_FTYPE;
	geo->has_finobt = geo->features_ro_compat & XFS_SB_FEAT_RO_COMPAT_FINOBT;
	geo->has_rmapbt = geo->features_ro_compat & XFS_SB_FEAT_RO_COMPAT_RMAPBT;
	geo->has_reflink = geo->features_ro_compat & XFS_SB_FEAT_RO_COMPAT_REFLINK;
	geo->has_inobt_counts = geo->features_ro_compat & XFS_SB_FEAT_RO_COMPAT_INOBTCNT;
	geo->has_sparse_inodes = geo->features_incompat & XFS_SB_FEAT_INCOMPAT_SPINODES;
	geo->has_bigtime = geo->features_incompat & XFS_SB_FEAT_INCOMPAT_BIGTIME;
	geo->has_nrext64 = geo->features_incompat & XFS_SB_FEAT_INCOMPAT_NREXT64;
	geo->has_projid32 = features2 & XFS_SB_VERSION2_PROJID32BIT;
	geo->has_attr2 = features2 & XFS_SB_VERSION2_ATTR2BIT;
	geo->has_quota = geo->version_bits & XFS_SB_VERSION_QUOTABIT;
	geo->has_ascii_ci = geo->version_bits & XFS_SB_VERSION_BORGBIT;

	geo->time_min_sec = LEGACY_TIME_MIN;
	geo->time_max_sec = geo->has_bigtime ? BIGTIME_TIME_MAX : LEGACY_TIME_MAX;
}

static struct inum internal_inum(__be64 ino)
{
	/* 0 means none, as does all ones. */
	return ino ? (struct inum){ be64_to_cpu(ino) } : INUM_NONE;
}

static void decode_identity(struct geometry *geo, const struct xfs_dsb *sb)
{
	bool has_meta_uuid = geo->features_incompat & XFS_SB_FEAT_INCOMPAT_META_UUID;

	memcpy(geo->uuid, sb->sb_uuid, sizeof(geo->uuid));
	memcpy(geo->meta_uuid, has_meta_uuid ? sb->sb_meta_uuid : sb->sb_uuid, sizeof(geo->meta_uuid));
	memcpy(geo->label, sb->sb_fname, XFSLABEL_MAX);
	geo->label[XFSLABEL_MAX] = '\0';

	geo->root.v = be64_to_cpu(sb->sb_rootino);
	geo->internal[0] = internal_inum(sb->sb_rbmino);
	geo->internal[1] = internal_inum(sb->sb_rsumino);
	geo->internal[2] = internal_inum(sb->sb_uquotino);
	geo->internal[3] = internal_inum(sb->sb_gquotino);
	geo->internal[4] = internal_inum(sb->sb_pquotino);
}

static void derive_da(struct geometry *geo, struct da_geometry *da, unsigned dir_block_log)
{
	da->block_log = geo->block_log + dir_block_log;
	da->block_bytes = 1u << da->block_log;
	da->fs_blocks = 1u << dir_block_log;
	da->node_entries = (da->block_bytes - sizeof(struct xfs_da3_node_hdr)) / sizeof(struct xfs_da_node_entry);
	da->magic_pct_bytes = da->block_bytes * 37 / 100;
}

static void derive_directories(struct geometry *geo, const struct xfs_dsb *sb)
{
	struct da_geometry *dir = &geo->dir;

	derive_da(geo, &geo->attr, 0);
	derive_da(geo, dir, sb->sb_dirblklog);
	dir->leaf_entries =
		(dir->block_bytes - sizeof(struct xfs_dir3_leaf_hdr)) / sizeof(struct xfs_dir2_leaf_entry);
	dir->free_bests = (dir->block_bytes - sizeof(struct xfs_dir3_free_hdr)) / sizeof(__be16);
	dir->leaf_fileblk = XFS_DIR2_LEAF_OFFSET >> geo->block_log;
	dir->free_fileblk = XFS_DIR2_FREE_OFFSET >> geo->block_log;
}

/* What can be told only with the unit conversions in place; NULL or what is wrong. */
static const char *check_places(const struct geometry *geo, const struct xfs_dsb *sb)
{
	if (geo->has_sparse_inodes && be32_to_cpu(sb->sb_spino_align) != geo->sparse_align_blocks)
		return "sparse inode alignment";
	if (!geometry_is_valid_inum(geo, geo->root))
		return "root inode number";
	if (!geo->has_external_log && !geometry_is_valid_extent(geo, geo->log_start, geo->log_blocks))
		return "place of the log";
	return NULL;
}

enum geometry_verdict geometry_decode(const void *sb_data, size_t sb_bytes, uint64_t device_bytes,
				      struct geometry *out, char *why_text, size_t why_bytes)
{
	struct reason why = { why_text, why_bytes };
	const struct xfs_dsb *sb = sb_data;
	struct geometry geo = { 0 };
	enum geometry_verdict verdict;
	const char *wrong;

	ensure(sb_bytes >= SECTOR_UNIT_BYTES);
	reason_set(&why, "%s", "");
	if (!superblock_check_identity(sb, sb_bytes, &why))
		return GEOMETRY_REFUSED;
	verdict = superblock_check_features(sb, &why);
	if (verdict == GEOMETRY_REFUSED || !superblock_check_numbers(sb, device_bytes, &why))
		return GEOMETRY_REFUSED;

	decode_sizes(&geo, sb);
	decode_log(&geo, sb);
	decode_features(&geo, sb);
	decode_identity(&geo, sb);
	geometry_derive_inodes(&geo, sb);
	geometry_derive_trees(&geo);
	derive_directories(&geo, sb);

	wrong = check_places(&geo, sb);
	if (wrong) {
		reason_set(&why, "the superblock is damaged (impossible %s); run xfs_repair", wrong);
		return GEOMETRY_REFUSED;
	}
	*out = geo;
	return verdict;
}

agblk_t geometry_ag_blocks(const struct geometry *geo, agno_t agno)
{
	ensure(agno < geo->ag_count);
	if (agno + 1 < geo->ag_count)
		return geo->ag_blocks;
	return (agblk_t)(geo->blocks - (uint64_t)agno * geo->ag_blocks);
}

/* The first block of every AG behind its four header sectors. */
static agblk_t first_data_agblk(const struct geometry *geo)
{
	return (AGFL_SECTOR << geo->sector_log >> geo->block_log) + 1;
}

void geometry_agino_range(const struct geometry *geo, agno_t agno, agino_t *first, agino_t *end)
{
	agblk_t ag_blocks = geometry_ag_blocks(geo, agno);

	*first = agblk_to_agino(geo, (agblk_t)round_up_u64(first_data_agblk(geo), geo->cluster_align_blocks));
	*end = agblk_to_agino(geo, (agblk_t)round_down_u64(ag_blocks, geo->cluster_align_blocks));
}

bool geometry_is_valid_agblk(const struct geometry *geo, agno_t agno, agblk_t agblk)
{
	return agno < geo->ag_count && agblk >= first_data_agblk(geo) && agblk < geometry_ag_blocks(geo, agno);
}

bool geometry_is_valid_fsblk(const struct geometry *geo, struct fsblk b)
{
	return b.v >> geo->agblk_log < geo->ag_count &&
	       geometry_is_valid_agblk(geo, fsblk_agno(geo, b), fsblk_agblk(geo, b));
}

bool geometry_is_valid_extent(const struct geometry *geo, struct fsblk b, uint64_t count)
{
	if (!count || !geometry_is_valid_fsblk(geo, b))
		return false;
	return count <= geometry_ag_blocks(geo, fsblk_agno(geo, b)) - fsblk_agblk(geo, b);
}

bool geometry_is_valid_agino(const struct geometry *geo, agno_t agno, agino_t agino)
{
	agino_t first, end;

	if (agno >= geo->ag_count)
		return false;
	geometry_agino_range(geo, agno, &first, &end);
	return agino >= first && agino < end;
}

bool geometry_is_valid_inum(const struct geometry *geo, struct inum ino)
{
	return ino.v >> geo->agino_log < geo->ag_count &&
	       geometry_is_valid_agino(geo, inum_agno(geo, ino), inum_agino(geo, ino));
}

bool geometry_is_valid_name_inum(const struct geometry *geo, struct inum ino)
{
	for (size_t i = 0; i < ARRAY_COUNT(geo->internal); i++)
		if (inum_equal(ino, geo->internal[i]))
			return false;
	return geometry_is_valid_inum(geo, ino);
}

struct fsblk daddr_to_fsblk(const struct geometry *geo, daddr_u64 daddr)
{
	uint64_t block = daddr >> (geo->block_log - SECTOR_UNIT_LOG);

	return fsblk_make(geo, (agno_t)(block / geo->ag_blocks), (agblk_t)(block % geo->ag_blocks));
}
