// SPDX-License-Identifier: GPL-2.0
/* One leaf as plain bytes: random insertions and removals never overlap, lose or forget anything they should not. */
#include "xattr_test.h"

#include "xattr/internal.h"

#define BLOCK_BYTES 4096u
#define KEYS 40u

static uint64_t random_state = 1;

static uint32_t next_random(uint32_t below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random_state >> 33) % below;
}

static const struct geometry geo = { .attr = { .block_bytes = BLOCK_BYTES } };
static uint8_t block[BLOCK_BYTES], scratch[BLOCK_BYTES], names[KEYS][256], values[KEYS][1024];

static struct leaf_key key_of(unsigned i)
{
	bool is_local = i % 3;

	return (struct leaf_key){
		.hash = da_hash(names[i], 1 + i * 5),
		.flags = is_local ? XFS_ATTR_LOCAL : 0,
		.name = names[i],
		.name_length = 1 + i * 5,
		.value = is_local ? values[i] : NULL,
		.value_length = is_local ? i * 11 : i,
	};
}

static void claim(bool *used, uint32_t base, uint32_t bytes)
{
	assert_true(base + bytes <= BLOCK_BYTES);
	for (uint32_t i = base; i < base + bytes; i++) {
		assert_false(used[i]);
		used[i] = true;
	}
}

/* Entries, names and the remembered free runs are all apart; the header's sums are right. */
static void assert_leaf_is_sound(const bool *is_there)
{
	struct xfs_attr3_leaf_hdr *hdr = (void *)block;
	uint32_t used_bytes = 0, first = BLOCK_BYTES, last_hash = 0, expected = 0;
	bool used[BLOCK_BYTES] = { false };
	unsigned count = be16_to_cpu(hdr->count);

	claim(used, 0, ATTR_LEAF_HEADER_BYTES + count * ATTR_ENTRY_BYTES);
	for (unsigned i = 0; i < count; i++) {
		uint32_t place = be16_to_cpu(attr_entry(block, i)->nameidx);
		uint32_t bytes = attr_entry_name_bytes(block, i);

		claim(used, place, bytes);
		used_bytes += bytes;
		first = place < first ? place : first;
		assert_true(be32_to_cpu(attr_entry(block, i)->hashval) >= last_hash);
		last_hash = be32_to_cpu(attr_entry(block, i)->hashval);
	}
	assert_int_equal(be16_to_cpu(hdr->usedbytes), used_bytes);
	assert_int_equal(be16_to_cpu(hdr->firstused), first);
	for (unsigned i = 0; i < XFS_ATTR_LEAF_MAPSIZE; i++)
		claim(used, be16_to_cpu(hdr->freemap[i].base), be16_to_cpu(hdr->freemap[i].size));
	if (!hdr->holes)
		for (unsigned i = 0; i < BLOCK_BYTES; i++)
			assert_true(used[i] || i < first);
	for (unsigned i = 0; i < KEYS; i++)
		expected += is_there[i];
	assert_int_equal(count, expected);
}

/* Index of key @i. */
static unsigned find(unsigned i, bool *found)
{
	struct leaf_key key = key_of(i);
	struct attr_op op = { .hash = key.hash, .name = key.name, .name_length = key.name_length };
	unsigned index;

	*found = attr_leaf_find(&op, block, &index);
	return index;
}

static void insertions_and_removals_never_overlap(void **state)
{
	bool is_there[KEYS] = { false }, found, compact;

	for (unsigned i = 0; i < KEYS; i++) {
		memset(names[i], 'a' + (int)(i % 26), sizeof(names[i]));
		names[i][0] = (uint8_t)i + 1;
		memset(values[i], (int)i, sizeof(values[i]));
	}
	attr_leaf_clear(&geo, block);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned i = next_random(KEYS), index = find(i, &found);
		struct leaf_key key = key_of(i), got;

		assert_true(found == is_there[i]);
		if (found) {
			attr_leaf_get(block, index, &got);
			assert_int_equal(got.value_length, key.value_length);
			if (key.value)
				assert_memory_equal(got.value, key.value, key.value_length);
			attr_leaf_delete(&geo, block, index);
			is_there[i] = false;
		} else if (attr_leaf_insert(&geo, block, index, &key, &compact)) {
			is_there[i] = true;
		} else if (compact) {
			attr_leaf_compact(&geo, block, scratch);
			assert_true(attr_leaf_insert(&geo, block, index, &key, &compact));
			is_there[i] = true;
		}
		assert_leaf_is_sound(is_there);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(insertions_and_removals_never_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
