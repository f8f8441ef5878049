// SPDX-License-Identifier: GPL-2.0
/* Allocating, converting, unmapping: every form of a fork against an array of block states, and xfs_repair at the
 * end. */
#include "scratch.h"

#include <userxfs/base/bits.h>
#include <userxfs/space/alloc.h>
#include <userxfs/space/refcount.h>

#include "extent/edit.h"
#include "extent/tree.h"

#define MIB (1024ull * 1024)
#define BLOCKS 2000u

struct model {
	struct scratch s;
	uint8_t state[BLOCKS];		/* enum extent_state */
	uint64_t seed;
};

static struct model m;

static uint64_t random_below(uint64_t n)
{
	m.seed = m.seed * 6364136223846793005ull + 1442695040888963407ull;
	return (m.seed >> 33) % n;
}

static void model_open(const char *mkfs_args, uint64_t seed)
{
	memset(&m, 0, sizeof(m));
	memset(m.state, EXTENT_HOLE, sizeof(m.state));
	m.seed = seed;
	scratch_open(&m.s, 512 * MIB, mkfs_args);
}

static uint64_t sum_of_reservations(void)
{
	struct tree_cursor cur;
	struct irec rec;
	uint64_t sum = 0;

	for (bool more = tree_first(&m.s.map.data.tree, &cur, &rec); more; more = tree_next(&cur, &rec))
		if (rec.ext.state == EXTENT_DELAYED)
			sum += rec.ext.count + rec.indirect;
	return sum;
}

/* The map says of every block what the array says, and the books balance. */
static void check(void)
{
	uint8_t state[BLOCKS];
	struct extent ext;
	fileblk_t pos = 0;

	assert_null(map_verify(&m.s.map));
	memset(state, EXTENT_HOLE, sizeof(state));
	while (map_next(&m.s.map, FORK_DATA, &pos, &ext)) {
		assert_true(extent_end(&ext) <= BLOCKS);
		memset(&state[ext.off], (int)ext.state, ext.count);
	}
	assert_memory_equal(state, m.state, sizeof(state));
	assert_int_equal(scratch_used(&m.s), m.s.map.block_count + sum_of_reservations());
}

static struct tx *begin(uint64_t count)
{
	return scratch_begin(&m.s, map_write_blocks(&m.s.map, count) + 2 * map_write_blocks(&m.s.map, 0),
			     TX_USE_POOL);
}

/* ---- operations, in the map and in the array ---- */

static void do_write(fileblk_t off, uint64_t count, uint32_t flags)
{
	struct tx *tx = begin(count);
	struct extent out[3];
	unsigned n = 3;
	fileblk_t at = off;

	assert_int_equal(map_write(tx, &m.s.map, FORK_DATA, off, count, flags, 0, out, &n), 0);
	assert_true(n > 0);
	for (unsigned i = 0; i < n; i++) {
		assert_true(out[i].off == at && extent_end(&out[i]) <= off + count);
		assert_true(out[i].state == EXTENT_WRITTEN || out[i].state == EXTENT_UNWRITTEN);
		for (; at < extent_end(&out[i]); at++) {
			bool was_real = m.state[at] == EXTENT_WRITTEN || m.state[at] == EXTENT_UNWRITTEN;
			uint8_t wanted = flags & MAP_UNWRITTEN ? EXTENT_UNWRITTEN : EXTENT_WRITTEN;

			if (!was_real || flags & MAP_CONVERT)
				m.state[at] = wanted;
			assert_int_equal(m.state[at], out[i].state);
		}
	}
	/* What was allocated behind the last piece reported. */
	for (; at < off + count; at++) {
		struct extent ext;
		bool found;

		map_lookup(&m.s.map, FORK_DATA, at, &ext, &found);
		if (found && ext.off <= at && ext.state != EXTENT_DELAYED)
			m.state[at] = (uint8_t)ext.state;
	}
	scratch_commit(&m.s, tx);
}

static void do_unmap(fileblk_t off, uint64_t count)
{
	uint64_t left = count;

	while (left) {
		struct tx *tx = begin(0);

		assert_int_equal(map_unmap(tx, &m.s.map, FORK_DATA, off, left, 2, &left), 0);
		scratch_commit(&m.s, tx);
	}
	memset(&m.state[off], EXTENT_HOLE, count);
}

