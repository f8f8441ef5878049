// SPDX-License-Identifier: GPL-2.0
/*
 * Written blocks become unwritten or the other way round in the reverse map.  (XFS: xfs_rmap_convert,
 * xfs_rmap_convert_shared.)
 *
 *	before    |  left   |      old        |  right  |     left and right: in the new state, touching the part
 *	                    |head|part   |tail|
 *	after     |  left   |head|  new  |tail|  right  |
 *
 * With an empty head the part melts into left, if that is there, with an empty tail into right.
 */
#include <userxfs/base/error.h>

#include "rmapbt.h"

static bool holds(const struct rmap_record *rec, const struct rmap_record *part)
{
	return rec->owner == part->owner && rec->agblk <= part->agblk &&
	       part->agblk - rec->agblk == part->off - rec->off &&
	       (uint64_t)rec->agblk + rec->count >= (uint64_t)part->agblk + part->count;
}

/* The record in the old state that holds @part. */
static int find_old(struct btree_cursor *cur, const struct rmap_record *part, bool is_shared, struct rmap_record *old)
{
	bool found;
	int err;

	err = is_shared ? rmapbt_find_covering(cur, part, old, &found) : rmapbt_find_le(cur, part, old, &found);
	if (err)
		return err;
	if (!found || !holds(old, part) || old->flags != (part->flags ^ RMAP_UNWRITTEN))
		return rmapbt_complain(cur->host, part, "is not mapped as a whole in the other state");
	return 0;
}

/* What is left of @old before and behind @part; .count 0 for nothing. */
static void split(const struct rmap_record *old, const struct rmap_record *part, struct rmap_record *head,
		  struct rmap_record *tail)
{
	*head = *tail = *old;
	head->count = part->agblk - old->agblk;
	tail->agblk = part->agblk + part->count;
	tail->off = part->off + part->count;
	tail->count = old->count - head->count - part->count;
}

/* Puts @merged, made of @part and of those of @left and @right that are present, in their place. */
static int put_new(struct btree_cursor *cur, const struct rmap_record *part, const struct rmap_record *left,
		   const struct rmap_record *right)
{
	struct rmap_record merged = left->count ? *left : *part;
	int err;

	merged.count = left->count + part->count + right->count;
	if (left->count) {
		err = right->count ? rmapbt_delete(cur, right) : 0;
		return err ? err : rmapbt_replace(cur, left, &merged);
	}
	return right->count ? rmapbt_replace(cur, right, &merged) : rmapbt_insert(cur, &merged);
}

int rmap_convert(struct btree_cursor *cur, const struct rmap_record *part, bool is_shared)
{
	struct rmap_record old, head, tail, left, right;
	int err;

	err = find_old(cur, part, is_shared, &old);
	if (!err)
		err = rmap_find_neighbours(cur, part, &left, &right);
	if (err)
		return err;
	split(&old, part, &head, &tail);

	/* The whole of a lone record only changes its state. */
	if (!head.count && !tail.count && !left.count && !right.count)
		return rmapbt_replace(cur, &old, part);

	if (head.count)
		err = rmapbt_replace(cur, &old, &head);
	else if (tail.count)
		err = rmapbt_replace(cur, &old, &tail);
	else
		err = rmapbt_delete(cur, &old);
	if (!err && head.count && tail.count)
		err = rmapbt_insert(cur, &tail);
	if (!err)
		err = put_new(cur, part, &left, &right);
	return err;
}
