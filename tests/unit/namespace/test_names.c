/* SPDX-License-Identifier: GPL-2.0 */
/* Creating, linking and removing names, one rule each. */
#include "namespace_test.h"

#define SMALL_BYTES (320ull << 20)

static void a_created_file_is_found_and_survives_a_remount(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *inode = make(f, f->root, "file", S_IFREG | 0666), *again;
	struct inode_stat st = stat_of(inode);

	assert_int_equal(st.mode, S_IFREG | 0644);
	assert_int_equal(st.nlink, 1);
	assert_int_equal(st.uid, 1000);
	assert_int_equal(st.gid, 100);
	inode_put(inode);
	fixture_remount(f);
	again = look(f, f->root, "file");
	assert_int_equal(stat_of(again).ino.v, st.ino.v);
	assert_int_equal(stat_of(again).generation, st.generation);
	assert_int_equal(stat_of(again).btime.tv_nsec, st.btime.tv_nsec);
	inode_put(again);
	fixture_destroy(f);
}

static void directories_count_their_subdirectories(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *dir = make(f, f->root, "dir", S_IFDIR | 0777), *parent, *sub;

	assert_int_equal(stat_of(dir).nlink, 2);
	assert_int_equal(stat_of(f->root).nlink, 3);
	sub = make(f, dir, "sub", S_IFDIR | 0777);
	assert_int_equal(stat_of(dir).nlink, 3);
	assert_int_equal(namespace_parent(&f->ns, sub, &parent), 0);
	assert_ptr_equal(parent, dir);
	inode_put(parent);
	assert_int_equal(namespace_rmdir(&f->ns, f->root, name_of("dir")), -ENOTEMPTY);
	assert_int_equal(namespace_rmdir(&f->ns, dir, name_of("sub")), 0);
	assert_int_equal(stat_of(dir).nlink, 2);
	assert_int_equal(stat_of(sub).nlink, 0);
	/* A directory without a name takes no new ones, and does not lead back. */
	assert_int_equal(namespace_create(&f->ns, sub, name_of("x"), S_IFREG | 0600, 0, &cred_user, &parent),
			 -ENOENT);
	assert_int_equal(namespace_parent(&f->ns, sub, &parent), 0);
	assert_ptr_equal(parent, f->root);
	inode_put(parent);
	inode_put(sub);
	inode_put(dir);
	fixture_destroy(f);
}

static void names_that_are_there_or_not_are_reported(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	char long_name[300];
	struct inode *inode;

	memset(long_name, 'n', sizeof(long_name));
	long_name[256] = 0;
	make_and_put(f, f->root, "there", S_IFREG | 0600);
	make_and_put(f, f->root, "dir", S_IFDIR | 0700);
	assert_int_equal(namespace_create(&f->ns, f->root, name_of("there"), S_IFREG, 0, &cred_user, &inode),
			 -EEXIST);
	assert_int_equal(namespace_create(&f->ns, f->root, name_of("."), S_IFREG, 0, &cred_user, &inode), -EEXIST);
	assert_int_equal(namespace_create(&f->ns, f->root, name_of(long_name), S_IFREG, 0, &cred_user, &inode),
			 -ENAMETOOLONG);
	assert_int_equal(namespace_create(&f->ns, f->root, name_of("a/b"), S_IFREG, 0, &cred_user, &inode), -EINVAL);
	assert_int_equal(namespace_create(&f->ns, f->root, name_of("odd"), 0, 0, &cred_user, &inode), -EINVAL);
	assert_int_equal(look_error(f, f->root, "nowhere"), -ENOENT);
	assert_int_equal(look_error(f, f->root, long_name), -ENAMETOOLONG);
	assert_int_equal(namespace_unlink(&f->ns, f->root, name_of("nowhere")), -ENOENT);
	assert_int_equal(namespace_unlink(&f->ns, f->root, name_of("dir")), -EISDIR);
	assert_int_equal(namespace_rmdir(&f->ns, f->root, name_of("there")), -ENOTDIR);
	assert_int_equal(namespace_rmdir(&f->ns, f->root, name_of(".")), -EINVAL);
	inode = look(f, f->root, "there");
	assert_int_equal(look_error(f, inode, "x"), -ENOTDIR);
	inode_put(inode);
	/* The longest name there is. */
	long_name[255] = 0;
	make_and_put(f, f->root, long_name, S_IFREG | 0600);
	assert_int_equal(look_error(f, f->root, long_name), 0);
	fixture_destroy(f);
}

