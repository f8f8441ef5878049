/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The FUSE protocol as the kernel speaks it: <linux/fuse.h>, plus what kernels newer than that header send and
 * expect.
 *
 * The daemon speaks the protocol itself and uses libfuse only to mount.  libfuse 3.14 cannot negotiate
 * PARALLEL_DIROPS, HANDLE_KILLPRIV_V2 or DIRECT_IO_ALLOW_MMAP, does not know TMPFILE, STATX, SYNCFS and
 * COPY_FILE_RANGE_64, and hides the flags that say whether a write must clear suid bits.
 */
#include <linux/fuse.h>

#define FUSE_STATX_OP 52
#define FUSE_COPY_FILE_RANGE_64_OP 53

#define FUSE_CREATE_SUPP_GROUP_FLAG (1ull << 34)
#define FUSE_DIRECT_IO_ALLOW_MMAP_FLAG (1ull << 36)

struct userxfs_fuse_sx_time {
	int64_t tv_sec;
	uint32_t tv_nsec;
	int32_t reserved;
};

struct userxfs_fuse_statx {
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0[1];
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct userxfs_fuse_sx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t spare2[14];
};

struct userxfs_fuse_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	struct userxfs_fuse_statx stat;
};

struct userxfs_fuse_copy_file_range_out {
	uint64_t bytes_copied;
};
