// SPDX-License-Identifier: GPL-2.0
/* Taking blocks out of a fork.  (XFS: __xfs_bunmapi, xfs_bmap_del_extent_real, xfs_bmap_del_extent_cow.) */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/space/alloc.h>
#include <userxfs/space/refcount.h>
#include <userxfs/space/rmap.h>

#include "delay_piece.h"
#include "edit.h"

/*
 * A cut in the middle makes two records of one, and the fork may then need a block for its tree.  Without a
 * reservation that is refused before anything changes.  (A directory that shrinks on a full volume then keeps an
 * empty block.)
 */
static int check_cut(struct tx *tx, const struct file_map *map, enum fork_which which, const struct irec *rec,
		     fileblk_t off, fileblk_t end)
{
	const struct fork *fork = map_fork((struct file_map *)map, which);
	bool is_middle = rec->ext.off < off && end < extent_end(&rec->ext);
	bool is_roomy = fork->format == FORK_EXTENTS && fork->extent_count < fork_inline_extents(map, which);

	if (!is_middle || which == FORK_COW)
		return 0;
	if (!is_roomy && !tx_blocks_left(tx))
		return -ENOSPC;
	return edit_check_count(map, which, 1);
}

/* What happens to the blocks of a piece that was unmapped. */
static void drop_blocks(struct tx *tx, struct file_map *map, enum fork_which which, const struct extent *piece,
			bool keep)
{
	struct rmap_owner owner = { .owner = map->ino.v, .is_attr_fork = which == FORK_ATTR, .skip_update = true };

	if (which == FORK_COW)
		refcount_free_cow_deferred(tx, map->space, piece->start, (uint32_t)piece->count);
	else
		rmap_unmap_deferred(tx, map->space, map->ino, which == FORK_ATTR, map->is_reflink, piece);

	if (keep)
		return;
	if (which == FORK_DATA && map->is_reflink)
		refcount_decrease_deferred(tx, map->space, piece);
	else
		space_free_deferred(tx, map->space, piece->start, (uint32_t)piece->count, &owner, AG_RESV_NONE,
				    piece->state == EXTENT_UNWRITTEN);
}

static int check_block_count(const struct file_map *map, const struct extent *piece)
{
	if (map->block_count >= piece->count)
		return 0;
	msg_error("inode %llu has more blocks than it counts; unmount and run xfs_repair",
		  (unsigned long long)map->ino.v);
	return -EFSCORRUPTED;
}

static int unmap_real(struct tx *tx, struct file_map *map, enum fork_which which, const struct irec *rec,
		      fileblk_t off, fileblk_t end, bool keep)
{
	struct extent piece = { off, end - off, fsblk_add(rec->ext.start, off - rec->ext.off), rec->ext.state };
	struct edit edit;
	int err;

	err = check_cut(tx, map, which, rec, off, end);
	if (!err && which != FORK_COW)
		err = check_block_count(map, &piece);
	if (err)
		return err;
	edit_plan(&edit, map, which, off, piece.count, NULL);
	err = edit_apply(&edit, tx, false, NULL);
	if (err)
		return err;
	if (which == FORK_COW)
		atomic_fetch_sub(&map->delayed_blocks, piece.count);
	else
		map->block_count -= piece.count;
	drop_blocks(tx, map, which, &piece, keep);
	return 0;
}

static int unmap(struct tx *tx, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
		 unsigned max_extents, bool keep, uint64_t *left)
{
	struct fork *fork = map_fork(map, which);
	fileblk_t end = count > UINT64_MAX - off ? UINT64_MAX : off + count;
	unsigned pieces = 0;
	struct tree_cursor cur;
	struct irec rec;
	int err;

	ensure(rwlock_is_write_locked(map->lock));
	err = map_load(map, which);
	if (err)
		return err;
	while (end > off) {
		fileblk_t first, last;

		if (!tree_lookup_before(&fork->tree, end, &cur, &rec) || extent_end(&rec.ext) <= off) {
			end = off;
			break;
		}
		if (max_extents && pieces == max_extents)
			break;
		first = max_u64(rec.ext.off, off);
		last = min_u64(extent_end(&rec.ext), end);
		if (rec.ext.state == EXTENT_DELAYED)
			delay_remove(map, which, &rec, first, last);
		else
			err = unmap_real(tx, map, which, &rec, first, last, keep);
		if (err)
			return err;
		end = first;
		pieces++;
	}
	*left = end - off;
	return 0;
}

int map_unmap(struct tx *tx, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
	      unsigned max_extents, uint64_t *left)
{
	return unmap(tx, map, which, off, count, max_extents, false, left);
}

int map_take_out(struct tx *tx, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
		 unsigned max_extents, uint64_t *left)
{
	ensure(which != FORK_COW);
	return unmap(tx, map, which, off, count, max_extents, true, left);
}

int map_insert_real(struct tx *tx, struct file_map *map, enum fork_which which, const struct extent *ext)
{
	struct irec put = { .ext = *ext };
	struct edit edit;
	int err;

	ensure(which != FORK_COW && ext->state != EXTENT_DELAYED && ext->state != EXTENT_HOLE);
	err = map_load(map, which);
	if (!err)
		err = edit_check_count(map, which, 1);
	if (err)
		return err;
	edit_plan(&edit, map, which, ext->off, ext->count, &put);
	map->block_count += ext->count;
	err = edit_apply(&edit, tx, false, NULL);
	if (!err)
		rmap_map_deferred(tx, map->space, map->ino, which == FORK_ATTR, map->is_reflink, ext);
	return err;
}

void map_forget_cow(struct file_map *map, fileblk_t off, uint64_t count)
{
	fileblk_t end = off + count;
	struct tree_cursor cur;
	struct edit edit;
	struct irec rec;

	while (end > off && tree_lookup_before(&map->cow.tree, end, &cur, &rec) && extent_end(&rec.ext) > off) {
		fileblk_t first = max_u64(rec.ext.off, off), last = min_u64(extent_end(&rec.ext), end);

		if (rec.ext.state != EXTENT_DELAYED) {
			edit_plan(&edit, map, FORK_COW, first, last - first, NULL);
			ensure(edit_apply(&edit, NULL, false, NULL) == 0);
			atomic_fetch_sub(&map->delayed_blocks, last - first);
		}
		end = first;
	}
}
