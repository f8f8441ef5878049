/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writing file data home (XFS: xfs_aops.c).
 *
 *   map         delayed extents are converted to unwritten, whole (delay_convert); real ones are used as they are
 *   done        a write inside the on-disk size over written blocks is finished at once; others wait for a completion
 *               pass
 *   completion  unwritten blocks become written, then the on-disk size moves: never before the data are on disk, so
 *               that a crash shows zeroes and not somebody else's bytes
 */
#include "internal.h"

#include <stdlib.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/fault.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/unfix.h>
#include <userxfs/extent/delay.h>

enum write_kind {
	KIND_INSIDE, /* written blocks inside the on-disk size */
	KIND_EXTENDS, /* written blocks past it */
	KIND_UNWRITTEN,
};

#define CONVERT_MAX_BATCH 256

static uint64_t size_of(void *owner)
{
	return file_size(owner);
}

/* What covers @off now; map_lock is taken and released. */
static int look_up(struct inode *inode, fileblk_t off_blk, struct extent *ext, bool *is_hole, uint64_t *disk_size)
{
	bool found;
	int err = iomap_lock_shared(inode);

	if (err)
		return err;
	map_lookup(&inode->map, FORK_DATA, off_blk, ext, &found);
	*is_hole = !found || ext->off > off_blk;
	*disk_size = inode->disk_size_bytes;
	rwlock_read_unlock(&inode->map_lock);
	return 0;
}

/*
 * A dirty block over a hole inside the file: a store through mmap that found no room when it arrived.  Asks for room
 * again.
 */
static int reserve_late(struct inode *inode, fileblk_t off_blk, uint64_t count)
{
	struct extent ext, got;
	bool found;
	int err = 0;

	rwlock_write_lock(&inode->map_lock);
	map_lookup(&inode->map, FORK_DATA, off_blk, &ext, &found);
	if (!found || ext.off > off_blk) {
		if (found)
			count = min_u64(count, ext.off - off_blk);
		err = delay_reserve_from_pool(&inode->map, off_blk, count, &got);
	}
	rwlock_write_unlock(&inode->map_lock);
	return err;
}

static int map_dirty(void *owner, uint64_t off, uint64_t end, struct writeback_target *out)
{
	struct inode *inode = owner;
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t off_blk = bytes_to_blocks_down(geo, off);
	struct fault_site site = { .ino = inode->ino.v, .off_bytes = off, .count_bytes = end - off };
	uint64_t disk_size = 0, skip;
	struct extent ext;
	uint32_t sequence;
	int64_t delay_ms;
	bool is_hole;
	int err;

	if (log_is_shutdown(inode_cache_log(inode->cache)))
		return -EIO;
	err = look_up(inode, off_blk, &ext, &is_hole, &disk_size);
	if (!err && is_hole) {
		err = reserve_late(inode, off_blk, bytes_to_blocks_up(geo, end) - off_blk);
		if (!err)
			err = look_up(inode, off_blk, &ext, &is_hole, &disk_size);
		if (!err && is_hole)
			err = -EAGAIN;
	}
	if (!err && ext.state == EXTENT_DELAYED)
		err = delay_convert(&inode->map, FORK_DATA, off_blk, &ext, &sequence);
	/* A store through mmap that was refused for it is still dirty: it must not be written into another file. */
	if (!err && inode->map.is_reflink) {
		rwlock_read_lock(&inode->map_lock);
		err = iomap_refuse_shared(inode, off_blk, &ext);
		rwlock_read_unlock(&inode->map_lock);
	}
	if (err)
		return err;
	if (fault_hit(FAULT_wb_delay_ms, &site, &delay_ms, NULL))
		clock_sleep_ns((uint64_t)delay_ms * 1000000);
	skip = off_blk - ext.off;
	out->device_off_bytes = fsblk_to_bytes(geo, fsblk_add(ext.start, skip));
	out->count_bytes = min_u64(blocks_to_bytes(geo, ext.count - skip), end - off);
	if (ext.state == EXTENT_UNWRITTEN)
		out->kind = KIND_UNWRITTEN;
	else if (min_u64(off + out->count_bytes, file_size(inode)) <= disk_size)
		out->kind = KIND_INSIDE;
	else
		out->kind = KIND_EXTENDS;
	return 0;
}

static int finish_before_data(struct writeback_io *io);

static int io_submit(void *owner, struct writeback_io *io)
{
	return unfix(UNFIX_size_before_data) ? finish_before_data(io) : 0;
}

static void io_done(void *owner, struct writeback_io *io)
{
	struct files *files = inode_files(owner);

	if (io->kind == KIND_INSIDE || io->err) {
		writeback_io_end(io, io->err);
		return;
	}
	mutex_lock(&files->completion_lock);
	list_push_back(&files->completions, &io->node);
	cond_signal(&files->completion_work);
	mutex_unlock(&files->completion_lock);
}

static bool help_with_completions(void *owner)
{
	return file_completion_pass(inode_files(owner));
}

const struct writeback_ops file_writeback_ops = {
	.map = map_dirty,
	.size = size_of,
	.submit = io_submit,
	.done = io_done,
	.help = help_with_completions,
};

/* ---- completion ---- */

/* In @tx, map_lock held: the on-disk size follows data that are on disk up to @end. */
static void raise_disk_size(struct tx *tx, struct inode *inode, uint64_t end)
{
	uint64_t size = min_u64(end, file_size(inode));

	if (size <= inode->disk_size_bytes)
		return;
	inode->disk_size_bytes = size;
	inode_log(tx, inode, false);
}

