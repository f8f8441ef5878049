/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * What a delayed extent reserves beside its own blocks: the bmbt blocks that making it real may cost.  Only
 * arithmetic.  (XFS: xfs_bmap_worst_indlen, xfs_bmap_split_indlen.)
 */
#include <stdint.h>

/* Shares @have between two extents that want *left and *right, more together than there is.  In proportion; the rest
 * block by block, left first, except that a right side left with nothing gets the first. */
void indirect_share(uint64_t have, uint64_t *left, uint64_t *right);
