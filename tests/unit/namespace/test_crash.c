/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel recovers what a crash leaves: everything that was forced to the log is there, and nothing is torn. */
#include "namespace_test.h"

#define CRASH_BYTES (320ull << 20)

static int recover_by_kernel(struct fixture *f)
{
	int err = fixture_compare_with_kernel(f);

	return err ? err : image_check(f->image);
}

static void finish(struct fixture *f)
{
	assert_int_equal(recover_by_kernel(f), 0);
	image_remove(f->image);
	free(f);
}

static void forced_names_survive_a_crash(void **state)
{
	struct fixture *f;
	struct inode *dir;
	char name[40];

	if (geteuid() != 0)
		skip();
	f = fixture_create(CRASH_BYTES, "-m rmapbt=1");
	dir = make(f, f->root, "dir", S_IFDIR | 0755);
	for (unsigned i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "some-name-%u", i);
		make_and_put(f, dir, name, i % 5 ? S_IFREG | 0644 : S_IFDIR | 0755);
	}
	for (unsigned i = 0; i < 400; i += 3) {
		snprintf(name, sizeof(name), "some-name-%u", i);
		if (namespace_unlink(&f->ns, dir, name_of(name)))
			assert_int_equal(namespace_rmdir(&f->ns, dir, name_of(name)), 0);
	}
	/* The kernel frees what was unlinked and not yet freed. */
	for (unsigned i = 0; i < 30; i++)
		namespace_inactivate_pass(&f->ns);
	assert_int_equal(log_force(f->vol.log, 0, NULL), 0);
	fixture_dump(f);
	inode_put(dir);
	fixture_crash(f);
	finish(f);
}

static void half_written_home_survives_a_crash(void **state)
{
	struct fixture *f;
	struct inode *dir;
	char name[40];

	if (geteuid() != 0)
		skip();
	f = fixture_create(CRASH_BYTES, "");
	dir = make(f, f->root, "dir", S_IFDIR | 0755);
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < 100; i++) {
			snprintf(name, sizeof(name), "r%u-%u", round, i);
			make_and_put(f, dir, name, S_IFREG | 0644);
			snprintf(name, sizeof(name), "r%u-%u", round ? round - 1 : 0, i);
			if (round && i % 2)
				assert_int_equal(namespace_unlink(&f->ns, dir, name_of(name)), 0);
		}
		fixture_inactivate(f);
		/* Some of the log is home, the rest is newer than what is on disk. */
		if (round % 3 == 0)
			assert_int_equal(log_quiesce(f->vol.log), 0);
		else
			assert_int_equal(log_force(f->vol.log, 0, NULL), 0);
	}
	fixture_dump(f);
	inode_put(dir);
	fixture_crash(f);
	finish(f);
}

static void renames_are_whole_after_a_crash(void **state)
{
	struct fixture *f;
	struct inode *a, *b;
	char from[20], to[20];

	if (geteuid() != 0)
		skip();
	f = fixture_create(CRASH_BYTES, "");
	a = make(f, f->root, "a", S_IFDIR | 0755);
	b = make(f, f->root, "b", S_IFDIR | 0755);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(from, sizeof(from), "f%u", i);
		make_and_put(f, a, from, i % 2 ? S_IFREG | 0600 : S_IFDIR | 0700);
	}
	assert_int_equal(log_quiesce(f->vol.log), 0);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(from, sizeof(from), "f%u", i);
		snprintf(to, sizeof(to), "t%u", i / 4);
		rename_flags(f, a, from, b, to, i % 5 ? 0 : RENAME_WHITEOUT);
	}
	assert_int_equal(log_force(f->vol.log, 0, NULL), 0);
	fixture_dump(f);
	inode_put(a);
	inode_put(b);
	fixture_crash(f);
	finish(f);
}

/* Unwritten blocks with holes between them: more extents than fit the inode. */
static void scatter(struct fixture *f, struct inode *file, unsigned extents)
{
	for (unsigned i = 0; i < extents; i++) {
		struct extent out[2];
		unsigned n = 2;
		struct tx *tx;

		assert_int_equal(tx_begin(f->vol.log, &log_reservations(f->vol.log)->write,
					  map_write_blocks(&file->map, 1), 0, &tx), 0);
		rwlock_write_lock(&file->map_lock);
		inode_join(tx, file, true);
		assert_int_equal(map_write(tx, &file->map, FORK_DATA, 2 * i, 1, MAP_UNWRITTEN, 0, out, &n), 0);
		assert_int_equal(n, 1);
		assert_int_equal(tx_commit(tx), 0);
	}
}

static void add_attribute(struct inode *inode, size_t bytes)
{
	static uint8_t value[30000];
	struct xattr_name name;

	assert_int_equal(xattr_parse("user.attribute", &name), 0);
	rwlock_write_lock(&inode->io_lock);
	assert_int_equal(xattr_set(inode, &name, value, bytes, 0), 0);
	rwlock_write_unlock(&inode->io_lock);
}

static void every_form_survives_a_crash(void **state)
{
	static const uint32_t modes[] = { S_IFREG, S_IFDIR, S_IFCHR, S_IFIFO, S_IFSOCK };
	struct fixture *f;
	struct inode *inode;
	char name[20], target[500];

	if (geteuid() != 0)
		skip();
	f = fixture_create(CRASH_BYTES, "-m rmapbt=1,reflink=1 -i nrext64=1");
	memset(target, 'x', sizeof(target));
	for (unsigned i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		if (i % 6 == 5) {
			target[i % 12 == 5 ? 100 : 499] = 0;
			assert_int_equal(
				namespace_symlink(&f->ns, f->root, name_of(name), target, &cred_user, &inode), 0);
			memset(target, 'x', sizeof(target));
		} else {
			assert_int_equal(namespace_create(&f->ns, f->root, name_of(name), modes[i % 6] | 0600, 0x0103,
							  &cred_user, &inode), 0);
		}
		if (i % 6 == 0)
			scatter(f, inode, i);
		if (i % 7 == 0)
			add_attribute(inode, i * 500);
		/* Some are home, some in the log, some both. */
		if (i == 20)
			assert_int_equal(log_quiesce(f->vol.log), 0);
		inode_put(inode);
	}
	assert_int_equal(log_force(f->vol.log, 0, NULL), 0);
	fixture_dump(f);
	fixture_crash(f);
	finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forced_names_survive_a_crash),
		cmocka_unit_test(half_written_home_survives_a_crash),
		cmocka_unit_test(renames_are_whole_after_a_crash),
		cmocka_unit_test(every_form_survives_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
