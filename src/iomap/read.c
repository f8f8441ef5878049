/* SPDX-License-Identifier: GPL-2.0 */
/* Mapping ops that only look: read, seek, report (XFS: xfs_read_iomap_begin, xfs_seek_iomap_begin). */
#include "internal.h"

#include <userxfs/base/bits.h>

static int lookup_begin(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, struct iomap *map,
			struct iomap *source)
{
	const struct geometry *geo = inode_geometry(inode);
	struct extent ext;
	bool is_eof;
	int err = iomap_lock_shared(inode);

	if (err)
		return err;
	ext = iomap_lookup(inode, bytes_to_blocks_down(geo, off), bytes_to_blocks_up(geo, off + count), &is_eof);
	iomap_from_extent(inode, &ext, 0, map);
	rwlock_read_unlock(&inode->map_lock);
	return 0;
}

const struct iomap_ops read_ops = { .name = "read", .begin = lookup_begin };
const struct iomap_ops seek_ops = { .name = "seek", .begin = lookup_begin };
const struct iomap_ops report_ops = { .name = "report", .begin = lookup_begin };
