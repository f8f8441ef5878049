// SPDX-License-Identifier: GPL-2.0
/*
 * A new inode.  (XFS: xfs_dialloc, xfs_inode_init, xfs_inode_inherit_flags, xfs_bumplink.)
 *
 * Its number may be that of an inode freed a moment ago, whose freeing is still on its way to the disk: then it is
 * the same inode in memory, with the same log item, and begins a new life there.  Its old bytes on disk are never
 * read.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>

#include "cache.h"

#define CLAIM_RETRY_NS 10000

/* What XFS's sysctls inherit by default: everything but NOSYMLINKS. */
#define INHERITED_FLAGS (XFS_DIFLAG_NOATIME | XFS_DIFLAG_NODUMP | XFS_DIFLAG_SYNC | XFS_DIFLAG_NODEFRAG | \
			 XFS_DIFLAG_FILESTREAM)

static void inherit_flags(struct inode *inode, const struct inode *parent)
{
	const struct geometry *geo = inode->cache->geo;
	uint16_t flags = parent->di_flags & INHERITED_FLAGS;

	if (parent->di_flags & XFS_DIFLAG_EXTSZINHERIT) {
		flags |= S_ISDIR(inode->mode) ? XFS_DIFLAG_EXTSZINHERIT : XFS_DIFLAG_EXTSIZE;
		inode->extent_hint = parent->extent_hint;
	}
	if (S_ISDIR(inode->mode))
		flags |= parent->di_flags & XFS_DIFLAG_PROJINHERIT;
	/* A directory's broken hint stays where it is. */
	if (inode_extent_hint_verify(geo, inode->mode, flags, inode->extent_hint)) {
		flags &= ~(XFS_DIFLAG_EXTSIZE | XFS_DIFLAG_EXTSZINHERIT);
		inode->extent_hint = 0;
	}
	inode->di_flags = flags;
}

static void inherit_flags2(struct inode *inode, const struct inode *parent)
{
	const struct geometry *geo = inode->cache->geo;

	inode->di_flags2 |= parent->di_flags2 & (XFS_DIFLAG2_COWEXTSIZE | XFS_DIFLAG2_DAX);
	if (parent->di_flags2 & XFS_DIFLAG2_COWEXTSIZE)
		inode->cow_hint = parent->cow_hint;
	if (inode_cow_hint_verify(geo, inode->mode, inode->di_flags, inode->di_flags2, inode->cow_hint)) {
		inode->di_flags2 &= ~(uint64_t)XFS_DIFLAG2_COWEXTSIZE;
		inode->cow_hint = 0;
	}
}

/* A directory with the setgid bit gives its group to all that is made in it, and the bit to directories. */
static void set_owner(struct inode *inode, const struct inode *parent, const struct inode_template *tmpl)
{
	inode->mode = tmpl->mode;
	inode->uid = tmpl->uid;
	inode->gid = tmpl->gid;
	inode->project = tmpl->project;
	if (!parent)
		return;
	if (parent->mode & S_ISGID) {
		inode->gid = parent->gid;
		if (S_ISDIR(tmpl->mode))
			inode->mode |= S_ISGID;
	}
	if (parent->di_flags & XFS_DIFLAG_PROJINHERIT)
		inode->project = parent->project;
}

static void init_core(struct inode *inode, const struct inode *parent, const struct inode_template *tmpl)
{
	set_owner(inode, parent, tmpl);
	inode->nlink = tmpl->nlink;
	inode->disk_size_bytes = 0;
	atomic_store(&inode->size_bytes, 0);
	inode->di_flags = 0;
	inode->di_flags2 = inode->cache->geo->new_inode_flags2;
	inode->extent_hint = 0;
	inode->cow_hint = 0;
	inode->change_count = 0;
	inode->writeback_error = 0;
	if (parent && (S_ISREG(inode->mode) || S_ISDIR(inode->mode))) {
		inherit_flags(inode, parent);
		inherit_flags2(inode, parent);
	}
	inode_refresh_map_hints(inode);
}

static bool is_special(uint16_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

/* On disk a device number is 14 bits of major and 18 of minor (XFS: sysv_encode_dev). */
static uint32_t encode_device(uint16_t mode, uint32_t rdev)
{
	if (!S_ISCHR(mode) && !S_ISBLK(mode))
		return 0;
	return major(rdev) << 18 | minor(rdev);
}

/* The forks of a free inode are empty extent lists. */
static int init_forks(struct tx *tx, struct inode *inode, const struct inode_template *tmpl)
{
	if (is_special(inode->mode)) {
		fork_set_device(&inode->map, encode_device(inode->mode, tmpl->rdev));
		inode->map.log_fields |= XFS_ILOG_DEV;
	}
	if (!tmpl->with_attr_fork)
		return 0;
	return map_set_split(tx, &inode->map, map_default_split(&inode->map));
}

/*
 * The parent's map lock may be held, and that of a higher number; but nobody else can hold this one for long: it is
 * not in the tree yet, and only a flush of its last life, or a walk over all inodes, may be looking at it.
 */
static void lock_new(struct inode *inode) NO_LOCK_ANALYSIS
{
	while (!rwlock_write_trylock(&inode->map_lock))
		clock_sleep_ns(CLAIM_RETRY_NS);
}

int inode_create(struct tx *tx, struct inode *parent, struct inode_cache *cache, const struct inode_template *tmpl,
		 struct inode **out)
{
	struct inum near = parent ? parent->ino : cache->geo->root;
	struct inode_place place;
	struct inode *inode;
	struct inum ino;
	int err;

	err = ialloc_alloc(tx, cache->space, near, tmpl->mode, &ino);
	if (err)
		return err;
	err = ialloc_place(tx, cache->space, ino, false, &place);
	if (err)
		return err;
	err = inode_cache_claim(cache, ino, &place, &inode);
	if (err)
		return err;

	lock_new(inode);
	inode_join(tx, inode, true);
	init_core(inode, parent, tmpl);
	err = init_forks(tx, inode, tmpl);
	inode_touch(tx, inode, INODE_ATIME | INODE_MTIME | INODE_CTIME | INODE_BTIME);
	inode_log(tx, inode, false);
	inode_cache_publish(inode, 0);
	if (err)
		inode_put(inode);
	else
		*out = inode;
	return err;
}

int inode_change_nlink(struct tx *tx, struct inode *inode, int change)
{
	if (change < 0 && inode->nlink < (uint32_t)-change)
		return inode_complain(inode, "has fewer links than names");
	inode->nlink += (uint32_t)change;
	inode_touch(tx, inode, INODE_CTIME);
	inode_log(tx, inode, false);
	if (change < 0 && inode->nlink == 0)
		return inode_unlinked_add(tx, inode);
	return 0;
}
