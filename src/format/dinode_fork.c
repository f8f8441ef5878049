// SPDX-License-Identifier: GPL-2.0
/*
 * The forks of one inode: that each has a format its file type, size and extent count allow, and that what stands in
 * the inode stays in it.  (XFS: xfs_dinode_verify_fork, xfs_dinode_verify_forkoff, and the checks of xfs_iformat_*.)
 *
 *	device     32-bit device number                     special files
 *	local      the contents                             small directories, symlinks, attributes
 *	extents    an array of extent records               as many as fit
 *	btree      the root of a map: levels, keys, pointers    when they do not fit
 */
#include <sys/stat.h>

#include <userxfs/format/record.h>

#include "dinode_private.h"
#include "verify.h"

/* A device number takes 4 bytes; forks start at multiples of 8. */
#define DEVICE_FORKOFF 1u

struct fork_view {
	const void *data;
	size_t bytes;
	uint8_t format;
	uint64_t extents;
	uint64_t max_extents;		/* that its counter can say */
	uint8_t max_levels;
	bool may_be_unwritten;
};

static const char *extent_list_verify(const struct geometry *geo, const struct fork_view *fork)
{
	const struct xfs_bmbt_rec *rec = fork->data;
	fileblk_t next = 0;

	if (fork->extents > fork->bytes / sizeof(*rec))
		return "more extents than fit the inode";
	for (uint64_t i = 0; i < fork->extents; i++) {
		struct extent ext = extent_decode(&rec[i]);
		const char *reason = extent_verify(geo, &ext);

		if (reason)
			return reason;
		if (ext.off < next)
			return "extents out of order";
		if (ext.state == EXTENT_UNWRITTEN && !fork->may_be_unwritten)
			return "unwritten extent where there cannot be one";
		next = ext.off + ext.count;
	}
	return NULL;
}

/* The root in the inode: header, then room for as many keys as fit, then as many pointers. */
static const char *root_verify(const struct geometry *geo, const struct fork_view *fork)
{
	const struct xfs_bmdr_block *root = fork->data;
	size_t pair = sizeof(xfs_bmdr_key_t) + sizeof(xfs_bmdr_ptr_t);
	size_t room = (fork->bytes - sizeof(*root)) / pair;
	unsigned level, count;
	const void *pointers;

	if (fork->bytes < sizeof(*root) + pair)
		return "no room for the map's root";
	level = be16_to_cpu(root->bb_level);
	count = be16_to_cpu(root->bb_numrecs);
	if (!level || level >= fork->max_levels)
		return "impossible height of the map";
	if (!count || count > room)
		return "impossible number of pointers in the map's root";
	if (fork->extents > fork->max_extents || fork->extents <= fork->bytes / sizeof(struct xfs_bmbt_rec))
		return "extent count that does not go with a map";
	pointers = fork->data + sizeof(*root) + room * sizeof(xfs_bmdr_key_t);
	for (unsigned i = 0; i < count; i++) {
		struct fsblk b = { get_unaligned_be64(pointers + i * sizeof(xfs_bmdr_ptr_t)) };

		if (!geometry_is_valid_fsblk(geo, b))
			return "map pointer outside the volume";
	}
	return NULL;
}

static const char *fork_verify(const struct geometry *geo, const struct fork_view *fork)
{
	switch (fork->format) {
	case XFS_DINODE_FMT_LOCAL:
		return fork->extents ? "inline contents with extents" : NULL;
	case XFS_DINODE_FMT_EXTENTS:
		return extent_list_verify(geo, fork);
	case XFS_DINODE_FMT_BTREE:
		return root_verify(geo, fork);
	default:
		return "impossible fork format";
	}
}

static const char *local_data_verify(const struct geometry *geo, struct inum ino, const struct xfs_dinode *dip,
				     uint16_t mode, uint64_t size)
{
	/* Unlinked and already emptied. */
	if (!size)
		return NULL;
	if (S_ISDIR(mode))
		return dir_sf_verify(geo, ino, dinode_data_fork(dip), size);
	return symlink_local_verify(dinode_data_fork(dip), size);
}

static const char *data_fork_verify(const struct geometry *geo, struct inum ino, const struct xfs_dinode *dip,
				    uint16_t mode)
{
	uint64_t size = be64_to_cpu(dip->di_size);
	bool is_large = xfs_dinode_has_large_extent_counts(dip);
	struct fork_view fork = {
		.data = dinode_data_fork(dip),
		.bytes = dinode_data_bytes(geo, dip),
		.format = dip->di_format,
		.extents = dinode_data_extents(dip),
		.max_extents = is_large ? XFS_MAX_EXTCNT_DATA_FORK_LARGE : XFS_MAX_EXTCNT_DATA_FORK_SMALL,
		.max_levels = geo->bmbt.max_levels,
		.may_be_unwritten = S_ISREG(mode),
	};
	bool is_local = fork.format == XFS_DINODE_FMT_LOCAL;
	const char *reason;

	if (is_local && (S_ISREG(mode) || size > fork.bytes))
		return "inline contents that cannot be inline";
	if (S_ISDIR(mode) && size && size <= fork.bytes && !is_local)
		return "small directory that is not inline";
	if (S_ISLNK(mode) && fork.format == XFS_DINODE_FMT_BTREE)
		return "symlink with a map";
	reason = fork_verify(geo, &fork);
	if (!reason && is_local)
		reason = local_data_verify(geo, ino, dip, mode, size);
	return reason;
}

static const char *attr_fork_verify(const struct geometry *geo, const struct xfs_dinode *dip)
{
	bool is_large = xfs_dinode_has_large_extent_counts(dip);
	struct fork_view fork = {
		.data = dinode_attr_fork(dip),
		.bytes = dinode_attr_bytes(geo, dip),
		.format = (uint8_t)dip->di_aformat,
		.extents = dinode_attr_extents(dip),
		.max_extents = is_large ? XFS_MAX_EXTCNT_ATTR_FORK_LARGE : XFS_MAX_EXTCNT_ATTR_FORK_SMALL,
		.max_levels = geo->bmbt_max_levels_attr,
	};
	const char *reason = fork_verify(geo, &fork);

	if (!reason && fork.format == XFS_DINODE_FMT_LOCAL)
		reason = attr_sf_verify(fork.data, fork.bytes);
	return reason;
}

static const char *forkoff_verify(const struct geometry *geo, const struct xfs_dinode *dip)
{
	if (dip->di_format == XFS_DINODE_FMT_DEV)
		return dip->di_forkoff == DEVICE_FORKOFF ? NULL : "attributes at an impossible place";
	return dip->di_forkoff < dinode_literal_bytes(geo) >> 3 ? NULL : "attributes at an impossible place";
}

static bool is_special_file(uint16_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

const char *dinode_forks_verify(const struct geometry *geo, struct inum ino, const struct xfs_dinode *dip)
{
	uint16_t mode = be16_to_cpu(dip->di_mode);
	const char *reason = NULL;

	if (dip->di_forkoff)
		reason = forkoff_verify(geo, dip);
	if (reason || !mode)
		return reason;

	if (is_special_file(mode)) {
		if (dip->di_format != XFS_DINODE_FMT_DEV || dinode_data_extents(dip))
			return "special file without a device number";
	} else {
		reason = data_fork_verify(geo, ino, dip, mode);
		if (reason)
			return reason;
	}
	if (dip->di_forkoff)
		return attr_fork_verify(geo, dip);
	if (dip->di_aformat != 0 && dip->di_aformat != XFS_DINODE_FMT_EXTENTS)
		return "attributes without a place";
	return dinode_attr_extents(dip) ? "attributes without a place" : NULL;
}
