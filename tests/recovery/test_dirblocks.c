// SPDX-License-Identifier: GPL-2.0
/* Directory blocks that lie in several pieces, replayed from the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "forge.h"
#include "lab/bypath.h"

enum {
	FILLER_KEEP_SIZE = 1,		/* FALLOC_FL_KEEP_SIZE */
	FILLER_PUNCH = 3,		/* ... | FALLOC_FL_PUNCH_HOLE */
	NAMES = 700,
};

static void must(int err)
{
	assert_int_equal(err, 0);
}

static void name_of(unsigned i, char *path, size_t bytes)
{
	snprintf(path, bytes, "d%u/a-name-that-is-long-enough-to-make-many-blocks-of-a-directory-%u", i % 2, i);
}

/* As much as there is; then every other block is free. */
static void leave_single_blocks(struct volume *vol)
{
	uint64_t block = vol->geo.block_bytes, size = 4 << 20, off = 0;

	must(path_create(vol, "filler", 0600));
	must(path_create(vol, "rest", 0600));
	while (size >= block) {
		if (path_fallocate(vol, "filler", FILLER_KEEP_SIZE, off, size))
			size /= 2;
		else
			off += size;
	}
	for (uint64_t at = block; at < off; at += 2 * block)
		must(path_fallocate(vol, "filler", FILLER_PUNCH, at, block));
	must(volume_sync(vol));
	/* What the volume keeps for itself is in one piece: that must go. */
	for (uint64_t i = 0; i < 450; i++)
		must(path_fallocate(vol, "rest", FILLER_KEEP_SIZE, i * 4 * block, 4 * block));
	must(volume_sync(vol));
}

static void put_names(struct volume *vol)
{
	char path[128];

	for (unsigned i = 0; i < NAMES; i++) {
		name_of(i, path, sizeof(path));
		must(path_link(vol, "file", path));
	}
	must(log_force(vol->log, 0, NULL));
	for (unsigned i = 0; i < NAMES; i += 3) {
		name_of(i, path, sizeof(path));
		must(path_unlink(vol, path));
	}
	must(log_force(vol->log, 0, NULL));
}

static void assert_names(struct disk *disk)
{
	struct volume *vol;

	must(disk_mount(disk, &vol));
	for (unsigned i = 0; i < NAMES; i++) {
		struct inode_stat stat;
		char path[128];

		name_of(i, path, sizeof(path));
		assert_int_equal(path_stat(vol, path, &stat), i % 3 ? 0 : -2);
	}
	must(volume_unmount(vol, true));
}

static uint64_t extents_of_directories(struct volume *vol)
{
	uint64_t extents = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct inode *dir;

		must(path_get(vol, i ? "d1" : "d0", &dir));
		extents += dir->map.data.extent_count;
		inode_put(dir);
	}
	return extents;
}

/* The log speaks of such blocks, which are @is_home or not. */
static void make_dirty(struct forge *f, const char *mkfs_args, bool is_home)
{
	struct volume *vol;
	struct disk copy;

	forge_make(f, mkfs_args);
	must(disk_mount(&f->disk, &vol));
	must(path_create(vol, "file", 0600));
	must(path_mkdir(vol, "d0"));
	must(path_mkdir(vol, "d1"));
	leave_single_blocks(vol);
	put_names(vol);
	assert_true(extents_of_directories(vol) > 10);
	if (is_home)
		must(log_quiesce(vol->log));
	disk_create(&copy, f->disk.size_bytes);
	memcpy(copy.bytes, f->disk.bytes, copy.size_bytes);
	must(volume_unmount(vol, true));
	memcpy(f->disk.bytes, copy.bytes, copy.size_bytes);
	disk_destroy(&copy);
}

static void blocks_in_pieces_are_whole_after_replay(const char *mkfs_args, bool is_home)
{
	struct disk recovered;
	struct verdict v;
	struct forge f;

	make_dirty(&f, mkfs_args, is_home);
	forge_recover(&f, &v, &recovered);
	if (v.err)
		fail_msg("refused: %s", v.said);
	assert_true(v.report.buffers > 0);
	assert_true(disk_is_clean(&recovered));
	assert_names(&recovered);
	disk_destroy(&recovered);
	forge_destroy(&f);
}

static void blocks_not_written_home_are_whole(void **state)
{
	blocks_in_pieces_are_whole_after_replay("-n size=16k -d agcount=2 -m reflink=0,rmapbt=0,finobt=0", false);
}

/* They are newer than what the log says at first, and are right at the end all the same. */
static void blocks_written_home_already_stay_right(void **state)
{
	blocks_in_pieces_are_whole_after_replay("-n size=16k -d agcount=2 -m reflink=0,rmapbt=0,finobt=0", true);
}

static void blocks_of_64_pieces_are_whole(void **state)
{
	blocks_in_pieces_are_whole_after_replay("-b size=1024 -n size=64k -d agcount=2 "
						"-m reflink=0,rmapbt=0,finobt=0", false);
}

/* An inode on disk whose write was cut off. */
static void tear_root(const struct forge *f)
{
	char *inode = f->disk.bytes + fsblk_to_bytes(&f->geo, inum_to_fsblk(&f->geo, f->geo.root));

	inode[offsetof(struct xfs_dinode, di_atime)] ^= 1;
}

/* What goes home before the end is replayed again over what is there by then. */
static void little_memory_makes_no_difference(void **state)
{
	struct disk before;
	struct verdict v;
	struct forge f;

	make_dirty(&f, "-n size=16k -d agcount=2 -m reflink=0,rmapbt=0,finobt=0", false);
	tear_root(&f);
	disk_create(&before, f.disk.size_bytes);
	memcpy(before.bytes, f.disk.bytes, before.size_bytes);
	forge_replay_home(&f, 0, &v);
	must(v.err);
	for (uint64_t memory = 512; memory <= 64 << 10; memory *= 2) {
		struct disk all = f.disk;

		f.disk = before;
		disk_create(&before, all.size_bytes);
		memcpy(before.bytes, f.disk.bytes, all.size_bytes);
		forge_replay_home(&f, memory, &v);
		must(v.err);
		assert_memory_equal(f.disk.bytes, all.bytes, all.size_bytes);
		disk_destroy(&all);
	}
	disk_destroy(&before);
	forge_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_not_written_home_are_whole),
		cmocka_unit_test(blocks_written_home_already_stay_right),
		cmocka_unit_test(blocks_of_64_pieces_are_whole),
		cmocka_unit_test(little_memory_makes_no_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
