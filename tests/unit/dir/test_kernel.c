// SPDX-License-Identifier: GPL-2.0
/* The kernel's XFS and this room read each other's directories alike, readdir positions included. */
#include "dir_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "kernel_mount.h"

#define MIB (1ull << 20)

static const char *const cases[] = {
	"", "-n size=16k", "-n size=65536", "-b size=1024", "-b size=1024 -n size=4k", "-i size=1024 -m rmapbt=1",
};

/* One name as somebody lists it. */
struct listed {
	char name[256];
	uint64_t ino, next;
	uint8_t dtype;
};

struct listing {
	struct listed *names;
	size_t count, capacity;
};

static void push(struct listing *list, const char *name, size_t length, uint64_t ino, uint8_t dtype, uint64_t next)
{
	struct listed *last;

	if (list->count == list->capacity) {
		list->capacity = list->capacity ? 2 * list->capacity : 64;
		list->names = realloc(list->names, list->capacity * sizeof(*list->names));
		assert_non_null(list->names);
	}
	last = &list->names[list->count++];
	memcpy(last->name, name, length);
	last->name[length] = '\0';
	last->ino = ino;
	last->dtype = dtype;
	last->next = next;
}

/* What getdents64() gives for a directory of the mounted image; @bytes: of its buffer. */
static struct listing kernel_list(const char *name, size_t bytes)
{
	struct listing list = { 0 };
	char path[512], *buffer = malloc(bytes);
	long got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", kernel_dir, name);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	while ((got = syscall(SYS_getdents64, fd, buffer, bytes)) > 0)
		for (long off = 0; off < got;) {
			struct dirent64 *entry = (void *)(buffer + off);

			push(&list, entry->d_name, strlen(entry->d_name), entry->d_ino, entry->d_type,
			     (uint64_t)entry->d_off);
			off += entry->d_reclen;
		}
	assert_int_equal(got, 0);
	close(fd);
	free(buffer);
	return list;
}

static bool emit(void *context, struct name name, struct inum ino, uint8_t ftype, uint64_t next_cookie)
{
	push(context, (const char *)name.bytes, name.length, ino.v, dir_dtype_of_ftype(ftype), next_cookie);
	return true;
}

static struct inode *open_dir(struct dir_test *t, const char *name)
{
	struct inode *root, *dir;
	struct inum ino;
	uint8_t ftype;

	assert_int_equal(inode_get(t->vol.inodes, NULL, t->vol.geo.root, 0, &root), 0);
	assert_int_equal(dir_lookup(NULL, root, name_of(name), &ino, &ftype), 0);
	assert_int_equal(ftype, XFS_DIR3_FT_DIR);
	assert_int_equal(inode_get(t->vol.inodes, NULL, ino, 0, &dir), 0);
	inode_put(root);
	return dir;
}

static struct listing our_list(struct dir_test *t, const char *name)
{
	struct listing list = { 0 };
	struct inode *dir = open_dir(t, name);
	const char *reason = dir_verify(dir);

	if (reason)
		fail_msg("%s: %s", name, reason);
	assert_int_equal(dir_list(dir, 0, emit, &list), 0);
	for (size_t i = 0; i < list.count; i++) {
		struct inum ino;
		uint8_t ftype;

		assert_int_equal(dir_lookup(NULL, dir, name_of(list.names[i].name), &ino, &ftype), 0);
		assert_true(ino.v == list.names[i].ino);
	}
	inode_put(dir);
	return list;
}

static void assert_same(const struct listing *a, const struct listing *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		assert_string_equal(a->names[i].name, b->names[i].name);
		assert_true(a->names[i].ino == b->names[i].ino);
		/* The kernel takes the type of the root's ".." and of "." from the inode. */
		if (i > 1)
			assert_int_equal(a->names[i].dtype, b->names[i].dtype);
		if (a->names[i].next != b->names[i].next)
			fail_msg("position after %s (%zu of %zu): 0x%llx against 0x%llx", a->names[i].name, i,
				 a->count, (unsigned long long)a->names[i].next,
				 (unsigned long long)b->names[i].next);
	}
}

static const char *const dir_names[] = { "empty", "short", "block", "leaf", "node", "holes", "types" };
#define DIRS (sizeof(dir_names) / sizeof(dir_names[0]))

/* Fills directories of all forms with the kernel: links to one file, and one directory with every type of object. */
static const char kernel_script[] =
	"set -e; cd %s; touch file; mkdir empty short block leaf node holes types\n"
	"python3 - %u <<'END'\n"
	"import os, sys\n"
	"scale = int(sys.argv[1])\n"
	"def fill(d, n, length):\n"
	"    for i in range(n): os.link('file', '%%s/%%d%%s' %% (d, i, 'x' * (length + i %% 5)))\n"
	"fill('short', 5, 1)\n"
	"fill('block', 20 * scale, 1)\n"
	"fill('leaf', 100 * scale, 10)\n"
	"fill('node', 700 * scale, 20)\n"
	"fill('holes', 900 * scale, 15)\n"
	"for n in sorted(os.listdir('holes')):\n"
	"    if hash(int(n.rstrip('x'))) %% 7: os.unlink('holes/' + n)\n"
	"END\n"
	"cd types; touch r; mkdir d; mkfifo p; ln -s r l; mknod c c 1 3; mknod b b 7 99\n"
	"python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'\n";

