/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the two ways in differ: buffered_write_ops and page_mkwrite_ops (XFS: xfs_buffered_write_iomap_begin and
 * _end, xfs_page_mkwrite_iomap_ops).
 *
 * begin is the same for both: look up; a hole is reserved as delayed blocks.  Only a buffered write has an end: it
 * holds the io_lock, so what it reserved and did not fill is its own to take back, except where a page fault, which
 * does not take the io_lock, has dirtied a block inside it meanwhile.  A page fault has no end: its folio is dirty
 * before anybody else can look.
 */
#include "internal.h"

#include <userxfs/base/bits.h>
#include <userxfs/extent/delay.h>

#define RESERVE_MAX_BYTES (1024u * PAGE_BYTES) /* per mapping (XFS: XFS_WRITE_... 1024 pages) */

/* Whether zeroing meets speculation past EOF: it becomes real unwritten blocks, so that zeroing need not touch it. */
static bool is_past_eof_block(struct inode *inode, fileblk_t off_blk)
{
	return off_blk >= bytes_to_blocks_up(inode_geometry(inode), atomic_load(&inode->size_bytes));
}

static int zero_over_delayed(struct inode *inode, uint64_t off, struct extent ext, struct iomap *map)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t off_blk = bytes_to_blocks_down(geo, off);
	fileblk_t eof_blk = bytes_to_blocks_up(geo, atomic_load(&inode->size_bytes));
	uint32_t sequence;
	int err;

	if (!is_past_eof_block(inode, off_blk)) {
		/* What lies past EOF is for an iteration of its own. */
		ext.count = min_u64(ext.count, eof_blk - ext.off);
		iomap_from_extent(inode, &ext, 0, map);
		rwlock_write_unlock(&inode->map_lock);
		return 0;
	}
	rwlock_write_unlock(&inode->map_lock);
	if (inode->mapping)
		mapping_truncate(inode->mapping, off, UINT64_MAX);
	err = delay_convert(&inode->map, FORK_DATA, off_blk, &ext, &sequence);
	if (err)
		return err;
	iomap_from_extent(inode, &ext, 0, map);
	map->cookie = sequence;
	return 0;
}

static uint64_t speculation(struct inode *inode, uint64_t off, uint64_t count)
{
	const struct iomap_options *options = inode_cache_private(inode->cache, INODE_PRIVATE_IOMAP);
	struct prealloc_input in = {
		.size_bytes = atomic_load(&inode->size_bytes),
		.off_bytes = off,
		.count_bytes = count,
		.alloc_size_log = options->alloc_size_log,
		.is_fixed = options->has_alloc_size,
		.stripe_align_blocks = options->stripe_align_blocks,
	};

	return delay_prealloc_blocks(&inode->map, &in);
}

/* Reserves the hole at @off; map_lock held. */
static int reserve_hole(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, bool is_eof,
			struct iomap *map)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t off_blk = bytes_to_blocks_down(geo, off), end_blk;
	uint64_t prealloc = 0;
	struct extent got;
	int err;

	count = min_u64(count, RESERVE_MAX_BYTES);
	end_blk = min_u64(bytes_to_blocks_up(geo, off + count), bytes_to_blocks_up(geo, geo->max_file_bytes));
	if (is_eof && off + count > atomic_load(&inode->size_bytes))
		prealloc = speculation(inode, off, count);
	err = delay_reserve(&inode->map, FORK_DATA, off_blk, end_blk - off_blk, prealloc, &got);
	if (err == -ENOSPC && flags & IOMAP_STORED)
		err = delay_reserve_from_pool(&inode->map, off_blk, end_blk - off_blk, &got);
	if (err)
		return err;
	if (prealloc)
		inode_set_tag(inode, INODE_EOFBLOCKS);
	iomap_from_extent(inode, &got, IOMAP_F_NEW, map);
	return 0;
}

/* Whether the mapping cannot be made without changing the fork. */
static bool needs_change(const struct extent *ext, uint32_t flags)
{
	if (flags & IOMAP_ZERO)
		return ext->state == EXTENT_DELAYED;
	return ext->state == EXTENT_HOLE && !(flags & IOMAP_UNSHARE);
}

