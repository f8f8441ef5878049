/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * An image that the kernel filled with every form of metadata, and a walk over its metadata blocks by their magic
 * numbers.
 */
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <linux/fs.h>

#include "format_test.h"

/* One kind of block, recognized by its first bytes. */
struct block_kind {
	const struct block_type *type;
	uint32_t magic;
	unsigned magic_off, magic_bytes;
	unsigned blkno_off;		/* where it says where it lives; 0: nowhere */
	enum { UNIT_SECTOR, UNIT_BLOCK, UNIT_DIR } unit;
};

#define DA_MAGIC_OFF offsetof(struct xfs_da_blkinfo, magic)
#define DA_BLKNO_OFF offsetof(struct xfs_da3_blkinfo, blkno)
#define DIR_BLKNO_OFF offsetof(struct xfs_dir3_blk_hdr, blkno)
#define SHORT_BLKNO_OFF offsetof(struct xfs_btree_block, bb_u.s.bb_blkno)

static const struct block_kind block_kinds[] = {
	{ &block_superblock, XFS_SB_MAGIC, 0, 4, 0, UNIT_SECTOR },
	{ &block_agf, XFS_AGF_MAGIC, 0, 4, 0, UNIT_SECTOR },
	{ &block_agi, XFS_AGI_MAGIC, 0, 4, 0, UNIT_SECTOR },
	{ &block_agfl, XFS_AGFL_MAGIC, 0, 4, 0, UNIT_SECTOR },
	{ &block_bnobt, XFS_ABTB_CRC_MAGIC, 0, 4, SHORT_BLKNO_OFF, UNIT_BLOCK },
	{ &block_cntbt, XFS_ABTC_CRC_MAGIC, 0, 4, SHORT_BLKNO_OFF, UNIT_BLOCK },
	{ &block_inobt, XFS_IBT_CRC_MAGIC, 0, 4, SHORT_BLKNO_OFF, UNIT_BLOCK },
	{ &block_finobt, XFS_FIBT_CRC_MAGIC, 0, 4, SHORT_BLKNO_OFF, UNIT_BLOCK },
	{ &block_rmapbt, XFS_RMAP_CRC_MAGIC, 0, 4, SHORT_BLKNO_OFF, UNIT_BLOCK },
	{ &block_refcountbt, XFS_REFC_CRC_MAGIC, 0, 4, SHORT_BLKNO_OFF, UNIT_BLOCK },
	{ &block_bmbt, XFS_BMAP_CRC_MAGIC, 0, 4, offsetof(struct xfs_btree_block, bb_u.l.bb_blkno), UNIT_BLOCK },
	{ &block_inode_cluster, XFS_DINODE_MAGIC, 0, 2, 0, UNIT_BLOCK },
	{ &block_symlink, XFS_SYMLINK_MAGIC, 0, 4, offsetof(struct xfs_dsymlink_hdr, sl_blkno), UNIT_BLOCK },
	{ &block_dir_block, XFS_DIR3_BLOCK_MAGIC, 0, 4, DIR_BLKNO_OFF, UNIT_DIR },
	{ &block_dir_data, XFS_DIR3_DATA_MAGIC, 0, 4, DIR_BLKNO_OFF, UNIT_DIR },
	{ &block_dir_free, XFS_DIR3_FREE_MAGIC, 0, 4, DIR_BLKNO_OFF, UNIT_DIR },
	{ &block_dir_leaf1, XFS_DIR3_LEAF1_MAGIC, DA_MAGIC_OFF, 2, DA_BLKNO_OFF, UNIT_DIR },
	{ &block_dir_leafn, XFS_DIR3_LEAFN_MAGIC, DA_MAGIC_OFF, 2, DA_BLKNO_OFF, UNIT_DIR },
	{ &block_attr_leaf, XFS_ATTR3_LEAF_MAGIC, DA_MAGIC_OFF, 2, DA_BLKNO_OFF, UNIT_BLOCK },
	/* Directories' or attributes': told apart by where their children are. */
	{ &block_da_node, XFS_DA3_NODE_MAGIC, DA_MAGIC_OFF, 2, DA_BLKNO_OFF, UNIT_DIR },
	{ &block_attr_node, XFS_DA3_NODE_MAGIC, DA_MAGIC_OFF, 2, DA_BLKNO_OFF, UNIT_BLOCK },
	{ &block_attr_remote, XFS_ATTR3_RMT_MAGIC, 0, 4, offsetof(struct xfs_attr3_rmt_hdr, rm_blkno), UNIT_BLOCK },
	{ &block_dquot, XFS_DQUOT_MAGIC, 0, 2, 0, UNIT_BLOCK },
};

