// SPDX-License-Identifier: GPL-2.0
/* One file's folios: finding, cutting away, seeking. */
#include "pagecache_test.h"

/* Finds what was put in, in order, over distances that need every height of the index. */
static void folios_are_found_again_wherever_they_are(void **state)
{
	static const uint64_t offs[] = { 0, 4096, 3 * MIB, 70 * MIB, 5000 * MIB, 300000 * MIB, INT64_MAX - 4095 };
	struct fixture *f = fixture_create(&roomy, 4096);
	struct folio *folio;
	uint64_t pos = 0;

	for (unsigned i = ARRAY_COUNT(offs); i-- > 0;) {
		assert_int_equal(mapping_get_locked(f->mapping, offs[i], 1, &folio), 0);
		folio_release(folio);
	}
	assert_null(mapping_verify(f->mapping));
	for (unsigned i = 0; i < ARRAY_COUNT(offs); i++) {
		folio = mapping_next_locked(f->mapping, pos, UINT64_MAX);
		assert_non_null(folio);
		assert_int_equal(folio->off_bytes, round_down_u64(offs[i], 4096));
		pos = folio->off_bytes + folio->bytes;
		folio_release(folio);
	}
	assert_null(mapping_next_locked(f->mapping, pos, UINT64_MAX));
	assert_null(mapping_find(f->mapping, 8192));
	fixture_destroy(f);
}

/* Whole folios go; of the one that is cut the rest stays, dirty as it was, and the cut part reads as zeroes. */
static void truncation_keeps_what_lies_before(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	struct folio *folio;

	store(f->mapping, &f->owner, 0, 128 * KIB, 0xaa);
	mapping_truncate(f->mapping, 10000, UINT64_MAX);
	folio = mapping_find_locked(f->mapping, 0);
	assert_true(folio_is_dirty(folio, 8192, 1));
	assert_false(folio_is_dirty(folio, 12288, 64 * KIB));
	assert_int_equal(folio->data[9999], 0xaa);
	assert_int_equal(folio->data[10000], 0);
	assert_int_equal(folio->data[64 * KIB - 1], 0);
	folio_release(folio);
	mapping_truncate(f->mapping, 0, UINT64_MAX);
	assert_int_equal(mapping_cached_bytes(f->mapping), 0);
	assert_int_equal(atomic_load(&f->owner.pins), 0);
	fixture_destroy(f);
}

/* Clean folios go, dirty ones stay and are told of. */
static void invalidation_spares_dirty_folios(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	struct folio *folio;

	for (uint64_t off = 0; off < 16 * KIB; off += 4 * KIB) {
		assert_int_equal(mapping_get_locked(f->mapping, off, 4096, &folio), 0);
		folio_set_uptodate(folio, off, 4096);
		if (off == 8 * KIB)
			folio_set_dirty(folio, off, 4096);
		folio_release(folio);
	}
	assert_true(mapping_invalidate(f->mapping, 0, 8 * KIB));
	assert_false(mapping_invalidate(f->mapping, 0, 16 * KIB));
	assert_int_equal(mapping_cached_bytes(f->mapping), 4096);
	assert_non_null(folio = mapping_find(f->mapping, 8 * KIB));
	folio_put(folio);
	fixture_destroy(f);
}

/* Cached data begin and end where uptodate blocks do, across folios. */
static void seeking_finds_the_edges_of_cached_data(void **state)
{
	struct fixture *f = fixture_create(&roomy, 1024);
	struct mapping *m = f->mapping;

	assert_int_equal(mapping_seek_cached(m, 0, MIB, true), MIB);
	assert_int_equal(mapping_seek_cached(m, 100, MIB, false), 100);
	store(m, &f->owner, 5 * KIB, 30 * KIB, 1);
	assert_int_equal(mapping_seek_cached(m, 0, MIB, true), 5 * KIB);
	assert_int_equal(mapping_seek_cached(m, 6000, MIB, true), 6000);
	assert_int_equal(mapping_seek_cached(m, 5 * KIB, MIB, false), 35 * KIB);
	assert_int_equal(mapping_seek_cached(m, 5 * KIB, 20 * KIB, false), 20 * KIB);
	assert_int_equal(mapping_seek_cached(m, 35 * KIB, MIB, true), MIB);
	assert_true(mapping_has_dirty(m, 0, 6 * KIB));
	assert_false(mapping_has_dirty(m, 64 * KIB, MIB));
	fixture_destroy(f);
}

/* Clean memory is given up when the budget asks for it, dirty memory never. */
static void reclaim_takes_clean_folios_only(void **state)
{
	struct pagecache_options tight = roomy;
	struct fixture *f;
	struct pagecache_counts counts;
	struct folio *folio;

	tight.budget_bytes = 2 * MIB;
	f = fixture_create(&tight, 4096);
	store(f->mapping, &f->owner, 0, MIB, 0xaa);
	for (uint64_t off = 4 * MIB; off < 20 * MIB; off += 64 * KIB) {
		assert_int_equal(mapping_get_locked(f->mapping, off, 64 * KIB, &folio), 0);
		folio_set_uptodate(folio, off, 64 * KIB);
		folio_release(folio);
	}
	pagecache_counts(f->cache, &counts);
	assert_true(counts.cached_bytes <= 2 * MIB + 64 * KIB);
	folio = mapping_find_locked(f->mapping, MIB - 1);
	assert_non_null(folio);
	assert_int_equal(folio->data[folio->bytes - 1], 0xaa);
	folio_release(folio);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folios_are_found_again_wherever_they_are),
		cmocka_unit_test(truncation_keeps_what_lies_before),
		cmocka_unit_test(invalidation_spares_dirty_folios),
		cmocka_unit_test(seeking_finds_the_edges_of_cached_data),
		cmocka_unit_test(reclaim_takes_clean_folios_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
