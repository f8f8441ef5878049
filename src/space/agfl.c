// SPDX-License-Identifier: GPL-2.0
/*
 * The AGFL: a ring of free blocks in a sector of its own, from which the free-space trees and the reverse map take
 * their blocks, because an allocation for the trees inside an allocation would never end.  (XFS:
 * xfs_alloc_fix_freelist, xfs_alloc_get_freelist, xfs_alloc_put_freelist.)
 *
 * Before anything in the AG's trees changes, the ring is brought to the length that the worst case of the change
 * needs; so it never runs empty inside of one.  Blocks in it count as free.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/space/rmap.h>

#include "alloc_private.h"

enum { AGFL_SECTOR = 3 };		/* of an AG */

const struct rmap_owner rmap_owner_ag = { .owner = XFS_RMAP_OWN_AG };

static uint32_t ring_next(const struct geometry *geo, uint32_t index)
{
	return index + 1 == agfl_slots(geo) ? 0 : index + 1;
}

/* The AGF describes a ring that can be: the verifier has checked each field, not how they fit. */
static int check_ring(const struct ag *ag, const struct xfs_agf *agf)
{
	uint32_t size = agfl_slots(ag->space->geo), first = be32_to_cpu(agf->agf_flfirst);
	uint32_t last = be32_to_cpu(agf->agf_fllast), count = be32_to_cpu(agf->agf_flcount), active = 0;

	if (first < size && last < size && count <= size) {
		if (count)
			active = last >= first ? last - first + 1 : size - first + last + 1;
		if (active == count)
			return 0;
	}
	msg_error("AG %u: its AGFL is inconsistent (first %u, last %u, count %u); run xfs_repair", ag->agno, first,
		  last, count);
	return -EFSCORRUPTED;
}

static int read_agfl(struct tx *tx, struct ag *ag, struct buffer **out)
{
	const struct geometry *geo = ag->space->geo;

	return tx_buffer_read(tx, ag_header_daddr(geo, ag->agno, AGFL_SECTOR), geo->sector_bytes >> SECTOR_UNIT_LOG,
			      &block_agfl, out);
}

static __be32 *ring_slots(struct buffer *agfl)
{
	return (__be32 *)(void *)((char *)agfl->data + sizeof(struct xfs_agfl));
}

static void count_ring(struct tx *tx, struct ag *ag, struct buffer *buf, int by, bool for_btree, uint32_t fields)
{
	struct xfs_agf *agf = buf->data;

	be32_add_cpu(&agf->agf_flcount, by);
	ag->agfl_count = be32_to_cpu(agf->agf_flcount);
	if (for_btree) {
		be32_add_cpu(&agf->agf_btreeblks, -by);
		ag->btree_blocks = be32_to_cpu(agf->agf_btreeblks);
		fields |= XFS_AGF_BTREEBLKS;
	}
	agf_log(tx, buf, fields | XFS_AGF_FLCOUNT);
}

int agfl_first(struct tx *tx, struct ag *ag, struct buffer *buf, agblk_t *out)
{
	struct xfs_agf *agf = buf->data;
	struct buffer *agfl;
	agblk_t agblk;
	int err;

	err = check_ring(ag, agf);
	if (err)
		return err;
	if (!agf->agf_flcount) {
		*out = AGBLK_NONE;
		return 0;
	}
	err = read_agfl(tx, ag, &agfl);
	if (err)
		return err;
	agblk = be32_to_cpu(ring_slots(agfl)[be32_to_cpu(agf->agf_flfirst)]);
	tx_buffer_release(tx, agfl);
	if (!geometry_is_valid_agblk(ag->space->geo, ag->agno, agblk)) {
		msg_error("AG %u: block %u in its AGFL is impossible", ag->agno, agblk);
		return -EFSCORRUPTED;
	}
	*out = agblk;
	return 0;
}

