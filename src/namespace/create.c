// SPDX-License-Identifier: GPL-2.0
/*
 * New inodes: create, mkdir, mknod, symlink, O_TMPFILE.  (XFS: xfs_create, xfs_symlink, xfs_create_tmpfile,
 * xfs_generic_create.)
 *
 * The access control lists that a directory hands down are set in transactions of their own after the one that makes
 * the inode, while the directory is still locked, so that nobody can have found its name; the mode they imply is set
 * from the start, so that a crash in between leaves an inode that grants no more than they would.
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "internal.h"

#define DEVICE_MAX_MAJOR 511u		/* what Linux lets XFS have */
#define DEVICE_MAX_MINOR ((1u << 18) - 1)
#define LOCK_RETRY_NS 10000

/* ---- inherited ACLs ---- */

struct inherited {
	uint8_t *access, *deflt;	/* NULL: none */
	size_t access_bytes, default_bytes;
};

static void inherited_deinit(struct inherited *acls)
{
	mem_free(acls->access);
	mem_free(acls->deflt);
}

/* Whether @dir has attributes at all, so that most directories cost nothing. */
static bool may_have_acl(struct inode *dir)
{
	bool may_have;

	rwlock_read_lock(&dir->map_lock);
	may_have = dir->map.attr_space != 0;
	rwlock_read_unlock(&dir->map_lock);
	return may_have;
}

/* The mode and the ACLs of a new inode.  inherited_deinit() in any case. */
static int inherit(struct inode *dir, const struct credentials *cred, struct inode_template *tmpl,
		   struct inherited *acls)
{
	uint32_t mode;
	int err;

	*acls = (struct inherited){ 0 };
	if (S_ISLNK(tmpl->mode))
		return 0;
	if (!may_have_acl(dir)) {
		tmpl->mode &= (uint16_t)~(cred->umask & 0777);
		return 0;
	}
	acls->access = mem_alloc(ACL_MAX_BYTES);
	acls->deflt = mem_alloc(ACL_MAX_BYTES);
	if (!acls->access || !acls->deflt)
		return -ENOMEM;
	err = acl_inherit(dir, tmpl->mode, cred->umask, &mode, acls->access, &acls->access_bytes, acls->deflt,
			  &acls->default_bytes);
	if (err)
		return err;
	tmpl->mode = (uint16_t)mode;
	tmpl->with_attr_fork = acls->access_bytes || acls->default_bytes;
	return 0;
}

/*
 * The directory's io_lock may be held, and that of a higher number; but only a walk over all inodes can have this
 * one.
 */
static int set_acls(struct inode *inode, const struct inherited *acls) NO_LOCK_ANALYSIS
{
	int err = 0;

	if (!acls->access_bytes && !acls->default_bytes)
		return 0;
	while (!rwlock_write_trylock(&inode->io_lock))
		clock_sleep_ns(LOCK_RETRY_NS);
	if (acls->default_bytes)
		err = acl_set(inode, ACL_KIND_DEFAULT, acls->deflt, acls->default_bytes);
	if (!err && acls->access_bytes)
		err = acl_set(inode, ACL_KIND_ACCESS, acls->access, acls->access_bytes);
	rwlock_write_unlock(&inode->io_lock);
	return err;
}

/* ---- with a name ---- */

struct creation {
	struct namespace *ns;
	struct inode *dir;
	struct name name;
	const struct credentials *cred;
	struct inode_template tmpl;
	const struct tx_reservation *res;
	const char *target;		/* symlink */
	size_t target_length;
	uint32_t target_blocks;
};

static uint32_t name_blocks(const struct creation *c)
{
	return dir_add_blocks(ns_geometry(c->ns), c->name.length);
}

static int check_links(const struct creation *c)
{
	if (!c->dir->nlink)
		return -ENOENT;
	return S_ISDIR(c->tmpl.mode) && c->dir->nlink >= XFS_MAXLINK ? -EMLINK : 0;
}

/* Gives the new inode contents and name. */
static int complete(struct creation *c, struct tx *tx, struct inode *inode)
{
	int err = 0;

	if (c->target)
		err = symlink_write(tx, inode, c->target, c->target_length, c->target_blocks);
	if (!err)
		err = dir_add(tx, c->dir, c->name, inode->ino, dir_ftype_of_mode(inode->mode), name_blocks(c));
	if (err)
		return err;
	touch_directory(tx, c->dir);
	if (!S_ISDIR(inode->mode))
		return 0;
	dir_init(tx, inode, c->dir->ino);
	return inode_change_nlink(tx, c->dir, 1);
}

/* Directory and transaction are ready. */
static int create_in_tx(struct creation *c, struct tx *tx, struct inode **out)
{
	struct inode *inode;
	int err;

	join_inodes(tx, &c->dir, 1);
	err = check_links(c);
	if (!err)
		err = inode_create(tx, c->dir, c->ns->inodes, &c->tmpl, &inode);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	err = complete(c, tx, inode);
	if (err)
		tx_cancel(tx);
	else
		err = tx_commit(tx);
	if (err)
		inode_put(inode);
	else
		*out = inode;
	return err;
}

/* The directory's io_lock is held. */
static int create_locked(struct creation *c, struct inherited *acls, struct inode **out)
{
	uint64_t blocks = ialloc_blocks_needed(ns_geometry(c->ns)) + name_blocks(c) + c->target_blocks;
	struct tx *tx;
	int err;

	err = dir_may_add(c->dir);
	if (!err)
		err = expect_no_name(c->dir, c->name);
	if (!err)
		err = inherit(c->dir, c->cred, &c->tmpl, acls);
	if (!err)
		err = tx_begin(c->ns->log, c->res, blocks, 0, &tx);
	return err ? err : create_in_tx(c, tx, out);
}

