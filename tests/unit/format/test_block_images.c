// SPDX-License-Identifier: GPL-2.0
/*
 * Every metadata block that mkfs.xfs and the kernel wrote verifies; every kind is met.
 *
 * Blocks are found by their magic numbers, anywhere in the image outside the log.
 */
#include <sys/utsname.h>

#include "populated_image.h"

#define MIB (1ull << 20)

struct image_case {
	const char *mkfs_args;
	uint64_t bytes;
	bool needs_large_blocks;	/* of the kernel: larger than a page */
	bool is_wide;			/* inode numbers beyond 32 bits are expected */
};

static const struct image_case cases[] = {
	{ "-b size=4096 -d agcount=4", 300 * MIB },
	{ "-b size=4096 -d agcount=4 -m rmapbt=1 -i nrext64=1", 300 * MIB },
	{ "-b size=1024 -d agcount=4", 300 * MIB },
	{ "-b size=4096 -n size=16384 -i size=1024 -s size=4096", 300 * MIB },
	{ "-b size=4096 -m reflink=0,finobt=0,inobtcount=0,bigtime=0 -i sparse=0", 300 * MIB },
	{ "-b size=16384 -n size=65536 -i nrext64=1", 600 * MIB, .needs_large_blocks = true },
	{ "-b size=65536", 1024 * MIB, .needs_large_blocks = true },
	{ "-b size=4096 -d agcount=4 -l size=64m", 3ull << 40, .is_wide = true },
};

/* What one walk over an image met. */
struct census {
	unsigned blocks[ARRAY_COUNT(block_kinds)];
	unsigned inodes_used, inodes_free, inodes_wide;
};

static void assert_inodes_verify(const struct mapped_image *image, daddr_u64 daddr, struct census *census)
{
	const struct geometry *geo = &image->geo;
	struct fsblk b = daddr_to_fsblk(geo, daddr);
	agino_t first = agblk_to_agino(geo, fsblk_agblk(geo, b));

	for (uint32_t i = 0; i < geo->inodes_per_block; i++) {
		const struct xfs_dinode *dip = mapped_image_at(image, daddr) + i * geo->inode_bytes;
		struct inum ino = inum_make(geo, fsblk_agno(geo, b), first + i);
		const char *reason = dinode_verify(geo, ino, dip);

		if (reason)
			fail_msg("inode %llu: %s", (unsigned long long)ino.v, reason);
		if (dip->di_mode)
			census->inodes_used++;
		else
			census->inodes_free++;
		census->inodes_wide += ino.v > UINT32_MAX;
	}
}

static void take_census(const struct mapped_image *image, struct census *census)
{
	const struct geometry *geo = &image->geo;
	daddr_u64 end = (geo->blocks << geo->block_log) >> SECTOR_UNIT_LOG, step;

	for (daddr_u64 daddr = 0; daddr < end; daddr = mapped_image_skip_hole(image, daddr + step)) {
		const struct block_kind *kind = is_log(geo, daddr) ? NULL : kind_at(image, daddr);
		const void *data = mapped_image_at(image, daddr);

		step = geo->sector_bytes >> SECTOR_UNIT_LOG;
		if (!kind)
			continue;
		assert_int_equal(block_verify_read(kind->type, geo, data, kind_bytes(kind, geo, data), daddr), 0);
		census->blocks[kind - block_kinds]++;
		step = kind_bytes(kind, geo, data) >> SECTOR_UNIT_LOG;
		if (kind->type == &block_inode_cluster)
			assert_inodes_verify(image, daddr, census);
	}
}

static bool is_expected(const struct geometry *geo, const struct block_type *type)
{
	if (type == &block_finobt)
		return geo->has_finobt;
	if (type == &block_rmapbt)
		return geo->has_rmapbt;
	if (type == &block_refcountbt)
		return geo->has_reflink;
	if (type == &block_dquot)
		return geo->has_quota;
	return true;
}

/* Linux mounts blocks larger than its pages since 6.12. */
static bool kernel_has_large_blocks(void)
{
	unsigned major, minor;
	struct utsname name;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%u.%u", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 12);
}

