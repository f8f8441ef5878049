// SPDX-License-Identifier: GPL-2.0
/* Directories against a list of names: through all forms, growing and shrinking, in several geometries. */
#include "dir_test.h"

#include <userxfs/da.h>

#define MIB (1ull << 20)

struct geometry_case {
	const char *mkfs_args;
	unsigned names;			/* enough for the node form */
};

static const struct geometry_case cases[] = {
	{ "", 3000 },
	{ "-n size=16k", 6000 },
	{ "-n size=65536", 14000 },
	{ "-b size=1024", 3000 },
	{ "-b size=1024 -n size=8k", 3000 },
	{ "-i size=1024", 3000 },
	{ "-i size=2048 -m rmapbt=1", 3000 },
};

static uint64_t random_state;

static uint32_t next_random(uint32_t below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random_state >> 33) % below;
}

/* Every number has a name of its own; some are long. */
static const char *numbered_name(unsigned i)
{
	static char name[256];
	int length = snprintf(name, sizeof(name), "%u-", i);
	unsigned pad = i % 17 == 0 ? 200 : i % 7;

	memset(name + length, 'a' + (int)(i % 26), pad);
	name[length + (int)pad] = '\0';
	return name;
}

/* The model: which numbers are there. */
struct model {
	unsigned count, present;
	bool *is_there;
};

static void toggle(struct dir_test *t, struct model *m, unsigned i)
{
	if (m->is_there[i]) {
		remove_name(t, numbered_name(i));
		m->present--;
	} else {
		add_name(t, numbered_name(i));
		m->present++;
	}
	m->is_there[i] = !m->is_there[i];
}

struct seen {
	struct model *model;
	bool *is_seen;
	unsigned count;
	uint64_t last_cookie;
	unsigned left;			/* to accept before stopping */
};

static bool see(void *context, struct name name, struct inum ino, uint8_t ftype, uint64_t next_cookie)
{
	struct seen *seen = context;
	char text[256];
	unsigned i;

	if (!seen->left--)
		return false;
	assert_true(next_cookie > seen->last_cookie);
	seen->last_cookie = next_cookie;
	memcpy(text, name.bytes, name.length);
	text[name.length] = '\0';
	if (!strcmp(text, ".") || !strcmp(text, ".."))
		return true;
	i = (unsigned)strtoul(text, NULL, 10);
	assert_true(i < seen->model->count);
	assert_string_equal(text, numbered_name(i));
	assert_false(seen->is_seen[i]);
	seen->is_seen[i] = true;
	seen->count++;
	return true;
}

/* Lists in pieces of @piece names and compares with the model. */
static void assert_listing_is_the_model(struct dir_test *t, struct model *m, unsigned piece)
{
	struct seen seen = { .model = m, .is_seen = calloc(m->count, 1) };
	uint64_t before;

	do {
		before = seen.last_cookie;
		seen.left = piece;
		assert_int_equal(dir_list(t->dir, before, see, &seen), 0);
	} while (seen.last_cookie != before);
	assert_int_equal(seen.count, m->present);
	for (unsigned i = 0; i < m->count; i++)
		assert_true(seen.is_seen[i] == m->is_there[i]);
	free(seen.is_seen);
}

static void assert_lookups_are_the_model(struct dir_test *t, struct model *m)
{
	for (unsigned i = 0; i < m->count; i++)
		assert_true(has_name(t, numbered_name(i)) == m->is_there[i]);
}

static void check_all(struct dir_test *t, struct model *m)
{
	assert_dir_is_sound(t);
	assert_listing_is_the_model(t, m, 1 + next_random(500));
}

static void grow_and_shrink(const struct geometry_case *c)
{
	struct model m = { .count = c->names, .is_there = calloc(c->names, 1) };
	struct dir_test t;

	random_state = 1;
	dir_test_start(&t, 300 * MIB, c->mkfs_args);
	check_all(&t, &m);
	for (unsigned i = 0; i < m.count; i++) {
		toggle(&t, &m, i);
		if (i < 40 || i % 701 == 0)
			check_all(&t, &m);
	}
	assert_lookups_are_the_model(&t, &m);
	dir_test_unmount(&t);
	assert_int_equal(image_check(t.image), 0);
	dir_test_mount(&t);

	for (unsigned i = 0; i < m.count; i++) {
		toggle(&t, &m, next_random(m.count));
		if (i % 997 == 0)
			check_all(&t, &m);
	}
	assert_lookups_are_the_model(&t, &m);
	dir_test_unmount(&t);
	assert_int_equal(image_check(t.image), 0);
	dir_test_mount(&t);

	while (m.present) {
		unsigned i = next_random(m.count);

		while (!m.is_there[i])
			i = (i + 1) % m.count;
		toggle(&t, &m, i);
		if (m.present < 60 || m.present % 701 == 0)
			check_all(&t, &m);
	}
	assert_int_equal(t.dir->map.data.format, FORK_LOCAL);
	dir_test_end(&t);
	free(m.is_there);
}

static void names_stay_right_through_all_forms(void **state)
{
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("mkfs.xfs %s\n", cases[i].mkfs_args);
		grow_and_shrink(&cases[i]);
	}
}

/*
 * Names of one hash: a byte and the one five places behind it are rotated by 35 bits against each other, by 3, so
 * that what a bit of one does to the hash the bit three places higher of the other undoes.
 */
static const char *colliding_name(unsigned i)
{
	static char name[21];

	memset(name, '`', 20);
	for (unsigned pair = 0; pair < 10; pair++, i /= 4) {
		unsigned at = pair < 5 ? pair : pair + 5, digit = i % 4;

		name[at] ^= (char)digit;
		name[at + 5] ^= (char)(digit << 3);
	}
	return name;
}

/* More names of one hash than fit a leaf: found, added and removed all the same. */
static void names_of_one_hash_span_leaves(void **state)
{
	const unsigned count = 1600;
	struct dir_test t;

	dir_test_start(&t, 300 * MIB, "");
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(da_hash((const uint8_t *)colliding_name(i), 20),
				 da_hash((const uint8_t *)colliding_name(0), 20));
		add_name(&t, colliding_name(i));
		if (i % 7 == 0)
			add_name(&t, numbered_name(i));
	}
	assert_dir_is_sound(&t);
	for (unsigned i = 0; i < count; i++) {
		unsigned k = (i * 977) % count;

		assert_true(has_name(&t, colliding_name(k)));
		if (k % 3)
			remove_name(&t, colliding_name(k));
	}
	assert_dir_is_sound(&t);
	for (unsigned i = 0; i < count; i++)
		assert_true(has_name(&t, colliding_name(i)) == !(i % 3));
	assert_false(has_name(&t, colliding_name(count)));
	dir_test_unmount(&t);
	assert_int_equal(image_check(t.image), 0);
	dir_test_mount(&t);
	for (unsigned i = 0; i < count; i += 3)
		remove_name(&t, colliding_name(i));
	for (unsigned i = 0; i < count; i += 7)
		remove_name(&t, numbered_name(i));
	assert_int_equal(t.dir->map.data.format, FORK_LOCAL);
	dir_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_one_hash_span_leaves),
		cmocka_unit_test(names_stay_right_through_all_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
