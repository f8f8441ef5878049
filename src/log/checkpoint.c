/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Checkpoints: what transactions committed, gathered and written at once.  (XFS: the CIL.)
 *
 * There is one current checkpoint; commits add to it under the checkpoint lock.  Whoever wants it on disk and finds
 * nobody writing becomes the writer: it puts an empty one in its place, writes it without the lock, hands its items
 * to the tail list and unpins them, and then marks its sequence durable.  Who comes meanwhile waits; when the
 * writer is done one of them writes everything that was committed since, for all of them.
 *
 * A transaction's items are inserted together, so a checkpoint holds all of a transaction or nothing.  An item that
 * is logged again in the same checkpoint replaces what it said before.
 *
 * After a shutdown the writer aborts checkpoints instead of writing them; whoever forces the log gets it done.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "internal.h"

enum {
	SMALLEST_CHECKPOINT = 64 << 10,
	LARGEST_CHECKPOINT = 32 << 20,
};

/* ---- the current one ----------------------------------------------------------------------------------------- */

static struct checkpoint *checkpoint_new(uint64_t sequence)
{
	struct checkpoint *cp = mem_alloc_zeroed_sure(sizeof(*cp));

	cp->sequence = sequence;
	list_init(&cp->vectors);
	list_init(&cp->callbacks);
	return cp;
}

int checkpoints_init(struct log *log)
{
	uint64_t eighth = log->blocks * BLOCK_BYTES / 8;

	mutex_init(&log->checkpoint_lock, RANK_CHECKPOINT, 0, "checkpoint");
	cond_init(&log->checkpoint_cond);
	log->checkpoint_bytes = max_u64(min_u64(eighth, LARGEST_CHECKPOINT), SMALLEST_CHECKPOINT);
	log->current = checkpoint_new(1);
	return 0;
}

void checkpoints_deinit(struct log *log)
{
	ensure(list_is_empty(&log->current->vectors) && !log->is_writing);
	mem_free(log->current);
	cond_deinit(&log->checkpoint_cond);
	mutex_deinit(&log->checkpoint_lock);
}

static bool has_content(const struct checkpoint *cp)
{
	return !list_is_empty(&cp->vectors) || !list_is_empty(&cp->callbacks);
}

bool checkpoint_is_empty(struct log *log)
{
	bool is_empty;

	mutex_lock(&log->checkpoint_lock);
	is_empty = !has_content(log->current);
	mutex_unlock(&log->checkpoint_lock);
	return is_empty;
}

uint64_t log_current_sequence(struct log *log)
{
	uint64_t sequence;

	mutex_lock(&log->checkpoint_lock);
	sequence = log->current->sequence;
	mutex_unlock(&log->checkpoint_lock);
	return sequence;
}

bool log_is_durable(struct log *log, uint64_t sequence)
{
	bool is_durable;

	mutex_lock(&log->checkpoint_lock);
	is_durable = log->durable_sequence >= sequence;
	mutex_unlock(&log->checkpoint_lock);
	return is_durable;
}

bool log_item_is_in_current_checkpoint(struct log_item *item)
{
	return atomic_load(&item->sequence) == log_current_sequence(item->log);
}

/* ---- inserting ----------------------------------------------------------------------------------------------- */

/*
 * Puts @item's formatted changes into @cp.  What they replace is left in .shadow, to be freed without the lock.
 */
static void insert_item(struct checkpoint *cp, struct log_item *item)
{
	struct log_vector *fresh = item->shadow, *old = NULL;

	if (atomic_load(&item->sequence) == cp->sequence)
		old = item->vector;
	/* What was logged in this checkpoint stays logged. */
	if (old && fresh->is_ordered)
		return;
	if (old) {
		list_remove(&old->node);
		cp->payload_bytes -= old->payload_bytes;
		cp->region_count -= old->region_count;
	} else {
		atomic_store(&item->sequence, cp->sequence);
		if (item->ops->pin)
			item->ops->pin(item);
	}
	list_push_back(&cp->vectors, &fresh->node);
	cp->payload_bytes += fresh->payload_bytes;
	cp->region_count += fresh->region_count;
	item->vector = fresh;
	item->shadow = old;
}

