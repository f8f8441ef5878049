/* SPDX-License-Identifier: GPL-2.0 */
/* Attributes: what may be changed, what follows from it, what is told. */
#include "inode_test.h"

#include <linux/fs.h>

#include <userxfs/base/clock.h>
#include <userxfs/extent/delay.h>

static struct inode *file_in(struct mounted *m, struct inode *root)
{
	return create_nameless(m, root, S_IFREG | 0644);
}

static void done_with(struct mounted *m, struct inode *root, struct inode *inode)
{
	inode_put(inode);
	inode_put(root);
	free_queued(m);
	mounted_destroy(m);
}

static struct inode_stat stat_of(struct inode *inode)
{
	struct inode_stat st;

	inode_stat(inode, &st);
	return st;
}

static int change_mode(struct inode *inode, uint16_t mode)
{
	return inode_change(inode, &(struct inode_change){ .valid = CHANGE_MODE, .mode = mode });
}

static int change_xflags(struct inode *inode, uint32_t xflags, uint32_t hint, uint32_t cow_hint)
{
	return inode_change(inode, &(struct inode_change){
		.valid = CHANGE_XFLAGS | CHANGE_EXTENT_HINT | CHANGE_COW_HINT,
		.xflags = xflags,
		.extent_hint_bytes = hint,
		.cow_hint_bytes = cow_hint,
	});
}

static void a_new_owner_gets_no_privileges(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *file = file_in(m, root);
	struct inode_change chown = { .valid = CHANGE_UID | CHANGE_GID, .uid = 5, .gid = 6 };

	assert_int_equal(change_mode(file, 06775), 0);
	assert_int_equal(stat_of(file).mode, S_IFREG | 06775);
	assert_int_equal(inode_change(file, &chown), 0);
	assert_int_equal(stat_of(file).mode, S_IFREG | 0775);
	assert_int_equal(stat_of(file).uid, 5);
	assert_int_equal(stat_of(file).gid, 6);
	/* Without group execute the bit means something else. */
	assert_int_equal(change_mode(file, 06745), 0);
	assert_int_equal(inode_change(file, &(struct inode_change){ .valid = CHANGE_KILL_PRIV }), 0);
	assert_int_equal(stat_of(file).mode, S_IFREG | 02745);
	/* A directory's bits are not privileges. */
	assert_int_equal(change_mode(root, 06775), 0);
	assert_int_equal(inode_change(root, &chown), 0);
	assert_int_equal(stat_of(root).mode, S_IFDIR | 06775);
	done_with(m, root, file);
}

static struct timespec fixed_now = { 1700000000, 123456789 };

static struct timespec fixed_wall(void)
{
	return fixed_now;
}

static uint64_t fixed_ns(void)
{
	return 1;
}

static void no_sleep(uint64_t duration_ns)
{
}

static const struct clock_ops fixed_clock = { .now_ns = fixed_ns, .wall = fixed_wall, .sleep_ns = no_sleep };

static void every_change_moves_the_ctime(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *file = file_in(m, root);
	struct inode_change times = { .valid = CHANGE_ATIME | CHANGE_MTIME, .atime = { 1, 2 }, .mtime = { 3, 4 } };
	struct inode_stat st;
	uint64_t changes = file->change_count;

	clock_set_ops(&fixed_clock);
	assert_int_equal(inode_change(file, &times), 0);
	clock_set_ops(NULL);
	st = stat_of(file);
	assert_int_equal(st.atime.tv_sec, 1);
	assert_int_equal(st.mtime.tv_nsec, 4);
	assert_int_equal(st.ctime.tv_sec, fixed_now.tv_sec);
	assert_int_equal(st.ctime.tv_nsec, fixed_now.tv_nsec);
	assert_int_equal(file->change_count, changes + 1);
	times.valid |= CHANGE_CTIME;
	times.ctime = (struct timespec){ 5, 6 };
	assert_int_equal(inode_change(file, &times), 0);
	assert_int_equal(stat_of(file).ctime.tv_sec, 5);
	done_with(m, root, file);
}

