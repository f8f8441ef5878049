// SPDX-License-Identifier: GPL-2.0
/*
 * The bytes of new inodes.  (XFS: xfs_ialloc_inode_init, xfs_icreate_item.c.)
 *
 * All inodes of a new chunk look alike but for their number, so the log gets one item that says so (XFS_LI_ICREATE)
 * instead of their bytes; recovery makes them again.  The cluster buffers are ordered: they enter the tail list with
 * this transaction and hold the tail until they are home.
 *
 * The generation starts at a random number, so that a handle of an inode of a freed chunk does not fit an inode of
 * the chunk that comes after it.
 */
#include <stdatomic.h>
#include <sys/random.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/list.h>
#include <userxfs/base/memory.h>

#include "ialloc_private.h"

/* ---- the log item; written once, not kept ---- */

struct icreate_item {
	struct log_item item;
	struct xfs_icreate_log format;
};

static struct icreate_item *icreate_of(struct log_item *item)
{
	return container_of(item, struct icreate_item, item);
}

static void icreate_size(struct log_item *item, uint32_t *regions, uint32_t *bytes)
{
	*regions += 1;
	*bytes += sizeof(struct xfs_icreate_log);
}

static void icreate_format(struct log_item *item, struct log_region_writer *w)
{
	log_region_add(w, XLOG_REG_TYPE_ICREATE, &icreate_of(item)->format, sizeof(struct xfs_icreate_log));
}

static void icreate_release(struct log_item *item, bool dirty, bool aborted)
{
	if (aborted || !dirty)
		mem_free(icreate_of(item));
}

static lsn_t icreate_committed(struct log_item *item, lsn_t lsn)
{
	return 0;
}

static void icreate_unpin(struct log_item *item, bool aborted)
{
	mem_free(icreate_of(item));
}

static const struct log_item_ops icreate_ops = {
	.name = "icreate",
	.type = XFS_LI_ICREATE,
	.size = icreate_size,
	.format = icreate_format,
	.release = icreate_release,
	.committed = icreate_committed,
	.unpin = icreate_unpin,
};

static void log_icreate(struct tx *tx, const struct geometry *geo, agno_t agno, agblk_t agblk, uint32_t blocks,
			uint32_t inode_count, uint32_t generation)
{
	struct icreate_item *create = mem_alloc_zeroed_sure(sizeof(*create));

	log_item_init(tx_log(tx), &create->item, &icreate_ops);
	create->format = (struct xfs_icreate_log){
		.icl_type = XFS_LI_ICREATE,
		.icl_size = 1,
		.icl_ag = cpu_to_be32(agno),
		.icl_agbno = cpu_to_be32(agblk),
		.icl_count = cpu_to_be32(inode_count),
		.icl_isize = cpu_to_be32(geo->inode_bytes),
		.icl_length = cpu_to_be32(blocks),
		.icl_gen = cpu_to_be32(generation),
	};
	tx_join(tx, &create->item);
	tx_mark_dirty(tx, &create->item);
}

/* ---- the inodes ---- */

static uint32_t random_generation(void)
{
	uint32_t v;

	/* Before the kernel's pool is ready any number does: nobody holds handles of that boot's past. */
	if (getrandom(&v, sizeof(v), GRND_NONBLOCK) != sizeof(v))
		v = (uint32_t)hash_u64(clock_now_ns());
	return v;
}

static void init_inode(const struct geometry *geo, struct inum ino, uint32_t generation, struct xfs_dinode *dip)
{
	dip->di_magic = cpu_to_be16(XFS_DINODE_MAGIC);
	dip->di_version = 3;
	dip->di_gen = cpu_to_be32(generation);
	dip->di_next_unlinked = cpu_to_be32(NULLAGINO);
	dip->di_ino = cpu_to_be64(ino.v);
	memcpy(&dip->di_uuid, geo->meta_uuid, sizeof(dip->di_uuid));
	dinode_seal(geo, dip);
}

void ialloc_encode_cluster(const struct geometry *geo, agno_t agno, agblk_t agblk, uint32_t generation, void *data)
{
	agino_t first = agblk_to_agino(geo, agblk);

	memset(data, 0, geo->cluster_bytes);
	for (uint32_t i = 0; i < geo->cluster_inodes; i++)
		init_inode(geo, inum_make(geo, agno, first + i), generation,
			   (void *)((char *)data + ((size_t)i << geo->inode_log)));
}

static int init_cluster(struct tx *tx, const struct geometry *geo, agno_t agno, agblk_t agblk, uint32_t generation)
{
	struct buffer *buf;
	int err;

	err = tx_buffer_get(tx, agblk_to_daddr(geo, agno, agblk), geo->cluster_bytes >> SECTOR_UNIT_LOG, &buf);
	if (err)
		return err;
	buf->type = &block_inode_cluster;
	ialloc_encode_cluster(geo, agno, agblk, generation, buf->data);
	atomic_fetch_or(&buf->flags, BUFFER_VALID);
	tx_buffer_set_inodes(tx, buf, true);
	tx_buffer_set_ordered(tx, buf);
	return 0;
}

int ialloc_init_inodes(struct tx *tx, struct ag *ag, agblk_t agblk, uint32_t blocks, uint32_t inode_count)
{
	const struct geometry *geo = space_geometry(ag->space);
	uint32_t generation = random_generation();
	int err = 0;

	log_icreate(tx, geo, ag->agno, agblk, blocks, inode_count, generation);
	for (uint32_t done = 0; done < blocks && !err; done += geo->cluster_blocks)
		err = init_cluster(tx, geo, ag->agno, agblk + done, generation);
	return err;
}
