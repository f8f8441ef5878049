/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Power cuts.  A device that remembers which writes no flush has made durable yet; at a random write the power
 * goes, and of those writes any subset of 512-byte sectors is on the disk.  The kernel recovers, and what was
 * forced is there.
 */
#include <fcntl.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/hash.h>

#include "fake_item.h"

#include "log/internal.h"

struct pending_write {
	struct list node;
	uint64_t off_bytes, count_bytes;
	char data[];
};

struct crash_device {
	struct device dev;
	int fd;				/* what the program sees */
	int durable_fd;			/* what is on the platter */
	struct list pending;		/* written and not flushed */
	uint64_t pending_bytes, most_pending_bytes;
	struct list finished;		/* requests to be collected */
	struct mutex lock;
	uint64_t writes_left;		/* until the power goes */
	uint64_t seed;
	bool is_off;
};

static struct crash_device *crash_device(struct device *dev)
{
	return container_of(dev, struct crash_device, dev);
}

static void put_bytes(int fd, uint64_t off_bytes, const void *data, uint64_t count_bytes)
{
	assert_int_equal(pwrite(fd, data, count_bytes, (off_t)off_bytes), count_bytes);
}

static void forget(struct list *pending)
{
	while (!list_is_empty(pending)) {
		struct pending_write *p = list_first(pending, struct pending_write, node);

		list_remove(&p->node);
		free(p);
	}
}

static void flush(struct crash_device *d)
{
	list_for_each(node, &d->pending) {
		struct pending_write *p = list_entry(node, struct pending_write, node);

		put_bytes(d->durable_fd, p->off_bytes, p->data, p->count_bytes);
	}
	forget(&d->pending);
	d->pending_bytes = 0;
}

static uint64_t next_random(struct crash_device *d)
{
	d->seed = hash_u64(d->seed + 1);
	return d->seed;
}

/* Some of the sectors made it. */
static void cut_power(struct crash_device *d)
{
	unsigned in_eight = (unsigned)(next_random(d) % 9);

	d->is_off = true;
	list_for_each(node, &d->pending) {
		struct pending_write *p = list_entry(node, struct pending_write, node);

		for (uint64_t i = 0; i < p->count_bytes; i += 512) {
			if (next_random(d) % 8 < in_eight)
				put_bytes(d->durable_fd, p->off_bytes + i, p->data + i, 512);
		}
	}
}

static void do_write(struct crash_device *d, struct device_request *req)
{
	struct pending_write *p = malloc(sizeof(*p) + req->length_bytes);
	uint64_t off = 0;

	for (int i = 0; i < req->iov_count; i++) {
		memcpy(p->data + off, req->iov[i].iov_base, req->iov[i].iov_len);
		off += req->iov[i].iov_len;
	}
	p->off_bytes = req->off_bytes;
	p->count_bytes = req->length_bytes;
	put_bytes(d->fd, p->off_bytes, p->data, p->count_bytes);
	if (d->is_off) {
		free(p);
		return;
	}
	if (req->flags & DEVICE_PREFLUSH)
		flush(d);
	list_push_back(&d->pending, &p->node);
	d->pending_bytes += p->count_bytes;
	d->most_pending_bytes = max_u64(d->most_pending_bytes, d->pending_bytes);
	if (d->writes_left && --d->writes_left == 0) {
		cut_power(d);
		return;
	}
	if (req->flags & DEVICE_FUA) {
		put_bytes(d->durable_fd, p->off_bytes, p->data, p->count_bytes);
		list_remove(&p->node);
		d->pending_bytes -= p->count_bytes;
		free(p);
	}
}

static void crash_perform(struct device *dev, struct device_request *req)
{
	struct crash_device *d = crash_device(dev);
	uint64_t off = req->off_bytes;

	mutex_lock(&d->lock);
	req->err = 0;
	if (req->op == DEVICE_WRITE)
		do_write(d, req);
	else if (req->op == DEVICE_FLUSH && !d->is_off)
		flush(d);
	for (int i = 0; req->op == DEVICE_READ && i < req->iov_count; i++) {
		size_t count = req->iov[i].iov_len;

		if (pread(d->fd, req->iov[i].iov_base, count, (off_t)off) != (ssize_t)count)
			req->err = -EIO;
		off += count;
	}
	mutex_unlock(&d->lock);
}

static void crash_submit(struct device *dev, struct device_request *req)
{
	struct crash_device *d = crash_device(dev);

	crash_perform(dev, req);
	mutex_lock(&d->lock);
	list_push_back(&d->finished, &req->node);
	mutex_unlock(&d->lock);
}

static void crash_collect(struct device *dev, bool wait, struct list *out)
{
	struct crash_device *d = crash_device(dev);

	mutex_lock(&d->lock);
	list_splice_back(out, &d->finished);
	mutex_unlock(&d->lock);
}

static void crash_wake(struct device *dev)
{
}

static void crash_close(struct device *dev)
{
	struct crash_device *d = crash_device(dev);

	forget(&d->pending);
	close(d->fd);
	close(d->durable_fd);
	mutex_deinit(&d->lock);
	free(d);
}

static const struct device_ops crash_ops = {
	.name = "crash",
	.submit = crash_submit,
	.collect = crash_collect,
	.wake = crash_wake,
	.perform = crash_perform,
	.close = crash_close,
};

