// SPDX-License-Identifier: GPL-2.0
/* CRC32C: published vectors, both paths alike, the checksum field counted as zero. */
#include "format_test.h"

#include "format/crc32c_paths.h"

static uint32_t complemented(const void *data, size_t bytes)
{
	return ~crc32c(UINT32_MAX, data, bytes);
}

/* The check value of the algorithm and the examples of RFC 3720, appendix B.4. */
static void published_vectors_match(void **state)
{
	uint8_t bytes[32];

	assert_int_equal(complemented("123456789", 9), 0xe3069283);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(complemented(bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(complemented(bytes, sizeof(bytes)), 0x62a8ab43);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(complemented(bytes, sizeof(bytes)), 0x46dd794e);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(31 - i);
	assert_int_equal(complemented(bytes, sizeof(bytes)), 0x113fdb5c);
}

/* Every length up to 300 at every alignment: the instruction and the tables say the same. */
static void both_paths_agree(void **state)
{
	uint8_t bytes[320];
	uint64_t seed = 1;

	if (!crc32c_has_instruction()) {
		print_message("needs a CPU with a CRC32C instruction\n");
		skip();
	}
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)next_random(&seed);
	for (unsigned off = 0; off < 8; off++)
		for (unsigned n = 0; n <= 300; n++)
			assert_int_equal(crc32c_instruction(n, bytes + off, n), crc32c_slicing(n, bytes + off, n));
}

/* A checksum computed in pieces is the checksum of the whole. */
static void pieces_continue_each_other(void **state)
{
	const char text[] = "delayed allocation";

	for (size_t cut = 0; cut < sizeof(text); cut++)
		assert_int_equal(crc32c(crc32c(UINT32_MAX, text, cut), text + cut, sizeof(text) - cut),
				 crc32c(UINT32_MAX, text, sizeof(text)));
}

/* What stands in the checksum field does not matter, everything else does. */
static void field_counts_as_zero(void **state)
{
	uint8_t block[64] = { 0 };

	crc32c_block_set(block, sizeof(block), 20);
	assert_true(crc32c_block_is_valid(block, sizeof(block), 20));
	assert_int_equal(crc32c_block(block, sizeof(block), 20), complemented((uint8_t[64]){ 0 }, 64));
	for (unsigned i = 0; i < sizeof(block); i++) {
		block[i] ^= 0x40;
		assert_false(crc32c_block_is_valid(block, sizeof(block), 20));
		block[i] ^= 0x40;
	}
	/* The field may be the first or the last thing in the block. */
	crc32c_block_set(block, sizeof(block), 0);
	assert_true(crc32c_block_is_valid(block, sizeof(block), 0));
	crc32c_block_set(block, sizeof(block), 60);
	assert_true(crc32c_block_is_valid(block, sizeof(block), 60));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors_match),
		cmocka_unit_test(both_paths_agree),
		cmocka_unit_test(pieces_continue_each_other),
		cmocka_unit_test(field_counts_as_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
