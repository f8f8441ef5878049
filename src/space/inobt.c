// SPDX-License-Identifier: GPL-2.0
/*
 * The inode trees: inobt and finobt.  (XFS: libxfs/xfs_ialloc_btree.c and the record functions of xfs_ialloc.c.)
 *
 * Roots and heights are in the AGI, which serializes both trees.  Blocks are ordinary AG blocks owned by
 * XFS_RMAP_OWN_INOBT; those of the finobt come out of the AG's metadata reservation, so that freeing an inode on a
 * full volume can always add the record it needs.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "inobt.h"
#include "tree_size.h"

static const struct rmap_owner inobt_owner = { .owner = XFS_RMAP_OWN_INOBT };

static struct xfs_agi *cursor_agi(const struct btree_cursor *cur)
{
	return cur->header->data;
}

static bool is_free_tree(const struct btree_cursor *cur)
{
	return cur->ops->block == &block_finobt;
}

static enum ag_reservation tree_reservation(const struct btree_cursor *cur)
{
	const struct ag *ag = cur->host;

	return is_free_tree(cur) && !ag->finobt_unreserved ? AG_RESV_METADATA : AG_RESV_NONE;
}

static int inobt_compare(const union btree_key *a, const union btree_key *b)
{
	uint32_t x = be32_to_cpu(a->inobt.ir_startino), y = be32_to_cpu(b->inobt.ir_startino);

	return x < y ? -1 : x > y;
}

static void inobt_key_of_rec(const union btree_rec *rec, union btree_key *key)
{
	key->inobt.ir_startino = rec->inobt.ir_startino;
}

static void inobt_high_key_of_rec(const union btree_rec *rec, union btree_key *key)
{
	key->inobt.ir_startino = cpu_to_be32(be32_to_cpu(rec->inobt.ir_startino) + INODE_CHUNK - 1);
}

static void inobt_get_root(const struct btree_cursor *cur, union btree_ptr *root, uint32_t *levels)
{
	const struct xfs_agi *agi = cursor_agi(cur);

	root->s = is_free_tree(cur) ? agi->agi_free_root : agi->agi_root;
	*levels = be32_to_cpu(is_free_tree(cur) ? agi->agi_free_level : agi->agi_level);
}

static void inobt_set_root(struct btree_cursor *cur, const union btree_ptr *root, int level_change)
{
	struct xfs_agi *agi = cursor_agi(cur);

	if (is_free_tree(cur)) {
		agi->agi_free_root = root->s;
		be32_add_cpu(&agi->agi_free_level, level_change);
		agi_log(cur->tx, cur->header, XFS_AGI_FREE_ROOT | XFS_AGI_FREE_LEVEL);
	} else {
		agi->agi_root = root->s;
		be32_add_cpu(&agi->agi_level, level_change);
		agi_log(cur->tx, cur->header, XFS_AGI_ROOT | XFS_AGI_LEVEL);
	}
}

static void count_tree_block(struct btree_cursor *cur, int change)
{
	struct xfs_agi *agi = cursor_agi(cur);

	if (!cur->geo->has_inobt_counts)
		return;
	be32_add_cpu(is_free_tree(cur) ? &agi->agi_fblocks : &agi->agi_iblocks, change);
	agi_log(cur->tx, cur->header, XFS_AGI_IBLOCKS);
}

static int inobt_alloc_block(struct btree_cursor *cur, const union btree_ptr *near, union btree_ptr *out)
{
	struct ag *ag = cur->host;
	struct alloc_request req = {
		.how = ALLOC_NEAR_THIS_AG,
		.target = fsblk_make(cur->geo, ag->agno, be32_to_cpu(near->s)),
		.min_count = 1,
		.max_count = 1,
		.owner = inobt_owner,
		.resv = tree_reservation(cur),
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

static int inobt_free_block(struct btree_cursor *cur, struct buffer *buf)
{
	struct ag *ag = cur->host;

	count_tree_block(cur, -1);
	space_free_deferred(cur->tx, ag->space, daddr_to_fsblk(cur->geo, buf->daddr), 1, &inobt_owner,
			    tree_reservation(cur), false);
	return 0;
}

#define INOBT_OPS(name_, block_, magic_) { \
	.name = (name_), \
	.block = (block_), \
	.magic = (magic_), \
	.rec_bytes = sizeof(struct xfs_inobt_rec), \
	.key_bytes = sizeof(struct xfs_inobt_key), \
	.compare = inobt_compare, \
	.key_of_rec = inobt_key_of_rec, \
	.high_key_of_rec = inobt_high_key_of_rec, \
	.get_root = inobt_get_root, \
	.set_root = inobt_set_root, \
	.alloc_block = inobt_alloc_block, \
	.free_block = inobt_free_block }

static const struct btree_ops inobt_ops = INOBT_OPS("inobt", &block_inobt, XFS_IBT_CRC_MAGIC);
static const struct btree_ops finobt_ops = INOBT_OPS("finobt", &block_finobt, XFS_FIBT_CRC_MAGIC);

void inobt_cursor_init(struct btree_cursor *cur, struct tx *tx, struct ag *ag, struct buffer *agi,
		       enum inode_tree tree)
{
	const struct geometry *geo = space_geometry(ag->space);
	bool is_free = tree == INODE_TREE_FREE;

	btree_cursor_init(cur, is_free ? &finobt_ops : &inobt_ops, geo, is_free ? &geo->finobt : &geo->inobt,
			  space_cache(ag->space), tx, ag->agno);
	cur->agno = ag->agno;
	cur->header = agi;
	cur->host = ag;
}

int inobt_lookup(struct btree_cursor *cur, enum btree_direction how, agino_t agino, bool *found)
{
	union btree_key key = { .inobt.ir_startino = cpu_to_be32(agino) };

	return btree_lookup(cur, how, &key, found);
}

uint64_t inode_record_existing(const struct inode_record *rec)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < INODE_CHUNK / INODES_PER_HOLE_BIT; i++)
		if (!(rec->holes & 1u << i))
			mask |= (uint64_t)0xf << i * INODES_PER_HOLE_BIT;
	return mask;
}

int inobt_complain(const struct ag *ag, agino_t agino, const char *why)
{
	msg_error("AG %u: inode tree, inode %u: %s", ag->agno, agino, why);
	return -EFSCORRUPTED;
}

static struct inode_record record_decode(const struct geometry *geo, const struct xfs_inobt_rec *disk)
{
	struct inode_record rec = {
		.first = be32_to_cpu(disk->ir_startino),
		.count = INODE_CHUNK,
		.free = be64_to_cpu(disk->ir_free),
	};
	uint32_t free_count;

	if (geo->has_sparse_inodes) {
		rec.holes = be16_to_cpu(disk->ir_u.sp.ir_holemask);
		rec.count = disk->ir_u.sp.ir_count;
		rec.free_count = disk->ir_u.sp.ir_freecount;
	} else {
		/* Too large for the field means wrong; 255 is as wrong. */
		free_count = be32_to_cpu(disk->ir_u.f.ir_freecount);
		rec.free_count = free_count > UINT8_MAX ? UINT8_MAX : (uint8_t)free_count;
	}
	return rec;
}

