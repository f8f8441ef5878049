/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * A mounted volume for tests of the rooms from `inode` on: everything up to the inode cache, without threads.
 * Whoever needs log space or a checkpoint does the work itself.
 *
 *	struct volume_lite vol;
 *	char *image = image_create(300 << 20, "");
 *
 *	assert_int_equal(volume_lite_open(&vol, image), 0);
 *	... inode_get(vol.inodes, NULL, vol.geo.root, 0, &root) ... inode_put(root) ...
 *	assert_int_equal(volume_lite_close(&vol), 0);
 *	assert_int_equal(image_check(image), 0);
 *	image_remove(image);
 */
#include <userxfs/buffer.h>
#include <userxfs/device.h>
#include <userxfs/format/geometry.h>
#include <userxfs/inode.h>
#include <userxfs/log/log.h>
#include <userxfs/space/space.h>

struct volume_lite {
	struct device *dev;
	struct geometry geo;
	struct buffer_cache *buffers;
	struct space *space;
	struct log *log;
	struct inode_cache *inodes;
};

/* Opens an image whose log is clean.  On failure nothing stays open. */
int volume_lite_open(struct volume_lite *vol, const char *path);
/*
 * The orderly way out: everything home, counters and unmount record written.  No inode is referenced, none is
 * queued for inactivation.  The first error; everything is closed in any case.
 */
int volume_lite_close(struct volume_lite *vol);
/* The power goes: nothing more is written.  No inode is referenced. */
void volume_lite_abandon(struct volume_lite *vol);
