/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Directories: names to inode numbers, in four forms that grow and shrink into each other: inline (shortform), one
 * block, data blocks with one leaf, data blocks with a hashed tree (node).  (XFS: libxfs/xfs_dir2*.c.)
 *
 * Callers hold the directory's io_lock (shared to read, exclusive to change); changes run inside the caller's
 * transaction with the directory joined (map_lock exclusive), which has reserved dir_add_blocks() /
 * dir_remove_blocks().
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/inode.h>
#include <userxfs/log/tx.h>

struct name {
	const uint8_t *bytes;
	unsigned length;		/* 1..255 */
};

/* Block reservation for one entry added, removed (XFS: XFS_DIRENTER_SPACE_RES, XFS_DIRREMOVE_SPACE_RES). */
uint32_t dir_add_blocks(const struct geometry *geo, unsigned name_length);
uint32_t dir_remove_blocks(const struct geometry *geo);

/* A new directory's "." and "..": shortform with its parent. */
void dir_init(struct tx *tx, struct inode *dir, struct inum parent);
/* "." and ".." work.  -ENOENT.  @tx may be NULL; takes the map_lock shared itself when @tx is NULL. */
int dir_lookup(struct tx *tx, struct inode *dir, struct name name, struct inum *out, uint8_t *ftype);
/* -EEXIST.  @ftype: XFS_DIR3_FT_*.  @blocks: left of the reservation for this entry; 0: only if it fits without
 * allocating (-ENOSPC). */
int dir_add(struct tx *tx, struct inode *dir, struct name name, struct inum ino, uint8_t ftype, uint32_t blocks);
/* -ENOENT; -EFSCORRUPTED when the entry is of another inode.  @blocks as above: shrinking needs them at most; with
 * 0 left an emptied block may stay. */
int dir_remove(struct tx *tx, struct inode *dir, struct name name, struct inum ino, uint32_t blocks);
/* Points an existing entry (also "..") to @ino. */
int dir_replace(struct tx *tx, struct inode *dir, struct name name, struct inum ino, uint8_t ftype, uint32_t blocks);
/* Whether @name could be added without a block reservation (XFS: xfs_dir_canenter). */
int dir_can_enter(struct tx *tx, struct inode *dir, struct name name);
int dir_is_empty(struct inode *dir, bool *is_empty);

/*
 * Lists entries from @cookie (0: start) in XFS's readdir order, "." and ".." included; @emit returns false to stop
 * (that entry is not consumed).  Cookies are XFS's dataptr positions: stable while other entries come and go; the
 * cookie handed to @emit is where the listing goes on after that entry, the same number as d_off of the kernel's
 * getdents.  Takes the map_lock shared itself, but calls @emit without it and without any buffer locked: @emit may
 * take other inodes' locks.
 */
typedef bool (*dir_emit)(void *context, struct name name, struct inum ino, uint8_t ftype, uint64_t next_cookie);
int dir_list(struct inode *dir, uint64_t cookie, dir_emit emit, void *context);

/* An inline directory becomes one block, so that its inode has room for attributes.  No-op for other forms.
 * @blocks as above. */
int dir_make_room_for_attributes(struct tx *tx, struct inode *dir, uint32_t blocks);

uint8_t dir_ftype_of_mode(uint32_t mode);
/* DT_* of readdir(3). */
uint8_t dir_dtype_of_ftype(uint8_t ftype);

/* Checks every block and cross-reference of one directory.  NULL or what is wrong (static string).  For tests. */
const char *dir_verify(struct inode *dir);
