/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests about extended attributes: user., trusted., security., POSIX ACLs, and one of our own:
 * system.userxfs.extents, a read-only report of a file's extents as fiemap would show them (FUSE carries no FIEMAP),
 * one a line:
 *
 *     OFF+COUNT STATE [@BLOCK]      in filesystem blocks; STATE is delayed, unwritten or written
 */
#include "session.h"

#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#define EXTENTS_NAME "system.userxfs.extents"
#define MAX_VALUE_BYTES 65536u

static bool acl_kind_of(const char *name, enum acl_kind *kind)
{
	if (!strcmp(name, "system.posix_acl_access"))
		*kind = ACL_KIND_ACCESS;
	else if (!strcmp(name, "system.posix_acl_default"))
		*kind = ACL_KIND_DEFAULT;
	else
		return false;
	return true;
}

struct report {
	char *text;
	size_t used, capacity;
	const struct geometry *geo;
};

static bool report_extent(void *context, const struct extent *ext)
{
	struct report *rep = context;
	size_t left = rep->capacity - rep->used;
	int n;

	if (ext->state == EXTENT_DELAYED)
		n = snprintf(rep->text + rep->used, left, "%llu+%llu delayed\n", (unsigned long long)ext->off,
			     (unsigned long long)ext->count);
	else
		n = snprintf(rep->text + rep->used, left, "%llu+%llu %s @%llu\n", (unsigned long long)ext->off,
			     (unsigned long long)ext->count, ext->state == EXTENT_WRITTEN ? "written" : "unwritten",
			     (unsigned long long)(fsblk_to_daddr(rep->geo, ext->start) >>
						  (rep->geo->block_log - SECTOR_UNIT_LOG)));
	if (n < 0 || (size_t)n >= left)
		return false;
	rep->used += (size_t)n;
	return true;
}

static int get_extents(struct inode *inode, char *value, size_t capacity, size_t *length)
{
	struct report rep = { .text = value, .capacity = capacity, .geo = inode_geometry(inode) };
	int err = S_ISREG(inode->mode) ? file_report(inode, 0, UINT64_MAX, report_extent, &rep) : -ENODATA;

	if (!err)
		*length = rep.used;
	return err;
}

/* The value into @value (MAX_VALUE_BYTES of room). */
static int get_value(struct inode *inode, const char *full_name, void *value, size_t *length)
{
	struct xattr_name name;
	enum acl_kind kind;
	int err;

	if (acl_kind_of(full_name, &kind))
		return acl_get(inode, kind, value, MAX_VALUE_BYTES, length);
	if (!strcmp(full_name, EXTENTS_NAME))
		return get_extents(inode, value, MAX_VALUE_BYTES, length);
	err = xattr_parse(full_name, &name);
	return err ? err : xattr_get(inode, &name, value, MAX_VALUE_BYTES, length);
}

/* Replies with a size, or with the bytes when they fit in what was asked for. */
static void reply_value(struct request *r, uint32_t asked, const void *value, size_t length)
{
	struct fuse_getxattr_out out = { .size = (uint32_t)length };

	if (!asked)
		reply_data(r, &out, sizeof(out));
	else if (length > asked)
		reply_error(r, -ERANGE);
	else
		reply_data(r, value, length);
}

void op_getxattr(struct request *r)
{
	const struct fuse_getxattr_in *arg = (const void *)r->body;
	const char *name = request_string(r, sizeof(*arg));
	struct inode *inode;
	size_t length = 0;
	int err = name ? node_get(r->s, r->in->nodeid, &inode) : -EINVAL;

	if (!err) {
		err = get_value(inode, name, r->scratch, &length);
		inode_put(inode);
	}
	if (err)
		reply_error(r, err);
	else
		reply_value(r, arg->size, r->scratch, length);
}

static int set_value(struct inode *inode, const char *full_name, const void *value, size_t length, int flags)
{
	struct xattr_name name;
	enum acl_kind kind;
	int err;

	if (inode->di_flags & (XFS_DIFLAG_IMMUTABLE | XFS_DIFLAG_APPEND))
		return -EPERM;
	if (acl_kind_of(full_name, &kind)) {
		rwlock_write_lock(&inode->io_lock);
		err = acl_set(inode, kind, value, length);
		rwlock_write_unlock(&inode->io_lock);
		return err;
	}
	err = xattr_parse(full_name, &name);
	if (err)
		return err;
	rwlock_write_lock(&inode->io_lock);
	err = value ? xattr_set(inode, &name, value, length, flags) : xattr_remove(inode, &name);
	rwlock_write_unlock(&inode->io_lock);
	return err;
}

/* An access ACL set by somebody outside the file's group takes the set-group-id bit away. */
static int kill_sgid(struct inode *inode)
{
	struct inode_change change = {
		.valid = CHANGE_MODE | CHANGE_TOUCH,
		.mode = inode->mode & 07777 & ~S_ISGID,
	};

	return inode->mode & S_ISGID ? inode_change(inode, &change) : 0;
}

void op_setxattr(struct request *r)
{
	const struct fuse_setxattr_in *arg = (const void *)r->body;
	uint32_t arg_bytes = r->s->has_setxattr_ext ? sizeof(*arg) : FUSE_COMPAT_SETXATTR_IN_SIZE;
	const char *name = request_string(r, arg_bytes);
	struct inode *inode;
	size_t value_off;
	int err;

	if (!name) {
		reply_error(r, -EINVAL);
		return;
	}
	value_off = arg_bytes + strlen(name) + 1;
	if (arg->size > r->body_bytes - value_off) {
		reply_error(r, -EINVAL);
		return;
	}
	err = node_get(r->s, r->in->nodeid, &inode);
	if (!err) {
		/* Aligned for those who look into it: it follows a name. */
		memcpy(r->scratch, r->body + value_off, arg->size);
		err = set_value(inode, name, r->scratch, arg->size, (int)arg->flags);
		if (!err && r->s->has_setxattr_ext && arg->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID)
			err = kill_sgid(inode);
		inode_put(inode);
	}
	reply_error(r, err);
}

void op_removexattr(struct request *r)
{
	const char *name = request_string(r, 0);
	struct inode *inode;
	int err = name ? node_get(r->s, r->in->nodeid, &inode) : -EINVAL;

	if (!err) {
		err = set_value(inode, name, NULL, 0, 0);
		inode_put(inode);
	}
	reply_error(r, err);
}

void op_listxattr(struct request *r)
{
	const struct fuse_getxattr_in *arg = (const void *)r->body;
	struct inode *inode;
	size_t length = 0;
	int err = node_get(r->s, r->in->nodeid, &inode);

	if (!err) {
		/* The kernel hides trusted names from callers without CAP_SYS_ADMIN only in its own filesystems. */
		err = xattr_list(inode, r->in->uid == 0, (char *)r->scratch, MAX_VALUE_BYTES, &length);
		inode_put(inode);
	}
	if (err == -ERANGE)
		err = -E2BIG;
	if (err)
		reply_error(r, err);
	else
		reply_value(r, arg->size, r->scratch, length);
}
