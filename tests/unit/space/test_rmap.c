// SPDX-License-Identifier: GPL-2.0
/* The reverse map against files that are arrays of block numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "space/rmapbt.h"

#include "toy_ag.c"

#define FILES 5
#define FILE_BLOCKS 512
#define FIRST_INO 128

/* Files 0 to FILES - 1 map blocks; the last one maps blocks of an attribute fork. */
struct model {
	agblk_t block[FILES][FILE_BLOCKS];	/* 0: a hole */
	bool is_unwritten[FILES][FILE_BLOCKS];
	uint32_t owners[TOY_DATA_BLOCKS];
};

static struct model model;
static bool is_sharing;

static uint32_t fork_flag(unsigned file)
{
	return file == FILES - 1 ? RMAP_ATTR_FORK : 0;
}

static struct rmap_record file_record(unsigned file, fileblk_t off, uint32_t count)
{
	return (struct rmap_record){
		.agblk = model.block[file][off], .count = count, .owner = FIRST_INO + file, .off = off,
		.flags = fork_flag(file) | (model.is_unwritten[file][off] ? RMAP_UNWRITTEN : 0),
	};
}

static bool is_continued(unsigned file, fileblk_t off)
{
	return off + 1 < FILE_BLOCKS && model.block[file][off + 1] == model.block[file][off] + 1 &&
	       model.is_unwritten[file][off + 1] == model.is_unwritten[file][off];
}

static struct btree_cursor cursor(void)
{
	struct btree_cursor cur;

	rmapbt_cursor_init(&cur, toy_tx(), &toy.ag, &toy.agf);
	return cur;
}

static void cursor_end(struct btree_cursor *cur)
{
	btree_cursor_deinit(cur);
	toy_ag_commit();
}

static int compare(const void *a_ptr, const void *b_ptr)
{
	const struct rmap_record *a = a_ptr, *b = b_ptr;

	if (a->agblk != b->agblk)
		return a->agblk < b->agblk ? -1 : 1;
	if (a->owner != b->owner)
		return a->owner < b->owner ? -1 : 1;
	return a->off < b->off ? -1 : a->off > b->off;
}

static unsigned wanted_records(struct rmap_record *recs)
{
	unsigned count = 0;

	recs[count++] = (struct rmap_record){ .count = 4, .owner = XFS_RMAP_OWN_FS };
	for (unsigned file = 0; file < FILES; file++) {
		for (fileblk_t off = 0, first; off < FILE_BLOCKS; off++) {
			first = off;
			if (!model.block[file][off])
				continue;
			while (is_continued(file, off))
				off++;
			recs[count++] = file_record(file, first, (uint32_t)(off - first) + 1);
		}
	}
	qsort(recs, count, sizeof(*recs), compare);
	return count;
}

static void check_against_model(void)
{
	static struct rmap_record want[FILES * FILE_BLOCKS + 1];
	unsigned count = wanted_records(want);
	struct btree_cursor cur = cursor();
	struct rmap_record have, lowest = { 0 };
	bool found;

	assert_int_equal(btree_verify(&cur), 0);
	assert_int_equal(rmapbt_find_le(&cur, &lowest, &have, &found), 0);
	assert_false(found);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(btree_increment(&cur, 0, &found), 0);
		assert_true(found);
		assert_int_equal(rmapbt_get(&cur, &have, &found), 0);
		assert_int_equal(have.agblk, want[i].agblk);
		assert_int_equal(have.count, want[i].count);
		assert_int_equal(have.owner, want[i].owner);
		assert_int_equal(have.off, want[i].off);
		assert_int_equal(have.flags, want[i].flags);
	}
	assert_int_equal(btree_increment(&cur, 0, &found), 0);
	assert_false(found);
	cursor_end(&cur);
}

static int setup(void **state)
{
	struct rmap_record headers = { .count = 4, .owner = XFS_RMAP_OWN_FS };
	struct btree_cursor cur;

	toy_random_seed(1);
	toy_ag_create(6, 6);
	memset(&model, 0, sizeof(model));
	cur = cursor();
	assert_int_equal(rmapbt_insert(&cur, &headers), 0);
	cursor_end(&cur);
	return 0;
}

static int teardown(void **state)
{
	toy_ag_destroy();
	return 0;
}

static bool shares(unsigned file)
{
	return is_sharing && !fork_flag(file);
}

static void map(unsigned file, fileblk_t off, agblk_t agblk, uint32_t count, bool is_unwritten)
{
	struct btree_cursor cur = cursor();
	struct rmap_record rec;

	for (uint32_t i = 0; i < count; i++) {
		model.block[file][off + i] = agblk + i;
		model.is_unwritten[file][off + i] = is_unwritten;
		model.owners[agblk + i]++;
	}
	rec = file_record(file, off, count);
	assert_int_equal(rmap_map(&cur, &rec, shares(file)), 0);
	cursor_end(&cur);
}

