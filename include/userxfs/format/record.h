/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Packed records, decoded and encoded: extents, timestamps, quota-free.  Pure. */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <userxfs/format/geometry.h>

/* How the blocks of an extent stand. */
enum extent_state {
	EXTENT_WRITTEN,
	EXTENT_UNWRITTEN,	/* allocated; reads as zeroes */
	EXTENT_DELAYED,		/* reserved; no disk block yet; in memory only */
	EXTENT_HOLE,		/* only in answers to queries, never in a fork */
};

struct extent {
	fileblk_t off;		/* first logical block */
	uint64_t count;		/* blocks */
	struct fsblk start;	/* first disk block; FSBLK_NONE when DELAYED or HOLE */
	enum extent_state state;
};

#define EXTENT_MAX_BLOCKS ((1u << 21) - 1)	/* per record (XFS: XFS_MAX_BMBT_EXTLEN) */

/* The 128-bit record of a bmbt leaf or an extent list: flag 1, off 54, start 52, count 21. */
struct extent extent_decode(const struct xfs_bmbt_rec *rec);
void extent_encode(const struct extent *ext, struct xfs_bmbt_rec *rec);
/* NULL or the reason: bounds of the volume, of the file, count not 0. */
const char *extent_verify(const struct geometry *geo, const struct extent *ext);

/* Inode timestamps, by the inode's own bigtime flag. */
struct timespec timestamp_decode(uint64_t ondisk_be, bool is_bigtime);
uint64_t timestamp_encode(struct timespec t, bool is_bigtime);
/* Clamped to what the volume can hold. */
struct timespec timestamp_clamp(const struct geometry *geo, struct timespec t);
