// SPDX-License-Identifier: GPL-2.0
/*
 * Rename in all its forms.  (XFS: xfs_rename, xfs_cross_rename, xfs_rename_alloc_whiteout; Linux: vfs_rename.)
 *
 *	plain		source's name goes, target's name leads to it; what was there before loses that name
 *	NOREPLACE	only if there is no target
 *	EXCHANGE	the two names change places
 *	WHITEOUT	source's name stays and leads to a character device 0,0
 *
 * A directory that changes its parent gets a new ".." and takes a link with it.  That no directory becomes its own
 * ancestor is checked under the rename lock: only a move between directories changes a "..", but for the removal of
 * an empty directory, which is nobody's ancestor.
 */
#include <linux/fs.h>
#include <sys/stat.h>

#include <userxfs/base/message.h>

#include "internal.h"

#define MAX_DEPTH (1u << 20)		/* deeper is a loop on disk */
#define KNOWN_FLAGS (RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)

struct renaming {
	struct namespace *ns;
	const struct credentials *cred;
	uint32_t flags;
	struct inode *old_dir, *new_dir;
	struct name old_name, new_name;
	struct inode *source;
	struct inode *target;		/* NULL: the new name is free */
	struct inode *whiteout;		/* NULL: none */
	bool moves_directory;		/* source is one */
	bool changes_parent;
	uint32_t blocks;
};

/* ---- before the transaction ---- */

/* Whether @above is @dir or one of its ancestors. */
static int is_ancestor(struct namespace *ns, const struct inode *above, struct inode *dir, bool *out)
{
	struct inode *at = dir;
	int err = 0;

	inode_hold(at);
	for (unsigned depth = 0; at != above && !inum_equal(at->ino, ns_geometry(ns)->root) && !err; depth++) {
		struct inode *parent;

		err = depth < MAX_DEPTH ? find_name(ns, at, name_dotdot, &parent) : -EFSCORRUPTED;
		if (err)
			break;
		inode_put(at);
		at = parent;
	}
	if (err == -EFSCORRUPTED)
		msg_error("directory %llu does not lead to the root; unmount and run xfs_repair",
			  (unsigned long long)dir->ino.v);
	if (!err)
		*out = at == above;
	inode_put(at);
	return err;
}

/* A directory must not move into itself. */
static int check_loop(const struct renaming *r)
{
	bool is_loop = false;
	int err = 0;

	if (!r->changes_parent)
		return 0;
	if (r->moves_directory)
		err = is_ancestor(r->ns, r->source, r->new_dir, &is_loop);
	if (err || is_loop)
		return err ? err : -EINVAL;
	if (r->flags & RENAME_EXCHANGE && S_ISDIR(r->target->mode))
		err = is_ancestor(r->ns, r->target, r->old_dir, &is_loop);
	return err || !is_loop ? err : -EINVAL;
}

static int check_target(const struct renaming *r)
{
	bool is_directory;
	int err;

	if (!r->target)
		return r->flags & RENAME_EXCHANGE ? -ENOENT : dir_may_add(r->new_dir);
	if (r->flags & RENAME_NOREPLACE)
		return -EEXIST;
	err = dir_may_remove(r->new_dir);
	if (!err)
		err = inode_may_lose_name(r->target);
	if (err || r->flags & RENAME_EXCHANGE)
		return err;
	is_directory = S_ISDIR(r->target->mode);
	if (is_directory == r->moves_directory)
		return 0;
	return is_directory ? -EISDIR : -ENOTDIR;
}

/* The directories' io_locks are held: names stand still. */
static int find_both(struct renaming *r)
{
	int err;

	err = dir_may_remove(r->old_dir);
	if (!err && !S_ISDIR(r->new_dir->mode))
		err = -ENOTDIR;
	if (!err)
		err = find_name(r->ns, r->old_dir, r->old_name, &r->source);
	if (err)
		return err;
	r->moves_directory = S_ISDIR(r->source->mode);
	r->changes_parent = r->old_dir != r->new_dir;
	err = find_name(r->ns, r->new_dir, r->new_name, &r->target);
	if (err && err != -ENOENT)
		return err;
	err = inode_may_lose_name(r->source);
	if (!err)
		err = check_target(r);
	return err ? err : check_loop(r);
}

static int make_whiteout(struct renaming *r)
{
	struct inode_template tmpl = { .mode = S_IFCHR, .uid = r->cred->uid, .gid = r->cred->gid };

	return r->flags & RENAME_WHITEOUT ? make_tmpfile(r->ns, r->new_dir, &tmpl, &r->whiteout) : 0;
}

/* ---- in the transaction, before anything is dirty ---- */

/* The target loses its last name. */
static bool target_goes(const struct renaming *r)
{
	return r->target && (r->moves_directory || r->target->nlink == 1);
}

