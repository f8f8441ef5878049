// SPDX-License-Identifier: GPL-2.0
/*
 * Replaying the creation of inodes: the clusters are made again.  (XFS: xlog_recover_icreate_commit_pass2.)
 *
 * What is on disk does not matter: the log reaches back to the creation, so whatever became of the inodes later is in
 * it.  Clusters that were freed later are left alone.
 */
#include <string.h>

#include <userxfs/log/recovery.h>

#include "ialloc_private.h"

static const char *check_icreate(const struct geometry *geo, const struct recovery_item *item)
{
	const struct xfs_icreate_log *f = item->regions[0].data;
	agno_t agno;
	agblk_t first;
	uint32_t count, length;

	if (item->region_count != 1 || item->regions[0].bytes != sizeof(*f))
		return "is of a wrong length";
	agno = be32_to_cpu(f->icl_ag);
	first = be32_to_cpu(f->icl_agbno);
	count = be32_to_cpu(f->icl_count);
	length = be32_to_cpu(f->icl_length);
	if (agno >= geo->ag_count || !first || first >= geometry_ag_blocks(geo, agno) || !length ||
	    length > geometry_ag_blocks(geo, agno) - first)
		return "lies outside the volume";
	if (be32_to_cpu(f->icl_isize) != geo->inode_bytes)
		return "is of inodes of another size";
	if (length > geo->ialloc_blocks || length % geo->cluster_blocks || count != length << geo->inopb_log)
		return "is of a wrong number of inodes";
	return NULL;
}

static int replay_cluster(struct recovery *r, agno_t agno, agblk_t agblk, uint32_t generation)
{
	const struct geometry *geo = recovery_geometry(r);
	daddr_u64 daddr = agblk_to_daddr(geo, agno, agblk);
	uint32_t units = geo->cluster_bytes >> SECTOR_UNIT_LOG;
	struct buffer *buf;
	int err;

	if (recovery_is_cancelled(r, daddr, units))
		return 0;
	err = recovery_read(r, daddr, units, &buf);
	if (err)
		return err;
	ialloc_encode_cluster(geo, agno, agblk, generation, buf->data);
	recovery_dirty_inode(r, buf, buf->data);
	buffer_release(buf);
	return 0;
}

static int replay_icreate(struct recovery *r, const struct recovery_item *item, lsn_t lsn)
{
	const struct xfs_icreate_log *f = item->regions[0].data;
	const struct geometry *geo = recovery_geometry(r);
	agno_t agno = be32_to_cpu(f->icl_ag);
	agblk_t first = be32_to_cpu(f->icl_agbno);
	int err = 0;

	for (uint32_t done = 0; done < be32_to_cpu(f->icl_length) && !err; done += geo->cluster_blocks)
		err = replay_cluster(r, agno, first + done, be32_to_cpu(f->icl_gen));
	return err;
}

const struct recovery_item_type icreate_recovery_type = {
	.name = "icreate",
	.type = XFS_LI_ICREATE,
	.kind = RECOVERY_REPLAY,
	.order = RECOVERY_FIRST,
	.check = check_icreate,
	.replay = replay_icreate,
};
