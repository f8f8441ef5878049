/* SPDX-License-Identifier: GPL-2.0 */
/* Log space: who gets it, who waits, and who makes more of it. */
#include <stdatomic.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/thread.h>

#include "fixture.h"

#include "log/internal.h"

static void setup(struct fixture *f)
{
	fixture_make(f, 300 << 20, "");
	assert_int_equal(image_shell("mkfs.xfs --unsupported -q -f -K -l size=6m %s 2>/dev/null", f->path), 0);
	fixture_mount(f, NULL);
}

static void teardown(struct fixture *f)
{
	if (log_is_shutdown(f->log)) {
		fixture_crash(f);
	} else {
		assert_int_equal(f->log->reserve_bytes, f->log->current->reserved_bytes);
		assert_int_equal(f->log->write_bytes, f->log->current->reserved_bytes);
		fixture_unmount(f);
		assert_repair_clean(f);
	}
	fixture_remove(f);
}

static struct tx *begin(struct fixture *f)
{
	struct tx *tx;

	assert_int_equal(tx_begin(f->log, &log_reservations(f->log)->rename, 0, 0, &tx), 0);
	return tx;
}

static uint64_t chain_bytes(struct fixture *f, const struct tx *tx)
{
	return (uint64_t)tx->ticket.unit_bytes * log_reservations(f->log)->rename.log_count;
}

/* Begins transactions until the next would have to wait. */
static unsigned begin_all(struct fixture *f, struct tx **txs)
{
	unsigned n = 0;

	do {
		txs[n++] = begin(f);
	} while (f->log->reserve_bytes + grant_used_bytes(f->log) + chain_bytes(f, txs[0]) <= f->log->capacity_bytes);
	return n;
}

struct beginner {
	struct fixture *f;
	struct thread thread;
	struct tx *tx;
	int err;
	unsigned place;
	_Atomic bool is_done;
};

static _Atomic unsigned next_place;

static void *begin_in_thread(void *arg)
{
	struct beginner *b = arg;

	b->err = tx_begin(b->f->log, &log_reservations(b->f->log)->rename, 0, 0, &b->tx);
	b->place = atomic_fetch_add(&next_place, 1);
	atomic_store(&b->is_done, true);
	return NULL;
}

static unsigned waiting(struct fixture *f)
{
	unsigned n = 0;

	mutex_lock(&f->log->grant_lock);
	list_for_each(node, &f->log->begin_waiters)
		n++;
	list_for_each(node, &f->log->renew_waiters)
		n++;
	mutex_unlock(&f->log->grant_lock);
	return n;
}

static void start(struct fixture *f, struct beginner *b, unsigned n)
{
	b->f = f;
	atomic_store(&b->is_done, false);
	assert_int_equal(thread_create(&b->thread, "begin", begin_in_thread, b), 0);
	while (waiting(f) < n)
		clock_sleep_ns(100000);
}

static void full_log_is_waited_for_in_order(void **state)
{
	struct beginner b[3] = { { 0 } };
	struct tx *txs[32];
	struct fixture f;
	unsigned n;

	setup(&f);
	atomic_store(&next_place, 0);
	n = begin_all(&f, txs);
	for (unsigned i = 0; i < 3; i++)
		start(&f, &b[i], i + 1);
	assert_false(atomic_load(&b[0].is_done));
	for (unsigned i = 0; i < 3; i++) {
		tx_cancel(txs[--n]);
		thread_join(&b[i].thread);
		assert_int_equal(b[i].err, 0);
		assert_int_equal(b[i].place, i);
	}
	for (unsigned i = 0; i < 3; i++)
		tx_cancel(b[i].tx);
	while (n)
		tx_cancel(txs[--n]);
	teardown(&f);
}

static void shutdown_ends_the_waiting(void **state)
{
	struct beginner b = { 0 };
	struct tx *txs[32];
	struct fixture f;
	unsigned n;

	setup(&f);
	n = begin_all(&f, txs);
	start(&f, &b, 1);
	quiet();
	log_shutdown(f.log, SHUTDOWN_FORCED, "test");
	loud();
	thread_join(&b.thread);
	assert_int_equal(b.err, -EIO);
	while (n)
		tx_cancel(txs[--n]);
	teardown(&f);
}

/* Puts a checkpoint into the log; what only the first one holds keeps the tail there. */
static void fill_once(struct fixture *f, bool is_first)
{
	struct tx *tx = begin(f);

	for (unsigned agno = 0; agno < (is_first ? 4 : 3); agno++)
		fixture_log_ag(f, tx, agno);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(log_force(f->log, 0, NULL), 0);
}

/* Nobody else is there to do it. */
static void waiter_writes_home_what_stands_in_its_way(void **state)
{
	struct fixture f;
	lsn_t first;

	setup(&f);
	fill_once(&f, true);
	first = tail_first(f.log);
	while (f.log->head / f.log->blocks < 3)
		fill_once(&f, false);
	assert_true(tail_first(f.log) > first);
	teardown(&f);
}

