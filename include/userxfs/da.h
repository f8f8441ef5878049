/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The hashed tree that large directories and large attribute sets share.  (XFS: da_btree; struct xfs_da_state.)
 * Its interface is made for the rooms dir and xattr only.
 *
 * Leaves hold (hash, something) in hash order; inner nodes hold, for each child, the greatest hash below it.  Names
 * with one hash may span leaves.  All blocks of one level form a list through their sibling pointers.  The root never
 * moves: it is the block at geo->leaf_fileblk.  What a leaf contains is known only to the owner's struct da_leaf_ops.
 *
 *	                 node (root)                    level 2
 *	           node  <->  node                      level 1
 *	     leaf <-> leaf <-> leaf <-> leaf            level 0
 *
 * Every block is verified by itself when it is read (format room); here are the checks that take more than one block:
 * the owner, levels that fall by one, siblings that point at each other, lists that end.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/extent/map.h>
#include <userxfs/inode.h>
#include <userxfs/log/tx.h>

/* XFS's name hash. */
uint32_t da_hash(const uint8_t *name, unsigned length);

/* Block reservations for one name: that may split a block on each level of the tree, and that may join them.
 * (XFS: XFS_DAENTER_SPACE_RES, XFS_DAREMOVE_SPACE_RES, XFS_NEXTENTADD_SPACE_RES.) */
uint32_t da_enter_blocks(const struct geometry *geo, enum fork_which which);
uint32_t da_remove_blocks(const struct geometry *geo, enum fork_which which);
/* Map blocks that @count new blocks may need. */
uint32_t da_map_blocks(const struct geometry *geo, enum fork_which which, uint32_t count);

/* ---- blocks ---- */

/*
 * A block of the directory (or attribute) address space: logical filesystem block @off of the fork,
 * geo->dir.fs_blocks long for directories.  @type as in format/block.h; buf->type is then what the block turned out
 * to be.  @hole_ok: *out = NULL for a hole instead of -EFSCORRUPTED.  The map is loaded and its lock held.  Without
 * @tx the buffer is locked and referenced for the caller, who gives it back with da_release().
 */
int da_read(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, bool hole_ok,
	    const struct block_type *type, struct buffer **out);
/* The same without reading, for a block just mapped.  The contents are zeroed. */
int da_get(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, struct buffer **out);
/* Starts reading without waiting. */
void da_readahead(struct inode *inode, enum fork_which which, fileblk_t off, const struct block_type *type);
/* Lets go of a block read with @tx (may be NULL); one that @tx has dirtied stays until commit.  NULL is fine. */
void da_release(struct tx *tx, struct buffer *buf);
/* Logs [@start, @start + @bytes) of @buf, given by pointer. */
void da_log(struct tx *tx, struct buffer *buf, const void *start, size_t bytes);

/* The identity every tree block carries: zeroes the header's common part, then magic, place, owner and UUID. */
void da_header_init(struct buffer *buf, struct inode *inode, uint16_t magic);

/* Locks the inode's map_lock shared, or exclusively when fork @which must still be loaded, which it does.
 * *exclusive is for da_unlock_map().  On failure nothing is locked. */
int da_lock_map(struct inode *inode, enum fork_which which, bool *exclusive) NO_LOCK_ANALYSIS;
void da_unlock_map(struct inode *inode, bool exclusive) NO_LOCK_ANALYSIS;

/*
 * Maps a new block at the first free place at or after @from (da_grow), or exactly there (da_grow_at).  *blocks is
 * what is left of the caller's reservation and goes down by what was used, tree blocks of the map included.  -ENOSPC.
 * (XFS: xfs_da_grow_inode_int.)
 */
int da_grow(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t from, uint32_t *blocks,
	    fileblk_t *off);
int da_grow_at(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, uint32_t *blocks);
/* Unmaps block @off and invalidates @buf.  -ENOSPC, nothing changed: it would split an extent and there is no
 * block for the map.  Directory sizes are the caller's. */
int da_shrink(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, struct buffer *buf);

/* ---- the tree ---- */

struct da_tree;

struct da_block {
	struct buffer *buf;
	uint32_t blk;			/* filesystem block of the fork */
	unsigned index;			/* node: the entry followed; leaf: the entry found or where it would go */
	uint32_t hash;			/* the block's greatest */
	bool is_leaf;
};

