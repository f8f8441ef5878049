// SPDX-License-Identifier: GPL-2.0
/* Questions about a fork's extents; nothing here changes anything. */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/extent/map.h>

#include "tree.h"

static const struct extent_tree *map_tree(const struct file_map *map, enum fork_which which)
{
	const struct fork *fork = map_fork((struct file_map *)map, which);

	ensure(map_is_loaded(map, which));
	return &fork->tree;
}

void map_lookup(const struct file_map *map, enum fork_which which, fileblk_t off, struct extent *out, bool *found)
{
	struct tree_cursor cur;
	struct irec rec;

	*found = tree_lookup(map_tree(map, which), off, &cur, &rec);
	if (*found)
		*out = rec.ext;
}

void map_lookup_before(const struct file_map *map, enum fork_which which, fileblk_t off, struct extent *out,
		       bool *found)
{
	struct tree_cursor cur;
	struct irec rec;

	*found = tree_lookup_before(map_tree(map, which), off, &cur, &rec);
	if (*found)
		*out = rec.ext;
}

/* The part of @ext inside [@off, @end); they overlap. */
static struct extent trim(const struct extent *ext, fileblk_t off, fileblk_t end)
{
	fileblk_t first = max_u64(ext->off, off), last = min_u64(extent_end(ext), end);
	struct extent part = { first, last - first, FSBLK_NONE, ext->state };

	if (!fsblk_is_none(ext->start))
		part.start = fsblk_add(ext->start, first - ext->off);
	return part;
}

void map_read(const struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count, bool entire,
	      struct extent *out, unsigned *n)
{
	fileblk_t end = off + count;
	unsigned capacity = *n, used = 0;
	struct tree_cursor cur;
	struct irec rec;
	bool more = tree_lookup(map_tree(map, which), off, &cur, &rec);

	while (off < end && used < capacity) {
		if (!more || rec.ext.off > off) {
			fileblk_t hole_end = more ? min_u64(rec.ext.off, end) : end;

			out[used++] = (struct extent){ off, hole_end - off, FSBLK_NONE, EXTENT_HOLE };
			off = hole_end;
			continue;
		}
		out[used++] = entire ? rec.ext : trim(&rec.ext, off, end);
		off = extent_end(&rec.ext);
		more = tree_next(&cur, &rec);
	}
	*n = used;
}

fileblk_t map_end(const struct file_map *map, enum fork_which which)
{
	struct tree_cursor cur;
	struct irec rec;

	return tree_last(map_tree(map, which), &cur, &rec) ? extent_end(&rec.ext) : 0;
}

fileblk_t map_first_unused(const struct file_map *map, enum fork_which which, uint64_t count, fileblk_t from)
{
	struct tree_cursor cur;
	struct irec rec;

	for (bool more = tree_lookup(map_tree(map, which), from, &cur, &rec); more; more = tree_next(&cur, &rec)) {
		if (rec.ext.off >= from + count)
			break;
		from = max_u64(from, extent_end(&rec.ext));
	}
	return from;
}

bool map_next(const struct file_map *map, enum fork_which which, fileblk_t *pos, struct extent *out)
{
	bool found;

	map_lookup(map, which, *pos, out, &found);
	if (found)
		*pos = extent_end(out);
	return found;
}

bool map_has_delayed(const struct file_map *map)
{
	return atomic_load(&map->delayed_blocks) != 0;
}
