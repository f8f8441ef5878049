/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Busy extents: blocks that are free, but the transaction that freed them is not on stable storage yet.  Were they
 * written with something else now, a crash would leave the old owner with the new owner's data.  (XFS:
 * fs/xfs/xfs_extent_busy.c.)
 *
 * All calls have the AG's header locked, except when blocks cease to be busy: then the log calls.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/log/tx.h>
#include <userxfs/space/space.h>

/* A candidate for an allocation, and what it was trimmed for. */
struct busy_trim {
	uint32_t min_count, max_count;
	uint64_t generation;		/* out: what busy_flush() wants, when something was busy */
};

/* The blocks are busy until what @tx commits next is durable. */
void busy_insert(struct tx *tx, struct ag *ag, agblk_t start, uint32_t count);
/*
 * Cuts the busy parts off [*@start, *@start + *@count), preferring what is long enough to keep; *@count becomes 0
 * when too little is left.  True when anything was busy.
 */
bool busy_trim(struct ag *ag, struct busy_trim *trim, agblk_t *start, uint32_t *count);
/*
 * The blocks are used again at once, for metadata: what is written there goes through the log, after the freeing, so
 * they need not be waited for.
 */
int busy_reuse(struct ag *ag, agblk_t start, uint32_t count);
/* The same for file data, which is not in the log: waits until they are not busy. */
int busy_wait(struct ag *ag, agblk_t start, uint32_t count);
/*
 * Makes freed blocks of the AG usable: forces the log.  -EAGAIN when nothing has changed since @generation: only
 * @ag's holder itself has freed blocks that are busy.
 */
int busy_flush(struct ag *ag, uint64_t generation);
/* Raised whenever blocks cease to be busy. */
uint64_t busy_generation(struct ag *ag);
/* Whether any block of the range is busy. */
bool busy_overlaps(struct ag *ag, agblk_t start, uint32_t count);
/* When nothing will ever be on disk any more. */
void busy_forget_all(struct ag *ag);