static int check_target_links(const struct renaming *r)
{
	bool is_empty;
	int err;

	if (r->target->nlink < (r->moves_directory ? 2 : 1)) {
		msg_error("inode %llu has fewer links than names; unmount and run xfs_repair",
			  (unsigned long long)r->target->ino.v);
		return -EFSCORRUPTED;
	}
	if (!r->moves_directory)
		return 0;
	err = dir_is_empty(r->target, &is_empty);
	if (err)
		return err;
	/* XFS's choice of the two that POSIX allows. */
	return is_empty && r->target->nlink == 2 ? 0 : -EEXIST;
}

static int check_links(struct tx *tx, const struct renaming *r)
{
	bool is_exchange = r->flags & RENAME_EXCHANGE;

	if (!r->old_dir->nlink || !r->new_dir->nlink)
		return -ENOENT;
	if (!project_may_enter(r->new_dir, r->source))
		return -EXDEV;
	if (is_exchange)
		return 0;
	if (r->target)
		return check_target_links(r);
	if (r->changes_parent && r->moves_directory && r->new_dir->nlink >= XFS_MAXLINK)
		return -EMLINK;
	return r->blocks ? 0 : dir_can_enter(tx, r->new_dir, r->new_name);
}

/* AGIs are locked in ascending order, and before any AGF that changing a directory may need. */
static int lock_agis(struct tx *tx, const struct renaming *r)
{
	const struct geometry *geo = ns_geometry(r->ns);
	struct inode *inodes[] = { r->whiteout, target_goes(r) ? r->target : NULL };
	agno_t agnos[2];
	unsigned n = 0;

	for (unsigned i = 0; i < 2; i++) {
		if (inodes[i])
			agnos[n++] = inum_agno(geo, inodes[i]->ino);
	}
	if (n == 2 && agnos[0] > agnos[1]) {
		agno_t tmp = agnos[0];

		agnos[0] = agnos[1];
		agnos[1] = tmp;
	}
	for (unsigned i = 0; i < n; i++) {
		struct buffer *agi;
		int err = ag_read_agi(tx, space_ag(r->ns->space, agnos[i]), &agi);

		if (err)
			return err;
	}
	return 0;
}

/* ---- changes ---- */

static uint8_t ftype_of(const struct inode *inode)
{
	return dir_ftype_of_mode(inode->mode);
}

/* The whiteout is about to get a name: it is no longer one of the unlinked. */
static int adopt_whiteout(struct tx *tx, const struct renaming *r)
{
	int err;

	if (!r->whiteout)
		return 0;
	err = inode_unlinked_remove(tx, r->whiteout);
	return err ? err : inode_change_nlink(tx, r->whiteout, 1);
}

static int set_new_name(struct tx *tx, const struct renaming *r)
{
	struct inode *dir = r->new_dir, *source = r->source;
	int err;

	if (r->target) {
		err = dir_replace(tx, dir, r->new_name, source->ino, ftype_of(source), r->blocks);
		if (err)
			return err;
		/* A directory also loses the link of its ".". */
		return inode_change_nlink(tx, r->target, r->moves_directory ? -2 : -1);
	}
	err = dir_add(tx, dir, r->new_name, source->ino, ftype_of(source), r->blocks);
	if (!err && r->changes_parent && r->moves_directory)
		err = inode_change_nlink(tx, dir, 1);
	return err;
}

static int clear_old_name(struct tx *tx, const struct renaming *r)
{
	/* A directory's ".." counts for its parent: the one that moved away, or the one that was replaced. */
	if (r->moves_directory && (r->changes_parent || r->target)) {
		int err = inode_change_nlink(tx, r->old_dir, -1);

		if (err)
			return err;
	}
	if (r->whiteout)
		return dir_replace(tx, r->old_dir, r->old_name, r->whiteout->ino, ftype_of(r->whiteout), r->blocks);
	return dir_remove(tx, r->old_dir, r->old_name, r->source->ino, r->blocks);
}

static int rename_in(struct tx *tx, const struct renaming *r)
{
	int err;

	err = adopt_whiteout(tx, r);
	if (!err)
		err = set_new_name(tx, r);
	if (!err && r->changes_parent && r->moves_directory)
		err = dir_replace(tx, r->source, name_dotdot, r->new_dir->ino, XFS_DIR3_FT_DIR, r->blocks);
	if (!err)
		err = clear_old_name(tx, r);
	if (err)
		return err;
	inode_touch(tx, r->source, INODE_CTIME);
	inode_log(tx, r->source, false);
	touch_directory(tx, r->old_dir);
	touch_directory(tx, r->new_dir);
	return 0;
}

/*
 * Of an exchange: @inode comes to @dir from @other_dir, where @other comes instead.  Only a directory's move shows in
 * the times of the two.
 */
