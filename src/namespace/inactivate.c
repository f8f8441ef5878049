// SPDX-License-Identifier: GPL-2.0
/*
 * The last put of an inode.  (XFS: xfs_inactive, xfs_inactive_truncate, xfs_inactive_symlink, xfs_inactive_ifree.)
 *
 * An unlinked inode is freed in steps, each of which leaves it on the unlinked list with less than before, so that
 * after a crash the next mount goes on where this one stopped:
 *
 *	copy-on-write blocks, data blocks	chains of transactions; sizes go to 0 first, so that what is still
 *						mapped is past EOF if the chain is cut
 *	directory and symlink blocks		cancelled in the log as they are freed
 *	attributes
 *	the inode itself			taken off the list and freed in one transaction
 *
 * One with a name only loses what was preallocated for it.
 */
#include <string.h>
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/message.h>
#include <userxfs/da.h>

#include "internal.h"

/* ---- data ---- */

static bool has_blocks(struct inode *inode)
{
	struct file_map *map = &inode->map;
	bool has;

	rwlock_read_lock(&inode->map_lock);
	has = inode->disk_size_bytes || map->data.extent_count || map_has_delayed(map);
	rwlock_read_unlock(&inode->map_lock);
	return has;
}

static int end_step(struct tx *tx, int err)
{
	if (!err)
		return tx_commit(tx);
	tx_cancel(tx);
	return err;
}

static int begin_truncate(struct namespace *ns, struct inode *inode, struct tx **out)
{
	int err = tx_begin(ns->log, &ns_reservations(ns)->truncate, 0, 0, out);

	if (!err)
		join_inodes(*out, &inode, 1);
	return err;
}

static void set_size_zero(struct tx *tx, struct inode *inode)
{
	inode->disk_size_bytes = 0;
	atomic_store(&inode->size_bytes, 0);
	inode_log(tx, inode, false);
}

static int free_file_blocks(struct namespace *ns, struct inode *inode)
{
	struct tx *tx;
	int err;

	if (inode->map.cow.is_present) {
		err = inode_free_blocks(inode, FORK_COW, 0);
		if (err)
			return err;
	}
	if (!has_blocks(inode))
		return 0;
	err = begin_truncate(ns, inode, &tx);
	if (err)
		return err;
	set_size_zero(tx, inode);
	return end_step(tx, inode_free_blocks_in(tx, inode, FORK_DATA, 0));
}

/* ---- directories ---- */

/* The last directory block of the fork. */
static int free_last_directory_block(struct tx *tx, struct inode *dir)
{
	const struct geometry *geo = inode_geometry(dir);
	fileblk_t off = round_down_u64(map_end(&dir->map, FORK_DATA) - 1, geo->dir.fs_blocks);
	struct buffer *buf;
	uint64_t left;
	int err;

	err = da_get(tx, dir, FORK_DATA, off, &buf);
	if (err)
		return err;
	tx_buffer_invalidate(tx, buf);
	err = map_unmap(tx, &dir->map, FORK_DATA, off, geo->dir.fs_blocks, geo->dir.fs_blocks, &left);
	return err || !left ? err : -EFSCORRUPTED;
}

/* An empty directory is inline, but for one whose last entries went when there was no space to make it so. */
static int free_directory_blocks(struct namespace *ns, struct inode *dir)
{
	struct tx *tx;
	int err;

	if (dir->map.data.format == FORK_LOCAL)
		return 0;
	err = begin_truncate(ns, dir, &tx);
	if (err)
		return err;
	/* A directory of no size is one that older kernels' verifiers do not know. */
	dir->mode = S_IFREG | (dir->mode & (uint16_t)~S_IFMT);
	set_size_zero(tx, dir);
	err = map_load(&dir->map, FORK_DATA);
	while (!err && map_end(&dir->map, FORK_DATA)) {
		err = free_last_directory_block(tx, dir);
		if (!err)
			err = tx_finish_deferred(tx);
		if (!err && tx_is_dirty(tx))
			err = tx_roll(tx);
	}
	return end_step(tx, err);
}

/* ---- the inode ---- */

static int free_contents(struct namespace *ns, struct inode *inode)
{
	if (S_ISREG(inode->mode))
		return free_file_blocks(ns, inode);
	if (S_ISDIR(inode->mode))
		return free_directory_blocks(ns, inode);
	if (S_ISLNK(inode->mode))
		return symlink_dismantle(ns, inode);
	return 0;
}

/* The free-inode tree's blocks are set aside, but for a volume that was too full for that. */
static uint32_t free_blocks_needed(struct namespace *ns, const struct inode *inode)
{
	const struct geometry *geo = ns_geometry(ns);

	return space_ag(ns->space, inum_agno(geo, inode->ino))->finobt_unreserved ? ialloc_free_blocks_needed(geo)
										  : 0;
}

static int free_inode(struct namespace *ns, struct inode *inode)
{
	struct tx *tx;
	int err;

	err = tx_begin(ns->log, &ns_reservations(ns)->inode_free, free_blocks_needed(ns, inode), TX_USE_POOL, &tx);
	if (err)
		return err;
	join_inodes(tx, &inode, 1);
	return end_step(tx, inode_free(tx, inode));
}

static int free_unlinked(struct namespace *ns, struct inode *inode)
{
	int err;

	if (ns->hooks.discard && S_ISREG(inode->mode))
		ns->hooks.discard(inode);
	err = free_contents(ns, inode);
	if (!err && inode->map.attr_space)
		err = xattr_free_all(inode);
	return err ? err : free_inode(ns, inode);
}

static void inactivate(struct namespace *ns, struct inode *inode)
{
	int err;

	if (inode->nlink) {
		if (ns->hooks.trim)
			ns->hooks.trim(inode);
		return;
	}
	err = free_unlinked(ns, inode);
	if (!err || log_is_shutdown(ns->log))
		return;
	/* It stays on the unlinked list: the next recovery tries again, or xfs_repair if it is broken. */
	atomic_fetch_or(&inode->flags, INODE_SICK);
	ns->has_leftovers |= err != -EFSCORRUPTED && err != -EFSBADCRC;
	msg_error("unlinked inode %llu could not be freed: %s; its space is lost until the next mount",
		  (unsigned long long)inode->ino.v, strerror(-err));
}

bool namespace_inactivate_pass(struct namespace *ns)
{
	struct inode *inode;
	bool did;

	mutex_lock(&ns->inactivate_lock);
	did = inode_take_inactive(ns->inodes, &inode);
	if (did) {
		inactivate(ns, inode);
		inode_put(inode);
	}
	mutex_unlock(&ns->inactivate_lock);
	return did;
}

void help_inactivate(struct namespace *ns)
{
	if (inode_inactive_count(ns->inodes) > NAMESPACE_MAX_INACTIVE)
		namespace_inactivate_pass(ns);
}
