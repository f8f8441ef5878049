/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Metadata block types: how each is verified when it is read, and sealed (LSN, CRC) and verified again when it is
 * written.  Pure functions over bytes.  (XFS: xfs_buf_ops and the verifiers of libxfs.)
 *
 * A verifier believes nothing: magic, UUID, owner where the block can know it, its own disk address, counts, offsets
 * and bounds, so that no later code can be led outside the block.  It returns NULL or a constant string that says
 * what is wrong.  Not checked: the order of B+tree records and where pointers lead, in other blocks; that the owner
 * is the inode the block was reached from.
 */
#include <stddef.h>
#include <stdint.h>

#include <userxfs/format/geometry.h>

struct block_type {
	const char *name;		/* "agf", "bnobt", "dir3 leaf1" ... for log lines */
	uint16_t log_type;		/* enum xfs_blft, written to the log's buffer items */
	uint16_t crc_off;		/* of the __le32 checksum; CRC_OFF_NONE: see seal */
	uint16_t lsn_off;		/* of the __be64 LSN; LSN_OFF_NONE */
	/* Required.  @daddr: where the block lives. */
	const char *(*verify)(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr);
	/* Optional, for blocks with more than one checksum (inode clusters); replaces the crc_off/lsn_off handling of
	 * block_seal() and of the CRC check. */
	void (*seal)(const struct geometry *geo, void *data, size_t bytes, lsn_t lsn);
	const char *(*verify_crc)(const struct geometry *geo, const void *data, size_t bytes);
};

#define CRC_OFF_NONE UINT16_MAX
#define LSN_OFF_NONE UINT16_MAX

extern const struct block_type block_superblock, block_agf, block_agi, block_agfl;
extern const struct block_type block_bnobt, block_cntbt, block_inobt, block_finobt, block_rmapbt, block_refcountbt,
	block_bmbt;
/* A cluster of inodes: every one verified (magic, version, CRC), not decoded. */
extern const struct block_type block_inode_cluster;
extern const struct block_type block_symlink;		/* remote symlink: struct xfs_dsymlink_hdr */
/* Directories: single-block form, data block, leaf1, leafn, node, free. */
extern const struct block_type block_dir_block, block_dir_data, block_dir_leaf1, block_dir_leafn, block_dir_free;
extern const struct block_type block_da_node;		/* a node of a directory */
/* Reads a block of a directory's leaf section, whichever it is: leaf1, leafn or node. */
extern const struct block_type block_dir_leaf_any;
extern const struct block_type block_attr_leaf, block_attr_remote;
/* Reads a block of an attribute tree, whichever it is: leaf or node. */
extern const struct block_type block_attr_any;
/* The same node block, when an attribute tree owns it. */
extern const struct block_type block_attr_node;
extern const struct block_type block_dquot;

/*
 * The type that a block of a mixed type (dir_leaf_any, attr_any) turned out to have, by its magic; @type itself for
 * every other type.  The block has been verified.
 */
const struct block_type *block_resolve_type(const struct block_type *type, const void *data);

/* CRC, then contents.  -EFSBADCRC or -EFSCORRUPTED, with one log line naming type, daddr and reason. */
int block_verify_read(const struct block_type *type, const struct geometry *geo, const void *data, size_t bytes,
		      daddr_u64 daddr);
/* Contents only, before sealing.  -EFSCORRUPTED with a log line: something in memory is wrong. */
int block_verify_write(const struct block_type *type, const struct geometry *geo, const void *data, size_t bytes,
		       daddr_u64 daddr);
/*
 * Sets LSN and CRC.  Inode clusters and dquot blocks: the CRC of every inode or dquot, no LSN (di_lsn and dd_lsn
 * belong to whoever copies one into the block: recovery skips the items of that one by it).  Remote attribute values:
 * the LSN is always NULLCOMMITLSN, because they are not logged.
 */
void block_seal(const struct block_type *type, const struct geometry *geo, void *data, size_t bytes, lsn_t lsn);

/* Block numbers an AGFL holds; they follow its header.  Slots not in use may hold anything: check what you take. */
uint32_t agfl_slots(const struct geometry *geo);

/*
 * One inode's bytes (geo->inode_bytes of them), all of what can be known without other blocks: mode against format,
 * sizes, extent counts against fork sizes, fork offset, flags, inline fork contents' bounds.
 * NULL or the reason.  (XFS: xfs_dinode_verify.)
 */
const char *dinode_verify(const struct geometry *geo, struct inum ino, const struct xfs_dinode *dip);
/* CRC of one inode. */
void dinode_seal(const struct geometry *geo, struct xfs_dinode *dip);
bool dinode_crc_is_valid(const struct geometry *geo, const struct xfs_dinode *dip);
/*
 * Inline forms; NULL or the reason.  @bytes: di_size for directories and symlinks, the fork's space for attributes
 * (whose header says how much of it is used).
 */
const char *dir_sf_verify(const struct geometry *geo, struct inum ino, const void *data, size_t bytes);
const char *attr_sf_verify(const void *data, size_t bytes);
const char *symlink_local_verify(const void *data, size_t bytes);

/* Where the forks of an inode lie and what its header says of them; @dip has been verified or is being verified. */
static inline size_t dinode_literal_bytes(const struct geometry *geo)
{
	return geo->inode_bytes - sizeof(struct xfs_dinode);
}

static inline size_t dinode_data_bytes(const struct geometry *geo, const struct xfs_dinode *dip)
{
	return dip->di_forkoff ? (size_t)dip->di_forkoff << 3 : dinode_literal_bytes(geo);
}

static inline size_t dinode_attr_bytes(const struct geometry *geo, const struct xfs_dinode *dip)
{
	return dip->di_forkoff ? dinode_literal_bytes(geo) - ((size_t)dip->di_forkoff << 3) : 0;
}

static inline void *dinode_data_fork(const struct xfs_dinode *dip)
{
	return (void *)(dip + 1);
}

static inline void *dinode_attr_fork(const struct xfs_dinode *dip)
{
	return (void *)dip + sizeof(*dip) + ((size_t)dip->di_forkoff << 3);
}

static inline uint64_t dinode_data_extents(const struct xfs_dinode *dip)
{
	if (xfs_dinode_has_large_extent_counts(dip))
		return be64_to_cpu(dip->di_big_nextents);
	return be32_to_cpu(dip->di_nextents);
}

static inline uint64_t dinode_attr_extents(const struct xfs_dinode *dip)
{
	if (xfs_dinode_has_large_extent_counts(dip))
		return be32_to_cpu(dip->di_big_anextents);
	return be16_to_cpu(dip->di_anextents);
}