static void do_reserve(fileblk_t off, uint64_t count)
{
	struct extent got;
	uint64_t room = 0;

	while (room < count && m.state[off + room] == EXTENT_HOLE)
		room++;
	if (!room)
		return;
	rwlock_write_lock(&m.s.lock);
	assert_int_equal(delay_reserve(&m.s.map, FORK_DATA, off, room, 0, &got), 0);
	rwlock_write_unlock(&m.s.lock);
	memset(&m.state[off], EXTENT_DELAYED, room);
}

static void do_punch(fileblk_t off, uint64_t count)
{
	rwlock_write_lock(&m.s.lock);
	delay_punch(&m.s.map, FORK_DATA, off, off + count);
	rwlock_write_unlock(&m.s.lock);
	for (fileblk_t at = off; at < off + count; at++)
		if (m.state[at] == EXTENT_DELAYED)
			m.state[at] = EXTENT_HOLE;
}

static void do_convert(fileblk_t off)
{
	struct extent before, got;
	uint32_t sequence;
	bool found;
	int err;

	map_lookup(&m.s.map, FORK_DATA, off, &before, &found);
	err = delay_convert(&m.s.map, FORK_DATA, off, &got, &sequence);
	if (!found || before.off > off) {
		assert_int_equal(err, -EAGAIN);
		return;
	}
	assert_int_equal(err, 0);
	assert_true(got.off <= off && off < extent_end(&got));
	if (before.state != EXTENT_DELAYED) {
		assert_true(got.off == before.off && got.count == before.count && got.state == before.state);
		return;
	}
	assert_int_equal(got.state, EXTENT_UNWRITTEN);
	for (fileblk_t at = before.off; at < min_u64(extent_end(&got), extent_end(&before)); at++)
		m.state[at] = EXTENT_UNWRITTEN;
}

static void random_operation(void)
{
	fileblk_t off = random_below(BLOCKS - 1);
	uint64_t count = min_u64(1 + random_below(random_below(4) ? 8 : 100), BLOCKS - off);

	switch (random_below(9)) {
	case 0:
		do_write(off, count, 0);
		break;
	case 1:
		do_write(off, count, MAP_UNWRITTEN);
		break;
	case 2:
		do_write(off, count, MAP_CONVERT);
		break;
	case 3:
		do_write(off, count, MAP_CONVERT | MAP_UNWRITTEN);
		break;
	case 4:
		do_unmap(off, count);
		break;
	case 5:
		do_reserve(off, count);
		break;
	case 6:
		do_punch(off, count);
		break;
	default:
		do_convert(off);
		break;
	}
}

static void run_random(const char *mkfs_args, uint64_t seed, unsigned steps)
{
	model_open(mkfs_args, seed);
	for (unsigned step = 0; step < steps; step++) {
		random_operation();
		check();
		if (step % 200 == 199) {
			assert_int_equal(log_force(m.s.log, 0, NULL), 0);
			assert_int_equal(map_verify_disk(&m.s.map, FORK_DATA), 0);
		}
	}
	if (seed % 2)
		do_unmap(0, BLOCKS);
	else
		do_punch(0, BLOCKS);
	check();
	scratch_close(&m.s);
}

/* Small blocks: trees of several levels. */
static void random_changes_equal_an_array_1k(void **state)
{
	run_random("-b size=1024", 2, 3000);
	run_random("-b size=1024", 3, 2000);
}

/* A file that may share blocks drops references instead of freeing. */
static void random_changes_of_a_reflink_file(void **state)
{
	model_open("-b size=1024", 8);
	m.s.map.is_reflink = true;
	for (unsigned step = 0; step < 800; step++) {
		random_operation();
		check();
	}
	do_unmap(0, BLOCKS);
	check();
	scratch_close(&m.s);
}

static void random_changes_equal_an_array_4k(void **state)
{
	run_random("", 4, 2000);
}

/* With the reverse map, which xfs_repair compares with the extents. */
static void random_changes_keep_the_reverse_map(void **state)
{
	run_random("-b size=1024 -m rmapbt=1,reflink=0", 6, 1500);
	run_random("-m rmapbt=1", 5, 1000);
}

