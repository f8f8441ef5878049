/* SPDX-License-Identifier: GPL-2.0 */
/* Finding, holding and forgetting inodes. */
#include "inode_test.h"

static void two_gets_give_the_same_inode(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *a = root_of(m), *b = root_of(m);

	assert_ptr_equal(a, b);
	assert_true(S_ISDIR(a->mode));
	inode_put(a);
	inode_put(b);
	mounted_destroy(m);
}

static void an_inode_without_references_stays_in_memory(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *a = root_of(m), *b;

	inode_put(a);
	assert_int_equal(inode_get(m->vol.inodes, NULL, m->vol.geo.root, INODE_GET_CACHED, &b), 0);
	assert_ptr_equal(a, b);
	inode_put(b);
	inode_cache_drop(m->vol.inodes);
	assert_int_equal(inode_get(m->vol.inodes, NULL, m->vol.geo.root, INODE_GET_CACHED, &b), -ENODATA);
	mounted_destroy(m);
}

static void a_free_number_is_refused(void **state)
{
	struct mounted *m = mounted_create("");
	struct inum free_one = { m->vol.geo.root.v + 40 };
	struct inode *inode;

	assert_int_equal(inode_get(m->vol.inodes, NULL, free_one, 0, &inode), -ENOENT);
	assert_int_equal(inode_get(m->vol.inodes, NULL, free_one, INODE_GET_UNTRUSTED, &inode), -ESTALE);
	assert_int_equal(inode_get(m->vol.inodes, NULL, (struct inum){ m->vol.geo.root.v + 100000 },
				   INODE_GET_UNTRUSTED, &inode), -ESTALE);
	mounted_destroy(m);
}

static void a_changed_inode_is_not_reclaimed_before_it_is_written(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode_change change = { .valid = CHANGE_MODE, .mode = 0700 };
	struct inode *root = root_of(m), *again;

	assert_int_equal(inode_change(root, &change), 0);
	inode_put(root);
	inode_cache_drop(m->vol.inodes);
	assert_int_equal(inode_get(m->vol.inodes, NULL, m->vol.geo.root, INODE_GET_CACHED, &again), 0);
	inode_put(again);
	assert_int_equal(log_quiesce(m->vol.log), 0);
	inode_cache_drop(m->vol.inodes);
	assert_int_equal(inode_get(m->vol.inodes, NULL, m->vol.geo.root, INODE_GET_CACHED, &again), -ENODATA);
	again = root_of(m);
	assert_int_equal(again->mode & 0777, 0700);
	inode_put(again);
	mounted_destroy(m);
}

static int count_one(struct inode *inode, void *context)
{
	++*(unsigned *)context;
	inode_put(inode);
	return 0;
}

static int count_tagged(struct inode *inode, void *context)
{
	assert_true(atomic_load(&inode->flags) & INODE_EOFBLOCKS);
	++*(unsigned *)context;
	return 0;
}

static void walks_see_every_inode_and_every_tag(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *inodes[100];
	unsigned seen = 0, tagged = 0;

	for (unsigned i = 0; i < 100; i++) {
		inodes[i] = create_nameless(m, root, S_IFREG | 0600);
		if (i % 3 == 0)
			inode_set_tag(inodes[i], INODE_EOFBLOCKS);
	}
	inode_clear_tag(inodes[0], INODE_EOFBLOCKS);
	assert_int_equal(inode_for_each(m->vol.inodes, count_one, &seen), 0);
	assert_int_equal(inode_for_each_tagged(m->vol.inodes, INODE_EOFBLOCKS, count_tagged, &tagged), 0);
	assert_int_equal(seen, 101);
	assert_int_equal(tagged, 33);
	for (unsigned i = 0; i < 100; i++)
		inode_put(inodes[i]);
	inode_put(root);
	assert_int_equal(free_queued(m), 100);
	mounted_destroy(m);
}

static unsigned woken;

static void count_wake(void *context)
{
	(void)context;
	woken++;
}

static void the_last_put_of_an_unlinked_inode_queues_it(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *inode = create_nameless(m, root, S_IFREG | 0600), *other;
	struct inum ino = inode->ino;

	woken = 0;
	inode_cache_set_wake(m->vol.inodes, count_wake, NULL);
	inode_hold(inode);
	inode_put(inode);
	assert_false(inode_take_inactive(m->vol.inodes, &other));
	inode_put(inode);
	assert_int_equal(woken, 1);
	/* Nobody gets it any more. */
	assert_int_equal(inode_get(m->vol.inodes, NULL, ino, 0, &other), -ENOENT);
	assert_true(inode_take_inactive(m->vol.inodes, &other));
	assert_ptr_equal(other, inode);
	assert_int_equal(inode_get(m->vol.inodes, NULL, ino, 0, &other), -ENOENT);
	free_nameless(m, inode);
	inode_put(inode);
	assert_int_equal(inode_get(m->vol.inodes, NULL, ino, INODE_GET_UNTRUSTED, &other), -ESTALE);
	inode_put(root);
	mounted_destroy(m);
}

static bool always_needs(struct inode *inode)
{
	return S_ISDIR(inode->mode);
}

static void a_queued_inode_with_a_name_can_be_had_again(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *again, *taken;

	inode_cache_set_needs_inactivation(m->vol.inodes, always_needs);
	inode_put(root);
	again = root_of(m);
	assert_ptr_equal(again, root);
	assert_false(inode_take_inactive(m->vol.inodes, &taken));
	inode_put(again);
	assert_true(inode_take_inactive(m->vol.inodes, &taken));
	inode_put(taken);
	/* Its inactivation does not queue it again. */
	assert_false(inode_take_inactive(m->vol.inodes, &taken));
	inode_cache_set_needs_inactivation(m->vol.inodes, NULL);
	mounted_destroy(m);
}

static void reclaim_keeps_the_limit(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode_cache *small;
	struct inode *inode;
	unsigned freed = 0, n;

	assert_int_equal(inode_cache_create(m->vol.space, m->vol.log, 1, &small), 0);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(inode_get(small, NULL, (struct inum){ m->vol.geo.root.v + i }, 0, &inode), 0);
		inode_put(inode);
	}
	while ((n = inode_reclaim_pass(small)) != 0)
		freed += n;
	assert_int_equal(freed, 2);
	inode_cache_destroy(small);
	mounted_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_gets_give_the_same_inode),
		cmocka_unit_test(an_inode_without_references_stays_in_memory),
		cmocka_unit_test(a_free_number_is_refused),
		cmocka_unit_test(a_changed_inode_is_not_reclaimed_before_it_is_written),
		cmocka_unit_test(walks_see_every_inode_and_every_tag),
		cmocka_unit_test(the_last_put_of_an_unlinked_inode_queues_it),
		cmocka_unit_test(a_queued_inode_with_a_name_can_be_had_again),
		cmocka_unit_test(reclaim_keeps_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
