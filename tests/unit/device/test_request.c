/* SPDX-License-Identifier: GPL-2.0 */
/* Contents and errors of requests, over every engine. */
#include "engines.h"

#include <sys/stat.h>

#include <userxfs/base/bits.h>

FIXTURES

enum {
	SLOTS = 8,		/* requests in flight at once, each in its own part of the device */
	SLOT_SIZE = DEVICE_SIZE / SLOTS,
	UNIT = 4096,		/* at least any alignment met */
	IOVS = 5,
};

struct slot {
	struct device_request req;
	struct iovec iov[IOVS];
	char *buffer;
	uint64_t length;
};

/* Cuts the slot's buffer into entries of random lengths. */
static void cut(struct slot *s, uint64_t *seed)
{
	int count = 1 + (int)(next_random(seed) % IOVS);
	char *at = s->buffer;

	s->length = 0;
	for (int i = 0; i < count; i++) {
		uint64_t length = UNIT * (1 + next_random(seed) % (SLOT_SIZE / UNIT / IOVS));

		s->iov[i] = (struct iovec){ at, length };
		at += length;
		s->length += length;
	}
	device_request_init(&s->req, next_random(seed) % 2 ? DEVICE_WRITE : DEVICE_READ, 0, s->iov, count);
}

static void start(struct device *dev, struct slot *s, unsigned index, char *shadow, uint64_t *seed)
{
	cut(s, seed);
	s->req.off_bytes = index * SLOT_SIZE + next_random(seed) % ((SLOT_SIZE - s->length) / UNIT + 1) * UNIT;
	fill_random(s->buffer, 64, seed);
	fill_random(s->buffer + s->length - 64, 64, seed);
	if (s->req.op == DEVICE_WRITE) {
		s->req.flags = next_random(seed) % 8 ? 0 : DEVICE_FUA | DEVICE_PREFLUSH;
		memcpy(shadow + s->req.off_bytes, s->buffer, s->length);
	}
	device_submit(dev, &s->req);
}

static void vectored_reads_return_what_vectored_writes_wrote(void **state)
{
	struct device *dev = device_of(state);
	char *shadow = calloc(1, DEVICE_SIZE), *whole = aligned_bytes(DEVICE_SIZE);
	struct slot slots[SLOTS];
	uint64_t seed = 1;

	for (unsigned i = 0; i < SLOTS; i++)
		slots[i].buffer = aligned_bytes(SLOT_SIZE);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < SLOTS; i++)
			start(dev, &slots[i], i, shadow, &seed);
		for (unsigned i = SLOTS; i-- > 0;) {
			struct slot *s = &slots[i];

			assert_int_equal(device_wait(dev, &s->req), 0);
			assert_memory_equal(s->buffer, shadow + s->req.off_bytes, s->length);
		}
	}
	assert_int_equal(device_flush(dev), 0);
	assert_int_equal(device_read(dev, 0, whole, DEVICE_SIZE), 0);
	assert_memory_equal(whole, shadow, DEVICE_SIZE);
	for (unsigned i = 0; i < SLOTS; i++)
		free(slots[i].buffer);
	free(whole);
	free(shadow);
}

static void synchronous_transfers_of_any_alignment_are_exact(void **state)
{
	struct device *dev = device_of(state);
	char *shadow = calloc(1, DEVICE_SIZE), *data = aligned_bytes(DEVICE_SIZE);
	uint64_t seed = 2;

	for (unsigned i = 0; i < 150; i++) {
		uint64_t limit = i % 10 ? 9000 : 300000, count = 1 + next_random(&seed) % limit;
		uint64_t off = next_random(&seed) % (DEVICE_SIZE - count + 1);
		unsigned shift = next_random(&seed) % 8;

		if (next_random(&seed) % 2) {
			fill_random(data + shift, count, &seed);
			memcpy(shadow + off, data + shift, count);
			assert_int_equal(device_write(dev, off, data + shift, count, i % 3 ? 0 : DEVICE_FUA), 0);
		} else {
			assert_int_equal(device_read(dev, off, data + shift, count), 0);
			assert_memory_equal(data + shift, shadow + off, count);
		}
	}
	assert_int_equal(device_read(dev, 0, data, DEVICE_SIZE), 0);
	assert_memory_equal(data, shadow, DEVICE_SIZE);
	free(data);
	free(shadow);
}

