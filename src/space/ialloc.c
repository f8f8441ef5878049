// SPDX-License-Identifier: GPL-2.0
/*
 * Choosing an inode number: the AG.  (XFS: xfs_dialloc, xfs_dialloc_good_ag, xfs_dialloc_try_ag.)
 *
 * Directories take turns over the AGs, so that the files of different directories, which go to their directory's AG,
 * spread over the volume.  From the starting AG on, wrapping, the first that has a free inode or room for a chunk is
 * taken; a first round asks for room to align the chunk, too, a second one takes what is left.
 *
 *   room for a chunk?   the AG's summaries, without its lock: a hint
 *   AGI locked          free inodes? else a chunk is allocated and the transaction rolls, keeping the AGI: the log
 *                       space reserved is not enough for a chunk and an inode in one
 *   an inode is picked  near the parent
 *
 * Below 1 % of free space the first round only takes inodes that exist already.
 */
#include <sys/stat.h>

#include <userxfs/base/error.h>

#include "ialloc_private.h"
#include "space_private.h"

uint32_t ialloc_blocks_needed(const struct geometry *geo)
{
	uint32_t trees = geo->has_finobt ? 2 : 1;

	return geo->ialloc_blocks + trees * geo->inobt.max_levels;
}

uint32_t ialloc_free_blocks_needed(const struct geometry *geo)
{
	return geo->has_finobt ? geo->finobt.max_levels : 0;
}

bool ialloc_is_at_limit(struct space *space)
{
	const struct geometry *geo = space_geometry(space);
	struct space_counts counts;

	if (!geo->max_inodes)
		return false;
	space_counts(space, &counts);
	return counts.allocated_inodes + geo->ialloc_inodes > geo->max_inodes;
}

static bool is_space_low(struct space *space)
{
	struct space_counts counts;

	space_counts(space, &counts);
	return counts.raw_free_blocks < space_low_threshold(space, 1);
}

static agno_t starting_ag(struct space *space, struct inum parent, uint32_t mode)
{
	const struct geometry *geo = space_geometry(space);
	agno_t agno;

	if (S_ISDIR(mode))
		return space_next_directory_ag(space);
	agno = inum_agno(geo, parent);
	return agno < geo->ag_count ? agno : 0;
}

/* By its summaries. */
static bool is_good_ag(struct ag *ag, uint32_t mode, bool may_add_chunk, bool wants_alignment)
{
	const struct geometry *geo = space_geometry(ag->space);
	/* Most files soon want a block of their own. */
	uint32_t for_file = S_ISDIR(mode) || S_ISREG(mode) || S_ISLNK(mode) ? 1 : 0;
	uint32_t for_chunk = geo->ialloc_min_blocks;
	uint32_t longest;

	if (!ag->agi_loaded && ag_load_agi(ag))
		return false;
	if (ag->free_inodes)
		return true;
	if (!may_add_chunk)
		return false;
	if (!ag->agf_loaded && ag_load_agf(ag))
		return false;
	if (wants_alignment && for_chunk > 1)
		for_chunk += geo->cluster_align_blocks;
	longest = ag->longest ? ag->longest : ag->agfl_count > 0;
	return ag->free_blocks >= for_file + for_chunk && longest >= for_chunk;
}

/* The AGI stays locked across the roll: nobody else takes the inodes that were just made. */
static int roll_keeping(struct tx *tx, struct buffer *agi)
{
	int err;

	tx_buffer_hold(tx, agi);
	err = tx_roll(tx);
	/* Also when the roll has failed: it is the transaction's then, and let go of when that is cancelled. */
	tx_buffer_unhold(tx, agi);
	return err;
}

/* -EAGAIN: not in this AG. */
static int alloc_in_ag(struct tx *tx, struct ag *ag, struct inum parent, bool may_add_chunk, struct inum *out)
{
	struct buffer *agi;
	agino_t agino;
	int err;

	err = ag_read_agi(tx, ag, &agi);
	if (err)
		return err;
	if (!ag->free_inodes) {
		err = may_add_chunk ? ialloc_add_chunk(tx, ag, agi) : -EAGAIN;
		if (err)
			goto out_release;
		err = roll_keeping(tx, agi);
		if (err)
			return err;
	}
	err = ialloc_pick(tx, ag, agi, parent, &agino);
	if (!err)
		*out = inum_make(space_geometry(ag->space), ag->agno, agino);
	return err;

out_release:
	tx_buffer_release(tx, agi);
	return err;
}

int ialloc_alloc(struct tx *tx, struct space *space, struct inum parent, uint32_t mode, struct inum *out)
{
	agno_t ag_count = space_geometry(space)->ag_count, start = starting_ag(space, parent, mode);
	bool may_add_chunk = !ialloc_is_at_limit(space), is_low = false;

	if (is_space_low(space)) {
		is_low = may_add_chunk;
		may_add_chunk = false;
	}
	for (unsigned round = 0; round < 2; round++) {
		for (agno_t i = 0; i < ag_count; i++) {
			struct ag *ag = space_ag(space, (start + i) % ag_count);
			int err;

			if (!is_good_ag(ag, mode, may_add_chunk, round == 0))
				continue;
			err = alloc_in_ag(tx, ag, parent, may_add_chunk, out);
			if (err != -EAGAIN)
				return err;
			if (log_is_shutdown(tx_log(tx)))
				return -EIO;
		}
		may_add_chunk |= is_low;
	}
	return -ENOSPC;
}

void ialloc_count(struct tx *tx, struct ag *ag, struct buffer *agi, int32_t inodes, int32_t free_inodes)
{
	struct xfs_agi *header = agi->data;

	be32_add_cpu(&header->agi_count, inodes);
	be32_add_cpu(&header->agi_freecount, free_inodes);
	ag->inodes += (uint32_t)inodes;
	ag->free_inodes += (uint32_t)free_inodes;
	agi_log(tx, agi, inodes ? XFS_AGI_COUNT | XFS_AGI_FREECOUNT : XFS_AGI_FREECOUNT);
	tx_change_inode_counts(tx, inodes, free_inodes);
}
