/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The bytes on disk: xfslibs-dev's structures, plus what a newer kernel may have put there and xfslibs-dev 6.1 does
 * not name yet.  Big-endian fields keep their __be types and are touched only through be32_to_cpu() and friends.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <xfs/xfs.h>
#include <xfs/xfs_arch.h>
#include <xfs/xfs_types.h>
#include <xfs/xfs_format.h>
#include <xfs/xfs_da_format.h>
#include <xfs/xfs_log_format.h>

/* Incompatible features of newer kernels; named so that they can be refused by name. */
#ifndef XFS_SB_FEAT_INCOMPAT_EXCHRANGE
#define XFS_SB_FEAT_INCOMPAT_EXCHRANGE	(1u << 6)	/* 6.10: log items that exchange file ranges */
#endif
#ifndef XFS_SB_FEAT_INCOMPAT_PARENT
#define XFS_SB_FEAT_INCOMPAT_PARENT	(1u << 7)	/* 6.10: parent pointers in attributes */
#endif
#ifndef XFS_SB_FEAT_INCOMPAT_METADIR
#define XFS_SB_FEAT_INCOMPAT_METADIR	(1u << 8)	/* 6.13: a directory tree for metadata inodes */
#endif
#ifndef XFS_SB_FEAT_INCOMPAT_ZONED
#define XFS_SB_FEAT_INCOMPAT_ZONED	(1u << 9)	/* 6.15: zoned realtime device */
#endif
#ifndef XFS_SB_FEAT_INCOMPAT_ZONE_GAPS
#define XFS_SB_FEAT_INCOMPAT_ZONE_GAPS	(1u << 10)	/* 6.15: zones with unusable ends */
#endif
