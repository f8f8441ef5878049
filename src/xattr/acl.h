/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* POSIX ACLs in memory. */
#include <stdint.h>

#include <userxfs/xattr.h>

enum acl_tag {
	ACL_TAG_USER_OBJ = 0x01,
	ACL_TAG_USER = 0x02,
	ACL_TAG_GROUP_OBJ = 0x04,
	ACL_TAG_GROUP = 0x08,
	ACL_TAG_MASK = 0x10,
	ACL_TAG_OTHER = 0x20,
};

#define ACL_ID_NONE UINT32_MAX		/* of entries that name nobody */

struct acl_entry {
	uint16_t tag;
	uint16_t perm;			/* rwx: 0..7 */
	uint32_t id;
};

struct acl {
	unsigned count;
	struct acl_entry entries[];
};

/* Decoded from the form of system.posix_acl_*; *out = NULL for one without entries.  Freed with mem_free(). */
int acl_decode(const void *value, size_t length, struct acl **out);
/* Bytes that acl_encode() writes. */
size_t acl_encoded_bytes(const struct acl *acl);
void acl_encode(const struct acl *acl, void *value);
/* The same for XFS's own form on disk. */
int acl_decode_disk(const struct inode *inode, const void *value, size_t length, struct acl **out);
size_t acl_disk_bytes(const struct acl *acl);
void acl_encode_disk(const struct acl *acl, void *value);
/* Entries of every kind that is needed, in order; -EINVAL. */
int acl_validate(const struct acl *acl);

/* Whether the mode says everything that the ACL says; *mode gets the permission bits that correspond to it. */
bool acl_equals_mode(const struct acl *acl, uint32_t *mode);
/* What creating with *mode makes of an inherited ACL: both lose what the other does not grant. */
void acl_mask_create(struct acl *acl, uint32_t *mode);
/* What chmod makes of it. */
void acl_mask_chmod(struct acl *acl, uint32_t mode);
