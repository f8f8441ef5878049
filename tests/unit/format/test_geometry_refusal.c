// SPDX-License-Identifier: GPL-2.0
/* Volumes that are refused, and what the user is told; and that no damage to a superblock does worse than that. */
#include "format_test.h"

#define MIB (1ull << 20)
#define SB_BYTES 512

/* One good superblock, changed by each test in a copy. */
struct fixture {
	struct mapped_image image;
};

static struct fixture fixture;

static int create_fixture(void **state)
{
	mapped_image_create(&fixture.image, 300 * MIB, "-b size=4096 -d agcount=4 -s size=512");
	return 0;
}

static int remove_fixture(void **state)
{
	mapped_image_remove(&fixture.image);
	return 0;
}

static void copy_superblock(struct xfs_dsb *sb)
{
	memset(sb, 0, sizeof(*sb));
	memcpy(sb, fixture.image.data, sizeof(*sb));
}

/* @sb padded to its sector, with a right checksum. */
static enum geometry_verdict decode(const struct xfs_dsb *sb, uint64_t device_bytes, struct geometry *geo, char *why,
				    size_t why_bytes)
{
	uint64_t sector[SB_BYTES / 8] = { 0 };

	memcpy(sector, sb, sizeof(*sb));
	crc32c_block_set(sector, SB_BYTES, offsetof(struct xfs_dsb, sb_crc));
	return geometry_decode(sector, SB_BYTES, device_bytes, geo, why, why_bytes);
}

static void assert_verdict(const struct xfs_dsb *sb, uint64_t device_bytes, enum geometry_verdict want,
			   const char *words)
{
	struct geometry geo = { 0 };
	char why[256];

	assert_int_equal(decode(sb, device_bytes, &geo, why, sizeof(why)), want);
	if (!strstr(why, words))
		fail_msg("\"%s\" does not say \"%s\"", why, words);
	/* A refusal leaves the output alone. */
	assert_int_equal(geo.block_bytes, want == GEOMETRY_REFUSED ? 0 : 4096);
}

static void good_superblock_needs_no_words(void **state)
{
	struct xfs_dsb sb;

	copy_superblock(&sb);
	assert_verdict(&sb, 300 * MIB, GEOMETRY_OK, "");
}

static void other_bytes_are_not_a_volume(void **state)
{
	uint64_t zeroes[SB_BYTES / 8] = { 0 };
	struct geometry geo;
	char why[256];

	assert_int_equal(geometry_decode(zeroes, SB_BYTES, 0, &geo, why, sizeof(why)), GEOMETRY_REFUSED);
	assert_non_null(strstr(why, "not an XFS volume"));
}

static void version_4_is_refused_with_a_way_out(void **state)
{
	char *path = image_create(300 * MIB, "-m crc=0,finobt=0,reflink=0,bigtime=0 >/dev/null 2>&1");
	uint64_t sector[SB_BYTES / 8];
	struct geometry geo;
	char why[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, sector, sizeof(sector), 0), sizeof(sector));
	close(fd);
	image_remove(path);
	assert_int_equal(geometry_decode(sector, sizeof(sector), 0, &geo, why, sizeof(why)), GEOMETRY_REFUSED);
	assert_non_null(strstr(why, "XFS version 4"));
	assert_non_null(strstr(why, "mount it with the kernel or convert"));
}

static void wrong_checksum_is_refused(void **state)
{
	uint64_t sector[SB_BYTES / 8];
	struct geometry geo;
	char why[256];

	memcpy(sector, fixture.image.data, sizeof(sector));
	((struct xfs_dsb *)sector)->sb_fname[3] ^= 1;
	assert_int_equal(geometry_decode(sector, sizeof(sector), 0, &geo, why, sizeof(why)), GEOMETRY_REFUSED);
	assert_non_null(strstr(why, "checksum"));
	assert_non_null(strstr(why, "xfs_repair"));
}

