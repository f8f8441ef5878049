/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mapping for writes that go to the disk at once (XFS: xfs_direct_write_iomap_begin): holes and delayed blocks under
 * the range are allocated now, unwritten; the caller converts them when the data are on disk.
 */
#include "internal.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#define ALLOCATE_MAX_BYTES (1024u * PAGE_BYTES)

uint64_t iomap_hinted_blocks(const struct inode *inode, fileblk_t off_blk, uint64_t count)
{
	uint64_t hint = inode->map.extent_hint_blocks;

	return hint ? round_up_u64(off_blk % hint + count, hint) : count;
}

/*
 * Where the last block of an allocation that extends the file ends: aligned to the stripe or the extent size hint,
 * unless something is mapped there already (XFS: xfs_iomap_eof_align_last_fsb). map_lock held.
 */
static fileblk_t align_end(struct inode *inode, fileblk_t end_blk)
{
	const struct iomap_options *options = inode_cache_private(inode->cache, INODE_PRIVATE_IOMAP);
	const struct geometry *geo = inode_geometry(inode);
	uint64_t align = options->stripe_align_blocks, hint = inode->map.extent_hint_blocks;
	fileblk_t aligned;

	if (align && atomic_load(&inode->size_bytes) < blocks_to_bytes(geo, align))
		align = 0;
	if (hint)
		align = align ? round_up_u64(align, hint) : hint;
	if (!align)
		return end_blk;
	aligned = round_up_u64(end_blk, align);
	return aligned >= map_end(&inode->map, FORK_DATA) ? aligned : end_blk;
}

/* How far to allocate for a write of [@off, @off + @count) into @ext, a hole or delayed blocks.  map_lock held. */
static fileblk_t choose_end(struct inode *inode, uint64_t off, uint64_t count, const struct extent *ext)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t end_blk;

	count = min_u64(count, ALLOCATE_MAX_BYTES);
	end_blk = bytes_to_blocks_up(geo, off + count);
	if (off + count > atomic_load(&inode->size_bytes))
		return align_end(inode, end_blk);
	return ext->state == EXTENT_HOLE ? min_u64(end_blk, ext->off + ext->count) : end_blk;
}

static int allocate(struct inode *inode, fileblk_t off_blk, uint64_t blocks, struct extent *out)
{
	struct log *log = inode_cache_log(inode->cache);
	unsigned n = 1;
	struct tx *tx;
	int err;

	err = tx_begin(log, &log_reservations(log)->write,
		       map_write_blocks(&inode->map, iomap_hinted_blocks(inode, off_blk, blocks)), 0, &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, false);
	err = map_write(tx, &inode->map, FORK_DATA, off_blk, blocks, MAP_UNWRITTEN, 0, out, &n);
	if (err) {
		tx_cancel(tx);
		rwlock_write_unlock(&inode->map_lock);
		return err;
	}
	/*
	 * Also when nothing was found: the allocator may have moved blocks between its own lists while it searched.
	 */
	err = tx_commit(tx);
	if (!err && n == 0)
		err = -ENOSPC;
	if (err)
		rwlock_write_unlock(&inode->map_lock);
	return err;
}

int direct_write_begin(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, struct iomap *map,
		       struct iomap *source)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t off_blk = bytes_to_blocks_down(geo, off), end_blk = bytes_to_blocks_up(geo, off + count);
	struct extent ext;
	bool is_eof;
	int err;

	err = iomap_lock_loaded(inode);
	if (err)
		return err;
	ext = iomap_lookup(inode, off_blk, end_blk, &is_eof);
	if (ext.state == EXTENT_HOLE || ext.state == EXTENT_DELAYED) {
		fileblk_t end = choose_end(inode, off, count, &ext);

		rwlock_write_unlock(&inode->map_lock);
		err = allocate(inode, off_blk, end - off_blk, &ext);
		if (err)
			return err;
		iomap_from_extent(inode, &ext, IOMAP_F_NEW, map);
	} else {
		err = iomap_refuse_shared(inode, off_blk, &ext);
		iomap_from_extent(inode, &ext, 0, map);
	}
	rwlock_write_unlock(&inode->map_lock);
	return err;
}

const struct iomap_ops direct_write_ops = { .name = "direct write", .begin = direct_write_begin };
