/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The volume's journal: checkpoints, records, the tail.  (XFS: xlog, the CIL and the AIL.)
 *
 * Transactions add their items to the current checkpoint.  A checkpoint is written as log records when it is large
 * enough, when somebody forces the log, or by a timer; its items then enter the tail list and are written home by
 * log_tail_pass(); the oldest of them is the tail, and log space before it is free.
 *
 * Order on disk, for one checkpoint: write all records but the last, which still name the tail that the last durable
 * record names; sample the new tail; flush data and log devices (everything written home before that tail, all file
 * data written before the force and the first records are durable); write the last record, which names the new tail
 * and holds the commit, with FUA.  Only then items are unpinned, and the space before the new tail is free: a
 * record never overwrites what the last durable record still needs.
 *
 * Threads: none of its own.  Whoever waits for log space or for a checkpoint does the work if nobody else is doing
 * it; the volume's threads call the passes so that nobody usually has to.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/buffer.h>
#include <userxfs/device.h>
#include <userxfs/format/geometry.h>
#include <userxfs/log/reservation.h>
#include <userxfs/log/tx.h>

struct log;

enum log_state {
	LOG_CLEAN,		/* unmount record at the head, or never used */
	LOG_DIRTY,		/* needs recovery */
	LOG_REPLAYED,		/* dirty, but all that it says is home; only intents may be left (log_recover()) */
};

struct log_head {
	enum log_state state;
	lsn_t head, tail;	/* head: where the next record goes */
	uint32_t cycle;		/* of the next record */
	uint32_t last_record;	/* block of the last record; UINT32_MAX: none */
};

/*
 * Finds head and tail on @dev (internal log: the data device, @off_bytes where the log starts).  Copes with torn
 * tails. -EFSCORRUPTED with a log line when it is no log of this volume (its UUID is checked).
 */
int log_find_head(struct device *dev, uint64_t off_bytes, const struct geometry *geo, struct log_head *out);

struct log_options {
	uint32_t record_bytes;		/* largest record, 32 KiB to 256 KiB; 0: 32 KiB, or the log's stripe unit */
	uint64_t checkpoint_interval_ns; /* 0: 30 s */
	bool read_only;			/* no record is ever written; tx_begin() gives -EROFS */
};

/*
 * Starts journaling at @head, which must not be LOG_DIRTY; a read-only log does not look at it.  LOG_REPLAYED: what
 * is in the log stays there until the first record names a later tail.  @log_dev may be the data
 * device.
 * @space answers block reservations of transactions.
 */
int log_create(struct buffer_cache *cache, struct device *log_dev, uint64_t log_off_bytes, const struct geometry *geo,
	       const struct log_head *head, const struct tx_space_ops *space, void *space_context,
	       const struct log_options *options, struct log **out);
/* Everything has been quiesced or the log is shut down.  NULL is fine. */
void log_destroy(struct log *log);

const struct tx_reservations *log_reservations(const struct log *log);
const struct geometry *log_geometry(const struct log *log);
struct buffer_cache *log_cache(const struct log *log);
bool log_is_read_only(const struct log *log);

/*
 * Makes everything committed so far durable (@sequence 0), or at least the checkpoint @sequence.  Concurrent forces
 * share one write.  *flushed (may be NULL): a flush of the data device was part of it.  -EIO when shut down.
 */
int log_force(struct log *log, uint64_t sequence, bool *flushed);
/* Whether checkpoint @sequence is on disk. */
bool log_is_durable(struct log *log, uint64_t sequence);
/* The checkpoint now being filled. */
uint64_t log_current_sequence(struct log *log);

/* Passes.  Each does a bounded round and says whether there is more to do at once. */
bool log_write_pass(struct log *log);		/* writes the checkpoint when it is large or old enough */
bool log_tail_pass(struct log *log);		/* writes items home so that the tail keeps up with its target */
/* Blocks until one of the passes has work, log_wake() is called or the deadline has come. */
void log_wait_work(struct log *log, uint64_t deadline_ns);
/* Wakes log_wait_work(). */
void log_wake(struct log *log);

/* Forces the log and writes every item home; returns when the tail list is empty.  Nobody starts transactions. */
int log_quiesce(struct log *log);
/* After log_quiesce(): the record that makes the log clean, durable on return. */
int log_write_unmount(struct log *log);

enum shutdown_reason {
	SHUTDOWN_CORRUPT_INCORE,	/* a dirty transaction was cancelled */
	SHUTDOWN_CORRUPT_ONDISK,	/* metadata on disk contradict themselves */
	SHUTDOWN_LOG_IO,		/* a log write failed */
	SHUTDOWN_META_IO,		/* metadata could not be written */
	SHUTDOWN_FLUSH,			/* the device could not be flushed */
	SHUTDOWN_FORCED,		/* asked for */
};

/* From here on nothing is written, every tx_begin() fails with -EIO; one log line; idempotent. */
void log_shutdown(struct log *log, enum shutdown_reason reason, const char *where);
bool log_is_shutdown(const struct log *log);
/*
 * Flushes the data device.  A failure shuts down: any write before it may be lost, and the next flush would not tell.
 */
int log_flush_device(struct log *log);
