// SPDX-License-Identifier: GPL-2.0
/* Extents mapped, shared and unmapped by deferred work on real images: reverse map, reference counts, free space. */
#include <stdlib.h>

#include <userxfs/base/error.h>
#include <userxfs/space/alloc.h>
#include <userxfs/space/refcount.h>
#include <userxfs/space/rmap.h>

#include "space/refcountbt.h"
#include "space/rmapbt.h"

#include "mounted.c"

#define MIB (1ull << 20)
#define FILES 8
#define MAX_MAPPINGS 4000

/* An extent of one of the files; files have any number of offsets, and no inode: nobody looks. */
struct mapping {
	unsigned file;
	struct extent ext;
};

static struct mapping mappings[MAX_MAPPINGS];
static unsigned mapping_count;
static fileblk_t next_off[FILES];
static const struct rmap_owner done_by_caller = { .skip_update = true };

static int teardown(void **state)
{
	if (vol.path)
		image_remove(vol.path);
	vol.path = NULL;
	return 0;
}

static void create(uint64_t size_bytes, const char *mkfs_args)
{
	random_seed(5);
	mapping_count = 0;
	memset(next_off, 0, sizeof(next_off));
	mounted_create(size_bytes, mkfs_args);
}

static struct inum file_ino(unsigned file)
{
	return inum_make(&vol.geo, file % vol.geo.ag_count, inum_agino(&vol.geo, vol.geo.root) + file);
}

static void add_mapping(unsigned file, struct extent ext)
{
	mappings[mapping_count++] = (struct mapping){ file, ext };
	next_off[file] = ext.off + ext.count + random_below(2);
}

static struct tx *begin(uint64_t blocks)
{
	struct tx *tx;

	assert_int_equal(tx_begin(vol.log, &log_reservations(vol.log)->write, blocks, 0, &tx), 0);
	return tx;
}

/* New blocks for @file. */
static void map_new(unsigned file, uint32_t count, bool is_unwritten)
{
	struct alloc_request req = {
		.how = ALLOC_NEAR, .target = inum_to_fsblk(&vol.geo, file_ino(file)), .min_count = 1,
		.max_count = count, .total = count, .owner = done_by_caller, .is_user_data = true,
	};
	struct tx *tx = begin(count + 16);
	struct extent ext;

	assert_int_equal(space_alloc(tx, vol.space, &req), 0);
	assert_false(fsblk_is_none(req.start));
	ext = (struct extent){ .off = next_off[file], .count = req.count, .start = req.start,
			       .state = is_unwritten ? EXTENT_UNWRITTEN : EXTENT_WRITTEN };
	rmap_map_deferred(tx, vol.space, file_ino(file), false, true, &ext);
	mounted_commit(tx);
	add_mapping(file, ext);
}

static struct extent part_of(const struct extent *ext, uint64_t skip, uint64_t count)
{
	return (struct extent){ .off = ext->off + skip, .count = count, .start = fsblk_add(ext->start, skip),
				.state = ext->state };
}

static struct extent random_part(const struct extent *ext)
{
	uint64_t skip = random_below(3) ? 0 : random_below((uint32_t)ext->count);
	uint64_t left = ext->count - skip;

	return part_of(ext, skip, random_below(3) ? left : 1 + random_below((uint32_t)left));
}

/* A part of mapping @i becomes @file's, too. */
static void share(unsigned i, unsigned file)
{
	struct extent ext = random_part(&mappings[i].ext);
	struct tx *tx = begin(16);

	refcount_increase_deferred(tx, vol.space, &ext);
	ext.off = next_off[file];
	rmap_map_deferred(tx, vol.space, file_ino(file), false, true, &ext);
	mounted_commit(tx);
	add_mapping(file, ext);
}

