/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the files of the log room share. */
#include <pthread.h>
#include <stdatomic.h>

#include <userxfs/base/list.h>
#include <userxfs/base/lock.h>
#include <userxfs/log/item.h>
#include <userxfs/log/log.h>
#include <userxfs/log/tx.h>

enum {
	BLOCK_BYTES = SECTOR_UNIT_BYTES,	/* what a log block number counts */
	OP_BYTES = sizeof(struct xlog_op_header),
	CYCLE_WORDS = XLOG_HEADER_CYCLE_SIZE / BLOCK_BYTES, /* payload blocks one header block speaks for */
	RECORD_BYTES_MIN = XLOG_BIG_RECORD_BSIZE,
	RECORD_BYTES_MAX = XLOG_MAX_RECORD_BSIZE,
	STAGING_BYTES = 1 << 20,	/* of records that are written at once */
	/* How far back from the head recovery looks for holes, so the most that may be written without a flush. */
	SCAN_BYTES = XLOG_MAX_ICLOGS * XLOG_MAX_RECORD_BSIZE,
};

/* ---- positions ----------------------------------------------------------------------------------------------- */

/*
 * A position in the log that never wraps: cycle * blocks of the log + block.  What is between two positions is their
 * difference.
 */
typedef uint64_t logpos_t;

static inline logpos_t lsn_to_pos(uint64_t log_blocks, lsn_t lsn)
{
	return lsn_cycle(lsn) * log_blocks + lsn_block(lsn);
}

static inline lsn_t pos_to_lsn(uint64_t log_blocks, logpos_t pos)
{
	return lsn_make((uint32_t)(pos / log_blocks), (uint32_t)(pos % log_blocks));
}

/* ---- items and their formatted bytes (item.c) ---------------------------------------------------------------- */

struct log_region {
	uint32_t type;
	uint32_t off;			/* within the vector's data */
	uint32_t bytes;			/* a multiple of 4, not 0 */
};

/* What one item has to say in one checkpoint.  Owned by the item while .shadow, then by the checkpoint. */
struct log_vector {
	struct list node;		/* checkpoint->vectors, in order of commit */
	struct log_item *item;
	bool is_ordered;		/* no regions: the item only follows the checkpoint */
	uint32_t region_max, region_count;
	uint32_t data_max, data_used;
	uint32_t payload_bytes;		/* of all regions and their op headers */
	struct log_region regions[];	/* region_max of them, then the data, aligned to 8 */
};

struct log_region_writer {
	struct log_vector *vector;
};

/* Formats @item into its .shadow; without anything to say .shadow stays NULL. */
void log_item_prepare(struct log_item *item);
void log_vector_free(struct log_vector *vector);
const void *log_vector_data(const struct log_vector *vector, const struct log_region *region);
/* Calls .written of everything attached to @buf, detached. */
void log_items_written(struct buffer *buf, int err);

/* ---- reserved space (grant.c) -------------------------------------------------------------------------------- */

/*
 * A transaction's claim on log space.  The log's two sums:
 *   reserve_bytes  what is promised: every unit of every ticket, and what checkpoints not yet written will take
 *   write_bytes    the same without the units of tickets that wait in ticket_renew()
 * and at all times  used + write_bytes <= capacity.  New tickets also need  used + reserve_bytes <= capacity,  so
 * that a ticket that is renewed is never behind new ones.
 */
struct ticket {
	uint32_t unit_bytes;		/* of each transaction in the chain */
	uint32_t units_left;		/* paid for, without the current one */
	uint32_t left_bytes;		/* of the current unit */
	bool has_unit;			/* the current unit counts in write_bytes */
};

int ticket_begin(struct log *log, struct ticket *ticket, const struct tx_reservation *res);
/* What is left of the current unit goes back. */
void ticket_end_unit(struct log *log, struct ticket *ticket);
/* A new unit after ticket_end_unit(); may wait.  -EIO. */
int ticket_renew(struct log *log, struct ticket *ticket);
void ticket_end(struct log *log, struct ticket *ticket);
/*
 * Takes @bytes out of the current unit for a checkpoint; beyond its end from what is free.  false: there is not
 * enough.
 */
bool ticket_take(struct log *log, struct ticket *ticket, uint64_t bytes);
/* What a checkpoint of @payload_bytes takes on disk, at most. */
uint64_t log_space_of_payload(const struct log *log, uint64_t payload_bytes);
/* A checkpoint took @reserved_bytes out of tickets and has been written up to @head; @tail is durable. */
void grant_written(struct log *log, logpos_t head, logpos_t tail, uint64_t reserved_bytes);
uint64_t grant_used_bytes(struct log *log);
bool grant_has_waiters(struct log *log);

/* ---- checkpoints (checkpoint.c) ------------------------------------------------------------------------------ */

struct checkpoint {
	uint64_t sequence;
	struct list vectors;		/* [checkpoint lock] */
	struct list callbacks;		/* [checkpoint lock] */
	uint64_t payload_bytes;		/* [checkpoint lock] */
	uint64_t region_count;		/* [checkpoint lock] */
	uint64_t reserved_bytes;	/* [checkpoint lock] taken from tickets */
	uint64_t started_ns;		/* [checkpoint lock] when its first item came */
	_Atomic uint32_t committing;	/* transactions that have inserted but not let go of their items */
	lsn_t start_lsn;		/* [writer] */
};

