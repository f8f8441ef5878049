// SPDX-License-Identifier: GPL-2.0
/*
 * Replaying dquots, the kernel's: quotas are not maintained here, but their blocks must make sense to the next kernel
 * that counts them anew.  (XFS: xfs_dquot_item_recover.c.)
 */
#include <stddef.h>
#include <string.h>

#include <userxfs/format/crc32c.h>
#include <userxfs/inode.h>

static const char *check_dquot(const struct geometry *geo, const struct recovery_item *item)
{
	const struct xfs_dq_logformat *f = item->regions[0].data;

	if (item->region_count != 2 || item->regions[0].bytes < sizeof(*f) ||
	    item->regions[1].bytes < sizeof(struct xfs_disk_dquot) ||
	    item->regions[1].bytes > offsetof(struct xfs_dqblk, dd_crc))
		return "is of a wrong length";
	/* The length is in filesystem blocks, the place in units of 512 bytes. */
	if (f->qlf_len != 1 || !recovery_is_in_volume(geo, f->qlf_blkno, geo->block_bytes >> SECTOR_UNIT_LOG))
		return "lies outside the volume";
	if (f->qlf_boffset % sizeof(struct xfs_dqblk) ||
	    f->qlf_boffset > geo->block_bytes - sizeof(struct xfs_dqblk))
		return "lies outside its block";
	return NULL;
}

static int replay_dquot(struct recovery *r, const struct recovery_item *item, lsn_t lsn)
{
	const struct xfs_dq_logformat *f = item->regions[0].data;
	const struct xfs_disk_dquot *logged = item->regions[1].data;
	const struct geometry *geo = recovery_geometry(r);
	struct xfs_dqblk *dq;
	struct buffer *buf;
	int err;

	if (recovery_is_quota_off(r, logged->d_type & XFS_DQTYPE_REC_MASK))
		return 0;
	err = recovery_read(r, (daddr_u64)f->qlf_blkno, geo->block_bytes >> SECTOR_UNIT_LOG, &buf);
	if (err)
		return err;
	dq = (void *)((char *)buf->data + f->qlf_boffset);
	if (!recovery_lsn_is_newer(dq->dd_lsn, lsn) || !crc32c_block_is_valid(dq, sizeof(*dq), XFS_DQUOT_CRC_OFF)) {
		memcpy(&dq->dd_diskdq, logged, item->regions[1].bytes);
		dq->dd_lsn = cpu_to_be64(lsn);
		recovery_dirty(r, buf, &block_dquot, 0);
	}
	buffer_release(buf);
	return 0;
}

const struct recovery_item_type dquot_recovery_type = {
	.name = "dquot",
	.type = XFS_LI_DQUOT,
	.kind = RECOVERY_REPLAY,
	.order = RECOVERY_NORMAL,
	.check = check_dquot,
	.replay = replay_dquot,
};
