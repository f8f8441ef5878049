/* SPDX-License-Identifier: GPL-2.0 */
/* The B+tree against a sorted array: every kind of tree, tiny blocks, random changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "toy.c"

#include <userxfs/base/bits.h>

#define KEYS 700u

struct model {
	uint32_t length[KEYS], value[KEYS];	/* length 0: no record with this start */
	uint32_t count;
};

struct shape {
	enum toy_kind kind;
	uint32_t max_leaf, max_node, max_root;
};

static const struct shape shapes[] = {
	{ TOY_SHORT, 4, 4, 0 },	      { TOY_SHORT, 5, 6, 0 },	    { TOY_SHORT, 2, 5, 0 },
	{ TOY_OVERLAPPING, 4, 4, 0 }, { TOY_OVERLAPPING, 7, 5, 0 }, { TOY_OVERLAPPING, 3, 5, 0 },
	{ TOY_INODE, 4, 4, 2 },	      { TOY_INODE, 5, 6, 3 },	    { TOY_INODE, 3, 4, 4 },
};

static struct toy toy;
static struct model model;

static uint32_t random_length(void)
{
	return toy.kind == TOY_OVERLAPPING ? 1 + (uint32_t)toy_random() % 30 : 1;
}

static void check_record(struct btree_cursor *cur, uint32_t start)
{
	union btree_rec rec;
	uint32_t s, l, v;
	bool found;

	assert_int_equal(btree_get_rec(cur, &rec, &found), 0);
	assert_true(found);
	toy_rec_get(&toy, &rec, &s, &l, &v);
	assert_int_equal(s, start);
	assert_int_equal(l, model.length[start]);
	if (toy.kind != TOY_SHORT)
		assert_int_equal(v, model.value[start]);
}

static uint32_t model_next(uint32_t from)
{
	while (from < KEYS && !model.length[from])
		from++;
	return from;
}

static void check_nothing_held(void)
{
	assert_int_equal(toy_held(), 0);
}

/* The cursor stands on @start, or behind the last record when that is KEYS. */
static void check_cursor(struct btree_cursor *cur, uint32_t start)
{
	union btree_rec rec;
	bool found;

	if (start < KEYS) {
		check_record(cur, start);
		return;
	}
	assert_int_equal(btree_get_rec(cur, &rec, &found), 0);
	assert_false(found);
}

static void insert(uint32_t start)
{
	struct btree_cursor cur;
	union btree_key key = toy_key(&toy, start);
	union btree_rec rec;
	bool found;

	model.length[start] = random_length();
	model.value[start] = (uint32_t)toy_random() % 1000;
	model.count++;
	rec = toy_rec(&toy, start, model.length[start], model.value[start]);
	toy_cursor(&toy, &cur, true);
	assert_int_equal(btree_lookup(&cur, BTREE_EQ, &key, &found), 0);
	assert_false(found);
	assert_int_equal(btree_insert(&cur, &rec), 0);
	check_record(&cur, start);
	btree_cursor_deinit(&cur);
	check_nothing_held();
	toy_commit(&toy);
}

static void delete(uint32_t start)
{
	struct btree_cursor cur;
	union btree_key key = toy_key(&toy, start);
	uint32_t next = model_next(start + 1);
	bool found;

	model.length[start] = 0;
	model.count--;
	toy_cursor(&toy, &cur, true);
	assert_int_equal(btree_lookup(&cur, BTREE_EQ, &key, &found), 0);
	assert_true(found);
	assert_int_equal(btree_delete(&cur), 0);
	check_cursor(&cur, next);
	btree_cursor_deinit(&cur);
	check_nothing_held();
	toy_commit(&toy);
}

static void update(uint32_t start)
{
	struct btree_cursor cur;
	union btree_key key = toy_key(&toy, start);
	union btree_rec rec;
	bool found;

	model.length[start] = random_length();
	model.value[start] = (uint32_t)toy_random() % 1000;
	rec = toy_rec(&toy, start, model.length[start], model.value[start]);
	toy_cursor(&toy, &cur, true);
	assert_int_equal(btree_lookup(&cur, BTREE_GE, &key, &found), 0);
	assert_true(found);
	assert_int_equal(btree_update(&cur, &rec), 0);
	check_record(&cur, start);
	btree_cursor_deinit(&cur);
	check_nothing_held();
	toy_commit(&toy);
}

