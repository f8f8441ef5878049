// SPDX-License-Identifier: GPL-2.0
/*
 * The headers of an allocation group: AGF (free space), AGI (inodes), AGFL (blocks kept for the free-space trees).
 * (XFS: xfs_agf_verify, xfs_agi_verify, xfs_agfl_verify.)
 *
 * The AGFL is a ring of which the AGF says what part is in use; the slots outside are old.  Its verifier cannot see
 * the AGF, so a block taken from it must be checked with geometry_is_valid_agblk() when it is taken.
 */
#include "verify.h"

static bool is_valid_level(uint32_t levels, uint8_t max_levels)
{
	return levels >= 1 && levels <= max_levels;
}

/* Root block and height of one of the trees an AG header points to. */
static const char *root_verify(const struct geometry *geo, agno_t agno, __be32 root, __be32 levels,
			       const struct btree_limits *limits, const char *reason)
{
	if (!geometry_is_valid_agblk(geo, agno, be32_to_cpu(root)) ||
	    !is_valid_level(be32_to_cpu(levels), limits->max_levels))
		return reason;
	return NULL;
}

/* The AG whose header sector @sector @daddr is; false when it is not. */
static bool header_agno(const struct geometry *geo, daddr_u64 daddr, unsigned sector, agno_t *agno)
{
	uint64_t n = daddr_to_agno(geo, daddr);

	if (n >= geo->ag_count || ag_header_daddr(geo, (agno_t)n, sector) != daddr)
		return false;
	*agno = (agno_t)n;
	return true;
}

static const char *agf_trees_verify(const struct geometry *geo, const struct xfs_agf *agf, agno_t agno)
{
	const char *reason;

	reason = root_verify(geo, agno, agf->agf_roots[XFS_BTNUM_BNOi], agf->agf_levels[XFS_BTNUM_BNOi], &geo->bnobt,
			     "impossible bnobt root");
	if (!reason)
		reason = root_verify(geo, agno, agf->agf_roots[XFS_BTNUM_CNTi], agf->agf_levels[XFS_BTNUM_CNTi],
				     &geo->cntbt, "impossible cntbt root");
	if (!reason && geo->has_rmapbt)
		reason = root_verify(geo, agno, agf->agf_roots[XFS_BTNUM_RMAPi], agf->agf_levels[XFS_BTNUM_RMAPi],
				     &geo->rmapbt, "impossible rmapbt root");
	if (!reason && geo->has_reflink)
		reason = root_verify(geo, agno, agf->agf_refcount_root, agf->agf_refcount_level, &geo->refcountbt,
				     "impossible refcountbt root");
	return reason;
}

static const char *agf_counts_verify(const struct geometry *geo, const struct xfs_agf *agf)
{
	uint32_t length = be32_to_cpu(agf->agf_length), free_blocks = be32_to_cpu(agf->agf_freeblks);
	uint32_t slots = agfl_slots(geo);

	if (be32_to_cpu(agf->agf_flfirst) >= slots || be32_to_cpu(agf->agf_fllast) >= slots ||
	    be32_to_cpu(agf->agf_flcount) > slots)
		return "free list outside the AGFL";
	if (free_blocks > length || be32_to_cpu(agf->agf_longest) > free_blocks)
		return "more free blocks than blocks";
	if (be32_to_cpu(agf->agf_btreeblks) > length)
		return "more free-space tree blocks than blocks";
	if (geo->has_rmapbt && be32_to_cpu(agf->agf_rmap_blocks) > length)
		return "more rmapbt blocks than blocks";
	if (geo->has_reflink && be32_to_cpu(agf->agf_refcount_blocks) > length)
		return "more refcountbt blocks than blocks";
	return NULL;
}

static const char *agf_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	const struct xfs_agf *agf = data;
	const char *reason;
	agno_t agno;

	if (bytes != geo->sector_bytes)
		return WRONG_BUFFER_BYTES;
	if (be32_to_cpu(agf->agf_magicnum) != XFS_AGF_MAGIC)
		return "wrong magic number";
	if (be32_to_cpu(agf->agf_versionnum) != XFS_AGF_VERSION)
		return "wrong version";
	if (!uuid_is_volume(geo, agf->agf_uuid))
		return "UUID of another volume";
	if (!header_agno(geo, daddr, 1, &agno) || be32_to_cpu(agf->agf_seqno) != agno)
		return "belongs to another AG";
	if (be32_to_cpu(agf->agf_length) != geometry_ag_blocks(geo, agno))
		return "wrong AG length";
	reason = agf_counts_verify(geo, agf);
	return reason ? reason : agf_trees_verify(geo, agf, agno);
}

