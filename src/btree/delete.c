/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Deletion.
 *
 * From the leaf upwards: a block that has become less than half full takes an entry from a neighbour that can spare
 * one, else it is joined with one of them, and the right one's entry in their parent is deleted one level up.  A root
 * in a block that has one child left gives way to it; the contents of an only child move up into a root in an inode
 * when they fit.
 *
 * The path is found again at the end when any block but the leaf was changed.
 */
#include "btree_private.h"

static uint32_t level_min(const struct btree_cursor *cur, uint32_t level)
{
	return level == 0 ? cur->limits->min_leaf : cur->limits->min_node;
}

/* The root has one child left, which becomes the root. */
static int shrink_root(struct btree_cursor *cur)
{
	uint32_t level = cur->levels - 1;
	struct node root = path_node(cur, level);
	union btree_ptr child = ptr_copy(cur, node_ptr_at(cur, &root, 1));
	int err;

	cur->ops->set_root(cur, &child, -1);
	err = node_free(cur, &root);
	if (err)
		return err;
	path_set(cur, level, NULL);
	cur->levels--;
	return 0;
}

/* Moves the contents of the only child of the root in the inode into it, when they fit and are not records. */
static int pull_up_iroot(struct btree_cursor *cur)
{
	uint32_t level = cur->levels - 1;
	struct node root = path_node(cur, level), child;
	union btree_ptr p, left, right;
	uint32_t count;
	int err;

	if (level == 1 || node_count(&root) != 1)
		return 0;
	p = ptr_copy(cur, node_ptr_at(cur, &root, 1));
	err = node_read(cur, level - 1, &p, &child);
	if (err)
		return err;
	count = node_count(&child);
	left = node_sibling(cur, &child, SIDE_LEFT);
	right = node_sibling(cur, &child, SIDE_RIGHT);
	if (!ptr_is_none(cur, &left) || !ptr_is_none(cur, &right))
		err = btree_corrupted(cur, &child, "the only child of the root has siblings");
	if (err || count > root.max) {
		cursor_release(cur, child.buf);
		return err;
	}

	root.level = level - 1;
	root.block->bb_level = cpu_to_be16((uint16_t)(level - 1));
	root.block->bb_numrecs = cpu_to_be16((uint16_t)count);
	node_copy_slots(cur, &root, 1, &child, 1, count);
	cur->ops->iroot_log(cur);
	path_set(cur, level - 1, NULL);
	cur->levels--;
	return node_free(cur, &child);
}

static int read_sibling(struct btree_cursor *cur, uint32_t level, const struct node *n, enum side side,
			struct node *out, bool *exists)
{
	union btree_ptr p = node_sibling(cur, n, side);

	*exists = !ptr_is_none(cur, &p);
	return *exists ? node_read(cur, level, &p, out) : 0;
}

/*
 * Takes an entry from the @side neighbour if that keeps its minimum.  *count: entries of the neighbour, 0: there is
 * none.
 */
static int borrow(struct btree_cursor *cur, uint32_t level, enum side side, uint32_t *count, bool *done)
{
	struct node n = path_node(cur, level), sibling;
	struct btree_cursor neighbour;
	bool exists;
	int err;

	*done = false;
	*count = 0;
	err = read_sibling(cur, level, &n, side, &sibling, &exists);
	if (err || !exists)
		return err;
	*count = node_count(&sibling);
	cursor_release(cur, sibling.buf);
	if (*count <= level_min(cur, level))
		return 0;

	err = neighbour_cursor(cur, level, side, &neighbour);
	if (err)
		return err;
	if (side == SIDE_RIGHT)
		shift_left(cur, &neighbour, level);
	else
		shift_right(&neighbour, cur, level);
	btree_cursor_deinit(&neighbour);
	*done = true;
	return 0;
}

/*
 * Appends the block at @level of @right to that of @left and frees it.  The caller deletes the entry of @right's
 * block from its parent.
 */
