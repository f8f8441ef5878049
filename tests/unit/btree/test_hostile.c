/* SPDX-License-Identifier: GPL-2.0 */
/* The B+tree on blocks that lie: it may answer anything, but never crashes, waits for itself or goes on forever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "toy.c"

#include <userxfs/base/bits.h>
#include <userxfs/base/message.h>

#define KEYS 400u
#define READS_PER_OPERATION 20000u

static struct toy toy;
static uint32_t lines;

static void count_line(void *context, enum message_level level, const char *line)
{
	lines++;
}

static void fill(enum toy_kind kind, uint64_t seed)
{
	struct btree_cursor cur;

	toy_random_seed(seed);
	toy_create(&toy, kind, 5, 4, 3);
	for (uint32_t i = 0; i < KEYS; i++) {
		uint32_t start = i * 7919 % KEYS * 10;
		union btree_key key = toy_key(&toy, start);
		union btree_rec rec = toy_rec(&toy, start, kind == TOY_OVERLAPPING ? start % 97 + 1 : 3, i);
		bool found;

		toy_cursor(&toy, &cur, true);
		assert_int_equal(btree_lookup(&cur, BTREE_EQ, &key, &found), 0);
		assert_int_equal(btree_insert(&cur, &rec), 0);
		btree_cursor_deinit(&cur);
		toy_commit(&toy);
	}
}

static uint8_t *random_block(uint32_t *number)
{
	uint8_t *data;

	do
		*number = (uint32_t)toy_random() % TOY_BLOCKS;
	while (!(data = toy_block(*number)));
	return data;
}

/* Damage that a verifier of single blocks would let pass, and some that it would not. */
static void damage(void)
{
	uint32_t number, other;
	uint8_t *data = random_block(&number), *from = random_block(&other);
	struct xfs_btree_block *block = (void *)data;
	bool has_long = toy.ops->has_long_pointers;

	switch (toy_random() % 7) {
	case 0:				/* any byte */
		data[toy_random() % 200] = (uint8_t)toy_random();
		break;
	case 1:				/* a wrong count */
		block->bb_numrecs = cpu_to_be16((uint16_t)(toy_random() % 7));
		break;
	case 2:				/* a sibling that is some other block of the tree */
		if (has_long)
			block->bb_u.l.bb_rightsib = cpu_to_be64(other);
		else
			block->bb_u.s.bb_rightsib = cpu_to_be32(other);
		break;
	case 3:
		if (has_long)
			block->bb_u.l.bb_leftsib = cpu_to_be64(other);
		else
			block->bb_u.s.bb_leftsib = cpu_to_be32(other);
		break;
	case 4: {			/* a child that is some other block of the tree */
		union btree_ptr p = { 0 };

		if (has_long)
			p.l = cpu_to_be64(other);
		else
			p.s = cpu_to_be32(other);
		memcpy(btree_ptr_at(toy.ops, block, 1 + (uint32_t)(toy_random() % 4), 4), &p, has_long ? 8 : 4);
		break;
	}
	case 5:				/* two children are one */
		memcpy(btree_ptr_at(toy.ops, block, 2, 4), btree_ptr_at(toy.ops, block, 1, 4), has_long ? 8 : 4);
		break;
	default:			/* a whole block is another's copy, but for its own address */
		memcpy(data, from, TOY_BLOCK_BYTES);
		break;
	}
}

static int visit_record(struct btree_cursor *cur, const union btree_rec *rec, void *context)
{
	return 0;
}

static int visit_block(struct btree_cursor *cur, uint32_t level, struct buffer *buf, void *context)
{
	return 0;
}

static void begin(struct btree_cursor *cur, bool with_tx)
{
	toy.read_limit = toy.reads + READS_PER_OPERATION;
	toy_cursor(&toy, cur, with_tx);
}

static void check_result(int err)
{
	assert_true(err == 0 || (err == -EFSCORRUPTED && lines > 0));
}

static void end(struct btree_cursor *cur, int err)
{
	check_result(err);
	btree_cursor_deinit(cur);
	assert_int_equal(toy_held(), 0);
	toy_commit(&toy);
}

