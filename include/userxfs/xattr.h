/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Extended attributes in all forms (inline, one leaf, hashed tree, remote values), and POSIX ACLs, which are
 * attributes in a format of their own.  (XFS: libxfs/xfs_attr*.c, xfs_acl.c.)
 *
 * Each change is a chain of transactions of its own that leaves the old or the new value after a crash (XFS's
 * INCOMPLETE flag flip).  Locks: takes the inode's map_lock itself; the caller holds the io_lock exclusively for
 * changes.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <userxfs/inode.h>

enum xattr_namespace {
	XATTR_USER,
	XATTR_TRUSTED,			/* on disk: XFS_ATTR_ROOT */
	XATTR_SECURITY,			/* on disk: XFS_ATTR_SECURE */
};

struct xattr_name {
	enum xattr_namespace ns;
	const uint8_t *bytes;
	unsigned length;		/* 1..255 */
};

/* Splits "user.x" etc.; *out points into @full_name.  -EOPNOTSUPP for unknown prefixes, -EINVAL for an empty rest,
 * -ERANGE when longer than 255 bytes. */
int xattr_parse(const char *full_name, struct xattr_name *out);

/* The value's length in *length; copied to @value when capacity suffices (capacity 0: only the length).  -ENODATA,
 * -ERANGE. */
int xattr_get(struct inode *inode, const struct xattr_name *name, void *value, size_t capacity, size_t *length);
/* @flags: XATTR_CREATE (-EEXIST) or XATTR_REPLACE (-ENODATA) of <sys/xattr.h>.  -E2BIG/-ERANGE above 64 KiB;
 * -ENOSPC. */
int xattr_set(struct inode *inode, const struct xattr_name *name, const void *value, size_t length, int flags);
int xattr_remove(struct inode *inode, const struct xattr_name *name);
/* "user.a\0security.b\0...": the ACL attributes of the root namespace show as system.posix_acl_*, and
 * @with_trusted all of that namespace also as trusted.*, those two included, as in the kernel; *length as in get. */
int xattr_list(struct inode *inode, bool with_trusted, char *names, size_t capacity, size_t *length);
/* The inode is being freed: removes the whole attr fork in a chain of transactions (XFS: xfs_attr_inactive). */
int xattr_free_all(struct inode *inode) NO_LOCK_ANALYSIS;

/* ---- POSIX ACLs ---- */

enum acl_kind { ACL_KIND_ACCESS, ACL_KIND_DEFAULT };

/* Values in the form of system.posix_acl_access (version 2, little-endian entries).  -ENODATA. */
int acl_get(struct inode *inode, enum acl_kind kind, void *value, size_t capacity, size_t *length);
/* Validates (-EINVAL), sets; an access ACL also sets the mode and is not stored when the mode says it all; length
 * 0 removes. -EACCES for a default ACL on a non-directory. */
int acl_set(struct inode *inode, enum acl_kind kind, const void *value, size_t length);
/* What a new object of @mode in @dir gets: the mode after umask or default ACL, and the ACLs to set on it
 * (encoded; length 0: none).  Buffers of ACL_MAX_BYTES. */
#define ACL_MAX_BYTES 65536
int acl_inherit(struct inode *dir, uint32_t mode, uint32_t umask, uint32_t *new_mode, void *access,
		size_t *access_length, void *deflt, size_t *default_length);
/* chmod on an inode with an access ACL: adjusts the ACL. */
int acl_chmod(struct inode *inode, uint32_t mode);
