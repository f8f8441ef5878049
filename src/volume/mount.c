/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mounting and unmounting (XFS: xfs_mountfs, xfs_unmountfs).
 *
 * Mount, happy path: open and lock the device; superblock; log head, and recovery when the log is dirty; counters;
 * journal; per-AG reservations; inode cache; page cache; root inode; threads.  Every step that fails undoes the ones
 * before it in reverse order.
 *
 * Unmount: all data, last puts of inodes, trimming, everything home, the counters into the superblock, the unmount
 * record.  After a shutdown nothing is written: the log stays as it is and can be recovered.
 */
#include <string.h>
#include <unistd.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/extent/delay.h>
#include <userxfs/volume.h>

#include "threads.h"
#include "volume_private.h"

#define CACHE_LIMIT_BYTES (4ull << 30)
#define BACKGROUND_MAX_BYTES (128ull << 20)	/* dirty data beyond that is written out, however large the cache */
#define BUFFER_BYTES (256u << 20)
#define UNUSED_INODES 65536u

static uint64_t default_cache_bytes(void)
{
	uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	return min_u64(ram / 4, CACHE_LIMIT_BYTES);
}

int volume_read_superblock(struct volume *vol, uint8_t *sb, size_t bytes)
{
	enum geometry_verdict verdict;
	char why[256];
	int err;

	if (vol->dev->size_bytes < bytes)
		bytes = vol->dev->size_bytes & ~511ull;
	if (bytes < 512) {
		msg_error("%s: not an XFS volume: only %llu bytes long; check the path", vol->options.device,
			  (unsigned long long)vol->dev->size_bytes);
		return -EINVAL;
	}
	err = device_read(vol->dev, 0, sb, bytes);
	if (err) {
		msg_error("%s: cannot read the superblock: %s; check the device", vol->options.device,
			  strerror(-err));
		return err;
	}
	verdict = geometry_decode(sb, bytes, vol->dev->size_bytes, &vol->geo, why, sizeof(why));
	if (verdict == GEOMETRY_OK)
		return 0;
	if (verdict == GEOMETRY_READ_ONLY && vol->is_read_only) {
		msg_warning("%s: %s", vol->options.device, why);
		return 0;
	}
	msg_error("%s: %s", vol->options.device, why);
	return -EINVAL;
}

static int open_log_device(struct volume *vol, uint64_t *log_off)
{
	struct device_options options = {
		.engine = vol->options.engine,
		.buffered = vol->options.buffered,
		.read_only = vol->is_read_only,
	};

	if (!vol->geo.has_external_log) {
		if (vol->options.log_device) {
			msg_error("%s: this volume's log is internal; mount it without logdev=", vol->options.device);
			return -EINVAL;
		}
		vol->log_dev = vol->dev;
		*log_off = fsblk_to_bytes(&vol->geo, vol->geo.log_start);
		return 0;
	}
	if (!vol->options.log_device) {
		msg_error("%s: this volume has an external log; name it with -o logdev=DEVICE", vol->options.device);
		return -EINVAL;
	}
	*log_off = 0;
	return device_open(vol->options.log_device, &options, &vol->log_dev);
}

/* A dirty log is replayed; *head is that of a clean one afterwards.  @sb gets what the superblock is then. */
static int check_log(struct volume *vol, uint64_t log_off, struct log_head *head, uint8_t *sb,
		     struct volume_recovery_report *report)
{
	int err;

	if (vol->options.no_recovery) {
		*head = (struct log_head){ .state = LOG_DIRTY };
		return 0;
	}
	err = log_find_head(vol->log_dev, log_off, &vol->geo, head);
	if (err || head->state == LOG_CLEAN)
		return err;
	err = volume_replay(vol, log_off, head, sb, report);
	if (!err)
		err = volume_read_superblock(vol, sb, SUPERBLOCK_READ_BYTES);
	if (!err)
		err = log_find_head(vol->log_dev, log_off, &vol->geo, head);
	ensure(err || head->state == LOG_CLEAN);
	return err;
}

