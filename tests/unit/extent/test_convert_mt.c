// SPDX-License-Identifier: GPL-2.0
/* One file under several threads: reserving, writeback, punching, at the same time. */
#include "scratch.h"

#include <userxfs/base/thread.h>

#define MIB (1024ull * 1024)
#define BLOCKS 3000u
#define ROUNDS 400u

static struct scratch s;
static _Atomic int failure;

static uint64_t random_below(uint64_t *seed, uint64_t n)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (*seed >> 33) % n;
}

static void *reserve_and_punch(void *arg)
{
	uint64_t seed = (uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		fileblk_t off = random_below(&seed, BLOCKS);
		struct extent out;
		unsigned n = 1;

		rwlock_write_lock(&s.lock);
		map_read(&s.map, FORK_DATA, off, 1 + random_below(&seed, 50), false, &out, &n);
		if (out.state == EXTENT_HOLE)
			delay_reserve(&s.map, FORK_DATA, out.off, out.count, 0, &out);
		else if (random_below(&seed, 4) == 0)
			delay_punch(&s.map, FORK_DATA, off, off + 10);
		rwlock_write_unlock(&s.lock);
	}
	return NULL;
}

static void *convert(void *arg)
{
	uint64_t seed = (uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct extent got;
		uint32_t sequence;
		int err = delay_convert(&s.map, FORK_DATA, random_below(&seed, BLOCKS), &got, &sequence);

		if (err && err != -EAGAIN)
			atomic_store(&failure, err);
	}
	return NULL;
}

static void *unmap(void *arg)
{
	uint64_t seed = (uintptr_t)arg, left;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct tx *tx;
		int err = tx_begin(s.log, &log_reservations(s.log)->truncate, 100, 0, &tx);

		if (err) {
			atomic_store(&failure, err);
			break;
		}
		rwlock_write_lock(&s.lock);
		tx_join(tx, &s.item);
		err = map_unmap(tx, &s.map, FORK_DATA, random_below(&seed, BLOCKS), 1 + random_below(&seed, 20), 2,
				&left);
		if (!err)
			err = tx_commit(tx);
		else
			tx_cancel(tx);
		rwlock_write_unlock(&s.lock);
		if (err)
			atomic_store(&failure, err);
	}
	return NULL;
}

/* Readers with the lock shared see extents in order, whatever writers do in between. */
static void *read_all(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		fileblk_t pos = 0, before = 0;
		struct extent ext;

		rwlock_read_lock(&s.lock);
		while (map_next(&s.map, FORK_DATA, &pos, &ext)) {
			if (ext.off < before)
				atomic_store(&failure, -EFSCORRUPTED);
			before = pos;
		}
		rwlock_read_unlock(&s.lock);
	}
	return NULL;
}

/* After all of it the books balance and the volume is clean. */
static void threads_on_one_file_keep_the_books(void **state)
{
	void *(*const run[])(void *) = { reserve_and_punch, reserve_and_punch, convert, convert, unmap, read_all };
	struct thread threads[6];

	scratch_open(&s, 512 * MIB, "-b size=1024");
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(thread_create(&threads[i], "worker", run[i], (void *)(uintptr_t)(i + 1)), 0);
	for (unsigned i = 0; i < 6; i++)
		thread_join(&threads[i]);
	assert_int_equal(failure, 0);
	rwlock_write_lock(&s.lock);
	delay_punch(&s.map, FORK_DATA, 0, UINT64_MAX);
	rwlock_write_unlock(&s.lock);
	scratch_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(threads_on_one_file_keep_the_books),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
