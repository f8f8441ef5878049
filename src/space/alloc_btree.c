// SPDX-License-Identifier: GPL-2.0
/*
 * The two trees of free extents.  (XFS: libxfs/xfs_alloc_btree.c, xfs_alloc_fixup_trees, xfs_free_ag_extent.)
 *
 * Their own blocks come from the AGFL and go back to it: these blocks count as free space, which the trees do not
 * need to know.  Every change is made in both trees at once.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "alloc_private.h"

static struct xfs_agf *cursor_agf(const struct btree_cursor *cur)
{
	return cur->header->data;
}

static int compare_u32(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

static void key_of_rec(const union btree_rec *rec, union btree_key *key)
{
	key->alloc = rec->alloc;
}

static int bnobt_compare(const union btree_key *a, const union btree_key *b)
{
	return compare_u32(be32_to_cpu(a->alloc.ar_startblock), be32_to_cpu(b->alloc.ar_startblock));
}

static void bnobt_high_key_of_rec(const union btree_rec *rec, union btree_key *key)
{
	uint32_t last = be32_to_cpu(rec->alloc.ar_startblock) + be32_to_cpu(rec->alloc.ar_blockcount) - 1;

	key->alloc.ar_startblock = cpu_to_be32(last);
	key->alloc.ar_blockcount = 0;
}

static int cntbt_compare(const union btree_key *a, const union btree_key *b)
{
	int order = compare_u32(be32_to_cpu(a->alloc.ar_blockcount), be32_to_cpu(b->alloc.ar_blockcount));

	return order ? order : bnobt_compare(a, b);
}

/* ---- root and blocks
 * -------------------------------------------------------------------------------------------- */

static void get_root(const struct btree_cursor *cur, xfs_btnum_t tree, union btree_ptr *root, uint32_t *levels)
{
	const struct xfs_agf *agf = cursor_agf(cur);

	root->s = agf->agf_roots[tree];
	*levels = be32_to_cpu(agf->agf_levels[tree]);
}

static void set_root(struct btree_cursor *cur, xfs_btnum_t tree, const union btree_ptr *root, int level_change)
{
	struct xfs_agf *agf = cursor_agf(cur);

	agf->agf_roots[tree] = root->s;
	be32_add_cpu(&agf->agf_levels[tree], level_change);
	agf_log(cur->tx, cur->header, XFS_AGF_ROOTS | XFS_AGF_LEVELS);
}

static void bnobt_get_root(const struct btree_cursor *cur, union btree_ptr *root, uint32_t *levels)
{
	get_root(cur, XFS_BTNUM_BNOi, root, levels);
}

static void cntbt_get_root(const struct btree_cursor *cur, union btree_ptr *root, uint32_t *levels)
{
	get_root(cur, XFS_BTNUM_CNTi, root, levels);
}

static void bnobt_set_root(struct btree_cursor *cur, const union btree_ptr *root, int level_change)
{
	struct ag *ag = cur->host;

	set_root(cur, XFS_BTNUM_BNOi, root, level_change);
	ag->bno_level = (uint8_t)(ag->bno_level + level_change);
}

static void cntbt_set_root(struct btree_cursor *cur, const union btree_ptr *root, int level_change)
{
	struct ag *ag = cur->host;

	set_root(cur, XFS_BTNUM_CNTi, root, level_change);
	ag->cnt_level = (uint8_t)(ag->cnt_level + level_change);
}

static int alloc_block(struct btree_cursor *cur, const union btree_ptr *near, union btree_ptr *out)
{
	struct ag *ag = cur->host;
	agblk_t agblk;
	int err;

	err = agfl_take(cur->tx, ag, cur->header, &agblk, true);
	if (err)
		return err;
	if (agblk == AGBLK_NONE) {
		msg_error("AG %u: no block left in the AGFL for %s", ag->agno, cur->ops->name);
		return -ENOSPC;
	}
	atomic_fetch_add(&ag->space->btree_blocks, 1);
	out->s = cpu_to_be32(agblk);
	return 0;
}

