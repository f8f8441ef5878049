// SPDX-License-Identifier: GPL-2.0
/*
 * Data blocks: names and holes, and in the header the three largest holes, largest first.  (XFS: xfs_dir2_data.c.)
 *
 *	| header | hole or name | hole or name | ...                      end
 *	name: inode number, length, bytes, file type, padding to 8, tag (its own offset)
 *	hole: 0xffff, length, ..., tag
 *
 * Two holes never touch.  The table of the largest is kept up to date without looking at the whole block as long as
 * that can be right; when a hole that is not in the table might belong there, the block is scanned.
 */
#include "internal.h"

#define HOLE_SLOTS XFS_DIR2_DATA_FD_COUNT

static struct xfs_dir3_data_hdr *header_of(const struct buffer *buf)
{
	return buf->data;
}

static void *at(const struct buffer *buf, uint32_t off)
{
	return (char *)buf->data + off;
}

static bool is_hole(const void *p)
{
	return get_unaligned_be16(p) == XFS_DIR2_DATA_FREE_TAG;
}

static uint32_t hole_bytes(const struct buffer *buf, uint32_t off)
{
	struct xfs_dir2_data_unused *hole = at(buf, off);

	return be16_to_cpu(hole->length);
}

/* ---- whole blocks ---- */

int data_read(struct dir_op *op, uint32_t db, struct buffer **out)
{
	return da_read(op->tx, op->dir, FORK_DATA, data_fileblk(op, db), false, &block_dir_data, out);
}

void data_init(struct dir_op *op, struct buffer *buf, uint32_t magic)
{
	struct xfs_dir3_data_hdr *hdr = header_of(buf);

	memset(hdr, 0, sizeof(*hdr));
	hdr->hdr.magic = cpu_to_be32(magic);
	hdr->hdr.blkno = cpu_to_be64(buf->daddr);
	hdr->hdr.owner = cpu_to_be64(op->dir->ino.v);
	memcpy(&hdr->hdr.uuid, op->geo->meta_uuid, sizeof(hdr->hdr.uuid));
	buf->type = magic == XFS_DIR3_BLOCK_MAGIC ? &block_dir_block : &block_dir_data;
}

int data_new(struct dir_op *op, uint32_t *db, struct buffer **out)
{
	struct buffer *buf;
	uint64_t end;
	fileblk_t off;
	int err;

	err = da_grow(op->tx, op->dir, FORK_DATA, data_fileblk(op, *db), &op->blocks, &off);
	if (err)
		return err;
	if (off >= op->dg->leaf_fileblk)
		return dir_corrupt(op->dir, "is full");
	err = da_get(op->tx, op->dir, FORK_DATA, off, &buf);
	if (err)
		return err;
	*db = (uint32_t)(off / op->dg->fs_blocks);
	end = (*db + 1ull) << op->dg->block_log;
	if (end > op->dir->disk_size_bytes)
		dir_set_size(op, end);
	data_init(op, buf, XFS_DIR3_DATA_MAGIC);
	data_write_hole(buf, DATA_HEADER_BYTES, op->dg->block_bytes - DATA_HEADER_BYTES);
	header_of(buf)->best_free[0].offset = cpu_to_be16(DATA_HEADER_BYTES);
	header_of(buf)->best_free[0].length = cpu_to_be16(op->dg->block_bytes - DATA_HEADER_BYTES);
	data_log_header(op, buf);
	*out = buf;
	return 0;
}

int data_shrink(struct dir_op *op, uint32_t db, struct buffer *buf)
{
	struct extent ext;
	bool found = false;
	int err;

	err = da_shrink(op->tx, op->dir, FORK_DATA, data_fileblk(op, db), buf);
	if (err)
		return err;
	if (op->dir->disk_size_bytes > (db + 1ull) << op->dg->block_log)
		return 0;
	map_lookup_before(&op->dir->map, FORK_DATA, data_fileblk(op, db), &ext, &found);
	dir_set_size(op, found ? (ext.off + ext.count) << op->geo->block_log : 0);
	return 0;
}

uint32_t data_end(const struct dir_op *op, const struct buffer *buf)
{
	if (header_of(buf)->hdr.magic != cpu_to_be32(XFS_DIR3_BLOCK_MAGIC))
		return op->dg->block_bytes;
	return op->dg->block_bytes - BLOCK_TAIL_BYTES -
	       be32_to_cpu(block_tail(op, buf)->count) * LEAF_ENTRY_BYTES;
}

uint32_t data_longest(const struct buffer *buf)
{
	return be16_to_cpu(header_of(buf)->best_free[0].length);
}

uint32_t data_longest_off(const struct buffer *buf)
{
	return be16_to_cpu(header_of(buf)->best_free[0].offset);
}

bool data_is_empty(const struct dir_op *op, const struct buffer *buf)
{
	return data_longest(buf) == op->dg->block_bytes - DATA_HEADER_BYTES;
}

/* ---- reading names ---- */

static bool decode_entry(const struct geometry *geo, const void *data, uint32_t end, uint32_t off,
			 struct data_entry *out)
{
	const struct xfs_dir2_data_entry *entry = data + off;
	uint32_t bytes;