/* The mapping of blocks that are there already, or of a hole that is not to be filled.  map_lock held. */
static int use_existing(struct inode *inode, fileblk_t off_blk, struct extent *ext, struct iomap *map)
{
	int err = iomap_refuse_shared(inode, off_blk, ext);

	iomap_from_extent(inode, ext, 0, map);
	return err;
}

/* Overwrites need the map_lock shared only, so any number of them goes on at once. */
static int begin_overwrite(struct inode *inode, fileblk_t off_blk, fileblk_t end_blk, uint32_t flags,
			   struct iomap *map, bool *is_through)
{
	struct extent ext;
	bool is_eof;
	int err;

	if (log_is_shutdown(inode_cache_log(inode->cache)))
		return -EIO;
	err = iomap_lock_shared(inode);
	if (err)
		return err;
	ext = iomap_lookup(inode, off_blk, end_blk, &is_eof);
	*is_through = !needs_change(&ext, flags);
	if (*is_through)
		err = use_existing(inode, off_blk, &ext, map);
	rwlock_read_unlock(&inode->map_lock);
	return err;
}

int buffered_write_begin(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, struct iomap *map,
			 struct iomap *source)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t off_blk = bytes_to_blocks_down(geo, off), end_blk = bytes_to_blocks_up(geo, off + count);
	bool is_eof, is_through;
	struct extent ext;
	int err;

	/* With an extent size hint blocks are allocated at once, aligned to the hint. */
	if (inode->map.extent_hint_blocks && !(flags & IOMAP_ZERO))
		return direct_write_begin(inode, off, count, flags, map, source);
	err = begin_overwrite(inode, off_blk, end_blk, flags, map, &is_through);
	if (err || is_through)
		return err;
	err = iomap_lock_loaded(inode);
	if (err)
		return err;
	ext = iomap_lookup(inode, off_blk, end_blk, &is_eof);
	if (flags & IOMAP_ZERO && ext.state == EXTENT_DELAYED)
		return zero_over_delayed(inode, off, ext, map);
	if (needs_change(&ext, flags))
		err = reserve_hole(inode, off, count, flags, is_eof, map);
	else
		err = use_existing(inode, off_blk, &ext, map);
	rwlock_write_unlock(&inode->map_lock);
	return err;
}

/* Gives back what this mapping reserved and the write did not fill. */
static int buffered_write_end(struct inode *inode, uint64_t off, uint64_t asked, uint64_t done, uint32_t flags,
			      struct iomap *map)
{
	uint32_t block = inode_geometry(inode)->block_bytes;
	uint64_t start, end;

	if (map->type != IOMAP_DELALLOC || !(map->flags & IOMAP_F_NEW))
		return 0;
	start = done ? round_up_u64(off + done, block) : round_down_u64(off, block);
	end = round_up_u64(off + asked, block);
	if (start >= end)
		return 0;
	/* Faults hold it shared from the look-up of their folio until it is dirty: none is in between now. */
	rwlock_write_lock(&inode->invalidate_lock);
	iomap_punch_unused(inode, start, end, map->flags & IOMAP_F_SHARED);
	rwlock_write_unlock(&inode->invalidate_lock);
	return 0;
}

static int zero_begin(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, struct iomap *map,
		      struct iomap *source)
{
	return buffered_write_begin(inode, off, count, flags | IOMAP_ZERO, map, source);
}

static int page_mkwrite_begin(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, struct iomap *map,
			      struct iomap *source)
{
	return buffered_write_begin(inode, off, count, flags | IOMAP_FAULT, map, source);
}

const struct iomap_ops buffered_write_ops = {
	.name = "buffered write",
	.begin = buffered_write_begin,
	.end = buffered_write_end,
};

/* No end: see the head of this file. */
const struct iomap_ops page_mkwrite_ops = {
	.name = "page_mkwrite",
	.begin = page_mkwrite_begin,
};

/* Zeroing reserves nothing, so there is nothing to take back. */
const struct iomap_ops zero_ops = {
	.name = "zero",
	.begin = zero_begin,
};
