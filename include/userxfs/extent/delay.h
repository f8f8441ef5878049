/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Delayed allocation: space promised when data arrive, blocks chosen when they are written back.
 * (XFS: xfs_bmapi_reserve_delalloc, xfs_bmap_punch_delalloc_range, xfs_bmapi_convert_delalloc,
 * xfs_iomap_prealloc_size.)
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/extent/map.h>

/* Indirect blocks to reserve for a delayed extent of @count blocks in the worst case (XFS: xfs_bmap_worst_indlen). */
uint64_t delay_worst_indirect(const struct file_map *map, uint64_t count);

/*
 * Reserves [@off, @off + @count), a hole of the fork, plus @prealloc blocks behind it where the hole is long enough,
 * and inserts it as delayed, merged with delayed neighbours.  On ENOSPC with @prealloc or CoW alignment it tries once
 * more without both.  *got: exactly the piece inserted, before merging.  Lock held exclusively, loaded.  -ENOSPC,
 * -ENOMEM.
 */
int delay_reserve(struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count, uint64_t prealloc,
		  struct extent *got);

/*
 * The same for the data fork and bytes that are in memory already and that nobody can be told to take back: may use
 * the reserve pool, never preallocates.
 */
int delay_reserve_from_pool(struct file_map *map, fileblk_t off, uint64_t count, struct extent *got);

/* Removes the delayed blocks (only those) of [@off, @end) and gives their reservation back.  Lock held exclusively.
 * Cannot fail for lack of space; memory comes from the _sure calls. */
void delay_punch(struct file_map *map, enum fork_which which, fileblk_t off, fileblk_t end);

/*
 * Turns the delayed extent that holds @off into real unwritten blocks, in its own transactions, from its own start,
 * as much per step as the allocator gives, until @off is covered.  Takes the lock exclusively itself.  *got: the real
 * extent that holds @off (also when it already was real), *sequence: the fork's, sampled with it.  -EAGAIN: @off is a
 * hole now. Never -ENOSPC while the counters are right: the reservation was taken by delay_reserve().
 */
int delay_convert(struct file_map *map, enum fork_which which, fileblk_t off, struct extent *got, uint32_t *sequence);

/* What speculative preallocation needs to know of the file and the mount. */
struct prealloc_input {
	uint64_t size_bytes;		/* in-core size before this mapping */
	uint64_t off_bytes, count_bytes; /* of the write; count already clamped to 4 MiB */
	uint32_t alloc_size_log;	/* log2 bytes of allocsize=, or the default 16 */
	bool is_fixed;			/* allocsize= was given */
	uint32_t stripe_align_blocks;	/* 0 none */
};

/* Blocks to preallocate behind the write (behind the block that holds its last byte), by XFS's rules.  Lock held,
 * loaded; the write starts in a hole with no extent behind. */
uint64_t delay_prealloc_blocks(const struct file_map *map, const struct prealloc_input *in);
