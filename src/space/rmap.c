// SPDX-License-Identifier: GPL-2.0
/*
 * Mapping and unmapping blocks in the reverse map.  (XFS: xfs_rmap_map, xfs_rmap_unmap and their shared variants,
 * xfs_rmap_alloc, xfs_rmap_free.)
 *
 * Adjacent blocks of one owner are one record, if they are adjacent in the file, too, and alike in fork and state.
 *
 * Where a block can have one owner only, the neighbours of a record are its neighbours in the tree.  Blocks of files
 * that share have several, and the records of one file must be searched for among those of the others.
 */
#include <userxfs/base/error.h>

#include "rmapbt.h"

static bool is_alike(const struct rmap_record *a, const struct rmap_record *b)
{
	return a->owner == b->owner && a->flags == b->flags;
}

/* @right goes on where @left ends, on disk and in the file. */
static bool is_continued_by(const struct rmap_record *left, const struct rmap_record *right)
{
	if (!is_alike(left, right) || left->agblk + left->count != right->agblk)
		return false;
	return rmap_has_no_offset(left->owner, left->flags) || left->off + left->count == right->off;
}

/* ---- map ---- */


static int find_right(struct btree_cursor *cur, const struct rmap_record *new, struct rmap_record *right)
{
	struct rmap_record key = *new;
	bool found;
	int err;

	key.agblk += new->count;
	if (!rmap_has_no_offset(new->owner, new->flags))
		key.off += new->count;
	err = rmapbt_find_eq(cur, &key, right, &found);
	if (!err && (!found || !is_continued_by(new, right)))
		right->count = 0;
	return err;
}

static int find_left(struct btree_cursor *cur, const struct rmap_record *new, struct rmap_record *left)
{
	struct rmap_record key = *new;
	bool has_offset = !rmap_has_no_offset(new->owner, new->flags), found = false;
	int err = 0;

	left->count = 0;
	if (!new->agblk || (has_offset && !new->off))
		return 0;
	key.agblk--;
	if (has_offset)
		key.off--;
	err = rmapbt_find_covering(cur, &key, left, &found);
	if (!err && (!found || !is_continued_by(left, new)))
		left->count = 0;
	return err;
}

int rmap_find_neighbours(struct btree_cursor *cur, const struct rmap_record *new, struct rmap_record *left,
				struct rmap_record *right)
{
	int err = find_left(cur, new, left);

	return err ? err : find_right(cur, new, right);
}

/* Neighbours in the tree, which also shows blocks that somebody has already. */
static int find_tree_neighbours(struct btree_cursor *cur, const struct rmap_record *new, struct rmap_record *left,
			   struct rmap_record *right)
{
	bool found;
	int err;

	err = rmapbt_find_le(cur, new, left, &found);
	if (err)
		return err;
	if (found && is_alike(left, new) && left->agblk + left->count > new->agblk)
		return rmapbt_complain(cur->host, new, "is mapped already");
	if (!found || !is_continued_by(left, new))
		left->count = 0;

	err = btree_increment(cur, 0, &found);
	if (!err && found)
		err = rmapbt_get(cur, right, &found);
	if (err)
		return err;
	if (found && new->agblk + new->count > right->agblk)
		return rmapbt_complain(cur->host, new, "has another owner already");
	if (!found || !is_continued_by(new, right))
		right->count = 0;
	return 0;
}

int rmap_map(struct btree_cursor *cur, const struct rmap_record *new, bool is_shared)
{
	struct rmap_record left, right, merged;
	int err;

	err = is_shared ? rmap_find_neighbours(cur, new, &left, &right) :
			  find_tree_neighbours(cur, new, &left, &right);
	if (err)
		return err;
	if (left.count) {
		merged = left;
		merged.count += new->count + right.count;
		err = right.count ? rmapbt_delete(cur, &right) : 0;
		return err ? err : rmapbt_replace(cur, &left, &merged);
	}
	if (right.count) {
		merged = *new;
		merged.count += right.count;
		return rmapbt_replace(cur, &right, &merged);
	}
	return rmapbt_insert(cur, new);
}

/* ---- unmap ---- */

/*
 * Whether there is nothing to do: freeing on behalf of an EFI found in the log, whose owner nobody knows, may come
 * after the blocks were unmapped.  @left: the last record at or before the blocks.  The cursor is on it.
 */
