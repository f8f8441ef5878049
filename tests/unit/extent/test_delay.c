// SPDX-License-Identifier: GPL-2.0
/* Delayed allocation against what was measured on Linux 6.18, and against a model. */
#include "scratch.h"

#include <userxfs/base/bits.h>

#include "extent/tree.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* ---- a file being appended to, as write(2) does it ---- */

/*
 * One write: mappings of at most 4 MiB, each with preallocation behind it when it extends the file.  @alloc_size_log:
 * of an allocsize= option, 0: none.
 */
static void append_with(struct scratch *s, uint64_t *size, uint64_t count, uint32_t alloc_size_log)
{
	uint64_t off = *size, end = off + count;

	rwlock_write_lock(&s->lock);
	while (off < end) {
		fileblk_t first = bytes_to_blocks_down(&s->geo, off);
		struct prealloc_input in = {
			.size_bytes = *size,
			.off_bytes = off,
			.alloc_size_log = alloc_size_log ? alloc_size_log : 16,
			.is_fixed = alloc_size_log,
			.stripe_align_blocks = s->geo.stripe_unit_blocks,
		};
		struct extent ext;
		uint64_t prealloc;
		bool found;

		map_lookup(&s->map, FORK_DATA, first, &ext, &found);
		if (!found || ext.off > first) {
			in.count_bytes = min_u64(end - off, 4 * MIB);
			prealloc = found ? 0 : delay_prealloc_blocks(&s->map, &in);
			assert_int_equal(delay_reserve(&s->map, FORK_DATA, first,
						       bytes_to_blocks_up(&s->geo, off + in.count_bytes) - first,
						       prealloc, &ext),
					 0);
		}
		off = min_u64(end, blocks_to_bytes(&s->geo, extent_end(&ext)));
		*size = off;
	}
	rwlock_write_unlock(&s->lock);
	assert_null(map_verify(&s->map));
}

static void append(struct scratch *s, uint64_t *size, uint64_t count)
{
	append_with(s, size, count, 0);
}

static void close_file(struct scratch *s, uint64_t size)
{
	rwlock_write_lock(&s->lock);
	delay_punch(&s->map, FORK_DATA, bytes_to_blocks_up(&s->geo, size), UINT64_MAX);
	rwlock_write_unlock(&s->lock);
}

/* Writeback of everything inside the file, and what follows when the data are on disk. */
static void sync_file(struct scratch *s, uint64_t size)
{
	fileblk_t end = bytes_to_blocks_up(&s->geo, size), off = 0;
	struct extent ext, out[4];
	uint32_t sequence;

	while (off < end) {
		assert_int_equal(delay_convert(&s->map, FORK_DATA, off, &ext, &sequence), 0);
		assert_int_equal(sequence, atomic_load(&s->map.data.sequence));
		off = extent_end(&ext);
	}
	for (off = 0; off < end;) {
		struct tx *tx = scratch_begin(s, map_write_blocks(&s->map, 0) * 2, TX_USE_POOL);
		unsigned n = 1;

		assert_int_equal(map_write(tx, &s->map, FORK_DATA, off, end - off, MAP_CONVERT, 0, out, &n), 0);
		assert_true(n == 1 && out[0].state == EXTENT_WRITTEN);
		off = extent_end(&out[0]);
		scratch_commit(s, tx);
	}
}

static void describe(struct scratch *s, char *text, size_t bytes)
{
	struct extent ext;
	fileblk_t pos = 0;
	size_t used = 0;

	text[0] = 0;
	while (map_next(&s->map, FORK_DATA, &pos, &ext))
		used += (size_t)snprintf(text + used, bytes - used, "%s%llu+%llu%c", used ? " " : "",
					 (unsigned long long)ext.off, (unsigned long long)ext.count,
					 "WUD"[ext.state]);
}

static void expect(struct scratch *s, uint64_t blocks, int64_t used, const char *extents)
{
	char text[256];

	describe(s, text, sizeof(text));
	assert_string_equal(text, extents);
	assert_int_equal(s->map.block_count + atomic_load(&s->map.delayed_blocks), blocks);
	assert_int_equal(scratch_used(s), used);
}

struct measured_append {
	uint64_t size_bytes, blocks;
	int64_t used;
};

#include "measured.h"

static void replay_append(uint64_t chunk, const struct measured_append *rows, unsigned row_count,
			  const char *reopened, int64_t reopened_used, const char *last, int64_t last_used)
{
	struct scratch s;
	uint64_t size = 0;
	char text[64];
	unsigned row = 0;

	scratch_open(&s, 4 * GIB, "");
	while (size < 64 * MIB) {
		append(&s, &size, chunk);
		while (row < row_count && rows[row].size_bytes == size) {
			snprintf(text, sizeof(text), "0+%lluD", (unsigned long long)rows[row].blocks);
			expect(&s, rows[row].blocks, rows[row].used, text);
			row++;
		}
	}
	assert_int_equal(row, row_count);
	close_file(&s, size);
	expect(&s, 16384, 16454, "0+16384D");
	sync_file(&s, size);
	expect(&s, 16384, 16384, "0+16384W");
	append(&s, &size, chunk);
	expect(&s, s.map.block_count + atomic_load(&s.map.delayed_blocks), reopened_used, reopened);
	sync_file(&s, size);
	expect(&s, s.map.block_count, last_used, last);
	scratch_close(&s);
}

