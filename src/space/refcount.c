// SPDX-License-Identifier: GPL-2.0
/*
 * Changing reference counts.  (XFS: xfs_refcount_adjust, xfs_refcount_adjust_cow and what they call.)
 *
 *	range             |-------------------------|
 *	before     ---2-------| |-3--|-4-|      |-2------
 *	+1         -2-|----3--|2|-4--|-5-|--2---|-3-|-2--     gaps have one reference
 *	-1         -2-|          |-2-|-3-|          |-2--     gaps have none: their blocks are freed
 *
 * The range is worked off in pieces, each inside one record or one gap.  A piece leaves a head and a tail of its
 * record at the ends of the range only; there, too, it may have become like the record next to it and melt into it.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#include "refcountbt.h"

/* Log space that one more changed record may need besides the blocks (XFS: XFS_REFCOUNT_ITEM_OVERHEAD). */
#define CHANGE_LOG_BYTES 32

static const struct refcount_record no_record;

static void record_split(const struct refcount_record *rec, const struct refcount_record *part,
			 struct refcount_record *head, struct refcount_record *tail)
{
	*head = *tail = *rec;
	head->count = part->agblk - rec->agblk;
	tail->agblk = refcount_record_end(part);
	tail->count = refcount_record_end(rec) - tail->agblk;
}

/* Takes @part out of @rec. */
static int cut(struct btree_cursor *cur, const struct refcount_record *rec, const struct refcount_record *part)
{
	struct refcount_record head, tail;
	int err;

	record_split(rec, part, &head, &tail);
	if (!head.count)
		return tail.count ? refcountbt_replace(cur, rec, &tail) : refcountbt_delete(cur, rec);
	err = refcountbt_replace(cur, rec, &head);
	if (!err && tail.count)
		err = refcountbt_insert(cur, &tail);
	return err;
}

/* The records just before and behind @new that are like it; .count 0: none. */
static int find_left(struct btree_cursor *cur, const struct refcount_record *new, struct refcount_record *left)
{
	bool found;
	int err;

	*left = no_record;
	if (!new->agblk)
		return 0;
	err = refcountbt_find(cur, new->set, new->agblk - 1, left, &found);
	if (!err && (!found || refcount_record_end(left) != new->agblk || left->refs != new->refs))
		left->count = 0;
	return err;
}

static int find_right(struct btree_cursor *cur, const struct refcount_record *new, struct refcount_record *right)
{
	bool found;
	int err;

	*right = no_record;
	err = refcountbt_find(cur, new->set, refcount_record_end(new), right, &found);
	if (!err && (!found || right->agblk != refcount_record_end(new) || right->refs != new->refs))
		right->count = 0;
	return err;
}

/* Adds @new, in one record with @left and @right where present. */
static int put(struct btree_cursor *cur, const struct refcount_record *new, const struct refcount_record *left,
	       const struct refcount_record *right)
{
	struct refcount_record merged = *new;
	int err;

	merged.count += left->count + right->count;
	if (left->count) {
		merged.agblk = left->agblk;
		err = right->count ? refcountbt_delete(cur, right) : 0;
		return err ? err : refcountbt_replace(cur, left, &merged);
	}
	return right->count ? refcountbt_replace(cur, right, &merged) : refcountbt_insert(cur, &merged);
}

/* ---- shared blocks ---- */

/* A part of the range that is in one record or in none. */
struct piece {
	struct refcount_record rec;	/* the record it is in; .count 0: a gap */
	struct refcount_record part;	/* the part itself, with its new count of references */
	bool is_first, is_last;		/* of the range */
};

static int find_piece(struct btree_cursor *cur, agblk_t agblk, uint32_t count, struct piece *out)
{
	agblk_t end = agblk + count, stop = end;
	bool found;
	int err;

	err = refcountbt_find(cur, REFCOUNT_SHARED, agblk, &out->rec, &found);
	if (err)
		return err;
	if (found && out->rec.agblk <= agblk) {
		if (refcount_record_end(&out->rec) < end)
			stop = refcount_record_end(&out->rec);
	} else {
		if (found && out->rec.agblk < end)
			stop = out->rec.agblk;
		out->rec = no_record;
	}
	out->part = (struct refcount_record){
		.set = REFCOUNT_SHARED,
		.agblk = agblk,
		.count = stop - agblk,
		.refs = out->rec.count ? out->rec.refs : 1,
	};
	out->is_last = stop == end;
	return 0;
}

/* Whether changing @piece, as .part says, is no more than a new number in its record. */
static bool is_whole_record(const struct piece *piece)
{
	return piece->rec.count && piece->rec.agblk == piece->part.agblk && piece->rec.count == piece->part.count;
}

static bool has_head(const struct piece *piece)
{
	return piece->rec.count && piece->rec.agblk < piece->part.agblk;
}

static bool has_tail(const struct piece *piece)
{
	return piece->rec.count && refcount_record_end(&piece->rec) > refcount_record_end(&piece->part);
}

static int find_neighbours(struct btree_cursor *cur, const struct piece *piece, struct refcount_record *left,
			   struct refcount_record *right)
{
	int err = 0;

