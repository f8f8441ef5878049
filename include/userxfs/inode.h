/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Inodes in memory and on disk.  (XFS: xfs_inode, xfs_inode_item, xfs_icache, xfs_inode_buf.)
 *
 * Life: inode_get() finds or reads one and takes a reference; inode_put() drops it.  An inode without references
 * stays cached. When the last reference goes and something remains to be done for it (unlinked: free it; blocks past
 * EOF: trim them), it is queued on the cache's inactivation queue, which a pass of a higher room drains
 * (inode_take_inactive()).
 *
 * Locks, outermost first: .io_lock, .invalidate_lock, folios, .map_lock; see base/lock.h.
 * Field tags: [I] set before publication, [io], [m] map_lock, [a] atomic, [s] state_lock.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <userxfs/base/list.h>
#include <userxfs/base/lock.h>
#include <userxfs/extent/map.h>
#include <userxfs/log/log.h>
#include <userxfs/log/recovery.h>
#include <userxfs/log/tx.h>
#include <userxfs/space/ialloc.h>
#include <userxfs/space/space.h>

struct inode_cache;
struct mapping;				/* pagecache.h */

enum inode_flag {
	INODE_EOFBLOCKS = 1 << 0,	/* may have blocks past EOF */
	INODE_COWBLOCKS = 1 << 1,	/* may have CoW preallocation */
	INODE_TRUNCATED = 1 << 2,	/* shrunk since the last flush (XFS: XFS_ITRUNCATED) */
	INODE_RELEASED = 1 << 3,	/* a close has trimmed it already (XFS: XFS_EOFBLOCKS_RELEASED) */
	INODE_NEW = 1 << 4,		/* being read or created */
	INODE_STALE = 1 << 5,		/* its chunk is gone */
	INODE_INACTIVE_QUEUED = 1 << 6,
	INODE_RECLAIMING = 1 << 7,
	INODE_SICK = 1 << 8,		/* its metadata on disk are broken: every use gives -EFSCORRUPTED */
	INODE_LINKABLE = 1 << 9,	/* nameless but may be given a name (O_TMPFILE; Linux: I_LINKABLE) */
	INODE_INACTIVATING = 1 << 10,	/* taken from the inactivation queue */
};

struct inode {
	struct inode_cache *cache;	/* [I] */
	struct inum ino;		/* [I] */
	uint32_t generation;		/* [m] */
	struct rwlock io_lock;		/* size and data; directory entries */
	struct rwlock invalidate_lock;	/* page cache against removal */
	struct rwlock map_lock;		/* the core below and .map */

	/* The core (XFS: xfs_dinode fields in host order).  What is atomic may be looked at without the lock. */
	_Atomic uint16_t mode;		/* [m to change] */
	uint32_t uid, gid, project;	/* [m] */
	_Atomic uint32_t nlink;		/* [m to change] */
	_Atomic uint64_t size_bytes;	/* [io to change] what users see (XFS: i_size) */
	uint64_t disk_size_bytes;	/* [m] di_size: moved only when data up to there are on disk */
	struct timespec atime, mtime, ctime, btime; /* [m] */
	_Atomic uint16_t di_flags;	/* [m to change] XFS_DIFLAG_* */
	uint64_t di_flags2;		/* [m] XFS_DIFLAG2_* */
	uint32_t extent_hint, cow_hint;	/* [m] di_extsize, di_cowextsize, blocks */
	uint64_t change_count;		/* [m] di_changecount */
	agino_t next_unlinked;		/* [AGI] AGINO_NONE at the end */
	agino_t prev_unlinked;		/* [AGI] in memory; AGINO_NONE: first or unknown, see unlinked.c */
	struct file_map map;		/* [m] */

	struct inode_place place;	/* [I] */
	struct mapping *mapping;	/* page cache of a regular file, made on first use by the file room [s] */
	void *log_item;			/* [I] src/inode/item.c */
	uint64_t sync_sequence;		/* [m] checkpoint of its last commit */
	uint64_t datasync_sequence;	/* [m] ... of its last commit that fdatasync must wait for (size, extents) */

	struct mutex state_lock;	/* RANK_INODE_STATE */
	_Atomic uint32_t flags;		/* enum inode_flag */
	_Atomic uint32_t refs;
	_Atomic uint64_t lookups;	/* of .refs: held for the front end's lookups (FUSE); see volume_unmount() */
	_Atomic uint32_t data_pins;	/* file data dirty or being written: stays in memory, referenced or not */
	_Atomic uint32_t write_opens;	/* descriptors open for writing */
	int writeback_error;		/* [s] */
	uint64_t writeback_error_sequence; /* [s] bumped with each new error; each open reports each once */