/* Files appended to in pieces of 4 KiB, 64 KiB, 1 MiB: st_blocks and f_bfree after each write that changed them. */
static void appends_of_4k_match_the_kernel(void **state)
{
	replay_append(4 * KIB, append_4096, ARRAY_COUNT(append_4096), "0+16384W 16384+32768D", 49287,
		      "0+16385W 16385+32767U", 49152);
}

static void appends_of_64k_match_the_kernel(void **state)
{
	replay_append(64 * KIB, append_65536, ARRAY_COUNT(append_65536), "0+16384W 16384+32768D", 49287,
		      "0+16400W 16400+32752U", 49152);
}

static void appends_of_1m_match_the_kernel(void **state)
{
	replay_append(MIB, append_1048576, ARRAY_COUNT(append_1048576), "0+16384W 16384+33008D", 49528,
		      "0+16640W 16640+32752U", 49392);
}

static void replay_throttle(struct scratch *s, uint64_t base_mib, const struct measured_throttle *rows,
			    unsigned count)
{
	struct irec base = { .ext = { 0, base_mib * 256, { 5000 }, EXTENT_WRITTEN } };

	tree_insert(&s->map.data.tree, &base);
	for (unsigned i = 0; i < count; i++) {
		uint64_t size = base_mib * MIB, taken = scratch_free(s) - rows[i].free_blocks;
		uint64_t before = atomic_load(&s->map.delayed_blocks);

		assert_int_equal(space_take(s->space, taken, false), 0);
		assert_int_equal(scratch_free(s), rows[i].free_blocks);
		rwlock_write_lock(&s->lock);
		{
			struct prealloc_input in = { size, size, 4 * KIB, .alloc_size_log = 16 };
			struct extent got;

			assert_int_equal(delay_reserve(&s->map, FORK_DATA, base.ext.count, 1,
						       delay_prealloc_blocks(&s->map, &in), &got),
					 0);
			assert_int_equal(got.count, rows[i].blocks);
			assert_int_equal(atomic_load(&s->map.delayed_blocks) - before, rows[i].blocks);
		}
		delay_punch(&s->map, FORK_DATA, 0, UINT64_MAX);
		rwlock_write_unlock(&s->lock);
		space_give(s->space, taken);
		assert_int_equal(scratch_used(s), 0);
	}
	tree_remove(&s->map.data.tree, 0);
}

/* The nearer the volume is to full, the less is reserved; not monotonic for the large file, as measured. */
static void throttling_matches_the_kernel(void **state)
{
	struct scratch s;

	scratch_open(&s, 2 * GIB, "");
	replay_throttle(&s, 16, throttle_16m, ARRAY_COUNT(throttle_16m));
	replay_throttle(&s, 256, throttle_256m, ARRAY_COUNT(throttle_256m));
	scratch_close(&s);
}

/* With allocsize= the reservation behind the write is always that, also for empty files. */
static void fixed_preallocation_matches_the_kernel(void **state)
{
	struct scratch s;
	uint64_t size = 0;

	scratch_open(&s, 512 * MIB, "");
	append_with(&s, &size, 4 * KIB, 20);
	expect(&s, 256, 262, "0+256D");
	append_with(&s, &size, 1020 * KIB, 20);
	expect(&s, 256, 262, "0+256D");
	append_with(&s, &size, 4 * KIB, 20);
	expect(&s, 512, 519, "0+512D");
	close_file(&s, size);
	expect(&s, 257, 263, "0+257D");
	close_file(&s, 0);
	size = 0;
	append_with(&s, &size, 4 * KIB, 16);
	append_with(&s, &size, 60 * KIB, 16);
	expect(&s, 16, 21, "0+16D");
	append_with(&s, &size, 4 * KIB, 16);
	expect(&s, 32, 37, "0+32D");
	append_with(&s, &size, MIB, 16);
	expect(&s, 288, 294, "0+288D");
	close_file(&s, 0);
	scratch_close(&s);
}

