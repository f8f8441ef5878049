// SPDX-License-Identifier: GPL-2.0
/*
 * Inline attributes.  (XFS: xfs_attr_shortform_*, xfs_attr_sf_*.)
 *
 *	| total bytes, count | name length, value length, flags, name, value | ...
 */
#include "internal.h"

#include <userxfs/base/memory.h>

#define HEADER_BYTES ((uint32_t)sizeof(struct xfs_attr_sf_hdr))
#define ENTRY_FIXED_BYTES ((uint32_t)offsetof(struct xfs_attr_sf_entry, nameval))

static uint32_t entry_bytes(unsigned name_length, uint32_t value_length)
{
	return ENTRY_FIXED_BYTES + name_length + value_length;
}

/* The verified bytes of the attr fork. */
static int check(const struct inode *inode, const uint8_t **bytes, uint32_t *length)
{
	const struct fork *fork = &inode->map.attr;
	const char *reason = attr_sf_verify(fork->local, fork->local_bytes);

	if (reason)
		return attr_corrupt(inode, reason);
	*bytes = fork->local;
	*length = be16_to_cpu(((const struct xfs_attr_sf_hdr *)fork->local)->totsize);
	return 0;
}

static const struct xfs_attr_sf_entry *entry_at(const uint8_t *bytes, uint32_t off)
{
	return (const void *)(bytes + off);
}

static uint32_t bytes_of(const struct xfs_attr_sf_entry *entry)
{
	return entry_bytes(entry->namelen, entry->valuelen);
}

/* Offset of the op's entry; @length when it is not there. */
static uint32_t find(const struct attr_op *op, const uint8_t *bytes, uint32_t length)
{
	uint32_t off = HEADER_BYTES;

	while (off < length) {
		const struct xfs_attr_sf_entry *entry = entry_at(bytes, off);

		if (attr_matches(op, entry->nameval, entry->namelen, entry->flags))
			break;
		off += bytes_of(entry);
	}
	return off;
}

int short_attr_find(const struct attr_op *op, struct attr_value *out)
{
	const struct xfs_attr_sf_entry *entry;
	const uint8_t *bytes;
	uint32_t length, off;
	int err;

	err = check(op->inode, &bytes, &length);
	if (err)
		return err;
	off = find(op, bytes, length);
	if (off == length)
		return -ENODATA;
	entry = entry_at(bytes, off);
	*out = (struct attr_value){ .local = entry->nameval + entry->namelen, .length = entry->valuelen };
	return 0;
}

int short_attr_walk(const struct inode *inode, attr_visit visit, void *context)
{
	uint32_t length, off = HEADER_BYTES;
	const uint8_t *bytes;
	int err;

	err = check(inode, &bytes, &length);
	while (!err && off < length) {
		const struct xfs_attr_sf_entry *entry = entry_at(bytes, off);
		struct attr_seen seen = {
			.space = entry->flags,
			.name = entry->nameval,
			.name_length = entry->namelen,
			.value = { .local = entry->nameval + entry->namelen, .length = entry->valuelen },
		};

		err = visit(context, &seen);
		off += bytes_of(entry);
	}
	return err;
}

static void set_header(uint8_t *bytes, uint32_t length, unsigned count)
{
	struct xfs_attr_sf_hdr *hdr = (void *)bytes;

	hdr->totsize = cpu_to_be16((uint16_t)length);
	hdr->count = (uint8_t)count;
	hdr->padding = 0;
}

/* Appends an entry at @off of @bytes; returns where it ends. */
static uint32_t put_entry(uint8_t *bytes, uint32_t off, uint8_t flags, const uint8_t *name, unsigned name_length,
			  const void *value, uint32_t value_length)
{
	struct xfs_attr_sf_entry *entry = (void *)(bytes + off);

	entry->namelen = (uint8_t)name_length;
	entry->valuelen = (uint8_t)value_length;
	entry->flags = flags;
	memcpy(entry->nameval, name, name_length);
	if (value_length)
		memcpy(entry->nameval + name_length, value, value_length);
	return off + entry_bytes(name_length, value_length);
}

