// SPDX-License-Identifier: GPL-2.0
/*
 * Values in blocks of their own.  (XFS: xfs_attr_remote.c.)
 *
 *	block 0          block 1          block 2
 *	| hdr | value... | hdr | value... | hdr | value, zeroes |
 *
 * They are not logged: they are written before the transaction that makes the attribute visible commits, and the
 * flush that precedes its log record makes them durable first.  Nothing on disk refers to them until then.
 */
#include "internal.h"

#include <userxfs/base/bits.h>

#define MAX_PIECES 16u			/* extents looked at in one go */

static uint32_t payload(const struct geometry *geo)
{
	return geo->block_bytes - (uint32_t)sizeof(struct xfs_attr3_rmt_hdr);
}

uint32_t remote_blocks(const struct geometry *geo, uint32_t length)
{
	return (uint32_t)div_round_up(length, payload(geo));
}

static struct buffer_cache *cache_of(const struct inode *inode)
{
	return log_cache(inode_cache_log(inode->cache));
}

static uint32_t daddrs(const struct geometry *geo, uint64_t blocks)
{
	return (uint32_t)(blocks << (geo->block_log - SECTOR_UNIT_LOG));
}

/* Calls @each for every extent of a value, in order; @off is the value's byte at which it starts. */
static int for_each_piece(struct inode *inode, uint32_t blk, uint32_t length, bool holes_ok,
			  int (*each)(struct inode *inode, const struct extent *ext, uint32_t off, void *context),
			  void *context)
{
	const struct geometry *geo = inode_geometry(inode);
	uint32_t count = remote_blocks(geo, length), done = 0;

	while (done < count) {
		struct extent ext[MAX_PIECES];
		unsigned n = MAX_PIECES;

		map_read(&inode->map, FORK_ATTR, (fileblk_t)blk + done, count - done, false, ext, &n);
		for (unsigned i = 0; i < n; i++) {
			int err;

			if (ext[i].state == EXTENT_WRITTEN)
				err = each(inode, &ext[i], done * payload(geo), context);
			else
				err = holes_ok ? 0 : attr_corrupt(inode, "a value is not on disk");
			if (err)
				return err;
			done += (uint32_t)ext[i].count;
		}
	}
	return 0;
}

/* ---- reading ---- */

struct reading {
	char *out;
	uint32_t length;
};

/* One block: whose, where, how much. */
static const char *block_verify(const struct inode *inode, const struct xfs_attr3_rmt_hdr *hdr, uint32_t off,
				uint32_t bytes)
{
	if (be64_to_cpu(hdr->rm_owner) != inode->ino.v)
		return "a value belongs to another inode";
	if (be32_to_cpu(hdr->rm_offset) != off || be32_to_cpu(hdr->rm_bytes) != bytes)
		return "a value has the wrong parts";
	return NULL;
}

static int read_piece(struct inode *inode, const struct extent *ext, uint32_t off, void *context)
{
	const struct geometry *geo = inode_geometry(inode);
	daddr_u64 daddr = fsblk_to_daddr(geo, ext->start);
	struct reading *reading = context;
	struct buffer *buf;
	int err;

	err = buffer_read(cache_of(inode), daddr, daddrs(geo, ext->count), &block_attr_remote, &buf);
	if (err)
		return err;
	for (uint64_t i = 0; !err && i < ext->count; i++, off += payload(geo)) {
		const struct xfs_attr3_rmt_hdr *hdr = (const void *)((char *)buf->data + (i << geo->block_log));
		uint32_t bytes = (uint32_t)min_u64(payload(geo), reading->length - off);
		const char *reason = block_verify(inode, hdr, off, bytes);

		if (reason)
			err = attr_corrupt(inode, reason);
		else
			memcpy(reading->out + off, hdr + 1, bytes);
	}
	buffer_release(buf);
	return err;
}

int remote_read(struct attr_op *op, uint32_t blk, uint32_t length, void *out)
{
	struct reading reading = { out, length };

	if (!blk || length > XFS_XATTR_SIZE_MAX)
		return attr_corrupt(op->inode, "a value has no place");
	return for_each_piece(op->inode, blk, length, false, read_piece, &reading);
}

/* ---- writing ---- */

