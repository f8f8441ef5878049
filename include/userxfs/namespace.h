/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Names: lookup, create, link, unlink, rename, symlink, listing; one transaction each.  And the last put of an inode.
 * (XFS: xfs_inode.c's directory operations, xfs_symlink.c, xfs_inactive.)
 *
 * Locks: each operation takes the io_locks of the directories it changes (two: rename lock, then by number), then
 * map_locks of everything it joins, in number order.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/base/lock.h>
#include <userxfs/dir.h>
#include <userxfs/inode.h>
#include <userxfs/xattr.h>

/* What rooms that know about data do for this one; all optional. */
struct namespace_hooks {
	/*
	 * The last reference to an inode that still has a name went: frees blocks past EOF, copy-on-write
	 * preallocation.
	 */
	void (*trim)(struct inode *inode);
	/* An unlinked inode is about to be freed: drops its page cache without writing it. */
	void (*discard)(struct inode *inode);
	/*
	 * A reservation failed: writes delayed data, frees preallocation.  Called without locks; tried once more
	 * after it.
	 */
	void (*make_space)(void *context);
	void *context;
};

struct namespace {
	struct inode_cache *inodes;	/* [I] */
	struct log *log;		/* [I] */
	struct space *space;		/* [I] */
	struct namespace_hooks hooks;	/* [I] set after namespace_init(), before the first operation */
	struct mutex rename_lock;	/* cross-directory renames */
	struct mutex inactivate_lock;	/* RANK_FREEZE: one inode is inactivated at a time */
	bool has_leftovers;		/* unlinked inodes that could not be freed this time, but by the next recovery
					 * [inactivate_lock] */
};

void namespace_init(struct namespace *ns, struct inode_cache *inodes);
void namespace_deinit(struct namespace *ns);

struct credentials {
	uint32_t uid, gid;
	uint32_t umask;			/* applied unless a default ACL rules */
};

/* All answers are referenced.  -ENOENT, -ENOTDIR, -ENAMETOOLONG (> 255). */
int namespace_lookup(struct namespace *ns, struct inode *dir, struct name name, struct inode **out);
int namespace_parent(struct namespace *ns, struct inode *dir, struct inode **out);

/*
 * Regular files, directories, devices, fifos, sockets by @mode.  Default ACLs of @dir are inherited.  -EEXIST,
 * -ENOSPC, -EMLINK, -EPERM (immutable), -EINVAL (device number XFS cannot hold: 9 bits of major, 18 of minor).
 */
int namespace_create(struct namespace *ns, struct inode *dir, struct name name, uint32_t mode, uint32_t rdev,
		     const struct credentials *cred, struct inode **out);
int namespace_symlink(struct namespace *ns, struct inode *dir, struct name name, const char *target,
		      const struct credentials *cred, struct inode **out);
/* O_TMPFILE: nameless, on the unlinked list. */
int namespace_tmpfile(struct namespace *ns, struct inode *dir, uint32_t mode, const struct credentials *cred,
		      struct inode **out);
int namespace_link(struct namespace *ns, struct inode *target, struct inode *dir, struct name name);
int namespace_unlink(struct namespace *ns, struct inode *dir, struct name name);
int namespace_rmdir(struct namespace *ns, struct inode *dir, struct name name);
/* @flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT of <linux/fs.h>; others -EINVAL. */
int namespace_rename(struct namespace *ns, struct inode *old_dir, struct name old_name, struct inode *new_dir,
		     struct name new_name, uint32_t flags, const struct credentials *cred);
/* @target of @capacity bytes, XFS_SYMLINK_MAXLEN + 1 are always enough: -ERANGE.  NUL-terminated. */
int namespace_readlink(struct namespace *ns, struct inode *link, char *target, size_t capacity);
/* dir_list() under the directory's io_lock. */
int namespace_list(struct namespace *ns, struct inode *dir, uint64_t cookie, dir_emit emit, void *context);

/* Inactivations that may wait; beyond it, who takes a name away does one.  (XFS: XFS_INODEGC_MAX_BACKLOG.) */
#define NAMESPACE_MAX_INACTIVE 4096

/*
 * One inode of the inactivation queue: unlinked ones are truncated and freed, others trimmed.  False: the queue is
 * empty, and nobody else is at one either.
 */
bool namespace_inactivate_pass(struct namespace *ns);