static inline size_t kind_bytes(const struct block_kind *kind, const struct geometry *geo, const void *data)
{
	const struct xfs_dsymlink_hdr *symlink = data;

	if (kind->unit == UNIT_SECTOR)
		return geo->sector_bytes;
	/* One header for the whole extent, however many blocks it has. */
	if (kind->type == &block_symlink)
		return round_up_u64(sizeof(*symlink) + be32_to_cpu(symlink->sl_bytes), geo->block_bytes);
	return kind->unit == UNIT_DIR ? geo->dir.block_bytes : geo->block_bytes;
}

static inline bool is_kind(const struct block_kind *kind, const struct mapped_image *image, const uint8_t *p,
			   daddr_u64 daddr)
{
	const struct xfs_da3_intnode *node = (const void *)p;
	uint64_t magic = kind->magic_bytes == 2 ? get_unaligned_be16(p + kind->magic_off) :
						  get_unaligned_be32(p + kind->magic_off);
	bool is_dir_child;

	if (magic != kind->magic || kind_bytes(kind, &image->geo, p) > image->bytes - (daddr << SECTOR_UNIT_LOG))
		return false;
	if (kind->blkno_off && get_unaligned_be64(p + kind->blkno_off) != daddr)
		return false;
	if (kind->magic != XFS_DA3_NODE_MAGIC)
		return true;
	is_dir_child = be32_to_cpu(node->__btree[0].before) >= image->geo.dir.leaf_fileblk;
	return is_dir_child == (kind->type == &block_da_node);
}

/* What kind of metadata starts at @daddr; NULL: none. */
static inline const struct block_kind *kind_at(const struct mapped_image *image, daddr_u64 daddr)
{
	const uint8_t *p = mapped_image_at(image, daddr);
	bool is_block_start = (daddr << SECTOR_UNIT_LOG) % image->geo.block_bytes == 0;

	for (size_t i = 0; i < ARRAY_COUNT(block_kinds); i++)
		if ((is_block_start || block_kinds[i].unit == UNIT_SECTOR) &&
		    is_kind(&block_kinds[i], image, p, daddr))
			return &block_kinds[i];
	return NULL;
}

/* Whether @daddr lies in the log, where copies of anything may stand. */
static inline bool is_log(const struct geometry *geo, daddr_u64 daddr)
{
	daddr_u64 start = fsblk_to_daddr(geo, geo->log_start);

	return daddr >= start && daddr < start + ((uint64_t)geo->log_blocks << (geo->block_log - SECTOR_UNIT_LOG));
}

/* ---- what the kernel is asked to make ---- */

static inline void make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	close(fd);
}

static inline void make_directory(const char *root, const char *name, unsigned entries)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(mkdir(path, 0755), 0);
	for (unsigned i = 0; i < entries; i++) {
		snprintf(path, sizeof(path), "%s/%s/a-name-of-ordinary-length-%u", root, name, i);
		make_file(path);
	}
}

/* Every other block written: as many extents as blocks. */
static inline void make_fragmented_file(const char *root, const char *name, unsigned extents, uint32_t block_bytes)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < extents; i++)
		assert_int_equal(pwrite(fd, "x", 1, (off_t)i * 2 * block_bytes), 1);
	assert_int_equal(fsync(fd), 0);
	close(fd);
}

/* An empty file with @count attributes. */
static inline void make_attributes(const char *root, const char *name, unsigned count, size_t value_bytes)
{
	char *value = malloc(value_bytes), path[256], attr[64];

	assert_non_null(value);
	memset(value, 'v', value_bytes);
	snprintf(path, sizeof(path), "%s/%s", root, name);
	make_file(path);
	for (unsigned i = 0; i < count; i++) {
		snprintf(attr, sizeof(attr), "user.attribute-%u", i);
		assert_int_equal(lsetxattr(path, attr, value, value_bytes, 0), 0);
	}
	free(value);
}

/* Short and long symlinks, special files, an attribute on each kind that may have one. */
static inline void make_special_files(const char *root)
{
	char path[256], target[1000];

	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	snprintf(path, sizeof(path), "%s/long-symlink", root);
	assert_int_equal(symlink(target, path), 0);
	snprintf(path, sizeof(path), "%s/short-symlink", root);
	assert_int_equal(symlink("target", path), 0);
	assert_int_equal(lsetxattr(path, "trusted.a", "value", 5, 0), 0);
	snprintf(path, sizeof(path), "%s/fifo", root);
	assert_int_equal(mkfifo(path, 0644), 0);
	snprintf(path, sizeof(path), "%s/null", root);
	assert_int_equal(mknod(path, S_IFCHR | 0644, 1 << 8 | 3), 0);
	assert_int_equal(lsetxattr(path, "trusted.a", "value", 5, 0), 0);
	snprintf(path, sizeof(path), "%s/socket", root);
	assert_int_equal(mknod(path, S_IFSOCK | 0644, 0), 0);
}

