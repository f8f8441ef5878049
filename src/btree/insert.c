/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Insertion.
 *
 * From the leaf upwards: a full block gives an entry to its right or left neighbour when one of them has room, else
 * it is split, and the new block's key and pointer are the entry to insert one level up, right behind the old
 * block's.  A root in a block that was split gets a new root above it; a full root in an inode moves down into a new
 * block first.
 *
 * While this goes on, the path above the level at work leads to the old (left) block.  Once anything was split the
 * path is found again at the end.
 */
#include "btree_private.h"

static bool has_room(struct btree_cursor *cur, uint32_t level, const struct node *n, enum side side, int *err)
{
	union btree_ptr p = node_sibling(cur, n, side);
	struct node sibling;
	bool room;

	*err = 0;
	if (ptr_is_none(cur, &p))
		return false;
	*err = node_read(cur, level, &p, &sibling);
	if (*err)
		return false;
	room = node_count(&sibling) < sibling.max;
	cursor_release(cur, sibling.buf);
	return room;
}

/* *done: the path's block at @level has room now, and its index is still where to insert. */
static int shift_to_neighbour(struct btree_cursor *cur, uint32_t level, enum side side, bool *done)
{
	struct node n = path_node(cur, level);
	uint32_t index = cur->path[level].index;
	struct btree_cursor neighbour;
	int err;

	*done = false;
	/* Not when the place to insert would move with the entry. */
	if (side == SIDE_RIGHT ? index >= node_count(&n) : index <= 1)
		return 0;
	if (!has_room(cur, level, &n, side, &err))
		return err;
	err = neighbour_cursor(cur, level, side, &neighbour);
	if (err)
		return err;
	if (side == SIDE_RIGHT) {
		shift_right(cur, &neighbour, level);
	} else {
		shift_left(&neighbour, cur, level);
		cur->path[level].index--;
	}
	btree_cursor_deinit(&neighbour);
	*done = true;
	return 0;
}

/*
 * Splits the path's block at @level.  The path stays on the half where its index lies; *right is the new block.
 * *moved: that half is the new block, which no parent knows yet.
 */
static int split(struct btree_cursor *cur, uint32_t level, struct node *right, bool *moved)
{
	struct node left = path_node(cur, level), after;
	union btree_ptr left_ptr = node_own_ptr(cur, &left), right_ptr;
	union btree_ptr after_ptr = node_sibling(cur, &left, SIDE_RIGHT);
	uint32_t count = node_count(&left), right_count = count / 2;
	int err;

	/* An odd count's extra entry goes where the insertion does not. */
	if (count % 2 && cur->path[level].index <= right_count + 1)
		right_count++;

	err = node_create(cur, level, &left_ptr, right, &right_ptr);
	if (err)
		return err;
	node_set_count(cur, right, right_count);
	node_copy_slots(cur, right, 1, &left, count - right_count + 1, right_count);
	node_set_count(cur, &left, count - right_count);

	node_set_sibling(cur, right, SIDE_LEFT, &left_ptr);
	node_set_sibling(cur, right, SIDE_RIGHT, &after_ptr);
	node_set_sibling(cur, &left, SIDE_RIGHT, &right_ptr);
	if (!ptr_is_none(cur, &after_ptr)) {
		err = node_read(cur, level, &after_ptr, &after);
		if (err)
			return err;
		node_set_sibling(cur, &after, SIDE_LEFT, &right_ptr);
		cursor_release(cur, after.buf);
	}
	update_keys(cur, level);

	*moved = cur->path[level].index > count - right_count + 1;
	if (*moved) {
		cur->path[level].index -= count - right_count;
		path_set(cur, level, right->buf);
	}
	return 0;
}

/* A new root with two entries above @left (the old one) and @right. */
static int grow_root(struct btree_cursor *cur, const union btree_ptr *left_ptr, const struct entry *right)
{
	struct node root, left;
	struct entry e = { 0 };
	union btree_ptr root_ptr;
	uint32_t level = cur->levels;
	int err;

	if (level >= cur->limits->max_levels || level >= BTREE_MAX_LEVELS)
		return btree_corrupted(cur, NULL, "the tree would become too high");
	err = node_read(cur, level - 1, left_ptr, &left);
	if (err)
		return err;
	node_keys(cur, &left, &e.keys);
	e.ptr = *left_ptr;
	cursor_release(cur, left.buf);

	err = node_create(cur, level, left_ptr, &root, &root_ptr);
	if (err)
		return err;
	node_insert_slot(cur, &root, 1, &e);
	node_insert_slot(cur, &root, 2, right);
	cur->ops->set_root(cur, &root_ptr, 1);
	cur->levels++;
	path_set(cur, level, root.buf);
	return 0;
}

