/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The disk: an asynchronous op table over byte ranges of an image file or a block device, with several engines
 * (io_uring, libaio, plain pread/pwrite threads, memory for tests) and wrappers (recording, failing).
 *
 * Durability: a completed write is durable only after a flush that was submitted after its completion has
 * completed.  DEVICE_FUA makes the one write durable by itself.
 *
 * Threads: the device creates none.  Progress is made by whoever calls device_pass(); the volume runs one or more
 * threads that do, and device_wait() does it for its own request when nobody else is.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <userxfs/base/list.h>
#include <userxfs/base/lock.h>

enum device_op {
	DEVICE_READ,
	DEVICE_WRITE,
	DEVICE_FLUSH,
	DEVICE_DISCARD,		/* may be ignored by the device; contents are then undefined */
};

enum device_request_flag {
	DEVICE_FUA = 1 << 0,	/* write: durable when done */
	DEVICE_PREFLUSH = 1 << 1, /* write: everything completed before is durable first */
};

struct device;

/*
 * One request.  Owned by the submitter, untouched by it from device_submit() until .done is called or device_wait()
 * returns.  Offset, every iov_base and every iov_len are multiples of device->alignment_bytes (callers that cannot
 * promise this use device_read()/device_write(), which bounce).
 */
struct device_request {
	enum device_op op;
	uint32_t flags;			/* enum device_request_flag */
	uint64_t off_bytes;		/* within the volume (an -o offset is added by the device) */
	uint64_t length_bytes;		/* sum of iov_len; length to discard */
	struct iovec *iov;		/* not copied; may be modified by the engine */
	int iov_count;
	/* Called once, from a thread inside device_pass(), device_wait() or device_submit(); takes no lock above
	 * RANK_BUFFER and never waits for another request.  NULL: nobody to tell. */
	void (*done)(struct device_request *req);
	void *context;			/* the submitter's */
	int err;			/* result, valid in .done and after device_wait() */
	/* The engine's. */
	_Atomic uint32_t is_done;
	struct list node;
	uint64_t progress_bytes;
	void *engine;
};

struct device_ops {
	const char *name;
	/* Required.  Takes the request; errors are reported through .done, never returned. */
	void (*submit)(struct device *dev, struct device_request *req);
	/* Required.  One bounded round: perform or reap some requests.  @wait: block until there is at least one, or
	 * until device_wake().  Returns the number of requests completed. */
	unsigned (*pass)(struct device *dev, bool wait);
	/* Required.  Makes blocked passes return. */
	void (*wake)(struct device *dev);
	/* Required.  Nothing is in flight. */
	void (*close)(struct device *dev);
};

struct device {
	const struct device_ops *ops;	/* [I] */
	uint64_t size_bytes;		/* [I] */
	uint32_t alignment_bytes;	/* [I] of offset, length and memory: power of two */
	bool is_read_only;		/* [I] */
	bool can_discard;		/* [I] */
};

enum device_engine {
	DEVICE_ENGINE_BEST,
	DEVICE_ENGINE_URING,
	DEVICE_ENGINE_AIO,
	DEVICE_ENGINE_SYNC,
};

struct device_options {
	enum device_engine engine;
	uint64_t off_bytes;		/* start of the volume inside the file; a multiple of 512 */
	bool read_only;			/* open O_RDONLY; takes a shared lock */
	bool buffered;			/* no O_DIRECT (tests on tmpfs); default: O_DIRECT where the file allows it */
};

/*
 * Opens an image file or block device and locks it for the life of the device: an exclusive (shared when read-only)
 * flock on image files, O_EXCL on block devices.
 *
 * Every failure has written one log line with the cause and the next step.  -EBUSY: in use; the line names the pid and
 * program that hold it when /proc/locks tells.  -ENOTBLK/-EINVAL: neither a regular file nor a block device.
 */
int device_open(const char *path, const struct device_options *options, struct device **out);

/* A device in memory, zero-filled, for tests.  With alignment 1. */
int device_create_memory(uint64_t size_bytes, struct device **out);
/* The bytes of a memory device. */
void *device_memory(struct device *dev);

/* Block devices: drops O_EXCL so that the kernel can claim the device for a fuseblk mount; the flock stays. */
int device_drop_exclusive(struct device *dev);

/* Nothing is in flight.  NULL is fine. */
void device_close(struct device *dev);

void device_request_init(struct device_request *req, enum device_op op, uint64_t off_bytes, struct iovec *iov,
			 int iov_count);
/* Checks bounds and alignment (-EIO/-EINVAL through .done: reading past the end is our bug or the disk's lie). */
void device_submit(struct device *dev, struct device_request *req);
/* Waits until @req is done, making progress itself if nobody else does; returns req->err. */
int device_wait(struct device *dev, struct device_request *req);
unsigned device_pass(struct device *dev, bool wait);
void device_wake(struct device *dev);

/* Synchronous; any alignment (bounces when needed). */
int device_read(struct device *dev, uint64_t off_bytes, void *data, uint64_t count_bytes);
int device_write(struct device *dev, uint64_t off_bytes, const void *data, uint64_t count_bytes, uint32_t flags);
int device_flush(struct device *dev);
