/* SPDX-License-Identifier: GPL-2.0 */
/* What a directory's default ACL hands down, and that attributes go with their inode. */
#include "namespace_test.h"

#include <endian.h>
#include <sys/xattr.h>

#define SMALL_BYTES (320ull << 20)

/* system.posix_acl_*, version 2. */
struct acl_entry_bytes {
	uint16_t tag, perm;
	uint32_t id;
};

struct acl_bytes {
	uint32_t version;
	struct acl_entry_bytes entries[5];
};

enum { TAG_USER_OBJ = 1, TAG_USER = 2, TAG_GROUP_OBJ = 4, TAG_MASK = 16, TAG_OTHER = 32, NO_ID = -1 };

/* user::rwx user:1234:rwx group::r-x mask::rwx other::--- */
static const struct acl_bytes default_acl = {
	.version = 2,
	.entries = {
		{ TAG_USER_OBJ, 7, (uint32_t)NO_ID },
		{ TAG_USER, 7, 1234 },
		{ TAG_GROUP_OBJ, 5, (uint32_t)NO_ID },
		{ TAG_MASK, 7, (uint32_t)NO_ID },
		{ TAG_OTHER, 0, (uint32_t)NO_ID },
	},
};

static void default_acls_are_handed_down(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *dir = make(f, f->root, "dir", S_IFDIR | 0755), *file, *sub, *link;
	struct acl_bytes acl;
	size_t length;

	assert_int_equal(acl_set(dir, ACL_KIND_DEFAULT, &default_acl, sizeof(default_acl)), 0);
	/* The umask does not matter, the mode asked for does. */
	file = make(f, dir, "file", S_IFREG | 0640);
	assert_int_equal(stat_of(file).mode, S_IFREG | 0640);
	assert_int_equal(acl_get(file, ACL_KIND_ACCESS, &acl, sizeof(acl), &length), 0);
	assert_int_equal(length, sizeof(acl));
	assert_int_equal(acl.entries[1].id, 1234);
	assert_int_equal(acl.entries[3].perm, 4);
	assert_int_equal(acl_get(file, ACL_KIND_DEFAULT, &acl, sizeof(acl), &length), -ENODATA);

	sub = make(f, dir, "sub", S_IFDIR | 0777);
	assert_int_equal(stat_of(sub).mode, S_IFDIR | 0770);
	assert_int_equal(acl_get(sub, ACL_KIND_DEFAULT, &acl, sizeof(acl), &length), 0);
	assert_memory_equal(&acl, &default_acl, sizeof(acl));

	assert_int_equal(namespace_symlink(&f->ns, dir, name_of("link"), "target", &cred_user, &link), 0);
	assert_int_equal(acl_get(link, ACL_KIND_ACCESS, &acl, sizeof(acl), &length), -ENODATA);
	inode_put(link);
	assert_int_equal(namespace_tmpfile(&f->ns, sub, S_IFREG | 0600, &cred_user, &link), 0);
	assert_int_equal(acl_get(link, ACL_KIND_ACCESS, &acl, sizeof(acl), &length), 0);
	inode_put(link);
	inode_put(file);
	inode_put(sub);
	inode_put(dir);
	fixture_destroy(f);
}

static void attributes_go_with_their_inode(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "-m rmapbt=1");
	struct space_counts before, after;
	static uint8_t value[60000];
	char text[40], file_name[20];

	space_counts(f->vol.space, &before);
	for (unsigned i = 0; i < 8; i++) {
		struct inode *inode;

		snprintf(file_name, sizeof(file_name), "f%u", i);
		inode = make(f, f->root, file_name, i % 2 ? S_IFREG | 0600 : S_IFDIR | 0700);
		/* Inline, one leaf, many leaves, values of their own. */
		for (unsigned k = 0; k < 1u << i; k++) {
			struct xattr_name name;

			snprintf(text, sizeof(text), "user.attribute-%u", k);
			assert_int_equal(xattr_parse(text, &name), 0);
			rwlock_write_lock(&inode->io_lock);
			assert_int_equal(
				xattr_set(inode, &name, value, i == 7 && k % 16 == 0 ? sizeof(value) : 40, 0), 0);
			rwlock_write_unlock(&inode->io_lock);
		}
		inode_put(inode);
	}
	fixture_remount(f);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(file_name, sizeof(file_name), "f%u", i);
		assert_int_equal(i % 2 ? namespace_unlink(&f->ns, f->root, name_of(file_name)) :
					 namespace_rmdir(&f->ns, f->root, name_of(file_name)), 0);
	}
	assert_int_equal(fixture_inactivate(f), 8);
	assert_int_equal(space_flush_busy(f->vol.space), 0);
	space_counts(f->vol.space, &after);
	assert_true(after.free_blocks + 8 >= before.free_blocks);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_acls_are_handed_down),
		cmocka_unit_test(attributes_go_with_their_inode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
