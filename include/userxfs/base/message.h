/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Log lines: what the program tells its operator.  Thread-safe, never blocks on anything but the sink.
 * One call is one line, without a newline at its end.
 */
#include <stdarg.h>

enum message_level {
	MESSAGE_ERROR,		/* something was lost or refused */
	MESSAGE_WARNING,	/* something is odd; nothing was lost */
	MESSAGE_INFO,		/* state changes an operator wants in the journal */
	MESSAGE_DEBUG,		/* everything else */
};

typedef void (*message_sink)(void *context, enum message_level level, const char *line);

/* Lines above @level are dropped before formatting.  Default: MESSAGE_INFO. */
void message_set_level(enum message_level level);

/* Replaces the sink (default: stderr with "userxfs: " in front); NULL restores the default. */
void message_set_sink(message_sink sink, void *context);

void message(enum message_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define msg_error(...) message(MESSAGE_ERROR, __VA_ARGS__)
#define msg_warning(...) message(MESSAGE_WARNING, __VA_ARGS__)
#define msg_info(...) message(MESSAGE_INFO, __VA_ARGS__)
#define msg_debug(...) message(MESSAGE_DEBUG, __VA_ARGS__)
