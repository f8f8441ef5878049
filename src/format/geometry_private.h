/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the files that decode a superblock share: checks first, then the derived numbers. */
#include <userxfs/format/geometry.h>

/* The sentence for the user; a struct so that helpers cannot forget its size. */
struct reason {
	char *text;
	size_t bytes;
};

void reason_set(struct reason *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Version, CRC, feature masks and states that decide whether this program may touch the volume at all. */
enum geometry_verdict superblock_check_features(const struct xfs_dsb *sb, struct reason *why);
/* Every number of the superblock against its bounds and against the others; false: refused. */
bool superblock_check_numbers(const struct xfs_dsb *sb, uint64_t device_bytes, struct reason *why);
/* NULL or what is wrong with magic, sector size and CRC; needs only @bytes of @sb. */
bool superblock_check_identity(const struct xfs_dsb *sb, size_t bytes, struct reason *why);

/* Fills the parts of @geo that follow from the others. */
void geometry_derive_trees(struct geometry *geo);
void geometry_derive_inodes(struct geometry *geo, const struct xfs_dsb *sb);