static void verify(void)
{
	struct btree_cursor cur;
	uint64_t blocks;

	toy_cursor(&toy, &cur, false);
	assert_int_equal(btree_verify(&cur), 0);
	btree_cursor_deinit(&cur);
	toy_cursor(&toy, &cur, false);
	assert_int_equal(btree_count_blocks(&cur, &blocks), 0);
	btree_cursor_deinit(&cur);
	assert_int_equal(blocks, toy.blocks_allocated);
	check_nothing_held();
}

static int count_record(struct btree_cursor *cur, const union btree_rec *rec, void *context)
{
	uint32_t *expected = context, s, l, v;

	*expected = model_next(*expected);
	toy_rec_get(&toy, rec, &s, &l, &v);
	assert_int_equal(s, *expected);
	assert_int_equal(l, model.length[s]);
	++*expected;
	return 0;
}

static void check_contents(void)
{
	struct btree_cursor cur;
	uint32_t expected = 0;

	verify();
	toy_cursor(&toy, &cur, false);
	assert_int_equal(btree_query_all(&cur, count_record, &expected), 0);
	btree_cursor_deinit(&cur);
	assert_int_equal(model_next(expected), KEYS);
	check_nothing_held();
}

static void change_at_random(uint32_t steps, uint32_t insert_percent, bool verify_each)
{
	for (uint32_t i = 0; i < steps; i++) {
		uint32_t start = (uint32_t)toy_random() % KEYS, dice = (uint32_t)toy_random() % 100;

		if (!model.length[start]) {
			if (dice < insert_percent)
				insert(start);
		} else if (dice >= insert_percent) {
			delete(start);
		} else if (dice < 10) {
			update(start);
		}
		if (verify_each)
			verify();
	}
}

static void create(const struct shape *shape, uint64_t seed)
{
	toy_random_seed(seed);
	memset(&model, 0, sizeof(model));
	toy_create(&toy, shape->kind, shape->max_leaf, shape->max_node, shape->max_root);
}

/* Whatever is inserted, updated and deleted, the tree is sound after each step and holds what it should. */
static void random_changes_keep_the_tree_sound(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		create(&shapes[i], i + 1);
		change_at_random(1500, 70, true);
		check_contents();
		change_at_random(1500, 30, true);
		check_contents();
		toy_destroy(&toy);
	}
}

/* What the logged ranges say is the tree: replaying them is enough. */
static void logged_ranges_are_the_whole_change(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		create(&shapes[i], 100 + i);
		for (int round = 0; round < 10; round++) {
			change_at_random(300, round % 2 ? 35 : 75, false);
			toy_swap_shadow(&toy);
			check_contents();
			toy_swap_shadow(&toy);
		}
		toy_destroy(&toy);
	}
}

/* Emptied from the left, from the right or at random, the tree gives all blocks back but one. */
static void an_emptied_tree_has_one_block(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		for (int how = 0; how < 3; how++) {
			create(&shapes[i], 200 + i);
			change_at_random(2000, 80, false);
			while (model.count) {
				uint32_t at = how == 0 ? 0 : (uint32_t)toy_random() % KEYS;

				if (how == 1)
					for (at = KEYS - 1; !model.length[at];)
						at--;
				at = model_next(at);
				if (at < KEYS)
					delete(at);
			}
			verify();
			assert_int_equal(toy.blocks_allocated, 1);
			toy_destroy(&toy);
		}
	}
}

/* Ascending insertion, as files are written, leaves full blocks on the left. */
static void ascending_and_descending_insertion_work(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		create(&shapes[i], 300 + i);
		for (uint32_t k = KEYS / 2; k < KEYS; k++)
			insert(k);
		check_contents();
		for (uint32_t k = KEYS / 2; k-- > 0;)
			insert(k);
		check_contents();
		toy_destroy(&toy);
	}
}

