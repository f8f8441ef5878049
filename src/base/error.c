/* SPDX-License-Identifier: GPL-2.0 */
/* The assertion's last words. */
#include <stdlib.h>

#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

void ensure_failed(const char *cond, const char *file, int line, const char *func)
{
	msg_error("BUG at %s:%d in %s: %s does not hold", file, line, func, cond);
	abort();
}
