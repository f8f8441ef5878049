// SPDX-License-Identifier: GPL-2.0
/* Reference counts against an array of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "space/refcountbt.h"

#include "toy_ag.c"

struct model {
	uint32_t refs[TOY_DATA_BLOCKS];		/* 0: free */
	bool is_staging[TOY_DATA_BLOCKS];
};

static struct model model;

static struct btree_cursor cursor(void)
{
	struct btree_cursor cur;

	refcountbt_cursor_init(&cur, toy_tx(), &toy.ag, &toy.agf);
	return cur;
}

static void cursor_end(struct btree_cursor *cur)
{
	btree_cursor_deinit(cur);
	toy_ag_commit();
}

/* The records of @set that the model wants, one after the other: the first at or behind *@agblk. */
static bool next_wanted(enum refcount_set set, agblk_t *agblk, struct refcount_record *rec)
{
	uint32_t value;

#define VALUE(i) (set == REFCOUNT_STAGING ? (uint32_t)model.is_staging[i] : model.refs[i] > 1 ? model.refs[i] : 0)
	while (*agblk < TOY_DATA_BLOCKS && !VALUE(*agblk))
		(*agblk)++;
	if (*agblk == TOY_DATA_BLOCKS)
		return false;
	value = VALUE(*agblk);
	*rec = (struct refcount_record){ .set = set, .agblk = *agblk, .refs = value };
	while (*agblk < TOY_DATA_BLOCKS && VALUE(*agblk) == value) {
		(*agblk)++;
		rec->count++;
	}
#undef VALUE
	return true;
}

static void check_against_model(void)
{
	struct refcount_record want, have;
	struct btree_cursor cur = cursor();
	union btree_key first = { .refcount.rc_startblock = 0 };
	bool found;

	assert_int_equal(btree_verify(&cur), 0);
	assert_int_equal(btree_lookup(&cur, BTREE_GE, &first, &found), 0);
	for (enum refcount_set set = REFCOUNT_SHARED; set <= REFCOUNT_STAGING; set++) {
		agblk_t at = 0;

		while (next_wanted(set, &at, &want)) {
			assert_true(found);
			assert_int_equal(refcountbt_get(&cur, &have, &found), 0);
			assert_int_equal(have.set, want.set);
			assert_int_equal(have.agblk, want.agblk);
			assert_int_equal(have.count, want.count);
			assert_int_equal(have.refs, want.refs);
			assert_int_equal(btree_increment(&cur, 0, &found), 0);
		}
	}
	assert_false(found);
	cursor_end(&cur);
}

/* Applies @delta in as many transactions as it takes; returns how many. */
static unsigned adjust(agblk_t agblk, uint32_t count, int delta)
{
	unsigned transactions = 0;

	for (uint32_t i = 0; i < count; i++) {
		assert_true(model.refs[agblk + i] > 0);
		model.refs[agblk + i] += (uint32_t)delta;
	}
	memset(toy.freed, 0, sizeof(toy.freed));
	for (uint32_t i = agblk, left = count; left; transactions++) {
		struct refcount_budget budget = { 0 };
		struct btree_cursor cur = cursor();
		uint32_t before = left;

		assert_int_equal(refcount_adjust(&cur, &budget, &i, &left, delta), 0);
		assert_true(left < before);
		cursor_end(&cur);
	}
	for (agblk_t i = 0; i < TOY_DATA_BLOCKS; i++)
		assert_int_equal(toy.freed[i], i >= agblk && i < agblk + count && !model.refs[i]);
	return transactions;
}

static void add_staging(agblk_t agblk, uint32_t count)
{
	struct btree_cursor cur = cursor();

	assert_int_equal(refcount_add_staging(&cur, agblk, count), 0);
	memset(&model.is_staging[agblk], true, count);
	cursor_end(&cur);
}

static void remove_staging(agblk_t agblk, uint32_t count)
{
	struct btree_cursor cur = cursor();

	assert_int_equal(refcount_remove_staging(&cur, agblk, count), 0);
	memset(&model.is_staging[agblk], false, count);
	cursor_end(&cur);
}

static int setup(void **state)
{
	toy_random_seed(1);
	toy_ag_create(6, 6);
	memset(&model, 0, sizeof(model));
	return 0;
}

static int teardown(void **state)
{
	toy_ag_destroy();
	return 0;
}

static void use_all(void)
{
	for (agblk_t i = TOY_FIRST_BLOCK; i < TOY_DATA_BLOCKS; i++)
		model.refs[i] = 1;
}

/* Sharing the middle of a shared extent and unsharing it leaves what was there, as one record. */
static void records_melt_together_again(void **state)
{
	use_all();
	adjust(100, 30, 1);
	adjust(110, 10, 1);
	check_against_model();
	adjust(110, 10, -1);
	check_against_model();
	adjust(130, 5, 1);
	adjust(95, 5, 1);
	check_against_model();
	adjust(95, 40, -1);
	check_against_model();
}

/* The last reference of a block frees it, in runs, and nothing else. */
static void the_last_reference_frees(void **state)
{
	use_all();
	adjust(200, 10, 1);
	adjust(190, 30, -1);
	check_against_model();
	assert_int_equal(toy.freed[195], 1);
	assert_int_equal(toy.freed[205], 0);
	adjust(200, 10, -1);
	assert_int_equal(toy.freed[205], 1);
	check_against_model();
}

/* A random extent all of whose blocks are in use; at least one. */
static uint32_t used_extent(agblk_t *agblk)
{
	uint32_t count = 0, want = 1 + toy_random(toy_random(8) ? 40 : 400);

	do
		*agblk = TOY_FIRST_BLOCK + toy_random(TOY_DATA_BLOCKS - TOY_FIRST_BLOCK);
	while (!model.refs[*agblk]);
	while (count < want && *agblk + count < TOY_DATA_BLOCKS && model.refs[*agblk + count])
		count++;
	return count;
}

