/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* A volume with a log and its space, but no inodes in memory: for tests of this room on real images. */
#include <stdint.h>

#include <userxfs/device.h>
#include <userxfs/log/log.h>
#include <userxfs/space/ialloc.h>
#include <userxfs/space/space.h>

#include "image.h"

struct mounted {
	char *path;			/* of the image */
	struct device *dev;
	struct geometry geo;
	struct buffer_cache *buffers;
	struct space *space;
	struct log *log;
};

extern struct mounted vol;

/* A new image, mounted. */
void mounted_create(uint64_t size_bytes, const char *mkfs_args);
void mounted_open(void);
/* An orderly unmount. */
void mounted_close(void);
/* The volume as a kill -9 would leave it. */
void mounted_abandon(void);
/* An orderly unmount, xfs_repair -n, and the image is gone. */
void mounted_check_and_remove(void);

/*
 * Mounts the image of vol.path, which must be closed, with the kernel, runs @script (sh) with $d for the mount point,
 * and unmounts.  Skips the test (after removing the image) where the kernel cannot mount it.
 */
void mounted_run_in_kernel(const char *script);
/*
 * Forces the log, leaves the volume as a kill -9 would, lets the kernel recover it, checks and removes it.  Skips the
 * test (after removing the image) where the kernel cannot mount it.
 */
void mounted_recover_by_kernel_and_remove(void);

/* Writes home until nothing is left in the log. */
void mounted_settle(void);
struct tx *mounted_begin(uint64_t blocks);
void mounted_commit(struct tx *tx);

/* What the inode room does with the clusters of a chunk that is gone (XFS: xfs_ifree_cluster). */
void mounted_forget_clusters(struct tx *tx, const struct inode_chunk_freed *freed);

void random_seed(uint64_t seed);
uint32_t random_below(uint32_t below);
