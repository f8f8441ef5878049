// SPDX-License-Identifier: GPL-2.0
/* POSIX ACLs: what is valid, what the mode says, what new objects inherit, what chmod changes. */
#include "xattr_test.h"

#include <linux/posix_acl_xattr.h>

#include "xattr/acl.h"

/* An encoded ACL being put together. */
struct form {
	uint8_t bytes[4096];
	size_t length;
};

static void start(struct form *f)
{
	const struct posix_acl_xattr_header hdr = { .a_version = POSIX_ACL_XATTR_VERSION };

	memcpy(f->bytes, &hdr, sizeof(hdr));
	f->length = sizeof(hdr);
}

static void add(struct form *f, uint16_t tag, uint16_t perm, uint32_t id)
{
	const struct posix_acl_xattr_entry entry = { .e_tag = tag, .e_perm = perm, .e_id = id };

	memcpy(f->bytes + f->length, &entry, sizeof(entry));
	f->length += sizeof(entry);
}

static struct form minimal(uint16_t user, uint16_t group, uint16_t other)
{
	struct form f;

	start(&f);
	add(&f, ACL_TAG_USER_OBJ, user, ACL_ID_NONE);
	add(&f, ACL_TAG_GROUP_OBJ, group, ACL_ID_NONE);
	add(&f, ACL_TAG_OTHER, other, ACL_ID_NONE);
	return f;
}

/* With one named user and a mask. */
static struct form extended(uint16_t user, uint16_t named, uint16_t group, uint16_t mask, uint16_t other)
{
	struct form f;

	start(&f);
	add(&f, ACL_TAG_USER_OBJ, user, ACL_ID_NONE);
	add(&f, ACL_TAG_USER, named, 1000);
	add(&f, ACL_TAG_GROUP_OBJ, group, ACL_ID_NONE);
	add(&f, ACL_TAG_MASK, mask, ACL_ID_NONE);
	add(&f, ACL_TAG_OTHER, other, ACL_ID_NONE);
	return f;
}

static void assert_acl(struct inode *inode, enum acl_kind kind, const struct form *wanted)
{
	uint8_t bytes[4096];
	size_t length;

	assert_int_equal(acl_get(inode, kind, bytes, sizeof(bytes), &length), 0);
	assert_int_equal(length, wanted->length);
	assert_memory_equal(bytes, wanted->bytes, length);
}

static void assert_no_acl(struct inode *inode, enum acl_kind kind)
{
	size_t length;

	assert_int_equal(acl_get(inode, kind, NULL, 0, &length), -ENODATA);
}

static int set_access(struct inode *inode, const struct form *f)
{
	return acl_set(inode, ACL_KIND_ACCESS, f->bytes, f->length);
}

/* An ACL that the mode can express is not stored; others are, and the mode follows the mask. */
static void an_access_acl_sets_the_mode(void **state)
{
	struct form plain = minimal(7, 5, 1), more = extended(6, 7, 5, 3, 4), broken;
	struct inode *inode;
	struct xattr_test t;

	xattr_test_start(&t, "");
	inode = make_object(&t, "file", S_IFREG | S_ISGID | 0644);
	assert_int_equal(set_access(inode, &plain), 0);
	assert_no_acl(inode, ACL_KIND_ACCESS);
	assert_int_equal(inode->mode & 07777, S_ISGID | 0751);
	assert_int_equal(set_access(inode, &more), 0);
	assert_acl(inode, ACL_KIND_ACCESS, &more);
	assert_int_equal(inode->mode & 0777, 0634);

	/* chmod: owner, mask, others. */
	assert_int_equal(acl_chmod(inode, 0751), 0);
	more = extended(7, 7, 5, 5, 1);
	assert_acl(inode, ACL_KIND_ACCESS, &more);

	broken = minimal(7, 5, 1);
	broken.length -= 8;
	assert_int_equal(set_access(inode, &broken), -EINVAL);
	broken.length -= 1;
	assert_int_equal(set_access(inode, &broken), -EINVAL);
	broken = minimal(7, 8, 1);
	assert_int_equal(set_access(inode, &broken), -EINVAL);
	broken = minimal(7, 5, 1);
	add(&broken, ACL_TAG_MASK, 7, ACL_ID_NONE);
	assert_int_equal(set_access(inode, &broken), -EINVAL);
	start(&broken);
	add(&broken, ACL_TAG_USER_OBJ, 7, ACL_ID_NONE);
	add(&broken, ACL_TAG_USER, 7, 12);
	add(&broken, ACL_TAG_GROUP_OBJ, 7, ACL_ID_NONE);
	add(&broken, ACL_TAG_OTHER, 7, ACL_ID_NONE);
	assert_int_equal(set_access(inode, &broken), -EINVAL);
	broken = minimal(7, 5, 1);
	broken.bytes[0] = 1;
	assert_int_equal(set_access(inode, &broken), -EOPNOTSUPP);

	assert_int_equal(acl_set(inode, ACL_KIND_ACCESS, NULL, 0), 0);
	assert_no_acl(inode, ACL_KIND_ACCESS);
	assert_int_equal(acl_set(inode, ACL_KIND_DEFAULT, plain.bytes, plain.length), -EACCES);
	inode_put(inode);
	xattr_test_end(&t);
}

