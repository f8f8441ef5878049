/* SPDX-License-Identifier: GPL-2.0 */
/* A mounted volume for tests; see volume_lite.h. */
#include "volume_lite.h"

#include <errno.h>
#include <string.h>

#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/log/tx.h>

#define BUFFER_BUDGET_BYTES (64u << 20)
#define UNUSED_INODES_MAX 20000

static int read_superblock(struct volume_lite *vol, void *sb)
{
	char why[256];
	int err;

	err = device_read(vol->dev, 0, sb, XFS_MAX_SECTORSIZE);
	if (err)
		return err;
	if (geometry_decode(sb, XFS_MAX_SECTORSIZE, vol->dev->size_bytes, &vol->geo, why, sizeof(why)) !=
	    GEOMETRY_OK) {
		msg_error("%s", why);
		return -EINVAL;
	}
	return 0;
}

static int start_log(struct volume_lite *vol)
{
	uint64_t off = fsblk_to_bytes(&vol->geo, vol->geo.log_start);
	struct log_options options = { 0 };
	struct log_head head;
	int err;

	err = log_find_head(vol->dev, off, &vol->geo, &head);
	if (err)
		return err;
	return log_create(vol->buffers, vol->dev, off, &vol->geo, &head, &space_tx_ops, vol->space, &options,
			  &vol->log);
}

static int start_space(struct volume_lite *vol, const void *sb)
{
	int err;

	err = buffer_cache_create(vol->dev, &vol->geo, BUFFER_BUDGET_BYTES, &vol->buffers);
	if (err)
		return err;
	err = space_create(vol->buffers, &vol->geo, &vol->space);
	if (err)
		return err;
	err = space_load(vol->space, sb, false);
	if (err)
		return err;
	err = start_log(vol);
	if (err)
		return err;
	return space_start(vol->space, vol->log);
}

static void destroy(struct volume_lite *vol)
{
	if (vol->inodes)
		inode_cache_destroy(vol->inodes);
	log_destroy(vol->log);
	if (vol->space)
		space_destroy(vol->space);
	buffer_cache_destroy(vol->buffers);
	device_close(vol->dev);
	memset(vol, 0, sizeof(*vol));
}

int volume_lite_open(struct volume_lite *vol, const char *path)
{
	struct device_options options = { 0 };
	void *sb;
	int err;

	memset(vol, 0, sizeof(*vol));
	sb = mem_alloc_aligned(XFS_MAX_SECTORSIZE, XFS_MAX_SECTORSIZE);
	if (!sb)
		return -ENOMEM;
	err = device_open(path, &options, &vol->dev);
	if (!err)
		err = read_superblock(vol, sb);
	if (!err)
		err = start_space(vol, sb);
	if (!err)
		err = inode_cache_create(vol->space, vol->log, UNUSED_INODES_MAX, &vol->inodes);
	mem_free(sb);
	if (err)
		destroy(vol);
	return err;
}

int volume_lite_close(struct volume_lite *vol)
{
	int err;

	err = log_quiesce(vol->log);
	space_stop(vol->space);
	if (!err)
		err = space_log_superblock(vol->space);
	if (!err)
		err = log_quiesce(vol->log);
	if (!err)
		err = log_write_unmount(vol->log);
	if (err) {
		log_shutdown(vol->log, SHUTDOWN_FORCED, "volume_lite_close");
		log_quiesce(vol->log);
	}
	inode_cache_drop(vol->inodes);
	destroy(vol);
	return err;
}

void volume_lite_abandon(struct volume_lite *vol)
{
	log_shutdown(vol->log, SHUTDOWN_FORCED, "volume_lite_abandon");
	log_quiesce(vol->log);
	inode_cache_drop(vol->inodes);
	destroy(vol);
}