static const char *agi_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	const struct xfs_agi *agi = data;
	const char *reason;
	agno_t agno;

	if (bytes != geo->sector_bytes)
		return WRONG_BUFFER_BYTES;
	if (be32_to_cpu(agi->agi_magicnum) != XFS_AGI_MAGIC)
		return "wrong magic number";
	if (be32_to_cpu(agi->agi_versionnum) != XFS_AGI_VERSION)
		return "wrong version";
	if (!uuid_is_volume(geo, agi->agi_uuid))
		return "UUID of another volume";
	if (!header_agno(geo, daddr, 2, &agno) || be32_to_cpu(agi->agi_seqno) != agno)
		return "belongs to another AG";
	if (be32_to_cpu(agi->agi_length) != geometry_ag_blocks(geo, agno))
		return "wrong AG length";
	if (be32_to_cpu(agi->agi_freecount) > be32_to_cpu(agi->agi_count) ||
	    be32_to_cpu(agi->agi_count) >> geo->inopb_log > be32_to_cpu(agi->agi_length))
		return "impossible inode counts";

	reason = root_verify(geo, agno, agi->agi_root, agi->agi_level, &geo->inobt, "impossible inobt root");
	if (!reason && geo->has_finobt)
		reason = root_verify(geo, agno, agi->agi_free_root, agi->agi_free_level, &geo->finobt,
				     "impossible finobt root");
	if (reason)
		return reason;
	for (unsigned i = 0; i < XFS_AGI_UNLINKED_BUCKETS; i++) {
		agino_t head = be32_to_cpu(agi->agi_unlinked[i]);

		if (head != AGINO_NONE && !geometry_is_valid_agino(geo, agno, head))
			return "unlinked list starts outside the AG";
	}
	return NULL;
}

uint32_t agfl_slots(const struct geometry *geo)
{
	return (uint32_t)((geo->sector_bytes - sizeof(struct xfs_agfl)) / sizeof(__be32));
}

static const char *agfl_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	const struct xfs_agfl *agfl = data;
	const __be32 *slot = (const void *)(agfl + 1);
	agno_t agno;

	if (bytes != geo->sector_bytes)
		return WRONG_BUFFER_BYTES;
	if (be32_to_cpu(agfl->agfl_magicnum) != XFS_AGFL_MAGIC)
		return "wrong magic number";
	if (!uuid_is_volume(geo, agfl->agfl_uuid))
		return "UUID of another volume";
	if (!header_agno(geo, daddr, 3, &agno) || be32_to_cpu(agfl->agfl_seqno) != agno)
		return "belongs to another AG";
	for (uint32_t i = 0; i < agfl_slots(geo); i++) {
		agblk_t block = be32_to_cpu(slot[i]);

		if (block != AGBLK_NONE && block >= geo->ag_blocks)
			return "lists a block outside the AG";
	}
	return NULL;
}

const struct block_type block_agf = {
	.name = "agf",
	.log_type = XFS_BLFT_AGF_BUF,
	.crc_off = XFS_AGF_CRC_OFF,
	.lsn_off = offsetof(struct xfs_agf, agf_lsn),
	.verify = agf_verify,
};

const struct block_type block_agi = {
	.name = "agi",
	.log_type = XFS_BLFT_AGI_BUF,
	.crc_off = XFS_AGI_CRC_OFF,
	.lsn_off = offsetof(struct xfs_agi, agi_lsn),
	.verify = agi_verify,
};

const struct block_type block_agfl = {
	.name = "agfl",
	.log_type = XFS_BLFT_AGFL_BUF,
	.crc_off = XFS_AGFL_CRC_OFF,
	.lsn_off = offsetof(struct xfs_agfl, agfl_lsn),
	.verify = agfl_verify,
};
