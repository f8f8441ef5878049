/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * What the files of this room share.
 *
 * The attr fork of an inode holds its attributes
 *
 *	inline        names and values in the inode                                     short.c
 *	in one leaf   the root of the tree is a leaf                                    leaf*.c
 *	in a tree     da nodes over leaves                                              tree.c
 *
 * and beside leaves and nodes, in the same fork, the blocks of values that are too large for a leaf (remote.c).
 */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/da.h>
#include <userxfs/dir.h>
#include <userxfs/xattr.h>

/* One operation on one attribute.  (XFS: xfs_da_args.) */
struct attr_op {
	struct tx *tx;			/* NULL for readers */
	struct inode *inode;
	const struct geometry *geo;
	const struct da_geometry *dg;
	uint8_t space;			/* XFS_ATTR_ROOT, XFS_ATTR_SECURE or 0 */
	const uint8_t *name;
	unsigned name_length;
	uint32_t hash;
	const void *value;		/* to be set */
	uint32_t value_length;
	uint32_t blocks;		/* left of the block reservation */
	bool wants_incomplete;		/* looks for an entry with the INCOMPLETE flag, or without it */
	bool adds_incomplete;		/* the entry to be added gets the flag */
};

/* Where a value is. */
struct attr_value {
	const void *local;		/* NULL: remote */
	uint32_t length;
	uint32_t blk;			/* remote: first block */
};

/* ---- attr.c ---- */

void attr_op_init(struct attr_op *op, struct inode *inode, const struct xattr_name *name);
void attr_complain(const struct inode *inode, const char *reason);

static inline int attr_corrupt(const struct inode *inode, const char *reason)
{
	attr_complain(inode, reason);
	return -EFSCORRUPTED;
}

/* Whether @name and the on-disk @flags are the op's. */
bool attr_matches(const struct attr_op *op, const uint8_t *name, unsigned length, uint8_t flags);
/* No attributes at all. */
bool attr_is_empty(const struct inode *inode);
/* Commits what was done so far and goes on, deferred work first. */
int attr_roll(struct attr_op *op);

/* One attribute of a listing or a walk. */
struct attr_seen {
	uint8_t space;
	const uint8_t *name;
	unsigned name_length;
	struct attr_value value;
};

typedef int (*attr_visit)(void *context, const struct attr_seen *seen);

/* ---- short.c ---- */

int short_attr_find(const struct attr_op *op, struct attr_value *out);
/* Sets the value, replacing an old one; *fits false: it does not fit inline, nothing was changed. */
int short_attr_set(struct attr_op *op, bool *fits);
int short_attr_remove(struct attr_op *op);
/* Calls @visit for each; stops at the first nonzero result, which is returned. */
int short_attr_walk(const struct inode *inode, attr_visit visit, void *context);
/* Inline attributes, or none at all, become a leaf. */
int short_attr_to_leaf(struct attr_op *op);
/* The attributes of the root leaf go inline if they fit; the last attribute is gone: so is the fork. */
int leaf_attr_to_short(struct attr_op *op, struct buffer *leaf);

/* ---- leaf.c: one leaf ---- */

struct leaf_key {
	uint32_t hash;
	uint8_t flags;
	const uint8_t *name;
	unsigned name_length;
	const void *value;		/* local */
	uint32_t value_length;
	uint32_t value_blk;		/* remote */
};

static inline struct xfs_attr3_leafblock *attr_leaf_of(const struct buffer *buf)
{
	return buf->data;
}

static inline unsigned attr_leaf_count(const struct buffer *buf)
{
	return be16_to_cpu(attr_leaf_of(buf)->hdr.count);
}

#define ATTR_LEAF_HEADER_BYTES ((uint32_t)sizeof(struct xfs_attr3_leaf_hdr))
#define ATTR_ENTRY_BYTES ((uint32_t)sizeof(struct xfs_attr_leaf_entry))

