/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * What the files of the namespace room share.
 *
 * Every operation has the same shape:
 *
 *	io_locks of the directories it changes	their names stand still
 *	lookups, checks				everything the caller may be told is found out here
 *	tx_begin()				log space and blocks; may wait
 *	map_locks, in number order		joined; the transaction unlocks them
 *	checks that need them			links that went meanwhile; nothing is dirty yet
 *	changes					from here on an error shuts the volume down
 *	tx_commit()
 */
#include <userxfs/base/error.h>
#include <userxfs/namespace.h>

#define NAMESPACE_MAX_LOCKED 5

static inline struct inode_cache *ns_inodes(struct namespace *ns)
{
	return ns->inodes;
}

static inline const struct tx_reservations *ns_reservations(struct namespace *ns)
{
	return log_reservations(ns->log);
}

static inline const struct geometry *ns_geometry(struct namespace *ns)
{
	return space_geometry(ns->space);
}

/* -ENOENT (empty), -ENAMETOOLONG, -EINVAL (a slash or NUL in it). */
int name_check(struct name name);
/* "." or "..". */
bool name_is_dots(struct name name);
extern const struct name name_dotdot;

/* Whether names may be added to, removed from @dir.  io_lock held. */
int dir_may_add(const struct inode *dir);
int dir_may_remove(const struct inode *dir);
/* A directory that counts for a project holds nothing that counts for another.  Map locks held. */
bool project_may_enter(const struct inode *dir, const struct inode *inode);
/* Whether a name of @victim may be removed. */
int inode_may_lose_name(const struct inode *victim);

/* io_locks of one or two directories, by number. */
void lock_directories(struct inode *a, struct inode *b);
void unlock_directories(struct inode *a, struct inode *b);

/* The inode a name leads to, referenced.  -ENOENT. */
int find_name(struct namespace *ns, struct inode *dir, struct name name, struct inode **out);
/* -EEXIST when the name is there. */
int expect_no_name(struct inode *dir, struct name name);

/* Begins; without space for @blocks it begins with none, and *blocks is 0.  (XFS: resblks = 0.) */
int begin_or_without_blocks(struct namespace *ns, const struct tx_reservation *res, uint32_t *blocks,
			    struct tx **out);
/* The same for what makes room in directories: the reserve pool comes before doing without, because with no blocks an
 * emptied one may have to stay. */
int begin_removal(struct namespace *ns, const struct tx_reservation *res, uint32_t *blocks, struct tx **out);
/* Locks the map_locks of all (NULLs and duplicates are fine; they are sorted), joined to be unlocked by @tx. */
void join_inodes(struct tx *tx, struct inode **inodes, unsigned n);

/* The directory changed: mtime, ctime, and fsync has to wait for it. */
void touch_directory(struct tx *tx, struct inode *dir);

/* ---- create.c ---- */

/* A nameless inode on the unlinked list, without ACLs. */
int make_tmpfile(struct namespace *ns, struct inode *dir, const struct inode_template *tmpl, struct inode **out);

/* ---- inactivate.c ---- */

/*
 * After every operation that may leave one more inode to inactivate: when too many wait, the caller does one, so that
 * they do not become more.  No locks held.
 */
void help_inactivate(struct namespace *ns);

/* ---- symlink.c ---- */

/* Blocks that hold a target too long for the inode. */
uint32_t symlink_blocks(const struct geometry *geo, size_t length);
/* Writes the target of a new symlink. */
int symlink_write(struct tx *tx, struct inode *link, const char *target, size_t length, uint32_t blocks);
/* Frees the blocks of a remote target: the inode becomes an empty file. */
int symlink_dismantle(struct namespace *ns, struct inode *link);