static void times_out_of_range_are_clamped(void **state)
{
	struct mounted *m = mounted_create("-m bigtime=0,inobtcount=0");
	struct inode *root = root_of(m);
	struct inode_change times = { .valid = CHANGE_ATIME | CHANGE_MTIME, .atime = { 1ll << 40, 5 },
				      .mtime = { -(1ll << 40), 5 } };

	assert_int_equal(inode_change(root, &times), 0);
	assert_int_equal(stat_of(root).atime.tv_sec, INT32_MAX);
	assert_int_equal(stat_of(root).mtime.tv_sec, INT32_MIN);
	assert_int_equal(stat_of(root).mtime.tv_nsec, 0);
	inode_put(root);
	mounted_remount(m);
	root = root_of(m);
	assert_int_equal(stat_of(root).atime.tv_sec, INT32_MAX);
	assert_int_equal(stat_of(root).mtime.tv_sec, INT32_MIN);
	inode_put(root);
	mounted_destroy(m);
}

static void immutable_inodes_refuse_and_append_only_ones_may_be_touched(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *file = file_in(m, root);
	struct inode_change times = { .valid = CHANGE_MTIME, .mtime = { 7, 8 } };

	assert_int_equal(change_xflags(file, FS_XFLAG_IMMUTABLE, 0, 0), 0);
	assert_int_equal(change_mode(file, 0600), -EPERM);
	assert_int_equal(inode_change(file, &times), -EPERM);
	assert_int_equal(change_xflags(file, FS_XFLAG_APPEND, 0, 0), 0);
	assert_int_equal(change_mode(file, 0600), -EPERM);
	assert_int_equal(inode_change(file, &times), -EPERM);
	times.valid |= CHANGE_TOUCH;
	assert_int_equal(inode_change(file, &times), 0);
	assert_int_equal(stat_of(file).xflags, FS_XFLAG_APPEND);
	assert_int_equal(change_xflags(file, 0, 0, 0), 0);
	done_with(m, root, file);
}

static void hints_follow_the_rules(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *file = file_in(m, root);

	assert_int_equal(change_xflags(file, FS_XFLAG_EXTSIZE, 12345, 0), -EINVAL);
	assert_int_equal(change_xflags(file, FS_XFLAG_EXTSZINHERIT, 8192, 0), -EINVAL);
	assert_int_equal(change_xflags(root, FS_XFLAG_EXTSIZE, 8192, 0), -EINVAL);
	assert_int_equal(change_xflags(file, FS_XFLAG_REALTIME, 0, 0), -EINVAL);
	assert_int_equal(change_xflags(file, FS_XFLAG_EXTSIZE, 1u << 31, 0), -EINVAL);
	assert_int_equal(change_xflags(file, FS_XFLAG_EXTSIZE | FS_XFLAG_COWEXTSIZE | FS_XFLAG_SYNC, 8192, 16384), 0);
	assert_int_equal(stat_of(file).xflags, FS_XFLAG_EXTSIZE | FS_XFLAG_COWEXTSIZE | FS_XFLAG_SYNC);
	assert_int_equal(stat_of(file).extent_hint_bytes, 8192);
	assert_int_equal(stat_of(file).cow_hint_bytes, 16384);
	assert_int_equal(file->map.extent_hint_blocks, 2);
	assert_int_equal(file->map.cow_hint_blocks, 4);
	/* A size without the flag makes no sense; no size, no hint. */
	assert_int_equal(change_xflags(file, FS_XFLAG_COWEXTSIZE, 8192, 16384), -EINVAL);
	assert_int_equal(change_xflags(file, FS_XFLAG_EXTSIZE, 8192, 16384), -EINVAL);
	assert_int_equal(change_xflags(file, FS_XFLAG_EXTSIZE | FS_XFLAG_COWEXTSIZE, 8192, 16384), 0);
	assert_int_equal(change_xflags(file, FS_XFLAG_EXTSIZE, 0, 0), 0);
	assert_int_equal(stat_of(file).xflags, 0);
	/* Directories' flags do not stick to files. */
	assert_int_equal(change_xflags(file, FS_XFLAG_PROJINHERIT | FS_XFLAG_NODUMP, 0, 0), 0);
	assert_int_equal(stat_of(file).xflags, FS_XFLAG_NODUMP);
	assert_int_equal(change_xflags(root, FS_XFLAG_PROJINHERIT, 0, 0), 0);
	assert_int_equal(stat_of(root).xflags, FS_XFLAG_PROJINHERIT);
	done_with(m, root, file);
}

