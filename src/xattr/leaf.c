// SPDX-License-Identifier: GPL-2.0
/*
 * One leaf of attributes.  (XFS: xfs_attr_leaf.c.)
 *
 *	| header, 3 free runs | (hash, place, flags) ... |    free    | name value | free | name value | ... |
 *	                                                              ^ firstused
 *
 * Entries grow upwards in hash order, names and values are put at the end of a free run.  The header remembers three
 * free runs, not all; a removal may leave one that is forgotten, and then "holes" says that packing the block would
 * gain something.  Bytes between the entries and firstused are always free, remembered or not.
 *
 * These functions work on plain bytes; logging is the caller's.
 */
#include "internal.h"

#include <userxfs/base/bits.h>

#define LOCAL_FIXED_BYTES offsetof(struct xfs_attr_leaf_name_local, nameval)
/* XFS has always counted two bytes of padding behind the first byte of the name. */
#define REMOTE_FIXED_BYTES (offsetof(struct xfs_attr_leaf_name_remote, name) + 2)
#define RUNS XFS_ATTR_LEAF_MAPSIZE

static struct xfs_attr3_leaf_hdr *header(const void *data)
{
	return (struct xfs_attr3_leaf_hdr *)data;
}

struct xfs_attr_leaf_entry *attr_entry(const void *data, unsigned index)
{
	struct xfs_attr_leaf_entry *entries = (void *)((char *)data + ATTR_LEAF_HEADER_BYTES);

	return &entries[index];
}

static unsigned count_of(const void *data)
{
	return be16_to_cpu(header(data)->count);
}

static uint32_t table_end(const void *data)
{
	return ATTR_LEAF_HEADER_BYTES + count_of(data) * ATTR_ENTRY_BYTES;
}

/* In a 64 KiB block without names firstused does not fit its field and says 0. */
static uint32_t first_used(const struct geometry *geo, const void *data)
{
	uint32_t first = be16_to_cpu(header(data)->firstused);

	return first == XFS_ATTR3_LEAF_NULLOFF ? geo->attr.block_bytes : first;
}

static void set_first_used(void *data, uint32_t first)
{
	header(data)->firstused = cpu_to_be16((uint16_t)first);
}

static uint32_t run_base(const void *data, unsigned i)
{
	return be16_to_cpu(header(data)->freemap[i].base);
}

static uint32_t run_bytes(const void *data, unsigned i)
{
	return be16_to_cpu(header(data)->freemap[i].size);
}

static void set_run(void *data, unsigned i, uint32_t base, uint32_t bytes)
{
	header(data)->freemap[i].base = cpu_to_be16(bytes ? base : 0);
	header(data)->freemap[i].size = cpu_to_be16(bytes);
}

static uint32_t local_bytes(unsigned name_length, uint32_t value_length)
{
	return (uint32_t)round_up_u64(LOCAL_FIXED_BYTES + name_length + value_length, XFS_ATTR_LEAF_NAME_ALIGN);
}

static uint32_t remote_bytes(unsigned name_length)
{
	return (uint32_t)round_up_u64(REMOTE_FIXED_BYTES + name_length, XFS_ATTR_LEAF_NAME_ALIGN);
}

bool attr_is_local(const struct geometry *geo, unsigned name_length, uint32_t value_length)
{
	uint32_t limit = geo->attr.block_bytes / 2 + geo->attr.block_bytes / 4;

	return LOCAL_FIXED_BYTES + name_length + (uint64_t)value_length < limit &&
	       local_bytes(name_length, value_length) < limit;
}

void attr_leaf_get(const void *data, unsigned index, struct leaf_key *out)
{
	const struct xfs_attr_leaf_entry *entry = attr_entry(data, index);
	const void *place = (const char *)data + be16_to_cpu(entry->nameidx);

	out->hash = be32_to_cpu(entry->hashval);
	out->flags = entry->flags;
	if (entry->flags & XFS_ATTR_LOCAL) {
		const struct xfs_attr_leaf_name_local *local = place;

		out->name = local->nameval;
		out->name_length = local->namelen;
		out->value = local->nameval + local->namelen;
		out->value_length = be16_to_cpu(local->valuelen);
		out->value_blk = 0;
	} else {
		const struct xfs_attr_leaf_name_remote *remote = place;

		out->name = remote->name;
		out->name_length = remote->namelen;
		out->value = NULL;
		out->value_length = be32_to_cpu(remote->valuelen);
		out->value_blk = be32_to_cpu(remote->valueblk);
	}
}

