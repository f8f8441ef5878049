/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * A mounted volume: every room's object made in order, the threads that run their passes, and the way back down.
 * (XFS: xfs_mount, xfs_super.)
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/device.h>
#include <userxfs/file.h>
#include <userxfs/format/geometry.h>
#include <userxfs/inode.h>
#include <userxfs/log/log.h>
#include <userxfs/namespace.h>
#include <userxfs/pagecache.h>
#include <userxfs/space/space.h>

struct volume_options {
	const char *device;		/* image file or block device */
	struct device *opened;		/* use this instead of opening .device, which then is only its name in
					 * messages; the volume owns it, even if mounting fails */
	const char *log_device;		/* external log; NULL: internal */
	uint64_t off_bytes;		/* where the volume starts in @device */
	enum device_engine engine;
	bool buffered;			/* no O_DIRECT */
	bool read_only;
	bool no_recovery;		/* with read_only: look at a dirty volume as it is */
	bool discard;			/* reserved blocks handed back to the device: not supported, ignored */
	uint64_t cache_bytes;		/* page cache budget; 0: a quarter of RAM, at most 4 GiB */
	uint32_t alloc_size_log;	/* allocsize=; 0: dynamic speculation */
	bool sync_always;		/* -o sync */
	bool no_atime, strict_atime;	/* default: relatime */
	bool without_threads;		/* tests: passes are called by hand */
};

struct volume {
	struct volume_options options;	/* [I] */
	struct geometry geo;		/* [I] */
	bool is_read_only;		/* [I] */
	struct device *dev, *log_dev;	/* [I] log_dev == dev for an internal log */
	struct buffer_cache *buffers;	/* [I] */
	struct space *space;		/* [I] */
	struct log *log;		/* [I] */
	struct inode_cache *inodes;	/* [I] */
	struct pagecache *pages;	/* [I] */
	struct files *files;		/* [I] */
	struct namespace ns;
	struct inode *root;		/* [I] referenced */
	struct volume_threads *threads;	/* src/volume/threads.c */
};

/* What recovery found in a dirty log. */
struct volume_recovery_report {
	bool was_dirty;
	struct recovery_report log;
	uint64_t orphans;		/* unlinked inodes that were freed */
};

/*
 * Opens and mounts.  A dirty log is replayed first; read-only, in memory alone.  Every failure has written one log
 * line with the cause and the next step.
 * -EINVAL: not an XFS volume this program can mount; -EBUSY: in use; -EUCLEAN: a log that cannot be replayed, or
 * corrupt; -ENODEV, -EACCES, ...
 */
int volume_mount(const struct volume_options *options, struct volume **out);

/*
 * Only replays the log, if it is dirty.  Fails like volume_mount(); -EUCLEAN: the log could not be replayed.
 */
int volume_recover(const struct volume_options *options, struct volume_recovery_report *report);

/*
 * Flushes everything, inactivates, writes the unmount record, closes.  @forget: nobody holds references any more
 * though the counts may say so (the kernel sends no FORGETs at unmount): every inode counts as closed.  The first
 * error; the volume is gone in any case.  NULL is fine.
 */
int volume_unmount(struct volume *vol, bool forget);

/* sync(2): all data and metadata durable. */
int volume_sync(struct volume *vol);

/* One round of every background pass, for volumes without threads.  True: more to do. */
bool volume_pass(struct volume *vol);

struct volume_statfs {
	uint64_t block_bytes, blocks, free_blocks, files, free_files;
};
void volume_statfs(struct volume *vol, struct volume_statfs *out);
/* Stops the volume where it stands (XFS_IOC_GOINGDOWN). */
void volume_shutdown(struct volume *vol, const char *why);
