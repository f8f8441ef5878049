/* SPDX-License-Identifier: GPL-2.0 */
/* Mutexes and conditions: pthreads with the order checked. */
#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>

#include "block.h"
#include "held.h"

NO_LOCK_ANALYSIS void mutex_lock_unranked(struct mutex *m)
{
	ensure(pthread_mutex_lock(&m->native) == 0);
}

NO_LOCK_ANALYSIS void mutex_unlock_unranked(struct mutex *m)
{
	ensure(pthread_mutex_unlock(&m->native) == 0);
}

void cond_wait_unranked(struct cond *c, struct mutex *m)
{
	ensure(pthread_cond_wait(&c->native, &m->native) == 0);
}

void mutex_init(struct mutex *m, enum lock_rank rank, uint64_t order, const char *name)
{
	ensure(pthread_mutex_init(&m->native, NULL) == 0);
	m->rank = rank;
	m->order = order;
	m->name = name;
}

void mutex_deinit(struct mutex *m)
{
	ensure(pthread_mutex_destroy(&m->native) == 0);
}

NO_LOCK_ANALYSIS void mutex_lock(struct mutex *m)
{
	held_check(m, m->rank, m->order, m->name);
	mutex_lock_unranked(m);
	held_push(m, m->rank, m->order, m->name);
}

NO_LOCK_ANALYSIS bool mutex_trylock(struct mutex *m)
{
	if (pthread_mutex_trylock(&m->native) != 0)
		return false;
	held_push(m, m->rank, m->order, m->name);
	return true;
}

NO_LOCK_ANALYSIS void mutex_unlock(struct mutex *m)
{
	ensure(held_remove(m));
	mutex_unlock_unranked(m);
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	ensure(pthread_condattr_init(&attr) == 0);
	ensure(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	ensure(pthread_cond_init(&c->native, &attr) == 0);
	pthread_condattr_destroy(&attr);
}

void cond_deinit(struct cond *c)
{
	ensure(pthread_cond_destroy(&c->native) == 0);
}

void cond_wait(struct cond *c, struct mutex *m)
{
	held_check_wait(m, m->rank, m->name);
	cond_wait_unranked(c, m);
}

/* The system's monotonic time @duration_ns from now, whatever clock_now_ns() has been replaced with. */
static struct timespec monotonic_after(uint64_t duration_ns)
{
	struct timespec t;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &t);
	ns = (uint64_t)t.tv_nsec + duration_ns % NS_PER_SEC;
	t.tv_sec += (time_t)(duration_ns / NS_PER_SEC + ns / NS_PER_SEC);
	t.tv_nsec = (long)(ns % NS_PER_SEC);
	return t;
}

bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns();
	struct timespec end;
	int err;

	held_check_wait(m, m->rank, m->name);
	if (now_ns >= deadline_ns)
		return false;
	end = monotonic_after(deadline_ns - now_ns);
	err = pthread_cond_timedwait(&c->native, &m->native, &end);
	ensure(err == 0 || err == ETIMEDOUT);
	return err == 0;
}

void cond_signal(struct cond *c)
{
	ensure(pthread_cond_signal(&c->native) == 0);
}

void cond_broadcast(struct cond *c)
{
	ensure(pthread_cond_broadcast(&c->native) == 0);
}
