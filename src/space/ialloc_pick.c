// SPDX-License-Identifier: GPL-2.0
/*
 * Choosing an inode number: the inode.  (XFS: xfs_dialloc_ag and its helpers.)
 *
 * In the parent's AG the free inode nearest to the parent is wanted, elsewhere one of the chunk made last, else the
 * first there is.  The finobt answers both at once.  Without it the inobt is searched: a few chunks to both sides of
 * the parent, and the place where that ended is remembered, so that filling a directory does not look at the same
 * full chunks again and again.
 *
 * The AGI has said that there is a free inode: a tree without one is corrupted.
 */
#include <userxfs/base/error.h>

#include "ialloc_private.h"

#define SEARCH_CHUNKS 10	/* XFS: searchdistance; one less are looked at */

static int no_free_inode(const struct ag *ag)
{
	return inobt_complain(ag, 0, "the AGI counts free inodes that the tree does not have");
}

/* Clears the lowest free bit of @rec. */
static int take_first_free(const struct ag *ag, struct inode_record *rec, agino_t *out)
{
	uint64_t usable = rec->free & inode_record_existing(rec);
	unsigned index;

	if (!usable)
		return no_free_inode(ag);
	index = (unsigned)__builtin_ctzll(usable);
	rec->free &= ~(1ull << index);
	rec->free_count--;
	*out = rec->first + index;
	return 0;
}

/* ---- with finobt ---- */

/* The record whose chunk is nearest to @agino, with XFS's notion of distance. */
static int find_near(struct btree_cursor *cur, agino_t agino, struct inode_record *out)
{
	struct inode_record left, right;
	bool has_left, has_right;
	int err;

	err = inobt_find(cur, BTREE_LE, agino, &left, &has_left);
	if (err)
		return err;
	if (has_left && inode_record_covers(&left, agino)) {
		*out = left;
		return 0;
	}
	err = inobt_find(cur, BTREE_GE, agino, &right, &has_right);
	if (err)
		return err;
	if (!has_left && !has_right)
		return no_free_inode(cur->host);
	if (has_left && has_right)
		has_left = agino - left.first + INODE_CHUNK - 1 <= right.first - agino;
	*out = has_left ? left : right;
	return 0;
}

/* The chunk made last, if it has a free inode, else the first that has one. */
static int find_newest(struct btree_cursor *cur, const struct xfs_agi *agi, struct inode_record *out)
{
	bool found = false;
	int err;

	if (agi->agi_newino != cpu_to_be32(NULLAGINO)) {
		err = inobt_find(cur, BTREE_EQ, be32_to_cpu(agi->agi_newino), out, &found);
		if (err)
			return err;
	}
	if (!found) {
		err = inobt_find(cur, BTREE_GE, 0, out, &found);
		if (err)
			return err;
	}
	return found ? 0 : no_free_inode(cur->host);
}

/* Takes an inode of the finobt's record @rec: out of the record, or with the record. */
static int take_from_finobt(struct btree_cursor *cur, struct inode_record *rec, agino_t *out)
{
	bool found;
	int err;

	err = take_first_free(cur->host, rec, out);
	if (err)
		return err;
	err = inobt_lookup(cur, BTREE_EQ, rec->first, &found);
	if (err)
		return err;
	if (!found)
		return inobt_complain(cur->host, rec->first, "a record vanished");
	return rec->free_count ? inobt_update(cur, rec) : btree_delete(cur);
}

/* Makes the inobt's record equal to @wanted, which differs from it by @agino only: else one of the trees lies. */
static int follow_in_inobt(struct btree_cursor *cur, const struct inode_record *wanted, agino_t agino)
{
	struct inode_record rec;
	bool found;
	int err;

	err = inobt_find(cur, BTREE_EQ, wanted->first, &rec, &found);
	if (err)
		return err;
	if (!found)
		return inobt_complain(cur->host, wanted->first, "in the finobt but not in the inobt");
	rec.free &= ~(1ull << (agino - rec.first));
	rec.free_count--;
	if (rec.free != wanted->free || rec.free_count != wanted->free_count)
		return inobt_complain(cur->host, wanted->first, "inobt and finobt disagree");
	return inobt_update(cur, &rec);
}