static void unmap(unsigned file, fileblk_t off, uint32_t count)
{
	struct rmap_record rec = file_record(file, off, count);
	struct btree_cursor cur = cursor();

	assert_int_equal(rmap_unmap(&cur, &rec, shares(file)), 0);
	for (uint32_t i = 0; i < count; i++) {
		model.owners[model.block[file][off + i]]--;
		model.block[file][off + i] = 0;
	}
	cursor_end(&cur);
}

static void convert(unsigned file, fileblk_t off, uint32_t count)
{
	struct btree_cursor cur = cursor();
	struct rmap_record rec;

	for (uint32_t i = 0; i < count; i++)
		model.is_unwritten[file][off + i] ^= true;
	rec = file_record(file, off, count);
	assert_int_equal(rmap_convert(&cur, &rec, shares(file)), 0);
	cursor_end(&cur);
}

/* Converting the middle of an extent makes three records, converting the rest makes one again. */
static void conversion_splits_and_melts(void **state)
{
	is_sharing = false;
	map(0, 10, 100, 30, true);
	convert(0, 20, 5);
	check_against_model();
	convert(0, 10, 10);
	check_against_model();
	convert(0, 25, 15);
	check_against_model();
}

/* A random step of one file: a hole gets blocks, or a part of an extent is unmapped or converted. */
static void random_step(void)
{
	unsigned file = toy_random(FILES);
	fileblk_t off = toy_random(FILE_BLOCKS);
	uint32_t count = 1, want = 1 + toy_random(24);
	agblk_t agblk;

	if (model.block[file][off]) {
		while (count < want && is_continued(file, off + count - 1))
			count++;
		if (toy_random(2) || fork_flag(file))
			unmap(file, off, count);
		else
			convert(file, off, count);
		return;
	}
	/* Often the blocks that continue the extent before it, so that records melt. */
	agblk = off && model.block[file][off - 1] && toy_random(4) ? model.block[file][off - 1] + 1 :
								     TOY_FIRST_BLOCK + toy_random(1500);
	while (count < want && off + count < FILE_BLOCKS && !model.block[file][off + count])
		count++;
	if (agblk + count > TOY_DATA_BLOCKS)
		return;
	for (uint32_t i = 0; i < count; i++)
		if (!shares(file) && model.owners[agblk + i])
			return;
	/* Nobody maps blocks of an attribute fork besides it. */
	for (unsigned j = 0; j < FILE_BLOCKS; j++)
		if (model.block[FILES - 1][j] >= agblk && model.block[FILES - 1][j] < agblk + count)
			return;
	map(file, off, agblk, count, !fork_flag(file) && toy_random(2));
}

static void any_order_of_operations(bool sharing, unsigned steps)
{
	is_sharing = sharing;
	for (unsigned step = 0; step < steps; step++) {
		random_step();
		if (step % 100 == 0)
			check_against_model();
	}
	check_against_model();
	assert_true(toy.tree_blocks > 20);
	assert_int_equal(be32_to_cpu(toy.agf_data.agf_rmap_blocks) + 2, toy.tree_blocks);
	assert_int_equal(toy.accounted + 2, toy.tree_blocks);
}

/* Files of their own blocks: the records are the files' extents, whatever the order of operations. */
static void any_order_gives_the_extents_of_files(void **state)
{
	any_order_of_operations(false, 6000);
}

/* Files that share blocks: the same, although their records overlap. */
static void any_order_gives_the_extents_of_files_that_share(void **state)
{
	any_order_of_operations(true, 6000);
}

/* Unmapping everything leaves the record of the headers and a tree of one block. */
static void an_emptied_map_is_one_block(void **state)
{
	any_order_of_operations(true, 1500);
	for (unsigned file = 0; file < FILES; file++) {
		for (fileblk_t off = 0, first; off < FILE_BLOCKS; off++) {
			first = off;
			if (!model.block[file][off])
				continue;
			while (is_continued(file, off))
				off++;
			unmap(file, first, (uint32_t)(off - first) + 1);
		}
	}
	check_against_model();
	assert_int_equal(toy.tree_blocks, 2);
	assert_int_equal(toy.ag.rmap_level, 1);
}

