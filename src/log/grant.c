/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reserving log space.  (XFS: xlog_grant_head, xlog_ticket.)
 *
 * The capacity is the log less what must always be writable: a record that records a moved tail and the unmount
 * record.  Space is in use from the tail that the last durable record names to the head.
 *
 * Happy path: one mutex, two sums.  Otherwise waiters queue; one of them at a time makes space (log_make_space()),
 * and only the first of a queue is let through.  Why a ticket that is renewed gets space in the end: what it holds
 * locked was logged again at its last roll (tx_roll()), so that at most one unit's worth of log for each waiting
 * ticket cannot be freed; everything else can, and the units of waiting tickets count against new tickets.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "internal.h"

enum {
	RETRY_NS = 5 * 1000 * 1000,	/* nothing could be done: somebody else must get on first */
};

struct waiter {
	struct list node;
	uint64_t bytes;
};

static uint64_t used_bytes(const struct log *log)
{
	return (log->head - log->durable_tail) * BLOCK_BYTES;
}

uint64_t grant_used_bytes(struct log *log)
{
	uint64_t used;

	mutex_lock(&log->grant_lock);
	used = used_bytes(log);
	mutex_unlock(&log->grant_lock);
	return used;
}

bool grant_has_waiters(struct log *log)
{
	bool has;

	mutex_lock(&log->grant_lock);
	has = !list_is_empty(&log->begin_waiters) || !list_is_empty(&log->renew_waiters);
	mutex_unlock(&log->grant_lock);
	return has;
}

/* ---- how much ------------------------------------------------------------------------------------------------ */

uint64_t log_space_of_payload(const struct log *log, uint64_t payload_bytes)
{
	/* A record ends up to one op header and one word before its end, and what is split gets another op header. */
	uint64_t room = log->record_bytes - log->header_bytes - 2 * OP_BYTES;
	uint64_t fixed = 3 * OP_BYTES + sizeof(struct xfs_trans_header);
	/* One for the rest, one that is short to get to a multiple of round_bytes. */
	uint64_t records = (payload_bytes + fixed) / room + 2;

	return payload_bytes + fixed + records * (log->header_bytes + 2 * OP_BYTES) + 2 * log->round_bytes;
}

/* A unit can pay for a whole checkpoint of its own, or for the growth of somebody else's. */
static uint32_t unit_bytes(const struct log *log, const struct tx_reservation *res)
{
	uint64_t bytes = log_space_of_payload(log, res->log_bytes) + log->header_bytes + 2 * OP_BYTES;

	ensure(bytes <= UINT32_MAX);
	return (uint32_t)bytes;
}

/* ---- waiting ------------------------------------------------------------------------------------------------- */

static bool fits(const struct log *log, uint64_t sum, uint64_t bytes)
{
	return used_bytes(log) + sum + bytes <= log->capacity_bytes;
}

/* Frees some of the log.  true: something has changed, look again at once. */
static bool make_space(struct log *log)
{
	enum tail_progress progress = TAIL_NOTHING;
	lsn_t target = tail_target(log);
	logpos_t before, after;

	mutex_lock(&log->grant_lock);
	before = log->durable_tail;
	mutex_unlock(&log->grant_lock);

	if (target)
		tail_push(log, target, &progress);
	/* The tail that counts is the one on disk. */
	if (checkpoint_is_empty(log))
		checkpoint_write_tail(log);
	else
		log_force(log, 0, NULL);

	mutex_lock(&log->grant_lock);
	after = log->durable_tail;
	mutex_unlock(&log->grant_lock);
	return after != before || progress == TAIL_PROGRESS;
}

static void work_or_wait(struct log *log) REQUIRES(log->grant_lock);

static void work_or_wait(struct log *log)
{
	bool has_changed;

	if (log->is_making_space) {
		cond_wait(&log->grant_cond, &log->grant_lock);
		return;
	}
	log->is_making_space = true;
	mutex_unlock(&log->grant_lock);
	has_changed = make_space(log);
	mutex_lock(&log->grant_lock);
	log->is_making_space = false;
	cond_broadcast(&log->grant_cond);
	if (!has_changed)
		cond_wait_until(&log->grant_cond, &log->grant_lock, clock_now_ns() + RETRY_NS);
}

/* Waits behind the others of @queue until @bytes fit beside *@sum. */
static int wait_for_space(struct log *log, struct list *queue, const uint64_t *sum, uint64_t bytes)
	REQUIRES(log->grant_lock);

