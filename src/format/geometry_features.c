// SPDX-License-Identifier: GPL-2.0
/*
 * Which volumes this program may touch: version, feature masks, states.
 *
 * A v5 superblock has four feature masks.  An unknown bit means: compat, nothing; ro_compat, reading is safe;
 * incompat, hands off; log_incompat, hands off too, because the log may hold what this program cannot replay.
 */
#include "geometry_private.h"

#include <stdarg.h>
#include <stdio.h>

#include <userxfs/base/bits.h>

struct feature {
	uint32_t bit;
	const char *name;
	const char *since;	/* the Linux release that mounts it */
};

/* Features that exist and that this program does not support. */
static const struct feature foreign_incompat[] = {
	{ XFS_SB_FEAT_INCOMPAT_EXCHRANGE, "exchange-range", "6.10" },
	{ XFS_SB_FEAT_INCOMPAT_PARENT, "parent pointers", "6.10" },
	{ XFS_SB_FEAT_INCOMPAT_METADIR, "metadata directories (metadir)", "6.13" },
	{ XFS_SB_FEAT_INCOMPAT_ZONED, "zoned realtime device", "6.15" },
	{ XFS_SB_FEAT_INCOMPAT_ZONE_GAPS, "zone gaps", "6.15" },
};

#define V5_VERSION_BITS                                                                                         \
	(XFS_SB_VERSION_NLINKBIT | XFS_SB_VERSION_ALIGNBIT | XFS_SB_VERSION_LOGV2BIT | XFS_SB_VERSION_EXTFLGBIT |\
	 XFS_SB_VERSION_DIRV2BIT | XFS_SB_VERSION_MOREBITSBIT)
#define V5_FEATURES2                                                                                            \
	(XFS_SB_VERSION2_LAZYSBCOUNTBIT | XFS_SB_VERSION2_ATTR2BIT | XFS_SB_VERSION2_PROJID32BIT |              \
	 XFS_SB_VERSION2_CRCBIT)

void reason_set(struct reason *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, why->bytes, format, args);
	va_end(args);
}

/* Appends to a list in @list, with a comma between its members. */
static void list_add(char *list, size_t bytes, const char *name)
{
	size_t used = strlen(list);

	snprintf(list + used, bytes - used, "%s%s", used ? ", " : "", name);
}

static void refuse_incompat(uint32_t unknown, struct reason *why)
{
	const char *since = "newer than any this userxfs knows";
	uint32_t rest = unknown;
	char names[192] = "";

	for (size_t i = 0; i < ARRAY_COUNT(foreign_incompat); i++) {
		if (!(unknown & foreign_incompat[i].bit))
			continue;
		list_add(names, sizeof(names), foreign_incompat[i].name);
		since = foreign_incompat[i].since;
		rest &= ~foreign_incompat[i].bit;
	}
	if (rest) {
		list_add(names, sizeof(names), "a feature without a name here");
		reason_set(why,
			   "unknown incompatible features (0x%x): %s; mount with a newer userxfs or a newer Linux",
			   unknown, names);
		return;
	}
	reason_set(why, "unknown incompatible features (0x%x): %s; mount with a newer userxfs or Linux %s or newer",
		   unknown, names, since);
}

/* True when the old feature words say what every v5 volume says. */
static bool has_v5_masks(const struct xfs_dsb *sb)
{
	uint16_t version = be16_to_cpu(sb->sb_versionnum);
	uint32_t features2 = be32_to_cpu(sb->sb_features2);

	return !(version & ~XFS_SB_VERSION_OKBITS) && (version & V5_VERSION_BITS) == V5_VERSION_BITS &&
	       !(features2 & ~(XFS_SB_VERSION2_OKBITS | XFS_SB_VERSION2_CRCBIT)) &&
	       (features2 & V5_FEATURES2) == V5_FEATURES2;
}

enum geometry_verdict superblock_check_features(const struct xfs_dsb *sb, struct reason *why)
{
	uint32_t incompat = be32_to_cpu(sb->sb_features_incompat) & XFS_SB_FEAT_INCOMPAT_UNKNOWN;
	uint32_t ro_compat = be32_to_cpu(sb->sb_features_ro_compat) & XFS_SB_FEAT_RO_COMPAT_UNKNOWN;
	uint32_t log_incompat = be32_to_cpu(sb->sb_features_log_incompat) & XFS_SB_FEAT_INCOMPAT_LOG_UNKNOWN;

	if (incompat) {
		refuse_incompat(incompat, why);
		return GEOMETRY_REFUSED;
	}
	if (log_incompat) {
		reason_set(why,
			   "unknown incompatible log features (0x%x); mount and unmount it once with the Linux that "
			   "wrote it",
			   log_incompat);
		return GEOMETRY_REFUSED;
	}
	if (!has_v5_masks(sb)) {
		reason_set(why,
			   "the superblock's feature words contradict each other (versionnum 0x%x, features2 0x%x); "
			   "run xfs_repair",
			   be16_to_cpu(sb->sb_versionnum), be32_to_cpu(sb->sb_features2));
		return GEOMETRY_REFUSED;
	}
	if (be32_to_cpu(sb->sb_features_incompat) & XFS_SB_FEAT_INCOMPAT_NEEDSREPAIR) {
		reason_set(why, "the volume is marked as needing repair; run xfs_repair");
		return GEOMETRY_REFUSED;
	}
	if (sb->sb_inprogress) {
		reason_set(why, "mkfs.xfs did not finish making this volume; make it again");
		return GEOMETRY_REFUSED;
	}
	if (be16_to_cpu(sb->sb_versionnum) & XFS_SB_VERSION_BORGBIT) {
		reason_set(why, "case-insensitive names (mkfs.xfs -n version=ci) are not supported; "
				"mount it with the kernel");
		return GEOMETRY_REFUSED;
	}
	if (sb->sb_rblocks || sb->sb_rextents || sb->sb_rbmblocks) {
		reason_set(why, "volumes with a realtime device are not supported; mount it with the kernel");
		return GEOMETRY_REFUSED;
	}
	if (ro_compat) {
		reason_set(why, "unknown read-only compatible features (0x%x); mount with -o ro or a newer userxfs",
			   ro_compat);
		return GEOMETRY_READ_ONLY;
	}
	if (sb->sb_flags & XFS_SBF_READONLY) {
		reason_set(why, "the superblock marks the volume as read-only; mount with -o ro");
		return GEOMETRY_READ_ONLY;
	}
	return GEOMETRY_OK;
}