/* Blocks of the volume's own trees have no offsets: what touches is one record. */
static void metadata_blocks_melt_without_offsets(void **state)
{
	struct rmap_owner owner = { .owner = XFS_RMAP_OWN_INODES, .off = 77 };
	struct rmap_record have, key = { .agblk = 40, .owner = XFS_RMAP_OWN_INODES };
	struct btree_cursor cur;
	bool found;

	assert_int_equal(rmap_add(toy_tx(), &toy.ag, &toy.agf, 40, 8, &owner), 0);
	assert_int_equal(rmap_add(toy_tx(), &toy.ag, &toy.agf, 56, 8, &owner), 0);
	assert_int_equal(rmap_add(toy_tx(), &toy.ag, &toy.agf, 48, 8, &owner), 0);
	cur = cursor();
	assert_int_equal(rmapbt_find_eq(&cur, &key, &have, &found), 0);
	assert_true(found);
	assert_int_equal(have.count, 24);
	assert_int_equal(have.off, 0);
	btree_cursor_deinit(&cur);
	assert_int_equal(rmap_remove(toy_tx(), &toy.ag, &toy.agf, 44, 4, &owner), 0);
	assert_int_equal(rmap_remove(toy_tx(), &toy.ag, &toy.agf, 40, 4, &owner), 0);
	assert_int_equal(rmap_remove(toy_tx(), &toy.ag, &toy.agf, 48, 16, &owner), 0);
	check_against_model();
}

/* Freeing on behalf of nobody in particular takes the blocks from whoever has them, or finds them gone. */
static void an_unknown_owner_frees_anything_once(void **state)
{
	struct rmap_owner owner = { .owner = XFS_RMAP_OWN_UNKNOWN };

	is_sharing = false;
	map(1, 30, 200, 10, false);
	assert_int_equal(rmap_remove(toy_tx(), &toy.ag, &toy.agf, 202, 3, &owner), 0);
	for (fileblk_t off = 32; off < 35; off++)
		model.block[1][off] = 0;
	check_against_model();
	assert_int_equal(rmap_remove(toy_tx(), &toy.ag, &toy.agf, 202, 3, &owner), 0);
	check_against_model();
	assert_int_equal(rmap_remove(toy_tx(), &toy.ag, &toy.agf, 201, 3, &owner), -EFSCORRUPTED);
}

static void refuse_unmap(unsigned file, struct rmap_record rec)
{
	struct btree_cursor cur = cursor();

	assert_int_equal(rmap_unmap(&cur, &rec, shares(file)), -EFSCORRUPTED);
	cursor_end(&cur);
}

/* A map that says something else than the file does is not changed. */
static void contradictions_are_refused(void **state)
{
	for (int sharing = 0; sharing < 2; sharing++) {
		struct rmap_record rec, wrong;
		struct btree_cursor cur;

		setup(NULL);
		is_sharing = sharing;
		map(1, 30, 200, 10, false);
		rec = wrong = file_record(1, 30, 10);
		wrong.count = 11;
		refuse_unmap(1, wrong);
		wrong = rec;
		wrong.off++;
		refuse_unmap(1, wrong);
		wrong = rec;
		wrong.owner++;
		refuse_unmap(1, wrong);
		wrong = rec;
		wrong.flags ^= RMAP_UNWRITTEN;
		refuse_unmap(1, wrong);
		cur = cursor();
		assert_int_equal(rmap_convert(&cur, &rec, sharing), -EFSCORRUPTED);
		assert_int_equal(rmap_map(&cur, &rec, sharing), -EFSCORRUPTED);
		if (!sharing) {
			rec.agblk -= 5;
			rec.owner++;
			assert_int_equal(rmap_map(&cur, &rec, false), -EFSCORRUPTED);
		}
		cursor_end(&cur);
		check_against_model();
	}
}

/* The reservations are those that Linux computes for a volume of 2 GiB. */
static void the_worst_size_is_that_of_linux(void **state)
{
	struct ag ag = { .agno = 1, .blocks = 131072 }, log_ag = { .agno = 2, .blocks = 131072 };
	struct geometry geo = {
		.agblk_log = 17, .log_blocks = 16384, .log_start = { 2ull << 17 | 24 }, .has_rmapbt = true,
		.rmapbt = { .min_leaf = 84, .min_node = 45 },
	};

	assert_int_equal(3 * rmapbt_max_blocks(&geo, &ag) + rmapbt_max_blocks(&geo, &log_ag), 6189);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(conversion_splits_and_melts, setup, teardown),
		cmocka_unit_test_setup_teardown(any_order_gives_the_extents_of_files, setup, teardown),
		cmocka_unit_test_setup_teardown(any_order_gives_the_extents_of_files_that_share, setup, teardown),
		cmocka_unit_test_setup_teardown(an_emptied_map_is_one_block, setup, teardown),
		cmocka_unit_test_setup_teardown(metadata_blocks_melt_without_offsets, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unknown_owner_frees_anything_once, setup, teardown),
		cmocka_unit_test_setup_teardown(contradictions_are_refused, setup, teardown),
		cmocka_unit_test(the_worst_size_is_that_of_linux),
	};

	return cmocka_run_group_tests_name("rmap", tests, NULL, NULL);
}
