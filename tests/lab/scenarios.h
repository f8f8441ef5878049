/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Scenarios with names: each kind of operation once.  What comes before the first "sync" is setup. */

struct scenario {
	const char *name, *text;
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;
