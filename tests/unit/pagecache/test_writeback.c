// SPDX-License-Identifier: GPL-2.0
/* Writing dirty folios home. */
#include "pagecache_test.h"

#include <userxfs/base/fault.h>

static void flush(struct fixture *f)
{
	assert_int_equal(mapping_write(f->mapping, 0, UINT64_MAX), 0);
	mapping_wait(f->mapping, 0, UINT64_MAX);
}

/* All bytes arrive, in as few I/Os as their place allows, and nothing is dirty or pinned afterwards. */
static void adjacent_folios_share_an_io(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	struct pagecache_counts counts;

	f->owner.base = 8 * MIB;
	for (uint64_t off = 0; off < MIB; off += 4096)
		store(f->mapping, &f->owner, off, 4096, (uint8_t)(off >> 12));
	flush(f);
	for (uint64_t off = 0; off < MIB; off += 4096)
		assert_int_equal(device_byte(f, off + 17), (uint8_t)(off >> 12));
	assert_int_equal(atomic_load(&f->owner.ios), 1);
	pagecache_counts(f->cache, &counts);
	assert_int_equal(counts.dirty_bytes + counts.writeback_bytes, 0);
	assert_int_equal(atomic_load(&f->owner.pins), 0);
	fixture_destroy(f);
}

/* Where the owner's answers end, a run is cut; where they are adjacent on disk, the I/O still is one. */
static void pieces_of_a_run_are_mapped_one_by_one(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);

	f->owner.piece = 16 * KIB;
	store(f->mapping, &f->owner, 0, 64 * KIB, 0x11);
	flush(f);
	assert_int_equal(atomic_load(&f->owner.maps), 4);
	assert_int_equal(atomic_load(&f->owner.ios), 1);
	fixture_destroy(f);
}

/* The folio is the unit: touching a part of it writes all its dirty blocks (measured: E23b). */
static void a_range_writes_whole_folios(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);

	store(f->mapping, &f->owner, 0, 64 * KIB, 0x22);
	store(f->mapping, &f->owner, 64 * KIB, 4 * KIB, 0x33);
	assert_int_equal(mapping_write(f->mapping, 8 * KIB, 12 * KIB), 0);
	mapping_wait(f->mapping, 0, UINT64_MAX);
	assert_int_equal(device_byte(f, 60 * KIB), 0x22);
	assert_int_equal(device_byte(f, 64 * KIB), 0);
	assert_true(mapping_has_dirty(f->mapping, 64 * KIB, 68 * KIB));
	fixture_destroy(f);
}

/* Past EOF nothing is written but the rest of the last block, which is zeroed. */
static void what_lies_past_eof_is_not_written(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	struct folio *folio;

	memset(device_memory(f->dev), 0x77, MIB);
	store(f->mapping, &f->owner, 0, 64 * KIB, 0x44);
	atomic_store(&f->owner.size, 5000);
	flush(f);
	assert_int_equal(device_byte(f, 4999), 0x44);
	assert_int_equal(device_byte(f, 5000), 0);
	assert_int_equal(device_byte(f, 8191), 0);
	assert_int_equal(device_byte(f, 8192), 0x77);
	folio = mapping_find_locked(f->mapping, 0);
	assert_false(folio_is_dirty(folio, 0, 64 * KIB));
	folio_release(folio);
	fixture_destroy(f);
}

/* When the owner cannot say where bytes go they stay dirty, and the error is recorded. */
static void a_failed_mapping_keeps_the_bytes_dirty(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	uint64_t before, after;

	store(f->mapping, &f->owner, 0, 4096, 0x55);
	mapping_error(f->mapping, &before);
	f->owner.map_err = -ENOSPC;
	assert_int_equal(mapping_write(f->mapping, 0, UINT64_MAX), -ENOSPC);
	assert_true(mapping_has_dirty(f->mapping, 0, 4096));
	assert_int_equal(mapping_error(f->mapping, &after), -ENOSPC);
	assert_true(after != before);
	f->owner.map_err = 0;
	flush(f);
	assert_int_equal(device_byte(f, 0), 0x55);
	fixture_destroy(f);
}

/* When the device fails the folio is clean, its bytes stay readable, and the error is recorded once per failure. */
static void a_failed_io_leaves_clean_folios_and_an_error(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	uint64_t first, second;
	struct folio *folio;

	store(f->mapping, &f->owner, 0, 64 * KIB, 0x66);
	mapping_error(f->mapping, &first);
	assert_int_equal(fault_arm("device_write:nth=1"), 0);
	flush(f);
	fault_disarm_all();
	assert_int_equal(mapping_error(f->mapping, &second), -EIO);
	assert_int_equal(second, first + 1);
	assert_false(mapping_has_dirty(f->mapping, 0, UINT64_MAX));
	folio = mapping_find_locked(f->mapping, 0);
	assert_true(folio_is_uptodate(folio, 0, 64 * KIB));
	assert_int_equal(folio->data[100], 0x66);
	folio_release(folio);
	flush(f);
	mapping_error(f->mapping, &first);
	assert_int_equal(first, second);
	fixture_destroy(f);
}

