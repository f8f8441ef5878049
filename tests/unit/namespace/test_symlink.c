/* SPDX-License-Identifier: GPL-2.0 */
/* Symlinks in the inode and in blocks. */
#include "namespace_test.h"

#define SMALL_BYTES (320ull << 20)

static void make_link(struct fixture *f, const char *name, size_t length)
{
	char target[XFS_SYMLINK_MAXLEN + 1];
	struct inode *link;

	for (size_t i = 0; i < length; i++)
		target[i] = (char)('a' + i % 26);
	target[length] = 0;
	assert_int_equal(namespace_symlink(&f->ns, f->root, name_of(name), target, &cred_user, &link), 0);
	inode_put(link);
}

static void check_link(struct fixture *f, const char *name, size_t length)
{
	char target[XFS_SYMLINK_MAXLEN + 1];
	struct inode *link = look(f, f->root, name);

	assert_int_equal(stat_of(link).mode, S_IFLNK | 0777);
	assert_int_equal(stat_of(link).size_bytes, length);
	assert_int_equal(namespace_readlink(&f->ns, link, target, length), -ERANGE);
	assert_int_equal(namespace_readlink(&f->ns, link, target, sizeof(target)), 0);
	assert_int_equal(strlen(target), length);
	for (size_t i = 0; i < length; i++)
		assert_int_equal(target[i], 'a' + i % 26);
	inode_put(link);
}

static void targets_of_every_length_come_back(const char *mkfs_args)
{
	static const size_t lengths[] = { 1,   59,  60,  80,  81,  100, 335, 336,  337,
					  400, 456, 457, 848, 849, 968, 969, 1000, 1023 };
	struct fixture *f = fixture_create(SMALL_BYTES, mkfs_args);
	struct space_counts before, after;
	char name[16];

	space_counts(f->vol.space, &before);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		snprintf(name, sizeof(name), "l%u", i);
		make_link(f, name, lengths[i]);
		check_link(f, name, lengths[i]);
	}
	fixture_dump(f);
	fixture_unmount(f);
	assert_int_equal(image_check(f->image), 0);
	if (geteuid() == 0)
		assert_int_equal(fixture_compare_with_kernel(f), 0);
	fixture_mount(f);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		snprintf(name, sizeof(name), "l%u", i);
		check_link(f, name, lengths[i]);
		assert_int_equal(namespace_unlink(&f->ns, f->root, name_of(name)), 0);
	}
	fixture_inactivate(f);
	assert_int_equal(space_flush_busy(f->vol.space), 0);
	space_counts(f->vol.space, &after);
	assert_int_equal(after.free_blocks, before.free_blocks);
	fixture_destroy(f);
}

static void targets_of_every_length_in_4k_blocks(void **state)
{
	targets_of_every_length_come_back("");
}

static void targets_of_every_length_in_1k_blocks(void **state)
{
	targets_of_every_length_come_back("-b size=1024");
}

static void targets_of_every_length_in_large_inodes(void **state)
{
	targets_of_every_length_come_back("-i size=1024");
}

static void impossible_targets_are_refused(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	char target[1100];
	struct inode *link;

	memset(target, 'x', sizeof(target));
	target[1024] = 0;
	assert_int_equal(namespace_symlink(&f->ns, f->root, name_of("l"), target, &cred_user, &link), -ENAMETOOLONG);
	assert_int_equal(namespace_symlink(&f->ns, f->root, name_of("l"), "", &cred_user, &link), -ENOENT);
	assert_int_equal(namespace_readlink(&f->ns, f->root, target, sizeof(target)), -EINVAL);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_of_every_length_in_4k_blocks),
		cmocka_unit_test(targets_of_every_length_in_1k_blocks),
		cmocka_unit_test(targets_of_every_length_in_large_inodes),
		cmocka_unit_test(impossible_targets_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
