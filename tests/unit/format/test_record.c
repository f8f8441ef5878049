// SPDX-License-Identifier: GPL-2.0
/* Extent records and timestamps. */
#include "format_test.h"

static struct extent extent(fileblk_t off, uint64_t count, uint64_t start, enum extent_state state)
{
	return (struct extent){ off, count, { start }, state };
}

static void assert_round_trip(struct extent ext)
{
	struct xfs_bmbt_rec rec;
	struct extent back;

	extent_encode(&ext, &rec);
	back = extent_decode(&rec);
	assert_int_equal(back.off, ext.off);
	assert_int_equal(back.count, ext.count);
	assert_int_equal(back.start.v, ext.start.v);
	assert_int_equal(back.state, ext.state);
}

/* Every field at its smallest, at its largest, and each single bit of it. */
static void extents_survive_a_round_trip(void **state)
{
	assert_round_trip(extent(0, 1, 0, EXTENT_WRITTEN));
	assert_round_trip(extent((1ull << 54) - 1, EXTENT_MAX_BLOCKS, (1ull << 52) - 1, EXTENT_UNWRITTEN));
	for (unsigned bit = 0; bit < 54; bit++)
		assert_round_trip(extent(1ull << bit, 1, 0, EXTENT_WRITTEN));
	for (unsigned bit = 0; bit < 52; bit++)
		assert_round_trip(extent(0, 1, 1ull << bit, EXTENT_UNWRITTEN));
	for (unsigned bit = 0; bit < 21; bit++)
		assert_round_trip(extent(0, 1u << bit, 0, EXTENT_WRITTEN));
}

/* The layout itself, by hand: flag 1, off 54, start 52, count 21. */
static void extent_layout_is_the_documented_one(void **state)
{
	struct extent ext = extent(2, 5, 1ull << 43 | 3, EXTENT_UNWRITTEN);
	struct xfs_bmbt_rec rec;

	extent_encode(&ext, &rec);
	assert_int_equal(be64_to_cpu(rec.l0), 1ull << 63 | 2ull << 9 | 1);
	assert_int_equal(be64_to_cpu(rec.l1), 3ull << 21 | 5);
}

static void extents_outside_the_volume_are_refused(void **state)
{
	struct mapped_image image;
	struct extent ext;

	mapped_image_create(&image, 300ull << 20, "-b size=4096 -d agcount=4");
	ext = extent(0, 1, 100, EXTENT_WRITTEN);
	assert_null(extent_verify(&image.geo, &ext));
	ext.count = 0;
	assert_non_null(extent_verify(&image.geo, &ext));
	ext = extent(0, 1, 0, EXTENT_WRITTEN);		/* AG headers */
	assert_non_null(extent_verify(&image.geo, &ext));
	ext = extent(0, image.geo.ag_blocks - 99, 100, EXTENT_WRITTEN);	/* into the next AG */
	assert_non_null(extent_verify(&image.geo, &ext));
	ext = extent(0, 1, fsblk_make(&image.geo, 4, 100).v, EXTENT_WRITTEN);	/* no such AG */
	assert_non_null(extent_verify(&image.geo, &ext));
	mapped_image_remove(&image);
}

static void assert_time(int64_t sec, long nsec, bool is_bigtime, uint64_t want)
{
	uint64_t ondisk = timestamp_encode((struct timespec){ sec, nsec }, is_bigtime);
	struct timespec back = timestamp_decode(ondisk, is_bigtime);

	assert_int_equal(be64_to_cpu(ondisk), want);
	assert_int_equal(back.tv_sec, sec);
	assert_int_equal(back.tv_nsec, nsec);
}

static void timestamps_survive_a_round_trip(void **state)
{
	assert_time(0, 0, false, 0);
	assert_time(1, 999999999, false, 1ull << 32 | 999999999);
	assert_time(-1, 5, false, 0xffffffff00000005);
	assert_time(INT32_MIN, 0, false, 0x8000000000000000);
	assert_time(INT32_MAX, 0, false, 0x7fffffff00000000);

	assert_time(INT32_MIN, 0, true, 0);
	assert_time(0, 0, true, 2147483648ull * 1000000000);
	assert_time(16299260424, 999999999, true, 18446744072999999999ull);
}

/* A hostile image's nanoseconds stay below one second. */
static void nanoseconds_are_bounded(void **state)
{
	assert_int_equal(timestamp_decode(UINT64_MAX, false).tv_nsec, 999999999);
	assert_in_range(timestamp_decode(UINT64_MAX, true).tv_nsec, 0, 999999999);
}

/* The last second of bigtime is 2 July 2486, 20:20:24 UTC; of the old form, 19 January 2038. */
static void times_are_clamped_to_the_volume(void **state)
{
	struct geometry geo = { .time_min_sec = INT32_MIN, .time_max_sec = 16299260424 };
	struct timespec t = timestamp_clamp(&geo, (struct timespec){ INT64_MAX, 7 });

	assert_int_equal(t.tv_sec, 16299260424);
	assert_int_equal(t.tv_nsec, 0);
	t = timestamp_clamp(&geo, (struct timespec){ INT64_MIN, 7 });
	assert_int_equal(t.tv_sec, INT32_MIN);
	assert_int_equal(t.tv_nsec, 0);
	t = timestamp_clamp(&geo, (struct timespec){ 12, 7 });
	assert_int_equal(t.tv_sec, 12);
	assert_int_equal(t.tv_nsec, 7);
	assert_int_equal(be64_to_cpu(timestamp_encode((struct timespec){ INT64_MAX, 0 }, false)) >> 32, INT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extents_survive_a_round_trip),
		cmocka_unit_test(extent_layout_is_the_documented_one),
		cmocka_unit_test(extents_outside_the_volume_are_refused),
		cmocka_unit_test(timestamps_survive_a_round_trip),
		cmocka_unit_test(nanoseconds_are_bounded),
		cmocka_unit_test(times_are_clamped_to_the_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
