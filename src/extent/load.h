/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Filling a fork's tree with records from disk, in order, each one checked. */
#include <userxfs/extent/map.h>

#include "tree.h"

struct extent_load {
	struct file_map *map;
	enum fork_which which;
	struct fork *fork;		/* .extent_count is what the inode says */
	fileblk_t next_off;		/* no record may start before it */
};

void load_begin(struct extent_load *load, struct file_map *map, enum fork_which which);
/* -EFSCORRUPTED with a log line. */
int load_extent(struct extent_load *load, const struct extent *ext);
int load_end(struct extent_load *load);
