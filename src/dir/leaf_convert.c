// SPDX-License-Identifier: GPL-2.0
/*
 * From the single block to data blocks with one leaf, and between that leaf and the hashed tree.
 * (XFS: xfs_dir2_block_to_leaf, xfs_dir2_leaf_to_node, xfs_dir2_node_to_leaf.)
 */
#include "internal.h"

/* A block of the leaf section, got and with a header. */
static int new_leaf(struct dir_op *op, struct buffer **out)
{
	struct buffer *buf;
	fileblk_t off;
	int err;

	err = da_grow(op->tx, op->dir, FORK_DATA, op->dg->leaf_fileblk, &op->blocks, &off);
	if (err)
		return err;
	if (off != op->dg->leaf_fileblk)
		return dir_corrupt(op->dir, "has a leaf where there should be none");
	err = da_get(op->tx, op->dir, FORK_DATA, off, &buf);
	if (err)
		return err;
	da_header_init(buf, op->dir, XFS_DIR3_LEAF1_MAGIC);
	buf->type = &block_dir_leaf1;
	*out = buf;
	return 0;
}

int block_to_leaf(struct dir_op *op, struct buffer *buf)
{
	struct xfs_dir2_block_tail *tail = block_tail(op, buf);
	uint32_t count = be32_to_cpu(tail->count), stale = be32_to_cpu(tail->stale), end = data_end(op, buf);
	struct buffer *leaf;
	int err;

	err = new_leaf(op, &leaf);
	if (err)
		return err;
	memcpy(leaf_of(leaf)->__ents, block_entries(op, buf), count * sizeof(leaf_entry));

	/* Where the index was is a hole now, possibly one with the hole below it. */
	((struct xfs_dir3_data_hdr *)buf->data)->hdr.magic = cpu_to_be32(XFS_DIR3_DATA_MAGIC);
	buf->type = &block_dir_data;
	data_free(op, buf, end, op->dg->block_bytes - end);
	data_log_header(op, buf);

	leaf_tail(op, leaf)->bestcount = cpu_to_be32(1);
	leaf_bests(op, leaf)[0] = cpu_to_be16(data_longest(buf));
	leaf_set_counts(op, leaf, count, stale);
	leaf_log_entries(op, leaf, 0, count);
	leaf_log_bests(op, leaf, 0, 1);
	da_log(op->tx, leaf, leaf_tail(op, leaf), sizeof(struct xfs_dir2_leaf_tail));
	return 0;
}

int leaf_to_node(struct dir_op *op, struct buffer *leaf)
{
	struct xfs_da3_blkinfo *info = &leaf_of(leaf)->hdr.info;
	uint32_t bests = leaf_best_count(op, leaf);
	int err;

	if (bests > op->dg->free_bests)
		return dir_corrupt(op->dir, "a leaf has more bests than fit a free block");
	err = free_create(op, 0, leaf_bests(op, leaf), bests);
	if (err)
		return err;
	info->hdr.magic = cpu_to_be16(XFS_DIR3_LEAFN_MAGIC);
	leaf->type = &block_dir_leafn;
	leaf_set_counts(op, leaf, leaf_count(leaf), leaf_stale(leaf));
	return 0;
}

/* Gives back trailing free blocks without use.  *only_first: one free block is left, the first. */
static int trim_free_blocks(struct dir_op *op, bool *only_first)
{
	*only_first = false;
	for (;;) {
		fileblk_t end = map_end(&op->dir->map, FORK_DATA), off;
		struct buffer *buf;
		int err;

		if (end < op->dg->free_fileblk + op->dg->fs_blocks)
			return dir_corrupt(op->dir, "has no free block");
		off = end - op->dg->fs_blocks;
		if (off == op->dg->free_fileblk) {
			*only_first = true;
			return 0;
		}
		err = da_read(op->tx, op->dir, FORK_DATA, off, false, &block_dir_free, &buf);
		if (err)
			return err;
		if (free_of(buf)->hdr.nused) {
			da_release(op->tx, buf);
			return 0;
		}
		err = da_shrink(op->tx, op->dir, FORK_DATA, off, buf);
		if (err) {
			da_release(op->tx, buf);
			return err == -ENOSPC ? 0 : err;
		}
	}
}

static bool has_one_leaf(const struct dir_op *op)
{
	struct extent ext;
	bool found = false;

	map_lookup_before(&op->dir->map, FORK_DATA, op->dg->free_fileblk, &ext, &found);
	return found && ext.off + ext.count == op->dg->leaf_fileblk + op->dg->fs_blocks;
}

int node_to_leaf(struct dir_op *op, struct buffer *leaf)
{
	struct buffer *free;
	uint32_t bests, live;
	bool only_first;
	int err;

	err = trim_free_blocks(op, &only_first);
	if (err || !only_first || !has_one_leaf(op))
		return err;
	err = da_read(op->tx, op->dir, FORK_DATA, op->dg->free_fileblk, false, &block_dir_free, &free);
	if (err)
		return err;
	bests = be32_to_cpu(free_of(free)->hdr.nvalid);
	live = leaf_count(leaf) - leaf_stale(leaf);
	if (free_of(free)->hdr.firstdb ||
	    sizeof(struct xfs_dir3_leaf_hdr) + live * LEAF_ENTRY_BYTES + bests * sizeof(__be16) +
			    sizeof(struct xfs_dir2_leaf_tail) > op->dg->block_bytes) {
		da_release(op->tx, free);
		return 0;
	}
	leaf_compact(op, leaf);
	leaf_of(leaf)->hdr.info.hdr.magic = cpu_to_be16(XFS_DIR3_LEAF1_MAGIC);
	leaf->type = &block_dir_leaf1;
	leaf_set_counts(op, leaf, live, 0);
	leaf_tail(op, leaf)->bestcount = cpu_to_be32(bests);
	memcpy(leaf_bests(op, leaf), free_of(free)->bests, bests * sizeof(__be16));
	leaf_log_bests(op, leaf, 0, bests);
	da_log(op->tx, leaf, leaf_tail(op, leaf), sizeof(struct xfs_dir2_leaf_tail));
	/* It is an extent of its own, so that unmapping it never needs a block. */
	err = da_shrink(op->tx, op->dir, FORK_DATA, op->dg->free_fileblk, free);
	return err ? err : leaf_to_block(op, leaf);
}
