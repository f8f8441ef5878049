// SPDX-License-Identifier: GPL-2.0
/* Folios: how large they are made, and the state of their blocks. */
#include "pagecache_test.h"

static struct folio *get(struct fixture *f, uint64_t off, uint64_t want)
{
	struct folio *folio;

	assert_int_equal(mapping_get_locked(f->mapping, off, want, &folio), 0);
	return folio;
}

/* Both as large as the wish and the alignment of the place allow (Linux: fgf_set_order). */
static void size_follows_the_wish_and_the_alignment(void **state)
{
	static const struct {
		uint64_t off, want;
		uint32_t bytes;
	} cases[] = {
		{ 0, 1, 4096 },		    { 0, 100 * KIB, 64 * KIB },	     { 64 * KIB, 36 * KIB, 32 * KIB },
		{ 0, 8 * MIB, 1 * MIB },    { 20 * KIB, 1 * MIB, 4 * KIB },  { 48 * KIB, 1 * MIB, 16 * KIB },
		{ 5000, 8000, 4 * KIB },    { 512 * KIB, 1 * MIB, 512 * KIB },
	};

	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		struct fixture *f = fixture_create(&roomy, 4096);
		struct folio *folio = get(f, cases[i].off, cases[i].want);

		assert_int_equal(folio->bytes, cases[i].bytes);
		assert_true(folio->off_bytes <= cases[i].off && cases[i].off < folio->off_bytes + folio->bytes);
		assert_int_equal(folio->off_bytes % folio->bytes, 0);
		folio_release(folio);
		fixture_destroy(f);
	}
}

/* A large folio is made only where nothing is in its way. */
static void neighbours_limit_the_size(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	struct folio *small = get(f, 96 * KIB, 1), *folio;

	folio_release(small);
	folio = get(f, 0, MIB);
	assert_int_equal(folio->bytes, 64 * KIB);
	folio_release(folio);
	folio = get(f, 96 * KIB, MIB);
	assert_ptr_equal(folio, small);
	folio_release(folio);
	fixture_destroy(f);
}

/* Blocks larger than a page: no folio is smaller than a block. */
static void no_folio_is_smaller_than_a_block(void **state)
{
	struct fixture *f = fixture_create(&roomy, 64 * KIB);
	struct folio *folio = get(f, 70 * KIB, 1);

	assert_int_equal(folio->off_bytes, 64 * KIB);
	assert_int_equal(folio->bytes, 64 * KIB);
	folio_release(folio);
	fixture_destroy(f);
}

/* Against one bool for each block: random ranges with blocks of 1 KiB. */
static void block_state_is_that_of_a_plain_array(void **state)
{
	enum { BLOCKS = 256 };
	struct fixture *f = fixture_create(&roomy, 1024);
	struct folio *folio = get(f, 256 * KIB, 256 * KIB);
	bool uptodate[BLOCKS] = { 0 }, dirty[BLOCKS] = { 0 };

	srand(1);
	for (int round = 0; round < 2000; round++) {
		unsigned first = (unsigned)rand() % BLOCKS, count = (unsigned)rand() % (BLOCKS - first) + 1;
		uint64_t off = folio->off_bytes + first * KIB, bytes = count * KIB, from, end;
		bool all = true, any = false;
		unsigned next = first;

		if (round % 3 == 0) {
			folio_set_uptodate(folio, off, bytes);
			memset(uptodate + first, true, count);
			folio_set_dirty(folio, off, bytes);
			memset(dirty + first, true, count);
		} else if (round % 3 == 1) {
			folio_clear_dirty(folio, off, bytes);
			memset(dirty + first, false, count);
		}
		for (unsigned i = first; i < first + count; i++) {
			all &= uptodate[i];
			any |= dirty[i];
		}
		while (next < first + count && !dirty[next])
			next++;
		assert_int_equal(folio_is_uptodate(folio, off, bytes), all);
		assert_int_equal(folio_is_dirty(folio, off, bytes), any);
		assert_int_equal(folio_next_dirty(folio, off, off + bytes, &from, &end), any);
		if (any)
			assert_int_equal(from, folio->off_bytes + next * KIB);
	}
	folio_release(folio);
	fixture_destroy(f);
}

/* Uptodate is rounded inward, dirty outward. */
static void parts_of_blocks_do_not_become_uptodate(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	struct folio *folio = get(f, 0, 16 * KIB);

	folio_set_uptodate(folio, 100, 8 * KIB);
	assert_false(folio_is_uptodate(folio, 0, 1));
	assert_true(folio_is_uptodate(folio, 4 * KIB, 4 * KIB));
	assert_false(folio_is_uptodate(folio, 8 * KIB, 1));
	folio_set_dirty(folio, 4 * KIB + 5, 1);
	assert_true(folio_is_dirty(folio, 8 * KIB - 1, 1));
	assert_false(folio_is_dirty(folio, 8 * KIB, 1));
	folio_release(folio);
	fixture_destroy(f);
}

/* Dirty memory is counted by blocks, and pins the owner while there is any. */
static void dirty_blocks_are_counted_and_pin_the_owner(void **state)
{
	struct fixture *f = fixture_create(&roomy, 1024);
	struct pagecache_counts counts;
	struct folio *folio;

	store(f->mapping, &f->owner, 3 * KIB, 2 * KIB, 0xaa);
	pagecache_counts(f->cache, &counts);
	assert_int_equal(counts.dirty_bytes, 2 * KIB);
	assert_int_equal(counts.cached_bytes, 8 * KIB);
	assert_int_equal(atomic_load(&f->owner.pins), 1);
	folio = mapping_find_locked(f->mapping, 4 * KIB);
	folio_clear_dirty(folio, 4 * KIB, KIB);
	folio_release(folio);
	assert_int_equal(atomic_load(&f->owner.pins), 1);
	folio = mapping_find_locked(f->mapping, 0);
	folio_clear_dirty(folio, 0, 4 * KIB);
	folio_release(folio);
	assert_int_equal(atomic_load(&f->owner.pins), 0);
	pagecache_counts(f->cache, &counts);
	assert_int_equal(counts.dirty_bytes, 0);
	fixture_destroy(f);
}

/* An older store must not go over a younger one, page by page. */
static void stamps_order_stores_of_one_page(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	struct folio *folio = get(f, 0, 16 * KIB);

	assert_false(folio_is_stamped_after(folio, 0, 0));
	folio_stamp(folio, 4 * KIB, 8 * KIB, 7);
	assert_false(folio_is_stamped_after(folio, 0, 3));
	assert_true(folio_is_stamped_after(folio, 5 * KIB, 3));
	assert_false(folio_is_stamped_after(folio, 5 * KIB, 7));
	folio_stamp(folio, 4 * KIB, 4 * KIB, 5);
	assert_true(folio_is_stamped_after(folio, 5 * KIB, 6));
	folio_release(folio);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(size_follows_the_wish_and_the_alignment),
		cmocka_unit_test(neighbours_limit_the_size),
		cmocka_unit_test(no_folio_is_smaller_than_a_block),
		cmocka_unit_test(block_state_is_that_of_a_plain_array),
		cmocka_unit_test(parts_of_blocks_do_not_become_uptodate),
		cmocka_unit_test(dirty_blocks_are_counted_and_pin_the_owner),
		cmocka_unit_test(stamps_order_stores_of_one_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