static int is_unmapped_already(struct btree_cursor *cur, const struct rmap_record *gone,
			       const struct rmap_record *left, bool *out)
{
	struct rmap_record right;
	bool found;
	int err;

	*out = false;
	if (gone->owner != XFS_RMAP_OWN_UNKNOWN || left->agblk + left->count > gone->agblk)
		return 0;
	err = btree_increment(cur, 0, &found);
	if (!err && found)
		err = rmapbt_get(cur, &right, &found);
	if (!err)
		*out = !found || right.agblk >= gone->agblk + gone->count;
	return err;
}

/* NULL or what contradicts that @gone is a part of @rec. */
static const char *part_verify(const struct rmap_record *rec, const struct rmap_record *gone)
{
	if (rec->agblk > gone->agblk || rec->agblk + rec->count < gone->agblk + gone->count)
		return "is not mapped as a whole";
	if (gone->owner == XFS_RMAP_OWN_UNKNOWN)
		return NULL;
	if (rec->owner != gone->owner)
		return "has another owner";
	if ((rec->flags ^ gone->flags) & RMAP_UNWRITTEN)
		return "is in the other state";
	if ((rec->flags ^ gone->flags) & (RMAP_ATTR_FORK | RMAP_BMBT_BLOCK))
		return "is of another fork";
	if (!rmap_has_no_offset(gone->owner, gone->flags) && gone->off - rec->off != gone->agblk - rec->agblk)
		return "is at another offset";
	return NULL;
}

/* Takes [@agblk, @agblk + @count) out of @rec. */
static int cut(struct btree_cursor *cur, const struct rmap_record *rec, agblk_t agblk, uint32_t count)
{
	struct rmap_record head = *rec, tail = *rec;
	int err;

	head.count = agblk - rec->agblk;
	tail.agblk = agblk + count;
	tail.count = rec->count - head.count - count;
	if (!rmap_has_no_offset(rec->owner, rec->flags))
		tail.off += head.count + count;

	if (!head.count && !tail.count)
		return rmapbt_delete(cur, rec);
	if (!head.count)
		return rmapbt_replace(cur, rec, &tail);
	err = rmapbt_replace(cur, rec, &head);
	if (err || !tail.count)
		return err;
	return rmapbt_insert(cur, &tail);
}

int rmap_unmap(struct btree_cursor *cur, const struct rmap_record *gone, bool is_shared)
{
	struct rmap_record rec;
	bool found, is_done = false;
	const char *why;
	int err;

	err = is_shared ? rmapbt_find_covering(cur, gone, &rec, &found) : rmapbt_find_le(cur, gone, &rec, &found);
	if (err)
		return err;
	/* There is always the record of the AG's headers at least. */
	if (!found)
		return rmapbt_complain(cur->host, gone, "is not mapped");
	if (!is_shared)
		err = is_unmapped_already(cur, gone, &rec, &is_done);
	if (err || is_done)
		return err;
	why = part_verify(&rec, gone);
	if (why)
		return rmapbt_complain(cur->host, gone, why);
	return cut(cur, &rec, gone->agblk, gone->count);
}

/* ---- metadata blocks, at once ---- */

static struct rmap_record record_of_owner(agblk_t agblk, uint32_t count, const struct rmap_owner *owner)
{
	struct rmap_record rec = { .agblk = agblk, .count = count, .owner = owner->owner };

	if (owner->is_attr_fork)
		rec.flags |= RMAP_ATTR_FORK;
	if (owner->is_bmbt)
		rec.flags |= RMAP_BMBT_BLOCK;
	if (!rmap_has_no_offset(rec.owner, rec.flags))
		rec.off = owner->off;
	return rec;
}

static int change(struct tx *tx, struct ag *ag, struct buffer *agf, agblk_t agblk, uint32_t count,
		  const struct rmap_owner *owner, int (*how)(struct btree_cursor *, const struct rmap_record *, bool))
{
	struct rmap_record rec;
	struct btree_cursor cur;
	int err;

	if (!space_geometry(ag->space)->has_rmapbt || owner->skip_update)
		return 0;
	rec = record_of_owner(agblk, count, owner);
	rmapbt_cursor_init(&cur, tx, ag, agf);
	err = how(&cur, &rec, false);
	btree_cursor_deinit(&cur);
	return err;
}

int rmap_add(struct tx *tx, struct ag *ag, struct buffer *agf, agblk_t agblk, uint32_t count,
	     const struct rmap_owner *owner)
{
	return change(tx, ag, agf, agblk, count, owner, rmap_map);
}

int rmap_remove(struct tx *tx, struct ag *ag, struct buffer *agf, agblk_t agblk, uint32_t count,
		const struct rmap_owner *owner)
{
	return change(tx, ag, agf, agblk, count, owner, rmap_unmap);
}