	*left = *right = no_record;
	if (piece->is_first && !has_head(piece))
		err = find_left(cur, &piece->part, left);
	if (!err && piece->is_last && !has_tail(piece))
		err = find_right(cur, &piece->part, right);
	return err;
}

/* Gives the blocks of @piece the references that .part says. *shape_changed: records were split or merged. */
static int set_references(struct btree_cursor *cur, const struct piece *piece, bool *shape_changed)
{
	struct refcount_record left = no_record, right = no_record;
	bool has_record = piece->part.refs > 1;
	int err = 0;

	if (has_record)
		err = find_neighbours(cur, piece, &left, &right);
	if (err)
		return err;
	*shape_changed |= left.count || right.count || has_head(piece) || has_tail(piece);
	if (has_record && is_whole_record(piece) && !left.count && !right.count)
		return refcountbt_replace(cur, &piece->rec, &piece->part);

	if (piece->rec.count)
		err = cut(cur, &piece->rec, &piece->part);
	if (!err && has_record)
		err = put(cur, &piece->part, &left, &right);
	return err;
}

static int adjust_piece(struct btree_cursor *cur, struct piece *piece, int delta, bool *shape_changed)
{
	static const struct rmap_owner done_by_caller = { .skip_update = true };
	struct ag *ag = cur->host;

	/* A count that has reached the maximum has lost track and stays. */
	if (piece->part.refs == MAXREFCOUNT)
		return 0;
	piece->part.refs += (uint32_t)delta;
	if (!piece->part.refs) {
		space_free_deferred(cur->tx, ag->space, fsblk_make(cur->geo, ag->agno, piece->part.agblk),
				    piece->part.count, &done_by_caller, AG_RESV_NONE, false);
		return 0;
	}
	return set_references(cur, piece, shape_changed);
}

/* Log blocks that a change of free space by one allocation and one freeing may touch (XFS:
 * xfs_allocfree_block_count). */
static uint64_t free_space_log_blocks(const struct geometry *geo)
{
	uint64_t blocks = 2 * (2ull * geo->bnobt.max_levels - 1);

	return blocks + (geo->has_rmapbt ? 2ull * geo->rmapbt.max_levels - 1 : 0);
}

/* The least of the reservations that transactions which change counts have. */
static uint32_t log_reservation(const struct btree_cursor *cur)
{
	const struct tx_reservations *res = log_reservations(tx_log(cur->tx));

	return (uint32_t)min_u64(res->write.log_bytes, res->truncate.log_bytes);
}

/* A guess: too large costs a roll, too small the volume.  The first change always fits. */
static bool has_log_space(const struct btree_cursor *cur, const struct refcount_budget *budget)
{
	const struct geometry *geo = cur->geo;
	uint64_t blocks = budget->shape_changes * free_space_log_blocks(geo) + geo->refcountbt.max_levels;
	uint64_t needed = (blocks << geo->block_log) + (uint64_t)budget->changes * CHANGE_LOG_BYTES;

	return !budget->changes || needed < log_reservation(cur);
}

int refcount_adjust(struct btree_cursor *cur, struct refcount_budget *budget, agblk_t *agblk, uint32_t *count,
		    int delta)
{
	struct piece piece = { .is_first = true };
	bool shape_changed = false;
	int err;

	while (*count && has_log_space(cur, budget)) {
		err = find_piece(cur, *agblk, *count, &piece);
		if (!err)
			err = adjust_piece(cur, &piece, delta, &shape_changed);
		if (err)
			return err;
		budget->changes++;
		*agblk += piece.part.count;
		*count -= piece.part.count;
		piece.is_first = false;
	}
	budget->shape_changes += shape_changed;
	return 0;
}

/* ---- staging blocks ---- */

int refcount_add_staging(struct btree_cursor *cur, agblk_t agblk, uint32_t count)
{
	struct refcount_record new = { .set = REFCOUNT_STAGING, .agblk = agblk, .count = count, .refs = 1 };
	struct refcount_record rec, left, right;
	bool found;
	int err;

	err = refcountbt_find(cur, REFCOUNT_STAGING, agblk, &rec, &found);
	if (err)
		return err;
	if (found && rec.agblk < refcount_record_end(&new))
		return refcountbt_complain(cur->host, &rec, "these blocks were just allocated");
	err = find_left(cur, &new, &left);
	if (!err)
		err = find_right(cur, &new, &right);
	return err ? err : put(cur, &new, &left, &right);
}

int refcount_remove_staging(struct btree_cursor *cur, agblk_t agblk, uint32_t count)
{
	struct refcount_record gone = { .set = REFCOUNT_STAGING, .agblk = agblk, .count = count, .refs = 1 };
	struct refcount_record rec;
	bool found;
	int err;

	err = refcountbt_find(cur, REFCOUNT_STAGING, agblk, &rec, &found);
	if (err)
		return err;
	if (!found || rec.agblk > agblk || refcount_record_end(&rec) < refcount_record_end(&gone))
		return refcountbt_complain(cur->host, &gone, "these blocks are not recorded as staging");
	return cut(cur, &rec, &gone);
}