/* ---- single cases ---- */

static void expect(const char *expected)
{
	char text[512] = "";
	struct extent ext;
	fileblk_t pos = 0;
	size_t used = 0;

	while (map_next(&m.s.map, FORK_DATA, &pos, &ext) && used < sizeof(text) - 40)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%llu+%llu%c", used ? " " : "",
					 (unsigned long long)ext.off, (unsigned long long)ext.count,
					 "WUD"[ext.state]);
	assert_string_equal(text, expected);
}

/* A delayed extent becomes real as a whole, whichever block of it is written back. */
static void conversion_takes_the_whole_delayed_extent(void **state)
{
	model_open("", 1);
	do_reserve(10, 100);
	do_convert(60);
	expect("10+100U");
	check();
	scratch_close(&m.s);
}

/* Allocating inside a delayed extent leaves both rests fully reserved. */
static void allocating_inside_delayed_reserves_anew(void **state)
{
	model_open("", 1);
	do_reserve(0, 496);
	assert_int_equal(scratch_used(&m.s), 502);
	do_write(100, 50, MAP_UNWRITTEN);
	expect("0+100D 100+50U 150+346D");
	/* 446 delayed, 50 real, 5 and 6 indirect. */
	assert_int_equal(scratch_used(&m.s), 507);
	do_write(150, 234, MAP_UNWRITTEN);
	expect("0+100D 100+284U 384+112D");
	assert_int_equal(scratch_used(&m.s), 506);
	check();
	do_punch(0, BLOCKS);
	scratch_close(&m.s);
}

/* With an extent size hint allocations are widened to its multiples. */
static void extent_hint_widens_allocations(void **state)
{
	struct extent out;
	unsigned n = 1;
	struct tx *tx;

	model_open("", 1);
	m.s.map.extent_hint_blocks = 16;
	tx = begin(16);
	assert_int_equal(map_write(tx, &m.s.map, FORK_DATA, 0, 1, MAP_UNWRITTEN, 0, &out, &n), 0);
	assert_true(n == 1 && out.off == 0 && out.count == 1);
	scratch_commit(&m.s, tx);
	expect("0+16U");
	tx = begin(16);
	assert_int_equal(map_write(tx, &m.s.map, FORK_DATA, 25, 2, MAP_UNWRITTEN, 0, &out, &n), 0);
	assert_true(n == 1 && out.off == 25 && out.count == 2);
	scratch_commit(&m.s, tx);
	expect("0+32U");
	assert_int_equal(scratch_used(&m.s), 32);
	scratch_close(&m.s);
}

/* An attr fork with many extents becomes a tree and comes back, like a data fork. */
static void attr_fork_becomes_a_tree_too(void **state)
{
	struct extent out;
	uint64_t left = 1;
	unsigned n = 1;
	struct tx *tx;

	model_open("-b size=1024", 1);
	tx = begin(0);
	assert_int_equal(map_set_split(tx, &m.s.map, map_default_split(&m.s.map)), 0);
	scratch_commit(&m.s, tx);
	for (unsigned i = 0; i < 300; i++) {
		tx = begin(1);
		assert_int_equal(map_write(tx, &m.s.map, FORK_ATTR, i * 2, 1, MAP_METADATA, 0, &out, &n), 0);
		assert_int_equal(n, 1);
		scratch_commit(&m.s, tx);
	}
	assert_int_equal(m.s.map.attr.format, FORK_BTREE);
	assert_true(m.s.map.log_fields & XFS_ILOG_ABROOT);
	assert_int_equal(log_force(m.s.log, 0, NULL), 0);
	assert_int_equal(map_verify_disk(&m.s.map, FORK_ATTR), 0);
	while (left) {
		tx = begin(0);
		assert_int_equal(map_unmap(tx, &m.s.map, FORK_ATTR, 0, BLOCKS, 2, &left), 0);
		scratch_commit(&m.s, tx);
	}
	assert_int_equal(m.s.map.attr.format, FORK_EXTENTS);
	assert_int_equal(scratch_used(&m.s), 0);
	scratch_close(&m.s);
}

