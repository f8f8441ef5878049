// SPDX-License-Identifier: GPL-2.0
/*
 * Reservations of an AG's trees: blocks that must stay free in the AG, so that the trees that have to grow in it can.
 * (XFS: libxfs/xfs_ag_resv.c.)
 *
 *   metadata	refcountbt and finobt; their blocks come from free space and leave the counts on disk
 *   rmapbt	its blocks come from the AGFL and count as free on disk, so all of its reservation is hidden
 *
 * At mount what may still be needed is taken out of the free counter, so nobody is promised it.  From then on a block
 * that a tree takes comes out of its reservation as long as there is any.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/fault.h>
#include <userxfs/base/message.h>
#include <userxfs/space/ialloc.h>
#include <userxfs/space/refcount.h>
#include <userxfs/space/rmap.h>

#include "resv.h"

static struct ag_pool *pool_of(struct ag *ag, enum ag_reservation resv)
{
	switch (resv) {
	case AG_RESV_METADATA:
		return &ag->metadata;
	case AG_RESV_RMAPBT:
		return &ag->rmapbt;
	default:
		return NULL;
	}
}

uint32_t ag_resv_needed(struct ag *ag, enum ag_reservation resv)
{
	uint32_t needed = 0;

	if (resv != AG_RESV_METADATA)
		needed += ag->metadata.reserved;
	if (resv != AG_RESV_RMAPBT)
		needed += ag->rmapbt.reserved;
	return needed;
}

bool ag_resv_is_critical(struct ag *ag, enum ag_reservation resv)
{
	int64_t available = ag->free_blocks;
	uint32_t asked;

	switch (resv) {
	case AG_RESV_METADATA:
		available -= ag->rmapbt.reserved;
		asked = ag->metadata.asked;
		break;
	case AG_RESV_RMAPBT:
		available += (int64_t)ag->agfl_count - ag->metadata.reserved;
		asked = ag->rmapbt.asked;
		break;
	default:
		return false;
	}
	return available < asked / 10 || available < BTREE_MAX_LEVELS;
}

/* What a tree has taken beyond its reservation, which a volume that is too full does not have at all. */
static void pay_unreserved(struct tx *tx, struct ag *ag, uint32_t count)
{
	uint32_t own = (uint32_t)min_u64(count, tx_blocks_left(tx));

	tx_use_blocks(tx, own);
	if (count > own)
		space_take_overdue(ag->space, count - own);
}

void ag_resv_account_alloc(struct tx *tx, struct ag *ag, enum ag_reservation resv, uint32_t count)
{
	struct ag_pool *pool = pool_of(ag, resv);
	uint32_t paid;

	if (resv == AG_RESV_AGFL)
		return;
	if (!pool) {
		tx_use_blocks(tx, count);
		return;
	}
	paid = (uint32_t)min_u64(count, pool->reserved);
	pool->reserved -= paid;
	if (resv == AG_RESV_METADATA && count > paid)
		pay_unreserved(tx, ag, count - paid);
}

void ag_resv_account_free(struct tx *tx, struct ag *ag, enum ag_reservation resv, uint32_t count)
{
	struct ag_pool *pool = pool_of(ag, resv);
	uint32_t kept;

	if (resv == AG_RESV_AGFL)
		return;
	if (!pool) {
		tx_free_blocks(tx, count);
		return;
	}
	kept = (uint32_t)min_u64(count, pool->asked - pool->reserved);
	pool->reserved += kept;
	if (resv == AG_RESV_METADATA && count > kept)
		tx_free_blocks(tx, count - kept);
}

/* ---- at mount and unmount
 * --------------------------------------------------------------------------------------- */

/* @hidden blocks leave the free counter, even those of the pool. */
static int take_pool(struct ag *ag, struct ag_pool *pool, uint32_t asked, uint32_t used, bool hides_all)
{
	int err = -ENOSPC, fault_err;

	if (used > asked)
		asked = used;
	pool->hidden = hides_all ? asked : asked - used;
	if (!fault_hit(FAULT_ag_resv_fail, NULL, NULL, &fault_err))
		err = space_take(ag->space, pool->hidden, true);
	if (err) {
		msg_warning("AG %u: no space for its reservation of %u blocks; the volume may run out of space",
			    ag->agno, pool->hidden);
		pool->hidden = 0;
		return err;
	}
	pool->asked = asked;
	pool->reserved = asked - used;
	/* One extent can never be longer than what is left.  All AGs but the last are like the first. */
	if (ag->agno == 0)
		ag->space->ag_max_usable -= (uint32_t)min_u64(asked, ag->space->ag_max_usable - 1);
	return 0;
}

static int tree_sizes(struct ag *ag, uint32_t *finobt, uint32_t *refcountbt, uint32_t *rmapbt)
{
	struct buffer *agi, *agf;
	uint32_t inobt;
	int err;

	err = ag_read_agi(NULL, ag, &agi);
	if (err)
		return err;
	err = ialloc_count_blocks(ag, agi, &inobt, finobt);
	buffer_release(agi);
	if (err)
		return err;
	err = ag_read_agf(NULL, ag, false, &agf);
	if (err)
		return err;
	err = refcountbt_count_blocks(ag, agf, refcountbt);
	if (!err)
		err = rmapbt_count_blocks(ag, agf, rmapbt);
	buffer_release(agf);
	return err;
}

int ag_resv_start(struct ag *ag)
{
	const struct geometry *geo = ag->space->geo;
	uint32_t finobt = 0, refcountbt = 0, rmapbt = 0, finobt_max = finobt_max_blocks(geo, ag);
	uint32_t refcountbt_max = refcountbt_max_blocks(geo, ag), rmapbt_max = rmapbt_max_blocks(geo, ag);
	int err, short_of = 0;

	err = tree_sizes(ag, &finobt, &refcountbt, &rmapbt);
	if (err)
		return err;
	if (!geo->has_finobt)
		finobt = 0;
	if (take_pool(ag, &ag->metadata, finobt_max + refcountbt_max, finobt + refcountbt, false)) {
		/* Volumes made before the finobt had a reservation may not have the space for it. */
		ag->finobt_unreserved = geo->has_finobt;
		short_of = take_pool(ag, &ag->metadata, refcountbt_max, refcountbt, false);
	}
	if (take_pool(ag, &ag->rmapbt, rmapbt_max, rmapbt, true))
		short_of = -ENOSPC;
	if (ag->metadata.reserved + ag->rmapbt.reserved > ag->free_blocks + ag->agfl_count)
		short_of = -ENOSPC;
	return short_of;
}

void ag_resv_stop(struct ag *ag)
{
	/* What the trees have taken since is not in the reservation any more, nor is it free. */
	space_give(ag->space, ag->metadata.reserved);
	space_give(ag->space, ag->rmapbt.hidden);
	memset(&ag->metadata, 0, sizeof(ag->metadata));
	memset(&ag->rmapbt, 0, sizeof(ag->rmapbt));
}
