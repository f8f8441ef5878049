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