static void check_lookup(struct btree_cursor *cur, uint32_t k)
{
	union btree_key key = toy_key(&toy, k);
	uint32_t before = k + 1;
	bool found;

	assert_int_equal(btree_lookup(cur, BTREE_EQ, &key, &found), 0);
	assert_int_equal(found, model.length[k] != 0);
	if (found)
		check_record(cur, k);
	assert_int_equal(btree_lookup(cur, BTREE_GE, &key, &found), 0);
	assert_int_equal(found, model_next(k) < KEYS);
	check_cursor(cur, model_next(k));
	assert_int_equal(btree_lookup(cur, BTREE_LE, &key, &found), 0);
	while (before-- > 0 && !model.length[before])
		;
	assert_int_equal(found, before != UINT32_MAX);
	if (found)
		check_record(cur, before);
}

/* EQ, GE and LE find what a scan of the array finds, with and without a transaction. */
static void lookups_agree_with_the_array(void **state)
{
	struct btree_cursor cur;

	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		create(&shapes[i], 400 + i);
		change_at_random(1500, 60, false);
		for (int with_tx = 0; with_tx < 2; with_tx++) {
			toy_cursor(&toy, &cur, with_tx);
			for (uint32_t k = 0; k < KEYS; k++)
				check_lookup(&cur, k);
			btree_cursor_deinit(&cur);
			check_nothing_held();
		}
		toy_destroy(&toy);
	}
}

/* Walking right and then left again visits every record once each way. */
static void increment_and_decrement_visit_every_record(void **state)
{
	struct btree_cursor cur;

	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		union btree_key key;
		uint32_t at = 0, count = 0;
		bool found;

		create(&shapes[i], 500 + i);
		change_at_random(1500, 60, false);
		key = toy_key(&toy, 0);
		toy_cursor(&toy, &cur, false);
		assert_int_equal(btree_lookup(&cur, BTREE_GE, &key, &found), 0);
		while (found) {
			at = model_next(at);
			check_record(&cur, at++);
			count++;
			assert_int_equal(btree_increment(&cur, 0, &found), 0);
		}
		assert_int_equal(count, model.count);
		assert_int_equal(btree_decrement(&cur, 0, &found), 0);
		for (at = KEYS; found; count--) {
			do
				at--;
			while (!model.length[at]);
			check_record(&cur, at);
			assert_int_equal(btree_decrement(&cur, 0, &found), 0);
		}
		assert_int_equal(count, 0);
		assert_int_equal(btree_increment(&cur, 0, &found), 0);
		assert_true(found);
		check_record(&cur, model_next(0));
		btree_cursor_deinit(&cur);
		check_nothing_held();
		toy_destroy(&toy);
	}
}

struct range {
	uint32_t low, high, next;
};

static bool is_in_range(uint32_t start, const struct range *r)
{
	return model.length[start] && start <= r->high && start + model.length[start] - 1 >= r->low;
}

static int check_range_record(struct btree_cursor *cur, const union btree_rec *rec, void *context)
{
	struct range *r = context;
	uint32_t s, l, v;

	toy_rec_get(&toy, rec, &s, &l, &v);
	while (r->next < s)
		assert_false(is_in_range(r->next++, r));
	assert_true(is_in_range(s, r));
	assert_int_equal(l, model.length[s]);
	r->next = s + 1;
	return 0;
}

/* A range query gives exactly the records that touch the range, also those that start before it. */
static void queries_give_what_touches_the_range(void **state)
{
	struct btree_cursor cur;

	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		create(&shapes[i], 600 + i);
		change_at_random(1000, 50, false);
		for (int round = 0; round < 300; round++) {
			struct range r = { .low = (uint32_t)toy_random() % KEYS };
			union btree_key low, high;

			r.high = r.low + (uint32_t)toy_random() % 60;
			low = toy_key(&toy, r.low);
			high = toy_key(&toy, r.high);
			toy_cursor(&toy, &cur, round % 2);
			assert_int_equal(btree_query_range(&cur, &low, &high, check_range_record, &r), 0);
			btree_cursor_deinit(&cur);
			for (; r.next < KEYS; r.next++)
				assert_false(is_in_range(r.next, &r));
			check_nothing_held();
		}
		toy_destroy(&toy);
	}
}

static int stop_at_third(struct btree_cursor *cur, const union btree_rec *rec, void *context)
{
	uint32_t *count = context;

	return ++*count == 3 ? -ECANCELED : 0;
}