	/* The cache's: see src/inode/cache.h. */
	struct list hash_node, lru_node, inactive_node, tag_node;
	_Atomic uint32_t gets;		/* counts references taken by number, so that the last put notices them */
	uint32_t taken_gets;		/* .gets when inactivation took it */
};

int inode_cache_create(struct space *space, struct log *log, uint32_t max_unused, struct inode_cache **out);
/* Every inode is unreferenced and clean, or the log is shut down. */
void inode_cache_destroy(struct inode_cache *cache);
struct space *inode_cache_space(struct inode_cache *cache);
struct log *inode_cache_log(struct inode_cache *cache);
const struct geometry *inode_geometry(const struct inode *inode);

/* A pointer of a higher room that it finds again from any inode; set once at mount. */
enum inode_private_slot { INODE_PRIVATE_IOMAP, INODE_PRIVATE_FILES, INODE_PRIVATE_COUNT };
void inode_cache_set_private(struct inode_cache *cache, enum inode_private_slot slot, void *private);
void *inode_cache_private(const struct inode_cache *cache, enum inode_private_slot slot);

enum inode_get_flag {
	INODE_GET_UNTRUSTED = 1 << 0,	/* from outside: looked up in the inode tree; -ESTALE when not allocated */
	INODE_GET_CACHED = 1 << 1,	/* only if in memory: -ENODATA otherwise */
};

/*
 * Referenced, not locked.  -ENOENT: free on disk (mode 0), or unlinked, unreferenced and about to be freed; -ESTALE
 * instead for untrusted numbers.  -EFSCORRUPTED, -EFSBADCRC logged.  Two threads asking for the same inode get the
 * same one; reads happen once.
 */
int inode_get(struct inode_cache *cache, struct tx *tx, struct inum ino, uint32_t flags, struct inode **out);
void inode_hold(struct inode *inode);
void inode_hold_n(struct inode *inode, uint32_t n);
/* Drops references (last one: LRU or inactivation queue).  Never blocks, takes no transaction.  NULL is fine. */
void inode_put(struct inode *inode);
void inode_put_n(struct inode *inode, uint64_t n);

/* ---- transactions ---- */

/* Joins it, map_lock held exclusively; @unlock: commit (or cancel) releases the map_lock. */
void inode_join(struct tx *tx, struct inode *inode, bool unlock);
/* The core changed (forks mark themselves).  @timestamp_only: fdatasync need not wait for it. */
void inode_log(struct tx *tx, struct inode *inode, bool timestamp_only);
/* Several inodes' map_locks exclusively, in number order, without duplicates; NULLs skipped.  Sorts @inodes. */
void inode_lock_maps(struct inode **inodes, unsigned n);
void inode_unlock_maps(struct inode **inodes, unsigned n);

enum inode_time { INODE_ATIME = 1, INODE_MTIME = 2, INODE_CTIME = 4, INODE_BTIME = 8 };
/* Sets them to now in memory (clamped to the volume's granularity and range) and marks the timestamps changed. */
void inode_touch(struct tx *tx, struct inode *inode, unsigned times);

/* ---- create, free ---- */

struct inode_template {
	uint16_t mode;
	uint32_t uid, gid, project;
	uint32_t rdev;			/* host dev_t (makedev) for special files */
	uint32_t nlink;
	bool with_attr_fork;		/* an attribute will be set at once: make room for an attr fork */
};

/*
 * Allocates an inode number near @parent (may roll @tx) and makes the inode in memory, joined, map_lock held
 * exclusively until commit.  Inherits from the parent: project (PROJINHERIT), extent hints, RTINHERIT excluded,
 * nodump/noatime/sync..., setgid group and bit, per xfs_inode_inherit_flags.  @parent may be NULL only for tests.
 * Referenced.
 */
int inode_create(struct tx *tx, struct inode *parent, struct inode_cache *cache, const struct inode_template *tmpl,
		 struct inode **out);
/* Puts an inode without links on the AGI's unlinked list; takes it off again. */
int inode_unlinked_add(struct tx *tx, struct inode *inode);
int inode_unlinked_remove(struct tx *tx, struct inode *inode);
/*
 * Frees it on disk: forks are empty; takes it off the unlinked list; a freed chunk's cluster buffers are
 * invalidated and its cached inodes go stale (XFS: xfs_ifree).
 */
int inode_free(struct tx *tx, struct inode *inode);
/* Counts links up or down, with the ctime; at 0 the inode goes on the unlinked list.  -EFSCORRUPTED below 0. */
int inode_change_nlink(struct tx *tx, struct inode *inode, int change);
/* Walks the unlinked lists of all AGs and queues every inode found for inactivation (after a crash). */
int inode_recover_unlinked(struct inode_cache *cache);

