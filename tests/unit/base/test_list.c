/* SPDX-License-Identifier: GPL-2.0 */
/* The header-only helpers: list.h, bits.h, hash.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/list.h>

struct item {
	int number;
	struct list node;
};

static void check_numbers(struct list *head, const int *numbers, unsigned count)
{
	unsigned i = 0;

	list_for_each(node, head) {
		assert_true(i < count);
		assert_int_equal(list_entry(node, struct item, node)->number, numbers[i++]);
	}
	assert_int_equal(i, count);
}

static void items_keep_their_places(void **state)
{
	struct list head = LIST_INIT(head), other = LIST_INIT(other);
	struct item a = { 1 }, b = { 2 }, c = { 3 };

	list_push_back(&head, &b.node);
	list_push_back(&head, &c.node);
	list_push_front(&head, &a.node);
	check_numbers(&head, (int[]){ 1, 2, 3 }, 3);
	list_move_back(&head, &a.node);
	check_numbers(&head, (int[]){ 2, 3, 1 }, 3);
	list_remove(&c.node);
	list_remove(&c.node);
	assert_true(list_is_empty(&c.node));
	list_push_back(&other, &c.node);
	list_splice_back(&other, &head);
	check_numbers(&other, (int[]){ 3, 2, 1 }, 3);
	assert_true(list_is_empty(&head));
	list_splice_back(&other, &head);
	assert_int_equal(list_first(&other, struct item, node)->number, 3);
	assert_int_equal(list_last(&other, struct item, node)->number, 1);
	list_for_each_safe(node, &other)
		list_remove(node);
	assert_true(list_is_empty(&other));
}

static void rounding_is_exact_at_the_edges(void **state)
{
	assert_int_equal(round_up_u64(0, 512), 0);
	assert_int_equal(round_up_u64(1, 512), 512);
	assert_int_equal(round_up_u64(512, 512), 512);
	assert_int_equal(round_down_u64(1023, 512), 512);
	assert_int_equal(div_round_up(UINT64_MAX, 2), 1ull << 63);
	assert_false(is_power_of_two(0));
	assert_true(is_power_of_two(1ull << 63));
	assert_int_equal(log2_floor(1), 0);
	assert_int_equal(log2_floor(UINT64_MAX), 63);
}

static void neighbouring_keys_spread(void **state)
{
	bool seen[64] = { false };
	unsigned distinct = 0;

	for (uint64_t i = 0; i < 64; i++) {
		uint64_t slot = hash_u64_pair(7, i) % 64;

		distinct += !seen[slot];
		seen[slot] = true;
	}
	assert_in_range(distinct, 25, 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_keep_their_places),
		cmocka_unit_test(rounding_is_exact_at_the_edges),
		cmocka_unit_test(neighbouring_keys_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