/* A visitor's answer ends the query and is its result. */
static void a_query_ends_when_the_visitor_says_so(void **state)
{
	struct btree_cursor cur;
	uint32_t count = 0;

	create(&shapes[3], 7);
	change_at_random(200, 100, false);
	toy_cursor(&toy, &cur, false);
	assert_int_equal(btree_query_all(&cur, stop_at_third, &count), -ECANCELED);
	btree_cursor_deinit(&cur);
	assert_int_equal(count, 3);
	check_nothing_held();
	toy_destroy(&toy);
}

/* A record that does not fit between its neighbours is refused before anything changes. */
static void records_out_of_order_are_refused(void **state)
{
	struct btree_cursor cur;
	union btree_key key;
	union btree_rec rec;
	bool found;

	create(&shapes[0], 8);
	insert(10);
	insert(20);
	insert(30);
	toy_cursor(&toy, &cur, true);
	key = toy_key(&toy, 20);
	rec = toy_rec(&toy, 35, 1, 0);
	assert_int_equal(btree_lookup(&cur, BTREE_EQ, &key, &found), 0);
	assert_int_equal(btree_update(&cur, &rec), -EFSCORRUPTED);
	assert_int_equal(btree_insert(&cur, &rec), -EFSCORRUPTED);
	btree_cursor_deinit(&cur);
	check_contents();
	toy_destroy(&toy);
}

/* Encoded into a fork and decoded again a root is the same, also when the fork got smaller or larger. */
static void a_root_survives_its_form_on_disk(void **state)
{
	struct btree_iroot *a = btree_iroot_create(9, 9), *b = btree_iroot_create(12, 12);
	uint8_t fork[264] __attribute__((aligned(8)));
	struct xfs_bmdr_block *disk = (void *)fork;

	a->block.bb_level = cpu_to_be16(3);
	a->block.bb_numrecs = cpu_to_be16(5);
	for (uint32_t i = 1; i <= 5; i++) {
		*btree_iroot_key(a, i) = cpu_to_be64(i * 10);
		*btree_iroot_ptr(a, i) = cpu_to_be64(i * 100);
	}
	for (size_t bytes = 4 + 5 * 16; bytes < 4 + 13 * 16; bytes += 8) {
		btree_iroot_encode(a, disk, bytes);
		assert_null(btree_iroot_decode(disk, bytes, b));
		assert_int_equal(b->max_keys, btree_iroot_capacity(bytes));
		for (uint32_t i = 1; i <= 5; i++) {
			assert_int_equal(*btree_iroot_key(b, i), cpu_to_be64(i * 10));
			assert_int_equal(*btree_iroot_ptr(b, i), cpu_to_be64(i * 100));
		}
	}
	disk->bb_numrecs = cpu_to_be16(13);
	assert_non_null(btree_iroot_decode(disk, 4 + 12 * 16, b));
	disk->bb_numrecs = 0;
	assert_non_null(btree_iroot_decode(disk, 4 + 12 * 16, b));
	btree_iroot_destroy(a);
	btree_iroot_destroy(b);
}

/* Pushing the root down leaves it one key, for a fork that is about to shrink. */
static void a_root_in_an_inode_can_be_pushed_down(void **state)
{
	struct btree_cursor cur;

	create(&shapes[8], 9);
	change_at_random(60, 100, false);
	toy_cursor(&toy, &cur, true);
	assert_int_equal(btree_iroot_push_down(&cur), 0);
	btree_cursor_deinit(&cur);
	toy_commit(&toy);
	assert_int_equal(be16_to_cpu(toy.iroot->block.bb_numrecs), 1);
	toy.iroot->max_keys = 2;
	check_contents();
	change_at_random(500, 60, true);
	check_contents();
	toy_destroy(&toy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes_keep_the_tree_sound),
		cmocka_unit_test(logged_ranges_are_the_whole_change),
		cmocka_unit_test(an_emptied_tree_has_one_block),
		cmocka_unit_test(ascending_and_descending_insertion_work),
		cmocka_unit_test(lookups_agree_with_the_array),
		cmocka_unit_test(increment_and_decrement_visit_every_record),
		cmocka_unit_test(queries_give_what_touches_the_range),
		cmocka_unit_test(a_query_ends_when_the_visitor_says_so),
		cmocka_unit_test(records_out_of_order_are_refused),
		cmocka_unit_test(a_root_survives_its_form_on_disk),
		cmocka_unit_test(a_root_in_an_inode_can_be_pushed_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
