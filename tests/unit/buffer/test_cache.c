/* SPDX-License-Identifier: GPL-2.0 */
/* Finding buffers and letting go of them. */
#include "fixture.h"

static void same_place_is_the_same_buffer(void **state)
{
	struct fixture f;
	struct buffer *a, *b;

	fixture_init(&f, 1 << 20);
	assert_int_equal(buffer_get(f.cache, 8, 8, &a), 0);
	assert_int_equal(a->bytes, 4096);
	assert_false(buffer_trylock(a));
	atomic_fetch_or(&a->flags, BUFFER_VALID);
	buffer_hold(a);
	buffer_release(a);
	assert_int_equal(buffer_get(f.cache, 8, 8, &b), 0);
	assert_ptr_equal(a, b);
	buffer_put(a);
	buffer_release(b);
	fixture_deinit(&f);
}

/* What was never given contents is not worth keeping. */
static void buffer_without_contents_is_not_kept(void **state)
{
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 1 << 20);
	assert_int_equal(buffer_get(f.cache, 8, 8, &buf), 0);
	buffer_release(buf);
	assert_int_equal(buffer_cache_bytes(f.cache), 0);
	fixture_deinit(&f);
}

static void another_length_of_a_used_buffer_is_corruption(void **state)
{
	struct fixture f;
	struct buffer *a, *b = NULL;

	fixture_init(&f, 1 << 20);
	assert_int_equal(buffer_get(f.cache, 8, 8, &a), 0);
	quiet();
	assert_int_equal(buffer_get(f.cache, 8, 16, &b), -EFSCORRUPTED);
	loud();
	assert_null(b);
	buffer_release(a);
	fixture_deinit(&f);
}

static void another_length_takes_the_place_of_an_unused_buffer(void **state)
{
	struct fixture f;
	struct buffer *a, *b;

	fixture_init(&f, 1 << 20);
	assert_int_equal(buffer_get(f.cache, 8, 8, &a), 0);
	atomic_fetch_or(&a->flags, BUFFER_VALID);
	buffer_release(a);
	assert_int_equal(buffer_get(f.cache, 8, 16, &b), 0);
	assert_int_equal(b->bytes, 8192);
	assert_false(has_flag(b, BUFFER_VALID));
	buffer_release(b);
	fixture_deinit(&f);
}

static void stale_buffer_is_found_again_without_contents(void **state)
{
	struct fixture f;
	struct buffer *a, *b;

	fixture_init(&f, 1 << 20);
	assert_int_equal(buffer_get(f.cache, 8, 8, &a), 0);
	a->type = &test_type;
	atomic_fetch_or(&a->flags, BUFFER_VALID);
	buffer_hold(a);
	buffer_mark_stale(a);
	buffer_release(a);
	assert_int_equal(buffer_get(f.cache, 8, 8, &b), 0);
	assert_ptr_equal(a, b);
	assert_false(has_flag(b, BUFFER_VALID | BUFFER_STALE));
	assert_null(b->type);
	buffer_put(a);
	buffer_release(b);
	fixture_deinit(&f);
}

/* The block's next owner may see it in other pieces while the former life is on its way out. */
static void stale_buffer_does_not_stand_in_the_way_of_another_length(void **state)
{
	struct fixture f;
	struct buffer *a, *b;

	fixture_init(&f, 1 << 20);
	assert_int_equal(buffer_get(f.cache, 8, 8, &a), 0);
	buffer_mark_stale(a);
	assert_int_equal(buffer_get(f.cache, 8, 16, &b), 0);
	assert_ptr_not_equal(a, b);
	buffer_release(a);
	buffer_release(b);
	fixture_deinit(&f);
}

static void find_does_not_make_and_try_does_not_wait(void **state)
{
	struct fixture f;
	struct buffer *a, *b = NULL;

	fixture_init(&f, 1 << 20);
	a = (void *)1;
	assert_int_equal(buffer_find(f.cache, 8, 8, false, &a), 0);
	assert_null(a);
	assert_int_equal(buffer_get(f.cache, 8, 8, &a), 0);
	assert_int_equal(buffer_find(f.cache, 8, 8, true, &b), 0);
	assert_null(b);
	buffer_unlock(a);
	assert_int_equal(buffer_find(f.cache, 8, 8, true, &b), 0);
	assert_ptr_equal(a, b);
	buffer_put(a);
	buffer_release(b);
	fixture_deinit(&f);
}

