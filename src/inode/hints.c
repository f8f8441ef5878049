// SPDX-License-Identifier: GPL-2.0
/* What extent size hints may say.  (XFS: xfs_inode_validate_extsize, xfs_inode_validate_cowextsize.)  Pure. */
#include <sys/stat.h>

#include "cache.h"

static bool is_too_large(const struct geometry *geo, uint32_t hint)
{
	return hint > XFS_MAX_BMBT_EXTLEN || hint > geo->ag_blocks / 2;
}

const char *inode_extent_hint_verify(const struct geometry *geo, uint16_t mode, uint16_t di_flags, uint32_t hint)
{
	bool is_hint = di_flags & XFS_DIFLAG_EXTSIZE, is_inherited = di_flags & XFS_DIFLAG_EXTSZINHERIT;

	if (is_hint && !S_ISREG(mode))
		return "extent size hint on something that is no file";
	if (is_inherited && !S_ISDIR(mode))
		return "inherited extent size hint on something that is no directory";
	if ((is_hint || is_inherited) != (hint != 0))
		return "extent size hint without its flag, or the other way round";
	return is_too_large(geo, hint) ? "extent size hint larger than half an AG" : NULL;
}

const char *inode_cow_hint_verify(const struct geometry *geo, uint16_t mode, uint16_t di_flags, uint64_t di_flags2,
				  uint32_t hint)
{
	bool is_hint = di_flags2 & XFS_DIFLAG2_COWEXTSIZE;

	if (is_hint && !geo->has_reflink)
		return "copy-on-write hint on a volume without reflink";
	if (is_hint && ((!S_ISREG(mode) && !S_ISDIR(mode)) || di_flags & XFS_DIFLAG_REALTIME))
		return "copy-on-write hint on the wrong kind of file";
	if (is_hint != (hint != 0))
		return "copy-on-write hint without its flag, or the other way round";
	return is_too_large(geo, hint) ? "copy-on-write hint larger than half an AG" : NULL;
}
