// SPDX-License-Identifier: GPL-2.0
/* Directories without blocks to spend: names come and go as far as they can, and nothing breaks. */
#include "dir_test.h"

#define MIB (1ull << 20)
#define MAX_NAMES 30000u

static uint64_t random_state = 1;

static uint32_t next_random(uint32_t below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random_state >> 33) % below;
}

static const char *numbered_name(unsigned i)
{
	static char name[64];

	snprintf(name, sizeof(name), "%u-%.*s", i, (int)(i % 20), "abcdefghijklmnopqrstuvwxyz");
	return name;
}

static void remove_without_blocks(struct dir_test *t, const char *name)
{
	struct tx *tx = begin_change(t, 0);

	assert_int_equal(dir_remove(tx, t->dir, name_of(name), t->file->ino, 0), 0);
	assert_int_equal(inode_change_nlink(tx, t->file, -1), 0);
	assert_int_equal(tx_commit(tx), 0);
}

/* Once the inode's extent list is full, data blocks in the middle of an extent stay, and tree blocks change
 * places. */
static void remove_all_without_blocks(const char *mkfs_args, unsigned names)
{
	static bool is_there[MAX_NAMES];
	struct dir_test t;

	dir_test_start(&t, 300 * MIB, mkfs_args);
	for (unsigned i = 0; i < names; i++) {
		add_name(&t, numbered_name(i));
		is_there[i] = true;
	}
	for (unsigned left = names; left; left--) {
		unsigned i = next_random(names);

		while (!is_there[i])
			i = (i + 1) % names;
		remove_without_blocks(&t, numbered_name(i));
		is_there[i] = false;
		if (left % (names / 20) == 0)
			assert_dir_is_sound(&t);
		if (left == names / 4) {
			dir_test_unmount(&t);
			assert_int_equal(image_check(t.image), 0);
			dir_test_mount(&t);
		}
	}
	assert_dir_is_sound(&t);
	for (unsigned i = 0; i < names; i++)
		assert_false(has_name(&t, numbered_name(i)));
	/* What stayed is used again. */
	for (unsigned i = 0; i < 500; i++)
		add_name(&t, numbered_name(i));
	assert_dir_is_sound(&t);
	dir_test_end(&t);
}

static void names_can_be_removed_without_blocks(void **state)
{
	remove_all_without_blocks("-b size=1024", 4000);
	remove_all_without_blocks("", MAX_NAMES);
	remove_all_without_blocks("-n size=16k", 8000);
}

static const char *long_name(unsigned i)
{
	static char name[256];

	snprintf(name, sizeof(name), "%u%0200u", i, i);
	return name;
}

/* Short names in the place of long ones need no new data blocks, so that the leaves that they need are one extent;
 * what leaves that extent from its middle, without a block for the map, changes places with its last block. */
static void tree_blocks_leave_a_contiguous_tree_without_blocks(void **state)
{
	const unsigned longs = 4000, shorts = 12000;
	struct dir_test t;

	dir_test_start(&t, 300 * MIB, "");
	for (unsigned i = 0; i < longs; i++)
		add_name(&t, long_name(i));
	for (unsigned i = 0; i < longs; i += 2)
		remove_name(&t, long_name(i));
	for (unsigned i = 0; i < shorts; i++)
		add_name(&t, numbered_name(i));
	assert_dir_is_sound(&t);
	for (unsigned i = 0; i < shorts; i++) {
		remove_without_blocks(&t, numbered_name((i * 7919u) % shorts));
		if (i % 1000 == 0)
			assert_dir_is_sound(&t);
	}
	assert_dir_is_sound(&t);
	for (unsigned i = 1; i < longs; i += 2)
		assert_true(has_name(&t, long_name(i)));
	dir_test_end(&t);
}

