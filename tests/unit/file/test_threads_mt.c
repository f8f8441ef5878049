// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults against failing writes, writeback and readers of one file, in threads: what a fault has stored is never
 * lost, and no byte shows up that nobody has written (fstests: holetest, generic/346).
 */
#include "file_test.h"

#include <userxfs/base/thread.h>

#define PAGES 512u
#define ROUNDS 60u
#define FAULT_PAGES 4u /* every fourth page belongs to the faults */

struct run {
	struct inode *inode;
	_Atomic bool stop;
};

static void *fault_main(void *arg)
{
	struct run *run = arg;

	for (unsigned round = 1; round <= ROUNDS; round++) {
		for (uint64_t page = 0; page < PAGES; page += FAULT_PAGES)
			store_byte(run->inode, page * PAGE_BYTES + round, (uint8_t)round);
	}
	atomic_store(&run->stop, true);
	return NULL;
}

/* Asks for 16 pages and fills the first only: the rest is given back around what the faults have dirtied. */
static void *writer_main(void *arg)
{
	struct run *run = arg;
	uint64_t page = 1, done;

	while (!atomic_load(&run->stop)) {
		assert_int_equal(put_some(run->inode, page * PAGE_BYTES, 16 * PAGE_BYTES, PAGE_BYTES, 0xee, &done),
				 0);
		assert_int_equal(done, PAGE_BYTES);
		page = (page + 5 * FAULT_PAGES) % (PAGES - 16) / FAULT_PAGES * FAULT_PAGES + 1;
	}
	return NULL;
}

static void *flusher_main(void *arg)
{
	struct run *run = arg;

	while (!atomic_load(&run->stop)) {
		assert_int_equal(file_flush(run->inode, 0, 256 * KIB), 0);
		assert_int_equal(file_fsync(run->inode, true, NULL), 0);
	}
	return NULL;
}

static void *reader_main(void *arg)
{
	struct run *run = arg;
	uint64_t page = 0;

	while (!atomic_load(&run->stop)) {
		uint8_t byte = byte_at(run->inode, page * PAGE_BYTES);

		assert_true(byte == 0 || (byte == 0xee && page % FAULT_PAGES == 1));
		page = (page + 7) % PAGES;
	}
	return NULL;
}

static void stores_survive_failing_writes(void **state)
{
	static void *(*const mains[])(void *) = { fault_main, writer_main, flusher_main, reader_main };
	struct file_test *t = *state;
	struct thread threads[ARRAY_COUNT(mains)];
	struct run run = { .inode = t->inode };

	assert_int_equal(file_truncate(t->inode, PAGES * PAGE_BYTES, true), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(mains); i++)
		assert_int_equal(thread_create(&threads[i], "racer", mains[i], &run), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(mains); i++)
		thread_join(&threads[i]);
	assert_int_equal(file_fsync(t->inode, false, NULL), 0);
	forget_pages(t->inode);
	for (uint64_t page = 0; page < PAGES; page += FAULT_PAGES) {
		for (unsigned round = 1; round <= ROUNDS; round++)
			assert_int_equal(byte_at(t->inode, page * PAGE_BYTES + round), round);
	}
	assert_int_equal(atomic_load(&t->inode->map.delayed_blocks), 0);
	assert_null(map_verify(&t->inode->map));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stores_survive_failing_writes, file_test_setup, file_test_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
