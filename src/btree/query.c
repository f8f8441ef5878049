/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ranges of records, and all blocks of a tree.
 *
 * Where records do not overlap a range is a lookup and a walk.  In an overlapping tree a record that reaches into the
 * range may lie anywhere before it, so the query goes down into every child whose interval touches the range.
 */
#include "btree_private.h"

static int walk_records(struct btree_cursor *cur, bool found, const union btree_key *high, btree_query_fn visit,
			void *context)
{
	while (found) {
		union btree_rec rec;
		union btree_key key;
		int err;

		err = btree_get_rec(cur, &rec, &found);
		if (err || !found)
			return err;
		if (high) {
			cur->ops->key_of_rec(&rec, &key);
			if (cur->ops->compare(&key, high) > 0)
				return 0;
		}
		err = visit(cur, &rec, context);
		if (err)
			return err;
		err = btree_increment(cur, 0, &found);
		if (err)
			return err;
	}
	return 0;
}

static int query_plain(struct btree_cursor *cur, const union btree_key *low, const union btree_key *high,
		       btree_query_fn visit, void *context)
{
	union btree_rec rec;
	union btree_key key;
	bool found;
	int err;

	err = btree_lookup(cur, BTREE_LE, low, &found);
	if (err)
		return err;
	if (found) {
		err = btree_get_rec(cur, &rec, &found);
		if (err)
			return err;
		cur->ops->high_key_of_rec(&rec, &key);
		/* The last record before the range reaches into it. */
		if (cur->ops->compare(&key, low) >= 0)
			return walk_records(cur, found, high, visit, context);
	}
	err = btree_increment(cur, 0, &found);
	if (err)
		return err;
	return walk_records(cur, found, high, visit, context);
}

/*
 * Goes down to the child under the path's index of @level + 1.  It must sort behind the block visited before it on
 * that level, which is what keeps a hostile tree from being endless.
 */
static int enter_child(struct btree_cursor *cur, uint32_t level, bool *was_visited)
{
	struct node parent = path_node(cur, level + 1), old, n;
	union btree_ptr p;
	int err;

	p = ptr_copy(cur, node_ptr_at(cur, &parent, cur->path[level + 1].index));
	err = node_read(cur, level, &p, &n);
	if (err)
		return err;
	if (was_visited[level]) {
		old = path_node(cur, level);
		err = check_order(cur, &old, &n);
	}
	if (err) {
		cursor_release(cur, n.buf);
		return err;
	}
	path_set(cur, level, n.buf);
	cur->path[level].index = 1;
	was_visited[level] = true;
	return 0;
}

static int query_overlapping(struct btree_cursor *cur, const union btree_key *low, const union btree_key *high,
			     btree_query_fn visit, void *context)
{
	bool was_visited[BTREE_MAX_LEVELS] = { false };
	uint32_t level;
	int err;

	err = path_load_root(cur);
	if (err)
		return err;
	level = cur->levels - 1;
	path_release_below(cur, level);
	cur->path[level].index = 1;

	while (level < cur->levels) {
		struct node n = path_node(cur, level);
		uint32_t index = cur->path[level].index;
		union btree_key slot_low, slot_high;
		bool is_behind = index > node_count(&n);

		if (!is_behind) {
			node_low_key(cur, &n, index, &slot_low);
			is_behind = cur->ops->compare(&slot_low, high) > 0;
		}
		if (is_behind) {
			if (++level < cur->levels)
				cur->path[level].index++;
			continue;
		}
		node_high_key(cur, &n, index, &slot_high);
		if (cur->ops->compare(&slot_high, low) < 0) {
			cur->path[level].index++;
		} else if (level > 0) {
			err = enter_child(cur, --level, was_visited);
			if (err)
				return err;
		} else {
			union btree_rec rec;

			memcpy(&rec, node_slot(cur, &n, index), cur->ops->rec_bytes);
			err = visit(cur, &rec, context);
			if (err)
				return err;
			cur->path[level].index++;
		}
	}
	return 0;
}

int btree_query_range(struct btree_cursor *cur, const union btree_key *low, const union btree_key *high,
		      btree_query_fn visit, void *context)
{
	if (cur->ops->compare(low, high) > 0)
		return -EINVAL;
	if (cur->ops->is_overlapping)
		return query_overlapping(cur, low, high, visit, context);
	return query_plain(cur, low, high, visit, context);
}

int btree_query_all(struct btree_cursor *cur, btree_query_fn visit, void *context)
{
	bool found;
	int err;

	err = path_to_first(cur, &found);
	if (err)
		return err;
	return walk_records(cur, found, NULL, visit, context);
}

/* One level, from the path's block to the right.  Each block must point back at the one before. */
static int visit_level(struct btree_cursor *cur, uint32_t level, btree_visit_fn visit, void *context)
{
	struct node n = path_node(cur, level), next;
	union btree_ptr own, p, back = node_sibling(cur, &n, SIDE_LEFT);
	int err;

	if (!ptr_is_none(cur, &back))
		return btree_corrupted(cur, &n, "the first block of its level has a left sibling");
	for (;;) {
		err = visit(cur, level, n.buf, context);
		if (err)
			return err;
		p = node_sibling(cur, &n, SIDE_RIGHT);
		if (ptr_is_none(cur, &p))
			return 0;
		own = node_own_ptr(cur, &n);
		err = node_read(cur, level, &p, &next);
		if (err)
			return err;
		back = node_sibling(cur, &next, SIDE_LEFT);
		if (!ptr_is_equal(cur, &back, &own)) {
			err = btree_corrupted(cur, &next, "its left sibling is another");
			cursor_release(cur, next.buf);
			return err;
		}
		path_set(cur, level, next.buf);
		n = next;
		cursor_read_ahead(cur, &n, SIDE_RIGHT);
	}
}

int btree_visit_blocks(struct btree_cursor *cur, btree_visit_fn visit, void *context)
{
	uint32_t level;
	int err;

	err = path_load_root(cur);
	if (err)
		return err;
	path_release_below(cur, cur->levels - 1);
	for (level = cur->levels; level-- > 0;) {
		cur->path[level].index = 1;
		if (level > 0) {
			/* The first block of the level below, before this level is left. */
			err = path_load_child(cur, level - 1);
			if (err)
				return err;
		}
		err = visit_level(cur, level, visit, context);
		if (err)
			return err;
	}
	return 0;
}

static int count_block(struct btree_cursor *cur, uint32_t level, struct buffer *buf, void *context)
{
	uint64_t *blocks = context;

	*blocks += buf != NULL;
	return 0;
}

int btree_count_blocks(struct btree_cursor *cur, uint64_t *blocks)
{
	uint64_t count = 0;
	int err;

	err = btree_visit_blocks(cur, count_block, &count);
	if (!err)
		*blocks = count;
	return err;
}
