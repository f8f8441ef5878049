/* SPDX-License-Identifier: GPL-2.0 */
/* Transactions and what becomes of their items. */
#include "fake_item.h"

#include "log/internal.h"

static void setup(struct fixture *f)
{
	fixture_make(f, 300 << 20, "");
	fixture_mount(f, NULL);
}

/* Items of no real kind must not be left in the log. */
static void teardown(struct fixture *f)
{
	if (log_is_shutdown(f->log))
		fixture_crash(f);
	else
		fixture_unmount(f);
	assert_repair_clean(f);
	fixture_remove(f);
}

/* For tests that end with what no kernel would recover. */
static void teardown_unchecked(struct fixture *f)
{
	if (!log_is_shutdown(f->log))
		assert_int_equal(log_quiesce(f->log), 0);
	fixture_close(f);
	fixture_remove(f);
}

/* ---- life of items ------------------------------------------------------------------------------------------- */

static void item_goes_through_its_states(void **state)
{
	struct fake_item item;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	fake_init(&f, &item, &fake_ops, 100, 'a');
	tx = fixture_begin(&f);
	fake_join_dirty(tx, &item);
	assert_true(tx_is_dirty(tx));
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(item.releases, 1);
	assert_int_equal(item.pins, 1);
	assert_int_equal(item.unpins, 0);
	assert_true(log_item_is_in_current_checkpoint(&item.item));

	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(item.commits, 1);
	assert_int_equal(item.unpins, 1);
	assert_int_equal(atomic_load(&item.item.lsn), item.lsn);
	assert_int_equal(tail_first(f.log), item.lsn);

	assert_int_equal(log_quiesce(f.log), 0);
	assert_int_equal(item.pushes, 1);
	assert_true(tail_is_empty(f.log));
	teardown_unchecked(&f);
}

static void item_logged_twice_in_a_checkpoint_is_in_it_once(void **state)
{
	struct fake_item item;
	struct fixture f;
	uint64_t payload;

	setup(&f);
	fake_init(&f, &item, &fake_ops, 1000, 'a');
	for (unsigned i = 0; i < 3; i++) {
		struct tx *tx = fixture_begin(&f);

		fake_join_dirty(tx, &item);
		assert_int_equal(tx_commit(tx), 0);
		if (i == 0)
			payload = f.log->current->payload_bytes;
		assert_int_equal(f.log->current->payload_bytes, payload);
	}
	assert_int_equal(item.pins, 1);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(item.unpins, 1);
	teardown_unchecked(&f);
}

static void item_logged_again_moves_towards_the_head(void **state)
{
	struct fake_item a, b;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	fake_init(&f, &a, &fake_ops, 100, 'a');
	fake_init(&f, &b, &fake_ops, 100, 'b');
	tx = fixture_begin(&f);
	fake_join_dirty(tx, &a);
	fake_join_dirty(tx, &b);
	assert_int_equal(tx_commit(tx), 0);
	log_force(f.log, 0, NULL);
	assert_int_equal(a.lsn, b.lsn);
	tx = fixture_begin(&f);
	fake_join_dirty(tx, &a);
	assert_int_equal(tx_commit(tx), 0);
	log_force(f.log, 0, NULL);
	assert_true(a.lsn > b.lsn);
	assert_int_equal(tail_first(f.log), b.lsn);
	log_item_done(&b.item);
	assert_int_equal(tail_first(f.log), a.lsn);
	log_item_done_at(&a.item, a.lsn - 1);
	assert_int_equal(tail_first(f.log), a.lsn);
	log_item_done_at(&a.item, a.lsn);
	assert_true(tail_is_empty(f.log));
	teardown_unchecked(&f);
}

static void done_item_does_not_enter_the_tail_list(void **state)
{
	struct fake_item item;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	fake_init(&f, &item, &fake_ops, 16, 'd');
	item.is_done_item = true;
	tx = fixture_begin(&f);
	fake_join_dirty(tx, &item);
	assert_int_equal(tx_commit(tx), 0);
	log_force(f.log, 0, NULL);
	assert_int_equal(item.commits, 1);
	assert_int_equal(item.unpins, 1);
	assert_true(tail_is_empty(f.log));
	teardown_unchecked(&f);
}

