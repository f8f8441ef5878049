/* SPDX-License-Identifier: GPL-2.0 */
/* Opening: what is refused, and what the line says about it. */
#include "engines.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/message.h>

#include "image.h"

static char last_line[1024];
static char dir[64], image[128];

static void keep_line(void *context, enum message_level level, const char *line)
{
	if (level == MESSAGE_ERROR)
		strncpy(last_line, line, sizeof(last_line) - 1);
}

static int set_up(void **state)
{
	int fd;

	last_line[0] = '\0';
	message_set_sink(keep_line, NULL);
	strcpy(dir, "open-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(image, sizeof(image), "%s/image", dir);
	fd = open(image, O_RDWR | O_CREAT, 0644);
	if (fd < 0 || ftruncate(fd, DEVICE_SIZE) != 0)
		return -1;
	close(fd);
	return 0;
}

static int tear_down(void **state)
{
	message_set_sink(NULL, NULL);
	return image_shell("rm -rf %s", dir);
}

static int open_with(const char *path, struct device_options options, struct device **out)
{
	last_line[0] = '\0';
	return device_open(path, &options, out);
}

static int try_open(const char *path, bool read_only)
{
	struct device *dev;
	int err = open_with(path, (struct device_options){ .read_only = read_only }, &dev);

	if (!err)
		device_close(dev);
	return err;
}

static void check_line(const char *word)
{
	if (!strstr(last_line, word))
		fail_msg("\"%s\" is not in \"%s\"", word, last_line);
}

static void what_does_not_exist_is_named_with_a_way_out(void **state)
{
	assert_int_equal(try_open("no/such/image", false), -ENOENT);
	check_line("no/such/image does not exist");
	check_line("mkfs.xfs");
}

static void only_files_and_block_devices_are_opened(void **state)
{
	char fifo[160];

	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(try_open(fifo, false), -EINVAL);
	check_line("neither a regular file nor a block device");
	assert_int_equal(try_open("/dev/null", false), -ENOTBLK);
	check_line("neither a regular file nor a block device");
	assert_int_equal(try_open(dir, false), -EISDIR);
	check_line("is a directory");
}

/* In a child that is nobody. */
static int open_as_nobody(bool read_only)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct device *dev;
		int err;

		/* Saying who may not: the line goes to the parent through the exit status. */
		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(99);
		err = open_with(image, (struct device_options){ .read_only = read_only }, &dev);
		if (err == 0)
			_exit(0);
		_exit(strstr(last_line, "-o ro") ? 1 : strstr(last_line, "no permission") ? 2 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void without_permission_the_line_says_what_would_help(void **state)
{
	if (geteuid() != 0) {
		print_message("changing to another user needs root\n");
		skip();
	}
	assert_int_equal(image_shell("chmod 755 %s && chmod 644 %s", dir, image), 0);
	assert_int_equal(open_as_nobody(false), 1);
	assert_int_equal(open_as_nobody(true), 0);
	assert_int_equal(image_shell("chmod 600 %s", image), 0);
	assert_int_equal(open_as_nobody(false), 2);
	assert_int_equal(open_as_nobody(true), 2);
}

static void a_second_user_is_refused_and_told_who_the_first_is(void **state)
{
	struct device *first;
	char pid[32], name[32] = "";
	FILE *comm = fopen("/proc/self/comm", "r");

	assert_non_null(fgets(name, sizeof(name), comm));
	name[strcspn(name, "\n")] = '\0';
	fclose(comm);
	snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	assert_int_equal(open_with(image, (struct device_options){ 0 }, &first), 0);
	assert_int_equal(try_open(image, false), -EBUSY);
	check_line("in use by");
	check_line(name);
	check_line(pid);
	assert_int_equal(try_open(image, true), -EBUSY);
	device_close(first);
	assert_int_equal(try_open(image, false), 0);
}

/* What it had in flight keeps the lock for a moment; then it is free without anybody's help. */
static void a_killed_user_leaves_no_lock_behind(void **state)
{
	int fds[2], status;
	char byte;
	pid_t pid;

	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			struct device *dev;

			if (open_with(image, (struct device_options){ 0 }, &dev) == 0)
				(void)!write(fds[1], "x", 1);
			pause();
		}
		close(fds[1]);
		assert_int_equal(read(fds[0], &byte, 1), 1);
		close(fds[0]);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(try_open(image, false), 0);
	}
}

static void readers_share_and_keep_writers_out(void **state)
{
	struct device *first;

	assert_int_equal(open_with(image, (struct device_options){ .read_only = true }, &first), 0);
	assert_true(first->is_read_only);
	assert_int_equal(try_open(image, true), 0);
	assert_int_equal(try_open(image, false), -EBUSY);
	device_close(first);
}

