/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The tree of reverse mappings of an AG, for the rmap files.  (XFS: xfs_rmap_btree.c, xfs_rmap_irec.)
 *
 * Records of files that share blocks overlap.  A record's place in the tree is given by its block, owner, offset, and
 * whether it is of the attribute fork or a bmbt block; whether it is unwritten is not part of it.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/btree.h>
#include <userxfs/space/rmap.h>

enum rmap_flag {
	RMAP_ATTR_FORK = 1 << 0,
	RMAP_BMBT_BLOCK = 1 << 1,
	RMAP_UNWRITTEN = 1 << 2,
};

struct rmap_record {
	agblk_t agblk;
	uint32_t count;
	uint64_t owner;
	fileblk_t off;			/* 0 for bmbt blocks and owners that are no inodes */
	uint32_t flags;			/* enum rmap_flag */
};

void rmapbt_cursor_init(struct btree_cursor *cur, struct tx *tx, struct ag *ag, struct buffer *agf);

/* The owner has no offsets: any two adjacent records of it are one. */
static inline bool rmap_has_no_offset(uint64_t owner, uint32_t flags)
{
	return XFS_RMAP_NON_INODE_OWNER(owner) || (flags & RMAP_BMBT_BLOCK);
}

/* The record under the cursor, checked. */
int rmapbt_get(struct btree_cursor *cur, struct rmap_record *rec, bool *found);
/* Records by place: where @key is, or the last before. */
int rmapbt_find_le(struct btree_cursor *cur, const struct rmap_record *key, struct rmap_record *rec, bool *found);
int rmapbt_find_eq(struct btree_cursor *cur, const struct rmap_record *key, struct rmap_record *rec, bool *found);
/*
 * A record of @key's owner and fork that holds block @key->agblk at offset @key->off, wherever it starts; other
 * owners' records may lie between.
 */
int rmapbt_find_covering(struct btree_cursor *cur, const struct rmap_record *key, struct rmap_record *rec,
			 bool *found);

int rmapbt_insert(struct btree_cursor *cur, const struct rmap_record *rec);
int rmapbt_delete(struct btree_cursor *cur, const struct rmap_record *rec);
/* @old becomes @new, in its place or elsewhere. */
int rmapbt_replace(struct btree_cursor *cur, const struct rmap_record *old, const struct rmap_record *new);

/* One log line; -EFSCORRUPTED. */
int rmapbt_complain(const struct ag *ag, const struct rmap_record *rec, const char *why);

/* ---- changes of the map, on a cursor (rmap.c, rmap_convert.c) ---- */

/* @is_shared: the blocks may have other owners, too. */
int rmap_map(struct btree_cursor *cur, const struct rmap_record *new, bool is_shared);
int rmap_unmap(struct btree_cursor *cur, const struct rmap_record *gone, bool is_shared);
/* Records that touch @new and continue it; .count 0: none. */
int rmap_find_neighbours(struct btree_cursor *cur, const struct rmap_record *new, struct rmap_record *left,
			 struct rmap_record *right);
/* @part with its new flags replaces the same blocks in the other state. */
int rmap_convert(struct btree_cursor *cur, const struct rmap_record *part, bool is_shared);
