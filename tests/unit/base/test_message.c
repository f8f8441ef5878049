/* SPDX-License-Identifier: GPL-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "death.h"

struct sunk {
	unsigned count;
	enum message_level level;
	char line[2048];
};

static void sink(void *context, enum message_level level, const char *line)
{
	struct sunk *s = context;

	s->count++;
	s->level = level;
	strcpy(s->line, line);
	errno = EBADF;
}

static void a_line_reaches_the_sink_and_leaves_errno_alone(void **state)
{
	struct sunk s = { 0 };

	message_set_sink(sink, &s);
	errno = ENOENT;
	msg_warning("%s is %d", "seven", 7);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.level, MESSAGE_WARNING);
	assert_string_equal(s.line, "seven is 7");
	message_set_sink(NULL, NULL);
}

static void lines_above_the_level_are_dropped(void **state)
{
	struct sunk s = { 0 };

	message_set_sink(sink, &s);
	msg_debug("not by default");
	assert_int_equal(s.count, 0);
	message_set_level(MESSAGE_DEBUG);
	msg_debug("now");
	assert_int_equal(s.count, 1);
	message_set_level(MESSAGE_ERROR);
	msg_warning("no");
	assert_int_equal(s.count, 1);
	message_set_level(MESSAGE_INFO);
	message_set_sink(NULL, NULL);
}

static void a_long_line_is_cut_and_says_so(void **state)
{
	struct sunk s = { 0 };

	message_set_sink(sink, &s);
	msg_error("%2000d", 1);
	assert_int_equal(strlen(s.line), 1023);
	assert_string_equal(s.line + 1020, "...");
	message_set_sink(NULL, NULL);
}

static void break_a_promise(void)
{
	int two = 2;

	ensure(two + two == 5);
}

static void a_broken_promise_aborts_with_place_and_condition(void **state)
{
	char words[1000];

	assert_true(aborts(break_a_promise, words));
	assert_non_null(strstr(words, "two + two == 5"));
	assert_non_null(strstr(words, "test_message.c"));
	assert_non_null(strstr(words, "break_a_promise"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_reaches_the_sink_and_leaves_errno_alone),
		cmocka_unit_test(lines_above_the_level_are_dropped),
		cmocka_unit_test(a_long_line_is_cut_and_says_so),
		cmocka_unit_test(a_broken_promise_aborts_with_place_and_condition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
