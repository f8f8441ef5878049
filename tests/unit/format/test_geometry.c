// SPDX-License-Identifier: GPL-2.0
/*
 * Geometry of volumes made by mkfs.xfs, compared with what xfs_db prints and with the kernel's numbers worked out by
 * hand.
 */
#include "format_test.h"

struct volume_case {
	const char *mkfs_args;
	uint64_t bytes;
	/* By hand, from the kernel's formulas. */
	uint32_t cluster_bytes, cluster_align_blocks, sparse_align_blocks;
	uint8_t bnobt, inobt, rmapbt, refcountbt, bmbt, bmbt_attr;
};

#define MIB (1ull << 20)

static const struct volume_case cases[] = {
	{ "-b size=4096 -d agcount=4", 300 * MIB, 16384, 8, 4, 2, 2, 0, 2, 5, 3 },
	{ "-b size=1024 -d agcount=4", 300 * MIB, 16384, 32, 16, 3, 3, 0, 3, 7, 4 },
	{ "-b size=65536 -d agcount=4", 300 * MIB, 65536, 1, 0, 1, 2, 0, 1, 3, 2 },
	{ "-b size=4096 -d agcount=4 -m rmapbt=1 -i nrext64=1", 300 * MIB, 16384, 8, 4, 2, 2, 4, 2, 7, 5 },
	{ "-b size=4096 -d agcount=4 -m rmapbt=1,reflink=0,finobt=0,inobtcount=0 -i sparse=0", 300 * MIB,
	  16384, 4, 0, 2, 2, 3, 0, 5, 3 },
	{ "-b size=4096 -d agcount=2 -s size=4096 -n size=16384 -i size=1024", 300 * MIB,
	  32768, 16, 8, 2, 2, 0, 2, 5, 3 },
	{ "-b size=2048 -d agcount=4 -i size=1024 -m bigtime=0", 300 * MIB, 32768, 32, 16, 3, 2, 0, 3, 6, 3 },
	{ "-b size=4096 -d agcount=32,su=64k,sw=4", 4100 * MIB, 16384, 8, 4, 2, 2, 0, 2, 5, 3 },
	{ "-b size=16384 -n size=65536 -d agcount=4", 1024 * MIB, 16384, 2, 1, 2, 2, 0, 2, 4, 2 },
	{ "-b size=1024 -d agcount=2 -i nrext64=1 -m rmapbt=1 -l size=64m", 8192 * MIB,
	  16384, 32, 16, 4, 4, 8, 4, 10, 7 },
};

/* "name = value" of xfs_db's superblock print. */
static uint64_t db_number(const char *path, const char *name)
{
	char command[512], line[256], *equals;
	uint64_t value;
	FILE *pipe;

	snprintf(command, sizeof(command), "xfs_db -r -c 'sb 0' -c 'p %s' %s", name, path);
	pipe = popen(command, "re");
	assert_non_null(pipe);
	assert_non_null(fgets(line, sizeof(line), pipe));
	equals = strchr(line, '=');
	assert_non_null(equals);
	value = strtoull(equals + 1, NULL, 0);
	assert_int_equal(pclose(pipe), 0);
	return value;
}

static void assert_superblock_fields(const struct mapped_image *image)
{
	const struct geometry *geo = &image->geo;

	assert_int_equal(db_number(image->path, "blocksize"), geo->block_bytes);
	assert_int_equal(db_number(image->path, "dblocks"), geo->blocks);
	assert_int_equal(db_number(image->path, "agcount"), geo->ag_count);
	assert_int_equal(db_number(image->path, "agblocks"), geo->ag_blocks);
	assert_int_equal(db_number(image->path, "agblklog"), geo->agblk_log);
	assert_int_equal(db_number(image->path, "sectsize"), geo->sector_bytes);
	assert_int_equal(db_number(image->path, "inodesize"), geo->inode_bytes);
	assert_int_equal(db_number(image->path, "inopblock"), geo->inodes_per_block);
	assert_int_equal(db_number(image->path, "inopblog"), geo->inopb_log);
	assert_int_equal(db_number(image->path, "rootino"), geo->root.v);
	assert_int_equal(db_number(image->path, "logstart"), geo->log_start.v);
	assert_int_equal(db_number(image->path, "logblocks"), geo->log_blocks);
	assert_int_equal(db_number(image->path, "logsunit"), geo->log_sunit_bytes);
	assert_int_equal(db_number(image->path, "unit"), geo->stripe_unit_blocks);
	assert_int_equal(db_number(image->path, "width"), geo->stripe_width_blocks);
	assert_int_equal(geo->dir.block_bytes, geo->block_bytes << db_number(image->path, "dirblklog"));
}

