// SPDX-License-Identifier: GPL-2.0
/*
 * Directory blocks that do not hold names: leaves (hash to name), and free blocks (data block to its largest hole).
 * (XFS: xfs_dir3_leaf_verify, xfs_dir3_leaf_check_int, xfs_dir3_free_verify.)
 *
 *	leaf1  | header | hash, address | ...    unused    ... | best hole of data block 0, 1, ... | count of bests |
 *	leafn  | header | hash, address | ...    unused                                                             |
 *	free   | header | best hole of data block firstdb, firstdb + 1, ...                                         |
 *
 * leaf1 is the whole index of a directory that needs no more than one leaf; leafn is one of many under da nodes.
 */
#include "verify.h"

/* Hash order, and as many stale (addressless) entries as the header says. */
static const char *leaf_entries_verify(const struct xfs_dir3_leaf *leaf)
{
	unsigned count = be16_to_cpu(leaf->hdr.count), stale = 0;
	uint32_t last_hash = 0;

	for (unsigned i = 0; i < count; i++) {
		uint32_t hash = be32_to_cpu(leaf->__ents[i].hashval);

		if (hash < last_hash)
			return "hashes out of order";
		last_hash = hash;
		stale += be32_to_cpu(leaf->__ents[i].address) == XFS_DIR2_NULL_DATAPTR;
	}
	return stale == be16_to_cpu(leaf->hdr.stale) ? NULL : "wrong count of stale entries";
}

static bool is_best(const struct da_geometry *dir, __be16 best)
{
	unsigned v = be16_to_cpu(best);

	return v == NULLDATAOFF || v < dir->block_bytes;
}

/* The bests of a leaf1 grow down from its end and must stop before its entries. */
static const char *leaf_bests_verify(const struct geometry *geo, const struct xfs_dir3_leaf *leaf)
{
	const struct da_geometry *dir = &geo->dir;
	const struct xfs_dir2_leaf_tail *tail = (const void *)leaf + dir->block_bytes - sizeof(*tail);
	uint64_t entries_end = sizeof(leaf->hdr) +
			       be16_to_cpu(leaf->hdr.count) * sizeof(struct xfs_dir2_leaf_entry);
	uint64_t bests = be32_to_cpu(tail->bestcount);
	const __be16 *best;

	if (entries_end + bests * sizeof(*best) + sizeof(*tail) > dir->block_bytes)
		return "entries and bests overlap";
	best = (const void *)tail - bests * sizeof(*best);
	for (uint64_t i = 0; i < bests; i++)
		if (!is_best(dir, best[i]))
			return "impossible best hole";
	return NULL;
}

static const char *leaf_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr,
			       uint16_t magic)
{
	const struct xfs_dir3_leaf *leaf = data;
	const char *reason;

	if (bytes != geo->dir.block_bytes)
		return WRONG_BUFFER_BYTES;
	if (be16_to_cpu(leaf->hdr.info.hdr.magic) != magic)
		return "wrong magic number";
	reason = da_header_verify(geo, &leaf->hdr.info, daddr);
	if (reason)
		return reason;
	if (!dir_siblings_are_valid(geo, &leaf->hdr.info))
		return "sibling outside the leaf section";
	if (be16_to_cpu(leaf->hdr.count) > geo->dir.leaf_entries)
		return "impossible number of entries";
	if (magic == XFS_DIR3_LEAF1_MAGIC)
		reason = leaf_bests_verify(geo, leaf);
	return reason ? reason : leaf_entries_verify(leaf);
}

static const char *leaf1_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	return leaf_verify(geo, data, bytes, daddr, XFS_DIR3_LEAF1_MAGIC);
}

static const char *leafn_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	return leaf_verify(geo, data, bytes, daddr, XFS_DIR3_LEAFN_MAGIC);
}

static const char *leaf_any_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	if (bytes != geo->dir.block_bytes)
		return WRONG_BUFFER_BYTES;
	return block_resolve_type(&block_dir_leaf_any, data)->verify(geo, data, bytes, daddr);
}

static const char *free_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	const struct xfs_dir3_free *block = data;
	uint32_t valid, used = 0;
	const char *reason;

	if (bytes != geo->dir.block_bytes)
		return WRONG_BUFFER_BYTES;
	if (be32_to_cpu(block->hdr.hdr.magic) != XFS_DIR3_FREE_MAGIC)
		return "wrong magic number";
	reason = dir_header_verify(geo, &block->hdr.hdr, daddr);
	if (reason)
		return reason;

	valid = be32_to_cpu(block->hdr.nvalid);
	if (be32_to_cpu(block->hdr.firstdb) % geo->dir.free_bests)
		return "first data block is not one a free block starts with";
	if (valid > geo->dir.free_bests)
		return "more bests than fit the block";
	for (uint32_t i = 0; i < valid; i++) {
		if (!is_best(&geo->dir, block->bests[i]))
			return "impossible best hole";
		used += be16_to_cpu(block->bests[i]) != NULLDATAOFF;
	}
	return used == be32_to_cpu(block->hdr.nused) ? NULL : "wrong count of used bests";
}

const struct block_type block_dir_leaf1 = {
	.name = "dir leaf1",
	.log_type = XFS_BLFT_DIR_LEAF1_BUF,
	.crc_off = XFS_DIR3_LEAF_CRC_OFF,
	.lsn_off = offsetof(struct xfs_dir3_leaf_hdr, info.lsn),
	.verify = leaf1_verify,
};

const struct block_type block_dir_leafn = {
	.name = "dir leafn",
	.log_type = XFS_BLFT_DIR_LEAFN_BUF,
	.crc_off = XFS_DIR3_LEAF_CRC_OFF,
	.lsn_off = offsetof(struct xfs_dir3_leaf_hdr, info.lsn),
	.verify = leafn_verify,
};

const struct block_type block_dir_leaf_any = {
	.name = "dir leaf or node",
	.log_type = XFS_BLFT_UNKNOWN_BUF,
	.crc_off = XFS_DIR3_LEAF_CRC_OFF,
	.lsn_off = offsetof(struct xfs_dir3_leaf_hdr, info.lsn),
	.verify = leaf_any_verify,
};

const struct block_type block_dir_free = {
	.name = "dir free",
	.log_type = XFS_BLFT_DIR_FREE_BUF,
	.crc_off = XFS_DIR3_FREE_CRC_OFF,
	.lsn_off = offsetof(struct xfs_dir3_free, hdr.hdr.lsn),
	.verify = free_verify,
};
