// SPDX-License-Identifier: GPL-2.0
/*
 * POSIX ACLs of inodes: stored as the attributes SGI_ACL_FILE and SGI_ACL_DEFAULT of the root namespace.
 * (XFS: xfs_acl.c.  Linux: posix_acl.c.)
 */
#include "acl.h"

#include <sys/stat.h>

#include <userxfs/base/memory.h>

#include "internal.h"

static struct xattr_name attr_name(enum acl_kind kind)
{
	if (kind == ACL_KIND_ACCESS)
		return (struct xattr_name){ XATTR_TRUSTED, (const uint8_t *)SGI_ACL_FILE, SGI_ACL_FILE_SIZE };
	return (struct xattr_name){ XATTR_TRUSTED, (const uint8_t *)SGI_ACL_DEFAULT, SGI_ACL_DEFAULT_SIZE };
}

/* -ENODATA.  *out is never NULL on success. */
static int read_acl(struct inode *inode, enum acl_kind kind, struct acl **out)
{
	struct xattr_name name = attr_name(kind);
	struct acl *acl = NULL;
	size_t length;
	void *value;
	int err;

	err = xattr_get(inode, &name, NULL, 0, &length);
	if (err)
		return err;
	value = mem_alloc(length ? length : 1);
	if (!value)
		return -ENOMEM;
	if (length)
		err = xattr_get(inode, &name, value, length, &length);
	if (!err)
		err = acl_decode_disk(inode, value, length, &acl);
	mem_free(value);
	if (err)
		return err;
	if (!acl)
		return -ENODATA;
	*out = acl;
	return 0;
}

/* NULL removes. */
static int write_acl(struct inode *inode, enum acl_kind kind, const struct acl *acl)
{
	struct xattr_name name = attr_name(kind);
	void *value;
	int err;

	if (!acl) {
		err = xattr_remove(inode, &name);
		return err == -ENODATA ? 0 : err;
	}
	if (acl_disk_bytes(acl) > XFS_XATTR_SIZE_MAX)
		return -E2BIG;
	value = mem_alloc(acl_disk_bytes(acl));
	if (!value)
		return -ENOMEM;
	acl_encode_disk(acl, value);
	err = xattr_set(inode, &name, value, acl_disk_bytes(acl), 0);
	mem_free(value);
	return err;
}

static int give(const struct acl *acl, void *value, size_t capacity, size_t *length)
{
	size_t bytes = acl_encoded_bytes(acl);

	if (capacity && bytes > capacity)
		return -ERANGE;
	*length = bytes;
	if (capacity)
		acl_encode(acl, value);
	return 0;
}

int acl_get(struct inode *inode, enum acl_kind kind, void *value, size_t capacity, size_t *length)
{
	struct acl *acl;
	int err;

	err = read_acl(inode, kind, &acl);
	if (err)
		return err;
	err = give(acl, value, capacity, length);
	mem_free(acl);
	return err;
}

static int set_access(struct inode *inode, const struct acl *acl)
{
	struct inode_change change = { .valid = CHANGE_MODE };
	uint32_t mode = inode->mode;
	int err;

	if (acl && acl_equals_mode(acl, &mode))
		acl = NULL;
	err = write_acl(inode, ACL_KIND_ACCESS, acl);
	if (err || mode == inode->mode)
		return err;
	change.mode = (uint16_t)(mode & ~(uint32_t)S_IFMT);
	return inode_change(inode, &change);
}

int acl_set(struct inode *inode, enum acl_kind kind, const void *value, size_t length)
{
	struct acl *acl = NULL;
	int err;

	if (S_ISLNK(inode->mode))
		return -EOPNOTSUPP;
	if (kind == ACL_KIND_DEFAULT && !S_ISDIR(inode->mode))
		return length ? -EACCES : 0;
	if (length) {
		err = acl_decode(value, length, &acl);
		if (err)
			return err;
	}
	err = acl ? acl_validate(acl) : 0;
	if (!err)
		err = kind == ACL_KIND_ACCESS ? set_access(inode, acl) : write_acl(inode, kind, acl);
	mem_free(acl);
	return err;
}

int acl_inherit(struct inode *dir, uint32_t mode, uint32_t umask, uint32_t *new_mode, void *access,
		size_t *access_length, void *deflt, size_t *default_length)
{
	uint32_t equal_mode = 0;
	struct acl *acl;
	int err;

	*access_length = *default_length = 0;
	*new_mode = mode;
	if (S_ISLNK(mode))
		return 0;
	err = read_acl(dir, ACL_KIND_DEFAULT, &acl);
	if (err == -ENODATA) {
		*new_mode = mode & ~umask;
		return 0;
	}
	if (err)
		return err;
	if (S_ISDIR(mode))
		err = give(acl, deflt, ACL_MAX_BYTES, default_length);
	if (!err) {
		acl_mask_create(acl, new_mode);
		if (!acl_equals_mode(acl, &equal_mode))
			err = give(acl, access, ACL_MAX_BYTES, access_length);
	}
	mem_free(acl);
	return err;
}

int acl_chmod(struct inode *inode, uint32_t mode)
{
	struct acl *acl;
	int err;

	if (S_ISLNK(inode->mode))
		return -EOPNOTSUPP;
	err = read_acl(inode, ACL_KIND_ACCESS, &acl);
	if (err)
		return err == -ENODATA ? 0 : err;
	acl_mask_chmod(acl, mode);
	err = write_acl(inode, ACL_KIND_ACCESS, acl);
	mem_free(acl);
	return err;
}
