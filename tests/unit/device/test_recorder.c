/* SPDX-License-Identifier: GPL-2.0 */
/* What the disk may hold after the power was cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <userxfs/base/bits.h>
#include <userxfs/device/recorder.h>

#define SECTOR 512u
#define SECTORS 16u
#define BYTES (SECTORS * SECTOR)

struct disk {
	struct recorder *rec;
	struct device *dev;
};

static struct disk disk;

static int set_up(void **state)
{
	char bytes[BYTES];

	memset(bytes, '.', sizeof(bytes));
	assert_int_equal(recorder_create(bytes, BYTES, &disk.rec), 0);
	assert_int_equal(recorder_device(disk.rec, &disk.dev), 0);
	return 0;
}

static int tear_down(void **state)
{
	device_close(disk.dev);
	recorder_destroy(disk.rec);
	return 0;
}

static void write_sectors(unsigned first, unsigned count, char letter, uint32_t flags)
{
	char bytes[BYTES];

	memset(bytes, letter, sizeof(bytes));
	assert_int_equal(device_write(disk.dev, first * SECTOR, bytes, count * SECTOR, flags), 0);
}

/* One letter for each sector; '?' when it is mixed. */
static void expect(const char *image, const char *letters)
{
	char seen[SECTORS + 1] = { 0 };

	for (unsigned i = 0; i < SECTORS; i++) {
		seen[i] = image[i * SECTOR];
		if (memcmp(image + i * SECTOR, image + i * SECTOR + 1, SECTOR - 1) != 0)
			seen[i] = '?';
	}
	assert_string_equal(seen, letters);
}

static void expect_cut(const char *name, const char *letters)
{
	char image[BYTES], again[64];
	struct cut cut;

	assert_true(cut_parse(name, &cut));
	cut_format(&cut, again, sizeof(again));
	assert_string_equal(again, name);
	recorder_cut(disk.rec, &cut, image);
	expect(image, letters);
}

static void the_device_reads_what_was_written(void **state)
{
	char image[BYTES];

	write_sectors(1, 2, 'a', 0);
	write_sectors(2, 1, 'b', 0);
	assert_int_equal(device_read(disk.dev, 0, image, BYTES), 0);
	expect(image, ".ab.............");
	memset(image, 0, sizeof(image));
	recorder_read_all(disk.rec, image);
	expect(image, ".ab.............");
}

static void what_was_flushed_is_there_and_the_rest_may_be(void **state)
{
	write_sectors(0, 2, 'a', 0);		/* 0 */
	assert_int_equal(device_flush(disk.dev), 0);	/* 1 */
	write_sectors(1, 2, 'b', 0);		/* 2 */
	write_sectors(4, 4, 'c', 0);		/* 3 */
	write_sectors(9, 1, 'd', 0);		/* 4 */
	assert_int_equal(recorder_position(disk.rec), 5);

	/* Event 0 is under way, then done and loose, then flushed. */
	expect_cut("0:none", "................");
	expect_cut("0:all", "aa..............");
	expect_cut("1:none", "................");
	expect_cut("2:none", "aa..............");
	expect_cut("2:all", "abb.............");
	assert_int_equal(recorder_loose_count(disk.rec, 2), 1);
	assert_int_equal(recorder_loose_count(disk.rec, 5), 3);
	expect_cut("5:none", "aa..............");
	expect_cut("5:all", "abb.cccc.d......");
	expect_cut("5:all-but:0", "aa..cccc.d......");
	expect_cut("5:all-but:1", "abb......d......");
	expect_cut("5:only:2", "aa.......d......");
	expect_cut("5:torn:1", "abb.cc..........");
	/* Backwards again. */
	expect_cut("1:none", "................");
}

/* FUA: durable when it is done, whatever else is; preflush: everything before it is. */
static void flags_of_writes_are_kept(void **state)
{
	write_sectors(0, 1, 'a', 0);		/* 0 */
	write_sectors(1, 1, 'b', DEVICE_FUA);	/* 1 */
	write_sectors(2, 1, 'c', 0);		/* 2 */
	expect_cut("1:only:1", ".b..............");
	expect_cut("2:none", ".b..............");
	assert_int_equal(recorder_loose_count(disk.rec, 3), 2);
	expect_cut("3:none", ".b..............");
	expect_cut("3:all-but:1", "ab..............");
	write_sectors(1, 1, 'd', DEVICE_PREFLUSH | DEVICE_FUA);	/* 3 and 4 */
	assert_int_equal(recorder_position(disk.rec), 5);
	expect_cut("4:none", "abc.............");
	expect_cut("4:all", "adc.............");
	expect_cut("5:none", "adc.............");
}

/* A durable write over an older loose one: the older never comes back over it. */
static void order_is_kept_where_writes_overlap(void **state)
{
	write_sectors(0, 2, 'a', 0);
	write_sectors(0, 1, 'b', DEVICE_FUA);
	expect_cut("2:all", "ba..............");
	expect_cut("2:none", "b...............");
}

/* Seeds give different images, the same seed the same one, and some are torn inside a write. */
static void random_cuts_are_many_and_repeatable(void **state)
{
	static char images[200][BYTES];
	unsigned kinds = 0, torn = 0;

	for (unsigned i = 0; i < 6; i++)
		write_sectors(2 * i, 2, (char)('a' + i), 0);
	for (unsigned seed = 0; seed < ARRAY_COUNT(images); seed++) {
		struct cut cut = { .position = 6, .kind = CUT_RANDOM, .which = seed };
		char again[BYTES];
		bool is_new = true, is_torn = false;

		recorder_cut(disk.rec, &cut, images[seed]);
		recorder_cut(disk.rec, &cut, again);
		assert_memory_equal(images[seed], again, BYTES);
		for (unsigned old = 0; old < seed; old++)
			is_new &= memcmp(images[old], images[seed], BYTES) != 0;
		for (unsigned i = 0; i < 6; i++)
			is_torn |= images[seed][2 * i * SECTOR] != images[seed][(2 * i + 1) * SECTOR];
		kinds += is_new;
		torn += is_torn;
	}
	assert_true(kinds > 40);
	assert_true(torn > 10 && torn < 150);
}

static void names_that_mean_nothing_are_refused(void **state)
{
	static const char *const bad[] = { "",	       "5",	 "5:",	  "5:some",    "5:none:1",
					   "5:torn",   "x:all",	 ":all",  "5:all-but" };
	struct cut cut;

	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
		assert_false(cut_parse(bad[i], &cut));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_device_reads_what_was_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_flushed_is_there_and_the_rest_may_be, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flags_of_writes_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(order_is_kept_where_writes_overlap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(random_cuts_are_many_and_repeatable, set_up, tear_down),
		cmocka_unit_test(names_that_mean_nothing_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
