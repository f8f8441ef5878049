// SPDX-License-Identifier: GPL-2.0
/*
 * Data blocks with a hashed tree and free blocks.  (XFS: xfs_dir2_node.c.)
 */
#include "internal.h"

/* ---- leaves, for the tree ---- */

static uint32_t last_hash(const struct buffer *leaf)
{
	uint32_t count = leaf_count(leaf);

	return count ? be32_to_cpu(leaf_of(leaf)->__ents[count - 1].hashval) : 0;
}

static uint32_t used_bytes(const struct buffer *leaf)
{
	return (leaf_count(leaf) - leaf_stale(leaf)) * LEAF_ENTRY_BYTES;
}

/* The lookup of a change; context of the tree. */
struct node_search {
	struct dir_op *op;
	struct dir_place place;
};

static int find_in_leaf(struct da_tree *tree, struct da_block *leaf, bool *found)
{
	struct node_search *search = tree->context;

	if (leaf->buf->type != &block_dir_leafn)
		return dir_corrupt(search->op->dir, "a leaf of its tree has the wrong type");
	return index_find(search->op, leaf_of(leaf->buf)->__ents, leaf_count(leaf->buf), &leaf->index, &search->place,
			  found);
}

static void init_leaf(struct da_tree *tree, struct buffer *buf)
{
	da_header_init(buf, tree->inode, XFS_DIR3_LEAFN_MAGIC);
	buf->type = &block_dir_leafn;
	da_log(tree->tx, buf, buf->data, sizeof(struct xfs_dir3_leaf_hdr));
}

/* Appends entries [@first, count) of @from, which has no stale ones, to @to, or puts them in front. */
static void move_entries(struct dir_op *op, struct buffer *from, uint32_t first, struct buffer *to, bool to_front)
{
	uint32_t moved = leaf_count(from) - first, count = leaf_count(to);
	leaf_entry *source = &leaf_of(from)->__ents[first], *target = leaf_of(to)->__ents;

	ensure(count + moved <= op->dg->leaf_entries);
	if (to_front)
		memmove(&target[moved], target, count * sizeof(*target));
	else
		target += count;
	memcpy(target, source, moved * sizeof(*source));
	leaf_set_counts(op, to, count + moved, 0);
	leaf_log_entries(op, to, to_front ? 0 : count, count + moved);
	leaf_set_counts(op, from, first, 0);
}

static struct dir_op *op_of(const struct da_tree *tree)
{
	const struct node_search *search = tree->context;

	return search->op;
}

/* The address of the new name's entry travels in the place of the search. */
static uint32_t new_addr(const struct da_tree *tree)
{
	const struct node_search *search = tree->context;

	return addr_make(search->op->dg, search->place.db, search->place.off);
}

static int split_leaf(struct da_tree *tree, struct da_block *old, struct da_block *new, bool *fits)
{
	struct dir_op *op = op_of(tree);
	uint32_t count, half;
	struct buffer *target;
	bool into_old;

	leaf_compact(op, old->buf);
	count = leaf_count(old->buf);
	old->index = index_search(leaf_of(old->buf)->__ents, count, op->hash);
	half = count / 2;
	move_entries(op, old->buf, half, new->buf, false);
	into_old = old->index <= half;
	target = into_old ? old->buf : new->buf;
	leaf_insert(op, target, into_old ? old->index : old->index - half, op->hash, new_addr(tree));
	old->hash = last_hash(old->buf);
	new->hash = last_hash(new->buf);
	*fits = true;
	return 0;
}

static void merge_leaves(struct da_tree *tree, struct da_block *from, struct da_block *to, bool to_front)
{
	struct dir_op *op = op_of(tree);

	leaf_compact(op, from->buf);
	leaf_compact(op, to->buf);
	move_entries(op, from->buf, 0, to->buf, to_front);
}

const struct da_leaf_ops dir_leaf_ops = {
	.any_type = &block_dir_leaf_any,
	.node_type = &block_da_node,
	.last_hash = last_hash,
	.used_bytes = used_bytes,
	.header_bytes = sizeof(struct xfs_dir3_leaf_hdr),
	.find = find_in_leaf,
	.init = init_leaf,
	.split = split_leaf,
	.merge = merge_leaves,
};

/* ---- lookup without transaction: one leaf after the other ---- */

int node_lookup(struct dir_op *op)
{
	uint64_t budget = DA_WALK_BUDGET;
	struct buffer *leaf;
	int err;

	err = da_first_leaf(op->tx, op->dir, FORK_DATA, &dir_leaf_ops, op->hash, &leaf);
	while (!err && leaf) {
		struct dir_place place = { .data = NULL };
		struct data_entry entry;
		uint32_t index;
		bool found;

		if (leaf->type != &block_dir_leafn)
			err = dir_corrupt(op->dir, "a leaf of its tree has the wrong type");
		else
			err = index_find(op, leaf_of(leaf)->__ents, leaf_count(leaf), &index, &place, &found);
		if (!err && found) {
			ensure(data_entry_at(op, place.data, place.off, &entry));
			op->ino = entry.ino;
			op->ftype = entry.ftype;
			da_release(op->tx, place.data);
			da_release(op->tx, leaf);
			return 0;
		}
		if (err || last_hash(leaf) != op->hash) {
			da_release(op->tx, leaf);
			break;
		}
		err = da_next_leaf(op->tx, op->dir, FORK_DATA, &dir_leaf_ops, &budget, &leaf);
	}
	return err ? err : -ENOENT;
}

