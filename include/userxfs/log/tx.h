/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Transactions: a set of changes that happens entirely or not at all.  (XFS: xfs_trans, xfs_defer.)
 *
 *   tx_begin()     reserves log space and disk blocks; may block for log space; nothing is dirty
 *   join, change   objects are joined locked; the first tx_mark_dirty()/tx_buffer_log() is the point of no return:
 *                  from there on only tx_commit(), or tx_cancel() which then shuts the volume down
 *   tx_roll()      commits what was done so far and goes on in a new transaction of the same chain
 *   tx_commit()    finishes deferred work (rolling as often as needed), commits, releases locks, frees the tx
 *
 * Reserve, then change: callers find out ENOSPC and ENOENT before the first change.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/base/list.h>
#include <userxfs/buffer.h>
#include <userxfs/log/item.h>
#include <userxfs/log/reservation.h>

struct log;
struct tx;

/* What a transaction did to the volume's counters; handed to the space room when it commits. */
struct tx_deltas {
	int64_t icount, ifree;
	int64_t freed_blocks;		/* blocks freed: become available when the commit succeeds */
};

/* Told once what became of a transaction. */
struct durable_callback {
	struct list node;
	/* Everything the transaction committed next is on stable storage; @aborted: it never will be.  Called
	 * without locks but perhaps those of a thread that cancels a transaction; may take locks of RANK_SPACE;
	 * may free @cb. */
	void (*run)(struct durable_callback *cb, bool aborted);
};

/* How a transaction reserves disk blocks: given to log_create() by the owner of the counters. */
struct tx_space_ops {
	/* -ENOSPC.  @use_pool: the reserve pool is allowed. */
	int (*reserve)(void *context, uint64_t blocks, bool use_pool);
	void (*unreserve)(void *context, uint64_t blocks);
	void (*apply)(void *context, const struct tx_deltas *deltas);
};

enum tx_flag {
	TX_USE_POOL = 1 << 0,		/* block reservations may use the reserve pool */
	TX_SYNC = 1 << 1,		/* commit returns when it is on stable storage */
	TX_NO_WRITE_COUNT = 1 << 2,	/* allowed while the volume is frozen or being unmounted */
	TX_LOW_SPACE = 1 << 3,		/* allocator: set by itself in its last resort */
};

/* -ENOSPC (blocks), -EIO (shut down), -EROFS, -ENOMEM.  Blocks for log space. */
int tx_begin(struct log *log, const struct tx_reservation *res, uint64_t blocks, uint32_t flags, struct tx **out);
/* After the call @tx is gone, whatever it returns.  An error after the first change has shut the volume down. */
int tx_commit(struct tx *tx);
/* The number of the checkpoint that carries it (see log_force()) is left in *sequence. */
int tx_commit_sequence(struct tx *tx, uint64_t *sequence);
/* NULL is fine.  A dirty transaction shuts the volume down. */
void tx_cancel(struct tx *tx);

/*
 * Commits the changes so far and goes on with @tx, with a fresh log reservation and the unused block reservation.
 * Items with .stays_at_roll stay joined and locked (clean); buffers are released unless tx_buffer_hold() was called,
 * which then stay joined, held and locked; everything else leaves.  What stays and is old in the log is logged
 * again, so that the log's tail can move on.  On error @tx is unusable except for tx_cancel().
 */
int tx_roll(struct tx *tx);
/* Runs the deferred work queued so far (rolling); @tx stays open. */
int tx_finish_deferred(struct tx *tx);

struct log *tx_log(struct tx *tx);
struct buffer_cache *tx_cache(struct tx *tx);
const struct geometry *tx_geometry(struct tx *tx);
bool tx_is_dirty(const struct tx *tx);
uint32_t tx_flags(const struct tx *tx);
void tx_set_flags(struct tx *tx, uint32_t flags);
/* Highest AG whose header this transaction has locked so far, or AGNO_NONE; the allocator's rule against deadlock. */
agno_t tx_highest_ag(const struct tx *tx);
void tx_set_highest_ag(struct tx *tx, agno_t agno);

/* Blocks: consume @blocks of the reservation; give blocks back to it; report blocks freed. */
void tx_use_blocks(struct tx *tx, uint64_t blocks);
void tx_unuse_blocks(struct tx *tx, uint64_t blocks);
void tx_free_blocks(struct tx *tx, uint64_t blocks);
uint64_t tx_blocks_left(const struct tx *tx);
/* Raises the block reservation of a running, clean or dirty, transaction; -ENOSPC. */
int tx_reserve_more_blocks(struct tx *tx, uint64_t blocks);
void tx_change_inode_counts(struct tx *tx, int64_t icount, int64_t ifree);

/*
 * Runs @cb when what @tx commits next (its commit or its next roll) is durable, or when the transaction is
 * cancelled.
 */
void tx_add_durable_callback(struct tx *tx, struct durable_callback *cb);

/* Items other than buffers. */
void tx_join(struct tx *tx, struct log_item *item);
void tx_mark_dirty(struct tx *tx, struct log_item *item);
/* Takes a joined item out again (it stays locked); only when clean. */
void tx_unjoin(struct tx *tx, struct log_item *item);

