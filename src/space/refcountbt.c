// SPDX-License-Identifier: GPL-2.0
/*
 * The reference-count tree.  (XFS: libxfs/xfs_refcount_btree.c and the record functions of xfs_refcount.c.)
 *
 * Root and height are in the AGF.  Its blocks are ordinary AG blocks owned by XFS_RMAP_OWN_REFC, out of the AG's
 * metadata reservation and near the place of the first root, which mkfs chose behind the roots of the other trees.
 *
 * The highest bit of a record's start says staging, so those records sort behind all others.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "refcountbt.h"
#include "tree_size.h"

static const struct rmap_owner refcountbt_owner = { .owner = XFS_RMAP_OWN_REFC };

static struct xfs_agf *cursor_agf(const struct btree_cursor *cur)
{
	return cur->header->data;
}

static int refcountbt_compare(const union btree_key *a, const union btree_key *b)
{
	uint32_t x = be32_to_cpu(a->refcount.rc_startblock), y = be32_to_cpu(b->refcount.rc_startblock);

	return x < y ? -1 : x > y;
}

static void refcountbt_key_of_rec(const union btree_rec *rec, union btree_key *key)
{
	key->refcount.rc_startblock = rec->refcount.rc_startblock;
}

static void refcountbt_high_key_of_rec(const union btree_rec *rec, union btree_key *key)
{
	uint32_t last = be32_to_cpu(rec->refcount.rc_startblock) + be32_to_cpu(rec->refcount.rc_blockcount) - 1;

	key->refcount.rc_startblock = cpu_to_be32(last);
}

static void refcountbt_get_root(const struct btree_cursor *cur, union btree_ptr *root, uint32_t *levels)
{
	const struct xfs_agf *agf = cursor_agf(cur);

	root->s = agf->agf_refcount_root;
	*levels = be32_to_cpu(agf->agf_refcount_level);
}

static void refcountbt_set_root(struct btree_cursor *cur, const union btree_ptr *root, int level_change)
{
	struct xfs_agf *agf = cursor_agf(cur);
	struct ag *ag = cur->host;

	agf->agf_refcount_root = root->s;
	be32_add_cpu(&agf->agf_refcount_level, level_change);
	ag->refcount_level = (uint8_t)(ag->refcount_level + level_change);
	agf_log(cur->tx, cur->header, XFS_AGF_REFCOUNT_ROOT | XFS_AGF_REFCOUNT_LEVEL);
}

static void count_tree_block(struct btree_cursor *cur, int change)
{
	struct xfs_agf *agf = cursor_agf(cur);
	struct ag *ag = cur->host;

	be32_add_cpu(&agf->agf_refcount_blocks, change);
	ag->refcount_blocks += (uint32_t)change;
	agf_log(cur->tx, cur->header, XFS_AGF_REFCOUNT_BLOCKS);
}

/* Where mkfs put the root: behind the headers and the roots of bnobt, cntbt, inobt and, where present, finobt,
 * rmapbt. */
static agblk_t first_root(const struct geometry *geo)
{
	return ((3u << geo->sector_log) >> geo->block_log) + 4 + geo->has_finobt + geo->has_rmapbt;
}

static int refcountbt_alloc_block(struct btree_cursor *cur, const union btree_ptr *near, union btree_ptr *out)
{
	struct ag *ag = cur->host;
	struct alloc_request req = {
		.how = ALLOC_NEAR_THIS_AG,
		.target = fsblk_make(cur->geo, ag->agno, first_root(cur->geo)),
		.min_count = 1,
		.max_count = 1,
		.owner = refcountbt_owner,
		.resv = AG_RESV_METADATA,
	};
	int err;

	err = space_alloc(cur->tx, ag->space, &req);
	if (err)
		return err;
	if (fsblk_is_none(req.start))
		return -ENOSPC;
	count_tree_block(cur, 1);
	out->s = cpu_to_be32(fsblk_agblk(cur->geo, req.start));
	return 0;
}

static int refcountbt_free_block(struct btree_cursor *cur, struct buffer *buf)
{
	struct ag *ag = cur->host;

	count_tree_block(cur, -1);
	space_free_deferred(cur->tx, ag->space, daddr_to_fsblk(cur->geo, buf->daddr), 1, &refcountbt_owner,
			    AG_RESV_METADATA, false);
	return 0;
}

static const struct btree_ops refcountbt_ops = {
	.name = "refcountbt",
	.block = &block_refcountbt,
	.magic = XFS_REFC_CRC_MAGIC,
	.rec_bytes = sizeof(struct xfs_refcount_rec),
	.key_bytes = sizeof(struct xfs_refcount_key),
	.compare = refcountbt_compare,
	.key_of_rec = refcountbt_key_of_rec,
	.high_key_of_rec = refcountbt_high_key_of_rec,
	.get_root = refcountbt_get_root,
	.set_root = refcountbt_set_root,
	.alloc_block = refcountbt_alloc_block,
	.free_block = refcountbt_free_block,
};

