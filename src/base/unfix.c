/* SPDX-License-Identifier: GPL-2.0 */
/* Which rules are taken back. */
#include <userxfs/base/unfix.h>

#ifdef USERXFS_LAB

#include <stdatomic.h>
#include <string.h>

static _Atomic bool switches[UNFIX_COUNT];

bool unfix(enum unfix_switch which)
{
	return atomic_load_explicit(&switches[which], memory_order_relaxed);
}

bool unfix_turn_on(const char *name)
{
	static const char *const names[] = {
#define X(name, what) #name,
		UNFIX_SWITCHES(X)
#undef X
	};

	for (unsigned i = 0; i < UNFIX_COUNT; i++) {
		if (strcmp(names[i], name) == 0) {
			atomic_store(&switches[i], true);
			return true;
		}
	}
	return false;
}

#endif
