/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Running something that must abort, in a child, and reading its last words. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <userxfs/base/message.h>

static inline void death_sink(void *context, enum message_level level, const char *line)
{
	(void)!write(*(int *)context, line, strlen(line));
}

/* True when run() aborts; @words then holds the log lines it wrote, at most 999 bytes. */
static inline bool aborts(void (*run)(void), char words[static 1000])
{
	size_t length = 0;
	ssize_t count;
	int fds[2], status;
	pid_t pid;

	if (pipe(fds) != 0)
		return false;
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		message_set_sink(death_sink, &fds[1]);
		run();
		_exit(0);
	}
	close(fds[1]);
	while (length < 999 && (count = read(fds[0], words + length, 999 - length)) > 0)
		length += (size_t)count;
	words[length] = '\0';
	close(fds[0]);
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* Skips where the build does not check the lock order. */
static inline void need_order_checks(void)
{
#ifdef NDEBUG
	print_message("the lock order is checked in builds without NDEBUG only\n");
	skip();
#endif
}
