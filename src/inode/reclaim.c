// SPDX-License-Identifier: GPL-2.0
/*
 * Inodes leave memory.  (XFS: xfs_reclaim_inodes.)
 *
 * One that nobody references can go once the log and its cluster buffer have let go of it and it promises no blocks.
 * A dirty one keeps its place until it has been written home; a stale one, whose chunk is gone, only waits for the
 * log.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "cache.h"

#define SCAN_PER_FREE 4		/* inodes looked at for each one wanted, so that a pass over dirty ones ends */

void inode_cache_free(struct inode *inode)
{
	struct inode_cache *cache = inode->cache;

	inode_clear_tag(inode, INODE_EOFBLOCKS | INODE_COWBLOCKS);
	if (cache->evict)
		cache->evict(inode);
	inode_item_deinit(inode_item(inode));
	map_deinit(&inode->map, log_is_shutdown(cache->log));
	mutex_deinit(&inode->state_lock);
	rwlock_deinit(&inode->map_lock);
	rwlock_deinit(&inode->invalidate_lock);
	rwlock_deinit(&inode->io_lock);
	mem_free(inode);
}

static bool can_go(struct inode *inode)
{
	if (atomic_load_explicit(&inode->refs, memory_order_acquire) != 0 || !inode_item_is_idle(inode_item(inode)))
		return false;
	if (atomic_load_explicit(&inode->data_pins, memory_order_acquire) != 0)
		return false;
	return atomic_load(&inode->map.delayed_blocks) == 0 || log_is_shutdown(inode->cache->log);
}

bool inode_shard_retire(struct inode_cache *cache, struct inode_shard *shard, struct inode *inode)
{
	if (inode_has_flag(inode, INODE_STALE) && can_go(inode))
		return true;
	list_push_back(&shard->unused, &inode->lru_node);
	atomic_fetch_add_explicit(&cache->unused_count, 1, memory_order_relaxed);
	return false;
}

void inode_shard_unretire(struct inode_cache *cache, struct inode *inode)
{
	if (list_is_empty(&inode->lru_node))
		return;
	list_remove(&inode->lru_node);
	atomic_fetch_sub_explicit(&cache->unused_count, 1, memory_order_relaxed);
}

/* Moves up to @wanted inodes that can go to @out. */
static unsigned pick(struct inode_cache *cache, struct inode_shard *shard, unsigned wanted, struct list *out)
{
	uint64_t budget = (uint64_t)wanted * SCAN_PER_FREE;
	unsigned picked = 0;

	mutex_lock(&shard->lock);
	list_for_each_safe(node, &shard->unused) {
		struct inode *inode = list_entry(node, struct inode, lru_node);

		if (picked == wanted || !budget--)
			break;
		if (!can_go(inode))
			continue;
		inode_shard_unretire(cache, inode);
		list_remove(&inode->hash_node);
		inode_set_flag(inode, INODE_RECLAIMING);
		list_push_back(out, &inode->lru_node);
		picked++;
	}
	mutex_unlock(&shard->lock);
	return picked;
}

static unsigned reclaim_shard(struct inode_cache *cache, struct inode_shard *shard, unsigned wanted)
{
	struct list gone = LIST_INIT(gone);
	unsigned picked = pick(cache, shard, wanted, &gone);

	while (!list_is_empty(&gone)) {
		struct inode *inode = list_first(&gone, struct inode, lru_node);

		list_remove(&inode->lru_node);
		inode_cache_free(inode);
	}
	return picked;
}

unsigned inode_reclaim_pass(struct inode_cache *cache)
{
	uint32_t unused = atomic_load_explicit(&cache->unused_count, memory_order_relaxed);
	unsigned wanted, freed = 0;

	if (unused <= cache->max_unused)
		return 0;
	wanted = unused - cache->max_unused;
	for (unsigned i = 0; i < INODE_SHARDS && freed < wanted; i++) {
		uint32_t shard = atomic_fetch_add(&cache->next_reclaim_shard, 1) % INODE_SHARDS;

		freed += reclaim_shard(cache, &cache->shards[shard], wanted / INODE_SHARDS + 1);
	}
	return freed;
}

void inode_cache_drop(struct inode_cache *cache)
{
	for (unsigned i = 0; i < INODE_SHARDS; i++)
		reclaim_shard(cache, &cache->shards[i], UINT32_MAX);
}
