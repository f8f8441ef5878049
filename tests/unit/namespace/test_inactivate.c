/* SPDX-License-Identifier: GPL-2.0 */
/* The inactivation queue does not grow without limit when nobody drains it. */
#include <linux/fs.h>

#include "namespace_test.h"

#define VOLUME_BYTES (320ull << 20)

static void fill_queue(struct fixture *f)
{
	while (inode_inactive_count(f->vol.inodes) < NAMESPACE_MAX_INACTIVE) {
		struct inode *inode;

		assert_int_equal(namespace_tmpfile(&f->ns, f->root, S_IFREG | 0600, &cred_user, &inode), 0);
		inode_put(inode);
	}
}

static void whoever_takes_names_away_shortens_a_long_queue(void **state)
{
	struct fixture *f = fixture_create(VOLUME_BYTES, "");
	struct inode_cache *inodes = f->vol.inodes;

	make_and_put(f, f->root, "unlinked", S_IFREG | 0600);
	make_and_put(f, f->root, "removed", S_IFDIR | 0700);
	make_and_put(f, f->root, "from", S_IFREG | 0600);
	make_and_put(f, f->root, "over", S_IFREG | 0600);
	fill_queue(f);
	assert_int_equal(inode_inactive_count(inodes), NAMESPACE_MAX_INACTIVE);
	assert_int_equal(namespace_unlink(&f->ns, f->root, name_of("unlinked")), 0);
	assert_int_equal(inode_inactive_count(inodes), NAMESPACE_MAX_INACTIVE);
	assert_int_equal(namespace_rmdir(&f->ns, f->root, name_of("removed")), 0);
	assert_int_equal(inode_inactive_count(inodes), NAMESPACE_MAX_INACTIVE);
	assert_int_equal(namespace_rename(&f->ns, f->root, name_of("from"), f->root, name_of("over"), 0, &cred_user),
			 0);
	assert_int_equal(inode_inactive_count(inodes), NAMESPACE_MAX_INACTIVE);
	fixture_destroy(f);
}

/* The front end holds them for a while longer: their last puts come after the operations. */
static void files_that_never_had_a_name_are_freed_as_new_ones_come(void **state)
{
	struct fixture *f = fixture_create(VOLUME_BYTES, "");
	struct inode *inode;

	fill_queue(f);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(namespace_tmpfile(&f->ns, f->root, S_IFREG | 0600, &cred_user, &inode), 0);
		inode_put(inode);
		assert_true(inode_inactive_count(f->vol.inodes) <= NAMESPACE_MAX_INACTIVE + 1);
	}
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_takes_names_away_shortens_a_long_queue),
		cmocka_unit_test(files_that_never_had_a_name_are_freed_as_new_ones_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
