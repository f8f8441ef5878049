// SPDX-License-Identifier: GPL-2.0
/*
 * Edits: planning and applying.
 *
 * Planning gathers the record that is cut and, when something is put in whose end touches one, the neighbours; then
 * it lays out what the file looks like afterwards, merging from left to right:
 *
 *	old:  [ left ][        record        ][ right ]
 *	put:               [ put ]
 *	new:  [ left ][rest][ put ][  rest   ][ right ]    (each piece may be absent, neighbours may have become one)
 */
#include "edit.h"

#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/extent/delay.h>

#include "bmbt.h"

/* ---- planning ---- */

bool irec_can_merge(const struct irec *a, const struct irec *b)
{
	if (extent_end(&a->ext) != b->ext.off || a->ext.state != b->ext.state ||
	    a->ext.count + b->ext.count > EXTENT_MAX_BLOCKS)
		return false;
	return a->ext.state == EXTENT_DELAYED || a->ext.start.v + a->ext.count == b->ext.start.v;
}

static void edit_init(struct edit *edit, struct file_map *map, enum fork_which which)
{
	edit->map = map;
	edit->which = which;
	edit->old_count = edit->new_count = 0;
	edit->left_rest = edit->right_rest = NULL;
}

static void add_old(struct edit *edit, const struct irec *rec)
{
	edit->old[edit->old_count++] = *rec;
}

static struct irec *add_new(struct edit *edit, const struct irec *rec)
{
	struct irec *last = edit->new_count ? &edit->new[edit->new_count - 1] : NULL;

	if (!last || !irec_can_merge(last, rec)) {
		edit->new[edit->new_count] = *rec;
		return &edit->new[edit->new_count++];
	}
	last->ext.count += rec->ext.count;
	/* Two reservations become one, which needs no more than an extent of that size ever does. */
	if (last->ext.state == EXTENT_DELAYED)
		last->indirect = (uint32_t)min_u64(delay_worst_indirect(edit->map, last->ext.count),
						   (uint64_t)last->indirect + rec->indirect);
	return last;
}

/* The piece [@off, @end) of @rec. */
static struct irec piece_of(const struct irec *rec, fileblk_t off, fileblk_t end)
{
	struct irec piece = { .ext = { off, end - off, FSBLK_NONE, rec->ext.state } };

	if (rec->ext.state != EXTENT_DELAYED)
		piece.ext.start = fsblk_add(rec->ext.start, off - rec->ext.off);
	return piece;
}

/* The record that ends at @off, or starts there. */
static bool find_touching(const struct extent_tree *tree, fileblk_t off, bool ends, struct irec *out)
{
	struct tree_cursor cur;

	if (ends)
		return tree_lookup_before(tree, off, &cur, out) && extent_end(&out->ext) == off;
	return tree_lookup(tree, off, &cur, out) && out->ext.off == off;
}

void edit_plan(struct edit *edit, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
	       const struct irec *put)
{
	const struct extent_tree *tree = &map_fork(map, which)->tree;
	struct irec hit, left, right, rest;
	struct tree_cursor cur;
	fileblk_t end = off + count;
	bool has_hit, has_left_rest, has_right_rest, has_left, has_right;

	edit_init(edit, map, which);
	has_hit = tree_lookup(tree, off, &cur, &hit) && hit.ext.off < end;
	ensure(!has_hit || (hit.ext.off <= off && extent_end(&hit.ext) >= end));
	has_left_rest = has_hit && hit.ext.off < off;
	has_right_rest = has_hit && extent_end(&hit.ext) > end;
	has_left = put && !has_left_rest && find_touching(tree, off, true, &left);
	has_right = put && !has_right_rest && find_touching(tree, end, false, &right);

	if (has_left) {
		add_old(edit, &left);
		add_new(edit, &left);
	}
	if (has_hit)
		add_old(edit, &hit);
	if (has_left_rest) {
		rest = piece_of(&hit, hit.ext.off, off);
		edit->left_rest = add_new(edit, &rest);
	}
	if (put)
		add_new(edit, put);
	if (has_right_rest) {
		rest = piece_of(&hit, end, extent_end(&hit.ext));
		edit->right_rest = add_new(edit, &rest);
	}
	if (has_right) {
		add_old(edit, &right);
		add_new(edit, &right);
	}
}

void edit_plan_move(struct edit *edit, struct file_map *map, enum fork_which which, const struct irec *rec,
		    fileblk_t to)
{
	const struct extent_tree *tree = &map_fork(map, which)->tree;
	struct irec moved = *rec, left, right;
	bool has_left, has_right;

	edit_init(edit, map, which);
	moved.ext.off = to;
	has_left = to < rec->ext.off && find_touching(tree, to, true, &left);
	has_right = to > rec->ext.off && find_touching(tree, extent_end(&moved.ext), false, &right);
	if (has_left) {
		add_old(edit, &left);
		add_new(edit, &left);
	}
	add_old(edit, rec);
	add_new(edit, &moved);
	if (has_right) {
		add_old(edit, &right);
		add_new(edit, &right);
	}
}

