// SPDX-License-Identifier: GPL-2.0
/*
 * Where a symlink's target is: in the inode if it fits, else in blocks of its own, whose runs each begin with a
 * struct xfs_dsymlink_hdr.  (XFS: xfs_symlink.c, xfs_symlink_remote.c.)
 */
#include <string.h>
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/message.h>

#include "internal.h"

#define HEADER_BYTES sizeof(struct xfs_dsymlink_hdr)

/* As if each block were a run of its own. */
static uint32_t remote_blocks(const struct geometry *geo, size_t length)
{
	return (uint32_t)div_round_up(length, geo->block_bytes - HEADER_BYTES);
}

uint32_t symlink_blocks(const struct geometry *geo, size_t length)
{
	return length <= geo->inode_bytes - sizeof(struct xfs_dinode) ? 0 : remote_blocks(geo, length);
}

/* The runs of a target of @length bytes.  What the disk maps beyond it is not looked at. */
static unsigned find_runs(const struct inode *link, size_t length, struct extent runs[XFS_SYMLINK_MAPS])
{
	unsigned n = XFS_SYMLINK_MAPS;

	map_read(&link->map, FORK_DATA, 0, remote_blocks(inode_geometry(link), length), false, runs, &n);
	return n;
}

/* ---- writing ---- */

/* The piece of the target at @off goes into the blocks of @ext; *bytes: how much of it. */
static int write_piece(struct tx *tx, struct inode *link, const struct extent *ext, const char *target, size_t off,
		       size_t length, size_t *bytes)
{
	const struct geometry *geo = inode_geometry(link);
	daddr_u64 daddr = fsblk_to_daddr(geo, ext->start);
	struct xfs_dsymlink_hdr *header;
	struct buffer *buf;
	size_t n;
	int err;

	err = tx_buffer_get(tx, daddr, (uint32_t)(ext->count << (geo->block_log - SECTOR_UNIT_LOG)), &buf);
	if (err)
		return err;
	n = min_u64(buf->bytes - HEADER_BYTES, length - off);
	buf->type = &block_symlink;
	memset(buf->data, 0, buf->bytes);
	header = buf->data;
	header->sl_magic = cpu_to_be32(XFS_SYMLINK_MAGIC);
	header->sl_offset = cpu_to_be32((uint32_t)off);
	header->sl_bytes = cpu_to_be32((uint32_t)n);
	memcpy(&header->sl_uuid, geo->meta_uuid, sizeof(header->sl_uuid));
	header->sl_owner = cpu_to_be64(link->ino.v);
	header->sl_blkno = cpu_to_be64(daddr);
	memcpy(header + 1, target + off, n);
	tx_buffer_log(tx, buf, 0, (uint32_t)(HEADER_BYTES + n));
	*bytes = n;
	return 0;
}

static int write_remote(struct tx *tx, struct inode *link, const char *target, size_t length, uint32_t blocks)
{
	struct extent extents[XFS_SYMLINK_MAPS];
	unsigned n = XFS_SYMLINK_MAPS;
	size_t off = 0;
	int err;

	err = map_write(tx, &link->map, FORK_DATA, 0, blocks, MAP_METADATA, blocks, extents, &n);
	for (unsigned i = 0; i < n && off < length && !err; i++) {
		size_t bytes = 0;

		err = write_piece(tx, link, &extents[i], target, off, length, &bytes);
		off += bytes;
	}
	if (!err && off < length)
		err = -ENOSPC;
	return err;
}

int symlink_write(struct tx *tx, struct inode *link, const char *target, size_t length, uint32_t blocks)
{
	int err = 0;

	if (blocks) {
		err = write_remote(tx, link, target, length, blocks);
	} else {
		fork_set_local(&link->map, FORK_DATA, target, (uint32_t)length);
		map_log_fork(tx, &link->map, FORK_DATA);
	}
	link->disk_size_bytes = length;
	atomic_store(&link->size_bytes, length);
	inode_log(tx, link, false);
	return err;
}

/* ---- reading ---- */

static int complain(const struct inode *link, const char *reason)
{
	msg_error("symlink %llu: %s; unmount and run xfs_repair", (unsigned long long)link->ino.v, reason);
	return -EFSCORRUPTED;
}

