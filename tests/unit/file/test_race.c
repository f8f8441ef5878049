// SPDX-License-Identifier: GPL-2.0
/*
 * A failing write() and page faults inside the blocks it has just reserved (Linux commit 118e021b), without threads:
 * what happens meanwhile runs in the writer's wait after its mapping was made. The outcomes were measured on Linux
 * 6.18.
 */
#include "file_test.h"

#include <stdio.h>
#include <time.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/fault.h>

#define FILE_BYTES MIB

static struct file_test *current;
static void (*meanwhile)(struct inode *inode);

static uint64_t real_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static struct timespec real_wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts;
}

static void sleep_hook(uint64_t duration_ns)
{
	if (meanwhile)
		meanwhile(current->inode);
}

static const struct clock_ops hooked_clock = { .now_ns = real_now, .wall = real_wall, .sleep_ns = sleep_hook };

static int setup(void **state)
{
	file_test_setup(state);
	current = *state;
	assert_int_equal(file_truncate(current->inode, FILE_BYTES, true), 0);
	clock_set_ops(&hooked_clock);
	return 0;
}

static int teardown(void **state)
{
	clock_set_ops(NULL);
	fault_disarm_all();
	meanwhile = NULL;
	return file_test_teardown(state);
}

static bool describe(void *context, const struct extent *ext)
{
	char *text = context;
	size_t length = strlen(text);

	snprintf(text + length, 256 - length, "%s%llu+%llu%c", length ? " " : "", (unsigned long long)ext->off,
		 (unsigned long long)ext->count,
		 ext->state == EXTENT_DELAYED     ? 'D'
		 : ext->state == EXTENT_UNWRITTEN ? 'U'
						  : 'W');
	return true;
}

static void expect_extents(const char *expected, uint64_t expected_used)
{
	char text[256] = "";

	assert_int_equal(file_report(current->inode, 0, UINT64_MAX, describe, text), 0);
	assert_string_equal(text, expected);
	assert_int_equal(used(current), expected_used);
}

/* A write of everything of which the source has @good bytes, with @other in between. */
static int write_with(void (*other)(struct inode *inode), uint64_t good, uint64_t *done)
{
	meanwhile = other;
	assert_int_equal(fault_arm("write_delay_ms:nth=1:value=1"), 0);
	return put_some(current->inode, 0, FILE_BYTES, good, 0xcd, done);
}

static void flush_and_forget(void)
{
	assert_int_equal(file_fsync(current->inode, false, NULL), 0);
	forget_pages(current->inode);
}

static void store_136(struct inode *inode)
{
	store_byte(inode, 136 * PAGE_BYTES + 5, 0x5a);
}

static void store_three(struct inode *inode)
{
	store_byte(inode, 76 * PAGE_BYTES, 1);
	store_byte(inode, 136 * PAGE_BYTES, 2);
	store_byte(inode, 196 * PAGE_BYTES, 3);
}

static void load_136(struct inode *inode)
{
	struct folio *folio;

	assert_int_equal(file_read_fault(inode, 136 * PAGE_BYTES, &folio), 0);
	folio_release(folio);
}

static void store_and_sync(struct inode *inode)
{
	store_136(inode);
	assert_int_equal(file_fsync(inode, false, NULL), 0);
}

static void a_short_write_gives_back_what_it_did_not_fill(void **state)
{
	uint64_t done = 0;

	assert_int_equal(write_with(NULL, 64 * KIB, &done), 0);
	assert_int_equal(done, 64 * KIB);
	expect_extents("0+16D", 21);
}

static void a_block_that_a_fault_dirtied_stays(void **state)
{
	uint64_t done = 0;

	assert_int_equal(write_with(store_136, 64 * KIB, &done), 0);
	assert_int_equal(done, 64 * KIB);
	expect_extents("0+16D 136+1D", 27);
	flush_and_forget();
	assert_int_equal(byte_at(current->inode, 136 * PAGE_BYTES + 5), 0x5a);
	assert_int_equal(byte_at(current->inode, 136 * PAGE_BYTES + 6), 0);
	assert_int_equal(byte_at(current->inode, 100), 0xcd);
}

static void three_dirtied_blocks_stay_and_are_paid_for(void **state)
{
	uint64_t done = 0;

	assert_int_equal(write_with(store_three, 64 * KIB, &done), 0);
	expect_extents("0+16D 76+1D 136+1D 196+1D", 39);
	flush_and_forget();
	assert_int_equal(byte_at(current->inode, 76 * PAGE_BYTES), 1);
	assert_int_equal(byte_at(current->inode, 136 * PAGE_BYTES), 2);
	assert_int_equal(byte_at(current->inode, 196 * PAGE_BYTES), 3);
}

static void a_write_that_fails_whole_leaves_the_fault_alone(void **state)
{
	uint64_t done = 0;

	assert_int_equal(write_with(store_136, 0, &done), -EFAULT);
	expect_extents("136+1D", 6);
	flush_and_forget();
	assert_int_equal(byte_at(current->inode, 136 * PAGE_BYTES + 5), 0x5a);
}

static void a_page_that_was_only_read_protects_nothing(void **state)
{
	uint64_t done = 0;

	assert_int_equal(write_with(load_136, 64 * KIB, &done), 0);
	expect_extents("0+16D", 21);
}

/* The fault's writeback made the whole reservation real: there is nothing left to take back. */
static void writeback_in_between_leaves_nothing_to_punch(void **state)
{
	uint64_t done = 0;

	assert_int_equal(write_with(store_and_sync, 64 * KIB, &done), 0);
	expect_extents("0+136U 136+1W 137+119U", 256);
	flush_and_forget();
	assert_int_equal(byte_at(current->inode, 136 * PAGE_BYTES + 5), 0x5a);
	assert_int_equal(byte_at(current->inode, 100), 0xcd);
	assert_int_equal(byte_at(current->inode, 20 * PAGE_BYTES), 0);
}

static void a_write_that_succeeds_wins_everywhere(void **state)
{
	uint64_t done = 0;

	assert_int_equal(write_with(store_136, FILE_BYTES, &done), 0);
	assert_int_equal(done, FILE_BYTES);
	expect_extents("0+256D", 262);
	flush_and_forget();
	assert_int_equal(byte_at(current->inode, 136 * PAGE_BYTES + 5), 0xcd);
}

#define RACE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RACE(a_short_write_gives_back_what_it_did_not_fill),
		RACE(a_block_that_a_fault_dirtied_stays),
		RACE(three_dirtied_blocks_stay_and_are_paid_for),
		RACE(a_write_that_fails_whole_leaves_the_fault_alone),
		RACE(a_page_that_was_only_read_protects_nothing),
		RACE(writeback_in_between_leaves_nothing_to_punch),
		RACE(a_write_that_succeeds_wins_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
