// SPDX-License-Identifier: GPL-2.0
/* Indirect-block arithmetic of delayed extents. */
#include "indirect.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/extent/delay.h>

uint64_t delay_worst_indirect(const struct file_map *map, uint64_t count)
{
	const struct btree_limits *bmbt = &space_geometry(map->space)->bmbt;
	uint64_t total = 0, records = bmbt->max_leaf;

	for (unsigned level = 0; level < bmbt->max_levels; level++) {
		count = div_round_up(count, records);
		total += count;
		/* From here on each level is one block. */
		if (count == 1)
			return total + bmbt->max_levels - level - 1;
		records = bmbt->max_node;
	}
	return total;
}

void indirect_share(uint64_t have, uint64_t *left, uint64_t *right)
{
	uint64_t want_left = *left, want_right = *right, percent = have * 100 / (want_left + want_right);

	ensure(have < want_left + want_right);
	*left = want_left * percent / 100;
	*right = want_right * percent / 100;
	have -= *left + *right;
	if (have && !*right && want_right) {
		++*right;
		have--;
	}
	while (have) {
		if (*left < want_left) {
			++*left;
			have--;
		}
		if (have && *right < want_right) {
			++*right;
			have--;
		}
	}
}