/* One transaction: converts a first part of the range; *done: blocks of it. */
static int convert_some(struct inode *inode, fileblk_t off_blk, uint64_t count, uint64_t end, uint64_t *done)
{
	const struct geometry *geo = inode_geometry(inode);
	struct log *log = inode_cache_log(inode->cache);
	struct extent ext;
	unsigned n = 1;
	struct tx *tx;
	int err;

	err = tx_begin(log, &log_reservations(log)->write, 2u * (geo->bmbt.max_levels - 1u), TX_USE_POOL, &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	err = map_write(tx, &inode->map, FORK_DATA, off_blk, count, MAP_CONVERT | MAP_NO_ALLOC_DELAYED, 0, &ext, &n);
	if (!err && n == 0)
		err = -EIO;
	if (err) {
		tx_cancel(tx);
		return err;
	}
	*done = ext.off + ext.count - off_blk;
	raise_disk_size(tx, inode, min_u64(end, blocks_to_bytes(geo, ext.off + ext.count)));
	return tx_commit(tx);
}

int file_convert_unwritten(struct inode *inode, uint64_t off, uint64_t end)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t off_blk = bytes_to_blocks_down(geo, off), end_blk = bytes_to_blocks_up(geo, end);

	while (off_blk < end_blk) {
		uint64_t done;
		int err = convert_some(inode, off_blk, end_blk - off_blk, end, &done);

		if (err)
			return err;
		off_blk += done;
	}
	return 0;
}

int file_update_disk_size(struct inode *inode, uint64_t end)
{
	struct log *log = inode_cache_log(inode->cache);
	bool is_there;
	struct tx *tx;
	int err;

	rwlock_read_lock(&inode->map_lock);
	is_there = min_u64(end, file_size(inode)) <= inode->disk_size_bytes;
	rwlock_read_unlock(&inode->map_lock);
	if (is_there)
		return 0;
	err = tx_begin(log, &log_reservations(log)->inode_change, 0, TX_USE_POOL, &tx);
	if (err)
		return err;
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	raise_disk_size(tx, inode, end);
	return tx_commit(tx);
}

static int compare_io(const void *a, const void *b)
{
	const struct writeback_io *x = *(struct writeback_io *const *)a, *y = *(struct writeback_io *const *)b;

	if (x->mapping != y->mapping)
		return (uintptr_t)x->mapping < (uintptr_t)y->mapping ? -1 : 1;
	return x->off_bytes < y->off_bytes ? -1 : x->off_bytes > y->off_bytes;
}

/* How many I/Os from @ios on are one run of one file and kind. */
static unsigned run_length(struct writeback_io **ios, unsigned n)
{
	unsigned i = 1;

	while (i < n && ios[i]->mapping == ios[0]->mapping && ios[i]->kind == ios[0]->kind &&
	       ios[i]->off_bytes == ios[i - 1]->off_bytes + ios[i - 1]->count_bytes)
		i++;
	return i;
}

/* The bytes [@off, @end) are on the disk. */
static int note_written(struct inode *inode, unsigned kind, uint64_t off, uint64_t end)
{
	if (kind == KIND_UNWRITTEN)
		return file_convert_unwritten(inode, off, end);
	return file_update_disk_size(inode, end);
}

static int finish_before_data(struct writeback_io *io)
{
	unsigned kind = io->kind;

	if (kind == KIND_INSIDE)
		return 0;
	io->kind = KIND_INSIDE;
	return note_written(io->owner, kind, io->off_bytes, io->off_bytes + io->count_bytes);
}

static void finish_run(struct writeback_io **ios, unsigned n)
{
	uint64_t off = ios[0]->off_bytes, end = ios[n - 1]->off_bytes + ios[n - 1]->count_bytes;
	int err = note_written(ios[0]->owner, ios[0]->kind, off, end);

	for (unsigned i = 0; i < n; i++)
		writeback_io_end(ios[i], err);
}

bool file_completion_pass(struct files *files)
{
	struct writeback_io *ios[CONVERT_MAX_BATCH];
	unsigned n = 0, run;

	mutex_lock(&files->completion_lock);
	while (n < CONVERT_MAX_BATCH && !list_is_empty(&files->completions)) {
		ios[n] = list_first(&files->completions, struct writeback_io, node);
		list_remove(&ios[n]->node);
		n++;
	}
	mutex_unlock(&files->completion_lock);
	if (!n)
		return false;
	qsort(ios, n, sizeof(ios[0]), compare_io);
	for (unsigned i = 0; i < n; i += run) {
		run = run_length(ios + i, n - i);
		finish_run(ios + i, run);
	}
	return true;
}

void file_completion_wait(struct files *files, uint64_t deadline_ns)
{
	mutex_lock(&files->completion_lock);
	while (list_is_empty(&files->completions) && !files->completion_wake &&
	       cond_wait_until(&files->completion_work, &files->completion_lock, deadline_ns))
		;
	files->completion_wake = false;
	mutex_unlock(&files->completion_lock);
}

void file_completion_wake(struct files *files)
{
	mutex_lock(&files->completion_lock);
	files->completion_wake = true;
	cond_broadcast(&files->completion_work);
	mutex_unlock(&files->completion_lock);
}