static int wait_for_space(struct log *log, struct list *queue, const uint64_t *sum, uint64_t bytes)
{
	struct waiter self = { .bytes = bytes };
	int err = 0;

	if (list_is_empty(queue) && fits(log, *sum, bytes))
		return log_is_shutdown(log) ? -EIO : 0;
	list_push_back(queue, &self.node);
	while (!(queue->next == &self.node && fits(log, *sum, bytes))) {
		if (log_is_shutdown(log)) {
			err = -EIO;
			break;
		}
		work_or_wait(log);
	}
	list_remove(&self.node);
	/* The next may fit as well, or be the one to work now. */
	cond_broadcast(&log->grant_cond);
	return err;
}

/* ---- tickets ------------------------------------------------------------------------------------------------- */

static void wake_waiters(struct log *log)
{
	if (!list_is_empty(&log->begin_waiters) || !list_is_empty(&log->renew_waiters))
		cond_broadcast(&log->grant_cond);
}

int ticket_begin(struct log *log, struct ticket *ticket, const struct tx_reservation *res)
{
	uint32_t units = res->log_count ? res->log_count : 1;
	uint64_t bytes;
	int err;

	*ticket = (struct ticket){ .unit_bytes = unit_bytes(log, res) };
	bytes = (uint64_t)units * ticket->unit_bytes;
	ensure(bytes <= log->capacity_bytes);

	mutex_lock(&log->grant_lock);
	err = wait_for_space(log, &log->begin_waiters, &log->reserve_bytes, bytes);
	if (!err) {
		log->reserve_bytes += bytes;
		log->write_bytes += bytes;
		ticket->units_left = units - 1;
		ticket->left_bytes = ticket->unit_bytes;
		ticket->has_unit = true;
	}
	mutex_unlock(&log->grant_lock);
	return err;
}

void ticket_end_unit(struct log *log, struct ticket *ticket)
{
	if (!ticket->has_unit)
		return;
	mutex_lock(&log->grant_lock);
	log->reserve_bytes -= ticket->left_bytes;
	log->write_bytes -= ticket->left_bytes;
	if (!ticket->units_left)
		log->reserve_bytes += ticket->unit_bytes;
	wake_waiters(log);
	mutex_unlock(&log->grant_lock);
	ticket->left_bytes = 0;
	ticket->has_unit = false;
}

int ticket_renew(struct log *log, struct ticket *ticket)
{
	int err = 0;

	ensure(!ticket->has_unit);
	if (ticket->units_left) {
		ticket->units_left--;
	} else {
		mutex_lock(&log->grant_lock);
		err = wait_for_space(log, &log->renew_waiters, &log->write_bytes, ticket->unit_bytes);
		if (!err)
			log->write_bytes += ticket->unit_bytes;
		mutex_unlock(&log->grant_lock);
	}
	if (err)
		return err;
	ticket->left_bytes = ticket->unit_bytes;
	ticket->has_unit = true;
	return 0;
}

void ticket_end(struct log *log, struct ticket *ticket)
{
	uint64_t bytes = (uint64_t)ticket->units_left * ticket->unit_bytes + ticket->left_bytes;

	mutex_lock(&log->grant_lock);
	log->reserve_bytes -= bytes;
	log->write_bytes -= bytes;
	/* Promised by ticket_end_unit(), not taken. */
	if (!ticket->has_unit && !ticket->units_left && ticket->unit_bytes)
		log->reserve_bytes -= ticket->unit_bytes;
	wake_waiters(log);
	mutex_unlock(&log->grant_lock);
	*ticket = (struct ticket){ .unit_bytes = 0 };
}

bool ticket_take(struct log *log, struct ticket *ticket, uint64_t bytes)
{
	uint64_t extra;
	bool is_there;

	if (bytes <= ticket->left_bytes) {
		ticket->left_bytes -= (uint32_t)bytes;
		return true;
	}
	extra = bytes - ticket->left_bytes;
	msg_warning("a transaction needs %llu bytes more log space than it reserved (%u)", (unsigned long long)extra,
		    ticket->unit_bytes);
	mutex_lock(&log->grant_lock);
	is_there = fits(log, log->write_bytes, extra);
	log->reserve_bytes += extra;
	log->write_bytes += extra;
	mutex_unlock(&log->grant_lock);
	ticket->left_bytes = 0;
	return is_there;
}

void grant_written(struct log *log, logpos_t head, logpos_t tail, uint64_t reserved_bytes)
{
	mutex_lock(&log->grant_lock);
	ensure(head >= log->head && tail >= log->durable_tail && tail <= head);
	ensure(log->reserve_bytes >= reserved_bytes && log->write_bytes >= reserved_bytes);
	log->head = head;
	log->durable_tail = tail;
	log->reserve_bytes -= reserved_bytes;
	log->write_bytes -= reserved_bytes;
	wake_waiters(log);
	mutex_unlock(&log->grant_lock);
}
