/* SPDX-License-Identifier: GPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>
#include <userxfs/base/lock.h>
#include <userxfs/base/thread.h>

#include "death.h"

static struct rwlock lock;
static _Atomic int step;

static int set_up(void **state)
{
	rwlock_init(&lock, RANK_INODE_IO, 1, "the rwlock");
	step = 0;
	return 0;
}

static int tear_down(void **state)
{
	rwlock_deinit(&lock);
	return 0;
}

static void await_step(int wanted)
{
	uint64_t deadline_ns = clock_now_ns() + 10 * NS_PER_SEC;

	while (step != wanted) {
		assert_true(clock_now_ns() < deadline_ns);
		clock_sleep_ns(100 * 1000);
	}
}

/* Until @l has somebody asleep in it. */
static void await_waiters(struct rwlock *l, uint32_t writers, uint32_t readers)
{
	uint64_t deadline_ns = clock_now_ns() + 10 * NS_PER_SEC;
	bool is_there = false;

	while (!is_there) {
		assert_true(clock_now_ns() < deadline_ns);
		mutex_lock(&l->wait_lock);
		is_there = l->write_waiters == writers && l->read_waiters == readers;
		mutex_unlock(&l->wait_lock);
		clock_sleep_ns(100 * 1000);
	}
}

static void *take_read_and_give_back(void *arg)
{
	rwlock_read_lock(&lock);
	step++;
	rwlock_read_unlock(&lock);
	return NULL;
}

static void *take_write_and_give_back(void *arg)
{
	rwlock_write_lock(&lock);
	step++;
	rwlock_write_unlock(&lock);
	return NULL;
}

static void readers_share_and_writers_do_not(void **state)
{
	rwlock_read_lock(&lock);
	assert_true(rwlock_is_locked(&lock));
	assert_false(rwlock_is_write_locked(&lock));
	assert_true(rwlock_read_trylock(&lock));
	assert_false(rwlock_write_trylock(&lock));
	rwlock_read_unlock(&lock);
	rwlock_read_unlock(&lock);
	assert_false(rwlock_is_locked(&lock));

	assert_true(rwlock_write_trylock(&lock));
	assert_true(rwlock_is_write_locked(&lock));
	assert_false(rwlock_read_trylock(&lock));
	rwlock_write_unlock(&lock);
}

/* A reader that comes after a waiting writer waits behind it. */
static void a_waiting_writer_keeps_new_readers_out(void **state)
{
	struct thread writer, reader;

	rwlock_read_lock(&lock);
	assert_int_equal(thread_create(&writer, "writer", take_write_and_give_back, NULL), 0);
	await_waiters(&lock, 1, 0);
	assert_false(rwlock_read_trylock(&lock));
	assert_int_equal(thread_create(&reader, "reader", take_read_and_give_back, NULL), 0);
	await_waiters(&lock, 1, 1);
	assert_int_equal(step, 0);
	rwlock_read_unlock(&lock);
	thread_join(&writer);
	thread_join(&reader);
	assert_int_equal(step, 2);
}

/* When the writer leaves, the reader that waited goes before the writer that waited. */
static void readers_that_waited_go_before_the_next_writer(void **state)
{
	struct thread writer, readers[3];

	rwlock_write_lock(&lock);
	assert_int_equal(thread_create(&writer, "writer", take_write_and_give_back, NULL), 0);
	await_waiters(&lock, 1, 0);
	for (unsigned i = 0; i < ARRAY_COUNT(readers); i++)
		assert_int_equal(thread_create(&readers[i], "reader", take_read_and_give_back, NULL), 0);
	await_waiters(&lock, 1, 3);
	rwlock_write_unlock(&lock);
	assert_false(rwlock_is_write_locked(&lock) && step < 3);
	thread_join(&writer);
	for (unsigned i = 0; i < ARRAY_COUNT(readers); i++)
		thread_join(&readers[i]);
	assert_int_equal(step, 4);
}