/*
 * Buffers.  Read or got through the transaction they are joined; asking twice returns the same one (counted).
 * All are unlocked and put at commit.
 */
int tx_buffer_get(struct tx *tx, daddr_u64 daddr, uint32_t count, struct buffer **out);
int tx_buffer_get_maps(struct tx *tx, const struct buffer_map *maps, uint32_t map_count, struct buffer **out);
int tx_buffer_read(struct tx *tx, daddr_u64 daddr, uint32_t count, const struct block_type *type,
		   struct buffer **out);
int tx_buffer_read_maps(struct tx *tx, const struct buffer_map *maps, uint32_t map_count,
			const struct block_type *type, struct buffer **out);
/* Takes over a locked, referenced buffer. */
void tx_buffer_join(struct tx *tx, struct buffer *buf);
/* Logs bytes [@first_off, @end_off) of it (rounded to XFS's 128-byte chunks).  buf->type must be set. */
void tx_buffer_log(struct tx *tx, struct buffer *buf, uint32_t first_off, uint32_t end_off);
void tx_buffer_log_all(struct tx *tx, struct buffer *buf);
/* Written home at commit order but not logged: contents are described by another item (inode chunk creation). */
void tx_buffer_set_ordered(struct tx *tx, struct buffer *buf);
/*
 * It holds inodes: recovery replays only unlinked pointers unless @is_new_chunk (XFS_BLF_INODE_BUF,
 * INODE_ALLOC_BUF).
 */
void tx_buffer_set_inodes(struct tx *tx, struct buffer *buf, bool is_new_chunk);
/* The block is being freed: logged as cancelled, never replayed, never written. */
void tx_buffer_invalidate(struct tx *tx, struct buffer *buf);
/* Lets go before commit (one count); only if this transaction did not dirty it. */
void tx_buffer_release(struct tx *tx, struct buffer *buf);
/* Keeps it locked and referenced for the caller after commit (and joined after a roll). */
void tx_buffer_hold(struct tx *tx, struct buffer *buf);
void tx_buffer_unhold(struct tx *tx, struct buffer *buf);
bool tx_buffer_is_dirty(struct tx *tx, struct buffer *buf);

/*
 * Deferred work: steps that need a transaction of their own, with an intent in the log so that recovery finishes
 * them. (XFS: xfs_defer_ops.)
 *
 * At commit: intents of all queued work are logged in the running transaction, it rolls, then each item is finished
 * in order with its done item, rolling between.  Work queued while finishing goes before the rest.
 */
struct defer_item {
	struct list node;	/* first member of the owner's struct */
};

struct defer_type {
	const char *name;
	uint32_t max_items;	/* per intent */
	/* Optional.  Sorts the items of one intent (ascending AG). */
	int (*compare)(const struct defer_item *a, const struct defer_item *b);
	/* Required (NULL result allowed where nothing need be logged).  Logs an intent of @count items on @items. */
	struct log_item *(*create_intent)(struct tx *tx, struct list *items, uint32_t count);
	/* Required when intents exist.  Logs the done item; the intent is released when it commits. */
	struct log_item *(*create_done)(struct tx *tx, struct log_item *intent, uint32_t count);
	/* Required.  Does one item and frees it, also when it fails.  -EAGAIN: not finished: item updated in
	 * place; the rest is logged as a new intent, the transaction rolls, and it is called again.  *state:
	 * private to this intent, starts NULL. */
	int (*finish_item)(struct tx *tx, struct log_item *done, struct defer_item *item, void **state);
	void (*finish_cleanup)(struct tx *tx, void *state, int err);
	/* Required.  After a shutdown. */
	void (*cancel_item)(struct defer_item *item);
	void (*abort_intent)(struct log_item *intent);
};

/* Queues @item; consecutive items of a type share an intent up to max_items. */
void tx_defer(struct tx *tx, const struct defer_type *type, struct defer_item *item);
/* Whether work is queued. */
bool tx_has_deferred(const struct tx *tx);

/*
 * Work whose intent was found in the log after a crash.  Every such intent is done as far as its own items go before
 * anything that follows from them, because that was logged later, or not at all: it is captured, with intents of its
 * own, and comes after.  (XFS: xfs_defer_ops_capture.)
 */
struct deferred_chain {
	struct list node;
	struct list pending;
};

/* Instead of tx_defer(): @items (struct defer_item.node; taken) are what @intent promises.  @tx is new. */
void tx_defer_recovered(struct tx *tx, const struct defer_type *type, struct list *items, struct log_item *intent);
/* Does that and commits; what follows is appended to @chains.  An error has shut the volume down; @tx is gone. */
int tx_commit_captured(struct tx *tx, struct list *chains);
/* Goes on with @chain, which is gone then, in @tx, and commits. */
int tx_commit_chain(struct tx *tx, struct deferred_chain *chain);
/* After a shutdown. */
void deferred_chain_cancel(struct deferred_chain *chain);