/* All nine ways in which a piece of an unwritten extent can turn written between neighbours. */
static void written_pieces_merge_with_written_neighbours(void **state)
{
	model_open("", 1);
	do_write(0, 90, MAP_UNWRITTEN);
	do_write(40, 10, MAP_CONVERT);
	expect("0+40U 40+10W 50+40U");
	do_write(30, 10, MAP_CONVERT);
	expect("0+30U 30+20W 50+40U");
	do_write(50, 10, MAP_CONVERT);
	expect("0+30U 30+30W 60+30U");
	do_write(0, 10, MAP_CONVERT);
	expect("0+10W 10+20U 30+30W 60+30U");
	do_write(10, 20, MAP_CONVERT);
	expect("0+60W 60+30U");
	do_write(80, 10, MAP_CONVERT);
	expect("0+60W 60+20U 80+10W");
	do_write(60, 20, MAP_CONVERT);
	expect("0+90W");
	do_write(0, 90, MAP_CONVERT | MAP_UNWRITTEN);
	expect("0+90U");
	scratch_close(&m.s);
}

/* The fork becomes a tree with the first extent that does not fit, costs one block, and gives it back. */
static void fork_changes_form_at_the_inline_limit(void **state)
{
	uint64_t limit;

	model_open("", 1);
	limit = m.s.map.fork_space / sizeof(struct xfs_bmbt_rec);
	assert_int_equal(limit, 21);
	for (unsigned i = 0; i < limit; i++)
		do_write(i * 2, 1, 0);
	assert_int_equal(m.s.map.data.format, FORK_EXTENTS);
	assert_int_equal(m.s.map.block_count, limit);
	do_write(limit * 2, 1, 0);
	assert_int_equal(m.s.map.data.format, FORK_BTREE);
	assert_int_equal(m.s.map.block_count, limit + 2);
	assert_true(m.s.map.log_fields & XFS_ILOG_DBROOT);
	do_unmap(6, 1);
	assert_int_equal(m.s.map.data.format, FORK_EXTENTS);
	assert_int_equal(m.s.map.block_count, limit);
	assert_false(m.s.map.log_fields & XFS_ILOG_DBROOT);
	check();
	do_write(6, 1, 0);
	scratch_close(&m.s);
}

/* A tree in a data fork that shrinks: its root moves down and the fork still holds everything. */
static void splitting_the_areas_moves_the_root_down(void **state)
{
	struct tx *tx;
	uint32_t split;

	model_open("-b size=1024", 1);
	for (unsigned i = 0; i < 1000; i++)
		do_write(i * 2, 1, 0);
	assert_int_equal(m.s.map.data.format, FORK_BTREE);
	assert_true(be16_to_cpu(m.s.map.data.root->block.bb_numrecs) > 11);
	assert_true(map_can_split(&m.s.map, 40, &split));
	split = map_default_split(&m.s.map);
	assert_int_equal(split, 192);
	tx = begin(0);
	assert_int_equal(map_set_split(tx, &m.s.map, split), 0);
	scratch_commit(&m.s, tx);
	assert_int_equal(be16_to_cpu(m.s.map.data.root->block.bb_numrecs), 1);
	assert_int_equal(m.s.map.data.root->max_keys, 11);
	check();
	for (unsigned i = 0; i < 100; i++)
		do_write(1 + i * 4, 1, 0);
	check();
	scratch_close(&m.s);
}

/* Extents that do not fit beside an attr fork become a tree. */
static void splitting_the_areas_makes_a_tree(void **state)
{
	struct tx *tx;

	model_open("", 1);
	for (unsigned i = 0; i < 15; i++)
		do_write(i * 2, 1, 0);
	tx = begin(0);
	assert_int_equal(map_set_split(tx, &m.s.map, map_default_split(&m.s.map)), 0);
	scratch_commit(&m.s, tx);
	assert_int_equal(m.s.map.data.format, FORK_BTREE);
	do_unmap(0, 8);
	assert_int_equal(m.s.map.data.format, FORK_EXTENTS);
	tx = begin(0);
	map_remove_attr_fork(tx, &m.s.map);
	scratch_commit(&m.s, tx);
	assert_int_equal(fork_inline_extents(&m.s.map, FORK_DATA), 21);
	check();
	scratch_close(&m.s);
}

