// SPDX-License-Identifier: GPL-2.0
/*
 * Replaying inodes.  (XFS: xfs_inode_item_recover.c.)
 *
 * The core in the log replaces the one on disk, but for the LSN and the unlinked pointer; so does each fork that was
 * logged.  An inode on disk that is newer stays as it is.  The LSN of the transaction goes into the inode: replaying
 * that is cut off and begun again skips what is there already.
 *
 * A fork whose B+tree came from another inode (swapped extents, without reverse mappings) has its owner set in every
 * block.
 */
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "cache.h"

enum {
	REGIONS_MAX = 4,
	UNITS_MAX = XFS_MAX_BLOCKSIZE / SECTOR_UNIT_BYTES,
};

#define OWNER_FIELDS (XFS_ILOG_DOWNER | XFS_ILOG_AOWNER)

/* ---- the first region ------------------------------------------------------------------------------------------ */

/* It has two layouts: 32-bit machines do not pad it. */
static bool decode_format(const struct recovery_item *item, struct xfs_inode_log_format *out)
{
	const struct recovery_region *region = &item->regions[0];
	const struct xfs_inode_log_format_32 *packed = region->data;

	if (region->bytes == sizeof(*out)) {
		memcpy(out, region->data, sizeof(*out));
		return true;
	}
	if (region->bytes != sizeof(*packed))
		return false;
	*out = (struct xfs_inode_log_format){
		.ilf_type = packed->ilf_type,
		.ilf_size = packed->ilf_size,
		.ilf_fields = packed->ilf_fields,
		.ilf_asize = packed->ilf_asize,
		.ilf_dsize = packed->ilf_dsize,
		.ilf_ino = packed->ilf_ino,
		.ilf_blkno = packed->ilf_blkno,
		.ilf_len = packed->ilf_len,
		.ilf_boffset = packed->ilf_boffset,
	};
	memcpy(&out->ilf_u, &packed->ilf_u, sizeof(out->ilf_u));
	return true;
}

/* The region of a fork, NULL: it was not logged. */
static const struct recovery_region *fork_region(const struct recovery_item *item,
						 const struct xfs_inode_log_format *f, bool is_attr)
{
	bool has_data = f->ilf_fields & XFS_ILOG_DFORK;

	if (!is_attr)
		return has_data ? &item->regions[2] : NULL;
	return f->ilf_fields & XFS_ILOG_AFORK ? &item->regions[has_data ? 3 : 2] : NULL;
}

/* ---- what must hold -------------------------------------------------------------------------------------------- */

static size_t fork_room(const struct geometry *geo, const struct xfs_log_dinode *core, bool is_attr)
{
	size_t literal = geo->inode_bytes - sizeof(struct xfs_dinode), split = (size_t)core->di_forkoff << 3;
	size_t data = split ? split : literal;

	return is_attr ? literal - data : data;
}

/* A root in the log: header, keys, pointers behind as many keys as there is room for. */
static uint32_t root_capacity(uint32_t bytes)
{
	return (bytes - XFS_BTREE_LBLOCK_CRC_LEN) / (uint32_t)(sizeof(struct xfs_bmbt_key) + sizeof(xfs_bmbt_ptr_t));
}

static const char *check_root(const struct recovery_region *region, size_t room)
{
	const struct xfs_btree_block *block = region->data;
	uint32_t records;

	if (region->bytes < XFS_BTREE_LBLOCK_CRC_LEN)
		return "has too short a root";
	records = be16_to_cpu(block->bb_numrecs);
	if (be32_to_cpu(block->bb_magic) != XFS_BMAP_CRC_MAGIC || !be16_to_cpu(block->bb_level) ||
	    be16_to_cpu(block->bb_level) >= BTREE_MAX_LEVELS)
		return "has a root that is none";
	if (!records || records > root_capacity(region->bytes) || records > btree_iroot_capacity(room))
		return "has a root with too many records";
	return NULL;
}

static const char *check_fork(const struct geometry *geo, const struct recovery_item *item,
			      const struct xfs_inode_log_format *f, const struct xfs_log_dinode *core, bool is_attr)
{
	const struct recovery_region *region = fork_region(item, f, is_attr);
	uint32_t root_flag = is_attr ? XFS_ILOG_ABROOT : XFS_ILOG_DBROOT;
	uint32_t fields = f->ilf_fields & (is_attr ? XFS_ILOG_AFORK : XFS_ILOG_DFORK);
	size_t room = fork_room(geo, core, is_attr);

	if (!region)
		return NULL;
	if (fields & (fields - 1))
		return "has a fork of two kinds";
	if (fields == root_flag)
		return check_root(region, room);
	return region->bytes <= room ? NULL : "has a fork that is longer than its room";
}

