/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the verifiers share. */
#include <string.h>

#include <userxfs/format/block.h>
#include <userxfs/format/geometry.h>

/* The one reason that is our own bug rather than the disk's: a buffer of another size than the type's. */
#define WRONG_BUFFER_BYTES "read with the wrong size"

static inline bool uuid_is_volume(const struct geometry *geo, const uint8_t *uuid)
{
	return !memcmp(uuid, geo->meta_uuid, sizeof(geo->meta_uuid));
}

/* The AG of @daddr; may be beyond the last one. */
static inline uint64_t daddr_to_agno(const struct geometry *geo, daddr_u64 daddr)
{
	return (daddr >> (geo->block_log - SECTOR_UNIT_LOG)) / geo->ag_blocks;
}

/*
 * The header of directory and attribute tree blocks: magic is the caller's; UUID, own address, owner.
 * NULL or the reason.
 */
const char *da_header_verify(const struct geometry *geo, const struct xfs_da3_blkinfo *info, daddr_u64 daddr);
/* The same for directory data and free blocks. */
const char *dir_header_verify(const struct geometry *geo, const struct xfs_dir3_blk_hdr *hdr, daddr_u64 daddr);
/* A name's file type byte, by the volume's features. */
static inline bool is_valid_ftype(uint8_t ftype)
{
	return ftype < XFS_DIR3_FT_MAX;
}

/* Bytes of a directory data entry with a name of @name_bytes, rounded up (XFS: xfs_dir2_data_entsize). */
static inline size_t dir_entry_bytes(const struct geometry *geo, uint8_t name_bytes)
{
	size_t bytes = offsetof(struct xfs_dir2_data_entry, name) + name_bytes + geo->has_ftype + sizeof(__be16);

	return (bytes + XFS_DIR2_DATA_ALIGN - 1) & ~(size_t)(XFS_DIR2_DATA_ALIGN - 1);
}

/* Whether @fileblk is where a block of a directory's leaf section can start. */
bool dir_is_leaf_section(const struct geometry *geo, uint32_t fileblk);
/* Both sibling pointers: none, or a place in the leaf section. */
bool dir_siblings_are_valid(const struct geometry *geo, const struct xfs_da3_blkinfo *info);
