// SPDX-License-Identifier: GPL-2.0
/*
 * The unlinked lists: inodes without a name that are still in use, so that a mount after a crash can free them.
 * (XFS: xfs_iunlink, xfs_iunlink_remove.)
 *
 *	AGI bucket agino % 64  ->  inode  ->  inode  ->  AGINO_NONE	(di_next_unlinked)
 *
 * On disk a list is singly linked; in memory each inode also knows its predecessor, as all of them stay in memory
 * while they are unlinked: they are referenced, or queued to be freed.  Only what a crash left behind, or what could
 * not be freed, may be missing; it is read when a neighbour needs it, and a predecessor that is not known is looked
 * for from the bucket on.
 *
 * The pointers are not part of the inode's log item: they are changed in the cluster buffer and logged there, which
 * recovery replays even where it skips newer inodes of that buffer.  The AGI's lock guards the lists, in memory too.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "cache.h"

static agino_t agino_of(const struct inode *inode)
{
	return inum_agino(inode->cache->geo, inode->ino);
}

static agno_t agno_of(const struct inode *inode)
{
	return inum_agno(inode->cache->geo, inode->ino);
}

static unsigned bucket_of(const struct inode *inode)
{
	return agino_of(inode) % XFS_AGI_UNLINKED_BUCKETS;
}

static agino_t bucket_head(struct buffer *agi, unsigned bucket)
{
	return be32_to_cpu(((const struct xfs_agi *)agi->data)->agi_unlinked[bucket]);
}

static void set_bucket(struct tx *tx, struct buffer *agi, unsigned bucket, agino_t agino)
{
	struct xfs_agi *header = agi->data;
	uint32_t off = (uint32_t)(offsetof(struct xfs_agi, agi_unlinked) + bucket * sizeof(header->agi_unlinked[0]));

	header->agi_unlinked[bucket] = cpu_to_be32(agino);
	tx_buffer_log(tx, agi, off, off + (uint32_t)sizeof(header->agi_unlinked[0]));
}

/* Changes the pointer on disk from what memory says it is. */
static int set_next(struct tx *tx, struct inode *inode, agino_t next)
{
	uint32_t off = inode->place.off_bytes + (uint32_t)offsetof(struct xfs_dinode, di_next_unlinked);
	struct xfs_dinode *dip;
	struct buffer *buf;
	int err;

	err = inode_cluster_read(inode->cache, tx, &inode->place, &buf);
	if (err)
		return err;
	dip = inode_in_cluster(inode, buf);
	if (be32_to_cpu(dip->di_next_unlinked) != inode->next_unlinked)
		return inode_complain(inode, "has another place in the unlinked list on disk than in memory");
	dip->di_next_unlinked = cpu_to_be32(next);
	dinode_seal(inode->cache->geo, dip);
	tx_buffer_set_inodes(tx, buf, false);
	tx_buffer_log(tx, buf, off, off + (uint32_t)sizeof(dip->di_next_unlinked));
	inode->next_unlinked = next;
	return 0;
}

/* An inode of a list, referenced; from memory or disk. */
static int get_member(struct tx *tx, struct inode_cache *cache, agno_t agno, agino_t agino, struct inode **out)
{
	struct inum ino = inum_make(cache->geo, agno, agino);
	struct inode *inode;
	int err;

	err = inode_cache_get_unlinked(cache, tx, ino, &inode);
	if (err == -ENOENT || (!err && inode->nlink != 0)) {
		msg_error("AG %u: unlinked list leads to inode %llu, which is %s", agno, (unsigned long long)ino.v,
			  err ? "free" : "linked");
		if (!err)
			inode_put(inode);
		return -EFSCORRUPTED;
	}
	if (err)
		return err;
	*out = inode;
	return 0;
}

/*
 * The inode that points to @inode, by walking the list from its bucket; predecessors met on the way are
 * remembered.
 */
static int find_previous(struct tx *tx, const struct inode *inode, struct buffer *agi, agino_t *out)
{
	struct inode_cache *cache = inode->cache;
	agino_t at = bucket_head(agi, bucket_of(inode)), previous = AGINO_NONE;
	uint64_t budget = space_ag(cache->space, agno_of(inode))->inodes;

	while (at != AGINO_NONE && at != agino_of(inode) && budget--) {
		struct inode *member;
		int err = get_member(tx, cache, agno_of(inode), at, &member);

		if (err)
			return err;
		member->prev_unlinked = previous;
		previous = at;
		at = member->next_unlinked;
		inode_put(member);
	}
	if (at != agino_of(inode))
		return inode_complain(inode, "is not on the unlinked list it belongs to");
	*out = previous;
	return 0;
}