/* It must not stay without its ACLs. */
static void undo(struct creation *c)
{
	int err = S_ISDIR(c->tmpl.mode) ? namespace_rmdir(c->ns, c->dir, c->name) :
					  namespace_unlink(c->ns, c->dir, c->name);

	if (err)
		msg_warning("directory %llu: an entry stays although its access control list could not be set",
			    (unsigned long long)c->dir->ino.v);
}

static int create_once(struct creation *c, struct inode **out)
{
	struct inode_template tmpl = c->tmpl;
	struct inherited acls = { 0 };
	struct inode *inode = NULL;
	int err, acl_err = 0;

	rwlock_write_lock(&c->dir->io_lock);
	err = create_locked(c, &acls, &inode);
	if (!err)
		acl_err = set_acls(inode, &acls);
	rwlock_write_unlock(&c->dir->io_lock);
	inherited_deinit(&acls);
	c->tmpl = tmpl;
	if (err)
		return err;
	if (acl_err) {
		inode_put(inode);
		undo(c);
		return acl_err;
	}
	*out = inode;
	return 0;
}

static int create(struct creation *c, struct inode **out)
{
	struct namespace *ns = c->ns;
	int err = name_check(c->name);

	if (!err && name_is_dots(c->name))
		err = -EEXIST;
	if (err)
		return err;
	err = create_once(c, out);
	if (err != -ENOSPC || !ns->hooks.make_space)
		return err;
	ns->hooks.make_space(ns->hooks.context);
	return create_once(c, out);
}

static int check_type(uint32_t mode, uint32_t rdev)
{
	switch (mode & S_IFMT) {
	case S_IFCHR:
	case S_IFBLK:
		return major(rdev) <= DEVICE_MAX_MAJOR && minor(rdev) <= DEVICE_MAX_MINOR ? 0 : -EINVAL;
	case S_IFREG:
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return -EINVAL;
	}
}

int namespace_create(struct namespace *ns, struct inode *dir, struct name name, uint32_t mode, uint32_t rdev,
		     const struct credentials *cred, struct inode **out)
{
	struct creation c = {
		.ns = ns,
		.dir = dir,
		.name = name,
		.cred = cred,
		.tmpl = {
			.mode = (uint16_t)mode,
			.uid = cred->uid,
			.gid = cred->gid,
			.rdev = rdev,
			.nlink = S_ISDIR(mode) ? 2 : 1,
		},
		.res = S_ISDIR(mode) ? &ns_reservations(ns)->mkdir : &ns_reservations(ns)->create,
	};
	int err = check_type(mode, rdev);

	return err ? err : create(&c, out);
}

int namespace_symlink(struct namespace *ns, struct inode *dir, struct name name, const char *target,
		      const struct credentials *cred, struct inode **out)
{
	size_t length = strlen(target);
	struct creation c = {
		.ns = ns,
		.dir = dir,
		.name = name,
		.cred = cred,
		.tmpl = { .mode = S_IFLNK | 0777, .uid = cred->uid, .gid = cred->gid, .nlink = 1 },
		.res = &ns_reservations(ns)->symlink,
		.target = target,
		.target_length = length,
		.target_blocks = symlink_blocks(ns_geometry(ns), length),
	};

	if (!length)
		return -ENOENT;
	/* The verifiers of some kernels want it shorter than XFS_SYMLINK_MAXLEN. */
	if (length >= XFS_SYMLINK_MAXLEN)
		return -ENAMETOOLONG;
	return create(&c, out);
}

/* ---- without a name ---- */

static int tmpfile_in_tx(struct namespace *ns, struct inode *dir, struct tx *tx, const struct inode_template *tmpl,
			 struct inode **out)
{
	struct inode *inode;
	int err;

	/* What is inherited must not change meanwhile. */
	rwlock_read_lock(&dir->map_lock);
	err = inode_create(tx, dir, ns->inodes, tmpl, &inode);
	rwlock_read_unlock(&dir->map_lock);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	err = inode_unlinked_add(tx, inode);
	if (err)
		tx_cancel(tx);
	else
		err = tx_commit(tx);
	if (err) {
		inode_put(inode);
		return err;
	}
	atomic_fetch_or(&inode->flags, INODE_LINKABLE);
	*out = inode;
	return 0;
}

int make_tmpfile(struct namespace *ns, struct inode *dir, const struct inode_template *tmpl, struct inode **out)
{
	uint64_t blocks = ialloc_blocks_needed(ns_geometry(ns));
	struct tx *tx;
	int err;

	err = tx_begin(ns->log, &ns_reservations(ns)->create_tmpfile, blocks, 0, &tx);
	return err ? err : tmpfile_in_tx(ns, dir, tx, tmpl, out);
}

int namespace_tmpfile(struct namespace *ns, struct inode *dir, uint32_t mode, const struct credentials *cred,
		      struct inode **out)
{
	struct inode_template tmpl = { .mode = (uint16_t)mode, .uid = cred->uid, .gid = cred->gid };
	struct inherited acls;
	struct inode *inode;
	int err;

	if (!S_ISREG(mode))
		return -EINVAL;
	err = dir_may_add(dir);
	if (err)
		return err;
	err = inherit(dir, cred, &tmpl, &acls);
	if (!err)
		err = make_tmpfile(ns, dir, &tmpl, &inode);
	if (err == -ENOSPC && ns->hooks.make_space) {
		ns->hooks.make_space(ns->hooks.context);
		err = make_tmpfile(ns, dir, &tmpl, &inode);
	}
	if (!err) {
		err = set_acls(inode, &acls);
		if (err)
			inode_put(inode);
		else
			*out = inode;
	}
	inherited_deinit(&acls);
	help_inactivate(ns);
	return err;
}