static void a_file_with_delayed_blocks_keeps_its_extent_hint(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *file = file_in(m, root);
	struct extent got;

	rwlock_write_lock(&file->map_lock);
	assert_int_equal(delay_reserve(&file->map, FORK_DATA, 0, 4, 0, &got), 0);
	rwlock_write_unlock(&file->map_lock);
	assert_int_equal(change_xflags(file, FS_XFLAG_EXTSIZE, 8192, 0), -EINVAL);
	assert_int_equal(change_xflags(file, FS_XFLAG_NODUMP, 0, 0), 0);
	rwlock_write_lock(&file->map_lock);
	delay_punch(&file->map, FORK_DATA, 0, 4);
	rwlock_write_unlock(&file->map_lock);
	assert_int_equal(change_xflags(file, FS_XFLAG_EXTSIZE, 8192, 0), 0);
	done_with(m, root, file);
}

static void relatime_updates_when_it_says_something_new(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m), *file = file_in(m, root);
	struct inode_change change = { .valid = CHANGE_MTIME, .mtime = { 1700000000, 0 } };
	uint64_t changes;

	assert_int_equal(inode_change(file, &(struct inode_change){ .valid = CHANGE_ATIME, .atime = { 1, 0 } }), 0);
	assert_int_equal(stat_of(file).atime.tv_sec, 1);
	/* Nameless ones are left alone: nobody will know. */
	inode_accessed(file, false);
	assert_int_equal(stat_of(file).atime.tv_sec, 1);

	assert_int_equal(inode_change(root, &change), 0);
	inode_accessed(root, false);
	changes = root->change_count;
	inode_accessed(root, false);
	assert_int_equal(root->change_count, changes);
	inode_accessed(root, true);
	assert_int_equal(root->change_count, changes + 1);
	assert_int_equal(change_xflags(root, FS_XFLAG_NOATIME, 0, 0), 0);
	changes = root->change_count;
	inode_accessed(root, true);
	assert_int_equal(root->change_count, changes);
	done_with(m, root, file);
}

static void fsync_knows_what_to_wait_for(void **state)
{
	struct mounted *m = mounted_create("");
	struct inode *root = root_of(m);
	uint64_t before = root->datasync_sequence, size_sequence;

	/* Times only: fdatasync need not wait. */
	assert_int_equal(inode_change(root, &(struct inode_change){ .valid = CHANGE_MTIME, .mtime = { 9, 9 } }), 0);
	assert_int_equal(root->datasync_sequence, before);
	assert_false(log_is_durable(m->vol.log, root->sync_sequence));
	assert_int_equal(log_force(m->vol.log, root->sync_sequence, NULL), 0);
	assert_true(log_is_durable(m->vol.log, root->sync_sequence));

	assert_int_equal(change_mode(root, 0750), 0);
	size_sequence = root->sync_sequence;
	assert_int_equal(root->datasync_sequence, size_sequence);
	inode_put(root);
	mounted_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_owner_gets_no_privileges),
		cmocka_unit_test(every_change_moves_the_ctime),
		cmocka_unit_test(times_out_of_range_are_clamped),
		cmocka_unit_test(immutable_inodes_refuse_and_append_only_ones_may_be_touched),
		cmocka_unit_test(hints_follow_the_rules),
		cmocka_unit_test(a_file_with_delayed_blocks_keeps_its_extent_hint),
		cmocka_unit_test(relatime_updates_when_it_says_something_new),
		cmocka_unit_test(fsync_knows_what_to_wait_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
