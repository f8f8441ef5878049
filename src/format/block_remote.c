// SPDX-License-Identifier: GPL-2.0
/*
 * File contents that are metadata: the target of a long symlink, the value of a large extended attribute.
 * (XFS: xfs_symlink_buf_ops, xfs_attr3_rmt_buf_ops.)
 *
 * A symlink has one header for each of its extents.  An attribute value has one in every filesystem block, so that
 * the number of blocks follows from the length alone:
 *
 *	block 0           block 1           block 2
 *	| hdr | value ... | hdr | value ... | hdr | value, unused |
 *
 * Attribute value blocks are written before the transaction that refers to them, not logged, and so carry no LSN: all
 * ones stand in its place, and recovery relies on that.
 */
#include <userxfs/base/error.h>
#include <userxfs/format/crc32c.h>

#include "verify.h"

static const char *symlink_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	const struct xfs_dsymlink_hdr *hdr = data;
	uint64_t offset, count;

	if (!bytes || bytes % geo->block_bytes)
		return WRONG_BUFFER_BYTES;
	if (be32_to_cpu(hdr->sl_magic) != XFS_SYMLINK_MAGIC)
		return "wrong magic number";
	if (!uuid_is_volume(geo, hdr->sl_uuid))
		return "UUID of another volume";
	if (be64_to_cpu(hdr->sl_blkno) != daddr)
		return "says it lives elsewhere";
	if (!geometry_is_valid_inum(geo, (struct inum){ be64_to_cpu(hdr->sl_owner) }))
		return "belongs to an impossible inode";
	offset = be32_to_cpu(hdr->sl_offset);
	count = be32_to_cpu(hdr->sl_bytes);
	if (count > bytes - sizeof(*hdr) || offset + count >= XFS_SYMLINK_MAXLEN)
		return "target longer than its block or than any target";
	return NULL;
}

const struct block_type block_symlink = {
	.name = "symlink",
	.log_type = XFS_BLFT_SYMLINK_BUF,
	.crc_off = XFS_SYMLINK_CRC_OFF,
	.lsn_off = offsetof(struct xfs_dsymlink_hdr, sl_lsn),
	.verify = symlink_verify,
};

static const char *attr_remote_verify_one(const struct geometry *geo, const struct xfs_attr3_rmt_hdr *hdr,
					  daddr_u64 daddr)
{
	uint64_t offset = be32_to_cpu(hdr->rm_offset), count = be32_to_cpu(hdr->rm_bytes);

	if (be32_to_cpu(hdr->rm_magic) != XFS_ATTR3_RMT_MAGIC)
		return "wrong magic number";
	if (!uuid_is_volume(geo, hdr->rm_uuid))
		return "UUID of another volume";
	if (be64_to_cpu(hdr->rm_blkno) != daddr)
		return "says it lives elsewhere";
	if (!geometry_is_valid_inum(geo, (struct inum){ be64_to_cpu(hdr->rm_owner) }))
		return "belongs to an impossible inode";
	if (count > geo->block_bytes - sizeof(*hdr) || offset + count > XFS_XATTR_SIZE_MAX)
		return "value longer than its block or than any value";
	return NULL;
}

static const char *attr_remote_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	if (!bytes || bytes % geo->block_bytes)
		return WRONG_BUFFER_BYTES;
	for (size_t off = 0; off < bytes; off += geo->block_bytes) {
		const char *reason = attr_remote_verify_one(geo, data + off, daddr + (off >> SECTOR_UNIT_LOG));

		if (reason)
			return reason;
	}
	return NULL;
}

static const char *attr_remote_verify_crc(const struct geometry *geo, const void *data, size_t bytes)
{
	if (!bytes || bytes % geo->block_bytes)
		return WRONG_BUFFER_BYTES;
	for (size_t off = 0; off < bytes; off += geo->block_bytes)
		if (!crc32c_block_is_valid(data + off, geo->block_bytes, XFS_ATTR3_RMT_CRC_OFF))
			return "wrong checksum";
	return NULL;
}

static void attr_remote_seal(const struct geometry *geo, void *data, size_t bytes, lsn_t lsn)
{
	(void)lsn;
	ensure(bytes % geo->block_bytes == 0);
	for (size_t off = 0; off < bytes; off += geo->block_bytes) {
		struct xfs_attr3_rmt_hdr *hdr = data + off;

		hdr->rm_lsn = cpu_to_be64(NULLCOMMITLSN);
		crc32c_block_set(hdr, geo->block_bytes, XFS_ATTR3_RMT_CRC_OFF);
	}
}

const struct block_type block_attr_remote = {
	.name = "attr remote value",
	.log_type = XFS_BLFT_ATTR_RMT_BUF,
	.crc_off = CRC_OFF_NONE,
	.lsn_off = LSN_OFF_NONE,
	.verify = attr_remote_verify,
	.seal = attr_remote_seal,
	.verify_crc = attr_remote_verify_crc,
};
