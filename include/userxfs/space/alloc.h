/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Disk blocks: the free-space trees, the AGFL, allocation and freeing.  (XFS: libxfs/xfs_alloc.c, xfs_extent_busy.c.)
 *
 * Order against deadlock: a transaction locks AG headers in ascending order and keeps them until commit; with one
 * held, lower AGs are only tried (tx_highest_ag()).
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/log/tx.h>
#include <userxfs/space/space.h>

/* Who owns blocks, for the reverse map (XFS: xfs_owner_info).  Used also without rmapbt, to keep callers honest. */
struct rmap_owner {
	uint64_t owner;			/* inode number, or XFS_RMAP_OWN_* */
	fileblk_t off;			/* of the first block; bmbt blocks and special owners: ignored */
	bool is_attr_fork, is_bmbt;
	bool skip_update;		/* the caller maintains the reverse map itself (deferred) */
};

enum alloc_how {
	ALLOC_NEAR,			/* as near to .target as possible in its AG; other AGs after it by size */
	ALLOC_NEAR_THIS_AG,		/* only in .target's AG */
	ALLOC_EXACT,			/* exactly at .target or not at all */
	ALLOC_BY_SIZE_THIS_AG,		/* any place in .target's AG */
	ALLOC_FIRST_AG,			/* ascending AGs from .target's, wrapping */
};

struct alloc_request {
	/* Asked. */
	enum alloc_how how;
	struct fsblk target;
	uint32_t min_count, max_count;	/* blocks */
	uint32_t mod, prod;		/* result count % prod == mod; prod 0 or 1: no matter */
	uint32_t alignment;		/* of the first block within its AG; 0 or 1: none */
	uint32_t alignment_slop;	/* exact: extra that must be free, for an aligned try that may follow */
	uint32_t min_left;		/* blocks the AG must have left for the rest of this operation */
	uint64_t total;			/* blocks the whole operation needs from the AG; 0: no matter */
	struct rmap_owner owner;
	enum ag_reservation resv;
	bool is_user_data;		/* respects busy extents */
	agblk_t min_agblk, max_agblk;	/* 0, 0: no bounds (sparse inode chunks) */
	/* Answered. */
	struct fsblk start;		/* FSBLK_NONE: nothing fits; the call still returns 0 */
	uint32_t count;
	bool was_from_agfl;
};

/* The blocks are charged to the transaction's reservation unless req.resv pays. */
int space_alloc(struct tx *tx, struct space *space, struct alloc_request *req);

/*
 * Frees blocks now; the AGF is locked by this transaction or comes in order.  The blocks are busy until that is on
 * disk.
 * -EAGAIN: in a full AG, only what this transaction itself has freed is left for the AGFL; it has to roll first.
 */
int space_free(struct tx *tx, struct space *space, struct fsblk start, uint32_t count, const struct rmap_owner *owner,
	       enum ag_reservation resv);
/*
 * Queues the freeing as deferred work with an EFI.  The "truncate" log reservation is for four extents: roll before
 * queueing more.  @skip_discard: not worth a discard.
 */
void space_free_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count,
			 const struct rmap_owner *owner, enum ag_reservation resv, bool skip_discard);

/* Reads and locks the AG's header in the transaction and refreshes the summaries of its struct ag.  @try: *out = NULL
 * when it is locked by somebody else. */
int ag_read_agf(struct tx *tx, struct ag *ag, bool try, struct buffer **out);
int ag_read_agi(struct tx *tx, struct ag *ag, struct buffer **out);
/* Outside a transaction, only to fill the summaries. */
int ag_load_agf(struct ag *ag);
int ag_load_agi(struct ag *ag);
/* The longest extent that could be had in @ag after the AGFL is refilled and @resv respected. */
uint32_t ag_longest_free(struct ag *ag, enum ag_reservation resv);
/* AGFL blocks needed before any change of the AG's trees. */
uint32_t ag_min_agfl(struct ag *ag);
/* Brings the AGFL to its minimum (both directions). */
int ag_fix_agfl(struct tx *tx, struct ag *ag, struct buffer *agf);
/* One block from, to the AGFL: for the trees of this AG only. */
int agfl_take(struct tx *tx, struct ag *ag, struct buffer *agf, agblk_t *out, bool for_btree);
int agfl_put(struct tx *tx, struct ag *ag, struct buffer *agf, agblk_t agblk, bool for_btree);
/* Logs AGF fields: XFS_AGF_* bits. */
void agf_log(struct tx *tx, struct buffer *agf, uint32_t fields);
void agi_log(struct tx *tx, struct buffer *agi, uint32_t fields);

/* Reservations of an AG's trees (XFS: xfs_ag_resv_*). */
bool ag_resv_is_critical(struct ag *ag, enum ag_reservation resv);
uint32_t ag_resv_needed(struct ag *ag, enum ag_reservation resv);
void ag_resv_account_alloc(struct tx *tx, struct ag *ag, enum ag_reservation resv, uint32_t count);
void ag_resv_account_free(struct tx *tx, struct ag *ag, enum ag_reservation resv, uint32_t count);

/* Waits until no freed block of the volume is busy any more (forces the log). */
int space_flush_busy(struct space *space);

/* Checks one AG against itself: bnobt and cntbt agree with each other and with the AGF, AGFL sane.  For tests. */
int ag_verify(struct ag *ag);
