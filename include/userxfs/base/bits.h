/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Small arithmetic: rounding, logarithms, minimum and maximum.  Pure. */
#include <stdbool.h>
#include <stdint.h>

static inline uint64_t round_up_u64(uint64_t v, uint64_t to)
{
	return (v + to - 1) / to * to;
}

static inline uint64_t round_down_u64(uint64_t v, uint64_t to)
{
	return v / to * to;
}

static inline uint64_t div_round_up(uint64_t v, uint64_t by)
{
	return v / by + (v % by != 0);
}

static inline bool is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* Index of the highest set bit; @v != 0. */
static inline unsigned log2_floor(uint64_t v)
{
	return 63 - (unsigned)__builtin_clzll(v);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline int64_t min_s64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t max_s64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
