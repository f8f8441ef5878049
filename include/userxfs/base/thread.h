/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Threads.  Only volume/, fuse/ and tests create them; every other room offers passes. */
#include <pthread.h>
#include <stdbool.h>

struct thread {
	pthread_t native;
	bool is_running;	/* created and not joined */
};

/* @name: at most 15 characters, shown by ps.  All signals are blocked in the new thread.  -EAGAIN as pthread. */
int thread_create(struct thread *t, const char *name, void *(*run)(void *), void *arg);
/* Waits for the end; harmless when not running. */
void thread_join(struct thread *t);
