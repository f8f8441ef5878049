// SPDX-License-Identifier: GPL-2.0
/*
 * Data blocks with one leaf block.  (XFS: xfs_dir2_leaf.c.)
 *
 *	leaf1  | header | (hash, address) ... |   unused   | longest hole of data block 0, 1, ... | count of these |
 *
 * A data block that does not exist has NULLDATAOFF as its longest hole.
 */
#include "internal.h"

/* ---- what leaf1 and leafn share ---- */

void leaf_set_counts(struct dir_op *op, struct buffer *buf, uint32_t count, uint32_t stale)
{
	struct xfs_dir3_leaf_hdr *hdr = &leaf_of(buf)->hdr;

	hdr->count = cpu_to_be16(count);
	hdr->stale = cpu_to_be16(stale);
	da_log(op->tx, buf, hdr, sizeof(*hdr));
}

void leaf_log_entries(struct dir_op *op, struct buffer *buf, uint32_t first, uint32_t end)
{
	leaf_entry *entries = leaf_of(buf)->__ents;

	da_log(op->tx, buf, &entries[first], (end - first) * sizeof(*entries));
}

void leaf_log_bests(struct dir_op *op, struct buffer *buf, uint32_t first, uint32_t end)
{
	__be16 *bests = leaf_bests(op, buf);

	da_log(op->tx, buf, &bests[first], (end - first) * sizeof(*bests));
}

static void log_tail(struct dir_op *op, struct buffer *buf)
{
	da_log(op->tx, buf, leaf_tail(op, buf), sizeof(struct xfs_dir2_leaf_tail));
}

void leaf_compact(struct dir_op *op, struct buffer *buf)
{
	uint32_t count;

	if (!leaf_stale(buf))
		return;
	count = index_compact(leaf_of(buf)->__ents, leaf_count(buf));
	leaf_set_counts(op, buf, count, 0);
	leaf_log_entries(op, buf, 0, count);
}

void leaf_make_stale(struct dir_op *op, struct buffer *buf, uint32_t index)
{
	leaf_of(buf)->__ents[index].address = cpu_to_be32(XFS_DIR2_NULL_DATAPTR);
	leaf_log_entries(op, buf, index, index + 1);
	leaf_set_counts(op, buf, leaf_count(buf), leaf_stale(buf) + 1);
}

void leaf_insert(struct dir_op *op, struct buffer *buf, uint32_t index, uint32_t hash, uint32_t addr)
{
	leaf_entry *entries = leaf_of(buf)->__ents;
	uint32_t count = leaf_count(buf), stale = leaf_stale(buf), first, end, slot = index;

	ensure(index <= count);
	if (stale) {
		slot = index_reuse_stale(entries, count, index, &first, &end);
		leaf_set_counts(op, buf, count, stale - 1);
	} else {
		memmove(&entries[index + 1], &entries[index], (count - index) * sizeof(*entries));
		first = index;
		end = count + 1;
		leaf_set_counts(op, buf, count + 1, 0);
	}
	index_set(&entries[slot], hash, addr);
	leaf_log_entries(op, buf, first, end);
}

/* ---- finding ---- */

static int read_leaf(struct dir_op *op, struct buffer **out)
{
	return da_read(op->tx, op->dir, FORK_DATA, op->dg->leaf_fileblk, false, &block_dir_leaf1, out);
}

/* The leaf and the name's place; -ENOENT.  On failure nothing is held. */
static int read_and_find(struct dir_op *op, struct buffer **leaf, uint32_t *index, struct dir_place *place,
			 struct data_entry *entry)
{
	bool found;
	int err;

	*place = (struct dir_place){ .data = NULL };
	err = read_leaf(op, leaf);
	if (err)
		return err;
	err = index_find(op, leaf_of(*leaf)->__ents, leaf_count(*leaf), index, place, &found);
	if (!err && !found)
		err = -ENOENT;
	if (err)
		da_release(op->tx, *leaf);
	else
		ensure(data_entry_at(op, place->data, place->off, entry));
	return err;
}

int leaf_lookup(struct dir_op *op)
{
	struct data_entry entry;
	struct dir_place place;
	struct buffer *leaf;
	uint32_t index;
	int err;

	err = read_and_find(op, &leaf, &index, &place, &entry);
	if (err)
		return err;
	op->ino = entry.ino;
	op->ftype = entry.ftype;
	da_release(op->tx, place.data);
	da_release(op->tx, leaf);
	return 0;
}

int leaf_replace(struct dir_op *op)
{
	struct data_entry entry;
	struct dir_place place;
	struct buffer *leaf;
	uint32_t index;
	int err;

	err = read_and_find(op, &leaf, &index, &place, &entry);
	if (err)
		return err;
	data_replace(op, place.data, place.off);
	da_release(op->tx, leaf);
	return 0;
}

/* ---- bests ---- */