	if (end - off < entry_bytes(geo, 1) || is_hole(entry) || !entry->namelen)
		return false;
	bytes = entry_bytes(geo, entry->namelen);
	if (bytes > end - off || get_unaligned_be16(data + off + bytes - sizeof(__be16)) != off)
		return false;
	out->name = (struct name){ entry->name, entry->namelen };
	out->ino.v = be64_to_cpu(entry->inumber);
	out->ftype = geo->has_ftype ? entry->name[entry->namelen] : XFS_DIR3_FT_UNKNOWN;
	return true;
}

bool data_entry_at(const struct dir_op *op, const struct buffer *buf, uint32_t off, struct data_entry *out)
{
	uint32_t end = data_end(op, buf);

	if (off < DATA_HEADER_BYTES || off >= end || off % XFS_DIR2_DATA_ALIGN)
		return false;
	return decode_entry(op->geo, buf->data, end, off, out);
}

bool data_next(const struct geometry *geo, const void *data, uint32_t end, uint32_t *off, uint32_t *place,
	       bool *is_name, struct data_entry *out)
{
	const struct xfs_dir2_data_unused *hole = data + *off;
	uint32_t bytes;

	if (*off >= end)
		return false;
	*place = *off;
	*is_name = !is_hole(hole);
	if (*is_name) {
		if (!decode_entry(geo, data, end, *off, out))
			return false;
		bytes = entry_bytes(geo, out->name.length);
	} else {
		bytes = be16_to_cpu(hole->length);
		if (!bytes || bytes > end - *off)
			return false;
	}
	*off += bytes;
	return true;
}

/* ---- the table of the largest holes ---- */

/* Slot of the hole at @off; HOLE_SLOTS when it is not in the table. */
static unsigned slot_of(const xfs_dir2_data_free_t *best, uint32_t off)
{
	unsigned i = 0;

	while (i < HOLE_SLOTS && !(best[i].length && be16_to_cpu(best[i].offset) == off))
		i++;
	return i;
}

static void slot_remove(xfs_dir2_data_free_t *best, unsigned slot)
{
	memmove(&best[slot], &best[slot + 1], (HOLE_SLOTS - 1 - slot) * sizeof(*best));
	memset(&best[HOLE_SLOTS - 1], 0, sizeof(*best));
}

/* Returns the slot; HOLE_SLOTS when all there are larger. */
static unsigned slot_insert(xfs_dir2_data_free_t *best, uint32_t off, uint32_t bytes)
{
	unsigned slot = 0;

	while (slot < HOLE_SLOTS && be16_to_cpu(best[slot].length) >= bytes)
		slot++;
	if (slot == HOLE_SLOTS)
		return slot;
	memmove(&best[slot + 1], &best[slot], (HOLE_SLOTS - 1 - slot) * sizeof(*best));
	best[slot].offset = cpu_to_be16(off);
	best[slot].length = cpu_to_be16(bytes);
	return slot;
}

/* Rebuilds the table from the block, without looking at the @used_bytes at @used, which are being written. */
static void scan(const struct dir_op *op, struct buffer *buf, uint32_t used, uint32_t used_bytes)
{
	xfs_dir2_data_free_t *best = header_of(buf)->best_free;
	uint32_t off = DATA_HEADER_BYTES, place, end = data_end(op, buf);
	struct data_entry entry;
	bool is_name;

	memset(best, 0, HOLE_SLOTS * sizeof(*best));
	for (;;) {
		if (off == used)
			off += used_bytes;
		if (!data_next(op->geo, buf->data, end, &off, &place, &is_name, &entry))
			break;
		if (!is_name)
			slot_insert(best, place, off - place);
	}
}

void data_find_longest(const struct dir_op *op, struct buffer *buf)
{
	scan(op, buf, 0, 0);
}

void data_log_header(struct dir_op *op, struct buffer *buf)
{
	da_log(op->tx, buf, buf->data, DATA_HEADER_BYTES);
}

/* ---- changing holes ---- */

void data_write_hole(struct buffer *buf, uint32_t off, uint32_t bytes)
{
	struct xfs_dir2_data_unused *hole = at(buf, off);

	hole->freetag = cpu_to_be16(XFS_DIR2_DATA_FREE_TAG);
	hole->length = cpu_to_be16(bytes);
	put_unaligned_be16(off, at(buf, off + bytes - sizeof(__be16)));
}

static void put_hole(struct dir_op *op, struct buffer *buf, uint32_t off, uint32_t bytes)
{
	data_write_hole(buf, off, bytes);
	da_log(op->tx, buf, at(buf, off), offsetof(struct xfs_dir2_data_unused, tag));
	da_log(op->tx, buf, at(buf, off + bytes - sizeof(__be16)), sizeof(__be16));
}

