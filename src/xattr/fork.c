// SPDX-License-Identifier: GPL-2.0
/*
 * The attr fork comes and goes.  (XFS: xfs_bmap_add_attrfork, xfs_attr_inactive.)
 */
#include "internal.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/memory.h>

static struct log *log_of(const struct inode *inode)
{
	return inode_cache_log(inode->cache);
}

/* ---- adding ---- */

/* Inline data that would be in the way of an attr fork at @split move to blocks. */
static int move_inline_data(struct tx *tx, struct inode *inode, uint32_t split, uint32_t blocks)
{
	if (inode->map.data.format != FORK_LOCAL || inode->map.data.local_bytes <= split)
		return 0;
	if (S_ISDIR(inode->mode))
		return dir_make_room_for_attributes(tx, inode, blocks);
	return symlink_to_remote(tx, inode, blocks);
}

static int add_fork(struct tx *tx, struct inode *inode, uint32_t bytes, uint32_t blocks)
{
	uint32_t split;
	int err;

	if (!map_can_split(&inode->map, bytes, &split))
		split = map_default_split(&inode->map);
	err = move_inline_data(tx, inode, split, blocks);
	if (!err)
		err = map_set_split(tx, &inode->map, split);
	if (!err)
		inode_log(tx, inode, false);
	return err;
}

int attr_fork_add(struct inode *inode, uint32_t bytes, bool use_pool)
{
	const struct geometry *geo = inode_geometry(inode);
	uint32_t blocks = geo->dir.fs_blocks + da_map_blocks(geo, FORK_DATA, geo->dir.fs_blocks);
	uint32_t flags = use_pool ? TX_USE_POOL : 0;
	struct tx *tx;
	bool exists;
	int err;

	rwlock_read_lock(&inode->map_lock);
	exists = inode->map.attr_space;
	rwlock_read_unlock(&inode->map_lock);
	if (exists)
		return 0;
	err = tx_begin(log_of(inode), &log_reservations(log_of(inode))->attr_add_fork, blocks, flags, &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	err = map_load(&inode->map, FORK_DATA);
	if (!err && !inode->map.attr_space)
		err = add_fork(tx, inode, bytes, blocks);
	if (!err)
		return tx_commit(tx);
	tx_cancel(tx);
	return err;
}

static bool superblock_knows(const struct buffer *buf)
{
	const struct xfs_dsb *sb = buf->data;

	return be16_to_cpu(sb->sb_versionnum) & XFS_SB_VERSION_ATTRBIT;
}

int attr_note_feature(struct attr_op *op)
{
	struct buffer_cache *cache = log_cache(log_of(op->inode));
	uint32_t sector = op->geo->sector_bytes >> SECTOR_UNIT_LOG;
	struct xfs_dsb *sb;
	struct buffer *buf;
	bool is_known;
	int err;

	if (op->geo->version_bits & XFS_SB_VERSION_ATTRBIT)
		return 0;
	/* Once it is set it stays; so a look without joining the superblock is enough nearly always. */
	err = buffer_read(cache, 0, sector, &block_superblock, &buf);
	if (err)
		return err;
	is_known = superblock_knows(buf);
	buffer_release(buf);
	if (is_known)
		return 0;
	err = tx_buffer_read(op->tx, 0, sector, &block_superblock, &buf);
	if (err)
		return err;
	sb = buf->data;
	sb->sb_versionnum = cpu_to_be16(be16_to_cpu(sb->sb_versionnum) | XFS_SB_VERSION_ATTRBIT);
	da_log(op->tx, buf, &sb->sb_versionnum, sizeof(sb->sb_versionnum));
	return 0;
}

/* ---- freeing ---- */

#define BLOCKS_PER_TX 32u

/* The blocks of the tree in file order; the rest of the fork are values. */
struct tree_blocks {
	uint32_t *blks;
	size_t count, capacity;
};

static int push(struct tree_blocks *list, uint32_t blk)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? 2 * list->capacity : 64;
		uint32_t *blks = mem_resize(list->blks, capacity * sizeof(*blks));

		if (!blks)
			return -ENOMEM;
		list->blks = blks;
		list->capacity = capacity;
	}
	list->blks[list->count++] = blk;
	return 0;
}

