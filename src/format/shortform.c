// SPDX-License-Identifier: GPL-2.0
/*
 * What is small enough to stand in the inode itself ("short form"): directories, attributes, symlink targets.
 * (XFS: xfs_dir2_sf_verify, xfs_attr_shortform_verify, xfs_symlink_shortform_verify.)
 *
 *	directory   | count, count of wide numbers, parent | length, offset, name, type, inode number | ...
 *	attributes  | total bytes, count | name length, value length, flags, name, value | ...
 *
 * Inode numbers take 4 bytes each, or 8 as soon as one of them, parent included, needs it.  offset is where the name
 * would stand in a directory block, so that readdir positions survive the change of form.
 */
#include "verify.h"

#define MAX_SHORT_INUM UINT32_MAX

static struct inum sf_inum(const void *p, bool is_wide)
{
	return (struct inum){ is_wide ? get_unaligned_be64(p) : get_unaligned_be32(p) };
}

/* Where "." and ".." end in a directory block: the offset of the first other name. */
static size_t first_name_off(const struct geometry *geo)
{
	return sizeof(struct xfs_dir3_data_hdr) + dir_entry_bytes(geo, 1) + dir_entry_bytes(geo, 2);
}

/* One entry at @p with @room bytes to the end; *bytes is its length, *wide counts its wide number. */
static const char *sf_entry_verify(const struct geometry *geo, const void *p, size_t room, bool is_wide,
				   size_t *bytes, unsigned *wide, size_t *next_off)
{
	const struct xfs_dir2_sf_entry *entry = p;
	size_t name_end, ino_bytes = is_wide ? XFS_INO64_SIZE : XFS_INO32_SIZE;
	struct inum ino;
	size_t off;

	if (room <= sizeof(*entry) || !entry->namelen)
		return "name of impossible length";
	name_end = sizeof(*entry) + entry->namelen;
	*bytes = name_end + geo->has_ftype + ino_bytes;
	if (*bytes > room)
		return "name of impossible length";
	off = get_unaligned_be16(entry->offset);
	if (off < *next_off)
		return "names out of order";
	if (geo->has_ftype && !is_valid_ftype(entry->name[entry->namelen]))
		return "name with an unknown file type";
	ino = sf_inum(p + name_end + geo->has_ftype, is_wide);
	if (!geometry_is_valid_name_inum(geo, ino))
		return "name of an impossible inode";
	*wide += ino.v > MAX_SHORT_INUM;
	*next_off = off + dir_entry_bytes(geo, entry->namelen);
	return NULL;
}

const char *dir_sf_verify(const struct geometry *geo, struct inum ino, const void *data, size_t bytes)
{
	const struct xfs_dir2_sf_hdr *hdr = data;
	size_t off, entry_bytes = 0, next_off = first_name_off(geo), block_bytes;
	bool is_wide;
	struct inum parent;
	unsigned wide;

	(void)ino;
	if (bytes <= offsetof(struct xfs_dir2_sf_hdr, parent))
		return "directory shorter than its header";
	is_wide = hdr->i8count;
	off = (size_t)xfs_dir2_sf_hdr_size(hdr->i8count);
	if (bytes < off)
		return "directory shorter than its header";
	parent = sf_inum(hdr->parent, is_wide);
	if (!geometry_is_valid_name_inum(geo, parent))
		return "impossible parent";
	wide = parent.v > MAX_SHORT_INUM;

	for (unsigned i = 0; i < hdr->count; i++, off += entry_bytes) {
		const char *reason = sf_entry_verify(geo, data + off, bytes - off, is_wide, &entry_bytes, &wide,
						     &next_off);

		if (reason)
			return reason;
	}
	if (off != bytes)
		return "size that differs from the names' lengths";
	if (wide != hdr->i8count)
		return "wrong count of wide inode numbers";
	block_bytes = next_off + (hdr->count + 2) * sizeof(struct xfs_dir2_leaf_entry) +
		      sizeof(struct xfs_dir2_block_tail);
	return block_bytes > geo->dir.block_bytes ? "names that would not fit a block" : NULL;
}

const char *attr_sf_verify(const void *data, size_t bytes)
{
	const struct xfs_attr_sf_hdr *hdr = data;
	size_t off = sizeof(*hdr), total;

	if (bytes < sizeof(*hdr))
		return "attributes shorter than their header";
	total = be16_to_cpu(hdr->totsize);
	if (total < sizeof(*hdr) || total > bytes)
		return "attributes larger than their fork";
	for (unsigned i = 0; i < hdr->count; i++) {
		const struct xfs_attr_sf_entry *entry = data + off;

		if (total - off <= sizeof(*entry) || !entry->namelen)
			return "attribute of impossible length";
		if (sizeof(*entry) + entry->namelen + entry->valuelen > total - off)
			return "attribute of impossible length";
		if (entry->flags & ~XFS_ATTR_NSP_ONDISK_MASK || entry->flags == XFS_ATTR_NSP_ONDISK_MASK)
			return "attribute with impossible flags";
		off += sizeof(*entry) + entry->namelen + entry->valuelen;
	}
	return off == total ? NULL : "size that differs from the attributes' lengths";
}

const char *symlink_local_verify(const void *data, size_t bytes)
{
	if (!bytes || bytes >= XFS_SYMLINK_MAXLEN)
		return "symlink target of impossible length";
	return memchr(data, '\0', bytes) ? "symlink target with a NUL inside" : NULL;
}
