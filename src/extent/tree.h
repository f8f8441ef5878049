/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The in-core extent tree: all extents of one fork, real and delayed, sorted by file offset.
 * (XFS: xfs_iext_tree.)
 *
 * It knows order and nothing else: no merging, no accounting, no disk.  Records never overlap; the caller sees to it.
 * Every change invalidates cursors.  Readers share it under the map lock held shared, a writer has it exclusively.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/extent/map.h>

/* One record: an extent, and for a delayed one the blocks reserved for the bmbt's growth. */
struct irec {
	struct extent ext;
	uint32_t indirect;		/* blocks; 0 unless DELAYED */
};

struct tree_leaf;

/* A position in a tree: on a record, or (leaf NULL) past either end. */
struct tree_cursor {
	const struct tree_leaf *leaf;
	unsigned index;
};

static inline fileblk_t extent_end(const struct extent *ext)
{
	return ext->off + ext->count;
}

void tree_init(struct extent_tree *tree);
/* Frees everything and leaves an empty tree. */
void tree_clear(struct extent_tree *tree);

/* The record that holds @off, else the first one behind it. */
bool tree_lookup(const struct extent_tree *tree, fileblk_t off, struct tree_cursor *cur, struct irec *out);
/* The last record that starts before @off. */
bool tree_lookup_before(const struct extent_tree *tree, fileblk_t off, struct tree_cursor *cur, struct irec *out);
bool tree_first(const struct extent_tree *tree, struct tree_cursor *cur, struct irec *out);
bool tree_last(const struct extent_tree *tree, struct tree_cursor *cur, struct irec *out);
/* One step; at the end false and @out is untouched. */
bool tree_next(struct tree_cursor *cur, struct irec *out);
bool tree_prev(struct tree_cursor *cur, struct irec *out);

/* Memory comes from the _sure calls: the transaction that changes extents is dirty already. */
void tree_insert(struct extent_tree *tree, const struct irec *rec);
/* Replaces the record that starts at rec->ext.off, which must exist. */
void tree_update(struct extent_tree *tree, const struct irec *rec);
/* Removes the record that starts at @off, which must exist. */
void tree_remove(struct extent_tree *tree, fileblk_t off);

/* For tests: NULL, or which rule of the tree's own is broken. */
const char *tree_verify(const struct extent_tree *tree);
