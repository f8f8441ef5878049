/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* The two halves of an inode's verification. */
#include <userxfs/format/block.h>

/*
 * Formats of both forks against mode, size and extent counts, and what stands inside the inode itself.  The core has
 * been verified.  NULL or the reason.
 */
const char *dinode_forks_verify(const struct geometry *geo, struct inum ino, const struct xfs_dinode *dip);