/* Everything is home, and nothing is there to be logged: the tail on disk must move all the same. */
static void moved_tail_is_recorded_for_a_waiter(void **state)
{
	enum tail_progress progress;
	logpos_t tail;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	fill_once(&f, true);
	while (grant_used_bytes(f.log) < f.log->capacity_bytes / 2)
		fill_once(&f, false);
	while (!tail_is_empty(f.log))
		tail_push(f.log, UINT64_MAX, &progress);
	tail = f.log->durable_tail;
	assert_true(grant_used_bytes(f.log) >= f.log->capacity_bytes / 2);
	/* As if more of it were in use. */
	mutex_lock(&f.log->grant_lock);
	f.log->capacity_bytes = (f.log->head - tail) * 512 + 1000;
	mutex_unlock(&f.log->grant_lock);
	tx = begin(&f);
	assert_true(f.log->durable_tail > tail);
	tx_cancel(tx);
	/* A record that holds nothing but the tail is nothing to recovery. */
	fixture_crash(&f);
	if (may_mount())
		kernel_mount(&f, true);
	assert_repair_clean(&f);
	fixture_remove(&f);
}

static void overrun_is_paid_from_what_is_free(void **state)
{
	struct tx_reservation small = { .log_bytes = 100, .log_count = 1 };
	struct fixture f;
	struct tx *tx;

	setup(&f);
	assert_int_equal(tx_begin(f.log, &small, 0, 0, &tx), 0);
	for (unsigned agno = 0; agno < 4; agno++)
		fixture_log_ag(&f, tx, agno);
	quiet();
	assert_int_equal(tx_commit(tx), 0);
	loud();
	assert_false(log_is_shutdown(f.log));
	assert_int_equal(f.log->reserve_bytes, f.log->current->reserved_bytes);
	teardown(&f);
}

/* Better than to overwrite the tail. */
static void overrun_of_a_full_log_shuts_down(void **state)
{
	struct tx_reservation small = { .log_bytes = 100, .log_count = 1 };
	struct tx *txs[32], *tx;
	struct fixture f;
	unsigned n;

	setup(&f);
	assert_int_equal(tx_begin(f.log, &small, 0, 0, &tx), 0);
	n = begin_all(&f, txs);
	f.log->capacity_bytes = f.log->write_bytes;
	for (unsigned agno = 0; agno < 4; agno++)
		fixture_log_ag(&f, tx, agno);
	quiet();
	tx_commit(tx);
	loud();
	assert_true(log_is_shutdown(f.log));
	while (n)
		tx_cancel(txs[--n]);
	teardown(&f);
}

/* What rolls must not wait for what has not begun. */
static void chain_that_rolls_goes_before_new_ones(void **state)
{
	struct beginner b = { 0 };
	struct tx *txs[32];
	struct fixture f;
	unsigned n;

	setup(&f);
	n = begin_all(&f, txs);
	start(&f, &b, 1);
	for (unsigned i = 0; i < 5; i++) {
		fixture_log_agf(&f, txs[0], 0);
		assert_int_equal(tx_roll(txs[0]), 0);
	}
	assert_int_equal(tx_commit(txs[0]), 0);
	while (n > 1)
		tx_cancel(txs[--n]);
	thread_join(&b.thread);
	assert_int_equal(b.err, 0);
	tx_cancel(b.tx);
	teardown(&f);
}

/* A chain that goes on for long with a buffer held: what it holds does not keep the tail where it is. */
static void held_buffer_is_logged_again_when_it_is_in_the_way(void **state)
{
	struct buffer *held;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = begin(&f);
	held = fixture_read(&f, tx, 3, 1, &block_agf);
	tx_buffer_log(tx, held, 0, 512);
	tx_buffer_hold(tx, held);
	while (f.log->head / f.log->blocks < 3) {
		for (unsigned agno = 0; agno < 3; agno++)
			fixture_log_ag(&f, tx, agno);
		assert_int_equal(tx_roll(tx), 0);
		assert_int_equal(log_force(f.log, 0, NULL), 0);
	}
	tx_buffer_unhold(tx, held);
	assert_int_equal(tx_commit(tx), 0);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_log_is_waited_for_in_order),
		cmocka_unit_test(shutdown_ends_the_waiting),
		cmocka_unit_test(waiter_writes_home_what_stands_in_its_way),
		cmocka_unit_test(moved_tail_is_recorded_for_a_waiter),
		cmocka_unit_test(overrun_is_paid_from_what_is_free),
		cmocka_unit_test(overrun_of_a_full_log_shuts_down),
		cmocka_unit_test(chain_that_rolls_goes_before_new_ones),
		cmocka_unit_test(held_buffer_is_logged_again_when_it_is_in_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
