/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The free-space trees of an AG, and one allocation at work in it, for the alloc files.
 * (XFS: xfs_alloc_btree.c, xfs_alloc_arg.)
 *
 *   bnobt	free extents by first block
 *   cntbt	the same extents by length, then by first block
 */
#include <userxfs/btree.h>

#include "busy.h"
#include "space_private.h"

struct free_extent {
	agblk_t start;
	uint32_t count;
};

/* alloc_btree.c */
void bnobt_cursor_init(struct btree_cursor *cur, struct tx *tx, struct ag *ag, struct buffer *agf);
void cntbt_cursor_init(struct btree_cursor *cur, struct tx *tx, struct ag *ag, struct buffer *agf);
int freespace_lookup(struct btree_cursor *cur, enum btree_direction how, struct free_extent key, bool *found);
/* The record under the cursor, checked against the AG; there must be one. */
int freespace_get(struct btree_cursor *cur, struct free_extent *out);
/* Like freespace_get(), but there may be none. */
int freespace_get_any(struct btree_cursor *cur, struct free_extent *out, bool *found);
int freespace_insert(struct btree_cursor *cur, struct free_extent extent);
int freespace_delete(struct btree_cursor *cur, struct free_extent extent);
/* One log line; -EFSCORRUPTED. */
int freespace_complain(const struct ag *ag, struct free_extent extent, const char *why);

/*
 * Takes [@part.start, + @part.count) out of the free extent @whole, in both trees, and corrects agf_longest.  The
 * counts of free blocks are the caller's.
 */
int freespace_take_part(struct tx *tx, struct ag *ag, struct buffer *agf, struct free_extent whole,
			struct free_extent part);
/* Adds @extent, joined with its neighbours, to both trees and corrects agf_longest; not the counts. */
int freespace_add(struct tx *tx, struct ag *ag, struct buffer *agf, struct free_extent extent);
/* @extent, some of which may not be busy, has come into the cntbt (see struct busy_prefix). */
void busy_prefix_note(struct ag *ag, struct free_extent extent);
/* agf_freeblks and the summary. */
int agf_change_free_blocks(struct tx *tx, struct ag *ag, struct buffer *agf, int64_t by);

/* alloc.c: one allocation in one AG */
struct alloc {
	struct tx *tx;
	struct ag *ag;
	struct buffer *agf;		/* NULL: the AG does not qualify */

	/* Asked; .max_count may have been lowered to what the AG can give. */
	enum ag_reservation resv;
	agblk_t target;
	uint32_t min_count, max_count;
	uint32_t mod, prod;
	uint32_t alignment;		/* at least 1 */
	uint32_t alignment_slop;
	uint32_t min_left;
	uint64_t total;
	bool is_user_data;
	bool is_freeing;		/* fixing the AGFL for a free: -EAGAIN when a roll would make space for it */
	bool is_trylock;
	agblk_t min_agblk, max_agblk;	/* inclusive */

	/* Answered. */
	agblk_t start;			/* AGBLK_NONE: nothing fits */
	uint32_t count;
	bool was_from_agfl;
};

/* The busy-free and aligned part of a free extent that an allocation can use; *usable.count may be 0. */
struct candidate {
	struct free_extent whole, usable;
	bool is_busy;
	uint64_t busy_generation;
};
void candidate_compute(const struct alloc *a, struct free_extent whole, struct candidate *out);
/* Rounds @count down to what .prod and .mod allow, if that leaves .min_count (XFS: xfs_alloc_fix_len). */
uint32_t alloc_round_count(const struct alloc *a, uint32_t count);
/* Takes @count blocks at @start out of @whole and answers with them. */
int alloc_finish(struct alloc *a, struct free_extent whole, agblk_t start, uint32_t count);
void alloc_fail(struct alloc *a);
/*
 * No free extent is long enough: *out is the last one of @cnt, if it has .min_count blocks (*found).  With no free
 * extent at all a block of the AGFL may do: .start is then set.
 */
int alloc_small(struct alloc *a, struct btree_cursor *cnt, struct free_extent *out, bool *found);
/* Forces the log for the sake of busy extents; *again: another look at the trees may find something. */
int alloc_flush_busy(struct alloc *a, uint64_t generation, bool *again);

/* The ways of choosing, alloc_size.c, alloc_near.c, alloc_exact.c. */
int alloc_by_size(struct alloc *a);
int alloc_near(struct alloc *a);
int alloc_exact(struct alloc *a);

/* agfl.c: the block that agfl_take() would take; AGBLK_NONE: the AGFL is empty. */
int agfl_first(struct tx *tx, struct ag *ag, struct buffer *agf, agblk_t *out);
/* agfl.c: for ag_verify(); @seen: a byte for each block, not 0 when it is free. */
int agfl_verify(struct ag *ag, struct buffer *agf, uint8_t *seen);
/* agfl.c: brings the AGFL to its minimum for @a and says whether the AG has room for it: .agf is NULL if not. */
int alloc_prepare_ag(struct alloc *a);

/* free_deferred.c: gives a block that left the AGFL back to free space, in a transaction of its own. */
void agfl_free_deferred(struct tx *tx, struct ag *ag, agblk_t agblk);
/* free.c: the work of space_free(), AGF held and AGFL fixed. */
int free_extent_in_ag(struct tx *tx, struct ag *ag, struct buffer *agf, struct free_extent extent,
		      const struct rmap_owner *owner, enum ag_reservation resv);
/* -EAGAIN: cannot be done before the transaction has rolled. */
int free_extent_try(struct tx *tx, struct space *space, struct fsblk start, uint32_t count,
		    const struct rmap_owner *owner, enum ag_reservation resv);

/* The owner of AGFLs and free-space trees. */
extern const struct rmap_owner rmap_owner_ag;