static void a_read_only_device_refuses_writes(void **state)
{
	struct device *dev;
	char data[512] = { 0 };

	assert_int_equal(open_with(image, (struct device_options){ .read_only = true }, &dev), 0);
	assert_int_equal(device_write(dev, 0, data, sizeof(data), 0), -EROFS);
	assert_int_equal(device_write(dev, 1, data, 1, 0), -EROFS);
	assert_int_equal(device_read(dev, 0, data, sizeof(data)), 0);
	assert_int_equal(device_flush(dev), 0);
	device_close(dev);
}

static void an_empty_file_and_a_bad_offset_are_explained(void **state)
{
	struct device *dev;

	assert_int_equal(open_with(image, (struct device_options){ .off_bytes = 100 }, &dev), -EINVAL);
	check_line("multiple of 512");
	assert_int_equal(open_with(image, (struct device_options){ .off_bytes = DEVICE_SIZE }, &dev), -EINVAL);
	check_line("ends before offset");
	assert_int_equal(truncate(image, 0), 0);
	assert_int_equal(try_open(image, false), -EINVAL);
	check_line("is empty");
	/* None of them keeps the file locked. */
	assert_int_equal(truncate(image, 4096), 0);
	assert_int_equal(try_open(image, false), 0);
}

static void the_offset_is_where_the_volume_starts(void **state)
{
	static const uint64_t offsets[] = { 512, 4096, 65536 };
	struct device *dev;

	for (unsigned i = 0; i < ARRAY_COUNT(offsets); i++) {
		char mark[4] = "mrk", back[4];
		int fd;

		assert_int_equal(open_with(image, (struct device_options){ .off_bytes = offsets[i] }, &dev), 0);
		assert_int_equal(dev->size_bytes, DEVICE_SIZE - offsets[i]);
		mark[0] = (char)('0' + i);
		assert_int_equal(device_write(dev, 1000, mark, sizeof(mark), 0), 0);
		device_close(dev);
		fd = open(image, O_RDONLY);
		assert_int_equal(pread(fd, back, sizeof(back), (off_t)offsets[i] + 1000), sizeof(back));
		close(fd);
		assert_memory_equal(mark, back, sizeof(mark));
	}
}

/* A file that direct I/O cannot reach to its end gets buffered I/O. */
static void a_file_of_odd_size_is_readable_to_its_last_byte(void **state)
{
	struct device *dev;
	char back[3];
	int fd = open(image, O_RDWR);

	assert_int_equal(pwrite(fd, "end", 3, DEVICE_SIZE), 3);
	close(fd);
	assert_int_equal(open_with(image, (struct device_options){ 0 }, &dev), 0);
	assert_int_equal(dev->alignment_bytes, 1);
	assert_int_equal(device_read(dev, DEVICE_SIZE, back, 3), 0);
	assert_memory_equal(back, "end", 3);
	device_close(dev);
}

/* ---- engines --------------------------------------------------------------------------------------------------- */

/* Forbids system calls @first and @second to this process for good, as container runtimes do. */
static int forbid(unsigned first, unsigned second)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_COUNT(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Opens in a child that may not make the two system calls; 0: the engine taken is @name and works. */
static int open_without(unsigned first, unsigned second, enum device_engine engine, const char *name)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct device *dev;
		char data[512];

		if (forbid(first, second) != 0)
			_exit(77);
		if (open_with(image, (struct device_options){ .engine = engine }, &dev) != 0)
			_exit(strstr(last_line, "-o io=sync") ? 1 : 2);
		_exit(strcmp(dev->ops->name, name) != 0 || device_read(dev, 0, data, sizeof(data)) != 0 ? 3 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("seccomp is not available here\n");
		skip();
	}
	return WEXITSTATUS(status);
}

static void the_best_engine_is_the_best_that_is_allowed(void **state)
{
	assert_int_equal(open_without(SYS_io_uring_setup, SYS_io_uring_setup, DEVICE_ENGINE_BEST, "aio"), 0);
	assert_int_equal(open_without(SYS_io_uring_setup, SYS_io_setup, DEVICE_ENGINE_BEST, "sync"), 0);
	assert_int_equal(open_without(SYS_io_setup, SYS_io_setup, DEVICE_ENGINE_SYNC, "sync"), 0);
}

static void an_engine_asked_for_by_name_is_not_replaced(void **state)
{
	assert_int_equal(open_without(SYS_io_uring_setup, SYS_io_uring_setup, DEVICE_ENGINE_URING, ""), 1);
	assert_int_equal(open_without(SYS_io_setup, SYS_io_setup, DEVICE_ENGINE_AIO, ""), 1);
}

/* ---- block devices --------------------------------------------------------------------------------------------- */