static int free_block(struct btree_cursor *cur, struct buffer *buf)
{
	agblk_t agblk = fsblk_agblk(cur->geo, daddr_to_fsblk(cur->geo, buf->daddr));
	struct ag *ag = cur->host;
	int err;

	err = agfl_put(cur->tx, ag, cur->header, agblk, true);
	if (!err)
		atomic_fetch_sub(&ag->space->btree_blocks, 1);
	return err;
}

static const struct btree_ops bnobt_ops = {
	.name = "bnobt",
	.block = &block_bnobt,
	.magic = XFS_ABTB_CRC_MAGIC,
	.rec_bytes = sizeof(struct xfs_alloc_rec),
	.key_bytes = sizeof(struct xfs_alloc_rec),
	.compare = bnobt_compare,
	.key_of_rec = key_of_rec,
	.high_key_of_rec = bnobt_high_key_of_rec,
	.get_root = bnobt_get_root,
	.set_root = bnobt_set_root,
	.alloc_block = alloc_block,
	.free_block = free_block,
};

static const struct btree_ops cntbt_ops = {
	.name = "cntbt",
	.block = &block_cntbt,
	.magic = XFS_ABTC_CRC_MAGIC,
	.rec_bytes = sizeof(struct xfs_alloc_rec),
	.key_bytes = sizeof(struct xfs_alloc_rec),
	.compare = cntbt_compare,
	.key_of_rec = key_of_rec,
	.high_key_of_rec = key_of_rec,
	.get_root = cntbt_get_root,
	.set_root = cntbt_set_root,
	.alloc_block = alloc_block,
	.free_block = free_block,
};

static void init_cursor(struct btree_cursor *cur, const struct btree_ops *ops, const struct btree_limits *limits,
			struct tx *tx, struct ag *ag, struct buffer *agf)
{
	btree_cursor_init(cur, ops, ag->space->geo, limits, ag->space->cache, tx, ag->agno);
	cur->agno = ag->agno;
	cur->header = agf;
	cur->host = ag;
}

void bnobt_cursor_init(struct btree_cursor *cur, struct tx *tx, struct ag *ag, struct buffer *agf)
{
	init_cursor(cur, &bnobt_ops, &ag->space->geo->bnobt, tx, ag, agf);
}

void cntbt_cursor_init(struct btree_cursor *cur, struct tx *tx, struct ag *ag, struct buffer *agf)
{
	init_cursor(cur, &cntbt_ops, &ag->space->geo->cntbt, tx, ag, agf);
}

/* ---- records
 * ---------------------------------------------------------------------------------------------------- */

int freespace_complain(const struct ag *ag, struct free_extent extent, const char *why)
{
	msg_error("AG %u: blocks %u+%u: %s", ag->agno, extent.start, extent.count, why);
	return -EFSCORRUPTED;
}

static union btree_rec encode(struct free_extent extent)
{
	return (union btree_rec){ .alloc = { .ar_startblock = cpu_to_be32(extent.start),
					     .ar_blockcount = cpu_to_be32(extent.count) } };
}

int freespace_lookup(struct btree_cursor *cur, enum btree_direction how, struct free_extent key, bool *found)
{
	union btree_rec rec = encode(key);
	union btree_key k;

	key_of_rec(&rec, &k);
	return btree_lookup(cur, how, &k, found);
}

int freespace_get_any(struct btree_cursor *cur, struct free_extent *out, bool *found)
{
	struct ag *ag = cur->host;
	struct free_extent e;
	union btree_rec rec;
	int err;

	err = btree_get_rec(cur, &rec, found);
	if (err || !*found)
		return err;
	e.start = be32_to_cpu(rec.alloc.ar_startblock);
	e.count = be32_to_cpu(rec.alloc.ar_blockcount);
	if (!geometry_is_valid_agblk(cur->geo, ag->agno, e.start) || !e.count || e.count > ag->blocks - e.start)
		return freespace_complain(ag, e, "an impossible free extent");
	*out = e;
	return 0;
}

