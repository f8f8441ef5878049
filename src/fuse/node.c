/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Node ids: the kernel's names for inodes.  The root is 1, everything else its inode number (XFS never uses inode 1).
 *
 * Each lookup the kernel counts is one reference of the inode in memory, given back by FORGET; so an inode the kernel
 * knows is never reclaimed, and an unlinked one is freed on disk only when the kernel has forgotten it.
 */
#include "session.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

int node_get(struct session *s, uint64_t nodeid, struct inode **out)
{
	struct inum ino = nodeid == FUSE_ROOT_ID ? s->vol->geo.root : (struct inum){ nodeid };
	int err = inode_get(s->vol->inodes, NULL, ino, INODE_GET_CACHED, out);

	/* Not in memory: a file handle from before (NFS, open_by_handle_at). */
	if (err == -ENODATA)
		err = inode_get(s->vol->inodes, NULL, ino, INODE_GET_UNTRUSTED, out);
	return err == -ENOENT || err == -EINVAL ? -ESTALE : err;
}

void node_attr(struct session *s, struct inode *inode, struct fuse_attr *out)
{
	struct inode_stat st;

	inode_stat(inode, &st);
	*out = (struct fuse_attr){
		.ino = st.ino.v,
		.size = st.size_bytes,
		.blocks = st.blocks_512,
		.atime = (uint64_t)st.atime.tv_sec,
		.mtime = (uint64_t)st.mtime.tv_sec,
		.ctime = (uint64_t)st.ctime.tv_sec,
		.atimensec = (uint32_t)st.atime.tv_nsec,
		.mtimensec = (uint32_t)st.mtime.tv_nsec,
		.ctimensec = (uint32_t)st.ctime.tv_nsec,
		.mode = st.mode,
		.nlink = st.nlink,
		.uid = st.uid,
		.gid = st.gid,
		/* The kernel's 32-bit encoding (new_encode_dev), which makedev's low bits share. */
		.rdev = (minor(st.rdev) & 0xff) | (major(st.rdev) << 8) | ((minor(st.rdev) & ~0xffu) << 12),
		.blksize = 4096,
	};
}

uint64_t node_attr_timeout(struct inode *inode)
{
	if (!S_ISREG(inode->mode))
		return ATTR_TIMEOUT_SEC;
	if (atomic_load(&inode->flags) & (INODE_EOFBLOCKS | INODE_COWBLOCKS) ||
	    atomic_load(&inode->map.delayed_blocks))
		return 0;
	return ATTR_TIMEOUT_SEC;
}

void node_entry(struct session *s, struct inode *inode, struct fuse_entry_out *out)
{
	*out = (struct fuse_entry_out){
		.nodeid = inum_equal(inode->ino, s->vol->geo.root) ? FUSE_ROOT_ID : inode->ino.v,
		.generation = inode->generation,
		/* Other spellings of a name change with it, which the kernel does not know. */
		.entry_valid = s->vol->geo.has_ascii_ci ? 0 : ATTR_TIMEOUT_SEC,
		.attr_valid = node_attr_timeout(inode),
	};
	node_attr(s, inode, &out->attr);
	atomic_fetch_add(&inode->lookups, 1);
}

void node_accessed(struct session *s, struct inode *inode, uint32_t open_flags)
{
	const struct volume_options *options = &s->vol->options;

	if (!options->no_atime && !(open_flags & O_NOATIME))
		inode_accessed(inode, options->strict_atime);
}

void node_attr_changed(struct session *s, uint64_t nodeid)
{
	/* A negative offset leaves the cached pages alone. */
	struct fuse_notify_inval_inode_out out = { .ino = nodeid, .off = -1 };

	send_notification(s, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out));
}

const char *request_string(struct request *r, uint32_t off)
{
	if (off >= r->body_bytes || !memchr(r->body + off, 0, r->body_bytes - off))
		return NULL;
	return (const char *)r->body + off;
}

int name_from_string(const char *string, struct name *out)
{
	size_t length;

	if (!string)
		return -EINVAL;
	length = strlen(string);
	if (!length)
		return -EINVAL;
	if (length > 255)
		return -ENAMETOOLONG;
	*out = (struct name){ (const uint8_t *)string, (unsigned)length };
	return 0;
}

struct credentials request_credentials(const struct request *r, uint32_t umask)
{
	return (struct credentials){ .uid = r->in->uid, .gid = r->in->gid, .umask = umask & 0777 };
}
