// SPDX-License-Identifier: GPL-2.0
/* One inode: each rule broken once, in an inode made by hand. */
#include "format_test.h"

#define INODE_BYTES 512
#define LITERAL_BYTES (INODE_BYTES - sizeof(struct xfs_dinode))

/* An inode in an allocation of its own size. */
struct made_inode {
	struct xfs_dinode *dip;
	struct inum ino;
};

static struct mapped_image image;
static struct made_inode made;

static int create_image(void **state)
{
	mapped_image_create(&image, 300ull << 20, "-b size=4096 -d agcount=4 -m reflink=1 -i nrext64=0");
	made.dip = aligned_alloc(512, INODE_BYTES);
	made.ino.v = image.geo.root.v + 9;
	assert_non_null(made.dip);
	return 0;
}

static int remove_image(void **state)
{
	free(made.dip);
	mapped_image_remove(&image);
	return 0;
}

/* An inode of type @mode without contents. */
static struct xfs_dinode *make(uint16_t mode, uint8_t format)
{
	struct xfs_dinode *dip = made.dip;

	memset(dip, 0, INODE_BYTES);
	dip->di_magic = cpu_to_be16(XFS_DINODE_MAGIC);
	dip->di_version = 3;
	dip->di_mode = cpu_to_be16(mode);
	dip->di_nlink = cpu_to_be32(1);
	dip->di_format = format;
	dip->di_aformat = XFS_DINODE_FMT_EXTENTS;
	dip->di_next_unlinked = cpu_to_be32(NULLAGINO);
	dip->di_ino = cpu_to_be64(made.ino.v);
	memcpy(dip->di_uuid, image.geo.meta_uuid, 16);
	return dip;
}

static const char *verify(void)
{
	return dinode_verify(&image.geo, made.ino, made.dip);
}

/* Extent @n of the list at @list: one block at file block @off. */
static void set_extent(void *list, unsigned n, fileblk_t off, uint64_t start, enum extent_state state)
{
	struct extent ext = { .off = off, .count = 1, .start = { start }, .state = state };

	extent_encode(&ext, (struct xfs_bmbt_rec *)list + n);
}

static struct xfs_dinode *make_extents(uint16_t mode, unsigned count)
{
	struct xfs_dinode *dip = make(mode, XFS_DINODE_FMT_EXTENTS);

	for (unsigned i = 0; i < LITERAL_BYTES / sizeof(struct xfs_bmbt_rec); i++)
		set_extent(dip + 1, i, i * 2, 100 + i * 2, EXTENT_WRITTEN);
	dip->di_nextents = cpu_to_be32(count);
	dip->di_nblocks = cpu_to_be64(count);
	dip->di_size = cpu_to_be64(LITERAL_BYTES + 4096);
	return dip;
}

static void plain_inodes_verify(void **state)
{
	make(0, 0);
	assert_null(verify());
	make(S_IFREG | 0644, XFS_DINODE_FMT_EXTENTS);
	assert_null(verify());
	make_extents(S_IFREG | 0600, 4);
	assert_null(verify());
	make(S_IFCHR | 0600, XFS_DINODE_FMT_DEV);
	assert_null(verify());
	make(S_IFLNK | 0777, XFS_DINODE_FMT_LOCAL)->di_size = cpu_to_be64(3);
	memcpy(made.dip + 1, "abc", 3);
	assert_null(verify());
}

static void identity_is_checked(void **state)
{
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_magic = 0;
	assert_string_equal(verify(), "wrong magic number");
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_version = 2;
	assert_string_equal(verify(), "wrong version");
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_ino = cpu_to_be64(made.ino.v + 1);
	assert_string_equal(verify(), "number of another inode");
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_uuid[0] ^= 1;
	assert_string_equal(verify(), "UUID of another volume");
	make(0170000, XFS_DINODE_FMT_EXTENTS);
	assert_string_equal(verify(), "unknown file type");
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_next_unlinked = cpu_to_be32(1);
	assert_string_equal(verify(), "unlinked list leads outside the AG");
}

static void sizes_are_checked(void **state)
{
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_size = cpu_to_be64(1ull << 63);
	assert_string_equal(verify(), "impossible size");
	make(S_IFDIR, XFS_DINODE_FMT_EXTENTS);
	assert_string_equal(verify(), "empty directory or symlink");
	make(S_IFDIR, XFS_DINODE_FMT_EXTENTS)->di_nlink = 0;	/* half taken apart */
	assert_null(verify());
	make_extents(S_IFREG, 3)->di_nblocks = cpu_to_be64(2);
	assert_string_equal(verify(), "more extents than blocks");
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_nblocks = cpu_to_be64(2);
	assert_string_equal(verify(), "blocks without extents");
	make_extents(S_IFREG, 3)->di_nblocks = cpu_to_be64(image.geo.blocks + 1);
	assert_string_equal(verify(), "more blocks than the volume has");
	/* Shared with itself often enough, a file has more blocks than the volume. */
	made.dip->di_flags2 = cpu_to_be64(XFS_DIFLAG2_REFLINK);
	assert_null(verify());
	make_extents(S_IFLNK, 1)->di_size = cpu_to_be64(1024);
	assert_string_equal(verify(), "symlink target longer than any");
}

