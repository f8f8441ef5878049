/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is written to the log, as others read it: the kernel recovers it, xfs_logprint prints it, xfs_repair
 * agrees.
 */
#include "fixture.h"

#include "log/internal.h"

static void assert_logprint(struct fixture *f, const char *options, const char *expected)
{
	assert_int_equal(image_shell("xfs_logprint %s %s %s >%s.print 2>&1; r=$?; grep -q '%s' %s.print || r=1; "
				     "test $r = 0 || tail -40 %s.print; rm -f %s.print; exit $r", options,
				     log_argument(f), f->path, f->path, expected, f->path, f->path, f->path), 0);
}

/* Commits and forces @rounds labels, then loses what is in memory.  The last label is what the log has. */
static void write_and_crash(struct fixture *f, const struct log_options *options, unsigned rounds, const char *name)
{
	char label[13];

	fixture_mount(f, options);
	for (unsigned i = 1; i <= rounds; i++) {
		snprintf(label, sizeof(label), "%s%u", i == rounds ? name : "r", i == rounds ? 0 : i);
		if (i % 2)
			fixture_commit_all(f, label);
		fixture_commit_label(f, label);
		if (i % 3 == 0 || i == rounds)
			assert_int_equal(log_force(f->log, 0, NULL), 0);
	}
	/* Never forced: never seen again. */
	fixture_commit_label(f, "lost");
	fixture_crash(f);
}

static void check_crash(struct fixture *f, const struct log_options *options, unsigned rounds, const char *name)
{
	char label[13];

	snprintf(label, sizeof(label), "%s0", name);
	write_and_crash(f, options, rounds, name);
	assert_logprint(f, "-t", "BUF:");
	if (may_mount()) {
		kernel_mount(f, true);
		assert_label(f, label);
		assert_repair_clean(f);
	}
}

/* On one geometry: crash, clean unmount, the kernel in between, and again. */
static void check_geometry(struct fixture *f, const struct log_options *options)
{
	if (may_mount())
		check_crash(f, options, 5, "five");
	fixture_mount(f, options);
	fixture_commit_all(f, "clean");
	fixture_unmount(f);
	assert_label(f, "clean");
	assert_logprint(f, "-t", "<CLEAN>");
	assert_repair_clean(f);
	if (may_mount())
		kernel_mount(f, false);
	check_crash(f, options, 1, "last");
	fixture_remove(f);
}

static void check_internal(const char *mkfs_args)
{
	struct fixture f;

	fixture_make(&f, 300 << 20, mkfs_args);
	check_geometry(&f, NULL);
}

static void kernel_recovers_default_log(void **state)
{
	check_internal("");
}

static void kernel_recovers_volume_with_all_trees(void **state)
{
	check_internal("-m rmapbt=1,reflink=1 -d agcount=2");
}

static void kernel_recovers_log_with_stripe_unit(void **state)
{
	check_internal("-l version=2,su=64k");
}

static void kernel_recovers_log_with_largest_stripe_unit(void **state)
{
	check_internal("-l version=2,su=256k");
}

static void kernel_recovers_log_of_4k_sectors(void **state)
{
	check_internal("-s size=4096");
}

static void kernel_recovers_volume_of_1k_blocks(void **state)
{
	check_internal("-b size=1024");
}

static void kernel_recovers_external_log(void **state)
{
	struct fixture f;

	fixture_make_external(&f, 300 << 20, 64 << 20, "", "");
	check_geometry(&f, NULL);
	fixture_make_external(&f, 300 << 20, 64 << 20, "", "-s size=4096");
	check_geometry(&f, NULL);
}

static void kernel_recovers_records_of_every_size(void **state)
{
	static const uint32_t sizes[] = { 64 << 10, 256 << 10 };
	struct fixture f;

	for (unsigned i = 0; i < 2; i++) {
		struct log_options options = { .record_bytes = sizes[i] };

		fixture_make(&f, 300 << 20, "");
		check_geometry(&f, &options);
	}
}

/* A checkpoint of many records, written in several goes, and one that ends exactly with a record. */
static void checkpoint_may_be_large(void **state)
{
	struct fixture f;
	struct tx *tx;

	fixture_make(&f, 1 << 30, "-d agcount=8");
	fixture_mount(&f, NULL);
	for (unsigned n = 0; n < 16; n++) {
		tx = fixture_begin(&f);
		for (unsigned agno = 0; agno < 4; agno++)
			fixture_log_ag(&f, tx, (n + agno) % 8);
		fixture_set_label(&f, tx, "large");
		assert_int_equal(tx_commit(tx), 0);
	}
	assert_true(f.log->current->payload_bytes > 2 * f.log->record_bytes);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	fixture_crash(&f);
	if (may_mount()) {
		kernel_mount(&f, true);
		assert_label(&f, "large");
		assert_repair_clean(&f);
	}
	fixture_remove(&f);
}

static void unmount_may_follow_nothing(void **state)
{
	struct fixture f;

	fixture_make(&f, 300 << 20, "");
	for (unsigned i = 0; i < 3; i++) {
		fixture_mount(&f, NULL);
		fixture_unmount(&f);
	}
	assert_logprint(&f, "-t", "<CLEAN>");
	assert_repair_clean(&f);
	if (may_mount())
		kernel_mount(&f, false);
	fixture_remove(&f);
}

/* As for a freeze: the log is clean in between and goes on. */
static void log_goes_on_after_an_unmount_record(void **state)
{
	struct fixture f;

	fixture_make(&f, 300 << 20, "");
	fixture_mount(&f, NULL);
	fixture_commit_label(&f, "before");
	assert_int_equal(log_quiesce(f.log), 0);
	assert_int_equal(log_write_unmount(f.log), 0);
	fixture_commit_label(&f, "after");
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	fixture_crash(&f);
	if (may_mount()) {
		kernel_mount(&f, true);
		assert_label(&f, "after");
		assert_repair_clean(&f);
	}
	fixture_remove(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_recovers_default_log),
		cmocka_unit_test(kernel_recovers_volume_with_all_trees),
		cmocka_unit_test(kernel_recovers_log_with_stripe_unit),
		cmocka_unit_test(kernel_recovers_log_with_largest_stripe_unit),
		cmocka_unit_test(kernel_recovers_log_of_4k_sectors),
		cmocka_unit_test(kernel_recovers_volume_of_1k_blocks),
		cmocka_unit_test(kernel_recovers_external_log),
		cmocka_unit_test(kernel_recovers_records_of_every_size),
		cmocka_unit_test(checkpoint_may_be_large),
		cmocka_unit_test(unmount_may_follow_nothing),
		cmocka_unit_test(log_goes_on_after_an_unmount_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
