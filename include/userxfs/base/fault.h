/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Named fault points (XFS: error tags).  One X-macro row per point; the kernel's errortag name where one exists.
 * A disarmed point costs one relaxed load of a global that is almost always zero.
 *
 * A point is armed with a specification "NAME[:key=value...]":
 *   nth=N    the N-th hit fires, once            every=K  each K-th hit fires
 *   p=X      fires with probability X (0..1), from seed=S
 *   ino=I    only hits of that inode              off=A-B  only hits inside that byte range
 *   errno=E  what fault_check() returns           times=N  disarm after N firings
 *   value=V  a number the point interprets (bytes to copy, milliseconds to wait)
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FAULT_POINTS(X) \
	X(memory, "an allocation returns NULL") \
	X(device_read, "a device read fails") \
	X(device_write, "a device write fails") \
	X(device_flush, "a device flush fails") \
	X(write_copyin, "copying the caller's bytes fails or stops after value= bytes") \
	X(write_delay_ms, "a buffered write waits after its mapping was made") \
	X(wb_delay_ms, "writeback waits after its mapping was made") \
	X(drop_writes, "a buffered write fails after the copy") \
	X(bmap_alloc_minlen_extent, "data allocations get the shortest extent") \
	X(bmapifmt, "a fork changes to B+tree form at once") \
	X(ag_resv_fail, "a per-AG reservation fails at mount")

enum fault_point {
#define X(name, what) FAULT_##name,
	FAULT_POINTS(X)
#undef X
	FAULT_COUNT
};

struct fault_site {
	uint64_t ino;		/* 0: not about one inode */
	uint64_t off_bytes;
	uint64_t count_bytes;
};

extern _Atomic uint32_t fault_armed_count;

/* The slow half of fault_hit(); counts the hit and decides. */
bool fault_fires(enum fault_point point, const struct fault_site *site, int64_t *value, int *err);

/* True when the armed point fires here; *value and *err (negative errno, default -EIO) are then set.  May be NULL. */
static inline bool fault_hit(enum fault_point point, const struct fault_site *site, int64_t *value, int *err)
{
	if (__builtin_expect(atomic_load_explicit(&fault_armed_count, memory_order_relaxed) == 0, 1))
		return false;
	return fault_fires(point, site, value, err);
}

/* -EINVAL with a log line that names the bad word. */
int fault_arm(const char *specification);
void fault_disarm(enum fault_point point);
void fault_disarm_all(void);
/* Hits (@fired false) or firings since it was armed. */
uint64_t fault_count(enum fault_point point, bool fired);