/* More entries than one system call takes. */
static void three_thousand_entries_are_one_request(void **state)
{
	enum { ENTRIES = 3000, SIZE = 512 };
	struct device *dev = device_of(state);
	struct iovec *iov = calloc(ENTRIES, sizeof(*iov));
	char *data = aligned_bytes(ENTRIES * SIZE), *back = aligned_bytes(DEVICE_SIZE);
	struct device_request req;
	uint64_t seed = 3;
	int entries = min_u64(ENTRIES, DEVICE_SIZE / SIZE);

	if (dev->alignment_bytes > SIZE)
		skip();
	fill_random(data, ENTRIES * SIZE, &seed);
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < entries; i++)
			iov[i] = (struct iovec){ data + i * SIZE, SIZE };
		device_request_init(&req, DEVICE_WRITE, 0, iov, entries);
		if (pass == 0) {
			device_submit(dev, &req);
			assert_int_equal(device_wait(dev, &req), 0);
		} else {
			assert_int_equal(device_perform(dev, &req), 0);
		}
		assert_int_equal(device_read(dev, 0, back, (uint64_t)entries * SIZE), 0);
		assert_memory_equal(back, data, (size_t)entries * SIZE);
		memset(data, pass, ENTRIES * SIZE);
	}
	free(back);
	free(data);
	free(iov);
}

/* More requests than the kernel's queues hold. */
static void a_thousand_requests_can_be_in_flight(void **state)
{
	enum { COUNT = 1000 };
	struct device *dev = device_of(state);
	struct device_request *reqs = calloc(COUNT, sizeof(*reqs));
	struct iovec *iov = calloc(COUNT, sizeof(*iov));
	char *data = aligned_bytes(COUNT * UNIT);
	uint64_t seed = 4;

	fill_random(data, DEVICE_SIZE, &seed);
	assert_int_equal(device_write(dev, 0, data, DEVICE_SIZE, 0), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		iov[i] = (struct iovec){ data + i * UNIT, UNIT };
		device_request_init(&reqs[i], DEVICE_READ, i * UNIT % DEVICE_SIZE, &iov[i], 1);
		device_submit(dev, &reqs[i]);
	}
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(device_wait(dev, &reqs[i]), 0);
	for (unsigned i = DEVICE_SIZE / UNIT; i < COUNT; i++)
		assert_memory_equal(data + i * UNIT, data + i * UNIT % DEVICE_SIZE, UNIT);
	free(data);
	free(iov);
	free(reqs);
}

static void flushes_and_empty_requests_succeed_either_way(void **state)
{
	struct device *dev = device_of(state);
	struct device_request req;

	for (unsigned op = DEVICE_READ; op <= DEVICE_DISCARD; op++) {
		device_request_init(&req, op, 0, NULL, 0);
		device_submit(dev, &req);
		assert_int_equal(device_wait(dev, &req), 0);
		device_request_init(&req, op, 0, NULL, 0);
		assert_int_equal(device_perform(dev, &req), 0);
	}
}

static int submit_and_wait(struct device *dev, enum device_op op, uint64_t off, void *data, uint64_t count)
{
	struct iovec iov = { data, count };
	struct device_request req;

	device_request_init(&req, op, off, &iov, 1);
	device_submit(dev, &req);
	return device_wait(dev, &req);
}

static void requests_past_the_end_are_refused(void **state)
{
	struct device *dev = device_of(state);
	char *data = aligned_bytes(2 * UNIT);

	for (unsigned op = DEVICE_READ; op <= DEVICE_WRITE; op++) {
		assert_int_equal(submit_and_wait(dev, op, DEVICE_SIZE - UNIT, data, UNIT), 0);
		assert_int_equal(submit_and_wait(dev, op, DEVICE_SIZE - UNIT, data, 2 * UNIT), -EIO);
		assert_int_equal(submit_and_wait(dev, op, DEVICE_SIZE, data, UNIT), -EIO);
		assert_int_equal(submit_and_wait(dev, op, UINT64_MAX - UNIT + 1, data, 2 * UNIT), -EIO);
	}
	assert_int_equal(device_read(dev, DEVICE_SIZE - 1, data, 2), -EIO);
	assert_int_equal(device_read(dev, UINT64_MAX, data, 2), -EIO);
	assert_int_equal(device_write(dev, DEVICE_SIZE - 1, data, 2, 0), -EIO);
	assert_int_equal(device_read(dev, DEVICE_SIZE - 1, data, 1), 0);
	free(data);
}

static void misaligned_requests_are_refused(void **state)
{
	struct device *dev = device_of(state);
	char *data = aligned_bytes(2 * UNIT);
	uint32_t unit = dev->alignment_bytes;

	if (unit > 1) {
		assert_int_equal(submit_and_wait(dev, DEVICE_READ, unit / 2, data, unit), -EINVAL);
		assert_int_equal(submit_and_wait(dev, DEVICE_READ, 0, data, unit / 2), -EINVAL);
		assert_int_equal(submit_and_wait(dev, DEVICE_READ, 0, data + unit / 2, unit), -EINVAL);
	}
	assert_int_equal(submit_and_wait(dev, DEVICE_READ, 0, data, unit), 0);
	free(data);
}

