/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Replaying buffers.  (XFS: xfs_buf_item_recover.c.)
 *
 * A block on disk that is newer than what the log says of it stays as it is: its LSN tells.  But only a block that is
 * whole is believed; one whose write was cut off is replayed like an older one, and is right when all of the log has
 * been replayed, because everything since its last complete write is there.
 *
 * Clusters of inodes have no LSN.  A new chunk's is replayed as a whole; otherwise only the unlinked pointers are
 * taken, since all else of an inode is in items of its own.
 */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/base/unfix.h>
#include <userxfs/format/crc32c.h>

#include "recover.h"

enum {
	BUFFER_UNITS_MAX = XFS_MAX_BLOCKSIZE / SECTOR_UNIT_BYTES,
	MAP_WORD_BITS = 32,
};

/* ---- what a block is ------------------------------------------------------------------------------------------- */

/* Clusters whose inodes have been sealed one by one: those that were not replayed keep the checksum they had. */
static const char *replayed_cluster_verify(const struct geometry *geo, const void *data, size_t bytes,
					   daddr_u64 daddr)
{
	return block_inode_cluster.verify(geo, data, bytes, daddr);
}

static void replayed_cluster_seal(const struct geometry *geo, void *data, size_t bytes, lsn_t lsn)
{
	(void)geo;
	(void)data;
	(void)bytes;
	(void)lsn;
}

const struct block_type recovery_cluster_type = {
	.name = "inode cluster",
	.log_type = XFS_BLFT_DINO_BUF,
	.crc_off = CRC_OFF_NONE,
	.lsn_off = LSN_OFF_NONE,
	.verify = replayed_cluster_verify,
	.seal = replayed_cluster_seal,
};

/* A node of the hashed tree is a directory's or an attribute fork's. */
static const struct block_type *node_type(const struct geometry *geo, const void *data, size_t bytes,
					  daddr_u64 daddr)
{
	return block_da_node.verify(geo, data, bytes, daddr) ? &block_attr_node : &block_da_node;
}

const struct block_type *recovery_type_of(const struct geometry *geo, const void *data, size_t bytes,
					  daddr_u64 daddr)
{
	const struct xfs_da_blkinfo *info = data;
	__be32 magic;

	memcpy(&magic, data, sizeof(magic));
	switch (be32_to_cpu(magic)) {
	case XFS_SB_MAGIC: return &block_superblock;
	case XFS_AGF_MAGIC: return &block_agf;
	case XFS_AGI_MAGIC: return &block_agi;
	case XFS_AGFL_MAGIC: return &block_agfl;
	case XFS_ABTB_CRC_MAGIC: return &block_bnobt;
	case XFS_ABTC_CRC_MAGIC: return &block_cntbt;
	case XFS_IBT_CRC_MAGIC: return &block_inobt;
	case XFS_FIBT_CRC_MAGIC: return &block_finobt;
	case XFS_RMAP_CRC_MAGIC: return &block_rmapbt;
	case XFS_REFC_CRC_MAGIC: return &block_refcountbt;
	case XFS_BMAP_CRC_MAGIC: return &block_bmbt;
	case XFS_SYMLINK_MAGIC: return &block_symlink;
	case XFS_DIR3_BLOCK_MAGIC: return &block_dir_block;
	case XFS_DIR3_DATA_MAGIC: return &block_dir_data;
	case XFS_DIR3_FREE_MAGIC: return &block_dir_free;
	case XFS_ATTR3_RMT_MAGIC: return &block_attr_remote;
	}
	switch (be16_to_cpu(info->magic)) {
	case XFS_DIR3_LEAF1_MAGIC: return &block_dir_leaf1;
	case XFS_DIR3_LEAFN_MAGIC: return &block_dir_leafn;
	case XFS_DA3_NODE_MAGIC: return node_type(geo, data, bytes, daddr);
	case XFS_ATTR3_LEAF_MAGIC: return &block_attr_leaf;
	}
	switch (be32_to_cpu(magic) >> 16) {
	case XFS_DINODE_MAGIC: return &recovery_cluster_type;
	case XFS_DQUOT_MAGIC: return &block_dquot;
	}
	return NULL;
}

static const struct block_type *type_of_contents(const struct geometry *geo, const struct buffer *buf)
{
	return recovery_type_of(geo, buf->data, buf->bytes, buf->daddr);
}

