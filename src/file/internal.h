/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Inside the file room. */
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/file.h>

struct files {
	struct inode_cache *inodes;	/* [I] */
	struct pagecache *pages;	/* [I] */
	struct device *dev;		/* [I] */
	struct space *space;		/* [I] */
	struct log *log;		/* [I] */
	const struct geometry *geo;	/* [I] */
	struct file_options options;	/* [I] */
	struct file_hooks hooks;	/* [I] after setup */

	struct mutex completion_lock;	/* RANK_LEAF */
	struct cond completion_work;
	struct list completions;	/* [completion_lock] struct writeback_io waiting for a pass */
	bool completion_wake;		/* [completion_lock] */
	struct mutex flush_lock;	/* one flush of everything for lack of space at a time */
};

static inline struct files *inode_files(const struct inode *inode)
{
	return inode_cache_private(inode->cache, INODE_PRIVATE_FILES);
}

static inline uint64_t file_size(const struct inode *inode)
{
	return atomic_load_explicit(&inode->size_bytes, memory_order_acquire);
}

static inline void file_set_size(struct inode *inode, uint64_t size)
{
	atomic_store_explicit(&inode->size_bytes, size, memory_order_release);
}

/* -EISDIR or -EINVAL unless it is a regular file. */
int file_check_regular(const struct inode *inode);

/* fill.c: makes [@off, @off + @count) of the locked folio uptodate: reads written blocks, zeroes the rest. */
int folio_fill(struct inode *inode, struct folio *folio, uint64_t off, uint64_t count);

/* write.c: where @count bytes at @pos of the source lie in the caller's memory; NULL: not in one piece, copy them. */
const uint8_t *write_source_bytes(const struct write_source *src, uint64_t pos, uint64_t count);

/* direct.c: -ENOTBLK: go through the cache instead. */
int file_write_direct(struct inode *inode, uint64_t off, uint64_t count, struct write_source *src, uint32_t flags,
		      uint64_t *done);

/* times.c: mtime and ctime to now, at most once per clock tick (4 ms) in the log. */
int file_modified(struct inode *inode, bool kill_priv);

/*
 * zero.c: zeroes [@off, @end) through the page cache where it is not a hole or clean unwritten. io_lock and
 * invalidate_lock exclusive.  *did_zero: some written block was.
 */
int file_zero_range(struct inode *inode, uint64_t off, uint64_t end, bool *did_zero);

/* writeback.c */
extern const struct writeback_ops file_writeback_ops;
/* Unwritten to written in [@off, @end), and the on-disk size up to min(@end, in-core size). */
int file_convert_unwritten(struct inode *inode, uint64_t off, uint64_t end);
/* The on-disk size up to min(@end, in-core size), if it is smaller. */
int file_update_disk_size(struct inode *inode, uint64_t end);

/* eofblocks.c; io_lock exclusive, or nobody can use the inode. */
bool file_can_trim(struct inode *inode);
int file_trim(struct inode *inode);

/*
 * space.c: tx_begin(); when there is no space, speculation that nobody is using is freed and it is tried once more
 * (XFS: xfs_trans_alloc).  The caller may hold its own inode's io_lock.
 */
int file_tx_begin(struct files *files, const struct tx_reservation *res, uint64_t blocks, uint32_t flags,
		  struct tx **out);

/*
 * flush and wait, then drop the page cache of the range rounded out to blocks and pages (XFS: xfs_flush_unmap_range).
 */
int file_flush_unmap(struct inode *inode, uint64_t off, uint64_t end);
