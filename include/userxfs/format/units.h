/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Units.  Linear numbers are integers; packed numbers (AG number in the upper bits) are one-member structs, so that
 * adding 1 to one of them does not compile.
 *
 *   fileblk_t   logical block within a file, in filesystem blocks
 *   struct fsblk  block of the volume, packed: agno << agblklog | agblk   (XFS: xfs_fsblock_t)
 *   struct inum   inode number, packed: agno << agino_log | agino          (XFS: xfs_ino_t)
 *   agno_t, agblk_t, agino_t   AG number; block within an AG; inode within an AG
 *   daddr_u64   512-byte unit of the device                                (XFS: xfs_daddr_t)
 *   lsn_t       log sequence number: cycle << 32 | log block (512-byte units)
 */
#include <stdbool.h>
#include <stdint.h>

typedef uint64_t fileblk_t;
typedef uint32_t agno_t;
typedef uint32_t agblk_t;
typedef uint32_t agino_t;
typedef uint64_t daddr_u64;
typedef uint64_t lsn_t;

struct fsblk {
	uint64_t v;
};

struct inum {
	uint64_t v;
};

#define FSBLK_NONE ((struct fsblk){ UINT64_MAX })
#define INUM_NONE ((struct inum){ UINT64_MAX })
#define AGBLK_NONE UINT32_MAX
#define AGNO_NONE UINT32_MAX
#define AGINO_NONE UINT32_MAX

#define SECTOR_UNIT_BYTES 512u	/* what a daddr counts, whatever the device's sector size */
#define SECTOR_UNIT_LOG 9

static inline bool fsblk_is_none(struct fsblk b)
{
	return b.v == UINT64_MAX;
}

static inline bool fsblk_equal(struct fsblk a, struct fsblk b)
{
	return a.v == b.v;
}

static inline bool inum_equal(struct inum a, struct inum b)
{
	return a.v == b.v;
}

static inline uint32_t lsn_cycle(lsn_t lsn)
{
	return (uint32_t)(lsn >> 32);
}

static inline uint32_t lsn_block(lsn_t lsn)
{
	return (uint32_t)lsn;
}

static inline lsn_t lsn_make(uint32_t cycle, uint32_t block)
{
	return (uint64_t)cycle << 32 | block;
}
