/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The hashed tree that large directories and large attribute sets share.  (XFS: da_btree; struct xfs_da_state.)
 * Its interface is made for the rooms dir and xattr only.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/extent/map.h>
#include <userxfs/inode.h>
#include <userxfs/log/tx.h>

/* XFS's name hash. */
uint32_t da_hash(const uint8_t *name, unsigned length);

/* A block of the directory (or attribute) address space: logical filesystem block @off of the fork, geo->dir.fs_blocks long
 * for directories.  @type as in format/block.h.  @hole_ok: *out = NULL for a hole instead of -EFSCORRUPTED. */
int da_read(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, bool hole_ok,
	    const struct block_type *type, struct buffer **out);
/* The same without reading, for a block just mapped. */
int da_get(struct tx *tx, struct inode *inode, enum fork_which which, fileblk_t off, struct buffer **out);
