/* SPDX-License-Identifier: GPL-2.0 */
/* Deferred work: in which order intents, steps and done items come. */
#include "fake_item.h"

#include "log/internal.h"

static char trace[512];

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
	size_t used = strlen(trace);
	va_list ap;

	va_start(ap, format);
	vsnprintf(trace + used, sizeof(trace) - used, format, ap);
	va_end(ap);
}

/* ---- a type of work ------------------------------------------------------------------------------------------ */

struct work {
	struct defer_item item;
	char name;
	char follows;			/* queues this when it is done; 0: nothing */
	unsigned rounds;		/* takes so many */
	int err;
};

struct test_intent {
	struct log_item item;
	struct test_intent *of;		/* done item: what it ends */
	unsigned refs;
	unsigned id;
};

static unsigned intents_alive, next_id;

static struct test_intent *intent_of(struct log_item *item)
{
	return container_of(item, struct test_intent, item);
}

static void intent_put(struct test_intent *intent)
{
	if (--intent->refs)
		return;
	log_item_done(&intent->item);
	intents_alive--;
	mem_free(intent);
}

static void intent_size(struct log_item *item, uint32_t *regions, uint32_t *bytes)
{
	*regions += 1;
	*bytes += 16;
}

static void intent_format(struct log_item *item, struct log_region_writer *w)
{
	log_region_reserve(w, XLOG_REG_TYPE_EFI_FORMAT, 16);
}

static void intent_release(struct log_item *item, bool dirty, bool aborted)
{
	if (aborted)
		intent_put(intent_of(item));
}

static void intent_unpin(struct log_item *item, bool aborted)
{
	intent_put(intent_of(item));
}

static enum log_push_result intent_push(struct log_item *item, struct list *writes)
{
	return LOG_PUSH_PINNED;
}

static void done_free(struct test_intent *done)
{
	intent_put(done->of);
	mem_free(done);
}

static void done_release(struct log_item *item, bool dirty, bool aborted)
{
	if (aborted)
		done_free(intent_of(item));
}

static void done_unpin(struct log_item *item, bool aborted)
{
	done_free(intent_of(item));
}

static lsn_t done_committed(struct log_item *item, lsn_t lsn)
{
	return 0;
}

static const struct log_item_ops intent_ops = {
	.name = "intent", .type = XFS_LI_EFI, .size = intent_size, .format = intent_format, .release = intent_release,
	.unpin = intent_unpin, .push = intent_push,
};

static const struct log_item_ops done_ops = {
	.name = "done", .type = XFS_LI_EFD, .size = intent_size, .format = intent_format, .release = done_release,
	.unpin = done_unpin, .committed = done_committed,
};

static struct work *work_of(const struct defer_item *item)
{
	return container_of(item, struct work, item);
}

static struct log_item *create_intent(struct tx *tx, struct list *items, uint32_t count)
{
	struct test_intent *intent = mem_alloc_zeroed_sure(sizeof(*intent));
	uint32_t n = 0;

	log_item_init(tx_log(tx), &intent->item, &intent_ops);
	intent->refs = 2;
	intent->id = ++next_id;
	intents_alive++;
	tx_join(tx, &intent->item);
	tx_mark_dirty(tx, &intent->item);
	note("I%u(", intent->id);
	list_for_each(node, items) {
		note("%c", work_of(list_entry(node, struct defer_item, node))->name);
		n++;
	}
	note(") ");
	assert_int_equal(n, count);
	return &intent->item;
}

static struct log_item *create_done(struct tx *tx, struct log_item *intent, uint32_t count)
{
	struct test_intent *done = mem_alloc_zeroed_sure(sizeof(*done));

	log_item_init(tx_log(tx), &done->item, &done_ops);
	done->of = intent_of(intent);
	tx_join(tx, &done->item);
	tx_mark_dirty(tx, &done->item);
	note("D%u ", intent_of(intent)->id);
	return &done->item;
}