/* dir_can_enter() says yes exactly when adding without blocks then works, and changes nothing itself. */
static void a_name_that_can_enter_needs_no_blocks(void **state)
{
	unsigned entered = 0, refused = 0;
	struct dir_test t;

	dir_test_start(&t, 300 * MIB, "-b size=1024");
	for (unsigned i = 0; i < 1500; i++) {
		const char *name = numbered_name(i);
		struct tx *tx = begin_change(&t, 0);
		int err = dir_can_enter(tx, t.dir, name_of(name));

		assert_false(tx_is_dirty(tx));
		assert_true(err == 0 || err == -ENOSPC);
		assert_int_equal(dir_add(tx, t.dir, name_of(name), t.file->ino, XFS_DIR3_FT_REG_FILE, 0), err);
		assert_true(tx_is_dirty(tx) == !err);
		if (err) {
			tx_cancel(tx);
			add_name(&t, name);
			refused++;
		} else {
			assert_int_equal(inode_change_nlink(tx, t.file, 1), 0);
			assert_int_equal(tx_commit(tx), 0);
			entered++;
		}
	}
	assert_true(entered > 1000 && refused > 10);
	dir_test_end(&t);
}

/* A name that exists is refused in every form, also by a check. */
static void an_existing_name_is_refused(void **state)
{
	struct dir_test t;

	dir_test_start(&t, 300 * MIB, "-b size=1024");
	for (unsigned i = 0; i < 600; i++) {
		uint32_t blocks = dir_add_blocks(&t.vol.geo, 1);
		struct tx *tx;

		add_name(&t, numbered_name(i));
		tx = begin_change(&t, blocks);
		assert_int_equal(dir_can_enter(tx, t.dir, name_of(numbered_name(i / 2))), -EEXIST);
		assert_int_equal(dir_add(tx, t.dir, name_of(numbered_name(i / 2)), t.file->ino, 1, blocks), -EEXIST);
		assert_int_equal(dir_remove(tx, t.dir, name_of("nothing"), t.file->ino, blocks), -ENOENT);
		assert_int_equal(dir_replace(tx, t.dir, name_of("nothing"), t.file->ino, 1, blocks), -ENOENT);
		assert_false(tx_is_dirty(tx));
		tx_cancel(tx);
	}
	dir_test_end(&t);
}

/* Replacing points a name, or "..", elsewhere and back, in every form. */
static void a_replaced_name_leads_elsewhere(void **state)
{
	struct dir_test t;

	dir_test_start(&t, 300 * MIB, "-b size=1024");
	for (unsigned i = 0; i < 600; i++) {
		static const char *const names[] = { "0-", ".." };

		add_name(&t, numbered_name(i));
		for (unsigned k = 0; k < 2; k++) {
			uint32_t blocks = dir_add_blocks(&t.vol.geo, 1);
			struct tx *tx = begin_change(&t, blocks);
			struct inum old, now;
			uint8_t old_type, type;

			assert_int_equal(dir_lookup(tx, t.dir, name_of(names[k]), &old, &old_type), 0);
			assert_int_equal(dir_replace(tx, t.dir, name_of(names[k]), t.dir->ino, XFS_DIR3_FT_DIR,
						     blocks), 0);
			assert_int_equal(dir_lookup(tx, t.dir, name_of(names[k]), &now, &type), 0);
			assert_true(inum_equal(now, t.dir->ino));
			assert_int_equal(type, XFS_DIR3_FT_DIR);
			assert_int_equal(dir_replace(tx, t.dir, name_of(names[k]), old, old_type, blocks), 0);
			assert_int_equal(tx_commit(tx), 0);
		}
	}
	assert_dir_is_sound(&t);
	dir_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_can_be_removed_without_blocks),
		cmocka_unit_test(tree_blocks_leave_a_contiguous_tree_without_blocks),
		cmocka_unit_test(a_name_that_can_enter_needs_no_blocks),
		cmocka_unit_test(an_existing_name_is_refused),
		cmocka_unit_test(a_replaced_name_leads_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
