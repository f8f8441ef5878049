// SPDX-License-Identifier: GPL-2.0
/*
 * The choice of blocks against Linux: on two copies of an image whose free space is in pieces, the same files get
 * blocks in the same order, from Linux by fallocate(), here from the allocator, asked as Linux asks its own.
 *
 * Files have few extents, so that their maps stay in the inodes and data are the only blocks that are allocated.
 */
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <userxfs/base/bits.h>
#include <userxfs/space/alloc.h>

#include "mounted.c"

#define MIB (1ull << 20)
#define FILES 48
#define MAX_PIECES 8
#define PATH_BYTES 128

struct piece {
	uint64_t start, count;			/* in blocks; start as a linear block of the volume */
};

struct file {
	uint64_t ino;
	uint32_t blocks;
	uint32_t piece_count;
	struct piece pieces[MAX_PIECES];
};

struct scene {
	uint64_t image_bytes;
	const char *mkfs_args;
	uint32_t block_bytes;
	bool is_filled;				/* no large free extent is left */
	uint32_t max_hole, max_gap;		/* blocks */
	uint32_t holes;
	uint32_t max_file;
};

static struct file files[FILES];
static char mount_point[] = "/var/tmp/userxfs-mount-XXXXXX";
static bool is_mounted;

/* ---- on Linux
 * --------------------------------------------------------------------------------------------------- */

static void kernel_mount(const char *path)
{
	bool is_root = !image_shell("test `id -u` = 0");

	if (is_root && mkdtemp(mount_point)) {
		is_mounted = !image_shell("mount -o loop %s %s 2>/dev/null", path, mount_point);
		if (is_mounted)
			return;
		rmdir(mount_point);
	}
	print_message("skipped: this needs root, loop devices and XFS in the kernel\n");
	skip();
}

static void kernel_unmount(void)
{
	if (!is_mounted)
		return;
	assert_int_equal(image_shell("umount %s", mount_point), 0);
	rmdir(mount_point);
	strcpy(mount_point + sizeof(mount_point) - 7, "XXXXXX");
	is_mounted = false;
}

static int open_file(const char *prefix, uint32_t i)
{
	char path[PATH_BYTES];
	int fd;

	snprintf(path, sizeof(path), "%s/%s%u", mount_point, prefix, i);
	fd = open(path, O_CREAT | O_RDWR, 0644);
	assert_true(fd >= 0);
	return fd;
}

/* All free space into files, as far as Linux gives it. */
static void fill(uint32_t block_bytes)
{
	uint64_t bytes = 64 * MIB;

	for (uint32_t i = 0; bytes >= block_bytes; i++) {
		int fd = open_file("fill", i % 8);

		if (fallocate(fd, 0, lseek(fd, 0, SEEK_END), (off_t)bytes))
			bytes /= 2;
		close(fd);
	}
}

static void make_holes(const struct scene *scene)
{
	uint64_t off = 0, bs = scene->block_bytes;
	uint64_t end = (uint64_t)scene->holes * (scene->max_hole + scene->max_gap) * bs;
	int fd = open_file("fill", 0);
	struct stat st;

	if (!scene->is_filled)
		assert_int_equal(fallocate(fd, 0, 0, (off_t)(scene->image_bytes / 3)), 0);
	assert_int_equal(fstat(fd, &st), 0);
	end = min_u64(end, (uint64_t)st.st_size);
	while (off < end) {
		uint64_t hole = 1 + random_below(scene->max_hole), gap = 1 + random_below(scene->max_gap);

		assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
					   (off_t)(hole * bs)), 0);
		off += (hole + gap) * bs;
	}
	close(fd);
}

static void prepare(const struct scene *scene)
{
	kernel_mount(vol.path);
	for (uint32_t i = 0; i < FILES; i++) {
		int fd = open_file("f", i);
		struct stat st;

		assert_int_equal(fstat(fd, &st), 0);
		files[i].ino = st.st_ino;
		close(fd);
	}
	if (scene->is_filled)
		fill(scene->block_bytes);
	make_holes(scene);
	kernel_unmount();
}

