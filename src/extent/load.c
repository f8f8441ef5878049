// SPDX-License-Identifier: GPL-2.0
/*
 * Extents from disk into memory.  Every record is checked before it is believed: inside the volume, in order, as many
 * as the inode says.  (XFS: xfs_iread_extents, xfs_iformat_extents.)
 */
#include "load.h"

#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "bmbt.h"

int load_extent(struct extent_load *load, const struct extent *ext)
{
	const char *why = extent_verify(space_geometry(load->map->space), ext);
	struct irec rec = { .ext = *ext };

	if (!why && ext->off < load->next_off)
		why = "extent out of order or overlapping";
	if (!why && load->which == FORK_ATTR && ext->state == EXTENT_UNWRITTEN)
		why = "unwritten extent of attributes";
	if (!why && load->fork->tree.count >= load->fork->extent_count)
		why = "more extents than the inode counts";
	if (why) {
		msg_error("inode %llu: %s fork: %s (extent at block %llu)", (unsigned long long)load->map->ino.v,
			  load->which == FORK_ATTR ? "attr" : "data", why, (unsigned long long)ext->off);
		return -EFSCORRUPTED;
	}
	tree_insert(&load->fork->tree, &rec);
	load->next_off = extent_end(ext);
	return 0;
}

void load_begin(struct extent_load *load, struct file_map *map, enum fork_which which)
{
	*load = (struct extent_load){ .map = map, .which = which, .fork = map_fork(map, which) };
	tree_clear(&load->fork->tree);
}

int load_end(struct extent_load *load)
{
	struct fork *fork = load->fork;

	if (fork->tree.count != fork->extent_count) {
		msg_error("inode %llu: %s fork: %llu extents found, %llu counted by the inode",
			  (unsigned long long)load->map->ino.v, load->which == FORK_ATTR ? "attr" : "data",
			  (unsigned long long)fork->tree.count, (unsigned long long)fork->extent_count);
		return -EFSCORRUPTED;
	}
	fork->is_loaded = true;
	return 0;
}

static int load_visit(const struct extent *ext, void *context)
{
	return load_extent(context, ext);
}

int map_load(struct file_map *map, enum fork_which which)
{
	struct extent_load load;
	int err;

	if (map_is_loaded(map, which))
		return 0;
	ensure(rwlock_is_write_locked(map->lock));
	load_begin(&load, map, which);
	err = bmbt_for_each(map, which, load_visit, &load);
	if (!err)
		err = load_end(&load);
	if (err)
		tree_clear(&load.fork->tree);
	return err;
}

bool map_is_loaded(const struct file_map *map, enum fork_which which)
{
	const struct fork *fork = map_fork((struct file_map *)map, which);

	return fork->is_loaded || fork->format != FORK_BTREE;
}