void refcountbt_cursor_init(struct btree_cursor *cur, struct tx *tx, struct ag *ag, struct buffer *agf)
{
	const struct geometry *geo = space_geometry(ag->space);

	btree_cursor_init(cur, &refcountbt_ops, geo, &geo->refcountbt, space_cache(ag->space), tx, ag->agno);
	cur->agno = ag->agno;
	cur->header = agf;
	cur->host = ag;
}

/* ---- records ---- */

static uint32_t start_encode(enum refcount_set set, agblk_t agblk)
{
	return agblk | (set == REFCOUNT_STAGING ? XFS_REFC_COWFLAG : 0);
}

static union btree_rec record_encode(const struct refcount_record *rec)
{
	return (union btree_rec){ .refcount = {
		.rc_startblock = cpu_to_be32(start_encode(rec->set, rec->agblk)),
		.rc_blockcount = cpu_to_be32(rec->count),
		.rc_refcount = cpu_to_be32(rec->refs),
	} };
}

int refcountbt_complain(const struct ag *ag, const struct refcount_record *rec, const char *why)
{
	msg_error("AG %u: reference counts, %s blocks %u+%u with %u references: %s", ag->agno,
		  rec->set == REFCOUNT_STAGING ? "staging" : "shared", rec->agblk, rec->count, rec->refs, why);
	return -EFSCORRUPTED;
}

static const char *record_verify(const struct geometry *geo, const struct ag *ag, const struct refcount_record *rec)
{
	if (!rec->count)
		return "no blocks";
	if (!geometry_is_valid_extent(geo, fsblk_make(geo, ag->agno, rec->agblk), rec->count))
		return "reaches out of the AG";
	if (rec->set == REFCOUNT_STAGING ? rec->refs != 1 : rec->refs < 2)
		return "impossible count";
	return NULL;
}

int refcountbt_get(struct btree_cursor *cur, struct refcount_record *out, bool *found)
{
	struct refcount_record rec;
	union btree_rec disk;
	const char *why;
	uint32_t start;
	int err;

	err = btree_get_rec(cur, &disk, found);
	if (err || !*found)
		return err;
	start = be32_to_cpu(disk.refcount.rc_startblock);
	rec = (struct refcount_record){
		.set = start & XFS_REFC_COWFLAG ? REFCOUNT_STAGING : REFCOUNT_SHARED,
		.agblk = start & ~XFS_REFC_COWFLAG,
		.count = be32_to_cpu(disk.refcount.rc_blockcount),
		.refs = be32_to_cpu(disk.refcount.rc_refcount),
	};
	why = record_verify(cur->geo, cur->host, &rec);
	if (why)
		return refcountbt_complain(cur->host, &rec, why);
	*out = rec;
	return 0;
}

static int lookup(struct btree_cursor *cur, enum btree_direction how, enum refcount_set set, agblk_t agblk,
		  bool *found)
{
	union btree_key key = { .refcount.rc_startblock = cpu_to_be32(start_encode(set, agblk)) };

	return btree_lookup(cur, how, &key, found);
}

int refcountbt_find(struct btree_cursor *cur, enum refcount_set set, agblk_t agblk, struct refcount_record *rec,
		    bool *found)
{
	int err;

	err = lookup(cur, BTREE_LE, set, agblk, found);
	if (!err && *found)
		err = refcountbt_get(cur, rec, found);
	if (!err && *found && rec->set == set && refcount_record_end(rec) > agblk)
		return 0;
	if (!err)
		err = btree_increment(cur, 0, found);
	if (!err && *found)
		err = refcountbt_get(cur, rec, found);
	if (!err && *found)
		*found = rec->set == set;
	return err;
}

int refcountbt_insert(struct btree_cursor *cur, const struct refcount_record *rec)
{
	union btree_rec disk = record_encode(rec);
	bool found;
	int err;

	err = lookup(cur, BTREE_EQ, rec->set, rec->agblk, &found);
	if (err)
		return err;
	if (found)
		return refcountbt_complain(cur->host, rec, "there is a record already");
	return btree_insert(cur, &disk);
}

static int move_to(struct btree_cursor *cur, const struct refcount_record *rec)
{
	bool found;
	int err;

	err = lookup(cur, BTREE_EQ, rec->set, rec->agblk, &found);
	if (!err && !found)
		err = refcountbt_complain(cur->host, rec, "a record vanished");
	return err;
}

int refcountbt_delete(struct btree_cursor *cur, const struct refcount_record *rec)
{
	int err = move_to(cur, rec);

	return err ? err : btree_delete(cur);
}

int refcountbt_replace(struct btree_cursor *cur, const struct refcount_record *old,
		       const struct refcount_record *new)
{
	union btree_rec disk = record_encode(new);
	int err = move_to(cur, old);

	return err ? err : btree_update(cur, &disk);
}

/* ---- sizes ---- */

uint32_t refcountbt_max_blocks(const struct geometry *geo, const struct ag *ag)
{
	return geo->has_reflink ? tree_max_blocks(&geo->refcountbt, ag_blocks_without_log(geo, ag)) : 0;
}

int refcountbt_count_blocks(struct ag *ag, struct buffer *agf, uint32_t *blocks)
{
	const struct xfs_agf *header = agf->data;

	*blocks = space_geometry(ag->space)->has_reflink ? be32_to_cpu(header->agf_refcount_blocks) : 0;
	return 0;
}
