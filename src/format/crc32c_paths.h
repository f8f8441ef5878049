/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* The two ways crc32c() chooses from, so that a test can compare them. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c_slicing(uint32_t seed, const void *data, size_t count_bytes);
bool crc32c_has_instruction(void);
/* Only where crc32c_has_instruction(). */
uint32_t crc32c_instruction(uint32_t seed, const void *data, size_t count_bytes);
