/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The tree of reference counts of an AG, for the refcount files.  (XFS: xfs_refcount_btree.c, xfs_refcount_irec.)
 *
 * Two sets of records, the second behind the first:
 *   shared    blocks that two or more files have; what is in use and not recorded has one reference
 *   staging   blocks allocated for a copy on write that has not ended: one reference, nobody's yet
 * Records of a set never overlap, and two that touch have different counts.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/btree.h>
#include <userxfs/space/alloc.h>
#include <userxfs/space/refcount.h>

enum refcount_set {
	REFCOUNT_SHARED,
	REFCOUNT_STAGING,		/* XFS: XFS_REFC_DOMAIN_COW */
};

struct refcount_record {
	enum refcount_set set;
	agblk_t agblk;
	uint32_t count;			/* blocks */
	uint32_t refs;
};

static inline agblk_t refcount_record_end(const struct refcount_record *rec)
{
	return rec->agblk + rec->count;
}

void refcountbt_cursor_init(struct btree_cursor *cur, struct tx *tx, struct ag *ag, struct buffer *agf);

/* The record under the cursor, checked; it may be of either set. */
int refcountbt_get(struct btree_cursor *cur, struct refcount_record *rec, bool *found);
/* The record of @set that holds @agblk, or else the first one behind it. */
int refcountbt_find(struct btree_cursor *cur, enum refcount_set set, agblk_t agblk, struct refcount_record *rec,
		    bool *found);
int refcountbt_insert(struct btree_cursor *cur, const struct refcount_record *rec);
int refcountbt_delete(struct btree_cursor *cur, const struct refcount_record *rec);
/* @new replaces @old where it stands: nothing may lie between their starts. */
int refcountbt_replace(struct btree_cursor *cur, const struct refcount_record *old,
		       const struct refcount_record *new);

/* One log line; -EFSCORRUPTED. */
int refcountbt_complain(const struct ag *ag, const struct refcount_record *rec, const char *why);

/* ---- changes of counts, on a cursor (refcount.c) ---- */

/* What a transaction has done to trees so far: it must end before its log space does. */
struct refcount_budget {
	uint32_t changes;		/* records */
	uint32_t shape_changes;		/* ranges at whose ends records were split or merged */
};

/*
 * Adds @delta (1 or -1) to the references of [*@agblk, + *@count), all of which are in use; blocks without references
 * are queued to be freed.  Stops early when the transaction is full: both then say what is left.
 */
int refcount_adjust(struct btree_cursor *cur, struct refcount_budget *budget, agblk_t *agblk, uint32_t *count,
		    int delta);
int refcount_add_staging(struct btree_cursor *cur, agblk_t agblk, uint32_t count);
int refcount_remove_staging(struct btree_cursor *cur, agblk_t agblk, uint32_t count);
