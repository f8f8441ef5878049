// SPDX-License-Identifier: GPL-2.0
/*
 * Finishing changes of block maps that a crash cut off (BUI): the kernel logs them when it moves extents between
 * files or replaces shared blocks.  (XFS: xfs_bmap_item.c.)
 */
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/extent/map.h>
#include <userxfs/space/intent.h>

#include "cache.h"

/* As in the log (XFS: enum xfs_bmap_intent_type). */
enum bmap_how {
	BMAP_MAP = 1,
	BMAP_UNMAP,
};

struct bmap_work {
	struct defer_item defer;	/* first */
	struct inode_cache *cache;
	enum bmap_how how;
	struct inum ino;
	enum fork_which which;
	struct extent ext;
};

static struct bmap_work *work_of(const struct defer_item *item)
{
	return (struct bmap_work *)item;
}

static struct log_item *work_create_intent(struct tx *tx, struct list *items, uint32_t count)
{
	struct log_item *intent = intent_create(tx, &intent_bui, count);
	uint32_t i = 0;

	list_for_each(node, items) {
		const struct bmap_work *work = list_entry(node, struct bmap_work, defer.node);
		struct xfs_map_extent *entry = intent_entry(intent, i++);

		entry->me_owner = work->ino.v;
		entry->me_startblock = work->ext.start.v;
		entry->me_startoff = work->ext.off;
		entry->me_len = (uint32_t)work->ext.count;
		entry->me_flags = work->how;
		if (work->ext.state == EXTENT_UNWRITTEN)
			entry->me_flags |= XFS_BMAP_EXTENT_UNWRITTEN;
		if (work->which == FORK_ATTR)
			entry->me_flags |= XFS_BMAP_EXTENT_ATTR_FORK;
	}
	return intent;
}

static struct log_item *work_create_done(struct tx *tx, struct log_item *intent, uint32_t count)
{
	(void)count;
	return intent_create_done(tx, intent);
}

/* A place that is taken already cannot be meant. */
static int check_hole(struct inode *inode, const struct bmap_work *work)
{
	struct extent found;
	unsigned n = 1;
	int err = map_load(&inode->map, work->which);

	if (err)
		return err;
	map_read(&inode->map, work->which, work->ext.off, work->ext.count, false, &found, &n);
	if (n == 1 && found.state == EXTENT_HOLE && found.count == work->ext.count)
		return 0;
	return inode_complain(inode, "has blocks already where the log promises to map others");
}

/* *work is left with what was not done. */
static int work_apply(struct tx *tx, struct inode *inode, struct bmap_work *work)
{
	uint64_t left = 0;
	int err;

	if (!map_fork(&inode->map, work->which)->is_present)
		return inode_complain(inode, "does not have the fork that the log promises to change");
	if (work->how == BMAP_MAP) {
		err = check_hole(inode, work);
		if (!err)
			err = map_insert_real(tx, &inode->map, work->which, &work->ext);
	} else {
		err = map_take_out(tx, &inode->map, work->which, work->ext.off, work->ext.count, 1, &left);
	}
	work->ext.count = left;
	if (!err)
		inode_log(tx, inode, false);
	return err;
}

static int work_finish(struct tx *tx, struct log_item *done, struct defer_item *item, void **state)
	NO_LOCK_ANALYSIS
{
	struct bmap_work *work = work_of(item);
	struct inode *inode;
	int err;

	(void)done;
	(void)state;
	err = inode_cache_get_unlinked(work->cache, tx, work->ino, &inode);
	if (!err) {
		rwlock_write_lock(&inode->map_lock);
		inode_join(tx, inode, true);
		err = work_apply(tx, inode, work);
		inode_put(inode);
	}
	if (!err && work->ext.count)
		return -EAGAIN;
	mem_free(work);
	return err;
}

static void work_cancel(struct defer_item *item)
{
	mem_free(work_of(item));
}

static const struct defer_type bmap_defer_type = {
	.name = "bmap",
	.max_items = 1,
	.create_intent = work_create_intent,
	.create_done = work_create_done,
	.finish_item = work_finish,
	.cancel_item = work_cancel,
	.abort_intent = intent_abort,
};

static bool entry_is_valid(const struct geometry *geo, const struct xfs_map_extent *entry)
{
	uint32_t how = entry->me_flags & XFS_BMAP_EXTENT_TYPE_MASK;

	if (entry->me_flags & ~XFS_BMAP_EXTENT_FLAGS || (how != BMAP_MAP && how != BMAP_UNMAP))
		return false;
	if (!geometry_is_valid_inum(geo, (struct inum){ entry->me_owner }) || !entry->me_len)
		return false;
	if (entry->me_startoff > geo->max_file_bytes >> geo->block_log)
		return false;
	return geometry_is_valid_extent(geo, (struct fsblk){ entry->me_startblock }, entry->me_len);
}

int inode_recover_bui(struct tx *tx, struct inode_cache *cache, struct log_item *bui)
{
	const struct xfs_map_extent *entry = intent_entry(bui, 0);
	struct list items = LIST_INIT(items);
	struct bmap_work *work;

	if (intent_entry_count(bui) != 1 || !entry_is_valid(cache->geo, entry)) {
		msg_error("the log promises an impossible change of a block map; run xfs_repair");
		return -EFSCORRUPTED;
	}
	work = mem_alloc_zeroed_sure(sizeof(*work));
	work->cache = cache;
	work->how = (enum bmap_how)(entry->me_flags & XFS_BMAP_EXTENT_TYPE_MASK);
	work->ino = (struct inum){ entry->me_owner };
	work->which = entry->me_flags & XFS_BMAP_EXTENT_ATTR_FORK ? FORK_ATTR : FORK_DATA;
	work->ext = (struct extent){
		.off = entry->me_startoff,
		.count = entry->me_len,
		.start = { entry->me_startblock },
		.state = entry->me_flags & XFS_BMAP_EXTENT_UNWRITTEN ? EXTENT_UNWRITTEN : EXTENT_WRITTEN,
	};
	list_push_back(&items, &work->defer.node);
	tx_defer_recovered(tx, &bmap_defer_type, &items, bui);
	return 0;
}