#define DA_MAX_DEPTH XFS_DA_NODE_MAXDEPTH

struct da_path {
	unsigned active;		/* blk[0] is the root, blk[active - 1] the leaf */
	struct da_block blk[DA_MAX_DEPTH];
};

/* What the tree asks the owner of its leaves.  Leaf buffers are verified as any_type and joined to the
 * transaction. */
struct da_leaf_ops {
	const struct block_type *any_type;	/* reads leaf or node */
	const struct block_type *node_type;
	/* The greatest hash; 0 for a leaf without entries. */
	uint32_t (*last_hash)(const struct buffer *leaf);
	/* Bytes that the live entries and what they name take, without the header. */
	uint32_t (*used_bytes)(const struct buffer *leaf);
	uint32_t header_bytes;
	/* Looks in one leaf for what @tree is about; sets leaf->index.  *found: it is there. */
	int (*find)(struct da_tree *tree, struct da_block *leaf, bool *found);
	/* An empty leaf in a buffer got with da_get(): sets type and header, logs it whole. */
	void (*init)(struct da_tree *tree, struct buffer *buf);
	/*
	 * Moves the upper part of @old to the empty leaf @new that follows it, and inserts what @tree is about into
	 * one of them.  *fits false: it fits neither and belongs between them; the tree then calls again with @old
	 * and a third leaf between the two.  Only leaves whose entries differ much in size need that.  Updates .hash
	 * of both.
	 */
	int (*split)(struct da_tree *tree, struct da_block *old, struct da_block *new, bool *fits);
	/* Moves all entries of @from into its neighbour @to, before its own (@to_front) or after them; they fit. */
	void (*merge)(struct da_tree *tree, struct da_block *from, struct da_block *to, bool to_front);
};

struct da_tree {
	struct tx *tx;
	struct inode *inode;
	enum fork_which which;
	const struct da_geometry *geo;
	const struct da_leaf_ops *leaf;
	void *context;			/* for the leaf ops */
	uint32_t hash;			/* what is looked for */
	uint32_t *blocks;		/* left of the block reservation */
	struct da_path path;
};

/* Whether a block of the leaf section is an inner node. */
bool da_is_node(const struct buffer *buf);

/*
 * Goes down to where the tree's name is, or belongs, following names of the same hash into later leaves; tree->path
 * is valid on success.  With a transaction only: all blocks of the path stay joined.  (XFS: xfs_da3_node_lookup_int.)
 */
int da_lookup(struct da_tree *tree, bool *found);
/* For readers, with or without transaction: the first leaf that may hold @hash; only it is kept. */
int da_first_leaf(struct tx *tx, struct inode *inode, enum fork_which which, const struct da_leaf_ops *ops,
		  uint32_t hash, struct buffer **leaf);
/* Replaces *leaf by its next sibling; *leaf = NULL at the end, and on failure.  *budget starts as DA_WALK_BUDGET
 * and becomes the number of leaves there can be, so that a ring of siblings ends. */
#define DA_WALK_BUDGET UINT64_MAX
int da_next_leaf(struct tx *tx, struct inode *inode, enum fork_which which, const struct da_leaf_ops *ops,
		 uint64_t *budget, struct buffer **leaf);
/* The leaf's greatest hash changed: tells the nodes of the path. */
void da_fix_hashes(struct da_tree *tree);
/* The name of the last da_lookup() does not fit its leaf: splits it, and nodes as needed, and inserts it.
 * (XFS: xfs_da3_split.) */
int da_split(struct da_tree *tree);
/* Something left the leaf of the path: joins it and its nodes with neighbours while they are small; the root's
 * only child becomes the root.  tree->path is no longer valid; *is_leaf_root: the root is a leaf now.  (XFS:
 * xfs_da3_join.) */
int da_join(struct da_tree *tree, bool *is_leaf_root);
/* Inserts an empty leaf after @old, linked between its siblings; for leaf ops of a tree that is one leaf. */
int da_add_leaf(struct da_tree *tree, struct da_block *old, struct da_block *new);

/* Checks the whole tree: levels, hashes, siblings, reachability.  @visit sees every leaf in order.  NULL or what
 * is wrong. */
const char *da_verify(struct inode *inode, enum fork_which which, const struct da_leaf_ops *ops,
		      const char *(*visit)(void *context, struct buffer *leaf), void *context);
