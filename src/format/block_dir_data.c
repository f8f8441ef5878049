// SPDX-License-Identifier: GPL-2.0
/*
 * Directory blocks that hold names: data blocks, and the single block of a small directory, which also holds its
 * index.
 * (XFS: __xfs_dir3_data_check.)
 *
 *	data   | header, 3 largest holes | name or hole | name or hole | ...                       |
 *	block  | header, 3 largest holes | name or hole | ... | hash, address | ... | count, stale |
 *
 * The walk visits every name and hole.  After it, no name, tag, hole or index entry can lead outside the block, no
 * two holes touch, and the header's holes are the largest.
 */
#include "verify.h"

#include <userxfs/base/bits.h>

#define MAX_HOLES XFS_DIR2_DATA_FD_COUNT
/* One bit for each place a name can start in the largest block. */
#define PLACE_WORDS (XFS_MAX_BLOCKSIZE / XFS_DIR2_DATA_ALIGN / 64)
#define MIN_HOLE_BYTES 8u

/* A walk over the names and holes of one block. */
struct data_walk {
	const struct geometry *geo;
	const void *data;
	const xfs_dir2_data_free_t *best;
	size_t end;			/* of names and holes */
	unsigned holes_seen;		/* bit i: best[i] was met */
	unsigned names;
	uint64_t starts[PLACE_WORDS];	/* bit: a name starts at that multiple of 8 */
};

static const char *bests_verify(const xfs_dir2_data_free_t *best, unsigned *holes_seen)
{
	for (unsigned i = 0; i < MAX_HOLES; i++) {
		if (best[i].length)
			continue;
		if (best[i].offset)
			return "empty best hole with a place";
		*holes_seen |= 1u << i;
	}
	for (unsigned i = 1; i < MAX_HOLES; i++)
		if (be16_to_cpu(best[i - 1].length) < be16_to_cpu(best[i].length))
			return "best holes out of order";
	return NULL;
}

static const char *hole_verify(struct data_walk *walk, size_t off, size_t *bytes)
{
	const struct xfs_dir2_data_unused *hole = walk->data + off;
	size_t length = be16_to_cpu(hole->length);

	if (length < MIN_HOLE_BYTES || length % XFS_DIR2_DATA_ALIGN || length > walk->end - off)
		return "hole of impossible length";
	if (get_unaligned_be16(walk->data + off + length - sizeof(__be16)) != off)
		return "hole with a wrong tag";
	*bytes = length;
	for (unsigned i = 0; i < MAX_HOLES; i++) {
		if (!walk->best[i].length || be16_to_cpu(walk->best[i].offset) != off)
			continue;
		if (be16_to_cpu(walk->best[i].length) != length || walk->holes_seen & 1u << i)
			return "best hole of wrong length";
		walk->holes_seen |= 1u << i;
		return NULL;
	}
	if (length > be16_to_cpu(walk->best[MAX_HOLES - 1].length))
		return "hole that is missing among the best";
	return NULL;
}

static const char *name_verify(struct data_walk *walk, size_t off, size_t *bytes)
{
	const struct xfs_dir2_data_entry *entry = walk->data + off;
	size_t length = dir_entry_bytes(walk->geo, entry->namelen);

	if (!entry->namelen || length > walk->end - off)
		return "name of impossible length";
	if (!geometry_is_valid_name_inum(walk->geo, (struct inum){ be64_to_cpu(entry->inumber) }))
		return "name of an impossible inode";
	if (walk->geo->has_ftype && !is_valid_ftype(entry->name[entry->namelen]))
		return "name with an unknown file type";
	if (get_unaligned_be16(walk->data + off + length - sizeof(__be16)) != off)
		return "name with a wrong tag";
	walk->starts[off / XFS_DIR2_DATA_ALIGN / 64] |= 1ull << (off / XFS_DIR2_DATA_ALIGN % 64);
	walk->names++;
	*bytes = length;
	return NULL;
}

