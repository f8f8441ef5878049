/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Reference counts of shared blocks and copy-on-write staging records.  (XFS: libxfs/xfs_refcount.c,
 * xfs_refcount_item.c.)
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/format/record.h>
#include <userxfs/log/tx.h>
#include <userxfs/space/space.h>

/* Deferred, with a CUI.  Decrease frees blocks whose count drops to zero (records absent: 1 -> 0). */
void refcount_increase_deferred(struct tx *tx, struct space *space, const struct extent *ext);
void refcount_decrease_deferred(struct tx *tx, struct space *space, const struct extent *ext);
/* Staging blocks of a copy on write: recorded, and mapped in reverse to XFS_RMAP_OWN_COW; and the opposite. */
void refcount_alloc_cow_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count);
void refcount_free_cow_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count);

/*
 * The first shared run inside [@agblk, @agblk + @count) of @agno: *shared_agblk = AGBLK_NONE when there is none.
 * @find_end: go on while neighbours are shared too (XFS: find_end_of_shared).  @tx may be NULL.
 */
int refcount_find_shared(struct tx *tx, struct space *space, agno_t agno, agblk_t agblk, uint32_t count,
			 bool find_end, agblk_t *shared_agblk, uint32_t *shared_count);

/* Worst size for the AG's reservation (XFS: xfs_refcountbt_max_size), and the size now; 0 without reflink. */
uint32_t refcountbt_max_blocks(const struct geometry *geo, const struct ag *ag);
int refcountbt_count_blocks(struct ag *ag, struct buffer *agf, uint32_t *blocks);
/* Mount: frees staging extents that a crash left behind (XFS: xfs_refcount_recover_cow_leftovers). */
int refcount_free_leftover_cow(struct space *space, agno_t agno);