static void read_pieces(int fd, struct file *f, uint32_t block_bytes)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extents[64];
	} map = { .map = { .fm_length = UINT64_MAX, .fm_extent_count = 64 } };

	assert_int_equal(ioctl(fd, FS_IOC_FIEMAP, &map), 0);
	assert_true(map.map.fm_mapped_extents <= MAX_PIECES);
	f->piece_count = map.map.fm_mapped_extents;
	for (uint32_t i = 0; i < f->piece_count; i++) {
		f->pieces[i].start = map.extents[i].fe_physical / block_bytes;
		f->pieces[i].count = map.extents[i].fe_length / block_bytes;
	}
}

static void allocate_in_kernel(const struct scene *scene, const char *path)
{
	kernel_mount(path);
	for (uint32_t i = 0; i < FILES; i++) {
		int fd = open_file("f", i);

		files[i].blocks = 1 + random_below(scene->max_file);
		assert_int_equal(fallocate(fd, 0, 0, (off_t)files[i].blocks * scene->block_bytes), 0);
		read_pieces(fd, &files[i], scene->block_bytes);
		close(fd);
	}
	kernel_unmount();
}

/* ---- here
 * ------------------------------------------------------------------------------------------------------- */

/* The least that one extent should have (XFS: xfs_bmap_btalloc_select_lengths). */
static uint32_t choose_min_count(struct fsblk target, uint32_t max_count)
{
	agno_t agno = fsblk_agno(&vol.geo, target);
	uint32_t best = 0;

	for (agno_t i = 0; i < vol.geo.ag_count && best < max_count; i++)
		best = (uint32_t)max_u64(best, ag_longest_free(space_ag(vol.space, (agno + i) % vol.geo.ag_count),
							       AG_RESV_NONE));
	if (best > 1)
		best--;
	return best < max_count ? best : max_count;
}

static struct alloc_request allocate_piece(struct fsblk target, bool is_first, uint32_t count)
{
	struct tx *tx = mounted_begin(count + 10);
	struct alloc_request req = { .target = target, .min_count = choose_min_count(target, count),
				     .max_count = count, .min_left = 1, .is_user_data = true };

	req.owner = (struct rmap_owner){ .owner = XFS_RMAP_OWN_INODES, .skip_update = true };
	req.how = ALLOC_EXACT;
	if (!is_first)
		assert_int_equal(space_alloc(tx, vol.space, &req), 0);
	req.how = ALLOC_NEAR;
	if (!req.count)
		assert_int_equal(space_alloc(tx, vol.space, &req), 0);
	assert_true(req.count > 0);
	mounted_commit(tx);
	return req;
}

static uint64_t linear(struct fsblk b)
{
	return (uint64_t)fsblk_agno(&vol.geo, b) * vol.geo.ag_blocks + fsblk_agblk(&vol.geo, b);
}

static void compare_file(uint32_t index)
{
	struct fsblk target = inum_to_fsblk(&vol.geo, (struct inum){ files[index].ino });
	struct file own = { .blocks = 0 };

	while (own.blocks < files[index].blocks) {
		struct alloc_request req = allocate_piece(target, own.blocks == 0, files[index].blocks - own.blocks);
		struct piece *last = own.piece_count ? &own.pieces[own.piece_count - 1] : NULL;

		own.blocks += req.count;
		target = fsblk_add(req.start, req.count);
		if (last && last->start + last->count == linear(req.start)) {
			last->count += req.count;
			continue;
		}
		assert_true(own.piece_count < MAX_PIECES);
		own.pieces[own.piece_count++] = (struct piece){ linear(req.start), req.count };
	}
	for (uint32_t i = 0; i < own.piece_count; i++)
		if (i >= files[index].piece_count || own.pieces[i].start != files[index].pieces[i].start ||
		    own.pieces[i].count != files[index].pieces[i].count)
			fail_msg("file %u of %u blocks, piece %u of %u: %llu+%llu, on Linux %llu+%llu", index,
				 own.blocks, i, own.piece_count, (unsigned long long)own.pieces[i].start,
				 (unsigned long long)own.pieces[i].count,
				 (unsigned long long)files[index].pieces[i].start,
				 (unsigned long long)files[index].pieces[i].count);
	assert_int_equal(own.piece_count, files[index].piece_count);
}

