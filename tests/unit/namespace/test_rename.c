/* SPDX-License-Identifier: GPL-2.0 */
/* Every kind of rename. */
#include "namespace_test.h"

#define SMALL_BYTES (320ull << 20)

static void a_file_moves_between_directories(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *a = make(f, f->root, "a", S_IFDIR | 0700), *b = make(f, f->root, "b", S_IFDIR | 0700);
	struct inode *file = make(f, a, "file", S_IFREG | 0600), *found;

	assert_int_equal(rename_flags(f, a, "file", b, "other", 0), 0);
	assert_int_equal(look_error(f, a, "file"), -ENOENT);
	found = look(f, b, "other");
	assert_ptr_equal(found, file);
	assert_int_equal(rename_flags(f, b, "other", b, "third", 0), 0);
	assert_int_equal(look_error(f, b, "third"), 0);
	assert_int_equal(stat_of(file).nlink, 1);
	inode_put(found);
	inode_put(file);
	inode_put(b);
	inode_put(a);
	fixture_destroy(f);
}

static void a_target_is_replaced_and_freed(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *source = make(f, f->root, "source", S_IFREG | 0600),
		     *target = make(f, f->root, "target", S_IFREG);
	struct inode *found;

	assert_int_equal(rename_flags(f, f->root, "source", f->root, "target", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rename_flags(f, f->root, "source", f->root, "target", 0), 0);
	found = look(f, f->root, "target");
	assert_ptr_equal(found, source);
	assert_int_equal(stat_of(target).nlink, 0);
	inode_put(found);
	inode_put(target);
	inode_put(source);
	assert_int_equal(fixture_inactivate(f), 1);
	fixture_destroy(f);
}

static void a_directory_takes_its_parents_link_along(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *a = make(f, f->root, "a", S_IFDIR | 0700), *b = make(f, f->root, "b", S_IFDIR | 0700);
	struct inode *moved = make(f, a, "moved", S_IFDIR | 0700), *parent;

	make_and_put(f, moved, "inside", S_IFREG | 0600);
	assert_int_equal(rename_flags(f, a, "moved", b, "here", 0), 0);
	assert_int_equal(stat_of(a).nlink, 2);
	assert_int_equal(stat_of(b).nlink, 3);
	assert_int_equal(namespace_parent(&f->ns, moved, &parent), 0);
	assert_ptr_equal(parent, b);
	inode_put(parent);
	inode_put(moved);
	inode_put(b);
	inode_put(a);
	fixture_destroy(f);
}

static void an_empty_directory_can_be_replaced(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *a = make(f, f->root, "a", S_IFDIR | 0700), *b = make(f, f->root, "b", S_IFDIR | 0700);
	struct inode *source = make(f, a, "s", S_IFDIR | 0700), *target = make(f, b, "t", S_IFDIR | 0700);

	make_and_put(f, target, "inside", S_IFREG | 0600);
	make_and_put(f, b, "file", S_IFREG | 0600);
	assert_int_equal(rename_flags(f, a, "s", b, "t", 0), -EEXIST);
	assert_int_equal(rename_flags(f, a, "s", b, "file", 0), -ENOTDIR);
	assert_int_equal(rename_flags(f, b, "file", a, "s", 0), -EISDIR);
	assert_int_equal(namespace_unlink(&f->ns, target, name_of("inside")), 0);
	assert_int_equal(rename_flags(f, a, "s", b, "t", 0), 0);
	assert_int_equal(stat_of(a).nlink, 2);
	assert_int_equal(stat_of(b).nlink, 3);
	assert_int_equal(stat_of(target).nlink, 0);
	/* Within one directory the parent only loses. */
	make_and_put(f, b, "u", S_IFDIR | 0700);
	assert_int_equal(stat_of(b).nlink, 4);
	assert_int_equal(rename_flags(f, b, "t", b, "u", 0), 0);
	assert_int_equal(stat_of(b).nlink, 3);
	inode_put(target);
	inode_put(source);
	inode_put(b);
	inode_put(a);
	fixture_destroy(f);
}

static void a_directory_does_not_move_into_itself(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *a = make(f, f->root, "a", S_IFDIR | 0700), *b = make(f, a, "b", S_IFDIR | 0700);
	struct inode *c = make(f, b, "c", S_IFDIR | 0700);

	assert_int_equal(rename_flags(f, f->root, "a", c, "x", 0), -EINVAL);
	assert_int_equal(rename_flags(f, f->root, "a", a, "x", 0), -EINVAL);
	assert_int_equal(rename_flags(f, b, "c", f->root, "a", 0), -EEXIST);
	assert_int_equal(rename_flags(f, b, "c", f->root, "a", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(rename_flags(f, f->root, "a", b, "c", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(rename_flags(f, f->root, ".", b, "c", 0), -EBUSY);
	inode_put(c);
	inode_put(b);
	inode_put(a);
	fixture_destroy(f);
}

static void two_names_of_one_inode_stay(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *file = make(f, f->root, "a", S_IFREG | 0600);

	assert_int_equal(namespace_link(&f->ns, file, f->root, name_of("b")), 0);
	assert_int_equal(rename_flags(f, f->root, "a", f->root, "b", 0), 0);
	assert_int_equal(look_error(f, f->root, "a"), 0);
	assert_int_equal(stat_of(file).nlink, 2);
	inode_put(file);
	fixture_destroy(f);
}

static void exchanges_swap_whatever_is_there(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *a = make(f, f->root, "a", S_IFDIR | 0700), *b = make(f, f->root, "b", S_IFDIR | 0700);
	struct inode *dir = make(f, a, "x", S_IFDIR | 0700), *file = make(f, b, "y", S_IFREG | 0600), *found;

	assert_int_equal(rename_flags(f, a, "x", b, "nowhere", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(rename_flags(f, a, "x", b, "y", RENAME_EXCHANGE), 0);
	found = look(f, a, "x");
	assert_ptr_equal(found, file);
	inode_put(found);
	assert_int_equal(namespace_parent(&f->ns, dir, &found), 0);
	assert_ptr_equal(found, b);
	inode_put(found);
	assert_int_equal(stat_of(a).nlink, 2);
	assert_int_equal(stat_of(b).nlink, 3);
	/* Two directories: the counts stay. */
	make_and_put(f, a, "z", S_IFDIR | 0700);
	assert_int_equal(rename_flags(f, a, "z", b, "y", RENAME_EXCHANGE), 0);
	assert_int_equal(stat_of(a).nlink, 3);
	assert_int_equal(stat_of(b).nlink, 3);
	/* In one directory. */
	make_and_put(f, f->root, "f", S_IFREG | 0600);
	assert_int_equal(rename_flags(f, f->root, "f", f->root, "a", RENAME_EXCHANGE), 0);
	found = look(f, f->root, "f");
	assert_ptr_equal(found, a);
	inode_put(found);
	inode_put(file);
	inode_put(dir);
	inode_put(b);
	inode_put(a);
	fixture_destroy(f);
}

static void make_old(struct inode *inode)
{
	struct inode_change change = {
		.valid = CHANGE_MTIME | CHANGE_CTIME,
		.mtime = { .tv_sec = 1000 },
		.ctime = { .tv_sec = 1000 },
	};

	assert_int_equal(inode_change(inode, &change), 0);
}

static void assert_changed(struct inode *inode, bool mtime, bool ctime)
{
	struct inode_stat st = stat_of(inode);

	assert_int_equal(st.mtime.tv_sec != 1000, mtime);
	assert_int_equal(st.ctime.tv_sec != 1000, ctime);
}

/* As in the kernel: two files that change places keep their times. */
static void exchanges_show_in_times_where_directories_move(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *a = make(f, f->root, "a", S_IFDIR | 0700), *b = make(f, f->root, "b", S_IFDIR | 0700);
	struct inode *file = make(f, a, "file", S_IFREG | 0600), *other = make(f, b, "other", S_IFREG | 0600);
	struct inode *dir = make(f, b, "dir", S_IFDIR | 0700), *all[] = { a, b, file, other, dir };

	for (unsigned i = 0; i < 5; i++)
		make_old(all[i]);
	assert_int_equal(rename_flags(f, a, "file", b, "other", RENAME_EXCHANGE), 0);
	assert_changed(a, true, true);
	assert_changed(b, true, true);
	assert_changed(file, false, false);
	assert_changed(other, false, false);
	assert_int_equal(rename_flags(f, b, "other", b, "dir", RENAME_EXCHANGE), 0);
	assert_changed(dir, false, false);
	assert_changed(file, false, false);
	assert_int_equal(rename_flags(f, a, "file", b, "other", RENAME_EXCHANGE), 0);
	assert_changed(dir, true, true);
	assert_changed(other, false, true);
	for (unsigned i = 0; i < 5; i++)
		inode_put(all[i]);
	fixture_destroy(f);
}

static void a_whiteout_takes_the_old_name(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inode *a = make(f, f->root, "a", S_IFDIR | 0700), *whiteout;
	struct inode *target;

	make_and_put(f, f->root, "file", S_IFREG | 0600);
	assert_int_equal(rename_flags(f, f->root, "file", a, "moved", RENAME_WHITEOUT), 0);
	whiteout = look(f, f->root, "file");
	assert_int_equal(stat_of(whiteout).mode, S_IFCHR);
	assert_int_equal(stat_of(whiteout).rdev, 0);
	assert_int_equal(stat_of(whiteout).nlink, 1);
	inode_put(whiteout);
	/* Over a target that goes: both lists of unlinked inodes are touched. */
	target = make(f, f->root, "target", S_IFREG | 0600);
	assert_int_equal(rename_flags(f, a, "moved", f->root, "target", RENAME_WHITEOUT), 0);
	assert_int_equal(look_error(f, a, "moved"), 0);
	assert_int_equal(stat_of(target).nlink, 0);
	inode_put(target);
	assert_int_equal(rename_flags(f, f->root, "target", f->root, "a", RENAME_WHITEOUT | RENAME_NOREPLACE),
			 -EEXIST);
	inode_put(a);
	/* The one of the last, failed rename was never made. */
	fixture_inactivate(f);
	fixture_destroy(f);
}

static void impossible_flags_are_refused(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");

	assert_int_equal(rename_flags(f, f->root, "a", f->root, "b", 1 << 7), -EINVAL);
	assert_int_equal(rename_flags(f, f->root, "a", f->root, "b", RENAME_EXCHANGE | RENAME_NOREPLACE), -EINVAL);
	assert_int_equal(rename_flags(f, f->root, "a", f->root, "b", RENAME_EXCHANGE | RENAME_WHITEOUT), -EINVAL);
	assert_int_equal(rename_flags(f, f->root, "a", f->root, "b", 0), -ENOENT);
	fixture_destroy(f);
}

/* Directories in other AGs than their parents, in every order. */
static void random_renames_keep_the_tree_consistent(void **state)
{
	struct fixture *f = fixture_create(1ull << 30, "-d agcount=8");
	struct inode *dirs[12];
	unsigned seed = 7, done = 0;
	char from[16], to[16];

	for (unsigned i = 0; i < 12; i++) {
		snprintf(from, sizeof(from), "d%u", i);
		dirs[i] = make(f, i < 4 ? f->root : dirs[i / 3], from, S_IFDIR | 0700);
		for (unsigned k = 0; k < 20; k++) {
			snprintf(from, sizeof(from), "n%u", k);
			make_and_put(f, dirs[i], from, k % 4 ? S_IFREG | 0600 : S_IFDIR | 0700);
		}
	}
	for (unsigned i = 0; i < 4000; i++) {
		static const uint32_t flags[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT };
		unsigned a = (unsigned)rand_r(&seed) % 12, b = (unsigned)rand_r(&seed) % 12;

		snprintf(from, sizeof(from), "n%u", (unsigned)rand_r(&seed) % 24);
		snprintf(to, sizeof(to), rand_r(&seed) % 8 ? "n%u" : "d%u", (unsigned)rand_r(&seed) % 24);
		done += rename_flags(f, dirs[a], from, dirs[b], to, flags[rand_r(&seed) % 6]) == 0;
		if (i % 200 == 0)
			fixture_inactivate(f);
	}
	assert_true(done > 500);
	for (unsigned i = 0; i < 12; i++) {
		assert_null(dir_verify(dirs[i]));
		inode_put(dirs[i]);
	}
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_moves_between_directories),
		cmocka_unit_test(a_target_is_replaced_and_freed),
		cmocka_unit_test(a_directory_takes_its_parents_link_along),
		cmocka_unit_test(an_empty_directory_can_be_replaced),
		cmocka_unit_test(a_directory_does_not_move_into_itself),
		cmocka_unit_test(two_names_of_one_inode_stay),
		cmocka_unit_test(exchanges_swap_whatever_is_there),
		cmocka_unit_test(exchanges_show_in_times_where_directories_move),
		cmocka_unit_test(a_whiteout_takes_the_old_name),
		cmocka_unit_test(impossible_flags_are_refused),
		cmocka_unit_test(random_renames_keep_the_tree_consistent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