static void truncated_image_is_told_what_is_missing(void **state)
{
	struct xfs_dsb sb;

	copy_superblock(&sb);
	assert_verdict(&sb, 300 * MIB - 4096, GEOMETRY_REFUSED, "4096 are missing");
}

/* Sectors of 4 KiB need more of the image than a caller may have read. */
static void image_shorter_than_its_superblock_is_refused(void **state)
{
	struct xfs_dsb sb;

	copy_superblock(&sb);
	sb.sb_sectsize = cpu_to_be16(4096);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "truncated");
}

static void newer_features_are_refused_by_name(void **state)
{
	struct xfs_dsb sb;

	copy_superblock(&sb);
	sb.sb_features_incompat |= cpu_to_be32(XFS_SB_FEAT_INCOMPAT_METADIR);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "(0x100): metadata directories (metadir)");
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "Linux 6.13 or newer");
	sb.sb_features_incompat |= cpu_to_be32(XFS_SB_FEAT_INCOMPAT_EXCHRANGE | XFS_SB_FEAT_INCOMPAT_PARENT);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "exchange-range, parent pointers, metadata directories");
	sb.sb_features_incompat |= cpu_to_be32(1u << 30);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "a newer Linux");
}

static void unknown_read_only_features_allow_reading(void **state)
{
	struct xfs_dsb sb;

	copy_superblock(&sb);
	sb.sb_features_ro_compat |= cpu_to_be32(1u << 9);
	assert_verdict(&sb, 0, GEOMETRY_READ_ONLY, "(0x200)");
	assert_verdict(&sb, 0, GEOMETRY_READ_ONLY, "-o ro");
	copy_superblock(&sb);
	sb.sb_flags |= XFS_SBF_READONLY;
	assert_verdict(&sb, 0, GEOMETRY_READ_ONLY, "-o ro");
}

static void unknown_compatible_features_do_not_matter(void **state)
{
	struct xfs_dsb sb;

	copy_superblock(&sb);
	sb.sb_features_compat = cpu_to_be32(1u << 5);
	assert_verdict(&sb, 0, GEOMETRY_OK, "");
}

static void log_features_are_refused_unless_known(void **state)
{
	struct xfs_dsb sb;

	copy_superblock(&sb);
	sb.sb_features_log_incompat = cpu_to_be32(XFS_SB_FEAT_INCOMPAT_LOG_XATTRS);
	assert_verdict(&sb, 0, GEOMETRY_OK, "");
	sb.sb_features_log_incompat |= cpu_to_be32(2);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "log features (0x2)");
}

static void states_that_need_somebody_else_are_refused(void **state)
{
	struct xfs_dsb sb;

	copy_superblock(&sb);
	sb.sb_features_incompat |= cpu_to_be32(XFS_SB_FEAT_INCOMPAT_NEEDSREPAIR);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "run xfs_repair");
	copy_superblock(&sb);
	sb.sb_inprogress = 1;
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "mkfs.xfs did not finish");
	copy_superblock(&sb);
	sb.sb_rblocks = cpu_to_be64(1000);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "realtime");
	copy_superblock(&sb);
	sb.sb_versionnum |= cpu_to_be16(XFS_SB_VERSION_BORGBIT);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "case-insensitive");
}

static void quota_is_not_refused(void **state)
{
	struct geometry geo;
	struct xfs_dsb sb;
	char why[256];

	copy_superblock(&sb);
	sb.sb_versionnum |= cpu_to_be16(XFS_SB_VERSION_QUOTABIT);
	sb.sb_qflags = cpu_to_be16(XFS_UQUOTA_ACCT | XFS_UQUOTA_CHKD);
	assert_int_equal(decode(&sb, 0, &geo, why, sizeof(why)), GEOMETRY_OK);
	assert_true(geo.has_quota);
}

