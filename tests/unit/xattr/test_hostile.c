// SPDX-License-Identifier: GPL-2.0
/* Attribute forks whose blocks lie: every operation ends, with an answer or an error. */
#include "xattr_test.h"

#include "../dir/fuzz.h"

#define ROUNDS 40u

static uint8_t value[65536];

static const char *numbered_name(unsigned i)
{
	static const char *const spaces[] = { "user", "trusted", "security" };
	static char name[64];

	snprintf(name, sizeof(name), "%s.%u-%.*s", spaces[i % 3], i, (int)(i % 30),
		 "abcdefghijklmnopqrstuvwxyzabcdef");
	return name;
}

static uint32_t length_of(unsigned i, bool with_remote)
{
	static const uint32_t lengths[] = { 0, 10, 50, 300, 3500, 30000 };

	return lengths[i % (with_remote ? 6 : 4)];
}

static void use_everything(struct inode *inode, unsigned names, bool with_remote)
{
	static char list[65536];
	size_t length;

	xattr_list(inode, true, list, sizeof(list), &length);
	for (unsigned i = 0; i < names; i++)
		get_attr(inode, numbered_name(i), value, sizeof(value), &length);
	for (unsigned i = 0; i < 40; i++) {
		unsigned k = fuzz_random(names);

		if (fuzz_random(2))
			remove_attr(inode, numbered_name(k));
		else
			set_attr(inode, numbered_name(k + fuzz_random(20)), value,
				 length_of(fuzz_random(6), with_remote), 0);
	}
	xattr_free_all(inode);
}

static void fuzz_attributes(const char *mkfs_args, unsigned names, bool with_remote)
{
	struct fuzz_blocks *blocks = malloc(sizeof(*blocks));
	struct inode *inode;
	struct xattr_test t;
	char *intact;

	xattr_test_start(&t, mkfs_args);
	inode = make_object(&t, "file", S_IFREG | 0644);
	for (unsigned i = 0; i < names; i++)
		assert_int_equal(set_attr(inode, numbered_name(i), value, length_of(i, with_remote), 0), 0);
	for (unsigned i = 0; i < names; i += 5)
		assert_int_equal(remove_attr(inode, numbered_name(i)), 0);
	assert_int_equal(map_load(&inode->map, FORK_ATTR), 0);
	fuzz_find_blocks(inode, FORK_ATTR, 1, blocks);
	inode_put(inode);
	xattr_test_unmount(&t);
	assert_true(asprintf(&intact, "%s.intact", t.image) > 0);
	assert_int_equal(image_shell("cp --sparse=always %s %s", t.image, intact), 0);

	message_set_sink(fuzz_quiet, NULL);
	for (unsigned round = 0; round < ROUNDS; round++) {
		fuzz_damage(t.image, blocks);
		alarm(60);
		xattr_test_mount(&t);
		inode = get_object(&t, "file");
		use_everything(inode, names, with_remote);
		inode_put(inode);
		inode_put(t.root);
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
	fuzz_attributes("", 40, false);
	fuzz_attributes("", 30, true);
	fuzz_attributes("-b size=1024", 400, false);
	fuzz_attributes("-b size=1024", 150, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lying_blocks_end_in_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
