// SPDX-License-Identifier: GPL-2.0
/*
 * Inner nodes of the tree: (greatest hash, child) in hash order.  (XFS: xfs_da3_intnode.)
 */
#include "internal.h"

bool da_is_node(const struct buffer *buf)
{
	return be16_to_cpu(info_of(buf)->hdr.magic) == XFS_DA3_NODE_MAGIC;
}

uint32_t block_last_hash(const struct da_leaf_ops *ops, const struct buffer *buf)
{
	return da_is_node(buf) ? node_last_hash(buf) : ops->last_hash(buf);
}

int tree_read(struct da_tree *tree, uint32_t blk, struct buffer **out)
{
	return da_read(tree->tx, tree->inode, tree->which, blk, false, tree->leaf->any_type, out);
}

unsigned node_search(const struct buffer *buf, uint32_t hash)
{
	unsigned low = 0, high = node_count(buf) - 1;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (node_hash(buf, mid) < hash)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void node_init(struct da_tree *tree, struct buffer *buf, unsigned level)
{
	struct xfs_da3_intnode *node = node_of(buf);

	memset(&node->hdr, 0, sizeof(node->hdr));
	da_header_init(buf, tree->inode, XFS_DA3_NODE_MAGIC);
	node->hdr.__level = cpu_to_be16(level);
	buf->type = tree->leaf->node_type;
	da_log(tree->tx, buf, &node->hdr, sizeof(node->hdr));
}

void da_node_set_count(struct da_tree *tree, struct buffer *buf, unsigned count)
{
	struct xfs_da3_intnode *node = node_of(buf);

	ensure(count <= tree->geo->node_entries);
	node->hdr.__count = cpu_to_be16(count);
	da_log(tree->tx, buf, &node->hdr, sizeof(node->hdr));
}

void node_log(struct da_tree *tree, struct buffer *buf, unsigned first, unsigned end)
{
	struct xfs_da_node_entry *entries = node_of(buf)->__btree;

	da_log(tree->tx, buf, &entries[first], (end - first) * sizeof(*entries));
}

void node_insert(struct da_tree *tree, struct buffer *buf, unsigned index, uint32_t hash, uint32_t child)
{
	struct xfs_da_node_entry *entries = node_of(buf)->__btree;
	unsigned count = node_count(buf);

	ensure(index <= count && count < tree->geo->node_entries);
	memmove(&entries[index + 1], &entries[index], (count - index) * sizeof(*entries));
	entries[index].hashval = cpu_to_be32(hash);
	entries[index].before = cpu_to_be32(child);
	da_node_set_count(tree, buf, count + 1);
	node_log(tree, buf, index, count + 1);
}

void node_remove(struct da_tree *tree, struct buffer *buf, unsigned index)
{
	struct xfs_da_node_entry *entries = node_of(buf)->__btree;
	unsigned count = node_count(buf);

	ensure(index < count);
	memmove(&entries[index], &entries[index + 1], (count - index - 1) * sizeof(*entries));
	memset(&entries[count - 1], 0, sizeof(*entries));
	da_node_set_count(tree, buf, count - 1);
	node_log(tree, buf, index, count);
}

void node_move(struct da_tree *tree, struct buffer *from, unsigned first, struct buffer *to, bool to_front)
{
	struct xfs_da_node_entry *source = &node_of(from)->__btree[first], *target = node_of(to)->__btree;
	unsigned to_count = node_count(to), moved = node_count(from) - first;

	ensure(to_count + moved <= tree->geo->node_entries);
	if (to_front)
		memmove(&target[moved], target, to_count * sizeof(*target));
	else
		target += to_count;
	memcpy(target, source, moved * sizeof(*source));
	da_node_set_count(tree, to, to_count + moved);
	node_log(tree, to, to_front ? 0 : to_count, to_count + moved);
	da_node_set_count(tree, from, first);
}
