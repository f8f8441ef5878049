/* SPDX-License-Identifier: GPL-2.0 */
/* Writing home: sealed, verified, in lists. */
#include "fixture.h"

static unsigned done_calls;
static int done_err;

static void note_done(struct buffer *buf)
{
	assert_true(olock_is_locked(&buf->lock));
	done_calls++;
	done_err = buf->err;
}

/* A good block in memory, locked. */
static struct buffer *make_buffer(struct fixture *f, daddr_u64 daddr, uint32_t value)
{
	struct test_block *b;
	struct buffer *buf;

	assert_int_equal(buffer_get(f->cache, daddr, 8, &buf), 0);
	b = buf->data;
	memset(b, 0, buf->bytes);
	b->magic = TEST_MAGIC;
	b->daddr = daddr;
	b->value = value;
	buf->type = &test_type;
	buf->write_done = note_done;
	atomic_fetch_or(&buf->flags, BUFFER_VALID);
	done_calls = 0;
	done_err = 1;
	return buf;
}

static void written_block_is_sealed(void **state)
{
	const struct test_block *disk;
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	buf = make_buffer(&f, 16, 5);
	atomic_store(&buf->lsn, 0x300000042);
	assert_int_equal(buffer_write(buf), 0);
	assert_true(olock_is_locked(&buf->lock));
	assert_int_equal(done_calls, 1);
	assert_int_equal(done_err, 0);
	disk = fixture_disk_block(&f, 16);
	assert_int_equal(disk->value, 5);
	assert_int_equal(be64_to_cpu(disk->lsn), 0x300000042);
	assert_true(crc32c_block_is_valid(disk, 4096, test_type.crc_off));
	buffer_release(buf);
	fixture_deinit(&f);
}

/* A block that was not logged keeps the LSN it has: recovery compares it. */
static void lsn_of_a_block_never_logged_stays(void **state)
{
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	buf = make_buffer(&f, 16, 5);
	((struct test_block *)buf->data)->lsn = cpu_to_be64(77);
	assert_int_equal(buffer_write(buf), 0);
	assert_int_equal(be64_to_cpu(fixture_disk_block(&f, 16)->lsn), 77);
	buffer_release(buf);
	fixture_deinit(&f);
}

static void block_that_fails_its_verifier_is_not_written(void **state)
{
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	fixture_make_block(&f, 16, 4096, 1);
	buf = make_buffer(&f, 16, 5);
	((struct test_block *)buf->data)->magic = 0;
	quiet();
	assert_int_equal(buffer_write(buf), -EFSCORRUPTED);
	loud();
	assert_int_equal(done_calls, 1);
	assert_int_equal(done_err, -EFSCORRUPTED);
	assert_int_equal(fixture_disk_block(&f, 16)->value, 1);
	buffer_release(buf);
	fixture_deinit(&f);
}

static void failed_write_is_remembered_until_one_succeeds(void **state)
{
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	buf = make_buffer(&f, 16, 5);
	assert_int_equal(fault_arm("device_write:nth=1"), 0);
	quiet();
	assert_int_equal(buffer_write(buf), -EIO);
	loud();
	fault_disarm_all();
	assert_true(has_flag(buf, BUFFER_WRITE_FAILED));
	assert_int_equal(done_err, -EIO);
	assert_int_equal(buffer_write(buf), 0);
	assert_false(has_flag(buf, BUFFER_WRITE_FAILED));
	buffer_release(buf);
	fixture_deinit(&f);
}

static void list_is_written_and_unlocked(void **state)
{
	struct list list = LIST_INIT(list);
	struct fixture f;

	fixture_init(&f, 8 << 20);
	for (unsigned i = 0; i < 600; i++) {
		struct buffer *buf = make_buffer(&f, (i * 37 % 600) * 8, i);

		assert_true(buffer_queue_write(buf, &list));
		assert_false(buffer_queue_write(buf, &list));
		buffer_release(buf);
	}
	assert_int_equal(buffer_submit_list(f.cache, &list, false, true), 0);
	assert_true(list_is_empty(&list));
	assert_int_equal(done_calls, 600);
	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(fixture_disk_block(&f, (i * 37 % 600) * 8)->value, i);
	fixture_deinit(&f);
}

static void list_gives_its_first_error(void **state)
{
	struct list list = LIST_INIT(list);
	struct fixture f;

	fixture_init(&f, 8 << 20);
	for (unsigned i = 0; i < 5; i++) {
		struct buffer *buf = make_buffer(&f, i * 8, i);

		buffer_queue_write(buf, &list);
		buffer_release(buf);
	}
	assert_int_equal(fault_arm("device_write:nth=3"), 0);
	quiet();
	assert_int_equal(buffer_submit_list(f.cache, &list, false, true), -EIO);
	loud();
	fault_disarm_all();
	assert_int_equal(done_calls, 5);
	fixture_deinit(&f);
}