static int forget_values(struct inode *inode, const struct buffer *leaf)
{
	int err = 0;

	for (unsigned i = 0; !err && i < attr_leaf_count(leaf); i++) {
		struct leaf_key key;

		attr_leaf_get(leaf->data, i, &key);
		if (!key.value && key.value_blk)
			err = remote_forget(inode, key.value_blk, key.value_length);
	}
	return err;
}

/* Lists the tree below @blk, breadth first: @list is the queue.  Blocks that are gone were freed before a crash. */
static int collect(struct inode *inode, struct tree_blocks *list)
{
	int err = push(list, 0);

	for (size_t i = 0; !err && i < list->count; i++) {
		struct xfs_da3_intnode *node;
		struct buffer *buf;

		if (list->count > inode->map.block_count)
			return attr_corrupt(inode, "their tree has more blocks than the fork");
		err = da_read(NULL, inode, FORK_ATTR, list->blks[i], true, &block_attr_any, &buf);
		if (err || !buf)
			continue;
		node = buf->data;
		if (!da_is_node(buf))
			err = forget_values(inode, buf);
		else
			for (unsigned k = 0; !err && k < be16_to_cpu(node->hdr.__count); k++)
				err = push(list, be32_to_cpu(node->__btree[k].before));
		da_release(NULL, buf);
	}
	return err;
}

static int compare_blks(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Cancels what the log has of tree blocks in [@off, end of the fork), the last of which is on top of @list. */
static int invalidate_from(struct tx *tx, struct inode *inode, struct tree_blocks *list, fileblk_t off)
{
	uint32_t last = UINT32_MAX;

	for (; list->count && list->blks[list->count - 1] >= off; list->count--) {
		uint32_t blk = list->blks[list->count - 1];
		struct extent ext;
		struct buffer *buf;
		unsigned n = 1;
		int err;

		map_read(&inode->map, FORK_ATTR, blk, 1, false, &ext, &n);
		if (blk == last || ext.state != EXTENT_WRITTEN)
			continue;
		last = blk;
		err = da_get(tx, inode, FORK_ATTR, blk, &buf);
		if (err)
			return err;
		tx_buffer_invalidate(tx, buf);
	}
	return 0;
}

/* Unmaps the fork from its end, some blocks a transaction, each time with the tree blocks among them. */
static int truncate_fork(struct attr_op *op, struct tree_blocks *list)
{
	struct file_map *map = &op->inode->map;
	fileblk_t end;
	int err = 0;

	while (!err && (end = map_end(map, FORK_ATTR)) > 0) {
		struct extent ext;
		bool found = false;
		uint64_t left = 0;
		fileblk_t off;

		map_lookup_before(map, FORK_ATTR, end, &ext, &found);
		ensure(found);
		off = max_u64(ext.off, end > BLOCKS_PER_TX ? end - BLOCKS_PER_TX : 0);
		err = invalidate_from(op->tx, op->inode, list, off);
		if (!err)
			err = map_unmap(op->tx, map, FORK_ATTR, off, end - off, 1, &left);
		if (!err)
			err = attr_roll(op);
	}
	return err;
}

static int free_all(struct attr_op *op)
{
	struct file_map *map = &op->inode->map;
	struct tree_blocks list = { 0 };
	int err;

	err = map_load(map, FORK_ATTR);
	if (!err && map->attr.format != FORK_LOCAL && map->attr.extent_count) {
		err = collect(op->inode, &list);
		if (!err) {
			qsort(list.blks, list.count, sizeof(list.blks[0]), compare_blks);
			err = truncate_fork(op, &list);
		}
		mem_free(list.blks);
	}
	if (err)
		return err;
	map_remove_attr_fork(op->tx, map);
	inode_log(op->tx, op->inode, false);
	return 0;
}

int xattr_free_all(struct inode *inode)
{
	struct attr_op op = { .inode = inode, .geo = inode_geometry(inode), .dg = &inode_geometry(inode)->attr };
	bool exists;
	int err;

	rwlock_read_lock(&inode->map_lock);
	exists = inode->map.attr_space;
	rwlock_read_unlock(&inode->map_lock);
	if (!exists)
		return 0;
	err = tx_begin(log_of(inode), &log_reservations(log_of(inode))->truncate, 0, 0, &op.tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(op.tx, inode, true);
	err = free_all(&op);
	if (!err)
		return tx_commit(op.tx);
	tx_cancel(op.tx);
	return err;
}
