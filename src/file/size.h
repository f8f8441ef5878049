/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
#include <userxfs/inode.h>

/* file_truncate() with io_lock and invalidate_lock held exclusively. */
int file_set_size_locked(struct inode *inode, uint64_t size, bool touch);