static void query_everything(bool with_tx)
{
	union btree_key low = toy_key(&toy, 100), high = toy_key(&toy, 900);
	struct btree_cursor cur;
	uint64_t blocks;
	bool found;
	int err;

	begin(&cur, with_tx);
	end(&cur, btree_verify(&cur));
	begin(&cur, with_tx);
	end(&cur, btree_query_all(&cur, visit_record, NULL));
	begin(&cur, with_tx);
	end(&cur, btree_query_range(&cur, &low, &high, visit_record, NULL));
	begin(&cur, with_tx);
	end(&cur, btree_visit_blocks(&cur, visit_block, NULL));
	begin(&cur, with_tx);
	end(&cur, btree_count_blocks(&cur, &blocks));
	for (uint32_t i = 0; i < 20; i++) {
		union btree_key key = toy_key(&toy, (uint32_t)toy_random() % (KEYS * 10));

		begin(&cur, with_tx);
		err = btree_lookup(&cur, (enum btree_direction)(i % 3), &key, &found);
		for (uint32_t steps = 0; !err && found && steps < KEYS; steps++)
			err = i % 2 ? btree_increment(&cur, 0, &found) : btree_decrement(&cur, 0, &found);
		end(&cur, err);
	}
}

static void change_something(void)
{
	uint32_t start = (uint32_t)toy_random() % (KEYS * 10);
	union btree_key key = toy_key(&toy, start);
	union btree_rec rec = toy_rec(&toy, start, 1, 5);
	struct btree_cursor cur;
	bool found;
	int err;

	begin(&cur, true);
	err = btree_lookup(&cur, toy_random() % 2 ? BTREE_EQ : BTREE_GE, &key, &found);
	if (!err)
		err = found ? btree_delete(&cur) : btree_insert(&cur, &rec);
	end(&cur, err);
}

static void try_damaged(enum toy_kind kind)
{
	message_set_sink(count_line, NULL);
	for (uint64_t seed = 1; seed <= 150; seed++) {
		fill(kind, seed);
		for (uint64_t i = 0; i <= seed % 4; i++)
			damage();
		lines = 0;
		query_everything(false);
		query_everything(true);
		for (uint32_t i = 0; i < 100; i++)
			change_something();
		toy_destroy(&toy);
	}
	message_set_sink(NULL, NULL);
}

/* Short pointers. */
static void damaged_short_trees_are_survived(void **state)
{
	try_damaged(TOY_SHORT);
}

/* Intervals: queries go down into many children. */
static void damaged_overlapping_trees_are_survived(void **state)
{
	try_damaged(TOY_OVERLAPPING);
}

/* Roots in inodes. */
static void damaged_inode_trees_are_survived(void **state)
{
	try_damaged(TOY_INODE);
}

/*
 * A node says of a leaf that it begins at its last record: who looks for one before that comes from the leaf to the
 * left of it and finds the first, which lies before what was looked for.  Whoever goes on from there would never end.
 */
static void lookup_does_not_go_backwards(void **state)
{
	struct btree_cursor cur;
	struct xfs_btree_block *leaf;
	uint32_t count, start, length, value;
	union btree_key key;
	union btree_rec rec;
	bool found;

	fill(TOY_SHORT, 1);
	message_set_sink(count_line, NULL);
	begin(&cur, false);
	key = toy_key(&toy, 1000);
	assert_int_equal(btree_lookup(&cur, BTREE_GE, &key, &found), 0);
	while (cur.path[1].index == 1 || btree_entry_count(&cur, 0) < 2)
		assert_int_equal(btree_increment(&cur, 0, &found), 0);
	leaf = cur.path[0].buf->data;
	count = btree_entry_count(&cur, 0);
	memcpy(&rec, btree_rec_at(toy.ops, leaf, count), toy.ops->rec_bytes);
	toy.ops->key_of_rec(&rec, &key);
	memcpy(btree_key_at(toy.ops, cur.path[1].buf->data, cur.path[1].index), &key, toy.ops->key_bytes);
	end(&cur, 0);

	toy_rec_get(&toy, &rec, &start, &length, &value);
	key = toy_key(&toy, start - 1);
	lines = 0;
	begin(&cur, false);
	assert_int_equal(btree_lookup(&cur, BTREE_GE, &key, &found), -EFSCORRUPTED);
	end(&cur, -EFSCORRUPTED);
	message_set_sink(NULL, NULL);
	toy_destroy(&toy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lookup_does_not_go_backwards),
		cmocka_unit_test(damaged_short_trees_are_survived),
		cmocka_unit_test(damaged_overlapping_trees_are_survived),
		cmocka_unit_test(damaged_inode_trees_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
