/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* How large a tree can become: for the per-AG reservations.  (XFS: xfs_btree_calc_size and its callers.) */
#include <stdint.h>

#include <userxfs/base/bits.h>
#include <userxfs/space/space.h>

/* Blocks of a tree of @records records when every block is as empty as it may be. */
static inline uint32_t tree_max_blocks(const struct btree_limits *limits, uint64_t records)
{
	uint64_t level = div_round_up(records, limits->min_leaf), blocks = level;

	while (level > 1) {
		level = div_round_up(level, limits->min_node);
		blocks += level;
	}
	return (uint32_t)blocks;
}

/* The log stays where it is for ever: nothing that could need a record will be in its place. */
static inline uint32_t ag_blocks_without_log(const struct geometry *geo, const struct ag *ag)
{
	bool has_log = !geo->has_external_log && fsblk_agno(geo, geo->log_start) == ag->agno;

	return ag->blocks - (has_log ? geo->log_blocks : 0);
}
