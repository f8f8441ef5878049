// SPDX-License-Identifier: GPL-2.0
/*
 * Freeing an inode.  (XFS: xfs_ifree, xfs_ifree_cluster.)
 *
 * When the last inode of a chunk goes, the chunk does: its cluster buffers are cancelled in the log, and every inode
 * of it that is in memory goes stale.  A stale inode is never written home; the buffer of its cluster carries it
 * until the cancellation is on disk.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#include "cache.h"

static void make_stale(struct inode_cache *cache, struct inum ino, struct buffer *buf)
{
	struct inode_shard *shard = inode_shard_of(cache, ino);
	struct inode *inode;

	mutex_lock(&shard->lock);
	inode = inode_shard_find(cache, shard, ino);
	if (inode) {
		inode_item_make_stale(inode_item(inode), buf);
		list_remove(&inode->hash_node);
	}
	mutex_unlock(&shard->lock);
}

/*
 * The buffer is locked before the inodes are looked at, so that a write of it cannot end in between.  It need not
 * have been read: nobody will look at its bytes.
 */
static int cancel_cluster(struct tx *tx, struct inode_cache *cache, struct inum first, uint32_t count)
{
	const struct geometry *geo = cache->geo;
	daddr_u64 daddr = fsblk_to_daddr(geo, inum_to_fsblk(geo, first));
	struct buffer *buf;
	int err;

	err = tx_buffer_get(tx, daddr, count << (geo->inode_log - SECTOR_UNIT_LOG), &buf);
	if (err)
		return err;
	buf->type = &block_inode_cluster;
	for (uint32_t i = 0; i < count; i++)
		make_stale(cache, (struct inum){ first.v + i }, buf);
	tx_buffer_set_inodes(tx, buf, false);
	tx_buffer_invalidate(tx, buf);
	return 0;
}

static int cancel_chunk(struct tx *tx, struct inode_cache *cache, const struct inode_chunk_freed *freed)
{
	uint32_t step = (uint32_t)max_u64(cache->geo->cluster_inodes, cache->geo->inodes_per_block);

	for (uint32_t i = 0; i < XFS_INODES_PER_CHUNK; i += step) {
		int err;

		if (!(freed->allocated_mask & 1ull << i))
			continue;
		err = cancel_cluster(tx, cache, (struct inum){ freed->first.v + i }, step);
		if (err)
			return err;
	}
	return 0;
}

/* What is left of it is an empty extent list, whatever it was. */
static void clear(struct tx *tx, struct inode *inode)
{
	struct file_map *map = &inode->map;

	if (map->attr_space)
		map_remove_attr_fork(tx, map);
	if (map->data.format != FORK_EXTENTS)
		fork_set_extents(map, FORK_DATA);
	inode->mode = 0;
	inode->di_flags = 0;
	inode->di_flags2 = inode->cache->geo->new_inode_flags2;
	inode->disk_size_bytes = 0;
	atomic_store(&inode->size_bytes, 0);
	inode->generation++;
	map->cow.is_present = false;
	inode_refresh_map_hints(inode);
}

int inode_free(struct tx *tx, struct inode *inode)
{
	struct inode_cache *cache = inode->cache;
	struct inode_chunk_freed freed;
	int err;

	ensure(inode->nlink == 0 && !map_has_delayed(&inode->map));
	if (inode->map.block_count)
		return inode_complain(inode, "counts blocks that it does not have; unmount and run xfs_repair");
	inode_clear_tag(inode, INODE_EOFBLOCKS | INODE_COWBLOCKS);
	/* First, so that the AGI is locked before the unlinked list is touched. */
	err = ialloc_free(tx, cache->space, inode->ino, &freed);
	if (err)
		return err;
	err = inode_unlinked_remove(tx, inode);
	if (err)
		return err;
	clear(tx, inode);
	inode_log(tx, inode, false);
	if (freed.is_deleted)
		err = cancel_chunk(tx, cache, &freed);
	return err;
}
