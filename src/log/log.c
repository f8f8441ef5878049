/* SPDX-License-Identifier: GPL-2.0 */
/* The log as a whole: its beginning, its end, and shutting down. */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "internal.h"

enum {
	INTERVAL_DEFAULT_S = 30,
	STUCK_RETRY_NS = 50 * 1000 * 1000,
	QUIESCE_RETRY_NS = 1000 * 1000,
	QUIESCE_TRIES = 5,		/* rounds in a row in which writes failed */
};

/* ---- what the buffer cache asks ------------------------------------------------------------------------------ */

static void cache_force_log(void *context)
{
	struct log *log = context;

	if (!log->options.read_only)
		log_force(log, 0, NULL);
}

static bool cache_is_shut_down(void *context)
{
	return log_is_shutdown(context);
}

static const struct buffer_cache_ops cache_ops = {
	.force_log = cache_force_log,
	.is_shut_down = cache_is_shut_down,
};

/* ---- create -------------------------------------------------------------------------------------------------- */

/* XFS's rule for the size of records: a multiple of the log's stripe unit. */
static int choose_record_bytes(struct log *log)
{
	uint64_t unit = log->geo->log_sunit_bytes > 1 ? log->geo->log_sunit_bytes : BLOCK_BYTES;
	uint64_t bytes = log->options.record_bytes ? log->options.record_bytes : RECORD_BYTES_MIN;

	log->round_bytes = (uint32_t)max_u64(max_u64(unit, log->geo->log_sector_bytes), log->dev->alignment_bytes);
	bytes = round_up_u64(bytes, unit);
	if (bytes < RECORD_BYTES_MIN || bytes > RECORD_BYTES_MAX || bytes % BLOCK_BYTES ||
	    log->round_bytes > bytes || log->round_bytes % BLOCK_BYTES) {
		msg_error("the log's stripe unit of %llu bytes does not fit records of %llu bytes",
			  (unsigned long long)unit, (unsigned long long)bytes);
		return -EINVAL;
	}
	log->record_bytes = (uint32_t)bytes;
	log->header_bytes = record_header_bytes(log->record_bytes);
	return 0;
}

static uint64_t reservation_bytes(const struct log *log, const struct tx_reservation *res)
{
	return res->log_count * (log_space_of_payload(log, res->log_bytes) + log->header_bytes + 2 * OP_BYTES);
}

/* The largest chain must fit, beside a record that moves the tail and the unmount record. */
static int choose_capacity(struct log *log)
{
	const struct tx_reservation *res = (const struct tx_reservation *)&log->reservations;
	uint64_t bytes = log->blocks * BLOCK_BYTES, largest = 0;
	uint64_t spare = 2 * (log->header_bytes + BLOCK_BYTES + log->round_bytes) + log->record_bytes;

	for (size_t i = 0; i < sizeof(log->reservations) / sizeof(*res); i++)
		largest = max_u64(largest, reservation_bytes(log, &res[i]));
	if (bytes < spare + largest) {
		msg_error("a log of %llu bytes is too small: %llu are needed; make the volume with a larger log",
			  (unsigned long long)bytes, (unsigned long long)(spare + largest));
		return -EINVAL;
	}
	log->capacity_bytes = bytes - spare;
	return 0;
}

static int choose_sizes(struct log *log)
{
	int err = choose_record_bytes(log);

	if (!err)
		err = choose_capacity(log);
	return err;
}

static int check_head(const struct log *log, const struct log_head *head)
{
	/* Never written to: where it ends does not matter, nor whether that was looked up. */
	if (log->options.read_only)
		return 0;
	if (head->state == LOG_DIRTY) {
		msg_error("the log is dirty: it must be replayed before anything is added to it");
		return -EINVAL;
	}
	/* The one cycle number that would look like a record's magic is never reached from here. */
	if (lsn_block(head->head) >= log->blocks || lsn_cycle(head->head) == 0 ||
	    lsn_cycle(head->head) >= XLOG_HEADER_MAGIC_NUM / 2) {
		msg_error("log head %u:%u is out of bounds", lsn_cycle(head->head), lsn_block(head->head));
		return -EFSCORRUPTED;
	}
	return 0;
}