static int pick_with_finobt(struct tx *tx, struct ag *ag, struct buffer *agi, struct inum parent, agino_t *out)
{
	const struct geometry *geo = space_geometry(ag->space);
	struct inode_record rec;
	struct btree_cursor cur;
	agino_t agino = AGINO_NONE;
	int err;

	inobt_cursor_init(&cur, tx, ag, agi, INODE_TREE_FREE);
	if (inum_agno(geo, parent) == ag->agno)
		err = find_near(&cur, inum_agino(geo, parent), &rec);
	else
		err = find_newest(&cur, agi->data, &rec);
	if (!err)
		err = take_from_finobt(&cur, &rec, &agino);
	btree_cursor_deinit(&cur);
	if (err)
		return err;

	inobt_cursor_init(&cur, tx, ag, agi, INODE_TREE_ALL);
	err = follow_in_inobt(&cur, &rec, agino);
	btree_cursor_deinit(&cur);
	if (!err)
		*out = agino;
	return err;
}

/* ---- without finobt ---- */

/* One side of the search: a cursor and the record it is on, unless that side has ended. */
struct side {
	struct btree_cursor cur;
	struct inode_record rec;
	bool has_rec;
};

static int side_step(struct side *side, bool left)
{
	int err;

	err = left ? btree_decrement(&side->cur, 0, &side->has_rec) : btree_increment(&side->cur, 0, &side->has_rec);
	if (err || !side->has_rec)
		return err;
	return inobt_get(&side->cur, &side->rec, &side->has_rec);
}

static void remember_search(struct ag *ag, agino_t parent, agino_t left, agino_t right)
{
	ag->last_search_parent = parent;
	ag->last_search_left = left;
	ag->last_search_right = right;
}

static bool remembers_search(const struct ag *ag, agino_t parent)
{
	return ag->last_search_parent == parent && ag->last_search_left != AGINO_NONE &&
	       ag->last_search_right != AGINO_NONE;
}

/* Sets the sides beside the parent's chunk, or where the last search for this parent ended. */
static int start_sides(const struct ag *ag, agino_t parent, bool resume, struct side *left, struct side *right)
{
	int err;

	if (resume) {
		err = inobt_find(&left->cur, BTREE_EQ, ag->last_search_left, &left->rec, &left->has_rec);
		if (err)
			return err;
		return inobt_find(&right->cur, BTREE_EQ, ag->last_search_right, &right->rec, &right->has_rec);
	}
	err = inobt_find(&left->cur, BTREE_LE, parent, &left->rec, &left->has_rec);
	if (err)
		return err;
	if (!left->has_rec)
		return inobt_complain(ag, parent, "the parent's chunk is not in the tree");
	err = side_step(left, true);
	if (err)
		return err;
	err = inobt_find(&right->cur, BTREE_LE, parent, &right->rec, &right->has_rec);
	if (err)
		return err;
	return side_step(right, false);
}

static bool left_is_nearer(const struct side *left, const struct side *right, agino_t parent)
{
	if (!left->has_rec || !right->has_rec)
		return left->has_rec;
	return parent - (left->rec.first + INODE_CHUNK - 1) < right->rec.first - parent;
}

/*
 * Looks at the nearest chunks.  *is_exhausted: both ends of the tree were reached before the search was given up.
 */
static int search_sides(struct ag *ag, agino_t parent, struct side *left, struct side *right,
			struct inode_record *out, bool *found, bool *is_exhausted)
{
	int budget = SEARCH_CHUNKS, err;

	*found = false;
	while (--budget > 0 && (left->has_rec || right->has_rec)) {
		bool use_left = left_is_nearer(left, right, parent);
		struct side *side = use_left ? left : right;

		if (side->rec.free_count) {
			*out = side->rec;
			*found = true;
			break;
		}
		err = side_step(side, use_left);
		if (err)
			return err;
	}
	*is_exhausted = !*found && budget > 0;
	if (!*is_exhausted)
		remember_search(ag, parent, left->rec.first, right->rec.first);
	return 0;
}