static void demoting_lets_readers_in_and_keeps_writers_out(void **state)
{
	struct thread reader, writer;

	rwlock_write_lock(&lock);
	assert_int_equal(thread_create(&reader, "reader", take_read_and_give_back, NULL), 0);
	await_waiters(&lock, 0, 1);
	assert_int_equal(thread_create(&writer, "writer", take_write_and_give_back, NULL), 0);
	await_waiters(&lock, 1, 1);
	rwlock_demote(&lock);
	await_step(1);
	thread_join(&reader);
	assert_true(rwlock_is_locked(&lock));
	assert_int_equal(step, 1);
	rwlock_read_unlock(&lock);
	thread_join(&writer);
	assert_int_equal(step, 2);
}

static void demoting_without_waiters_leaves_one_reader(void **state)
{
	rwlock_write_lock(&lock);
	rwlock_demote(&lock);
	assert_false(rwlock_is_write_locked(&lock));
	assert_true(rwlock_read_trylock(&lock));
	rwlock_read_unlock(&lock);
	rwlock_read_unlock(&lock);
	assert_false(rwlock_is_locked(&lock));
}

static void *give_back_write(void *arg)
{
	rwlock_write_unlock(&lock);
	return NULL;
}

/* After another thread has released it, the taker is free to take locks outside of it, and this one again. */
static void a_lock_released_by_another_thread_does_not_raise_false_alarms(void **state)
{
	struct mutex outer = MUTEX_INIT(RANK_FREEZE, "an outer lock");
	struct thread t;

	for (unsigned i = 0; i < 100; i++) {
		rwlock_write_lock(&lock);
		assert_int_equal(thread_create(&t, "other", give_back_write, NULL), 0);
		thread_join(&t);
	}
	mutex_lock(&outer);
	rwlock_read_lock(&lock);
	rwlock_read_unlock(&lock);
	mutex_unlock(&outer);
}

static void take_outer_under_rwlock(void)
{
	struct mutex outer = MUTEX_INIT(RANK_FREEZE, "an outer lock");

	rwlock_read_lock(&lock);
	mutex_lock(&outer);
}

static void the_order_is_checked_for_the_owner(void **state)
{
	char words[1000];

	need_order_checks();
	assert_true(aborts(take_outer_under_rwlock, words));
	assert_non_null(strstr(words, "the rwlock"));
	assert_non_null(strstr(words, "an outer lock"));
}

static struct {
	uint64_t a, b;		/* equal outside of a writer */
} guarded;
static _Atomic unsigned torn_count;

static void *hammer(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < 5000; i++) {
		seed = seed * 1103515245 + 12345;
		switch (seed >> 16 & 3) {
		case 0:
			rwlock_write_lock(&lock);
			guarded.a++;
			guarded.b++;
			rwlock_write_unlock(&lock);
			break;
		case 1:
			rwlock_write_lock(&lock);
			guarded.a++;
			guarded.b++;
			rwlock_demote(&lock);
			torn_count += guarded.a != guarded.b;
			rwlock_read_unlock(&lock);
			break;
		default:
			rwlock_read_lock(&lock);
			torn_count += guarded.a != guarded.b;
			rwlock_read_unlock(&lock);
			break;
		}
	}
	return NULL;
}

static void many_threads_see_only_whole_changes(void **state)
{
	struct thread t[4];

	for (uintptr_t i = 0; i < ARRAY_COUNT(t); i++)
		assert_int_equal(thread_create(&t[i], "hammer", hammer, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(t); i++)
		thread_join(&t[i]);
	assert_int_equal(torn_count, 0);
	assert_int_equal(guarded.a, guarded.b);
	assert_false(rwlock_is_locked(&lock));
	assert_int_equal(lock.state, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(readers_share_and_writers_do_not),
		TEST(a_waiting_writer_keeps_new_readers_out),
		TEST(readers_that_waited_go_before_the_next_writer),
		TEST(demoting_lets_readers_in_and_keeps_writers_out),
		TEST(demoting_without_waiters_leaves_one_reader),
		TEST(a_lock_released_by_another_thread_does_not_raise_false_alarms),
		TEST(the_order_is_checked_for_the_owner),
		TEST(many_threads_see_only_whole_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
