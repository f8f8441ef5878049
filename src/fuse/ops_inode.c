/* SPDX-License-Identifier: GPL-2.0 */
/* Requests about inodes: lookup, forget, attributes. */
#include "session.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>

void op_lookup(struct request *r)
{
	struct fuse_entry_out out;
	struct inode *dir, *inode;
	struct name name;
	int err = name_from_string(request_string(r, 0), &name);

	if (!err)
		err = node_get(r->s, r->in->nodeid, &dir);
	if (err) {
		reply_error(r, err);
		return;
	}
	/* "." and "..": file handles of inodes the kernel has forgotten (FUSE_EXPORT_SUPPORT). */
	if (name.length == 1 && name.bytes[0] == '.') {
		inode_hold(dir);
		inode = dir;
	} else if (name.length == 2 && !memcmp(name.bytes, "..", 2)) {
		err = namespace_parent(&r->s->vol->ns, dir, &inode);
	} else {
		err = namespace_lookup(&r->s->vol->ns, dir, name, &inode);
	}
	inode_put(dir);
	if (err == -ENOENT && !r->s->vol->geo.has_ascii_ci) {
		/* A negative entry: the kernel need not ask again until somebody makes it. */
		out = (struct fuse_entry_out){ .entry_valid = ATTR_TIMEOUT_SEC };
		reply_data(r, &out, sizeof(out));
		return;
	}
	if (err) {
		reply_error(r, err);
		return;
	}
	node_entry(r->s, inode, &out);
	reply_data(r, &out, sizeof(out));
}

static void forget(struct session *s, uint64_t nodeid, uint64_t count)
{
	struct inode *inode;

	if (nodeid == FUSE_ROOT_ID || node_get(s, nodeid, &inode))
		return;
	atomic_fetch_sub(&inode->lookups, count);
	inode_put_n(inode, count);
	inode_put(inode);
}

void op_forget(struct request *r)
{
	const struct fuse_forget_in *arg = (const void *)r->body;

	reply_none(r);
	forget(r->s, r->in->nodeid, arg->nlookup);
}

void op_batch_forget(struct request *r)
{
	const struct fuse_batch_forget_in *arg = (const void *)r->body;
	const struct fuse_forget_one *one = (const void *)(arg + 1);
	uint32_t room = (uint32_t)((r->body_bytes - sizeof(*arg)) / sizeof(*one));

	reply_none(r);
	for (uint32_t i = 0; i < arg->count && i < room; i++)
		forget(r->s, one[i].nodeid, one[i].nlookup);
}

static void reply_attr(struct request *r, struct inode *inode)
{
	struct fuse_attr_out out = { .attr_valid = node_attr_timeout(inode) };

	node_attr(r->s, inode, &out.attr);
	reply_data(r, &out, sizeof(out));
}

void op_getattr(struct request *r)
{
	struct inode *inode;
	int err = node_get(r->s, r->in->nodeid, &inode);

	if (err) {
		reply_error(r, err);
		return;
	}
	reply_attr(r, inode);
	inode_put(inode);
}

static struct userxfs_fuse_sx_time sx_time(struct timespec t)
{
	return (struct userxfs_fuse_sx_time){ .tv_sec = t.tv_sec, .tv_nsec = (uint32_t)t.tv_nsec };
}

void op_statx(struct request *r)
{
	struct userxfs_fuse_statx_out out = { 0 };
	struct inode_stat st;
	struct inode *inode;
	int err = node_get(r->s, r->in->nodeid, &inode);

	if (err) {
		reply_error(r, err);
		return;
	}
	inode_stat(inode, &st);
	out.attr_valid = node_attr_timeout(inode);
	out.stat = (struct userxfs_fuse_statx){
		.mask = STATX_BASIC_STATS | STATX_BTIME,
		.blksize = 4096,
		.nlink = st.nlink,
		.uid = st.uid,
		.gid = st.gid,
		.mode = st.mode,
		.ino = st.ino.v,
		.size = st.size_bytes,
		.blocks = st.blocks_512,
		.atime = sx_time(st.atime),
		.btime = sx_time(st.btime),
		.ctime = sx_time(st.ctime),
		.mtime = sx_time(st.mtime),
		.rdev_major = major(st.rdev),
		.rdev_minor = minor(st.rdev),
	};
	inode_put(inode);
	reply_data(r, &out, sizeof(out));
}