static bool clear_quota_flags(struct xfs_dsb *sb, void *context)
{
	const struct volume *vol = context;

	if (!sb->sb_qflags)
		return false;
	msg_info("%s: quotas are not maintained while userxfs has it mounted; the kernel will recount them",
		 vol->options.device);
	sb->sb_qflags = 0;
	return true;
}

/*
 * Quotas are not kept up to date here: the kernel must count them anew before it enforces them again
 * (XFS: xfs_mount_reset_sbqflags).
 */
int volume_reset_quota_flags(struct volume *vol)
{
	if (!vol->geo.has_quota)
		return 0;
	return space_change_superblock(vol->space, 0, offsetof(struct xfs_dsb, sb_qflags),
				       offsetof(struct xfs_dsb, sb_qflags) + sizeof(__be16), clear_quota_flags, vol);
}

static int create_pagecache(struct volume *vol)
{
	uint64_t budget = vol->options.cache_bytes ? vol->options.cache_bytes : default_cache_bytes();
	struct pagecache_options options = {
		.budget_bytes = budget,
		.dirty_background_bytes = min_u64(budget / 8, BACKGROUND_MAX_BYTES),
		.dirty_limit_bytes = budget / 2,
		.dirty_expire_ns = 30ull * 1000000000ull,
	};

	return pagecache_create(vol->dev, &options, &vol->pages);
}

static int create_files(struct volume *vol)
{
	struct file_options options = {
		.iomap = {
			.alloc_size_log = vol->options.alloc_size_log ? vol->options.alloc_size_log : 16,
			.has_alloc_size = vol->options.alloc_size_log != 0,
			.stripe_align_blocks = vol->geo.stripe_unit_blocks,
		},
		.sync_always = vol->options.sync_always,
	};

	return files_create(vol->inodes, vol->pages, vol->dev, &options, &vol->files);
}

/* ---- what rooms ask of each other through here ---- */

static void inactivate_all(void *context)
{
	struct volume *vol = context;

	while (namespace_inactivate_pass(&vol->ns))
		;
}

static void make_space(void *context)
{
	struct volume *vol = context;

	files_make_space(vol->files);
}

static void connect_rooms(struct volume *vol)
{
	struct file_hooks hooks = { .inactivate = inactivate_all, .context = vol };

	files_set_hooks(vol->files, &hooks);
	vol->ns.hooks = (struct namespace_hooks){
		.trim = file_inactive,
		.discard = file_discard,
		.make_space = make_space,
		.context = vol,
	};
}

/* ---- mount ---- */

int volume_start_metadata(struct volume *vol, const uint8_t *sb, uint64_t log_off, const struct log_head *head,
			  bool recount)
{
	struct log_options log_options = { .read_only = vol->is_read_only };
	int err;

	err = buffer_cache_create(vol->dev, &vol->geo, BUFFER_BYTES, &vol->buffers);
	if (!err)
		err = space_create(vol->buffers, &vol->geo, &vol->space);
	if (!err)
		err = space_load(vol->space, (const struct xfs_dsb *)(const void *)sb, recount);
	if (!err)
		err = log_create(vol->buffers, vol->log_dev, log_off, &vol->geo, head, &space_tx_ops, vol->space,
				 &log_options, &vol->log);
	if (!err && !vol->is_read_only)
		err = space_start(vol->space, vol->log);
	if (!err)
		err = inode_cache_create(vol->space, vol->log, UNUSED_INODES, &vol->inodes);
	if (!err)
		namespace_init(&vol->ns, vol->inodes);
	return err;
}

static int start_rooms(struct volume *vol, const uint8_t *sb, uint64_t log_off, const struct log_head *head)
{
	int err = volume_start_metadata(vol, sb, log_off, head, vol->options.no_recovery);

	if (!err && !vol->is_read_only)
		err = volume_reset_quota_flags(vol);
	if (!err)
		err = create_pagecache(vol);
	if (!err)
		err = create_files(vol);
	if (!err)
		connect_rooms(vol);
	return err;
}

