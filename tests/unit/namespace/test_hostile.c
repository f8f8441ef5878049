/* SPDX-License-Identifier: GPL-2.0 */
/* Inodes that lie about their blocks, with right checksums. */
#include "namespace_test.h"

#include <userxfs/buffer.h>

#define SMALL_BYTES (320ull << 20)

/* Unmounts, has xfs_db change the inode, mounts. */
static void fixture_falsify(struct fixture *f, struct inum ino, const char *field, unsigned value)
{
	fixture_unmount(f);
	assert_int_equal(image_shell("xfs_db -x -c 'inode %llu' -c 'write -d %s %u' %s >/dev/null 2>&1",
				     (unsigned long long)ino.v, field, value, f->image),
			 0);
	fixture_mount(f);
}

/* What such a volume needs afterwards is xfs_repair. */
static void fixture_give_up(struct fixture *f)
{
	fixture_crash(f);
	image_remove(f->image);
	free(f);
}

static struct inum make_link(struct fixture *f)
{
	char target[901];
	struct inode *link;
	struct inum ino;

	memset(target, 'x', 900);
	target[900] = 0;
	assert_int_equal(namespace_symlink(&f->ns, f->root, name_of("name"), target, &cred_user, &link), 0);
	ino = link->ino;
	inode_put(link);
	return ino;
}

/* The inode keeps its place on the unlinked list; nothing else is disturbed. */
static void inode_with_too_many_blocks_is_not_freed(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inum ino = make_link(f);

	fixture_falsify(f, ino, "core.nblocks", 7);
	assert_int_equal(namespace_unlink(&f->ns, f->root, name_of("name")), 0);
	assert_int_equal(fixture_inactivate(f), 1);
	assert_int_equal(look_error(f, f->root, "name"), -ENOENT);
	make_and_put(f, f->root, "other", S_IFREG | 0644);
	assert_int_equal(log_force(f->vol.log, log_current_sequence(f->vol.log), NULL), 0);
	fixture_give_up(f);
}

/* Its counter would become 2^64 - 1. */
static void more_blocks_than_counted_are_not_unmapped(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inum ino = make_link(f);
	struct inode *link;

	fixture_falsify(f, ino, "u3.bmx[0].blockcount", 3);
	link = look(f, f->root, "name");
	assert_int_equal(stat_of(link).blocks_512, 8);
	inode_put(link);
	assert_int_equal(namespace_unlink(&f->ns, f->root, name_of("name")), 0);
	fixture_inactivate(f);
	assert_true(log_is_shutdown(f->vol.log));
	fixture_give_up(f);
}

static void no_more_of_a_target_is_read_than_its_length(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	char target[XFS_SYMLINK_MAXLEN + 1];
	struct inum ino = make_link(f);
	struct inode *link;
	size_t before;

	fixture_falsify(f, ino, "u3.bmx[0].blockcount", 5000);
	link = look(f, f->root, "name");
	before = buffer_cache_bytes(f->vol.buffers);
	assert_int_equal(namespace_readlink(&f->ns, link, target, sizeof(target)), 0);
	assert_int_equal(strlen(target), 900);
	assert_true(buffer_cache_bytes(f->vol.buffers) < before + (1u << 20));
	inode_put(link);
	fixture_give_up(f);
}

/* A new inode beside one that lies can never be written home. */
static void unwritable_inodes_do_not_hold_up_the_end(void **state)
{
	struct fixture *f = fixture_create(SMALL_BYTES, "");
	struct inum last = { 0 };
	char name[16];

	for (unsigned i = 0; i < 45; i++) {
		struct inode *file;

		snprintf(name, sizeof(name), "f%u", i);
		file = make(f, f->root, name, S_IFREG | 0644);
		last = file->ino;
		inode_put(file);
	}
	fixture_falsify(f, last, "next_unlinked", 0xffa2ffff);
	make_and_put(f, f->root, "beside", S_IFREG | 0644);
	inode_put(f->root);
	namespace_deinit(&f->ns);
	alarm(20);
	assert_int_not_equal(volume_lite_close(&f->vol), 0);
	alarm(0);
	image_remove(f->image);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unwritable_inodes_do_not_hold_up_the_end),
		cmocka_unit_test(inode_with_too_many_blocks_is_not_freed),
		cmocka_unit_test(more_blocks_than_counted_are_not_unmapped),
		cmocka_unit_test(no_more_of_a_target_is_read_than_its_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
