// SPDX-License-Identifier: GPL-2.0
/*
 * The headers of directory and attribute blocks, and the inner nodes of the hashed tree both share.
 * (XFS: xfs_da3_blkinfo_verify, xfs_da3_node_verify.)
 *
 *	node   | header | hash, block | hash, block | ...     hash: the greatest in that block's subtree
 */
#include "verify.h"

static const char *identity_verify(const struct geometry *geo, const uint8_t *uuid, uint64_t blkno, uint64_t owner,
				   daddr_u64 daddr)
{
	if (!uuid_is_volume(geo, uuid))
		return "UUID of another volume";
	if (blkno != daddr)
		return "says it lives elsewhere";
	if (!geometry_is_valid_inum(geo, (struct inum){ owner }))
		return "belongs to an impossible inode";
	return NULL;
}

const char *da_header_verify(const struct geometry *geo, const struct xfs_da3_blkinfo *info, daddr_u64 daddr)
{
	return identity_verify(geo, info->uuid, be64_to_cpu(info->blkno), be64_to_cpu(info->owner), daddr);
}

const char *dir_header_verify(const struct geometry *geo, const struct xfs_dir3_blk_hdr *hdr, daddr_u64 daddr)
{
	return identity_verify(geo, hdr->uuid, be64_to_cpu(hdr->blkno), be64_to_cpu(hdr->owner), daddr);
}

bool dir_is_leaf_section(const struct geometry *geo, uint32_t fileblk)
{
	const struct da_geometry *dir = &geo->dir;

	return fileblk >= dir->leaf_fileblk && fileblk < dir->free_fileblk && fileblk % dir->fs_blocks == 0;
}

/* Hashes in order, and for a directory every child inside the leaf section. */
static const char *entries_verify(const struct geometry *geo, const struct xfs_da_node_entry *entry, unsigned count,
				  bool is_dir)
{
	uint32_t last_hash = 0;

	for (unsigned i = 0; i < count; i++) {
		uint32_t child = be32_to_cpu(entry[i].before), hash = be32_to_cpu(entry[i].hashval);

		if (hash < last_hash)
			return "hashes out of order";
		last_hash = hash;
		if (is_dir ? !dir_is_leaf_section(geo, child) : !child)
			return "pointer to an impossible block";
	}
	return NULL;
}

static const char *node_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr,
			       bool is_dir)
{
	const struct da_geometry *da = is_dir ? &geo->dir : &geo->attr;
	const struct xfs_da3_intnode *node = data;
	const char *reason;
	unsigned count, level;

	if (bytes != da->block_bytes)
		return WRONG_BUFFER_BYTES;
	if (be16_to_cpu(node->hdr.info.hdr.magic) != XFS_DA3_NODE_MAGIC)
		return "wrong magic number";
	reason = da_header_verify(geo, &node->hdr.info, daddr);
	if (reason)
		return reason;
	if (is_dir && !dir_siblings_are_valid(geo, &node->hdr.info))
		return "sibling outside the leaf section";

	count = be16_to_cpu(node->hdr.__count);
	level = be16_to_cpu(node->hdr.__level);
	if (!level || level >= XFS_DA_NODE_MAXDEPTH)
		return "impossible level";
	if (!count || count > da->node_entries)
		return "impossible number of entries";
	return entries_verify(geo, node->__btree, count, is_dir);
}

bool dir_siblings_are_valid(const struct geometry *geo, const struct xfs_da3_blkinfo *info)
{
	uint32_t forw = be32_to_cpu(info->hdr.forw), back = be32_to_cpu(info->hdr.back);

	return (!forw || dir_is_leaf_section(geo, forw)) && (!back || dir_is_leaf_section(geo, back));
}

static const char *dir_node_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	return node_verify(geo, data, bytes, daddr, true);
}

static const char *attr_node_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	return node_verify(geo, data, bytes, daddr, false);
}

const struct block_type block_da_node = {
	.name = "dir node",
	.log_type = XFS_BLFT_DA_NODE_BUF,
	.crc_off = XFS_DA3_NODE_CRC_OFF,
	.lsn_off = offsetof(struct xfs_da3_node_hdr, info.lsn),
	.verify = dir_node_verify,
};

const struct block_type block_attr_node = {
	.name = "attr node",
	.log_type = XFS_BLFT_DA_NODE_BUF,
	.crc_off = XFS_DA3_NODE_CRC_OFF,
	.lsn_off = offsetof(struct xfs_da3_node_hdr, info.lsn),
	.verify = attr_node_verify,
};