static bool is_dquot_type(unsigned log_type)
{
	return log_type == XFS_BLFT_UDQUOT_BUF || log_type == XFS_BLFT_PDQUOT_BUF || log_type == XFS_BLFT_GDQUOT_BUF;
}

/* The type of contents that the log says are of @log_type; NULL: they are not. */
static const struct block_type *type_of_replayed(const struct geometry *geo, const struct buffer *buf,
						 unsigned log_type)
{
	const struct block_type *type = type_of_contents(geo, buf);

	if (type && (type->log_type == log_type || (type == &block_dquot && is_dquot_type(log_type))))
		return type;
	return NULL;
}

/* Whether the block on disk is whole and was written after @lsn. */
static bool is_newer(const struct geometry *geo, const struct buffer *buf, lsn_t lsn)
{
	const struct block_type *type = type_of_contents(geo, buf);
	__be64 on_disk;

	if (!type || type->lsn_off == LSN_OFF_NONE || type->crc_off == CRC_OFF_NONE ||
	    type->lsn_off + sizeof(on_disk) > buf->bytes)
		return false;
	memcpy(&on_disk, (const char *)buf->data + type->lsn_off, sizeof(on_disk));
	if (unfix(UNFIX_recover_trusts_torn))
		return be64_to_cpu(on_disk) != UINT64_MAX && be64_to_cpu(on_disk) >= lsn;
	return recovery_lsn_is_newer(on_disk, lsn) && crc32c_block_is_valid(buf->data, buf->bytes, type->crc_off) &&
	       !type->verify(geo, buf->data, buf->bytes, buf->daddr);
}

/* ---- buffers --------------------------------------------------------------------------------------------------- */

const struct geometry *recovery_geometry(const struct recovery *r)
{
	return r->geo;
}

bool recovery_is_in_volume(const struct geometry *geo, int64_t daddr, uint64_t count)
{
	uint64_t units = blocks_to_bytes(geo, geo->blocks) >> SECTOR_UNIT_LOG;

	return count && daddr >= 0 && (uint64_t)daddr < units && count <= units - (uint64_t)daddr;
}

/*
 * A block that was freed and is used again as one of another size has nothing of its former life replayed; so two of
 * different sizes at one place cannot be meant, and the cache refuses the second.
 */
int recovery_read(struct recovery *r, daddr_u64 daddr, uint32_t count, struct buffer **out)
{
	return buffer_read(r->cache, daddr, count, NULL, out);
}

void recovery_readahead(struct recovery *r, daddr_u64 daddr, uint32_t count)
{
	if (!recovery_is_cancelled(r, daddr, count))
		buffer_readahead(r->cache, daddr, count, NULL);
}

/* ---- buffer items ---------------------------------------------------------------------------------------------- */

static const struct xfs_buf_log_format *format_of(const struct recovery_item *item)
{
	return item->regions[0].data;
}

static unsigned log_type_of(const struct xfs_buf_log_format *blf)
{
	return (blf->blf_flags & XFS_BLFT_MASK) >> XFS_BLFT_SHIFT;
}

bool recovery_buffer_is_cancel(const struct recovery_item *item)
{
	return item->type == XFS_LI_BUF && format_of(item)->blf_flags & XFS_BLF_CANCEL;
}

bool recovery_buffer_has_unlinked(const struct recovery_item *item)
{
	return item->type == XFS_LI_BUF && format_of(item)->blf_flags & XFS_BLF_INODE_BUF;
}

/* Walks the runs of logged chunks; each region may hold a part of one. */
struct run {
	uint32_t chunk, count;		/* the next run */
	uint32_t region;		/* that starts with it */
};

static bool chunk_is_logged(const struct xfs_buf_log_format *blf, uint32_t chunk)
{
	return blf->blf_data_map[chunk / MAP_WORD_BITS] >> chunk % MAP_WORD_BITS & 1;
}

static bool next_run(const struct xfs_buf_log_format *blf, struct run *run)
{
	uint32_t end = blf->blf_map_size * MAP_WORD_BITS, chunk = run->chunk + run->count;

	while (chunk < end && !chunk_is_logged(blf, chunk))
		chunk++;
	run->chunk = chunk;
	while (chunk < end && chunk_is_logged(blf, chunk))
		chunk++;
	run->count = chunk - run->chunk;
	run->region++;
	return run->count;
}

