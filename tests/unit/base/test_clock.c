/* SPDX-License-Identifier: GPL-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/thread.h>

static uint64_t fake_ns = 1000;

static uint64_t fake_now_ns(void)
{
	return fake_ns;
}

static struct timespec fake_wall(void)
{
	return (struct timespec){ .tv_sec = 77 };
}

static void fake_sleep_ns(uint64_t duration_ns)
{
	fake_ns += duration_ns;
}

static void tests_can_replace_the_clocks(void **state)
{
	static const struct clock_ops fake = { fake_now_ns, fake_wall, fake_sleep_ns };

	clock_set_ops(&fake);
	clock_sleep_ns(100 * NS_PER_SEC);
	assert_int_equal(clock_now_ns(), 100 * NS_PER_SEC + 1000);
	assert_int_equal(clock_wall().tv_sec, 77);
	clock_set_ops(NULL);
	assert_int_not_equal(clock_wall().tv_sec, 77);
}

static void a_sleep_lasts_as_long_as_asked(void **state)
{
	uint64_t start_ns = clock_now_ns();

	clock_sleep_ns(5 * 1000 * 1000);
	assert_true(clock_now_ns() >= start_ns + 5 * 1000 * 1000);
}

static void *look_around(void *arg)
{
	sigset_t blocked;

	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	*(bool *)arg = sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGUSR1);
	return NULL;
}

static void a_new_thread_blocks_all_signals_and_its_creator_does_not(void **state)
{
	struct thread t = { .is_running = false };
	bool is_blocked = false;
	sigset_t mine;

	thread_join(&t);
	assert_int_equal(thread_create(&t, "look", look_around, &is_blocked), 0);
	thread_join(&t);
	assert_false(t.is_running);
	assert_true(is_blocked);
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	assert_false(sigismember(&mine, SIGTERM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tests_can_replace_the_clocks),
		cmocka_unit_test(a_sleep_lasts_as_long_as_asked),
		cmocka_unit_test(a_new_thread_blocks_all_signals_and_its_creator_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