int agfl_take(struct tx *tx, struct ag *ag, struct buffer *buf, agblk_t *out, bool for_btree)
{
	struct xfs_agf *agf = buf->data;
	agblk_t agblk;
	int err;

	err = agfl_first(tx, ag, buf, &agblk);
	if (!err && agblk != AGBLK_NONE && for_btree)
		err = busy_reuse(ag, agblk, 1);
	/* Busy extents in the AGFL are blocks that trees have given back one by one. */
	if (err == -EAGAIN)
		return freespace_complain(ag, (struct free_extent){ agblk, 1 }, "freed while it was in the AGFL");
	if (err)
		return err;
	if (agblk != AGBLK_NONE) {
		agf->agf_flfirst = cpu_to_be32(ring_next(ag->space->geo, be32_to_cpu(agf->agf_flfirst)));
		count_ring(tx, ag, buf, -1, for_btree, XFS_AGF_FLFIRST);
	}
	*out = agblk;
	return 0;
}

int agfl_put(struct tx *tx, struct ag *ag, struct buffer *buf, agblk_t agblk, bool for_btree)
{
	struct xfs_agf *agf = buf->data;
	struct buffer *agfl;
	uint32_t last, off;
	int err;

	err = check_ring(ag, agf);
	if (err)
		return err;
	if (be32_to_cpu(agf->agf_flcount) == agfl_slots(ag->space->geo)) {
		msg_error("AG %u: its AGFL is full", ag->agno);
		return -EFSCORRUPTED;
	}
	err = read_agfl(tx, ag, &agfl);
	if (err)
		return err;
	last = ring_next(ag->space->geo, be32_to_cpu(agf->agf_fllast));
	agf->agf_fllast = cpu_to_be32(last);
	count_ring(tx, ag, buf, 1, for_btree, XFS_AGF_FLLAST);

	ring_slots(agfl)[last] = cpu_to_be32(agblk);
	off = (uint32_t)((char *)&ring_slots(agfl)[last] - (char *)agfl->data);
	tx_buffer_log(tx, agfl, off, off + (uint32_t)sizeof(__be32));
	if (for_btree)
		busy_insert(tx, ag, agblk, 1);
	return 0;
}

/* ---- how long it has to be
 * -------------------------------------------------------------------------------------- */

/*
 * A change splits every level and adds one; refilling the AGFL afterwards splits every level below the new root once
 * more.  A tree of the greatest height cannot get another level.
 */
static uint32_t tree_need(uint32_t level, uint32_t max_levels)
{
	return (uint32_t)min_u64(level + 1, max_levels) * 2 - 2;
}

uint32_t ag_min_agfl(struct ag *ag)
{
	const struct geometry *geo = ag->space->geo;
	uint32_t need;

	need = tree_need(ag->bno_level ? ag->bno_level : 1, geo->bnobt.max_levels) +
	       tree_need(ag->cnt_level ? ag->cnt_level : 1, geo->cntbt.max_levels);
	if (geo->has_rmapbt)
		need += tree_need(ag->rmap_level ? ag->rmap_level : 1, geo->rmapbt.max_levels);
	return need;
}

/* What can be had in one piece when the AGFL takes its share and reservations of others stay possible. */
static uint32_t longest_free(struct ag *ag, uint32_t agfl_need, uint32_t reserved)
{
	uint32_t longest = ag->longest, free = ag->free_blocks, agfl = ag->agfl_count, less = 0;
	uint32_t elsewhere = free > longest ? free - longest : 0;

	if (agfl_need > agfl)
		less = agfl_need - agfl;
	if (elsewhere < reserved)
		less += reserved - elsewhere;
	if (longest > less)
		return (uint32_t)min_u64(ag->space->ag_max_usable, longest - less);
	return agfl > 0 || longest > 0;
}

uint32_t ag_longest_free(struct ag *ag, enum ag_reservation resv)
{
	return longest_free(ag, ag_min_agfl(ag), ag_resv_needed(ag, resv));
}

/* @is_final: the AGF is locked and the numbers are true; .max_count is lowered to what there is. */
static bool has_room(struct alloc *a, uint32_t agfl_need, bool is_final)
{
	uint64_t wanted = (uint64_t)a->min_count + a->alignment - 1 + a->alignment_slop;
	uint32_t reserved;
	int64_t available;

	if (a->is_freeing)
		return true;
	reserved = ag_resv_needed(a->ag, a->resv);
	if (longest_free(a->ag, agfl_need, reserved) < wanted)
		return false;
	/* Blocks that the AGFL has too many are about to be freed, not to be had. */
	available = (int64_t)a->ag->free_blocks + (int64_t)min_u64(a->ag->agfl_count, agfl_need) - reserved -
		    agfl_need - a->min_left;
	if (available < (int64_t)max_u64(a->total, wanted))
		return false;
	if (is_final && available < (int64_t)a->max_count)
		a->max_count = (uint32_t)available;
	return true;
}