static void impossible_numbers_are_refused_by_name(void **state)
{
	struct xfs_dsb sb;

	copy_superblock(&sb);
	sb.sb_blocksize = cpu_to_be32(4095);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "block size");
	copy_superblock(&sb);
	sb.sb_blocklog = 13;
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "block size");
	copy_superblock(&sb);
	sb.sb_agcount = cpu_to_be32(5);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "number of allocation groups");
	copy_superblock(&sb);
	sb.sb_agblklog = 40;
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "allocation group size");
	copy_superblock(&sb);
	sb.sb_rootino = cpu_to_be64(1ull << 60);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "root inode");
	copy_superblock(&sb);
	sb.sb_logstart = cpu_to_be64(1ull << 50);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "place of the log");
	copy_superblock(&sb);
	sb.sb_dirblklog = 200;
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "directory block size");
	copy_superblock(&sb);
	sb.sb_unit = cpu_to_be32(7);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "stripe");
	copy_superblock(&sb);
	sb.sb_spino_align = cpu_to_be32(3);
	assert_verdict(&sb, 0, GEOMETRY_REFUSED, "sparse inode alignment");
}

/* What is accepted must be safe to compute with, whatever it says. */
static void use_geometry(const struct geometry *geo)
{
	agino_t first, end;

	assert_true(geometry_is_valid_inum(geo, geo->root));
	assert_true(geometry_ag_blocks(geo, geo->ag_count - 1) >= XFS_MIN_AG_BLOCKS);
	geometry_agino_range(geo, geo->ag_count - 1, &first, &end);
	assert_true(geo->bmbt.max_levels && geo->bmbt.max_levels < BTREE_MAX_LEVELS);
	assert_true(geo->cluster_blocks && geo->cluster_align_blocks && geo->dir.node_entries);
	geometry_is_valid_fsblk(geo, (struct fsblk){ UINT64_MAX - 1 });
	daddr_to_fsblk(geo, UINT64_MAX);
}

/* Every byte of the superblock at several values, and random damage to several bytes, with a right checksum. */
static void damaged_superblocks_do_no_harm(void **state)
{
	uint64_t seed = 42, accepted = 0;
	struct geometry geo;
	struct xfs_dsb sb;
	char why[256];

	for (size_t i = 0; i < sizeof(sb) * 16 + 20000; i++) {
		uint8_t *bytes = (uint8_t *)&sb;

		copy_superblock(&sb);
		if (i < sizeof(sb) * 16) {
			bytes[i / 16] = i % 16 < 8 ? bytes[i / 16] ^ (uint8_t)(1u << i % 8) :
						     (uint8_t)next_random(&seed);
		} else {
			for (unsigned n = 0; n < 1 + next_random(&seed) % 4; n++)
				bytes[4 + next_random(&seed) % (sizeof(sb) - 4)] = (uint8_t)next_random(&seed);
		}
		if (decode(&sb, 0, &geo, why, sizeof(why)) == GEOMETRY_REFUSED) {
			assert_true(strlen(why) > 0);
			continue;
		}
		accepted++;
		use_geometry(&geo);
	}
	/* Labels, counters and UUIDs may say anything. */
	assert_true(accepted > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_superblock_needs_no_words),
		cmocka_unit_test(other_bytes_are_not_a_volume),
		cmocka_unit_test(version_4_is_refused_with_a_way_out),
		cmocka_unit_test(wrong_checksum_is_refused),
		cmocka_unit_test(truncated_image_is_told_what_is_missing),
		cmocka_unit_test(image_shorter_than_its_superblock_is_refused),
		cmocka_unit_test(newer_features_are_refused_by_name),
		cmocka_unit_test(unknown_read_only_features_allow_reading),
		cmocka_unit_test(unknown_compatible_features_do_not_matter),
		cmocka_unit_test(log_features_are_refused_unless_known),
		cmocka_unit_test(states_that_need_somebody_else_are_refused),
		cmocka_unit_test(quota_is_not_refused),
		cmocka_unit_test(impossible_numbers_are_refused_by_name),
		cmocka_unit_test(damaged_superblocks_do_no_harm),
	};

	return cmocka_run_group_tests(tests, create_fixture, remove_fixture);
}
