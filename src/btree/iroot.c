/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Roots of B+trees that live in inodes.  (XFS: xfs_bmdr_to_bmbt, xfs_bmbt_to_bmdr.)
 *
 *	on disk:	level, count (2 bytes each) | key 1 .. key max | pointer 1 .. pointer max
 *	in memory:	a long-pointer block header | key 1 .. key capacity | pointer 1 .. pointer capacity
 *
 * max is as many as fit in the fork.
 */
#include "btree_private.h"

#include <userxfs/base/memory.h>

uint32_t btree_iroot_capacity(size_t fork_bytes)
{
	if (fork_bytes < sizeof(struct xfs_bmdr_block))
		return 0;
	return (uint32_t)((fork_bytes - sizeof(struct xfs_bmdr_block)) / (2 * sizeof(__be64)));
}

__be64 *btree_iroot_key(struct btree_iroot *root, uint32_t index)
{
	return (__be64 *)(void *)((char *)&root->block + XFS_BTREE_LBLOCK_CRC_LEN) + (index - 1);
}

__be64 *btree_iroot_ptr(struct btree_iroot *root, uint32_t index)
{
	return btree_iroot_key(root, 1) + root->capacity + (index - 1);
}

struct btree_iroot *btree_iroot_create(uint32_t capacity, uint32_t max_keys)
{
	struct btree_iroot *root;

	ensure(max_keys <= capacity && capacity <= UINT16_MAX);
	root = mem_alloc_zeroed_sure(sizeof(*root) + (size_t)capacity * 2 * sizeof(__be64));
	root->capacity = (uint16_t)capacity;
	root->max_keys = (uint16_t)max_keys;
	root->block.bb_level = cpu_to_be16(1);
	root->block.bb_u.l.bb_leftsib = cpu_to_be64(NULLFSBLOCK);
	root->block.bb_u.l.bb_rightsib = cpu_to_be64(NULLFSBLOCK);
	return root;
}

void btree_iroot_destroy(struct btree_iroot *root)
{
	mem_free(root);
}

const char *btree_iroot_decode(const struct xfs_bmdr_block *disk, size_t fork_bytes, struct btree_iroot *root)
{
	uint32_t max = btree_iroot_capacity(fork_bytes), count, level;
	const char *keys = (const char *)disk + sizeof(*disk);

	if (max == 0)
		return "a fork too small for a B+tree root";
	count = be16_to_cpu(disk->bb_numrecs);
	level = be16_to_cpu(disk->bb_level);
	if (level < 1 || level >= BTREE_MAX_LEVELS)
		return "a B+tree root of an impossible level";
	if (count < 1 || count > max || max > root->capacity)
		return "a B+tree root with an impossible count";
	root->max_keys = (uint16_t)max;
	root->block.bb_level = disk->bb_level;
	root->block.bb_numrecs = disk->bb_numrecs;
	memcpy(btree_iroot_key(root, 1), keys, count * sizeof(__be64));
	memcpy(btree_iroot_ptr(root, 1), keys + max * sizeof(__be64), count * sizeof(__be64));
	return NULL;
}

void btree_iroot_encode(const struct btree_iroot *root, struct xfs_bmdr_block *disk, size_t fork_bytes)
{
	/* The accessors hand out writable slots; here they are only read. */
	struct btree_iroot *r = (struct btree_iroot *)root;
	uint32_t max = btree_iroot_capacity(fork_bytes), count = be16_to_cpu(root->block.bb_numrecs);
	char *keys = (char *)disk + sizeof(*disk);

	ensure(count <= max);
	memset(disk, 0, fork_bytes);
	disk->bb_level = root->block.bb_level;
	disk->bb_numrecs = root->block.bb_numrecs;
	memcpy(keys, btree_iroot_key(r, 1), count * sizeof(__be64));
	memcpy(keys + max * sizeof(__be64), btree_iroot_ptr(r, 1), count * sizeof(__be64));
}
