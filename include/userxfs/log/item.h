/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Log items: how something that lives in memory describes its changes to the log.  The log room knows bytes, order
 * and life cycle; what an item means is known only to its owner.  (XFS: xfs_log_item, xfs_item_ops.)
 *
 * Life of an item that is logged again and again (a buffer, an inode):
 *
 *   joined    tx_join()       the transaction holds the object's lock
 *   dirty     tx_mark_dirty() inside that transaction
 *   committed tx_commit()     .format copies the changes into the current checkpoint; the object is pinned once per
 *                             checkpoint that carries it; the lock is released (.release)
 *   in log    checkpoint on disk: .committed says the LSN, the item enters the tail list (XFS: AIL), .unpin
 *   written   the owner wrote the object home (after .push) and calls log_item_done(); it leaves the tail list
 *
 * Intents and their done items are logged once: the intent leaves the tail list when its done item is committed.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/base/list.h>
#include <userxfs/buffer.h>
#include <userxfs/format/ondisk.h>
#include <userxfs/format/units.h>

struct log;
struct tx;
struct log_item;
struct log_vector;	/* formatted bytes of one item; the log's */

/* Collects one item's regions during .format. */
struct log_region_writer;

/* Appends a copy of @bytes bytes as one region of type @region_type (XLOG_REG_TYPE_*; for the reader of a dump only).
 * Regions are padded with zeroes to 4 bytes (XFS requires 4-byte lengths).  @bytes > 0: recovery does not count empty
 * regions, so an item leaves them out and says so in its format. */
void log_region_add(struct log_region_writer *w, uint32_t region_type, const void *data, uint32_t bytes);
/* Reserves a region to be filled in place; zeroed. */
void *log_region_reserve(struct log_region_writer *w, uint32_t region_type, uint32_t bytes);

enum log_push_result {
	LOG_PUSH_QUEUED,	/* a buffer was added to the write list */
	LOG_PUSH_PINNED,	/* needs a log force first */
	LOG_PUSH_LOCKED,	/* somebody has it; try later */
	LOG_PUSH_FLUSHING,	/* already on its way */
	LOG_PUSH_FAILED,	/* could not be read or prepared: retried */
};

struct log_item_ops {
	const char *name;
	uint16_t type;		/* XFS_LI_* */
	/* The item stays joined, locked and clean when its transaction rolls (inodes).  Others but buffers leave. */
	bool stays_at_roll;
	/*
	 * Required.  Adds upper bounds of what .format will add to *regions and *bytes.  Nothing: the item is
	 * not logged.
	 */
	void (*size)(struct log_item *item, uint32_t *regions, uint32_t *bytes);
	/* Required.  Called with the object locked, inside tx_commit(); no failure, no blocking. */
	void (*format)(struct log_item *item, struct log_region_writer *w);
	/* Optional.  Called before .format of dirty items, may log more items of the same transaction.  An error
	 * makes the commit fail (and shuts down).  Calls are in ascending order of .sort_key, so that buffers are
	 * locked in an order. */
	int (*precommit)(struct tx *tx, struct log_item *item);
	/* Optional.  0 without. */
	uint64_t (*sort_key)(const struct log_item *item);
	/* Optional.  .pin: under a mutex of RANK_CHECKPOINT, when the item enters a checkpoint.  .unpin: once for
	 * each .pin, the last call for that checkpoint: after .committed, or alone when @aborted (the checkpoint
	 * will never reach the disk: shutdown).  May free the item. */
	void (*pin)(struct log_item *item);
	void (*unpin)(struct log_item *item, bool aborted);
	/* Required.  The transaction lets go: unlock the object unless the owner asked to keep it.  @dirty: it was
	 * committed (or cancelled) dirty; @aborted: cancelled after a shutdown.  May free a clean or done item. */
	void (*release)(struct log_item *item, bool dirty, bool aborted);
	/* Optional.  The checkpoint that carries it is on disk at @lsn.  Returns the LSN under which to enter the
	 * tail list (without: @lsn); 0: not at all (done items, which free themselves in .unpin).  Intents
	 * committed earlier in the same checkpoint are in the tail list already. */
	lsn_t (*committed)(struct log_item *item, lsn_t lsn);
	/* Required for items that enter the tail list.  Called without locks by one thread at a time; the item
	 * cannot leave the tail list under it (log_item_done() of other threads waits).  Must not block on locks
	 * (trylock and LOG_PUSH_LOCKED), may read from the device.  Adds a buffer to @writes with
	 * buffer_queue_write(). After a shutdown (log_is_shutdown()) nothing is written: it attaches and queues as
	 * always, or, when it cannot, drops the changes and calls log_item_done(). */
	enum log_push_result (*push)(struct log_item *item, struct list *writes);
	/* Optional.  A buffer this item was attached to has been written (@err 0), or its blocks are free and the
	 * log on disk says so (@err 0), or it could not be written (@err; the item is pushed again).  Buffer
	 * locked. After a shutdown, -EIO: the last call; the changes are lost and the item must leave the tail
	 * list. */
	void (*written)(struct log_item *item, struct buffer *buf, int err);
};

enum log_item_flag {
	LOG_ITEM_DIRTY = 1 << 0,	/* [tx] changed in the transaction it is joined to */
	LOG_ITEM_IN_TAIL_LIST = 1 << 1,	/* [tail lock] */
	LOG_ITEM_ABORTED = 1 << 2,
	LOG_ITEM_FAILED = 1 << 3,	/* its write home failed; retried */
	LOG_ITEM_ORDERED = 1 << 4,	/* [tx] goes with the checkpoint but has nothing in it */
};

struct log_item {
	const struct log_item_ops *ops;	/* [I] */
	struct log *log;		/* [I] */
	struct tx *tx;			/* [object lock] joined to */
	struct list tx_node;
	_Atomic uint32_t flags;		/* enum log_item_flag */
	_Atomic lsn_t lsn;		/* position in the tail list; 0 when not in it */
	struct list tail_node;
	/* The checkpoint's. */
	struct log_vector *vector;	/* [checkpoint lock] formatted, in checkpoint .sequence */
	struct log_vector *shadow;	/* [tx] formatted by the commit under way */
	struct log_item *ends;		/* [tx] done item: the intent it ends, if the log may leave out both */
	_Atomic uint64_t sequence;	/* checkpoint it was last committed to; 0 never; new before .pin is called */
	struct buffer *buffer;		/* [its lock] attached to */
	struct list buffer_node;	/* [its lock] buffer->attached_items */
};

void log_item_init(struct log *log, struct log_item *item, const struct log_item_ops *ops);

/* Whether changes of it are in the checkpoint now being filled: what it says there replaces what it said before. */
bool log_item_is_in_current_checkpoint(struct log_item *item);

/* An item that recovery found in the log at @lsn: it is in the tail list from now on. */
void log_item_recovered(struct log_item *item, lsn_t lsn);

/* The object is clean on disk (or gone): leaves the tail list, the log's tail may move.  Harmless when not in it.
 * When it returns no other thread is inside .push of @item, and the log does not touch it any more. */
void log_item_done(struct log_item *item);
/* Only if its LSN is still @lsn (it was not logged again meanwhile). */
void log_item_done_at(struct log_item *item, lsn_t lsn);
/* Buffer locked: when @buf has been written, or not, @item is detached and its .written called.  The buffer is held
 * until then. */
void log_item_attach(struct log_item *item, struct buffer *buf);
void log_item_detach(struct log_item *item);
