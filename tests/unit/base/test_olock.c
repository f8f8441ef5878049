/* SPDX-License-Identifier: GPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/lock.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/thread.h>

static void it_is_taken_once(void **state)
{
	struct olock l;

	olock_init(&l);
	assert_false(olock_is_locked(&l));
	olock_lock(&l);
	assert_true(olock_is_locked(&l));
	assert_false(olock_trylock(&l));
	olock_unlock(&l);
	assert_true(olock_trylock(&l));
	olock_unlock(&l);
	assert_int_equal(sizeof(l), 4);
}

static void *unlock_it(void *arg)
{
	olock_unlock(arg);
	return NULL;
}

static void another_thread_may_release_it(void **state)
{
	struct olock l;
	struct thread t;

	olock_init(&l);
	olock_lock(&l);
	assert_int_equal(thread_create(&t, "other", unlock_it, &l), 0);
	olock_lock(&l);
	olock_unlock(&l);
	thread_join(&t);
	assert_false(olock_is_locked(&l));
}

static struct {
	struct olock lock;
	uint64_t count;
} cells[8];

static void *count_up(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < 20000; i++) {
		seed = seed * 1103515245 + 12345;
		/* Mostly one cell, so that there are waiters. */
		unsigned at = seed >> 16 & 8 ? seed >> 20 & 7 : 0;

		olock_lock(&cells[at].lock);
		cells[at].count++;
		olock_unlock(&cells[at].lock);
	}
	return NULL;
}

static void no_update_and_no_wakeup_is_lost(void **state)
{
	struct thread t[4];
	uint64_t sum = 0;

	for (uintptr_t i = 0; i < ARRAY_COUNT(t); i++)
		assert_int_equal(thread_create(&t[i], "count", count_up, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(t); i++)
		thread_join(&t[i]);
	for (unsigned i = 0; i < ARRAY_COUNT(cells); i++)
		sum += cells[i].count;
	assert_int_equal(sum, 20000 * ARRAY_COUNT(t));
}

static void *take_and_free(void *arg)
{
	struct olock *l = arg;

	olock_lock(l);
	mem_free(l);
	return NULL;
}

/* The one that takes it last may free the memory although the release that let it in is not over yet. */
static void the_next_owner_may_free_it(void **state)
{
	for (unsigned i = 0; i < 300; i++) {
		struct olock *l = mem_alloc_sure(sizeof(*l));
		struct thread t;

		olock_init(l);
		olock_lock(l);
		assert_int_equal(thread_create(&t, "next", take_and_free, l), 0);
		olock_unlock(l);
		thread_join(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_taken_once),
		cmocka_unit_test(another_thread_may_release_it),
		cmocka_unit_test(no_update_and_no_wakeup_is_lost),
		cmocka_unit_test(the_next_owner_may_free_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