uint32_t attr_key_name_bytes(const struct leaf_key *key)
{
	return key->flags & XFS_ATTR_LOCAL ? local_bytes(key->name_length, key->value_length) :
					     remote_bytes(key->name_length);
}

uint32_t attr_entry_name_bytes(const void *data, unsigned index)
{
	struct leaf_key key;

	attr_leaf_get(data, index, &key);
	return attr_key_name_bytes(&key);
}

/* Counted, not taken from the header: what is on disk may say anything there, and packing relies on this sum. */
uint32_t attr_leaf_used(const void *data)
{
	uint32_t bytes = count_of(data) * ATTR_ENTRY_BYTES;

	for (unsigned i = 0; i < count_of(data); i++)
		bytes += attr_entry_name_bytes(data, i);
	return bytes;
}

unsigned attr_leaf_search(const void *data, uint32_t hash)
{
	unsigned low = 0, high = count_of(data);

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (be32_to_cpu(attr_entry(data, mid)->hashval) < hash)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool attr_leaf_find(const struct attr_op *op, const void *data, unsigned *index)
{
	unsigned i = attr_leaf_search(data, op->hash);

	*index = i;
	for (; i < count_of(data) && be32_to_cpu(attr_entry(data, i)->hashval) == op->hash; i++) {
		struct leaf_key key;

		attr_leaf_get(data, i, &key);
		if (!attr_matches(op, key.name, key.name_length, key.flags))
			continue;
		*index = i;
		return true;
	}
	return false;
}

void attr_leaf_clear(const struct geometry *geo, void *data)
{
	struct xfs_attr3_leaf_hdr *hdr = data;
	size_t identity = sizeof(hdr->info);

	memset((char *)data + identity, 0, geo->attr.block_bytes - identity);
	set_first_used(data, geo->attr.block_bytes);
	set_run(data, 0, ATTR_LEAF_HEADER_BYTES, geo->attr.block_bytes - ATTR_LEAF_HEADER_BYTES);
}

static void put_name(void *place, const struct leaf_key *key)
{
	if (key->flags & XFS_ATTR_LOCAL) {
		struct xfs_attr_leaf_name_local *local = place;

		local->valuelen = cpu_to_be16((uint16_t)key->value_length);
		local->namelen = (uint8_t)key->name_length;
		memcpy(local->nameval, key->name, key->name_length);
		memcpy(local->nameval + key->name_length, key->value, key->value_length);
	} else {
		struct xfs_attr_leaf_name_remote *remote = place;

		remote->valueblk = cpu_to_be32(key->value_blk);
		remote->valuelen = cpu_to_be32(key->value_length);
		remote->namelen = (uint8_t)key->name_length;
		memcpy(remote->name, key->name, key->name_length);
	}
}

/* The free run for a name of @bytes; RUNS: none.  The entry table grows first. */
static unsigned choose_run(const struct geometry *geo, const void *data, uint32_t bytes)
{
	uint32_t new_end = table_end(data) + ATTR_ENTRY_BYTES, chosen = RUNS;
	bool table_fits = new_end <= first_used(geo, data);

	for (unsigned i = 0; i < RUNS; i++) {
		uint32_t base = run_base(data, i), size = run_bytes(data, i), taken = 0;

		if (!size)
			continue;
		if (base < new_end)
			taken = new_end - base;
		if (table_fits && size >= bytes + taken)
			chosen = i;
	}
	return chosen;
}

/* The table has grown: free runs do not overlap it. */
static void trim_runs(void *data)
{
	uint32_t end = table_end(data);

	for (unsigned i = 0; i < RUNS; i++) {
		uint32_t base = run_base(data, i), size = run_bytes(data, i), over;

		if (!size || base >= end)
			continue;
		over = end - base;
		set_run(data, i, end, size > over ? size - over : 0);
	}
}

bool attr_leaf_insert(const struct geometry *geo, void *data, unsigned index, const struct leaf_key *key,
		      bool *compact)
{
	uint32_t bytes = attr_key_name_bytes(key), place;
	unsigned run = choose_run(geo, data, bytes), count = count_of(data);
	struct xfs_attr_leaf_entry *entry = attr_entry(data, index);

	*compact = false;
	if (run == RUNS) {
		uint32_t used = attr_leaf_used(data) + bytes + ATTR_ENTRY_BYTES;

		*compact = used <= geo->attr.block_bytes - ATTR_LEAF_HEADER_BYTES;
		return false;
	}
	memmove(entry + 1, entry, (count - index) * sizeof(*entry));
	header(data)->count = cpu_to_be16(count + 1);
	place = run_base(data, run) + run_bytes(data, run) - bytes;
	set_run(data, run, run_base(data, run), run_bytes(data, run) - bytes);
	*entry = (struct xfs_attr_leaf_entry){
		.hashval = cpu_to_be32(key->hash),
		.nameidx = cpu_to_be16(place),
		.flags = key->flags,
	};
	put_name((char *)data + place, key);
	if (place < first_used(geo, data))
		set_first_used(data, place);
	header(data)->usedbytes = cpu_to_be16(be16_to_cpu(header(data)->usedbytes) + bytes);
	trim_runs(data);
	return true;
}

/* Remembers [@base, @base + @bytes) as free: merged with runs it touches, else in place of the smallest. */
static void add_run(void *data, uint32_t base, uint32_t bytes)
{
	unsigned before = RUNS, after = RUNS, smallest = 0;

	for (unsigned i = 0; i < RUNS; i++) {
		uint32_t size = run_bytes(data, i);

		if (size && run_base(data, i) + size == base)
			before = i;
		else if (size && run_base(data, i) == base + bytes)
			after = i;
		if (size < run_bytes(data, smallest))
			smallest = i;
	}
	if (before < RUNS) {
		uint32_t more = after < RUNS ? run_bytes(data, after) : 0;

		set_run(data, before, run_base(data, before), run_bytes(data, before) + bytes + more);
		if (after < RUNS)
			set_run(data, after, 0, 0);
	} else if (after < RUNS) {
		set_run(data, after, base, run_bytes(data, after) + bytes);
	} else if (run_bytes(data, smallest) < bytes) {
		set_run(data, smallest, base, bytes);
	}
}

static void find_first_used(const struct geometry *geo, void *data)
{
	uint32_t first = geo->attr.block_bytes;

	for (unsigned i = 0; i < count_of(data); i++) {
		uint32_t place = be16_to_cpu(attr_entry(data, i)->nameidx);

		if (place < first)
			first = place;
	}
	set_first_used(data, first);
}

void attr_leaf_delete(const struct geometry *geo, void *data, unsigned index)
{
	struct xfs_attr_leaf_entry *entry = attr_entry(data, index);
	uint32_t place = be16_to_cpu(entry->nameidx), bytes = attr_entry_name_bytes(data, index);
	unsigned count = count_of(data);
	bool was_first = place == first_used(geo, data);

	memset((char *)data + place, 0, bytes);
	memmove(entry, entry + 1, (count - index - 1) * sizeof(*entry));
	memset(attr_entry(data, count - 1), 0, sizeof(*entry));
	header(data)->count = cpu_to_be16(count - 1);
	header(data)->usedbytes = cpu_to_be16(be16_to_cpu(header(data)->usedbytes) - bytes);
	add_run(data, place, bytes);
	/* The entry's own bytes, only when a run that is remembered begins there: a new run of 8 bytes is useless. */
	for (unsigned i = 0; i < RUNS; i++)
		if (run_bytes(data, i) && run_base(data, i) == table_end(data) + ATTR_ENTRY_BYTES)
			set_run(data, i, table_end(data), run_bytes(data, i) + ATTR_ENTRY_BYTES);
	if (was_first)
		find_first_used(geo, data);
	else
		header(data)->holes = 1;
}

void attr_leaf_compact(const struct geometry *geo, void *data, void *scratch)
{
	unsigned count = count_of(data);

	memcpy(scratch, data, geo->attr.block_bytes);
	attr_leaf_clear(geo, data);
	for (unsigned i = 0; i < count; i++) {
		struct leaf_key key;
		bool compact;

		attr_leaf_get(scratch, i, &key);
		ensure(attr_leaf_insert(geo, data, i, &key, &compact));
	}
}