/* Collapsing a hole away joins what continues on disk; inserting one moves everything behind it. */
static void shifting_moves_and_merges(void **state)
{
	fileblk_t next = 20;
	bool done = false;
	struct tx *tx;

	model_open("-m rmapbt=1", 1);
	do_write(0, 40, 0);
	do_write(50, 10, MAP_UNWRITTEN);
	do_unmap(10, 10);
	expect("0+10W 20+20W 50+10U");
	while (!done) {
		tx = begin(0);
		assert_int_equal(map_shift_left(tx, &m.s.map, &next, 10, &done), 0);
		scratch_commit(&m.s, tx);
	}
	expect("0+10W 10+20W 40+10U");

	tx = begin(0);
	assert_int_equal(map_split(tx, &m.s.map, 20), 0);
	scratch_commit(&m.s, tx);
	expect("0+10W 10+10W 20+10W 40+10U");
	next = UINT64_MAX;
	done = false;
	while (!done) {
		tx = begin(0);
		assert_int_equal(map_shift_right(tx, &m.s.map, &next, 5, 20, &done), 0);
		scratch_commit(&m.s, tx);
	}
	expect("0+10W 10+10W 25+10W 45+10U");
	next = 25;
	tx = begin(0);
	assert_int_equal(map_shift_left(tx, &m.s.map, &next, 5, &done), 0);
	scratch_commit(&m.s, tx);
	assert_int_equal(next, 45);
	expect("0+10W 10+20W 45+10U");
	scratch_close(&m.s);
}

/* Queries see holes, trim to the range, and find the first place that is free. */
static void queries_answer_about_holes_too(void **state)
{
	struct extent out[5];
	unsigned n = 5;

	model_open("", 1);
	do_write(10, 10, 0);
	do_write(30, 10, MAP_UNWRITTEN);
	map_read(&m.s.map, FORK_DATA, 5, 30, false, out, &n);
	assert_int_equal(n, 4);
	assert_true(out[0].state == EXTENT_HOLE && out[0].off == 5 && out[0].count == 5);
	assert_true(out[1].state == EXTENT_WRITTEN && out[1].off == 10 && out[1].count == 10);
	assert_true(out[2].state == EXTENT_HOLE && out[2].off == 20 && out[2].count == 10);
	assert_true(out[3].state == EXTENT_UNWRITTEN && out[3].off == 30 && out[3].count == 5);
	n = 1;
	map_read(&m.s.map, FORK_DATA, 15, 1, true, out, &n);
	assert_true(n == 1 && out[0].off == 10 && out[0].count == 10);
	assert_int_equal(map_end(&m.s.map, FORK_DATA), 40);
	assert_int_equal(map_first_unused(&m.s.map, FORK_DATA, 10, 0), 0);
	assert_int_equal(map_first_unused(&m.s.map, FORK_DATA, 10, 1), 20);
	assert_int_equal(map_first_unused(&m.s.map, FORK_DATA, 11, 1), 40);
	scratch_close(&m.s);
}

/* A middle cut that may need a tree block is refused without a reservation, before anything changes. */
static void cut_without_reservation_is_refused(void **state)
{
	struct tx *tx;
	uint64_t left;

	model_open("", 1);
	do_write(100, 10, 0);
	for (unsigned i = 0; i < 20; i++)
		do_write(i * 2, 1, 0);
	tx = scratch_begin(&m.s, 0, 0);
	assert_int_equal(map_unmap(tx, &m.s.map, FORK_DATA, 104, 1, 0, &left), -ENOSPC);
	assert_false(tx_is_dirty(tx));
	assert_int_equal(map_unmap(tx, &m.s.map, FORK_DATA, 100, 1, 0, &left), 0);
	scratch_commit(&m.s, tx);
	m.state[100] = EXTENT_HOLE;
	check();
	scratch_close(&m.s);
}

