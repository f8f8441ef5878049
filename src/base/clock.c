/* SPDX-License-Identifier: GPL-2.0 */
/* Time: the system's clocks behind a replaceable op table. */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include <userxfs/base/clock.h>

static uint64_t system_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

static struct timespec system_wall(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

static void system_sleep_ns(uint64_t duration_ns)
{
	uint64_t end_ns = system_now_ns() + duration_ns;
	struct timespec end = {
		.tv_sec = (time_t)(end_ns / NS_PER_SEC),
		.tv_nsec = (long)(end_ns % NS_PER_SEC),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
		;
}

static const struct clock_ops system_clock_ops = {
	.now_ns = system_now_ns,
	.wall = system_wall,
	.sleep_ns = system_sleep_ns,
};

static const struct clock_ops *_Atomic current_ops = &system_clock_ops;

static const struct clock_ops *ops(void)
{
	return atomic_load_explicit(&current_ops, memory_order_acquire);
}

uint64_t clock_now_ns(void)
{
	return ops()->now_ns();
}

struct timespec clock_wall(void)
{
	return ops()->wall();
}

void clock_sleep_ns(uint64_t duration_ns)
{
	ops()->sleep_ns(duration_ns);
}

void clock_set_ops(const struct clock_ops *new_ops)
{
	atomic_store_explicit(&current_ops, new_ops ? new_ops : &system_clock_ops, memory_order_release);
}