/* While an I/O's completion is pending the folio is under writeback, may be stored to again, and is written again. */
static void a_folio_can_be_dirtied_while_it_is_written(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	struct pagecache_counts counts;

	f->owner.is_delayed = true;
	store(f->mapping, &f->owner, 0, 4096, 1);
	assert_int_equal(mapping_write(f->mapping, 0, UINT64_MAX), 0);
	while (!atomic_load(&f->owner.ios))
		device_pass(f->dev, false);
	pagecache_counts(f->cache, &counts);
	assert_int_equal(counts.writeback_bytes, 4096);
	assert_true(mapping_has_dirty_or_writeback(f->mapping, 0, 4096));
	store(f->mapping, &f->owner, 0, 4096, 2);
	assert_int_equal(device_byte(f, 0), 1);
	/* Waits for the first write: it helps with completions itself. */
	flush(f);
	assert_int_equal(device_byte(f, 0), 2);
	assert_int_equal(atomic_load(&f->owner.ios), 2);
	fixture_destroy(f);
}

/* Over the background limit a pass writes; below it only what has expired. */
static void background_writeback_starts_at_its_limit(void **state)
{
	struct pagecache_options options = roomy;
	struct fixture *f;

	options.dirty_background_bytes = 64 * KIB;
	f = fixture_create(&options, 4096);
	store(f->mapping, &f->owner, 0, 64 * KIB, 1);
	assert_false(pagecache_writeback_pass(f->cache));
	store(f->mapping, &f->owner, 64 * KIB, 4 * KIB, 1);
	assert_true(pagecache_writeback_pass(f->cache));
	mapping_wait(f->mapping, 0, UINT64_MAX);
	assert_false(mapping_has_dirty(f->mapping, 0, UINT64_MAX));
	fixture_destroy(f);
}

static void old_dirty_data_are_written_without_pressure(void **state)
{
	struct pagecache_options options = roomy;
	struct fixture *f;

	options.dirty_expire_ns = 0;
	f = fixture_create(&options, 4096);
	store(f->mapping, &f->owner, 0, 4096, 1);
	assert_true(pagecache_writeback_pass(f->cache));
	mapping_wait(f->mapping, 0, UINT64_MAX);
	assert_int_equal(device_byte(f, 0), 1);
	fixture_destroy(f);
}

/* A writer never leaves more dirty than the limit, even when it has to write itself. */
static void writers_are_held_at_the_dirty_limit(void **state)
{
	struct pagecache_options options = roomy;
	struct pagecache_counts counts;
	struct fixture *f;

	options.dirty_background_bytes = MIB;
	options.dirty_limit_bytes = 2 * MIB;
	f = fixture_create(&options, 4096);
	for (uint64_t off = 0; off < 16 * MIB; off += 256 * KIB) {
		store(f->mapping, &f->owner, off, 256 * KIB, 9);
		pagecache_throttle(f->cache, f->mapping, 256 * KIB);
		pagecache_counts(f->cache, &counts);
		assert_true(counts.dirty_bytes + counts.writeback_bytes <= 2 * MIB);
	}
	fixture_destroy(f);
}

/* Everything dirty of every file, in the order in which the files became dirty. */
static void writing_all_goes_by_age(void **state)
{
	struct fixture *f = fixture_create(&roomy, 4096);
	struct owner other;
	struct mapping *m;

	owner_init(&other);
	other.base = 32 * MIB;
	assert_int_equal(mapping_create(f->cache, 4096, &owner_ops, &other, &m), 0);
	store(m, &other, 0, 8 * KIB, 3);
	store(f->mapping, &f->owner, 0, 8 * KIB, 4);
	assert_int_equal(pagecache_write_all(f->cache, true), 0);
	assert_int_equal(((uint8_t *)device_memory(f->dev))[32 * MIB], 3);
	assert_int_equal(device_byte(f, 0), 4);
	assert_int_equal(atomic_load(&other.pins) + atomic_load(&f->owner.pins), 0);
	mapping_destroy(m, false);
	mutex_deinit(&other.lock);
	fixture_destroy(f);
}

/* A stream of writes gets its memory from what it has written before, but not from what is used again. */
static void written_folios_are_recycled_before_the_cache_grows(void **state)
{
	struct pagecache_options options = roomy;
	struct pagecache_counts counts;
	struct fixture *f;
	struct folio *folio;

	options.dirty_background_bytes = 4 * MIB;
	f = fixture_create(&options, 4096);
	for (uint64_t off = 0; off < 48 * MIB; off += MIB) {
		store(f->mapping, &f->owner, off, MIB, 0x11);
		flush(f);
		folio = mapping_find_locked(f->mapping, MIB + 5);
		if (folio)
			folio_release(folio);
	}
	pagecache_counts(f->cache, &counts);
	assert_true(counts.cached_bytes <= 16 * MIB);
	folio = mapping_find_locked(f->mapping, MIB + 5);
	assert_non_null(folio);
	assert_int_equal(folio->data[5], 0x11);
	folio_release(folio);
	assert_null(mapping_find_locked(f->mapping, 2 * MIB));
	assert_null(mapping_verify(f->mapping));
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adjacent_folios_share_an_io),
		cmocka_unit_test(pieces_of_a_run_are_mapped_one_by_one),
		cmocka_unit_test(a_range_writes_whole_folios),
		cmocka_unit_test(what_lies_past_eof_is_not_written),
		cmocka_unit_test(a_failed_mapping_keeps_the_bytes_dirty),
		cmocka_unit_test(a_failed_io_leaves_clean_folios_and_an_error),
		cmocka_unit_test(a_folio_can_be_dirtied_while_it_is_written),
		cmocka_unit_test(background_writeback_starts_at_its_limit),
		cmocka_unit_test(old_dirty_data_are_written_without_pressure),
		cmocka_unit_test(writers_are_held_at_the_dirty_limit),
		cmocka_unit_test(writing_all_goes_by_age),
		cmocka_unit_test(written_folios_are_recycled_before_the_cache_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