int freespace_get(struct btree_cursor *cur, struct free_extent *out)
{
	bool found;
	int err;

	err = freespace_get_any(cur, out, &found);
	if (!err && !found)
		return freespace_complain(cur->host, (struct free_extent){ 0 }, "a free extent is missing");
	return err;
}

int freespace_insert(struct btree_cursor *cur, struct free_extent extent)
{
	union btree_rec rec = encode(extent);
	bool found;
	int err;

	err = freespace_lookup(cur, BTREE_EQ, extent, &found);
	if (!err && found)
		return freespace_complain(cur->host, extent, "they are free already");
	return err ? err : btree_insert(cur, &rec);
}

int freespace_delete(struct btree_cursor *cur, struct free_extent extent)
{
	struct free_extent there;
	bool found;
	int err;

	err = freespace_lookup(cur, BTREE_EQ, extent, &found);
	if (err)
		return err;
	if (!found)
		return freespace_complain(cur->host, extent, "the two free-space trees disagree");
	err = freespace_get(cur, &there);
	if (!err && there.count != extent.count)
		return freespace_complain(cur->host, extent, "the two free-space trees disagree");
	return err ? err : btree_delete(cur);
}

/* ---- both trees together
 * ---------------------------------------------------------------------------------------- */

/* The last record of the cntbt is the longest. */
static int update_longest(struct btree_cursor *cnt)
{
	struct xfs_agf *agf = cursor_agf(cnt);
	struct ag *ag = cnt->host;
	struct free_extent last = { 0 };
	bool found;
	int err;

	err = freespace_lookup(cnt, BTREE_LE, (struct free_extent){ UINT32_MAX, UINT32_MAX }, &found);
	if (!err && found)
		err = freespace_get(cnt, &last);
	if (err)
		return err;
	if (be32_to_cpu(agf->agf_longest) != last.count) {
		agf->agf_longest = cpu_to_be32(last.count);
		agf_log(cnt->tx, cnt->header, XFS_AGF_LONGEST);
	}
	ag->longest = last.count;
	return 0;
}

static int take_from_cntbt(struct btree_cursor *cnt, struct free_extent whole, struct free_extent left,
			   struct free_extent right)
{
	int err;

	err = freespace_delete(cnt, whole);
	if (!err && left.count)
		err = freespace_insert(cnt, left);
	if (!err && right.count)
		err = freespace_insert(cnt, right);
	busy_prefix_note(cnt->host, left);
	busy_prefix_note(cnt->host, right);
	return err ? err : update_longest(cnt);
}

static int take_from_bnobt(struct btree_cursor *bno, struct free_extent whole, struct free_extent left,
			   struct free_extent right)
{
	struct free_extent rest = left.count ? left : right, there;
	union btree_rec rec = encode(rest);
	bool found;
	int err;

	if (!rest.count)
		return freespace_delete(bno, whole);
	err = freespace_lookup(bno, BTREE_EQ, whole, &found);
	if (err)
		return err;
	if (!found)
		return freespace_complain(bno->host, whole, "the two free-space trees disagree");
	err = freespace_get(bno, &there);
	if (!err && there.count != whole.count)
		return freespace_complain(bno->host, whole, "the two free-space trees disagree");
	if (!err)
		err = btree_update(bno, &rec);
	if (!err && left.count && right.count)
		err = freespace_insert(bno, right);
	return err;
}

int freespace_take_part(struct tx *tx, struct ag *ag, struct buffer *agf, struct free_extent whole,
			struct free_extent part)
{
	struct free_extent left = { whole.start, part.start - whole.start }, right;
	struct btree_cursor cur;
	int err;

	ensure(part.count && part.start >= whole.start &&
	       (uint64_t)part.start + part.count <= (uint64_t)whole.start + whole.count);
	right.start = part.start + part.count;
	right.count = whole.start + whole.count - right.start;

