// SPDX-License-Identifier: GPL-2.0
/*
 * One inode on disk: everything its own bytes can tell.  (XFS: xfs_dinode_verify and what it calls.)
 *
 *	| core, 176 bytes | data fork | attribute fork |
 *	                  ^ 0         ^ di_forkoff * 8; 0: the data fork has all the room and there are no attributes
 *
 * A free inode has mode 0.  Its extent size hints may be left over from its last life, and a never used one has all
 * zeroes where a used one says "extents".
 */
#include <sys/stat.h>

#include "dinode_private.h"
#include "verify.h"

/* Extent size hints: only where the flag says so, and not so large that no AG could honour them. */
static const char *hint_verify(const struct geometry *geo, uint16_t mode, bool is_set, uint32_t hint,
			       const char *reason)
{
	if (is_set && !hint)
		return reason;
	if (mode && !is_set && hint)
		return reason;
	if (hint > XFS_MAX_BMBT_EXTLEN || hint > geo->ag_blocks / 2)
		return reason;
	return NULL;
}

static const char *hints_verify(const struct geometry *geo, const struct xfs_dinode *dip, uint16_t mode)
{
	uint16_t flags = be16_to_cpu(dip->di_flags);
	uint64_t flags2 = be64_to_cpu(dip->di_flags2);
	bool is_file_hint = flags & XFS_DIFLAG_EXTSIZE, is_dir_hint = flags & XFS_DIFLAG_EXTSZINHERIT;
	bool is_cow_hint = flags2 & XFS_DIFLAG2_COWEXTSIZE;
	const char *reason;

	if ((is_file_hint && !S_ISREG(mode)) || (is_dir_hint && !S_ISDIR(mode)) ||
	    (is_cow_hint && !S_ISREG(mode) && !S_ISDIR(mode)))
		return "extent size hint on the wrong kind of file";
	if (is_cow_hint && !geo->has_reflink)
		return "copy-on-write hint on a volume without reflink";
	reason = hint_verify(geo, mode, is_file_hint || is_dir_hint, be32_to_cpu(dip->di_extsize),
			     "impossible extent size hint");
	if (reason)
		return reason;
	return hint_verify(geo, mode, is_cow_hint, be32_to_cpu(dip->di_cowextsize),
			   "impossible copy-on-write extent size hint");
}

static const char *flags_verify(const struct geometry *geo, const struct xfs_dinode *dip, uint16_t mode)
{
	uint16_t flags = be16_to_cpu(dip->di_flags);
	uint64_t flags2 = be64_to_cpu(dip->di_flags2);

	if (mode && flags & XFS_DIFLAG_REALTIME)
		return "realtime file on a volume without a realtime device";
	if (flags2 & XFS_DIFLAG2_REFLINK && (!geo->has_reflink || !S_ISREG(mode)))
		return "shared blocks where there cannot be any";
	if (flags2 & XFS_DIFLAG2_BIGTIME && !geo->has_bigtime)
		return "bigtime inode on a volume without bigtime";
	return NULL;
}

/* Which of the two layouts of the extent counters is in use, and that the other's bytes are clear. */
static const char *counters_verify(const struct geometry *geo, const struct xfs_dinode *dip)
{
	if (!xfs_dinode_has_large_extent_counts(dip))
		return dip->di_v3_pad ? "padding that is not zero" : NULL;
	if (!geo->has_nrext64)
		return "large extent counters on a volume without them";
	return dip->di_nrext64_pad ? "padding that is not zero" : NULL;
}

static const char *sizes_verify(const struct geometry *geo, const struct xfs_dinode *dip, uint16_t mode)
{
	uint64_t size = be64_to_cpu(dip->di_size), blocks = be64_to_cpu(dip->di_nblocks);
	uint64_t data_extents = dinode_data_extents(dip), attr_extents = dinode_attr_extents(dip);

	if (size > geo->max_file_bytes)
		return "impossible size";
	/* An unlinked one may be caught half taken apart. */
	if ((S_ISDIR(mode) || S_ISLNK(mode)) && !size && dip->di_nlink)
		return "empty directory or symlink";
	if (S_ISLNK(mode) && size >= XFS_SYMLINK_MAXLEN)
		return "symlink target longer than any";
	if (data_extents > XFS_MAX_EXTCNT_DATA_FORK_LARGE || (mode && data_extents + attr_extents > blocks))
		return "more extents than blocks";
	if (!(data_extents + attr_extents) && blocks)
		return "blocks without extents";
	/* A shared block counts once for each of its places in the file. */
	if (blocks > geo->blocks && !(be64_to_cpu(dip->di_flags2) & XFS_DIFLAG2_REFLINK))
		return "more blocks than the volume has";
	return NULL;
}

static bool is_known_mode(uint16_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return mode == 0;
	}
}

const char *dinode_verify(const struct geometry *geo, struct inum ino, const struct xfs_dinode *dip)
{
	uint16_t mode = be16_to_cpu(dip->di_mode);
	agino_t next = be32_to_cpu(dip->di_next_unlinked);
	const char *reason;

	if (be16_to_cpu(dip->di_magic) != XFS_DINODE_MAGIC)
		return "wrong magic number";
	if (dip->di_version != 3)
		return "wrong version";
	if (be64_to_cpu(dip->di_ino) != ino.v)
		return "number of another inode";
	if (!uuid_is_volume(geo, dip->di_uuid))
		return "UUID of another volume";
	if (!is_known_mode(mode))
		return "unknown file type";
	if (next != AGINO_NONE && !geometry_is_valid_agino(geo, inum_agno(geo, ino), next))
		return "unlinked list leads outside the AG";

	reason = counters_verify(geo, dip);
	if (!reason)
		reason = sizes_verify(geo, dip, mode);
	if (!reason)
		reason = flags_verify(geo, dip, mode);
	if (!reason)
		reason = hints_verify(geo, dip, mode);
	if (!reason)
		reason = dinode_forks_verify(geo, ino, dip);
	return reason;
}
