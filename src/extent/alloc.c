// SPDX-License-Identifier: GPL-2.0
/*
 * Choosing disk blocks.
 *
 * Target: the inode's own block, unless neighbours in the file give a better one.  Length: all of it if any AG has
 * such an extent, else the longest that some AG has.  Then, in this order: at the exact end of the file's last extent
 * and stripe-aligned (striped volumes, appending); near the target; any AG with the smallest length; any AG at all,
 * leaving nothing for what the transaction may still need.
 */
#include "alloc.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/fault.h>
#include <userxfs/space/alloc.h>

#include "edit.h"

#define PAGE_BYTES 4096u		/* smaller blocks are allocated by the page where possible */
#define DEFAULT_COW_HINT 32u		/* blocks (XFS_DEFAULT_COWEXTSZ_HINT) */
#define GAP_UNITS 4			/* a gap in the file up to so many times the length is left on disk too */

/* ---- hints ---- */

uint32_t map_hint(const struct file_map *map, enum fork_which which)
{
	if (which == FORK_COW)
		return map->cow_hint_blocks ? map->cow_hint_blocks : DEFAULT_COW_HINT;
	return which == FORK_DATA ? map->extent_hint_blocks : 0;
}

void hint_align(uint32_t hint, const struct extent *prev, const struct extent *next, fileblk_t *off, uint64_t *count)
{
	fileblk_t end = *off + *count, low = prev ? extent_end(prev) : 0, high = next ? next->off : UINT64_MAX;
	fileblk_t at = round_down_u64(*off, hint);
	uint64_t length = round_up_u64(end - at, hint);

	while (length > EXTENT_MAX_BLOCKS)
		length -= hint;
	/* Over a neighbour: move without changing the length, then, if it is too narrow there, cut. */
	if (at != *off && at < low)
		at = low;
	if (at + length != end && at + length > high)
		at = high > length ? high - length : 0;
	if (at != *off && at < low)
		at = low;
	if (at + length != end && at + length > high)
		length = high - at;
	*off = at;
	*count = length;
}

/* Fills req.mod and .prod; widens the range. */
static void apply_hint(const struct file_map *map, struct map_alloc *a, struct alloc_request *req)
{
	const struct geometry *geo = space_geometry(map->space);
	uint32_t hint = a->flags & MAP_METADATA ? 0 : map_hint(map, a->which);
	bool is_inside = a->has_next && a->off >= a->next.ext.off && a->off + a->count <= extent_end(&a->next.ext);

	if (hint && !is_inside && !(a->flags & MAP_CONVERT))
		hint_align(hint, a->has_prev ? &a->prev.ext : NULL, a->has_next ? &a->next.ext : NULL, &a->off,
			   &a->count);
	req->prod = hint ? hint : geo->block_bytes < PAGE_BYTES ? PAGE_BYTES >> geo->block_log : 1;
	req->mod = (uint32_t)(a->off % req->prod);
	if (req->mod)
		req->mod = req->prod - req->mod;
}

/* ---- target ---- */

static bool is_in_ag_of(const struct geometry *geo, uint64_t block, struct fsblk other)
{
	struct fsblk b = { block };

	return fsblk_agno(geo, b) == fsblk_agno(geo, other) && fsblk_agblk(geo, b) < geo->ag_blocks;
}

/* The block that continues @prev for a piece at @off; *distance says how good it is. */
static bool target_after(const struct geometry *geo, const struct extent *prev, fileblk_t off, uint64_t count,
			 struct fsblk *target, uint64_t *distance)
{
	uint64_t end = prev->start.v + prev->count, gap = off - extent_end(prev);

	if (!is_in_ag_of(geo, end, prev->start))
		return false;
	*distance = gap;
	if (gap <= GAP_UNITS * count && is_in_ag_of(geo, end + gap, prev->start))
		end += gap;
	else
		*distance += gap;
	*target = (struct fsblk){ end };
	return true;
}

static void target_before(const struct geometry *geo, const struct extent *next, fileblk_t off, uint64_t count,
			  struct fsblk *target, uint64_t *distance)
{
	uint64_t start = next->start.v, gap = next->off - off;

	*distance = gap;
	if (gap <= GAP_UNITS * count && is_in_ag_of(geo, start - gap, next->start)) {
		start -= gap;
	} else if (is_in_ag_of(geo, start - count, next->start)) {
		start -= count;
		*distance += gap - count;
	} else {
		*distance += gap;
	}
	*target = (struct fsblk){ start };
}

