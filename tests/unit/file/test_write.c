// SPDX-License-Identifier: GPL-2.0
/* What is written is read again, in memory and from disk. */
#include "file_test.h"

#include <linux/falloc.h>
#include <unistd.h>

#include <userxfs/base/fault.h>

#define MODEL_BYTES (1 * MIB)

static void reload(struct inode *inode)
{
	assert_int_equal(file_fsync(inode, false, NULL), 0);
	forget_pages(inode);
}

static void parts_of_blocks_keep_what_is_around_them(void **state)
{
	struct file_test *t = *state;

	put(t->inode, 0, 16 * KIB, 1);
	reload(t->inode);
	put(t->inode, 5000, 100, 2);
	assert_int_equal(byte_at(t->inode, 4999), 1);
	assert_int_equal(byte_at(t->inode, 5000), 2);
	assert_int_equal(byte_at(t->inode, 5100), 1);
	reload(t->inode);
	assert_int_equal(byte_at(t->inode, 4999), 1);
	assert_int_equal(byte_at(t->inode, 5099), 2);
	assert_int_equal(byte_at(t->inode, 5100), 1);
}

/* A copy that stops inside a block on disk: new bytes up to there, old ones behind. */
static void a_short_copy_over_old_data_is_byte_exact(void **state)
{
	struct file_test *t = *state;
	uint64_t done = 0;

	put(t->inode, 0, 64 * KIB, 1);
	reload(t->inode);
	assert_int_equal(put_some(t->inode, 0, 64 * KIB, 10000, 2, &done), 0);
	assert_int_equal(done, 10000);
	assert_int_equal(byte_at(t->inode, 9999), 2);
	assert_int_equal(byte_at(t->inode, 10000), 1);
	assert_int_equal(byte_at(t->inode, 60000), 1);
	reload(t->inode);
	assert_int_equal(byte_at(t->inode, 9999), 2);
	assert_int_equal(byte_at(t->inode, 10000), 1);
}

/* Holes are read as zeroes and take no memory. */
static void reading_a_hole_keeps_nothing_in_memory(void **state)
{
	struct file_test *t = *state;
	struct mapping *m;

	assert_int_equal(file_truncate(t->inode, 100 * MIB, true), 0);
	assert_int_equal(byte_at(t->inode, 50 * MIB), 0);
	assert_int_equal(file_mapping(t->inode, &m), 0);
	assert_int_equal(mapping_cached_bytes(m), 0);
}

/* Each descriptor hears of a write error once; the bytes stay readable. */
static void a_write_error_is_reported_once_for_each_descriptor(void **state)
{
	struct file_test *t = *state;
	uint64_t seen[2];
	struct mapping *m;

	assert_int_equal(file_mapping(t->inode, &m), 0);
	mapping_error(m, &seen[0]);
	seen[1] = seen[0];
	put(t->inode, 0, 64 * KIB, 7);
	assert_int_equal(fault_arm("device_write:nth=1"), 0);
	assert_int_equal(file_flush(t->inode, 0, UINT64_MAX), -EIO);
	fault_disarm_all();
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(file_fsync(t->inode, false, &seen[i]), -EIO);
		assert_int_equal(file_fsync(t->inode, false, &seen[i]), 0);
	}
	assert_int_equal(byte_at(t->inode, 1000), 7);
	forget_pages(t->inode);
	assert_int_equal(byte_at(t->inode, 1000), 0);
}

/* Random operations against a plain array, looked at in memory and from disk. */
static void apply(struct inode *inode, uint8_t *model, uint64_t *size, unsigned what, uint64_t off, uint64_t count,
		  uint8_t byte)
{
	uint64_t end = off + count, done = 0;

	switch (what) {
	case 0:
		put(inode, off, count, byte);
		memset(model + off, byte, count);
		*size = max_u64(*size, end);
		break;
	case 1:
		assert_int_equal(file_truncate(inode, off, true), 0);
		if (off < *size)
			memset(model + off, 0, *size - off);
		*size = off;
		break;
	case 2:
		assert_int_equal(file_fallocate(inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, count, false),
				 0);
		memset(model + off, 0, count);
		break;
	case 3:
		assert_int_equal(file_fallocate(inode, FALLOC_FL_ZERO_RANGE, off, count, false), 0);
		memset(model + off, 0, count);
		*size = max_u64(*size, end);
		break;
	case 4:
		assert_int_equal(file_fallocate(inode, 0, off, count, false), 0);
		*size = max_u64(*size, end);
		break;
	case 5:
		if (off < *size) {
			store_byte(inode, off, byte);
			model[off] = byte;
		}
		break;
	case 6:
		assert_int_equal(put_some(inode, off, count, count / 2, byte, &done), count > 1 ? 0 : -EFAULT);
		memset(model + off, byte, done);
		*size = max_u64(*size, off + done);
		break;
	default:
		assert_int_equal(file_flush(inode, off, end), 0);
		break;
	}
}

