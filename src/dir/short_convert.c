// SPDX-License-Identifier: GPL-2.0
/*
 * From the inline form to the single block and back.  (XFS: xfs_dir2_sf_to_block, xfs_dir2_block_to_sf.)
 *
 * Names keep their offsets both ways.
 */
#include "internal.h"

static const uint8_t dots[] = "..";

static struct data_entry dot_entry(unsigned length, struct inum ino)
{
	return (struct data_entry){ { dots, length }, ino, XFS_DIR3_FT_DIR };
}

/* Writes the name, preceded by a hole from *off on if it stands later, and adds it to the index. */
static void place_name(const struct dir_op *op, struct buffer *buf, uint32_t *off, uint32_t name_off,
		       const struct data_entry *entry, leaf_entry *index)
{
	if (name_off > *off)
		data_write_hole(buf, *off, name_off - *off);
	data_write_entry(op, buf, name_off, entry);
	index_set(index, dir_hash(op->geo, entry->name), addr_make(op->dg, 0, name_off));
	*off = name_off + entry_bytes(op->geo, entry->name.length);
}

static void fill_block(struct dir_op *op, struct buffer *buf, const struct short_dir *sf)
{
	uint32_t count = sf->count + 2, off = DATA_HEADER_BYTES;
	struct xfs_dir2_block_tail *tail;
	struct data_entry dot = dot_entry(1, op->dir->ino), dotdot = dot_entry(2, sf->parent);
	leaf_entry *index;

	data_init(op, buf, XFS_DIR3_BLOCK_MAGIC);
	tail = block_tail(op, buf);
	tail->count = cpu_to_be32(count);
	tail->stale = 0;
	index = block_entries(op, buf);
	place_name(op, buf, &off, DATA_HEADER_BYTES, &dot, &index[0]);
	place_name(op, buf, &off, dotdot_off(op->geo), &dotdot, &index[1]);
	for (unsigned i = 0; i < sf->count; i++)
		place_name(op, buf, &off, sf->names[i].off, &sf->names[i].entry, &index[i + 2]);
	if (off < data_end(op, buf))
		data_write_hole(buf, off, data_end(op, buf) - off);
	index_sort(index, count);
	data_find_longest(op, buf);
	tx_buffer_log_all(op->tx, buf);
}

int short_to_block(struct dir_op *op)
{
	uint8_t bytes[XFS_DINODE_MAX_SIZE];
	uint32_t length = op->dir->map.data.local_bytes;
	struct short_dir sf;
	struct buffer *buf;
	fileblk_t off;
	int err;

	ensure(length <= sizeof(bytes));
	memcpy(bytes, op->dir->map.data.local, length);
	err = short_decode(op->dir, bytes, length, &sf);
	if (err)
		return err;
	fork_set_extents(&op->dir->map, FORK_DATA);
	map_log_fork(op->tx, &op->dir->map, FORK_DATA);
	err = da_grow(op->tx, op->dir, FORK_DATA, 0, &op->blocks, &off);
	if (err)
		return err;
	ensure(off == 0);
	err = da_get(op->tx, op->dir, FORK_DATA, off, &buf);
	if (err)
		return err;
	fill_block(op, buf, &sf);
	dir_set_size(op, op->dg->block_bytes);
	return 0;
}

/* The names of the single block as an inline directory; false: too many. */
static bool list_names(const struct dir_op *op, const struct buffer *buf, struct short_dir *sf)
{
	uint32_t off = DATA_HEADER_BYTES, place, end = data_end(op, buf);
	struct data_entry entry;
	bool is_name;

	sf->count = 0;
	while (data_next(op->geo, buf->data, end, &off, &place, &is_name, &entry)) {
		if (!is_name || place == DATA_HEADER_BYTES)
			continue;
		if (place == dotdot_off(op->geo)) {
			sf->parent = entry.ino;
			continue;
		}
		if (sf->count == SHORT_MAX_NAMES - 1)
			return false;
		sf->names[sf->count++] = (struct short_name){ entry, place };
	}
	return true;
}

int block_to_short(struct dir_op *op, struct buffer *buf)
{
	struct xfs_dir2_block_tail *tail = block_tail(op, buf);
	uint32_t names = be32_to_cpu(tail->count) - be32_to_cpu(tail->stale), length;
	uint8_t bytes[XFS_DINODE_MAX_SIZE];
	struct short_dir sf = { .count = 0 };
	int err;

	/* Each takes at least 9 bytes inline; saves a walk over large blocks. */
	if (names * (uint64_t)(sizeof(struct xfs_dir2_sf_entry) + 1 + XFS_INO32_SIZE) > XFS_DINODE_MAX_SIZE)
		return 0;
	if (!list_names(op, buf, &sf))
		return 0;
	length = short_encoded_bytes(op->geo, &sf);
	if (length > op->dir->map.fork_space)
		return 0;
	short_encode(op->geo, &sf, bytes);
	err = da_shrink(op->tx, op->dir, FORK_DATA, 0, buf);
	if (err)
		return err;
	fork_set_local(&op->dir->map, FORK_DATA, bytes, length);
	map_log_fork(op->tx, &op->dir->map, FORK_DATA);
	dir_set_size(op, length);
	return 0;
}