static void kernel_directories_read_alike(const char *mkfs_args, unsigned scale)
{
	struct listing theirs[DIRS], ours;
	struct dir_test t = { 0 };

	t.image = image_create(400 * MIB, mkfs_args);
	kernel_mount(t.image);
	assert_int_equal(image_shell(kernel_script, kernel_dir, scale), 0);
	for (unsigned i = 0; i < DIRS; i++)
		theirs[i] = kernel_list(dir_names[i], i % 2 ? 4096 : 65536);
	kernel_unmount();

	assert_int_equal(volume_lite_open(&t.vol, t.image), 0);
	for (unsigned i = 0; i < DIRS; i++) {
		ours = our_list(&t, dir_names[i]);
		assert_same(&ours, &theirs[i]);
		free(ours.names);
		free(theirs[i].names);
	}
	assert_int_equal(volume_lite_close(&t.vol), 0);
	assert_int_equal(image_check(t.image), 0);
	image_remove(t.image);
}

static unsigned scale_of(const char *mkfs_args)
{
	return strstr(mkfs_args, "65536") ? 8 : strstr(mkfs_args, "16k") ? 3 : 1;
}

static void directories_of_the_kernel_read_alike(void **state)
{
	NEED_KERNEL();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("mkfs.xfs %s\n", cases[i]);
		kernel_directories_read_alike(cases[i], scale_of(cases[i]));
	}
}

static const char *numbered_name(unsigned i)
{
	static char name[256];

	snprintf(name, sizeof(name), "%u-%.*s", i, (int)(i % 40),
		 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
	return name;
}

/* The kernel removes some names and adds others. */
static const char change_script[] =
	"cd %s/dir && python3 - %u %u <<'END'\n"
	"import os, sys\n"
	"for n in sorted(os.listdir('.'))[:int(sys.argv[1])]: os.unlink(n)\n"
	"for i in range(int(sys.argv[2])): os.link('../file', 'k%%d' %% i)\n"
	"END\n";

/* Grows to @most names and shrinks to @least, so that there are holes and stale entries. */
static void our_directories_read_alike(const char *mkfs_args, unsigned most, unsigned least)
{
	struct listing ours, theirs;
	struct dir_test t;

	dir_test_start(&t, 400 * MIB, mkfs_args);
	for (unsigned i = 0; i < most; i++)
		add_name(&t, numbered_name(i));
	for (unsigned i = 0; i < most - least; i++)
		remove_name(&t, numbered_name((i * 7919u) % most));
	ours = our_list(&t, "dir");
	assert_int_equal(ours.count, least + 2);
	dir_test_unmount(&t);
	assert_int_equal(image_check(t.image), 0);

	kernel_mount(t.image);
	theirs = kernel_list("dir", 32768);
	assert_same(&theirs, &ours);
	free(theirs.names);
	free(ours.names);
	/* The kernel goes on with it, and so do we again. */
	assert_int_equal(image_shell(change_script, kernel_dir, least / 2 + 1, most / 4), 0);
	theirs = kernel_list("dir", 32768);
	kernel_unmount();

	dir_test_mount(&t);
	ours = our_list(&t, "dir");
	assert_same(&ours, &theirs);
	for (size_t i = 0; i < ours.count; i++)
		if (ours.names[i].name[0] != '.')
			remove_name(&t, ours.names[i].name);
	assert_dir_is_sound(&t);
	assert_int_equal(t.dir->map.data.format, FORK_LOCAL);
	free(theirs.names);
	free(ours.names);
	dir_test_end(&t);
}

static void our_directories_are_the_kernels(void **state)
{
	NEED_KERNEL();
	/* The default, 64 KiB directory blocks, the smallest blocks. */
	for (unsigned i = 0; i < 4; i += i ? 1 : 2) {
		unsigned scale = scale_of(cases[i]);

		print_message("mkfs.xfs %s\n", cases[i]);
		our_directories_read_alike(cases[i], 10, 4);
		our_directories_read_alike(cases[i], 60 * scale, 20 * scale);
		our_directories_read_alike(cases[i], 170 * scale, 100 * scale);
		our_directories_read_alike(cases[i], 900 * scale, 400 * scale);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(directories_of_the_kernel_read_alike, kernel_teardown),
		cmocka_unit_test_teardown(our_directories_are_the_kernels, kernel_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
