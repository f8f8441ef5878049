// SPDX-License-Identifier: GPL-2.0
/*
 * The inline form: parent and names in the inode itself.  (XFS: xfs_dir2_sf.c.)
 *
 *	| count, count of wide numbers, parent | length, offset, bytes, type, inode number | ...
 *
 * Inode numbers take 4 bytes, or 8 as soon as one of them needs it.  Each name remembers the offset at which it would
 * stand in the single-block form, so that readdir positions survive the conversion; names are in the order of their
 * offsets, which leave room for ".", ".." and the index of that block.
 *
 * Every change decodes the directory, edits the list and encodes it again: it is at most some 200 names.
 */
#include "internal.h"

#define SHORT_MAX_BYTES 2048		/* the largest inode */

static bool is_wide(struct inum ino)
{
	return ino.v > XFS_DIR2_MAX_SHORT_INUM;
}

static struct inum get_inum(const uint8_t *p, bool wide)
{
	uint32_t narrow;

	if (wide)
		return (struct inum){ get_unaligned_be64(p) };
	narrow = (uint32_t)get_unaligned_be16(p) << 16 | get_unaligned_be16(p + 2);
	return (struct inum){ narrow };
}

static uint8_t *put_inum(uint8_t *p, struct inum ino, bool wide)
{
	if (wide)
		put_unaligned_be64(ino.v, p);
	else
		put_unaligned_be32((uint32_t)ino.v, p);
	return p + (wide ? XFS_INO64_SIZE : XFS_INO32_SIZE);
}

int short_decode(struct inode *dir, const void *bytes, uint32_t length, struct short_dir *out)
{
	const struct geometry *geo = inode_geometry(dir);
	const struct xfs_dir2_sf_hdr *hdr = bytes;
	const char *reason = dir_sf_verify(geo, dir->ino, bytes, length);
	const uint8_t *p;
	bool wide;

	if (reason)
		return dir_corrupt(dir, reason);
	wide = hdr->i8count;
	out->parent = get_inum(hdr->parent, wide);
	out->count = hdr->count;
	p = (const uint8_t *)bytes + xfs_dir2_sf_hdr_size(hdr->i8count);
	for (unsigned i = 0; i < out->count; i++) {
		const struct xfs_dir2_sf_entry *entry = (const void *)p;
		struct short_name *name = &out->names[i];

		name->off = get_unaligned_be16(entry->offset);
		if (name->off % XFS_DIR2_DATA_ALIGN)
			return dir_corrupt(dir, "an inline name has a crooked offset");
		name->entry.name = (struct name){ entry->name, entry->namelen };
		p = entry->name + entry->namelen;
		name->entry.ftype = geo->has_ftype ? *p++ : XFS_DIR3_FT_UNKNOWN;
		name->entry.ino = get_inum(p, wide);
		p += wide ? XFS_INO64_SIZE : XFS_INO32_SIZE;
	}
	return 0;
}

static unsigned wide_count(const struct short_dir *sf)
{
	unsigned count = is_wide(sf->parent);

	for (unsigned i = 0; i < sf->count; i++)
		count += is_wide(sf->names[i].entry.ino);
	return count;
}

uint32_t short_encoded_bytes(const struct geometry *geo, const struct short_dir *sf)
{
	unsigned wide = wide_count(sf);
	uint32_t fixed = (uint32_t)sizeof(struct xfs_dir2_sf_entry) + geo->has_ftype +
			 (wide ? XFS_INO64_SIZE : XFS_INO32_SIZE);
	uint32_t bytes = (uint32_t)xfs_dir2_sf_hdr_size((int)wide);

	for (unsigned i = 0; i < sf->count; i++)
		bytes += fixed + sf->names[i].entry.name.length;
	return bytes;
}

void short_encode(const struct geometry *geo, const struct short_dir *sf, void *bytes)
{
	struct xfs_dir2_sf_hdr *hdr = bytes;
	unsigned wide = wide_count(sf);
	uint8_t *p;

	hdr->count = (uint8_t)sf->count;
	hdr->i8count = (uint8_t)wide;
	p = put_inum(hdr->parent, sf->parent, wide);
	for (unsigned i = 0; i < sf->count; i++) {
		const struct data_entry *entry = &sf->names[i].entry;
		struct xfs_dir2_sf_entry *disk = (void *)p;

		disk->namelen = (uint8_t)entry->name.length;
		put_unaligned_be16(sf->names[i].off, disk->offset);
		memcpy(disk->name, entry->name.bytes, entry->name.length);
		p = disk->name + entry->name.length;
		if (geo->has_ftype)
			*p++ = entry->ftype;
		p = put_inum(p, entry->ino, wide);
	}
}

static int decode(struct dir_op *op, struct short_dir *out)
{
	return short_decode(op->dir, op->dir->map.data.local, op->dir->map.data.local_bytes, out);
}

/* Makes @sf, whose names may point into the present inline bytes, the directory; it fits. */
static void store(struct dir_op *op, const struct short_dir *sf)
{
	uint32_t length = short_encoded_bytes(op->geo, sf);
	uint8_t bytes[SHORT_MAX_BYTES];

	ensure(length <= op->dir->map.fork_space && length <= sizeof(bytes));
	short_encode(op->geo, sf, bytes);
	fork_local_resize(&op->dir->map, FORK_DATA, length);
	memcpy(op->dir->map.data.local, bytes, length);
	map_log_fork(op->tx, &op->dir->map, FORK_DATA);
	dir_set_size(op, length);
}

