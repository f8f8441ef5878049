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
 * threads that do, and device_wait() does it for its own request when nobody else is; but only device_pass() calls
 * .done, perhaps of several requests at once in several threads.
 *
 * A device is used by the process that opened it and not by its forked children (libaio's contexts do not survive a
 * fork).
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
 * returns.  A request has either a .done or somebody who waits for it, never both.  Offset, every iov_base and every
 * iov_len are multiples of device->alignment_bytes (callers that cannot promise this use device_read() and
 * device_write(), which bounce).
 */
struct device_request {
	enum device_op op;
	uint32_t flags;			/* enum device_request_flag */
	uint64_t off_bytes;		/* within the volume (an -o offset is added by the device) */
	uint64_t length_bytes;		/* sum of iov_len; length to discard */
	struct iovec *iov;		/* not copied; entries may be modified by the engine; any number of them */
	int iov_count;
	/* Called once, by a thread inside device_pass() (so with none of the submitter's locks held); takes no lock
	 * above RANK_BUFFER and never waits for another request.  NULL: somebody waits, or nobody cares. */
	void (*done)(struct device_request *req);
	void *context;			/* the submitter's */
	int err;			/* result, valid in .done and after device_wait() */
	/* The device's. */
	_Atomic uint32_t is_done;	/* enum in src/device/wait.c */
	/* The engine's. */
	struct list node;
	uint64_t progress_bytes;	/* done of length_bytes */
	int iov_index;			/* first entry not done */
	uint8_t stage;			/* what of a multi-step request is under way */
	bool needs_finish;		/* collected, but ->finish has work to do */
	void *engine;
};

/* What an engine or a wrapper implements.  Errors of requests are put into req->err, never returned. */
struct device_ops {
	const char *name;
	/* Required.  Takes the request; never completes it (that is for ->collect to do). */
	void (*submit)(struct device *dev, struct device_request *req);
	/* Required.  One bounded round: moves requests that are finished (.err is set), or that ->finish shall finish
	 * (.needs_finish is set), to @out.  @wait: blocks until there is at least one, or until ->wake.  Called by
	 * one thread at a time. */
	void (*collect)(struct device *dev, bool wait, struct list *out);
	/* Required.  A blocked ->collect, or else the next one, returns at once. */
	void (*wake)(struct device *dev);
	/* Optional, for an engine that sets .needs_finish: does the work in the calling thread and sets .err. */
	void (*finish)(struct device *dev, struct device_request *req);
	/* Optional.  Carries out a request that was not submitted, in the calling thread, and sets .err. */
	void (*perform)(struct device *dev, struct device_request *req);
	/* Optional: see device_drop_exclusive(). */
	void (*drop_exclusive)(struct device *dev);
	/* Required.  Nothing is in flight.  Frees the device; device_deinit() has been called. */
	void (*close)(struct device *dev);
};

/* Embedded as first member by engines and wrappers. */
struct device {
	const struct device_ops *ops;	/* [I] */
	struct queue *queue;		/* [I] of an engine that has one (src/device/queue.h) */
	uint64_t size_bytes;		/* [I] */
	uint32_t alignment_bytes;	/* [I] of offset, length and memory: power of two */
	bool is_read_only;		/* [I] */
	bool can_discard;		/* [I] */
	struct mutex bounce_lock;	/* one unaligned write at a time reads, changes and writes its surroundings */
	struct mutex lock;		/* of the fields below; held for a few instructions */
	struct cond turn;		/* device_pass() callers that want to collect */
	struct list sleepers;		/* device_wait() callers that sleep [lock] */
	struct list ready;		/* requests of which only .done is left to call [lock] */
	unsigned turn_waiters;		/* [lock] */
	bool is_collecting;		/* somebody has the turn [lock] */
	const struct device_request *collecting_for; /* what the collector waits for, if it waits [lock] */
	bool is_stopping;		/* passes no longer block [lock] */
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
 * Every failure has written one log line with the cause and the next step.  -EBUSY: in use; the line names the pid
 * and program that hold it when /proc/locks tells.  -ENOTBLK/-EINVAL: neither a regular file nor a block device.
 */
int device_open(const char *path, const struct device_options *options, struct device **out);

/* A device in memory, zero-filled, for tests.  With alignment 1. */
int device_create_memory(uint64_t size_bytes, struct device **out);
/* The same over @bytes, which stay the caller's. */
int device_create_memory_over(void *bytes, uint64_t size_bytes, struct device **out);
/* The bytes of a memory device. */
void *device_memory(struct device *dev);

/*
 * A device that reads like @base, which it owns from now on; what is written to it stays in memory.  So a volume on
 * read-only media can be replayed and looked at.
 */
int device_create_overlay(struct device *base, struct device **out);

/* Block devices: drops O_EXCL so that the kernel can claim the device for a fuseblk mount; the flock stays. */
int device_drop_exclusive(struct device *dev);

/* Nothing is in flight.  NULL is fine. */
void device_close(struct device *dev);

void device_request_init(struct device_request *req, enum device_op op, uint64_t off_bytes, struct iovec *iov,
			 int iov_count);
/*
 * Checks bounds and alignment (-EIO/-EINVAL in .err: reading past the end is our bug or the disk's lie), and hits the
 * fault points device_read, device_write and device_flush.
 */
void device_submit(struct device *dev, struct device_request *req);
/* Waits until @req, which has no .done, is done, making progress itself if nobody else does; returns req->err. */
int device_wait(struct device *dev, struct device_request *req);
/*
 * The same as device_submit() and device_wait(), but carried out by the calling thread itself where the engine can:
 * the fastest way for a request that is needed now and alone.
 */
int device_perform(struct device *dev, struct device_request *req);
/*
 * One bounded round: performs or reaps some requests, calls their .done.  @wait: blocks until there is at least one
 * to complete, or until device_wake().  Returns the number of requests completed.
 */
unsigned device_pass(struct device *dev, bool wait);
/*
 * Makes blocked passes return, and all later ones not block: for stopping the threads that run passes.  device_wait()
 * goes on working.
 */
void device_wake(struct device *dev);

/* Synchronous; any alignment (bounces when needed).  @flags: enum device_request_flag. */
int device_read(struct device *dev, uint64_t off_bytes, void *data, uint64_t count_bytes);
int device_write(struct device *dev, uint64_t off_bytes, const void *data, uint64_t count_bytes, uint32_t flags);
int device_flush(struct device *dev);

/* For engines and wrappers: the parts of struct device they do not know. */
void device_init(struct device *dev, const struct device_ops *ops);
void device_deinit(struct device *dev);