static void fault_points_fail_reads_writes_and_flushes(void **state)
{
	struct device *dev = device_of(state);
	char *data = aligned_bytes(UNIT);

	assert_int_equal(fault_arm("device_write:off=8192-12288:errno=ENOSPC"), 0);
	assert_int_equal(submit_and_wait(dev, DEVICE_WRITE, 4096, data, UNIT), 0);
	assert_int_equal(submit_and_wait(dev, DEVICE_WRITE, 8192, data, UNIT), -ENOSPC);
	assert_int_equal(device_write(dev, 8192, data, UNIT, 0), -ENOSPC);
	assert_int_equal(submit_and_wait(dev, DEVICE_READ, 8192, data, UNIT), 0);
	assert_int_equal(fault_arm("device_read:nth=2"), 0);
	assert_int_equal(device_read(dev, 0, data, UNIT), 0);
	assert_int_equal(device_read(dev, 0, data, UNIT), -EIO);
	assert_int_equal(device_read(dev, 0, data, UNIT), 0);
	assert_int_equal(fault_arm("device_flush:times=1"), 0);
	assert_int_equal(device_flush(dev), -EIO);
	assert_int_equal(device_flush(dev), 0);
	free(data);
}

static void a_discarded_range_reads_as_anything_but_fails_nothing(void **state)
{
	struct device *dev = device_of(state);
	struct fixture *f = *state;
	char *data = aligned_bytes(UNIT);
	struct device_request req;
	struct stat st;

	memset(data, 7, UNIT);
	assert_int_equal(device_write(dev, 0, data, UNIT, 0), 0);
	assert_int_equal(device_write(dev, 5 * UNIT, data, UNIT, 0), 0);
	device_request_init(&req, DEVICE_DISCARD, UNIT, NULL, 0);
	req.length_bytes = 16 * UNIT;
	device_submit(dev, &req);
	assert_int_equal(device_wait(dev, &req), 0);
	assert_int_equal(device_read(dev, 5 * UNIT, data, UNIT), 0);
	assert_int_equal(data[0], dev->can_discard ? 0 : 7);
	assert_int_equal(device_read(dev, 0, data, UNIT), 0);
	assert_int_equal(data[0], 7);
	if (f->engine != VIRTUAL) {
		assert_int_equal(stat(f->path, &st), 0);
		assert_int_equal(st.st_size, DEVICE_SIZE);
	}
	free(data);
}

/* The file was cut behind our back. */
static void reading_what_is_no_longer_there_is_an_error(void **state)
{
	struct device *dev = device_of(state);
	struct fixture *f = *state;
	char *data = aligned_bytes(2 * UNIT);

	assert_int_equal(truncate(f->path, DEVICE_SIZE - UNIT), 0);
	assert_int_equal(submit_and_wait(dev, DEVICE_READ, DEVICE_SIZE - UNIT, data, UNIT), -EIO);
	assert_int_equal(submit_and_wait(dev, DEVICE_READ, DEVICE_SIZE - 2 * UNIT, data, 2 * UNIT), -EIO);
	assert_int_equal(device_read(dev, DEVICE_SIZE - UNIT, data, UNIT), -EIO);
	free(data);
}

static void a_write_is_not_lost_with_the_device(void **state)
{
	struct device *dev = device_of(state);
	struct fixture *f = *state;
	char *data = aligned_bytes(UNIT), back[16];
	int fd;

	memset(data, 9, UNIT);
	assert_int_equal(submit_and_wait(dev, DEVICE_WRITE, 3 * UNIT, data, UNIT), 0);
	fd = open(f->path, O_RDONLY);
	assert_int_equal(pread(fd, back, sizeof(back), 3 * UNIT), sizeof(back));
	assert_memory_equal(back, data, sizeof(back));
	close(fd);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH(vectored_reads_return_what_vectored_writes_wrote),
		ON_EACH(synchronous_transfers_of_any_alignment_are_exact),
		ON_EACH(three_thousand_entries_are_one_request),
		ON_EACH(a_thousand_requests_can_be_in_flight),
		ON_EACH(flushes_and_empty_requests_succeed_either_way),
		ON_EACH(requests_past_the_end_are_refused),
		ON_EACH(misaligned_requests_are_refused),
		ON_EACH(fault_points_fail_reads_writes_and_flushes),
		ON_EACH(a_discarded_range_reads_as_anything_but_fails_nothing),
		ON_EACH_FILE(reading_what_is_no_longer_there_is_an_error),
		ON_EACH_FILE(a_write_is_not_lost_with_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
