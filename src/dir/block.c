// SPDX-License-Identifier: GPL-2.0
/*
 * The single-block form: a data block with the index of its names at the end.  (XFS: xfs_dir2_block.c.)
 *
 *	| header | names and holes ... | (hash, address) ... | count, stale count |
 *
 * The index grows downwards into a hole that touches it; stale entries are used first.
 */
#include "internal.h"

static int read_block(struct dir_op *op, struct buffer **out)
{
	return da_read(op->tx, op->dir, FORK_DATA, 0, false, &block_dir_block, out);
}

static void log_tail(struct dir_op *op, struct buffer *buf)
{
	da_log(op->tx, buf, block_tail(op, buf), BLOCK_TAIL_BYTES);
}

static void log_entries(struct dir_op *op, struct buffer *buf, uint32_t first, uint32_t end)
{
	da_log(op->tx, buf, &block_entries(op, buf)[first], (end - first) * sizeof(leaf_entry));
}

static int find(struct dir_op *op, struct buffer *buf, uint32_t *index, uint32_t *off, bool *found)
{
	leaf_entry *entries = block_entries(op, buf);
	uint32_t count = be32_to_cpu(block_tail(op, buf)->count), i = index_search(entries, count, op->hash);

	*index = i;
	*found = false;
	for (; i < count && be32_to_cpu(entries[i].hashval) == op->hash; i++) {
		uint32_t addr = be32_to_cpu(entries[i].address);
		struct data_entry entry;

		if (index_is_stale(&entries[i]))
			continue;
		if (addr_db(op, addr) || !data_entry_at(op, buf, addr_off(op, addr), &entry))
			return dir_corrupt(op->dir, "a hash entry leads to no name");
		if (!dir_name_matches(op->geo, entry.name, op->name))
			continue;
		*index = i;
		*off = addr_off(op, addr);
		*found = true;
		break;
	}
	return 0;
}

/* Reads the block and finds the op's name in it; -ENOENT.  On failure nothing is held. */
static int read_and_find(struct dir_op *op, struct buffer **buf, uint32_t *index, uint32_t *off,
			 struct data_entry *entry)
{
	bool found;
	int err;

	err = read_block(op, buf);
	if (err)
		return err;
	err = find(op, *buf, index, off, &found);
	if (!err && !found)
		err = -ENOENT;
	if (err)
		da_release(op->tx, *buf);
	else
		ensure(data_entry_at(op, *buf, *off, entry));
	return err;
}

int block_lookup(struct dir_op *op)
{
	struct data_entry entry;
	struct buffer *buf;
	uint32_t index, off;
	int err;

	err = read_and_find(op, &buf, &index, &off, &entry);
	if (err)
		return err;
	op->ino = entry.ino;
	op->ftype = entry.ftype;
	da_release(op->tx, buf);
	return 0;
}

/* ---- adding ---- */

/* How a name of some bytes can be added. */
struct room {
	bool exists;
	bool must_compact;		/* stale entries have to make room first */
	uint32_t hole_off;		/* where the name goes */
};

/* The hole that touches the index from below: its offset, data_end() when there is none. */
static uint32_t hole_below_index(const struct dir_op *op, const struct buffer *buf, uint32_t *bytes)
{
	uint32_t end = data_end(op, buf), off;
	const struct xfs_dir2_data_unused *hole;

	off = get_unaligned_be16((const char *)buf->data + end - sizeof(__be16));
	hole = (const void *)((const char *)buf->data + off);
	*bytes = 0;
	if (off < DATA_HEADER_BYTES || off >= end || be16_to_cpu(hole->freetag) != XFS_DIR2_DATA_FREE_TAG ||
	    be16_to_cpu(hole->length) != end - off)
		return end;
	*bytes = end - off;
	return off;
}

static struct room find_room(const struct dir_op *op, const struct buffer *buf, uint32_t bytes)
{
	const struct xfs_dir3_data_hdr *hdr = buf->data;
	uint32_t stale = be32_to_cpu(block_tail(op, buf)->stale), below_bytes;
	uint32_t below = hole_below_index(op, buf, &below_bytes);
	uint32_t longest = data_longest(buf), longest_off = data_longest_off(buf);
	struct room room = { .exists = longest >= bytes, .hole_off = longest_off };

	if (stale) {
		if (room.exists)
			return room;
		room.exists = below_bytes + (stale - 1) * LEAF_ENTRY_BYTES >= bytes;
		room.must_compact = true;
		room.hole_off = below;
		return room;
	}
	/* The index needs 8 bytes of the hole below it. */
	if (!below_bytes) {
		room.exists = false;
	} else if (longest_off == below && longest < bytes + LEAF_ENTRY_BYTES) {
		room.exists = be16_to_cpu(hdr->best_free[1].length) >= bytes;
		room.hole_off = be16_to_cpu(hdr->best_free[1].offset);
	}
	return room;
}

