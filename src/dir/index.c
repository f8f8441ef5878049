// SPDX-License-Identifier: GPL-2.0
/*
 * Arrays of (hash, address) in hash order: in leaf blocks, and behind the names of the single-block form.
 *
 * A removed name leaves a stale entry: its hash stays, its address is 0.  Insertion fills the nearest stale entry, so
 * that few entries move and little is logged.
 */
#include "internal.h"

#include <stdlib.h>

uint32_t index_search(const leaf_entry *entries, uint32_t count, uint32_t hash)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (be32_to_cpu(entries[mid].hashval) < hash)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void index_set(leaf_entry *entry, uint32_t hash, uint32_t addr)
{
	entry->hashval = cpu_to_be32(hash);
	entry->address = cpu_to_be32(addr);
}

uint32_t index_reuse_stale(leaf_entry *entries, uint32_t count, uint32_t index, uint32_t *first, uint32_t *end)
{
	uint32_t below, above;

	/* Distance 1 is the entry just before the place, or just at it. */
	for (below = 1; below <= index && !index_is_stale(&entries[index - below]); below++)
		;
	for (above = 1; above <= count - index && !index_is_stale(&entries[index + above - 1]); above++)
		if (above > below && below <= index)
			break;
	if (below <= index && (above > count - index || below <= above)) {
		memmove(&entries[index - below], &entries[index - below + 1], (below - 1) * sizeof(*entries));
		*first = index - below;
		*end = index;
		return index - 1;
	}
	ensure(above <= count - index);
	memmove(&entries[index + 1], &entries[index], (above - 1) * sizeof(*entries));
	*first = index;
	*end = index + above;
	return index;
}

uint32_t index_compact(leaf_entry *entries, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
		if (!index_is_stale(&entries[i]))
			entries[kept++] = entries[i];
	return kept;
}

static int compare_hashes(const void *a, const void *b)
{
	const leaf_entry *x = a, *y = b;
	uint32_t hash_x = be32_to_cpu(x->hashval), hash_y = be32_to_cpu(y->hashval);
	uint32_t addr_x = be32_to_cpu(x->address), addr_y = be32_to_cpu(y->address);

	if (hash_x != hash_y)
		return hash_x < hash_y ? -1 : 1;
	return addr_x < addr_y ? -1 : addr_x > addr_y;
}

void index_sort(leaf_entry *entries, uint32_t count)
{
	qsort(entries, count, sizeof(*entries), compare_hashes);
}

/* Reads data block @db into *place unless it is there already. */
static int turn_to_block(struct dir_op *op, uint32_t db, struct dir_place *place)
{
	struct buffer *buf;
	int err;

	if (place->data && place->db == db)
		return 0;
	da_release(op->tx, place->data);
	place->data = NULL;
	if (data_fileblk(op, db) >= op->dg->leaf_fileblk)
		return dir_corrupt(op->dir, "a hash entry leads outside the data section");
	err = data_read(op, db, &buf);
	if (err)
		return err;
	place->data = buf;
	place->db = db;
	return 0;
}

int index_find(struct dir_op *op, const leaf_entry *entries, uint32_t count, uint32_t *index, struct dir_place *place,
	       bool *found)
{
	uint32_t i = index_search(entries, count, op->hash);
	int err = 0;

	*index = i;
	*found = false;
	for (; i < count && be32_to_cpu(entries[i].hashval) == op->hash; i++) {
		uint32_t addr = be32_to_cpu(entries[i].address);
		struct data_entry entry;

		if (index_is_stale(&entries[i]))
			continue;
		err = turn_to_block(op, addr_db(op, addr), place);
		if (err)
			break;
		if (!data_entry_at(op, place->data, addr_off(op, addr), &entry)) {
			err = dir_corrupt(op->dir, "a hash entry leads to no name");
			break;
		}
		if (!dir_name_matches(op->geo, entry.name, op->name))
			continue;
		place->off = addr_off(op, addr);
		*index = i;
		*found = true;
		return 0;
	}
	da_release(op->tx, place->data);
	place->data = NULL;
	return err;
}