static void links_share_an_inode(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *file = make(f, f->root, "a", S_IFREG | 0600), *again;
	struct inode *dir = make(f, f->root, "d", S_IFDIR | 0700);

	assert_int_equal(namespace_link(&f->ns, file, dir, name_of("b")), 0);
	assert_int_equal(namespace_link(&f->ns, file, dir, name_of("b")), -EEXIST);
	assert_int_equal(namespace_link(&f->ns, dir, f->root, name_of("e")), -EPERM);
	assert_int_equal(stat_of(file).nlink, 2);
	assert_int_equal(namespace_unlink(&f->ns, f->root, name_of("a")), 0);
	again = look(f, dir, "b");
	assert_ptr_equal(again, file);
	assert_int_equal(namespace_unlink(&f->ns, dir, name_of("b")), 0);
	assert_int_equal(stat_of(file).nlink, 0);
	/* Gone is gone. */
	assert_int_equal(namespace_link(&f->ns, file, dir, name_of("c")), -ENOENT);
	inode_put(again);
	inode_put(file);
	assert_int_equal(fixture_inactivate(f), 1);
	inode_put(dir);
	fixture_destroy(f);
}

static void a_nameless_file_can_be_given_a_name(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *file, *lost;

	assert_int_equal(namespace_tmpfile(&f->ns, f->root, S_IFREG | 0666, &cred_user, &file), 0);
	assert_int_equal(namespace_tmpfile(&f->ns, f->root, S_IFREG | 0666, &cred_user, &lost), 0);
	assert_int_equal(stat_of(file).nlink, 0);
	assert_int_equal(namespace_link(&f->ns, file, f->root, name_of("named")), 0);
	assert_int_equal(stat_of(file).nlink, 1);
	inode_put(file);
	inode_put(lost);
	assert_int_equal(fixture_inactivate(f), 1);
	fixture_remount(f);
	assert_int_equal(look_error(f, f->root, "named"), 0);
	fixture_destroy(f);
}

static void special_files_keep_their_device_number(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *inode;
	int err;

	err = namespace_create(&f->ns, f->root, name_of("chr"), S_IFCHR | 0600, 0x12345u << 8 | 3, &cred_user,
			       &inode);
	assert_int_equal(err, -EINVAL);
	/* Major 8, minor 300: Linux's encoding spreads the minor. */
	err = namespace_create(&f->ns, f->root, name_of("blk"), S_IFBLK | 0600, 0x10082c, &cred_user, &inode);
	assert_int_equal(err, 0);
	assert_int_equal(stat_of(inode).rdev, 0x10082c);
	inode_put(inode);
	make_and_put(f, f->root, "fifo", S_IFIFO | 0600);
	make_and_put(f, f->root, "sock", S_IFSOCK | 0600);
	fixture_remount(f);
	inode = look(f, f->root, "blk");
	assert_int_equal(stat_of(inode).rdev, 0x10082c);
	assert_true(S_ISBLK(stat_of(inode).mode));
	inode_put(inode);
	fixture_destroy(f);
}

static void immutable_and_append_only_are_honoured(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *dir = make(f, f->root, "dir", S_IFDIR | 0700), *out;
	struct inode *file = make(f, dir, "file", S_IFREG | 0600);
	struct inode_change immutable = { .valid = CHANGE_XFLAGS, .xflags = FS_XFLAG_IMMUTABLE };
	struct inode_change append = { .valid = CHANGE_XFLAGS, .xflags = FS_XFLAG_APPEND };
	struct inode_change plain = { .valid = CHANGE_XFLAGS };
	struct inode_change mode = { .valid = CHANGE_MODE, .mode = 0600 };

	assert_int_equal(inode_change(file, &immutable), 0);
	assert_int_equal(namespace_unlink(&f->ns, dir, name_of("file")), -EPERM);
	assert_int_equal(namespace_link(&f->ns, file, f->root, name_of("x")), -EPERM);
	assert_int_equal(rename_flags(f, dir, "file", dir, "x", 0), -EPERM);
	assert_int_equal(inode_change(file, &mode), -EPERM);
	assert_int_equal(inode_change(file, &plain), 0);
	assert_int_equal(inode_change(dir, &append), 0);
	assert_int_equal(namespace_unlink(&f->ns, dir, name_of("file")), -EPERM);
	assert_int_equal(namespace_create(&f->ns, dir, name_of("new"), S_IFREG, 0, &cred_user, &out), 0);
	inode_put(out);
	assert_int_equal(inode_change(dir, &immutable), 0);
	assert_int_equal(namespace_create(&f->ns, dir, name_of("newer"), S_IFREG, 0, &cred_user, &out), -EPERM);
	assert_int_equal(namespace_rmdir(&f->ns, f->root, name_of("dir")), -EPERM);
	assert_int_equal(inode_change(dir, &plain), 0);
	inode_put(file);
	inode_put(dir);
	fixture_destroy(f);
}

