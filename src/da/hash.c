// SPDX-License-Identifier: GPL-2.0
/*
 * XFS's name hash: each byte is xored in after a rotation by 7 bits.  (XFS: xfs_da_hashname.)
 */
#include <userxfs/da.h>

static uint32_t rotate_left(uint32_t v, unsigned bits)
{
	return v << bits | v >> (32 - bits);
}

uint32_t da_hash(const uint8_t *name, unsigned length)
{
	uint32_t hash = 0;

	for (unsigned i = 0; i < length; i++)
		hash = name[i] ^ rotate_left(hash, 7);
	return hash;
}