/* The run that @item's region holds: a region may end before the chunks of the run do. */
static bool next_region(const struct recovery_item *item, struct run *run)
{
	const struct xfs_buf_log_format *blf = format_of(item);

	if (!next_run(blf, run))
		return false;
	if (run->region < item->region_count)
		run->count = (uint32_t)min_u64(run->count, item->regions[run->region].bytes / XFS_BLF_CHUNK);
	return true;
}

static const char *check_regions(const struct recovery_item *item)
{
	const struct xfs_buf_log_format *blf = format_of(item);
	uint32_t chunks = (uint32_t)blf->blf_len * SECTOR_UNIT_BYTES / XFS_BLF_CHUNK;
	struct run run = { .chunk = 0 };

	while (next_region(item, &run)) {
		if (run.region >= item->region_count)
			return "has fewer regions than it needs";
		if (!run.count || item->regions[run.region].bytes != run.count * XFS_BLF_CHUNK)
			return "has a region of another size than it says";
		if (run.chunk + run.count > chunks)
			return "goes on behind the end of its block";
	}
	return run.region == item->region_count ? NULL : "has more regions than it needs";
}

/*
 * Whether it may be of a piece of a directory block.  A node of one block may be an attribute fork's as well.
 */
static bool is_piece(const struct geometry *geo, const struct xfs_buf_log_format *blf)
{
	unsigned type = log_type_of(blf);

	return !(blf->blf_flags & XFS_BLF_CANCEL) &&
	       (uint32_t)blf->blf_len * SECTOR_UNIT_BYTES < geo->dir.block_bytes &&
	       type >= XFS_BLFT_DIR_BLOCK_BUF && type <= XFS_BLFT_DA_NODE_BUF;
}

bool recovery_buffer_is_piece(const struct recovery *r, const struct recovery_item *item)
{
	return item->type == XFS_LI_BUF && is_piece(r->geo, format_of(item));
}

static const char *check_buffer(const struct geometry *geo, const struct recovery_item *item)
{
	const struct xfs_buf_log_format *blf = format_of(item);
	size_t fixed = offsetof(struct xfs_buf_log_format, blf_data_map);

	if (item->regions[0].bytes < fixed || blf->blf_map_size > XFS_BLF_DATAMAP_SIZE ||
	    item->regions[0].bytes < fixed + blf->blf_map_size * sizeof(blf->blf_data_map[0]))
		return "is too short";
	if (!recovery_is_in_volume(geo, blf->blf_blkno, blf->blf_len))
		return "lies outside the volume";
	if (blf->blf_flags & XFS_BLF_CANCEL)
		return NULL;
	if (blf->blf_len > BUFFER_UNITS_MAX)
		return "is longer than any block";
	if (is_piece(geo, blf) && (uint32_t)blf->blf_len * SECTOR_UNIT_BYTES % geo->block_bytes)
		return "is a part of a directory block that is no block";
	if (blf->blf_flags & XFS_BLF_INODE_BUF && blf->blf_len * SECTOR_UNIT_BYTES % geo->inode_bytes)
		return "is no cluster of inodes";
	return check_regions(item);
}

int recovery_note_cancelled(struct recovery *r, const struct recovery_item *item)
{
	const struct xfs_buf_log_format *blf = format_of(item);

	return cancel_table_add(&r->cancelled, (daddr_u64)blf->blf_blkno, blf->blf_len);
}

/* ---- replay ---------------------------------------------------------------------------------------------------- */

/* Only the unlinked pointers whose bytes are in the log. */
static int replay_unlinked(struct recovery *r, const struct recovery_item *item, struct buffer *buf)
{
	uint32_t off = offsetof(struct xfs_dinode, di_next_unlinked);
	struct run run = { .chunk = 0 };

	while (next_region(item, &run)) {
		uint32_t first = run.chunk * XFS_BLF_CHUNK, end = first + run.count * XFS_BLF_CHUNK;
		uint32_t inode = first / r->geo->inode_bytes * r->geo->inode_bytes;

		for (; inode + off < end; inode += r->geo->inode_bytes) {
			struct xfs_dinode *dip = (void *)((char *)buf->data + inode);
			__be32 next;
			bool was_whole;

			if (inode + off < first)
				continue;
			memcpy(&next, (char *)item->regions[run.region].data + (inode + off - first), sizeof(next));
			if (!next)
				return -EFSCORRUPTED;
			was_whole = dinode_crc_is_valid(r->geo, dip);
			dip->di_next_unlinked = next;
			if (was_whole)
				dinode_seal(r->geo, dip);
		}
	}
	recovery_dirty(r, buf, &recovery_cluster_type, 0);
	return 0;
}

