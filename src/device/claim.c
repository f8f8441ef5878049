/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One user at a time: the lock on the image, and finding out who has it.
 *
 * Three kinds of rivals are told apart: another program that holds a flock (another userxfs; /proc/locks knows it),
 * the kernel or a program that has claimed the block device, and the kernel on a loop device over the image file,
 * which holds no lock that could be tried.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "internal.h"

enum {
	LOCK_TRIES = 20,
	LOCK_RETRY_NS = 50 * 1000 * 1000,
};

/* ---- who ------------------------------------------------------------------------------------------------------- */

/* The process that holds a flock on the file, or 0. */
static long find_flock_holder(const struct stat *st)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256], type[16];
	unsigned maj, min;
	unsigned long long ino;
	long pid, found = 0;

	if (!locks)
		return 0;
	while (!found && fgets(line, sizeof(line), locks)) {
		if (sscanf(line, "%*d: %15s %*s %*s %ld %x:%x:%llu", type, &pid, &maj, &min, &ino) != 5)
			continue;
		if (strcmp(type, "FLOCK") == 0 && ino == st->st_ino && makedev(maj, min) == st->st_dev && pid > 0)
			found = pid;
	}
	fclose(locks);
	return found;
}

/* False when there is no such process (any more); it is then called "a program". */
static bool read_program_name(long pid, char name[static 32])
{
	char path[64];
	FILE *comm;
	bool is_there;

	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	comm = fopen(path, "re");
	is_there = comm && fgets(name, 32, comm);
	if (comm)
		fclose(comm);
	if (is_there)
		name[strcspn(name, "\n")] = '\0';
	else
		snprintf(name, 32, "a program");
	return is_there;
}

/* Where the block device is mounted; false when it is not. */
static bool find_mount(dev_t device, char dir[static 256])
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[1024];
	unsigned maj, min;
	bool found = false;

	if (!mounts)
		return false;
	while (!found && fgets(line, sizeof(line), mounts))
		found = sscanf(line, "%*d %*d %u:%u %*s %255s", &maj, &min, dir) == 3 &&
			makedev(maj, min) == device;
	fclose(mounts);
	return found;
}

/* ---- the three rivals ------------------------------------------------------------------------------------------ */

static int refuse_flock(const char *path, const struct stat *st)
{
	long pid = find_flock_holder(st);
	char name[32];

	if (pid) {
		read_program_name(pid, name);
		msg_error("%s is in use by %s (pid %ld); unmount it there first", path, name, pid);
	} else {
		msg_error("%s is in use by another program; unmount it there first", path);
	}
	return -EBUSY;
}

/*
 * Whether the lock will be free in a moment: udev locks a block device while it looks at it, and the lock of a killed
 * process lasts until its last I/O is over.
 */
static bool is_passing(const struct file_device *file, const struct stat *st)
{
	long pid = find_flock_holder(st);
	char name[32];

	return file->is_block || (pid && !read_program_name(pid, name));
}

static int try_flock(const struct file_device *file)
{
	int how = (file->dev.is_read_only ? LOCK_SH : LOCK_EX) | LOCK_NB;

	while (flock(file->fd, how) != 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static int take_flock(const struct file_device *file, const char *path, const struct stat *st)
{
	int err = try_flock(file);

	for (int i = 1; i < LOCK_TRIES && err == -EWOULDBLOCK && is_passing(file, st); i++) {
		clock_sleep_ns(LOCK_RETRY_NS);
		err = try_flock(file);
	}
	if (err == -EWOULDBLOCK)
		return refuse_flock(path, st);
	if (err)
		msg_error("cannot lock %s: %s; keep it on a filesystem that supports flock(2)", path, strerror(-err));
	return err;
}

static int claim_block_device(struct file_device *file, const char *path, const struct stat *st)
{
	char dir[256];

	file->exclusive_fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (file->exclusive_fd >= 0)
		return 0;
	if (errno != EBUSY) {
		msg_error("cannot claim %s: %s", path, strerror(errno));
		return -errno;
	}
	if (find_mount(st->st_rdev, dir))
		msg_error("%s is mounted on %s; unmount it first", path, dir);
	else
		msg_error("%s is in use by the kernel (see lsblk) or a program (see fuser); release it first", path);
	return -EBUSY;
}

/* True when loop device @name is over the file; *device is then its number. */
static bool is_loop_over(const char *name, const struct stat *st, dev_t *device)
{
	char path[300], backing[4096], number[32] = "";
	struct stat other;
	unsigned maj, min;
	FILE *f;
	bool is_over;

	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	f = fopen(path, "re");
	if (!f)
		return false;
	is_over = fgets(backing, sizeof(backing), f);
	fclose(f);
	if (!is_over)
		return false;
	backing[strcspn(backing, "\n")] = '\0';
	if (stat(backing, &other) != 0 || other.st_ino != st->st_ino || other.st_dev != st->st_dev)
		return false;

	snprintf(path, sizeof(path), "/sys/block/%s/dev", name);
	f = fopen(path, "re");
	if (!f)
		return false;
	is_over = fgets(number, sizeof(number), f) && sscanf(number, "%u:%u", &maj, &min) == 2;
	fclose(f);
	if (is_over)
		*device = makedev(maj, min);
	return is_over;
}

/* Writing to an image that the kernel has mounted would destroy it. */
static int refuse_mounted_loop(const char *path, const struct stat *st)
{
	DIR *blocks = opendir("/sys/block");
	struct dirent *entry;
	char dir[256];
	dev_t device;
	int err = 0;

	if (!blocks)
		return 0;
	while (!err && (entry = readdir(blocks))) {
		if (strncmp(entry->d_name, "loop", 4) != 0 || !is_loop_over(entry->d_name, st, &device))
			continue;
		if (!find_mount(device, dir))
			continue;
		msg_error("%s is mounted on %s by the kernel (/dev/%s); unmount it first", path, dir, entry->d_name);
		err = -EBUSY;
	}
	closedir(blocks);
	return err;
}

int claim_file(struct file_device *file, const char *path)
{
	struct stat st;
	int err;

	if (fstat(file->fd, &st) != 0)
		return -errno;
	err = take_flock(file, path, &st);
	if (err)
		return err;
	return file->is_block ? claim_block_device(file, path, &st) : refuse_mounted_loop(path, &st);
}
