// SPDX-License-Identifier: GPL-2.0
/*
 * Shrinking the tree.  (XFS: xfs_da3_join, xfs_da3_node_toosmall, xfs_da3_root_join, xfs_da3_blk_unlink,
 * xfs_da3_swap_lastblock.)
 *
 * A block that is at most half full joins a neighbour when both together fill at most three quarters of a block, so
 * that the next insertion does not split it again.  Of the two the one with the higher number goes, which keeps the
 * fork short.
 */
#include "internal.h"

static uint32_t used_bytes(const struct da_tree *tree, const struct buffer *buf)
{
	return da_is_node(buf) ? node_count(buf) * (uint32_t)sizeof(struct xfs_da_node_entry) :
				 tree->leaf->used_bytes(buf);
}

static uint32_t header_bytes(const struct da_tree *tree, const struct buffer *buf)
{
	return da_is_node(buf) ? (uint32_t)sizeof(struct xfs_da3_node_hdr) : tree->leaf->header_bytes;
}

int siblings_unlink(struct da_tree *tree, struct da_block *drop, struct da_block *keep)
{
	struct xfs_da_blkinfo *keep_hdr = &info_of(keep->buf)->hdr, *other_hdr;
	bool is_before = be32_to_cpu(keep_hdr->back) == drop->blk;
	uint32_t other_blk = is_before ? back_of(drop->buf) : forw_of(drop->buf);
	struct buffer *other;
	int err;

	if (is_before ? forw_of(drop->buf) != keep->blk :
			forw_of(keep->buf) != drop->blk || back_of(drop->buf) != keep->blk)
		return da_corrupt(tree->inode, drop->blk, "does not know its neighbour");
	if (is_before)
		keep_hdr->back = cpu_to_be32(other_blk);
	else
		keep_hdr->forw = cpu_to_be32(other_blk);
	da_log(tree->tx, keep->buf, keep_hdr, sizeof(*keep_hdr));
	if (!other_blk)
		return 0;

	err = tree_read(tree, other_blk, &other);
	if (err)
		return err;
	other_hdr = &info_of(other)->hdr;
	if (block_level(other) != block_level(keep->buf) ||
	    be32_to_cpu(is_before ? other_hdr->forw : other_hdr->back) != drop->blk)
		return da_corrupt(tree->inode, other_blk, "does not know its neighbour");
	if (is_before)
		other_hdr->forw = cpu_to_be32(keep->blk);
	else
		other_hdr->back = cpu_to_be32(keep->blk);
	da_log(tree->tx, other, other_hdr, sizeof(*other_hdr));
	return 0;
}

/* Whether the last block of the path and its neighbour @blk are small enough to become one. */
static int fits_with(struct da_tree *tree, const struct da_block *here, uint32_t blk, bool *fits)
{
	uint32_t limit = tree->geo->block_bytes - tree->geo->block_bytes / 4;
	struct buffer *buf;
	int err;

	err = tree_read(tree, blk, &buf);
	if (err)
		return err;
	if (block_level(buf) != block_level(here->buf))
		err = da_corrupt(tree->inode, blk, "is a neighbour at another level");
	else
		*fits = header_bytes(tree, buf) + used_bytes(tree, buf) + used_bytes(tree, here->buf) <= limit;
	da_release(tree->tx, buf);
	return err;
}

/* Chooses the neighbour to join the last block of the path with; *found false: none, or no need. */
static int choose_neighbour(struct da_tree *tree, bool *found, bool *forward)
{
	struct da_block *here = &tree->path.blk[tree->path.active - 1];
	uint32_t used = used_bytes(tree, here->buf), blk[2] = { back_of(here->buf), forw_of(here->buf) };
	unsigned first;

	*found = false;
	if (header_bytes(tree, here->buf) + used > tree->geo->block_bytes / 2)
		return 0;
	if (!used) {
		*forward = blk[1] != 0;
		*found = blk[0] || blk[1];
		return 0;
	}
	first = blk[1] < blk[0];
	for (unsigned i = 0; i < 2 && !*found; i++) {
		int err;

		*forward = first ^ i;
		if (!blk[*forward])
			continue;
		err = fits_with(tree, here, blk[*forward], found);
		if (err)
			return err;
	}
	return 0;
}

static void merge_blocks(struct da_tree *tree, struct da_block *from, struct da_block *to)
{
	bool to_front = forw_of(from->buf) == to->blk;

	if (!da_is_node(from->buf)) {
		tree->leaf->merge(tree, from, to, to_front);
	} else {
		node_move(tree, from->buf, 0, to->buf, to_front);
	}
	to->hash = block_last_hash(tree->leaf, to->buf);
}

/* Joins the last block of the path with a neighbour; the path is then the dropped one's.  *joined false: it stays. */
static int join_last(struct da_tree *tree, bool *joined)
{
	struct da_path *path = &tree->path, other = *path;
	struct da_block *drop, *keep;
	unsigned last = path->active - 1;
	bool forward = false, moved = false;
	uint32_t expected;
	int err;

	err = choose_neighbour(tree, joined, &forward);
	if (err || !*joined)
		return err;
	expected = forward ? forw_of(path->blk[last].buf) : back_of(path->blk[last].buf);
	err = path_shift(tree, &other, forward, &moved);
	if (err)
		return err;
	if (!moved || other.blk[last].blk != expected)
		return da_corrupt(tree->inode, expected, "is a neighbour that the level above does not know");
	if (used_bytes(tree, path->blk[last].buf) && other.blk[last].blk > path->blk[last].blk) {
		struct da_path swap = *path;

		*path = other;
		other = swap;
	}
	drop = &path->blk[last];
	keep = &other.blk[last];
	merge_blocks(tree, drop, keep);
	path_fix_hashes(tree, &other, last);
	err = siblings_unlink(tree, drop, keep);
	if (err)
		return err;
	return tree_shrink(tree, drop->blk, drop->buf);
}

/* While the root has one child, the child's contents become the root's. */
static int shrink_root(struct da_tree *tree)
{
	struct da_block *root = &tree->path.blk[0];

	while (da_is_node(root->buf) && node_count(root->buf) == 1) {
		uint32_t blk = node_child(root->buf, 0);
		struct buffer *child;
		int err;

		err = tree_read(tree, blk, &child);
		if (err)
			return err;
		if (block_level(child) + 1 != node_level(root->buf) || forw_of(child) || back_of(child))
			return da_corrupt(tree->inode, blk, "is no only child");
		memcpy(root->buf->data, child->data, child->bytes);
		info_of(root->buf)->blkno = cpu_to_be64(root->buf->daddr);
		root->buf->type = child->type;
		tx_buffer_log_all(tree->tx, root->buf);
		err = tree_shrink(tree, blk, child);
		if (err)
			return err;
	}
	return 0;
}

int da_join(struct da_tree *tree, bool *is_leaf_root)
{
	struct da_path *path = &tree->path;
	int err;

	while (path->active > 1) {
		struct da_block *parent;
		bool joined;

		err = join_last(tree, &joined);
		if (err)
			return err;
		if (!joined)
			break;
		path->active--;
		parent = &path->blk[path->active - 1];
		node_remove(tree, parent->buf, parent->index);
		if (node_count(parent->buf)) {
			parent->hash = node_last_hash(parent->buf);
			path_fix_hashes(tree, path, path->active - 1);
		}
	}
	err = shrink_root(tree);
	if (!err)
		*is_leaf_root = !da_is_node(path->blk[0].buf);
	return err;
}
