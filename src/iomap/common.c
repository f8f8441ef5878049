/* SPDX-License-Identifier: GPL-2.0 */
/* What every mapping op starts with: the extent under an offset, as a mapping (XFS: xfs_bmbt_to_iomap). */
#include "internal.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/space/refcount.h>

void iomap_set_options(struct inode_cache *cache, const struct iomap_options *options)
{
	inode_cache_set_private(cache, INODE_PRIVATE_IOMAP, (void *)options);
}

void iomap_from_extent(struct inode *inode, const struct extent *ext, uint32_t flags, struct iomap *map)
{
	static const enum iomap_type types[] = {
		[EXTENT_WRITTEN] = IOMAP_MAPPED,
		[EXTENT_UNWRITTEN] = IOMAP_UNWRITTEN,
		[EXTENT_DELAYED] = IOMAP_DELALLOC,
		[EXTENT_HOLE] = IOMAP_HOLE,
	};
	const struct geometry *geo = inode_geometry(inode);

	map->type = types[ext->state];
	map->flags = flags;
	map->off_bytes = blocks_to_bytes(geo, ext->off);
	map->count_bytes = blocks_to_bytes(geo, ext->count);
	map->device_off_bytes = 0;
	if (map->type == IOMAP_MAPPED || map->type == IOMAP_UNWRITTEN)
		map->device_off_bytes = fsblk_to_bytes(geo, ext->start);
	map->cookie = atomic_load(&inode->map.data.sequence);
}

int iomap_lock_loaded(struct inode *inode)
{
	int err;

	if (log_is_shutdown(inode_cache_log(inode->cache)))
		return -EIO;
	rwlock_write_lock(&inode->map_lock);
	err = map_load(&inode->map, FORK_DATA);
	if (err)
		rwlock_write_unlock(&inode->map_lock);
	return err;
}

int iomap_lock_shared(struct inode *inode)
{
	int err;

	rwlock_read_lock(&inode->map_lock);
	if (map_is_loaded(&inode->map, FORK_DATA))
		return 0;
	rwlock_read_unlock(&inode->map_lock);
	err = iomap_lock_loaded(inode);
	if (!err)
		rwlock_demote(&inode->map_lock);
	return err;
}

struct extent iomap_lookup(struct inode *inode, fileblk_t off_blk, fileblk_t end_blk, bool *is_eof)
{
	struct extent ext;
	bool found;

	map_lookup(&inode->map, FORK_DATA, off_blk, &ext, &found);
	*is_eof = !found;
	if (!found || ext.off > off_blk) {
		fileblk_t hole_end =
			found ? min_u64(ext.off, max_u64(end_blk, off_blk + 1)) : max_u64(end_blk, off_blk + 1);

		return (struct extent){
			.off = off_blk, .count = hole_end - off_blk, .start = FSBLK_NONE, .state = EXTENT_HOLE
		};
	}
	return ext;
}

static void trim_front(struct extent *ext, fileblk_t off_blk)
{
	uint64_t skip = off_blk - ext->off;

	ext->off += skip;
	ext->count -= skip;
	ext->start = fsblk_add(ext->start, skip);
}

int iomap_refuse_shared(struct inode *inode, fileblk_t off_blk, struct extent *ext)
{
	struct space *space = inode_cache_space(inode->cache);
	const struct geometry *geo = inode_geometry(inode);
	agblk_t agblk, shared;
	uint32_t shared_count;
	int err;

	if (!inode->map.is_reflink || ext->state != EXTENT_WRITTEN)
		return 0;
	trim_front(ext, off_blk);
	agblk = fsblk_agblk(geo, ext->start);
	err = refcount_find_shared(NULL, space, fsblk_agno(geo, ext->start), agblk, (uint32_t)ext->count, false,
				   &shared, &shared_count);
	if (err || shared == AGBLK_NONE)
		return err;
	if (shared == agblk)
		return -EOPNOTSUPP;
	ext->count = shared - agblk;
	return 0;
}