static int exchange_parent(struct tx *tx, const struct renaming *r, struct inode *inode, struct inode *dir,
			   struct inode *other_dir, struct inode *other)
{
	int err;

	if (!S_ISDIR(inode->mode))
		return 0;
	err = dir_replace(tx, inode, name_dotdot, dir->ino, XFS_DIR3_FT_DIR, r->blocks);
	if (err)
		return err;
	touch_directory(tx, inode);
	inode_touch(tx, other, INODE_CTIME);
	if (S_ISDIR(other->mode))
		return 0;
	err = inode_change_nlink(tx, other_dir, -1);
	return err ? err : inode_change_nlink(tx, dir, 1);
}

static int exchange_in(struct tx *tx, const struct renaming *r)
{
	struct inode *a = r->source, *b = r->target;
	int err;

	err = dir_replace(tx, r->old_dir, r->old_name, b->ino, ftype_of(b), r->blocks);
	if (!err)
		err = dir_replace(tx, r->new_dir, r->new_name, a->ino, ftype_of(a), r->blocks);
	if (!err && r->changes_parent)
		err = exchange_parent(tx, r, a, r->new_dir, r->old_dir, b);
	if (!err && r->changes_parent)
		err = exchange_parent(tx, r, b, r->old_dir, r->new_dir, a);
	if (err)
		return err;
	touch_directory(tx, r->old_dir);
	touch_directory(tx, r->new_dir);
	return 0;
}

/* ---- all of it ---- */

static uint32_t blocks_needed(const struct renaming *r)
{
	const struct geometry *geo = ns_geometry(r->ns);

	return dir_remove_blocks(geo) + dir_add_blocks(geo, r->new_name.length) +
	       (r->whiteout ? dir_add_blocks(geo, r->old_name.length) : 0);
}

static int rename_in_transaction(struct renaming *r)
{
	struct inode *inodes[NAMESPACE_MAX_LOCKED] = { r->old_dir, r->new_dir, r->source, r->target, r->whiteout };
	struct tx *tx;
	int err;

	r->blocks = blocks_needed(r);
	err = begin_removal(r->ns, &ns_reservations(r->ns)->rename, &r->blocks, &tx);
	if (err)
		return err;
	join_inodes(tx, inodes, NAMESPACE_MAX_LOCKED);
	err = check_links(tx, r);
	if (!err && r->flags & RENAME_EXCHANGE) {
		err = exchange_in(tx, r);
	} else if (!err) {
		err = lock_agis(tx, r);
		if (!err)
			err = rename_in(tx, r);
	}
	if (!err)
		return tx_commit(tx);
	tx_cancel(tx);
	return err;
}

static int rename_locked(struct renaming *r)
{
	int err = find_both(r);

	/* Two names of one inode: nothing to do, says POSIX. */
	if (err || r->source == r->target)
		return err;
	err = make_whiteout(r);
	if (!err)
		err = rename_in_transaction(r);
	if (!err && r->whiteout)
		atomic_fetch_and(&r->whiteout->flags, ~(uint32_t)INODE_LINKABLE);
	return err;
}

static int check_names(const struct renaming *r)
{
	int err = name_check(r->old_name);

	if (!err)
		err = name_check(r->new_name);
	if (!err && (name_is_dots(r->old_name) || name_is_dots(r->new_name)))
		err = r->flags & RENAME_NOREPLACE && name_is_dots(r->new_name) ? -EEXIST : -EBUSY;
	return err;
}

static int check_flags(uint32_t flags)
{
	if (flags & ~(uint32_t)KNOWN_FLAGS)
		return -EINVAL;
	return flags & RENAME_EXCHANGE && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) ? -EINVAL : 0;
}

static void lock_both(struct renaming *r) NO_LOCK_ANALYSIS
{
	if (r->old_dir != r->new_dir)
		mutex_lock(&r->ns->rename_lock);
	lock_directories(r->old_dir, r->new_dir);
}

static void unlock_both(struct renaming *r) NO_LOCK_ANALYSIS
{
	unlock_directories(r->old_dir, r->new_dir);
	if (r->old_dir != r->new_dir)
		mutex_unlock(&r->ns->rename_lock);
}

int namespace_rename(struct namespace *ns, struct inode *old_dir, struct name old_name, struct inode *new_dir,
		     struct name new_name, uint32_t flags, const struct credentials *cred)
{
	struct renaming r = {
		.ns = ns,
		.cred = cred,
		.flags = flags,
		.old_dir = old_dir,
		.new_dir = new_dir,
		.old_name = old_name,
		.new_name = new_name,
	};
	int err = check_flags(flags);

	if (!err)
		err = check_names(&r);
	if (err)
		return err;
	lock_both(&r);
	err = rename_locked(&r);
	unlock_both(&r);
	inode_put(r.whiteout);
	inode_put(r.target);
	inode_put(r.source);
	help_inactivate(ns);
	return err;
}