/* Leaves out what @v says; its item goes through the checkpoint all the same. */
static void silence(struct checkpoint *cp, struct log_vector *v)
{
	cp->payload_bytes -= v->payload_bytes;
	cp->region_count -= v->region_count;
	v->payload_bytes = 0;
	v->region_count = 0;
}

/* An intent and its done item in one checkpoint say nothing to recovery.  (XFS: whiteouts.) */
static void silence_pair(struct checkpoint *cp, struct log_item *done)
{
	struct log_item *intent = done->ends;

	if (!intent || atomic_load(&intent->sequence) != cp->sequence)
		return;
	silence(cp, intent->vector);
	silence(cp, done->vector);
}

/* Moves reserved space from the transaction to the checkpoint. */
static bool take_space(struct tx *tx, struct checkpoint *cp)
{
	uint64_t needed = log_space_of_payload(tx->log, cp->payload_bytes);
	uint64_t missing = needed > cp->reserved_bytes ? needed - cp->reserved_bytes : 0;

	cp->reserved_bytes += missing;
	return !missing || ticket_take(tx->log, &tx->ticket, missing);
}

struct checkpoint *checkpoint_insert(struct tx *tx)
{
	struct log *log = tx->log;
	struct checkpoint *cp;
	bool is_enough, is_large;
	uint64_t before;

	mutex_lock(&log->checkpoint_lock);
	cp = log->current;
	if (!has_content(cp))
		cp->started_ns = clock_now_ns();
	before = cp->payload_bytes;
	list_for_each(node, &tx->items) {
		struct log_item *item = list_entry(node, struct log_item, tx_node);

		if (!item->shadow)
			continue;
		insert_item(cp, item);
		silence_pair(cp, item);
	}
	is_enough = take_space(tx, cp);
	list_splice_back(&cp->callbacks, &tx->callbacks);
	tx->sequence = cp->sequence;
	atomic_fetch_add(&cp->committing, 1);
	is_large = before < log->checkpoint_bytes && cp->payload_bytes >= log->checkpoint_bytes;
	mutex_unlock(&log->checkpoint_lock);

	if (!is_enough)
		log_shutdown(log, SHUTDOWN_CORRUPT_INCORE, "a transaction needs more log than there is");
	if (is_large || before == 0)
		log_note_work(log);
	list_for_each(node, &tx->items) {
		struct log_item *item = list_entry(node, struct log_item, tx_node);

		log_vector_free(item->shadow);
		item->shadow = NULL;
	}
	return cp;
}