static void flags_are_checked(void **state)
{
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_flags = cpu_to_be16(XFS_DIFLAG_REALTIME);
	assert_non_null(verify());
	make(S_IFCHR, XFS_DINODE_FMT_DEV)->di_flags2 = cpu_to_be64(XFS_DIFLAG2_REFLINK);
	assert_non_null(verify());
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_flags2 = cpu_to_be64(XFS_DIFLAG2_NREXT64);
	assert_string_equal(verify(), "large extent counters on a volume without them");
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_v3_pad = cpu_to_be64(1);
	assert_string_equal(verify(), "padding that is not zero");
}

static void extent_size_hints_are_checked(void **state)
{
	struct xfs_dinode *dip = make(S_IFREG, XFS_DINODE_FMT_EXTENTS);

	dip->di_flags = cpu_to_be16(XFS_DIFLAG_EXTSIZE);
	assert_non_null(verify());				/* flag without a hint */
	dip->di_extsize = cpu_to_be32(16);
	assert_null(verify());
	dip->di_extsize = cpu_to_be32(image.geo.ag_blocks);
	assert_non_null(verify());
	dip->di_extsize = cpu_to_be32(16);
	dip->di_flags = 0;
	assert_non_null(verify());				/* hint without a flag */
	dip->di_mode = 0;
	assert_null(verify());					/* left over in a free inode */
	dip = make(S_IFREG, XFS_DINODE_FMT_EXTENTS);
	dip->di_flags = cpu_to_be16(XFS_DIFLAG_EXTSZINHERIT);
	dip->di_extsize = cpu_to_be32(16);
	assert_non_null(verify());				/* for directories only */
	dip = make(S_IFREG, XFS_DINODE_FMT_EXTENTS);
	dip->di_flags2 = cpu_to_be64(XFS_DIFLAG2_COWEXTSIZE);
	dip->di_cowextsize = cpu_to_be32(32);
	assert_null(verify());
	dip->di_cowextsize = 0;
	assert_non_null(verify());
}

static void extent_lists_are_checked(void **state)
{
	const unsigned fit = LITERAL_BYTES / sizeof(struct xfs_bmbt_rec);

	make_extents(S_IFREG, fit);
	assert_null(verify());
	/* All further bytes of the fork would be good records, too. */
	make_extents(S_IFREG, fit + 1);
	assert_string_equal(verify(), "more extents than fit the inode");
	make_extents(S_IFREG, 3)->di_forkoff = 5;
	assert_string_equal(verify(), "more extents than fit the inode");
	set_extent(make_extents(S_IFREG, 3) + 1, 1, 0, 100, EXTENT_WRITTEN);
	assert_string_equal(verify(), "extents out of order");
	set_extent(make_extents(S_IFREG, 3) + 1, 2, 40, 0, EXTENT_WRITTEN);
	assert_string_equal(verify(), "extent outside the volume's data blocks");
	set_extent(make_extents(S_IFREG, 3) + 1, 2, 40, 300, EXTENT_UNWRITTEN);
	assert_null(verify());
	set_extent(make_extents(S_IFDIR, 3) + 1, 2, 40, 300, EXTENT_UNWRITTEN);
	assert_string_equal(verify(), "unwritten extent where there cannot be one");
}

/* The root of a map with @count pointers in a fork of @fork_bytes, every byte behind it a good pointer too. */
static void make_map(unsigned count, unsigned level, uint8_t forkoff)
{
	struct xfs_dinode *dip = make(S_IFREG, XFS_DINODE_FMT_BTREE);
	struct xfs_bmdr_block *root = (void *)(dip + 1);
	size_t room, fork_bytes;
	uint8_t *pointer;

	dip->di_forkoff = forkoff;
	dip->di_aformat = XFS_DINODE_FMT_EXTENTS;
	dip->di_nextents = cpu_to_be32(1000);
	dip->di_nblocks = cpu_to_be64(1010);
	root->bb_level = cpu_to_be16(level);
	root->bb_numrecs = cpu_to_be16(count);
	fork_bytes = dinode_data_bytes(&image.geo, dip);
	room = fork_bytes < sizeof(*root) ? 0 : (fork_bytes - sizeof(*root)) / 16;
	for (pointer = (uint8_t *)(root + 1) + room * 8; pointer + 8 <= (uint8_t *)dip + INODE_BYTES; pointer += 8)
		put_unaligned_be64(200, pointer);
}

