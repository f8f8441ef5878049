// SPDX-License-Identifier: GPL-2.0
/* Freeing blocks at once.  (XFS: __xfs_free_extent, xfs_free_ag_extent.) */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/space/rmap.h>

#include "alloc_private.h"

int free_extent_in_ag(struct tx *tx, struct ag *ag, struct buffer *agf, struct free_extent extent,
		      const struct rmap_owner *owner, enum ag_reservation resv)
{
	int err = 0;

	if (!owner->skip_update)
		err = rmap_remove(tx, ag, agf, extent.start, extent.count, owner);
	if (!err)
		err = freespace_add(tx, ag, agf, extent);
	if (!err)
		err = agf_change_free_blocks(tx, ag, agf, extent.count);
	if (!err)
		ag_resv_account_free(tx, ag, resv, extent.count);
	return err;
}

int free_extent_try(struct tx *tx, struct space *space, struct fsblk start, uint32_t count,
		    const struct rmap_owner *owner, enum ag_reservation resv)
{
	const struct geometry *geo = space->geo;
	struct free_extent extent = { fsblk_agblk(geo, start), count };
	struct buffer *agf;
	struct ag *ag;
	int err;

	if (!geometry_is_valid_extent(geo, start, count)) {
		msg_error("AG %u: blocks %u+%u cannot be freed: they are no data blocks", fsblk_agno(geo, start),
			  extent.start, count);
		return -EFSCORRUPTED;
	}
	ag = space_ag(space, fsblk_agno(geo, start));
	err = ag_read_agf(tx, ag, false, &agf);
	if (!err)
		err = ag_fix_agfl(tx, ag, agf);
	if (!err)
		err = free_extent_in_ag(tx, ag, agf, extent, owner, resv);
	if (!err)
		busy_insert(tx, ag, extent.start, extent.count);
	return err;
}

int space_free(struct tx *tx, struct space *space, struct fsblk start, uint32_t count, const struct rmap_owner *owner,
	       enum ag_reservation resv)
{
	return free_extent_try(tx, space, start, count, owner, resv);
}