/* One search around the parent; *restart: it ended at both ends of the tree without having begun at the parent. */
static int search_around(struct tx *tx, struct ag *ag, struct buffer *agi, agino_t parent, struct inode_record *out,
			 bool *found, bool *restart)
{
	bool resume = remembers_search(ag, parent), is_exhausted = false;
	struct side left = { 0 }, right = { 0 };
	int err;

	inobt_cursor_init(&left.cur, tx, ag, agi, INODE_TREE_ALL);
	inobt_cursor_init(&right.cur, tx, ag, agi, INODE_TREE_ALL);
	err = start_sides(ag, parent, resume, &left, &right);
	if (!err)
		err = search_sides(ag, parent, &left, &right, out, found, &is_exhausted);
	btree_cursor_deinit(&right.cur);
	btree_cursor_deinit(&left.cur);
	if (err)
		return err;
	*restart = is_exhausted;
	if (!is_exhausted)
		return 0;
	/* A remembered place skips chunks near the parent, which may have free inodes by now; a whole search does
	 * not. */
	remember_search(ag, AGINO_NONE, AGINO_NONE, AGINO_NONE);
	return resume ? 0 : no_free_inode(ag);
}

static int find_near_in_inobt(struct tx *tx, struct ag *ag, struct buffer *agi, agino_t parent,
			      struct inode_record *out, bool *found)
{
	struct btree_cursor cur;
	bool restart;
	int err;

	inobt_cursor_init(&cur, tx, ag, agi, INODE_TREE_ALL);
	err = inobt_find(&cur, BTREE_LE, parent, out, found);
	btree_cursor_deinit(&cur);
	if (err)
		return err;
	if (!*found)
		return inobt_complain(ag, parent, "the parent's chunk is not in the tree");
	if (out->free_count)
		return 0;
	do {
		err = search_around(tx, ag, agi, parent, out, found, &restart);
	} while (!err && restart);
	return err;
}

/* Every record from the first on. */
static int find_first_in_inobt(struct btree_cursor *cur, struct inode_record *out)
{
	bool found;
	int err;

	err = inobt_find(cur, BTREE_GE, 0, out, &found);
	while (!err && found && !out->free_count) {
		err = btree_increment(cur, 0, &found);
		if (!err && found)
			err = inobt_get(cur, out, &found);
	}
	if (err)
		return err;
	return found ? 0 : no_free_inode(cur->host);
}

static int find_far_in_inobt(struct btree_cursor *cur, const struct xfs_agi *agi, struct inode_record *out)
{
	bool found;
	int err;

	if (agi->agi_newino != cpu_to_be32(NULLAGINO)) {
		err = inobt_find(cur, BTREE_EQ, be32_to_cpu(agi->agi_newino), out, &found);
		if (err || (found && out->free_count))
			return err;
	}
	return find_first_in_inobt(cur, out);
}

static int pick_with_inobt(struct tx *tx, struct ag *ag, struct buffer *agi, struct inum parent, agino_t *out)
{
	const struct geometry *geo = space_geometry(ag->space);
	struct inode_record rec;
	struct btree_cursor cur;
	bool found = false;
	agino_t agino = AGINO_NONE;
	int err;

	if (inum_agno(geo, parent) == ag->agno) {
		err = find_near_in_inobt(tx, ag, agi, inum_agino(geo, parent), &rec, &found);
		if (err)
			return err;
	}
	inobt_cursor_init(&cur, tx, ag, agi, INODE_TREE_ALL);
	if (!found) {
		err = find_far_in_inobt(&cur, agi->data, &rec);
		if (err)
			goto out_deinit;
	}
	err = inobt_lookup(&cur, BTREE_EQ, rec.first, &found);
	if (!err && !found)
		err = inobt_complain(ag, rec.first, "a record vanished");
	if (err)
		goto out_deinit;
	err = take_first_free(ag, &rec, &agino);
	if (!err)
		err = inobt_update(&cur, &rec);
	if (!err)
		*out = agino;
out_deinit:
	btree_cursor_deinit(&cur);
	return err;
}

int ialloc_pick(struct tx *tx, struct ag *ag, struct buffer *agi, struct inum parent, agino_t *out)
{
	bool has_finobt = space_geometry(ag->space)->has_finobt;
	int err;

	err = has_finobt ? pick_with_finobt(tx, ag, agi, parent, out) : pick_with_inobt(tx, ag, agi, parent, out);
	if (err)
		return err;
	ialloc_count(tx, ag, agi, 0, -1);
	return 0;
}
