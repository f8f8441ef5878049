// SPDX-License-Identifier: GPL-2.0
/*
 * An inode's core between memory and its bytes, on disk (big-endian) and in the log (host order).  (XFS:
 * xfs_inode_from_disk, xfs_inode_to_disk, xfs_inode_to_log_dinode.)
 *
 * di_next_unlinked is changed in the cluster buffer, by unlinked.c alone: neither a flush nor the log's copy of the
 * core carries it, so that a list's pointers and their logged buffers always agree.
 */
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#include "cache.h"

#define LITERAL_OFF sizeof(struct xfs_dinode)

/* ---- from disk ---- */

void inode_refresh_map_hints(struct inode *inode)
{
	struct file_map *map = &inode->map;
	uint32_t hint = inode->di_flags & XFS_DIFLAG_EXTSIZE ? inode->extent_hint : 0;
	uint32_t cow_hint = inode->di_flags2 & XFS_DIFLAG2_COWEXTSIZE ? inode->cow_hint : 0;

	map->is_reflink = inode->di_flags2 & XFS_DIFLAG2_REFLINK;
	map->has_nrext64 = inode->di_flags2 & XFS_DIFLAG2_NREXT64;
	map->is_directory = S_ISDIR(inode->mode);
	map->extent_hint_blocks = hint;
	map->cow_hint_blocks = (uint32_t)max_u64(cow_hint, hint);
}

static void decode_core(struct inode *inode, const struct xfs_dinode *dip)
{
	bool is_bigtime = xfs_dinode_has_bigtime(dip);

	inode->generation = be32_to_cpu(dip->di_gen);
	inode->mode = be16_to_cpu(dip->di_mode);
	inode->uid = be32_to_cpu(dip->di_uid);
	inode->gid = be32_to_cpu(dip->di_gid);
	inode->project = (uint32_t)be16_to_cpu(dip->di_projid_hi) << 16 | be16_to_cpu(dip->di_projid_lo);
	inode->nlink = be32_to_cpu(dip->di_nlink);
	inode->disk_size_bytes = be64_to_cpu(dip->di_size);
	atomic_store(&inode->size_bytes, inode->disk_size_bytes);
	inode->atime = timestamp_decode(dip->di_atime, is_bigtime);
	inode->mtime = timestamp_decode(dip->di_mtime, is_bigtime);
	inode->ctime = timestamp_decode(dip->di_ctime, is_bigtime);
	inode->btime = timestamp_decode(dip->di_crtime, is_bigtime);
	inode->di_flags = be16_to_cpu(dip->di_flags);
	inode->di_flags2 = be64_to_cpu(dip->di_flags2);
	inode->extent_hint = be32_to_cpu(dip->di_extsize);
	inode->cow_hint = be32_to_cpu(dip->di_cowextsize);
	inode->change_count = be64_to_cpu(dip->di_changecount);
	inode->next_unlinked = be32_to_cpu(dip->di_next_unlinked);
}

int inode_decode(struct inode *inode, const struct xfs_dinode *dip)
{
	const char *reason = dinode_verify(inode->cache->geo, inode->ino, dip);
	int err;

	if (reason)
		return inode_complain(inode, reason);
	decode_core(inode, dip);
	err = map_decode(&inode->map, dip);
	inode_refresh_map_hints(inode);
	return err;
}

int inode_cluster_read(struct inode_cache *cache, struct tx *tx, const struct inode_place *place, struct buffer **out)
{
	if (tx)
		return tx_buffer_read(tx, place->daddr, place->count, &block_inode_cluster, out);
	return buffer_read(cache->buffers, place->daddr, place->count, &block_inode_cluster, out);
}

void inode_cluster_release(struct tx *tx, struct buffer *buf)
{
	if (!tx)
		buffer_release(buf);
	else if (!tx_buffer_is_dirty(tx, buf))
		tx_buffer_release(tx, buf);
}

struct xfs_dinode *inode_in_cluster(const struct inode *inode, struct buffer *buf)
{
	return (void *)((char *)buf->data + inode->place.off_bytes);
}

/* ---- to disk ---- */

static uint8_t ondisk_format(const struct fork *fork)
{
	switch (fork->format) {
	case FORK_DEVICE:
		return XFS_DINODE_FMT_DEV;
	case FORK_LOCAL:
		return XFS_DINODE_FMT_LOCAL;
	case FORK_EXTENTS:
		return XFS_DINODE_FMT_EXTENTS;
	case FORK_BTREE:
		return XFS_DINODE_FMT_BTREE;
	}
	ensure(false);
	return 0;
}

static bool has_attr_fork(const struct inode *inode)
{
	return inode->map.attr_space != 0;
}

static uint8_t attr_format(const struct inode *inode)
{
	return has_attr_fork(inode) ? ondisk_format(&inode->map.attr) : XFS_DINODE_FMT_EXTENTS;
}

/* In units of 8 bytes. */
static uint8_t fork_offset(const struct inode *inode)
{
	return has_attr_fork(inode) ? (uint8_t)(inode->map.fork_space >> 3) : 0;
}

