// SPDX-License-Identifier: GPL-2.0
/* Many threads on one file: stores, reads, writeback, invalidation and truncation at once. */
#include "pagecache_test.h"

#include <userxfs/base/thread.h>

#define FILE_BYTES (2 * MIB)
#define WRITERS 3
#define ROUNDS 300

struct run {
	struct fixture *f;
	_Atomic bool stop;
	_Atomic unsigned next_writer;
	struct rwlock invalidate; /* as an inode's: stores against removal */
};

/* Each writer owns every third page and stores ever higher numbers there. */
static void store_page(struct run *run, uint64_t page, uint8_t value)
{
	struct folio *folio;
	uint64_t off = page * PAGE_BYTES;

	rwlock_read_lock(&run->invalidate);
	assert_int_equal(mapping_get_locked(run->f->mapping, off, PAGE_BYTES << (page % 4), &folio), 0);
	memset(folio->data + (off - folio->off_bytes), value, PAGE_BYTES);
	folio_set_uptodate(folio, off, PAGE_BYTES);
	folio_set_dirty(folio, off, PAGE_BYTES);
	folio_release(folio);
	rwlock_read_unlock(&run->invalidate);
	pagecache_throttle(run->f->cache, run->f->mapping, PAGE_BYTES);
}

static void *writer_main(void *arg)
{
	struct run *run = arg;
	unsigned self = atomic_fetch_add(&run->next_writer, 1);

	for (unsigned round = 1; round <= ROUNDS; round++) {
		for (uint64_t page = self + WRITERS * (round % 7); page < FILE_BYTES / PAGE_BYTES;
		     page += 7 * WRITERS)
			store_page(run, page, (uint8_t)round);
	}
	return NULL;
}

static void *flusher_main(void *arg)
{
	struct run *run = arg;

	while (!atomic_load(&run->stop)) {
		pagecache_writeback_pass(run->f->cache);
		mapping_write(run->f->mapping, 0, FILE_BYTES / 2);
		mapping_wait(run->f->mapping, 0, FILE_BYTES);
		pagecache_write_all(run->f->cache, true);
		pagecache_reclaim_pass(run->f->cache);
	}
	return NULL;
}

/* A page holds one value at any time its folio is locked. */
static void *reader_main(void *arg)
{
	struct run *run = arg;
	uint64_t off = 0;

	while (!atomic_load(&run->stop)) {
		struct folio *folio = mapping_find_locked(run->f->mapping, off);

		if (folio && folio_is_uptodate(folio, off, PAGE_BYTES)) {
			const uint8_t *page = folio->data + (off - folio->off_bytes);

			assert_int_equal(page[0], page[PAGE_BYTES - 1]);
		}
		if (folio)
			folio_release(folio);
		mapping_seek_cached(run->f->mapping, off, FILE_BYTES, true);
		off = (off + 5 * PAGE_BYTES) % FILE_BYTES;
	}
	return NULL;
}

static void *remover_main(void *arg)
{
	struct run *run = arg;

	while (!atomic_load(&run->stop)) {
		rwlock_write_lock(&run->invalidate);
		mapping_write(run->f->mapping, 0, MIB);
		mapping_wait(run->f->mapping, 0, MIB);
		mapping_invalidate(run->f->mapping, 0, MIB);
		rwlock_write_unlock(&run->invalidate);
	}
	return NULL;
}

static void last_stores_reach_the_disk_whatever_goes_on(void **state)
{
	struct pagecache_options options = roomy;
	struct thread writers[WRITERS], flusher, reader, remover;
	struct run run = { 0 };
	const uint8_t *disk;

	options.budget_bytes = 4 * MIB;
	options.dirty_background_bytes = 512 * KIB;
	options.dirty_limit_bytes = MIB;
	run.f = fixture_create(&options, 4096);
	atomic_store(&run.f->owner.size, FILE_BYTES);
	rwlock_init(&run.invalidate, RANK_INVALIDATE, 0, "invalidate");
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(thread_create(&writers[i], "writer", writer_main, &run), 0);
	assert_int_equal(thread_create(&flusher, "flusher", flusher_main, &run), 0);
	assert_int_equal(thread_create(&reader, "reader", reader_main, &run), 0);
	assert_int_equal(thread_create(&remover, "remover", remover_main, &run), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		thread_join(&writers[i]);
	atomic_store(&run.stop, true);
	thread_join(&flusher);
	thread_join(&reader);
	thread_join(&remover);
	assert_int_equal(pagecache_write_all(run.f->cache, true), 0);
	disk = device_memory(run.f->dev);
	for (uint64_t page = 0; page < FILE_BYTES / PAGE_BYTES; page++) {
		unsigned last = ROUNDS;

		/* The last round that came by this page. */
		while (last % 7 != page / WRITERS % 7)
			last--;
		assert_int_equal(disk[page * PAGE_BYTES], (uint8_t)last);
		assert_int_equal(disk[page * PAGE_BYTES + PAGE_BYTES - 1], (uint8_t)last);
	}
	rwlock_deinit(&run.invalidate);
	fixture_destroy(run.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_stores_reach_the_disk_whatever_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
