/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Many threads on a small log: they wait for space, roll with locks held, force and push, and nothing that was
 * forced is lost.  Every transaction makes the number in the volume's label one larger.
 */
#include <stdatomic.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/thread.h>

#include "fixture.h"

#include "log/internal.h"

enum {
	WRITERS = 4,
};

static struct fixture fixture;
static _Atomic uint32_t durable_number, commits, is_stopping;
static unsigned rounds;

static void raise_to(_Atomic uint32_t *value, uint32_t to)
{
	uint32_t old = atomic_load(value);

	while (old < to && !atomic_compare_exchange_weak(value, &old, to))
		;
}

/* Adds one to the number in the label. */
static int count_in_label(struct tx *tx, uint32_t *number)
{
	struct buffer *buf;
	struct xfs_dsb *sb;
	int err;

	err = tx_buffer_read(tx, 0, fixture.geo.sector_bytes / 512, &block_superblock, &buf);
	if (err)
		return err;
	sb = buf->data;
	*number = (uint32_t)strtoul(sb->sb_fname + 1, NULL, 10) + 1;
	memset(sb->sb_fname, 0, sizeof(sb->sb_fname));
	snprintf(sb->sb_fname, sizeof(sb->sb_fname), "n%u", *number);
	tx_buffer_log(tx, buf, 0, sizeof(*sb));
	return 0;
}

/* One chain of transactions: an AG's blocks, a roll with its AGF held, the label. */
static int change_something(unsigned agno, uint32_t *number)
{
	struct buffer *agf;
	struct tx *tx;
	int err;

	err = tx_begin(fixture.log, &log_reservations(fixture.log)->truncate, 0, 0, &tx);
	if (err)
		return err;
	agf = fixture_read(&fixture, tx, agno, 1, &block_agf);
	fixture_log_ag(&fixture, tx, agno);
	tx_buffer_hold(tx, agf);
	for (unsigned i = 0; i < 6 && !err; i++)
		err = tx_roll(tx);
	tx_buffer_unhold(tx, agf);
	if (!err) {
		tx_buffer_log(tx, agf, 0, 128);
		err = count_in_label(tx, number);
	}
	if (err) {
		tx_cancel(tx);
		return err;
	}
	return tx_commit(tx);
}

static void *write_loop(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < rounds; i++) {
		uint32_t number;
		int err = change_something((seed + i * 7) % fixture.geo.ag_count, &number);

		if (err) {
			assert_int_equal(err, -EIO);
			assert_true(log_is_shutdown(fixture.log));
			break;
		}
		atomic_fetch_add(&commits, 1);
		if ((seed + i) % 5 == 0 && log_force(fixture.log, 0, NULL) == 0)
			raise_to(&durable_number, number);
	}
	return NULL;
}

static void *pass_loop(void *arg)
{
	while (!atomic_load(&is_stopping)) {
		while (log_write_pass(fixture.log) || log_tail_pass(fixture.log))
			;
		log_wait_work(fixture.log, clock_now_ns() + NS_PER_SEC / 100);
		buffer_cache_shrink(fixture.cache);
	}
	return NULL;
}

/* @pass_threads: 0: whoever waits must help himself.  @crash_after: commits; 0: never. */
static void run(unsigned pass_threads, uint32_t crash_after)
{
	struct thread writers[WRITERS], passes[2];

	atomic_store(&durable_number, 0);
	atomic_store(&commits, 0);
	atomic_store(&is_stopping, 0);
	fixture_mount(&fixture, NULL);
	for (unsigned i = 0; i < pass_threads; i++)
		assert_int_equal(thread_create(&passes[i], "pass", pass_loop, NULL), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(thread_create(&writers[i], "writer", write_loop, (void *)(uintptr_t)i), 0);
	if (crash_after) {
		quiet();
		while (atomic_load(&commits) < crash_after)
			clock_sleep_ns(1000000);
		log_shutdown(fixture.log, SHUTDOWN_FORCED, "test");
	}
	for (unsigned i = 0; i < WRITERS; i++)
		thread_join(&writers[i]);
	atomic_store(&is_stopping, 1);
	log_wake(fixture.log);
	for (unsigned i = 0; i < pass_threads; i++)
		thread_join(&passes[i]);
}

static uint32_t number_on_disk(void)
{
	struct xfs_dsb sb;
	struct device *dev;
	struct device_options options = { .engine = DEVICE_ENGINE_SYNC, .read_only = true };

	assert_int_equal(device_open(fixture.path, &options, &dev), 0);
	assert_int_equal(device_read(dev, 0, &sb, sizeof(sb)), 0);
	device_close(dev);
	return (uint32_t)strtoul(sb.sb_fname + 1, NULL, 10);
}

static void make_small(void)
{
	fixture_make(&fixture, 300 << 20, "");
	assert_int_equal(image_shell("mkfs.xfs --unsupported -q -f -K -L n0 -l size=6m %s 2>/dev/null",
				     fixture.path), 0);
}

static void check_complete(unsigned pass_threads)
{
	make_small();
	run(pass_threads, 0);
	assert_int_equal(fixture.log->reserve_bytes, fixture.log->write_bytes);
	fixture_unmount(&fixture);
	assert_int_equal(number_on_disk(), WRITERS * rounds);
	assert_repair_clean(&fixture);
	fixture_remove(&fixture);
}

static void waiters_help_themselves(void **state)
{
	rounds = 60;
	check_complete(0);
}

static void passes_work_for_the_waiters(void **state)
{
	rounds = 60;
	check_complete(2);
}

static void what_was_forced_survives_a_crash(void **state)
{
	if (!may_mount())
		skip();
	make_small();
	rounds = 100000;
	for (unsigned i = 0; i < 3; i++) {
		uint32_t number;

		run(i % 2, 60 + 30 * i);
		fixture_crash(&fixture);
		kernel_mount(&fixture, true);
		number = number_on_disk();
		assert_true(number >= atomic_load(&durable_number));
		assert_repair_clean(&fixture);
	}
	fixture_remove(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiters_help_themselves),
		cmocka_unit_test(passes_work_for_the_waiters),
		cmocka_unit_test(what_was_forced_survives_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