static void set_best(struct dir_op *op, struct buffer *leaf, uint32_t db, uint32_t longest)
{
	__be16 *best = &leaf_bests(op, leaf)[db];

	if (be16_to_cpu(*best) == longest)
		return;
	*best = cpu_to_be16(longest);
	leaf_log_bests(op, leaf, db, db + 1);
}

/* Makes @db, the first data block without a place, the last in the bests. */
static void append_best(struct dir_op *op, struct buffer *leaf, uint32_t longest)
{
	uint32_t count = leaf_best_count(op, leaf);
	__be16 *bests = leaf_bests(op, leaf);

	memmove(bests - 1, bests, count * sizeof(*bests));
	leaf_tail(op, leaf)->bestcount = cpu_to_be32(count + 1);
	leaf_bests(op, leaf)[count] = cpu_to_be16(longest);
	log_tail(op, leaf);
	leaf_log_bests(op, leaf, 0, count + 1);
}

/* The last data block is gone: the bests end with the last block that exists. */
static void trim_bests(struct dir_op *op, struct buffer *leaf)
{
	uint32_t count = leaf_best_count(op, leaf), left = count;
	__be16 *bests = leaf_bests(op, leaf);

	while (left && bests[left - 1] == cpu_to_be16(NULLDATAOFF))
		left--;
	memmove(bests + (count - left), bests, left * sizeof(*bests));
	leaf_tail(op, leaf)->bestcount = cpu_to_be32(left);
	log_tail(op, leaf);
	leaf_log_bests(op, leaf, 0, left);
}

/* ---- adding ---- */

struct leaf_room {
	uint32_t db;
	bool must_grow;			/* a data block: db is where to look for a free number */
	bool must_compact;
	bool fits;			/* into the leaf */
};

/* Where the name goes, and whether the leaf has room for its entry and for the best of a new block. */
static struct leaf_room find_room(const struct dir_op *op, const struct buffer *leaf, uint32_t bytes)
{
	uint32_t bests = leaf_best_count(op, leaf), count = leaf_count(leaf), stale = leaf_stale(leaf);
	const __be16 *best = leaf_bests(op, leaf);
	struct leaf_room room = { .must_grow = true };
	uint32_t have, need;

	for (uint32_t i = 0; i < bests && room.must_grow; i++) {
		uint32_t longest = be16_to_cpu(best[i]);

		if (longest == NULLDATAOFF || longest < bytes)
			continue;
		room.db = i;
		room.must_grow = false;
	}
	have = (uint32_t)((const char *)best - (const char *)&leaf_of(leaf)->__ents[count]);
	need = room.must_grow ? (uint32_t)sizeof(*best) : 0;
	room.fits = (stale ? 0 : LEAF_ENTRY_BYTES) + need <= have;
	if (!room.fits && stale) {
		room.must_compact = true;
		room.fits = LEAF_ENTRY_BYTES + need <= have + stale * LEAF_ENTRY_BYTES;
	}
	return room;
}

/* Gets the data block the name goes to. */
static int get_data(struct dir_op *op, struct buffer *leaf, struct leaf_room *room, struct buffer **data)
{
	uint32_t bests = leaf_best_count(op, leaf);
	int err;

	if (!room->must_grow)
		return data_read(op, room->db, data);
	err = data_new(op, &room->db, data);
	if (err)
		return err;
	if (room->db > bests)
		return dir_corrupt(op->dir, "has more data blocks than its leaf knows");
	if (room->db == bests)
		append_best(op, leaf, data_longest(*data));
	return 0;
}

int leaf_add(struct dir_op *op)
{
	uint32_t bytes = entry_bytes(op->geo, op->name.length), index, off;
	struct dir_place place = { .data = NULL };
	struct buffer *leaf, *data;
	struct leaf_room room;
	bool found;
	int err;

	err = read_leaf(op, &leaf);
	if (err)
		return err;
	err = index_find(op, leaf_of(leaf)->__ents, leaf_count(leaf), &index, &place, &found);
	if (!err && found) {
		da_release(op->tx, place.data);
		err = -EEXIST;
	}
	room = find_room(op, leaf, bytes);
	if (!err && !op->blocks && (room.must_grow || !room.fits))
		err = -ENOSPC;
	if (err || op->only_check) {
		da_release(op->tx, leaf);
		return err;
	}
	if (!room.fits) {
		err = leaf_to_node(op, leaf);
		return err ? err : node_add(op);
	}
	err = get_data(op, leaf, &room, &data);
	if (err)
		return err;
	if (data_longest(data) < bytes)
		return dir_corrupt(op->dir, "a data block has less room than its leaf says");
	if (room.must_compact) {
		leaf_compact(op, leaf);
		index = index_search(leaf_of(leaf)->__ents, leaf_count(leaf), op->hash);
	}
	off = data_longest_off(data);
	err = data_use(op, data, off, off, bytes);
	if (err)
		return err;
	data_put_op(op, data, off);
	set_best(op, leaf, room.db, data_longest(data));
	leaf_insert(op, leaf, index, op->hash, addr_make(op->dg, room.db, off));
	return 0;
}