/*
 * What recovery read stays until a record is written that names a later tail.  In a log that is full to the brim
 * there may be no room for one; then the replayed part gives way at once, as it does in XFS.
 */
static logpos_t first_tail(const struct log *log, const struct log_head *head)
{
	logpos_t tail = lsn_to_pos(log->blocks, head->tail);

	if (head->state != LOG_REPLAYED || log->options.read_only ||
	    (log->head - tail) * BLOCK_BYTES > log->capacity_bytes)
		return log->head;
	return tail;
}

int log_create(struct buffer_cache *cache, struct device *log_dev, uint64_t log_off_bytes, const struct geometry *geo,
	       const struct log_head *head, const struct tx_space_ops *space, void *space_context,
	       const struct log_options *options, struct log **out)
{
	struct log *log = mem_alloc_zeroed(sizeof(*log));
	int err;

	if (!log)
		return -ENOMEM;
	log->cache = cache;
	log->dev = log_dev;
	log->data_dev = buffer_cache_device(cache);
	log->off_bytes = log_off_bytes;
	log->geo = geo;
	log->space = space;
	log->space_context = space_context;
	log->options = *options;
	if (!log->options.checkpoint_interval_ns)
		log->options.checkpoint_interval_ns = INTERVAL_DEFAULT_S * NS_PER_SEC;
	log->blocks = blocks_to_bytes(geo, geo->log_blocks) / BLOCK_BYTES;
	tx_reservations_init(geo, &log->reservations);

	err = check_head(log, head);
	if (!err && !options->read_only)
		err = choose_sizes(log);
	if (!err && !options->read_only)
		err = log_clear_ahead(log_dev, log_off_bytes, geo, head);
	if (!err)
		err = records_init(log);
	if (err)
		goto free_log;

	mutex_init(&log->grant_lock, RANK_LOG_GRANT, 0, "log grant");
	cond_init(&log->grant_cond);
	list_init(&log->begin_waiters);
	list_init(&log->renew_waiters);
	mutex_init(&log->work_lock, RANK_LEAF, 0, "log work");
	cond_init(&log->work_cond);
	tail_init(log);
	log->head = lsn_to_pos(log->blocks, head->head);
	log->durable_tail = first_tail(log, head);
	log->previous_record = head->last_record;
	log->next_tid = (uint32_t)hash_u64((uint64_t)clock_wall().tv_sec ^ (uint64_t)clock_wall().tv_nsec << 32);
	checkpoints_init(log);
	log->next_idle_push_ns = clock_now_ns() + log->options.checkpoint_interval_ns;
	buffer_cache_set_ops(cache, &cache_ops, log);
	*out = log;
	return 0;

free_log:
	mem_free(log);
	return err;
}

/* Nothing of a shut down log's items stays behind. */
static void drop_everything(struct log *log)
{
	checkpoint_abort_current(log);
	tail_drop(log);
}

void log_destroy(struct log *log)
{
	if (!log)
		return;
	if (log_is_shutdown(log))
		drop_everything(log);
	buffer_cache_set_ops(log->cache, NULL, NULL);
	/* Somebody else has written what was still queued. */
	buffer_cancel_list(&log->writes);
	checkpoints_deinit(log);
	tail_deinit(log);
	ensure(list_is_empty(&log->begin_waiters) && list_is_empty(&log->renew_waiters));
	cond_deinit(&log->grant_cond);
	mutex_deinit(&log->grant_lock);
	cond_deinit(&log->work_cond);
	mutex_deinit(&log->work_lock);
	records_deinit(log);
	mem_free(log);
}

const struct tx_reservations *log_reservations(const struct log *log)
{
	return &log->reservations;
}

const struct geometry *log_geometry(const struct log *log)
{
	return log->geo;
}

struct buffer_cache *log_cache(const struct log *log)
{
	return log->cache;
}

bool log_is_read_only(const struct log *log)
{
	return log->options.read_only;
}

/* ---- work ---------------------------------------------------------------------------------------------------- */

void log_note_work(struct log *log)
{
	mutex_lock(&log->work_lock);
	log->has_work = true;
	cond_broadcast(&log->work_cond);
	mutex_unlock(&log->work_lock);
}

void log_wake(struct log *log)
{
	log_note_work(log);
}

