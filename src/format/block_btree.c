// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks of B+trees: those of an AG, with 32-bit pointers, and those of a fork's extent map, with 64-bit pointers.
 * (XFS: xfs_btree_agblock_verify and xfs_btree_fsblock_verify with the verifier of each tree.)
 *
 * Checked here is what one block can tell: identity, level and count within the tree's limits, siblings inside the AG
 * or volume.  Order of records and where pointers lead is for the cursor that walks the tree.
 */
#include "verify.h"

static const char *counts_verify(const struct xfs_btree_block *block, const struct btree_limits *limits)
{
	unsigned level = be16_to_cpu(block->bb_level), count = be16_to_cpu(block->bb_numrecs);

	if (level >= limits->max_levels)
		return "level above the tree's greatest height";
	if (count > (level ? limits->max_node : limits->max_leaf))
		return "more records than fit the block";
	if (level && !count)
		return "inner block without pointers";
	return NULL;
}

/* A sibling must exist and must not be the block itself: that would be an endless chain. */
static bool is_short_sibling(const struct geometry *geo, agno_t agno, agblk_t self, __be32 sibling)
{
	agblk_t agblk = be32_to_cpu(sibling);

	return agblk == AGBLK_NONE || (agblk != self && geometry_is_valid_agblk(geo, agno, agblk));
}

static const char *short_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr,
				uint32_t magic, const struct btree_limits *limits)
{
	const struct xfs_btree_block *block = data;
	const struct xfs_btree_block_shdr *hdr = &block->bb_u.s;
	uint64_t agno = daddr_to_agno(geo, daddr);
	agblk_t self;

	if (bytes != geo->block_bytes)
		return WRONG_BUFFER_BYTES;
	if (be32_to_cpu(block->bb_magic) != magic)
		return "wrong magic number";
	if (!uuid_is_volume(geo, hdr->bb_uuid))
		return "UUID of another volume";
	if (be64_to_cpu(hdr->bb_blkno) != daddr)
		return "says it lives elsewhere";
	if (agno >= geo->ag_count || be32_to_cpu(hdr->bb_owner) != agno)
		return "belongs to another AG";
	self = fsblk_agblk(geo, daddr_to_fsblk(geo, daddr));
	if (!is_short_sibling(geo, (agno_t)agno, self, hdr->bb_leftsib) ||
	    !is_short_sibling(geo, (agno_t)agno, self, hdr->bb_rightsib))
		return "sibling outside the AG";
	return counts_verify(block, limits);
}

#define SHORT_TREE(tree, MAGIC)                                                                                 \
	static const char *tree##_verify(const struct geometry *geo, const void *data, size_t bytes,            \
					 daddr_u64 daddr)                                                       \
	{                                                                                                       \
		return short_verify(geo, data, bytes, daddr, MAGIC, &geo->tree);                                \
	}                                                                                                       \
	const struct block_type block_##tree = {                                                                \
		.name = #tree,                                                                                  \
		.log_type = XFS_BLFT_BTREE_BUF,                                                                 \
		.crc_off = XFS_BTREE_SBLOCK_CRC_OFF,                                                            \
		.lsn_off = offsetof(struct xfs_btree_block, bb_u.s.bb_lsn),                                     \
		.verify = tree##_verify,                                                                        \
	}

SHORT_TREE(bnobt, XFS_ABTB_CRC_MAGIC);
SHORT_TREE(cntbt, XFS_ABTC_CRC_MAGIC);
SHORT_TREE(inobt, XFS_IBT_CRC_MAGIC);
SHORT_TREE(finobt, XFS_FIBT_CRC_MAGIC);
SHORT_TREE(rmapbt, XFS_RMAP_CRC_MAGIC);
SHORT_TREE(refcountbt, XFS_REFC_CRC_MAGIC);

static bool is_long_sibling(const struct geometry *geo, struct fsblk self, __be64 sibling)
{
	struct fsblk b = { be64_to_cpu(sibling) };

	return fsblk_is_none(b) || (!fsblk_equal(b, self) && geometry_is_valid_fsblk(geo, b));
}

static const char *bmbt_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	const struct xfs_btree_block *block = data;
	const struct xfs_btree_block_lhdr *hdr = &block->bb_u.l;
	struct fsblk self = daddr_to_fsblk(geo, daddr);

	if (bytes != geo->block_bytes)
		return WRONG_BUFFER_BYTES;
	if (be32_to_cpu(block->bb_magic) != XFS_BMAP_CRC_MAGIC)
		return "wrong magic number";
	if (!uuid_is_volume(geo, hdr->bb_uuid))
		return "UUID of another volume";
	if (be64_to_cpu(hdr->bb_blkno) != daddr)
		return "says it lives elsewhere";
	if (!geometry_is_valid_inum(geo, (struct inum){ be64_to_cpu(hdr->bb_owner) }))
		return "belongs to an impossible inode";
	if (!is_long_sibling(geo, self, hdr->bb_leftsib) || !is_long_sibling(geo, self, hdr->bb_rightsib))
		return "sibling outside the volume";
	return counts_verify(block, &geo->bmbt);
}

const struct block_type block_bmbt = {
	.name = "bmbt",
	.log_type = XFS_BLFT_BTREE_BUF,
	.crc_off = XFS_BTREE_LBLOCK_CRC_OFF,
	.lsn_off = offsetof(struct xfs_btree_block, bb_u.l.bb_lsn),
	.verify = bmbt_verify,
};
