// SPDX-License-Identifier: GPL-2.0
/*
 * Growing the tree.  (XFS: xfs_da3_split, xfs_da3_root_split, xfs_da3_node_split, xfs_da3_blk_link.)
 *
 * A block that is full gets a new right neighbour, which takes the upper half; the neighbour's entry goes into the
 * parent, which may have to split in turn.  The root never gets a neighbour: before it is split, its contents move to
 * a new block, and the root becomes a node with that one child.
 */
#include "internal.h"

int siblings_link_after(struct da_tree *tree, struct da_block *old, struct da_block *new)
{
	struct xfs_da_blkinfo *old_hdr = &info_of(old->buf)->hdr, *new_hdr = &info_of(new->buf)->hdr;
	uint32_t next_blk = be32_to_cpu(old_hdr->forw);

	if (next_blk) {
		struct xfs_da_blkinfo *next_hdr;
		struct buffer *next;
		int err;

		err = tree_read(tree, next_blk, &next);
		if (err)
			return err;
		next_hdr = &info_of(next)->hdr;
		if (be32_to_cpu(next_hdr->back) != old->blk || block_level(next) != block_level(old->buf))
			return da_corrupt(tree->inode, next_blk, "does not know its left neighbour");
		next_hdr->back = cpu_to_be32(new->blk);
		da_log(tree->tx, next, next_hdr, sizeof(*next_hdr));
	}
	new_hdr->forw = cpu_to_be32(next_blk);
	new_hdr->back = cpu_to_be32(old->blk);
	da_log(tree->tx, new->buf, new_hdr, sizeof(*new_hdr));
	old_hdr->forw = cpu_to_be32(new->blk);
	da_log(tree->tx, old->buf, old_hdr, sizeof(*old_hdr));
	return 0;
}

/* A new block of the tree, got but not initialised. */
static int new_block(struct da_tree *tree, struct da_block *out)
{
	fileblk_t off;
	int err;

	err = da_grow(tree->tx, tree->inode, tree->which, tree->geo->leaf_fileblk, tree->blocks, &off);
	if (err)
		return err;
	*out = (struct da_block){ .blk = (uint32_t)off };
	return da_get(tree->tx, tree->inode, tree->which, off, &out->buf);
}

int da_add_leaf(struct da_tree *tree, struct da_block *old, struct da_block *new)
{
	int err;

	err = new_block(tree, new);
	if (err)
		return err;
	new->is_leaf = true;
	tree->leaf->init(tree, new->buf);
	return siblings_link_after(tree, old, new);
}

/* Moves the root's contents to a new block and makes it that block's parent.  The path gets one longer. */
static int push_root_down(struct da_tree *tree)
{
	struct da_path *path = &tree->path;
	struct buffer *root = path->blk[0].buf;
	unsigned level = block_level(root);
	struct da_block child;
	int err;

	if (path->active == DA_MAX_DEPTH)
		return da_corrupt(tree->inode, path->blk[0].blk, "cannot grow another level");
	err = new_block(tree, &child);
	if (err)
		return err;

	memcpy(child.buf->data, root->data, root->bytes);
	info_of(child.buf)->blkno = cpu_to_be64(child.buf->daddr);
	child.buf->type = root->type;
	tx_buffer_log_all(tree->tx, child.buf);
	child.is_leaf = path->blk[0].is_leaf;
	child.index = path->blk[0].index;
	child.hash = path->blk[0].hash;

	memmove(&path->blk[1], &path->blk[0], path->active * sizeof(path->blk[0]));
	path->active++;
	path->blk[1] = child;
	path->blk[0].index = 0;
	path->blk[0].is_leaf = false;
	node_init(tree, root, level + 1);
	node_insert(tree, root, 0, child.hash, child.blk);
	return 0;
}

/* Splits the leaf of the path, once or twice; new[0..*n) follow it in this order. */
static int split_leaf(struct da_tree *tree, struct da_block new[2], unsigned *n)
{
	struct da_block *old = &tree->path.blk[tree->path.active - 1];
	bool fits = false;
	int err;

	err = da_add_leaf(tree, old, &new[0]);
	if (err)
		return err;
	*n = 1;
	err = tree->leaf->split(tree, old, &new[0], &fits);
	if (err || fits)
		return err;

	new[1] = new[0];
	err = da_add_leaf(tree, old, &new[0]);
	if (err)
		return err;
	*n = 2;
	err = tree->leaf->split(tree, old, &new[0], &fits);
	ensure(err || fits);
	return err;
}

/* Splits the node at @level; *upper is its new right neighbour. */
static int split_node(struct da_tree *tree, unsigned level, struct da_block *upper)
{
	struct da_block *node = &tree->path.blk[level];
	int err;

	err = new_block(tree, upper);
	if (err)
		return err;
	node_init(tree, upper->buf, node_level(node->buf));
	err = siblings_link_after(tree, node, upper);
	if (err)
		return err;
	node_move(tree, node->buf, node_count(node->buf) / 2, upper->buf, false);
	return 0;
}

/*
 * Puts new[0..*n) behind the path's entry of the node at *level.  Out: new[0] and *n = 1 when the node was split.
 * *level goes up by one when the root grew a level.
 */
static int insert_children(struct da_tree *tree, unsigned *level, struct da_block new[2], unsigned *n)
{
	struct da_block upper, *node = &tree->path.blk[*level], *target;
	bool is_full = node_count(node->buf) + *n > tree->geo->node_entries;
	unsigned index;
	int err;

	node_of(node->buf)->__btree[node->index].hashval = cpu_to_be32(tree->path.blk[*level + 1].hash);
	node_log(tree, node->buf, node->index, node->index + 1);

	if (is_full && *level == 0) {
		err = push_root_down(tree);
		if (err)
			return err;
		node = &tree->path.blk[++*level];
	}
	target = node;
	index = node->index + 1;
	if (is_full) {
		err = split_node(tree, *level, &upper);
		if (err)
			return err;
		if (node->index >= node_count(node->buf)) {
			target = &upper;
			index -= node_count(node->buf);
		}
	}
	for (unsigned i = 0; i < *n; i++)
		node_insert(tree, target->buf, index + i, new[i].hash, new[i].blk);
	node->hash = node_last_hash(node->buf);
	*n = 0;
	if (is_full) {
		upper.hash = node_last_hash(upper.buf);
		new[(*n)++] = upper;
	}
	return 0;
}

int da_split(struct da_tree *tree)
{
	struct da_block new[2];
	unsigned level, n = 0;
	int err;

	if (tree->path.active == 1) {
		err = push_root_down(tree);
		if (err)
			return err;
	}
	err = split_leaf(tree, new, &n);
	if (err)
		return err;
	level = tree->path.active - 1;
	while (n) {
		ensure(level > 0);
		level--;
		err = insert_children(tree, &level, new, &n);
		if (err)
			return err;
	}
	path_fix_hashes(tree, &tree->path, level);
	return 0;
}
