/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Time.  Tests and the explorer replace both clocks. */
#include <stdint.h>
#include <time.h>

#define NS_PER_SEC 1000000000ull

/* Monotonic; for deadlines and intervals. */
uint64_t clock_now_ns(void);
/* Wall time, for inode timestamps. */
struct timespec clock_wall(void);
/* A plain delay; the explorer treats it as a scheduling point. */
void clock_sleep_ns(uint64_t duration_ns);

struct clock_ops {
	uint64_t (*now_ns)(void);
	struct timespec (*wall)(void);
	void (*sleep_ns)(uint64_t duration_ns);
};
/* For tests; NULL restores the system's clocks. */
void clock_set_ops(const struct clock_ops *ops);