static void map_roots_are_checked(void **state)
{
	make_map(3, 1, 0);
	assert_null(verify());
	make_map((LITERAL_BYTES - 4) / 16, 1, 0);
	assert_null(verify());
	make_map((LITERAL_BYTES - 4) / 16 + 1, 1, 0);
	assert_string_equal(verify(), "impossible number of pointers in the map's root");
	make_map(10, 1, 16);			/* 7 fit into 128 bytes */
	assert_string_equal(verify(), "impossible number of pointers in the map's root");
	make_map(7, 1, 16);
	assert_null(verify());
	make_map(0, 1, 0);
	assert_string_equal(verify(), "impossible number of pointers in the map's root");
	make_map(1, 1, 1);
	assert_string_equal(verify(), "no room for the map's root");
	make_map(3, 0, 0);
	assert_string_equal(verify(), "impossible height of the map");
	make_map(3, image.geo.bmbt.max_levels, 0);
	assert_string_equal(verify(), "impossible height of the map");
	make_map(3, 1, 0);
	made.dip->di_nextents = cpu_to_be32(2);
	assert_string_equal(verify(), "extent count that does not go with a map");
}

static void fork_places_are_checked(void **state)
{
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_forkoff = LITERAL_BYTES / 8;
	assert_string_equal(verify(), "attributes at an impossible place");
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_forkoff = LITERAL_BYTES / 8 - 1;
	assert_null(verify());
	make(S_IFCHR, XFS_DINODE_FMT_DEV)->di_forkoff = 2;
	assert_string_equal(verify(), "attributes at an impossible place");
	make(S_IFCHR, XFS_DINODE_FMT_DEV)->di_forkoff = 1;
	assert_null(verify());
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS)->di_aformat = XFS_DINODE_FMT_LOCAL;
	assert_string_equal(verify(), "attributes without a place");
}

static void formats_go_with_file_types(void **state)
{
	make(S_IFREG, XFS_DINODE_FMT_LOCAL);
	assert_string_equal(verify(), "inline contents that cannot be inline");
	make(S_IFREG, XFS_DINODE_FMT_DEV);
	assert_string_equal(verify(), "impossible fork format");
	make(S_IFIFO, XFS_DINODE_FMT_EXTENTS);
	assert_string_equal(verify(), "special file without a device number");
	make_extents(S_IFDIR, 1)->di_size = cpu_to_be64(100);
	assert_string_equal(verify(), "small directory that is not inline");
	make(S_IFLNK, XFS_DINODE_FMT_LOCAL)->di_size = cpu_to_be64(LITERAL_BYTES + 1);
	assert_string_equal(verify(), "inline contents that cannot be inline");
}

static void checksum_covers_the_whole_inode(void **state)
{
	make(S_IFREG, XFS_DINODE_FMT_EXTENTS);
	dinode_seal(&image.geo, made.dip);
	assert_true(dinode_crc_is_valid(&image.geo, made.dip));
	for (unsigned i = 0; i < INODE_BYTES; i++) {
		((uint8_t *)made.dip)[i] ^= 0x20;
		assert_false(dinode_crc_is_valid(&image.geo, made.dip));
		((uint8_t *)made.dip)[i] ^= 0x20;
	}
}

/* Sealing a cluster leaves every inode's LSN as it is: recovery goes by it. */
static void sealing_a_cluster_keeps_the_inodes_lsns(void **state)
{
	uint8_t *cluster = aligned_alloc(4096, 4096);
	struct xfs_dinode *dip = (void *)cluster;

	assert_non_null(cluster);
	for (unsigned i = 0; i < 4096 / INODE_BYTES; i++)
		memcpy(cluster + i * INODE_BYTES, make(0, 0), INODE_BYTES);
	dip->di_lsn = cpu_to_be64(77);
	block_seal(&block_inode_cluster, &image.geo, cluster, 4096, 99);
	assert_int_equal(be64_to_cpu(dip->di_lsn), 77);
	assert_int_equal(block_verify_read(&block_inode_cluster, &image.geo, cluster, 4096,
					   fsblk_to_daddr(&image.geo, inum_to_fsblk(&image.geo, made.ino))), 0);
	free(cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_inodes_verify),
		cmocka_unit_test(identity_is_checked),
		cmocka_unit_test(sizes_are_checked),
		cmocka_unit_test(flags_are_checked),
		cmocka_unit_test(extent_size_hints_are_checked),
		cmocka_unit_test(extent_lists_are_checked),
		cmocka_unit_test(map_roots_are_checked),
		cmocka_unit_test(fork_places_are_checked),
		cmocka_unit_test(formats_go_with_file_types),
		cmocka_unit_test(checksum_covers_the_whole_inode),
		cmocka_unit_test(sealing_a_cluster_keeps_the_inodes_lsns),
	};

	return cmocka_run_group_tests(tests, create_image, remove_image);
}