/* Striped volumes: ends are rounded up to the stripe unit, and the extent starts on one. */
static void striped_files_match_the_kernel(void **state)
{
	struct scratch s;
	struct extent ext;
	uint64_t size = 0;
	fileblk_t pos = 0;

	scratch_open(&s, GIB, "-d su=64k,sw=4");
	append(&s, &size, 64 * KIB);
	expect(&s, 16, 21, "0+16D");
	append(&s, &size, 4 * KIB);
	expect(&s, 48, 53, "0+48D");
	append(&s, &size, 200 * KIB);
	expect(&s, 128, 133, "0+128D");
	sync_file(&s, size);
	expect(&s, 128, 128, "0+67W 67+61U");
	assert_true(map_next(&s.map, FORK_DATA, &pos, &ext));
	assert_int_equal(ext.start.v, 32);
	scratch_close(&s);
}

/* ---- rules of the indirect reservation ---- */

static void reserve(struct scratch *s, fileblk_t off, uint64_t count)
{
	struct extent got;

	rwlock_write_lock(&s->lock);
	assert_int_equal(delay_reserve(&s->map, FORK_DATA, off, count, 0, &got), 0);
	rwlock_write_unlock(&s->lock);
	assert_int_equal(got.off, off);
	assert_int_equal(got.count, count);
}

static void punch(struct scratch *s, fileblk_t off, fileblk_t end)
{
	rwlock_write_lock(&s->lock);
	delay_punch(&s->map, FORK_DATA, off, end);
	rwlock_write_unlock(&s->lock);
}

static void worst_case_matches_the_kernel(void **state)
{
	static const struct {
		uint64_t count, blocks;
	} rows[] = { { 1, 5 },	     { 251, 5 },     { 252, 6 },	{ 496, 6 },	   { 1024, 9 },
		     { 4096, 21 },   { 8176, 37 },   { 16384, 70 },	{ 32752, 135 },	   { 131072, 529 },
		     { 2097151, 8393 } };
	struct scratch s;

	scratch_open(&s, 512 * MIB, "");
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
		assert_int_equal(delay_worst_indirect(&s.map, rows[i].count), rows[i].blocks);
	scratch_close(&s);
	scratch_open(&s, 512 * MIB, "-b size=1024");
	assert_int_equal(delay_worst_indirect(&s.map, 1), 7);
	scratch_close(&s);
}

/* Two single blocks hold 5+5; filling the gap leaves one extent that holds 5, and the rest is free again. */
static void filling_a_gap_returns_the_surplus(void **state)
{
	struct scratch s;

	scratch_open(&s, 512 * MIB, "");
	reserve(&s, 0, 1);
	reserve(&s, 2, 1);
	expect(&s, 2, 12, "0+1D 2+1D");
	reserve(&s, 1, 1);
	expect(&s, 3, 8, "0+3D");
	punch(&s, 0, 3);
	expect(&s, 0, 0, "");
	scratch_close(&s);
}

/* Cutting the tail off again and again leaves the worst case of what remains. */
static void shrinking_returns_reservations(void **state)
{
	struct scratch s;

	scratch_open(&s, 512 * MIB, "");
	reserve(&s, 0, 4096);
	expect(&s, 4096, 4117, "0+4096D");
	close_file(&s, 8 * MIB);
	expect(&s, 2048, 2061, "0+2048D");
	close_file(&s, MIB);
	expect(&s, 256, 262, "0+256D");
	close_file(&s, 4 * KIB);
	expect(&s, 1, 6, "0+1D");
	close_file(&s, 0);
	expect(&s, 0, 0, "");
	scratch_close(&s);
}

/* Holes punched in the middle fund the pieces' reservations from the blocks they take. */
static void punched_middle_funds_the_rests(void **state)
{
	struct scratch s;

	scratch_open(&s, 512 * MIB, "");
	reserve(&s, 0, 256);
	expect(&s, 256, 262, "0+256D");
	punch(&s, 16, 76);
	punch(&s, 77, 136);
	punch(&s, 137, 196);
	punch(&s, 197, 256);
	expect(&s, 19, 39, "0+16D 76+1D 136+1D 196+1D");
	punch(&s, 0, UINT64_MAX);
	expect(&s, 0, 0, "");
	scratch_close(&s);
}

/* With too little to steal, what there is is shared, and nothing is ever created or lost. */
static void starved_pieces_share_what_there_is(void **state)
{
	struct scratch s;

	scratch_open(&s, 512 * MIB, "");
	reserve(&s, 0, 15);
	for (fileblk_t off = 1; off < 15; off += 2) {
		punch(&s, off, off + 1);
		assert_null(map_verify(&s.map));
	}
	/* 20 were taken; each punch could at most put its own block into the reservation. */
	assert_int_equal(atomic_load(&s.map.delayed_blocks), 8);
	assert_int_equal(scratch_used(&s), 20);
	punch(&s, 0, UINT64_MAX);
	expect(&s, 0, 0, "");
	scratch_close(&s);
}