int checkpoints_init(struct log *log);
void checkpoints_deinit(struct log *log);
/*
 * Adds the dirty items of @tx, formatted, to the current checkpoint, which is returned; checkpoint_inserted() follows
 * when the items have been let go of.
 */
struct checkpoint *checkpoint_insert(struct tx *tx);
void checkpoint_inserted(struct log *log, struct checkpoint *cp);
/* Slows down whoever commits when the current checkpoint is far too large. */
void checkpoint_throttle(struct log *log);
bool checkpoint_is_empty(struct log *log);
/* Becomes the one thread that writes records, to write something else than a checkpoint. */
void checkpoint_lock_writer(struct log *log);
void checkpoint_unlock_writer(struct log *log);
/* Records a tail that has moved, when nothing else is there to be written. */
void checkpoint_write_tail(struct log *log);
/* After a shutdown: nothing of what was committed will reach the disk. */
void checkpoint_abort_current(struct log *log);
uint64_t checkpoint_due_ns(struct log *log);

/* ---- records (record.c) -------------------------------------------------------------------------------------- */

/* Writes one run of operations; used by one thread at a time (log->is_writing). */
struct record_writer {
	struct log *log;
	logpos_t start;			/* of the staging area */
	uint64_t closed_bytes;		/* complete records in it */
	uint64_t open_bytes;		/* of the record being filled, with its header; 0: none */
	uint32_t op_count;		/* of that record */
	uint32_t tid;
	bool wrote;			/* some of the records, which no flush has made durable yet */
	int err;			/* the first; nothing is written after it */
};

int records_init(struct log *log);
void records_deinit(struct log *log);
void record_writer_init(struct log *log, struct record_writer *w);
/* The position of the record that the next operation starts in. */
logpos_t record_position(const struct record_writer *w);
void record_add_op(struct record_writer *w, uint8_t client, uint8_t flags, const void *data, uint32_t bytes);
/* Closes the last record, which names @tail, and makes everything durable.  The log's head moves behind it. */
int record_finish(struct record_writer *w, lsn_t tail);
/* Bytes of header blocks of a record of at most @record_bytes. */
uint32_t record_header_bytes(uint32_t record_bytes);
/* The same of a record on disk.  Old mkfs.xfs left h_size too small for the only record it writes. */
uint32_t record_headers_of(const struct xlog_rec_header *head);
/* NULL, or why nothing can be made of a record with this header; its checksum is not looked at. */
const char *record_header_verify(const struct geometry *geo, const struct xlog_rec_header *head);
/* Whether the checksum of a record is right, whichever machine has written it.  mkfs.xfs leaves it zero. */
bool record_crc_is_good(const struct xlog_rec_header *head, const void *payload, uint32_t payload_bytes);

/* ---- the tail (tail.c) --------------------------------------------------------------------------------------- */

void tail_init(struct log *log);
void tail_deinit(struct log *log);
void tail_insert(struct log *log, struct log_item *item, lsn_t lsn);
/* The LSN of the oldest item, or 0. */
lsn_t tail_first(struct log *log);
bool tail_is_empty(struct log *log);

enum tail_progress {
	TAIL_NOTHING,			/* no item up to the target */
	TAIL_PROGRESS,			/* something was written */
	TAIL_STUCK,			/* everything is locked */
	TAIL_FAILING,			/* reads or writes fail */
	TAIL_PINNED,			/* some of it is pinned: force the log */
};

/*
 * Pushes a bounded number of items with an LSN up to @target and waits for their writes.  false: another thread
 * is at it.
 */
bool tail_push(struct log *log, lsn_t target, enum tail_progress *progress);
/* The LSN up to which items should go so that a quarter of the log is free; 0: none. */
lsn_t tail_target(struct log *log);
/* What is in the list now goes home soon, also when there is space. */
void tail_push_all_later(struct log *log);
bool tail_has_target(struct log *log);
/* Whether @item is old enough to stand in the way of the tail. */
bool tail_is_in_the_way(struct log_item *item);
/* After a shutdown: every item leaves the list. */
void tail_drop(struct log *log);

/* ---- transactions (tx.c, tx_buffer.c, defer.c) --------------------------------------------------------------- */

struct tx {
	struct log *log;
	uint32_t flags;			/* enum tx_flag */
	bool is_dirty;
	struct ticket ticket;
	uint64_t blocks_left;
	struct tx_deltas deltas;
	agno_t highest_ag;
	struct list items;		/* struct log_item.tx_node */
	struct list callbacks;
	struct list deferred;		/* struct defer_pending, not started */
	struct list pending;		/* intents logged */
	uint64_t sequence;		/* of the checkpoint of its last commit */
};

/*
 * Commits what there is and lets go of the items (but those that stay, when @rolls).  On error nothing has
 * happened.
 */
