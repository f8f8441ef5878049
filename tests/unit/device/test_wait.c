/* SPDX-License-Identifier: GPL-2.0 */
/* Who makes progress for whom, over every engine. */
#include "engines.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>
#include <userxfs/base/thread.h>

FIXTURES

enum {
	UNIT = 4096,
	THREADS = 4,
	ROUNDS = 100,
};

struct worker {
	struct thread thread;
	struct device *dev;
	unsigned index;
	unsigned error_count;
};

static _Atomic bool is_stopping;
static _Atomic unsigned done_count;

/* Writes and reads back units that belong to this thread alone, two requests at a time. */
static void *write_and_read_back(void *arg)
{
	struct worker *w = arg;
	char *data = aligned_bytes(4 * UNIT);
	uint64_t seed = w->index + 1;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t off = (next_random(&seed) % 32 * THREADS + w->index) * 2 * UNIT;
		struct iovec iov[2] = { { data, UNIT }, { data + UNIT, UNIT } };
		struct iovec back[2] = { { data + 2 * UNIT, UNIT }, { data + 3 * UNIT, UNIT } };
		struct device_request reqs[2];

		fill_random(data, 16, &seed);
		fill_random(data + UNIT, 16, &seed);
		for (unsigned j = 0; j < 2; j++) {
			device_request_init(&reqs[j], DEVICE_WRITE, off + j * UNIT, &iov[j], 1);
			device_submit(w->dev, &reqs[j]);
		}
		for (unsigned j = 0; j < 2; j++)
			w->error_count += device_wait(w->dev, &reqs[j]) != 0;
		for (unsigned j = 0; j < 2; j++) {
			device_request_init(&reqs[j], DEVICE_READ, off + j * UNIT, &back[j], 1);
			device_submit(w->dev, &reqs[j]);
		}
		for (unsigned j = 2; j-- > 0;)
			w->error_count += device_wait(w->dev, &reqs[j]) != 0;
		w->error_count += memcmp(data, data + 2 * UNIT, 2 * UNIT) != 0;
	}
	free(data);
	return NULL;
}