static void assert_everything_verifies(const struct image_case *c)
{
	struct census census = { 0 };
	struct mapped_image image;

	populated_image_create(&image, c->bytes, c->mkfs_args);
	take_census(&image, &census);
	for (size_t k = 0; k < ARRAY_COUNT(block_kinds); k++)
		if (!census.blocks[k] && is_expected(&image.geo, block_kinds[k].type))
			fail_msg("no %s block was met", block_kinds[k].type->name);
	assert_true(census.inodes_used > 500 && census.inodes_free > 20);
	assert_int_equal(census.inodes_wide > 0, c->is_wide);
	mapped_image_remove(&image);
}

static void kernel_written_blocks_verify(void **state)
{
	const char *lacks = kernel_mount_lacks();

	if (lacks) {
		print_message("%s\n", lacks);
		skip();
	}
	for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
		if (cases[c].needs_large_blocks && !kernel_has_large_blocks()) {
			print_message("left out, needs Linux 6.12: %s\n", cases[c].mkfs_args);
			continue;
		}
		print_message("%s\n", cases[c].mkfs_args);
		assert_everything_verifies(&cases[c]);
	}
}

/* Needs no kernel: what a fresh volume has. */
static void mkfs_written_blocks_verify(void **state)
{
	static const char *const args[] = { "", "-b size=65536", "-b size=1024 -m rmapbt=1,reflink=0",
					    "-b size=2048 -i size=1024", "-d agcount=32 -s size=4096" };

	for (size_t c = 0; c < ARRAY_COUNT(args); c++) {
		struct census census = { 0 };
		struct mapped_image image;

		mapped_image_create(&image, 4096 * MIB, args[c]);
		for (agno_t agno = 0; agno < image.geo.ag_count; agno++)
			for (unsigned sector = 0; sector < 4; sector++) {
				daddr_u64 daddr = ag_header_daddr(&image.geo, agno, sector);
				const struct block_kind *kind = kind_at(&image, daddr);

				assert_ptr_equal(kind, &block_kinds[sector]);
				assert_int_equal(block_verify_read(kind->type, &image.geo,
								   mapped_image_at(&image, daddr),
								   image.geo.sector_bytes, daddr), 0);
			}
		assert_inodes_verify(&image, fsblk_to_daddr(&image.geo, inum_to_fsblk(&image.geo, image.geo.root)),
				     &census);
		assert_true(census.inodes_used);
		mapped_image_remove(&image);
	}
}

/* Sealing again with the LSN that is there gives the same bytes: checksum and LSN are where the kernel has them. */
static void sealing_reproduces_the_kernels_bytes(void **state)
{
	const char *lacks = kernel_mount_lacks();
	struct mapped_image image;
	uint8_t *copy;
	daddr_u64 end;

	if (lacks) {
		print_message("%s\n", lacks);
		skip();
	}
	populated_image_create(&image, cases[1].bytes, cases[1].mkfs_args);
	copy = aligned_alloc(4096, XFS_MAX_BLOCKSIZE);
	assert_non_null(copy);
	end = (image.geo.blocks << image.geo.block_log) >> SECTOR_UNIT_LOG;
	for (daddr_u64 daddr = 0; daddr < end;
	     daddr = mapped_image_skip_hole(&image, daddr + 1)) {
		const struct block_kind *kind = is_log(&image.geo, daddr) ? NULL : kind_at(&image, daddr);
		size_t bytes = kind ? kind_bytes(kind, &image.geo, mapped_image_at(&image, daddr)) : 0;
		lsn_t lsn = 0;

		if (!kind)
			continue;
		memcpy(copy, mapped_image_at(&image, daddr), bytes);
		if (kind->type->lsn_off != LSN_OFF_NONE) {
			lsn = get_unaligned_be64(copy + kind->type->lsn_off);
			memset(copy + kind->type->lsn_off, 0x55, sizeof(lsn));
			memset(copy + kind->type->crc_off, 0x55, sizeof(__le32));
		}
		block_seal(kind->type, &image.geo, copy, bytes, lsn);
		assert_memory_equal(copy, mapped_image_at(&image, daddr), bytes);
	}
	free(copy);
	mapped_image_remove(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mkfs_written_blocks_verify),
		cmocka_unit_test(kernel_written_blocks_verify),
		cmocka_unit_test(sealing_reproduces_the_kernels_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
