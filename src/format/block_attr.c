// SPDX-License-Identifier: GPL-2.0
/*
 * Leaves of an attribute tree.  (XFS: xfs_attr3_leaf_verify.)
 *
 *	| header, 3 holes | hash, place, flags | ...    holes    ... | name, value or pointer | ... |
 *	                                                             ^ firstused
 *
 * Entries grow upwards, names and values downwards from the end.  A small value stands behind its name (LOCAL), a
 * large one in blocks of its own.  firstused has 16 bits: in an empty 64 KiB block it should say 65536 and says 0.
 */
#include "verify.h"

#include <userxfs/base/bits.h>

#define KNOWN_FLAGS (XFS_ATTR_LOCAL | XFS_ATTR_ROOT | XFS_ATTR_SECURE | XFS_ATTR_INCOMPLETE)
#define NAME_ALIGN 4u

static size_t first_used(const struct geometry *geo, const struct xfs_attr3_leaf_hdr *hdr)
{
	size_t first = be16_to_cpu(hdr->firstused);

	if (first == XFS_ATTR3_LEAF_NULLOFF && geo->attr.block_bytes > UINT16_MAX)
		return geo->attr.block_bytes;
	return first;
}

/* A name with its value: @room bytes lie between it and the block's end. */
static const char *local_verify(const void *data, size_t room)
{
	const struct xfs_attr_leaf_name_local *local = data;
	size_t fixed = offsetof(struct xfs_attr_leaf_name_local, nameval);

	if (room < fixed || !local->namelen || fixed + local->namelen + be16_to_cpu(local->valuelen) > room)
		return "name or value that leaves the block";
	return NULL;
}

static const char *remote_verify(const void *data, size_t room, bool is_incomplete)
{
	const struct xfs_attr_leaf_name_remote *remote = data;
	/* XFS has always counted two bytes of padding behind the first byte of the name. */
	size_t fixed = offsetof(struct xfs_attr_leaf_name_remote, name) + 2;

	if (room < fixed || !remote->namelen || round_up_u64(fixed + remote->namelen, NAME_ALIGN) > room)
		return "name that leaves the block";
	if (be32_to_cpu(remote->valuelen) > XFS_XATTR_SIZE_MAX)
		return "value longer than any value";
	/* While it is being set or removed it may have no blocks; the flag says so. */
	if (remote->valuelen && !remote->valueblk && !is_incomplete)
		return "value without blocks";
	return NULL;
}

static const char *entry_verify(const void *data, size_t bytes, size_t first, const struct xfs_attr_leaf_entry *entry)
{
	size_t place = be16_to_cpu(entry->nameidx);

	if (entry->flags & ~KNOWN_FLAGS ||
	    (entry->flags & XFS_ATTR_NSP_ONDISK_MASK) == XFS_ATTR_NSP_ONDISK_MASK)
		return "entry with impossible flags";
	if (place < first || place >= bytes || place % NAME_ALIGN)
		return "entry that leads outside the names";
	if (entry->flags & XFS_ATTR_LOCAL)
		return local_verify(data + place, bytes - place);
	return remote_verify(data + place, bytes - place, entry->flags & XFS_ATTR_INCOMPLETE);
}

static const char *freemap_verify(const struct xfs_attr_leaf_map *map, size_t bytes)
{
	for (unsigned i = 0; i < XFS_ATTR_LEAF_MAPSIZE; i++) {
		size_t base = be16_to_cpu(map[i].base), size = be16_to_cpu(map[i].size);

		if (base % NAME_ALIGN || size % NAME_ALIGN || base + size > bytes)
			return "hole outside the block";
	}
	return NULL;
}

static const char *attr_leaf_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	const struct xfs_attr3_leafblock *leaf = data;
	const struct xfs_attr_leaf_entry *entry = (const void *)data + sizeof(leaf->hdr);
	const char *reason;
	size_t count, first;
	uint32_t last_hash = 0;

	if (bytes != geo->attr.block_bytes)
		return WRONG_BUFFER_BYTES;
	if (be16_to_cpu(leaf->hdr.info.hdr.magic) != XFS_ATTR3_LEAF_MAGIC)
		return "wrong magic number";
	reason = da_header_verify(geo, &leaf->hdr.info, daddr);
	if (reason)
		return reason;

	count = be16_to_cpu(leaf->hdr.count);
	first = first_used(geo, &leaf->hdr);
	if (first > bytes || first < sizeof(leaf->hdr) + count * sizeof(*entry))
		return "entries and names overlap";
	if (be16_to_cpu(leaf->hdr.usedbytes) > bytes - first)
		return "more bytes used than there are";
	for (size_t i = 0; i < count; i++) {
		if (be32_to_cpu(entry[i].hashval) < last_hash)
			return "hashes out of order";
		last_hash = be32_to_cpu(entry[i].hashval);
		reason = entry_verify(data, bytes, first, &entry[i]);
		if (reason)
			return reason;
	}
	return freemap_verify(leaf->hdr.freemap, bytes);
}

static const char *attr_any_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	if (bytes != geo->attr.block_bytes)
		return WRONG_BUFFER_BYTES;
	return block_resolve_type(&block_attr_any, data)->verify(geo, data, bytes, daddr);
}

const struct block_type block_attr_leaf = {
	.name = "attr leaf",
	.log_type = XFS_BLFT_ATTR_LEAF_BUF,
	.crc_off = XFS_ATTR3_LEAF_CRC_OFF,
	.lsn_off = offsetof(struct xfs_attr3_leaf_hdr, info.lsn),
	.verify = attr_leaf_verify,
};

const struct block_type block_attr_any = {
	.name = "attr leaf or node",
	.log_type = XFS_BLFT_UNKNOWN_BUF,
	.crc_off = XFS_ATTR3_LEAF_CRC_OFF,
	.lsn_off = offsetof(struct xfs_attr3_leaf_hdr, info.lsn),
	.verify = attr_any_verify,
};
