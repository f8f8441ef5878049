/* SPDX-License-Identifier: GPL-2.0 */
/* A whole tree against itself. */
#include "btree_private.h"

#include <userxfs/base/bits.h>

/* The block visited last on each level: its right sibling, and its last low key. */
struct level_state {
	bool was_visited;
	union btree_ptr own, right;
	union btree_key last;
};

struct verification {
	struct level_state levels[BTREE_MAX_LEVELS];
};

static int verify_slots(const struct btree_cursor *cur, const struct node *n)
{
	union btree_key before, key;

	for (uint32_t i = 1; i <= node_count(n); i++) {
		node_low_key(cur, n, i, &key);
		if (i > 1 && cur->ops->compare(&before, &key) >= 0)
			return btree_corrupted(cur, n, "entries out of order");
		before = key;
	}
	return 0;
}

static int verify_fill(const struct btree_cursor *cur, const struct node *n)
{
	uint32_t min = n->level == 0 ? cur->limits->min_leaf : cur->limits->min_node;
	bool is_root = n->level + 1 == cur->levels;
	bool is_only_child = cur->ops->is_root_in_inode && n->level + 2 == cur->levels;

	if (is_root && n->level > 0 && !cur->ops->is_root_in_inode && node_count(n) < 2)
		return btree_corrupted(cur, n, "a root with one child");
	if (is_only_child) {
		struct node root = path_node(cur, n->level + 1);

		is_only_child = node_count(&root) == 1;
	}
	if (!is_root && !is_only_child && node_count(n) < min)
		return btree_corrupted(cur, n, "less than half full");
	return 0;
}

static int verify_neighbours(const struct btree_cursor *cur, const struct node *n, struct level_state *state)
{
	union btree_ptr left = node_sibling(cur, n, SIDE_LEFT), own;
	union btree_key first;

	if (!n->buf)
		return 0;
	own = node_own_ptr(cur, n);
	if (!state->was_visited) {
		if (!ptr_is_none(cur, &left))
			return btree_corrupted(cur, n, "the first block of its level has a left sibling");
	} else {
		if (!ptr_is_equal(cur, &left, &state->own) || !ptr_is_equal(cur, &own, &state->right))
			return btree_corrupted(cur, n, "siblings disagree with the order of parents");
		node_low_key(cur, n, 1, &first);
		if (cur->ops->compare(&state->last, &first) >= 0)
			return btree_corrupted(cur, n, "it does not sort behind its left neighbour");
	}
	state->was_visited = true;
	state->own = own;
	state->right = node_sibling(cur, n, SIDE_RIGHT);
	if (node_count(n) > 0)
		node_low_key(cur, n, node_count(n), &state->last);
	return 0;
}

static int verify_parent(const struct btree_cursor *cur, const struct node *n)
{
	struct node parent;
	struct key_pair keys;

	if (n->level + 1 == cur->levels || node_count(n) == 0)
		return 0;
	parent = path_node(cur, n->level + 1);
	node_keys(cur, n, &keys);
	if (memcmp(keys.bytes, node_slot(cur, &parent, cur->path[n->level + 1].index), keys_bytes(cur->ops)) != 0)
		return btree_corrupted(cur, n, "its parent has other keys for it");
	return 0;
}

static int verify_node(struct btree_cursor *cur, uint32_t level, struct verification *v)
{
	struct node n = path_node(cur, level);
	int err;

	err = verify_slots(cur, &n);
	if (!err)
		err = verify_fill(cur, &n);
	if (!err)
		err = verify_neighbours(cur, &n, &v->levels[level]);
	if (!err)
		err = verify_parent(cur, &n);
	return err;
}

int btree_verify(struct btree_cursor *cur)
{
	struct verification v = { 0 };
	uint32_t level;
	int err;

	err = path_load_root(cur);
	if (err)
		return err;
	level = cur->levels - 1;
	path_release_below(cur, level);
	cur->path[level].index = 0;
	err = verify_node(cur, level, &v);
	while (!err && level < cur->levels) {
		struct node n = path_node(cur, level);

		if (level == 0 || cur->path[level].index == node_count(&n)) {
			level++;
			continue;
		}
		cur->path[level].index++;
		err = path_load_child(cur, --level);
		if (err)
			break;
		cur->path[level].index = 0;
		err = verify_node(cur, level, &v);
	}
	for (level = 0; !err && level < cur->levels; level++)
		if (v.levels[level].was_visited && !ptr_is_none(cur, &v.levels[level].right))
			err = btree_corrupted(cur, NULL, "the last block of a level has a right sibling");
	return err;
}