static void uncached_buffer_is_zeroed_and_nobody_finds_it(void **state)
{
	struct fixture f;
	struct buffer *a, *b;

	fixture_init(&f, 1 << 20);
	assert_int_equal(buffer_get_uncached(f.cache, 8, 1, &a), 0);
	for (size_t i = 0; i < a->bytes; i++)
		assert_int_equal(((char *)a->data)[i], 0);
	assert_int_equal(buffer_find(f.cache, 8, 1, false, &b), 0);
	assert_null(b);
	buffer_release(a);
	assert_int_equal(buffer_cache_bytes(f.cache), 0);
	fixture_deinit(&f);
}

static void fill(struct fixture *f, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		struct buffer *buf;

		assert_int_equal(buffer_get(f->cache, i * 8ull, 8, &buf), 0);
		atomic_fetch_or(&buf->flags, BUFFER_VALID);
		buffer_release(buf);
	}
}

static void cache_keeps_near_its_budget(void **state)
{
	struct fixture f;

	fixture_init(&f, 256 << 10);
	fill(&f, 0, 1000);
	assert_true(buffer_cache_bytes(f.cache) <= (256 << 10) / 8 * 9 + 8192);
	buffer_cache_shrink(f.cache);
	assert_true(buffer_cache_bytes(f.cache) <= 256 << 10);
	assert_true(buffer_cache_bytes(f.cache) > 200 << 10);
	buffer_cache_drop(f.cache);
	assert_int_equal(buffer_cache_bytes(f.cache), 0);
	fixture_deinit(&f);
}

static void what_is_in_use_is_not_dropped(void **state)
{
	struct fixture f;
	struct buffer *held, *again;

	fixture_init(&f, 64 << 10);
	assert_int_equal(buffer_get(f.cache, 0, 8, &held), 0);
	atomic_fetch_or(&held->flags, BUFFER_VALID);
	buffer_unlock(held);
	fill(&f, 1, 500);
	buffer_cache_drop(f.cache);
	assert_int_equal(buffer_find(f.cache, 0, 8, false, &again), 0);
	assert_ptr_equal(held, again);
	buffer_put(held);
	buffer_release(again);
	fixture_deinit(&f);
}

static void recently_used_outlives_the_rest(void **state)
{
	struct fixture f;
	struct buffer *buf;

	fixture_init(&f, 512 << 10);
	fill(&f, 0, 100);
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(buffer_find(f.cache, 0, 8, false, &buf), 0);
		assert_non_null(buf);
		buffer_release(buf);
		fill(&f, 100 + 50 * round, 50);
	}
	fixture_deinit(&f);
}

static void pieces_are_one_piece_of_memory(void **state)
{
	struct buffer_map maps[] = { { 80, 8 }, { 16, 8 }, { 48, 8 } };
	struct buffer_map others[] = { { 80, 8 }, { 24, 8 }, { 48, 8 } };
	struct fixture f;
	struct buffer *a, *b;

	fixture_init(&f, 1 << 20);
	assert_int_equal(buffer_get_maps(f.cache, maps, 3, &a), 0);
	assert_int_equal(a->bytes, 3 * 4096);
	assert_int_equal(a->daddr, 80);
	quiet();
	assert_int_equal(buffer_get_maps(f.cache, others, 3, &b), -EFSCORRUPTED);
	loud();
	buffer_release(a);
	fixture_deinit(&f);
}

/* Transactions that are dirty need them. */
static void refused_memory_is_no_reason_not_to_make_a_buffer(void **state)
{
	struct buffer_map maps[] = { { 80, 8 }, { 16, 8 } };
	struct buffer *buf;
	struct fixture f;

	fixture_init(&f, 1 << 20);
	assert_int_equal(fault_arm("memory:every=1"), 0);
	assert_int_equal(buffer_get_maps(f.cache, maps, 2, &buf), 0);
	fault_disarm_all();
	buffer_release(buf);
	fixture_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_place_is_the_same_buffer),
		cmocka_unit_test(buffer_without_contents_is_not_kept),
		cmocka_unit_test(another_length_of_a_used_buffer_is_corruption),
		cmocka_unit_test(another_length_takes_the_place_of_an_unused_buffer),
		cmocka_unit_test(stale_buffer_is_found_again_without_contents),
		cmocka_unit_test(stale_buffer_does_not_stand_in_the_way_of_another_length),
		cmocka_unit_test(find_does_not_make_and_try_does_not_wait),
		cmocka_unit_test(uncached_buffer_is_zeroed_and_nobody_finds_it),
		cmocka_unit_test(cache_keeps_near_its_budget),
		cmocka_unit_test(what_is_in_use_is_not_dropped),
		cmocka_unit_test(recently_used_outlives_the_rest),
		cmocka_unit_test(pieces_are_one_piece_of_memory),
		cmocka_unit_test(refused_memory_is_no_reason_not_to_make_a_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