/* ---- bringing it there
 * ------------------------------------------------------------------------------------------ */

static int shorten(struct tx *tx, struct ag *ag, struct buffer *agf, uint32_t need)
{
	while (ag->agfl_count > need) {
		agblk_t agblk;
		int err;

		err = agfl_take(tx, ag, agf, &agblk, false);
		if (err)
			return err;
		agfl_free_deferred(tx, ag, agblk);
	}
	return 0;
}

/* *enough: it is as long as it should be. */
static int lengthen(struct tx *tx, struct ag *ag, struct buffer *agf, uint32_t need, bool is_freeing, bool *enough)
{
	int err = 0;

	while (ag->agfl_count < need) {
		struct alloc a = { .tx = tx, .ag = ag, .agf = agf, .resv = AG_RESV_AGFL, .min_count = 1,
				   .max_count = need - ag->agfl_count, .alignment = 1, .is_freeing = is_freeing };

		err = alloc_by_size(&a);
		if (err || a.start == AGBLK_NONE)
			break;
		err = rmap_add(tx, ag, agf, a.start, a.count, &rmap_owner_ag);
		if (!err)
			err = agf_change_free_blocks(tx, ag, agf, -(int64_t)a.count);
		for (uint32_t i = 0; !err && i < a.count; i++)
			err = agfl_put(tx, ag, agf, a.start + i, false);
		if (err)
			break;
	}
	*enough = ag->agfl_count >= need;
	return err;
}

int alloc_prepare_ag(struct alloc *a)
{
	struct buffer *agf = NULL;
	uint32_t need;
	bool enough;
	int err;

	a->agf = NULL;
	alloc_fail(a);
	/* By the summaries, without the lock, when they are known. */
	if (a->ag->agf_loaded && !has_room(a, ag_min_agfl(a->ag), false))
		return 0;
	err = ag_read_agf(a->tx, a->ag, a->is_trylock, &agf);
	if (err || !agf)
		return err;
	need = ag_min_agfl(a->ag);
	if (!has_room(a, need, true)) {
		tx_buffer_release(a->tx, agf);
		return 0;
	}
	err = shorten(a->tx, a->ag, agf, need);
	if (!err)
		err = lengthen(a->tx, a->ag, agf, need, a->is_freeing, &enough);
	if (!err && (enough || a->is_freeing))
		a->agf = agf;
	return err;
}

int ag_fix_agfl(struct tx *tx, struct ag *ag, struct buffer *agf)
{
	uint32_t need = ag_min_agfl(ag);
	bool enough;
	int err;

	err = shorten(tx, ag, agf, need);
	return err ? err : lengthen(tx, ag, agf, need, true, &enough);
}

int agfl_verify(struct ag *ag, struct buffer *buf, uint8_t *seen)
{
	const struct geometry *geo = ag->space->geo;
	const struct xfs_agf *agf = buf->data;
	struct buffer *agfl;
	uint32_t index;
	int err;

	err = check_ring(ag, agf);
	if (!err)
		err = buffer_read(ag->space->cache, ag_header_daddr(geo, ag->agno, AGFL_SECTOR),
				  geo->sector_bytes >> SECTOR_UNIT_LOG, &block_agfl, &agfl);
	if (err)
		return err;
	index = be32_to_cpu(agf->agf_flfirst);
	for (uint32_t i = 0; !err && i < be32_to_cpu(agf->agf_flcount); i++, index = ring_next(geo, index)) {
		struct free_extent e = { be32_to_cpu(ring_slots(agfl)[index]), 1 };

		if (!geometry_is_valid_agblk(geo, ag->agno, e.start) || seen[e.start]++)
			err = freespace_complain(ag, e, "it should not be in the AGFL");
	}
	buffer_release(agfl);
	return err;
}
