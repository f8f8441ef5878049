// SPDX-License-Identifier: GPL-2.0
/*
 * How many blocks an operation on one name may need.  (XFS: xfs_trans_space.h.)  The numbers are XFS's: they decide
 * when a nearly full volume refuses a new name.
 */
#include <userxfs/da.h>

#include <userxfs/base/bits.h>

uint32_t da_map_blocks(const struct geometry *geo, enum fork_which which, uint32_t count)
{
	uint32_t levels = which == FORK_ATTR ? geo->bmbt_max_levels_attr : geo->bmbt.max_levels;
	uint32_t per_block = geo->bmbt.max_leaf - geo->bmbt.min_leaf;

	return (uint32_t)div_round_up(count, per_block) * (levels - 1);
}

/* Tree blocks that one name can touch: one per level, and for a directory a data and a free block. */
static uint32_t touched_blocks(enum fork_which which)
{
	return DA_MAX_DEPTH + (which == FORK_DATA ? 2 : 0);
}

uint32_t da_remove_blocks(const struct geometry *geo, enum fork_which which)
{
	uint32_t fs_blocks = which == FORK_DATA ? geo->dir.fs_blocks : 1;

	return touched_blocks(which) * da_map_blocks(geo, which, fs_blocks);
}

uint32_t da_enter_blocks(const struct geometry *geo, enum fork_which which)
{
	uint32_t fs_blocks = which == FORK_DATA ? geo->dir.fs_blocks : 1;

	return touched_blocks(which) * fs_blocks + da_remove_blocks(geo, which);
}