static const char *walk_verify(struct data_walk *walk)
{
	const struct xfs_dir3_data_hdr *hdr = walk->data;
	size_t off = sizeof(*hdr), bytes = 0;
	bool was_hole = false;
	const char *reason;

	walk->best = hdr->best_free;
	reason = bests_verify(walk->best, &walk->holes_seen);
	while (!reason && off < walk->end) {
		bool is_hole;

		if (walk->end - off < MIN_HOLE_BYTES)
			return "bytes left over that are neither name nor hole";
		is_hole = get_unaligned_be16(walk->data + off) == XFS_DIR2_DATA_FREE_TAG;
		if (is_hole && was_hole)
			return "two holes that touch";
		reason = is_hole ? hole_verify(walk, off, &bytes) : name_verify(walk, off, &bytes);
		was_hole = is_hole;
		off += bytes;
	}
	if (!reason && walk->holes_seen != (1u << MAX_HOLES) - 1)
		return "best hole that does not exist";
	return reason;
}

/* True when a name starts where @address says; a second time for the same name it is false. */
static bool take_name(struct data_walk *walk, uint32_t address)
{
	uint64_t bit = 1ull << (address % 64);

	if (address >= walk->end / XFS_DIR2_DATA_ALIGN || !(walk->starts[address / 64] & bit))
		return false;
	walk->starts[address / 64] &= ~bit;
	return true;
}

/* The index of the single-block form: one entry for each name, in hash order, the stale ones counted. */
static const char *index_verify(struct data_walk *walk, const struct xfs_dir2_leaf_entry *entry, uint32_t count,
				uint32_t stale)
{
	uint32_t last_hash = 0, stale_seen = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t hash = be32_to_cpu(entry[i].hashval), address = be32_to_cpu(entry[i].address);

		if (hash < last_hash)
			return "hashes out of order";
		last_hash = hash;
		if (address == XFS_DIR2_NULL_DATAPTR)
			stale_seen++;
		else if (!take_name(walk, address))
			return "index entry that leads to no name";
	}
	if (stale_seen != stale)
		return "wrong count of stale entries";
	return walk->names == count - stale ? NULL : "names missing from the index";
}

static const char *header_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr,
				 uint32_t magic)
{
	const struct xfs_dir3_data_hdr *hdr = data;

	if (bytes != geo->dir.block_bytes)
		return WRONG_BUFFER_BYTES;
	if (be32_to_cpu(hdr->hdr.magic) != magic)
		return "wrong magic number";
	return dir_header_verify(geo, &hdr->hdr, daddr);
}

static const char *dir_data_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	struct data_walk walk = { .geo = geo, .data = data, .end = bytes };
	const char *reason = header_verify(geo, data, bytes, daddr, XFS_DIR3_DATA_MAGIC);

	return reason ? reason : walk_verify(&walk);
}

static const char *dir_block_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	struct data_walk walk = { .geo = geo, .data = data };
	const char *reason = header_verify(geo, data, bytes, daddr, XFS_DIR3_BLOCK_MAGIC);
	const struct xfs_dir2_leaf_entry *entry;
	const struct xfs_dir2_block_tail *tail;
	uint32_t count, room;

	if (reason)
		return reason;
	tail = data + bytes - sizeof(*tail);
	count = be32_to_cpu(tail->count);
	room = (uint32_t)((bytes - sizeof(struct xfs_dir3_data_hdr) - sizeof(*tail)) / sizeof(*entry));
	if (count >= room || be32_to_cpu(tail->stale) > count)
		return "impossible number of index entries";
	entry = (const void *)tail - count * sizeof(*entry);
	walk.end = (size_t)((const void *)entry - data);
	reason = walk_verify(&walk);
	return reason ? reason : index_verify(&walk, entry, count, be32_to_cpu(tail->stale));
}

const struct block_type block_dir_data = {
	.name = "dir data",
	.log_type = XFS_BLFT_DIR_DATA_BUF,
	.crc_off = XFS_DIR3_DATA_CRC_OFF,
	.lsn_off = offsetof(struct xfs_dir3_data_hdr, hdr.lsn),
	.verify = dir_data_verify,
};

const struct block_type block_dir_block = {
	.name = "dir block",
	.log_type = XFS_BLFT_DIR_BLOCK_BUF,
	.crc_off = XFS_DIR3_DATA_CRC_OFF,
	.lsn_off = offsetof(struct xfs_dir3_data_hdr, hdr.lsn),
	.verify = dir_block_verify,
};