static void item_with_nothing_to_say_is_not_logged(void **state)
{
	struct fake_item item;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	fake_init(&f, &item, &fake_ops, 0, 'n');
	tx = fixture_begin(&f);
	fake_join_dirty(tx, &item);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(item.pins, 0);
	assert_int_equal(item.releases, 1);
	assert_true(checkpoint_is_empty(f.log));
	teardown(&f);
}

static void precommit_hooks_run_in_order_of_their_keys(void **state)
{
	struct fake_item items[4];
	static const uint64_t keys[] = { 30, 10, 40, 20 };
	char trace[16] = "";
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	for (unsigned i = 0; i < 4; i++) {
		fake_init(&f, &items[i], &precommit_ops, 0, (char)('0' + keys[i] / 10));
		items[i].key = keys[i];
		items[i].trace = trace;
		fake_join_dirty(tx, &items[i]);
	}
	assert_int_equal(tx_commit(tx), 0);
	assert_string_equal(trace, "1234");
	teardown(&f);
}

/* ---- cancelling ---------------------------------------------------------------------------------------------- */

static void clean_transaction_can_be_cancelled(void **state)
{
	struct fixture f;
	struct buffer *buf;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	buf = fixture_read(&f, tx, 0, 1, &block_agf);
	assert_true(olock_is_locked(&buf->lock));
	tx_cancel(tx);
	assert_false(log_is_shutdown(f.log));
	assert_int_equal(f.log->reserve_bytes, 0);
	assert_int_equal(f.log->write_bytes, 0);
	assert_int_equal(buffer_find(f.cache, ag_header_daddr(&f.geo, 0, 1), 1, true, &buf), 0);
	assert_non_null(buf);
	assert_null(buf->log_item);
	buffer_release(buf);
	tx_cancel(NULL);
	teardown(&f);
}

static void cancelling_a_dirty_transaction_shuts_down(void **state)
{
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	fixture_set_label(&f, tx, "lost");
	quiet();
	tx_cancel(tx);
	loud();
	assert_true(log_is_shutdown(f.log));
	assert_int_equal(tx_begin(f.log, &log_reservations(f.log)->write, 0, 0, &tx), -EIO);
	assert_int_equal(log_force(f.log, 0, NULL), -EIO);
	teardown(&f);
}

static void commit_after_a_shutdown_fails_and_frees_everything(void **state)
{
	struct fake_item item;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	fake_init(&f, &item, &fake_ops, 100, 'a');
	tx = fixture_begin(&f);
	fixture_set_label(&f, tx, "lost");
	fake_join_dirty(tx, &item);
	quiet();
	log_shutdown(f.log, SHUTDOWN_FORCED, "test");
	assert_int_equal(tx_commit(tx), -EIO);
	loud();
	assert_int_equal(item.releases, 1);
	assert_int_equal(item.pins, 0);
	teardown(&f);
}

/* Committed, in the tail list, and pinned: all are dropped without a leak. */
static void shutdown_drops_items_in_every_state(void **state)
{
	struct fixture f;
	struct tx *tx;
	struct buffer *buf;

	setup(&f);
	fixture_commit_label(&f, "tail");
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	fixture_commit_label(&f, "pinned");
	tx = fixture_begin(&f);
	fixture_log_agf(&f, tx, 1);
	buf = fixture_read(&f, tx, 2, 1, &block_agf);
	tx_buffer_invalidate(tx, buf);
	assert_int_equal(tx_commit(tx), 0);
	quiet();
	log_shutdown(f.log, SHUTDOWN_FORCED, "test");
	assert_int_equal(log_quiesce(f.log), -EIO);
	loud();
	assert_true(tail_is_empty(f.log));
	fixture_close(&f);
	fixture_remove(&f);
}

static void log_write_error_shuts_down(void **state)
{
	struct fake_item item;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	fake_init(&f, &item, &fake_ops, 100, 'a');
	tx = fixture_begin(&f);
	fake_join_dirty(tx, &item);
	assert_int_equal(tx_commit(tx), 0);
	fixture_commit_label(&f, "lost");
	assert_int_equal(fault_arm("device_write:nth=1"), 0);
	quiet();
	assert_int_equal(log_force(f.log, 0, NULL), -EIO);
	fault_disarm_all();
	assert_int_equal(item.aborts, 1);
	assert_int_equal(item.commits, 0);
	assert_true(log_is_shutdown(f.log));
	loud();
	teardown(&f);
}