static struct fsblk choose_target(const struct geometry *geo, const struct file_map *map, const struct map_alloc *a)
{
	bool has_prev = a->has_prev && a->prev.ext.state != EXTENT_DELAYED;
	struct fsblk target = inum_to_fsblk(geo, map->ino), after = target, before;
	uint64_t after_distance = 0, before_distance;

	if (!a->has_next) {
		/* Appending: behind the last extent, with the file's gap if the AG has room for it. */
		uint64_t end, gap;

		if (!has_prev)
			return target;
		end = a->prev.ext.start.v + a->prev.ext.count;
		gap = a->off - extent_end(&a->prev.ext);
		if (!is_in_ag_of(geo, end, a->prev.ext.start))
			return target;
		return (struct fsblk){ is_in_ag_of(geo, end + gap, a->prev.ext.start) ? end + gap : end };
	}
	has_prev = has_prev && target_after(geo, &a->prev.ext, a->off, a->count, &after, &after_distance);
	if (a->next.ext.state == EXTENT_DELAYED)
		return has_prev ? after : target;
	target_before(geo, &a->next.ext, a->off, a->count, &before, &before_distance);
	return has_prev && after_distance <= before_distance ? after : before;
}

/* ---- length ---- */

uint32_t map_min_left(struct tx *tx, const struct file_map *map, enum fork_which which)
{
	const struct fork *fork = map_fork((struct file_map *)map, which);

	if (tx_highest_ag(tx) != AGNO_NONE)
		return 0;
	return fork->format == FORK_BTREE ? be16_to_cpu(fork->root->block.bb_level) + 1u : 1;
}

/* The longest extent to be had in any AG, asking no further than needed for @enough. */
static int find_longest(struct tx *tx, struct space *space, agno_t first, uint32_t enough, uint32_t *longest)
{
	const struct geometry *geo = tx_geometry(tx);

	*longest = 0;
	for (agno_t i = 0; i < geo->ag_count && *longest < enough; i++) {
		struct ag *ag = space_ag(space, (first + i) % geo->ag_count);

		if (!ag->agf_loaded) {
			struct buffer *agf;
			int err = ag_read_agf(tx, ag, true, &agf);

			if (err)
				return err;
			if (!agf)
				continue;
			tx_buffer_release(tx, agf);
		}
		*longest = (uint32_t)max_u64(*longest, ag_longest_free(ag, AG_RESV_NONE));
	}
	return 0;
}

static int choose_length(struct tx *tx, struct space *space, const struct map_alloc *a, struct alloc_request *req,
			 uint32_t *longest)
{
	int err;

	*longest = 0;
	if (tx_flags(tx) & TX_LOW_SPACE) {
		req->total = req->min_count = a->min_count;
		return 0;
	}
	req->total = a->total;
	err = find_longest(tx, space, fsblk_agno(tx_geometry(tx), req->target), req->max_count, longest);
	if (err)
		return err;
	/* Locked AGs were not asked: there may be more than was seen. */
	if (*longest < a->min_count)
		req->min_count = a->min_count;
	else
		req->min_count = (uint32_t)min_u64(*longest, req->max_count);
	return 0;
}

/* ---- attempts ---- */

/* Stripes matter for large pieces of file data behind everything else, or in the last delayed extent. */
static bool is_for_stripe(const struct file_map *map, const struct map_alloc *a)
{
	const struct fork *fork = map_fork((struct file_map *)map, a->which);
	uint32_t stripe = space_geometry(map->space)->stripe_unit_blocks;
	struct tree_cursor cur;
	struct irec last;

	if (!stripe || a->count < stripe || a->which == FORK_ATTR || a->flags & MAP_METADATA)
		return false;
	if (!tree_last(&fork->tree, &cur, &last) || a->off >= extent_end(&last.ext))
		return true;
	return a->off >= last.ext.off && last.ext.state == EXTENT_DELAYED;
}

/* Exactly behind the last extent, else aligned to stripes.  (XFS: xfs_bmap_btalloc_at_eof.) */
static int try_stripe(struct tx *tx, struct space *space, const struct map_alloc *a, struct alloc_request *req,
		      uint32_t longest, uint32_t stripe)
{
	uint32_t next_min;
	int err;

	if (a->off) {
		next_min = longest > stripe && longest <= req->max_count ? longest - stripe : req->min_count;
		/* What is asked for now must not be easier to get than what would be asked for next. */
		if (next_min + stripe > req->min_count + 1)
			req->alignment_slop = next_min + stripe - req->min_count - 1;
		req->how = ALLOC_EXACT;
		err = space_alloc(tx, space, req);
		if (err || !fsblk_is_none(req->start))
			return err;
		req->min_count = next_min;
	} else if (longest > stripe && longest <= req->max_count + stripe) {
		req->min_count = longest - stripe;
	}
	req->alignment = stripe;
	req->alignment_slop = 0;
	req->how = ALLOC_NEAR;
	err = space_alloc(tx, space, req);
	req->alignment = 1;
	return err;
}

