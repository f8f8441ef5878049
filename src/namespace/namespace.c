// SPDX-License-Identifier: GPL-2.0
/* Looking up, listing, and what all operations share.  (XFS: xfs_lookup; Linux: may_create, may_delete.) */
#include "internal.h"

#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

#include <userxfs/base/message.h>

#define NAME_MAX_BYTES 255

const struct name name_dotdot = { (const uint8_t *)"..", 2 };

void namespace_init(struct namespace *ns, struct inode_cache *inodes)
{
	*ns = (struct namespace){
		.inodes = inodes,
		.log = inode_cache_log(inodes),
		.space = inode_cache_space(inodes),
	};
	mutex_init(&ns->rename_lock, RANK_RENAME, 0, "rename");
	mutex_init(&ns->inactivate_lock, RANK_FREEZE, 0, "inactivation");
}

void namespace_deinit(struct namespace *ns)
{
	mutex_deinit(&ns->inactivate_lock);
	mutex_deinit(&ns->rename_lock);
}

/* ---- names ---- */

int name_check(struct name name)
{
	if (!name.length)
		return -ENOENT;
	if (name.length > NAME_MAX_BYTES)
		return -ENAMETOOLONG;
	if (memchr(name.bytes, '/', name.length) || memchr(name.bytes, 0, name.length))
		return -EINVAL;
	return 0;
}

bool name_is_dots(struct name name)
{
	return name.bytes[0] == '.' && (name.length == 1 || (name.length == 2 && name.bytes[1] == '.'));
}

/* ---- what is allowed ---- */

int dir_may_add(const struct inode *dir)
{
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	if (!dir->nlink)
		return -ENOENT;
	return dir->di_flags & XFS_DIFLAG_IMMUTABLE ? -EPERM : 0;
}

int dir_may_remove(const struct inode *dir)
{
	int err = dir_may_add(dir);

	if (!err && dir->di_flags & XFS_DIFLAG_APPEND)
		err = -EPERM;
	return err;
}

int inode_may_lose_name(const struct inode *victim)
{
	return victim->di_flags & (XFS_DIFLAG_IMMUTABLE | XFS_DIFLAG_APPEND) ? -EPERM : 0;
}

static bool is_special(const struct inode *inode)
{
	return S_ISCHR(inode->mode) || S_ISBLK(inode->mode) || S_ISFIFO(inode->mode) || S_ISSOCK(inode->mode);
}

bool project_may_enter(const struct inode *dir, const struct inode *inode)
{
	if (!(dir->di_flags & XFS_DIFLAG_PROJINHERIT) || dir->project == inode->project)
		return true;
	/* Tools that set up projects leave out what they cannot open. */
	return is_special(inode) && !inode->project;
}

/* ---- locks and transactions ---- */

void lock_directories(struct inode *a, struct inode *b) NO_LOCK_ANALYSIS
{
	if (a->ino.v > b->ino.v) {
		struct inode *tmp = a;

		a = b;
		b = tmp;
	}
	rwlock_write_lock(&a->io_lock);
	if (a != b)
		rwlock_write_lock(&b->io_lock);
}

void unlock_directories(struct inode *a, struct inode *b) NO_LOCK_ANALYSIS
{
	rwlock_write_unlock(&a->io_lock);
	if (a != b)
		rwlock_write_unlock(&b->io_lock);
}

int begin_or_without_blocks(struct namespace *ns, const struct tx_reservation *res, uint32_t *blocks, struct tx **out)
{
	int err = tx_begin(ns->log, res, *blocks, 0, out);

	if (err != -ENOSPC)
		return err;
	*blocks = 0;
	return tx_begin(ns->log, res, 0, 0, out);
}

int begin_removal(struct namespace *ns, const struct tx_reservation *res, uint32_t *blocks, struct tx **out)
{
	int err = tx_begin(ns->log, res, *blocks, 0, out);

	if (err == -ENOSPC)
		err = tx_begin(ns->log, res, *blocks, TX_USE_POOL, out);
	return err == -ENOSPC ? begin_or_without_blocks(ns, res, blocks, out) : err;
}

void join_inodes(struct tx *tx, struct inode **inodes, unsigned n)
{
	inode_lock_maps(inodes, n);
	for (unsigned i = 0; i < n; i++) {
		if (inodes[i] && (i == 0 || inodes[i] != inodes[i - 1]))
			inode_join(tx, inodes[i], true);
	}
}

void touch_directory(struct tx *tx, struct inode *dir)
{
	inode_touch(tx, dir, INODE_MTIME | INODE_CTIME);
	inode_log(tx, dir, false);
}

/* ---- lookup ---- */

int find_name(struct namespace *ns, struct inode *dir, struct name name, struct inode **out)
{
	struct inum ino;
	uint8_t ftype;
	int err;

	err = dir_lookup(NULL, dir, name, &ino, &ftype);
	if (err)
		return err;
	err = inode_get(ns->inodes, NULL, ino, 0, out);
	if (err != -ENOENT)
		return err;
	/* The directory's lock is held, so nobody has just removed it. */
	msg_error("directory %llu: an entry leads to inode %llu, which is free; unmount and run xfs_repair",
		  (unsigned long long)dir->ino.v, (unsigned long long)ino.v);
	return -EFSCORRUPTED;
}

int expect_no_name(struct inode *dir, struct name name)
{
	struct inum ino;
	uint8_t ftype;
	int err = dir_lookup(NULL, dir, name, &ino, &ftype);

	if (err == -ENOENT)
		return 0;
	return err ? err : -EEXIST;
}

int namespace_lookup(struct namespace *ns, struct inode *dir, struct name name, struct inode **out)
{
	int err = name_check(name);

	if (err)
		return err;
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	rwlock_read_lock(&dir->io_lock);
	err = find_name(ns, dir, name, out);
	rwlock_read_unlock(&dir->io_lock);
	return err;
}

int namespace_parent(struct namespace *ns, struct inode *dir, struct inode **out)
{
	return namespace_lookup(ns, dir, name_dotdot, out);
}

int namespace_list(struct namespace *ns, struct inode *dir, uint64_t cookie, dir_emit emit, void *context)
{
	int err;

	(void)ns;
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	rwlock_read_lock(&dir->io_lock);
	err = dir_list(dir, cookie, emit, context);
	rwlock_read_unlock(&dir->io_lock);
	return err;
}
