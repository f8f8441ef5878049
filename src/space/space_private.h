/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the files of the space room share. */
#include <stdatomic.h>

#include <userxfs/base/lock.h>
#include <userxfs/space/alloc.h>
#include <userxfs/space/space.h>

/*
 * The free counter is one atomic number.  Whoever takes from it makes sure that .set_aside and .btree_blocks still
 * fit under it, so it only falls below these when they grow.
 */
struct space {
	struct buffer_cache *cache;		/* [I] */
	const struct geometry *geo;		/* [I] */
	struct log *log;			/* [I] after space_start() */
	struct ag *ags;				/* [I] geo->ag_count of them */
	uint64_t set_aside;			/* [I] blocks nobody may promise (XFS: m_alloc_set_aside) */
	uint32_t ag_max_usable;			/* blocks that one extent may have; [I] after space_start() */

	_Atomic int64_t free_blocks;		/* the counter */
	_Atomic int64_t btree_blocks;		/* of all bnobts and cntbts besides roots (XFS: m_allocbt_blks) */
	_Atomic int64_t delayed_blocks;
	_Atomic int64_t inodes, free_inodes;
	_Atomic uint32_t directory_rotor;

	struct mutex pool_lock;			/* RANK_SPACE */
	uint64_t pool_blocks;			/* [pool_lock] size of the reserve pool */
	_Atomic uint64_t pool_missing;		/* [pool_lock to change] of them, in use or never had */
};

/* The AG for the next directory, all in turn (XFS: m_agirotor). */
agno_t space_next_directory_ag(struct space *space);
/* Lets go of what ag_read_agf() or ag_read_agi() gave with @tx; what that has changed it keeps until it commits. */
void ag_release_header(struct tx *tx, struct buffer *buf);
/* Starts reading its headers. */
void ag_readahead(struct ag *ag);
/* Blocks of an AG less what it always needs itself. */
uint32_t space_max_usable(const struct geometry *geo);
/* Blocks at the bottom of the free counter that may not be promised. */
int64_t space_unavailable(const struct space *space);
/*
 * Blocks that are taken already, though nobody was promised them; the free counter sinks below its bottom if need
 * be.
 */
void space_take_overdue(struct space *space, uint64_t blocks);