/* A hole with @slot in the table has become two, one or none: [start, used) and [used + used_bytes, end). */
static void replace_in_table(struct dir_op *op, struct buffer *buf, unsigned slot, uint32_t before, uint32_t used,
			     uint32_t used_bytes, uint32_t after)
{
	xfs_dir2_data_free_t *best = header_of(buf)->best_free;
	bool was_full = best[HOLE_SLOTS - 1].length;
	unsigned last_slot = HOLE_SLOTS - 1;

	slot_remove(best, slot);
	if (before)
		last_slot = slot_insert(best, used - before, before);
	if (after)
		last_slot = slot_insert(best, used + used_bytes, after);
	/* Holes outside the table are no larger than what was in its last slot: only that slot can be wrong now. */
	if (was_full && ((before && after) || last_slot >= HOLE_SLOTS - 1))
		scan(op, buf, used, used_bytes);
	data_log_header(op, buf);
}

int data_use(struct dir_op *op, struct buffer *buf, uint32_t hole_off, uint32_t off, uint32_t bytes)
{
	uint32_t length, before, after, end = data_end(op, buf);
	unsigned slot;

	if (hole_off < DATA_HEADER_BYTES || hole_off >= end || !is_hole(at(buf, hole_off)))
		return dir_corrupt(op->dir, "a hole of its data is none");
	length = hole_bytes(buf, hole_off);
	if (length > end - hole_off || off < hole_off || off + bytes > hole_off + length)
		return dir_corrupt(op->dir, "a hole of its data is too small");
	before = off - hole_off;
	after = hole_off + length - off - bytes;
	if (before)
		put_hole(op, buf, hole_off, before);
	if (after)
		put_hole(op, buf, off + bytes, after);
	slot = slot_of(header_of(buf)->best_free, hole_off);
	if (slot < HOLE_SLOTS)
		replace_in_table(op, buf, slot, before, off, bytes, after);
	return 0;
}

/* The hole that ends at @off: its length, 0 for none. */
static uint32_t hole_before(const struct buffer *buf, uint32_t off)
{
	uint32_t start;

	if (off <= DATA_HEADER_BYTES)
		return 0;
	start = get_unaligned_be16(at(buf, off - (uint32_t)sizeof(__be16)));
	if (start < DATA_HEADER_BYTES || start >= off || start % XFS_DIR2_DATA_ALIGN || !is_hole(at(buf, start)))
		return 0;
	return hole_bytes(buf, start) == off - start ? off - start : 0;
}

static uint32_t hole_at(const struct buffer *buf, uint32_t off, uint32_t end)
{
	if (off >= end || !is_hole(at(buf, off)) || hole_bytes(buf, off) > end - off)
		return 0;
	return hole_bytes(buf, off);
}

void data_free(struct dir_op *op, struct buffer *buf, uint32_t off, uint32_t bytes)
{
	xfs_dir2_data_free_t *best = header_of(buf)->best_free;
	uint32_t before = hole_before(buf, off), after = hole_at(buf, off + bytes, data_end(op, buf));
	uint32_t merged_off = off - before, merged = before + bytes + after;
	unsigned slot;
	bool was_full = best[HOLE_SLOTS - 1].length, removed_any = false;

	put_hole(op, buf, merged_off, merged);
	if (before && (slot = slot_of(best, merged_off)) < HOLE_SLOTS) {
		slot_remove(best, slot);
		removed_any = true;
	}
	if (after && (slot = slot_of(best, off + bytes)) < HOLE_SLOTS) {
		slot_remove(best, slot);
		/* Two slots became one: a hole outside the table may belong in the free slot now. */
		if (removed_any && was_full) {
			data_find_longest(op, buf);
			data_log_header(op, buf);
			return;
		}
		removed_any = true;
	}
	if (slot_insert(best, merged_off, merged) < HOLE_SLOTS || removed_any)
		data_log_header(op, buf);
}

/* ---- writing names ---- */

void data_write_entry(const struct dir_op *op, struct buffer *buf, uint32_t off, const struct data_entry *entry)
{
	struct xfs_dir2_data_entry *disk = at(buf, off);
	uint32_t bytes = entry_bytes(op->geo, entry->name.length);

	disk->inumber = cpu_to_be64(entry->ino.v);
	disk->namelen = (uint8_t)entry->name.length;
	memcpy(disk->name, entry->name.bytes, entry->name.length);
	if (op->geo->has_ftype)
		disk->name[entry->name.length] = entry->ftype;
	put_unaligned_be16(off, at(buf, off + bytes - sizeof(__be16)));
}

void data_put_op(struct dir_op *op, struct buffer *buf, uint32_t off)
{
	struct data_entry entry = { op->name, op->ino, op->ftype };

	data_write_entry(op, buf, off, &entry);
	da_log(op->tx, buf, at(buf, off), entry_bytes(op->geo, op->name.length));
}

void data_replace(struct dir_op *op, struct buffer *buf, uint32_t off)
{
	struct xfs_dir2_data_entry *disk = at(buf, off);

	disk->inumber = cpu_to_be64(op->ino.v);
	if (op->geo->has_ftype)
		disk->name[disk->namelen] = op->ftype;
	da_log(op->tx, buf, disk, entry_bytes(op->geo, disk->namelen));
}
