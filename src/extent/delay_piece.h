/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Removing part of a delayed extent: the step that delay_punch() and map_unmap() share. */
#include <userxfs/extent/map.h>

#include "tree.h"

/* Takes [@off, @end) out of delayed record @rec and gives back what is no longer reserved. */
void delay_remove(struct file_map *map, enum fork_which which, const struct irec *rec, fileblk_t off, fileblk_t end);