static void pinned_and_locked_ones_stay_on_the_list(void **state)
{
	struct list list = LIST_INIT(list);
	struct buffer *pinned, *locked, *other;
	struct fixture f;

	fixture_init(&f, 1 << 20);
	pinned = make_buffer(&f, 0, 1);
	locked = make_buffer(&f, 8, 2);
	other = make_buffer(&f, 16, 3);
	buffer_queue_write(pinned, &list);
	buffer_queue_write(locked, &list);
	buffer_queue_write(other, &list);
	buffer_pin(pinned);
	buffer_unlock(pinned);
	buffer_release(other);
	assert_int_equal(buffer_submit_list(f.cache, &list, true, true), 0);
	assert_int_equal(done_calls, 1);
	assert_int_equal(fixture_disk_block(&f, 16)->value, 3);
	assert_int_equal(fixture_disk_block(&f, 0)->value, 0);
	buffer_unpin(pinned);
	buffer_unlock(locked);
	assert_int_equal(buffer_submit_list(f.cache, &list, true, true), 0);
	assert_int_equal(done_calls, 3);
	assert_true(list_is_empty(&list));
	buffer_put(pinned);
	buffer_put(locked);
	fixture_deinit(&f);
}

/* Its blocks may belong to somebody else by now. */
static void stale_buffer_is_not_written(void **state)
{
	struct list list = LIST_INIT(list);
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	buf = make_buffer(&f, 16, 5);
	buffer_queue_write(buf, &list);
	buffer_mark_stale(buf);
	buffer_release(buf);
	assert_int_equal(buffer_submit_list(f.cache, &list, false, true), 0);
	assert_int_equal(done_calls, 0);
	assert_int_equal(fixture_disk_block(&f, 16)->value, 0);
	assert_int_equal(buffer_cache_bytes(f.cache), 0);
	fixture_deinit(&f);
}

static void cancelled_list_is_not_written(void **state)
{
	struct list list = LIST_INIT(list);
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	buf = make_buffer(&f, 16, 5);
	buffer_queue_write(buf, &list);
	buffer_unlock(buf);
	buffer_cancel_list(&list);
	assert_false(has_flag(buf, BUFFER_QUEUED));
	assert_int_equal(atomic_load(&buf->refs), 1);
	buffer_put(buf);
	assert_int_equal(fixture_disk_block(&f, 16)->value, 0);
	fixture_deinit(&f);
}

static void unattended_writes_end_in_passes_of_the_device(void **state)
{
	struct list list = LIST_INIT(list);
	struct fixture f;

	fixture_init(&f, 8 << 20);
	for (unsigned i = 0; i < 100; i++) {
		struct buffer *buf = make_buffer(&f, i * 8, i);

		buffer_queue_write(buf, &list);
		buffer_release(buf);
	}
	assert_int_equal(buffer_submit_list(f.cache, &list, true, false), 0);
	buffer_cache_drain(f.cache);
	assert_int_equal(done_calls, 100);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(fixture_disk_block(&f, i * 8)->value, i);
	fixture_deinit(&f);
}

static bool is_down(void *context)
{
	return true;
}

static void no_force(void *context)
{
}

static void nothing_is_written_after_a_shutdown(void **state)
{
	static const struct buffer_cache_ops ops = { .force_log = no_force, .is_shut_down = is_down };
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	buf = make_buffer(&f, 16, 5);
	buffer_cache_set_ops(f.cache, &ops, NULL);
	assert_int_equal(buffer_write(buf), -EIO);
	assert_int_equal(done_calls, 1);
	assert_int_equal(fixture_disk_block(&f, 16)->value, 0);
	buffer_release(buf);
	fixture_deinit(&f);
}

static struct buffer *forced;

static void unpin_forced(void *context)
{
	buffer_unpin(forced);
	buffer_unlock(forced);
}

static bool is_up(void *context)
{
	return false;
}

/* It stays locked until the log says that its old contents are void: the waiter has the log forced. */
static void whoever_wants_a_pinned_stale_buffer_has_the_log_forced(void **state)
{
	static const struct buffer_cache_ops ops = { .force_log = unpin_forced, .is_shut_down = is_up };
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	forced = make_buffer(&f, 16, 5);
	buffer_cache_set_ops(f.cache, &ops, NULL);
	buffer_pin(forced);
	buffer_mark_stale(forced);
	assert_int_equal(buffer_get(f.cache, 16, 8, &buf), 0);
	assert_ptr_equal(buf, forced);
	assert_false(has_flag(buf, BUFFER_STALE | BUFFER_VALID));
	buffer_put(forced);
	buffer_release(buf);
	fixture_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_block_is_sealed),
		cmocka_unit_test(lsn_of_a_block_never_logged_stays),
		cmocka_unit_test(block_that_fails_its_verifier_is_not_written),
		cmocka_unit_test(failed_write_is_remembered_until_one_succeeds),
		cmocka_unit_test(list_is_written_and_unlocked),
		cmocka_unit_test(list_gives_its_first_error),
		cmocka_unit_test(pinned_and_locked_ones_stay_on_the_list),
		cmocka_unit_test(stale_buffer_is_not_written),
		cmocka_unit_test(cancelled_list_is_not_written),
		cmocka_unit_test(unattended_writes_end_in_passes_of_the_device),
		cmocka_unit_test(nothing_is_written_after_a_shutdown),
		cmocka_unit_test(whoever_wants_a_pinned_stale_buffer_has_the_log_forced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
