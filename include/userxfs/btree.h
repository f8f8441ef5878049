/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * One B+tree on disk, whichever it is: free space, inodes, reverse map, reference counts, extents of a file.  What
 * the records mean, where the root is and where blocks come from is the owner's, behind an op table.
 * (XFS: libxfs/xfs_btree.c, xfs_btree_ops, xfs_btree_cur.)
 *
 * A cursor is a path from the root to one record.  It lives in the caller's memory, costs no allocation and holds the
 * blocks of its path:
 *
 *   with a transaction     blocks are joined to it; those the transaction did not dirty are let go when the cursor
 *                          leaves them, the others at commit
 *   without (tx NULL)      read-only queries; blocks are locked while the path holds them
 *
 * Records and keys have the form that they have on disk.  Level 0 is the leaves; level .levels - 1 is the root.
 * In an overlapping tree (reverse map) a record covers an interval; every key in a node is followed by the highest
 * key of what is below it.
 *
 * After an error a cursor is good for btree_cursor_deinit() only, and a transaction that was dirty must be cancelled.
 * -EFSCORRUPTED (with one log line) is given for structures that cannot be: a block of the wrong level, owner or
 * order, a sibling that does not point back, a count that leads outside.  No input makes a loop endless.
 *
 * Locking: the caller holds what serializes the tree: the AG header's buffer, or the inode's map lock.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <userxfs/buffer.h>
#include <userxfs/format/block.h>
#include <userxfs/format/geometry.h>
#include <userxfs/log/tx.h>

union btree_ptr {
	__be32 s;			/* short: block within the AG; NULLAGBLOCK: none */
	__be64 l;			/* long: filesystem block; NULLFSBLOCK: none */
};

union btree_key {
	struct xfs_alloc_rec alloc;
	struct xfs_inobt_key inobt;
	struct xfs_rmap_key rmap;
	struct xfs_refcount_key refcount;
	struct xfs_bmbt_key bmbt;
};

union btree_rec {
	struct xfs_alloc_rec alloc;
	struct xfs_inobt_rec inobt;
	struct xfs_rmap_rec rmap;
	struct xfs_refcount_rec refcount;
	struct xfs_bmbt_rec bmbt;
};

/*
 * A root that lives in an inode's fork, as it stands in memory: a long-pointer block of capacity for .capacity keys,
 * whose key array starts at btree_block_bytes(ops) and whose pointers follow .capacity keys.
 *
 * Invariants: 1 <= numrecs <= max_keys <= capacity; bb_level >= 1 (the owner turns a root without children into a
 * plain extent list by itself).
 */
struct btree_iroot {
	uint16_t capacity;		/* [I] room in memory */
	uint16_t max_keys;		/* room in the fork on disk (XFS: dmaxrecs); the owner changes it */
	struct xfs_btree_block block __attribute__((aligned(8)));
};

struct btree_cursor;

struct btree_ops {
	const char *name;		/* for log lines */
	const struct block_type *block;
	uint32_t magic;
	uint8_t rec_bytes, key_bytes;	/* key_bytes: one key, also when overlapping */
	bool has_long_pointers;
	bool is_root_in_inode;
	bool is_overlapping;

	/* Required. <0, 0, >0 as @a sorts before, with, after @b. */
	int (*compare)(const union btree_key *a, const union btree_key *b);
	/* Required.  The lowest and the highest key that @rec covers. */
	void (*key_of_rec)(const union btree_rec *rec, union btree_key *key);
	void (*high_key_of_rec)(const union btree_rec *rec, union btree_key *key);

	/* Required unless root in inode.  Reads root and height from where they are kept. */
	void (*get_root)(const struct btree_cursor *cur, union btree_ptr *root, uint32_t *levels);
	/* Required unless root in inode, for changes.  Stores and logs them; @level_change is 1, 0 or -1. */
	void (*set_root)(struct btree_cursor *cur, const union btree_ptr *root, int level_change);

	/* Required if root in inode.  May the root change?  Then iroot_log() follows. */
	struct btree_iroot *(*iroot)(const struct btree_cursor *cur);
	void (*iroot_log)(struct btree_cursor *cur);

	/* Required for changes.  One block, near @near; no block to be had is an error (-ENOSPC). */
	int (*alloc_block)(struct btree_cursor *cur, const union btree_ptr *near, union btree_ptr *out);
	/* Required for changes.  Frees the block of @buf on disk; the caller invalidates the buffer afterwards. */
	int (*free_block)(struct btree_cursor *cur, struct buffer *buf);
};

struct btree_level {
	struct buffer *buf;		/* NULL: not loaded, or the root in the inode */
	uint32_t index;			/* of the entry, from 1; 0: before the first; count + 1: after the last */
};

struct btree_cursor {
	const struct btree_ops *ops;
	const struct geometry *geo;
	const struct btree_limits *limits;
	struct buffer_cache *cache;
	struct tx *tx;			/* NULL: queries only */
	uint64_t block_owner;		/* bb_owner of its blocks: AG number, or inode number */
	agno_t agno;			/* short pointers: their AG */
	uint32_t levels;		/* 0: not looked up yet */
	struct btree_level path[BTREE_MAX_LEVELS];

	/* The owner's, for its ops; shared by duplicates. */
	struct buffer *header;		/* AGF or AGI that holds the root, or NULL */
	void *host;			/* the AG or the fork */
	void *context;
};

enum btree_direction {
	BTREE_LE,			/* last record at or before the key */
	BTREE_EQ,
	BTREE_GE,			/* first record at or after the key */
};

/*
 * @cur is the caller's memory.  @cache may be NULL when @tx is not.  The owner's fields (.header, .host, .context)
 * and .agno are set by the caller afterwards, before the first use.
 */
