// SPDX-License-Identifier: GPL-2.0
/*
 * The two forms of ACLs, and what they mean for the mode.  (XFS: xfs_acl_from_disk, xfs_acl_to_disk.  Linux:
 * posix_acl_from_xattr, posix_acl_valid, posix_acl_equiv_mode, posix_acl_create_masq, posix_acl_chmod_masq.)
 *
 *	xattr    | version 2 | tag, perm, id | ...      little-endian, 16, 16, 32 bits
 *	on disk  | count | tag, id, perm, 0 | ...       big-endian, 32, 32, 16, 16 bits
 */
#include <endian.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>

#include <userxfs/base/memory.h>

#include "acl.h"
#include "internal.h"

#define PERMISSIONS 07u
#define MODE_PERMISSIONS (S_IRWXU | S_IRWXG | S_IRWXO)

static bool names_somebody(uint16_t tag)
{
	return tag == ACL_TAG_USER || tag == ACL_TAG_GROUP;
}

static struct acl *allocate(size_t count)
{
	struct acl *acl = mem_alloc(sizeof(*acl) + count * sizeof(acl->entries[0]));

	if (acl)
		acl->count = (unsigned)count;
	return acl;
}

int acl_decode(const void *value, size_t length, struct acl **out)
{
	const struct posix_acl_xattr_header *hdr = value;
	const struct posix_acl_xattr_entry *entries = (const void *)(hdr + 1);
	struct acl *acl;
	size_t count;

	if (length < sizeof(*hdr) || (length - sizeof(*hdr)) % sizeof(*entries))
		return -EINVAL;
	if (le32toh(hdr->a_version) != POSIX_ACL_XATTR_VERSION)
		return -EOPNOTSUPP;
	count = (length - sizeof(*hdr)) / sizeof(*entries);
	if (!count) {
		*out = NULL;
		return 0;
	}
	acl = allocate(count);
	if (!acl)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint16_t tag = le16toh(entries[i].e_tag);

		acl->entries[i] = (struct acl_entry){
			.tag = tag,
			.perm = le16toh(entries[i].e_perm),
			.id = names_somebody(tag) ? le32toh(entries[i].e_id) : ACL_ID_NONE,
		};
	}
	*out = acl;
	return 0;
}

size_t acl_encoded_bytes(const struct acl *acl)
{
	return sizeof(struct posix_acl_xattr_header) + acl->count * sizeof(struct posix_acl_xattr_entry);
}

void acl_encode(const struct acl *acl, void *value)
{
	struct posix_acl_xattr_header *hdr = value;
	struct posix_acl_xattr_entry *entries = (void *)(hdr + 1);

	hdr->a_version = htole32(POSIX_ACL_XATTR_VERSION);
	for (unsigned i = 0; i < acl->count; i++) {
		entries[i].e_tag = htole16(acl->entries[i].tag);
		entries[i].e_perm = htole16(acl->entries[i].perm);
		entries[i].e_id = htole32(acl->entries[i].id);
	}
}

int acl_decode_disk(const struct inode *inode, const void *value, size_t length, struct acl **out)
{
	const struct xfs_acl *disk = value;
	struct acl *acl;
	size_t count;

	if (length < sizeof(*disk))
		return attr_corrupt(inode, "an ACL is too short");
	count = be32_to_cpu(disk->acl_cnt);
	if (length > XFS_XATTR_SIZE_MAX || count > (length - sizeof(*disk)) / sizeof(disk->acl_entry[0]) ||
	    XFS_ACL_SIZE(count) != length)
		return attr_corrupt(inode, "an ACL has the wrong length");
	if (!count) {
		*out = NULL;
		return 0;
	}
	acl = allocate(count);
	if (!acl)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint32_t tag32 = be32_to_cpu(disk->acl_entry[i].ae_tag);
		uint16_t tag = tag32 > UINT16_MAX ? 0 : (uint16_t)tag32;

		acl->entries[i] = (struct acl_entry){
			.tag = tag,
			.perm = be16_to_cpu(disk->acl_entry[i].ae_perm),
			.id = names_somebody(tag) ? be32_to_cpu(disk->acl_entry[i].ae_id) : ACL_ID_NONE,
		};
	}
	if (acl_validate(acl)) {
		mem_free(acl);
		return attr_corrupt(inode, "an ACL makes no sense");
	}
	*out = acl;
	return 0;
}

size_t acl_disk_bytes(const struct acl *acl)
{
	return XFS_ACL_SIZE(acl->count);
}

