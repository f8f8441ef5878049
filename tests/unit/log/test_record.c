/* SPDX-License-Identifier: GPL-2.0 */
/* What is written to the log, as others read it: the kernel recovers it, xfs_logprint prints it, xfs_repair agrees. */
#include "fixture.h"

/* Commits labels, forces the log and loses what is in memory. */
static void write_and_crash(struct fixture *f, unsigned rounds)
{
	char label[13];

	fixture_mount(f, NULL);
	for (unsigned i = 0; i < rounds; i++) {
		snprintf(label, sizeof(label), "round%u", i);
		fixture_commit_label(f, label);
		assert_int_equal(log_force(f->log, 0, NULL), 0);
	}
	fixture_crash(f);
}

static void assert_logprint(struct fixture *f, const char *options, const char *expected)
{
	assert_int_equal(image_shell("xfs_logprint %s %s %s >%s.print 2>&1; r=$?; grep -q '%s' %s.print || r=1; "
				     "test $r = 0 || tail -40 %s.print; rm -f %s.print; exit $r", options,
				     log_argument(f), f->path, f->path, expected, f->path, f->path, f->path), 0);
}

static void check_recovery(const char *mkfs_args, unsigned rounds)
{
	char label[13];
	struct fixture f;

	fixture_make(&f, 300 << 20, mkfs_args);
	write_and_crash(&f, rounds);
	snprintf(label, sizeof(label), "round%u", rounds - 1);
	assert_logprint(&f, "-t", "BUF:");
	if (may_mount()) {
		kernel_mount(&f, true);
		assert_label(&f, label);
		assert_repair_clean(&f);
	}
	fixture_remove(&f);
}

static void kernel_recovers_one_checkpoint(void **state)
{
	check_recovery("", 1);
}

static void kernel_recovers_many_checkpoints(void **state)
{
	check_recovery("-m rmapbt=1,reflink=1", 40);
}

static void clean_unmount_needs_no_recovery(void **state)
{
	struct fixture f;

	fixture_make(&f, 300 << 20, "");
	fixture_mount(&f, NULL);
	fixture_commit_label(&f, "clean");
	fixture_unmount(&f);
	assert_logprint(&f, "-t", "<CLEAN>");
	assert_repair_clean(&f);
	assert_label(&f, "clean");
	if (may_mount()) {
		kernel_mount(&f, false);
		assert_repair_clean(&f);
	}
	fixture_remove(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_recovers_one_checkpoint),
		cmocka_unit_test(kernel_recovers_many_checkpoints),
		cmocka_unit_test(clean_unmount_needs_no_recovery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