static void unmap_part(unsigned i, struct extent part)
{
	struct mapping whole = mappings[i];
	uint64_t head = part.off - whole.ext.off, tail = whole.ext.count - head - part.count;
	struct tx *tx = begin(0);

	rmap_unmap_deferred(tx, vol.space, file_ino(whole.file), false, true, &part);
	refcount_decrease_deferred(tx, vol.space, &part);
	mounted_commit(tx);
	mappings[i] = mappings[--mapping_count];
	if (head)
		mappings[mapping_count++] = (struct mapping){ whole.file, part_of(&whole.ext, 0, head) };
	if (tail)
		mappings[mapping_count++] = (struct mapping){ whole.file,
							      part_of(&whole.ext, head + part.count, tail) };
}

static void convert(unsigned i)
{
	struct mapping *m = &mappings[i];
	struct tx *tx = begin(0);

	m->ext.state = m->ext.state == EXTENT_WRITTEN ? EXTENT_UNWRITTEN : EXTENT_WRITTEN;
	rmap_convert_deferred(tx, vol.space, file_ino(m->file), false, true, &m->ext);
	mounted_commit(tx);
}

static void random_steps(unsigned count)
{
	while (count--) {
		unsigned dice = random_below(20), file = random_below(FILES);

		if (!mapping_count || (dice < 5 && mapping_count + 2 < MAX_MAPPINGS))
			map_new(file, 1 + random_below(300), random_below(2));
		else if (dice < 12 && mapping_count + 2 < MAX_MAPPINGS)
			share(random_below(mapping_count), file);
		else if (dice < 14)
			convert(random_below(mapping_count));
		else {
			unsigned i = random_below(mapping_count);

			unmap_part(i, random_part(&mappings[i].ext));
		}
	}
}

static void unmap_all(void)
{
	while (mapping_count) {
		unsigned i = random_below(mapping_count);

		unmap_part(i, mappings[i].ext);
	}
}

static uint64_t free_blocks(void)
{
	struct space_counts counts;

	mounted_settle();
	space_counts(vol.space, &counts);
	return counts.free_blocks;
}

/* The blocks that the mappings have, each once, and the references that the counts should say. */
static void check_shared(void)
{
	agno_t agno = random_below(vol.geo.ag_count);
	agblk_t blocks = geometry_ag_blocks(&vol.geo, agno), first, want;
	uint8_t *refs = calloc(blocks, 1);
	uint32_t count;

	assert_non_null(refs);
	for (unsigned i = 0; i < mapping_count; i++)
		for (uint64_t j = 0; j < mappings[i].ext.count; j++)
			if (fsblk_agno(&vol.geo, mappings[i].ext.start) == agno)
				refs[fsblk_agblk(&vol.geo, mappings[i].ext.start) + j]++;
	for (agblk_t at = 0; at < blocks; at = first + count) {
		assert_int_equal(refcount_find_shared(NULL, vol.space, agno, at, blocks - at, true, &first, &count),
				 0);
		for (want = at; want < blocks && refs[want] < 2;)
			want++;
		if (want == blocks) {
			assert_int_equal(first, AGBLK_NONE);
			break;
		}
		assert_int_equal(first, want);
		while (want < blocks && refs[want] > 1)
			want++;
		assert_int_equal(count, want - first);
	}
	free(refs);
}

static void map_and_unmap(uint64_t size_bytes, const char *mkfs_args, unsigned steps)
{
	uint64_t before;

	create(size_bytes, mkfs_args);
	before = free_blocks();
	random_steps(steps);
	check_shared();
	unmap_all();
	assert_int_equal(free_blocks(), before);
	mounted_check_and_remove();
}

static void extents_come_and_go(void **state)
{
	map_and_unmap(512 * MIB, "-d agcount=4 -m reflink=1", 2000);
}

static void extents_come_and_go_with_rmapbt(void **state)
{
	map_and_unmap(512 * MIB, "-d agcount=4 -m reflink=1,rmapbt=1", 2000);
}

static void extents_come_and_go_in_small_blocks(void **state)
{
	map_and_unmap(512 * MIB, "-b size=1024 -d agcount=2 -m reflink=1,rmapbt=1", 3000);
}