void acl_encode_disk(const struct acl *acl, void *value)
{
	struct xfs_acl *disk = value;

	disk->acl_cnt = cpu_to_be32(acl->count);
	for (unsigned i = 0; i < acl->count; i++)
		disk->acl_entry[i] = (struct xfs_acl_entry){
			.ae_tag = cpu_to_be32(acl->entries[i].tag),
			.ae_id = cpu_to_be32(acl->entries[i].id),
			.ae_perm = cpu_to_be16(acl->entries[i].perm),
		};
}

/* Where a tag stands in an ACL: owner, named users, group, named groups, mask, others. */
static unsigned order_of(uint16_t tag)
{
	switch (tag) {
	case ACL_TAG_USER_OBJ:
		return 1;
	case ACL_TAG_USER:
		return 2;
	case ACL_TAG_GROUP_OBJ:
		return 3;
	case ACL_TAG_GROUP:
		return 4;
	case ACL_TAG_MASK:
		return 5;
	case ACL_TAG_OTHER:
		return 6;
	default:
		return 0;
	}
}

int acl_validate(const struct acl *acl)
{
	unsigned last = 0, seen = 0;
	bool needs_mask = false;

	for (unsigned i = 0; i < acl->count; i++) {
		const struct acl_entry *entry = &acl->entries[i];
		unsigned order = order_of(entry->tag);

		if (!order || entry->perm & ~PERMISSIONS || order < last)
			return -EINVAL;
		if (names_somebody(entry->tag)) {
			needs_mask = true;
			if (entry->id == ACL_ID_NONE)
				return -EINVAL;
		} else if (order == last) {
			return -EINVAL;
		}
		last = order;
		seen |= entry->tag;
	}
	if (!(seen & ACL_TAG_USER_OBJ) || !(seen & ACL_TAG_GROUP_OBJ) || !(seen & ACL_TAG_OTHER))
		return -EINVAL;
	return needs_mask && !(seen & ACL_TAG_MASK) ? -EINVAL : 0;
}

bool acl_equals_mode(const struct acl *acl, uint32_t *mode)
{
	uint32_t bits = 0, mask = 0;
	bool is_equal = true, has_mask = false;

	for (unsigned i = 0; i < acl->count; i++) {
		uint32_t perm = acl->entries[i].perm & PERMISSIONS;

		switch (acl->entries[i].tag) {
		case ACL_TAG_USER_OBJ:
			bits |= perm << 6;
			break;
		case ACL_TAG_GROUP_OBJ:
			bits |= perm << 3;
			break;
		case ACL_TAG_OTHER:
			bits |= perm;
			break;
		case ACL_TAG_MASK:
			mask = perm;
			has_mask = true;
			is_equal = false;
			break;
		default:
			is_equal = false;
		}
	}
	if (has_mask)
		bits = (bits & ~(uint32_t)S_IRWXG) | mask << 3;
	*mode = (*mode & ~(uint32_t)MODE_PERMISSIONS) | bits;
	return is_equal;
}

/* The entry that stands for the mode's group bits: the mask, else the group's. */
static struct acl_entry *group_class(struct acl *acl)
{
	struct acl_entry *group = NULL;

	for (unsigned i = 0; i < acl->count; i++) {
		if (acl->entries[i].tag == ACL_TAG_MASK)
			return &acl->entries[i];
		if (acl->entries[i].tag == ACL_TAG_GROUP_OBJ)
			group = &acl->entries[i];
	}
	return group;
}

static struct acl_entry *entry_of(struct acl *acl, uint16_t tag)
{
	for (unsigned i = 0; i < acl->count; i++)
		if (acl->entries[i].tag == tag)
			return &acl->entries[i];
	return NULL;
}

/* The entries that stand for the mode's bits of others, group and owner. */
static void find_classes(struct acl *acl, struct acl_entry *class[3])
{
	class[0] = entry_of(acl, ACL_TAG_OTHER);
	class[1] = group_class(acl);
	class[2] = entry_of(acl, ACL_TAG_USER_OBJ);
}

void acl_mask_create(struct acl *acl, uint32_t *mode)
{
	struct acl_entry *class[3];

	find_classes(acl, class);
	for (unsigned i = 0; i < 3; i++) {
		unsigned shift = 3 * i;

		if (!class[i])
			continue;
		class[i]->perm &= (uint16_t)(*mode >> shift & PERMISSIONS);
		*mode = (*mode & ~(PERMISSIONS << shift)) | (uint32_t)class[i]->perm << shift;
	}
}

void acl_mask_chmod(struct acl *acl, uint32_t mode)
{
	struct acl_entry *class[3];

	find_classes(acl, class);
	for (unsigned i = 0; i < 3; i++)
		if (class[i])
			class[i]->perm = (uint16_t)(mode >> 3 * i & PERMISSIONS);
}
