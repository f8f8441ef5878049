// SPDX-License-Identifier: GPL-2.0
/*
 * A block of quota records, as many as fit; what is left at the end is unused.  (XFS: xfs_dquot_buf_ops.)
 *
 * As with inodes, checksum and LSN belong to each record, and the LSN to whoever copies a record into the block.
 */
#include <userxfs/format/crc32c.h>

#include "verify.h"

static const char *dquot_verify_one(const struct geometry *geo, const struct xfs_dqblk *dqb, uint32_t id)
{
	const struct xfs_disk_dquot *dquot = &dqb->dd_diskdq;
	uint8_t record = dquot->d_type & XFS_DQTYPE_REC_MASK;

	if (be16_to_cpu(dquot->d_magic) != XFS_DQUOT_MAGIC)
		return "record with a wrong magic number";
	if (dquot->d_version != XFS_DQUOT_VERSION)
		return "record with a wrong version";
	if (dquot->d_type & ~XFS_DQTYPE_ANY ||
	    (record != XFS_DQTYPE_USER && record != XFS_DQTYPE_GROUP && record != XFS_DQTYPE_PROJ))
		return "record of an unknown type";
	if (dquot->d_type & XFS_DQTYPE_BIGTIME && (!geo->has_bigtime || !dquot->d_id))
		return "record with timers of the wrong kind";
	if (be32_to_cpu(dquot->d_id) != id)
		return "records out of order";
	if (!uuid_is_volume(geo, dqb->dd_uuid))
		return "record with the UUID of another volume";
	return NULL;
}

static const char *dquot_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	const struct xfs_dqblk *dqb = data;
	uint32_t first;

	(void)daddr;
	if (bytes != geo->block_bytes)
		return WRONG_BUFFER_BYTES;
	first = be32_to_cpu(dqb->dd_diskdq.d_id);
	for (size_t i = 0; i < bytes / sizeof(*dqb); i++) {
		const char *reason = dquot_verify_one(geo, &dqb[i], first + (uint32_t)i);

		if (reason)
			return reason;
	}
	return NULL;
}

static const char *dquot_verify_crc(const struct geometry *geo, const void *data, size_t bytes)
{
	const struct xfs_dqblk *dqb = data;

	if (bytes != geo->block_bytes)
		return WRONG_BUFFER_BYTES;
	for (size_t i = 0; i < bytes / sizeof(*dqb); i++)
		if (!crc32c_block_is_valid(&dqb[i], sizeof(*dqb), XFS_DQUOT_CRC_OFF))
			return "record with a wrong checksum";
	return NULL;
}

static void dquot_seal(const struct geometry *geo, void *data, size_t bytes, lsn_t lsn)
{
	struct xfs_dqblk *dqb = data;

	(void)geo;
	(void)lsn;
	for (size_t i = 0; i < bytes / sizeof(*dqb); i++)
		crc32c_block_set(&dqb[i], sizeof(*dqb), XFS_DQUOT_CRC_OFF);
}

const struct block_type block_dquot = {
	.name = "dquot",
	.log_type = XFS_BLFT_UDQUOT_BUF,
	.crc_off = CRC_OFF_NONE,
	.lsn_off = LSN_OFF_NONE,
	.verify = dquot_verify,
	.seal = dquot_seal,
	.verify_crc = dquot_verify_crc,
};