static union btree_rec record_encode(const struct geometry *geo, const struct inode_record *rec)
{
	union btree_rec disk = { .inobt = {
		.ir_startino = cpu_to_be32(rec->first),
		.ir_free = cpu_to_be64(rec->free),
	} };

	if (geo->has_sparse_inodes) {
		disk.inobt.ir_u.sp.ir_holemask = cpu_to_be16(rec->holes);
		disk.inobt.ir_u.sp.ir_count = rec->count;
		disk.inobt.ir_u.sp.ir_freecount = rec->free_count;
	} else {
		disk.inobt.ir_u.f.ir_freecount = cpu_to_be32(rec->free_count);
	}
	return disk;
}

/* Space is allocated in blocks: their inodes exist all or not at all. */
static bool has_torn_block(const struct geometry *geo, const struct inode_record *rec)
{
	uint64_t existing = inode_record_existing(rec), block;
	unsigned per_block = geo->inodes_per_block;

	if (per_block >= INODE_CHUNK)
		return inode_record_is_sparse(rec);
	for (unsigned i = 0; i < INODE_CHUNK; i += per_block) {
		block = xfs_inobt_maskn((int)i, (int)per_block);
		if ((existing & block) != 0 && (existing & block) != block)
			return true;
	}
	return false;
}