static char loop[32];

static int attach_loop(const char *options)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/loop", dir);
	loop[0] = '\0';
	if (geteuid() != 0 || image_shell("losetup -f --show %s %s > %s 2>/dev/null", options, image, path) != 0)
		return -1;
	f = fopen(path, "r");
	if (!f || !fgets(loop, sizeof(loop), f))
		return -1;
	loop[strcspn(loop, "\n")] = '\0';
	fclose(f);
	return 0;
}

static int detach_loop(void **state)
{
	image_shell("umount %s/mnt 2>/dev/null", dir);
	if (loop[0])
		image_shell("losetup -d %s", loop);
	loop[0] = '\0';
	return tear_down(state);
}

static void need_loop(const char *options)
{
	if (attach_loop(options) != 0) {
		print_message("block devices need root and a free loop device\n");
		skip();
	}
}

static void a_block_device_is_claimed_for_one_user(void **state)
{
	char data[5000], back[5000];
	uint64_t seed = 1;
	struct device *dev;
	int fd;

	need_loop("");
	assert_int_equal(open_with(loop, (struct device_options){ 0 }, &dev), 0);
	assert_int_equal(dev->size_bytes, DEVICE_SIZE);
	assert_int_equal(try_open(loop, false), -EBUSY);
	check_line("in use by");
	fd = open(loop, O_RDONLY | O_EXCL);
	assert_true(fd < 0 && errno == EBUSY);

	fill_random(data, sizeof(data), &seed);
	assert_int_equal(device_write(dev, 777, data, sizeof(data), DEVICE_FUA), 0);
	assert_int_equal(device_read(dev, 777, back, sizeof(back)), 0);
	assert_memory_equal(data, back, sizeof(data));

	/* The kernel may have it now, another userxfs may not. */
	assert_int_equal(device_drop_exclusive(dev), 0);
	fd = open(loop, O_RDONLY | O_EXCL);
	assert_true(fd >= 0);
	assert_int_equal(try_open(loop, false), -EBUSY);
	close(fd);
	device_close(dev);
	assert_int_equal(try_open(loop, false), 0);
}

static void a_claimed_block_device_is_refused(void **state)
{
	int fd;

	need_loop("");
	fd = open(loop, O_RDONLY | O_EXCL);
	assert_true(fd >= 0);
	assert_int_equal(try_open(loop, false), -EBUSY);
	check_line("in use by");
	close(fd);
}

static void a_read_only_block_device_is_refused_for_writing(void **state)
{
	need_loop("-r");
	assert_int_equal(try_open(loop, false), -EROFS);
	check_line("-o ro");
	assert_int_equal(try_open(loop, true), 0);
}

/* Both by its name as a block device and by that of the image. */
static void what_the_kernel_has_mounted_is_refused_naming_the_place(void **state)
{
	char mount_point[160];

	snprintf(mount_point, sizeof(mount_point), "%s/mnt", dir);
	need_loop("");
	if (image_shell("mkfs.ext2 -q -F %s && mkdir %s && mount -t ext2 %s %s", loop, mount_point, loop,
			mount_point) != 0) {
		print_message("mkfs.ext2 or mounting ext2 is not possible here\n");
		skip();
	}
	assert_int_equal(try_open(loop, false), -EBUSY);
	check_line("is mounted on");
	check_line(mount_point);
	assert_int_equal(try_open(image, false), -EBUSY);
	check_line("is mounted on");
	check_line(mount_point);
	assert_int_equal(image_shell("umount %s", mount_point), 0);
	assert_int_equal(try_open(loop, false), 0);
	assert_int_equal(try_open(image, false), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define BLOCK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, detach_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_does_not_exist_is_named_with_a_way_out),
		TEST(only_files_and_block_devices_are_opened),
		TEST(without_permission_the_line_says_what_would_help),
		TEST(a_second_user_is_refused_and_told_who_the_first_is),
		TEST(a_killed_user_leaves_no_lock_behind),
		TEST(readers_share_and_keep_writers_out),
		TEST(a_read_only_device_refuses_writes),
		TEST(an_empty_file_and_a_bad_offset_are_explained),
		TEST(the_offset_is_where_the_volume_starts),
		TEST(a_file_of_odd_size_is_readable_to_its_last_byte),
		TEST(the_best_engine_is_the_best_that_is_allowed),
		TEST(an_engine_asked_for_by_name_is_not_replaced),
		BLOCK_TEST(a_block_device_is_claimed_for_one_user),
		BLOCK_TEST(a_claimed_block_device_is_refused),
		BLOCK_TEST(a_read_only_block_device_is_refused_for_writing),
		BLOCK_TEST(what_the_kernel_has_mounted_is_refused_naming_the_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