static const char *check_place(const struct geometry *geo, const struct xfs_inode_log_format *f)
{
	if (!geometry_is_valid_inum(geo, (struct inum){ f->ilf_ino }))
		return "is of an impossible inode";
	if (f->ilf_len < 0 || f->ilf_len > UNITS_MAX ||
	    !recovery_is_in_volume(geo, f->ilf_blkno, (uint64_t)f->ilf_len))
		return "lies outside the volume";
	if (f->ilf_boffset < 0 || (uint32_t)f->ilf_boffset % geo->inode_bytes ||
	    (uint32_t)f->ilf_boffset + geo->inode_bytes > (uint32_t)f->ilf_len * SECTOR_UNIT_BYTES)
		return "lies outside its cluster";
	return NULL;
}

static const char *check_core(const struct geometry *geo, const struct xfs_inode_log_format *f,
			      const struct xfs_log_dinode *core)
{
	if (core->di_magic != XFS_DINODE_MAGIC || core->di_version != 3)
		return "has a core that is none";
	if (core->di_ino != f->ilf_ino)
		return "is of two inodes";
	if ((size_t)core->di_forkoff << 3 >= geo->inode_bytes - sizeof(struct xfs_dinode))
		return "has an attribute fork outside of it";
	return NULL;
}

static const char *check_inode(const struct geometry *geo, const struct recovery_item *item)
{
	struct xfs_inode_log_format f;
	const struct xfs_log_dinode *core;
	uint32_t regions = 2;
	const char *why;

	if (!decode_format(item, &f))
		return "is of an unknown length";
	regions += (f.ilf_fields & XFS_ILOG_DFORK) != 0;
	regions += (f.ilf_fields & XFS_ILOG_AFORK) != 0;
	if (item->region_count != regions || regions > REGIONS_MAX)
		return "has a wrong number of regions";
	core = item->regions[1].data;
	if (item->regions[1].bytes != sizeof(*core))
		return "has a core of another length";
	why = check_place(geo, &f);
	if (!why)
		why = check_core(geo, &f, core);
	if (!why)
		why = check_fork(geo, item, &f, core, false);
	if (!why)
		why = check_fork(geo, item, &f, core, true);
	return why;
}

/* ---- replay ---------------------------------------------------------------------------------------------------- */

static __be64 encode_time(const struct xfs_log_dinode *core, xfs_log_timestamp_t t)
{
	struct xfs_log_legacy_timestamp legacy;

	if (core->di_flags2 & XFS_DIFLAG2_BIGTIME)
		return cpu_to_be64(t);
	memcpy(&legacy, &t, sizeof(legacy));
	return cpu_to_be64((uint64_t)(uint32_t)legacy.t_sec << 32 | (uint32_t)legacy.t_nsec);
}

static void encode_counters(const struct xfs_log_dinode *from, struct xfs_dinode *to)
{
	if (from->di_flags2 & XFS_DIFLAG2_NREXT64) {
		to->di_big_nextents = cpu_to_be64(from->di_big_nextents);
		to->di_big_anextents = cpu_to_be32(from->di_big_anextents);
		to->di_nrext64_pad = cpu_to_be16(from->di_nrext64_pad);
		return;
	}
	to->di_v3_pad = cpu_to_be64(from->di_v3_pad);
	to->di_nextents = cpu_to_be32(from->di_nextents);
	to->di_anextents = cpu_to_be16(from->di_anextents);
}

static void replay_core(const struct geometry *geo, const struct xfs_log_dinode *from, lsn_t lsn,
			struct xfs_dinode *to)
{
	to->di_magic = cpu_to_be16(from->di_magic);
	to->di_mode = cpu_to_be16(from->di_mode);
	to->di_version = (__u8)from->di_version;
	to->di_format = (__u8)from->di_format;
	to->di_onlink = 0;
	to->di_uid = cpu_to_be32(from->di_uid);
	to->di_gid = cpu_to_be32(from->di_gid);
	to->di_nlink = cpu_to_be32(from->di_nlink);
	to->di_projid_lo = cpu_to_be16(from->di_projid_lo);
	to->di_projid_hi = cpu_to_be16(from->di_projid_hi);
	to->di_atime = encode_time(from, from->di_atime);
	to->di_mtime = encode_time(from, from->di_mtime);
	to->di_ctime = encode_time(from, from->di_ctime);
	to->di_size = cpu_to_be64((uint64_t)from->di_size);
	to->di_nblocks = cpu_to_be64(from->di_nblocks);
	to->di_extsize = cpu_to_be32(from->di_extsize);
	encode_counters(from, to);
	to->di_forkoff = from->di_forkoff;
	to->di_aformat = from->di_aformat;
	to->di_dmevmask = cpu_to_be32(from->di_dmevmask);
	to->di_dmstate = cpu_to_be16(from->di_dmstate);
	to->di_flags = cpu_to_be16(from->di_flags);
	to->di_gen = cpu_to_be32(from->di_gen);
	to->di_changecount = cpu_to_be64(from->di_changecount);
	to->di_lsn = cpu_to_be64(lsn);
	to->di_flags2 = cpu_to_be64(from->di_flags2);
	to->di_cowextsize = cpu_to_be32(from->di_cowextsize);
	memset(to->di_pad2, 0, sizeof(to->di_pad2));
	to->di_crtime = encode_time(from, from->di_crtime);
	to->di_ino = cpu_to_be64(from->di_ino);
	memcpy(&to->di_uuid, geo->meta_uuid, sizeof(to->di_uuid));
}

