// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks of a directory's or attribute set's address space: reading, getting, mapping, unmapping.
 * (XFS: xfs_dabuf_map, xfs_da_read_buf, xfs_da_grow_inode_int, xfs_da_shrink_inode.)
 */
#include "internal.h"

#include <userxfs/base/bits.h>

void da_complain(const struct inode *inode, uint32_t blk, const char *reason)
{
	msg_error("inode 0x%llx: block 0x%x of its directory or attribute tree %s", (unsigned long long)inode->ino.v,
		  blk, reason);
}

static uint32_t fs_blocks_of(const struct inode *inode, enum fork_which which)
{
	return which == FORK_DATA ? inode_geometry(inode)->dir.fs_blocks : 1;
}

static struct buffer_cache *cache_of(const struct inode *inode)
{
	return log_cache(inode_cache_log(inode->cache));
}

/* The pieces of the block at @off; *n = 0 for a hole.  A block that is half a hole, or not on disk, is corruption. */
static int map_block(struct inode *inode, enum fork_which which, fileblk_t off, struct buffer_map *maps, uint32_t *n)
{
	const struct geometry *geo = inode_geometry(inode);
	uint32_t fs_blocks = fs_blocks_of(inode, which);
	struct extent ext[BUFFER_MAX_MAPS];
	unsigned count = BUFFER_MAX_MAPS;
	uint64_t covered = 0;

	map_read(&inode->map, which, off, fs_blocks, false, ext, &count);
	if (count == 1 && ext[0].state == EXTENT_HOLE) {
		*n = 0;
		return 0;
	}
	for (unsigned i = 0; i < count; i++) {
		if (ext[i].state != EXTENT_WRITTEN)
			return da_corrupt(inode, (uint32_t)off, "is not wholly on disk");
		maps[i].daddr = fsblk_to_daddr(geo, ext[i].start);
		maps[i].count = (uint32_t)(ext[i].count << (geo->block_log - SECTOR_UNIT_LOG));
		covered += ext[i].count;
	}
	if (covered != fs_blocks)
		return da_corrupt(inode, (uint32_t)off, "is not wholly mapped");
	*n = count;
	return 0;
}

static uint64_t owner_of(const struct buffer *buf)
{
	const struct xfs_dir3_blk_hdr *hdr = buf->data;

	if (buf->type == &block_dir_block || buf->type == &block_dir_data || buf->type == &block_dir_free)
		return be64_to_cpu(hdr->owner);
	return be64_to_cpu(info_of(buf)->owner);
}

int da_read(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, bool hole_ok,
	    const struct block_type *type, struct buffer **out)
{
	struct buffer_map maps[BUFFER_MAX_MAPS];
	struct buffer *buf;
	uint32_t n;
	int err;

	err = map_block(inode, which, off, maps, &n);
	if (err)
		return err;
	if (!n) {
		if (!hole_ok)
			return da_corrupt(inode, (uint32_t)off, "is missing");
		*out = NULL;
		return 0;
	}
	err = tx ? tx_buffer_read_maps(tx, maps, n, type, &buf) :
		   buffer_read_maps(cache_of(inode), maps, n, type, &buf);
	if (err)
		return err;
	if (owner_of(buf) != inode->ino.v) {
		da_release(tx, buf);
		return da_corrupt(inode, (uint32_t)off, "belongs to another inode");
	}
	*out = buf;
	return 0;
}

int da_get(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, struct buffer **out)
{
	struct buffer_map maps[BUFFER_MAX_MAPS];
	struct buffer *buf;
	uint32_t n;
	int err;

	err = map_block(inode, which, off, maps, &n);
	if (err)
		return err;
	if (!n)
		return da_corrupt(inode, (uint32_t)off, "is missing");
	err = tx_buffer_get_maps(tx, maps, n, &buf);
	if (err)
		return err;
	memset(buf->data, 0, buf->bytes);
	*out = buf;
	return 0;
}

void da_readahead(struct inode *inode, enum fork_which which, fileblk_t off, const struct block_type *type)
{
	struct buffer_map maps[BUFFER_MAX_MAPS];
	uint32_t n;

	if (map_block(inode, which, off, maps, &n) == 0 && n == 1)
		buffer_readahead(cache_of(inode), maps[0].daddr, maps[0].count, type);
}

