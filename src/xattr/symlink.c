// SPDX-License-Identifier: GPL-2.0
/*
 * A symlink whose inline target must make room for attributes: the target moves to blocks.
 * (XFS: xfs_symlink_local_to_remote, called from xfs_bmap_add_attrfork.)
 */
#include "internal.h"

#include <userxfs/base/bits.h>

static void fill_piece(struct inode *link, struct buffer *buf, const uint8_t *target, uint32_t off, uint32_t bytes)
{
	const struct geometry *geo = inode_geometry(link);
	struct xfs_dsymlink_hdr *hdr = buf->data;

	memset(buf->data, 0, buf->bytes);
	hdr->sl_magic = cpu_to_be32(XFS_SYMLINK_MAGIC);
	hdr->sl_offset = cpu_to_be32(off);
	hdr->sl_bytes = cpu_to_be32(bytes);
	memcpy(&hdr->sl_uuid, geo->meta_uuid, sizeof(hdr->sl_uuid));
	hdr->sl_owner = cpu_to_be64(link->ino.v);
	hdr->sl_blkno = cpu_to_be64(buf->daddr);
	memcpy(hdr + 1, target + off, bytes);
	buf->type = &block_symlink;
}

/* Writes as much of the target as fits @ext; *off moves on. */
static int write_extent(struct tx *tx, struct inode *link, const struct extent *ext, const uint8_t *target,
			uint32_t length, uint32_t *off)
{
	const struct geometry *geo = inode_geometry(link);
	uint64_t room = (ext->count << geo->block_log) - sizeof(struct xfs_dsymlink_hdr);
	uint32_t bytes = (uint32_t)min_u64(room, length - *off);
	struct buffer *buf;
	int err;

	err = tx_buffer_get(tx, fsblk_to_daddr(geo, ext->start),
			    (uint32_t)(ext->count << (geo->block_log - SECTOR_UNIT_LOG)), &buf);
	if (err)
		return err;
	fill_piece(link, buf, target, *off, bytes);
	tx_buffer_log(tx, buf, 0, (uint32_t)sizeof(struct xfs_dsymlink_hdr) + bytes);
	*off += bytes;
	return 0;
}

int symlink_to_remote(struct tx *tx, struct inode *link, uint32_t blocks)
{
	const struct geometry *geo = inode_geometry(link);
	uint32_t length = link->map.data.local_bytes, off = 0;
	uint64_t count = div_round_up(length, geo->block_bytes - sizeof(struct xfs_dsymlink_hdr));
	uint8_t target[XFS_DINODE_MAX_SIZE];

	ensure(length <= sizeof(target));
	memcpy(target, link->map.data.local, length);
	fork_set_extents(&link->map, FORK_DATA);
	map_log_fork(tx, &link->map, FORK_DATA);
	for (fileblk_t blk = 0; blk < count;) {
		struct extent ext;
		unsigned n = 1;
		int err;

		err = map_write(tx, &link->map, FORK_DATA, blk, count - blk, MAP_METADATA, blocks, &ext, &n);
		if (!err && !n)
			err = -ENOSPC;
		if (!err)
			err = write_extent(tx, link, &ext, target, length, &off);
		if (err)
			return err;
		blk += ext.count;
	}
	ensure(off == length);
	return 0;
}
