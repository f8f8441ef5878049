// SPDX-License-Identifier: GPL-2.0
/*
 * Going down the tree and along its edges.  (XFS: xfs_da3_node_lookup_int, xfs_da3_path_shift, xfs_da3_fixhashpath.)
 *
 * Every way through the tree is bounded: levels fall by one at each step down, and no walk along one level visits
 * more blocks than the fork has.
 */
#include "internal.h"

/* Whether @buf may stand under entry @index of @parent. */
static const char *child_verify(const struct da_leaf_ops *ops, const struct buffer *parent, unsigned index,
				const struct buffer *buf)
{
	if (block_level(buf) + 1 != node_level(parent))
		return "stands at the wrong level";
	if (block_last_hash(ops, buf) > node_hash(parent, index))
		return "holds hashes its parent does not know";
	return NULL;
}

static void block_fill(const struct da_leaf_ops *ops, struct da_block *out, struct buffer *buf, uint32_t blk)
{
	out->buf = buf;
	out->blk = blk;
	out->index = 0;
	out->is_leaf = !da_is_node(buf);
	out->hash = block_last_hash(ops, buf);
}

/* Reads the child that @parent points at. */
static int read_child(struct da_tree *tree, const struct da_block *parent, struct da_block *out)
{
	uint32_t blk = node_child(parent->buf, parent->index);
	struct buffer *buf;
	const char *reason;
	int err;

	err = tree_read(tree, blk, &buf);
	if (err)
		return err;
	reason = child_verify(tree->leaf, parent->buf, parent->index, buf);
	if (reason)
		return da_corrupt(tree->inode, blk, reason);
	block_fill(tree->leaf, out, buf, blk);
	return 0;
}

static int descend(struct da_tree *tree)
{
	struct da_path *path = &tree->path;
	struct buffer *root;
	int err;

	err = tree_read(tree, (uint32_t)tree->geo->leaf_fileblk, &root);
	if (err)
		return err;
	block_fill(tree->leaf, &path->blk[0], root, (uint32_t)tree->geo->leaf_fileblk);
	path->active = 1;
	while (!path->blk[path->active - 1].is_leaf) {
		struct da_block *node = &path->blk[path->active - 1];

		if (path->active == DA_MAX_DEPTH)
			return da_corrupt(tree->inode, node->blk, "has too many levels below it");
		node->index = node_search(node->buf, tree->hash);
		err = read_child(tree, node, &path->blk[path->active]);
		if (err)
			return err;
		path->active++;
	}
	return 0;
}

int da_lookup(struct da_tree *tree, bool *found)
{
	uint64_t budget = tree->inode->map.block_count;
	int err;

	ensure(tree->tx);
	err = descend(tree);
	while (!err) {
		struct da_block *leaf = &tree->path.blk[tree->path.active - 1];
		bool moved = false;

		err = tree->leaf->find(tree, leaf, found);
		if (err || *found || leaf->hash != tree->hash)
			break;
		err = path_shift(tree, &tree->path, true, &moved);
		if (err || !moved)
			break;
		if (!budget--)
			return da_corrupt(tree->inode, leaf->blk, "lies on a ring");
	}
	return err;
}

int path_shift(struct da_tree *tree, struct da_path *path, bool forward, bool *moved)
{
	struct da_path work = *path;
	unsigned level = work.active - 1;

	*moved = false;
	for (;;) {
		struct da_block *node;

		if (level == 0)
			return 0;
		node = &work.blk[--level];
		if (forward ? node->index + 1 < node_count(node->buf) : node->index > 0) {
			node->index += forward ? 1 : -1;
			break;
		}
	}
	for (level++; level < work.active; level++) {
		int err = read_child(tree, &work.blk[level - 1], &work.blk[level]);

		if (err)
			return err;
		if (!forward && !work.blk[level].is_leaf)
			work.blk[level].index = node_count(work.blk[level].buf) - 1;
	}
	*path = work;
	*moved = true;
	return 0;
}

void path_fix_hashes(struct da_tree *tree, struct da_path *path, unsigned below)
{
	uint32_t hash = path->blk[below].hash;

	while (below-- > 0) {
		struct da_block *node = &path->blk[below];

		if (node_hash(node->buf, node->index) == hash)
			break;
		node_of(node->buf)->__btree[node->index].hashval = cpu_to_be32(hash);
		node_log(tree, node->buf, node->index, node->index + 1);
		hash = node->hash = node_last_hash(node->buf);
	}
}

void da_fix_hashes(struct da_tree *tree)
{
	struct da_block *leaf = &tree->path.blk[tree->path.active - 1];

	leaf->hash = tree->leaf->last_hash(leaf->buf);
	path_fix_hashes(tree, &tree->path, tree->path.active - 1);
}

/* ---- for readers ---- */

static const struct da_geometry *geometry_of(struct inode *inode, enum fork_which which)
{
	const struct geometry *geo = inode_geometry(inode);

	return which == FORK_DATA ? &geo->dir : &geo->attr;
}

int da_first_leaf(struct tx *tx, struct inode *inode, enum fork_which which, const struct da_leaf_ops *ops,
		  uint32_t hash, struct buffer **leaf)
{
	uint32_t blk = (uint32_t)geometry_of(inode, which)->leaf_fileblk;
	struct buffer *buf;
	int err;

	err = da_read(tx, inode, which, blk, false, ops->any_type, &buf);
	while (!err && da_is_node(buf)) {
		unsigned index = node_search(buf, hash);
		struct buffer *child;
		const char *reason;

		blk = node_child(buf, index);
		err = da_read(tx, inode, which, blk, false, ops->any_type, &child);
		if (!err) {
			reason = child_verify(ops, buf, index, child);
			if (reason) {
				da_release(tx, child);
				err = da_corrupt(inode, blk, reason);
			}
		}
		da_release(tx, buf);
		buf = child;
	}
	if (!err)
		*leaf = buf;
	return err;
}

int da_next_leaf(struct tx *tx, struct inode *inode, enum fork_which which, const struct da_leaf_ops *ops,
		 uint64_t *budget, struct buffer **leaf)
{
	uint32_t next = forw_of(*leaf), hash = ops->last_hash(*leaf);
	struct buffer *buf;
	int err;

	da_release(tx, *leaf);
	*leaf = NULL;
	if (!next)
		return 0;
	if (*budget == DA_WALK_BUDGET)
		*budget = inode->map.block_count;
	if (!*budget)
		return da_corrupt(inode, next, "lies on a ring");
	--*budget;
	err = da_read(tx, inode, which, next, false, ops->any_type, &buf);
	if (err)
		return err;
	if (da_is_node(buf) || (ops->used_bytes(buf) && ops->last_hash(buf) < hash)) {
		da_release(tx, buf);
		return da_corrupt(inode, next, "is not what its left neighbour expects");
	}
	*leaf = buf;
	return 0;
}
