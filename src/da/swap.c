// SPDX-License-Identifier: GPL-2.0
/*
 * Giving a tree block back when the volume is full.  (XFS: xfs_da3_swap_lastblock.)
 *
 * Unmapping a block in the middle of an extent makes one extent more, for which the fork's map may need a block of
 * its own.  The last block of the leaf section can always be unmapped, so its contents move into the dead block's
 * place, and its neighbours and its parent learn the new number.
 */
#include "internal.h"

/* The last block of the leaf section. */
static int last_tree_block(struct da_tree *tree, uint32_t *out)
{
	struct extent ext;
	bool found = false;
	fileblk_t end;

	map_lookup_before(&tree->inode->map, tree->which, tree->geo->free_fileblk, &ext, &found);
	end = found ? ext.off + ext.count : 0;
	if (end > tree->geo->free_fileblk)
		end = tree->geo->free_fileblk;
	if (end < tree->geo->leaf_fileblk + tree->geo->fs_blocks)
		return da_corrupt(tree->inode, (uint32_t)end, "ends the leaf section before its root");
	*out = (uint32_t)(end - tree->geo->fs_blocks);
	return 0;
}

static int rename_in_neighbour(struct da_tree *tree, uint32_t blk, bool forward, uint32_t old, uint32_t new)
{
	struct xfs_da_blkinfo *hdr;
	struct buffer *buf;
	__be32 *field;
	int err;

	if (!blk)
		return 0;
	err = tree_read(tree, blk, &buf);
	if (err)
		return err;
	hdr = &info_of(buf)->hdr;
	field = forward ? &hdr->back : &hdr->forw;
	if (be32_to_cpu(*field) != old)
		return da_corrupt(tree->inode, blk, "does not know its neighbour");
	*field = cpu_to_be32(new);
	da_log(tree->tx, buf, hdr, sizeof(*hdr));
	return 0;
}

/* Finds the entry at level @level that points at @old and makes it point at @new. */
static int rename_in_parent(struct da_tree *tree, uint32_t hash, unsigned level, uint32_t old, uint32_t new)
{
	uint32_t blk = (uint32_t)tree->geo->leaf_fileblk;
	uint64_t budget = tree->inode->map.block_count + DA_MAX_DEPTH;
	struct buffer *buf;
	unsigned last_level = DA_MAX_DEPTH;
	int err;

	while (budget--) {
		err = tree_read(tree, blk, &buf);
		if (err)
			return err;
		if (!da_is_node(buf) || node_level(buf) > last_level || node_level(buf) < level)
			return da_corrupt(tree->inode, blk, "stands at the wrong level");
		last_level = node_level(buf);
		if (last_level > level) {
			blk = node_child(buf, node_search(buf, hash));
			last_level--;
			continue;
		}
		for (unsigned i = node_search(buf, hash); i < node_count(buf); i++) {
			if (node_child(buf, i) != old)
				continue;
			node_of(buf)->__btree[i].before = cpu_to_be32(new);
			node_log(tree, buf, i, i + 1);
			return 0;
		}
		/* Blocks that end with the same hash may belong to the next parents too. */
		blk = forw_of(buf);
		if (!blk || node_last_hash(buf) > hash)
			break;
	}
	return da_corrupt(tree->inode, old, "has no parent");
}

/* Moves the contents of the last tree block into @dead; *last and *last_buf are then what is to be unmapped. */
static int swap_with_last(struct da_tree *tree, uint32_t dead_blk, struct buffer *dead, uint32_t *last,
			  struct buffer **last_buf)
{
	struct buffer *buf;
	uint32_t blk = 0;
	int err;

	err = last_tree_block(tree, &blk);
	if (err)
		return err;
	if (blk == dead_blk)
		return -ENOSPC;
	err = tree_read(tree, blk, &buf);
	if (err)
		return err;
	memcpy(dead->data, buf->data, buf->bytes);
	info_of(dead)->blkno = cpu_to_be64(dead->daddr);
	dead->type = buf->type;
	tx_buffer_log_all(tree->tx, dead);

	err = rename_in_neighbour(tree, back_of(dead), false, blk, dead_blk);
	if (!err)
		err = rename_in_neighbour(tree, forw_of(dead), true, blk, dead_blk);
	if (!err)
		err = rename_in_parent(tree, block_last_hash(tree->leaf, dead), block_level(dead) + 1, blk, dead_blk);
	if (err)
		return err;
	for (unsigned i = 0; i < tree->path.active; i++) {
		if (tree->path.blk[i].blk != blk)
			continue;
		tree->path.blk[i].blk = dead_blk;
		tree->path.blk[i].buf = dead;
	}
	*last = blk;
	*last_buf = buf;
	return 0;
}

int tree_shrink(struct da_tree *tree, uint32_t blk, struct buffer *buf)
{
	int err;

	err = da_shrink(tree->tx, tree->inode, tree->which, blk, buf);
	if (err != -ENOSPC || tree->which != FORK_DATA)
		return err;
	err = swap_with_last(tree, blk, buf, &blk, &buf);
	if (err)
		return err;
	return da_shrink(tree->tx, tree->inode, tree->which, blk, buf);
}
