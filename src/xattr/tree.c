// SPDX-License-Identifier: GPL-2.0
/*
 * Attributes in leaves: one, or many under da nodes.  (XFS: xfs_attr_leaf.c, the xfs_attr_node_* functions.)
 */
#include "internal.h"

#include <userxfs/base/memory.h>

static unsigned count_of(const void *data)
{
	return be16_to_cpu(((const struct xfs_attr3_leaf_hdr *)data)->count);
}

static uint32_t capacity(const struct geometry *geo)
{
	return geo->attr.block_bytes - ATTR_LEAF_HEADER_BYTES;
}

/* ---- logging ---- */

static void log_header(struct tx *tx, struct buffer *leaf)
{
	da_log(tx, leaf, leaf->data, ATTR_LEAF_HEADER_BYTES);
}

static void log_entries(struct tx *tx, struct buffer *leaf, unsigned first, unsigned end)
{
	da_log(tx, leaf, attr_entry(leaf->data, first), (end - first) * ATTR_ENTRY_BYTES);
}

static void log_name(struct tx *tx, struct buffer *leaf, unsigned index)
{
	da_log(tx, leaf, (char *)leaf->data + be16_to_cpu(attr_entry(leaf->data, index)->nameidx),
	       attr_entry_name_bytes(leaf->data, index));
}

/* ---- what the tree asks ---- */

static struct attr_op *op_of(const struct da_tree *tree)
{
	return tree->context;
}

static uint32_t last_hash(const struct buffer *leaf)
{
	unsigned count = attr_leaf_count(leaf);

	return count ? be32_to_cpu(attr_entry(leaf->data, count - 1)->hashval) : 0;
}

static uint32_t used_bytes(const struct buffer *leaf)
{
	return attr_leaf_used(leaf->data);
}

static int find_in_leaf(struct da_tree *tree, struct da_block *leaf, bool *found)
{
	*found = attr_leaf_find(op_of(tree), leaf->buf->data, &leaf->index);
	return 0;
}

static void init_leaf(struct da_tree *tree, struct buffer *buf)
{
	attr_leaf_clear(op_of(tree)->geo, buf->data);
	da_header_init(buf, tree->inode, XFS_ATTR3_LEAF_MAGIC);
	buf->type = &block_attr_leaf;
	log_header(tree->tx, buf);
}

/* What the op adds. */
static struct leaf_key new_key(const struct attr_op *op)
{
	bool is_local = attr_is_local(op->geo, op->name_length, op->value_length);
	unsigned flags = (is_local ? XFS_ATTR_LOCAL : 0) | (op->adds_incomplete ? XFS_ATTR_INCOMPLETE : 0);

	return (struct leaf_key){
		.hash = op->hash,
		.flags = (uint8_t)(op->space | flags),
		.name = op->name,
		.name_length = op->name_length,
		.value = op->value,
		.value_length = is_local ? op->value_length : 0,
	};
}

static uint32_t bytes_of(const void *data, unsigned index)
{
	return ATTR_ENTRY_BYTES + attr_entry_name_bytes(data, index);
}

/* How a leaf and the op's entry are shared out over two: entries [0, at) stay. */
struct division {
	unsigned at;
	bool key_stays;
	bool fits;
};

/* Of all places to divide, the one after which the fuller leaf is least full. */
static struct division divide(const struct attr_op *op, const void *data, unsigned index, uint32_t key_bytes)
{
	uint32_t total = attr_leaf_used(data), lower = 0, best = UINT32_MAX;
	unsigned count = count_of(data);
	struct division d = { .at = index };

	for (unsigned at = 0; at <= count; at++) {
		for (unsigned stays = at == index ? 0 : at > index; stays <= (at >= index); stays++) {
			uint32_t left = lower + (stays ? key_bytes : 0);
			uint32_t right = total - lower + (stays ? 0 : key_bytes);
			uint32_t fuller = left > right ? left : right;

			if (fuller > capacity(op->geo) || fuller >= best || !left || !right)
				continue;
			best = fuller;
			d = (struct division){ .at = at, .key_stays = stays, .fits = true };
		}
		if (at < count)
			lower += bytes_of(data, at);
	}
	return d;
}