/* ---- removing ---- */

int leaf_remove(struct dir_op *op)
{
	struct data_entry entry;
	struct dir_place place;
	struct buffer *leaf;
	uint32_t index;
	int err;

	err = read_and_find(op, &leaf, &index, &place, &entry);
	if (err)
		return err;
	if (!inum_equal(entry.ino, op->ino))
		err = dir_corrupt(op->dir, "a name to be removed is of another inode");
	else if (place.db >= leaf_best_count(op, leaf))
		err = dir_corrupt(op->dir, "has more data blocks than its leaf knows");
	if (err) {
		da_release(op->tx, place.data);
		da_release(op->tx, leaf);
		return err;
	}
	data_free(op, place.data, place.off, entry_bytes(op->geo, entry.name.length));
	leaf_make_stale(op, leaf, index);
	set_best(op, leaf, place.db, data_longest(place.data));
	if (place.db && data_is_empty(op, place.data)) {
		err = data_shrink(op, place.db, place.data);
		if (!err) {
			set_best(op, leaf, place.db, NULLDATAOFF);
			if (place.db == leaf_best_count(op, leaf) - 1)
				trim_bests(op, leaf);
		} else if (err != -ENOSPC || op->blocks) {
			return err;
		}
	}
	return leaf_to_block(op, leaf);
}

/* ---- conversions ---- */

/* Removes trailing data blocks that are empty because there was no room to give them back earlier.  *only_first:
 * block 0 is all there is. */
static int trim_data(struct dir_op *op, struct buffer *leaf, bool *only_first)
{
	*only_first = false;
	while (op->dir->disk_size_bytes > op->dg->block_bytes) {
		uint32_t bests = leaf_best_count(op, leaf), empty = op->dg->block_bytes - DATA_HEADER_BYTES;
		struct buffer *data;
		int err;

		if (bests < 2 || be16_to_cpu(leaf_bests(op, leaf)[bests - 1]) != empty)
			return 0;
		err = data_read(op, bests - 1, &data);
		if (err)
			return err;
		err = data_shrink(op, bests - 1, data);
		if (err) {
			da_release(op->tx, data);
			return err == -ENOSPC ? 0 : err;
		}
		set_best(op, leaf, bests - 1, NULLDATAOFF);
		trim_bests(op, leaf);
	}
	*only_first = true;
	return 0;
}

/* Whether @bytes are free at the end of the data block; *hole_off is where that hole starts. */
static bool ends_with_hole(const struct dir_op *op, const struct buffer *data, uint32_t bytes, uint32_t *hole_off)
{
	uint32_t end = op->dg->block_bytes, off;
	const struct xfs_dir2_data_unused *hole;

	off = get_unaligned_be16((const char *)data->data + end - sizeof(__be16));
	if (off < DATA_HEADER_BYTES || off >= end - bytes + 1 || off % XFS_DIR2_DATA_ALIGN)
		return false;
	hole = (const void *)((const char *)data->data + off);
	*hole_off = off;
	return be16_to_cpu(hole->freetag) == XFS_DIR2_DATA_FREE_TAG && be16_to_cpu(hole->length) == end - off;
}

int leaf_to_block(struct dir_op *op, struct buffer *leaf)
{
	uint32_t count = leaf_count(leaf), live = count - leaf_stale(leaf), hole_off;
	uint32_t bytes = live * LEAF_ENTRY_BYTES + BLOCK_TAIL_BYTES, kept;
	struct xfs_dir2_block_tail *tail;
	struct buffer *data;
	bool only_first;
	int err;

	err = trim_data(op, leaf, &only_first);
	if (err || !only_first || bytes > op->dg->block_bytes - DATA_HEADER_BYTES)
		return err;
	err = data_read(op, 0, &data);
	if (err)
		return err;
	if (!ends_with_hole(op, data, bytes, &hole_off)) {
		da_release(op->tx, data);
		return 0;
	}
	err = data_use(op, data, hole_off, op->dg->block_bytes - bytes, bytes);
	if (err)
		return err;
	((struct xfs_dir3_data_hdr *)data->data)->hdr.magic = cpu_to_be32(XFS_DIR3_BLOCK_MAGIC);
	data->type = &block_dir_block;
	data_log_header(op, data);
	tail = block_tail(op, data);
	tail->count = cpu_to_be32(live);
	tail->stale = 0;
	/* Stale entries are squeezed out in the dying leaf. */
	kept = index_compact(leaf_of(leaf)->__ents, count);
	ensure(kept == live);
	memcpy(block_entries(op, data), leaf_of(leaf)->__ents, live * sizeof(leaf_entry));
	da_log(op->tx, data, block_entries(op, data), bytes);
	err = da_shrink(op->tx, op->dir, FORK_DATA, op->dg->leaf_fileblk, leaf);
	if (err)
		return err;
	return block_to_short(op, data);
}
