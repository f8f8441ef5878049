// SPDX-License-Identifier: GPL-2.0
/*
 * From inode numbers to bytes, and the walk over all inodes of an AG.  (XFS: xfs_imap, xfs_iwalk_ag.)
 *
 * With aligned clusters a number is its own address.  Without, the chunk's start has to be looked up, because
 * clusters count from there.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "inobt.h"
#include "space_private.h"

/* The chunk that holds @agino; -EINVAL when there is none, or when the inode does not exist or (@allocated) is free.
 * */
static int find_chunk(struct tx *tx, struct ag *ag, agino_t agino, bool allocated, struct inode_record *rec)
{
	struct btree_cursor cur;
	struct buffer *agi;
	uint64_t bit;
	bool found;
	int err;

	err = ag_read_agi(tx, ag, &agi);
	if (err)
		return err;
	inobt_cursor_init(&cur, tx, ag, agi, INODE_TREE_ALL);
	err = inobt_find(&cur, BTREE_LE, agino, rec, &found);
	btree_cursor_deinit(&cur);
	ag_release_header(tx, agi);
	if (err)
		return err;
	if (!found || !inode_record_covers(rec, agino))
		return -EINVAL;
	bit = 1ull << (agino - rec->first);
	if (!(inode_record_existing(rec) & bit) || (allocated && (rec->free & bit)))
		return -EINVAL;
	return 0;
}

static int no_such_inode(struct inum ino, bool untrusted)
{
	if (untrusted)
		return -EINVAL;
	msg_error("inode %llu: the number lies outside the volume", (unsigned long long)ino.v);
	return -EFSCORRUPTED;
}

int ialloc_place(struct tx *tx, struct space *space, struct inum ino, bool untrusted, struct inode_place *out)
{
	const struct geometry *geo = space_geometry(space);
	agino_t agino = inum_agino(geo, ino);
	agblk_t agblk = agino_to_agblk(geo, agino), first = 0;
	struct inode_record rec;
	agno_t agno;
	int err;

	if (!geometry_is_valid_inum(geo, ino))
		return no_such_inode(ino, untrusted);
	agno = inum_agno(geo, ino);
	if (untrusted || !geo->has_cluster_alignment) {
		err = find_chunk(tx, space_ag(space, agno), agino, untrusted, &rec);
		if (err == -EINVAL)
			return no_such_inode(ino, untrusted);
		if (err)
			return err;
		first = agino_to_agblk(geo, rec.first);
	}
	agblk -= (agblk - first) % geo->cluster_blocks;
	out->daddr = agblk_to_daddr(geo, agno, agblk);
	out->count = geo->cluster_bytes >> SECTOR_UNIT_LOG;
	out->off_bytes = (agino - agblk_to_agino(geo, agblk)) << geo->inode_log;
	return 0;
}

/* ---- walk ---- */

#define WALK_RECORDS 64		/* copied per visit to the tree: nobody waits for the AGI while inodes are visited */

static int copy_records(struct ag *ag, agino_t from, struct inode_record *recs, unsigned *count)
{
	struct btree_cursor cur;
	struct buffer *agi;
	bool found;
	int err;

	*count = 0;
	err = ag_read_agi(NULL, ag, &agi);
	if (err)
		return err;
	inobt_cursor_init(&cur, NULL, ag, agi, INODE_TREE_ALL);
	err = inobt_find(&cur, BTREE_LE, from, &recs[0], &found);
	if (!err && (!found || !inode_record_covers(&recs[0], from)))
		err = inobt_find(&cur, BTREE_GE, from, &recs[0], &found);
	while (!err && found) {
		if (++*count == WALK_RECORDS)
			break;
		err = btree_increment(&cur, 0, &found);
		if (!err && found)
			err = inobt_get(&cur, &recs[*count], &found);
		if (!err && found && recs[*count].first < recs[*count - 1].first + INODE_CHUNK)
			err = inobt_complain(ag, recs[*count].first, "records out of order");
	}
	btree_cursor_deinit(&cur);
	buffer_release(agi);
	return err;
}

static int visit_record(const struct geometry *geo, agno_t agno, const struct inode_record *rec, agino_t from,
			int (*visit)(struct inum ino, void *context), void *context)
{
	uint64_t left = inode_record_existing(rec) & ~rec->free;
	int err;

	for (; left; left &= left - 1) {
		agino_t agino = rec->first + (agino_t)__builtin_ctzll(left);

		if (agino < from)
			continue;
		err = visit(inum_make(geo, agno, agino), context);
		if (err)
			return err;
	}
	return 0;
}

int ialloc_walk(struct space *space, agno_t agno, agino_t from,
		int (*visit)(struct inum ino, void *context), void *context)
{
	const struct geometry *geo = space_geometry(space);
	struct inode_record recs[WALK_RECORDS];
	unsigned count;
	int err;

	do {
		err = copy_records(space_ag(space, agno), from, recs, &count);
		for (unsigned i = 0; i < count && !err; i++)
			err = visit_record(geo, agno, &recs[i], from, visit, context);
		if (err)
			return err;
		if (count)
			from = recs[count - 1].first + INODE_CHUNK;
	} while (count == WALK_RECORDS);
	return 0;
}
