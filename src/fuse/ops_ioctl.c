/* SPDX-License-Identifier: GPL-2.0 */
/* The ioctls that FUSE carries whole: inode flags (chattr, lsattr, xfs_io), the label, and stopping the volume. */
#include "session.h"

#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#define XFS_GOINGDOWN _IOR('X', 125, uint32_t)

struct flag_pair {
	uint32_t fs_flag, xflag;
};

/* FS_*_FL of lsattr(1) and their FS_XFLAG_ twins. */
static const struct flag_pair flag_pairs[] = {
	{ FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE }, { FS_APPEND_FL, FS_XFLAG_APPEND },
	{ FS_SYNC_FL, FS_XFLAG_SYNC },		 { FS_NOATIME_FL, FS_XFLAG_NOATIME },
	{ FS_NODUMP_FL, FS_XFLAG_NODUMP },	 { FS_PROJINHERIT_FL, FS_XFLAG_PROJINHERIT },
};

static uint32_t xflags_to_fs(uint32_t xflags)
{
	uint32_t flags = 0;

	for (unsigned i = 0; i < ARRAY_COUNT(flag_pairs); i++)
		flags |= xflags & flag_pairs[i].xflag ? flag_pairs[i].fs_flag : 0;
	return flags;
}

static int fs_to_xflags(uint32_t flags, uint32_t old, uint32_t *xflags)
{
	*xflags = old;
	for (unsigned i = 0; i < ARRAY_COUNT(flag_pairs); i++) {
		*xflags &= ~flag_pairs[i].xflag;
		*xflags |= flags & flag_pairs[i].fs_flag ? flag_pairs[i].xflag : 0;
		flags &= ~flag_pairs[i].fs_flag;
	}
	return flags ? -EOPNOTSUPP : 0;
}

static void reply_result(struct request *r, const void *data, size_t bytes)
{
	struct fuse_ioctl_out out = { .result = 0 };
	struct iovec iov[3] = { [1] = { &out, sizeof(out) }, [2] = { (void *)data, bytes } };

	reply_iov(r, iov, bytes ? 3 : 2);
}

/* The kernel does not expect these ioctls to move the change time. */
static void reply_changed(struct request *r, int err)
{
	if (err) {
		reply_error(r, err);
		return;
	}
	node_attr_changed(r->s, r->in->nodeid);
	reply_result(r, NULL, 0);
}

static void get_flags(struct request *r, struct inode *inode)
{
	struct inode_stat st;
	uint32_t flags;

	inode_stat(inode, &st);
	flags = xflags_to_fs(st.xflags);
	reply_result(r, &flags, sizeof(flags));
}

static void set_flags(struct request *r, struct inode *inode, const void *data, uint32_t bytes)
{
	struct inode_change change = { .valid = CHANGE_XFLAGS };
	struct inode_stat st;
	uint32_t flags;
	int err = bytes < sizeof(flags) ? -EINVAL : 0;

	if (!err) {
		memcpy(&flags, data, sizeof(flags));
		inode_stat(inode, &st);
		err = fs_to_xflags(flags, st.xflags, &change.xflags);
	}
	if (!err)
		err = inode_change(inode, &change);
	reply_changed(r, err);
}

static void get_xattr(struct request *r, struct inode *inode)
{
	struct inode_stat st;
	struct fsxattr fsx = { 0 };

	inode_stat(inode, &st);
	fsx.fsx_xflags = st.xflags;
	fsx.fsx_extsize = st.extent_hint_bytes;
	fsx.fsx_cowextsize = st.cow_hint_bytes;
	fsx.fsx_nextents = (uint32_t)st.extent_count;
	fsx.fsx_projid = st.project;
	reply_result(r, &fsx, sizeof(fsx));
}

static void set_xattr(struct request *r, struct inode *inode, const void *data, uint32_t bytes)
{
	struct inode_change change = {
		.valid = CHANGE_XFLAGS | CHANGE_PROJECT | CHANGE_EXTENT_HINT | CHANGE_COW_HINT,
	};
	struct fsxattr fsx;
	int err = bytes < sizeof(fsx) ? -EINVAL : 0;

	if (!err) {
		memcpy(&fsx, data, sizeof(fsx));
		change.xflags = fsx.fsx_xflags;
		change.project = fsx.fsx_projid;
		change.extent_hint_bytes = fsx.fsx_extsize;
		change.cow_hint_bytes = fsx.fsx_cowextsize;
		err = inode_change(inode, &change);
	}
	reply_changed(r, err);
}

static void get_label(struct request *r)
{
	char label[FSLABEL_MAX] = { 0 };

	memcpy(label, r->s->vol->geo.label, sizeof(r->s->vol->geo.label));
	reply_result(r, label, sizeof(label));
}

/* The argument says whether to flush first, but FUSE does not carry it: never flush, the harder case. */
static void going_down(struct request *r)
{
	uint32_t zero = 0;

	if (r->in->uid) {
		reply_error(r, -EPERM);
		return;
	}
	volume_shutdown(r->s->vol, "XFS_IOC_GOINGDOWN");
	reply_result(r, &zero, sizeof(zero));
}

void op_ioctl(struct request *r)
{
	const struct fuse_ioctl_in *arg = (const void *)r->body;
	const uint8_t *data = r->body + sizeof(*arg);
	uint32_t bytes = r->body_bytes - (uint32_t)sizeof(*arg);
	bool changes = arg->cmd == FS_IOC_SETFLAGS || arg->cmd == FS_IOC_FSSETXATTR;
	struct inode *inode;
	int err = changes && session_is_read_only(r->s) ? -EROFS : node_get(r->s, r->in->nodeid, &inode);

	if (err) {
		reply_error(r, err);
		return;
	}
	switch (arg->cmd) {
	case FS_IOC_GETFLAGS:
		get_flags(r, inode);
		break;
	case FS_IOC_SETFLAGS:
		set_flags(r, inode, data, bytes);
		break;
	case FS_IOC_FSGETXATTR:
		get_xattr(r, inode);
		break;
	case FS_IOC_FSSETXATTR:
		set_xattr(r, inode, data, bytes);
		break;
	case FS_IOC_GETFSLABEL:
		get_label(r);
		break;
	case XFS_GOINGDOWN:
		going_down(r);
		break;
	default:
		reply_error(r, -ENOTTY);
	}
	inode_put(inode);
}
