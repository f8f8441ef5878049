// SPDX-License-Identifier: GPL-2.0
/*
 * The choice of inode numbers against Linux: the same files and directories, made and removed in the same order on
 * two images that mkfs made alike, get the same numbers.
 *
 * Directories stay small enough for the inode, so that inode chunks are the only blocks that are allocated.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <userxfs/base/error.h>
#include <userxfs/space/ialloc.h>

#include "mounted.c"

#define MIB (1ull << 20)
#define MAX_FILES 12000
#define MAX_ENTRIES 12			/* of a directory: they fit in 192 bytes */
#define PATH_BYTES 512

struct file {
	unsigned parent;		/* index */
	unsigned entries;		/* directories: files in it */
	char name;
	unsigned names_used;		/* directories: bit mask */
	bool is_directory, is_gone;
	uint64_t ino;			/* on Linux */
	uint64_t own_ino;
};

/* What was done, in order. */
enum action { MAKE, REMOVE, SETTLE };

struct step {
	enum action action;
	unsigned file;
};

static struct file files[MAX_FILES];
static unsigned file_count;
static struct step steps[2 * MAX_FILES + 100];
static unsigned step_count;
static char mount_point[] = "/var/tmp/userxfs-mount-XXXXXX";
static bool is_mounted;

static void add_step(enum action action, unsigned file)
{
	steps[step_count++] = (struct step){ action, file };
}

static void file_path(unsigned i, char *path)
{
	char tail[PATH_BYTES] = "", next[PATH_BYTES];

	for (; i; i = files[i].parent) {
		snprintf(next, sizeof(next), "/%c%.480s", files[i].name, tail);
		strcpy(tail, next);
	}
	snprintf(path, PATH_BYTES, "%s%.480s", mount_point, tail);
}

/* ---- on Linux ---- */