int tx_commit_changes(struct tx *tx, bool rolls);
/* Takes an item of any kind out of @tx without telling it. */
void tx_forget(struct log_item *item);
void defer_cancel(struct tx *tx);

/* ---- buffer items (buffer_item.c) ---------------------------------------------------------------------------- */

enum buffer_item_flag {
	BUFFER_ITEM_HOLD = 1 << 0,	/* [tx] */
	BUFFER_ITEM_STALE = 1 << 1,	/* logged as cancelled */
	BUFFER_ITEM_INODES = 1 << 2,	/* unlinked pointers are what was logged */
	BUFFER_ITEM_NEW_INODES = 1 << 3, /* until written: keeps its first LSN */
};

/*
 * A buffer's log item.  Exists while a transaction has the buffer, a checkpoint carries it or it is in the tail list.
 * .chunks accumulates until the buffer is written home: each commit logs all of it again.
 */
struct buffer_item {
	struct log_item item;
	struct buffer *buf;		/* [I] a reference of its own */
	_Atomic uint32_t refs;		/* transactions and checkpoints that have it */
	_Atomic uint32_t flags;		/* enum buffer_item_flag; changed under the buffer's lock */
	uint32_t joined;		/* [buffer lock] times tx_buffer_*() returned it to the transaction */
	uint32_t chunk_count;		/* [I] of XFS_BLF_CHUNK bytes */
	uint64_t chunks[];		/* [buffer lock] bit map */
};

extern const struct log_item_ops buffer_item_ops;

/* The item of a locked buffer, made if there is none. */
struct buffer_item *buffer_item_get(struct log *log, struct buffer *buf);
void buffer_item_log(struct buffer_item *bip, uint32_t first_off, uint32_t end_off);
bool buffer_item_is_logged(const struct buffer_item *bip);
void buffer_item_clear(struct buffer_item *bip);
/* The hook of every buffer that has a log item or items attached. */
void buffer_item_write_done(struct buffer *buf);

/* ---- the log ------------------------------------------------------------------------------------------------- */

struct log {
	struct buffer_cache *cache;	/* [I] */
	struct device *dev;		/* [I] holds the log */
	struct device *data_dev;	/* [I] */
	uint64_t off_bytes;		/* [I] where the log starts on .dev */
	const struct geometry *geo;	/* [I] */
	const struct tx_space_ops *space; /* [I] may be NULL */
	void *space_context;
	struct log_options options;	/* [I] */
	struct tx_reservations reservations; /* [I] */
	uint64_t blocks;		/* [I] of the log */
	uint32_t record_bytes;		/* [I] */
	uint32_t header_bytes;		/* [I] of a record */
	uint32_t round_bytes;		/* [I] records end at multiples of it */
	uint64_t capacity_bytes;	/* [I] what tickets may take */
	uint64_t checkpoint_bytes;	/* [I] payload that makes a checkpoint large enough to be written */
	_Atomic uint32_t is_shutdown;

	/* RANK_CHECKPOINT */
	struct mutex checkpoint_lock;
	struct cond checkpoint_cond;
	struct checkpoint *current;	/* [checkpoint lock] */
	bool is_writing;		/* [checkpoint lock] somebody writes records */
	uint64_t next_idle_push_ns;	/* [checkpoint lock] */
	uint64_t durable_sequence;	/* [checkpoint lock] all up to it are on disk, their items unpinned */

	/* RANK_LOG_GRANT */
	struct mutex grant_lock;
	struct cond grant_cond;
	uint64_t reserve_bytes, write_bytes; /* [grant lock] see struct ticket */
	logpos_t head;			/* [grant lock; written by the writer alone] where the next record goes */
	logpos_t durable_tail;		/* [grant lock; likewise] named by the last durable record */
	struct list begin_waiters;	/* [grant lock] first come, first served */
	struct list renew_waiters;	/* [grant lock] */
	bool is_making_space;		/* [grant lock] one of the waiters works */

	/* The writer's. */
	char *staging;
	uint32_t previous_record;	/* block */
	uint32_t next_tid;

	/* RANK_LOG_TAIL */
	struct mutex tail_lock;
	struct cond tail_cond;
	struct list tail_items;		/* [tail lock] by LSN */
	struct list *push_cursor;	/* [tail lock] the next to be pushed */
	struct log_item *push_item;	/* [tail lock] inside .push */
	pthread_t push_thread;		/* [tail lock] */
	bool is_pushing;		/* [tail lock] */
	lsn_t idle_target;		/* [tail lock] everything up to it has been waiting for long */
	struct list writes;		/* the pusher's write list */

	/* RANK_LEAF: log_wait_work() */
	struct mutex work_lock;
	struct cond work_cond;
	bool has_work;			/* [work lock] */
};

void log_note_work(struct log *log);

/* ---- the head (head.c) --------------------------------------------------------------------------------------- */

/*
 * Blocks behind @head that carry its cycle already were under way in a crash; the first records written now must not
 * seem to go on with them.  They are given the cycle before.  (XFS: xlog_clear_stale_blocks.)
 */
int log_clear_ahead(struct device *dev, uint64_t off_bytes, const struct geometry *geo, const struct log_head *head);
