// SPDX-License-Identifier: GPL-2.0
/* The object of the room: allocation groups in memory, and what they all need. */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "busy.h"
#include "space_private.h"

/*
 * Per AG, 4 blocks for the AGFL of a full AG and 4 for a split of the map of the file that took the last block.
 * (XFS: xfs_alloc_set_aside.)
 */
#define SET_ASIDE_PER_AG 8

/* An AG's blocks less headers, AGFL and roots.  (XFS: xfs_alloc_ag_max_usable.) */
uint32_t space_max_usable(const struct geometry *geo)
{
	uint32_t headers = (uint32_t)div_round_up(4u << geo->sector_log, geo->block_bytes), agfl = 4, roots = 3;

	roots += geo->has_finobt + geo->has_rmapbt + geo->has_reflink;
	return geo->ag_blocks - headers - agfl - roots;
}

static void init_ag(struct space *space, agno_t agno)
{
	struct ag *ag = &space->ags[agno];

	ag->space = space;
	ag->agno = agno;
	ag->blocks = geometry_ag_blocks(space->geo, agno);
	geometry_agino_range(space->geo, agno, &ag->agino_first, &ag->agino_end);
	ag->last_search_parent = ag->last_search_left = ag->last_search_right = NULLAGINO;
	mutex_init(&ag->busy_lock, RANK_SPACE, agno, "busy extents");
}

int space_create(struct buffer_cache *cache, const struct geometry *geo, struct space **out)
{
	struct space *space;

	space = mem_alloc_zeroed(sizeof(*space));
	if (!space)
		return -ENOMEM;
	space->cache = cache;
	space->geo = geo;
	space->set_aside = (uint64_t)geo->ag_count * SET_ASIDE_PER_AG;
	space->ag_max_usable = space_max_usable(geo);
	space->ags = mem_alloc_zeroed(geo->ag_count * sizeof(*space->ags));
	if (!space->ags) {
		mem_free(space);
		return -ENOMEM;
	}
	mutex_init(&space->pool_lock, RANK_SPACE, geo->ag_count, "reserve pool");
	for (agno_t agno = 0; agno < geo->ag_count; agno++)
		init_ag(space, agno);
	*out = space;
	return 0;
}

void space_destroy(struct space *space)
{
	if (!space)
		return;
	for (agno_t agno = 0; agno < space->geo->ag_count; agno++) {
		busy_forget_all(&space->ags[agno]);
		mutex_deinit(&space->ags[agno].busy_lock);
	}
	mutex_deinit(&space->pool_lock);
	mem_free(space->ags);
	mem_free(space);
}

struct ag *space_ag(struct space *space, agno_t agno)
{
	ensure(agno < space->geo->ag_count);
	return &space->ags[agno];
}

struct log *space_log(struct space *space)
{
	return space->log;
}

struct buffer_cache *space_cache(struct space *space)
{
	return space->cache;
}

uint32_t space_max_extent_blocks(struct space *space)
{
	return space->ag_max_usable;
}

const struct geometry *space_geometry(struct space *space)
{
	return space->geo;
}

agno_t space_next_directory_ag(struct space *space)
{
	return atomic_fetch_add(&space->directory_rotor, 1) % space->geo->ag_count;
}
