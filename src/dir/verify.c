// SPDX-License-Identifier: GPL-2.0
/*
 * A check of a whole directory, for tests: every name is in the index under its hash and nothing else is, every
 * longest hole is known, sizes agree.  What one block can know about itself is the business of its verifier.
 */
#include "internal.h"

#include <userxfs/base/memory.h>

/* A growing index. */
struct entry_list {
	leaf_entry *entries;
	size_t count, capacity;
};

struct dir_check {
	struct dir_op op;
	struct entry_list names, hashes;	/* from the data blocks, from the leaves */
	bool has_dot, has_dotdot;
};

static void push(struct entry_list *list, uint32_t hash, uint32_t addr)
{
	if (list->count == list->capacity) {
		list->capacity = list->capacity ? 2 * list->capacity : 256;
		list->entries = mem_resize(list->entries, list->capacity * sizeof(*list->entries));
		ensure(list->entries);
	}
	index_set(&list->entries[list->count++], hash, addr);
}

static void push_all(struct entry_list *list, const leaf_entry *entries, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!index_is_stale(&entries[i]))
			push(list, be32_to_cpu(entries[i].hashval), be32_to_cpu(entries[i].address));
}

static bool are_equal(struct entry_list *a, struct entry_list *b)
{
	if (a->count != b->count)
		return false;
	index_sort(a->entries, (uint32_t)a->count);
	index_sort(b->entries, (uint32_t)b->count);
	return !memcmp(a->entries, b->entries, a->count * sizeof(*a->entries));
}

static void collect_names(struct dir_check *check, const struct buffer *buf, uint32_t db)
{
	uint32_t off = DATA_HEADER_BYTES, place, end = data_end(&check->op, buf);
	struct data_entry entry;
	bool is_name;

	while (data_next(check->op.geo, buf->data, end, &off, &place, &is_name, &entry)) {
		if (!is_name)
			continue;
		push(&check->names, dir_hash(check->op.geo, entry.name), addr_make(check->op.dg, db, place));
		if (db)
			continue;
		if (place == DATA_HEADER_BYTES)
			check->has_dot = entry.name.length == 1 && entry.name.bytes[0] == '.' &&
					 inum_equal(entry.ino, check->op.dir->ino);
		if (place == dotdot_off(check->op.geo))
			check->has_dotdot = entry.name.length == 2 && !memcmp(entry.name.bytes, "..", 2);
	}
}

static const char *check_block_form(struct dir_check *check)
{
	struct buffer *buf;

	if (da_read(NULL, check->op.dir, FORK_DATA, 0, false, &block_dir_block, &buf))
		return "unreadable block";
	collect_names(check, buf, 0);
	push_all(&check->hashes, block_entries(&check->op, buf), be32_to_cpu(block_tail(&check->op, buf)->count));
	da_release(NULL, buf);
	return NULL;
}

/* The longest hole that the index knows of data block @db. */
static const char *known_best(struct dir_check *check, enum dir_form form, uint32_t db, uint32_t *best)
{
	struct dir_op *op = &check->op;
	struct free_slot slot;
	struct buffer *leaf;

	if (form == DIR_FORM_NODE) {
		if (free_slot_of(op, db, false, &slot))
			return "data block unknown to the free blocks";
		*best = be16_to_cpu(free_of(slot.buf)->bests[slot.index]);
		da_release(NULL, slot.buf);
		return NULL;
	}
	if (da_read(NULL, op->dir, FORK_DATA, op->dg->leaf_fileblk, false, &block_dir_leaf1, &leaf))
		return "unreadable leaf";
	*best = db < leaf_best_count(op, leaf) ? be16_to_cpu(leaf_bests(op, leaf)[db]) : NULLDATAOFF;
	da_release(NULL, leaf);
	return NULL;
}