static void metadata_write_error_is_retried(void **state)
{
	struct fixture f;

	setup(&f);
	fixture_commit_label(&f, "retried");
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(fault_arm("device_write:nth=1"), 0);
	quiet();
	assert_int_equal(log_quiesce(f.log), 0);
	loud();
	fault_disarm_all();
	fixture_unmount(&f);
	assert_label(&f, "retried");
	assert_repair_clean(&f);
	fixture_remove(&f);
}

static void metadata_that_cannot_be_written_at_the_end_shut_down(void **state)
{
	struct fixture f;

	setup(&f);
	fixture_commit_label(&f, "never");
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(fault_arm("device_write:every=1"), 0);
	quiet();
	assert_int_equal(log_quiesce(f.log), -EIO);
	fault_disarm_all();
	assert_true(log_is_shutdown(f.log));
	fixture_close(&f);
	loud();
	/* The log has it. */
	if (may_mount()) {
		kernel_mount(&f, true);
		assert_label(&f, "never");
	}
	fixture_remove(&f);
}

static enum log_push_result push_what_cannot_be_read(struct log_item *item, struct list *writes)
{
	fake_of(item)->pushes++;
	if (log_is_shutdown(item->log))
		log_item_done(item);
	return LOG_PUSH_FAILED;
}

/* An inode whose cluster cannot be read again, for example. */
static void an_item_that_cannot_be_prepared_at_the_end_shuts_down(void **state)
{
	struct log_item_ops ops = fake_ops;
	struct fake_item item;
	struct fixture f;
	struct tx *tx;

	ops.push = push_what_cannot_be_read;
	setup(&f);
	fake_init(&f, &item, &ops, 100, 'a');
	tx = fixture_begin(&f);
	fake_join_dirty(tx, &item);
	assert_int_equal(tx_commit(tx), 0);
	quiet();
	assert_int_equal(log_quiesce(f.log), -EIO);
	loud();
	assert_true(log_is_shutdown(f.log));
	assert_true(item.pushes > 1);
	teardown_unchecked(&f);
}

/* ---- rolling ------------------------------------------------------------------------------------------------- */

static void roll_keeps_what_stays_and_lets_go_of_the_rest(void **state)
{
	struct fake_item stays, leaves;
	struct buffer *held, *other;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	fake_init(&f, &stays, &staying_ops, 100, 's');
	fake_init(&f, &leaves, &fake_ops, 100, 'l');
	tx = fixture_begin(&f);
	fake_join_dirty(tx, &stays);
	fake_join_dirty(tx, &leaves);
	held = fixture_read(&f, tx, 0, 1, &block_agf);
	tx_buffer_log(tx, held, 0, 512);
	tx_buffer_hold(tx, held);
	other = fixture_read(&f, tx, 1, 1, &block_agf);
	tx_buffer_log(tx, other, 0, 512);

	assert_int_equal(tx_roll(tx), 0);
	assert_false(tx_is_dirty(tx));
	assert_int_equal(stays.releases, 0);
	assert_ptr_equal(stays.item.tx, tx);
	assert_int_equal(leaves.releases, 1);
	assert_true(olock_is_locked(&held->lock));
	assert_ptr_equal(held->tx, tx);
	assert_false(tx_buffer_is_dirty(tx, held));
	assert_false(olock_is_locked(&other->lock));

	tx_mark_dirty(tx, &stays.item);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(stays.releases, 1);
	/* Still the caller's. */
	assert_true(olock_is_locked(&held->lock));
	assert_null(held->tx);
	buffer_release(held);
	teardown_unchecked(&f);
}

static void chain_gets_a_new_reservation_at_every_roll(void **state)
{
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	for (unsigned i = 0; i < 10; i++) {
		fixture_log_agf(&f, tx, i % 4);
		assert_int_equal(tx_roll(tx), 0);
		assert_int_equal(tx->ticket.left_bytes, tx->ticket.unit_bytes);
	}
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(f.log->reserve_bytes, f.log->current->reserved_bytes);
	assert_int_equal(f.log->write_bytes, f.log->current->reserved_bytes);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(f.log->reserve_bytes, 0);
	assert_int_equal(f.log->write_bytes, 0);
	teardown(&f);
}