/* ---- changes ---- */

/* A lookup that keeps the path. */
struct node_op {
	struct da_tree tree;
	struct node_search search;
};

static int start(struct dir_op *op, struct node_op *nop, bool *found)
{
	*nop = (struct node_op){
		.search.op = op,
		.tree = {
			.tx = op->tx,
			.inode = op->dir,
			.which = FORK_DATA,
			.geo = op->dg,
			.leaf = &dir_leaf_ops,
			.context = &nop->search,
			.hash = op->hash,
			.blocks = &op->blocks,
		},
	};
	return da_lookup(&nop->tree, found);
}

static struct da_block *leaf_of_path(struct node_op *nop)
{
	return &nop->tree.path.blk[nop->tree.path.active - 1];
}

static bool leaf_has_room(const struct dir_op *op, const struct buffer *leaf)
{
	return leaf_stale(leaf) || leaf_count(leaf) < op->dg->leaf_entries;
}

/* Puts the name into data block @db, or a new one when @grow, and records its longest hole. */
static int add_data(struct dir_op *op, struct free_slot *slot, bool grow, struct dir_place *place)
{
	uint32_t bytes = entry_bytes(op->geo, op->name.length);
	int err;

	if (grow) {
		place->db = 0;
		err = data_new(op, &place->db, &place->data);
		if (!err)
			err = free_slot_of(op, place->db, true, slot);
	} else {
		err = data_read(op, place->db, &place->data);
	}
	if (err)
		return err;
	if (data_longest(place->data) < bytes)
		return dir_corrupt(op->dir, "a data block has less room than its free block says");
	place->off = data_longest_off(place->data);
	err = data_use(op, place->data, place->off, place->off, bytes);
	if (err)
		return err;
	data_put_op(op, place->data, place->off);
	return free_set(op, slot, data_longest(place->data));
}

int node_add(struct dir_op *op)
{
	struct free_slot slot = { .buf = NULL };
	struct node_op nop;
	struct da_block *leaf;
	bool found, has_data = false;
	int err;

	err = start(op, &nop, &found);
	if (err)
		return err;
	if (found)
		return -EEXIST;
	leaf = leaf_of_path(&nop);
	err = free_find(op, entry_bytes(op->geo, op->name.length), &slot, &nop.search.place.db, &has_data);
	if (err)
		return err;
	if (!op->blocks && (!has_data || !leaf_has_room(op, leaf->buf)))
		return -ENOSPC;
	if (op->only_check)
		return 0;
	err = add_data(op, &slot, !has_data, &nop.search.place);
	if (err)
		return err;
	if (!leaf_has_room(op, leaf->buf))
		return da_split(&nop.tree);
	leaf_insert(op, leaf->buf, leaf->index, op->hash, new_addr(&nop.tree));
	da_fix_hashes(&nop.tree);
	return 0;
}

int node_replace(struct dir_op *op)
{
	struct node_op nop;
	bool found;
	int err;

	err = start(op, &nop, &found);
	if (err)
		return err;
	if (!found)
		return -ENOENT;
	data_replace(op, nop.search.place.data, nop.search.place.off);
	return 0;
}

/* Frees the name's bytes, and the data block when nothing is left in it. */
static int remove_data(struct dir_op *op, const struct dir_place *place, uint32_t bytes)
{
	struct free_slot slot;
	int err;

	err = free_slot_of(op, place->db, false, &slot);
	if (err)
		return err;
	data_free(op, place->data, place->off, bytes);
	if (place->db && data_is_empty(op, place->data)) {
		err = data_shrink(op, place->db, place->data);
		if (!err)
			return free_clear(op, &slot);
		if (err != -ENOSPC || op->blocks)
			return err;
	}
	return free_set(op, &slot, data_longest(place->data));
}

int node_remove_name(struct dir_op *op)
{
	struct data_entry entry;
	struct da_block *leaf;
	struct node_op nop;
	struct buffer *root;
	bool found, is_leaf_root;
	int err;

	err = start(op, &nop, &found);
	if (err)
		return err;
	if (!found)
		return -ENOENT;
	ensure(data_entry_at(op, nop.search.place.data, nop.search.place.off, &entry));
	if (!inum_equal(entry.ino, op->ino))
		return dir_corrupt(op->dir, "a name to be removed is of another inode");
	err = remove_data(op, &nop.search.place, entry_bytes(op->geo, entry.name.length));
	if (err)
		return err;
	leaf = leaf_of_path(&nop);
	leaf_make_stale(op, leaf->buf, leaf->index);
	da_fix_hashes(&nop.tree);

	root = nop.tree.path.blk[0].buf;
	is_leaf_root = nop.tree.path.active == 1;
	if (!is_leaf_root && sizeof(struct xfs_dir3_leaf_hdr) + used_bytes(leaf->buf) < op->dg->magic_pct_bytes) {
		err = da_join(&nop.tree, &is_leaf_root);
		if (err)
			return err;
	}
	return is_leaf_root ? node_to_leaf(op, root) : 0;
}
