// SPDX-License-Identifier: GPL-2.0
/*
 * The volume's counters.  (XFS: xfs_dec_freecounter, xfs_add_freecounter, xfs_reserve_blocks, xfs_fs_statfs.)
 *
 * Every block that somebody was promised has left the free counter.  It may not sink below what is set aside and the
 * blocks of the free-space trees, which count as free on disk but cannot be had.  Those allowed to, may dip into the
 * reserve pool then; what comes back fills the pool first.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "space_private.h"

#define MAX_INODE_NUMBER ((1ull << 56) - 1)	/* XFS: XFS_MAXINUMBER */

int64_t space_unavailable(const struct space *space)
{
	return (int64_t)space->set_aside + atomic_load(&space->btree_blocks);
}

static bool take_free(struct space *space, uint64_t blocks)
{
	int64_t unavailable = space_unavailable(space), before = atomic_load(&space->free_blocks);

	do {
		if (before < unavailable || (uint64_t)(before - unavailable) < blocks)
			return false;
	} while (!atomic_compare_exchange_weak(&space->free_blocks, &before, before - (int64_t)blocks));
	return true;
}

static bool take_from_pool(struct space *space, uint64_t blocks)
{
	uint64_t missing;
	bool has_enough;

	mutex_lock(&space->pool_lock);
	missing = atomic_load(&space->pool_missing);
	has_enough = space->pool_blocks - missing >= blocks;
	if (has_enough)
		atomic_store(&space->pool_missing, missing + blocks);
	mutex_unlock(&space->pool_lock);
	return has_enough;
}

int space_take(struct space *space, uint64_t blocks, bool use_pool)
{
	if (take_free(space, blocks))
		return 0;
	if (use_pool && take_from_pool(space, blocks))
		return 0;
	return -ENOSPC;
}

void space_take_overdue(struct space *space, uint64_t blocks)
{
	if (space_take(space, blocks, true))
		atomic_fetch_sub(&space->free_blocks, (int64_t)blocks);
}

void space_give(struct space *space, uint64_t blocks)
{
	if (atomic_load(&space->pool_missing) > 0) {
		uint64_t missing, refill;

		mutex_lock(&space->pool_lock);
		missing = atomic_load(&space->pool_missing);
		refill = min_u64(missing, blocks);
		atomic_store(&space->pool_missing, missing - refill);
		mutex_unlock(&space->pool_lock);
		blocks -= refill;
	}
	if (blocks)
		atomic_fetch_add(&space->free_blocks, (int64_t)blocks);
}

int space_set_pool(struct space *space, uint64_t blocks)
{
	uint64_t surplus = 0, wanted = 0, available;

	mutex_lock(&space->pool_lock);
	available = space->pool_blocks - atomic_load(&space->pool_missing);
	if (blocks < available)
		surplus = available - blocks;
	else
		wanted = blocks - available;
	space->pool_blocks = blocks;
	atomic_store(&space->pool_missing, wanted);
	mutex_unlock(&space->pool_lock);

	if (surplus)
		atomic_fetch_add(&space->free_blocks, (int64_t)surplus);
	/* As much as there is, at once; the rest as it comes back. */
	if (wanted) {
		int64_t spare = atomic_load(&space->free_blocks) - space_unavailable(space);
		uint64_t part = spare > 0 ? min_u64(wanted, (uint64_t)spare) : 0;

		if (part && take_free(space, part))
			space_give(space, part);
	}
	return 0;
}

void space_add_delayed(struct space *space, int64_t blocks)
{
	int64_t before = atomic_fetch_add(&space->delayed_blocks, blocks);

	ensure(before + blocks >= 0);
}

uint64_t space_low_threshold(struct space *space, unsigned percent)
{
	return space->geo->blocks / 100 * percent;
}

static uint64_t not_negative(int64_t v)
{
	return v < 0 ? 0 : (uint64_t)v;
}

/* Inodes that there could be, if all free space became inodes; never less than there are. */
static uint64_t possible_inodes(const struct space *space, uint64_t free_blocks, uint64_t allocated)
{
	const struct geometry *geo = space->geo;
	uint64_t inodes = min_u64(allocated + (free_blocks << geo->inopb_log), MAX_INODE_NUMBER);

	if (geo->max_inodes)
		inodes = min_u64(inodes, geo->max_inodes);
	return max_u64(inodes, allocated);
}

void space_counts(struct space *space, struct space_counts *out)
{
	const struct geometry *geo = space->geo;
	int64_t raw = atomic_load(&space->free_blocks), used_inodes;

	out->blocks = geo->blocks - (geo->has_external_log ? 0 : geo->log_blocks);
	out->raw_free_blocks = not_negative(raw);
	out->free_blocks = not_negative(raw - space_unavailable(space));
	out->delayed_blocks = not_negative(atomic_load(&space->delayed_blocks));
	out->allocated_inodes = not_negative(atomic_load(&space->inodes));
	out->inodes = possible_inodes(space, out->free_blocks, out->allocated_inodes);
	used_inodes = (int64_t)out->allocated_inodes - atomic_load(&space->free_inodes);
	out->free_inodes = not_negative((int64_t)out->inodes - used_inodes);
	mutex_lock(&space->pool_lock);
	out->pool_blocks = space->pool_blocks;
	out->pool_available = space->pool_blocks - atomic_load(&space->pool_missing);
	mutex_unlock(&space->pool_lock);
}

/* ---- for transactions
 * ------------------------------------------------------------------------------------------- */

static int tx_reserve(void *context, uint64_t blocks, bool use_pool)
{
	return space_take(context, blocks, use_pool);
}

static void tx_unreserve(void *context, uint64_t blocks)
{
	space_give(context, blocks);
}

static void tx_apply(void *context, const struct tx_deltas *deltas)
{
	struct space *space = context;

	ensure(deltas->freed_blocks >= 0);
	if (deltas->freed_blocks)
		space_give(space, (uint64_t)deltas->freed_blocks);
	atomic_fetch_add(&space->inodes, deltas->icount);
	atomic_fetch_add(&space->free_inodes, deltas->ifree);
}

const struct tx_space_ops space_tx_ops = {
	.reserve = tx_reserve,
	.unreserve = tx_unreserve,
	.apply = tx_apply,
};
