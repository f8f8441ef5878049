/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Blocks past EOF: when they go (XFS: xfs_can_free_eofblocks, xfs_free_eofblocks, xfs_file_release, xfs_blockgc).
 *
 * The first close of a writable descriptor trims, later ones do not: a program that opens, appends and closes in a
 * loop would otherwise lose its preallocation each time.  The rest go after 300 s, for lack of space, or with the
 * inode.
 */
#include "internal.h"

#include <userxfs/extent/delay.h>

bool file_can_trim(struct inode *inode)
{
	const struct geometry *geo = inode_geometry(inode);
	bool can = false;

	if (!S_ISREG(inode->mode))
		return false;
	rwlock_read_lock(&inode->map_lock);
	if (map_is_loaded(&inode->map, FORK_DATA)) {
		bool has_delayed = map_has_delayed(&inode->map);
		bool is_kept = inode->di_flags & XFS_DIFLAG_PREALLOC && !has_delayed;

		can = !is_kept &&
		      (has_delayed || map_end(&inode->map, FORK_DATA) > bytes_to_blocks_up(geo, file_size(inode)));
	}
	rwlock_read_unlock(&inode->map_lock);
	return can;
}

int file_trim(struct inode *inode)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t eof_blk = bytes_to_blocks_up(geo, file_size(inode));
	int err = 0;

	if (inode->di_flags & (XFS_DIFLAG_PREALLOC | XFS_DIFLAG_APPEND)) {
		/* Real blocks there were asked for; delayed ones are only speculation. */
		rwlock_write_lock(&inode->map_lock);
		delay_punch(&inode->map, FORK_DATA, eof_blk, UINT64_MAX >> 1);
		rwlock_write_unlock(&inode->map_lock);
	} else {
		err = inode_free_blocks(inode, FORK_DATA, eof_blk);
	}
	if (!err)
		inode_clear_tag(inode, INODE_EOFBLOCKS);
	return err;
}

static void trim_on_close(struct inode *inode)
{
	if (atomic_load(&inode->flags) & INODE_RELEASED || !rwlock_write_trylock(&inode->io_lock))
		return;
	if (file_can_trim(inode) && !(atomic_fetch_or(&inode->flags, INODE_RELEASED) & INODE_RELEASED))
		file_trim(inode);
	rwlock_write_unlock(&inode->io_lock);
}

void file_closed(struct inode *inode, bool writable)
{
	struct log *log = inode_cache_log(inode->cache);

	if (!S_ISREG(inode->mode))
		return;
	if (writable)
		atomic_fetch_sub(&inode->write_opens, 1);
	if (log_is_read_only(log) || log_is_shutdown(log))
		return;
	/* Truncated and rewritten: data go out early, so that a crash does not leave an empty file. */
	if (atomic_fetch_and(&inode->flags, ~(uint32_t)INODE_TRUNCATED) & INODE_TRUNCATED) {
		atomic_fetch_and(&inode->flags, ~(uint32_t)INODE_RELEASED);
		if (atomic_load(&inode->map.delayed_blocks))
			file_flush_start(inode, 0, UINT64_MAX);
	}
	if (writable && inode->nlink && !(inode->di_flags & XFS_DIFLAG_APPEND))
		trim_on_close(inode);
}

void file_inactive(struct inode *inode)
{
	rwlock_write_lock(&inode->io_lock);
	if (file_can_trim(inode))
		file_trim(inode);
	rwlock_write_unlock(&inode->io_lock);
}

static void trim_in_background(struct inode *inode, bool sync)
{
	/* A background round leaves files alone that are being written. */
	if (!sync && inode->mapping && mapping_has_dirty(inode->mapping, 0, UINT64_MAX))
		return;
	if (sync)
		rwlock_write_lock(&inode->io_lock);
	else if (!rwlock_write_trylock(&inode->io_lock))
		return;
	if (file_can_trim(inode))
		file_trim(inode);
	else
		inode_clear_tag(inode, INODE_EOFBLOCKS);
	rwlock_write_unlock(&inode->io_lock);
}

static int trim_tagged(struct inode *inode, void *context)
{
	trim_in_background(inode, *(bool *)context);
	return 0;
}

bool prealloc_trim_pass(struct files *files, bool sync)
{
	inode_for_each_tagged(files->inodes, INODE_EOFBLOCKS, trim_tagged, &sync);
	return false;
}
