// SPDX-License-Identifier: GPL-2.0
/* Another name for an inode, or the first for a nameless one.  (XFS: xfs_link.) */
#include <sys/stat.h>

#include "internal.h"

struct linking {
	struct namespace *ns;
	struct inode *target, *dir;
	struct name name;
	uint32_t blocks;
};

/* Map locks held. */
static int check_links(const struct linking *l)
{
	const struct inode *target = l->target, *dir = l->dir;

	if (!dir->nlink)
		return -ENOENT;
	if (!target->nlink && !(atomic_load(&target->flags) & INODE_LINKABLE))
		return -ENOENT;
	if (target->nlink >= XFS_MAXLINK)
		return -EMLINK;
	return project_may_enter(dir, target) ? 0 : -EXDEV;
}

static int link_in(struct tx *tx, const struct linking *l)
{
	struct inode *target = l->target;
	int err;

	/* First, because the AGI is locked before any AGF. */
	if (!target->nlink) {
		err = inode_unlinked_remove(tx, target);
		if (err)
			return err;
	}
	err = dir_add(tx, l->dir, l->name, target->ino, dir_ftype_of_mode(target->mode), l->blocks);
	if (err)
		return err;
	touch_directory(tx, l->dir);
	return inode_change_nlink(tx, target, 1);
}

/* The directory's io_lock is held. */
static int link_locked(struct linking *l)
{
	struct inode *inodes[] = { l->target, l->dir };
	struct tx *tx;
	int err;

	err = dir_may_add(l->dir);
	if (!err)
		err = expect_no_name(l->dir, l->name);
	if (err)
		return err;
	l->blocks = dir_add_blocks(ns_geometry(l->ns), l->name.length);
	err = begin_or_without_blocks(l->ns, &ns_reservations(l->ns)->link, &l->blocks, &tx);
	if (err)
		return err;
	join_inodes(tx, inodes, 2);
	err = check_links(l);
	if (!err && !l->blocks)
		err = dir_can_enter(tx, l->dir, l->name);
	if (!err)
		err = link_in(tx, l);
	if (err)
		tx_cancel(tx);
	else
		err = tx_commit(tx);
	if (!err)
		atomic_fetch_and(&l->target->flags, ~(uint32_t)INODE_LINKABLE);
	return err;
}

int namespace_link(struct namespace *ns, struct inode *target, struct inode *dir, struct name name)
{
	struct linking l = { .ns = ns, .target = target, .dir = dir, .name = name };
	int err = name_check(name);

	if (!err && name_is_dots(name))
		err = -EEXIST;
	if (!err && S_ISDIR(target->mode))
		err = -EPERM;
	if (!err)
		err = inode_may_lose_name(target);
	if (err)
		return err;
	rwlock_write_lock(&dir->io_lock);
	err = link_locked(&l);
	rwlock_write_unlock(&dir->io_lock);
	return err;
}
