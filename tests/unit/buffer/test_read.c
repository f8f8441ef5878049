/* SPDX-License-Identifier: GPL-2.0 */
/* Reading, verifying, reading ahead. */
#include "fixture.h"

static uint32_t value_of(struct buffer *buf)
{
	return ((struct test_block *)buf->data)->value;
}

static void read_block_is_verified_and_valid(void **state)
{
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	fixture_make_block(&f, 16, 4096, 7);
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), 0);
	assert_true(has_flag(buf, BUFFER_VALID));
	assert_ptr_equal(buf->type, &test_type);
	assert_int_equal(value_of(buf), 7);
	buffer_release(buf);
	fixture_deinit(&f);
}

static void bad_block_is_refused_and_not_cached(void **state)
{
	struct fixture f;
	struct buffer *buf = NULL;
	char *disk;

	fixture_init(&f, 1 << 20);
	fixture_make_block(&f, 16, 4096, 7);
	disk = (char *)device_memory(f.dev) + 16 * 512;
	disk[4000]++;
	quiet();
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), -EFSBADCRC);
	fixture_make_block(&f, 24, 4096, 7);
	memcpy(disk, disk + 4096, 4096);
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), -EFSCORRUPTED);
	loud();
	assert_null(buf);
	fixture_make_block(&f, 16, 4096, 9);
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), 0);
	assert_int_equal(value_of(buf), 9);
	buffer_release(buf);
	fixture_deinit(&f);
}

static void failed_read_is_tried_again_by_the_next(void **state)
{
	struct fixture f;
	struct buffer *buf = NULL;

	fixture_init(&f, 1 << 20);
	fixture_make_block(&f, 16, 4096, 7);
	quiet();
	assert_int_equal(fault_arm("device_read:nth=1"), 0);
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), -EIO);
	fault_disarm_all();
	loud();
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), 0);
	buffer_release(buf);
	fixture_deinit(&f);
}

static void cached_block_is_not_read_again(void **state)
{
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	fixture_make_block(&f, 16, 4096, 7);
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), 0);
	buffer_release(buf);
	fixture_make_block(&f, 16, 4096, 8);
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), 0);
	assert_int_equal(value_of(buf), 7);
	buffer_release(buf);
	fixture_deinit(&f);
}

/* Somebody else's pointer leads to it: its contents decide, its old checksum in memory does not. */
static void cached_block_read_as_another_type_is_verified_again(void **state)
{
	struct fixture f;
	struct buffer *buf = NULL;

	fixture_init(&f, 1 << 20);
	fixture_make_block(&f, 16, 4096, 7);
	assert_int_equal(buffer_read(f.cache, 16, 8, &any_type, &buf), 0);
	((struct test_block *)buf->data)->value = 99;
	buffer_release(buf);
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), 0);
	assert_ptr_equal(buf->type, &test_type);
	((struct test_block *)buf->data)->magic = 0;
	buf->type = &any_type;
	buffer_release(buf);
	quiet();
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), -EFSCORRUPTED);
	loud();
	fixture_deinit(&f);
}

static void pieces_are_read_in_their_order(void **state)
{
	struct buffer_map maps[] = { { 80, 4 }, { 16, 8 }, { 48, 4 } };
	struct fixture f;
	struct buffer *buf;
	char *disk, *data;

	fixture_init(&f, 1 << 20);
	disk = device_memory(f.dev);
	memset(disk + 80 * 512, 'a', 2048);
	memset(disk + 16 * 512, 'b', 4096);
	memset(disk + 48 * 512, 'c', 2048);
	assert_int_equal(buffer_read_maps(f.cache, maps, 3, &any_type, &buf), 0);
	data = buf->data;
	assert_int_equal(data[0], 'a');
	assert_int_equal(data[2047], 'a');
	assert_int_equal(data[2048], 'b');
	assert_int_equal(data[6143], 'b');
	assert_int_equal(data[6144], 'c');
	assert_int_equal(data[8191], 'c');
	buffer_release(buf);
	fixture_deinit(&f);
}

