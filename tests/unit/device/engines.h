/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* One test over every engine: each gets a fresh device of DEVICE_SIZE zero bytes in a file of its own (or memory). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <userxfs/base/error.h>
#include <userxfs/base/fault.h>
#include <userxfs/device.h>

#define DEVICE_SIZE (1u << 20)

enum { VIRTUAL = -1 };	/* the memory device, among enum device_engine */

struct fixture {
	int engine;
	bool buffered;
	struct device *dev;	/* NULL: the engine is not available here */
	char path[64];
};

#define FIXTURES \
	static struct fixture uring = { .engine = DEVICE_ENGINE_URING }; \
	static struct fixture aio = { .engine = DEVICE_ENGINE_AIO }; \
	static struct fixture sync_ = { .engine = DEVICE_ENGINE_SYNC }; \
	static struct fixture buffered = { .engine = DEVICE_ENGINE_URING, .buffered = true }; \
	static struct fixture virtual = { .engine = VIRTUAL };

#define ON(name, which, label) { label ": " #name, name, fixture_open, fixture_close, &which }
#define ON_EACH_FILE(name) \
	ON(name, uring, "uring"), ON(name, aio, "aio"), ON(name, sync_, "sync"), ON(name, buffered, "buffered")
#define ON_EACH(name) ON_EACH_FILE(name), ON(name, virtual, "memory")

static inline int fixture_open(void **state)
{
	struct fixture *f = *state;
	struct device_options options = { .engine = f->engine, .buffered = f->buffered };
	int fd, err;

	f->dev = NULL;
	if (f->engine == VIRTUAL)
		return device_create_memory(DEVICE_SIZE, &f->dev);
	/* In the build directory, which is on a real filesystem more often than /tmp. */
	strcpy(f->path, "device-test-XXXXXX");
	fd = mkstemp(f->path);
	if (fd < 0 || ftruncate(fd, DEVICE_SIZE) != 0)
		return -1;
	close(fd);
	err = device_open(f->path, &options, &f->dev);
	return err == -EPERM || err == -ENOSYS ? 0 : err;
}

static inline int fixture_close(void **state)
{
	struct fixture *f = *state;

	fault_disarm_all();
	device_close(f->dev);
	if (f->engine != VIRTUAL)
		unlink(f->path);
	return 0;
}

static inline struct device *device_of(void **state)
{
	struct fixture *f = *state;

	if (!f->dev) {
		print_message("the kernel does not offer this engine here\n");
		skip();
	}
	return f->dev;
}

static inline void *aligned_bytes(size_t count)
{
	void *p = NULL;

	assert_int_equal(posix_memalign(&p, 4096, count), 0);
	return p;
}

/* A small generator, so that runs repeat. */
static inline uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*seed >> 33);
}

static inline void fill_random(void *p, size_t count, uint64_t *seed)
{
	for (size_t i = 0; i < count; i++)
		((unsigned char *)p)[i] = (unsigned char)next_random(seed);
}
