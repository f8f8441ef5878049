/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The two trees of inode chunks of an AG, for the ialloc files.  (XFS: xfs_ialloc_btree.c, xfs_inobt_rec_incore.)
 *
 *   inobt    a record for every chunk
 *   finobt   the same record for every chunk that has a free inode; absent on volumes without the feature
 *
 * A chunk is 64 inode numbers.  In a sparse chunk some of them, in units of four, have no inode behind them: their
 * .holes bit is set, and so are their .free bits.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/btree.h>
#include <userxfs/space/alloc.h>
#include <userxfs/space/ialloc.h>
#include <userxfs/space/space.h>

#define INODE_CHUNK 64
#define INODES_PER_HOLE_BIT 4

struct inode_record {
	agino_t first;
	uint16_t holes;			/* bit i: inodes 4i to 4i + 3 do not exist */
	uint8_t count;			/* inodes that exist */
	uint8_t free_count;		/* of those, free */
	uint64_t free;			/* bit i: inode i is free or does not exist */
};

enum inode_tree { INODE_TREE_ALL, INODE_TREE_FREE };

/* @agi is locked; @tx may be NULL for queries. */
void inobt_cursor_init(struct btree_cursor *cur, struct tx *tx, struct ag *ag, struct buffer *agi,
		       enum inode_tree tree);
int inobt_lookup(struct btree_cursor *cur, enum btree_direction how, agino_t agino, bool *found);
/* The record under the cursor, checked. */
int inobt_get(struct btree_cursor *cur, struct inode_record *rec, bool *found);
/* A lookup and the record it found. */
int inobt_find(struct btree_cursor *cur, enum btree_direction how, agino_t agino, struct inode_record *rec,
	       bool *found);
int inobt_update(struct btree_cursor *cur, const struct inode_record *rec);
/* The record must not exist. */
int inobt_insert(struct btree_cursor *cur, const struct inode_record *rec);

/* Bit i: inode i exists. */
uint64_t inode_record_existing(const struct inode_record *rec);

static inline bool inode_record_is_sparse(const struct inode_record *rec)
{
	return rec->holes != 0;
}

static inline bool inode_record_covers(const struct inode_record *rec, agino_t agino)
{
	return agino >= rec->first && agino - rec->first < INODE_CHUNK;
}

/* One log line; -EFSCORRUPTED. */
int inobt_complain(const struct ag *ag, agino_t agino, const char *why);