/* ---- blocks ---- */

/*
 * Unmaps and frees every block of the fork from @from_blk to its end, real and delayed, in a chain of transactions of
 * its own; takes the map_lock itself.  Sizes stay.  (XFS: xfs_itruncate_extents_flags.)
 */
int inode_free_blocks(struct inode *inode, enum fork_which which, fileblk_t from_blk);
/* The same in @tx, which has the truncate reservation and the inode joined; it rolls. */
int inode_free_blocks_in(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t from_blk);

/* ---- attributes ---- */

struct inode_change {
	unsigned valid;			/* of the CHANGE_ flags */
	uint16_t mode;			/* permission bits; the type stays */
	uint32_t uid, gid, project;
	struct timespec atime, mtime, ctime;
	uint32_t xflags;		/* FS_XFLAG_* (the settable ones) */
	uint32_t extent_hint_bytes, cow_hint_bytes;
};
enum inode_change_valid {
	CHANGE_MODE = 1, CHANGE_UID = 2, CHANGE_GID = 4, CHANGE_ATIME = 8, CHANGE_MTIME = 16, CHANGE_CTIME = 32,
	CHANGE_PROJECT = 64, CHANGE_XFLAGS = 128, CHANGE_EXTENT_HINT = 256, CHANGE_COW_HINT = 512,
	CHANGE_KILL_PRIV = 1024,	/* drop suid, sgid (when group-executable) */
	CHANGE_TOUCH = 2048,		/* the times given are just "now": allowed on append-only inodes */
};
/* One transaction.  chown clears suid/sgid of non-directories.  ctime follows.  -EPERM on immutable/append as XFS. */
int inode_change(struct inode *inode, const struct inode_change *change);

struct inode_stat {
	struct inum ino;
	uint32_t generation;
	uint16_t mode;
	uint32_t nlink, uid, gid, project;
	uint32_t rdev;			/* host dev_t */
	uint64_t size_bytes;
	uint64_t blocks_512;		/* real and delayed */
	uint32_t block_bytes;		/* st_blksize */
	struct timespec atime, mtime, ctime, btime;
	uint32_t xflags;		/* FS_XFLAG_* */
	uint32_t extent_hint_bytes, cow_hint_bytes;
	uint64_t extent_count, attr_extent_count;
};
void inode_stat(struct inode *inode, struct inode_stat *out);

/*
 * relatime (the kernel's rule) unless @strict; logged like any change; never fails.  No map_lock held, no
 * transaction.
 */
void inode_accessed(struct inode *inode, bool strict);

/* ---- passes ---- */

/* The next inode to inactivate, referenced, flag INACTIVE_QUEUED cleared; false when there is none. */
bool inode_take_inactive(struct inode_cache *cache, struct inode **out);
/* How many it holds. */
uint64_t inode_inactive_count(struct inode_cache *cache);
/*
 * Whether an inode with links still has work at last put: set by the room that knows (called without locks, must
 * not block). Unlinked ones always have.
 */
void inode_cache_set_needs_inactivation(struct inode_cache *cache, bool (*needs)(struct inode *inode));
/* Called when an inode leaves memory (frees inode->mapping). */
void inode_cache_set_evict(struct inode_cache *cache, void (*evict)(struct inode *inode));
/* Called when the inactivation queue becomes non-empty. */
void inode_cache_set_wake(struct inode_cache *cache, void (*wake)(void *context), void *context);
/* Frees unused clean inodes beyond the limit, oldest first; returns the number freed. */
unsigned inode_reclaim_pass(struct inode_cache *cache);
/* Drops everything unused (unmount). */
void inode_cache_drop(struct inode_cache *cache);
/*
 * Tags: inodes with EOFBLOCKS or COWBLOCKS, per AG.  Calls @visit for each, referenced meanwhile; stops when it
 * returns nonzero, and returns that.
 */
void inode_set_tag(struct inode *inode, uint32_t flag);
void inode_clear_tag(struct inode *inode, uint32_t flag);
int inode_for_each_tagged(struct inode_cache *cache, uint32_t flags, int (*visit)(struct inode *, void *),
			  void *context);
/* Every inode in memory (sync): @visit gets a reference of its own to put. */
int inode_for_each(struct inode_cache *cache, int (*visit)(struct inode *, void *), void *context);

/* ---- log recovery ---- */

extern const struct recovery_item_type inode_recovery_type, dquot_recovery_type;
/* Queues what an adopted BUI promises in @tx (tx_defer_recovered()); -EFSCORRUPTED: it cannot be meant. */
int inode_recover_bui(struct tx *tx, struct inode_cache *cache, struct log_item *bui);
