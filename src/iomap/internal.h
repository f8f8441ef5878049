/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Shared by the mapping ops. */
#include <userxfs/iomap.h>

/* Fills @map from an extent (or a hole) and samples the cookie; map_lock held. */
void iomap_from_extent(struct inode *inode, const struct extent *ext, uint32_t flags, struct iomap *map);

/*
 * Takes the map_lock exclusively and loads the data fork.  On error the lock is not held.
 */
int iomap_lock_loaded(struct inode *inode);

/*
 * The extent that covers @off_blk, or the hole from there to the next extent (at most to @end_blk).  *is_eof: no
 * extent at or after @off_blk. map_lock held.
 */
struct extent iomap_lookup(struct inode *inode, fileblk_t off_blk, fileblk_t end_blk, bool *is_eof);

int direct_write_begin(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, struct iomap *map,
		       struct iomap *source);
int buffered_write_begin(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, struct iomap *map,
			 struct iomap *source);