/* (XFS: xfs_bmap_btalloc_low_space.) */
static int try_low_space(struct tx *tx, struct space *space, const struct map_alloc *a, struct alloc_request *req)
{
	int err;

	if (req->min_count > a->min_count) {
		req->min_count = a->min_count;
		err = space_alloc(tx, space, req);
		if (err || !fsblk_is_none(req->start))
			return err;
	}
	req->total = a->min_count;
	req->how = ALLOC_FIRST_AG;
	req->target = (struct fsblk){ 0 };
	err = space_alloc(tx, space, req);
	if (!err)
		tx_set_flags(tx, tx_flags(tx) | TX_LOW_SPACE);
	return err;
}

static int try_all(struct tx *tx, const struct file_map *map, struct map_alloc *a, struct alloc_request *req,
		   bool wants_stripe)
{
	const struct geometry *geo = tx_geometry(tx);
	uint32_t longest;
	int err;

	if (fault_hit(FAULT_bmap_alloc_minlen_extent, NULL, &(int64_t){ 0 }, &err) && a->min_count == 1) {
		req->how = ALLOC_FIRST_AG;
		req->target = (struct fsblk){ 0 };
		req->min_count = req->max_count = 1;
		req->total = a->total;
		return space_alloc(tx, map->space, req);
	}
	req->target = choose_target(geo, map, a);
	err = choose_length(tx, map->space, a, req, &longest);
	if (err)
		return err;
	if (wants_stripe && !(tx_flags(tx) & TX_LOW_SPACE)) {
		err = try_stripe(tx, map->space, a, req, longest, geo->stripe_unit_blocks);
		if (err || !fsblk_is_none(req->start))
			return err;
	}
	req->how = ALLOC_NEAR;
	err = space_alloc(tx, map->space, req);
	if (err || !fsblk_is_none(req->start))
		return err;
	return try_low_space(tx, map->space, a, req);
}

/* Blocks of the CoW fork stay counted as delayed until they are mapped into the data fork. */
static void account(struct tx *tx, struct file_map *map, const struct map_alloc *a)
{
	if (a->was_delayed)
		space_add_delayed(map->space, -(int64_t)a->count);
	if (a->which == FORK_COW) {
		if (!a->was_delayed)
			atomic_fetch_add(&map->delayed_blocks, a->count);
		return;
	}
	map->block_count += a->count;
	map_mark_dirty(tx, map, XFS_ILOG_CORE);
	if (a->was_delayed)
		atomic_fetch_sub(&map->delayed_blocks, a->count);
}

int map_alloc_blocks(struct tx *tx, struct file_map *map, struct map_alloc *a)
{
	struct alloc_request req = {
		.alignment = 1,
		.min_left = a->min_left,
		.owner = { .owner = map->ino.v, .is_attr_fork = a->which == FORK_ATTR, .skip_update = true },
		.resv = AG_RESV_NONE,
		.is_user_data = !(a->flags & MAP_METADATA),
		.start = FSBLK_NONE,
	};
	bool wants_stripe = is_for_stripe(map, a);
	fileblk_t asked_off = a->off;
	uint64_t asked_count = a->count;
	uint32_t lent;
	int err;

	ensure(a->count && a->count <= EXTENT_MAX_BLOCKS);
	a->start = FSBLK_NONE;
	apply_hint(map, a, &req);
	req.max_count = lent = (uint32_t)min_u64(a->count, space_max_extent_blocks(map->space));
	if (a->was_delayed)
		tx_unuse_blocks(tx, lent);
	err = try_all(tx, map, a, &req, wants_stripe);
	if (a->was_delayed)
		tx_use_blocks(tx, lent - (err || fsblk_is_none(req.start) ? 0 : req.count));
	if (err || fsblk_is_none(req.start))
		return err;

	a->start = req.start;
	a->count = req.count;
	/* A widened range that was only had in part must still cover as much as possible of what was asked. */
	if (a->count <= asked_count)
		a->off = asked_off;
	else if (a->off + a->count < asked_off + asked_count)
		a->off = asked_off + asked_count - a->count;
	account(tx, map, a);
	return 0;
}
