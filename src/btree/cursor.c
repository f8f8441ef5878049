/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The path of a cursor: which blocks it holds, how they are read and what is checked when they are.
 *
 * Bounded loops: blocks are reached only from their parent, one level down each time; and whoever goes from one block
 * to the next of its level checks that all of the second sorts behind all of the first, so that no block is visited
 * twice.
 */
#include "btree_private.h"

#include <inttypes.h>

void btree_cursor_init(struct btree_cursor *cur, const struct btree_ops *ops, const struct geometry *geo,
		       const struct btree_limits *limits, struct buffer_cache *cache, struct tx *tx,
		       uint64_t block_owner)
{
	memset(cur, 0, sizeof(*cur));
	cur->ops = ops;
	cur->geo = geo;
	cur->limits = limits;
	cur->cache = cache ? cache : tx_cache(tx);
	cur->tx = tx;
	cur->block_owner = block_owner;
}

void btree_cursor_deinit(struct btree_cursor *cur)
{
	path_release_below(cur, BTREE_MAX_LEVELS);
}

int btree_cursor_dup(const struct btree_cursor *cur, struct btree_cursor *out)
{
	int err;

	ensure(cur->tx);
	*out = *cur;
	for (uint32_t level = 0; level < BTREE_MAX_LEVELS; level++)
		out->path[level].buf = NULL;
	for (uint32_t level = 0; level < cur->levels; level++) {
		const struct buffer *buf = cur->path[level].buf;

		if (!buf)
			continue;
		err = tx_buffer_read(cur->tx, buf->daddr, (uint32_t)(buf->bytes >> SECTOR_UNIT_LOG), cur->ops->block,
				     &out->path[level].buf);
		if (err) {
			out->path[level].buf = NULL;
			btree_cursor_deinit(out);
			return err;
		}
	}
	return 0;
}

/* A dirty buffer stays with the transaction until commit, whoever asked for it. */
void cursor_release(struct btree_cursor *cur, struct buffer *buf)
{
	if (!buf)
		return;
	if (cur->tx)
		tx_buffer_release(cur->tx, buf);
	else
		buffer_release(buf);
}

void path_set(struct btree_cursor *cur, uint32_t level, struct buffer *buf)
{
	cursor_release(cur, cur->path[level].buf);
	cur->path[level].buf = buf;
}

void path_release_below(struct btree_cursor *cur, uint32_t level)
{
	while (level-- > 0)
		path_set(cur, level, NULL);
}

bool level_is_iroot(const struct btree_cursor *cur, uint32_t level)
{
	return cur->ops->is_root_in_inode && level + 1 == cur->levels;
}

static uint32_t level_max(const struct btree_cursor *cur, uint32_t level)
{
	return level == 0 ? cur->limits->max_leaf : cur->limits->max_node;
}

static struct node buffer_node(const struct btree_cursor *cur, struct buffer *buf, uint32_t level)
{
	return (struct node){ .buf = buf, .block = buf->data, .level = level,
			      .capacity = level_max(cur, level), .max = level_max(cur, level) };
}

struct node path_node(const struct btree_cursor *cur, uint32_t level)
{
	if (level_is_iroot(cur, level)) {
		struct btree_iroot *root = cur->ops->iroot(cur);

		return (struct node){ .block = &root->block, .level = level, .capacity = root->capacity,
				      .max = root->max_keys };
	}
	return buffer_node(cur, cur->path[level].buf, level);
}

int btree_corrupted(const struct btree_cursor *cur, const struct node *n, const char *reason)
{
	uint64_t daddr = n && n->buf ? n->buf->daddr : 0;

	msg_error("%s of %s %" PRIu64 ": block at sector %" PRIu64 ", level %u: %s", cur->ops->name,
		  cur->ops->has_long_pointers ? "inode" : "AG", cur->block_owner, daddr, n ? n->level : 0, reason);
	return -EFSCORRUPTED;
}

static bool ptr_is_valid(const struct btree_cursor *cur, const union btree_ptr *p)
{
	if (cur->ops->has_long_pointers)
		return geometry_is_valid_fsblk(cur->geo, (struct fsblk){ be64_to_cpu(p->l) });
	return geometry_is_valid_agblk(cur->geo, cur->agno, be32_to_cpu(p->s));
}

