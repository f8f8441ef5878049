// SPDX-License-Identifier: GPL-2.0
/* Attributes against a table of values: through all forms, growing and shrinking, in several geometries. */
#include "xattr_test.h"

#include "xattr/internal.h"

static const char *const cases[] = {
	"", "-b size=1024", "-i size=1024", "-i size=2048", "-m rmapbt=1 -i nrext64=1", "-b size=2048 -n size=16k",
};

#define NAMES 300u
#define VALUE_MAX 65536u

static uint64_t random_state;

static uint32_t next_random(uint32_t below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random_state >> 33) % below;
}

static const char *numbered_name(unsigned i)
{
	static const char *const prefixes[] = { "user.", "trusted.", "security." };
	static char name[300];
	int length = snprintf(name, sizeof(name), "%s%u-", prefixes[i % 3], i / 3);
	unsigned pad = i % 13 == 0 ? 180 : i % 9;

	memset(name + length, 'a' + (int)(i % 26), pad);
	name[length + (int)pad] = '\0';
	return name;
}

/* The model: a value is its length and a seed; length UINT32_MAX: the attribute is not there. */
struct model {
	uint32_t length[NAMES], seed[NAMES];
};

static void fill(uint8_t *value, uint32_t length, uint32_t seed)
{
	for (uint32_t i = 0; i < length; i++)
		value[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
}

static uint32_t random_length(unsigned largest)
{
	static const uint32_t limits[] = { 20, 300, 3000, VALUE_MAX + 1 };

	return next_random(limits[next_random(largest)]);
}

static uint8_t value[VALUE_MAX], wanted[VALUE_MAX];

static void set_one(struct inode *inode, struct model *m, unsigned i, uint32_t length)
{
	bool exists = m->length[i] != UINT32_MAX;

	m->length[i] = length;
	m->seed[i] = next_random(1000);
	fill(value, length, m->seed[i]);
	assert_int_equal(set_attr(inode, numbered_name(i), value, length, XATTR_CREATE), exists ? -EEXIST : 0);
	if (exists) {
		int flags = next_random(2) ? XATTR_REPLACE : 0;

		assert_int_equal(set_attr(inode, numbered_name(i), value, length, flags), 0);
	}
}

static void remove_one(struct inode *inode, struct model *m, unsigned i)
{
	bool exists = m->length[i] != UINT32_MAX;

	assert_int_equal(remove_attr(inode, numbered_name(i)), exists ? 0 : -ENODATA);
	m->length[i] = UINT32_MAX;
}

static void assert_values_are_the_model(struct inode *inode, const struct model *m)
{
	size_t length, list_length, expected = 0;
	char *list;

	for (unsigned i = 0; i < NAMES; i++) {
		int err = get_attr(inode, numbered_name(i), value, sizeof(value), &length);

		assert_int_equal(err, m->length[i] == UINT32_MAX ? -ENODATA : 0);
		if (err)
			continue;
		expected += strlen(numbered_name(i)) + 1;
		assert_int_equal(length, m->length[i]);
		fill(wanted, m->length[i], m->seed[i]);
		assert_memory_equal(value, wanted, length);
	}
	assert_int_equal(xattr_list(inode, true, NULL, 0, &list_length), 0);
	assert_int_equal(list_length, expected);
	list = malloc(list_length + 1);
	assert_int_equal(xattr_list(inode, true, list, list_length + 1, &list_length), 0);
	for (char *p = list; p < list + list_length; p += strlen(p) + 1)
		assert_int_equal(get_attr(inode, p, NULL, 0, &length), 0);
	free(list);
}

static void assert_map_is_sound(struct inode *inode)
{
	const char *reason;

	rwlock_read_lock(&inode->map_lock);
	reason = map_verify(&inode->map);
	rwlock_read_unlock(&inode->map_lock);
	if (reason)
		fail_msg("map: %s", reason);
}

static void check(struct inode *inode, const struct model *m)
{
	assert_map_is_sound(inode);
	assert_values_are_the_model(inode, m);
}

/* @largest: index of the largest kind of value. */
static void grow_and_shrink(struct xattr_test *t, const char *object, uint16_t mode, unsigned largest)
{
	struct inode *inode = make_object(t, object, mode);
	struct model m;

	memset(&m, 0xff, sizeof(m));
	for (unsigned i = 0; i < NAMES; i++) {
		set_one(inode, &m, i, random_length(largest));
		if (i < 20 || i % 50 == 0)
			check(inode, &m);
	}
	check(inode, &m);
	for (unsigned i = 0; i < 2 * NAMES; i++) {
		unsigned k = next_random(NAMES);

		if (next_random(3))
			set_one(inode, &m, k, random_length(largest));
		else
			remove_one(inode, &m, k);
		if (i % 100 == 0)
			check(inode, &m);
	}
	inode_put(inode);
	xattr_test_unmount(t);
	assert_int_equal(image_check(t->image), 0);
	xattr_test_mount(t);
	inode = get_object(t, object);
	check(inode, &m);
	for (unsigned i = 0; i < NAMES; i++) {
		remove_one(inode, &m, i);
		if (i > NAMES - 20 || i % 50 == 0)
			check(inode, &m);
	}
	assert_int_equal(inode->map.attr_space, 0);
	assert_false(inode->map.attr.is_present);
	inode_put(inode);
}

static void values_stay_right_through_all_forms(void **state)
{
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xattr_test t;

		print_message("mkfs.xfs %s\n", cases[i]);
		random_state = 1;
		xattr_test_start(&t, cases[i]);
		grow_and_shrink(&t, "small", S_IFREG | 0644, 1);
		grow_and_shrink(&t, "medium", S_IFDIR | 0755, 2);
		grow_and_shrink(&t, "leaves", S_IFREG | 0644, 3);
		grow_and_shrink(&t, "remote", S_IFREG | 0644, 4);
		xattr_test_end(&t);
	}
}