void da_release(struct tx *tx, struct buffer *buf)
{
	if (!buf)
		return;
	if (!tx)
		buffer_release(buf);
	else if (!tx_buffer_is_dirty(tx, buf))
		tx_buffer_release(tx, buf);
}

void da_log(struct tx *tx, struct buffer *buf, const void *start, size_t bytes)
{
	uint32_t off = (uint32_t)((const char *)start - (const char *)buf->data);

	if (bytes)
		tx_buffer_log(tx, buf, off, off + (uint32_t)bytes);
}

void da_header_init(struct buffer *buf, struct inode *inode, uint16_t magic)
{
	struct xfs_da3_blkinfo *info = info_of(buf);

	memset(info, 0, sizeof(*info));
	info->hdr.magic = cpu_to_be16(magic);
	info->blkno = cpu_to_be64(buf->daddr);
	info->owner = cpu_to_be64(inode->ino.v);
	memcpy(&info->uuid, inode_geometry(inode)->meta_uuid, sizeof(info->uuid));
}

int da_lock_map(struct inode *inode, enum fork_which which, bool *exclusive)
{
	int err = 0;

	rwlock_read_lock(&inode->map_lock);
	if (map_is_loaded(&inode->map, which)) {
		*exclusive = false;
		return 0;
	}
	rwlock_read_unlock(&inode->map_lock);
	rwlock_write_lock(&inode->map_lock);
	err = map_load(&inode->map, which);
	if (err)
		rwlock_write_unlock(&inode->map_lock);
	else
		*exclusive = true;
	return err;
}

void da_unlock_map(struct inode *inode, bool exclusive)
{
	if (exclusive)
		rwlock_write_unlock(&inode->map_lock);
	else
		rwlock_read_unlock(&inode->map_lock);
}

/* Maps [@off, @off + @count): in one piece if possible, else in as many as it takes. */
static int map_new_blocks(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, uint32_t count,
			  uint32_t total)
{
	uint32_t done = 0, flags = MAP_METADATA | MAP_CONTIGUOUS;

	while (done < count) {
		struct extent ext[BUFFER_MAX_MAPS];
		unsigned n = BUFFER_MAX_MAPS;
		int err;

		err = map_write(tx, &inode->map, which, off + done, count - done, flags, total, ext, &n);
		if (err && err != -ENOSPC)
			return err;
		if (err || !n) {
			if (count == 1 || !(flags & MAP_CONTIGUOUS))
				return -ENOSPC;
			flags &= ~(uint32_t)MAP_CONTIGUOUS;
			continue;
		}
		for (unsigned i = 0; i < n; i++)
			done += (uint32_t)ext[i].count;
	}
	ensure(done == count);
	return 0;
}

int da_grow_at(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, uint32_t *blocks)
{
	uint64_t before = inode->map.block_count, used;
	int err;

	err = map_new_blocks(tx, inode, which, off, fs_blocks_of(inode, which), *blocks);
	if (err)
		return err;
	used = inode->map.block_count - before;
	*blocks = used < *blocks ? *blocks - (uint32_t)used : 0;
	return 0;
}

int da_grow(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t from, uint32_t *blocks,
	    fileblk_t *off)
{
	fileblk_t free = map_first_unused(&inode->map, which, fs_blocks_of(inode, which), from);
	int err;

	if (free + fs_blocks_of(inode, which) > UINT32_MAX)
		return -EFBIG;
	err = da_grow_at(tx, inode, which, free, blocks);
	if (!err)
		*off = free;
	return err;
}

int da_shrink(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, struct buffer *buf)
{
	uint64_t count = fs_blocks_of(inode, which);
	bool is_partly_done = false;

	/* Backwards: what is left after each call is [off, off + count). */
	while (count) {
		uint64_t left = 0;
		int err = map_unmap(tx, &inode->map, which, off, count, 2, &left);

		if (err) {
			/* Half a block cannot stay: the caller's transaction is lost. */
			ensure(err != -ENOSPC || !is_partly_done);
			return err;
		}
		count = left;
		is_partly_done = true;
	}
	tx_buffer_invalidate(tx, buf);
	return 0;
}