void btree_cursor_init(struct btree_cursor *cur, const struct btree_ops *ops, const struct geometry *geo,
		       const struct btree_limits *limits, struct buffer_cache *cache, struct tx *tx,
		       uint64_t block_owner);
/* Lets go of the path. */
void btree_cursor_deinit(struct btree_cursor *cur);
/* A second cursor at the same place; needs a transaction.  On failure @out is deinited. */
int btree_cursor_dup(const struct btree_cursor *cur, struct btree_cursor *out);

/*
 * Moves the cursor to the record that @how and @key name.  *found is false when there is none; the cursor is then
 * before the first record (LE), after the last (GE), or where @key would be inserted (EQ).
 */
int btree_lookup(struct btree_cursor *cur, enum btree_direction how, const union btree_key *key, bool *found);
/* Copies the record under the cursor; *found is false when the cursor is before the first or after the last. */
int btree_get_rec(struct btree_cursor *cur, union btree_rec *rec, bool *found);
/* To the next, previous entry of @level (0: records); *found is false past the end. */
int btree_increment(struct btree_cursor *cur, uint32_t level, bool *found);
int btree_decrement(struct btree_cursor *cur, uint32_t level, bool *found);

/* Whether the path's block at @level is the last of its level. */
bool btree_is_last_block(const struct btree_cursor *cur, uint32_t level);
/* The block under the path at @level has @count entries; the cursor may be set to any of them by
 * path[level].index. */
uint32_t btree_entry_count(const struct btree_cursor *cur, uint32_t level);

/*
 * Changes; all need a transaction.
 *
 * btree_update() replaces the record under the cursor; order must be kept.
 *
 * btree_insert() puts @rec where a lookup (usually EQ) for its key has left the cursor, and leaves the cursor on it.
 *
 * btree_delete() removes the record under the cursor and leaves the cursor on the one that followed it (where
 * BTREE_GE for its key would be): btree_get_rec() says whether there is one, btree_decrement() goes to the one
 * before.
 *
 * There being no record under the cursor, or a record out of order, is -EFSCORRUPTED: it was the disk that led there.
 */
int btree_update(struct btree_cursor *cur, const union btree_rec *rec);
int btree_insert(struct btree_cursor *cur, const union btree_rec *rec);
int btree_delete(struct btree_cursor *cur);

/* 0: go on; anything else ends the query, which returns it. */
typedef int (*btree_query_fn)(struct btree_cursor *cur, const union btree_rec *rec, void *context);

/*
 * Calls @visit for every record that covers anything in [@low, @high], ascending by its low key.  The tree must not
 * change meanwhile.
 */
int btree_query_range(struct btree_cursor *cur, const union btree_key *low, const union btree_key *high,
		      btree_query_fn visit, void *context);
int btree_query_all(struct btree_cursor *cur, btree_query_fn visit, void *context);

/* @buf is NULL for a root in an inode. */
typedef int (*btree_visit_fn)(struct btree_cursor *cur, uint32_t level, struct buffer *buf, void *context);

/* Every block, level by level from the root, from left to right. */
int btree_visit_blocks(struct btree_cursor *cur, btree_visit_fn visit, void *context);
/* Blocks of the tree; a root in an inode does not count. */
int btree_count_blocks(struct btree_cursor *cur, uint64_t *blocks);

/*
 * Whole-tree check for tests and paranoid callers: order of records and keys, keys against what is below them,
 * siblings, levels, minimum fill.  -EFSCORRUPTED with a log line.
 */
int btree_verify(struct btree_cursor *cur);

/* Inside a block: for owners that build or read blocks themselves. */
size_t btree_block_bytes(const struct btree_ops *ops);	/* of the header */
void *btree_rec_at(const struct btree_ops *ops, struct xfs_btree_block *block, uint32_t index);
void *btree_key_at(const struct btree_ops *ops, struct xfs_btree_block *block, uint32_t index);
/* @max: the greatest number of keys of this block; pointers follow that many keys. */
void *btree_ptr_at(const struct btree_ops *ops, struct xfs_btree_block *block, uint32_t index, uint32_t max);

/* Header of an empty block at @daddr without siblings; the rest of the block is zeroed (@bytes of it). */
void btree_block_init(const struct btree_ops *ops, const struct geometry *geo, void *data, size_t bytes,
		      daddr_u64 daddr, uint32_t level, uint64_t block_owner);

/*
 * Roots in inodes.  Trees with 8-byte keys and long pointers.
 *
 * btree_iroot_capacity() is how many keys fit in @fork_bytes on disk.  create: an empty root of level 1, never
 * NULL.  decode checks everything that can lead outside (NULL or the reason) and wants a root with that capacity.
 */
uint32_t btree_iroot_capacity(size_t fork_bytes);
struct btree_iroot *btree_iroot_create(uint32_t capacity, uint32_t max_keys);
void btree_iroot_destroy(struct btree_iroot *root);
const char *btree_iroot_decode(const struct xfs_bmdr_block *disk, size_t fork_bytes, struct btree_iroot *root);
/* Fills @fork_bytes at @disk; unused bytes become zero. */
void btree_iroot_encode(const struct btree_iroot *root, struct xfs_bmdr_block *disk, size_t fork_bytes);
/*
 * Moves all of the root's contents into a new block below it, so that it has one key: for an owner about to lower
 * max_keys (an attribute fork is added).  The cursor must be looked up again.
 */
int btree_iroot_push_down(struct btree_cursor *cur);
__be64 *btree_iroot_key(struct btree_iroot *root, uint32_t index);
__be64 *btree_iroot_ptr(struct btree_iroot *root, uint32_t index);