/* Without a transaction, asking again for a block that the path holds would wait for oneself. */
static bool path_holds(const struct btree_cursor *cur, daddr_u64 daddr)
{
	for (uint32_t level = 0; level < BTREE_MAX_LEVELS; level++)
		if (cur->path[level].buf && cur->path[level].buf->daddr == daddr)
			return true;
	return false;
}

static const char *check_header(const struct btree_cursor *cur, const struct node *n, const union btree_ptr *p)
{
	const struct xfs_btree_block *block = n->block;
	bool may_be_empty = n->level == 0 && (cur->levels == 1 || (cur->levels == 2 && cur->ops->is_root_in_inode));
	union btree_ptr left = node_sibling(cur, n, SIDE_LEFT), right = node_sibling(cur, n, SIDE_RIGHT);
	uint64_t owner = cur->ops->has_long_pointers ? be64_to_cpu(block->bb_u.l.bb_owner) :
						       be32_to_cpu(block->bb_u.s.bb_owner);

	if (be32_to_cpu(block->bb_magic) != cur->ops->magic)
		return "wrong magic number";
	if (be16_to_cpu(block->bb_level) != n->level)
		return "wrong level";
	if (owner != cur->block_owner)
		return "wrong owner";
	if (node_count(n) > n->max)
		return "more entries than fit";
	if (node_count(n) == 0 && !may_be_empty)
		return "no entries";
	if (ptr_is_equal(cur, &left, p) || ptr_is_equal(cur, &right, p))
		return "its own sibling";
	return NULL;
}

static int read_buffer(struct btree_cursor *cur, daddr_u64 daddr, struct buffer **out)
{
	uint32_t count = cur->geo->block_bytes >> SECTOR_UNIT_LOG;

	if (cur->tx)
		return tx_buffer_read(cur->tx, daddr, count, cur->ops->block, out);
	return buffer_read(cur->cache, daddr, count, cur->ops->block, out);
}

int node_read(struct btree_cursor *cur, uint32_t level, const union btree_ptr *p, struct node *out)
{
	struct node none = { .level = level };
	struct buffer *buf;
	daddr_u64 daddr;
	const char *why;
	int err;

	if (!ptr_is_valid(cur, p))
		return btree_corrupted(cur, &none, "a pointer to it leads outside");
	daddr = ptr_daddr(cur, p);
	if (!cur->tx && path_holds(cur, daddr))
		return btree_corrupted(cur, &none, "two pointers lead to one block");

	err = read_buffer(cur, daddr, &buf);
	if (err)
		return err;
	*out = buffer_node(cur, buf, level);
	why = check_header(cur, out, p);
	if (why) {
		err = btree_corrupted(cur, out, why);
		cursor_release(cur, buf);
		return err;
	}
	return 0;
}

int path_load_root(struct btree_cursor *cur)
{
	uint32_t max_levels = cur->limits->max_levels < BTREE_MAX_LEVELS ? cur->limits->max_levels : BTREE_MAX_LEVELS;
	union btree_ptr root = { 0 };
	struct btree_iroot *iroot = NULL;
	struct node n;
	uint32_t levels;
	int err;

	if (cur->ops->is_root_in_inode) {
		iroot = cur->ops->iroot(cur);
		levels = be16_to_cpu(iroot->block.bb_level) + 1u;
	} else {
		cur->ops->get_root(cur, &root, &levels);
	}
	if (levels < (iroot ? 2 : 1) || levels > max_levels)
		return btree_corrupted(cur, NULL, "the tree's height is impossible");

	for (uint32_t level = levels; level < cur->levels; level++)
		path_set(cur, level, NULL);
	cur->levels = levels;
	if (iroot) {
		path_set(cur, levels - 1, NULL);
		n = path_node(cur, levels - 1);
		if (node_count(&n) == 0 || node_count(&n) > n.max)
			return btree_corrupted(cur, &n, "impossible count in the inode's root");
		return 0;
	}
	if (cur->path[levels - 1].buf && ptr_is_valid(cur, &root) &&
	    cur->path[levels - 1].buf->daddr == ptr_daddr(cur, &root))
		return 0;
	path_release_below(cur, levels);
	err = node_read(cur, levels - 1, &root, &n);
	if (err)
		return err;
	path_set(cur, levels - 1, n.buf);
	return 0;
}