static struct work *work_new(char name)
{
	struct work *work = mem_alloc_zeroed_sure(sizeof(*work));

	work->name = name;
	return work;
}

static const struct defer_type test_type, plain_type;

static int finish_item(struct tx *tx, struct log_item *done, struct defer_item *item, void **state)
{
	struct work *work = work_of(item);
	int err = work->err;

	if (work->rounds) {
		work->rounds--;
		note("%c.. ", work->name);
		return -EAGAIN;
	}
	note("%c ", work->name);
	if (work->follows)
		tx_defer(tx, &test_type, &work_new(work->follows)->item);
	mem_free(work);
	return err;
}

static void finish_cleanup(struct tx *tx, void *state, int err)
{
	note(err ? "! " : "; ");
}

static void cancel_item(struct defer_item *item)
{
	note("-%c ", work_of(item)->name);
	mem_free(work_of(item));
}

static void abort_intent(struct log_item *intent)
{
	note("A%u ", intent_of(intent)->id);
	intent_put(intent_of(intent));
}

static int compare(const struct defer_item *a, const struct defer_item *b)
{
	return work_of(a)->name - work_of(b)->name;
}

static const struct defer_type test_type = {
	.name = "test", .max_items = 2, .compare = compare,
	.create_intent = create_intent, .create_done = create_done, .finish_item = finish_item,
	.finish_cleanup = finish_cleanup, .cancel_item = cancel_item, .abort_intent = abort_intent,
};

static struct log_item *no_intent(struct tx *tx, struct list *items, uint32_t count)
{
	return NULL;
}

static const struct defer_type plain_type = {
	.name = "plain", .create_intent = no_intent, .finish_item = finish_item, .cancel_item = cancel_item,
};

/* ---- tests --------------------------------------------------------------------------------------------------- */

static void setup(struct fixture *f)
{
	fixture_make(f, 300 << 20, "");
	fixture_mount(f, NULL);
	trace[0] = '\0';
	next_id = 0;
}

static void teardown(struct fixture *f)
{
	if (!log_is_shutdown(f->log))
		assert_int_equal(log_quiesce(f->log), 0);
	fixture_close(f);
	assert_int_equal(intents_alive, 0);
	fixture_remove(f);
}

static void queue(struct tx *tx, const struct defer_type *type, const char *names)
{
	for (; *names; names++)
		tx_defer(tx, type, &work_new(*names)->item);
}

static void intents_are_logged_first_and_finished_in_order(void **state)
{
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	queue(tx, &test_type, "bac");
	assert_true(tx_has_deferred(tx));
	assert_int_equal(tx_commit(tx), 0);
	/* Two to an intent, sorted within. */
	assert_string_equal(trace, "I1(ab) I2(c) D1 a b ; D2 c ; ");
	teardown(&f);
}

static void work_queued_by_a_step_comes_before_the_rest(void **state)
{
	struct fixture f;
	struct work *work;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	work = work_new('a');
	work->follows = 'x';
	tx_defer(tx, &test_type, &work->item);
	queue(tx, &test_type, "b");
	queue(tx, &test_type, "c");
	assert_int_equal(tx_commit(tx), 0);
	assert_string_equal(trace, "I1(ab) I2(c) D1 a b ; I3(x) D3 x ; D2 c ; ");
	teardown(&f);
}

static void unfinished_step_becomes_a_new_intent(void **state)
{
	struct fixture f;
	struct work *work;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	work = work_new('a');
	work->rounds = 2;
	tx_defer(tx, &test_type, &work->item);
	queue(tx, &test_type, "b");
	assert_int_equal(tx_commit(tx), 0);
	assert_string_equal(trace, "I1(ab) D1 a.. ; I2(ab) D2 a.. ; I3(ab) D3 a b ; ");
	teardown(&f);
}