/* From the form that a root has in the log to that in an inode.  (XFS: xfs_bmbt_to_bmdr.) */
static void replay_root(const struct recovery_region *region, void *area, size_t room)
{
	const struct xfs_btree_block *block = region->data;
	const char *keys = (const char *)region->data + XFS_BTREE_LBLOCK_CRC_LEN;
	const char *ptrs = keys + root_capacity(region->bytes) * sizeof(struct xfs_bmbt_key);
	struct xfs_bmdr_block *root = area;
	uint32_t records = be16_to_cpu(block->bb_numrecs);
	char *to = (char *)area + sizeof(*root);

	memset(area, 0, room);
	root->bb_level = block->bb_level;
	root->bb_numrecs = block->bb_numrecs;
	memcpy(to, keys, records * sizeof(struct xfs_bmbt_key));
	memcpy(to + btree_iroot_capacity(room) * sizeof(struct xfs_bmbt_key), ptrs, records * sizeof(xfs_bmbt_ptr_t));
}

static void replay_fork(const struct geometry *geo, const struct recovery_item *item,
			const struct xfs_inode_log_format *f, bool is_attr, struct xfs_dinode *dip)
{
	const struct recovery_region *region = fork_region(item, f, is_attr);
	void *area = is_attr ? dinode_attr_fork(dip) : dinode_data_fork(dip);
	size_t room = is_attr ? dinode_attr_bytes(geo, dip) : dinode_data_bytes(geo, dip);

	if (!region)
		return;
	if (f->ilf_fields & (is_attr ? XFS_ILOG_ABROOT : XFS_ILOG_DBROOT))
		replay_root(region, area, room);
	else
		memcpy(area, region->data, region->bytes);
}

static int replay_into(struct recovery *r, const struct recovery_item *item, const struct xfs_inode_log_format *f,
		       lsn_t lsn, struct buffer *buf, struct xfs_dinode *dip)
{
	const struct geometry *geo = recovery_geometry(r);
	bool is_whole = dinode_crc_is_valid(geo, dip);
	const char *why = NULL;

	if (is_whole && recovery_lsn_is_newer(dip->di_lsn, lsn))
		return 0;
	replay_core(geo, item->regions[1].data, lsn, dip);
	if (f->ilf_fields & XFS_ILOG_DEV)
		*(__be32 *)dinode_data_fork(dip) = cpu_to_be32(f->ilf_u.ilfu_rdev);
	replay_fork(geo, item, f, false, dip);
	replay_fork(geo, item, f, true, dip);
	recovery_count_inode(r);
	if (!is_whole)
		return recovery_dirty_torn_inode(r, buf, dip);
	if (dip->di_mode)
		why = dinode_verify(geo, (struct inum){ f->ilf_ino }, dip);
	if (why) {
		msg_error("inode %llu cannot be replayed: %s; run xfs_repair", (unsigned long long)f->ilf_ino, why);
		return -EFSCORRUPTED;
	}
	recovery_dirty_inode(r, buf, dip);
	return 0;
}

/* ---- swapped extents ------------------------------------------------------------------------------------------- */

