/* SPDX-License-Identifier: GPL-2.0 */
/* Memory: malloc with a fault point in front. */
#include <stdlib.h>
#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/base/fault.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

static bool is_refused(void)
{
	int64_t value;
	int err;

	return fault_hit(FAULT_memory, NULL, &value, &err);
}

/* NULL means failure and nothing else: an empty allocation is a real one. */
static size_t at_least_one(size_t size_bytes)
{
	return size_bytes ? size_bytes : 1;
}

static void *aligned(size_t alignment_bytes, size_t size_bytes)
{
	void *p;

	return posix_memalign(&p, alignment_bytes, at_least_one(size_bytes)) ? NULL : p;
}

static void *or_abort(void *p, size_t size_bytes)
{
	if (!p) {
		msg_error("out of memory (%zu bytes) at a point of no return", size_bytes);
		abort();
	}
	return p;
}

void *mem_alloc(size_t size_bytes)
{
	return is_refused() ? NULL : malloc(at_least_one(size_bytes));
}

void *mem_alloc_zeroed(size_t size_bytes)
{
	return is_refused() ? NULL : calloc(1, at_least_one(size_bytes));
}

void *mem_alloc_aligned(size_t alignment_bytes, size_t size_bytes)
{
	return is_refused() ? NULL : aligned(alignment_bytes, size_bytes);
}

void *mem_resize(void *old, size_t size_bytes)
{
	return is_refused() ? NULL : realloc(old, at_least_one(size_bytes));
}

void *mem_alloc_sure(size_t size_bytes)
{
	return or_abort(malloc(at_least_one(size_bytes)), size_bytes);
}

void *mem_alloc_zeroed_sure(size_t size_bytes)
{
	return or_abort(calloc(1, at_least_one(size_bytes)), size_bytes);
}

void *mem_alloc_aligned_sure(size_t alignment_bytes, size_t size_bytes)
{
	return or_abort(aligned(alignment_bytes, size_bytes), size_bytes);
}

void mem_free(void *p)
{
	free(p);
}
