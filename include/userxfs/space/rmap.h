/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The reverse map: who owns each block.  Every call is a no-op on volumes without rmapbt.  (XFS: libxfs/xfs_rmap.c,
 * xfs_rmap_item.c.)
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/format/record.h>
#include <userxfs/log/tx.h>
#include <userxfs/space/alloc.h>
#include <userxfs/space/space.h>

/* At once, AGF held: metadata blocks (called by space_alloc/space_free). */
int rmap_add(struct tx *tx, struct ag *ag, struct buffer *agf, agblk_t agblk, uint32_t count,
	     const struct rmap_owner *owner);
int rmap_remove(struct tx *tx, struct ag *ag, struct buffer *agf, agblk_t agblk, uint32_t count,
		const struct rmap_owner *owner);

/* Deferred, with an RUI: file extents.  @is_shared: the file may share blocks (reflink flag). */
void rmap_map_deferred(struct tx *tx, struct space *space, struct inum ino, bool is_attr_fork, bool is_shared,
		       const struct extent *ext);
void rmap_unmap_deferred(struct tx *tx, struct space *space, struct inum ino, bool is_attr_fork, bool is_shared,
			 const struct extent *ext);
/* Written <-> unwritten: @ext has the new state. */
void rmap_convert_deferred(struct tx *tx, struct space *space, struct inum ino, bool is_attr_fork, bool is_shared,
			   const struct extent *ext);
/* Copy-on-write staging blocks (owner XFS_RMAP_OWN_COW). */
void rmap_alloc_cow_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count);
void rmap_free_cow_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count);

/* Worst size for the AG's reservation, and the size now. */
uint32_t rmapbt_max_blocks(const struct geometry *geo, const struct ag *ag);
int rmapbt_count_blocks(struct ag *ag, struct buffer *agf, uint32_t *blocks);