/* No more extents than the inode can count: refused before anything is allocated. */
static void extent_count_overflow_is_refused(void **state)
{
	uint64_t count;
	struct extent out;
	unsigned n = 1;
	struct tx *tx;

	model_open("-i nrext64=0", 1);
	count = m.s.map.data.extent_count;
	m.s.map.data.extent_count = XFS_MAX_EXTCNT_DATA_FORK_SMALL;
	tx = begin(1);
	assert_int_equal(map_write(tx, &m.s.map, FORK_DATA, 0, 1, 0, 0, &out, &n), -EFBIG);
	assert_false(tx_is_dirty(tx));
	tx_cancel(tx);
	rwlock_write_unlock(&m.s.lock);
	m.s.map.data.extent_count = count;
	scratch_close(&m.s);
}

/* Blocks mapped twice: the first unmapping takes a reference, the second frees. */
static void shared_blocks_are_freed_with_the_last_mapping(void **state)
{
	struct extent ext;
	struct tx *tx;
	bool found;

	model_open("-m rmapbt=1", 1);
	do_write(0, 10, 0);
	map_lookup(&m.s.map, FORK_DATA, 0, &ext, &found);
	m.s.map.is_reflink = true;
	tx = begin(0);
	refcount_increase_deferred(tx, m.s.space, &ext);
	ext.off = 100;
	assert_int_equal(map_insert_real(tx, &m.s.map, FORK_DATA, &ext), 0);
	scratch_commit(&m.s, tx);
	expect("0+10W 100+10W");
	assert_int_equal(m.s.map.block_count, 20);
	assert_int_equal(scratch_used(&m.s), 10);
	do_unmap(0, 5);
	assert_int_equal(scratch_used(&m.s), 10);
	do_unmap(100, 10);
	assert_int_equal(scratch_used(&m.s), 5);
	do_unmap(0, 10);
	assert_int_equal(scratch_used(&m.s), 0);
	scratch_close(&m.s);
}

/* Fills the volume with the file from block 2^20 on, then frees every other run of 16 blocks. */
static void fragment_free_space(void)
{
	fileblk_t first = 1 << 20, off = first;
	struct extent out;
	uint64_t left;

	while (scratch_free(&m.s) > 200) {
		uint64_t count = min_u64(scratch_free(&m.s) - 100, 30000);
		struct tx *tx = scratch_begin(&m.s, map_write_blocks(&m.s.map, count), 0);
		unsigned n = 1;

		assert_int_equal(map_write(tx, &m.s.map, FORK_DATA, off, count, MAP_UNWRITTEN, 0, &out, &n), 0);
		assert_int_equal(n, 1);
		off += out.count;
		scratch_commit(&m.s, tx);
	}
	for (fileblk_t at = first + 16; at + 16 < off; at += 32) {
		struct tx *tx = begin(0);

		assert_int_equal(map_unmap(tx, &m.s.map, FORK_DATA, at, 16, 0, &left), 0);
		assert_int_equal(tx_commit(tx), 0);
		rwlock_write_unlock(&m.s.lock);
	}
	assert_int_equal(space_flush_busy(m.s.space), 0);
}

static void expect_pieces(fileblk_t off, fileblk_t end, uint64_t max)
{
	struct extent ext;
	bool found;

	for (; off < end; off = extent_end(&ext)) {
		map_lookup(&m.s.map, FORK_DATA, off, &ext, &found);
		assert_true(found && ext.off == off && ext.state == EXTENT_UNWRITTEN && ext.count <= max);
	}
}

/*
 * Where free space comes in small pieces, a conversion goes only as far as the block that is wanted; nothing is
 * lost.
 */
static void conversion_stops_where_it_is_needed(void **state)
{
	struct extent got, out;
	uint32_t sequence;
	unsigned n = 1;
	struct tx *tx;

	model_open("-m reflink=0,finobt=0", 1);
	/* The pool is a number, not a place: its blocks would be one long piece. */
	assert_int_equal(space_set_pool(m.s.space, 0), 0);
	m.s.free_at_start = scratch_raw_free(&m.s);
	fragment_free_space();
	tx = begin(600);
	assert_int_equal(map_write(tx, &m.s.map, FORK_DATA, 5000, 600, MAP_CONTIGUOUS, 0, &out, &n), 0);
	assert_int_equal(n, 0);
	tx_is_dirty(tx) ? scratch_commit(&m.s, tx) : (tx_cancel(tx), rwlock_write_unlock(&m.s.lock));

	do_reserve(0, 1000);
	assert_int_equal(delay_convert(&m.s.map, FORK_DATA, 400, &got, &sequence), 0);
	assert_true(got.off <= 400 && extent_end(&got) > 400 && got.count < 300);
	expect_pieces(0, extent_end(&got), 300);
	map_lookup(&m.s.map, FORK_DATA, extent_end(&got), &out, &(bool){ false });
	assert_true(out.state == EXTENT_DELAYED && extent_end(&out) == 1000);
	assert_null(map_verify(&m.s.map));

	assert_int_equal(delay_convert(&m.s.map, FORK_DATA, 999, &got, &sequence), 0);
	assert_int_equal(atomic_load(&m.s.map.delayed_blocks), 0);
	/* Everything that was promised has become blocks of the file or is free again. */
	assert_int_equal(scratch_used(&m.s), m.s.map.block_count);
	scratch_close(&m.s);
}

