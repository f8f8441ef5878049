/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The primitives a thread can block in: a mutex taken without regard to rank (the insides of other locks, which
 * take nothing themselves) and conditions.  With thread_join() and clock_sleep_ns() they are all there are: rwlock
 * and olock sleep through them.
 */
#include <userxfs/base/lock.h>

void mutex_lock_unranked(struct mutex *m) ACQUIRES(m);
void mutex_unlock_unranked(struct mutex *m) RELEASES(m);
void cond_wait_unranked(struct cond *c, struct mutex *m) REQUIRES(m);

/* A moment's pause of a loop that waits for another CPU. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}