static void run_workers(struct device *dev)
{
	struct worker w[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .dev = dev, .index = i };
		assert_int_equal(thread_create(&w[i].thread, "worker", write_and_read_back, &w[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		thread_join(&w[i].thread);
		assert_int_equal(w[i].error_count, 0);
	}
}

static void *run_passes(void *dev)
{
	while (!is_stopping)
		device_pass(dev, true);
	return NULL;
}

static void start_passes(struct device *dev, struct thread t[static 2])
{
	is_stopping = false;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(thread_create(&t[i], "passes", run_passes, dev), 0);
}

static void stop_passes(struct device *dev, struct thread t[static 2])
{
	is_stopping = true;
	device_wake(dev);
	for (unsigned i = 0; i < 2; i++)
		thread_join(&t[i]);
}

static void waiting_threads_serve_themselves(void **state)
{
	run_workers(device_of(state));
}

static void waiting_threads_and_passing_threads_serve_each_other(void **state)
{
	struct device *dev = device_of(state);
	struct thread passes[2];

	start_passes(dev, passes);
	run_workers(dev);
	stop_passes(dev, passes);
}

static void passing_threads_can_be_stopped_at_any_moment(void **state)
{
	struct device *dev = device_of(state);
	struct thread passes[2];

	for (unsigned i = 0; i < 20; i++) {
		start_passes(dev, passes);
		if (i % 2)
			clock_sleep_ns(i * 50 * 1000);
		stop_passes(dev, passes);
	}
	/* Waiting does not depend on them. */
	run_workers(dev);
}

static void count_done(struct device_request *req)
{
	if (req->err == 0)
		done_count++;
}

static void submit_reads(struct device *dev, struct device_request *reqs, struct iovec *iov, char *data,
			 unsigned count)
{
	done_count = 0;
	for (unsigned i = 0; i < count; i++) {
		iov[i] = (struct iovec){ data + i * UNIT, UNIT };
		device_request_init(&reqs[i], DEVICE_READ, i * UNIT, &iov[i], 1);
		reqs[i].done = count_done;
		device_submit(dev, &reqs[i]);
	}
}

/* The submitter may hold locks that .done wants. */
static void done_is_called_by_passes_only(void **state)
{
	struct device *dev = device_of(state);
	struct device_request reqs[8], mine;
	struct iovec iov[8], my_iov;
	char *data = aligned_bytes(9 * UNIT);

	submit_reads(dev, reqs, iov, data, 8);
	my_iov = (struct iovec){ data + 8 * UNIT, UNIT };
	device_request_init(&mine, DEVICE_READ, 0, &my_iov, 1);
	device_submit(dev, &mine);
	assert_int_equal(device_wait(dev, &mine), 0);
	assert_int_equal(done_count, 0);
	while (done_count < 8)
		device_pass(dev, true);
	assert_int_equal(device_pass(dev, false), 0);
	free(data);
}

static void a_refused_request_calls_done_from_a_pass_too(void **state)
{
	struct device *dev = device_of(state);
	struct device_request req;

	done_count = 0;
	device_request_init(&req, DEVICE_FLUSH, 0, NULL, 0);
	req.done = count_done;
	assert_int_equal(fault_arm("device_flush"), 0);
	device_submit(dev, &req);
	assert_int_equal(device_pass(dev, true), 1);
	assert_int_equal(req.err, -EIO);
	assert_int_equal(done_count, 0);
}

static void several_passing_threads_call_everybody_back_once(void **state)
{
	enum { COUNT = 200 };
	struct device *dev = device_of(state);
	struct device_request *reqs = calloc(COUNT, sizeof(*reqs));
	struct iovec *iov = calloc(COUNT, sizeof(*iov));
	char *data = aligned_bytes(COUNT * UNIT);
	uint64_t deadline_ns = clock_now_ns() + 20 * NS_PER_SEC;
	struct thread passes[2];

	start_passes(dev, passes);
	submit_reads(dev, reqs, iov, data, COUNT);
	while (done_count < COUNT && clock_now_ns() < deadline_ns)
		clock_sleep_ns(1000 * 1000);
	assert_int_equal(done_count, COUNT);
	stop_passes(dev, passes);
	free(data);
	free(iov);
	free(reqs);
}

static void *write_stripes(void *arg)
{
	struct worker *w = arg;
	char stripe[100];

	memset(stripe, (int)w->index + 1, sizeof(stripe));
	for (unsigned i = 0; i < ROUNDS; i++)
		w->error_count += device_write(w->dev, (i * THREADS + w->index) * 100, stripe, 100, 0) != 0;
	return NULL;
}

/* Stripes of different threads share the device's units. */
static void unaligned_writes_do_not_undo_their_neighbours(void **state)
{
	struct device *dev = device_of(state);
	struct worker w[THREADS];
	char *data = aligned_bytes(DEVICE_SIZE);

	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .dev = dev, .index = i };
		assert_int_equal(thread_create(&w[i].thread, "stripes", write_stripes, &w[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		thread_join(&w[i].thread);
		assert_int_equal(w[i].error_count, 0);
	}
	assert_int_equal(device_read(dev, 0, data, THREADS * ROUNDS * 100), 0);
	for (unsigned i = 0; i < THREADS * ROUNDS * 100; i++)
		assert_int_equal(data[i], i / 100 % THREADS + 1);
	free(data);
}

static void *submit_and_exit(void *arg)
{
	struct device_request *reqs = arg;

	for (unsigned i = 0; i < 8; i++)
		device_submit(reqs[i].context, &reqs[i]);
	return NULL;
}

/* Requests outlive the thread that submitted them. */
static void a_submitter_may_exit_before_its_requests_are_done(void **state)
{
	struct device *dev = device_of(state);
	struct device_request reqs[8];
	struct iovec iov[8];
	char *data = aligned_bytes(8 * UNIT);
	struct thread t;

	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 8; i++) {
			iov[i] = (struct iovec){ data + i * UNIT, UNIT };
			device_request_init(&reqs[i], i % 4 == 3 ? DEVICE_FLUSH : DEVICE_WRITE, i * UNIT, &iov[i], 1);
			reqs[i].context = dev;
		}
		assert_int_equal(thread_create(&t, "brief", submit_and_exit, reqs), 0);
		thread_join(&t);
		for (unsigned i = 0; i < 8; i++)
			assert_int_equal(device_wait(dev, &reqs[i]), 0);
	}
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH(waiting_threads_serve_themselves),
		ON_EACH(waiting_threads_and_passing_threads_serve_each_other),
		ON_EACH(passing_threads_can_be_stopped_at_any_moment),
		ON_EACH(done_is_called_by_passes_only),
		ON_EACH(a_refused_request_calls_done_from_a_pass_too),
		ON_EACH(several_passing_threads_call_everybody_back_once),
		ON_EACH(unaligned_writes_do_not_undo_their_neighbours),
		ON_EACH(a_submitter_may_exit_before_its_requests_are_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
