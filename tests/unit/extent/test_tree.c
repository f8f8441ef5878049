// SPDX-License-Identifier: GPL-2.0
/* The in-core extent tree against a sorted array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "extent/tree.h"

#define MODEL_MAX 4000

struct model {
	struct irec recs[MODEL_MAX];
	unsigned count;
};

static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 33) % n;
}

static struct irec make(fileblk_t off, uint64_t count)
{
	struct irec rec = { .ext = { off, count, { off * 3 + 64 }, EXTENT_WRITTEN } };

	switch (off % 3) {
	case 1:
		rec.ext.state = EXTENT_UNWRITTEN;
		break;
	case 2:
		rec.ext.state = EXTENT_DELAYED;
		rec.ext.start = FSBLK_NONE;
		rec.indirect = (uint32_t)(off % 99999);
		break;
	}
	return rec;
}

static bool is_same(const struct irec *a, const struct irec *b)
{
	return a->ext.off == b->ext.off && a->ext.count == b->ext.count && a->ext.start.v == b->ext.start.v &&
	       a->ext.state == b->ext.state && a->indirect == b->indirect;
}

/* First record that ends behind @off. */
static unsigned model_find(const struct model *m, fileblk_t off)
{
	unsigned i = 0;

	while (i < m->count && extent_end(&m->recs[i].ext) <= off)
		i++;
	return i;
}

static void model_insert(struct model *m, unsigned at, const struct irec *rec)
{
	memmove(&m->recs[at + 1], &m->recs[at], (m->count - at) * sizeof(m->recs[0]));
	m->recs[at] = *rec;
	m->count++;
}

static void model_remove(struct model *m, unsigned at)
{
	m->count--;
	memmove(&m->recs[at], &m->recs[at + 1], (m->count - at) * sizeof(m->recs[0]));
}

static void compare_all(const struct extent_tree *tree, const struct model *m)
{
	struct tree_cursor cur;
	struct irec rec;
	unsigned i = 0;

	assert_null(tree_verify(tree));
	assert_int_equal(tree->count, m->count);
	for (bool more = tree_first(tree, &cur, &rec); more; more = tree_next(&cur, &rec))
		assert_true(i < m->count && is_same(&rec, &m->recs[i++]));
	assert_int_equal(i, m->count);
	for (bool more = tree_last(tree, &cur, &rec); more; more = tree_prev(&cur, &rec))
		assert_true(i > 0 && is_same(&rec, &m->recs[--i]));
	assert_int_equal(i, 0);
}

static void compare_lookup(const struct extent_tree *tree, const struct model *m, fileblk_t off)
{
	unsigned at = model_find(m, off);
	struct tree_cursor cur;
	struct irec rec;

	assert_int_equal(tree_lookup(tree, off, &cur, &rec), at < m->count);
	if (at < m->count)
		assert_true(is_same(&rec, &m->recs[at]));
	if (at < m->count && m->recs[at].ext.off < off)
		at++;
	assert_int_equal(tree_lookup_before(tree, off, &cur, &rec), at > 0);
	if (at > 0)
		assert_true(is_same(&rec, &m->recs[at - 1]));
}

/* One random insertion, removal or rewrite that keeps records apart. */
static void random_step(struct extent_tree *tree, struct model *m, uint64_t space, bool grow)
{
	fileblk_t off = random_below(space);
	unsigned at = model_find(m, off);
	bool is_hit = at < m->count && m->recs[at].ext.off <= off;
	struct irec rec;

	if (!is_hit && m->count < MODEL_MAX - 1 && (grow || random_below(3) == 0)) {
		uint64_t room = (at < m->count ? m->recs[at].ext.off : space) - off;

		rec = make(off, 1 + random_below(room < 20 ? room : 20));
		tree_insert(tree, &rec);
		model_insert(m, at, &rec);
	} else if (at < m->count && random_below(3) == 0) {
		rec = m->recs[at];
		rec.ext.count = 1 + random_below(rec.ext.count);
		tree_update(tree, &rec);
		m->recs[at] = rec;
	} else if (at < m->count && (!grow || random_below(4) == 0)) {
		tree_remove(tree, m->recs[at].ext.off);
		model_remove(m, at);
	}
}