static void work_without_intents_needs_no_roll(void **state)
{
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	queue(tx, &plain_type, "abc");
	assert_int_equal(tx_finish_deferred(tx), 0);
	assert_string_equal(trace, "a b c ");
	assert_int_equal(tx->ticket.units_left + 1, log_reservations(f.log)->truncate.log_count);
	assert_int_equal(tx_commit(tx), 0);
	teardown(&f);
}

static void types_are_not_mixed_in_an_intent(void **state)
{
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	queue(tx, &test_type, "a");
	queue(tx, &plain_type, "p");
	queue(tx, &test_type, "b");
	assert_int_equal(tx_commit(tx), 0);
	assert_string_equal(trace, "I1(a) I2(b) D1 a ; p D2 b ; ");
	teardown(&f);
}

static void cancelled_transaction_drops_its_work(void **state)
{
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	queue(tx, &test_type, "abc");
	tx_cancel(tx);
	assert_string_equal(trace, "-a -b -c ");
	assert_false(log_is_shutdown(f.log));
	teardown(&f);
}

static void failing_step_shuts_down_and_nothing_leaks(void **state)
{
	struct fixture f;
	struct work *work;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	queue(tx, &test_type, "a");
	work = work_new('b');
	work->err = -EIO;
	tx_defer(tx, &test_type, &work->item);
	queue(tx, &test_type, "cd");
	quiet();
	assert_int_equal(tx_commit(tx), -EIO);
	loud();
	assert_string_equal(trace, "I1(ab) I2(cd) D1 a b ! A2 -c -d ");
	assert_true(log_is_shutdown(f.log));
	teardown(&f);
}

static void shutdown_in_the_middle_leaks_nothing(void **state)
{
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	queue(tx, &test_type, "abcd");
	fixture_log_agf(&f, tx, 0);
	/* The intents are committed; the roll before the second step finds the log shut down. */
	assert_int_equal(fault_arm("device_write:every=1"), 0);
	tx_set_flags(tx, TX_SYNC);
	quiet();
	tx_commit(tx);
	loud();
	fault_disarm_all();
	assert_true(log_is_shutdown(f.log));
	teardown(&f);
}

/* Both are in one checkpoint: the intent must not be left in the tail list. */
static void intent_and_done_in_one_checkpoint_leave_nothing_behind(void **state)
{
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	queue(tx, &test_type, "a");
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(intents_alive, 1);
	/* Recovery need not know of them. */
	assert_int_equal(f.log->current->region_count, 0);
	assert_int_equal(f.log->current->payload_bytes, 0);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(intents_alive, 0);
	assert_true(tail_is_empty(f.log));
	teardown(&f);
}

static int force_and_finish(struct tx *tx, struct log_item *done, struct defer_item *item, void **state)
{
	assert_int_equal(log_force(tx_log(tx), 0, NULL), 0);
	return finish_item(tx, done, item, state);
}

static void done_item_is_logged_when_its_intent_is_on_disk(void **state)
{
	struct defer_type forcing = test_type;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	forcing.finish_item = force_and_finish;
	tx = fixture_begin(&f);
	queue(tx, &forcing, "a");
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(f.log->current->region_count, 1);
	assert_int_equal(intents_alive, 1);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(intents_alive, 0);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intents_are_logged_first_and_finished_in_order),
		cmocka_unit_test(work_queued_by_a_step_comes_before_the_rest),
		cmocka_unit_test(unfinished_step_becomes_a_new_intent),
		cmocka_unit_test(work_without_intents_needs_no_roll),
		cmocka_unit_test(types_are_not_mixed_in_an_intent),
		cmocka_unit_test(cancelled_transaction_drops_its_work),
		cmocka_unit_test(failing_step_shuts_down_and_nothing_leaks),
		cmocka_unit_test(shutdown_in_the_middle_leaks_nothing),
		cmocka_unit_test(done_item_is_logged_when_its_intent_is_on_disk),
		cmocka_unit_test(intent_and_done_in_one_checkpoint_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
