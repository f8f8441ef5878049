/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Choosing disk blocks for a piece of a file: where, how long, how aligned.  (XFS: xfs_bmap_btalloc and below.)
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/extent/map.h>
#include <userxfs/log/tx.h>

#include "tree.h"

struct map_alloc {
	/* Asked. */
	enum fork_which which;
	uint32_t flags;			/* enum map_flag */
	bool was_delayed;		/* a delayed extent pays */
	fileblk_t off;			/* in and out: an extent size hint may widen the range */
	uint64_t count;			/* likewise; on success what was allocated */
	uint32_t min_count;
	uint32_t min_left;		/* blocks that must remain in the AG for the map's own growth */
	uint64_t total;
	bool has_prev, has_next;
	struct irec prev;		/* last record that starts before .off */
	struct irec next;		/* the delayed one that holds .off, or the first behind it */
	/* Answered. */
	struct fsblk start;		/* FSBLK_NONE: no space */
};

/*
 * Allocates, charges the transaction (or the delayed reservation) and counts the blocks as the file's.  The extent is
 * the caller's to insert.
 */
int map_alloc_blocks(struct tx *tx, struct file_map *map, struct map_alloc *a);

/* Blocks an AG should keep for splits of this fork's tree, before anything is allocated in @tx (XFS:
 * xfs_bmapi_minleft). */
uint32_t map_min_left(struct tx *tx, const struct file_map *map, enum fork_which which);

/*
 * Widens [*off, *off + *count) to multiples of @hint, but never over neighbours @prev, @next (NULL: none).
 * (XFS: xfs_bmap_extsize_align.)
 */
void hint_align(uint32_t hint, const struct extent *prev, const struct extent *next, fileblk_t *off, uint64_t *count);
/* The hint of the fork, 0: none; the CoW fork always has one. */
uint32_t map_hint(const struct file_map *map, enum fork_which which);