struct xfs_attr_leaf_entry *attr_entry(const void *leaf, unsigned index);
/* Bytes of the name and value of entry @index, or of @key. */
uint32_t attr_entry_name_bytes(const void *leaf, unsigned index);
uint32_t attr_key_name_bytes(const struct leaf_key *key);
/* Decodes entry @index. */
void attr_leaf_get(const void *leaf, unsigned index, struct leaf_key *out);
/* Whether a value is kept in the leaf. */
bool attr_is_local(const struct geometry *geo, unsigned name_length, uint32_t value_length);

/* An empty leaf at @data; keeps the identity (da_header_init()). */
void attr_leaf_clear(const struct geometry *geo, void *data);
/* Inserts without logging.  False: no free run is large enough; *compact: packing the block would make one. */
bool attr_leaf_insert(const struct geometry *geo, void *data, unsigned index, const struct leaf_key *key,
		      bool *compact);
void attr_leaf_delete(const struct geometry *geo, void *data, unsigned index);
/* Packs names and values; @scratch has a block's size. */
void attr_leaf_compact(const struct geometry *geo, void *data, void *scratch);
/* Bytes of all entries with their names and values. */
uint32_t attr_leaf_used(const void *data);
/* First entry whose hash is not less. */
unsigned attr_leaf_search(const void *data, uint32_t hash);
/* The op's entry; else where it belongs. */
bool attr_leaf_find(const struct attr_op *op, const void *data, unsigned *index);

/* ---- tree.c: the tree of leaves ---- */

struct attr_tree {
	struct da_tree tree;
	struct attr_op *op;
};

extern const struct da_leaf_ops attr_leaf_ops;

/* The path to the op's entry or its place; joined to the transaction. */
int attr_tree_find(struct attr_op *op, struct attr_tree *at, bool *found);
struct da_block *attr_tree_leaf(struct attr_tree *at);
/* Adds the op's entry; a remote value has no blocks yet. */
int attr_tree_add(struct attr_op *op);
/* Removes what attr_tree_find() found; the tree may shrink and, if @may_go_inline, go inline. */
int attr_tree_remove(struct attr_op *op, struct attr_tree *at, bool may_go_inline);
/* For readers: the leaf with the op's entry, to be released; -ENODATA. */
int attr_tree_read(struct attr_op *op, struct buffer **leaf, unsigned *index);
int attr_tree_walk(struct inode *inode, attr_visit visit, void *context);
/* Sets the flags of the entry, and where its remote value is; logs. */
void attr_tree_update(struct attr_op *op, struct buffer *leaf, unsigned index, uint8_t flags, uint32_t value_blk,
		      uint32_t value_length);

/* ---- remote.c: values outside the tree ---- */

uint32_t remote_blocks(const struct geometry *geo, uint32_t length);
int remote_read(struct attr_op *op, uint32_t blk, uint32_t length, void *out);
/* Maps blocks for the op's value, rolling; *blk is the first. */
int remote_allocate(struct attr_op *op, uint32_t *blk);
/* Writes the op's value there, around the log; durable with the next checkpoint. */
int remote_write(struct attr_op *op, uint32_t blk);
/* Forgets the buffers and unmaps the blocks, rolling. */
int remote_free(struct attr_op *op, uint32_t blk, uint32_t length);
/* Only forgets the buffers; what is not mapped is skipped. */
int remote_forget(struct inode *inode, uint32_t blk, uint32_t length);

/* ---- fork.c ---- */

/* Makes an attr fork with room for @bytes, in a transaction of its own; nothing to do when there is one. */
int attr_fork_add(struct inode *inode, uint32_t bytes, bool use_pool) NO_LOCK_ANALYSIS;
/* The superblock says that there are attributes. */
int attr_note_feature(struct attr_op *op);
/* symlink.c: an inline target moves to blocks. */
int symlink_to_remote(struct tx *tx, struct inode *link, uint32_t blocks);
