// SPDX-License-Identifier: GPL-2.0
/* Directories whose blocks lie: every operation ends, with an answer or an error. */
#include "dir_test.h"

#include "fuzz.h"

#define ROUNDS 40u

static const char *numbered_name(unsigned i)
{
	static char name[64];

	snprintf(name, sizeof(name), "%u-%.*s", i, (int)(i % 30), "abcdefghijklmnopqrstuvwxyzabcdef");
	return name;
}

static bool count_name(void *context, struct name name, struct inum ino, uint8_t ftype, uint64_t next_cookie)
{
	uint64_t *count = context;
	uint8_t sum = 0;

	for (unsigned i = 0; i < name.length; i++)
		sum += name.bytes[i];
	(void)sum;
	return ++*count < 1000000;
}

static void try_change(struct dir_test *t, const char *name, bool add)
{
	uint32_t blocks = dir_add_blocks(&t->vol.geo, 1);
	struct inode *both[] = { t->dir, t->file };
	struct tx *tx;
	int err;

	if (tx_begin(t->vol.log, &log_reservations(t->vol.log)->link, blocks, 0, &tx))
		return;
	inode_lock_maps(both, 2);
	inode_join(tx, t->dir, true);
	inode_join(tx, t->file, true);
	err = add ? dir_add(tx, t->dir, name_of(name), t->file->ino, XFS_DIR3_FT_REG_FILE, blocks) :
		    dir_remove(tx, t->dir, name_of(name), t->file->ino, blocks);
	if (err)
		tx_cancel(tx);
	else
		tx_commit(tx);
}

static void use_everything(struct dir_test *t, unsigned names)
{
	uint64_t count = 0;

	dir_list(t->dir, 0, count_name, &count);
	for (unsigned i = 0; i < names; i += 1 + names / 40) {
		struct inum ino;
		uint8_t ftype;

		dir_lookup(NULL, t->dir, name_of(numbered_name(i)), &ino, &ftype);
	}
	for (unsigned i = 0; i < 60; i++) {
		try_change(t, numbered_name(fuzz_random(names)), false);
		try_change(t, numbered_name(names + i), true);
	}
	dir_verify(t->dir);
}

static void fuzz_directory(const char *mkfs_args, unsigned names)
{
	struct fuzz_blocks *blocks = malloc(sizeof(*blocks));
	struct dir_test t;
	char *intact;

	dir_test_start(&t, 300ull << 20, mkfs_args);
	for (unsigned i = 0; i < names; i++)
		add_name(&t, numbered_name(i));
	/* Holes and stale entries. */
	for (unsigned i = 0; i < names; i += 5)
		remove_name(&t, numbered_name(i));
	fuzz_find_blocks(t.dir, FORK_DATA, t.vol.geo.dir.fs_blocks, blocks);
	dir_test_unmount(&t);
	assert_true(asprintf(&intact, "%s.intact", t.image) > 0);
	assert_int_equal(image_shell("cp --sparse=always %s %s", t.image, intact), 0);

	message_set_sink(fuzz_quiet, NULL);
	for (unsigned round = 0; round < ROUNDS; round++) {
		fuzz_damage(t.image, blocks);
		alarm(60);
		dir_test_mount(&t);
		use_everything(&t, names);
		inode_put(t.dir);
		inode_put(t.file);
		volume_lite_abandon(&t.vol);
		alarm(0);
		assert_int_equal(image_shell("cp --sparse=always %s %s", intact, t.image), 0);
	}
	message_set_sink(NULL, NULL);
	unlink(intact);
	free(intact);
	free(blocks);
	image_remove(t.image);
}

static void lying_blocks_end_in_errors(void **state)
{
	fuzz_directory("", 60);
	fuzz_directory("", 300);
	fuzz_directory("-b size=1024", 4000);
	fuzz_directory("-n size=16k", 2500);
}

/* An extent so far out that counting the free blocks up to it would take longer than anybody waits. */
static void blocks_behind_the_last_section_are_refused(void **state)
{
	const fileblk_t far = 1ull << 50;
	struct extent ext;
	unsigned n = 1;
	struct dir_test t;
	struct tx *tx;

	dir_test_start(&t, 300ull << 20, "-b size=1024");
	for (unsigned i = 0; i < 4000; i++)
		add_name(&t, numbered_name(i));
	tx = begin_change(&t, map_write_blocks(&t.dir->map, 1));
	assert_int_equal(map_write(tx, &t.dir->map, FORK_DATA, far, 1, MAP_METADATA, 1, &ext, &n), 0);
	assert_int_equal(tx_commit(tx), 0);
	alarm(10);
	tx = begin_change(&t, dir_add_blocks(&t.vol.geo, 3));
	assert_int_equal(dir_add(tx, t.dir, name_of("new"), t.file->ino, XFS_DIR3_FT_REG_FILE,
				 dir_add_blocks(&t.vol.geo, 3)), -EFSCORRUPTED);
	tx_cancel(tx);
	alarm(0);
	inode_put(t.dir);
	inode_put(t.file);
	volume_lite_abandon(&t.vol);
	image_remove(t.image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_behind_the_last_section_are_refused),
		cmocka_unit_test(lying_blocks_end_in_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
