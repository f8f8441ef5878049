// SPDX-License-Identifier: GPL-2.0
/*
 * A check of a whole tree, for tests: what no block can know about itself.
 */
#include "internal.h"

struct tree_check {
	struct inode *inode;
	enum fork_which which;
	const struct da_leaf_ops *ops;
	const char *(*visit)(void *context, struct buffer *leaf);
	void *context;
	/* Per level: the block visited last, and where it said the next one is. */
	uint32_t last_blk[DA_MAX_DEPTH], next_blk[DA_MAX_DEPTH];
	uint64_t budget;
};

static const char *check_subtree(struct tree_check *check, uint32_t blk, unsigned level, uint32_t hash);

static const char *check_children(struct tree_check *check, const struct buffer *buf, unsigned level)
{
	for (unsigned i = 0; i < node_count(buf); i++) {
		const char *reason = check_subtree(check, node_child(buf, i), level - 1, node_hash(buf, i));

		if (reason)
			return reason;
	}
	return NULL;
}

static const char *check_block(struct tree_check *check, struct buffer *buf, uint32_t blk, unsigned level,
			       uint32_t hash)
{
	if (block_level(buf) != level)
		return "tree block at the wrong level";
	if (block_last_hash(check->ops, buf) != hash)
		return "parent and child differ about the greatest hash";
	if (back_of(buf) != check->last_blk[level])
		return "left neighbour is not the block before";
	if (check->last_blk[level] && check->next_blk[level] != blk)
		return "right neighbour is not the block after";
	check->last_blk[level] = blk;
	check->next_blk[level] = forw_of(buf);
	return level ? check_children(check, buf, level) : check->visit ? check->visit(check->context, buf) : NULL;
}

static const char *check_subtree(struct tree_check *check, uint32_t blk, unsigned level, uint32_t hash)
{
	struct buffer *buf;
	const char *reason;

	if (!check->budget--)
		return "tree with more blocks than its fork";
	if (da_read(NULL, check->inode, check->which, blk, false, check->ops->any_type, &buf))
		return "unreadable tree block";
	reason = check_block(check, buf, blk, level, hash);
	da_release(NULL, buf);
	return reason;
}

const char *da_verify(struct inode *inode, enum fork_which which, const struct da_leaf_ops *ops,
		      const char *(*visit)(void *context, struct buffer *leaf), void *context)
{
	struct tree_check check = { .inode = inode, .which = which, .ops = ops, .visit = visit, .context = context };
	const struct geometry *geo = inode_geometry(inode);
	uint32_t root = (uint32_t)(which == FORK_DATA ? &geo->dir : &geo->attr)->leaf_fileblk, hash;
	struct buffer *buf;
	const char *reason;
	unsigned level;

	check.budget = inode->map.block_count;
	if (da_read(NULL, inode, which, root, false, ops->any_type, &buf))
		return "unreadable root";
	level = block_level(buf);
	hash = block_last_hash(ops, buf);
	da_release(NULL, buf);
	reason = check_subtree(&check, root, level, hash);
	for (unsigned i = 0; !reason && i <= level; i++)
		if (check.next_blk[i])
			reason = "last block of a level with a right neighbour";
	return reason;
}
