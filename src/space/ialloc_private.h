/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Steps of inode allocation, each in a file of its own.  The AGI is held by the transaction in all of them. */
#include "inobt.h"

/*
 * Takes a free inode of @ag near @parent: the AG has one by its AGI.  (ialloc_pick.c)
 */
int ialloc_pick(struct tx *tx, struct ag *ag, struct buffer *agi, struct inum parent, agino_t *out);

/*
 * Makes a chunk of free inodes in @ag.  -EAGAIN: no room in this AG; nothing was changed but perhaps its AGFL.
 * -ENOSPC: the volume has as many inodes as it may.  (ialloc_chunk.c)
 */
int ialloc_add_chunk(struct tx *tx, struct ag *ag, struct buffer *agi);

/* Whether one more chunk would exceed the limit on inodes (sb_imax_pct). */
bool ialloc_is_at_limit(struct space *space);

/* Writes @blocks blocks of fresh, free inodes and logs that as one operation.  (ialloc_init.c) */
int ialloc_init_inodes(struct tx *tx, struct ag *ag, agblk_t agblk, uint32_t blocks, uint32_t inode_count);

/* The bytes of a cluster of them: @data has geo->cluster_bytes. */
void ialloc_encode_cluster(const struct geometry *geo, agno_t agno, agblk_t agblk, uint32_t generation, void *data);

/* Changes the counts in the AGI and what mirrors them. */
void ialloc_count(struct tx *tx, struct ag *ag, struct buffer *agi, int32_t inodes, int32_t free_inodes);
