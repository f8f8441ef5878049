/* SPDX-License-Identifier: GPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/lock.h>
#include <userxfs/base/thread.h>

#include "death.h"

static struct mutex outer = MUTEX_INIT(RANK_AG, "the outer lock");
static struct mutex inner = MUTEX_INIT(RANK_SPACE, "the inner lock");
static char words[1000];

static void take_in_wrong_order(void)
{
	mutex_lock(&inner);
	mutex_lock(&outer);
}

/* The line names what was wanted and what was held. */
static void taking_an_outer_lock_under_an_inner_one_aborts_naming_both(void **state)
{
	need_order_checks();
	assert_true(aborts(take_in_wrong_order, words));
	assert_non_null(strstr(words, "the outer lock"));
	assert_non_null(strstr(words, "the inner lock"));
}

static void take_twice(void)
{
	mutex_lock(&outer);
	mutex_lock(&outer);
}

static void taking_a_mutex_twice_aborts(void **state)
{
	need_order_checks();
	assert_true(aborts(take_twice, words));
}

static void take_higher_order_first(void)
{
	struct mutex low, high;

	mutex_init(&low, RANK_AG, 1, "low");
	mutex_init(&high, RANK_AG, 2, "high");
	mutex_lock(&high);
	mutex_lock(&low);
}

static void locks_of_one_rank_are_taken_in_ascending_order(void **state)
{
	struct mutex low, high;

	mutex_init(&low, RANK_AG, 1, "low");
	mutex_init(&high, RANK_AG, 2, "high");
	mutex_lock(&low);
	mutex_lock(&high);
	mutex_unlock(&low);
	mutex_unlock(&high);
	mutex_deinit(&low);
	mutex_deinit(&high);
	need_order_checks();
	assert_true(aborts(take_higher_order_first, words));
}

static void trylocks_are_never_wrong(void **state)
{
	mutex_lock(&inner);
	assert_true(mutex_trylock(&outer));
	assert_false(mutex_trylock(&inner));
	mutex_unlock(&outer);
	mutex_unlock(&inner);
}

static void unlock_what_is_not_held(void)
{
	mutex_unlock(&outer);
}

static void unlocking_a_mutex_one_does_not_hold_aborts(void **state)
{
	need_order_checks();
	assert_true(aborts(unlock_what_is_not_held, words));
}

static void wait_under_inner_lock(void)
{
	struct cond c;

	cond_init(&c);
	mutex_lock(&outer);
	mutex_lock(&inner);
	cond_wait(&c, &outer);
}

/* Waking up would take the outer lock under the inner one. */
static void waiting_on_a_condition_under_an_inner_lock_aborts(void **state)
{
	need_order_checks();
	assert_true(aborts(wait_under_inner_lock, words));
	assert_non_null(strstr(words, "the inner lock"));
}

/* The stack of held locks is finite; running out of it is no error. */
static void a_hundred_locks_can_be_held(void **state)
{
	struct rwlock many[100];

	for (unsigned i = 0; i < 100; i++) {
		rwlock_init(&many[i], RANK_AG, i, "one of many");
		rwlock_write_lock(&many[i]);
	}
	for (unsigned i = 0; i < 100; i++) {
		rwlock_write_unlock(&many[i]);
		rwlock_deinit(&many[i]);
	}
	mutex_lock(&outer);
	mutex_unlock(&outer);
}

static void a_timed_wait_ends_at_its_deadline(void **state)
{
	uint64_t start_ns = clock_now_ns(), deadline_ns = start_ns + 20 * 1000 * 1000;
	struct cond c;

	cond_init(&c);
	mutex_lock(&outer);
	while (cond_wait_until(&c, &outer, deadline_ns))
		;
	assert_true(clock_now_ns() >= deadline_ns);
	assert_false(cond_wait_until(&c, &outer, start_ns));
	mutex_unlock(&outer);
	cond_deinit(&c);
}

struct ping {
	struct mutex lock;
	struct cond turn;
	unsigned count;
};

static void *pong(void *arg)
{
	struct ping *p = arg;

	for (unsigned i = 1; i < 200; i += 2) {
		mutex_lock(&p->lock);
		while (p->count != i)
			cond_wait(&p->turn, &p->lock);
		p->count++;
		cond_signal(&p->turn);
		mutex_unlock(&p->lock);
	}
	return NULL;
}

static void signals_pass_between_threads(void **state)
{
	struct ping p = { .count = 0 };
	struct thread t;

	mutex_init(&p.lock, RANK_LEAF, 0, "ping");
	cond_init(&p.turn);
	assert_int_equal(thread_create(&t, "pong", pong, &p), 0);
	for (unsigned i = 0; i < 200; i += 2) {
		mutex_lock(&p.lock);
		while (p.count != i)
			assert_true(cond_wait_until(&p.turn, &p.lock, clock_now_ns() + 10 * NS_PER_SEC));
		p.count++;
		cond_signal(&p.turn);
		mutex_unlock(&p.lock);
	}
	thread_join(&t);
	assert_int_equal(p.count, 200);
	cond_deinit(&p.turn);
	mutex_deinit(&p.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taking_an_outer_lock_under_an_inner_one_aborts_naming_both),
		cmocka_unit_test(taking_a_mutex_twice_aborts),
		cmocka_unit_test(locks_of_one_rank_are_taken_in_ascending_order),
		cmocka_unit_test(unlocking_a_mutex_one_does_not_hold_aborts),
		cmocka_unit_test(waiting_on_a_condition_under_an_inner_lock_aborts),
		cmocka_unit_test(trylocks_are_never_wrong),
		cmocka_unit_test(a_hundred_locks_can_be_held),
		cmocka_unit_test(a_timed_wait_ends_at_its_deadline),
		cmocka_unit_test(signals_pass_between_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
