/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Opening the disk: what it is, how large, how it wants its I/O, which engine.
 *
 * Happy path: look, open, claim (claim.c), measure, choose direct or buffered I/O, create the engine.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "internal.h"

enum {
	SECTOR_SIZE = 512,
	ALIGNMENT_MAX = 65536,
};

/* ---- opening --------------------------------------------------------------------------------------------------- */

static int look(const char *path, bool *is_block)
{
	struct stat st;
	int err;

	if (stat(path, &st) != 0) {
		err = -errno;
		if (err == -ENOENT)
			msg_error("%s does not exist; check the path, or make it: mkfs.xfs -d file,size=1g,name=%s",
				  path, path);
		else
			msg_error("cannot look at %s: %s", path, strerror(errno));
		return err;
	}
	*is_block = S_ISBLK(st.st_mode);
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return 0;
	if (S_ISDIR(st.st_mode)) {
		msg_error("%s is a directory; give an image file or a block device", path);
		return -EISDIR;
	}
	msg_error("%s is neither a regular file nor a block device", path);
	return S_ISCHR(st.st_mode) ? -ENOTBLK : -EINVAL;
}

/* Says why opening failed with @err and what may help. */
static int explain_open(const char *path, bool read_only, int err)
{
	bool is_readable = !read_only && access(path, R_OK) == 0;

	if (err == -EROFS || ((err == -EACCES || err == -EPERM) && is_readable))
		msg_error("%s cannot be written (%s); mount it read-only with -o ro", path, strerror(-err));
	else if (err == -EACCES || err == -EPERM)
		msg_error("no permission to open %s; ask its owner for access, or run as root", path);
	else
		msg_error("cannot open %s: %s", path, strerror(-err));
	return err;
}

