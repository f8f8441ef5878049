// SPDX-License-Identifier: GPL-2.0
/*
 * A cluster of inodes, the unit in which inodes are read and written.  (XFS: xfs_inode_buf_ops.)
 *
 * Every inode in it, free ones too, has its own magic number, checksum and LSN.  Sealing the cluster sets the
 * checksums only: the LSN of an inode says which of its log items recovery may skip, so it belongs to whoever copies
 * that inode into the cluster, never to the cluster's own write.  Setting it here would make recovery skip newer
 * changes of a neighbour that is still in the log alone.
 */
#include <userxfs/format/crc32c.h>

#include "verify.h"

static const char *inode_cluster_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	uint64_t agno = daddr_to_agno(geo, daddr);

	if (!bytes || bytes % geo->block_bytes)
		return WRONG_BUFFER_BYTES;
	if (agno >= geo->ag_count)
		return "lies outside the volume";
	for (size_t off = 0; off < bytes; off += geo->inode_bytes) {
		const struct xfs_dinode *dip = data + off;
		agino_t next = be32_to_cpu(dip->di_next_unlinked);

		if (be16_to_cpu(dip->di_magic) != XFS_DINODE_MAGIC)
			return "inode with a wrong magic number";
		if (dip->di_version != 3)
			return "inode with a wrong version";
		if (!uuid_is_volume(geo, dip->di_uuid))
			return "inode with the UUID of another volume";
		if (next != AGINO_NONE && !geometry_is_valid_agino(geo, (agno_t)agno, next))
			return "unlinked list leads outside the AG";
	}
	return NULL;
}

static const char *inode_cluster_verify_crc(const struct geometry *geo, const void *data, size_t bytes)
{
	if (!bytes || bytes % geo->inode_bytes)
		return WRONG_BUFFER_BYTES;
	for (size_t off = 0; off < bytes; off += geo->inode_bytes)
		if (!dinode_crc_is_valid(geo, data + off))
			return "inode with a wrong checksum";
	return NULL;
}

static void inode_cluster_seal(const struct geometry *geo, void *data, size_t bytes, lsn_t lsn)
{
	(void)lsn;
	for (size_t off = 0; off + geo->inode_bytes <= bytes; off += geo->inode_bytes)
		dinode_seal(geo, data + off);
}

const struct block_type block_inode_cluster = {
	.name = "inode cluster",
	.log_type = XFS_BLFT_DINO_BUF,
	.crc_off = CRC_OFF_NONE,
	.lsn_off = LSN_OFF_NONE,
	.verify = inode_cluster_verify,
	.seal = inode_cluster_seal,
	.verify_crc = inode_cluster_verify_crc,
};

void dinode_seal(const struct geometry *geo, struct xfs_dinode *dip)
{
	crc32c_block_set(dip, geo->inode_bytes, XFS_DINODE_CRC_OFF);
}

bool dinode_crc_is_valid(const struct geometry *geo, const struct xfs_dinode *dip)
{
	return crc32c_block_is_valid(dip, geo->inode_bytes, XFS_DINODE_CRC_OFF);
}