void inode_encode(struct inode *inode, lsn_t lsn, struct xfs_dinode *dip)
{
	bool is_bigtime = inode->di_flags2 & XFS_DIFLAG2_BIGTIME;

	dip->di_magic = cpu_to_be16(XFS_DINODE_MAGIC);
	dip->di_mode = cpu_to_be16(inode->mode);
	dip->di_version = 3;
	dip->di_onlink = 0;
	dip->di_uid = cpu_to_be32(inode->uid);
	dip->di_gid = cpu_to_be32(inode->gid);
	dip->di_nlink = cpu_to_be32(inode->nlink);
	dip->di_projid_lo = cpu_to_be16(inode->project & 0xffff);
	dip->di_projid_hi = cpu_to_be16(inode->project >> 16);
	dip->di_atime = timestamp_encode(inode->atime, is_bigtime);
	dip->di_mtime = timestamp_encode(inode->mtime, is_bigtime);
	dip->di_ctime = timestamp_encode(inode->ctime, is_bigtime);
	dip->di_size = cpu_to_be64(inode->disk_size_bytes);
	dip->di_extsize = cpu_to_be32(inode->extent_hint);
	dip->di_dmevmask = 0;
	dip->di_dmstate = 0;
	dip->di_flags = cpu_to_be16(inode->di_flags);
	dip->di_gen = cpu_to_be32(inode->generation);
	dip->di_changecount = cpu_to_be64(inode->change_count);
	dip->di_lsn = cpu_to_be64(lsn);
	dip->di_flags2 = cpu_to_be64(inode->di_flags2);
	dip->di_cowextsize = cpu_to_be32(inode->cow_hint);
	memset(dip->di_pad2, 0, sizeof(dip->di_pad2));
	dip->di_crtime = timestamp_encode(inode->btime, is_bigtime);
	dip->di_ino = cpu_to_be64(inode->ino.v);
	memcpy(&dip->di_uuid, inode->cache->geo->meta_uuid, sizeof(dip->di_uuid));

	/* Formats, counts and where the attr fork starts too. */
	memset((char *)dip + LITERAL_OFF, 0, inode->cache->geo->inode_bytes - LITERAL_OFF);
	fork_encode(&inode->map, FORK_DATA, dip);
	if (has_attr_fork(inode))
		fork_encode(&inode->map, FORK_ATTR, dip);
}

/* ---- to the log ---- */

static xfs_log_timestamp_t log_timestamp(struct timespec t, bool is_bigtime)
{
	uint64_t v = be64_to_cpu(timestamp_encode(t, is_bigtime));
	struct xfs_log_legacy_timestamp legacy;
	xfs_log_timestamp_t out;

	if (is_bigtime)
		return v;
	legacy.t_sec = (int32_t)(v >> 32);
	legacy.t_nsec = (int32_t)v;
	memcpy(&out, &legacy, sizeof(out));
	return out;
}

static void encode_log_counters(const struct inode *inode, struct xfs_log_dinode *out)
{
	uint64_t data_extents = inode->map.data.extent_count;
	uint64_t attr_extents = has_attr_fork(inode) ? inode->map.attr.extent_count : 0;

	if (inode->di_flags2 & XFS_DIFLAG2_NREXT64) {
		out->di_big_nextents = data_extents;
		out->di_big_anextents = (uint32_t)attr_extents;
		return;
	}
	out->di_nextents = (uint32_t)data_extents;
	out->di_anextents = (uint16_t)attr_extents;
}

void inode_encode_log(struct inode *inode, lsn_t lsn, struct xfs_log_dinode *out)
{
	bool is_bigtime = inode->di_flags2 & XFS_DIFLAG2_BIGTIME;

	memset(out, 0, sizeof(*out));
	out->di_magic = XFS_DINODE_MAGIC;
	out->di_mode = inode->mode;
	out->di_version = 3;
	out->di_format = (int8_t)ondisk_format(&inode->map.data);
	out->di_uid = inode->uid;
	out->di_gid = inode->gid;
	out->di_nlink = inode->nlink;
	out->di_projid_lo = inode->project & 0xffff;
	out->di_projid_hi = (uint16_t)(inode->project >> 16);
	out->di_atime = log_timestamp(inode->atime, is_bigtime);
	out->di_mtime = log_timestamp(inode->mtime, is_bigtime);
	out->di_ctime = log_timestamp(inode->ctime, is_bigtime);
	out->di_size = (xfs_fsize_t)inode->disk_size_bytes;
	out->di_nblocks = inode->map.block_count;
	out->di_extsize = inode->extent_hint;
	encode_log_counters(inode, out);
	out->di_forkoff = fork_offset(inode);
	out->di_aformat = (int8_t)attr_format(inode);
	out->di_flags = inode->di_flags;
	out->di_gen = inode->generation;
	out->di_next_unlinked = NULLAGINO;
	out->di_changecount = inode->change_count;
	out->di_lsn = (xfs_lsn_t)lsn;
	out->di_flags2 = inode->di_flags2;
	out->di_cowextsize = inode->cow_hint;
	out->di_crtime = log_timestamp(inode->btime, is_bigtime);
	out->di_ino = inode->ino.v;
	memcpy(&out->di_uuid, inode->cache->geo->meta_uuid, sizeof(out->di_uuid));
}