static void compare(struct inode *inode, const uint8_t *model, uint64_t size)
{
	static uint8_t got[MODEL_BYTES];
	struct iovec iov = { got, sizeof(got) };
	uint64_t done = 0;

	assert_int_equal(atomic_load(&inode->size_bytes), size);
	assert_int_equal(file_read(inode, 0, &iov, 1, &done), 0);
	assert_int_equal(done, size);
	assert_memory_equal(got, model, size);
}

static void random_operations_behave_like_an_array(void **state)
{
	static uint8_t model[MODEL_BYTES];
	struct file_test *t = *state;
	uint64_t size = 0;

	srand(7);
	for (unsigned round = 0; round < 1500; round++) {
		uint64_t off = (uint64_t)rand() % MODEL_BYTES, count = (uint64_t)rand() % (MODEL_BYTES - off) + 1;

		if (rand() % 2)
			count = min_u64(count, (uint64_t)rand() % (20 * KIB) + 1);
		apply(t->inode, model, &size, (unsigned)rand() % 8, off, count, (uint8_t)rand());
		if (round % 20 == 0)
			reload(t->inode);
		if (round % 5 == 0)
			compare(t->inode, model, size);
		assert_null(map_verify(&t->inode->map));
		assert_null(mapping_verify(t->inode->mapping));
	}
	reload(t->inode);
	compare(t->inode, model, size);
}

/* All the space there is, with the reserve pool, until somebody asks for it. */
struct hoard {
	struct space *space;
	uint64_t blocks;
};

static void hoard_everything(struct hoard *hoard, uint64_t free)
{
	for (uint64_t n = free; n;) {
		if (space_take(hoard->space, n, true))
			n /= 2;
		else
			hoard->blocks += n;
	}
}

static void give_everything_back(void *context)
{
	struct hoard *hoard = context;

	space_give(hoard->space, hoard->blocks);
	hoard->blocks = 0;
}

/* The kernel does not repeat it, so it asks once for what can be freed, as a write does. */
static void a_store_that_finds_no_room_makes_some(void **state)
{
	struct file_test *t = *state;
	struct hoard hoard = { .space = t->vol.space };
	struct file_hooks hooks = { .inactivate = give_everything_back, .context = &hoard };
	uint8_t stored[4 * KIB], got[4 * KIB];
	struct iovec iov = { got, sizeof(got) };
	uint64_t done = 0;

	memset(stored, 's', sizeof(stored));
	assert_int_equal(file_truncate(t->inode, MIB, true), 0);
	files_set_hooks(t->files, &hooks);
	hoard_everything(&hoard, free_blocks(t));
	assert_int_equal(file_fault_store(t->inode, 64 * KIB, sizeof(stored), stored, 1), 0);
	assert_int_equal(hoard.blocks, 0);
	assert_true(map_has_delayed(&t->inode->map));
	reload(t->inode);
	assert_int_equal(file_read(t->inode, 64 * KIB, &iov, 1, &done), 0);
	assert_memory_equal(got, stored, sizeof(got));
	files_set_hooks(t->files, &(struct file_hooks){ 0 });
}

#define FILE_TEST(test) cmocka_unit_test_setup_teardown(test, file_test_setup, file_test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILE_TEST(parts_of_blocks_keep_what_is_around_them),
		FILE_TEST(a_short_copy_over_old_data_is_byte_exact),
		FILE_TEST(reading_a_hole_keeps_nothing_in_memory),
		FILE_TEST(a_write_error_is_reported_once_for_each_descriptor),
		FILE_TEST(a_store_that_finds_no_room_makes_some),
		FILE_TEST(random_operations_behave_like_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