static struct timespec wanted_time(uint32_t valid, uint32_t now_flag, uint64_t sec, uint32_t nsec)
{
	if (valid & now_flag)
		return clock_wall();
	return (struct timespec){ .tv_sec = (time_t)sec, .tv_nsec = nsec };
}

static void change_from_setattr(const struct fuse_setattr_in *arg, struct inode_change *change)
{
	*change = (struct inode_change){ 0 };
	if (arg->valid & FATTR_MODE) {
		change->valid |= CHANGE_MODE;
		change->mode = arg->mode & 07777;
	}
	if (arg->valid & FATTR_UID) {
		change->valid |= CHANGE_UID;
		change->uid = arg->uid;
	}
	if (arg->valid & FATTR_GID) {
		change->valid |= CHANGE_GID;
		change->gid = arg->gid;
	}
	if (arg->valid & (FATTR_ATIME | FATTR_ATIME_NOW)) {
		change->valid |= CHANGE_ATIME;
		change->atime = wanted_time(arg->valid, FATTR_ATIME_NOW, arg->atime, arg->atimensec);
	}
	if (arg->valid & (FATTR_MTIME | FATTR_MTIME_NOW)) {
		change->valid |= CHANGE_MTIME;
		change->mtime = wanted_time(arg->valid, FATTR_MTIME_NOW, arg->mtime, arg->mtimensec);
	}
	if (arg->valid & FATTR_CTIME) {
		change->valid |= CHANGE_CTIME;
		change->ctime = wanted_time(arg->valid, 0, arg->ctime, arg->ctimensec);
	}
	if (arg->valid & FATTR_KILL_SUIDGID)
		change->valid |= CHANGE_KILL_PRIV;
	/*
	 * utimensat(UTIME_NOW) is allowed on append-only files; setting any other time is not.  A change time comes
	 * only from the kernel itself, with -o writeback, and tells of writes that it allowed.
	 */
	if (!(arg->valid & (FATTR_ATIME | FATTR_MTIME)) || arg->valid & FATTR_CTIME ||
	    (arg->valid & FATTR_ATIME_NOW && arg->valid & FATTR_MTIME_NOW))
		change->valid |= CHANGE_TOUCH;
}

static int set_attributes(struct inode *inode, const struct fuse_setattr_in *arg)
{
	struct inode_change change;
	int err = 0;

	if (arg->valid & FATTR_SIZE)
		/* With a descriptor it is ftruncate(2), for which the kernel leaves the times to us. */
		err = file_truncate(inode, arg->size, arg->valid & FATTR_FH);
	if (err)
		return err;
	change_from_setattr(arg, &change);
	if (change.valid & ~(unsigned)CHANGE_TOUCH)
		err = inode_change(inode, &change);
	if (!err && arg->valid & FATTR_MODE)
		err = acl_chmod(inode, arg->mode & 07777);
	return err;
}

void op_setattr(struct request *r)
{
	const struct fuse_setattr_in *arg = (const void *)r->body;
	struct inode *inode;
	int err = node_get(r->s, r->in->nodeid, &inode);

	if (err) {
		reply_error(r, err);
		return;
	}
	err = set_attributes(inode, arg);
	if (err)
		reply_error(r, err);
	else
		reply_attr(r, inode);
	inode_put(inode);
}

void op_readlink(struct request *r)
{
	char target[1025];
	struct inode *inode;
	int err = node_get(r->s, r->in->nodeid, &inode);

	if (!err) {
		err = namespace_readlink(&r->s->vol->ns, inode, target, sizeof(target));
		if (!err)
			node_accessed(r->s, inode, 0);
		inode_put(inode);
	}
	if (err)
		reply_error(r, err);
	else
		reply_data(r, target, strlen(target));
}
