/* SPDX-License-Identifier: GPL-2.0 */
/* Carrying out a request on an open file in the calling thread. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <userxfs/base/error.h>

#include "internal.h"

static int file_flush(const struct file_device *file)
{
	while (fdatasync(file->fd) != 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static ssize_t transfer_some(const struct file_device *file, struct device_request *req)
{
	off_t off = (off_t)(file->off_bytes + req->off_bytes + req->progress_bytes);
	int count;
	struct iovec *iov = request_iov(req, &count);

	if (req->op == DEVICE_READ)
		return preadv(file->fd, iov, count, off);
	return pwritev2(file->fd, iov, count, off, req->flags & DEVICE_FUA ? RWF_DSYNC : 0);
}

static int file_transfer(const struct file_device *file, struct device_request *req)
{
	while (req->progress_bytes < req->length_bytes) {
		ssize_t done = transfer_some(file, req);

		if (done < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		/* The file has become shorter than it was when it was opened. */
		if (done == 0)
			return -EIO;
		if (done > 0)
			request_advance(req, (uint64_t)done);
	}
	return 0;
}

static int file_write(const struct file_device *file, struct device_request *req)
{
	int err = req->flags & DEVICE_PREFLUSH ? file_flush(file) : 0;

	return err ? err : file_transfer(file, req);
}

/* A discard is a hint: not being able to is success. */
static int file_discard(const struct file_device *file, const struct device_request *req)
{
	uint64_t range[2] = { file->off_bytes + req->off_bytes, req->length_bytes };
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int err;

	if (!file->dev.can_discard)
		return 0;
	if (file->is_block)
		err = ioctl(file->fd, BLKDISCARD, range);
	else
		err = fallocate(file->fd, mode, (off_t)range[0], (off_t)range[1]);
	if (err == 0 || errno == EOPNOTSUPP || errno == EINVAL)
		return 0;
	return -errno;
}

void file_perform(struct device *dev, struct device_request *req)
{
	const struct file_device *file = file_device(dev);

	switch (req->op) {
	case DEVICE_READ:
		req->err = file_transfer(file, req);
		break;
	case DEVICE_WRITE:
		req->err = file_write(file, req);
		break;
	case DEVICE_FLUSH:
		req->err = file_flush(file);
		break;
	case DEVICE_DISCARD:
		req->err = file_discard(file, req);
		break;
	}
}

void file_drop_exclusive(struct device *dev)
{
	struct file_device *file = file_device(dev);

	if (file->exclusive_fd >= 0)
		close(file->exclusive_fd);
	file->exclusive_fd = -1;
}

void file_close(struct file_device *file)
{
	/* An io_uring keeps the file open for a moment longer than its owner does. */
	flock(file->fd, LOCK_UN);
	if (file->exclusive_fd >= 0)
		close(file->exclusive_fd);
	close(file->fd);
}