static inline void set_extent_size_hint(const char *path, uint32_t xflag, uint32_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct fsxattr fsx;

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, FS_IOC_FSGETXATTR, &fsx), 0);
	fsx.fsx_xflags |= xflag;
	fsx.fsx_extsize = bytes;
	assert_int_equal(ioctl(fd, FS_IOC_FSSETXATTR, &fsx), 0);
	close(fd);
}

/* A file whose blocks another file shares, one preallocated, one with an extent size hint. */
static inline void make_unusual_extents(const char *root, const struct geometry *geo)
{
	char from[256], to[256];
	int in, out;

	snprintf(from, sizeof(from), "%s/hinted", root);
	make_file(from);
	set_extent_size_hint(from, FS_XFLAG_EXTSIZE, geo->block_bytes * 16);
	in = open(from, O_RDWR | O_CLOEXEC);
	assert_int_equal(fallocate(in, 0, 0, geo->block_bytes * 64), 0);
	assert_int_equal(pwrite(in, "x", 1, geo->block_bytes * 9), 1);
	assert_int_equal(fsync(in), 0);
	snprintf(to, sizeof(to), "%s/clone", root);
	out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_true(out >= 0);
	if (geo->has_reflink)
		assert_int_equal(ioctl(out, FICLONE, in), 0);
	close(out);
	close(in);
}

/* Used and freed again: inodes, names, extents. */
static inline void remove_some(const char *root)
{
	char path[256];

	for (unsigned i = 0; i < 60; i += 2) {
		snprintf(path, sizeof(path), "%s/dir-node/a-name-of-ordinary-length-%u", root, i);
		assert_int_equal(unlink(path), 0);
	}
	snprintf(path, sizeof(path), "%s/dir-block/a-name-of-ordinary-length-3", root);
	assert_int_equal(unlink(path), 0);
}

static inline void populate(const char *root, const struct geometry *geo)
{
	char path[256];

	make_directory(root, "dir-short", 3);
	make_directory(root, "dir-block", geo->dir.block_bytes / 128);
	make_directory(root, "dir-leaf", geo->dir.block_bytes / 20);
	make_directory(root, "dir-node", geo->dir.block_bytes / 4);
	snprintf(path, sizeof(path), "%s/dir-block", root);
	set_extent_size_hint(path, FS_XFLAG_EXTSZINHERIT, geo->block_bytes * 8);
	make_fragmented_file(root, "fragmented-list", 6, geo->block_bytes);
	make_fragmented_file(root, "fragmented-map", geo->block_bytes < 65536 ? 700 : 60, geo->block_bytes);
	make_attributes(root, "attr-short", 2, 20);
	make_attributes(root, "attr-leaf", 8, 80);
	make_attributes(root, "attr-node", geo->block_bytes / 40, 200);
	make_attributes(root, "attr-remote", 2, 60000);
	make_special_files(root);
	make_unusual_extents(root, geo);
	remove_some(root);
}

/* Runs populate() on the mounted image, in a child: its failure must not leave a mount behind. */
static inline int populate_in_child(const char *root, const struct geometry *geo)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		populate(root, geo);
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

/* The prerequisite that is missing for a kernel mount, or NULL. */
static inline const char *kernel_mount_lacks(void)
{
	static char lacks_xfs[] = "needs a kernel with XFS and loop devices";

	if (geteuid() != 0)
		return "needs root, to mount with the kernel";
	return image_shell("grep -qw xfs /proc/filesystems && test -e /dev/loop-control") ? lacks_xfs : NULL;
}

/* Makes a volume, lets the kernel fill it and unmount it, and maps it. */
static inline void populated_image_create(struct mapped_image *image, uint64_t bytes, const char *mkfs_args)
{
	char *path = image_create(bytes, mkfs_args), dir[] = "/var/tmp/userxfs-mount-XXXXXX";
	int status;

	mapped_image_open(image, path);
	mapped_image_close(image);
	assert_non_null(mkdtemp(dir));
	/* Quota blocks only where the kernel has quota. */
	assert_int_equal(image_shell("mount -t xfs -o loop,uquota %s %s 2>/dev/null || mount -t xfs -o loop %s %s",
				     path, dir, path, dir), 0);
	status = populate_in_child(dir, &image->geo);
	assert_int_equal(image_shell("umount %s && rmdir %s", dir, dir), 0);
	assert_int_equal(status, 0);
	mapped_image_open(image, path);
}
