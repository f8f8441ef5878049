// SPDX-License-Identifier: GPL-2.0
/* See xflags.h. */
#include "xflags.h"

#include <linux/fs.h>
#include <sys/stat.h>

#include <userxfs/base/bits.h>

enum flag_kind {
	FLAG_OF_ANY,
	FLAG_OF_FILE,
	FLAG_OF_DIRECTORY,
	FLAG_FIXED,			/* users see it and cannot set it */
};

static const struct flag_pair {
	uint32_t xflag;
	uint16_t di_flag;
	enum flag_kind kind;
} flag_pairs[] = {
	{ FS_XFLAG_PREALLOC, XFS_DIFLAG_PREALLOC, FLAG_FIXED },
	{ FS_XFLAG_IMMUTABLE, XFS_DIFLAG_IMMUTABLE, FLAG_OF_ANY },
	{ FS_XFLAG_APPEND, XFS_DIFLAG_APPEND, FLAG_OF_ANY },
	{ FS_XFLAG_SYNC, XFS_DIFLAG_SYNC, FLAG_OF_ANY },
	{ FS_XFLAG_NOATIME, XFS_DIFLAG_NOATIME, FLAG_OF_ANY },
	{ FS_XFLAG_NODUMP, XFS_DIFLAG_NODUMP, FLAG_OF_ANY },
	{ FS_XFLAG_NODEFRAG, XFS_DIFLAG_NODEFRAG, FLAG_OF_ANY },
	{ FS_XFLAG_FILESTREAM, XFS_DIFLAG_FILESTREAM, FLAG_OF_ANY },
	{ FS_XFLAG_RTINHERIT, XFS_DIFLAG_RTINHERIT, FLAG_OF_DIRECTORY },
	{ FS_XFLAG_NOSYMLINKS, XFS_DIFLAG_NOSYMLINKS, FLAG_OF_DIRECTORY },
	{ FS_XFLAG_EXTSZINHERIT, XFS_DIFLAG_EXTSZINHERIT, FLAG_OF_DIRECTORY },
	{ FS_XFLAG_PROJINHERIT, XFS_DIFLAG_PROJINHERIT, FLAG_OF_DIRECTORY },
	{ FS_XFLAG_REALTIME, XFS_DIFLAG_REALTIME, FLAG_OF_FILE },
	{ FS_XFLAG_EXTSIZE, XFS_DIFLAG_EXTSIZE, FLAG_OF_FILE },
};

uint32_t xflags_of_inode(const struct inode *inode)
{
	uint32_t xflags = 0;

	for (size_t i = 0; i < ARRAY_COUNT(flag_pairs); i++) {
		if (inode->di_flags & flag_pairs[i].di_flag)
			xflags |= flag_pairs[i].xflag;
	}
	if (inode->di_flags2 & XFS_DIFLAG2_DAX)
		xflags |= FS_XFLAG_DAX;
	if (inode->di_flags2 & XFS_DIFLAG2_COWEXTSIZE)
		xflags |= FS_XFLAG_COWEXTSIZE;
	if (inode->map.attr_space)
		xflags |= FS_XFLAG_HASATTR;
	return xflags;
}

static bool is_settable(const struct inode *inode, enum flag_kind kind)
{
	switch (kind) {
	case FLAG_OF_ANY:
		return true;
	case FLAG_OF_FILE:
		return S_ISREG(inode->mode);
	case FLAG_OF_DIRECTORY:
		return S_ISDIR(inode->mode);
	case FLAG_FIXED:
		return false;
	}
	return false;
}

uint16_t xflags_to_di_flags(const struct inode *inode, uint32_t xflags)
{
	uint16_t flags = inode->di_flags & XFS_DIFLAG_PREALLOC;

	for (size_t i = 0; i < ARRAY_COUNT(flag_pairs); i++) {
		if (xflags & flag_pairs[i].xflag && is_settable(inode, flag_pairs[i].kind))
			flags |= flag_pairs[i].di_flag;
	}
	return flags;
}

uint64_t xflags_to_di_flags2(const struct inode *inode, uint32_t xflags)
{
	uint64_t flags2 = inode->di_flags2 & ~(uint64_t)(XFS_DIFLAG2_DAX | XFS_DIFLAG2_COWEXTSIZE);

	if (xflags & FS_XFLAG_DAX)
		flags2 |= XFS_DIFLAG2_DAX;
	if (xflags & FS_XFLAG_COWEXTSIZE)
		flags2 |= XFS_DIFLAG2_COWEXTSIZE;
	return flags2;
}