static uint8_t access_acl[ACL_MAX_BYTES], default_acl[ACL_MAX_BYTES];
static size_t access_length, default_length;

static uint32_t inherited_mode(struct inode *dir, uint32_t mode, uint32_t umask)
{
	uint32_t new_mode;

	assert_int_equal(acl_inherit(dir, mode, umask, &new_mode, access_acl, &access_length, default_acl,
				     &default_length), 0);
	return new_mode;
}

/* Without a default ACL the umask counts; with one, mode and ACL lose what the other does not grant. */
static void new_objects_inherit(void **state)
{
	struct form acl = extended(7, 7, 5, 7, 4), plain = minimal(7, 5, 0), wanted;
	struct xattr_test t;
	struct inode *dir;

	xattr_test_start(&t, "");
	dir = make_object(&t, "dir", S_IFDIR | 0755);
	assert_int_equal(inherited_mode(dir, S_IFREG | 0666, 022), S_IFREG | 0644);
	assert_int_equal(access_length + default_length, 0);

	assert_int_equal(acl_set(dir, ACL_KIND_DEFAULT, acl.bytes, acl.length), 0);
	assert_acl(dir, ACL_KIND_DEFAULT, &acl);
	assert_int_equal(dir->mode & 0777, 0755);
	assert_int_equal(inherited_mode(dir, S_IFREG | 0640, 022), S_IFREG | 0640);
	wanted = extended(6, 7, 5, 4, 0);
	assert_int_equal(access_length, wanted.length);
	assert_memory_equal(access_acl, wanted.bytes, wanted.length);
	assert_int_equal(default_length, 0);

	assert_int_equal(inherited_mode(dir, S_IFDIR | 0777, 022), S_IFDIR | 0774);
	assert_int_equal(default_length, acl.length);
	assert_memory_equal(default_acl, acl.bytes, acl.length);

	/* A default ACL without named entries only changes the mode. */
	assert_int_equal(acl_set(dir, ACL_KIND_DEFAULT, plain.bytes, plain.length), 0);
	assert_int_equal(inherited_mode(dir, S_IFREG | 0666, 0), S_IFREG | 0640);
	assert_int_equal(access_length, 0);
	assert_int_equal(acl_set(dir, ACL_KIND_DEFAULT, NULL, 0), 0);
	assert_no_acl(dir, ACL_KIND_DEFAULT);
	inode_put(dir);
	xattr_test_end(&t);
}

/* The largest ACL that fits an attribute, and one entry more. */
static void acls_have_a_largest_size(void **state)
{
	const unsigned most = (65536 - 4) / 12;
	struct posix_acl_xattr_header *hdr = calloc(most + 2, sizeof(struct posix_acl_xattr_entry));
	struct posix_acl_xattr_entry *entries = (void *)(hdr + 1);
	struct inode *inode;
	struct xattr_test t;
	uint8_t *back;
	size_t length;

	xattr_test_start(&t, "");
	inode = make_object(&t, "file", S_IFREG | 0644);
	hdr->a_version = POSIX_ACL_XATTR_VERSION;
	for (unsigned count = most; count <= most + 1; count++) {
		entries[0] = (struct posix_acl_xattr_entry){ ACL_TAG_USER_OBJ, 6, ACL_ID_NONE };
		for (unsigned i = 1; i < count - 3; i++)
			entries[i] = (struct posix_acl_xattr_entry){ ACL_TAG_USER, 4, i };
		entries[count - 3] = (struct posix_acl_xattr_entry){ ACL_TAG_GROUP_OBJ, 4, ACL_ID_NONE };
		entries[count - 2] = (struct posix_acl_xattr_entry){ ACL_TAG_MASK, 4, ACL_ID_NONE };
		entries[count - 1] = (struct posix_acl_xattr_entry){ ACL_TAG_OTHER, 4, ACL_ID_NONE };
		length = sizeof(*hdr) + count * sizeof(*entries);
		assert_int_equal(acl_set(inode, ACL_KIND_ACCESS, hdr, length), count == most ? 0 : -E2BIG);
	}
	length = sizeof(*hdr) + most * sizeof(*entries);
	back = malloc(length);
	assert_int_equal(acl_get(inode, ACL_KIND_ACCESS, back, length, &length), 0);
	assert_int_equal(length, sizeof(*hdr) + most * sizeof(*entries));
	assert_memory_equal(back, hdr, 1000);
	free(back);
	free(hdr);
	inode_put(inode);
	xattr_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_access_acl_sets_the_mode),
		cmocka_unit_test(new_objects_inherit),
		cmocka_unit_test(acls_have_a_largest_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