static void free_file(const struct file *f)
{
	struct rmap_owner owner = { .owner = XFS_RMAP_OWN_INODES, .skip_update = true };
	struct tx *tx = mounted_begin(0);

	for (uint32_t i = 0; i < f->piece_count; i++)
		space_free_deferred(tx, vol.space,
				    fsblk_make(&vol.geo, (agno_t)(f->pieces[i].start / vol.geo.ag_blocks),
					       (agblk_t)(f->pieces[i].start % vol.geo.ag_blocks)),
				    (uint32_t)f->pieces[i].count, &owner, AG_RESV_NONE, false);
	mounted_commit(tx);
}

static void compare(const struct scene *scene)
{
	char *copy;

	random_seed(scene->holes);
	vol.path = image_create(scene->image_bytes, scene->mkfs_args);
	prepare(scene);
	copy = image_create(scene->image_bytes, scene->mkfs_args);
	assert_int_equal(image_shell("cp --sparse=always %s %s", vol.path, copy), 0);
	allocate_in_kernel(scene, copy);
	image_remove(copy);

	mounted_open();
	for (uint32_t i = 0; i < FILES; i++)
		compare_file(i);
	for (uint32_t i = 0; i < FILES; i++)
		free_file(&files[i]);
	mounted_check_and_remove();
}

static int teardown(void **state)
{
	kernel_unmount();
	if (vol.path)
		image_remove(vol.path);
	vol.path = NULL;
	return 0;
}

/* Few holes: all free extents are compared. */
static void same_blocks_as_linux_with_few_holes(void **state)
{
	compare(&(struct scene){ .image_bytes = 300 * MIB, .mkfs_args = "", .block_bytes = 4096, .max_hole = 30,
				 .max_gap = 20, .holes = 100, .max_file = 40 });
}

/* Trees of several leaves: the searches go on in turns. */
static void same_blocks_as_linux_with_many_holes(void **state)
{
	compare(&(struct scene){ .image_bytes = 320 * MIB, .mkfs_args = "-b size=1024 -d agcount=2",
				 .block_bytes = 1024, .max_hole = 12, .max_gap = 10, .holes = 4000, .max_file = 16 });
}

/* No AG has one extent that is enough for the larger files. */
static void same_blocks_as_linux_when_nothing_is_long_enough(void **state)
{
	compare(&(struct scene){ .image_bytes = 300 * MIB, .mkfs_args = "-d agcount=3", .block_bytes = 4096,
				 .is_filled = true, .max_hole = 40, .max_gap = 10, .holes = 900, .max_file = 60 });
}

/* The same with deep trees. */
static void same_blocks_as_linux_when_nothing_is_long_enough_in_deep_trees(void **state)
{
	compare(&(struct scene){ .image_bytes = 320 * MIB, .mkfs_args = "-b size=1024 -d agcount=2",
				 .block_bytes = 1024, .is_filled = true, .max_hole = 20, .max_gap = 6, .holes = 5000,
				 .max_file = 40 });
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(same_blocks_as_linux_with_few_holes),
		TEST(same_blocks_as_linux_with_many_holes),
		TEST(same_blocks_as_linux_when_nothing_is_long_enough),
		TEST(same_blocks_as_linux_when_nothing_is_long_enough_in_deep_trees),
	};

	return cmocka_run_group_tests_name("alloc_kernel", tests, NULL, NULL);
}
