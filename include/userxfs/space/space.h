/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The volume's space: allocation groups in memory, free-block counters, reservations.
 * (XFS: xfs_perag, m_fdblocks and friends, xfs_ag_resv.)
 *
 * The free counter is what statfs and every reservation look at.  It has already lost: the reserve pool, the per-AG
 * reservations, every delayed block and its indirect blocks, and the reservations of running transactions.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/base/lock.h>
#include <userxfs/buffer.h>
#include <userxfs/format/geometry.h>
#include <userxfs/log/log.h>
#include <userxfs/log/tx.h>

struct space;

/* Which reservation a block is taken from (XFS: xfs_ag_resv_type). */
enum ag_reservation {
	AG_RESV_NONE,
	AG_RESV_AGFL,			/* AGFL blocks count as free */
	AG_RESV_METADATA,		/* finobt, refcountbt */
	AG_RESV_RMAPBT,
};

/*
 * One allocation group in memory.  Summaries mirror its AGF and AGI; they change only with these locked, and read
 * without the lock they are hints.
 */
struct ag {
	struct space *space;
	agno_t agno;
	agblk_t blocks;
	agino_t agino_first, agino_end;
	_Atomic bool agf_loaded, agi_loaded;	/* summaries valid */
	_Atomic uint32_t free_blocks;		/* AGF; blocks of the AGFL and of the trees are not among them */
	_Atomic uint32_t longest;
	_Atomic uint32_t agfl_count;
	_Atomic uint32_t btree_blocks;		/* blocks of bnobt, cntbt and rmapbt besides their roots */
	_Atomic uint8_t bno_level, cnt_level, rmap_level, refcount_level;
	_Atomic uint32_t rmap_blocks, refcount_blocks;
	_Atomic uint32_t inodes, free_inodes;	/* AGI */
	/* Where the last inode was found, for the next search (XFS: pagl_*); AGI locked; NULLAGINO at first.
	 * ialloc's. */
	uint32_t last_search_parent, last_search_left, last_search_right;
	/* The finobt's share of the metadata reservation could not be had: it allocates like anybody else (XFS:
	 * m_finobt_nores).  [I] after space_start() */
	bool finobt_unreserved;
	/* Reservations, in blocks (XFS: pag_meta_resv, pag_rmapbt_resv); changed with the AGF locked. */
	struct ag_pool {
		uint32_t asked;
		_Atomic uint32_t reserved;	/* of those, not used by the trees yet */
		uint32_t hidden;		/* what was taken from the free counter for it */
	} metadata, rmapbt;

	/* Blocks whose freeing is not on disk yet (XFS: busy extents). */
	struct mutex busy_lock;			/* RANK_SPACE */
	struct busy_extent *busy;		/* [busy_lock] the root of a treap by block */
	uint64_t busy_generation;		/* [busy_lock] raised whenever blocks cease to be busy */
	/*
	 * AGF locked.  As long as the generation is that, no free extent that comes before (.count, .start) in the
	 * cntbt has .wanted blocks that are not busy.  .wanted 0: nothing is known.
	 */
	struct busy_prefix {
		uint64_t generation;
		uint32_t wanted, count, start;
	} busy_prefix;
};

/* In-memory only: sets up the AGs.  Reads nothing.  -ENOMEM. */
int space_create(struct buffer_cache *cache, const struct geometry *geo, struct space **out);
/* The log is gone or quiesced: nothing is busy any more.  NULL is fine. */
void space_destroy(struct space *space);

/*
 * Loads the counters: from @sb (its lazy counters are trusted: the volume was cleanly unmounted) or, when
 * @recount, from all AG headers.
 */
int space_load(struct space *space, const struct xfs_dsb *sb, bool recount);
/*
 * Read-write mounts: binds to the log, reads all AG headers, takes the reserve pool out of the free counter, then the
 * per-AG reservations (XFS: xfs_fs_reserve_ag_blocks); reads the tree sizes that it needs (with inobt_counts no tree
 * is walked).  A volume too full for them mounts with a warning, like XFS.
 */
int space_start(struct space *space, struct log *log);
/* Gives the per-AG reservations and the pool back to the counter (unmount, remount read-only). */
void space_stop(struct space *space);
/*
 * Writes the counters into the superblock, logged in a transaction of its own (unmount, freeze).  They are the sums
 * over all AGs, which is what xfs_repair counts; nothing else may be running.
 */
int space_log_superblock(struct space *space);
/*
 * Changes bytes [@first, @end) of the superblock, logged in a transaction of its own; @change says whether it did
 * change them.
 */
int space_change_superblock(struct space *space, uint32_t tx_flags, size_t first, size_t end,
			    bool (*change)(struct xfs_dsb *sb, void *context), void *context);

struct ag *space_ag(struct space *space, agno_t agno);
struct log *space_log(struct space *space);
struct buffer_cache *space_cache(struct space *space);
const struct geometry *space_geometry(struct space *space);
/* The most blocks that one allocation can ever give (XFS: m_ag_max_usable). */
uint32_t space_max_extent_blocks(struct space *space);

/* For log_create(). */
extern const struct tx_space_ops space_tx_ops;

/*
 * The free counter (XFS: xfs_dec_freecounter/xfs_add_freecounter).  space_take() fails with -ENOSPC unless,
 * afterwards, set-aside and the btree blocks still fit; with @use_pool the reserve pool may pay.  space_give()
 * refills the pool first.  Atomic, no lock unless the pool is touched.
 */
int space_take(struct space *space, uint64_t blocks, bool use_pool);
void space_give(struct space *space, uint64_t blocks);

struct space_counts {
	uint64_t blocks;		/* f_blocks: sb_dblocks less the internal log */
	uint64_t free_blocks;		/* f_bfree: counter less set-aside less btree blocks */
	uint64_t raw_free_blocks;	/* the counter itself: what speculation throttling looks at */
	uint64_t delayed_blocks;	/* delayed blocks with their indirect reservation */
	uint64_t inodes, free_inodes;	/* f_files and f_ffree as xfs_fs_statfs computes them */
	uint64_t allocated_inodes;	/* icount */
	uint64_t pool_blocks, pool_available;
};
void space_counts(struct space *space, struct space_counts *out);
/* Low-space thresholds: dblocks / 100 * @percent. */
uint64_t space_low_threshold(struct space *space, unsigned percent);
/* Delayed-allocation accounting only (the blocks themselves go through space_take/give). */
void space_add_delayed(struct space *space, int64_t blocks);
int space_set_pool(struct space *space, uint64_t blocks);