/* Makes @bytes the attr fork's contents; the split is already large enough. */
static void store(struct attr_op *op, const uint8_t *bytes, uint32_t length)
{
	struct file_map *map = &op->inode->map;

	ensure(length <= map->attr_space);
	if (map->attr.format == FORK_LOCAL) {
		fork_local_resize(map, FORK_ATTR, length);
		memcpy(map->attr.local, bytes, length);
	} else {
		fork_set_local(map, FORK_ATTR, bytes, length);
	}
	map_log_fork(op->tx, map, FORK_ATTR);
}

/* Copies everything but the entry at @skip (@length: none) to @out. */
static uint32_t copy_but(const uint8_t *bytes, uint32_t length, uint32_t skip, uint8_t *out)
{
	uint32_t gone = skip < length ? bytes_of(entry_at(bytes, skip)) : 0;

	memcpy(out, bytes, skip);
	if (gone)
		memcpy(out + skip, bytes + skip + gone, length - skip - gone);
	return length - gone;
}

/*
 * Whether one leaf could hold these inline bytes: short names take three times as much there, and what cannot move to
 * a leaf could never become more.
 */
static bool fits_in_leaf(const struct geometry *geo, const uint8_t *bytes, uint32_t length)
{
	uint32_t used = ATTR_LEAF_HEADER_BYTES;

	for (uint32_t off = HEADER_BYTES; off < length; off += bytes_of(entry_at(bytes, off))) {
		const struct xfs_attr_sf_entry *entry = entry_at(bytes, off);
		struct leaf_key key = {
			.flags = XFS_ATTR_LOCAL,
			.name_length = entry->namelen,
			.value_length = entry->valuelen,
		};

		used += ATTR_ENTRY_BYTES + attr_key_name_bytes(&key);
	}
	return used <= geo->attr.block_bytes;
}

int short_attr_set(struct attr_op *op, bool *fits)
{
	uint8_t image[XFS_DINODE_MAX_SIZE + ENTRY_FIXED_BYTES + 2 * UINT8_MAX];
	struct file_map *map = &op->inode->map;
	const uint8_t *bytes = NULL;
	uint32_t length = HEADER_BYTES, off = HEADER_BYTES, split;
	unsigned count = 0;
	int err;

	*fits = false;
	if (op->value_length > UINT8_MAX)
		return 0;
	if (map->attr.format == FORK_LOCAL) {
		err = check(op->inode, &bytes, &length);
		if (err)
			return err;
		off = find(op, bytes, length);
		count = ((const struct xfs_attr_sf_hdr *)(const void *)bytes)->count - (off < length);
		length = copy_but(bytes, length, off, image);
	}
	if (count == UINT8_MAX)
		return 0;
	length = put_entry(image, length, op->space, op->name, op->name_length, op->value, op->value_length);
	set_header(image, length, count + 1);
	if (!fits_in_leaf(op->geo, image, length) || !map_can_split(map, length, &split))
		return 0;
	*fits = true;
	if (split != map->fork_space) {
		err = map_set_split(op->tx, map, split);
		if (err)
			return err;
	}
	store(op, image, length);
	return 0;
}

int short_attr_remove(struct attr_op *op)
{
	uint8_t image[XFS_DINODE_MAX_SIZE];
	const uint8_t *bytes;
	uint32_t length, off;
	unsigned count;
	int err;

	err = check(op->inode, &bytes, &length);
	if (err)
		return err;
	off = find(op, bytes, length);
	if (off == length)
		return -ENODATA;
	count = ((const struct xfs_attr_sf_hdr *)(const void *)bytes)->count - 1u;
	if (!count) {
		map_remove_attr_fork(op->tx, &op->inode->map);
		inode_log(op->tx, op->inode, false);
		return 0;
	}
	length = copy_but(bytes, length, off, image);
	set_header(image, length, count);
	store(op, image, length);
	return 0;
}

/* ---- to a leaf and back ---- */