int remote_allocate(struct attr_op *op, uint32_t *blk)
{
	struct file_map *map = &op->inode->map;
	uint32_t count = remote_blocks(op->geo, op->value_length);
	fileblk_t first = map_first_unused(map, FORK_ATTR, count, 0);

	if (first + count > UINT32_MAX)
		return -EFBIG;
	for (uint32_t done = 0; done < count;) {
		uint64_t before = map->block_count, used;
		struct extent ext;
		unsigned n = 1;
		int err;

		/* Not metadata to the allocator: blocks whose freeing is not on disk yet must not be overwritten. */
		err = map_write(op->tx, map, FORK_ATTR, first + done, count - done, 0, op->blocks, &ext, &n);
		if (!err && !n)
			err = -ENOSPC;
		if (err)
			return err;
		used = map->block_count - before;
		op->blocks = used < op->blocks ? op->blocks - (uint32_t)used : 0;
		done += (uint32_t)ext.count;
		err = attr_roll(op);
		if (err)
			return err;
	}
	*blk = (uint32_t)first;
	return 0;
}

static void fill_block(struct inode *inode, void *data, daddr_u64 daddr, uint32_t off, const char *value,
		       uint32_t bytes)
{
	const struct geometry *geo = inode_geometry(inode);
	struct xfs_attr3_rmt_hdr *hdr = data;

	memset(data, 0, geo->block_bytes);
	hdr->rm_magic = cpu_to_be32(XFS_ATTR3_RMT_MAGIC);
	hdr->rm_offset = cpu_to_be32(off);
	hdr->rm_bytes = cpu_to_be32(bytes);
	memcpy(&hdr->rm_uuid, geo->meta_uuid, sizeof(hdr->rm_uuid));
	hdr->rm_owner = cpu_to_be64(inode->ino.v);
	hdr->rm_blkno = cpu_to_be64(daddr);
	hdr->rm_lsn = cpu_to_be64(NULLCOMMITLSN);
	memcpy(hdr + 1, value + off, bytes);
}

static int write_piece(struct inode *inode, const struct extent *ext, uint32_t off, void *context)
{
	const struct geometry *geo = inode_geometry(inode);
	const struct attr_op *op = context;
	daddr_u64 daddr = fsblk_to_daddr(geo, ext->start);
	struct buffer *buf;
	int err;

	err = buffer_get(cache_of(inode), daddr, daddrs(geo, ext->count), &buf);
	if (err)
		return err;
	for (uint64_t i = 0; i < ext->count; i++, off += payload(geo))
		fill_block(inode, (char *)buf->data + (i << geo->block_log), daddr + daddrs(geo, i), off, op->value,
			   (uint32_t)min_u64(payload(geo), op->value_length - off));
	buf->type = &block_attr_remote;
	atomic_fetch_or(&buf->flags, BUFFER_VALID);
	err = buffer_write(buf);
	buffer_release(buf);
	return err;
}

int remote_write(struct attr_op *op, uint32_t blk)
{
	return for_each_piece(op->inode, blk, op->value_length, false, write_piece, op);
}

/* ---- freeing ---- */

static int forget_piece(struct inode *inode, const struct extent *ext, uint32_t off, void *context)
{
	const struct geometry *geo = inode_geometry(inode);
	struct buffer *buf;
	int err;

	(void)off;
	(void)context;
	err = buffer_find(cache_of(inode), fsblk_to_daddr(geo, ext->start), daddrs(geo, ext->count), false, &buf);
	if (err || !buf)
		return err;
	buffer_mark_stale(buf);
	buffer_release(buf);
	return 0;
}

int remote_forget(struct inode *inode, uint32_t blk, uint32_t length)
{
	return for_each_piece(inode, blk, length, true, forget_piece, NULL);
}

int remote_free(struct attr_op *op, uint32_t blk, uint32_t length)
{
	uint64_t count = remote_blocks(op->geo, length);
	int err;

	err = remote_forget(op->inode, blk, length);
	while (!err && count) {
		uint64_t left = 0;

		err = map_unmap(op->tx, &op->inode->map, FORK_ATTR, blk, count, 1, &left);
		count = left;
		if (!err)
			err = attr_roll(op);
	}
	return err;
}
