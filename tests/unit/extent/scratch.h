/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * A mounted volume with one empty file whose block map is the test's to change.  There is no inode room below: the
 * file's log item logs nothing, and scratch_close() writes the inode home by hand once the log is clean.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <userxfs/buffer.h>
#include <userxfs/device.h>
#include <userxfs/extent/delay.h>
#include <userxfs/extent/map.h>
#include <userxfs/log/log.h>
#include <userxfs/space/space.h>

#include "image.h"

struct scratch {
	char *path;
	struct device *dev;
	struct geometry geo;
	struct buffer_cache *cache;
	struct space *space;
	struct log *log;
	struct rwlock lock;
	struct log_item item;
	struct inum ino;
	struct file_map map;
	uint64_t free_at_start;		/* the counter itself: blocks of free-space trees count as free */
};

static char *scratch_image;	/* of the running test */

/* Removes what a failed test leaves behind. */
static inline int scratch_teardown(void **state)
{
	if (scratch_image)
		image_remove(scratch_image);
	scratch_image = NULL;
	return 0;
}

#define scratch_test(name) cmocka_unit_test_teardown(name, scratch_teardown)

static inline uint64_t scratch_free(struct scratch *s)
{
	struct space_counts counts;

	space_counts(s->space, &counts);
	return counts.free_blocks;
}

static inline uint64_t scratch_raw_free(struct scratch *s)
{
	struct space_counts counts;

	space_counts(s->space, &counts);
	return counts.raw_free_blocks;
}

/* Blocks that are not free any more. */
static inline int64_t scratch_used(struct scratch *s)
{
	return (int64_t)s->free_at_start - (int64_t)scratch_raw_free(s);
}

/* ---- the file's log item ---- */

static void item_size(struct log_item *item, uint32_t *regions, uint32_t *bytes)
{
}

static void item_format(struct log_item *item, struct log_region_writer *w)
{
}

static void item_release(struct log_item *item, bool dirty, bool aborted)
{
}

static const struct log_item_ops item_ops = {
	.name = "scratch file",
	.type = XFS_LI_INODE,
	.stays_at_roll = true,
	.size = item_size,
	.format = item_format,
	.release = item_release,
};

/* ---- the inode on disk ---- */

static uint64_t inode_off_bytes(const struct scratch *s)
{
	uint64_t in_block = s->ino.v & (s->geo.inodes_per_block - 1);

	return fsblk_to_bytes(&s->geo, inum_to_fsblk(&s->geo, s->ino)) + (in_block << s->geo.inode_log);
}

static void read_inode(struct scratch *s, void *dip)
{
	assert_int_equal(device_read(s->dev, inode_off_bytes(s), dip, s->geo.inode_bytes), 0);
}

static void write_inode(struct scratch *s)
{
	struct xfs_dinode *dip = calloc(1, s->geo.inode_bytes);

	read_inode(s, dip);
	fork_encode(&s->map, FORK_DATA, dip);
	fork_encode(&s->map, FORK_ATTR, dip);
	if (s->map.is_reflink)
		dip->di_flags2 |= cpu_to_be64(XFS_DIFLAG2_REFLINK);
	dip->di_size = cpu_to_be64(map_end(&s->map, FORK_DATA) << s->geo.block_log);
	assert_null(dinode_verify(&s->geo, s->ino, dip));
	dinode_seal(&s->geo, dip);
	assert_int_equal(device_write(s->dev, inode_off_bytes(s), dip, s->geo.inode_bytes, 0), 0);
	assert_int_equal(device_flush(s->dev), 0);
	free(dip);
}

/* ---- mounting ---- */

static char *make_image(uint64_t bytes, const char *mkfs_args)
{
	char proto[] = "/tmp/userxfs-extent-XXXXXX", args[512], *path;
	int fd = mkstemp(proto);
	FILE *f = fdopen(fd, "w");

	assert_non_null(f);
	fprintf(f, "/\n0 0\nd--755 0 0\nscratch ---644 0 0 /dev/null\n$\n");
	fclose(f);
	snprintf(args, sizeof(args), "-p %s %s", proto, mkfs_args);
	path = image_create(bytes, args);
	unlink(proto);
	return path;
}