static void kernel_make(unsigned parent, bool is_directory)
{
	struct file *f = &files[file_count], *dir = &files[parent];
	char path[PATH_BYTES];
	struct stat st;
	int fd;

	*f = (struct file){ .parent = parent, .is_directory = is_directory };
	while (dir->names_used >> f->name & 1)
		f->name++;
	dir->names_used |= 1u << f->name;
	f->name += 'a';
	dir->entries++;
	file_path(file_count, path);
	if (is_directory) {
		assert_int_equal(mkdir(path, 0755), 0);
	} else {
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(lstat(path, &st), 0);
	f->ino = st.st_ino;
	add_step(MAKE, file_count++);
}

static void kernel_remove(unsigned i)
{
	struct file *f = &files[i];
	char path[PATH_BYTES];

	file_path(i, path);
	assert_int_equal(remove(path), 0);
	f->is_gone = true;
	files[f->parent].entries--;
	files[f->parent].names_used &= ~(1u << (f->name - 'a'));
	add_step(REMOVE, i);
}

/* Removed inodes are freed in the background; a freeze waits for that, and for the log. */
static void kernel_settle(void)
{
	assert_int_equal(image_shell("fsfreeze -f %s && fsfreeze -u %s", mount_point, mount_point), 0);
	add_step(SETTLE, 0);
}

static unsigned random_directory(void)
{
	unsigned i;

	do
		i = random_below(file_count);
	while (!files[i].is_directory || files[i].is_gone || files[i].entries >= MAX_ENTRIES);
	return i;
}

static unsigned depth(unsigned i)
{
	unsigned d = 0;

	for (; i; i = files[i].parent)
		d++;
	return d;
}

static void kernel_grow(unsigned count)
{
	while (count--) {
		unsigned parent = random_directory();

		/* Every directory can hold a few more directories, so the tree never is full. */
		kernel_make(parent, depth(parent) < 20 && (files[parent].entries % 4 == 0 || !random_below(4)));
	}
}

static void kernel_shrink(unsigned count)
{
	while (count) {
		unsigned i = 1 + random_below(file_count - 1);

		if (files[i].is_gone || files[i].entries)
			continue;
		kernel_remove(i);
		count--;
	}
}

static bool kernel_mount(const char *path)
{
	if (!mkdtemp(mount_point))
		return false;
	is_mounted = !image_shell("mount -o loop %s %s 2>/dev/null", path, mount_point);
	if (!is_mounted)
		rmdir(mount_point);
	return is_mounted;
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

static int teardown(void **state)
{
	kernel_unmount();
	if (vol.path)
		image_remove(vol.path);
	vol.path = NULL;
	return 0;
}

/* ---- here ---- */

static void own_make(struct file *f)
{
	struct inum parent = { files[f->parent].own_ino }, ino;
	struct tx *tx;

	assert_int_equal(tx_begin(vol.log, &log_reservations(vol.log)->create, ialloc_blocks_needed(&vol.geo), 0,
				  &tx), 0);
	assert_int_equal(ialloc_alloc(tx, vol.space, parent, f->is_directory ? S_IFDIR : S_IFREG, &ino), 0);
	mounted_commit(tx);
	f->own_ino = ino.v;
	if (f->own_ino != f->ino)
		fail_msg("file %u in %llu: inode %llu, on Linux %llu", (unsigned)(f - files),
			 (unsigned long long)parent.v, (unsigned long long)f->own_ino, (unsigned long long)f->ino);
}

static void own_remove(struct file *f)
{
	struct inode_chunk_freed freed;
	struct tx *tx;

	assert_int_equal(tx_begin(vol.log, &log_reservations(vol.log)->inode_free,
				  ialloc_free_blocks_needed(&vol.geo), TX_USE_POOL, &tx), 0);
	assert_int_equal(ialloc_free(tx, vol.space, (struct inum){ f->own_ino }, &freed), 0);
	if (freed.is_deleted)
		mounted_forget_clusters(tx, &freed);
	mounted_commit(tx);
}

static void own_steps(void)
{
	for (unsigned i = 0; i < step_count; i++) {
		struct file *f = &files[steps[i].file];

		switch (steps[i].action) {
		case MAKE:
			own_make(f);
			break;
		case REMOVE:
			own_remove(f);
			break;
		case SETTLE:
			mounted_settle();
			break;
		}
	}
	for (unsigned i = 1; i < file_count; i++)
		if (!files[i].is_gone)
			own_remove(&files[i]);
}

/*
 * An image and its copy, the same for both: fresh, or as @prepare (sh, $d is the mount point) leaves it.  Skips the
 * test where the kernel cannot mount it.
 */
static char *create_two(uint64_t size_bytes, const char *mkfs_args, const char *prepare)
{
	char *copy;

	vol.path = image_create(size_bytes, mkfs_args);
	mounted_run_in_kernel(prepare);
	copy = image_create(size_bytes, mkfs_args);
	assert_int_equal(image_shell("cp --sparse=always %s %s", vol.path, copy), 0);
	return copy;
}

static void compare_on(uint64_t size_bytes, const char *mkfs_args, const char *prepare)
{
	char *copy = create_two(size_bytes, mkfs_args, prepare);

	random_seed(3);
	file_count = 1;
	step_count = 0;
	files[0] = (struct file){ .is_directory = true };
	assert_true(kernel_mount(copy));
	for (unsigned round = 0; round < 3; round++) {
		kernel_grow(1500);
		kernel_shrink(1000);
		kernel_settle();
	}
	kernel_grow(500);
	kernel_unmount();
	image_remove(copy);

	mounted_open();
	files[0].own_ino = vol.geo.root.v;
	own_steps();
	mounted_check_and_remove();
}

static void same_numbers_as_linux(void **state)
{
	compare_on(512 * MIB, "-d agcount=4", ":");
}

static void same_numbers_as_linux_without_finobt(void **state)
{
	compare_on(512 * MIB, "-d agcount=4 -m finobt=0,inobtcount=0,reflink=0", ":");
}

static void same_numbers_as_linux_in_small_blocks(void **state)
{
	compare_on(512 * MIB, "-b size=1024 -d agcount=3 -m rmapbt=1", ":");
}

static void same_numbers_as_linux_on_stripes(void **state)
{
	compare_on(512 * MIB, "-d agcount=4,su=64k,sw=2", ":");
}

static void same_numbers_as_linux_in_large_blocks(void **state)
{
	compare_on(1024 * MIB, "-b size=65536 -d agcount=2", ":");
}

static void same_numbers_as_linux_with_large_inodes(void **state)
{
	compare_on(512 * MIB, "-i size=2048 -d agcount=2", ":");
}

/* No place for a whole chunk is left: holes of seven blocks in one large file. */
static void same_numbers_as_linux_in_splinters(void **state)
{
	compare_on(320 * MIB, "-d agcount=2 -m reflink=0",
		   "xfs_io -x -c 'resblks 0' $d >/dev/null; n=`stat -f -c %a $d`; n=$((n - 50));"
		   "fallocate -l $((n * 4096)) $d/big; i=0;"
		   "while fallocate -o $((i * 4096)) -l 4096 $d/rest 2>/dev/null; do i=$((i + 1)); done;"
		   "for i in `seq 0 $((n / 8 - 1))`; do echo fpunch $((i * 32768)) 28672; done | xfs_io $d/big");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(same_numbers_as_linux),
		TEST(same_numbers_as_linux_without_finobt),
		TEST(same_numbers_as_linux_in_small_blocks),
		TEST(same_numbers_as_linux_on_stripes),
		TEST(same_numbers_as_linux_in_large_blocks),
		TEST(same_numbers_as_linux_with_large_inodes),
		TEST(same_numbers_as_linux_in_splinters),
	};

	return cmocka_run_group_tests_name("ialloc_kernel", tests, NULL, NULL);
}