static int read_piece(struct inode *link, const struct extent *ext, char *target, size_t off, size_t length,
		      size_t *bytes)
{
	const struct geometry *geo = inode_geometry(link);
	const struct xfs_dsymlink_hdr *header;
	struct buffer *buf;
	int err;

	err = buffer_read(space_cache(link->map.space), fsblk_to_daddr(geo, ext->start),
			  (uint32_t)(ext->count << (geo->block_log - SECTOR_UNIT_LOG)), &block_symlink, &buf);
	if (err)
		return err;
	header = buf->data;
	*bytes = min_u64(buf->bytes - HEADER_BYTES, length - off);
	if (be64_to_cpu(header->sl_owner) != link->ino.v || be32_to_cpu(header->sl_offset) != off ||
	    be32_to_cpu(header->sl_bytes) != *bytes)
		err = complain(link, "a block of its target belongs to something else");
	else
		memcpy(target + off, header + 1, *bytes);
	buffer_release(buf);
	return err;
}

static int read_remote(struct inode *link, char *target, size_t length)
{
	struct extent runs[XFS_SYMLINK_MAPS];
	unsigned n = find_runs(link, length, runs);
	size_t off = 0;

	for (unsigned i = 0; i < n && off < length; i++) {
		size_t bytes = 0;
		int err;

		if (runs[i].state != EXTENT_WRITTEN)
			return complain(link, "its target has a hole");
		err = read_piece(link, &runs[i], target, off, length, &bytes);
		if (err)
			return err;
		off += bytes;
	}
	return off < length ? complain(link, "its target has too few blocks") : 0;
}

static int read_target(struct inode *link, char *target, size_t capacity)
{
	uint64_t length = link->disk_size_bytes;
	int err = 0;

	if (!length || length > XFS_SYMLINK_MAXLEN)
		return complain(link, "impossible length of its target");
	if (length >= capacity)
		return -ERANGE;
	if (link->map.data.format != FORK_LOCAL)
		err = read_remote(link, target, length);
	else if (link->map.data.local_bytes < length)
		err = complain(link, "its target is longer than the inode's bytes");
	else
		memcpy(target, link->map.data.local, length);
	if (err)
		return err;
	target[length] = 0;
	return strlen(target) == length ? 0 : complain(link, "its target has a NUL in it");
}

int namespace_readlink(struct namespace *ns, struct inode *link, char *target, size_t capacity)
{
	int err = 0;

	(void)ns;
	if (!S_ISLNK(link->mode))
		return -EINVAL;
	rwlock_read_lock(&link->map_lock);
	if (link->map.data.format != FORK_LOCAL && !map_is_loaded(&link->map, FORK_DATA))
		err = complain(link, "its target has a B+tree of extents");
	if (!err)
		err = read_target(link, target, capacity);
	rwlock_read_unlock(&link->map_lock);
	return err;
}

/* ---- freeing ---- */

/* The blocks' old contents must not be replayed, nor written, over what is in them next. */
static int invalidate_target(struct tx *tx, struct inode *link)
{
	const struct geometry *geo = inode_geometry(link);
	struct extent runs[XFS_SYMLINK_MAPS];
	unsigned n = find_runs(link, link->disk_size_bytes, runs);

	for (unsigned i = 0; i < n; i++) {
		struct buffer *buf;
		int err;

		if (runs[i].state == EXTENT_HOLE)
			continue;
		err = tx_buffer_get(tx, fsblk_to_daddr(geo, runs[i].start),
				    (uint32_t)(runs[i].count << (geo->block_log - SECTOR_UNIT_LOG)), &buf);
		if (err)
			return err;
		tx_buffer_invalidate(tx, buf);
	}
	return 0;
}

static int dismantle_in(struct tx *tx, struct inode *link)
{
	uint64_t left = 0;
	int err;

	err = map_load(&link->map, FORK_DATA);
	if (!err)
		err = invalidate_target(tx, link);
	if (!err && map_end(&link->map, FORK_DATA))
		err = map_unmap(tx, &link->map, FORK_DATA, 0, map_end(&link->map, FORK_DATA), XFS_SYMLINK_MAPS,
				&left);
	if (err || left)
		return err ? err : complain(link, "its target has more blocks than a target can have");
	/* Older kernels' verifiers know no symlink without a target, not even one that is going away. */
	link->mode = S_IFREG | (link->mode & (uint16_t)~S_IFMT);
	link->disk_size_bytes = 0;
	atomic_store(&link->size_bytes, 0);
	inode_log(tx, link, false);
	return 0;
}

int symlink_dismantle(struct namespace *ns, struct inode *link)
{
	struct tx *tx;
	int err;

	if (link->map.data.format == FORK_LOCAL)
		return 0;
	err = tx_begin(ns->log, &ns_reservations(ns)->truncate, 0, 0, &tx);
	if (err)
		return err;
	join_inodes(tx, &link, 1);
	err = dismantle_in(tx, link);
	if (!err)
		return tx_commit(tx);
	tx_cancel(tx);
	return err;
}