/* Index of the op's name; sf->count when it is not there. */
static unsigned find(const struct dir_op *op, const struct short_dir *sf)
{
	unsigned i = 0;

	while (i < sf->count && !dir_name_matches(op->geo, sf->names[i].entry.name, op->name))
		i++;
	return i;
}

static bool is_dotdot(struct name name)
{
	return name.length == 2 && name.bytes[0] == '.' && name.bytes[1] == '.';
}

void short_init(struct dir_op *op, struct inum parent)
{
	struct short_dir sf = { .parent = parent };
	uint8_t bytes[sizeof(struct xfs_dir2_sf_hdr)];
	uint32_t length = short_encoded_bytes(op->geo, &sf);

	short_encode(op->geo, &sf, bytes);
	fork_set_local(&op->dir->map, FORK_DATA, bytes, length);
	map_log_fork(op->tx, &op->dir->map, FORK_DATA);
	dir_set_size(op, length);
}

int short_lookup(struct dir_op *op)
{
	struct short_dir sf;
	unsigned i;
	int err;

	err = decode(op, &sf);
	if (err)
		return err;
	if (is_dotdot(op->name)) {
		op->ino = sf.parent;
		op->ftype = XFS_DIR3_FT_DIR;
		return 0;
	}
	i = find(op, &sf);
	if (i == sf.count)
		return -ENOENT;
	op->ino = sf.names[i].entry.ino;
	op->ftype = sf.names[i].entry.ftype;
	return 0;
}

/*
 * Chooses the position and the block offset of a name of @bytes (as a data entry): after the last one if that fits
 * the block, else the first gap.  @rewrite: inode numbers become wide; then gaps come first, as everything is
 * rewritten anyway.  False: it fits nowhere.  (XFS: xfs_dir2_sf_addname_pick.)
 */
static bool pick_place(const struct dir_op *op, const struct short_dir *sf, uint32_t bytes, bool rewrite,
		       unsigned *position, uint32_t *off)
{
	uint32_t end = first_name_off(op->geo), gap_off = 0, used;
	unsigned gap = 0;

	for (unsigned i = 0; i < sf->count; i++) {
		if (!gap_off && end + bytes <= sf->names[i].off) {
			gap_off = end;
			gap = i;
		}
		end = sf->names[i].off + entry_bytes(op->geo, sf->names[i].entry.name.length);
	}
	/* The index of the block also holds ".", ".." and the new name. */
	used = end + (sf->count + 3) * LEAF_ENTRY_BYTES + BLOCK_TAIL_BYTES;
	if (used + (gap_off ? 0 : bytes) > op->dg->block_bytes)
		return false;
	if (gap_off && (rewrite || used + bytes > op->dg->block_bytes)) {
		*position = gap;
		*off = gap_off;
	} else {
		*position = sf->count;
		*off = end;
	}
	return true;
}

/* Edits @sf; false: the name does not fit inline. */
static bool insert(const struct dir_op *op, struct short_dir *sf)
{
	bool rewrite = is_wide(op->ino) && !wide_count(sf);
	unsigned position;
	uint32_t off;

	if (sf->count + 1 >= SHORT_MAX_NAMES ||
	    !pick_place(op, sf, entry_bytes(op->geo, op->name.length), rewrite, &position, &off))
		return false;
	memmove(&sf->names[position + 1], &sf->names[position], (sf->count - position) * sizeof(sf->names[0]));
	sf->names[position] = (struct short_name){ { op->name, op->ino, op->ftype }, off };
	sf->count++;
	return short_encoded_bytes(op->geo, sf) <= op->dir->map.fork_space;
}

int short_add(struct dir_op *op)
{
	struct short_dir sf;
	bool fits;
	int err;

	err = decode(op, &sf);
	if (err)
		return err;
	if (find(op, &sf) < sf.count)
		return -EEXIST;
	fits = insert(op, &sf);
	if (!fits && !op->blocks)
		return -ENOSPC;
	if (op->only_check)
		return 0;
	if (fits) {
		store(op, &sf);
		return 0;
	}
	err = short_to_block(op);
	return err ? err : block_add(op);
}

int short_remove(struct dir_op *op)
{
	struct short_dir sf;
	unsigned i;
	int err;

	err = decode(op, &sf);
	if (err)
		return err;
	i = find(op, &sf);
	if (i == sf.count)
		return -ENOENT;
	if (!inum_equal(sf.names[i].entry.ino, op->ino))
		return dir_corrupt(op->dir, "a name to be removed is of another inode");
	sf.count--;
	memmove(&sf.names[i], &sf.names[i + 1], (sf.count - i) * sizeof(sf.names[0]));
	store(op, &sf);
	return 0;
}

int short_replace(struct dir_op *op)
{
	struct short_dir sf;
	int err;

	err = decode(op, &sf);
	if (err)
		return err;
	if (is_dotdot(op->name)) {
		sf.parent = op->ino;
	} else {
		unsigned i = find(op, &sf);

		if (i == sf.count)
			return -ENOENT;
		sf.names[i].entry.ino = op->ino;
		sf.names[i].entry.ftype = op->ftype;
	}
	if (short_encoded_bytes(op->geo, &sf) <= op->dir->map.fork_space) {
		store(op, &sf);
		return 0;
	}
	/* All numbers would have to be wide, and they do not fit so. */
	if (!op->blocks)
		return -ENOSPC;
	err = short_to_block(op);
	return err ? err : block_replace(op);
}