static void new_inodes_inherit_group_project_and_hints(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *dir = make(f, f->root, "dir", S_IFDIR | 0777), *sub, *file, *outside;
	struct inode_change change = {
		.valid = CHANGE_MODE | CHANGE_GID | CHANGE_PROJECT | CHANGE_XFLAGS | CHANGE_EXTENT_HINT,
		.mode = 02775,
		.gid = 777,
		.project = 42,
		.xflags = FS_XFLAG_PROJINHERIT | FS_XFLAG_EXTSZINHERIT | FS_XFLAG_NODUMP | FS_XFLAG_NOSYMLINKS,
		.extent_hint_bytes = 65536,
	};
	struct inode_stat st;

	assert_int_equal(inode_change(dir, &change), 0);
	sub = make(f, dir, "sub", S_IFDIR | 0777);
	st = stat_of(sub);
	assert_int_equal(st.mode, S_IFDIR | 02755);
	assert_int_equal(st.gid, 777);
	assert_int_equal(st.project, 42);
	assert_int_equal(st.xflags, FS_XFLAG_PROJINHERIT | FS_XFLAG_EXTSZINHERIT | FS_XFLAG_NODUMP);
	file = make(f, sub, "file", S_IFREG | 0666);
	st = stat_of(file);
	assert_int_equal(st.gid, 777);
	assert_int_equal(st.project, 42);
	assert_int_equal(st.mode, S_IFREG | 0644);
	assert_int_equal(st.xflags, FS_XFLAG_EXTSIZE | FS_XFLAG_NODUMP);
	assert_int_equal(st.extent_hint_bytes, 65536);
	assert_int_equal(file->map.extent_hint_blocks, 16);
	/* What counts for another project stays outside. */
	outside = make(f, f->root, "outside", S_IFREG | 0600);
	assert_int_equal(namespace_link(&f->ns, outside, dir, name_of("in")), -EXDEV);
	assert_int_equal(rename_flags(f, f->root, "outside", dir, "in", 0), -EXDEV);
	assert_int_equal(rename_flags(f, sub, "file", dir, "file", 0), 0);
	/* But for what tools cannot give a project, and where an exchange puts what was there. */
	make_and_put(f, f->root, "fifo", S_IFIFO | 0600);
	assert_int_equal(rename_flags(f, f->root, "fifo", dir, "fifo", 0), 0);
	assert_int_equal(rename_flags(f, dir, "file", f->root, "outside", RENAME_EXCHANGE), 0);
	inode_put(outside);
	inode_put(file);
	inode_put(sub);
	inode_put(dir);
	fixture_destroy(f);
}

static void a_crossing_of_forms_is_survived(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "-n size=8192 -b size=4096");
	struct inode *dir = make(f, f->root, "dir", S_IFDIR | 0700);
	char name[40];

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "a-name-of-some-length-%05u", i);
		make_and_put(f, dir, name, S_IFREG | 0600);
	}
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "a-name-of-some-length-%05u", i * 7 % 3000);
		assert_int_equal(namespace_unlink(&f->ns, dir, name_of(name)), 0);
		if (i % 500 == 0)
			fixture_inactivate(f);
	}
	assert_int_equal(namespace_rmdir(&f->ns, f->root, name_of("dir")), 0);
	inode_put(dir);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_created_file_is_found_and_survives_a_remount),
		cmocka_unit_test(directories_count_their_subdirectories),
		cmocka_unit_test(names_that_are_there_or_not_are_reported),
		cmocka_unit_test(links_share_an_inode),
		cmocka_unit_test(a_nameless_file_can_be_given_a_name),
		cmocka_unit_test(special_files_keep_their_device_number),
		cmocka_unit_test(immutable_and_append_only_are_honoured),
		cmocka_unit_test(new_inodes_inherit_group_project_and_hints),
		cmocka_unit_test(a_crossing_of_forms_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
