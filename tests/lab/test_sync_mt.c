/* SPDX-License-Identifier: GPL-2.0 */
/* What an fsync costs: which writes and flushes the disk sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <cmocka.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/thread.h>
#include <userxfs/device/recorder.h>

#include "bypath.h"
#include "disk.h"

enum {
	WRITERS = 8,
	FSYNCS = 20,
	FILE_BYTES = 64 << 10,
};

/* A volume on a disk that remembers. */
struct fixture {
	struct disk disk;
	struct recorder *rec;
	struct volume *vol;
};

static uint8_t bytes[FILE_BYTES];

static void open_fixture(struct fixture *f, struct device *(*wrap)(struct device *dev), bool with_threads)
{
	struct volume_options options = {
		.device = "disk",
		.cache_bytes = 32u << 20,
		.without_threads = !with_threads,
	};

	disk_create(&f->disk, 32u << 20);
	disk_format(&f->disk, "-d agcount=2");
	assert_int_equal(recorder_create(f->disk.bytes, f->disk.size_bytes, &f->rec), 0);
	assert_int_equal(recorder_device(f->rec, &options.opened), 0);
	if (wrap)
		options.opened = wrap(options.opened);
	assert_int_equal(volume_mount(&options, &f->vol), 0);
}

static void close_fixture(struct fixture *f)
{
	assert_int_equal(volume_unmount(f->vol, false), 0);
	recorder_read_all(f->rec, f->disk.bytes);
	assert_true(disk_is_clean(&f->disk));
	recorder_destroy(f->rec);
	disk_destroy(&f->disk);
}

struct seen {
	unsigned flushes, data_writes, log_writes;
};

/* The events from @position on. */
static struct seen events_since(struct fixture *f, uint64_t position)
{
	uint64_t log_off = fsblk_to_bytes(&f->vol->geo, f->vol->geo.log_start);
	uint64_t log_end = log_off + blocks_to_bytes(&f->vol->geo, f->vol->geo.log_blocks);
	struct seen seen = { 0 };

	for (; position < recorder_position(f->rec); position++) {
		unsigned long long off;
		char text[64];

		recorder_describe(f->rec, position, text, sizeof(text));
		if (sscanf(text, "write %llu", &off) != 1)
			seen.flushes++;
		else if (off >= log_off && off < log_end)
			seen.log_writes++;
		else
			seen.data_writes++;
	}
	return seen;
}

/* Blocks that are allocated and written already, and no new size: fdatasync needs the data and a flush, no log. */
static void fdatasync_of_an_overwrite_leaves_the_log_alone(void **state)
{
	struct fixture f;
	struct seen seen;
	uint64_t before;

	open_fixture(&f, NULL, false);
	assert_int_equal(path_create(f.vol, "a", 0600), 0);
	assert_int_equal(path_write(f.vol, "a", 0, bytes, FILE_BYTES, PATH_WRITE), 0);
	assert_int_equal(path_fsync(f.vol, "a", false), 0);
	/* The time of change moves with each write: that is not for fdatasync to wait for. */
	for (int i = 0; i < 3; i++) {
		clock_sleep_ns(20 * 1000000ull);
		before = recorder_position(f.rec);
		assert_int_equal(path_write(f.vol, "a", 8192, bytes, 8192, PATH_WRITE), 0);
		assert_int_equal(path_fsync(f.vol, "a", true), 0);
		seen = events_since(&f, before);
		assert_int_equal(seen.data_writes, 1);
		assert_int_equal(seen.flushes, 1);
		assert_int_equal(seen.log_writes, 0);
	}
	/* fsync waits for it. */
	before = recorder_position(f.rec);
	assert_int_equal(path_fsync(f.vol, "a", false), 0);
	assert_int_equal(events_since(&f, before).log_writes, 1);
	close_fixture(&f);
}

/* Nothing to make durable: one flush, since what was written before may be in the disk's cache. */
static void a_second_fsync_only_flushes(void **state)
{
	struct fixture f;
	struct seen seen;
	uint64_t before;

	open_fixture(&f, NULL, false);
	assert_int_equal(path_create(f.vol, "a", 0600), 0);
	assert_int_equal(path_fsync(f.vol, "a", false), 0);
	before = recorder_position(f.rec);
	assert_int_equal(path_fsync(f.vol, "a", false), 0);
	seen = events_since(&f, before);
	assert_int_equal(seen.flushes, 1);
	assert_int_equal(seen.log_writes + seen.data_writes, 0);
	close_fixture(&f);
}

/* ---- a disk that takes its time -------------------------------------------------------------------------------- */

struct slow {
	struct device dev;
	struct device *base;
};

static void slow_perform(struct device *dev, struct device_request *req)
{
	struct device *base = container_of(dev, struct slow, dev)->base;

	if (req->flags & DEVICE_FUA)
		clock_sleep_ns(3 * 1000000ull);
	base->ops->perform(base, req);
}

static void slow_submit(struct device *dev, struct device_request *req)
{
	struct device *base = container_of(dev, struct slow, dev)->base;

	base->ops->submit(base, req);
}

static void slow_collect(struct device *dev, bool wait, struct list *out)
{
	struct device *base = container_of(dev, struct slow, dev)->base;

	base->ops->collect(base, wait, out);
}

static void slow_wake(struct device *dev)
{
	struct device *base = container_of(dev, struct slow, dev)->base;

	base->ops->wake(base);
}

static void slow_close(struct device *dev)
{
	struct slow *slow = container_of(dev, struct slow, dev);

	device_close(slow->base);
	free(slow);
}

static const struct device_ops slow_ops = {
	.name = "slow",
	.submit = slow_submit,
	.collect = slow_collect,
	.wake = slow_wake,
	.finish = slow_perform,
	.perform = slow_perform,
	.close = slow_close,
};

static struct device *make_slow(struct device *base)
{
	struct slow *slow = calloc(1, sizeof(*slow));

	assert_non_null(slow);
	slow->base = base;
	slow->dev.size_bytes = base->size_bytes;
	slow->dev.alignment_bytes = base->alignment_bytes;
	device_init(&slow->dev, &slow_ops);
	return &slow->dev;
}

struct writer {
	struct fixture *f;
	unsigned number;
	int err;
};

static void *write_and_fsync(void *arg)
{
	struct writer *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "f%u", w->number);
	w->err = path_create(w->f->vol, name, 0600);
	for (int i = 0; i < FSYNCS && !w->err; i++) {
		w->err = path_write(w->f->vol, name, (uint64_t)i * 4096, bytes, 4096, PATH_WRITE);
		if (!w->err)
			w->err = path_fsync(w->f->vol, name, false);
	}
	return NULL;
}

/* While one record is on its way the others gather for the next: far fewer log writes than fsyncs. */
static void concurrent_fsyncs_share_log_writes(void **state)
{
	struct writer writers[WRITERS];
	struct thread threads[WRITERS];
	struct fixture f;
	uint64_t before;

	open_fixture(&f, make_slow, true);
	before = recorder_position(f.rec);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .f = &f, .number = i };
		assert_int_equal(thread_create(&threads[i], "writer", write_and_fsync, &writers[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		thread_join(&threads[i]);
		assert_int_equal(writers[i].err, 0);
	}
	assert_in_range(events_since(&f, before).log_writes, FSYNCS, WRITERS * FSYNCS / 2);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fdatasync_of_an_overwrite_leaves_the_log_alone),
		cmocka_unit_test(a_second_fsync_only_flushes),
		cmocka_unit_test(concurrent_fsyncs_share_log_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
