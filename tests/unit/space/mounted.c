/* SPDX-License-Identifier: GPL-2.0 */
/* A volume without inodes in memory; see mounted.h.  Included by the tests: each of them is one file. */
#include "mounted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include <userxfs/base/memory.h>

#define BUFFER_BUDGET_BYTES (32u << 20)

struct mounted vol;
static uint64_t random_state = 1;

void random_seed(uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ull + 1;
}

uint32_t random_below(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state * 0x2545f4914f6cdd1dull >> 32) % below);
}

static void decode_superblock(void *sb)
{
	char why[256];

	assert_int_equal(device_read(vol.dev, 0, sb, XFS_MAX_SECTORSIZE), 0);
	if (geometry_decode(sb, XFS_MAX_SECTORSIZE, vol.dev->size_bytes, &vol.geo, why, sizeof(why)) != GEOMETRY_OK)
		fail_msg("%s", why);
}

void mounted_open(void)
{
	struct device_options device_options = { 0 };
	struct log_options log_options = { 0 };
	struct log_head head;
	uint64_t log_off;
	void *sb;

	sb = mem_alloc_aligned(XFS_MAX_SECTORSIZE, XFS_MAX_SECTORSIZE);
	assert_non_null(sb);
	assert_int_equal(device_open(vol.path, &device_options, &vol.dev), 0);
	decode_superblock(sb);
	assert_int_equal(buffer_cache_create(vol.dev, &vol.geo, BUFFER_BUDGET_BYTES, &vol.buffers), 0);
	assert_int_equal(space_create(vol.buffers, &vol.geo, &vol.space), 0);
	assert_int_equal(space_load(vol.space, sb, false), 0);
	log_off = fsblk_to_bytes(&vol.geo, vol.geo.log_start);
	assert_int_equal(log_find_head(vol.dev, log_off, &vol.geo, &head), 0);
	assert_int_equal(log_create(vol.buffers, vol.dev, log_off, &vol.geo, &head, &space_tx_ops, vol.space,
				    &log_options, &vol.log), 0);
	assert_int_equal(space_start(vol.space, vol.log), 0);
	mem_free(sb);
}

static void destroy(void)
{
	char *path = vol.path;

	log_destroy(vol.log);
	space_destroy(vol.space);
	buffer_cache_destroy(vol.buffers);
	device_close(vol.dev);
	memset(&vol, 0, sizeof(vol));
	vol.path = path;
}

void mounted_create(uint64_t size_bytes, const char *mkfs_args)
{
	vol.path = image_create(size_bytes, mkfs_args);
	mounted_open();
}

void mounted_close(void)
{
	assert_int_equal(log_quiesce(vol.log), 0);
	space_stop(vol.space);
	assert_int_equal(space_log_superblock(vol.space), 0);
	assert_int_equal(log_quiesce(vol.log), 0);
	assert_int_equal(log_write_unmount(vol.log), 0);
	destroy();
}

void mounted_abandon(void)
{
	log_shutdown(vol.log, SHUTDOWN_FORCED, "test");
	destroy();
}

void mounted_check_and_remove(void)
{
	int status;

	mounted_close();
	status = image_check(vol.path);
	image_remove(vol.path);
	vol.path = NULL;
	assert_int_equal(status, 0);
}

enum { CANNOT_MOUNT = 77 };

void mounted_run_in_kernel(const char *script)
{
	int status = image_shell("test `id -u` = 0 && d=`mktemp -d /var/tmp/userxfs-mount-XXXXXX` || exit %d\n"
				 "mount -o loop %s $d || { rmdir $d; exit %d; }\n"
				 "( set -e; %s\n ); s=$?; umount $d && rmdir $d || s=1; exit $s",
				 CANNOT_MOUNT, vol.path, CANNOT_MOUNT, script);

	if (status == CANNOT_MOUNT) {
		image_remove(vol.path);
		vol.path = NULL;
		print_message("skipped: this needs root, loop devices and XFS in the kernel\n");
		skip();
	}
	assert_int_equal(status, 0);
}

void mounted_recover_by_kernel_and_remove(void)
{
	int status;

	assert_int_equal(log_force(vol.log, 0, NULL), 0);
	mounted_abandon();
	mounted_run_in_kernel(":");
	status = image_check(vol.path);
	image_remove(vol.path);
	vol.path = NULL;
	assert_int_equal(status, 0);
}

void mounted_settle(void)
{
	assert_int_equal(log_quiesce(vol.log), 0);
}

struct tx *mounted_begin(uint64_t blocks)
{
	struct tx *tx;

	assert_int_equal(tx_begin(vol.log, &log_reservations(vol.log)->truncate, blocks, 0, &tx), 0);
	return tx;
}

void mounted_commit(struct tx *tx)
{
	assert_int_equal(tx_commit(tx), 0);
}

void mounted_forget_clusters(struct tx *tx, const struct inode_chunk_freed *freed)
{
	const struct geometry *geo = &vol.geo;
	uint32_t sectors = geo->cluster_bytes >> SECTOR_UNIT_LOG;

	for (uint32_t i = 0; i < 64; i += geo->cluster_inodes) {
		struct fsblk at = inum_to_fsblk(geo, (struct inum){ freed->first.v + i });
		struct buffer *buf;

		if (!(freed->allocated_mask >> i & 1))
			continue;
		assert_int_equal(tx_buffer_get(tx, fsblk_to_daddr(geo, at), sectors, &buf), 0);
		tx_buffer_invalidate(tx, buf);
	}
}