static struct inum find_scratch(const char *path)
{
	char command[512];
	unsigned long long ino = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "xfs_db -r -c 'path /scratch' -c 'p v3.inumber' '%s'", path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "v3.inumber = %llu", &ino), 1);
	pclose(pipe);
	return (struct inum){ ino };
}

static void start_log(struct scratch *s)
{
	uint64_t off = fsblk_to_bytes(&s->geo, s->geo.log_start);
	struct log_options options = { 0 };
	struct log_head head;

	assert_int_equal(log_find_head(s->dev, off, &s->geo, &head), 0);
	assert_int_equal(
		log_create(s->cache, s->dev, off, &s->geo, &head, &space_tx_ops, s->space, &options, &s->log), 0);
}

static inline void scratch_open(struct scratch *s, uint64_t bytes, const char *mkfs_args)
{
	struct device_options options = { .engine = DEVICE_ENGINE_SYNC, .buffered = true };
	void *sb = malloc(XFS_MAX_SECTORSIZE);
	struct xfs_dinode *dip;
	char why[256];

	memset(s, 0, sizeof(*s));
	s->path = scratch_image = make_image(bytes, mkfs_args);
	s->ino = find_scratch(s->path);
	assert_int_equal(device_open(s->path, &options, &s->dev), 0);
	assert_int_equal(device_read(s->dev, 0, sb, XFS_MAX_SECTORSIZE), 0);
	assert_int_equal(geometry_decode(sb, XFS_MAX_SECTORSIZE, s->dev->size_bytes, &s->geo, why, sizeof(why)),
			 GEOMETRY_OK);
	assert_int_equal(buffer_cache_create(s->dev, &s->geo, 16 << 20, &s->cache), 0);
	assert_int_equal(space_create(s->cache, &s->geo, &s->space), 0);
	assert_int_equal(space_load(s->space, sb, false), 0);
	start_log(s);
	assert_int_equal(space_start(s->space, s->log), 0);

	rwlock_init(&s->lock, RANK_INODE_MAP, s->ino.v, "scratch");
	log_item_init(s->log, &s->item, &item_ops);
	map_init(&s->map, s->space, s->ino, &s->lock, &s->item);
	dip = calloc(1, s->geo.inode_bytes);
	read_inode(s, dip);
	assert_int_equal(map_decode(&s->map, dip), 0);
	free(dip);
	free(sb);
	s->free_at_start = scratch_raw_free(s);
}

/* The file keeps its real extents, must have no delayed ones; xfs_repair has the last word. */
static inline void scratch_close(struct scratch *s)
{
	int64_t used = scratch_used(s);

	assert_null(map_verify(&s->map));
	assert_int_equal(used, s->map.block_count);
	assert_int_equal(log_quiesce(s->log), 0);
	assert_int_equal(map_verify_disk(&s->map, FORK_DATA), 0);
	space_stop(s->space);
	assert_int_equal(space_log_superblock(s->space), 0);
	assert_int_equal(log_quiesce(s->log), 0);
	assert_int_equal(log_write_unmount(s->log), 0);
	write_inode(s);
	map_deinit(&s->map, false);
	log_destroy(s->log);
	space_destroy(s->space);
	buffer_cache_destroy(s->cache);
	device_close(s->dev);
	rwlock_deinit(&s->lock);
	assert_int_equal(image_check(s->path), 0);
	scratch_teardown(NULL);
}

/* A transaction of the file: locked and joined. */
static inline struct tx *scratch_begin(struct scratch *s, uint64_t blocks, uint32_t flags)
{
	struct tx *tx;

	assert_int_equal(tx_begin(s->log, &log_reservations(s->log)->write, blocks, flags, &tx), 0);
	rwlock_write_lock(&s->lock);
	tx_join(tx, &s->item);
	return tx;
}

static inline void scratch_commit(struct scratch *s, struct tx *tx)
{
	assert_int_equal(tx_commit(tx), 0);
	rwlock_write_unlock(&s->lock);
	assert_null(map_verify(&s->map));
}