static int open_file(struct file_device *file, const char *path)
{
	int err = look(path, &file->is_block);

	if (err)
		return err;
	file->fd = open(path, (file->dev.is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	return file->fd >= 0 ? 0 : explain_open(path, file->dev.is_read_only, -errno);
}

/* The kernel opens a write-protected block device for writing and fails the writes. */
static int check_write_protection(const struct file_device *file, const char *path)
{
	int is_protected = 0;

	if (file->dev.is_read_only || !file->is_block)
		return 0;
	if (ioctl(file->fd, BLKROGET, &is_protected) != 0 || !is_protected)
		return 0;
	return explain_open(path, false, -EROFS);
}

/* ---- size ------------------------------------------------------------------------------------------------------ */

static int read_size(const struct file_device *file, uint64_t *size_bytes)
{
	struct stat st;

	if (file->is_block)
		return ioctl(file->fd, BLKGETSIZE64, size_bytes) == 0 ? 0 : -errno;
	if (fstat(file->fd, &st) != 0)
		return -errno;
	*size_bytes = (uint64_t)st.st_size;
	return 0;
}

static int measure(struct file_device *file, const char *path)
{
	uint64_t size_bytes;
	int err = read_size(file, &size_bytes);

	if (err) {
		msg_error("cannot find out the size of %s: %s", path, strerror(-err));
		return err;
	}
	if (file->off_bytes % SECTOR_SIZE) {
		msg_error("offset %" PRIu64 " is not a multiple of %d", file->off_bytes, SECTOR_SIZE);
		return -EINVAL;
	}
	if (size_bytes <= file->off_bytes) {
		if (size_bytes == 0)
			msg_error("%s is empty; make a filesystem on it with mkfs.xfs first", path);
		else
			msg_error("%s ends before offset %" PRIu64 "; check the offset option", path,
				  file->off_bytes);
		return -EINVAL;
	}
	file->dev.size_bytes = size_bytes - file->off_bytes;
	return 0;
}

/* ---- direct or buffered ---------------------------------------------------------------------------------------- */

/* The unit a read of the file must have, found by trying; 0: none works. */
static uint32_t probe_alignment(const struct file_device *file)
{
	static const uint32_t units[] = { 512, 4096 };
	uint32_t found = 0;
	char *buffer = mem_alloc_aligned(ALIGNMENT_MAX, 2 * 4096);

	/* An address that is a multiple of the unit and of nothing larger. */
	for (unsigned i = 0; buffer && !found && i < ARRAY_COUNT(units); i++) {
		if (pread(file->fd, buffer + units[i], units[i], (off_t)file->off_bytes + units[i]) >= 0)
			found = units[i];
	}
	mem_free(buffer);
	return found;
}

/* What the kernel says the unit is; 0: direct I/O is not possible.  Negative: it does not say. */
static int64_t ask_alignment(const struct file_device *file)
{
	int sector_size;
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 && (stx.stx_mask & STATX_DIOALIGN))
		return (int64_t)max_u64(stx.stx_dio_offset_align, stx.stx_dio_mem_align);
#endif
	if (file->is_block && ioctl(file->fd, BLKSSZGET, &sector_size) == 0)
		return sector_size;
	return -1;
}

static bool set_direct(const struct file_device *file, bool is_direct)
{
	int flags = fcntl(file->fd, F_GETFL);

	return flags >= 0 && fcntl(file->fd, F_SETFL, is_direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/* 0: buffered I/O it is. */
static uint32_t direct_alignment(const struct file_device *file)
{
	int64_t unit = ask_alignment(file);

	if (unit == 0 || !set_direct(file, true))
		return 0;
	if (unit < 0)
		unit = probe_alignment(file);
	if (unit < SECTOR_SIZE && unit > 0)
		unit = SECTOR_SIZE;
	/* The volume must begin and end on a unit, else its edges are out of reach. */
	if (unit && is_power_of_two((uint64_t)unit) && unit <= ALIGNMENT_MAX &&
	    (file->off_bytes | file->dev.size_bytes) % (uint64_t)unit == 0)
		return (uint32_t)unit;
	set_direct(file, false);
	return 0;
}

static void choose_io(struct file_device *file, const char *path, bool buffered)
{
	uint32_t unit = buffered ? 0 : direct_alignment(file);

	file->dev.alignment_bytes = unit ? unit : 1;
	if (unit)
		msg_debug("%s: direct I/O in units of %u bytes", path, unit);
	else
		msg_debug("%s: buffered I/O", path);
}

/* ---- discard --------------------------------------------------------------------------------------------------- */

static bool can_discard_block(const struct file_device *file)
{
	/* A partition has no queue of its own; its disk has. */
	static const char *const places[] = { "", "/.." };
	unsigned long long max_bytes = 0;
	struct stat st;
	char path[96];

	if (fstat(file->fd, &st) != 0)
		return false;
	for (unsigned i = 0; i < ARRAY_COUNT(places) && !max_bytes; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u%s/queue/discard_max_bytes", major(st.st_rdev),
			 minor(st.st_rdev), places[i]);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%llu", &max_bytes) != 1)
			max_bytes = 0;
		fclose(f);
	}
	return max_bytes > 0;
}

static bool can_discard(const struct file_device *file)
{
	off_t beyond_end;

	if (file->dev.is_read_only)
		return false;
	if (file->is_block)
		return can_discard_block(file);
	/* A hole beyond the end changes nothing and tells whether holes can be made. */
	beyond_end = (off_t)round_up_u64(file->off_bytes + file->dev.size_bytes, ALIGNMENT_MAX);
	return fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, beyond_end, ALIGNMENT_MAX) == 0;
}

/* ---- engine ---------------------------------------------------------------------------------------------------- */

struct engine {
	enum device_engine which;
	const char *name;
	int (*create)(const struct file_device *file, struct device **out);
};

/* Best first. */
static const struct engine engines[] = {
	{ DEVICE_ENGINE_URING, "uring", uring_engine_create },
	{ DEVICE_ENGINE_AIO, "aio", aio_engine_create },
	{ DEVICE_ENGINE_SYNC, "sync", sync_engine_create },
};

static int create_engine(const struct file_device *file, const char *path, enum device_engine which,
			 struct device **out)
{
	int err = -EINVAL;

	for (unsigned i = 0; i < ARRAY_COUNT(engines); i++) {
		const struct engine *e = &engines[i];

		if (which != DEVICE_ENGINE_BEST && which != e->which)
			continue;
		err = e->create(file, out);
		if (!err) {
			msg_debug("%s: I/O engine %s", path, e->name);
			return 0;
		}
		if (which == DEVICE_ENGINE_BEST)
			msg_debug("I/O engine %s is not available: %s", e->name, strerror(-err));
		else
			msg_error("I/O engine %s is not available (%s); try -o io=sync", e->name, strerror(-err));
	}
	return err;
}

int device_open(const char *path, const struct device_options *options, struct device **out)
{
	struct file_device file = {
		.dev.is_read_only = options->read_only,
		.fd = -1,
		.exclusive_fd = -1,
		.off_bytes = options->off_bytes,
	};
	int err;

	err = open_file(&file, path);
	if (err)
		return err;
	err = check_write_protection(&file, path);
	if (err)
		goto close_file;
	err = claim_file(&file, path);
	if (err)
		goto close_file;
	err = measure(&file, path);
	if (err)
		goto close_file;
	choose_io(&file, path, options->buffered);
	file.dev.can_discard = can_discard(&file);
	err = create_engine(&file, path, options->engine, out);
	if (err)
		goto close_file;
	return 0;

close_file:
	file_close(&file);
	return err;
}