/*
 * NULL or the reason.  The inodes of a full chunk lie inside the AG; of a sparse chunk those that exist do, the rest
 * may reach past the end of a short last AG.
 */
static const char *record_verify(const struct geometry *geo, const struct ag *ag, const struct inode_record *rec)
{
	uint64_t existing = inode_record_existing(rec);
	uint32_t unit = geo->inodes_per_block < INODE_CHUNK ? geo->inodes_per_block : INODE_CHUNK;

	if (!existing)
		return "chunk without inodes";
	if (rec->first < ag->agino_first || rec->first % unit)
		return "chunk starts at an impossible number";
	if ((uint64_t)rec->first + log2_floor(existing) >= ag->agino_end)
		return "chunk reaches past the end of the AG";
	if (has_torn_block(geo, rec))
		return "chunk has a part of a block";
	if (rec->count != __builtin_popcountll(existing))
		return "inode count contradicts the hole mask";
	if (rec->free_count != __builtin_popcountll(existing & rec->free))
		return "free count contradicts the free mask";
	return NULL;
}

int inobt_get(struct btree_cursor *cur, struct inode_record *out, bool *found)
{
	struct inode_record rec;
	union btree_rec disk;
	const char *why;
	int err;

	err = btree_get_rec(cur, &disk, found);
	if (err || !*found)
		return err;
	rec = record_decode(cur->geo, &disk.inobt);
	why = record_verify(cur->geo, cur->host, &rec);
	if (why)
		return inobt_complain(cur->host, rec.first, why);
	*out = rec;
	return 0;
}

int inobt_find(struct btree_cursor *cur, enum btree_direction how, agino_t agino, struct inode_record *rec,
	       bool *found)
{
	int err;

	err = inobt_lookup(cur, how, agino, found);
	if (err || !*found)
		return err;
	return inobt_get(cur, rec, found);
}

int inobt_update(struct btree_cursor *cur, const struct inode_record *rec)
{
	union btree_rec disk = record_encode(cur->geo, rec);

	return btree_update(cur, &disk);
}

int inobt_insert(struct btree_cursor *cur, const struct inode_record *rec)
{
	union btree_rec disk = record_encode(cur->geo, rec);
	bool found;
	int err;

	err = inobt_lookup(cur, BTREE_EQ, rec->first, &found);
	if (err)
		return err;
	if (found)
		return inobt_complain(cur->host, rec->first, "there is a record for a chunk that was free space");
	return btree_insert(cur, &disk);
}

static int count_tree(struct ag *ag, struct buffer *agi, enum inode_tree tree, uint32_t *out)
{
	struct btree_cursor cur;
	uint64_t blocks;
	int err;

	inobt_cursor_init(&cur, NULL, ag, agi, tree);
	err = btree_count_blocks(&cur, &blocks);
	btree_cursor_deinit(&cur);
	if (!err)
		*out = (uint32_t)blocks;
	return err;
}

int ialloc_count_blocks(struct ag *ag, struct buffer *agi, uint32_t *inobt_blocks, uint32_t *finobt_blocks)
{
	const struct geometry *geo = space_geometry(ag->space);
	const struct xfs_agi *header = agi->data;
	uint32_t all, free_tree = 0;
	int err;

	if (geo->has_inobt_counts) {
		*inobt_blocks = be32_to_cpu(header->agi_iblocks);
		*finobt_blocks = be32_to_cpu(header->agi_fblocks);
		return 0;
	}
	err = count_tree(ag, agi, INODE_TREE_ALL, &all);
	if (!err && geo->has_finobt)
		err = count_tree(ag, agi, INODE_TREE_FREE, &free_tree);
	if (err)
		return err;
	*inobt_blocks = all;
	*finobt_blocks = free_tree;
	return 0;
}

uint32_t finobt_max_blocks(const struct geometry *geo, const struct ag *ag)
{
	uint64_t inodes = (uint64_t)ag_blocks_without_log(geo, ag) * geo->inodes_per_block;

	return geo->has_finobt ? tree_max_blocks(&geo->finobt, inodes / INODE_CHUNK) : 0;
}
