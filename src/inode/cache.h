/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The inode cache's insides.
 *
 * Inodes hang in buckets by number; every bucket belongs to one of INODE_SHARDS shards, whose lock guards the
 * buckets' lists, the shard's list of unused inodes, and every change of an inode's reference count from or to 0.  A
 * count that stays above 0 on both sides is changed without a lock.
 *
 * States of an inode in memory, and what makes each transition:
 *
 *	NEW		in its bucket, being read or created; others wait       inode_cache_publish()
 *	referenced	.refs > 0                                               inode_get(), inode_put()
 *	unused		.refs == 0, on the shard's list, oldest first           inode_put(), inode_get()
 *	queued		.refs == 0, on the inactivation queue                   inode_put(), inode_take_inactive()
 *	stale		in no bucket: its chunk was freed or reading it failed; freed once the log has let go of it
 *
 * Lock order: shard, then .inactive_lock or a tag set's lock.
 */
#include "item.h"

#define INODE_SHARDS 64

struct inode_shard {
	struct mutex lock;		/* RANK_INODE_CACHE */
	struct cond ready;		/* an inode of this shard is no longer NEW */
	struct list unused;		/* oldest first [lock] */
};

struct inode_tag_set {
	struct mutex lock;		/* RANK_INODE_STATE */
	struct list inodes;
	uint32_t count;
};

struct inode_cache {
	struct space *space;		/* [I] */
	struct log *log;		/* [I] */
	struct buffer_cache *buffers;	/* [I] */
	const struct geometry *geo;	/* [I] */
	uint32_t max_unused;		/* [I] */
	uint64_t bucket_mask;		/* [I] buckets - 1; buckets are a multiple of INODE_SHARDS */
	struct list *buckets;		/* [I]; each list: its shard's lock */
	struct inode_shard shards[INODE_SHARDS];
	_Atomic uint32_t unused_count;
	_Atomic uint32_t next_reclaim_shard;
	_Atomic uint64_t next_generation; /* new inodes' random generation numbers */

	struct mutex inactive_lock;	/* RANK_INODE_STATE */
	struct list inactive;		/* [inactive_lock] */
	_Atomic uint64_t inactive_count; /* its length */

	struct inode_tag_set *tags;	/* [I] one per AG */

	/* Set at mount, before the first inode. */
	bool (*needs)(struct inode *inode);
	void (*evict)(struct inode *inode);
	void (*wake)(void *context);
	void *wake_context;
	void *private[INODE_PRIVATE_COUNT];
};

/* What is allocated for an inode. */
struct cached_inode {
	struct inode inode;
	struct inode_item item;
};

static inline struct inode_item *inode_item(struct inode *inode)
{
	return &((struct cached_inode *)(void *)inode)->item;
}

static inline bool inode_has_flag(const struct inode *inode, uint32_t flag)
{
	return atomic_load_explicit(&inode->flags, memory_order_acquire) & flag;
}

static inline void inode_set_flag(struct inode *inode, uint32_t flag)
{
	atomic_fetch_or_explicit(&inode->flags, flag, memory_order_acq_rel);
}

static inline void inode_clear_flag(struct inode *inode, uint32_t flag)
{
	atomic_fetch_and_explicit(&inode->flags, ~flag, memory_order_acq_rel);
}

/* ---- cache.c ---- */

struct inode_shard *inode_shard_of(struct inode_cache *cache, struct inum ino);
/* The cached inode, NEW or not; NULL.  No reference is taken. */
struct inode *inode_shard_find(struct inode_cache *cache, struct inode_shard *shard, struct inum ino)
	REQUIRES(shard->lock);
/* Takes a reference, off the list of unused ones if it was there; one that is queued stays queued. */
void inode_shard_hold(struct inode_cache *cache, struct inode *inode);
/*
 * The inode a just allocated number stands for, NEW, referenced: a fresh one, or the one that was freed last under
 * this number with its log item.  Others that ask for it wait.  -EFSCORRUPTED: it is in use.
 */
int inode_cache_claim(struct inode_cache *cache, struct inum ino, const struct inode_place *place,
		      struct inode **out);
/* Ends NEW.  @err: it could not be made; it leaves the cache and the reference of the caller is dropped. */
void inode_cache_publish(struct inode *inode, int err);
/* Takes the inode out of its bucket for good. */
void inode_cache_forget(struct inode *inode);
/* In memory and not NEW: referenced without looking at its state; else NULL. */
struct inode *inode_cache_peek(struct inode_cache *cache, struct inum ino);
/* Like inode_get() of a trusted number, for the unlinked lists: also gives inodes about to be freed. */
int inode_cache_get_unlinked(struct inode_cache *cache, struct tx *tx, struct inum ino, struct inode **out);

/* ---- reclaim.c ---- */

/* Memory back; nobody can reach it any more. */
void inode_cache_free(struct inode *inode);
/* Takes one that just lost its last reference into the list of unused ones; true: the caller frees it at once. */
bool inode_shard_retire(struct inode_cache *cache, struct inode_shard *shard, struct inode *inode)
	REQUIRES(shard->lock);
void inode_shard_unretire(struct inode_cache *cache, struct inode *inode);

/* ---- inactive.c ---- */

/* Whether the last put queues it. */
bool inode_needs_inactivation(struct inode *inode);
/* Shard locked.  True: the queue was empty, wake whoever drains it. */
bool inode_queue_inactive(struct inode *inode);
void inode_unqueue_inactive(struct inode *inode);

/* ---- disk.c ---- */

/* Reads the cluster at @place, locked; in @tx if there is one. */
int inode_cluster_read(struct inode_cache *cache, struct tx *tx, const struct inode_place *place,
		       struct buffer **out);
void inode_cluster_release(struct tx *tx, struct buffer *buf);
struct xfs_dinode *inode_in_cluster(const struct inode *inode, struct buffer *buf);
/* -EFSCORRUPTED when the bytes lie. */
int inode_decode(struct inode *inode, const struct xfs_dinode *dip);
/*
 * Everything of the inode in memory into its bytes on disk, but the unlinked pointer, which is changed only in
 * place.
 */
void inode_encode(struct inode *inode, lsn_t lsn, struct xfs_dinode *dip);
void inode_encode_log(struct inode *inode, lsn_t lsn, struct xfs_log_dinode *out);
/* Tells the extent room what the core's flags and hints mean for it. */
void inode_refresh_map_hints(struct inode *inode);

/* ---- hints.c ---- */

/* NULL or why an inode of this mode and flags cannot have the hint (blocks). */
const char *inode_extent_hint_verify(const struct geometry *geo, uint16_t mode, uint16_t di_flags, uint32_t hint);
const char *inode_cow_hint_verify(const struct geometry *geo, uint16_t mode, uint16_t di_flags, uint64_t di_flags2,
				  uint32_t hint);

/* One log line about an inode whose bytes lie; returns -EFSCORRUPTED. */
int inode_complain(const struct inode *inode, const char *reason);