static const char *check_data(struct dir_check *check, enum dir_form form)
{
	struct dir_op *op = &check->op;
	uint64_t size = 0;

	for (fileblk_t off = 0;;) {
		uint32_t db, longest, best = 0;
		const char *reason;
		struct buffer *buf;
		struct extent ext;
		bool found = false;

		map_lookup(&op->dir->map, FORK_DATA, off, &ext, &found);
		if (!found || (ext.off > off && ext.off >= op->dg->leaf_fileblk))
			break;
		db = (uint32_t)((ext.off > off ? ext.off : off) / op->dg->fs_blocks);
		if (data_read(op, db, &buf))
			return "unreadable data block";
		collect_names(check, buf, db);
		longest = data_longest(buf);
		da_release(NULL, buf);
		reason = known_best(check, form, db, &best);
		if (reason)
			return reason;
		if (best != longest)
			return "longest hole of a data block is known wrongly";
		off = data_fileblk(op, db + 1);
		size = off << op->geo->block_log;
	}
	return size == op->dir->disk_size_bytes ? NULL : "size is not the end of the last data block";
}

static const char *visit_leaf(void *context, struct buffer *leaf)
{
	struct dir_check *check = context;

	push_all(&check->hashes, leaf_of(leaf)->__ents, leaf_count(leaf));
	return NULL;
}

/* No free block has bests of blocks that do not exist. */
static const char *check_free(struct dir_check *check)
{
	struct dir_op *op = &check->op;
	fileblk_t end = map_end(&op->dir->map, FORK_DATA);

	for (fileblk_t off = op->dg->free_fileblk; off < end; off += op->dg->fs_blocks) {
		struct buffer *buf;
		uint32_t valid, first;

		if (da_read(NULL, op->dir, FORK_DATA, off, true, &block_dir_free, &buf))
			return "unreadable free block";
		if (!buf)
			continue;
		valid = be32_to_cpu(free_of(buf)->hdr.nvalid);
		first = be32_to_cpu(free_of(buf)->hdr.firstdb);
		for (uint32_t i = 0; i < valid; i++) {
			struct extent ext;
			bool found = false;

			map_lookup(&op->dir->map, FORK_DATA, data_fileblk(op, first + i), &ext, &found);
			found = found && ext.off <= data_fileblk(op, first + i);
			if (found == (free_of(buf)->bests[i] == cpu_to_be16(NULLDATAOFF))) {
				da_release(NULL, buf);
				return "free block and map differ about a data block";
			}
		}
		da_release(NULL, buf);
	}
	return NULL;
}

static const char *check_form(struct dir_check *check, enum dir_form form)
{
	struct dir_op *op = &check->op;
	const char *reason;
	struct buffer *leaf;

	if (form == DIR_FORM_BLOCK)
		return check_block_form(check);
	reason = check_data(check, form);
	if (reason)
		return reason;
	if (form == DIR_FORM_NODE) {
		reason = check_free(check);
		return reason ? reason : da_verify(op->dir, FORK_DATA, &dir_leaf_ops, visit_leaf, check);
	}
	if (da_read(NULL, op->dir, FORK_DATA, op->dg->leaf_fileblk, false, &block_dir_leaf1, &leaf))
		return "unreadable leaf";
	push_all(&check->hashes, leaf_of(leaf)->__ents, leaf_count(leaf));
	da_release(NULL, leaf);
	return NULL;
}

static const char *check_short(struct inode *dir)
{
	struct short_dir sf;

	if (dir->map.data.local_bytes != dir->disk_size_bytes)
		return "size is not that of the inline bytes";
	return short_decode(dir, dir->map.data.local, dir->map.data.local_bytes, &sf) ? "bad inline form" : NULL;
}

const char *dir_verify(struct inode *dir)
{
	const struct geometry *geo = inode_geometry(dir);
	struct dir_check check = { .op = { .dir = dir, .geo = geo, .dg = &geo->dir } };
	enum dir_form form;
	const char *reason;
	bool exclusive;

	if (da_lock_map(dir, FORK_DATA, &exclusive))
		return "unreadable map";
	if (dir_form(dir, &form))
		reason = "unknown form";
	else if (form == DIR_FORM_SHORT)
		reason = check_short(dir);
	else
		reason = check_form(&check, form);
	if (!reason && form != DIR_FORM_SHORT) {
		if (!check.has_dot || !check.has_dotdot)
			reason = "no . or ..";
		else if (!are_equal(&check.names, &check.hashes))
			reason = "names and hashes differ";
	}
	if (!reason && dir->disk_size_bytes != atomic_load(&dir->size_bytes))
		reason = "two sizes";
	da_unlock_map(dir, exclusive);
	mem_free(check.names.entries);
	mem_free(check.hashes.entries);
	return reason;
}
