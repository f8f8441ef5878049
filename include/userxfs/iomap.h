/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Mapping ops and the iterator: how an operation on a file's byte range learns what lies under it. (Linux: iomap_ops,
 * iomap_iter; XFS: xfs_iomap.c.)
 *
 * Two op tables look alike and must not be one:
 *
 *   buffered_write_ops   begin reserves delayed blocks and marks what it reserved NEW; end punches out what a failed
 *                        or short write reserved and did not use, except where a dirty block lies over it
 *   page_mkwrite_ops     begin only: the folio is uptodate, locked and valid before the mapping is asked for, so no
 *                        failure may take its blocks away (Linux commit 118e021b)
 *
 * An iteration: begin(pos, length) gives a mapping that starts at or before pos; the actor handles a prefix of it;
 * end hears how much.  A mapping is a snapshot: unless a lock excludes changes, check iomap_is_valid() with the folio
 * locked before trusting it, and mark the iteration stale when it is not; the iterator then maps again at the new
 * position.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/format/record.h>
#include <userxfs/inode.h>
#include <userxfs/pagecache.h>

enum iomap_type { IOMAP_HOLE, IOMAP_DELALLOC, IOMAP_MAPPED, IOMAP_UNWRITTEN };

enum iomap_map_flag {
	IOMAP_F_NEW = 1 << 0,		/* this begin reserved or allocated the blocks */
	IOMAP_F_SHARED = 1 << 1,	/* the target is in the CoW fork */
	IOMAP_F_DIRTY = 1 << 2,		/* metadata needed to reach the data are not durable */
	IOMAP_F_STALE = 1 << 3,		/* validation failed: map again */
};

struct iomap {
	enum iomap_type type;
	uint32_t flags;			/* enum iomap_map_flag */
	uint64_t off_bytes, count_bytes; /* block-aligned; may begin before and end after what was asked */
	uint64_t device_off_bytes;	/* MAPPED, UNWRITTEN */
	uint64_t cookie;		/* validity */
};

enum iomap_op_flag {
	IOMAP_WRITE = 1 << 0,
	IOMAP_ZERO = 1 << 1,
	IOMAP_FAULT = 1 << 2,
	IOMAP_DIRECT = 1 << 3,
	IOMAP_REPORT = 1 << 4,
	IOMAP_UNSHARE = 1 << 5,
	IOMAP_STORED = 1 << 6,		/* with FAULT: the store has happened, it may use the reserve pool */
};

struct iomap_ops {
	const char *name;
	/*
	 * Required.  Fills *map (and *source when data must be read from elsewhere: CoW; else source->type =
	 * IOMAP_HOLE and source->count_bytes = 0).  -ENOSPC, -EIO, ...
	 */
	int (*begin)(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, struct iomap *map,
		     struct iomap *source);
	/* Optional.  @asked: mapped bytes within the request; @done: how many the actor handled. */
	int (*end)(struct inode *inode, uint64_t off, uint64_t asked, uint64_t done, uint32_t flags,
		   struct iomap *map);
};

extern const struct iomap_ops buffered_write_ops, page_mkwrite_ops, read_ops, zero_ops, direct_write_ops, seek_ops,
	report_ops;

struct iomap_iter {
	struct inode *inode;
	uint64_t off, count;		/* what remains */
	uint32_t flags;
	int64_t processed;		/* set by the loop body: bytes handled, or -errno */
	struct iomap map, source;
};

/*
 * for (ret = iomap_next(&iter, ops); ret > 0; ret = iomap_next(&iter, ops)) { ... iter.processed = n; }
 * 1: a mapping is there; 0: done; -errno.  Calls end for the previous mapping first.
 */
int iomap_next(struct iomap_iter *iter, const struct iomap_ops *ops);
/* Bytes of the current mapping inside the request. */
uint64_t iomap_length(const struct iomap_iter *iter);
/* Still what begin said?  Folio locked (or another lock that keeps the extents). */
bool iomap_is_valid(struct inode *inode, const struct iomap *map);

/*
 * Shortens a written extent of a file that may share blocks so that it is not shared, from @off_blk on.  -EOPNOTSUPP
 * when the first block is shared: overwriting shared blocks needs copy-on-write.  map_lock held.
 */
int iomap_refuse_shared(struct inode *inode, fileblk_t off_blk, struct extent *ext);

/* Takes the map_lock shared, with the data fork loaded.  On error the lock is not held. */
int iomap_lock_shared(struct inode *inode);

/* Blocks that allocating [@off_blk, @off_blk + @count) may take: the range rounded out to the extent size hint. */
uint64_t iomap_hinted_blocks(const struct inode *inode, fileblk_t off_blk, uint64_t count);

/* Mount-wide choices, set once in the inode cache's owner: */
struct iomap_options {
	uint32_t alloc_size_log;	/* log2 bytes; 16 */
	bool has_alloc_size;		/* allocsize= was given */
	uint32_t stripe_align_blocks;
};
void iomap_set_options(struct inode_cache *cache, const struct iomap_options *options);

/*
 * Releases the delayed blocks of [@off, @end) that no dirty block inside the file covers (XFS:
 * iomap_write_delalloc_release).  Invalidate lock held exclusively.
 */
void iomap_punch_unused(struct inode *inode, uint64_t off, uint64_t end, bool cow_fork);