void checkpoint_inserted(struct log *log, struct checkpoint *cp)
{
	/* The writer may free it as soon as the count is zero and the lock is free. */
	mutex_lock(&log->checkpoint_lock);
	if (atomic_fetch_sub(&cp->committing, 1) == 1)
		cond_broadcast(&log->checkpoint_cond);
	mutex_unlock(&log->checkpoint_lock);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static void add_vector(struct record_writer *w, const struct log_vector *v)
{
	for (uint32_t i = 0; i < v->region_count; i++)
		record_add_op(w, XFS_TRANSACTION, 0, log_vector_data(v, &v->regions[i]), v->regions[i].bytes);
}

/* The tail that a record written now may name: all before it is home. */
static lsn_t sample_tail(struct log *log, lsn_t start_lsn)
{
	lsn_t first = tail_first(log);

	return first ? first : start_lsn;
}

/* Writes @cp and moves head and tail of the log. */
static int write_records(struct log *log, struct checkpoint *cp)
{
	struct xfs_trans_header head = {
		.th_magic = XFS_TRANS_HEADER_MAGIC,
		.th_type = XFS_TRANS_CHECKPOINT,
		.th_num_items = (uint32_t)cp->region_count,
	};
	struct record_writer w;
	lsn_t tail;
	int err;

	record_writer_init(log, &w);
	head.th_tid = (int32_t)w.tid;
	cp->start_lsn = pos_to_lsn(log->blocks, record_position(&w));
	/* Recovery does not take transactions of nothing; but who forces the log counts on the flush. */
	if (!cp->region_count) {
		grant_written(log, log->head, log->durable_tail, cp->reserved_bytes);
		return device_flush(log->data_dev);
	}
	record_add_op(&w, XFS_TRANSACTION, XLOG_START_TRANS, NULL, 0);
	record_add_op(&w, XFS_TRANSACTION, 0, &head, sizeof(head));
	list_for_each(node, &cp->vectors)
		add_vector(&w, list_entry(node, struct log_vector, node));
	record_add_op(&w, XFS_TRANSACTION, XLOG_COMMIT_TRANS, NULL, 0);

	tail = sample_tail(log, cp->start_lsn);
	err = record_finish(&w, tail);
	if (err)
		return err;
	ensure((w.start - log->head) * BLOCK_BYTES <= cp->reserved_bytes);
	grant_written(log, w.start, lsn_to_pos(log->blocks, tail), cp->reserved_bytes);
	return 0;
}

/* The items of @cp go on: into the tail list, or nowhere. */
static void finish_items(struct log *log, struct checkpoint *cp, bool aborted)
{
	while (!list_is_empty(&cp->vectors)) {
		struct log_vector *v = list_first(&cp->vectors, struct log_vector, node);
		struct log_item *item = v->item;
		lsn_t lsn = cp->start_lsn;

		list_remove(&v->node);
		log_vector_free(v);
		if (!aborted) {
			if (item->ops->committed)
				lsn = item->ops->committed(item, lsn);
			if (lsn)
				tail_insert(log, item, lsn);
		}
		if (item->ops->unpin)
			item->ops->unpin(item, aborted);
	}
	while (!list_is_empty(&cp->callbacks)) {
		struct durable_callback *cb = list_first(&cp->callbacks, struct durable_callback, node);

		list_remove(&cb->node);
		cb->run(cb, aborted);
	}
}

/* Becomes the writer and takes the current checkpoint. */
static struct checkpoint *begin_writing(struct log *log) REQUIRES(log->checkpoint_lock);

static struct checkpoint *begin_writing(struct log *log)
{
	struct checkpoint *cp = log->current;

	ensure(!log->is_writing);
	log->is_writing = true;
	log->current = checkpoint_new(cp->sequence + 1);
	return cp;
}

static void wait_for_committers(struct log *log, struct checkpoint *cp)
{
	mutex_lock(&log->checkpoint_lock);
	while (atomic_load(&cp->committing))
		cond_wait(&log->checkpoint_cond, &log->checkpoint_lock);
	mutex_unlock(&log->checkpoint_lock);
}

/* Writes the current checkpoint, or aborts it after a shutdown.  Called with the lock, which is dropped meanwhile. */
static void write_current(struct log *log) REQUIRES(log->checkpoint_lock);

static void write_current(struct log *log)
{
	struct checkpoint *cp = begin_writing(log);
	bool is_aborted = false;

	mutex_unlock(&log->checkpoint_lock);
	if (log_is_shutdown(log)) {
		is_aborted = true;
	} else if (write_records(log, cp)) {
		is_aborted = true;
		log_shutdown(log, SHUTDOWN_LOG_IO, "writing log records");
	}
	wait_for_committers(log, cp);
	finish_items(log, cp, is_aborted);
	if (!is_aborted)
		log_note_work(log);

	mutex_lock(&log->checkpoint_lock);
	log->is_writing = false;
	if (!is_aborted)
		log->durable_sequence = cp->sequence;
	cond_broadcast(&log->checkpoint_cond);
	mem_free(cp);
}

/* ---- forcing ------------------------------------------------------------------------------------------------- */

int log_force(struct log *log, uint64_t sequence, bool *flushed)
{
	bool did_flush;
	int err = 0;

	mutex_lock(&log->checkpoint_lock);
	if (!sequence || sequence > log->current->sequence)
		sequence = log->current->sequence;
	if (sequence == log->current->sequence && !has_content(log->current))
		sequence--;
	/* A write that has begun already may have flushed before what the caller wants flushed was written. */
	did_flush = sequence == log->current->sequence;
	while (log->durable_sequence < sequence) {
		if (log->is_writing) {
			cond_wait(&log->checkpoint_cond, &log->checkpoint_lock);
		} else if (has_content(log->current)) {
			write_current(log);
		} else {
			/* Aborted. */
			ensure(log_is_shutdown(log));
			break;
		}
	}
	if (log->durable_sequence < sequence)
		err = -EIO;
	mutex_unlock(&log->checkpoint_lock);

	if (!err && log_is_shutdown(log))
		err = -EIO;
	if (!err && flushed)
		*flushed = did_flush;
	return err;
}

void checkpoint_abort_current(struct log *log)
{
	ensure(log_is_shutdown(log));
	mutex_lock(&log->checkpoint_lock);
	while (log->is_writing)
		cond_wait(&log->checkpoint_cond, &log->checkpoint_lock);
	if (has_content(log->current))
		write_current(log);
	mutex_unlock(&log->checkpoint_lock);
}

void checkpoint_throttle(struct log *log)
{
	mutex_lock(&log->checkpoint_lock);
	while (log->current->payload_bytes >= 2 * log->checkpoint_bytes) {
		if (log->is_writing)
			cond_wait(&log->checkpoint_cond, &log->checkpoint_lock);
		else
			write_current(log);
	}
	mutex_unlock(&log->checkpoint_lock);
}

void checkpoint_lock_writer(struct log *log)
{
	mutex_lock(&log->checkpoint_lock);
	while (log->is_writing)
		cond_wait(&log->checkpoint_cond, &log->checkpoint_lock);
	log->is_writing = true;
	mutex_unlock(&log->checkpoint_lock);
}

void checkpoint_unlock_writer(struct log *log)
{
	mutex_lock(&log->checkpoint_lock);
	log->is_writing = false;
	cond_broadcast(&log->checkpoint_cond);
	mutex_unlock(&log->checkpoint_lock);
}

/*
 * A record with the start of a transaction that never commits: recovery forgets it, but finds the tail in its header.
 */
void checkpoint_write_tail(struct log *log)
{
	struct record_writer w;
	lsn_t tail;
	int err = 0;

	checkpoint_lock_writer(log);
	if (log_is_shutdown(log))
		goto unlock;
	record_writer_init(log, &w);
	tail = sample_tail(log, pos_to_lsn(log->blocks, record_position(&w)));
	/* Only worth it when it frees more than it takes. */
	if (lsn_to_pos(log->blocks, tail) - log->durable_tail > log->record_bytes / BLOCK_BYTES) {
		record_add_op(&w, XFS_TRANSACTION, XLOG_START_TRANS, NULL, 0);
		err = record_finish(&w, tail);
		if (!err)
			grant_written(log, w.start, lsn_to_pos(log->blocks, tail), 0);
	}
	if (err)
		log_shutdown(log, SHUTDOWN_LOG_IO, "writing log records");
unlock:
	checkpoint_unlock_writer(log);
}

/* ---- passes -------------------------------------------------------------------------------------------------- */

static bool is_due(const struct log *log, uint64_t now_ns)
{
	const struct checkpoint *cp = log->current;

	if (!has_content(cp))
		return false;
	return log_is_shutdown(log) || cp->payload_bytes >= log->checkpoint_bytes ||
	       now_ns >= cp->started_ns + log->options.checkpoint_interval_ns;
}

uint64_t checkpoint_due_ns(struct log *log)
{
	uint64_t due = UINT64_MAX;

	mutex_lock(&log->checkpoint_lock);
	if (has_content(log->current))
		due = log->current->started_ns + log->options.checkpoint_interval_ns;
	mutex_unlock(&log->checkpoint_lock);
	return due;
}

bool log_write_pass(struct log *log)
{
	uint64_t now_ns = clock_now_ns();
	bool has_more, is_idle_due;

	mutex_lock(&log->checkpoint_lock);
	if (!log->is_writing && is_due(log, now_ns))
		write_current(log);
	has_more = !log->is_writing && is_due(log, clock_now_ns());
	is_idle_due = now_ns >= log->next_idle_push_ns;
	if (is_idle_due)
		log->next_idle_push_ns = now_ns + log->options.checkpoint_interval_ns;
	mutex_unlock(&log->checkpoint_lock);

	if (is_idle_due)
		tail_push_all_later(log);
	return has_more;
}
