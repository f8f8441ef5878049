// SPDX-License-Identifier: GPL-2.0
/*
 * Freeing an inode number.  (XFS: xfs_difree, xfs_difree_inobt, xfs_difree_finobt, xfs_difree_inode_chunk.)
 *
 * A chunk whose inodes are all free goes back to free space, unless a block holds several chunks.  The inodes' bytes
 * are not touched here.
 */
#include <userxfs/base/error.h>

#include "ialloc_private.h"

static const struct rmap_owner inodes_owner = { .owner = XFS_RMAP_OWN_INODES };

static bool goes_back_to_free_space(const struct geometry *geo, const struct inode_record *rec)
{
	return rec->free == XFS_INOBT_ALL_FREE && geo->inodes_per_block <= INODE_CHUNK;
}

/* Frees each run of existing inodes of the chunk. */
static void free_chunk_blocks(struct tx *tx, struct ag *ag, const struct inode_record *rec)
{
	const struct geometry *geo = space_geometry(ag->space);
	uint64_t left = inode_record_existing(rec);

	while (left) {
		unsigned first = (unsigned)__builtin_ctzll(left);
		uint64_t after = ~(left >> first);
		unsigned count = after ? (unsigned)__builtin_ctzll(after) : INODE_CHUNK;
		agblk_t agblk = agino_to_agblk(geo, rec->first + first);

		space_free_deferred(tx, ag->space, fsblk_make(geo, ag->agno, agblk), count >> geo->inopb_log,
				    &inodes_owner, AG_RESV_NONE, false);
		left &= ~(xfs_inobt_maskn((int)first, (int)count));
	}
}

static int find_allocated(struct btree_cursor *cur, agino_t agino, struct inode_record *rec)
{
	const struct ag *ag = cur->host;
	uint64_t bit;
	bool found;
	int err;

	err = inobt_find(cur, BTREE_LE, agino, rec, &found);
	if (err)
		return err;
	if (!found || !inode_record_covers(rec, agino))
		return inobt_complain(ag, agino, "an inode to be freed is in no chunk");
	bit = 1ull << (agino - rec->first);
	if (rec->free & bit)
		return inobt_complain(ag, agino, "an inode to be freed is free already");
	return 0;
}

/* Returns the record as it is after freeing @agino in *rec, also when the chunk is gone. */
static int free_in_inobt(struct tx *tx, struct ag *ag, struct buffer *agi, agino_t agino, struct inode_record *rec)
{
	const struct geometry *geo = space_geometry(ag->space);
	struct btree_cursor cur;
	int err;

	inobt_cursor_init(&cur, tx, ag, agi, INODE_TREE_ALL);
	err = find_allocated(&cur, agino, rec);
	if (err)
		goto out_deinit;
	rec->free |= 1ull << (agino - rec->first);
	rec->free_count++;
	err = goes_back_to_free_space(geo, rec) ? btree_delete(&cur) : inobt_update(&cur, rec);
out_deinit:
	btree_cursor_deinit(&cur);
	return err;
}

/* Brings the finobt in line with the inobt's record @wanted; each tree is changed by itself, so that a lie shows. */
static int free_in_finobt(struct tx *tx, struct ag *ag, struct buffer *agi, agino_t agino,
			  const struct inode_record *wanted)
{
	struct inode_record rec;
	struct btree_cursor cur;
	bool found;
	int err;

	inobt_cursor_init(&cur, tx, ag, agi, INODE_TREE_FREE);
	err = inobt_find(&cur, BTREE_EQ, wanted->first, &rec, &found);
	if (err)
		goto out_deinit;
	if (!found) {
		/* The first free inode of its chunk; of a chunk of one inode there is none. */
		err = wanted->free_count == 1 ? inobt_insert(&cur, wanted) :
						inobt_complain(ag, wanted->first, "not in the finobt");
		goto out_deinit;
	}
	rec.free |= 1ull << (agino - rec.first);
	rec.free_count++;
	if (rec.free != wanted->free || rec.free_count != wanted->free_count)
		err = inobt_complain(ag, wanted->first, "inobt and finobt disagree");
	else if (goes_back_to_free_space(space_geometry(ag->space), &rec))
		err = btree_delete(&cur);
	else
		err = inobt_update(&cur, &rec);
out_deinit:
	btree_cursor_deinit(&cur);
	return err;
}

int ialloc_free(struct tx *tx, struct space *space, struct inum ino, struct inode_chunk_freed *freed)
{
	const struct geometry *geo = space_geometry(space);
	struct ag *ag = space_ag(space, inum_agno(geo, ino));
	agino_t agino = inum_agino(geo, ino);
	struct inode_record rec;
	struct buffer *agi;
	int err;

	ensure(geometry_is_valid_inum(geo, ino));
	err = ag_read_agi(tx, ag, &agi);
	if (err)
		return err;
	err = free_in_inobt(tx, ag, agi, agino, &rec);
	if (!err && geo->has_finobt)
		err = free_in_finobt(tx, ag, agi, agino, &rec);
	if (err)
		return err;

	freed->is_deleted = goes_back_to_free_space(geo, &rec);
	freed->first = inum_make(geo, ag->agno, rec.first);
	freed->allocated_mask = inode_record_existing(&rec);
	if (!freed->is_deleted) {
		ialloc_count(tx, ag, agi, 0, 1);
		return 0;
	}
	free_chunk_blocks(tx, ag, &rec);
	ialloc_count(tx, ag, agi, -(int32_t)rec.count, 1 - (int32_t)rec.count);
	return 0;
}