	cntbt_cursor_init(&cur, tx, ag, agf);
	err = take_from_cntbt(&cur, whole, left, right);
	btree_cursor_deinit(&cur);
	if (err)
		return err;
	bnobt_cursor_init(&cur, tx, ag, agf);
	err = take_from_bnobt(&cur, whole, left, right);
	btree_cursor_deinit(&cur);
	return err;
}

/* The free extents that end where @extent starts and start where it ends; .count 0: none. */
static int find_neighbours(struct btree_cursor *bno, struct free_extent extent, struct free_extent *left,
			   struct free_extent *right)
{
	struct ag *ag = bno->host;
	bool found;
	int err;

	left->count = right->count = 0;
	err = freespace_lookup(bno, BTREE_LE, extent, &found);
	if (!err && found)
		err = freespace_get(bno, left);
	if (err)
		return err;
	if (left->count && left->start + left->count > extent.start)
		return freespace_complain(ag, extent, "they are free already");
	if (left->count && left->start + left->count < extent.start)
		left->count = 0;

	err = btree_increment(bno, 0, &found);
	if (!err && found)
		err = freespace_get(bno, right);
	if (err)
		return err;
	if (right->count && right->start < extent.start + extent.count)
		return freespace_complain(ag, extent, "they are free already");
	if (right->count && right->start > extent.start + extent.count)
		right->count = 0;
	return 0;
}

static int add_to_cntbt(struct btree_cursor *cnt, struct free_extent left, struct free_extent right,
			struct free_extent merged)
{
	int err = 0;

	if (left.count)
		err = freespace_delete(cnt, left);
	if (!err && right.count)
		err = freespace_delete(cnt, right);
	if (!err)
		err = freespace_insert(cnt, merged);
	return err ? err : update_longest(cnt);
}

static int add_to_bnobt(struct btree_cursor *bno, struct free_extent left, struct free_extent right,
			struct free_extent merged)
{
	union btree_rec rec = encode(merged);
	bool found;
	int err;

	if (!left.count && !right.count)
		return freespace_insert(bno, merged);
	if (left.count && right.count) {
		err = freespace_delete(bno, right);
		if (err)
			return err;
	}
	err = freespace_lookup(bno, BTREE_EQ, left.count ? left : right, &found);
	if (!err && !found)
		return freespace_complain(bno->host, merged, "a free extent is missing");
	return err ? err : btree_update(bno, &rec);
}

int freespace_add(struct tx *tx, struct ag *ag, struct buffer *agf, struct free_extent extent)
{
	struct free_extent left, right, merged = extent;
	struct btree_cursor bno, cnt;
	int err;

	bnobt_cursor_init(&bno, tx, ag, agf);
	cntbt_cursor_init(&cnt, tx, ag, agf);
	err = find_neighbours(&bno, extent, &left, &right);
	if (!err) {
		if (left.count)
			merged.start = left.start;
		merged.count += left.count + right.count;
		err = add_to_cntbt(&cnt, left, right, merged);
	}
	if (!err)
		err = add_to_bnobt(&bno, left, right, merged);
	btree_cursor_deinit(&cnt);
	btree_cursor_deinit(&bno);
	return err;
}

int agf_change_free_blocks(struct tx *tx, struct ag *ag, struct buffer *buf, int64_t by)
{
	struct xfs_agf *agf = buf->data;
	int64_t now = (int64_t)be32_to_cpu(agf->agf_freeblks) + by;

	if (now < 0 || now > (int64_t)ag->blocks) {
		msg_error("AG %u: the count of free blocks is wrong", ag->agno);
		return -EFSCORRUPTED;
	}
	agf->agf_freeblks = cpu_to_be32((uint32_t)now);
	ag->free_blocks = (uint32_t)now;
	agf_log(tx, buf, XFS_AGF_FREEBLKS);
	return 0;
}
