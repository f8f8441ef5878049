// SPDX-License-Identifier: GPL-2.0
/*
 * The reverse-mapping tree.  (XFS: libxfs/xfs_rmap_btree.c and the record functions of xfs_rmap.c.)
 *
 * Root and height are in the AGF.  Its blocks come from the AGFL, because an allocation changes this tree: an
 * allocation for the tree inside an allocation would never end.  They are charged to the AG's own reservation for it,
 * one by one.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "rmapbt.h"
#include "tree_size.h"

static struct xfs_agf *cursor_agf(const struct btree_cursor *cur)
{
	return cur->header->data;
}

/* ---- keys ---- */

static uint64_t key_offset(__be64 offset)
{
	return be64_to_cpu(offset) & ~XFS_RMAP_OFF_UNWRITTEN;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int rmapbt_compare(const union btree_key *a, const union btree_key *b)
{
	int order = compare_u64(be32_to_cpu(a->rmap.rm_startblock), be32_to_cpu(b->rmap.rm_startblock));

	if (!order)
		order = compare_u64(be64_to_cpu(a->rmap.rm_owner), be64_to_cpu(b->rmap.rm_owner));
	if (!order)
		order = compare_u64(key_offset(a->rmap.rm_offset), key_offset(b->rmap.rm_offset));
	return order;
}

static void rmapbt_key_of_rec(const union btree_rec *rec, union btree_key *key)
{
	key->rmap.rm_startblock = rec->rmap.rm_startblock;
	key->rmap.rm_owner = rec->rmap.rm_owner;
	key->rmap.rm_offset = cpu_to_be64(key_offset(rec->rmap.rm_offset));
}

/* The last block, at its own offset where there are offsets. */
static void rmapbt_high_key_of_rec(const union btree_rec *rec, union btree_key *key)
{
	uint32_t beyond = be32_to_cpu(rec->rmap.rm_blockcount) - 1;
	uint64_t off = key_offset(rec->rmap.rm_offset);

	if (!XFS_RMAP_NON_INODE_OWNER(be64_to_cpu(rec->rmap.rm_owner)) && !XFS_RMAP_IS_BMBT_BLOCK(off))
		off = (XFS_RMAP_OFF(off) + beyond) | (off & ~XFS_RMAP_OFF_MASK);
	key->rmap.rm_startblock = cpu_to_be32(be32_to_cpu(rec->rmap.rm_startblock) + beyond);
	key->rmap.rm_owner = rec->rmap.rm_owner;
	key->rmap.rm_offset = cpu_to_be64(off);
}

/* ---- root and blocks ---- */

static void rmapbt_get_root(const struct btree_cursor *cur, union btree_ptr *root, uint32_t *levels)
{
	const struct xfs_agf *agf = cursor_agf(cur);

	root->s = agf->agf_roots[XFS_BTNUM_RMAPi];
	*levels = be32_to_cpu(agf->agf_levels[XFS_BTNUM_RMAPi]);
}

static void rmapbt_set_root(struct btree_cursor *cur, const union btree_ptr *root, int level_change)
{
	struct xfs_agf *agf = cursor_agf(cur);
	struct ag *ag = cur->host;

	agf->agf_roots[XFS_BTNUM_RMAPi] = root->s;
	be32_add_cpu(&agf->agf_levels[XFS_BTNUM_RMAPi], level_change);
	ag->rmap_level = (uint8_t)(ag->rmap_level + level_change);
	agf_log(cur->tx, cur->header, XFS_AGF_ROOTS | XFS_AGF_LEVELS);
}

static void count_tree_block(struct btree_cursor *cur, int change)
{
	struct xfs_agf *agf = cursor_agf(cur);
	struct ag *ag = cur->host;

	be32_add_cpu(&agf->agf_rmap_blocks, change);
	ag->rmap_blocks += (uint32_t)change;
	agf_log(cur->tx, cur->header, XFS_AGF_RMAP_BLOCKS);
}

static int rmapbt_alloc_block(struct btree_cursor *cur, const union btree_ptr *near, union btree_ptr *out)
{
	struct ag *ag = cur->host;
	agblk_t agblk;
	int err;

	err = agfl_take(cur->tx, ag, cur->header, &agblk, true);
	if (err)
		return err;
	if (agblk == AGBLK_NONE)
		return -ENOSPC;
	count_tree_block(cur, 1);
	ag_resv_account_alloc(cur->tx, ag, AG_RESV_RMAPBT, 1);
	out->s = cpu_to_be32(agblk);
	return 0;
}

static int rmapbt_free_block(struct btree_cursor *cur, struct buffer *buf)
{
	agblk_t agblk = fsblk_agblk(cur->geo, daddr_to_fsblk(cur->geo, buf->daddr));
	struct ag *ag = cur->host;
	int err;

	count_tree_block(cur, -1);
	err = agfl_put(cur->tx, ag, cur->header, agblk, true);
	if (err)
		return err;
	ag_resv_account_free(cur->tx, ag, AG_RESV_RMAPBT, 1);
	return 0;
}

static const struct btree_ops rmapbt_ops = {
	.name = "rmapbt",
	.block = &block_rmapbt,
	.magic = XFS_RMAP_CRC_MAGIC,
	.rec_bytes = sizeof(struct xfs_rmap_rec),
	.key_bytes = sizeof(struct xfs_rmap_key),
	.is_overlapping = true,
	.compare = rmapbt_compare,
	.key_of_rec = rmapbt_key_of_rec,
	.high_key_of_rec = rmapbt_high_key_of_rec,
	.get_root = rmapbt_get_root,
	.set_root = rmapbt_set_root,
	.alloc_block = rmapbt_alloc_block,
	.free_block = rmapbt_free_block,
};

void rmapbt_cursor_init(struct btree_cursor *cur, struct tx *tx, struct ag *ag, struct buffer *agf)
{
	const struct geometry *geo = space_geometry(ag->space);

	btree_cursor_init(cur, &rmapbt_ops, geo, &geo->rmapbt, space_cache(ag->space), tx, ag->agno);
	cur->agno = ag->agno;
	cur->header = agf;
	cur->host = ag;
}

/* ---- records ---- */

static uint64_t flags_encode(uint32_t flags)
{
	return (flags & RMAP_ATTR_FORK ? XFS_RMAP_OFF_ATTR_FORK : 0) |
	       (flags & RMAP_BMBT_BLOCK ? XFS_RMAP_OFF_BMBT_BLOCK : 0) |
	       (flags & RMAP_UNWRITTEN ? XFS_RMAP_OFF_UNWRITTEN : 0);
}

static uint32_t flags_decode(uint64_t offset)
{
	return (offset & XFS_RMAP_OFF_ATTR_FORK ? RMAP_ATTR_FORK : 0u) |
	       (offset & XFS_RMAP_OFF_BMBT_BLOCK ? RMAP_BMBT_BLOCK : 0u) |
	       (offset & XFS_RMAP_OFF_UNWRITTEN ? RMAP_UNWRITTEN : 0u);
}

static union btree_rec record_encode(const struct rmap_record *rec)
{
	return (union btree_rec){ .rmap = {
		.rm_startblock = cpu_to_be32(rec->agblk),
		.rm_blockcount = cpu_to_be32(rec->count),
		.rm_owner = cpu_to_be64(rec->owner),
		.rm_offset = cpu_to_be64(rec->off | flags_encode(rec->flags)),
	} };
}

static union btree_key record_key(const struct rmap_record *rec)
{
	union btree_rec disk = record_encode(rec);
	union btree_key key;

	rmapbt_key_of_rec(&disk, &key);
	return key;
}

static bool is_possible_owner(const struct geometry *geo, uint64_t owner)
{
	if (XFS_RMAP_NON_INODE_OWNER(owner))
		return owner <= XFS_RMAP_OWN_FS && owner > XFS_RMAP_OWN_MIN;
	return geometry_is_valid_inum(geo, (struct inum){ owner });
}

static const char *place_verify(const struct geometry *geo, const struct ag *ag, const struct rmap_record *rec)
{
	agblk_t header_blocks = ((3u << geo->sector_log) >> geo->block_log) + 1;

	if (!rec->count)
		return "no blocks";
	if (rec->agblk < header_blocks)
		return rec->owner == XFS_RMAP_OWN_FS && rec->count == header_blocks && !rec->agblk ?
			       NULL : "claims a part of the AG's headers";
	if (!geometry_is_valid_extent(geo, fsblk_make(geo, ag->agno, rec->agblk), rec->count))
		return "reaches out of the AG";
	return NULL;
}

static const char *owner_verify(const struct geometry *geo, const struct rmap_record *rec)
{
	if (!is_possible_owner(geo, rec->owner))
		return "impossible owner";
	if (XFS_RMAP_NON_INODE_OWNER(rec->owner))
		return rec->off || rec->flags ? "an owner without files has an offset" : NULL;
	if (rec->flags & RMAP_BMBT_BLOCK)
		return rec->off || (rec->flags & RMAP_UNWRITTEN) ? "a bmbt block has an offset" : NULL;
	if ((rec->flags & RMAP_UNWRITTEN) && (rec->flags & RMAP_ATTR_FORK))
		return "an attribute is unwritten";
	if (rec->off + rec->count - 1 > XFS_RMAP_OFF_MASK)
		return "reaches past the largest file";
	return NULL;
}

int rmapbt_complain(const struct ag *ag, const struct rmap_record *rec, const char *why)
{
	msg_error("AG %u: reverse map, blocks %u+%u of owner %lld at %llu (flags %x): %s", ag->agno, rec->agblk,
		  rec->count, (long long)rec->owner, (unsigned long long)rec->off, rec->flags, why);
	return -EFSCORRUPTED;
}

/* A record of the disk, decoded and checked. */
static int record_decode(const struct btree_cursor *cur, const union btree_rec *disk, struct rmap_record *out)
{
	uint64_t offset = be64_to_cpu(disk->rmap.rm_offset);
	struct rmap_record rec = {
		.agblk = be32_to_cpu(disk->rmap.rm_startblock),
		.count = be32_to_cpu(disk->rmap.rm_blockcount),
		.owner = be64_to_cpu(disk->rmap.rm_owner),
		.off = XFS_RMAP_OFF(offset),
		.flags = flags_decode(offset),
	};
	const char *why = place_verify(cur->geo, cur->host, &rec);

	if (!why)
		why = owner_verify(cur->geo, &rec);
	if (!why && (offset & ~(XFS_RMAP_OFF_MASK | XFS_RMAP_OFF_FLAGS)))
		why = "unknown flags";
	if (why)
		return rmapbt_complain(cur->host, &rec, why);
	*out = rec;
	return 0;
}

int rmapbt_get(struct btree_cursor *cur, struct rmap_record *rec, bool *found)
{
	union btree_rec disk;
	int err;

	err = btree_get_rec(cur, &disk, found);
	if (err || !*found)
		return err;
	return record_decode(cur, &disk, rec);
}

static int find(struct btree_cursor *cur, enum btree_direction how, const struct rmap_record *at,
		struct rmap_record *rec, bool *found)
{
	union btree_key key = record_key(at);
	int err;

	err = btree_lookup(cur, how, &key, found);
	if (err || !*found)
		return err;
	return rmapbt_get(cur, rec, found);
}

int rmapbt_find_le(struct btree_cursor *cur, const struct rmap_record *key, struct rmap_record *rec, bool *found)
{
	return find(cur, BTREE_LE, key, rec, found);
}

int rmapbt_find_eq(struct btree_cursor *cur, const struct rmap_record *key, struct rmap_record *rec, bool *found)
{
	return find(cur, BTREE_EQ, key, rec, found);
}

/* ---- records that cover a block ---- */

struct covering {
	const struct rmap_record *key;
	struct rmap_record *rec;
};

static bool is_covering(const struct rmap_record *rec, const struct rmap_record *key)
{
	uint32_t kind = RMAP_ATTR_FORK | RMAP_BMBT_BLOCK;

	if (rec->owner != key->owner || (rec->flags & kind) != (key->flags & kind))
		return false;
	if (key->agblk < rec->agblk || key->agblk - rec->agblk >= rec->count)
		return false;
	return rmap_has_no_offset(key->owner, key->flags) || key->off - rec->off == key->agblk - rec->agblk;
}

#define FOUND 1

static int visit_covering(struct btree_cursor *cur, const union btree_rec *disk, void *context)
{
	struct covering *wanted = context;
	struct rmap_record rec;
	int err;

	err = record_decode(cur, disk, &rec);
	if (err)
		return err;
	if (!is_covering(&rec, wanted->key))
		return 0;
	*wanted->rec = rec;
	return FOUND;
}

/* Mostly it is the record a plain lookup finds; else all that cover the block are looked at. */
int rmapbt_find_covering(struct btree_cursor *cur, const struct rmap_record *key, struct rmap_record *rec,
			 bool *found)
{
	struct covering wanted = { .key = key, .rec = rec };
	union btree_key at = record_key(key);
	int err;

	err = rmapbt_find_le(cur, key, rec, found);
	if (err || (*found && is_covering(rec, key)))
		return err;
	err = btree_query_range(cur, &at, &at, visit_covering, &wanted);
	if (err && err != FOUND)
		return err;
	*found = err == FOUND;
	return 0;
}

/* ---- changes ---- */

int rmapbt_insert(struct btree_cursor *cur, const struct rmap_record *rec)
{
	union btree_rec disk = record_encode(rec);
	union btree_key key = record_key(rec);
	bool found;
	int err;

	err = btree_lookup(cur, BTREE_EQ, &key, &found);
	if (err)
		return err;
	if (found)
		return rmapbt_complain(cur->host, rec, "is mapped already");
	return btree_insert(cur, &disk);
}

static int move_to(struct btree_cursor *cur, const struct rmap_record *rec)
{
	union btree_key key = record_key(rec);
	bool found;
	int err;

	err = btree_lookup(cur, BTREE_EQ, &key, &found);
	if (!err && !found)
		err = rmapbt_complain(cur->host, rec, "a record vanished");
	return err;
}

int rmapbt_delete(struct btree_cursor *cur, const struct rmap_record *rec)
{
	int err = move_to(cur, rec);

	return err ? err : btree_delete(cur);
}

int rmapbt_replace(struct btree_cursor *cur, const struct rmap_record *old, const struct rmap_record *new)
{
	union btree_rec disk = record_encode(new);
	union btree_key a = record_key(old), b = record_key(new);
	int err;

	if (rmapbt_compare(&a, &b) != 0) {
		err = rmapbt_delete(cur, old);
		return err ? err : rmapbt_insert(cur, new);
	}
	err = move_to(cur, old);
	return err ? err : btree_update(cur, &disk);
}

/* ---- sizes ---- */

uint32_t rmapbt_max_blocks(const struct geometry *geo, const struct ag *ag)
{
	uint32_t blocks = ag_blocks_without_log(geo, ag);

	return geo->has_rmapbt ? (uint32_t)max_u64(blocks / 100, tree_max_blocks(&geo->rmapbt, blocks)) : 0;
}

int rmapbt_count_blocks(struct ag *ag, struct buffer *agf, uint32_t *blocks)
{
	const struct xfs_agf *header = agf->data;

	*blocks = space_geometry(ag->space)->has_rmapbt ? be32_to_cpu(header->agf_rmap_blocks) : 0;
	return 0;
}