static int join(struct btree_cursor *left, struct btree_cursor *right, uint32_t level)
{
	struct node l = path_node(left, level), r = path_node(right, level), after;
	uint32_t left_count = node_count(&l), right_count = node_count(&r);
	union btree_ptr left_ptr = node_own_ptr(left, &l), after_ptr = node_sibling(right, &r, SIDE_RIGHT);
	bool has_after;
	int err;

	err = read_sibling(right, level, &r, SIDE_RIGHT, &after, &has_after);
	if (err)
		return err;
	node_set_count(left, &l, left_count + right_count);
	node_copy_slots(left, &l, left_count + 1, &r, 1, right_count);
	node_set_sibling(left, &l, SIDE_RIGHT, &after_ptr);
	if (has_after) {
		node_set_sibling(left, &after, SIDE_LEFT, &left_ptr);
		cursor_release(left, after.buf);
	}
	update_keys(left, level);
	return node_free(left, &r);
}

/* Joins with the @side neighbour; the path above @level then leads to the entry to delete. */
static int join_neighbour(struct btree_cursor *cur, uint32_t level, enum side side)
{
	struct btree_cursor neighbour;
	int err;

	err = neighbour_cursor(cur, level, side, &neighbour);
	if (err)
		return err;
	if (side == SIDE_LEFT) {
		err = join(&neighbour, cur, level);
	} else {
		err = join(cur, &neighbour, level);
		/* The right block's parent may be another one. */
		for (uint32_t up = level + 1; !err && up < cur->levels; up++) {
			struct buffer *buf = neighbour.path[up].buf;

			neighbour.path[up].buf = NULL;
			path_set(cur, up, buf);
			cur->path[up].index = neighbour.path[up].index;
		}
	}
	btree_cursor_deinit(&neighbour);
	return err;
}

/* The block at @level, not the root, may have become too empty.  *more: an entry one level up has to go. */
static int rebalance(struct btree_cursor *cur, uint32_t level, bool *more)
{
	struct node n = path_node(cur, level);
	uint32_t count = node_count(&n), right_count, left_count;
	bool done;
	int err;

	*more = false;
	if (count >= level_min(cur, level))
		return 0;
	err = borrow(cur, level, SIDE_RIGHT, &right_count, &done);
	if (err || done)
		return err;
	err = borrow(cur, level, SIDE_LEFT, &left_count, &done);
	if (err || done)
		return err;

	if (left_count && left_count + count <= n.max) {
		*more = true;
		return join_neighbour(cur, level, SIDE_LEFT);
	}
	if (right_count && right_count + count <= n.max) {
		*more = true;
		return join_neighbour(cur, level, SIDE_RIGHT);
	}
	if (!left_count && !right_count) {
		if (!level_is_iroot(cur, level + 1))
			return btree_corrupted(cur, &n, "it is below the root but has no siblings");
		return pull_up_iroot(cur);
	}
	return 0;
}

/* Deletes the entry at the path's index of @level.  *more: another has to go one level up. */
static int delete_at_level(struct btree_cursor *cur, uint32_t level, bool *more)
{
	struct node n = path_node(cur, level);

	*more = false;
	node_remove_slot(cur, &n, cur->path[level].index);
	if (level + 1 < cur->levels) {
		update_keys(cur, level);
		return rebalance(cur, level, more);
	}
	if (level_is_iroot(cur, level))
		return pull_up_iroot(cur);
	if (level > 0 && node_count(&n) == 1)
		return shrink_root(cur);
	return 0;
}

int btree_delete(struct btree_cursor *cur)
{
	uint32_t index = cur->path[0].index, level = 0;
	struct node leaf;
	union btree_key key;
	bool more, found;
	int err;

	ensure(cur->tx && cur->levels > 0);
	leaf = path_node(cur, 0);
	if (index < 1 || index > node_count(&leaf))
		return btree_corrupted(cur, &leaf, "no record to delete");
	node_low_key(cur, &leaf, index, &key);
	do {
		err = delete_at_level(cur, level++, &more);
		if (!err && more && level == cur->levels)
			err = btree_corrupted(cur, NULL, "the root has siblings");
	} while (!err && more);
	if (err)
		return err;
	return btree_lookup(cur, BTREE_GE, &key, &found);
}