int path_load_child(struct btree_cursor *cur, uint32_t level)
{
	struct node parent = path_node(cur, level + 1), n;
	union btree_ptr p;
	int err;

	p = ptr_copy(cur, node_ptr_at(cur, &parent, cur->path[level + 1].index));
	if (cur->path[level].buf && ptr_is_valid(cur, &p) && cur->path[level].buf->daddr == ptr_daddr(cur, &p))
		return 0;
	path_release_below(cur, level);
	err = node_read(cur, level, &p, &n);
	if (err)
		return err;
	path_set(cur, level, n.buf);
	return 0;
}

int path_to_first(struct btree_cursor *cur, bool *found)
{
	struct node n;
	int err;

	err = path_load_root(cur);
	for (uint32_t level = cur->levels - 1; !err && level > 0; level--) {
		cur->path[level].index = 1;
		err = path_load_child(cur, level - 1);
	}
	if (err)
		return err;
	cur->path[0].index = 1;
	n = path_node(cur, 0);
	*found = node_count(&n) > 0;
	return 0;
}

int node_create(struct btree_cursor *cur, uint32_t level, const union btree_ptr *near, struct node *out,
		union btree_ptr *ptr)
{
	union btree_ptr p = { 0 };
	struct buffer *buf;
	daddr_u64 daddr;
	int err;

	err = cur->ops->alloc_block(cur, near, &p);
	if (err)
		return err;
	daddr = ptr_daddr(cur, &p);
	err = tx_buffer_get(cur->tx, daddr, cur->geo->block_bytes >> SECTOR_UNIT_LOG, &buf);
	if (err)
		return err;
	btree_block_init(cur->ops, cur->geo, buf->data, buf->bytes, daddr, level, cur->block_owner);
	buf->type = cur->ops->block;
	/* The slots are logged as they are filled; what a replay leaves behind them is never looked at. */
	tx_buffer_log(cur->tx, buf, 0, (uint32_t)btree_block_bytes(cur->ops));
	*out = buffer_node(cur, buf, level);
	*ptr = p;
	return 0;
}

int node_free(struct btree_cursor *cur, struct node *n)
{
	int err;

	err = cur->ops->free_block(cur, n->buf);
	if (err)
		return err;
	tx_buffer_invalidate(cur->tx, n->buf);
	return 0;
}

void cursor_read_ahead(struct btree_cursor *cur, const struct node *n, enum side side)
{
	union btree_ptr p = node_sibling(cur, n, side);

	if (!ptr_is_none(cur, &p) && ptr_is_valid(cur, &p))
		buffer_readahead(cur->cache, ptr_daddr(cur, &p), cur->geo->block_bytes >> SECTOR_UNIT_LOG,
				 cur->ops->block);
}

int check_order(const struct btree_cursor *cur, const struct node *left, const struct node *right)
{
	union btree_key last, first;

	if (node_count(left) == 0 || node_count(right) == 0)
		return 0;
	node_low_key(cur, left, node_count(left), &last);
	node_low_key(cur, right, 1, &first);
	if (cur->ops->compare(&last, &first) >= 0)
		return btree_corrupted(cur, right, "it does not sort behind its left neighbour");
	return 0;
}

int check_place(const struct btree_cursor *cur, const struct node *leaf, const union btree_rec *rec, uint32_t before,
		uint32_t after)
{
	union btree_key key, other;

	cur->ops->key_of_rec(rec, &key);
	if (before >= 1) {
		node_low_key(cur, leaf, before, &other);
		if (cur->ops->compare(&other, &key) >= 0)
			return btree_corrupted(cur, leaf, "a record would not sort behind the one before it");
	}
	if (after <= node_count(leaf)) {
		node_low_key(cur, leaf, after, &other);
		if (cur->ops->compare(&key, &other) >= 0)
			return btree_corrupted(cur, leaf, "a record would not sort before the one behind it");
	}
	return 0;
}