/* Staging: delayed in the CoW fork, real, written, mapped into the data fork. */
static void cow_extent_travels_to_the_data_fork(void **state)
{
	struct extent got, out;
	uint32_t sequence;
	unsigned n = 1;
	uint64_t left;
	struct tx *tx;

	model_open("", 1);
	do_write(0, 64, 0);
	rwlock_write_lock(&m.s.lock);
	assert_int_equal(delay_reserve(&m.s.map, FORK_COW, 5, 1, 0, &got), 0);
	rwlock_write_unlock(&m.s.lock);
	assert_int_equal(delay_convert(&m.s.map, FORK_COW, 5, &got, &sequence), 0);
	assert_true(got.off == 0 && got.count == 32 && got.state == EXTENT_UNWRITTEN);
	assert_int_equal(atomic_load(&m.s.map.delayed_blocks), 32);
	assert_int_equal(scratch_used(&m.s), 64 + 32);

	rwlock_write_lock(&m.s.lock);
	assert_int_equal(map_write(NULL, &m.s.map, FORK_COW, 5, 1, MAP_CONVERT, 0, &out, &n), 0);
	rwlock_write_unlock(&m.s.lock);
	assert_true(n == 1 && out.off == 5 && out.state == EXTENT_WRITTEN);
	assert_int_equal(m.s.map.cow.extent_count, 3);

	tx = begin(0);
	assert_int_equal(map_unmap(tx, &m.s.map, FORK_DATA, 5, 1, 1, &left), 0);
	refcount_free_cow_deferred(tx, m.s.space, out.start, 1);
	assert_int_equal(map_insert_real(tx, &m.s.map, FORK_DATA, &out), 0);
	map_forget_cow(&m.s.map, 5, 1);
	scratch_commit(&m.s, tx);
	assert_int_equal(atomic_load(&m.s.map.delayed_blocks), 31);

	tx = begin(0);
	assert_int_equal(map_unmap(tx, &m.s.map, FORK_COW, 0, BLOCKS, 0, &left), 0);
	scratch_commit(&m.s, tx);
	assert_int_equal(m.s.map.cow.tree.count, 0);
	expect("0+5W 5+1W 6+58W");
	assert_int_equal(scratch_used(&m.s), 64);
	scratch_close(&m.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(conversion_takes_the_whole_delayed_extent),
		scratch_test(allocating_inside_delayed_reserves_anew),
		scratch_test(extent_hint_widens_allocations),
		scratch_test(attr_fork_becomes_a_tree_too),
		scratch_test(written_pieces_merge_with_written_neighbours),
		scratch_test(fork_changes_form_at_the_inline_limit),
		scratch_test(splitting_the_areas_moves_the_root_down),
		scratch_test(splitting_the_areas_makes_a_tree),
		scratch_test(shifting_moves_and_merges),
		scratch_test(queries_answer_about_holes_too),
		scratch_test(cut_without_reservation_is_refused),
		scratch_test(extent_count_overflow_is_refused),
		scratch_test(shared_blocks_are_freed_with_the_last_mapping),
		scratch_test(conversion_stops_where_it_is_needed),
		scratch_test(cow_extent_travels_to_the_data_fork),
		scratch_test(random_changes_equal_an_array_1k),
		scratch_test(random_changes_equal_an_array_4k),
		scratch_test(random_changes_of_a_reflink_file),
		scratch_test(random_changes_keep_the_reverse_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
