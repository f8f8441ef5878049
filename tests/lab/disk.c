/* SPDX-License-Identifier: GPL-2.0 */
/* Small volumes in memory; see disk.h. */
#include "disk.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <userxfs/base/error.h>

#define CACHE_BYTES (32u << 20)

/* Runs a shell command; its output in @output (NULL: inherited).  The exit status. */
static int shell(char *output, size_t output_bytes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int shell(char *output, size_t output_bytes, const char *format, ...)
{
	char command[512];
	size_t length = 0;
	va_list ap;
	FILE *pipe;
	int status;

	va_start(ap, format);
	ensure((size_t)vsnprintf(command, sizeof(command), format, ap) < sizeof(command));
	va_end(ap);
	pipe = popen(command, "r");
	ensure(pipe);
	if (output) {
		length = fread(output, 1, output_bytes - 1, pipe);
		output[length] = 0;
	}
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void disk_create(struct disk *disk, uint64_t size_bytes)
{
	disk->size_bytes = size_bytes;
	disk->fd = memfd_create("userxfs-disk", 0);
	ensure(disk->fd >= 0 && ftruncate(disk->fd, (off_t)size_bytes) == 0);
	disk->bytes = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, disk->fd, 0);
	ensure(disk->bytes != MAP_FAILED);
}

void disk_destroy(struct disk *disk)
{
	munmap(disk->bytes, disk->size_bytes);
	close(disk->fd);
}

void disk_format(struct disk *disk, const char *mkfs_args)
{
	char said[4096];

	if (shell(said, sizeof(said), "mkfs.xfs --unsupported -q -f -K %s /proc/%d/fd/%d 2>&1", mkfs_args, getpid(),
		  disk->fd)) {
		fprintf(stderr, "mkfs.xfs %s: %s\n", mkfs_args, said);
		exit(1);
	}
}

void disk_save(const struct disk *disk, const char *path)
{
	FILE *file = fopen(path, "w");

	ensure(file && fwrite(disk->bytes, 1, disk->size_bytes, file) == disk->size_bytes && fclose(file) == 0);
}

bool disk_is_clean(const struct disk *disk)
{
	static char said[1 << 16];

	/* -P, a small hash: nothing to read ahead, and threads would take longer to start than to work. */
	if (shell(said, sizeof(said), "xfs_repair -n -f -P -o bhash=256 /proc/%d/fd/%d 2>&1", getpid(),
		  disk->fd) == 0)
		return true;
	fputs(said, stdout);
	return false;
}

int disk_mount_device(struct device *dev, struct volume **out)
{
	struct volume_options options = {
		.device = "disk",
		.opened = dev,
		.cache_bytes = CACHE_BYTES,
		.without_threads = true,
	};

	return volume_mount(&options, out);
}

int disk_mount(struct disk *disk, struct volume **out)
{
	struct device *dev;
	int err = device_create_memory_over(disk->bytes, disk->size_bytes, &dev);

	return err ? err : disk_mount_device(dev, out);
}

void disk_settle(struct volume *vol)
{
	while (volume_pass(vol))
		;
}