/* ---- blocks and counters ------------------------------------------------------------------------------------- */

static int64_t free_blocks, freed, icounts;

static int space_reserve(void *context, uint64_t blocks, bool use_pool)
{
	if ((int64_t)blocks > free_blocks)
		return -ENOSPC;
	free_blocks -= (int64_t)blocks;
	return 0;
}

static void space_unreserve(void *context, uint64_t blocks)
{
	free_blocks += (int64_t)blocks;
}

static void space_apply(void *context, const struct tx_deltas *deltas)
{
	freed += deltas->freed_blocks;
	icounts += deltas->icount;
}

static const struct tx_space_ops space_ops = {
	.reserve = space_reserve,
	.unreserve = space_unreserve,
	.apply = space_apply,
};

static void blocks_are_reserved_used_and_given_back(void **state)
{
	struct fixture f;
	struct tx *tx;

	fixture_make(&f, 300 << 20, "");
	f.space = &space_ops;
	free_blocks = 100;
	freed = icounts = 0;
	fixture_mount(&f, NULL);
	assert_int_equal(tx_begin(f.log, &log_reservations(f.log)->write, 101, 0, &tx), -ENOSPC);
	assert_int_equal(f.log->reserve_bytes, 0);

	assert_int_equal(tx_begin(f.log, &log_reservations(f.log)->write, 40, 0, &tx), 0);
	assert_int_equal(free_blocks, 60);
	tx_use_blocks(tx, 10);
	assert_int_equal(tx_reserve_more_blocks(tx, 100), -ENOSPC);
	assert_int_equal(tx_reserve_more_blocks(tx, 5), 0);
	assert_int_equal(tx_blocks_left(tx), 35);
	tx_free_blocks(tx, 7);
	tx_change_inode_counts(tx, 64, 63);
	fixture_log_agf(&f, tx, 0);
	assert_int_equal(tx_roll(tx), 0);
	assert_int_equal(freed, 7);
	assert_int_equal(icounts, 64);
	assert_int_equal(tx_blocks_left(tx), 35);
	assert_int_equal(free_blocks, 55);
	tx_use_blocks(tx, 5);
	tx_unuse_blocks(tx, 1);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(free_blocks, 100 - 14);
	assert_int_equal(freed, 7);
	teardown(&f);
}

/* ---- durability ---------------------------------------------------------------------------------------------- */

static unsigned runs, aborted_runs;

static void note_run(struct durable_callback *cb, bool aborted)
{
	runs++;
	aborted_runs += aborted;
}

static void callback_runs_when_the_checkpoint_is_durable(void **state)
{
	struct durable_callback a = { .run = note_run }, b = { .run = note_run };
	struct fixture f;
	struct tx *tx;

	setup(&f);
	runs = aborted_runs = 0;
	tx = fixture_begin(&f);
	fixture_log_agf(&f, tx, 0);
	tx_add_durable_callback(tx, &a);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(runs, 0);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(runs, 1);
	assert_int_equal(aborted_runs, 0);
	tx = fixture_begin(&f);
	tx_add_durable_callback(tx, &b);
	tx_cancel(tx);
	assert_int_equal(runs, 2);
	assert_int_equal(aborted_runs, 1);
	teardown(&f);
}

static void callback_runs_aborted_after_a_shutdown(void **state)
{
	struct durable_callback a = { .run = note_run };
	struct fixture f;
	struct tx *tx;

	setup(&f);
	runs = aborted_runs = 0;
	tx = fixture_begin(&f);
	fixture_log_agf(&f, tx, 0);
	tx_add_durable_callback(tx, &a);
	assert_int_equal(tx_commit(tx), 0);
	quiet();
	log_shutdown(f.log, SHUTDOWN_FORCED, "test");
	log_quiesce(f.log);
	loud();
	assert_int_equal(runs, 1);
	assert_int_equal(aborted_runs, 1);
	teardown(&f);
}

