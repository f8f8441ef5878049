/* SPDX-License-Identifier: GPL-2.0 */
/* Many threads at one cache: nobody sees a block half changed, and nothing is lost. */
#include "fixture.h"

#include <userxfs/base/thread.h>

enum {
	THREADS = 4,
	BLOCKS = 96,
	ROUNDS = 3000,
};

static struct fixture fixture;
static _Atomic uint32_t added[BLOCKS];

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*seed >> 33);
}

/* Increments both ends of a random block, and sees to it that it is written. */
static void *change_blocks(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	struct list writes = LIST_INIT(writes);

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t n = next_random(&seed) % BLOCKS;
		struct test_block *b;
		struct buffer *buf;

		if (i % 7 == 0)
			buffer_readahead(fixture.cache, next_random(&seed) % BLOCKS * 8, 8, &test_type);
		assert_int_equal(buffer_read(fixture.cache, n * 8, 8, &test_type, &buf), 0);
		b = buf->data;
		assert_int_equal(b->value, b->pad);
		b->value++;
		b->pad++;
		atomic_fetch_add(&added[n], 1);
		/* Not written before it is let go of, or it would be lost when the cache shrinks. */
		if (i % 2)
			assert_int_equal(buffer_write(buf), 0);
		else if (!buffer_queue_write(buf, &writes))
			assert_int_equal(buffer_write(buf), 0);
		buffer_release(buf);
		if (i % 16 == 0)
			assert_int_equal(buffer_submit_list(fixture.cache, &writes, i % 32, true), 0);
		if (i % 64 == 0)
			buffer_cache_shrink(fixture.cache);
	}
	assert_int_equal(buffer_submit_list(fixture.cache, &writes, false, true), 0);
	return NULL;
}

static void concurrent_changes_are_all_written(void **state)
{
	struct thread threads[THREADS];

	/* Room for a third of the blocks: they come and go. */
	fixture_init(&fixture, BLOCKS / 3 * 4096);
	for (unsigned i = 0; i < BLOCKS; i++)
		fixture_make_block(&fixture, i * 8, 4096, 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(thread_create(&threads[i], "test", change_blocks, (void *)(uintptr_t)(i + 1)), 0);
	for (unsigned i = 0; i < THREADS; i++)
		thread_join(&threads[i]);
	buffer_cache_drop(fixture.cache);
	assert_int_equal(buffer_cache_bytes(fixture.cache), 0);
	for (unsigned i = 0; i < BLOCKS; i++)
		assert_int_equal(fixture_disk_block(&fixture, i * 8)->value, atomic_load(&added[i]));
	fixture_deinit(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(concurrent_changes_are_all_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
