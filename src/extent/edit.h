/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Every change of a fork's extents is one edit: a few neighbouring records out, a few in.  An edit is planned first
 * (nothing changes), then applied to the in-core tree, the bmbt, the counts and the sequence in one place.
 * (Takes the place of XFS's xfs_bmap_add_extent_* and xfs_bmap_del_extent_*.)
 *
 * What an edit does not do: block and delayed-block counters, reverse map, freeing.  That is its caller's part.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/extent/map.h>
#include <userxfs/log/tx.h>

#include "tree.h"

#define EDIT_MAX 5		/* left neighbour, left rest, what is put, right rest, right neighbour */

struct edit {
	struct file_map *map;
	enum fork_which which;
	struct irec old[EDIT_MAX], new[EDIT_MAX];
	unsigned old_count, new_count;
	/* What stays of the record that was cut, in new[]; NULL: nothing.  Of delayed ones the caller sets
	 * .indirect. */
	struct irec *left_rest, *right_rest;
};

/*
 * Plans to replace [@off, @off + @count), all of it inside one record or one hole, by @put, or by a hole (@put NULL).
 * @put covers exactly that range and is merged with what it continues.  Delayed rests get .indirect 0, unless the
 * record was cut on one side only or not at all: then they keep what it had.
 */
void edit_plan(struct edit *edit, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
	       const struct irec *put);
/* Plans to move the record that is @rec to @to, between the same neighbours; merges. */
void edit_plan_move(struct edit *edit, struct file_map *map, enum fork_which which, const struct irec *rec,
		    fileblk_t to);
/* Plans to cut real record @rec in two at @at, which stay two. */
void edit_plan_split(struct edit *edit, struct file_map *map, enum fork_which which, const struct irec *rec,
		     fileblk_t at);

/*
 * Does it.  @tx may be NULL when no real record of a fork with a disk form changes.  @was_delayed: bmbt blocks are
 * paid by the indirect reservation of the delayed extent that becomes real; *bmbt_blocks (may be NULL) says how many
 * were allocated.  After an error the transaction must be cancelled, which shuts the volume down.
 */
int edit_apply(struct edit *edit, struct tx *tx, bool was_delayed, uint32_t *bmbt_blocks);

/* Whether @more further extents would overflow the fork's on-disk counter: -EFBIG, before anything is changed. */
int edit_check_count(const struct file_map *map, enum fork_which which, uint64_t more);
/* Extents that fit into the fork's area of the inode. */
uint64_t fork_inline_extents(const struct file_map *map, enum fork_which which);
/* Adds XFS_ILOG_* bits to what is to be logged. */
void map_mark_dirty(struct tx *tx, struct file_map *map, uint32_t fields);
/* Does @b continue @a, so that the two could be one record? */
bool irec_can_merge(const struct irec *a, const struct irec *b);
