/* SPDX-License-Identifier: GPL-2.0 */
/* Busy extents against an array, without a log: the test says when a transaction is on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "space/busy.h"

#define BLOCKS 3000u

static struct ag ag;
static struct list callbacks;
static uint32_t forces;
static bool force_makes_durable;
static uint8_t is_busy[BLOCKS];

void tx_add_durable_callback(struct tx *tx, struct durable_callback *cb)
{
	list_push_back(&callbacks, &cb->node);
}

static void run_first(void)
{
	struct durable_callback *cb = list_first(&callbacks, struct durable_callback, node);

	list_remove(&cb->node);
	cb->run(cb, false);
}

int log_force(struct log *log, uint64_t sequence, bool *flushed)
{
	forces++;
	while (force_makes_durable && !list_is_empty(&callbacks))
		run_first();
	return 0;
}

struct log *space_log(struct space *space)
{
	return NULL;
}

static int setup(void **state)
{
	memset(&ag, 0, sizeof(ag));
	memset(is_busy, 0, sizeof(is_busy));
	mutex_init(&ag.busy_lock, RANK_SPACE, 0, "test");
	list_init(&callbacks);
	forces = 0;
	force_makes_durable = true;
	srand(1);
	return 0;
}

static int teardown(void **state)
{
	while (!list_is_empty(&callbacks))
		run_first();
	busy_forget_all(&ag);
	mutex_deinit(&ag.busy_lock);
	return 0;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)rand() % n;
}

static bool trim(uint32_t min, uint32_t max, agblk_t *start, uint32_t *count)
{
	struct busy_trim t = { .min_count = min, .max_count = max };

	return busy_trim(&ag, &t, start, count);
}

static void check_trim(uint32_t min, uint32_t max, agblk_t start, uint32_t count, agblk_t left, uint32_t left_count)
{
	assert_true(trim(min, max, &start, &count));
	assert_int_equal(count, left_count);
	if (count)
		assert_int_equal(start, left);
}

/* Busy ends are cut off; in the middle, the part that serves best is kept. */
static void trimming_keeps_the_best_part(void **state)
{
	agblk_t start = 300;
	uint32_t count = 50;

	busy_insert(NULL, &ag, 100, 50);
	check_trim(1, 10, 100, 50, 0, 0);		/* all of it is busy */
	check_trim(1, 10, 120, 60, 150, 30);		/* its start */
	check_trim(1, 10, 80, 30, 80, 20);		/* its end */
	check_trim(1, 10, 80, 100, 80, 20);		/* the left is long enough */
	check_trim(1, 30, 80, 300, 150, 230);		/* the right is long enough to serve again */
	check_trim(1, 60, 80, 300, 80, 20);		/* neither: the left */
	check_trim(25, 60, 80, 300, 80, 0);		/* the left is too short for that */
	check_trim(40, 60, 120, 60, 150, 0);		/* what is left is too short */
	assert_false(trim(1, 10, &start, &count));
	assert_int_equal(count, 50);
}

/* Blocks used again for metadata are not busy any more; the log's report finds nothing to do. */
static void reuse_ends_being_busy(void **state)
{
	busy_insert(NULL, &ag, 10, 1);
	busy_insert(NULL, &ag, 20, 10);
	assert_int_equal(busy_reuse(&ag, 10, 1), 0);
	assert_false(busy_overlaps(&ag, 10, 1));
	assert_int_equal(busy_reuse(&ag, 25, 5), 0);
	assert_true(busy_overlaps(&ag, 20, 5));
	assert_false(busy_overlaps(&ag, 25, 5));
	busy_insert(NULL, &ag, 10, 1);
	assert_int_equal(forces, 0);
	/* From the middle of one nothing can be taken: the log is forced. */
	assert_int_equal(busy_reuse(&ag, 21, 1), 0);
	assert_int_equal(forces, 1);
	assert_false(busy_overlaps(&ag, 0, BLOCKS));
}

/* Waiting forces the log until the blocks are free, and gives up when that changes nothing. */
static void waiting_forces_the_log(void **state)
{
	busy_insert(NULL, &ag, 10, 5);
	assert_int_equal(busy_wait(&ag, 20, 5), 0);
	assert_int_equal(forces, 0);
	assert_int_equal(busy_wait(&ag, 12, 1), 0);
	assert_int_equal(forces, 1);
	assert_false(busy_overlaps(&ag, 10, 5));
	force_makes_durable = false;
	busy_insert(NULL, &ag, 10, 5);
	assert_int_equal(busy_wait(&ag, 12, 1), -EAGAIN);
	assert_int_equal(busy_flush(&ag, busy_generation(&ag)), -EAGAIN);
	assert_int_equal(busy_flush(&ag, busy_generation(&ag) - 1), 0);
}

static void drop_line(void *context, enum message_level level, const char *line)
{
}

/* Only a damaged volume frees what is busy; that is survived. */
static void freeing_twice_is_survived(void **state)
{
	message_set_sink(drop_line, NULL);
	busy_insert(NULL, &ag, 10, 5);
	busy_insert(NULL, &ag, 12, 5);
	message_set_sink(NULL, NULL);
	assert_true(busy_overlaps(&ag, 10, 5));
}

static void insert_at_random(void)
{
	agblk_t start = below(BLOCKS), end = start;

	while (end < BLOCKS && end - start < 12 && !is_busy[end])
		is_busy[end++] = 1;
	if (end > start)
		busy_insert(NULL, &ag, start, end - start);
}

static void check_against_array(void)
{
	agblk_t start = below(BLOCKS), first = start, end;
	uint32_t count = 1 + below(40), left = count;
	bool any = false;

	if (count > BLOCKS - start)
		count = left = BLOCKS - start;
	for (uint32_t i = 0; i < count; i++)
		any |= is_busy[start + i];
	assert_int_equal(busy_overlaps(&ag, start, count), any);
	assert_int_equal(trim(1, 1 + below(10), &first, &left), any);
	for (end = first; end < first + left; end++)
		assert_false(is_busy[end]);
	assert_true(first >= start && first + left <= start + count);
}

static void forget_what_became_durable(void)
{
	for (agblk_t b = 0; b < BLOCKS; b++)
		is_busy[b] = busy_overlaps(&ag, b, 1);
}

/* Whatever comes and goes, what the tree says is busy is what was inserted and not reported. */
static void the_tree_agrees_with_an_array(void **state)
{
	for (uint32_t round = 0; round < 60; round++) {
		uint32_t before = 0, after = 0;

		for (uint32_t i = 0; i < 100; i++) {
			insert_at_random();
			check_against_array();
		}
		for (agblk_t b = 0; b < BLOCKS; b++)
			before += is_busy[b];
		for (uint32_t i = 0; i < 40 && !list_is_empty(&callbacks); i++)
			run_first();
		forget_what_became_durable();
		for (agblk_t b = 0; b < BLOCKS; b++)
			after += is_busy[b];
		assert_true(after < before);
	}
	while (!list_is_empty(&callbacks))
		run_first();
	assert_false(busy_overlaps(&ag, 0, BLOCKS));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(trimming_keeps_the_best_part),
		TEST(reuse_ends_being_busy),
		TEST(waiting_forces_the_log),
		TEST(freeing_twice_is_survived),
		TEST(the_tree_agrees_with_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
