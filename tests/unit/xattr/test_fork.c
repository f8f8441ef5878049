// SPDX-License-Identifier: GPL-2.0
/* The attr fork: how it finds room, how it is freed, what a failed change leaves behind. */
#include "xattr_test.h"

#include <userxfs/base/fault.h>
#include <userxfs/base/message.h>

#include "../dir/kernel_mount.h"

static uint8_t value[65536], got[65536];

static void fill_value(uint8_t seed)
{
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 3 + seed);
}

static void set_many(struct inode *inode, unsigned count, uint32_t length)
{
	char name[64];

	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "user.%u", i);
		assert_int_equal(set_attr(inode, name, value, length, 0), 0);
	}
}

/* Attributes in every form are freed whole, and the blocks are good for other things at once. */
static void freeing_all_leaves_nothing(void **state)
{
	static const struct {
		unsigned count;
		uint32_t length;
	} forms[] = { { 0, 0 }, { 3, 10 }, { 20, 60 }, { 600, 100 }, { 30, 9000 }, { 200, 2000 } };
	static const char *const cases[] = { "", "-b size=1024", "-m rmapbt=1" };

	for (unsigned c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct xattr_test t;

		xattr_test_start(&t, cases[c]);
		for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
			char name[16];
			struct inode *inode;

			snprintf(name, sizeof(name), "o%u", i);
			inode = make_object(&t, name, S_IFREG | 0644);
			set_many(inode, forms[i].count, forms[i].length);
			assert_int_equal(xattr_free_all(inode), 0);
			assert_int_equal(inode->map.block_count, 0);
			assert_int_equal(inode->map.attr_space, 0);
			/* Once more, in the blocks just freed. */
			set_many(inode, forms[i].count / 2, 5000);
			inode_put(inode);
		}
		xattr_test_end(&t);
	}
}

static struct inode *make_symlink(struct xattr_test *t, const char *name, const char *target)
{
	struct inode *link = make_object(t, name, S_IFLNK | 0777);
	struct tx *tx;

	assert_int_equal(tx_begin(t->vol.log, &log_reservations(t->vol.log)->inode_change, 0, 0, &tx), 0);
	rwlock_write_lock(&link->map_lock);
	inode_join(tx, link, true);
	fork_set_local(&link->map, FORK_DATA, target, (uint32_t)strlen(target));
	map_log_fork(tx, &link->map, FORK_DATA);
	link->disk_size_bytes = strlen(target);
	atomic_store(&link->size_bytes, strlen(target));
	inode_log(tx, link, false);
	assert_int_equal(tx_commit(tx), 0);
	return link;
}

/* An inline directory or symlink target that fills the inode moves to blocks when an attribute needs room. */
static void inline_data_make_room(void **state)
{
	static const char *const cases[] = { "", "-b size=1024", "-i size=1024" };
	char target[321], path[64];

	memset(target, 't', 320);
	target[320] = '\0';
	for (unsigned c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct inode *dir, *link;
		struct xattr_test t;

		xattr_test_start(&t, cases[c]);
		link = make_symlink(&t, "link", target);
		dir = make_object(&t, "dir", S_IFDIR | 0755);
		/* Names of existing objects would be needed for a clean check: subdirectories of the root do. */
		for (unsigned i = 0; i < 12; i++) {
			struct xattr_test sub = { .vol = t.vol, .root = dir };

			snprintf(path, sizeof(path), "a-name-of-some-length-%u", i);
			inode_put(make_object(&sub, path, S_IFREG | 0600));
		}
		assert_int_equal(set_attr(link, "trusted.x", value, 100, 0), 0);
		assert_int_equal(set_attr(dir, "user.x", value, 100, 0), 0);
		assert_null(dir_verify(dir));
		assert_int_equal(get_attr(link, "trusted.x", got, sizeof(got), &(size_t){ 0 }), 0);
		assert_memory_equal(got, value, 100);
		inode_put(link);
		inode_put(dir);
		xattr_test_unmount(&t);
		assert_int_equal(image_check(t.image), 0);
		if (!geteuid()) {
			kernel_mount(t.image);
			assert_int_equal(image_shell("cd %s && test $(readlink link) = %s && "
						     "test $(ls dir | wc -l) = 12 && "
						     "getfattr -h -n trusted.x link >/dev/null && "
						     "getfattr -n user.x dir >/dev/null",
						     kernel_dir, target), 0);
			kernel_unmount();
		}
		image_remove(t.image);
	}
}

