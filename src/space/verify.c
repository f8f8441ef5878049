// SPDX-License-Identifier: GPL-2.0
/* One AG's free space against itself, for tests. */
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "alloc_private.h"

/* One byte for each block of the AG: how often it was seen free. */
struct free_map {
	struct ag *ag;
	uint8_t *seen;
	struct btree_cursor *other;	/* the bnobt, while the cntbt is walked */
	uint64_t blocks, extents;
	uint32_t longest;
	agblk_t end;			/* of the last free extent by block */
};

static int mark(struct free_map *map, struct free_extent e)
{
	for (uint32_t i = 0; i < e.count; i++)
		if (map->seen[e.start + i]++)
			return freespace_complain(map->ag, e, "a block is free twice");
	return 0;
}

static int see_by_block(struct btree_cursor *cur, const union btree_rec *rec, void *context)
{
	struct free_map *map = context;
	struct free_extent e;
	int err;

	err = freespace_get(cur, &e);
	if (err)
		return err;
	if (map->extents && e.start == map->end)
		return freespace_complain(map->ag, e, "two free extents should be one");
	map->end = e.start + e.count;
	map->extents++;
	map->blocks += e.count;
	return mark(map, e);
}

static int see_by_size(struct btree_cursor *cur, const union btree_rec *rec, void *context)
{
	struct free_map *map = context;
	struct free_extent e, same;
	bool found;
	int err;

	err = freespace_get(cur, &e);
	if (!err)
		err = freespace_lookup(map->other, BTREE_EQ, e, &found);
	if (!err && !found)
		return freespace_complain(map->ag, e, "only the cntbt has it");
	if (!err)
		err = freespace_get(map->other, &same);
	if (err)
		return err;
	if (same.count != e.count)
		return freespace_complain(map->ag, e, "the two free-space trees disagree");
	map->extents--;
	map->blocks -= e.count;
	map->longest = e.count;
	return 0;
}

static int verify_tree(struct btree_cursor *cur, uint64_t *blocks)
{
	uint64_t count;
	int err;

	err = btree_verify(cur);
	if (!err)
		err = btree_count_blocks(cur, &count);
	if (!err)
		*blocks += count - 1;
	return err;
}

static int verify_trees(struct ag *ag, struct buffer *buf, struct free_map *map)
{
	const struct xfs_agf *agf = buf->data;
	struct btree_cursor bno, cnt;
	uint64_t tree_blocks = 0, free_blocks = 0;
	int err;

	bnobt_cursor_init(&bno, NULL, ag, buf);
	cntbt_cursor_init(&cnt, NULL, ag, buf);
	map->other = &bno;
	err = verify_tree(&bno, &tree_blocks);
	if (!err)
		err = verify_tree(&cnt, &tree_blocks);
	if (!err)
		err = btree_query_all(&bno, see_by_block, map);
	free_blocks = map->blocks;
	if (!err)
		err = btree_query_all(&cnt, see_by_size, map);
	btree_cursor_deinit(&cnt);
	btree_cursor_deinit(&bno);
	if (err)
		return err;
	if (ag->space->geo->has_rmapbt)
		tree_blocks += be32_to_cpu(agf->agf_rmap_blocks) - 1;
	if (map->extents || map->blocks || map->longest != be32_to_cpu(agf->agf_longest) ||
	    free_blocks != be32_to_cpu(agf->agf_freeblks) || tree_blocks != be32_to_cpu(agf->agf_btreeblks)) {
		msg_error("AG %u: its free-space trees and its AGF disagree", ag->agno);
		return -EFSCORRUPTED;
	}
	return 0;
}

static int verify_summaries(const struct ag *ag, const struct xfs_agf *agf)
{
	if (ag->free_blocks == be32_to_cpu(agf->agf_freeblks) && ag->longest == be32_to_cpu(agf->agf_longest) &&
	    ag->agfl_count == be32_to_cpu(agf->agf_flcount) && ag->btree_blocks == be32_to_cpu(agf->agf_btreeblks) &&
	    ag->bno_level == be32_to_cpu(agf->agf_levels[XFS_BTNUM_BNOi]) &&
	    ag->cnt_level == be32_to_cpu(agf->agf_levels[XFS_BTNUM_CNTi]))
		return 0;
	msg_error("AG %u: its summaries and its AGF disagree", ag->agno);
	return -EFSCORRUPTED;
}

int ag_verify(struct ag *ag)
{
	struct free_map map = { .ag = ag };
	struct buffer *agf;
	int err;

	map.seen = mem_alloc_zeroed(ag->blocks);
	if (!map.seen)
		return -ENOMEM;
	err = ag_read_agf(NULL, ag, false, &agf);
	if (!err) {
		err = verify_summaries(ag, agf->data);
		if (!err)
			err = verify_trees(ag, agf, &map);
		if (!err)
			err = agfl_verify(ag, agf, map.seen);
		buffer_release(agf);
	}
	mem_free(map.seen);
	return err;
}