/* @path is the platter; a copy of it is what the program sees. */
static struct device *crash_open(const char *path, uint64_t writes_left, uint64_t seed)
{
	struct crash_device *d = calloc(1, sizeof(*d));
	char copy[512];

	snprintf(copy, sizeof(copy), "%s.copy", path);
	assert_int_equal(image_shell("cp --sparse=always %s %s", path, copy), 0);
	d->fd = open(copy, O_RDWR);
	d->durable_fd = open(path, O_RDWR);
	assert_true(d->fd >= 0 && d->durable_fd >= 0);
	unlink(copy);
	d->dev.size_bytes = (uint64_t)lseek(d->fd, 0, SEEK_END);
	d->dev.alignment_bytes = 512;
	list_init(&d->pending);
	list_init(&d->finished);
	mutex_init(&d->lock, RANK_LEAF, 0, "crash device");
	d->writes_left = writes_left;
	d->seed = seed;
	device_init(&d->dev, &crash_ops);
	return &d->dev;
}

static uint32_t number_of(const struct xfs_dsb *sb)
{
	return (uint32_t)strtoul(sb->sb_fname + 1, NULL, 10);
}

static uint32_t number_on_disk(const char *path)
{
	struct xfs_dsb sb;
	int fd = open(path, O_RDONLY);

	assert_int_equal(pread(fd, &sb, sizeof(sb), 0), sizeof(sb));
	close(fd);
	return number_of(&sb);
}

/* Commits, forces and writes home at random until the power goes.  Returns the last number that was forced. */
static uint32_t work_until_power_cut(struct fixture *f, uint32_t number, uint64_t seed,
				     const struct log_options *options)
{
	uint32_t forced = number;
	struct crash_device *d;
	uint64_t random = seed;
	enum tail_progress progress;

	f->dev = f->log_dev = crash_open(f->path, seed % 300 + 1, seed);
	d = crash_device(f->dev);
	fixture_start(f, options);
	while (!d->is_off) {
		char label[13];
		struct tx *tx;

		random = hash_u64(random + 1);
		snprintf(label, sizeof(label), "n%u", ++number);
		tx = fixture_begin(f);
		for (unsigned i = 0; i < random % 5; i++)
			fixture_log_ag(f, tx, (random / 8 + i) % 4);
		fixture_set_label(f, tx, label);
		assert_int_equal(tx_commit(tx), 0);
		if (random >> 20 & 3 && log_force(f->log, 0, NULL) == 0 && !d->is_off)
			forced = number;
		if ((random >> 25 & 15) == 0)
			tail_push(f->log, UINT64_MAX, &progress);
		if ((random >> 30 & 31) == 0) {
			assert_int_equal(log_quiesce(f->log), 0);
			if (random >> 40 & 1)
				assert_int_equal(log_write_unmount(f->log), 0);
			if (!d->is_off)
				forced = number;
		}
	}
	fixture_crash(f);
	return forced;
}

static void check_power_cuts(const char *mkfs_args, const struct log_options *options, uint64_t seed)
{
	uint32_t number = 0;
	struct fixture f;

	if (!may_mount())
		skip();
	fixture_make(&f, 300 << 20, "");
	assert_int_equal(image_shell("mkfs.xfs --unsupported -q -f -K -L n0 %s %s 2>/dev/null", mkfs_args, f.path),
			 0);
	for (unsigned i = 0; i < 10; i++) {
		uint32_t forced;

		seed = hash_u64(seed + i);
		forced = work_until_power_cut(&f, number, seed, options);
		kernel_recover(&f);
		number = number_on_disk(f.path);
		if (number < forced)
			fail_msg("seed %llu: %u was forced, %u is there", (unsigned long long)seed, forced, number);
		assert_repair_clean(&f);
	}
	fixture_remove(&f);
}

static void small_log_survives_power_cuts(void **state)
{
	check_power_cuts("-l size=6m", NULL, 1);
}

static void log_with_stripe_unit_survives_power_cuts(void **state)
{
	check_power_cuts("-l size=8m,version=2,su=64k", NULL, 2);
}

static void large_records_survive_power_cuts(void **state)
{
	struct log_options options = { .record_bytes = 256 << 10 };

	check_power_cuts("-l size=6m", &options, 3);
}

/* Recovery does not look further back for what a power cut has left out. */
static void no_more_is_written_without_a_flush_than_recovery_looks_back(void **state)
{
	struct fake_item items[64];
	struct fixture f;

	fixture_make(&f, 300 << 20, "-l size=64m");
	f.dev = f.log_dev = crash_open(f.path, 0, 0);
	fixture_start(&f, NULL);
	for (unsigned i = 0; i < ARRAY_COUNT(items); i++) {
		struct tx *tx = fixture_begin(&f);

		fake_init(&f, &items[i], &fake_ops, 64 << 10, 'a');
		fake_join_dirty(tx, &items[i]);
		assert_int_equal(tx_commit(tx), 0);
	}
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_in_range(crash_device(f.dev)->most_pending_bytes, 1, SCAN_BYTES);
	fixture_unmount(&f);
	fixture_remove(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_more_is_written_without_a_flush_than_recovery_looks_back),
		cmocka_unit_test(small_log_survives_power_cuts),
		cmocka_unit_test(log_with_stripe_unit_survives_power_cuts),
		cmocka_unit_test(large_records_survive_power_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
