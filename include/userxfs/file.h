/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * What can be done to a regular file: read, write, fault, truncate, allocate, seek, sync; iomap, page cache and
 * extents put together.  (XFS: xfs_file.c, xfs_aops.c, xfs_bmap_util.c, parts of xfs_iops.c and fs/iomap.)
 *
 * Every call takes the locks it needs.  Errors as the system calls they serve.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <userxfs/inode.h>
#include <userxfs/iomap.h>
#include <userxfs/pagecache.h>

struct files;				/* the room's object, one per volume */

struct file_options {
	struct iomap_options iomap;
	bool sync_always;		/* -o sync */
};

/* Binds the page cache to the inode cache (evict, pin, inactivation hooks). */
int files_create(struct inode_cache *inodes, struct pagecache *pages, struct device *data_dev,
		 const struct file_options *options, struct files **out);
void files_destroy(struct files *files);

/* What a higher room does for this one; optional. */
struct file_hooks {
	/* Space is short: frees the blocks of unlinked files that nobody uses any more.  Called without locks. */
	void (*inactivate)(void *context);
	void *context;
};
/* Before the first operation. */
void files_set_hooks(struct files *files, const struct file_hooks *hooks);

/* The page cache of @inode, made on first use. */
int file_mapping(struct inode *inode, struct mapping **out);

/* ---- read ---- */

/* Fills @iov from @off; short only at EOF.  Through the page cache, with read-ahead when it looks sequential. */
int file_read(struct inode *inode, uint64_t off, const struct iovec *iov, int iov_count, uint64_t *done);
/*
 * The same without a copy: hands out pointers into folios, kept until file_read_put().  At most @capacity pieces; may
 * cover less than asked.  For replies written with writev.
 */
struct file_read_hold {
	struct folio *folios[256];
	unsigned count;
};
int file_read_iov(struct inode *inode, uint64_t off, uint64_t count, struct iovec *iov, int capacity, int *iov_count,
		  struct file_read_hold *hold, uint64_t *done);
void file_read_put(struct file_read_hold *hold);
/* O_DIRECT: flushes cached dirty data of the range, then reads from the device. */
int file_read_direct(struct inode *inode, uint64_t off, const struct iovec *iov, int iov_count, uint64_t *done);

/* ---- write ---- */

enum file_write_flag {
	FILE_WRITE_APPEND = 1 << 0,	/* @off is ignored */
	FILE_WRITE_DSYNC = 1 << 1,
	FILE_WRITE_SYNC = 1 << 2,
	FILE_WRITE_KILL_PRIV = 1 << 3,	/* the caller lacks CAP_FSETID: drop suid/sgid */
	FILE_WRITE_DIRECT = 1 << 4,	/* O_DIRECT semantics when aligned, else buffered */
};

/* Where a write's bytes come from: a copy that may fail or stop short (a fault in the caller's memory). */
struct write_source {
	/*
	 * Copies @count bytes at @pos of the source to @to; returns the number copied (less: the rest cannot be had).
	 */
	uint64_t (*copy)(struct write_source *src, uint64_t pos, void *to, uint64_t count);
	const struct iovec *iov;	/* for write_source_iov() */
	int iov_count;
	/* Order among stores of the same pages that arrive over several threads (see file_fault_store()); 0: none. */
	uint64_t unique;
};
void write_source_iov(struct write_source *src, const struct iovec *iov, int iov_count);

/* write(2).  *done > 0 with return 0 on a short write; -ENOSPC, -EFBIG, -EFAULT only when nothing was written. */
int file_write(struct inode *inode, uint64_t off, uint64_t count, struct write_source *src, uint32_t flags,
	       uint64_t *done);

/* ---- mmap ---- */

/*
 * A page fault for writing, in the kernel's form: the folio comes back uptodate, dirty, with every block inside EOF
 * mapped, referenced and locked; the caller stores and calls folio_release().  -EFAULT past EOF (SIGBUS), -ENOSPC.
 */
int file_fault(struct inode *inode, uint64_t off, struct folio **out);
/* A read fault: uptodate, referenced, locked. */
int file_read_fault(struct inode *inode, uint64_t off, struct folio **out);
/*
 * A store that already happened (FUSE_WRITE_CACHE): page_mkwrite_ops and the copy in one.  Never -ENOSPC: bytes that
 * find no space stay dirty in the cache, and fsync reports it until they do.  @unique orders overlapping writes (0:
 * none).
 */
int file_fault_store(struct inode *inode, uint64_t off, uint64_t count, const void *data, uint64_t unique);

/* ---- everything else ---- */

/*
 * @touch: mtime and ctime move although the size stays as it is: for ftruncate(2) and O_TRUNC, not for truncate(2)
 * (XFS: xfs_setattr_size).
 */
int file_truncate(struct inode *inode, uint64_t size_bytes, bool touch);
/* @mode: FALLOC_FL_* of <linux/falloc.h>: 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE[|KEEP_SIZE], COLLAPSE_RANGE,
 * INSERT_RANGE; others -EOPNOTSUPP.  @kill_priv: the caller lacks CAP_FSETID: drop suid/sgid. */
int file_fallocate(struct inode *inode, int mode, uint64_t off, uint64_t count, bool kill_priv);
/* SEEK_DATA, SEEK_HOLE; -ENXIO. */
int file_seek(struct inode *inode, uint64_t off, int whence, uint64_t *out);
/*
 * Data and what is needed to reach them (or all metadata) on stable storage.  *error_seen: the caller's position in
 * the mapping's errors (each open reports each once); NULL: ignore recorded errors.
 */
int file_fsync(struct inode *inode, bool datasync, uint64_t *error_seen);
/* Writes dirty data of the range, and waits. */
int file_flush(struct inode *inode, uint64_t off, uint64_t end);
/* Starts writing dirty data without waiting. */
int file_flush_start(struct inode *inode, uint64_t off, uint64_t end);
/* A plain copy inside the daemon; *done may be short.  @kill_priv: as for file_fallocate(), of @out. */
int file_copy(struct inode *in, uint64_t in_off, struct inode *out, uint64_t out_off, uint64_t count, bool kill_priv,
	      uint64_t *done);
/* Opens and closes: a writable close trims speculation by XFS's rules. */
void file_opened(struct inode *inode, bool writable);
void file_closed(struct inode *inode, bool writable);
/*
 * For namespace_hooks: the last reference went and the file has a name; or has none: its pages are not worth writing.
 */
void file_inactive(struct inode *inode);
void file_discard(struct inode *inode);
/*
 * Space is short: writes everything dirty, frees all speculation, all unlinked files, and waits until freed blocks
 * can be used.  Called without locks.  (XFS: xfs_flush_inodes, xfs_blockgc_free_space.)
 */
void files_make_space(struct files *files);
/* Extents as fiemap shows them (data fork, delayed included), from @off on; @emit false stops. */
int file_report(struct inode *inode, uint64_t off, uint64_t count,
		bool (*emit)(void *context, const struct extent *ext), void *context);

/* ---- passes ---- */

/* Conversions and size updates of completed writes; true: more. */
bool file_completion_pass(struct files *files);
void file_completion_wait(struct files *files, uint64_t deadline_ns);
void file_completion_wake(struct files *files);
/*
 * Frees blocks past EOF of tagged inodes (background 300 s; @sync: ENOSPC, unmount: also busy ones).  (XFS: blockgc.)
 */
bool prealloc_trim_pass(struct files *files, bool sync);
/* Writes all dirty data and waits (sync, unmount). */
int files_flush_all(struct files *files, bool wait);