/* No room for the speculation: reserved without it; no room for the block and its indirect blocks: ENOSPC. */
static void reservation_falls_back_without_preallocation(void **state)
{
	struct scratch s;
	struct extent got;
	uint64_t taken;

	scratch_open(&s, 512 * MIB, "");
	taken = scratch_free(&s) - 40;
	assert_int_equal(space_take(s.space, taken, false), 0);
	rwlock_write_lock(&s.lock);
	assert_int_equal(delay_reserve(&s.map, FORK_DATA, 0, 10, 100, &got), 0);
	assert_int_equal(got.count, 10);
	assert_int_equal(scratch_free(&s), 25);
	assert_int_equal(delay_reserve(&s.map, FORK_DATA, 50, 21, 0, &got), -ENOSPC);
	assert_int_equal(delay_reserve(&s.map, FORK_DATA, 50, 20, 0, &got), 0);
	assert_int_equal(scratch_free(&s), 0);
	delay_punch(&s.map, FORK_DATA, 0, UINT64_MAX);
	rwlock_write_unlock(&s.lock);
	assert_int_equal(scratch_free(&s), 40);
	space_give(s.space, taken);
	scratch_close(&s);
}

/* Copy-on-write reservations are widened to the hint, but not over neighbours. */
static void cow_reservations_are_aligned(void **state)
{
	struct scratch s;
	struct extent got;

	scratch_open(&s, 512 * MIB, "");
	rwlock_write_lock(&s.lock);
	assert_int_equal(delay_reserve(&s.map, FORK_COW, 64, 1, 0, &got), 0);
	assert_true(got.off == 64 && got.count == 32);
	assert_int_equal(scratch_used(&s), 37);
	assert_int_equal(delay_reserve(&s.map, FORK_COW, 40, 1, 0, &got), 0);
	assert_true(got.off == 32 && got.count == 32);
	assert_int_equal(delay_reserve(&s.map, FORK_COW, 100, 10, 0, &got), 0);
	assert_true(got.off == 96 && got.count == 32);
	assert_int_equal(s.map.cow.tree.count, 1);
	assert_null(map_verify(&s.map));
	delay_punch(&s.map, FORK_COW, 0, UINT64_MAX);
	rwlock_write_unlock(&s.lock);
	assert_int_equal(scratch_used(&s), 0);
	scratch_close(&s);
}

static uint64_t random_below(uint64_t *seed, uint64_t n)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (*seed >> 33) % n;
}

static uint64_t sum_of_reservations(const struct file_map *map)
{
	struct tree_cursor cur;
	struct irec rec;
	uint64_t sum = 0;

	for (bool more = tree_first(&map->data.tree, &cur, &rec); more; more = tree_next(&cur, &rec))
		sum += rec.ext.count + rec.indirect;
	return sum;
}

/* Any sequence of reserving and punching keeps the free counter equal to what the extents say. */
static void random_reserve_and_punch_keep_the_books(void **state)
{
	enum { BLOCKS = 400 };
	static bool is_delayed[BLOCKS];
	struct scratch s;
	uint64_t seed = 7;

	memset(is_delayed, 0, sizeof(is_delayed));
	scratch_open(&s, 512 * MIB, "-b size=1024");
	for (unsigned step = 0; step < 5000; step++) {
		fileblk_t off = random_below(&seed, BLOCKS);
		uint64_t count = 1 + random_below(&seed, 30), room = 0;

		count = min_u64(count, BLOCKS - off);
		while (room < count && !is_delayed[off + room])
			room++;
		if (room) {
			reserve(&s, off, room);
			memset(&is_delayed[off], 1, room);
		} else {
			punch(&s, off, off + count);
			memset(&is_delayed[off], 0, count);
		}
		assert_null(map_verify(&s.map));
		assert_int_equal(scratch_used(&s), sum_of_reservations(&s.map));
	}
	for (fileblk_t off = 0; off < BLOCKS; off++) {
		struct extent ext;
		bool found;

		map_lookup(&s.map, FORK_DATA, off, &ext, &found);
		assert_int_equal(found && ext.off <= off, is_delayed[off]);
	}
	punch(&s, 0, UINT64_MAX);
	scratch_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(worst_case_matches_the_kernel),
		scratch_test(appends_of_4k_match_the_kernel),
		scratch_test(appends_of_64k_match_the_kernel),
		scratch_test(appends_of_1m_match_the_kernel),
		scratch_test(throttling_matches_the_kernel),
		scratch_test(fixed_preallocation_matches_the_kernel),
		scratch_test(striped_files_match_the_kernel),
		scratch_test(shrinking_returns_reservations),
		scratch_test(filling_a_gap_returns_the_surplus),
		scratch_test(punched_middle_funds_the_rests),
		scratch_test(starved_pieces_share_what_there_is),
		scratch_test(reservation_falls_back_without_preallocation),
		scratch_test(cow_reservations_are_aligned),
		scratch_test(random_reserve_and_punch_keep_the_books),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
