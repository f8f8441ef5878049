/* SPDX-License-Identifier: GPL-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/fault.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

static char last_line[1024];

static void keep_line(void *context, enum message_level level, const char *line)
{
	strncpy(last_line, line, sizeof(last_line) - 1);
}

static int set_up(void **state)
{
	last_line[0] = '\0';
	message_set_sink(keep_line, NULL);
	return 0;
}

static int tear_down(void **state)
{
	message_set_sink(NULL, NULL);
	fault_disarm_all();
	return 0;
}

/* A bit for each of 32 hits: did it fire? */
static uint32_t firings(enum fault_point point)
{
	uint32_t bits = 0;
	int64_t value;
	int err;

	for (unsigned i = 0; i < 32; i++)
		bits |= (uint32_t)fault_hit(point, NULL, &value, &err) << i;
	return bits;
}

static void a_disarmed_point_never_fires(void **state)
{
	assert_int_equal(firings(FAULT_device_read), 0);
	assert_int_equal(fault_arm("device_write"), 0);
	assert_int_equal(firings(FAULT_device_read), 0);
	fault_disarm(FAULT_device_write);
	assert_int_equal(firings(FAULT_device_write), 0);
	assert_int_equal(fault_armed_count, 0);
}

static void nth_every_and_times_choose_the_hits(void **state)
{
	assert_int_equal(fault_arm("device_read"), 0);
	assert_int_equal(firings(FAULT_device_read), 0xffffffff);
	assert_int_equal(fault_arm("device_read:nth=3"), 0);
	assert_int_equal(firings(FAULT_device_read), 1 << 2);
	assert_int_equal(fault_count(FAULT_device_read, false), 32);
	assert_int_equal(fault_count(FAULT_device_read, true), 1);
	assert_int_equal(fault_arm("device_read:every=8"), 0);
	assert_int_equal(firings(FAULT_device_read), 0x80808080);
	assert_int_equal(fault_arm("device_read:every=8:times=2"), 0);
	assert_int_equal(firings(FAULT_device_read), 0x00008080);
	assert_int_equal(fault_armed_count, 0);
	assert_int_equal(fault_count(FAULT_device_read, true), 2);
}

static void probability_follows_the_seed(void **state)
{
	uint32_t first;

	assert_int_equal(fault_arm("device_read:p=0.5:seed=7"), 0);
	first = firings(FAULT_device_read);
	assert_in_range(__builtin_popcount(first), 4, 28);
	assert_int_equal(fault_arm("device_read:p=0.5:seed=7"), 0);
	assert_int_equal(firings(FAULT_device_read), first);
	assert_int_equal(fault_arm("device_read:p=0.5:seed=8"), 0);
	assert_int_not_equal(firings(FAULT_device_read), first);
	assert_int_equal(fault_arm("device_read:p=1"), 0);
	assert_int_equal(firings(FAULT_device_read), 0xffffffff);
}

static bool fires_at(uint64_t ino, uint64_t off, uint64_t count)
{
	struct fault_site site = { ino, off, count };
	int64_t value;
	int err;

	return fault_hit(FAULT_device_write, &site, &value, &err);
}

static void inode_and_range_filter_the_hits(void **state)
{
	assert_int_equal(fault_arm("device_write:ino=131:off=4096-8192"), 0);
	assert_true(fires_at(131, 4096, 1));
	assert_true(fires_at(131, 0, 4097));
	assert_true(fires_at(131, 8191, 100));
	assert_true(fires_at(131, 5000, 0));
	assert_false(fires_at(131, 0, 4096));
	assert_false(fires_at(131, 8192, 100));
	assert_false(fires_at(130, 4096, 1));
	assert_int_equal(firings(FAULT_device_write), 0);
	assert_int_equal(fault_count(FAULT_device_write, false), 4);
}

static void error_and_value_are_the_caller_s(void **state)
{
	int64_t value = 0;
	int err = 0;

	assert_int_equal(fault_arm("write_copyin:errno=ENOSPC:value=0x1000"), 0);
	assert_true(fault_hit(FAULT_write_copyin, NULL, &value, &err));
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(value, 0x1000);
	assert_int_equal(fault_arm("write_copyin:errno=EFSCORRUPTED:value=-1"), 0);
	assert_true(fault_hit(FAULT_write_copyin, NULL, &value, &err));
	assert_int_equal(err, -EFSCORRUPTED);
	assert_int_equal(value, -1);
	assert_int_equal(fault_arm("write_copyin:errno=12"), 0);
	assert_true(fault_hit(FAULT_write_copyin, NULL, &value, &err));
	assert_int_equal(err, -12);
	assert_int_equal(fault_arm("write_copyin"), 0);
	assert_true(fault_hit(FAULT_write_copyin, NULL, &value, &err));
	assert_int_equal(err, -EIO);
}

static void a_bad_specification_is_refused_by_name_and_changes_nothing(void **state)
{
	static const struct {
		const char *specification, *word;
	} bad[] = {
		{ "", "" },
		{ "no_such_point:nth=1", "no_such_point" },
		{ "device_read:nth=0", "nth=0" },
		{ "device_read:nth=", "nth=" },
		{ "device_read:nth=1x", "nth=1x" },
		{ "device_read:nth=-1", "nth=-1" },
		{ "device_read:nth", "nth" },
		{ "device_read:p=0", "p=0" },
		{ "device_read:p=1.5", "p=1.5" },
		{ "device_read:off=8", "off=8" },
		{ "device_read:off=8-8", "off=8" },
		{ "device_read:errno=EWHAT", "errno=EWHAT" },
		{ "device_read:errno=0", "errno=0" },
		{ "device_read:colour=red", "colour=red" },
		{ "device_read:value=99999999999999999999", "value=99999999999999999999" },
	};

	assert_int_equal(fault_arm("device_read:nth=2"), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
		last_line[0] = '\0';
		assert_int_equal(fault_arm(bad[i].specification), -EINVAL);
		assert_non_null(strstr(last_line, bad[i].word));
		assert_true(strlen(last_line) > 10);
	}
	assert_int_equal(firings(FAULT_device_read), 2);
}

static void the_memory_point_makes_plain_allocations_fail_and_sure_ones_not(void **state)
{
	void *p = mem_alloc(10), *q;

	assert_int_equal(fault_arm("memory"), 0);
	assert_null(mem_alloc(1));
	assert_null(mem_alloc_zeroed(1));
	assert_null(mem_alloc_aligned(512, 1));
	assert_null(mem_resize(p, 100));
	q = mem_alloc_sure(1);
	assert_non_null(q);
	mem_free(q);
	q = mem_alloc_aligned_sure(4096, 1);
	assert_int_equal((uintptr_t)q % 4096, 0);
	mem_free(q);
	q = mem_alloc_zeroed_sure(8);
	assert_int_equal(*(uint64_t *)q, 0);
	mem_free(q);
	mem_free(p);
	fault_disarm_all();
	p = mem_alloc(0);
	assert_non_null(p);
	mem_free(p);
	mem_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_disarmed_point_never_fires),
		TEST(nth_every_and_times_choose_the_hits),
		TEST(probability_follows_the_seed),
		TEST(inode_and_range_filter_the_hits),
		TEST(error_and_value_are_the_caller_s),
		TEST(a_bad_specification_is_refused_by_name_and_changes_nothing),
		TEST(the_memory_point_makes_plain_allocations_fail_and_sure_ones_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