static void assert_hand_numbers(const struct volume_case *c, const struct geometry *geo)
{
	assert_int_equal(geo->cluster_bytes, c->cluster_bytes);
	assert_int_equal(geo->cluster_align_blocks, c->cluster_align_blocks);
	assert_int_equal(geo->sparse_align_blocks, c->sparse_align_blocks);
	assert_int_equal(geo->bnobt.max_levels, c->bnobt);
	assert_int_equal(geo->inobt.max_levels, c->inobt);
	assert_int_equal(geo->rmapbt.max_levels, c->rmapbt);
	assert_int_equal(geo->refcountbt.max_levels, c->refcountbt);
	assert_int_equal(geo->bmbt.max_levels, c->bmbt);
	assert_int_equal(geo->bmbt_max_levels_attr, c->bmbt_attr);
}

static void geometry_agrees_with_xfs_db_and_the_kernel(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct mapped_image image;

		mapped_image_create(&image, cases[i].bytes, cases[i].mkfs_args);
		print_message("%s\n", cases[i].mkfs_args);
		assert_superblock_fields(&image);
		assert_hand_numbers(&cases[i], &image.geo);
		mapped_image_remove(&image);
	}
}

static const struct btree_limits *limits_named(const struct geometry *geo, const char *name)
{
	if (!strcmp(name, "bnobt"))
		return &geo->bnobt;
	if (!strcmp(name, "cntbt"))
		return &geo->cntbt;
	if (!strcmp(name, "inobt"))
		return &geo->inobt;
	if (!strcmp(name, "finobt"))
		return &geo->finobt;
	if (!strcmp(name, "rmapbt"))
		return &geo->rmapbt;
	if (!strcmp(name, "refcountbt"))
		return &geo->refcountbt;
	return strcmp(name, "bmapbt") ? NULL : &geo->bmbt;
}

/* xfs_db's btheight prints how many records fit a block at best and at worst, for every tree. */
static void records_per_block_agree_with_xfs_db(void **state)
{
	static const char *const sizes[] = { "1024", "4096", "65536" };

	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		char args[64], command[256], line[256], name[32], kind[16];
		unsigned leaf, node, block_bytes, seen = 0;
		struct mapped_image image;
		FILE *pipe;

		snprintf(args, sizeof(args), "-m rmapbt=1 -b size=%s", sizes[i]);
		mapped_image_create(&image, 1024 * MIB, args);
		snprintf(command, sizeof(command), "xfs_db -r -c 'btheight -n 1000000 all' %s", image.path);
		pipe = popen(command, "re");
		assert_non_null(pipe);
		while (fgets(line, sizeof(line), pipe)) {
			const struct btree_limits *limits;

			if (sscanf(line, "%31[a-z]: %15s case per %u-byte block: %u records (leaf) / %u keyptrs",
				   name, kind, &block_bytes, &leaf, &node) != 5)
				continue;
			limits = limits_named(&image.geo, name);
			assert_non_null(limits);
			assert_int_equal(strcmp(kind, "best") ? limits->min_leaf : limits->max_leaf, leaf);
			assert_int_equal(strcmp(kind, "best") ? limits->min_node : limits->max_node, node);
			seen++;
		}
		assert_int_equal(pclose(pipe), 0);
		assert_int_equal(seen, 14);
		mapped_image_remove(&image);
	}
}