static void copy_regions(const struct recovery_item *item, struct buffer *buf)
{
	struct run run = { .chunk = 0 };

	while (next_region(item, &run))
		memcpy((char *)buf->data + (size_t)run.chunk * XFS_BLF_CHUNK, item->regions[run.region].data,
		       (size_t)run.count * XFS_BLF_CHUNK);
}

static int replay_contents(struct recovery *r, const struct recovery_item *item, struct buffer *buf, lsn_t lsn)
{
	unsigned log_type = log_type_of(format_of(item));
	const struct block_type *type;

	copy_regions(item, buf);
	if (is_piece(r->geo, format_of(item)))
		return recovery_dirty_piece(r, buf, lsn);
	type = type_of_replayed(r->geo, buf, log_type);
	if (!type)
		return -EFSCORRUPTED;
	/* New inodes, all of them as they were logged. */
	if (type == &recovery_cluster_type)
		block_inode_cluster.seal(r->geo, buf->data, buf->bytes, 0);
	recovery_dirty(r, buf, type, lsn);
	return 0;
}

static bool is_of_quota_off(const struct recovery *r, const struct xfs_buf_log_format *blf)
{
	uint8_t types = 0;

	if (blf->blf_flags & XFS_BLF_UDQUOT_BUF)
		types |= XFS_DQTYPE_USER;
	if (blf->blf_flags & XFS_BLF_PDQUOT_BUF)
		types |= XFS_DQTYPE_PROJ;
	if (blf->blf_flags & XFS_BLF_GDQUOT_BUF)
		types |= XFS_DQTYPE_GROUP;
	return r->quota_off & types;
}

static int replay_into(struct recovery *r, const struct recovery_item *item, struct buffer *buf, lsn_t lsn)
{
	const struct xfs_buf_log_format *blf = format_of(item);
	int err;

	if (!recovery_is_dirty(buf) && is_newer(r->geo, buf, lsn))
		return 0;
	if (blf->blf_flags & XFS_BLF_INODE_BUF)
		err = replay_unlinked(r, item, buf);
	else
		err = replay_contents(r, item, buf, lsn);
	if (err)
		msg_error("block at daddr 0x%llx cannot be replayed: it does not become what the log says it is "
			  "(%u); run xfs_repair",
			  (unsigned long long)buf->daddr, log_type_of(blf));
	else
		r->report->buffers++;
	return err;
}

static void readahead_buffer(struct recovery *r, const struct recovery_item *item)
{
	const struct xfs_buf_log_format *blf = format_of(item);

	if (!(blf->blf_flags & XFS_BLF_CANCEL))
		recovery_readahead(r, (daddr_u64)blf->blf_blkno, blf->blf_len);
}

static int replay_buffer(struct recovery *r, const struct recovery_item *item, lsn_t lsn)
{
	const struct xfs_buf_log_format *blf = format_of(item);
	daddr_u64 daddr = (daddr_u64)blf->blf_blkno;
	struct buffer *buf;
	int err;

	if (blf->blf_flags & XFS_BLF_CANCEL) {
		cancel_table_drop(&r->cancelled, daddr, blf->blf_len);
		return 0;
	}
	if (recovery_is_cancelled(r, daddr, blf->blf_len)) {
		r->report->cancelled++;
		return 0;
	}
	if (is_of_quota_off(r, blf))
		return 0;
	err = recovery_read(r, daddr, blf->blf_len, &buf);
	if (err)
		return err;
	err = replay_into(r, item, buf, lsn);
	buffer_release(buf);
	return err;
}

const struct recovery_item_type recovery_buffer_type = {
	.name = "buffer",
	.type = XFS_LI_BUF,
	.kind = RECOVERY_REPLAY,
	.order = RECOVERY_FIRST,
	.check = check_buffer,
	.readahead = readahead_buffer,
	.replay = replay_buffer,
};
