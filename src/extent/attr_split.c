// SPDX-License-Identifier: GPL-2.0
/*
 * Where the attr fork starts.  (XFS: xfs_attr_shortform_bytesfit, xfs_default_attroffset, xfs_bmap_add_attrfork.)
 *
 * Splits are multiples of 8 bytes.  Both sides keep room for the smallest B+tree root they may ever need.
 */
#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/extent/map.h>

#include "bmbt.h"
#include "edit.h"
#include "fork.h"

#define MIN_DATA_ROOT_KEYS 3
#define MIN_ATTR_ROOT_KEYS 2

/* Bytes of a root on disk with @keys keys. */
static uint32_t root_disk_bytes(uint32_t keys)
{
	return (uint32_t)(sizeof(struct xfs_bmdr_block) +
			  keys * (sizeof(struct xfs_bmbt_key) + sizeof(xfs_bmbt_ptr_t)));
}

static uint32_t device_split(void)
{
	return (uint32_t)round_up_u64(sizeof(xfs_dev_t), 8);
}

uint32_t map_default_split(const struct file_map *map)
{
	uint32_t bytes;

	if (map->data.format == FORK_DEVICE)
		return device_split();
	if (space_geometry(map->space)->inode_bytes == 256)
		bytes = fork_area_bytes(map) - root_disk_bytes(MIN_ATTR_ROOT_KEYS);
	else
		bytes = root_disk_bytes(6 * MIN_ATTR_ROOT_KEYS);
	return (uint32_t)round_down_u64(bytes, 8);
}

/* What the data fork holds now, in bytes on disk; delayed extents count as if they were real. */
static uint32_t data_bytes(const struct file_map *map)
{
	const struct fork *data = &map->data;
	uint64_t bytes;

	switch (data->format) {
	case FORK_LOCAL:
		return data->local_bytes;
	case FORK_EXTENTS:
		bytes = data->tree.count * sizeof(struct xfs_bmbt_rec);
		/* It would become a tree even with the default split; then it only needs room for the root. */
		if (!map->attr_space && bytes > map_default_split(map))
			return root_disk_bytes(MIN_DATA_ROOT_KEYS);
		return (uint32_t)min_u64(bytes, UINT32_MAX);
	case FORK_BTREE:
		return root_disk_bytes(be16_to_cpu(data->root->block.bb_numrecs));
	case FORK_DEVICE:
		break;
	}
	return device_split();
}

bool map_can_split(const struct file_map *map, uint32_t attr_bytes, uint32_t *new_fork_space)
{
	uint32_t area = fork_area_bytes(map), split, min, max;

	if (attr_bytes > area)
		return false;
	split = (uint32_t)round_down_u64(area - attr_bytes, 8);

	if (map->data.format == FORK_DEVICE) {
		if (split < device_split())
			return false;
		*new_fork_space = device_split();
		return true;
	}
	if (map->attr_space && attr_bytes <= map->attr_space) {
		*new_fork_space = map->fork_space;
		return true;
	}
	if (map->data.format == FORK_BTREE && map->attr_space) {
		/* A tree's root keeps the room it has. */
		if (split < map->fork_space)
			return false;
		*new_fork_space = map->fork_space;
		return true;
	}
	min = (uint32_t)round_up_u64(max_u64(data_bytes(map), root_disk_bytes(MIN_DATA_ROOT_KEYS)), 8);
	max = (uint32_t)round_down_u64(area - root_disk_bytes(MIN_ATTR_ROOT_KEYS), 8);
	if (split >= max)
		*new_fork_space = max;
	else if (split >= min)
		*new_fork_space = split;
	else
		return false;
	return true;
}

/* The data fork fits its new area, or becomes a tree that does. */
static int fit_data(struct tx *tx, struct file_map *map)
{
	struct bmbt_change change = { .map = map, .which = FORK_DATA };
	int err;

	switch (map->data.format) {
	case FORK_EXTENTS:
		if (map->data.extent_count > fork_inline_extents(map, FORK_DATA))
			return bmbt_from_extents(tx, &change);
		break;
	case FORK_BTREE:
		if (be16_to_cpu(map->data.root->block.bb_numrecs) > bmbt_root_max_keys(map, FORK_DATA)) {
			err = bmbt_push_root_down(tx, map);
			if (err)
				return err;
		}
		map->data.root->max_keys = (uint16_t)bmbt_root_max_keys(map, FORK_DATA);
		map_mark_dirty(tx, map, XFS_ILOG_DBROOT);
		break;
	case FORK_LOCAL:
		ensure(map->data.local_bytes <= map->fork_space);
		break;
	case FORK_DEVICE:
		break;
	}
	return 0;
}

int map_set_split(struct tx *tx, struct file_map *map, uint32_t fork_space)
{
	uint32_t area = fork_area_bytes(map);

	ensure(fork_space && fork_space % 8 == 0 && fork_space < area);
	map_mark_dirty(tx, map, XFS_ILOG_CORE);
	map->fork_space = fork_space;
	map->attr_space = area - fork_space;
	if (!map->attr.is_present) {
		fork_make_empty(&map->attr, FORK_EXTENTS);
	} else {
		ensure(map->attr.format == FORK_LOCAL ? map->attr.local_bytes <= map->attr_space :
							!map->attr.extent_count);
		/* Its bytes are somewhere else now. */
		map_mark_dirty(tx, map, fork_ilog_flag(&map->attr, FORK_ATTR));
	}
	return fit_data(tx, map);
}

void map_remove_attr_fork(struct tx *tx, struct file_map *map)
{
	ensure(!map->attr.extent_count && !map->attr.tree.count);
	fork_make_empty(&map->attr, FORK_EXTENTS);
	map->log_fields &= ~(uint32_t)XFS_ILOG_AFORK;
	map_mark_dirty(tx, map, XFS_ILOG_CORE);
	/* With the larger area a tree's extents might fit the inode, and then the disk may not hold a tree. */
	if (map->data.format == FORK_BTREE)
		return;
	map->attr.is_present = false;
	map->attr_space = 0;
	map->fork_space = fork_area_bytes(map);
}