static void force_of_a_sequence_writes_no_more_than_needed(void **state)
{
	uint64_t first, second;
	bool flushed = false;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	fixture_log_agf(&f, tx, 0);
	assert_int_equal(tx_commit_sequence(tx, &first), 0);
	assert_false(log_is_durable(f.log, first));
	assert_int_equal(log_force(f.log, first, &flushed), 0);
	assert_true(flushed);
	assert_true(log_is_durable(f.log, first));
	tx = fixture_begin(&f);
	fixture_log_agf(&f, tx, 0);
	assert_int_equal(tx_commit_sequence(tx, &second), 0);
	assert_true(second > first);
	assert_int_equal(log_force(f.log, first, &flushed), 0);
	assert_false(flushed);
	assert_false(log_is_durable(f.log, second));
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_true(log_is_durable(f.log, second));
	teardown(&f);
}

static void synchronous_commit_returns_durable(void **state)
{
	uint64_t sequence;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	tx_set_flags(tx, TX_SYNC);
	fixture_log_agf(&f, tx, 0);
	assert_int_equal(tx_commit_sequence(tx, &sequence), 0);
	assert_true(log_is_durable(f.log, sequence));
	teardown(&f);
}

static void read_only_log_begins_no_transaction(void **state)
{
	struct log_options options = { .read_only = true };
	struct fixture f;
	struct tx *tx;

	fixture_make(&f, 300 << 20, "");
	fixture_mount(&f, &options);
	assert_int_equal(tx_begin(f.log, &log_reservations(f.log)->write, 0, 0, &tx), -EROFS);
	log_destroy(f.log);
	/* Not even looked for: recovery was not wanted. */
	f.head = (struct log_head){ .state = LOG_DIRTY };
	assert_int_equal(log_create(f.cache, f.dev, fixture_log_off(&f), &f.geo, &f.head, NULL, NULL, &options,
				    &f.log), 0);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	teardown(&f);
}

static void passes_write_what_is_due(void **state)
{
	struct log_options options = { .checkpoint_interval_ns = 1 };
	struct fixture f;
	uint64_t sequence;
	struct tx *tx;

	fixture_make(&f, 300 << 20, "");
	fixture_mount(&f, &options);
	tx = fixture_begin(&f);
	fixture_set_label(&f, tx, "passes");
	assert_int_equal(tx_commit_sequence(tx, &sequence), 0);
	log_wait_work(f.log, UINT64_MAX);
	log_write_pass(f.log);
	assert_true(log_is_durable(f.log, sequence));
	/* An interval later what has been lying about goes home. */
	log_write_pass(f.log);
	while (log_tail_pass(f.log))
		;
	assert_true(tail_is_empty(f.log));
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(item_goes_through_its_states),
		cmocka_unit_test(item_logged_twice_in_a_checkpoint_is_in_it_once),
		cmocka_unit_test(item_logged_again_moves_towards_the_head),
		cmocka_unit_test(done_item_does_not_enter_the_tail_list),
		cmocka_unit_test(item_with_nothing_to_say_is_not_logged),
		cmocka_unit_test(precommit_hooks_run_in_order_of_their_keys),
		cmocka_unit_test(clean_transaction_can_be_cancelled),
		cmocka_unit_test(cancelling_a_dirty_transaction_shuts_down),
		cmocka_unit_test(commit_after_a_shutdown_fails_and_frees_everything),
		cmocka_unit_test(shutdown_drops_items_in_every_state),
		cmocka_unit_test(log_write_error_shuts_down),
		cmocka_unit_test(metadata_write_error_is_retried),
		cmocka_unit_test(metadata_that_cannot_be_written_at_the_end_shut_down),
		cmocka_unit_test(an_item_that_cannot_be_prepared_at_the_end_shuts_down),
		cmocka_unit_test(roll_keeps_what_stays_and_lets_go_of_the_rest),
		cmocka_unit_test(chain_gets_a_new_reservation_at_every_roll),
		cmocka_unit_test(blocks_are_reserved_used_and_given_back),
		cmocka_unit_test(callback_runs_when_the_checkpoint_is_durable),
		cmocka_unit_test(callback_runs_aborted_after_a_shutdown),
		cmocka_unit_test(force_of_a_sequence_writes_no_more_than_needed),
		cmocka_unit_test(synchronous_commit_returns_durable),
		cmocka_unit_test(read_only_log_begins_no_transaction),
		cmocka_unit_test(passes_write_what_is_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
