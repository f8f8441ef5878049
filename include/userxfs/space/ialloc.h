/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Inode numbers: chunks of 64, the inode tree and the free-inode tree, sparse chunks.  (XFS: libxfs/xfs_ialloc.c.)
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/log/recovery.h>
#include <userxfs/log/tx.h>
#include <userxfs/space/space.h>

/* Where an inode's bytes are (XFS: xfs_imap). */
struct inode_place {
	daddr_u64 daddr;		/* of its cluster buffer */
	uint32_t count;			/* 512-byte units of the cluster */
	uint32_t off_bytes;		/* of the inode in the cluster */
};

/*
 * Chooses and allocates an inode number for a new inode of @mode in directory @parent, in XFS's order: directories
 * rotate over AGs, others near their parent; first pass existing free inodes and free AGs, second blocking.  May roll
 * *tx (after allocating a chunk).  The tx has reserved ialloc_blocks_needed().  -ENOSPC.
 */
int ialloc_alloc(struct tx *tx, struct space *space, struct inum parent, uint32_t mode, struct inum *out);
/* Block reservation for a create (XFS: XFS_IALLOC_SPACE_RES: a chunk plus tree growth). */
uint32_t ialloc_blocks_needed(const struct geometry *geo);
/* Block reservation for freeing an inode (XFS: XFS_IFREE_SPACE_RES); with TX_USE_POOL, as XFS. */
uint32_t ialloc_free_blocks_needed(const struct geometry *geo);

/* What freeing an inode did to its chunk (XFS: xfs_icluster). */
struct inode_chunk_freed {
	bool is_deleted;		/* the whole chunk went back to free space: its inodes must leave memory */
	struct inum first;
	uint64_t allocated_mask;	/* inodes of it that physically exist (sparse chunks) */
};
/* Marks @ino free; deletes the chunk when it was the last one and chunks are not kept. */
int ialloc_free(struct tx *tx, struct space *space, struct inum ino, struct inode_chunk_freed *freed);

/*
 * Finds the bytes of @ino.  @untrusted: the number came from outside (a file handle, NFS): it is looked up in the
 * inode tree and -EINVAL when not allocated.  Trusted numbers come from directory entries; they are bounds-checked
 * only (-EFSCORRUPTED).
 */
int ialloc_place(struct tx *tx, struct space *space, struct inum ino, bool untrusted, struct inode_place *out);

/* Calls @visit for every allocated inode number of @agno from @from on, ascending, until it returns nonzero
 * (returned). */
int ialloc_walk(struct space *space, agno_t agno, agino_t from,
		int (*visit)(struct inum ino, void *context), void *context);

/* Blocks of the two trees, by walk or by the AGI's counters: for reservations. */
int ialloc_count_blocks(struct ag *ag, struct buffer *agi, uint32_t *inobt_blocks, uint32_t *finobt_blocks);
/* Worst size of the finobt of @ag: what must be reserved. */
uint32_t finobt_max_blocks(const struct geometry *geo, const struct ag *ag);

/* Log recovery: makes new inodes again. */
extern const struct recovery_item_type icreate_recovery_type;
