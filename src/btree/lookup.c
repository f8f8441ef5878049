/* SPDX-License-Identifier: GPL-2.0 */
/* Finding a record, and going from one to the next. */
#include "btree_private.h"

/* Index of the first slot whose key is not below @key; count + 1 when there is none. */
static uint32_t first_not_below(const struct btree_cursor *cur, const struct node *n, const union btree_key *key,
				bool *is_exact)
{
	uint32_t low = 1, end = node_count(n) + 1;
	union btree_key k;

	*is_exact = false;
	while (low < end) {
		uint32_t middle = low + (end - low) / 2;
		int diff;

		node_low_key(cur, n, middle, &k);
		diff = cur->ops->compare(&k, key);
		if (diff < 0) {
			low = middle + 1;
		} else {
			end = middle;
			*is_exact = diff == 0;
		}
	}
	return low;
}

static int descend(struct btree_cursor *cur, const union btree_key *key)
{
	int err;

	err = path_load_root(cur);
	if (err)
		return err;
	for (uint32_t level = cur->levels - 1; level > 0; level--) {
		struct node n = path_node(cur, level);
		bool is_exact;
		uint32_t index = first_not_below(cur, &n, key, &is_exact);

		/* The key of a child is the lowest of what is in it; before the first there is only the first. */
		cur->path[level].index = is_exact || index == 1 ? index : index - 1;
		err = path_load_child(cur, level - 1);
		if (err)
			return err;
	}
	return 0;
}

/* The record under the cursor, which the leaf before it and the nodes above have led to, is not before @key. */
static int check_not_below(const struct btree_cursor *cur, const union btree_key *key)
{
	struct node leaf = path_node(cur, 0);
	union btree_key first;

	node_low_key(cur, &leaf, cur->path[0].index, &first);
	if (cur->ops->compare(&first, key) < 0)
		return btree_corrupted(cur, &leaf, "it begins before its parent says");
	return 0;
}

int btree_lookup(struct btree_cursor *cur, enum btree_direction how, const union btree_key *key, bool *found)
{
	struct node leaf;
	uint32_t index;
	bool is_exact;
	int err;

	err = descend(cur, key);
	if (err)
		return err;
	leaf = path_node(cur, 0);
	index = first_not_below(cur, &leaf, key, &is_exact);
	cur->path[0].index = index;
	switch (how) {
	case BTREE_EQ:
		*found = is_exact;
		return 0;
	case BTREE_LE:
		if (!is_exact)
			cur->path[0].index = index - 1;
		*found = cur->path[0].index > 0;
		return 0;
	case BTREE_GE:
		break;
	}
	if (index <= node_count(&leaf)) {
		*found = true;
		return 0;
	}
	cur->path[0].index = node_count(&leaf);
	err = btree_increment(cur, 0, found);
	return !err && *found ? check_not_below(cur, key) : err;
}

int btree_get_rec(struct btree_cursor *cur, union btree_rec *rec, bool *found)
{
	struct node leaf;
	uint32_t index = cur->path[0].index;

	ensure(cur->levels > 0);
	leaf = path_node(cur, 0);
	*found = index >= 1 && index <= node_count(&leaf);
	if (*found)
		memcpy(rec, node_slot(cur, &leaf, index), cur->ops->rec_bytes);
	return 0;
}

/*
 * Loads the child of the path at @level in place of the block that is there, which is its @side neighbour, and checks
 * that the two agree.  Cursors without a transaction hold both for a moment.
 */
static int step_to_child(struct btree_cursor *cur, uint32_t level, enum side old_side)
{
	struct node parent = path_node(cur, level + 1), old = path_node(cur, level), n;
	union btree_ptr p, back, old_ptr;
	int err;

	p = ptr_copy(cur, node_ptr_at(cur, &parent, cur->path[level + 1].index));
	err = node_read(cur, level, &p, &n);
	if (err)
		return err;
	back = node_sibling(cur, &n, old_side);
	old_ptr = node_own_ptr(cur, &old);
	if (!ptr_is_equal(cur, &back, &old_ptr))
		err = btree_corrupted(cur, &n, "its sibling pointer disagrees with its parent's order");
	else if (level == 0)
		err = old_side == SIDE_LEFT ? check_order(cur, &old, &n) : check_order(cur, &n, &old);
	if (err) {
		cursor_release(cur, n.buf);
		return err;
	}
	path_set(cur, level, n.buf);
	return 0;
}

int btree_increment(struct btree_cursor *cur, uint32_t level, bool *found)
{
	uint32_t up = level;
	struct node n;
	int err;

	ensure(level < cur->levels);
	/* How far up there is something further to the right. */
	for (;; up++) {
		if (up == cur->levels) {
			n = path_node(cur, level);
			cur->path[level].index = node_count(&n) + 1;
			*found = false;
			return 0;
		}
		n = path_node(cur, up);
		if (cur->path[up].index < node_count(&n))
			break;
	}
	cur->path[up].index++;
	while (up-- > level) {
		err = step_to_child(cur, up, SIDE_LEFT);
		if (err)
			return err;
		cur->path[up].index = 1;
		n = path_node(cur, up);
		cursor_read_ahead(cur, &n, SIDE_RIGHT);
	}
	*found = true;
	return 0;
}

int btree_decrement(struct btree_cursor *cur, uint32_t level, bool *found)
{
	uint32_t up = level;
	struct node n;
	int err;

	ensure(level < cur->levels);
	for (;; up++) {
		if (up == cur->levels) {
			cur->path[level].index = 0;
			*found = false;
			return 0;
		}
		if (cur->path[up].index > 1)
			break;
	}
	cur->path[up].index--;
	while (up-- > level) {
		err = step_to_child(cur, up, SIDE_RIGHT);
		if (err)
			return err;
		n = path_node(cur, up);
		cur->path[up].index = node_count(&n);
		cursor_read_ahead(cur, &n, SIDE_LEFT);
	}
	*found = true;
	return 0;
}

bool btree_is_last_block(const struct btree_cursor *cur, uint32_t level)
{
	struct node n = path_node(cur, level);
	union btree_ptr right = node_sibling(cur, &n, SIDE_RIGHT);

	return ptr_is_none(cur, &right);
}

uint32_t btree_entry_count(const struct btree_cursor *cur, uint32_t level)
{
	struct node n = path_node(cur, level);

	return node_count(&n);
}
