/* SPDX-License-Identifier: GPL-2.0 */
/* Unlinked lists, freeing inodes and chunks, and what a crash leaves of them. */
#include "inode_test.h"

#include <unistd.h>

#define MANY 700

static void shuffle(struct inode **inodes, unsigned n, unsigned seed)
{
	for (unsigned i = n - 1; i > 0; i--) {
		unsigned k = (unsigned)rand_r(&seed) % (i + 1);
		struct inode *tmp = inodes[i];

		inodes[i] = inodes[k];
		inodes[k] = tmp;
	}
}

static void nameless_inodes_are_freed_in_any_order(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *inodes[MANY];
	struct space_counts before, after;

	space_counts(m->vol.space, &before);
	for (unsigned i = 0; i < MANY; i++)
		inodes[i] = create_nameless(m, root, S_IFREG | 0600);
	shuffle(inodes, MANY, 1);
	for (unsigned i = 0; i < MANY; i++) {
		free_nameless(m, inodes[i]);
		inode_put(inodes[i]);
		if (i % 128 == 0)
			log_force(m->vol.log, 0, NULL);
	}
	space_counts(m->vol.space, &after);
	/* One chunk of freed inodes may stay with the root's. */
	assert_true(after.allocated_inodes <= before.allocated_inodes + 64);
	inode_put(root);
	mounted_destroy(m);
}

static void chunks_come_and_go_again_and_again(void **state)
{
	struct mounted *m = mounted_create("-d agcount=2");
	struct inode *root = root_of(m), *inodes[200];

	for (unsigned round = 0; round < 6; round++) {
		for (unsigned i = 0; i < 200; i++)
			inodes[i] = create_nameless(m, root, i % 2 ? S_IFREG | 0644 : S_IFIFO | 0600);
		shuffle(inodes, 200, round);
		for (unsigned i = 0; i < 200; i++)
			inode_put(inodes[i]);
		if (round % 2)
			assert_int_equal(log_quiesce(m->vol.log), 0);
		assert_int_equal(free_queued(m), 200);
		inode_cache_drop(m->vol.inodes);
	}
	inode_put(root);
	mounted_destroy(m);
}

static void a_number_used_again_has_another_generation(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *keep = create_nameless(m, root, S_IFREG | 0600);
	struct inode *first = create_nameless(m, root, S_IFREG | 0600), *second;
	struct inum ino = first->ino;
	uint32_t generation = first->generation;

	inode_put(first);
	assert_int_equal(free_queued(m), 1);
	second = create_nameless(m, root, S_IFDIR | 0700);
	assert_int_equal(second->ino.v, ino.v);
	assert_int_not_equal(second->generation, generation);
	assert_true(S_ISDIR(second->mode));
	inode_put(second);
	inode_put(keep);
	assert_int_equal(free_queued(m), 2);
	inode_put(root);
	mounted_destroy(m);
}

/* Lists longer than one, with members that are not in memory. */
static void lists_are_walked_when_memory_has_forgotten_them(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *inodes[300];
	struct inode_cache *fresh, *old = m->vol.inodes;
	struct inum numbers[300];

	for (unsigned i = 0; i < 300; i++) {
		inodes[i] = create_nameless(m, root, S_IFREG | 0600);
		numbers[i] = inodes[i]->ino;
	}
	assert_int_equal(log_quiesce(m->vol.log), 0);
	/* Another cache knows nothing of the first one's lists. */
	assert_int_equal(inode_cache_create(m->vol.space, m->vol.log, 1000, &fresh), 0);
	m->vol.inodes = fresh;
	for (unsigned i = 0; i < 300; i += 3) {
		struct inode *inode;

		assert_int_equal(inode_get(fresh, NULL, numbers[i], 0, &inode), 0);
		inode_put(inode);
	}
	/* Neighbours that were read on the way are queued too. */
	assert_true(free_queued(m) >= 100);
	assert_int_equal(inode_recover_unlinked(fresh), 0);
	free_queued(m);
	assert_int_equal(log_quiesce(m->vol.log), 0);
	inode_cache_destroy(fresh);
	m->vol.inodes = old;
	for (unsigned i = 0; i < 300; i++) {
		inodes[i]->mode = 0;
		inode_put(inodes[i]);
	}
	inode_put(root);
	mounted_destroy(m);
}

static void a_clean_mount_finds_and_frees_what_was_left(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m);
	struct inode *inode;
	struct inum ino = { 0 };

	for (unsigned i = 0; i < 100; i++) {
		inode = create_nameless(m, root, S_IFREG | 0600);
		ino = inode->ino;
		inode_put(inode);
	}
	inode_put(root);
	mounted_remount(m);
	assert_int_equal(inode_recover_unlinked(m->vol.inodes), 0);
	assert_int_equal(free_queued(m), 100);
	assert_int_equal(inode_get(m->vol.inodes, NULL, ino, INODE_GET_UNTRUSTED, &inode), -ESTALE);
	mounted_destroy(m);
}

/* What is in the log alone must be enough for the kernel. */
static void the_kernel_recovers_what_a_crash_leaves(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *inodes[150];
	char mountpoint[] = "/tmp/userxfs-inode-XXXXXX";
	struct inode_change change = { .valid = CHANGE_MODE | CHANGE_MTIME, .mode = 0711, .mtime = { 1234567, 89 } };
	int err;

	if (geteuid() != 0)
		skip();
	for (unsigned i = 0; i < 150; i++)
		inodes[i] = create_nameless(m, root, S_IFREG | 0600);
	assert_int_equal(inode_change(root, &change), 0);
	/* A chunk is gone again, others are half used. */
	for (unsigned i = 0; i < 150; i++) {
		if (i >= 20 && i < 130)
			free_nameless(m, inodes[i]);
	}
	assert_int_equal(log_force(m->vol.log, 0, NULL), 0);
	for (unsigned i = 0; i < 150; i++)
		inode_put(inodes[i]);
	inode_put(root);
	volume_lite_abandon(&m->vol);

	assert_non_null(mkdtemp(mountpoint));
	err = image_shell("mount -o loop %s %s", m->image, mountpoint);
	if (!err) {
		err = image_shell("test \"$(stat -c '%%a %%Y' %s)\" = '711 1234567'", mountpoint);
		err |= image_shell("umount %s", mountpoint);
	}
	rmdir(mountpoint);
	assert_int_equal(err, 0);
	assert_int_equal(image_check(m->image), 0);
	image_remove(m->image);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nameless_inodes_are_freed_in_any_order),
		cmocka_unit_test(chunks_come_and_go_again_and_again),
		cmocka_unit_test(a_number_used_again_has_another_generation),
		cmocka_unit_test(lists_are_walked_when_memory_has_forgotten_them),
		cmocka_unit_test(a_clean_mount_finds_and_frees_what_was_left),
		cmocka_unit_test(the_kernel_recovers_what_a_crash_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