static int read_root(struct volume *vol)
{
	int err = inode_get(vol->inodes, NULL, vol->geo.root, 0, &vol->root);

	if (err) {
		msg_error("%s: cannot read the root directory: %s; run xfs_repair", vol->options.device,
			  strerror(-err));
		return err;
	}
	if ((vol->root->mode & S_IFMT) != S_IFDIR) {
		msg_error("%s: the root inode is not a directory; run xfs_repair", vol->options.device);
		return -EFSCORRUPTED;
	}
	return 0;
}

void volume_stop_rooms(struct volume *vol)
{
	if (vol->inodes) {
		inode_put(vol->root);
		inode_cache_drop(vol->inodes);
		namespace_deinit(&vol->ns);
	}
	files_destroy(vol->files);
	inode_cache_destroy(vol->inodes);
	pagecache_destroy(vol->pages);
	log_destroy(vol->log);
	space_destroy(vol->space);
	buffer_cache_destroy(vol->buffers);
	vol->root = NULL;
	vol->files = NULL;
	vol->inodes = NULL;
	vol->pages = NULL;
	vol->log = NULL;
	vol->space = NULL;
	vol->buffers = NULL;
}

/* Rooms, threads, devices. */
static void free_volume(struct volume *vol)
{
	volume_stop_rooms(vol);
	volume_threads_destroy(vol);
	if (vol->log_dev != vol->dev)
		device_close(vol->log_dev);
	device_close(vol->dev);
	mem_free(vol);
}

static int open_device(struct volume *vol)
{
	struct device_options options = {
		.engine = vol->options.engine,
		.buffered = vol->options.buffered,
		.off_bytes = vol->options.off_bytes,
		.read_only = vol->options.read_only,
	};

	vol->dev = vol->options.opened;
	return vol->dev ? 0 : device_open(vol->options.device, &options, &vol->dev);
}

/* Opens the devices and brings the log into a state to start from. */
static int open_volume(struct volume *vol, uint8_t *sb, uint64_t *log_off, struct log_head *head,
		       struct volume_recovery_report *report)
{
	int err = open_device(vol);

	if (!err)
		err = volume_read_superblock(vol, sb, SUPERBLOCK_READ_BYTES);
	if (!err)
		err = open_log_device(vol, log_off);
	if (!err)
		err = check_log(vol, *log_off, head, sb, report);
	return err;
}

/* -ENOMEM: nothing was made. */
static int volume_new(const struct volume_options *options, struct volume **out, uint8_t **sb)
{
	struct volume *vol = mem_alloc_zeroed(sizeof(*vol));

	*sb = mem_alloc_aligned(4096, SUPERBLOCK_READ_BYTES);
	if (!vol || !*sb) {
		mem_free(vol);
		mem_free(*sb);
		device_close(options->opened);
		return -ENOMEM;
	}
	vol->options = *options;
	vol->is_read_only = options->read_only;
	*out = vol;
	return 0;
}

int volume_mount(const struct volume_options *options, struct volume **out)
{
	struct volume_recovery_report report = { .was_dirty = false };
	uint64_t log_off = 0;
	struct log_head head;
	struct volume *vol;
	uint8_t *sb;
	int err;

	if (options->no_recovery && !options->read_only) {
		msg_error("norecovery works only together with ro: add ro, or leave norecovery out");
		device_close(options->opened);
		return -EINVAL;
	}
	err = volume_new(options, &vol, &sb);
	if (err)
		return err;
	err = open_volume(vol, sb, &log_off, &head, &report);
	if (!err && !options->without_threads)
		err = volume_threads_start_device(vol);
	if (!err)
		err = start_rooms(vol, sb, log_off, &head);
	if (!err)
		err = read_root(vol);
	if (!err && !options->without_threads)
		err = volume_threads_start(vol);
	mem_free(sb);
	if (err) {
		if (vol->log)
			log_shutdown(vol->log, SHUTDOWN_FORCED, "mount failed");
		free_volume(vol);
		return err;
	}
	*out = vol;
	return 0;
}

int volume_recover(const struct volume_options *options, struct volume_recovery_report *report)
{
	uint64_t log_off = 0;
	struct log_head head;
	struct volume *vol;
	uint8_t *sb;
	int err;

	*report = (struct volume_recovery_report){ .was_dirty = false };
	err = volume_new(options, &vol, &sb);
	if (err)
		return err;
	err = open_volume(vol, sb, &log_off, &head, report);
	mem_free(sb);
	free_volume(vol);
	return err;
}

