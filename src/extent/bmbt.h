/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The on-disk tree of a fork with more extents than its area of the inode holds: its root is in the inode, its
 * records are the fork's real extents.  (XFS: xfs_bmap_btree.c, xfs_bmap_extents_to_btree,
 * xfs_bmap_btree_to_extents.)
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/btree.h>
#include <userxfs/extent/map.h>
#include <userxfs/log/tx.h>

/* Real records out and in, neighbours of each other, both sorted. */
struct bmbt_change {
	struct file_map *map;
	enum fork_which which;
	bool was_delayed;		/* blocks are paid by a delayed extent's indirect reservation */
	uint32_t allocated;		/* answer: tree blocks allocated */
	struct extent old[5], new[5];
	unsigned old_count, new_count;
};

/* Makes the tree follow memory; a fork whose extents fit inline again changes to EXTENTS form. */
int bmbt_replace(struct tx *tx, struct bmbt_change *change);
/* EXTENTS to BTREE form, out of the extents in memory; old and new do not matter. */
int bmbt_from_extents(struct tx *tx, struct bmbt_change *change);
/* Moves the root's contents into a block of its own, so that the data fork's area may shrink. */
int bmbt_push_root_down(struct tx *tx, struct file_map *map);
/* Calls @visit for every record, in order; @context is its. */
int bmbt_for_each(const struct file_map *map, enum fork_which which,
		  int (*visit)(const struct extent *ext, void *context), void *context);
/* The tree against itself. */
int bmbt_verify(const struct file_map *map, enum fork_which which);
/* The bytes of an empty or decoded root have room for this many keys, whatever the fork's area will be. */
uint32_t bmbt_root_capacity(const struct file_map *map);
/* Keys the root of fork @which may have in its area. */
uint32_t bmbt_root_max_keys(const struct file_map *map, enum fork_which which);
/* A root in memory without keys. */
struct btree_iroot *bmbt_create_root(const struct file_map *map, enum fork_which which);
