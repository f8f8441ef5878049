/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the files of this room share. */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/da.h>

static inline struct xfs_da3_blkinfo *info_of(const struct buffer *buf)
{
	return buf->data;
}

static inline uint32_t forw_of(const struct buffer *buf)
{
	return be32_to_cpu(info_of(buf)->hdr.forw);
}

static inline uint32_t back_of(const struct buffer *buf)
{
	return be32_to_cpu(info_of(buf)->hdr.back);
}

static inline struct xfs_da3_intnode *node_of(const struct buffer *buf)
{
	return buf->data;
}

static inline unsigned node_count(const struct buffer *buf)
{
	return be16_to_cpu(node_of(buf)->hdr.__count);
}

static inline unsigned node_level(const struct buffer *buf)
{
	return be16_to_cpu(node_of(buf)->hdr.__level);
}

/* 0 for a leaf. */
static inline unsigned block_level(const struct buffer *buf)
{
	return da_is_node(buf) ? node_level(buf) : 0;
}

static inline uint32_t node_hash(const struct buffer *buf, unsigned index)
{
	return be32_to_cpu(node_of(buf)->__btree[index].hashval);
}

static inline uint32_t node_child(const struct buffer *buf, unsigned index)
{
	return be32_to_cpu(node_of(buf)->__btree[index].before);
}

static inline uint32_t node_last_hash(const struct buffer *buf)
{
	return node_hash(buf, node_count(buf) - 1);
}

/* Greatest hash of a leaf or node. */
uint32_t block_last_hash(const struct da_leaf_ops *ops, const struct buffer *buf);

/* One line that says which inode's tree is broken and how. */
void da_complain(const struct inode *inode, uint32_t blk, const char *reason);

static inline int da_corrupt(const struct inode *inode, uint32_t blk, const char *reason)
{
	da_complain(inode, blk, reason);
	return -EFSCORRUPTED;
}

/* Reads a tree block. */
int tree_read(struct da_tree *tree, uint32_t blk, struct buffer **out);

/* The first child whose greatest hash is not less than @hash; the last child when there is none. */
unsigned node_search(const struct buffer *buf, uint32_t hash);
/* An empty node in a buffer got with da_get(); logs its header. */
void node_init(struct da_tree *tree, struct buffer *buf, unsigned level);
void da_node_set_count(struct da_tree *tree, struct buffer *buf, unsigned count);
void node_insert(struct da_tree *tree, struct buffer *buf, unsigned index, uint32_t hash, uint32_t child);
void node_remove(struct da_tree *tree, struct buffer *buf, unsigned index);
void node_log(struct da_tree *tree, struct buffer *buf, unsigned first, unsigned end);
/* Moves entries [@first, count) of @from to the end (or the front, @to_front) of @to. */
void node_move(struct da_tree *tree, struct buffer *from, unsigned first, struct buffer *to, bool to_front);

/* Moves @path to the next (@forward) or previous block at its lowest level; *moved false at the edge, path
 * unchanged. */
int path_shift(struct da_tree *tree, struct da_path *path, bool forward, bool *moved);
/* The same as da_fix_hashes() for any path, from the parent of blk[@below] up; blk[@below].hash is right. */
void path_fix_hashes(struct da_tree *tree, struct da_path *path, unsigned below);

/* Sibling lists. */
int siblings_link_after(struct da_tree *tree, struct da_block *old, struct da_block *new);
int siblings_unlink(struct da_tree *tree, struct da_block *drop, struct da_block *keep);

/* Unmaps a tree block; when the map would need a block that is not there, the last tree block moves into its place
 * and the last place is unmapped instead (directories only). */
int tree_shrink(struct da_tree *tree, uint32_t blk, struct buffer *buf);