static void any_order_of_operations(uint32_t max_leaf, uint32_t max_node, uint32_t log_reservation, unsigned steps)
{
	toy_ag_create(max_leaf, max_node);
	toy_set_log_reservation(log_reservation);
	memset(&model, 0, sizeof(model));
	use_all();
	for (unsigned step = 0; step < steps; step++) {
		agblk_t agblk;
		uint32_t count = used_extent(&agblk);
		unsigned dice = toy_random(10);

		if (dice < 5) {
			adjust(agblk, count, 1);
		} else if (dice < 9) {
			adjust(agblk, count, -1);
			for (uint32_t i = 0; i < count; i++)
				if (!model.refs[agblk + i] && toy_random(2))
					model.refs[agblk + i] = 1;
		} else {
			for (agblk_t i = TOY_FIRST_BLOCK; i < TOY_DATA_BLOCKS; i++)
				if (!model.refs[i] && !model.is_staging[i])
					model.refs[i] = 1;
		}
		if (step % 20 == 0)
			check_against_model();
	}
	check_against_model();
}

/* Whatever the order of operations and the height of the tree, the records are those of the array, maximal. */
static void any_order_gives_the_counts_of_the_model(void **state)
{
	any_order_of_operations(6, 6, 1u << 20, 4000);
	any_order_of_operations(30, 12, 1u << 20, 4000);
}

/* A full transaction stops the work; going on with what is left gives the same. */
static void continued_work_gives_the_same(void **state)
{
	any_order_of_operations(6, 6, 1, 2000);
	any_order_of_operations(6, 6, 12000, 2000);
	setup(NULL);
	toy_set_log_reservation(1);
	use_all();
	for (agblk_t i = 500; i < 600; i += 10)
		adjust(i, 5, 1);
	assert_true(adjust(500, 100, 1) > 15);
	check_against_model();
}

/* A count at its maximum is never touched again, and never freed. */
static void a_count_at_its_maximum_stays(void **state)
{
	struct refcount_record rec = { .agblk = 300, .count = 10, .refs = MAXREFCOUNT };
	struct btree_cursor cur = cursor();

	assert_int_equal(refcountbt_insert(&cur, &rec), 0);
	cursor_end(&cur);
	use_all();
	for (agblk_t i = 300; i < 310; i++)
		model.refs[i] = MAXREFCOUNT - 1;
	adjust(300, 10, 1);
	check_against_model();
	for (agblk_t i = 300; i < 310; i++)
		model.refs[i] = MAXREFCOUNT;
	cur = cursor();
	for (int delta = -1; delta <= 1; delta += 2) {
		struct refcount_budget budget = { 0 };
		agblk_t agblk = 302;
		uint32_t count = 3;

		assert_int_equal(refcount_adjust(&cur, &budget, &agblk, &count, delta), 0);
	}
	cursor_end(&cur);
	check_against_model();
}

/* Staging records melt together, come apart, and keep away from shared ones. */
static void staging_records_follow_the_model(void **state)
{
	use_all();
	memset(&model.refs[700], 0, 600 * sizeof(uint32_t));
	adjust(600, 100, 1);
	for (unsigned step = 0; step < 3000; step++) {
		agblk_t agblk = 700 + toy_random(600);
		bool was = model.is_staging[agblk];
		uint32_t count = 1, want = 1 + toy_random(30);

		while (count < want && agblk + count < 1300 && model.is_staging[agblk + count] == was)
			count++;
		if (was)
			remove_staging(agblk, count);
		else
			add_staging(agblk, count);
		if (step % 50 == 0)
			check_against_model();
	}
	check_against_model();
}

/* Recording staging blocks twice, or forgetting ones that are not recorded, is refused. */
static void contradictions_are_refused(void **state)
{
	struct btree_cursor cur;

	add_staging(50, 10);
	cur = cursor();
	assert_int_equal(refcount_add_staging(&cur, 59, 3), -EFSCORRUPTED);
	assert_int_equal(refcount_add_staging(&cur, 45, 6), -EFSCORRUPTED);
	assert_int_equal(refcount_remove_staging(&cur, 49, 3), -EFSCORRUPTED);
	assert_int_equal(refcount_remove_staging(&cur, 55, 6), -EFSCORRUPTED);
	cursor_end(&cur);
	check_against_model();
}

/* The reservations are those that Linux computes for a volume of 2 GiB. */
static void the_worst_size_is_that_of_linux(void **state)
{
	struct ag ag = { .agno = 1, .blocks = 131072 }, log_ag = { .agno = 2, .blocks = 131072 };
	struct geometry geo = {
		.agblk_log = 17, .log_blocks = 16384, .log_start = { 2ull << 17 | 24 }, .has_reflink = true,
		.refcountbt = { .min_leaf = 168, .min_node = 252 },
	};

	assert_int_equal(3 * (refcountbt_max_blocks(&geo, &ag) - 1) + refcountbt_max_blocks(&geo, &log_ag) - 1, 3041);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records_melt_together_again, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_reference_frees, setup, teardown),
		cmocka_unit_test_setup_teardown(any_order_gives_the_counts_of_the_model, setup, teardown),
		cmocka_unit_test_setup_teardown(continued_work_gives_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(a_count_at_its_maximum_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(staging_records_follow_the_model, setup, teardown),
		cmocka_unit_test_setup_teardown(contradictions_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(the_worst_size_is_that_of_linux, setup, teardown),
	};

	return cmocka_run_group_tests_name("refcount", tests, NULL, NULL);
}