void edit_plan_split(struct edit *edit, struct file_map *map, enum fork_which which, const struct irec *rec,
		     fileblk_t at)
{
	edit_init(edit, map, which);
	add_old(edit, rec);
	edit->new[0] = piece_of(rec, rec->ext.off, at);
	edit->new[1] = piece_of(rec, at, extent_end(&rec->ext));
	edit->new_count = 2;
}

/* ---- applying ---- */

uint64_t fork_inline_extents(const struct file_map *map, enum fork_which which)
{
	return (which == FORK_DATA ? map->fork_space : map->attr_space) / sizeof(struct xfs_bmbt_rec);
}

int edit_check_count(const struct file_map *map, enum fork_which which, uint64_t more)
{
	const struct fork *fork = map_fork((struct file_map *)map, which);
	uint64_t limit;

	if (which == FORK_COW)
		return 0;
	if (which == FORK_DATA)
		limit = map->has_nrext64 ? XFS_MAX_EXTCNT_DATA_FORK_LARGE : XFS_MAX_EXTCNT_DATA_FORK_SMALL;
	else
		limit = map->has_nrext64 ? XFS_MAX_EXTCNT_ATTR_FORK_LARGE : XFS_MAX_EXTCNT_ATTR_FORK_SMALL;
	return fork->extent_count + more > limit ? -EFBIG : 0;
}

void map_mark_dirty(struct tx *tx, struct file_map *map, uint32_t fields)
{
	map->log_fields |= fields;
	tx_mark_dirty(tx, map->item);
}

static bool irec_is_equal(const struct irec *a, const struct irec *b)
{
	return a->ext.off == b->ext.off && a->ext.count == b->ext.count && a->ext.state == b->ext.state &&
	       fsblk_equal(a->ext.start, b->ext.start) && a->indirect == b->indirect;
}

static unsigned find_off(const struct irec *recs, unsigned count, fileblk_t off)
{
	unsigned i = 0;

	while (i < count && recs[i].ext.off != off)
		i++;
	return i;
}

static void apply_to_tree(const struct edit *edit, struct extent_tree *tree)
{
	for (unsigned i = 0; i < edit->old_count; i++) {
		unsigned match = find_off(edit->new, edit->new_count, edit->old[i].ext.off);

		if (match == edit->new_count)
			tree_remove(tree, edit->old[i].ext.off);
		else if (!irec_is_equal(&edit->old[i], &edit->new[match]))
			tree_update(tree, &edit->new[match]);
	}
	for (unsigned i = 0; i < edit->new_count; i++)
		if (find_off(edit->old, edit->old_count, edit->new[i].ext.off) == edit->old_count)
			tree_insert(tree, &edit->new[i]);
}

static unsigned take_real(const struct irec *recs, unsigned count, struct extent *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++)
		if (recs[i].ext.state != EXTENT_DELAYED)
			out[n++] = recs[i].ext;
	return n;
}

static bool extents_are_equal(const struct extent *a, unsigned a_count, const struct extent *b, unsigned b_count)
{
	if (a_count != b_count)
		return false;
	for (unsigned i = 0; i < a_count; i++)
		if (a[i].off != b[i].off || a[i].count != b[i].count || a[i].state != b[i].state ||
		    !fsblk_equal(a[i].start, b[i].start))
			return false;
	return true;
}

int edit_apply(struct edit *edit, struct tx *tx, bool was_delayed, uint32_t *bmbt_blocks)
{
	struct file_map *map = edit->map;
	enum fork_which which = edit->which;
	struct fork *fork = map_fork(map, which);
	struct bmbt_change change = { .map = map, .which = which, .was_delayed = was_delayed };
	int err = 0;

	ensure(rwlock_is_write_locked(map->lock) && fork->is_loaded);
	change.old_count = take_real(edit->old, edit->old_count, change.old);
	change.new_count = take_real(edit->new, edit->new_count, change.new);

	apply_to_tree(edit, &fork->tree);
	fork->extent_count += change.new_count - (uint64_t)change.old_count;
	atomic_fetch_add_explicit(&fork->sequence, 1, memory_order_release);

	if (which == FORK_COW ||
	    extents_are_equal(change.old, change.old_count, change.new, change.new_count))
		goto out;

	/* Dirty first: from here on memory and disk differ until everything below has succeeded. */
	map_mark_dirty(tx, map, XFS_ILOG_CORE);
	if (fork->format == FORK_BTREE)
		err = bmbt_replace(tx, &change);
	else if (fork->extent_count > fork_inline_extents(map, which))
		err = bmbt_from_extents(tx, &change);
	else
		map_mark_dirty(tx, map, which == FORK_DATA ? XFS_ILOG_DEXT : XFS_ILOG_AEXT);
out:
	if (bmbt_blocks)
		*bmbt_blocks = change.allocated;
	return err;
}
