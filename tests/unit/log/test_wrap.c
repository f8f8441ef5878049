/* SPDX-License-Identifier: GPL-2.0 */
/* Small logs that are gone round many times, recovered by the kernel. */
#include "fixture.h"

#include "log/internal.h"

/* The head goes over the physical end again and again, in the middle of records too. */
static void check_wrapping(const char *mkfs_args, const struct log_options *options)
{
	unsigned wraps = 0, start;
	struct fixture f;

	fixture_make(&f, 300 << 20, "");
	assert_int_equal(image_shell("mkfs.xfs --unsupported -q -f -K %s %s 2>/dev/null", mkfs_args, f.path), 0);
	while (wraps < 3) {
		char label[13];
		unsigned n = 0;

		fixture_mount(&f, options);
		start = lsn_cycle(f.head.head);
		do {
			snprintf(label, sizeof(label), "w%ur%u", wraps, n++);
			fixture_commit_all(&f, label);
			if (n % 5 == 0)
				assert_int_equal(log_force(f.log, 0, NULL), 0);
		} while (f.log->head / f.log->blocks == start);
		/* At various distances behind the end. */
		for (unsigned i = 0; i < wraps; i++)
			assert_int_equal(log_force(f.log, 0, NULL), 0);
		snprintf(label, sizeof(label), "wrap%u", wraps);
		fixture_commit_all(&f, label);
		assert_int_equal(log_force(f.log, 0, NULL), 0);
		wraps++;
		if (!may_mount()) {
			fixture_unmount(&f);
		} else {
			fixture_crash(&f);
			kernel_mount(&f, true);
		}
		assert_label(&f, label);
		assert_repair_clean(&f);
	}
	fixture_remove(&f);
}

static void kernel_recovers_log_that_wrapped(void **state)
{
	check_wrapping("-l size=6m", NULL);
}

static void kernel_recovers_large_records_that_wrapped(void **state)
{
	struct log_options large = { .record_bytes = 256 << 10 };

	check_wrapping("-l size=6m", &large);
}

static void kernel_recovers_log_with_stripe_unit_that_wrapped(void **state)
{
	check_wrapping("-l size=8m,version=2,su=32k", NULL);
}

static void kernel_recovers_log_of_4k_sectors_that_wrapped(void **state)
{
	check_wrapping("-l size=8m -s size=4096", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_recovers_log_that_wrapped),
		cmocka_unit_test(kernel_recovers_large_records_that_wrapped),
		cmocka_unit_test(kernel_recovers_log_with_stripe_unit_that_wrapped),
		cmocka_unit_test(kernel_recovers_log_of_4k_sectors_that_wrapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
