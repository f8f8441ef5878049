// SPDX-License-Identifier: GPL-2.0
/* A directory of 200,000 names: a tree of three levels. */
#include "dir_test.h"

#define NAMES 200000u

static const char *numbered_name(unsigned i)
{
	static char name[64];

	snprintf(name, sizeof(name), "file-%08x.txt", i * 2654435761u);
	return name;
}

static bool count_name(void *context, struct name name, struct inum ino, uint8_t ftype, uint64_t next_cookie)
{
	unsigned *count = context;

	++*count;
	return true;
}

static unsigned listed(struct dir_test *t)
{
	unsigned count = 0;

	assert_int_equal(dir_list(t->dir, 0, count_name, &count), 0);
	return count;
}

static void a_large_directory_grows_and_shrinks(void **state)
{
	struct dir_test t;

	dir_test_start(&t, 600ull << 20, "");
	for (unsigned i = 0; i < NAMES; i++)
		add_name(&t, numbered_name(i));
	assert_dir_is_sound(&t);
	assert_int_equal(listed(&t), NAMES + 2);
	dir_test_unmount(&t);
	assert_int_equal(image_check(t.image), 0);

	dir_test_mount(&t);
	for (unsigned i = 0; i < NAMES; i += 2)
		remove_name(&t, numbered_name(i));
	assert_dir_is_sound(&t);
	assert_int_equal(listed(&t), NAMES / 2 + 2);
	for (unsigned i = 1; i < NAMES; i += 2)
		remove_name(&t, numbered_name(NAMES - i));
	assert_dir_is_sound(&t);
	assert_int_equal(listed(&t), 2);
	assert_int_equal(t.dir->map.data.format, FORK_LOCAL);
	dir_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_directory_grows_and_shrinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