/* Appends entries [@first, @end) of the image @from to the leaf @to. */
static void append_entries(const struct geometry *geo, const void *from, unsigned first, unsigned end, void *to)
{
	for (unsigned i = first; i < end; i++) {
		struct leaf_key key;
		bool compact;

		attr_leaf_get(from, i, &key);
		ensure(attr_leaf_insert(geo, to, count_of(to), &key, &compact));
	}
}

static void insert_key(struct attr_op *op, struct buffer *leaf, unsigned index)
{
	struct leaf_key key = new_key(op);
	bool compact;

	ensure(attr_leaf_insert(op->geo, leaf->data, index, &key, &compact));
}

static int split_leaf(struct da_tree *tree, struct da_block *old, struct da_block *new, bool *fits)
{
	struct attr_op *op = op_of(tree);
	void *image = mem_alloc_sure(op->geo->attr.block_bytes);
	struct leaf_key key = new_key(op);
	unsigned count = attr_leaf_count(old->buf), index;
	struct division d;

	memcpy(image, old->buf->data, op->geo->attr.block_bytes);
	if (attr_leaf_used(image) > capacity(op->geo)) {
		mem_free(image);
		return attr_corrupt(op->inode, "names in a leaf overlap");
	}
	index = attr_leaf_search(image, op->hash);
	d = divide(op, image, index, ATTR_ENTRY_BYTES + attr_key_name_bytes(&key));
	attr_leaf_clear(op->geo, old->buf->data);
	append_entries(op->geo, image, 0, d.at, old->buf->data);
	append_entries(op->geo, image, d.at, count, new->buf->data);
	if (d.fits && d.key_stays)
		insert_key(op, old->buf, index);
	else if (d.fits)
		insert_key(op, new->buf, index - d.at);
	mem_free(image);
	tx_buffer_log_all(tree->tx, old->buf);
	tx_buffer_log_all(tree->tx, new->buf);
	old->hash = last_hash(old->buf);
	new->hash = last_hash(new->buf);
	*fits = d.fits;
	return 0;
}

static void merge_leaves(struct da_tree *tree, struct da_block *from, struct da_block *to, bool to_front)
{
	struct attr_op *op = op_of(tree);
	void *image = mem_alloc_sure(op->geo->attr.block_bytes);
	unsigned count = attr_leaf_count(to->buf), more = attr_leaf_count(from->buf);

	memcpy(image, to->buf->data, op->geo->attr.block_bytes);
	attr_leaf_clear(op->geo, to->buf->data);
	if (to_front)
		append_entries(op->geo, from->buf->data, 0, more, to->buf->data);
	append_entries(op->geo, image, 0, count, to->buf->data);
	if (!to_front)
		append_entries(op->geo, from->buf->data, 0, more, to->buf->data);
	mem_free(image);
	tx_buffer_log_all(tree->tx, to->buf);
}

const struct da_leaf_ops attr_leaf_ops = {
	.any_type = &block_attr_any,
	.node_type = &block_attr_node,
	.last_hash = last_hash,
	.used_bytes = used_bytes,
	.header_bytes = sizeof(struct xfs_attr3_leaf_hdr),
	.find = find_in_leaf,
	.init = init_leaf,
	.split = split_leaf,
	.merge = merge_leaves,
};

/* ---- changes ---- */

struct da_block *attr_tree_leaf(struct attr_tree *at)
{
	return &at->tree.path.blk[at->tree.path.active - 1];
}

int attr_tree_find(struct attr_op *op, struct attr_tree *at, bool *found)
{
	*at = (struct attr_tree){
		.op = op,
		.tree = {
			.tx = op->tx,
			.inode = op->inode,
			.which = FORK_ATTR,
			.geo = op->dg,
			.leaf = &attr_leaf_ops,
			.context = op,
			.hash = op->hash,
			.blocks = &op->blocks,
		},
	};
	return da_lookup(&at->tree, found);
}

int attr_tree_add(struct attr_op *op)
{
	struct leaf_key key = new_key(op);
	bool found, compact, done;
	struct da_block *leaf;
	struct attr_tree at;
	int err;

	op->wants_incomplete = op->adds_incomplete;
	err = attr_tree_find(op, &at, &found);
	if (err)
		return err;
	ensure(!found);
	leaf = attr_tree_leaf(&at);
	done = attr_leaf_insert(op->geo, leaf->buf->data, leaf->index, &key, &compact);
	if (done) {
		log_header(op->tx, leaf->buf);
		log_entries(op->tx, leaf->buf, leaf->index, attr_leaf_count(leaf->buf));
		log_name(op->tx, leaf->buf, leaf->index);
	} else if (compact) {
		void *scratch = mem_alloc_sure(op->geo->attr.block_bytes);

		attr_leaf_compact(op->geo, leaf->buf->data, scratch);
		mem_free(scratch);
		insert_key(op, leaf->buf, leaf->index);
		tx_buffer_log_all(op->tx, leaf->buf);
	} else {
		return da_split(&at.tree);
	}
	da_fix_hashes(&at.tree);
	return 0;
}

