/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* CRC32C (Castagnoli), as XFS v5 uses it: seed ~0, result complemented, stored little-endian. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The raw running value; hardware instruction where the CPU has it, slicing tables otherwise. */
uint32_t crc32c(uint32_t seed, const void *data, size_t count_bytes);

/* The checksum of @data with the four bytes at @crc_off counted as zero, as it is stored (already complemented). */
uint32_t crc32c_block(const void *data, size_t count_bytes, size_t crc_off);
/* Whether the little-endian value at @crc_off is right. */
bool crc32c_block_is_valid(const void *data, size_t count_bytes, size_t crc_off);
void crc32c_block_set(void *data, size_t count_bytes, size_t crc_off);