/* Enough attributes for a tree of three levels with the smallest blocks; removed in another order. */
static void a_deep_tree_grows_and_shrinks(void **state)
{
	const unsigned count = 6000;
	struct inode *inode;
	struct xattr_test t;
	char name[64];
	size_t length;

	xattr_test_start(&t, "-b size=1024");
	inode = make_object(&t, "file", S_IFREG | 0644);
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "user.%u", i);
		fill(value, i % 60, i);
		assert_int_equal(set_attr(inode, name, value, i % 60, XATTR_CREATE), 0);
	}
	assert_null(da_verify(inode, FORK_ATTR, &attr_leaf_ops, NULL, NULL));
	inode_put(inode);
	xattr_test_unmount(&t);
	assert_int_equal(image_check(t.image), 0);
	xattr_test_mount(&t);
	inode = get_object(&t, "file");
	for (unsigned i = 0; i < count; i++) {
		unsigned k = (i * 7919u) % count;

		snprintf(name, sizeof(name), "user.%u", k);
		fill(wanted, k % 60, k);
		assert_int_equal(get_attr(inode, name, value, sizeof(value), &length), 0);
		assert_int_equal(length, k % 60);
		assert_memory_equal(value, wanted, length);
		assert_int_equal(remove_attr(inode, name), 0);
		if (i % 500 == 0)
			assert_null(da_verify(inode, FORK_ATTR, &attr_leaf_ops, NULL, NULL));
	}
	assert_int_equal(inode->map.attr_space, 0);
	inode_put(inode);
	xattr_test_end(&t);
}

/* Inline such an attribute takes 4 bytes, in a leaf 12: the inode holds more than a block of this size. */
static void many_tiny_attributes_leave_the_inode(void **state)
{
	struct xattr_test t;
	struct inode *inode;
	size_t length;

	xattr_test_start(&t, "-b size=2048 -i size=1024");
	inode = make_object(&t, "file", S_IFREG | 0644);
	for (unsigned i = 1; i <= UINT8_MAX; i++) {
		uint8_t byte = (uint8_t)i;
		struct xattr_name name = { XATTR_USER, &byte, 1 };

		assert_int_equal(xattr_set(inode, &name, NULL, 0, 0), 0);
	}
	assert_int_equal(xattr_list(inode, false, NULL, 0, &length), 0);
	assert_int_equal(length, UINT8_MAX * (sizeof("user.") + 1));
	assert_null(da_verify(inode, FORK_ATTR, &attr_leaf_ops, NULL, NULL));
	for (unsigned i = 1; i <= UINT8_MAX; i++) {
		uint8_t byte = (uint8_t)i;
		struct xattr_name name = { XATTR_USER, &byte, 1 };

		assert_int_equal(xattr_get(inode, &name, NULL, 0, &length), 0);
		assert_int_equal(xattr_remove(inode, &name), 0);
	}
	assert_int_equal(inode->map.attr_space, 0);
	inode_put(inode);
	xattr_test_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_tiny_attributes_leave_the_inode),
		cmocka_unit_test(values_stay_right_through_all_forms),
		cmocka_unit_test(a_deep_tree_grows_and_shrinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
