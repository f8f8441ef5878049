/* SPDX-License-Identifier: GPL-2.0 */
/* Threads: pthreads with a name and without signals. */
#include <signal.h>

#include <userxfs/base/error.h>
#include <userxfs/base/thread.h>

int thread_create(struct thread *t, const char *name, void *(*run)(void *), void *arg)
{
	sigset_t all, old;
	int err;

	/* The new thread inherits the mask: signals belong to the thread that asked for them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&t->native, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;

	t->is_running = true;
	/* A name is a courtesy; a thread that has already ended has none. */
	pthread_setname_np(t->native, name);
	return 0;
}

void thread_join(struct thread *t)
{
	if (!t->is_running)
		return;
	ensure(pthread_join(t->native, NULL) == 0);
	t->is_running = false;
}
