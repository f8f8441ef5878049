/* SPDX-License-Identifier: GPL-2.0 */
/* Large trees, read back by the kernel: names, types, modes, owners, link counts, times, targets. */
#include "namespace_test.h"

#define TREE_BYTES (512ull << 20)
#define DIRS 40

/* One entry of some kind in @dir. */
static void make_some(struct fixture *f, struct inode *dir, unsigned i)
{
	struct credentials cred = { .uid = i % 70000, .gid = i % 300, .umask = i % 2 ? 022 : 077 };
	struct inode_change change = { .valid = CHANGE_MTIME | CHANGE_ATIME };
	struct inode *inode;
	char name[80], target[600];
	int err;

	snprintf(name, sizeof(name), "%0*u-entry", (int)(i % 50) + 4, i);
	switch (i % 7) {
	case 0:
		memset(target, 'a' + (int)(i % 26), sizeof(target));
		target[i % 11 ? 20 + i % 300 : 599] = 0;
		err = namespace_symlink(&f->ns, dir, name_of(name), target, &cred, &inode);
		break;
	case 1:
		err = namespace_create(&f->ns, dir, name_of(name), S_IFIFO | 0666, 0, &cred, &inode);
		break;
	case 2:
		err = namespace_create(&f->ns, dir, name_of(name), S_IFDIR | 0777, 0, &cred, &inode);
		break;
	default:
		err = namespace_create(&f->ns, dir, name_of(name), S_IFREG | 0777, 0, &cred, &inode);
		break;
	}
	assert_int_equal(err, 0);
	change.mtime = (struct timespec){ 1000000000 + (time_t)i * 1000, (long)i * 137 };
	change.atime = change.mtime;
	assert_int_equal(inode_change(inode, &change), 0);
	inode_put(inode);
}

static void populate(struct fixture *f, struct inode **dirs, unsigned count)
{
	char name[20];

	for (unsigned i = 0; i < DIRS; i++) {
		snprintf(name, sizeof(name), "dir%u", i);
		dirs[i] = make(f, i ? dirs[(i - 1) / 3] : f->root, name, S_IFDIR | 0755);
	}
	for (unsigned i = 0; i < count; i++)
		make_some(f, dirs[i * i % DIRS], i);
}

static void remove_half(struct fixture *f, struct inode **dirs, unsigned count)
{
	char name[80];

	for (unsigned i = 0; i < count; i += 2) {
		snprintf(name, sizeof(name), "%0*u-entry", (int)(i % 50) + 4, i);
		assert_int_equal(i % 7 == 2 ? namespace_rmdir(&f->ns, dirs[i * i % DIRS], name_of(name)) :
					      namespace_unlink(&f->ns, dirs[i * i % DIRS], name_of(name)), 0);
	}
}

static void move_some(struct fixture *f, struct inode **dirs, unsigned count)
{
	char from[80], to[80];

	for (unsigned i = 1; i < count; i += 6) {
		snprintf(from, sizeof(from), "%0*u-entry", (int)(i % 50) + 4, i);
		snprintf(to, sizeof(to), "moved-%u", i);
		assert_int_equal(rename_flags(f, dirs[i * i % DIRS], from, dirs[i % DIRS], to, 0), 0);
	}
}

static void put_all(struct inode **dirs)
{
	for (unsigned i = 0; i < DIRS; i++)
		inode_put(dirs[i]);
}

static void tree_is_read_by_the_kernel(const char *mkfs_args, unsigned count)
{
	struct fixture *f = fixture_create(TREE_BYTES, mkfs_args);
	struct inode *dirs[DIRS];

	populate(f, dirs, count);
	remove_half(f, dirs, count);
	move_some(f, dirs, count);
	for (unsigned i = 0; i < DIRS; i++)
		assert_null(dir_verify(dirs[i]));
	put_all(dirs);
	fixture_check_with_kernel(f);
	fixture_destroy(f);
}

static void tree_with_default_geometry(void **state)
{
	tree_is_read_by_the_kernel("", 5000);
}

static void tree_with_all_features(void **state)
{
	tree_is_read_by_the_kernel("-m rmapbt=1,reflink=1 -i nrext64=1", 2000);
}

static void tree_with_few_features(void **state)
{
	tree_is_read_by_the_kernel("-m rmapbt=0,reflink=0,finobt=0,bigtime=0,inobtcount=0 -i sparse=0", 2000);
}

static void tree_with_1k_blocks(void **state)
{
	tree_is_read_by_the_kernel("-b size=1024 -m rmapbt=1", 2000);
}

static void tree_with_large_directory_blocks_and_inodes(void **state)
{
	tree_is_read_by_the_kernel("-n size=65536 -i size=2048", 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_with_default_geometry),
		cmocka_unit_test(tree_with_all_features),
		cmocka_unit_test(tree_with_few_features),
		cmocka_unit_test(tree_with_1k_blocks),
		cmocka_unit_test(tree_with_large_directory_blocks_and_inodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
