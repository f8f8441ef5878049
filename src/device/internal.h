/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the files of this room know of each other: the open file under an engine, and the engines' constructors. */
#include <sys/types.h>

#include <userxfs/device.h>

/* Order of the room's locks within RANK_DEVICE. */
enum {
	ORDER_BOUNCE,
	ORDER_OVERLAY,			/* reads from the device below it */
	ORDER_DEVICE,
	ORDER_ENGINE,
};

/* An engine over a file; embedded as first member. */
struct file_device {
	struct device dev;
	int fd;			/* [I] all I/O; carries the flock */
	int exclusive_fd;	/* block devices: opened O_EXCL; -1: none */
	uint64_t off_bytes;	/* [I] of the volume within the file */
	bool is_block;		/* [I] */
};

static inline struct file_device *file_device(struct device *dev)
{
	return container_of(dev, struct file_device, dev);
}

/* ---- request.c ------------------------------------------------------------------------------------------------- */

/* Moves on by @count_bytes of progress: .iov_index and that entry then say what is left. */
void request_advance(struct device_request *req, uint64_t count_bytes);
/* The entries left, at most as many as one system call takes. */
struct iovec *request_iov(const struct device_request *req, int *count);
/* For disks in memory: a read gets its length from @bytes, anything else puts it there. */
void request_copy(const struct device_request *req, char *bytes);

/* ---- file.c: carrying out requests in the calling thread ------------------------------------------------------- */

void file_perform(struct device *dev, struct device_request *req);
void file_drop_exclusive(struct device *dev);
void file_close(struct file_device *file);

/* ---- claim.c: one user at a time ------------------------------------------------------------------------------- */

/* Locks @file, or writes a line that says who has it.  -EBUSY. */
int claim_file(struct file_device *file, const char *path);

/* ---- the engines.  On success they own what @file holds. ------------------------------------------------------- */

int sync_engine_create(const struct file_device *file, struct device **out);
/* Not being available is no news: -errno without a log line. */
int uring_engine_create(const struct file_device *file, struct device **out);
int aio_engine_create(const struct file_device *file, struct device **out);
