// SPDX-License-Identifier: GPL-2.0
/*
 * Moving extents within the file: collapse and insert range.  (XFS: xfs_bmap_collapse_extents,
 * xfs_bmap_insert_extents, xfs_bmap_split_extent.)
 *
 * One extent per call.  The caller has flushed the file and made the hole: delayed extents here, or an extent in the
 * way, mean that memory is wrong.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/space/rmap.h>

#include "edit.h"

static int move_extent(struct tx *tx, struct file_map *map, const struct irec *rec, fileblk_t to)
{
	struct extent moved = rec->ext;
	struct edit edit;
	int err;

	moved.off = to;
	edit_plan_move(&edit, map, FORK_DATA, rec, to);
	err = edit_apply(&edit, tx, false, NULL);
	if (err)
		return err;
	rmap_unmap_deferred(tx, map->space, map->ino, false, map->is_reflink, &rec->ext);
	rmap_map_deferred(tx, map->space, map->ino, false, map->is_reflink, &moved);
	return 0;
}

static int refuse_delayed(const struct file_map *map, const struct irec *rec)
{
	if (rec->ext.state != EXTENT_DELAYED)
		return 0;
	msg_error("inode %llu: delayed extent at block %llu in a range that is being moved",
		  (unsigned long long)map->ino.v, (unsigned long long)rec->ext.off);
	return -EFSCORRUPTED;
}

int map_shift_left(struct tx *tx, struct file_map *map, fileblk_t *next, uint64_t shift, bool *done)
{
	struct tree_cursor cur, before;
	struct irec rec, prev, after;
	bool has_after;
	int err;

	err = map_load(map, FORK_DATA);
	if (err)
		return err;
	if (!tree_lookup(&map->data.tree, *next, &cur, &rec)) {
		*done = true;
		return 0;
	}
	err = refuse_delayed(map, &rec);
	if (err)
		return err;
	if (rec.ext.off < shift)
		return -EINVAL;
	if (tree_lookup_before(&map->data.tree, rec.ext.off, &before, &prev) &&
	    extent_end(&prev.ext) > rec.ext.off - shift)
		return -EINVAL;
	has_after = tree_next(&cur, &after);
	err = move_extent(tx, map, &rec, rec.ext.off - shift);
	if (err)
		return err;
	*done = !has_after;
	*next = has_after ? after.ext.off : UINT64_MAX;
	return 0;
}

int map_shift_right(struct tx *tx, struct file_map *map, fileblk_t *next, uint64_t shift, fileblk_t stop, bool *done)
{
	struct tree_cursor cur, behind;
	struct irec rec, prev, after;
	bool has_prev;
	int err;

	err = map_load(map, FORK_DATA);
	if (err)
		return err;
	/* From the end backwards, so that each moves into space that is free already. */
	if (*next == UINT64_MAX)
		*done = !tree_last(&map->data.tree, &cur, &rec) || stop > rec.ext.off;
	else
		*done = !tree_lookup(&map->data.tree, *next, &cur, &rec);
	if (*done)
		return 0;
	err = refuse_delayed(map, &rec);
	if (err)
		return err;
	if (stop > rec.ext.off || rec.ext.off + shift + rec.ext.count - 1 > BMBT_STARTOFF_MASK)
		return -EINVAL;
	behind = cur;
	if (tree_next(&behind, &after) && extent_end(&rec.ext) + shift > after.ext.off)
		return -EINVAL;
	has_prev = tree_prev(&cur, &prev);
	err = move_extent(tx, map, &rec, rec.ext.off + shift);
	if (err)
		return err;
	*done = !has_prev || stop >= extent_end(&prev.ext);
	*next = has_prev ? prev.ext.off : UINT64_MAX;
	return 0;
}

int map_split(struct tx *tx, struct file_map *map, fileblk_t off)
{
	struct tree_cursor cur;
	struct edit edit;
	struct irec rec;
	int err;

	err = map_load(map, FORK_DATA);
	if (err)
		return err;
	if (!tree_lookup(&map->data.tree, off, &cur, &rec) || rec.ext.off >= off)
		return 0;
	err = refuse_delayed(map, &rec);
	if (!err)
		err = edit_check_count(map, FORK_DATA, 1);
	if (err)
		return err;
	edit_plan_split(&edit, map, FORK_DATA, &rec, off);
	return edit_apply(&edit, tx, false, NULL);
}
