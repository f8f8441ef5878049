// SPDX-License-Identifier: GPL-2.0
/* Memory against itself, and the disk against memory. */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/extent/delay.h>

#include "bmbt.h"
#include "edit.h"
#include "tree.h"

struct fork_sum {
	uint64_t real, real_blocks, delayed_blocks;
};

static const char *verify_records(const struct file_map *map, const struct fork *fork, struct fork_sum *sum)
{
	const struct geometry *geo = space_geometry(map->space);
	struct tree_cursor cur;
	struct irec rec;
	const char *why = tree_verify(&fork->tree);

	for (bool more = tree_first(&fork->tree, &cur, &rec); !why && more; more = tree_next(&cur, &rec)) {
		if (rec.ext.count > EXTENT_MAX_BLOCKS)
			why = "an extent is too long";
		else if (rec.ext.state != EXTENT_DELAYED)
			why = extent_verify(geo, &rec.ext);
		else if (rec.indirect > delay_worst_indirect(map, rec.ext.count))
			why = "a delayed extent reserves more than the worst case";
		if (rec.ext.state == EXTENT_DELAYED) {
			sum->delayed_blocks += rec.ext.count;
		} else {
			sum->real++;
			sum->real_blocks += rec.ext.count;
		}
	}
	return why;
}

static const char *verify_form(const struct file_map *map, enum fork_which which, const struct fork *fork)
{
	bool fits = fork->extent_count <= fork_inline_extents(map, which);

	switch (fork->format) {
	case FORK_DEVICE:
	case FORK_LOCAL:
		return fork->tree.count ? "extents in a fork that has none" : NULL;
	case FORK_EXTENTS:
		return which != FORK_COW && !fits ? "more extents than fit the inode" : NULL;
	case FORK_BTREE:
		if (!fork->root || which == FORK_COW)
			return "a tree without a root";
		return fits ? "a tree for extents that fit the inode" : NULL;
	}
	return "an impossible form";
}

static const char *verify_fork(const struct file_map *map, enum fork_which which, uint64_t *real_blocks,
			       uint64_t *delayed_blocks)
{
	const struct fork *fork = map_fork((struct file_map *)map, which);
	struct fork_sum sum = { 0 };
	const char *why;

	if (!fork->is_present)
		return fork->tree.count || fork->extent_count ? "extents in an absent fork" : NULL;
	if (!map_is_loaded(map, which))
		return NULL;
	why = verify_records(map, fork, &sum);
	if (!why && sum.real != fork->extent_count)
		why = "the number of real extents is wrong";
	if (!why)
		why = verify_form(map, which, fork);
	if (!why && which == FORK_ATTR && sum.delayed_blocks)
		why = "delayed blocks in the attr fork";
	*delayed_blocks += sum.delayed_blocks;
	*real_blocks += sum.real_blocks;
	return why;
}

const char *map_verify(const struct file_map *map)
{
	uint64_t real = 0, delayed = 0, cow = 0;
	bool all_loaded = map_is_loaded(map, FORK_DATA) && map_is_loaded(map, FORK_ATTR);
	const char *why;

	why = verify_fork(map, FORK_DATA, &real, &delayed);
	if (!why)
		why = verify_fork(map, FORK_ATTR, &real, &delayed);
	if (!why)
		why = verify_fork(map, FORK_COW, &cow, &delayed);
	if (!why && delayed + cow != atomic_load(&map->delayed_blocks))
		why = "the count of delayed blocks is wrong";
	/* The rest are blocks of the forks' trees. */
	if (!why && all_loaded && real > map->block_count)
		why = "the inode counts fewer blocks than its extents have";
	if (!why && all_loaded && map->data.format != FORK_BTREE && map->attr.format != FORK_BTREE &&
	    real != map->block_count)
		why = "the inode's count of blocks is wrong";
	return why;
}

struct comparison {
	struct tree_cursor cur;
	struct irec rec;
	bool more;
};

static void skip_delayed(struct comparison *c)
{
	while (c->more && c->rec.ext.state == EXTENT_DELAYED)
		c->more = tree_next(&c->cur, &c->rec);
}

static int compare_record(const struct extent *ext, void *context)
{
	struct comparison *c = context;

	skip_delayed(c);
	if (!c->more || c->rec.ext.off != ext->off || c->rec.ext.count != ext->count ||
	    c->rec.ext.state != ext->state || !fsblk_equal(c->rec.ext.start, ext->start)) {
		msg_error("the extent at block %llu on disk is not the one in memory", (unsigned long long)ext->off);
		return -EFSCORRUPTED;
	}
	c->more = tree_next(&c->cur, &c->rec);
	return 0;
}

int map_verify_disk(const struct file_map *map, enum fork_which which)
{
	const struct fork *fork = map_fork((struct file_map *)map, which);
	struct comparison c;
	int err;

	if (fork->format != FORK_BTREE || !fork->is_loaded)
		return 0;
	c.more = tree_first(&fork->tree, &c.cur, &c.rec);
	err = bmbt_verify(map, which);
	if (!err)
		err = bmbt_for_each(map, which, compare_record, &c);
	if (err)
		return err;
	skip_delayed(&c);
	if (c.more) {
		msg_error("the extent at block %llu is missing on disk", (unsigned long long)c.rec.ext.off);
		return -EFSCORRUPTED;
	}
	return 0;
}