struct leaf_fill {
	const struct geometry *geo;
	void *data;
};

static int move_to_leaf(void *context, const struct attr_seen *seen)
{
	struct leaf_fill *fill = context;
	struct leaf_key key = {
		.hash = da_hash(seen->name, seen->name_length),
		.flags = seen->space | XFS_ATTR_LOCAL,
		.name = seen->name,
		.name_length = seen->name_length,
		.value = seen->value.local,
		.value_length = seen->value.length,
	};
	bool compact;

	/* Who wrote them may not have cared whether they fit. */
	if (!attr_leaf_insert(fill->geo, fill->data, attr_leaf_search(fill->data, key.hash), &key, &compact))
		return -ENOSPC;
	return 0;
}

int short_attr_to_leaf(struct attr_op *op)
{
	struct file_map *map = &op->inode->map;
	struct leaf_fill fill = { .geo = op->geo };
	void *image = mem_alloc_zeroed_sure(op->geo->attr.block_bytes);
	struct buffer *buf;
	fileblk_t off;
	int err = 0;

	attr_leaf_clear(op->geo, image);
	fill.data = image;
	if (map->attr.format == FORK_LOCAL) {
		err = short_attr_walk(op->inode, move_to_leaf, &fill);
		if (err)
			goto free;
		fork_set_extents(map, FORK_ATTR);
		map_log_fork(op->tx, map, FORK_ATTR);
	}
	err = da_grow(op->tx, op->inode, FORK_ATTR, 0, &op->blocks, &off);
	if (err)
		goto free;
	ensure(off == 0);
	err = da_get(op->tx, op->inode, FORK_ATTR, off, &buf);
	if (err)
		goto free;
	memcpy(buf->data, image, buf->bytes);
	da_header_init(buf, op->inode, XFS_ATTR3_LEAF_MAGIC);
	buf->type = &block_attr_leaf;
	tx_buffer_log_all(op->tx, buf);
free:
	mem_free(image);
	return err;
}

/* The leaf's entries as an inline fork; false: something keeps it from that. */
static bool copy_inline(const struct attr_op *op, const void *data, uint8_t *image, uint32_t *length, unsigned *count)
{
	unsigned entries = be16_to_cpu(((const struct xfs_attr3_leaf_hdr *)data)->count);

	*length = HEADER_BYTES;
	*count = 0;
	for (unsigned i = 0; i < entries; i++) {
		struct leaf_key key;

		attr_leaf_get(data, i, &key);
		if (key.flags & XFS_ATTR_INCOMPLETE)
			continue;
		if (!(key.flags & XFS_ATTR_LOCAL) || key.value_length > UINT8_MAX || *count == UINT8_MAX ||
		    *length + entry_bytes(key.name_length, key.value_length) > op->geo->inode_bytes)
			return false;
		*length = put_entry(image, *length, key.flags & XFS_ATTR_NSP_ONDISK_MASK, key.name, key.name_length,
				    key.value, key.value_length);
		++*count;
	}
	set_header(image, *length, *count);
	return true;
}

int leaf_attr_to_short(struct attr_op *op, struct buffer *leaf)
{
	struct file_map *map = &op->inode->map;
	uint8_t image[XFS_DINODE_MAX_SIZE];
	uint32_t length, split;
	unsigned count;
	int err;

	/* Values that a crash has left behind keep their blocks until the inode is freed. */
	if (map_end(map, FORK_ATTR) != 1 || !copy_inline(op, leaf->data, image, &length, &count))
		return 0;
	if (count && !map_can_split(map, length, &split))
		return 0;
	err = da_shrink(op->tx, op->inode, FORK_ATTR, 0, leaf);
	if (err)
		return err;
	if (!count) {
		map_remove_attr_fork(op->tx, map);
		inode_log(op->tx, op->inode, false);
		return 0;
	}
	if (split != map->fork_space) {
		err = map_set_split(op->tx, map, split);
		if (err)
			return err;
	}
	store(op, image, length);
	return 0;
}