int volume_sync(struct volume *vol)
{
	bool was_flushed = false;
	int err, ret;

	if (vol->is_read_only)
		return 0;
	ret = files_flush_all(vol->files, true);
	err = log_force(vol->log, 0, &was_flushed);
	if (!err && !was_flushed)
		err = log_flush_device(vol->log);
	return ret ? ret : err;
}

bool volume_pass(struct volume *vol)
{
	bool more = device_pass(vol->dev, false) > 0;

	more |= file_completion_pass(vol->files);
	more |= pagecache_writeback_pass(vol->pages);
	more |= namespace_inactivate_pass(&vol->ns);
	if (!vol->is_read_only) {
		more |= log_write_pass(vol->log);
		more |= log_tail_pass(vol->log);
	}
	return more;
}

/* Gives back what the front end holds: it will send no FORGET any more. */
static int forget_one(struct inode *inode, void *context)
{
	inode_put_n(inode, atomic_exchange(&inode->lookups, 0));
	inode_put(inode);
	return 0;
}

/* What could not be written promises blocks still: they go back, or the counters on disk would be wrong. */
static int break_promises(struct inode *inode, void *context)
{
	if (atomic_load(&inode->map.delayed_blocks)) {
		rwlock_write_lock(&inode->map_lock);
		delay_punch(&inode->map, FORK_DATA, 0, UINT64_MAX >> 1);
		rwlock_write_unlock(&inode->map_lock);
	}
	inode_put(inode);
	return 0;
}

/* Everything that can be done while transactions still run. */
static int settle(struct volume *vol)
{
	int ret, err;

	/* Unlinked files first: their data need not be written. */
	inactivate_all(vol);
	ret = files_flush_all(vol->files, true);
	prealloc_trim_pass(vol->files, true);
	if (ret && !log_is_shutdown(vol->log)) {
		pagecache_discard_all(vol->pages);
		inode_for_each(vol->inodes, break_promises, NULL);
	}
	inactivate_all(vol);
	err = log_quiesce(vol->log);
	return ret ? ret : err;
}

int volume_leave_clean_log(struct volume *vol)
{
	int err;

	space_stop(vol->space);
	err = space_log_superblock(vol->space);
	if (err)
		return err;
	err = log_quiesce(vol->log);
	if (err)
		return err;
	return log_write_unmount(vol->log);
}

int volume_unmount(struct volume *vol, bool forget)
{
	int err = 0, ret = 0;

	if (!vol)
		return 0;
	if (forget)
		inode_for_each(vol->inodes, forget_one, NULL);
	/* From here on whoever waits for a pass runs it: nothing is half done behind our back. */
	volume_threads_stop(vol);
	if (!vol->is_read_only) {
		ret = settle(vol);
		/* Only a recovery looks for unlinked inodes: a dirty log makes the next mount one. */
		if (!log_is_shutdown(vol->log))
			err = vol->ns.has_leftovers ? -EIO : volume_leave_clean_log(vol);
		if (err)
			msg_error("%s: unmounting failed: %s; the log holds what is missing, mount the volume again "
				  "to replay it",
				  vol->options.device, strerror(-err));
		if (err && !log_is_shutdown(vol->log))
			log_shutdown(vol->log, SHUTDOWN_FORCED, "unmount failed");
		/* What could not be written cannot be kept; the error has been told. */
		pagecache_discard_all(vol->pages);
	}
	free_volume(vol);
	return ret ? ret : err;
}

void volume_statfs(struct volume *vol, struct volume_statfs *out)
{
	struct space_counts counts;

	space_counts(vol->space, &counts);
	out->block_bytes = vol->geo.block_bytes;
	out->blocks = counts.blocks;
	out->free_blocks = counts.free_blocks;
	out->files = counts.inodes;
	out->free_files = counts.free_inodes;
}

void volume_shutdown(struct volume *vol, const char *why)
{
	log_shutdown(vol->log, SHUTDOWN_FORCED, why);
}