/* fsblk, inode number and daddr lead to each other and back, in the last AG too. */
static void conversions_are_inverse(void **state)
{
	struct mapped_image image;
	const struct geometry *geo = &image.geo;
	agino_t first, end;

	mapped_image_create(&image, 601 * MIB + 65536, "-b size=4096 -d agcount=5 -l size=64m,internal");
	for (agno_t agno = 0; agno < geo->ag_count; agno++) {
		agblk_t last = geometry_ag_blocks(geo, agno) - 1;
		struct fsblk b = fsblk_make(geo, agno, last);

		assert_true(geometry_is_valid_fsblk(geo, b));
		assert_false(geometry_is_valid_agblk(geo, agno, last + 1));
		assert_int_equal(daddr_to_fsblk(geo, fsblk_to_daddr(geo, b)).v, b.v);
		assert_int_equal(fsblk_to_daddr(geo, b), ((uint64_t)agno * geo->ag_blocks + last) * 8);
		geometry_agino_range(geo, agno, &first, &end);
		assert_true(geometry_is_valid_inum(geo, inum_make(geo, agno, first)));
		assert_true(geometry_is_valid_inum(geo, inum_make(geo, agno, end - 1)));
		assert_false(geometry_is_valid_inum(geo, inum_make(geo, agno, first - 1)));
		assert_false(geometry_is_valid_inum(geo, inum_make(geo, agno, end)));
	}
	assert_false(geometry_is_valid_fsblk(geo, fsblk_make(geo, geo->ag_count, 100)));
	assert_false(geometry_is_valid_fsblk(geo, FSBLK_NONE));
	assert_false(geometry_is_valid_inum(geo, INUM_NONE));
	assert_false(geometry_is_valid_inum(geo, (struct inum){ 0 }));
	assert_false(geometry_is_valid_name_inum(geo, geo->internal[0]));
	assert_true(geometry_is_valid_name_inum(geo, geo->root));
	mapped_image_remove(&image);
}

/* Section offsets and capacities of a 16 KiB directory block on 4 KiB blocks. */
static void directory_numbers_are_the_kernels(void **state)
{
	struct mapped_image image;

	mapped_image_create(&image, 300 * MIB, "-b size=4096 -n size=16384");
	assert_int_equal(image.geo.dir.leaf_fileblk, 1u << 23);
	assert_int_equal(image.geo.dir.free_fileblk, 2u << 23);
	assert_int_equal(image.geo.dir.fs_blocks, 4);
	assert_int_equal(image.geo.dir.node_entries, (16384 - 64) / 8);
	assert_int_equal(image.geo.dir.leaf_entries, (16384 - 64) / 8);
	assert_int_equal(image.geo.dir.free_bests, (16384 - 64) / 2);
	assert_int_equal(image.geo.dir.magic_pct_bytes, 6062);
	assert_int_equal(image.geo.attr.block_bytes, 4096);
	assert_int_equal(image.geo.attr.node_entries, (4096 - 64) / 8);
	mapped_image_remove(&image);
}

static void external_log_is_recognized(void **state)
{
	char *log_path = image_create(300 * MIB, ""), args[256];
	struct mapped_image image;

	snprintf(args, sizeof(args), "-l logdev=%s,size=64m", log_path);
	mapped_image_create(&image, 300 * MIB, args);
	assert_true(image.geo.has_external_log);
	assert_int_equal(image.geo.log_blocks, 16384);
	mapped_image_remove(&image);
	image_remove(log_path);
}

/* After "xfs_admin -U" the user sees a new UUID; blocks keep the one they were made with. */
static void changed_uuid_leaves_metadata_its_own(void **state)
{
	char *path = image_create(300 * MIB, "");
	struct mapped_image before, after;

	mapped_image_open(&before, path);
	assert_int_equal(image_shell("xfs_admin -U generate %s >/dev/null 2>&1", path), 0);
	mapped_image_open(&after, path);
	assert_memory_not_equal(after.geo.uuid, before.geo.uuid, 16);
	assert_memory_equal(after.geo.meta_uuid, before.geo.meta_uuid, 16);
	mapped_image_close(&before);
	mapped_image_remove(&after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(geometry_agrees_with_xfs_db_and_the_kernel),
		cmocka_unit_test(records_per_block_agree_with_xfs_db),
		cmocka_unit_test(conversions_are_inverse),
		cmocka_unit_test(directory_numbers_are_the_kernels),
		cmocka_unit_test(external_log_is_recognized),
		cmocka_unit_test(changed_uuid_leaves_metadata_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
