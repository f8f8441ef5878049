// SPDX-License-Identifier: GPL-2.0
/*
 * Removing names.  (XFS: xfs_remove.)
 *
 * An inode that loses its last name goes on the unlinked list; its blocks are freed when nobody uses it any more
 * (inactivate.c).  Removing works on a full volume: without blocks reserved, directory blocks that become empty stay.
 */
#include <sys/stat.h>

#include <userxfs/base/message.h>

#include "internal.h"

struct removal {
	struct namespace *ns;
	struct inode *dir, *victim;
	struct name name;
	bool wants_directory;
	uint32_t blocks;
};

static int check_victim(const struct removal *r)
{
	bool is_directory = S_ISDIR(r->victim->mode);

	if (is_directory != r->wants_directory)
		return is_directory ? -EISDIR : -ENOTDIR;
	if (inum_equal(r->victim->ino, ns_geometry(r->ns)->root))
		return -EBUSY;
	return inode_may_lose_name(r->victim);
}

static int complain_links(const struct inode *inode)
{
	msg_error("inode %llu has fewer links than names; unmount and run xfs_repair",
		  (unsigned long long)inode->ino.v);
	return -EFSCORRUPTED;
}

/* Map locks held: nobody can put a name into a directory that is found empty here. */
static int check_links(const struct removal *r)
{
	bool is_empty;
	int err;

	if (!r->wants_directory)
		return r->victim->nlink ? 0 : complain_links(r->victim);
	if (r->victim->nlink < 2 || r->dir->nlink < 3)
		return complain_links(r->victim->nlink < 2 ? r->victim : r->dir);
	err = dir_is_empty(r->victim, &is_empty);
	if (err)
		return err;
	return is_empty && r->victim->nlink == 2 ? 0 : -ENOTEMPTY;
}

/*
 * The parent loses the link from "..", the directory that from "." besides its name.  Its ".." must not lead to a
 * parent that may be freed before it; the root stays.
 */
static int unlink_directory(struct tx *tx, const struct removal *r)
{
	struct inum root = ns_geometry(r->ns)->root;
	int err;

	err = inode_change_nlink(tx, r->dir, -1);
	if (!err && !inum_equal(r->dir->ino, root))
		err = dir_replace(tx, r->victim, name_dotdot, root, XFS_DIR3_FT_DIR, 0);
	return err ? err : inode_change_nlink(tx, r->victim, -2);
}

static int remove_in(struct tx *tx, const struct removal *r)
{
	int err;

	touch_directory(tx, r->dir);
	/* Before the directory's blocks, because the AGI is locked before any AGF. */
	err = r->wants_directory ? unlink_directory(tx, r) : inode_change_nlink(tx, r->victim, -1);
	return err ? err : dir_remove(tx, r->dir, r->name, r->victim->ino, r->blocks);
}

static int remove_victim(struct removal *r)
{
	struct inode *inodes[] = { r->dir, r->victim };
	struct tx *tx;
	int err;

	err = check_victim(r);
	if (err)
		return err;
	r->blocks = dir_remove_blocks(ns_geometry(r->ns));
	err = begin_removal(r->ns, &ns_reservations(r->ns)->remove, &r->blocks, &tx);
	if (err)
		return err;
	join_inodes(tx, inodes, 2);
	err = check_links(r);
	if (!err)
		err = remove_in(tx, r);
	if (!err)
		return tx_commit(tx);
	tx_cancel(tx);
	return err;
}

static int remove_name(struct removal *r)
{
	int err;

	rwlock_write_lock(&r->dir->io_lock);
	err = dir_may_remove(r->dir);
	if (!err)
		err = find_name(r->ns, r->dir, r->name, &r->victim);
	if (!err)
		err = remove_victim(r);
	rwlock_write_unlock(&r->dir->io_lock);
	inode_put(r->victim);
	help_inactivate(r->ns);
	return err;
}

int namespace_unlink(struct namespace *ns, struct inode *dir, struct name name)
{
	struct removal r = { .ns = ns, .dir = dir, .name = name };
	int err = name_check(name);

	if (!err && name_is_dots(name))
		err = -EISDIR;
	return err ? err : remove_name(&r);
}

int namespace_rmdir(struct namespace *ns, struct inode *dir, struct name name)
{
	struct removal r = { .ns = ns, .dir = dir, .name = name, .wants_directory = true };
	int err = name_check(name);

	if (!err && name_is_dots(name))
		err = name.length == 1 ? -EINVAL : -ENOTEMPTY;
	return err ? err : remove_name(&r);
}