int attr_tree_remove(struct attr_op *op, struct attr_tree *at, bool may_go_inline)
{
	struct da_block *leaf = attr_tree_leaf(at);
	struct buffer *root = at->tree.path.blk[0].buf;
	bool is_leaf_root = at->tree.path.active == 1;
	int err = 0;

	/* First the place, which is cleared, then what says so. */
	log_name(op->tx, leaf->buf, leaf->index);
	attr_leaf_delete(op->geo, leaf->buf->data, leaf->index);
	log_entries(op->tx, leaf->buf, leaf->index, attr_leaf_count(leaf->buf) + 1);
	log_header(op->tx, leaf->buf);
	da_fix_hashes(&at->tree);
	if (!is_leaf_root && ATTR_LEAF_HEADER_BYTES + used_bytes(leaf->buf) < op->dg->magic_pct_bytes)
		err = da_join(&at->tree, &is_leaf_root);
	if (err || !is_leaf_root || !may_go_inline)
		return err;
	return leaf_attr_to_short(op, root);
}

void attr_tree_update(struct attr_op *op, struct buffer *leaf, unsigned index, uint8_t flags, uint32_t value_blk,
		      uint32_t value_length)
{
	struct xfs_attr_leaf_entry *entry = attr_entry(leaf->data, index);

	entry->flags = flags;
	log_entries(op->tx, leaf, index, index + 1);
	if (!(flags & XFS_ATTR_LOCAL)) {
		struct xfs_attr_leaf_name_remote *remote = (void *)((char *)leaf->data + be16_to_cpu(entry->nameidx));

		remote->valueblk = cpu_to_be32(value_blk);
		remote->valuelen = cpu_to_be32(value_length);
		log_name(op->tx, leaf, index);
	}
}

/* ---- readers ---- */

int attr_tree_read(struct attr_op *op, struct buffer **leaf, unsigned *index)
{
	uint64_t budget = DA_WALK_BUDGET;
	struct buffer *buf;
	int err;

	err = da_first_leaf(op->tx, op->inode, FORK_ATTR, &attr_leaf_ops, op->hash, &buf);
	while (!err && buf) {
		if (attr_leaf_find(op, buf->data, index)) {
			*leaf = buf;
			return 0;
		}
		if (last_hash(buf) != op->hash) {
			da_release(op->tx, buf);
			break;
		}
		err = da_next_leaf(op->tx, op->inode, FORK_ATTR, &attr_leaf_ops, &budget, &buf);
	}
	return err ? err : -ENODATA;
}

static int walk_leaf(const struct buffer *leaf, attr_visit visit, void *context)
{
	int err = 0;

	for (unsigned i = 0; !err && i < attr_leaf_count(leaf); i++) {
		struct attr_seen seen;
		struct leaf_key key;

		attr_leaf_get(leaf->data, i, &key);
		if (key.flags & XFS_ATTR_INCOMPLETE)
			continue;
		seen = (struct attr_seen){
			.space = key.flags & XFS_ATTR_NSP_ONDISK_MASK,
			.name = key.name,
			.name_length = key.name_length,
			.value = { key.value, key.value_length, key.value_blk },
		};
		err = visit(context, &seen);
	}
	return err;
}

int attr_tree_walk(struct inode *inode, attr_visit visit, void *context)
{
	uint64_t budget = DA_WALK_BUDGET;
	struct buffer *leaf;
	int err;

	err = da_first_leaf(NULL, inode, FORK_ATTR, &attr_leaf_ops, 0, &leaf);
	while (!err && leaf) {
		err = walk_leaf(leaf, visit, context);
		if (err)
			da_release(NULL, leaf);
		else
			err = da_next_leaf(NULL, inode, FORK_ATTR, &attr_leaf_ops, &budget, &leaf);
	}
	return err;
}