static void read_past_the_end_is_an_error(void **state)
{
	struct fixture f;
	struct buffer *buf = NULL;

	fixture_init(&f, 1 << 20);
	quiet();
	assert_int_equal(buffer_read(f.cache, DISK_BYTES / 512 - 4, 8, &any_type, &buf), -EIO);
	assert_int_equal(buffer_read(f.cache, UINT64_MAX / 512, 8, &any_type, &buf), -EIO);
	loud();
	fixture_deinit(&f);
}

static void read_ahead_spares_the_read(void **state)
{
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	fixture_make_block(&f, 16, 4096, 7);
	buffer_readahead(f.cache, 16, 8, &test_type);
	/* The read is on its way: another one would fail. */
	assert_int_equal(fault_arm("device_read:every=1"), 0);
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), 0);
	fault_disarm_all();
	assert_int_equal(value_of(buf), 7);
	buffer_release(buf);
	fixture_deinit(&f);
}

static void failed_read_ahead_is_forgotten(void **state)
{
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	fixture_make_block(&f, 16, 4096, 7);
	quiet();
	assert_int_equal(fault_arm("device_read:nth=1"), 0);
	buffer_readahead(f.cache, 16, 8, &test_type);
	fault_disarm_all();
	assert_int_equal(buffer_read(f.cache, 16, 8, &test_type, &buf), 0);
	loud();
	buffer_release(buf);
	fixture_deinit(&f);
}

static void read_aheads_that_nobody_wants_come_to_an_end(void **state)
{
	struct fixture f;

	fixture_init(&f, 8 << 20);
	for (unsigned i = 0; i < 500; i++) {
		fixture_make_block(&f, i * 8, 4096, i);
		buffer_readahead(f.cache, i * 8, 8, &test_type);
	}
	for (unsigned i = 0; i < 500; i++) {
		struct buffer *buf;

		assert_int_equal(buffer_read(f.cache, i * 8, 8, &test_type, &buf), 0);
		assert_int_equal(value_of(buf), i);
		buffer_release(buf);
	}
	for (unsigned i = 500; i < 600; i++)
		buffer_readahead(f.cache, i * 8, 8, &any_type);
	fixture_deinit(&f);
}

static void try_read_does_not_wait_for_the_lock(void **state)
{
	struct fixture f;
	struct buffer *a, *b = (void *)1;

	fixture_init(&f, 1 << 20);
	fixture_make_block(&f, 16, 4096, 7);
	assert_int_equal(buffer_try_read(f.cache, 16, 8, &test_type, &a), 0);
	assert_int_equal(value_of(a), 7);
	assert_int_equal(buffer_try_read(f.cache, 16, 8, &test_type, &b), 0);
	assert_null(b);
	buffer_release(a);
	fixture_deinit(&f);
}

/* A read-ahead that nobody waits for would otherwise keep the tail pusher from the block for ever. */
static void try_read_ends_a_read_ahead(void **state)
{
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	fixture_make_block(&f, 16, 4096, 7);
	buffer_readahead(f.cache, 16, 8, &test_type);
	assert_int_equal(buffer_try_read(f.cache, 16, 8, &test_type, &buf), 0);
	assert_non_null(buf);
	assert_int_equal(value_of(buf), 7);
	buffer_release(buf);
	fixture_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_block_is_verified_and_valid),
		cmocka_unit_test(bad_block_is_refused_and_not_cached),
		cmocka_unit_test(failed_read_is_tried_again_by_the_next),
		cmocka_unit_test(cached_block_is_not_read_again),
		cmocka_unit_test(cached_block_read_as_another_type_is_verified_again),
		cmocka_unit_test(pieces_are_read_in_their_order),
		cmocka_unit_test(read_past_the_end_is_an_error),
		cmocka_unit_test(read_ahead_spares_the_read),
		cmocka_unit_test(failed_read_ahead_is_forgotten),
		cmocka_unit_test(read_aheads_that_nobody_wants_come_to_an_end),
		cmocka_unit_test(try_read_does_not_wait_for_the_lock),
		cmocka_unit_test(try_read_ends_a_read_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
