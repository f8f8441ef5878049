/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys above a changed block, and moving entries between neighbours.
 *
 * The key of a child, in its parent, is the lowest key below it; in overlapping trees the highest key follows.
 * Neighbours may have different parents: each is reached with a cursor of its own, so that the keys above both can be
 * corrected.
 */
#include "btree_private.h"

void update_keys(struct btree_cursor *cur, uint32_t level)
{
	size_t bytes = keys_bytes(cur->ops);

	for (; level + 1 < cur->levels; level++) {
		struct node n = path_node(cur, level), parent = path_node(cur, level + 1);
		uint32_t index = cur->path[level + 1].index;
		struct key_pair keys;
		void *slot;

		if (node_count(&n) == 0)
			return;
		node_keys(cur, &n, &keys);
		slot = node_slot(cur, &parent, index);
		if (memcmp(slot, keys.bytes, bytes) == 0)
			return;
		memcpy(slot, keys.bytes, bytes);
		/* The pointer is logged with it; it lies in the same block and costs one more chunk at most. */
		node_log_slots(cur, &parent, index, index + 1);
	}
}

int neighbour_cursor(struct btree_cursor *cur, uint32_t level, enum side side, struct btree_cursor *out)
{
	struct node n;
	union btree_ptr expected, own;
	bool found;
	int err;

	err = btree_cursor_dup(cur, out);
	if (err)
		return err;
	n = path_node(out, level);
	if (side == SIDE_RIGHT) {
		out->path[level].index = node_count(&n);
		err = btree_increment(out, level, &found);
	} else {
		out->path[level].index = 1;
		err = btree_decrement(out, level, &found);
	}
	if (!err && !found)
		err = btree_corrupted(cur, &n, "it has a sibling that its parents do not know");
	if (!err) {
		struct node neighbour = path_node(out, level);

		expected = node_sibling(cur, &n, side);
		own = node_own_ptr(out, &neighbour);
		if (!ptr_is_equal(cur, &expected, &own))
			err = btree_corrupted(cur, &n, "its sibling is not the one that its parents know");
	}
	if (err)
		btree_cursor_deinit(out);
	return err;
}

void shift_left(struct btree_cursor *left, struct btree_cursor *right, uint32_t level)
{
	struct node l = path_node(left, level), r = path_node(right, level);
	uint32_t count = node_count(&l);

	node_set_count(left, &l, count + 1);
	node_copy_slots(left, &l, count + 1, &r, 1, 1);
	node_remove_slot(right, &r, 1);
	update_keys(left, level);
	update_keys(right, level);
}

void shift_right(struct btree_cursor *left, struct btree_cursor *right, uint32_t level)
{
	struct node l = path_node(left, level), r = path_node(right, level);
	uint32_t count = node_count(&l);
	struct entry e = { 0 };

	memcpy(&e, node_slot(left, &l, count), slot_bytes(left->ops, level));
	if (level > 0)
		e.ptr = ptr_copy(left, node_ptr_at(left, &l, count));
	node_insert_slot(right, &r, 1, &e);
	node_set_count(left, &l, count - 1);
	update_keys(left, level);
	update_keys(right, level);
}

int btree_update(struct btree_cursor *cur, const union btree_rec *rec)
{
	uint32_t index = cur->path[0].index;
	struct node leaf;
	int err;

	ensure(cur->tx && cur->levels > 0);
	leaf = path_node(cur, 0);
	if (index < 1 || index > node_count(&leaf))
		return btree_corrupted(cur, &leaf, "no record to update");
	err = check_place(cur, &leaf, rec, index - 1, index + 1);
	if (err)
		return err;
	memcpy(node_slot(cur, &leaf, index), rec, cur->ops->rec_bytes);
	node_log_slots(cur, &leaf, index, index + 1);
	update_keys(cur, 0);
	return 0;
}
