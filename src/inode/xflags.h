/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* The flags users see (FS_XFLAG_*) and those on disk (XFS_DIFLAG_*, XFS_DIFLAG2_*).  (XFS: xfs_ip2xflags,
 * xfs_flags2diflags, xfs_flags2diflags2.)  Map locked. */
#include <userxfs/inode.h>

uint32_t xflags_of_inode(const struct inode *inode);
/* The flags on disk that @xflags mean for this kind of inode; what users cannot set stays. */
uint16_t xflags_to_di_flags(const struct inode *inode, uint32_t xflags);
uint64_t xflags_to_di_flags2(const struct inode *inode, uint32_t xflags);