static int add_locked(struct tx *tx, struct inode *inode, struct buffer *agi)
{
	agino_t head = bucket_head(agi, bucket_of(inode));
	struct inode *next = NULL;
	int err = 0;

	if (head == agino_of(inode))
		return inode_complain(inode, "is on the unlinked list already");
	if (head != AGINO_NONE) {
		err = get_member(tx, inode->cache, agno_of(inode), head, &next);
		if (!err)
			err = set_next(tx, inode, head);
	}
	if (!err) {
		if (next)
			next->prev_unlinked = agino_of(inode);
		inode->prev_unlinked = AGINO_NONE;
		set_bucket(tx, agi, bucket_of(inode), agino_of(inode));
	}
	inode_put(next);
	return err;
}

int inode_unlinked_add(struct tx *tx, struct inode *inode)
{
	struct buffer *agi;
	int err;

	ensure(inode->nlink == 0 && inode->mode != 0);
	err = ag_read_agi(tx, space_ag(inode->cache->space, agno_of(inode)), &agi);
	if (err)
		return err;
	return add_locked(tx, inode, agi);
}

/* Both neighbours are found, and read if need be, before anything is changed. */
static int find_neighbours(struct tx *tx, struct inode *inode, struct buffer *agi, struct inode **previous,
			   struct inode **next)
{
	struct inode_cache *cache = inode->cache;
	agno_t agno = agno_of(inode);
	int err;

	*previous = NULL;
	*next = NULL;
	if (bucket_head(agi, bucket_of(inode)) != agino_of(inode)) {
		agino_t agino = inode->prev_unlinked;

		err = agino == AGINO_NONE ? find_previous(tx, inode, agi, &agino) : 0;
		if (!err)
			err = get_member(tx, cache, agno, agino, previous);
		if (err)
			return err;
		if ((*previous)->next_unlinked != agino_of(inode))
			return inode_complain(inode, "is not the next of the inode before it on the unlinked list");
	}
	if (inode->next_unlinked != AGINO_NONE)
		return get_member(tx, cache, agno, inode->next_unlinked, next);
	return 0;
}

static int remove_locked(struct tx *tx, struct inode *inode, struct buffer *agi)
{
	struct inode *previous, *next;
	agino_t after = inode->next_unlinked;
	int err;

	err = find_neighbours(tx, inode, agi, &previous, &next);
	if (!err && after != AGINO_NONE)
		err = set_next(tx, inode, AGINO_NONE);
	if (!err && previous)
		err = set_next(tx, previous, after);
	if (!err) {
		if (!previous)
			set_bucket(tx, agi, bucket_of(inode), after);
		if (next)
			next->prev_unlinked = previous ? agino_of(previous) : AGINO_NONE;
		inode->prev_unlinked = AGINO_NONE;
	}
	inode_put(next);
	inode_put(previous);
	return err;
}

int inode_unlinked_remove(struct tx *tx, struct inode *inode)
{
	struct buffer *agi;
	int err;

	err = ag_read_agi(tx, space_ag(inode->cache->space, agno_of(inode)), &agi);
	if (err)
		return err;
	return remove_locked(tx, inode, agi);
}

/* ---- after a crash ---- */

static int copy_buckets(struct ag *ag, agino_t *heads)
{
	struct buffer *agi;
	int err;

	err = ag_read_agi(NULL, ag, &agi);
	if (err)
		return err;
	for (unsigned i = 0; i < XFS_AGI_UNLINKED_BUCKETS; i++)
		heads[i] = bucket_head(agi, i);
	buffer_release(agi);
	return 0;
}

/*
 * Takes every member of one list into memory.  The last put of each queues it.  A list that is longer than the AG has
 * inodes is a ring.
 */
static int queue_list(struct inode_cache *cache, struct ag *ag, agino_t head)
{
	agino_t at = head, previous = AGINO_NONE;
	uint64_t budget = ag->inodes;

	while (at != AGINO_NONE) {
		struct inode *member;
		int err;

		if (!budget--) {
			msg_error("AG %u: unlinked list from %u on does not end", ag->agno, head);
			return -EFSCORRUPTED;
		}
		err = get_member(NULL, cache, ag->agno, at, &member);
		if (err)
			return err;
		member->prev_unlinked = previous;
		previous = at;
		at = member->next_unlinked;
		inode_put(member);
	}
	return 0;
}

int inode_recover_unlinked(struct inode_cache *cache)
{
	int first_err = 0;

	for (agno_t agno = 0; agno < cache->geo->ag_count; agno++) {
		struct ag *ag = space_ag(cache->space, agno);
		agino_t heads[XFS_AGI_UNLINKED_BUCKETS];
		int err = copy_buckets(ag, heads);

		/* One broken list does not keep the others from being emptied. */
		for (unsigned i = 0; i < XFS_AGI_UNLINKED_BUCKETS && !err; i++) {
			int list_err = queue_list(cache, ag, heads[i]);

			first_err = first_err ? first_err : list_err;
		}
		first_err = first_err ? first_err : err;
	}
	return first_err;
}