/* One level from its leftmost block on; *first becomes the leftmost of the level below.  @budget: blocks left. */
static int change_level(struct recovery *r, struct fsblk *first, uint64_t ino, uint64_t *budget)
{
	const struct geometry *geo = recovery_geometry(r);
	struct fsblk at = *first, below = FSBLK_NONE;

	while (!fsblk_is_none(at)) {
		struct xfs_btree_block *block;
		struct buffer *buf;
		int err;

		if (!geometry_is_valid_fsblk(geo, at) || !(*budget)--)
			return -EFSCORRUPTED;
		err = recovery_read(r, fsblk_to_daddr(geo, at), geo->block_bytes >> SECTOR_UNIT_LOG, &buf);
		if (err)
			return err;
		block = buf->data;
		if (block_bmbt.verify(geo, block, buf->bytes, buf->daddr)) {
			buffer_release(buf);
			return -EFSCORRUPTED;
		}
		if (fsblk_equal(at, *first) && be16_to_cpu(block->bb_level)) {
			const __be64 *ptrs = (const void *)((const char *)block + XFS_BTREE_LBLOCK_CRC_LEN +
							    geo->bmbt.max_node * sizeof(struct xfs_bmbt_key));

			below = (struct fsblk){ be64_to_cpu(ptrs[0]) };
		}
		at = (struct fsblk){ be64_to_cpu(block->bb_u.l.bb_rightsib) };
		if (be64_to_cpu(block->bb_u.l.bb_owner) != ino) {
			block->bb_u.l.bb_owner = cpu_to_be64(ino);
			recovery_dirty(r, buf, &block_bmbt, 0);
		}
		buffer_release(buf);
	}
	*first = below;
	return 0;
}

static int change_owner(struct recovery *r, const struct xfs_dinode *dip, bool is_attr)
{
	const struct geometry *geo = recovery_geometry(r);
	uint8_t format = is_attr ? (uint8_t)dip->di_aformat : dip->di_format;
	const struct xfs_bmdr_block *root = is_attr ? dinode_attr_fork(dip) : dinode_data_fork(dip);
	size_t room = is_attr ? dinode_attr_bytes(geo, dip) : dinode_data_bytes(geo, dip);
	uint64_t budget = min_u64(be64_to_cpu(dip->di_nblocks), geo->blocks);
	struct fsblk first;
	__be64 ptr;
	int err = 0;

	if (format != XFS_DINODE_FMT_BTREE)
		return 0;
	memcpy(&ptr, (const char *)(root + 1) + btree_iroot_capacity(room) * sizeof(struct xfs_bmbt_key),
	       sizeof(ptr));
	first = (struct fsblk){ be64_to_cpu(ptr) };
	while (!err && !fsblk_is_none(first))
		err = change_level(r, &first, be64_to_cpu(dip->di_ino), &budget);
	if (err == -EFSCORRUPTED)
		msg_error("the extents of inode %llu cannot be given to it: its tree is damaged; run xfs_repair",
			  (unsigned long long)be64_to_cpu(dip->di_ino));
	return err;
}

/*
 * Of the inode's trees as the log leaves them.  Those it had in between may be gone, and their blocks with them; of
 * the last ones all blocks are there, from the log or at home.
 */
static int change_owners(struct recovery *r, const struct xfs_dinode *dip)
{
	int err = change_owner(r, dip, false);

	return err ? err : change_owner(r, dip, true);
}

/* ---- the item -------------------------------------------------------------------------------------------------- */

static void readahead_inode(struct recovery *r, const struct recovery_item *item)
{
	struct xfs_inode_log_format f;

	ensure(decode_format(item, &f));
	recovery_readahead(r, (daddr_u64)f.ilf_blkno, (uint32_t)f.ilf_len);
}

static int replay_inode(struct recovery *r, const struct recovery_item *item, lsn_t lsn)
{
	struct xfs_inode_log_format f;
	struct xfs_dinode *dip;
	struct buffer *buf;
	int err;

	ensure(decode_format(item, &f));
	if (recovery_is_cancelled(r, (daddr_u64)f.ilf_blkno, (uint32_t)f.ilf_len))
		return 0;
	err = recovery_read(r, (daddr_u64)f.ilf_blkno, (uint32_t)f.ilf_len, &buf);
	if (err)
		return err;
	dip = (void *)((char *)buf->data + f.ilf_boffset);
	if (be16_to_cpu(dip->di_magic) != XFS_DINODE_MAGIC) {
		msg_error("inode %llu cannot be replayed: there is none at its place on disk; run xfs_repair",
			  (unsigned long long)f.ilf_ino);
		err = -EFSCORRUPTED;
	}
	if (!err)
		err = replay_into(r, item, &f, lsn, buf, dip);
	if (!err && f.ilf_fields & OWNER_FIELDS)
		err = recovery_visit_later(r, buf, dip, change_owners);
	if (!err)
		err = recovery_note_inode(r, buf, dip);
	buffer_release(buf);
	return err;
}

const struct recovery_item_type inode_recovery_type = {
	.name = "inode",
	.type = XFS_LI_INODE,
	.kind = RECOVERY_REPLAY,
	.order = RECOVERY_NORMAL,
	.check = check_inode,
	.readahead = readahead_inode,
	.replay = replay_inode,
};
