// SPDX-License-Identifier: GPL-2.0
/*
 * Free blocks: the longest hole of every data block of a directory in node form.  (XFS: xfs_dir2_free, the free
 * index.)
 *
 *	free   | header: firstdb, nvalid, nused | longest hole of data block firstdb, firstdb + 1, ... |
 *
 * Free block number fdb covers data blocks [fdb * free_bests, (fdb + 1) * free_bests).  One that covers only data
 * blocks that do not exist may be missing.
 */
#include "internal.h"

static uint32_t valid_of(const struct buffer *buf)
{
	return be32_to_cpu(free_of(buf)->hdr.nvalid);
}

static void log_header(struct dir_op *op, struct buffer *buf)
{
	da_log(op->tx, buf, buf->data, sizeof(struct xfs_dir3_free_hdr));
}

static void log_bests(struct dir_op *op, struct buffer *buf, uint32_t first, uint32_t end)
{
	__be16 *bests = free_of(buf)->bests;

	da_log(op->tx, buf, &bests[first], (end - first) * sizeof(*bests));
}

/* *out = NULL when it does not exist. */
static int read_free(struct dir_op *op, uint32_t fdb, struct buffer **out)
{
	struct buffer *buf;
	int err;

	err = da_read(op->tx, op->dir, FORK_DATA, free_fileblk(op, fdb), true, &block_dir_free, &buf);
	if (err)
		return err;
	if (buf && be32_to_cpu(free_of(buf)->hdr.firstdb) != (uint64_t)fdb * op->dg->free_bests) {
		da_release(op->tx, buf);
		return dir_corrupt(op->dir, "a free block covers the wrong data blocks");
	}
	*out = buf;
	return 0;
}

static int new_free(struct dir_op *op, uint32_t fdb, struct buffer **out)
{
	struct xfs_dir3_free_hdr *hdr;
	struct buffer *buf;
	int err;

	err = da_grow_at(op->tx, op->dir, FORK_DATA, free_fileblk(op, fdb), &op->blocks);
	if (err)
		return err;
	err = da_get(op->tx, op->dir, FORK_DATA, free_fileblk(op, fdb), &buf);
	if (err)
		return err;
	hdr = &free_of(buf)->hdr;
	hdr->hdr.magic = cpu_to_be32(XFS_DIR3_FREE_MAGIC);
	hdr->hdr.blkno = cpu_to_be64(buf->daddr);
	hdr->hdr.owner = cpu_to_be64(op->dir->ino.v);
	memcpy(&hdr->hdr.uuid, op->geo->meta_uuid, sizeof(hdr->hdr.uuid));
	hdr->firstdb = cpu_to_be32(fdb * op->dg->free_bests);
	buf->type = &block_dir_free;
	log_header(op, buf);
	*out = buf;
	return 0;
}

int free_create(struct dir_op *op, uint32_t fdb, const __be16 *bests, uint32_t count)
{
	struct buffer *buf;
	uint32_t used = 0;
	int err;

	err = new_free(op, fdb, &buf);
	if (err)
		return err;
	memcpy(free_of(buf)->bests, bests, count * sizeof(*bests));
	for (uint32_t i = 0; i < count; i++)
		used += bests[i] != cpu_to_be16(NULLDATAOFF);
	free_of(buf)->hdr.nvalid = cpu_to_be32(count);
	free_of(buf)->hdr.nused = cpu_to_be32(used);
	log_header(op, buf);
	log_bests(op, buf, 0, count);
	return 0;
}

/* Looks in one free block, from its end: the newest data blocks are the ones with room. */
static bool search(const struct buffer *buf, uint32_t bytes, uint32_t *index)
{
	const __be16 *bests = free_of(buf)->bests;

	for (uint32_t i = valid_of(buf); i-- > 0;) {
		uint32_t longest = be16_to_cpu(bests[i]);

		if (longest == NULLDATAOFF || longest < bytes)
			continue;
		*index = i;
		return true;
	}
	return false;
}

int free_find(struct dir_op *op, uint32_t bytes, struct free_slot *slot, uint32_t *db, bool *found)
{
	fileblk_t end = map_end(&op->dir->map, FORK_DATA);
	uint32_t count = 0;

	*found = false;
	if (end > op->dg->free_fileblk)
		count = (uint32_t)((end - op->dg->free_fileblk) / op->dg->fs_blocks);
	for (uint32_t fdb = count; fdb-- > 0;) {
		struct buffer *buf;
		int err = read_free(op, fdb, &buf);

		if (err)
			return err;
		if (!buf)
			continue;
		if (search(buf, bytes, &slot->index)) {
			slot->buf = buf;
			slot->fdb = fdb;
			*db = fdb * op->dg->free_bests + slot->index;
			*found = true;
			return 0;
		}
		da_release(op->tx, buf);
	}
	return 0;
}

/* Makes entries up to @index valid, as blocks that do not exist. */
static void extend(struct dir_op *op, struct buffer *buf, uint32_t index)
{
	uint32_t valid = valid_of(buf);

	if (index < valid)
		return;
	for (uint32_t i = valid; i <= index; i++)
		free_of(buf)->bests[i] = cpu_to_be16(NULLDATAOFF);
	free_of(buf)->hdr.nvalid = cpu_to_be32(index + 1);
	log_header(op, buf);
	log_bests(op, buf, valid, index + 1);
}

int free_slot_of(struct dir_op *op, uint32_t db, bool create, struct free_slot *slot)
{
	int err;

	slot->fdb = db / op->dg->free_bests;
	slot->index = db % op->dg->free_bests;
	err = read_free(op, slot->fdb, &slot->buf);
	if (err)
		return err;
	if (create && !slot->buf) {
		err = new_free(op, slot->fdb, &slot->buf);
		if (err)
			return err;
	}
	if (create)
		extend(op, slot->buf, slot->index);
	else if (!slot->buf || slot->index >= valid_of(slot->buf))
		return dir_corrupt(op->dir, "a data block is missing in the free blocks");
	return 0;
}

int free_set(struct dir_op *op, struct free_slot *slot, uint32_t longest)
{
	struct xfs_dir3_free *block = free_of(slot->buf);
	__be16 *best = &block->bests[slot->index];

	if (be16_to_cpu(*best) == longest)
		return 0;
	if (*best == cpu_to_be16(NULLDATAOFF)) {
		block->hdr.nused = cpu_to_be32(be32_to_cpu(block->hdr.nused) + 1);
		log_header(op, slot->buf);
	}
	*best = cpu_to_be16(longest);
	log_bests(op, slot->buf, slot->index, slot->index + 1);
	return 0;
}

int free_clear(struct dir_op *op, struct free_slot *slot)
{
	struct xfs_dir3_free *block = free_of(slot->buf);
	uint32_t valid = valid_of(slot->buf);
	int err;

	if (block->bests[slot->index] != cpu_to_be16(NULLDATAOFF))
		block->hdr.nused = cpu_to_be32(be32_to_cpu(block->hdr.nused) - 1);
	block->bests[slot->index] = cpu_to_be16(NULLDATAOFF);
	log_bests(op, slot->buf, slot->index, slot->index + 1);
	while (valid && block->bests[valid - 1] == cpu_to_be16(NULLDATAOFF))
		valid--;
	block->hdr.nvalid = cpu_to_be32(valid);
	log_header(op, slot->buf);
	if (block->hdr.nused)
		return 0;
	err = da_shrink(op->tx, op->dir, FORK_DATA, free_fileblk(op, slot->fdb), slot->buf);
	return err == -ENOSPC && !op->blocks ? 0 : err;
}