/* Whole-tree checks of what an AG's reverse map and reference counts look like. */
static void verify_trees(void)
{
	for (agno_t agno = 0; agno < vol.geo.ag_count; agno++) {
		struct ag *ag = space_ag(vol.space, agno);
		struct btree_cursor cur;
		struct buffer *agf;

		assert_int_equal(ag_read_agf(NULL, ag, false, &agf), 0);
		rmapbt_cursor_init(&cur, NULL, ag, agf);
		assert_int_equal(btree_verify(&cur), 0);
		btree_cursor_deinit(&cur);
		refcountbt_cursor_init(&cur, NULL, ag, agf);
		assert_int_equal(btree_verify(&cur), 0);
		btree_cursor_deinit(&cur);
		buffer_release(agf);
	}
}

/*
 * Trees of several levels that the kernel made, of written, unwritten and shared extents, are understood; work in
 * them leaves what it found.
 */
static void extents_come_and_go_among_those_of_linux(void **state)
{
	random_seed(9);
	mapping_count = 0;
	vol.path = image_create(512 * MIB, "-d agcount=2 -m reflink=1,rmapbt=1");
	mounted_run_in_kernel("xfs_io -f -c 'falloc 0 40m' $d/a;"
			      "for i in `seq 0 2 2400`; do echo pwrite -q $((i * 8192)) 4096; done | xfs_io $d/a;"
			      "for i in `seq 0 3 1500`; do echo reflink $d/a $((i * 12288)) $((i * 4096)) 4096;"
			      "done | xfs_io -f $d/b >/dev/null; cp --reflink=always $d/b $d/c");
	mounted_open();
	for (unsigned file = 0; file < FILES; file++)
		next_off[file] = 1u << 20;
	verify_trees();
	random_steps(1500);
	verify_trees();
	unmap_all();
	verify_trees();
	mounted_check_and_remove();
}

/* A volume killed in the middle of this is recovered by the kernel. */
static void the_kernel_recovers_what_was_logged(void **state)
{
	create(512 * MIB, "-d agcount=4 -m reflink=1,rmapbt=1");
	random_steps(300);
	unmap_all();
	mounted_recover_by_kernel_and_remove();
}

/* Unmapping an extent with more shared pieces than fit in a transaction goes on in the next ones. */
static void a_long_decrease_goes_on_in_several_transactions(void **state)
{
	const uint32_t pieces = 5000;
	struct mapping whole;
	uint64_t before;

	create(512 * MIB, "-d agcount=2 -m reflink=1,rmapbt=0");
	before = free_blocks();
	map_new(0, 2 * pieces, false);
	whole = mappings[0];
	for (uint32_t i = 0; i < pieces;) {
		struct tx *tx = begin(32);

		for (unsigned j = 0; j < 16 && i < pieces; j++, i++) {
			struct extent piece = part_of(&whole.ext, 2ull * i, 1);

			refcount_increase_deferred(tx, vol.space, &piece);
		}
		mounted_commit(tx);
	}
	unmap_part(0, whole.ext);
	for (uint32_t i = 0; i < pieces;) {
		struct tx *tx = begin(0);

		for (unsigned j = 0; j < 16 && i < pieces; j++, i++) {
			struct extent piece = part_of(&whole.ext, 2ull * i, 1);

			refcount_decrease_deferred(tx, vol.space, &piece);
		}
		mounted_commit(tx);
	}
	assert_int_equal(free_blocks(), before);
	mounted_check_and_remove();
}

