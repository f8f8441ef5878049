// SPDX-License-Identifier: GPL-2.0
/*
 * CRC32C.  Two ways to the same number: the CPU's own instruction (SSE4.2), eight bytes a step, and "slicing by 8",
 * eight table look-ups for eight bytes, for every other CPU.
 *
 * Polynomial 0x1EDC6F41, bits reflected: 0x82F63B78.
 */
#include <userxfs/format/crc32c.h>

#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/format/ondisk.h>

#include "crc32c_paths.h"

#define POLYNOMIAL_REFLECTED 0x82F63B78u
#define SLICES 8

/* [s][b]: the CRC of byte b followed by s zero bytes.  Written once, before main(). */
static uint32_t slice_table[SLICES][256];

static __attribute__((constructor)) void slice_table_init(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t crc = b;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL_REFLECTED : 0);
		slice_table[0][b] = crc;
	}
	for (int s = 1; s < SLICES; s++)
		for (uint32_t b = 0; b < 256; b++) {
			uint32_t crc = slice_table[s - 1][b];

			slice_table[s][b] = crc >> 8 ^ slice_table[0][crc & 0xff];
		}
}

uint32_t crc32c_slicing(uint32_t seed, const void *data, size_t count_bytes)
{
	const uint8_t *p = data;
	uint32_t crc = seed;

	for (; count_bytes >= 8; count_bytes -= 8, p += 8) {
		crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
		crc = slice_table[7][crc & 0xff] ^ slice_table[6][crc >> 8 & 0xff] ^
		      slice_table[5][crc >> 16 & 0xff] ^ slice_table[4][crc >> 24] ^
		      slice_table[3][p[4]] ^ slice_table[2][p[5]] ^ slice_table[1][p[6]] ^ slice_table[0][p[7]];
	}
	for (; count_bytes; count_bytes--, p++)
		crc = crc >> 8 ^ slice_table[0][(crc ^ *p) & 0xff];
	return crc;
}

#if defined(__x86_64__)

bool crc32c_has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) uint32_t crc32c_instruction(uint32_t seed, const void *data, size_t count_bytes)
{
	const uint8_t *p = data;
	uint64_t crc = seed;

	for (; count_bytes >= 8; count_bytes -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		crc = __builtin_ia32_crc32di(crc, word);
	}
	for (; count_bytes; count_bytes--, p++)
		crc = __builtin_ia32_crc32qi((uint32_t)crc, *p);
	return (uint32_t)crc;
}

#else

bool crc32c_has_instruction(void)
{
	return false;
}

uint32_t crc32c_instruction(uint32_t seed, const void *data, size_t count_bytes)
{
	return crc32c_slicing(seed, data, count_bytes);
}

#endif

uint32_t crc32c(uint32_t seed, const void *data, size_t count_bytes)
{
	if (crc32c_has_instruction())
		return crc32c_instruction(seed, data, count_bytes);
	return crc32c_slicing(seed, data, count_bytes);
}

uint32_t crc32c_block(const void *data, size_t count_bytes, size_t crc_off)
{
	static const uint32_t zero;
	size_t rest = crc_off + sizeof(zero);
	uint32_t crc;

	ensure(rest <= count_bytes);
	crc = crc32c(UINT32_MAX, data, crc_off);
	crc = crc32c(crc, &zero, sizeof(zero));
	return ~crc32c(crc, data + rest, count_bytes - rest);
}

bool crc32c_block_is_valid(const void *data, size_t count_bytes, size_t crc_off)
{
	__le32 stored;

	ensure(crc_off + sizeof(stored) <= count_bytes);
	memcpy(&stored, data + crc_off, sizeof(stored));
	return le32_to_cpu(stored) == crc32c_block(data, count_bytes, crc_off);
}

void crc32c_block_set(void *data, size_t count_bytes, size_t crc_off)
{
	__le32 crc = cpu_to_le32(crc32c_block(data, count_bytes, crc_off));

	memcpy(data + crc_off, &crc, sizeof(crc));
}
