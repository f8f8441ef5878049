/* SPDX-License-Identifier: GPL-2.0 */
/* A volume without space: what must still work does, what cannot says so and changes nothing. */
#include "namespace_test.h"

#define FULL_BYTES (320ull << 20)

/* Gives @file all the space there is. */
static void fill(struct fixture *f, struct inode *file)
{
	fileblk_t off = map_end(&file->map, FORK_DATA);

	for (uint64_t count = 8192; count;) {
		struct extent out[4];
		unsigned n = 4;
		struct tx *tx;

		if (tx_begin(f->vol.log, &log_reservations(f->vol.log)->write, map_write_blocks(&file->map, count), 0,
			     &tx)) {
			count /= 2;
			continue;
		}
		rwlock_write_lock(&file->map_lock);
		inode_join(tx, file, true);
		assert_int_equal(map_write(tx, &file->map, FORK_DATA, off, count, MAP_UNWRITTEN, 0, out, &n), 0);
		off = map_end(&file->map, FORK_DATA);
		assert_int_equal(tx_commit(tx), 0);
	}
}

static void removing_and_renaming_work_on_a_full_volume(void **state)
{
	struct fixture *f = fixture_create(FULL_BYTES, "");
	struct inode *dir = make(f, f->root, "dir", S_IFDIR | 0700), *big, *out;
	char name[40];
	unsigned made = 0;
	int err = 0;

	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "a-rather-long-name-%u", i);
		make_and_put(f, dir, name, S_IFREG | 0600);
	}
	big = make(f, f->root, "big", S_IFREG | 0600);
	fill(f, big);
	/* What is free in chunks and directory blocks does not help: a create must be able to make both. */
	while (!err && made < 100) {
		snprintf(name, sizeof(name), "new-%u", made++);
		err = namespace_create(&f->ns, dir, name_of(name), S_IFREG | 0600, 0, &cred_user, &out);
		if (!err)
			inode_put(out);
	}
	assert_int_equal(err, -ENOSPC);
	assert_false(log_is_shutdown(f->vol.log));
	assert_int_equal(look_error(f, dir, name), -ENOENT);
	assert_int_equal(namespace_symlink(&f->ns, dir, name_of("l"), "t", &cred_user, &out), -ENOSPC);

	assert_int_equal(rename_flags(f, dir, "a-rather-long-name-1", dir, "a-rather-long-name-2", 0), 0);
	assert_int_equal(rename_flags(f, dir, "a-rather-long-name-3", dir, "short", 0), 0);
	for (unsigned i = 4; i < 500; i++) {
		snprintf(name, sizeof(name), "a-rather-long-name-%u", i);
		assert_int_equal(namespace_unlink(&f->ns, dir, name_of(name)), 0);
	}
	fixture_inactivate(f);
	assert_false(log_is_shutdown(f->vol.log));
	assert_null(dir_verify(dir));

	assert_int_equal(namespace_unlink(&f->ns, f->root, name_of("big")), 0);
	inode_put(big);
	fixture_inactivate(f);
	assert_int_equal(space_flush_busy(f->vol.space), 0);
	make_and_put(f, dir, "again", S_IFREG | 0600);
	inode_put(dir);
	fixture_destroy(f);
}

static unsigned asked_for_space;

static void count_request(void *context)
{
	(void)context;
	asked_for_space++;
}

static void space_is_asked_for_once_before_giving_up(void **state)
{
	struct fixture *f = fixture_create(FULL_BYTES, "");
	struct inode *big = make(f, f->root, "big", S_IFREG | 0600), *out;
	int err;

	f->ns.hooks.make_space = count_request;
	asked_for_space = 0;
	fill(f, big);
	err = namespace_create(&f->ns, f->root, name_of("x"), S_IFDIR | 0700, 0, &cred_user, &out);
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(asked_for_space, 1);
	inode_put(big);
	fixture_destroy(f);
}

static void every_block_comes_back(void **state)
{
	struct fixture *f = fixture_create(FULL_BYTES, "-m rmapbt=1");
	struct space_counts before, after;
	struct inode *dir, *big;
	char name[40];

	/* The root directory keeps what it grows to. */
	make_and_put(f, f->root, "warm", S_IFREG | 0600);
	assert_int_equal(namespace_unlink(&f->ns, f->root, name_of("warm")), 0);
	fixture_inactivate(f);
	space_counts(f->vol.space, &before);

	dir = make(f, f->root, "dir", S_IFDIR | 0700);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "some-name-or-other-%u", i);
		make_and_put(f, dir, name, S_IFREG | 0600);
	}
	big = make(f, f->root, "big", S_IFREG | 0600);
	fill(f, big);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "some-name-or-other-%u", i);
		assert_int_equal(namespace_unlink(&f->ns, dir, name_of(name)), 0);
	}
	inode_put(dir);
	inode_put(big);
	assert_int_equal(namespace_rmdir(&f->ns, f->root, name_of("dir")), 0);
	assert_int_equal(namespace_unlink(&f->ns, f->root, name_of("big")), 0);
	fixture_inactivate(f);
	assert_int_equal(space_flush_busy(f->vol.space), 0);
	space_counts(f->vol.space, &after);
	/* Inode chunks that the free inodes of the root's keep alive, and trees that stay a level higher, are few. */
	assert_true(after.free_blocks + 64 >= before.free_blocks);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(removing_and_renaming_work_on_a_full_volume),
		cmocka_unit_test(space_is_asked_for_once_before_giving_up),
		cmocka_unit_test(every_block_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