/* Removes all stale entries but one; the space they leave below becomes a hole. */
static void compact(struct dir_op *op, struct buffer *buf)
{
	struct xfs_dir2_block_tail *tail = block_tail(op, buf);
	leaf_entry *entries = block_entries(op, buf);
	uint32_t count = be32_to_cpu(tail->count), stale = be32_to_cpu(tail->stale), to = count, seen = 0;

	for (uint32_t i = count; i-- > 0;) {
		if (index_is_stale(&entries[i]) && seen++)
			continue;
		entries[--to] = entries[i];
	}
	ensure(seen == stale && to == stale - 1);
	tail->count = cpu_to_be32(count - to);
	tail->stale = cpu_to_be32(1);
	data_free(op, buf, (uint32_t)((char *)entries - (char *)buf->data), to * LEAF_ENTRY_BYTES);
	log_entries(op, buf, 0, count - to);
	log_tail(op, buf);
}

/* Inserts the op's hash before @index. */
static int insert_entry(struct dir_op *op, struct buffer *buf, uint32_t index, uint32_t addr)
{
	struct xfs_dir2_block_tail *tail = block_tail(op, buf);
	uint32_t count = be32_to_cpu(tail->count), first = 0, end, slot;
	leaf_entry *entries;

	if (tail->stale) {
		slot = index_reuse_stale(block_entries(op, buf), count, index, &first, &end);
		tail->stale = cpu_to_be32(be32_to_cpu(tail->stale) - 1);
	} else {
		uint32_t below_bytes, below = hole_below_index(op, buf, &below_bytes);
		int err = data_use(op, buf, below, below + below_bytes - LEAF_ENTRY_BYTES, LEAF_ENTRY_BYTES);

		if (err)
			return err;
		tail->count = cpu_to_be32(count + 1);
		entries = block_entries(op, buf);
		memmove(entries, entries + 1, index * sizeof(*entries));
		slot = index;
		end = index + 1;
	}
	index_set(&block_entries(op, buf)[slot], op->hash, addr);
	log_entries(op, buf, first, end);
	log_tail(op, buf);
	return 0;
}

int block_add(struct dir_op *op)
{
	uint32_t bytes = entry_bytes(op->geo, op->name.length), index, off;
	struct buffer *buf;
	struct room room;
	bool found;
	int err;

	err = read_block(op, &buf);
	if (err)
		return err;
	err = find(op, buf, &index, &off, &found);
	if (!err && found)
		err = -EEXIST;
	room = find_room(op, buf, bytes);
	if (!err && !room.exists && !op->blocks)
		err = -ENOSPC;
	if (err || op->only_check) {
		da_release(op->tx, buf);
		return err;
	}
	if (!room.exists) {
		err = block_to_leaf(op, buf);
		return err ? err : leaf_add(op);
	}
	if (room.must_compact) {
		compact(op, buf);
		index = index_search(block_entries(op, buf), be32_to_cpu(block_tail(op, buf)->count), op->hash);
	}
	err = insert_entry(op, buf, index, addr_make(op->dg, 0, room.hole_off));
	if (!err)
		err = data_use(op, buf, room.hole_off, room.hole_off, bytes);
	if (!err)
		data_put_op(op, buf, room.hole_off);
	return err;
}

/* ---- removing, replacing ---- */

int block_remove(struct dir_op *op)
{
	struct xfs_dir2_block_tail *tail;
	struct data_entry entry;
	struct buffer *buf;
	uint32_t index, off;
	int err;

	err = read_and_find(op, &buf, &index, &off, &entry);
	if (err)
		return err;
	if (!inum_equal(entry.ino, op->ino)) {
		da_release(op->tx, buf);
		return dir_corrupt(op->dir, "a name to be removed is of another inode");
	}
	data_free(op, buf, off, entry_bytes(op->geo, entry.name.length));
	tail = block_tail(op, buf);
	tail->stale = cpu_to_be32(be32_to_cpu(tail->stale) + 1);
	log_tail(op, buf);
	block_entries(op, buf)[index].address = cpu_to_be32(XFS_DIR2_NULL_DATAPTR);
	log_entries(op, buf, index, index + 1);
	return block_to_short(op, buf);
}

int block_replace(struct dir_op *op)
{
	struct data_entry entry;
	struct buffer *buf;
	uint32_t index, off;
	int err;

	err = read_and_find(op, &buf, &index, &off, &entry);
	if (err)
		return err;
	data_replace(op, buf, off);
	return 0;
}
