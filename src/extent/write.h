/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Making a piece of a fork real: the step that map_write() and delay_convert() share. */
#include <userxfs/extent/map.h>
#include <userxfs/log/tx.h>

#include "tree.h"

/*
 * Allocates for [@off, @off + @count), which lies inside the hole or the delayed extent at @off, and inserts what was
 * had: at least one block; it covers @off.  *start: FSBLK_NONE when there is no space, nothing has changed then.
 */
int map_make_real(struct tx *tx, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
		  uint32_t flags, uint64_t total, uint32_t min_left, struct fsblk *start);