/*
 * The contents of the root in the inode go into a new block of the same level; the root, one level higher, points at
 * it alone.  The path leads through the new block to where it led before.
 */
static int push_down_iroot(struct btree_cursor *cur)
{
	uint32_t level = cur->levels - 1;
	struct node root = path_node(cur, level), child;
	union btree_ptr near = ptr_copy(cur, node_ptr_at(cur, &root, 1)), child_ptr;
	uint32_t count = node_count(&root);
	int err;

	if (cur->levels >= cur->limits->max_levels || cur->levels >= BTREE_MAX_LEVELS)
		return btree_corrupted(cur, &root, "the tree would become too high");
	err = node_create(cur, level, &near, &child, &child_ptr);
	if (err)
		return err;
	node_set_count(cur, &child, count);
	node_copy_slots(cur, &child, 1, &root, 1, count);

	root.block->bb_level = cpu_to_be16((uint16_t)(level + 1));
	root.block->bb_numrecs = cpu_to_be16(1);
	memcpy(node_ptr_at(cur, &root, 1), &child_ptr, sizeof(child_ptr));
	cur->ops->iroot_log(cur);

	cur->levels++;
	cur->path[level].buf = child.buf;
	cur->path[level + 1].index = 1;
	return 0;
}

int btree_iroot_push_down(struct btree_cursor *cur)
{
	int err;

	ensure(cur->tx && cur->ops->is_root_in_inode);
	err = path_load_root(cur);
	if (err)
		return err;
	return push_down_iroot(cur);
}

/* Makes room for one entry at the path's index of @level.  *did_split: *right is new and wants an entry above. */
static int make_room(struct btree_cursor *cur, uint32_t level, struct node *right, bool *did_split, bool *moved)
{
	struct node n = path_node(cur, level);
	bool done;
	int err;

	*did_split = *moved = false;
	if (node_count(&n) < n.max)
		return 0;
	if (level_is_iroot(cur, level)) {
		err = push_down_iroot(cur);
		if (err)
			return err;
		n = path_node(cur, level);
		if (node_count(&n) < n.max)
			return 0;
	}
	err = shift_to_neighbour(cur, level, SIDE_RIGHT, &done);
	if (err || done)
		return err;
	err = shift_to_neighbour(cur, level, SIDE_LEFT, &done);
	if (err || done)
		return err;
	*did_split = true;
	return split(cur, level, right, moved);
}

/* Inserts *@e at the path's index of @level.  *more: it now is the entry for a new block, to insert one level up. */
static int insert_at_level(struct btree_cursor *cur, uint32_t level, struct entry *e, bool *more)
{
	struct node n, right;
	bool did_split, moved;
	int err;

	err = make_room(cur, level, &right, &did_split, &moved);
	if (err)
		return err;
	n = path_node(cur, level);
	node_insert_slot(cur, &n, cur->path[level].index, e);
	if (!moved)
		update_keys(cur, level);

	*more = did_split;
	if (!did_split)
		return 0;
	memset(e, 0, sizeof(*e));
	node_keys(cur, &right, &e->keys);
	e->ptr = node_own_ptr(cur, &right);
	if (!moved)
		cursor_release(cur, right.buf);
	return 0;
}

int btree_insert(struct btree_cursor *cur, const union btree_rec *rec)
{
	struct node leaf;
	struct entry e = { 0 };
	uint32_t index = cur->path[0].index, level = 0;
	union btree_key key;
	bool more, found;
	int err;

	ensure(cur->tx && cur->levels > 0);
	leaf = path_node(cur, 0);
	if (index < 1 || index > node_count(&leaf) + 1)
		return btree_corrupted(cur, &leaf, "no place to insert a record");
	err = check_place(cur, &leaf, rec, index - 1, index);
	if (err)
		return err;

	memcpy(&e.rec, rec, cur->ops->rec_bytes);
	err = insert_at_level(cur, 0, &e, &more);
	while (!err && more) {
		union btree_ptr old_root = { 0 };

		level++;
		if (level == cur->levels) {
			uint32_t levels;

			cur->ops->get_root(cur, &old_root, &levels);
			err = grow_root(cur, &old_root, &e);
			break;
		}
		cur->path[level].index++;
		err = insert_at_level(cur, level, &e, &more);
	}
	if (err || level == 0)
		return err;

	cur->ops->key_of_rec(rec, &key);
	err = btree_lookup(cur, BTREE_EQ, &key, &found);
	if (!err && !found)
		err = btree_corrupted(cur, NULL, "an inserted record cannot be found");
	return err;
}