/* Blocks staged for a copy on write, left behind by a crash, are found and freed at the next mount. */
static void leftover_staging_blocks_are_freed(void **state)
{
	uint64_t before;

	create(512 * MIB, "-d agcount=2 -m reflink=1,rmapbt=1");
	before = free_blocks();
	for (unsigned i = 0; i < 60; i++) {
		struct alloc_request req = {
			.how = ALLOC_NEAR, .target = fsblk_make(&vol.geo, i % 2, 100), .min_count = 1,
			.max_count = 1 + random_below(50), .owner = done_by_caller, .is_user_data = true,
		};
		struct tx *tx = begin(req.max_count + 16);

		assert_int_equal(space_alloc(tx, vol.space, &req), 0);
		refcount_alloc_cow_deferred(tx, vol.space, req.start, req.count);
		mounted_commit(tx);
		if (i % 3 == 0) {
			tx = begin(0);
			refcount_free_cow_deferred(tx, vol.space, req.start, req.count);
			space_free_deferred(tx, vol.space, req.start, req.count, &done_by_caller, AG_RESV_NONE,
					    false);
			mounted_commit(tx);
		}
	}
	mounted_close();
	mounted_open();
	for (agno_t agno = 0; agno < vol.geo.ag_count; agno++)
		assert_int_equal(refcount_free_leftover_cow(vol.space, agno), 0);
	assert_int_equal(free_blocks(), before);
	mounted_check_and_remove();
}

/* Allocates, maps and shares; the first error. */
static int try_map_and_share(void)
{
	struct alloc_request req = {
		.how = ALLOC_NEAR_THIS_AG, .target = fsblk_make(&vol.geo, 0, 100), .min_count = 1, .max_count = 20,
		.owner = done_by_caller, .is_user_data = true,
	};
	struct extent ext = { .off = 7, .state = EXTENT_WRITTEN };
	struct tx *tx = begin(40);
	int err;

	err = space_alloc(tx, vol.space, &req);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	ext.start = req.start;
	ext.count = req.count;
	rmap_map_deferred(tx, vol.space, vol.geo.root, false, true, &ext);
	refcount_increase_deferred(tx, vol.space, &ext);
	return tx_commit(tx);
}

/* Records that cannot be and roots that lead nowhere: an error, and the volume stops.  The checksums are right. */
static void lying_trees_are_refused(void **state)
{
#define RMAPBT "-c 'agf 0' -c 'addr rmaproot' -c 'write -d "
#define REFCNTBT "-c 'agf 0' -c 'addr refcntroot' -c 'write -d "
	static const char *const lies[] = {
		RMAPBT "level 1'",
		RMAPBT "recs[7].blockcount 0'",
		RMAPBT "recs[7].blockcount 0xfffffff'",
		RMAPBT "recs[7].owner 0'",
		RMAPBT "recs[7].owner 0xfffffffffffffff0'",
		RMAPBT "recs[7].offset 5'",
		REFCNTBT "numrecs 1'",
		REFCNTBT "numrecs 300'",
		REFCNTBT "numrecs 1' " REFCNTBT "recs[1].startblock 50' " REFCNTBT "recs[1].blockcount 0xfffffff' "
			 REFCNTBT "recs[1].refcount 2'",
		REFCNTBT "numrecs 1' " REFCNTBT "recs[1].startblock 50' " REFCNTBT "recs[1].blockcount 10' "
			 REFCNTBT "recs[1].refcount 1'",
		REFCNTBT "level 1'",
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		int err;

		vol.path = image_create(320 * MIB, "-d agcount=2 -m rmapbt=1,reflink=1");
		if (image_shell("xfs_db -x %s %s >/dev/null", lies[i], vol.path) != 0)
			fail_msg("%s: refused by xfs_db", lies[i]);
		mounted_open();
		err = try_map_and_share();
		if (err != -EFSCORRUPTED && err != -EFSBADCRC)
			fail_msg("%s: gives %d", lies[i], err);
		mounted_abandon();
		image_remove(vol.path);
		vol.path = NULL;
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(extents_come_and_go),
		TEST(extents_come_and_go_with_rmapbt),
		TEST(extents_come_and_go_in_small_blocks),
		TEST(extents_come_and_go_among_those_of_linux),
		TEST(the_kernel_recovers_what_was_logged),
		TEST(a_long_decrease_goes_on_in_several_transactions),
		TEST(leftover_staging_blocks_are_freed),
		TEST(lying_trees_are_refused),
	};

	return cmocka_run_group_tests_name("refcount_defer", tests, NULL, NULL);
}
