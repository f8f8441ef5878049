/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Mixing integers into hash values.  Not for untrusted collisions resistance; for spreading keys. */
#include <stdint.h>

static inline uint64_t hash_u64(uint64_t v)
{
	v ^= v >> 33;
	v *= 0xff51afd7ed558ccdull;
	v ^= v >> 33;
	v *= 0xc4ceb9fe1a85ec53ull;
	v ^= v >> 33;
	return v;
}

static inline uint64_t hash_u64_pair(uint64_t a, uint64_t b)
{
	return hash_u64(a + 0x9e3779b97f4a7c15ull * (b + 1));
}
