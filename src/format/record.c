// SPDX-License-Identifier: GPL-2.0
/*
 * Packed records: extents and timestamps.
 *
 * An extent record (XFS: xfs_bmbt_rec) is two big-endian words:
 *
 *	l0   63        unwritten flag
 *	     62..9     logical block, 54 bits
 *	     8..0      disk block, upper 9 bits
 *	l1   63..21    disk block, lower 43 bits
 *	     20..0     block count, 21 bits
 *
 * A timestamp (XFS: xfs_timestamp_t) is one big-endian word.  Without bigtime: signed seconds since 1970 in the upper
 * half, nanoseconds in the lower.  With bigtime: unsigned nanoseconds since the earliest second the old form can say
 * (13 December 1901).
 */
#include <userxfs/format/record.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#define NS_PER_SEC 1000000000u
#define START_HIGH_BITS 9
#define START_LOW_BITS 43

struct extent extent_decode(const struct xfs_bmbt_rec *rec)
{
	uint64_t l0 = be64_to_cpu(rec->l0), l1 = be64_to_cpu(rec->l1);
	uint64_t start = (l0 & ((1u << START_HIGH_BITS) - 1)) << START_LOW_BITS | l1 >> BMBT_BLOCKCOUNT_BITLEN;

	return (struct extent){
		.off = l0 >> START_HIGH_BITS & BMBT_STARTOFF_MASK,
		.count = l1 & BMBT_BLOCKCOUNT_MASK,
		.start = (struct fsblk){ start },
		.state = l0 >> 63 ? EXTENT_UNWRITTEN : EXTENT_WRITTEN,
	};
}

void extent_encode(const struct extent *ext, struct xfs_bmbt_rec *rec)
{
	uint64_t unwritten = ext->state == EXTENT_UNWRITTEN;

	ensure(ext->state == EXTENT_WRITTEN || ext->state == EXTENT_UNWRITTEN);
	ensure(ext->off <= BMBT_STARTOFF_MASK && ext->count && ext->count <= BMBT_BLOCKCOUNT_MASK);
	ensure(ext->start.v < 1ull << BMBT_STARTBLOCK_BITLEN);

	rec->l0 = cpu_to_be64(unwritten << 63 | ext->off << START_HIGH_BITS | ext->start.v >> START_LOW_BITS);
	rec->l1 = cpu_to_be64(ext->start.v << BMBT_BLOCKCOUNT_BITLEN | ext->count);
}

const char *extent_verify(const struct geometry *geo, const struct extent *ext)
{
	if (!ext->count || ext->count > BMBT_BLOCKCOUNT_MASK)
		return "extent with an impossible length";
	if (ext->off > BMBT_STARTOFF_MASK || ext->off + ext->count - 1 > XFS_MAX_FILEOFF)
		return "extent beyond the largest file offset";
	if (!geometry_is_valid_extent(geo, ext->start, ext->count))
		return "extent outside the volume's data blocks";
	return NULL;
}

struct timespec timestamp_decode(uint64_t ondisk_be, bool is_bigtime)
{
	uint64_t v = be64_to_cpu(ondisk_be);
	struct timespec t;

	if (is_bigtime) {
		t.tv_sec = (int64_t)(v / NS_PER_SEC) + INT32_MIN;
		t.tv_nsec = v % NS_PER_SEC;
		return t;
	}
	t.tv_sec = (int32_t)(v >> 32);
	/* The disk may say anything; a struct timespec may not. */
	t.tv_nsec = (long)min_u64((uint32_t)v, NS_PER_SEC - 1);
	return t;
}

static int64_t clamp_s64(int64_t v, int64_t low, int64_t high)
{
	return max_s64(low, min_s64(v, high));
}

uint64_t timestamp_encode(struct timespec t, bool is_bigtime)
{
	int64_t last = (int64_t)(UINT64_MAX / NS_PER_SEC & ~3ull) + INT32_MIN;
	uint64_t sec;

	if (is_bigtime) {
		sec = (uint64_t)(clamp_s64(t.tv_sec, INT32_MIN, last) - INT32_MIN);
		return cpu_to_be64(sec * NS_PER_SEC + (uint64_t)t.tv_nsec);
	}
	sec = (uint32_t)clamp_s64(t.tv_sec, INT32_MIN, INT32_MAX);
	return cpu_to_be64(sec << 32 | (uint32_t)t.tv_nsec);
}

struct timespec timestamp_clamp(const struct geometry *geo, struct timespec t)
{
	/* The two outermost seconds hold no nanoseconds, so that no rounding leads outside. */
	if (t.tv_sec <= geo->time_min_sec)
		return (struct timespec){ geo->time_min_sec, 0 };
	if (t.tv_sec >= geo->time_max_sec)
		return (struct timespec){ geo->time_max_sec, 0 };
	return t;
}