/* Whatever happens to it, the tree holds what a sorted array holds, both ways round, and finds the same. */
static void tree_equals_a_sorted_array(void **state)
{
	static struct model m;
	struct extent_tree tree;

	for (unsigned seed = 0; seed < 6; seed++) {
		uint64_t space = 200ull << seed * 3;

		random_state = seed;
		tree_init(&tree);
		m.count = 0;
		for (unsigned step = 0; step < 6000; step++) {
			random_step(&tree, &m, space, step < 3000);
			compare_lookup(&tree, &m, random_below(space + 2));
			if (step % 97 == 0)
				compare_all(&tree, &m);
		}
		while (m.count) {
			unsigned at = (unsigned)random_below(m.count);

			tree_remove(&tree, m.recs[at].ext.off);
			model_remove(&m, at);
			assert_null(tree_verify(&tree));
		}
		assert_null(tree.root);
		tree_clear(&tree);
	}
}

/* Records at the edges of what 128 bits can say come back as they went in. */
static void extreme_records_survive_packing(void **state)
{
	struct irec recs[] = {
		{ .ext = { 0, 1, { 0 }, EXTENT_WRITTEN } },
		{ .ext = { 10, EXTENT_MAX_BLOCKS, { (1ull << 51) + 1 }, EXTENT_UNWRITTEN } },
		{ .ext = { 1ull << 30, EXTENT_MAX_BLOCKS, FSBLK_NONE, EXTENT_DELAYED }, .indirect = (1u << 20) - 1 },
		{ .ext = { 1ull << 31, 1, FSBLK_NONE, EXTENT_DELAYED }, .indirect = 0 },
		{ .ext = { (1ull << 54) - 1, 1, { 77 }, EXTENT_WRITTEN } },
	};
	struct extent_tree tree;
	struct tree_cursor cur;
	struct irec rec;

	tree_init(&tree);
	for (unsigned i = 0; i < 5; i++)
		tree_insert(&tree, &recs[i]);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(tree_lookup(&tree, recs[i].ext.off, &cur, &rec));
		assert_true(is_same(&rec, &recs[i]));
	}
	tree_clear(&tree);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A million extents written front to back: a dense tree, and lookups that do not feel the size. */
static void million_extents_stay_fast(void **state)
{
	const unsigned count = 1000000;
	struct extent_tree tree;
	struct tree_cursor cur;
	uint64_t begin, sum = 0;
	struct irec rec;

	tree_init(&tree);
	begin = now_ns();
	for (unsigned i = 0; i < count; i++) {
		rec = (struct irec){ .ext = { i * 2ull, 1, { i + 100ull }, EXTENT_WRITTEN } };
		tree_insert(&tree, &rec);
	}
	print_message("append: %lu ns each\n", (unsigned long)((now_ns() - begin) / count));
	assert_null(tree_verify(&tree));
	assert_true(tree.height <= 5);

	begin = now_ns();
	for (unsigned i = 0; i < count; i++) {
		assert_true(tree_lookup(&tree, random_below(count) * 2, &cur, &rec));
		sum += rec.ext.count;
	}
	print_message("lookup: %lu ns each\n", (unsigned long)((now_ns() - begin) / count));
	assert_int_equal(sum, count);

	begin = now_ns();
	sum = 0;
	for (bool more = tree_first(&tree, &cur, &rec); more; more = tree_next(&cur, &rec))
		sum += rec.ext.count;
	print_message("iterate: %lu ns each\n", (unsigned long)((now_ns() - begin) / count));
	assert_int_equal(sum, count);

	begin = now_ns();
	for (unsigned i = 0; i < count; i += 2)
		tree_remove(&tree, i * 2ull);
	print_message("remove: %lu ns each\n", (unsigned long)((now_ns() - begin) / (count / 2)));
	assert_int_equal(tree.count, count / 2);
	assert_null(tree_verify(&tree));
	tree_clear(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_equals_a_sorted_array),
		cmocka_unit_test(extreme_records_survive_packing),
		cmocka_unit_test(million_extents_stay_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