void log_wait_work(struct log *log, uint64_t deadline_ns)
{
	deadline_ns = min_u64(deadline_ns, checkpoint_due_ns(log));
	/* What could not be written home just now is tried again before long. */
	if (tail_has_target(log))
		deadline_ns = min_u64(deadline_ns, clock_now_ns() + STUCK_RETRY_NS);

	mutex_lock(&log->work_lock);
	while (!log->has_work) {
		if (!cond_wait_until(&log->work_cond, &log->work_lock, deadline_ns))
			break;
	}
	log->has_work = false;
	mutex_unlock(&log->work_lock);
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

/* One round of writing everything home.  *failures counts rounds in a row without progress. */
static int quiesce_round(struct log *log, unsigned *failures)
{
	enum tail_progress progress = TAIL_STUCK;
	int err = log_force(log, 0, NULL);

	if (err)
		return err;
	tail_push(log, UINT64_MAX, &progress);
	*failures = progress == TAIL_FAILING ? *failures + 1 : 0;
	if (*failures >= QUIESCE_TRIES) {
		log_shutdown(log, SHUTDOWN_META_IO, "metadata could not be written");
		return -EIO;
	}
	if (progress == TAIL_STUCK || progress == TAIL_FAILING)
		clock_sleep_ns(QUIESCE_RETRY_NS << *failures);
	return 0;
}

int log_quiesce(struct log *log)
{
	unsigned failures = 0;
	int err = 0;

	if (log->options.read_only)
		return 0;
	do {
		err = quiesce_round(log, &failures);
	} while (!err && !(tail_is_empty(log) && checkpoint_is_empty(log)));
	if (log_is_shutdown(log)) {
		drop_everything(log);
		err = -EIO;
	}
	return err;
}

static int write_unmount_record(struct log *log)
{
	struct {
		uint16_t magic, pad1;
		uint32_t pad2;
	} body = { .magic = XLOG_UNMOUNT_TYPE };
	struct record_writer w;
	int err;

	record_writer_init(log, &w);
	record_add_op(&w, XFS_LOG, XLOG_UNMOUNT_TRANS, &body, sizeof(body));
	err = record_finish(&w, pos_to_lsn(log->blocks, log->head));
	/* What is behind it needs nothing before it. */
	if (!err)
		grant_written(log, w.start, w.start, 0);
	return err;
}

int log_write_unmount(struct log *log)
{
	int err;

	if (log->options.read_only)
		return 0;
	if (log_is_shutdown(log))
		return -EIO;
	ensure(tail_is_empty(log) && checkpoint_is_empty(log));
	checkpoint_lock_writer(log);
	err = write_unmount_record(log);
	checkpoint_unlock_writer(log);
	if (!err)
		return 0;
	log_shutdown(log, SHUTDOWN_LOG_IO, "writing the unmount record");
	return -EIO;
}

/* ---- shutdown ------------------------------------------------------------------------------------------------ */

static const char *const shutdown_reasons[] = {
	[SHUTDOWN_CORRUPT_INCORE] = "metadata in memory are inconsistent",
	[SHUTDOWN_CORRUPT_ONDISK] = "metadata on disk are inconsistent",
	[SHUTDOWN_LOG_IO] = "the log could not be written",
	[SHUTDOWN_META_IO] = "metadata could not be written",
	[SHUTDOWN_FLUSH] = "what was written may be lost",
	[SHUTDOWN_FORCED] = "asked for",
};

void log_shutdown(struct log *log, enum shutdown_reason reason, const char *where)
{
	if (atomic_exchange(&log->is_shutdown, 1))
		return;
	msg_error("shutting down: %s (%s); nothing is written any more: unmount, then recover or run xfs_repair",
		  shutdown_reasons[reason], where);
	/* Without its mutex: the caller may hold anything.  A wake-up that is lost costs a waiter its time limit. */
	cond_broadcast(&log->grant_cond);
}

bool log_is_shutdown(const struct log *log)
{
	return atomic_load(&((struct log *)(uintptr_t)log)->is_shutdown);
}

int log_flush_device(struct log *log)
{
	int err = device_flush(log->data_dev);

	if (err)
		log_shutdown(log, SHUTDOWN_FLUSH, "flushing the device");
	return err;
}
