/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Log lines: format, then hand to the sink.
 *
 * The sink lock is held while the sink runs, so that lines do not mix and a replaced sink is no longer in use when
 * message_set_sink() returns.  A sink therefore must not log.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <userxfs/base/message.h>

enum {
	LINE_SIZE = 1024,	/* longer lines are cut and end in "..." */
};

static _Atomic int highest_level = MESSAGE_INFO;
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static message_sink current_sink;	/* NULL: stderr */
static void *current_context;

void message_set_level(enum message_level level)
{
	atomic_store_explicit(&highest_level, (int)level, memory_order_relaxed);
}

void message_set_sink(message_sink sink, void *context)
{
	pthread_mutex_lock(&sink_lock);
	current_sink = sink;
	current_context = context;
	pthread_mutex_unlock(&sink_lock);
}

void message(enum message_level level, const char *format, ...)
{
	int saved_errno = errno;
	char line[LINE_SIZE];
	va_list args;
	int length;

	if ((int)level > atomic_load_explicit(&highest_level, memory_order_relaxed))
		return;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (length < 0)
		return;
	if ((size_t)length >= sizeof(line))
		memcpy(line + sizeof(line) - 4, "...", 4);

	pthread_mutex_lock(&sink_lock);
	if (current_sink)
		current_sink(current_context, level, line);
	else
		fprintf(stderr, "userxfs: %s\n", line);
	pthread_mutex_unlock(&sink_lock);
	errno = saved_errno;
}