/* The value cannot be written: the old one stays, and the next attempt cleans up. */
static void a_failed_write_keeps_the_old_value(void **state)
{
	struct inode *inode;
	struct xattr_test t;
	size_t length;

	xattr_test_start(&t, "");
	inode = make_object(&t, "file", S_IFREG | 0644);
	fill_value(1);
	set_many(inode, 40, 100);
	assert_int_equal(set_attr(inode, "user.big", value, 20000, 0), 0);
	for (unsigned attempt = 0; attempt < 3; attempt++) {
		fill_value(2);
		assert_int_equal(fault_arm("device_write:nth=1"), 0);
		assert_int_equal(set_attr(inode, "user.big", value, 30000, 0), -EIO);
		fault_disarm_all();
		assert_int_equal(set_attr(inode, "user.new", NULL, 0, XATTR_REPLACE), -ENODATA);
		fill_value(1);
		assert_int_equal(get_attr(inode, "user.big", got, sizeof(got), &length), 0);
		assert_int_equal(length, 20000);
		assert_memory_equal(got, value, length);
	}
	fill_value(3);
	assert_int_equal(set_attr(inode, "user.big", value, 30000, 0), 0);
	assert_int_equal(get_attr(inode, "user.big", got, sizeof(got), &length), 0);
	assert_int_equal(length, 30000);
	assert_memory_equal(got, value, length);
	for (unsigned i = 0; i < 40; i++) {
		char name[64];

		snprintf(name, sizeof(name), "user.%u", i);
		assert_int_equal(remove_attr(inode, name), 0);
	}
	assert_int_equal(remove_attr(inode, "user.big"), 0);
	assert_int_equal(xattr_list(inode, true, NULL, 0, &length), 0);
	assert_int_equal(length, 0);
	assert_int_equal(xattr_free_all(inode), 0);
	assert_int_equal(inode->map.block_count, 0);
	inode_put(inode);
	xattr_test_end(&t);
}

/* The first attribute of a volume is noted in its superblock. */
static void the_superblock_knows_of_attributes(void **state)
{
	struct inode *inode;
	struct xattr_test t;

	xattr_test_start(&t, "");
	assert_false(t.vol.geo.version_bits & XFS_SB_VERSION_ATTRBIT);
	inode = make_object(&t, "file", S_IFREG | 0644);
	assert_int_equal(set_attr(inode, "user.x", "y", 1, 0), 0);
	inode_put(inode);
	xattr_test_unmount(&t);
	xattr_test_mount(&t);
	assert_true(t.vol.geo.version_bits & XFS_SB_VERSION_ATTRBIT);
	xattr_test_end(&t);
}

/* Names and lengths that cannot be. */
static void impossible_names_and_values_are_refused(void **state)
{
	char name[300] = "user.";
	struct xattr_name parsed_name;
	struct inode *inode;
	struct xattr_test t;
	size_t length;

	assert_int_equal(xattr_parse("system.x", &parsed_name), -EOPNOTSUPP);
	assert_int_equal(xattr_parse("user", &parsed_name), -EOPNOTSUPP);
	assert_int_equal(xattr_parse("user.", &parsed_name), -EINVAL);
	memset(name + 5, 'n', 256);
	assert_int_equal(xattr_parse(name, &parsed_name), -ERANGE);
	name[5 + 255] = '\0';
	assert_int_equal(xattr_parse(name, &parsed_name), 0);

	xattr_test_start(&t, "");
	inode = make_object(&t, "file", S_IFREG | 0644);
	assert_int_equal(set_attr(inode, "user.x", value, 65537, 0), -E2BIG);
	assert_int_equal(set_attr(inode, "user.x", value, 100, 0), 0);
	assert_int_equal(get_attr(inode, "user.x", got, 99, &length), -ERANGE);
	assert_int_equal(get_attr(inode, "user.x", got, 100, &length), 0);
	assert_int_equal(get_attr(inode, "user.X", got, 100, &length), -ENODATA);
	assert_int_equal(get_attr(inode, "trusted.x", got, 100, &length), -ENODATA);
	assert_int_equal(xattr_list(inode, true, (char *)got, 5, &length), -ERANGE);
	inode->di_flags |= XFS_DIFLAG_IMMUTABLE;
	assert_int_equal(set_attr(inode, "user.x", value, 1, 0), -EPERM);
	assert_int_equal(remove_attr(inode, "user.x"), -EPERM);
	inode->di_flags &= (uint16_t)~XFS_DIFLAG_IMMUTABLE;
	inode_put(inode);
	xattr_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(freeing_all_leaves_nothing),
		cmocka_unit_test_teardown(inline_data_make_room, kernel_teardown),
		cmocka_unit_test(a_failed_write_keeps_the_old_value),
		cmocka_unit_test(the_superblock_knows_of_attributes),
		cmocka_unit_test(impossible_names_and_values_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
