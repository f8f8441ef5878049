// SPDX-License-Identifier: GPL-2.0
/*
 * Writing inodes home.  (XFS: xfs_iflush_cluster, xfs_iflush, xfs_buf_inode_iodone, xfs_ifree_mark_inode_stale.)
 *
 * The tail pusher asks for one inode; everything dirty in its cluster that may be written goes with it:
 *
 *	committed, unpinned	copied into the cluster buffer with the LSN of its log copy, sealed; its fields are
 *				now .flushing and it is attached to the buffer
 *	write ended		.flushing is clean; it leaves the tail list unless it was logged again meanwhile
 *	write failed		.flushing is dirty again; the next push tries again
 *
 * Locks: the cluster buffer, then the shard of each inode, whose lock keeps the inode in memory, then its map lock by
 * trylock only: a transaction that holds it may be waiting for the log space this very push is to free.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "cache.h"

static struct inode_item *item_of(struct log_item *log_item)
{
	return container_of(log_item, struct inode_item, log);
}

/*
 * Copies the inode into its place in @buf; shard and map locked.  Bytes that would not verify stay out of the
 * buffer.
 */
static int copy_into_cluster(struct inode *inode, struct buffer *buf)
{
	const struct geometry *geo = inode->cache->geo;
	struct xfs_dinode *dip = inode_in_cluster(inode, buf);
	union {
		struct xfs_dinode dinode;
		uint8_t bytes[XFS_DINODE_MAX_SIZE];
	} copy;
	const char *reason;

	memcpy(&copy, dip, geo->inode_bytes);
	inode_encode(inode, atomic_load(&inode_item(inode)->log.lsn), &copy.dinode);
	reason = dinode_verify(geo, inode->ino, &copy.dinode);
	if (reason)
		return inode_complain(inode, reason);
	dinode_seal(geo, &copy.dinode);
	memcpy(dip, &copy, geo->inode_bytes);
	return 0;
}

static void attach(struct inode_item *item, struct buffer *buf)
{
	mutex_lock(&item->lock);
	item->flushing |= item->fields;
	item->fields = 0;
	item->flush_lsn = atomic_load(&item->log.lsn);
	if (!item->buf) {
		item->buf = buf;
		buffer_hold(buf);
	}
	if (!item->is_attached)
		log_item_attach(&item->log, buf);
	item->is_attached = true;
	mutex_unlock(&item->lock);
}

static bool is_dirty(struct inode_item *item)
{
	bool is_dirty;

	mutex_lock(&item->lock);
	is_dirty = item->fields && !item->is_attached;
	mutex_unlock(&item->lock);
	return is_dirty;
}

/* *flushed is set when the inode was dirty and could be flushed.  Shard and buffer locked. */
static int flush_one(struct inode *inode, struct buffer *buf, bool *flushed) NO_LOCK_ANALYSIS
{
	struct inode_item *item = inode_item(inode);
	int err;

	if (inode_has_flag(inode, INODE_NEW | INODE_STALE) || !is_dirty(item))
		return 0;
	if (!rwlock_read_trylock(&inode->map_lock))
		return 0;
	/* Only now can no transaction commit it: the pin count and what is dirty stay. */
	if (atomic_load_explicit(&item->pins, memory_order_acquire) || !is_dirty(item)) {
		rwlock_read_unlock(&inode->map_lock);
		return 0;
	}
	err = copy_into_cluster(inode, buf);
	if (!err) {
		attach(item, buf);
		*flushed = true;
	}
	rwlock_read_unlock(&inode->map_lock);
	return err;
}

/* Number of the first inode of the cluster that @inode is in. */
static struct inum cluster_first(const struct inode *inode)
{
	return (struct inum){ inode->ino.v - inode->place.off_bytes / inode->cache->geo->inode_bytes };
}

static int flush_cluster(struct inode_cache *cache, struct inum first, struct buffer *buf, bool *flushed)
{
	uint64_t count = buf->bytes / cache->geo->inode_bytes;
	int err = 0;

	for (uint64_t i = 0; i < count && !err; i++) {
		struct inum ino = { first.v + i };
		struct inode_shard *shard = inode_shard_of(cache, ino);
		struct inode *inode;

		mutex_lock(&shard->lock);
		inode = inode_shard_find(cache, shard, ino);
		if (inode)
			err = flush_one(inode, buf, flushed);
		mutex_unlock(&shard->lock);
	}
	return err;
}

static enum log_push_result flush_and_queue(struct inode_item *item, struct buffer *buf, struct list *writes)
{
	struct inode *inode = item->inode;
	bool flushed = false;
	int err;

	if (atomic_load(&buf->pins) || inode_has_flag(inode, INODE_STALE))
		return LOG_PUSH_PINNED;
	err = flush_cluster(inode->cache, cluster_first(inode), buf, &flushed);
	if (err) {
		log_shutdown(inode->cache->log, SHUTDOWN_CORRUPT_INCORE, "writing an inode home");
		return LOG_PUSH_FAILED;
	}
	if (!flushed)
		return LOG_PUSH_LOCKED;
	return buffer_queue_write(buf, writes) ? LOG_PUSH_QUEUED : LOG_PUSH_FLUSHING;
}

/* The volume has been shut down: the changes are lost. */
static void give_up(struct inode_item *item)
{
	struct buffer *buf;

	log_item_done(&item->log);
	mutex_lock(&item->lock);
	item->fields = 0;
	item->flushing = 0;
	item->is_attached = false;
	buf = item->buf;
	item->buf = NULL;
	mutex_unlock(&item->lock);
	buffer_put(buf);
}

enum log_push_result inode_item_push(struct log_item *log_item, struct list *writes)
{
	struct inode_item *item = item_of(log_item);
	const struct inode *inode = item->inode;
	enum log_push_result result;
	struct buffer *buf;
	bool is_attached;
	int err;

	mutex_lock(&item->lock);
	is_attached = item->is_attached;
	mutex_unlock(&item->lock);
	/* A stale inode waits for the log to carry its cluster's cancellation. */
	if (atomic_load(&item->pins) || (is_attached && inode_has_flag(inode, INODE_STALE)))
		return LOG_PUSH_PINNED;
	if (is_attached)
		return LOG_PUSH_FLUSHING;
	if (log_is_shutdown(log_item->log)) {
		give_up(item);
		return LOG_PUSH_FAILED;
	}
	err = buffer_try_read(inode->cache->buffers, inode->place.daddr, inode->place.count, &block_inode_cluster,
			      &buf);
	/* A neighbour lies: it will do so for ever, and whoever waits for the log's tail would wait as long. */
	if (err == -EFSCORRUPTED || err == -EFSBADCRC)
		log_shutdown(log_item->log, SHUTDOWN_CORRUPT_ONDISK, "reading inodes to write one home");
	if (err)
		return LOG_PUSH_FAILED;
	if (!buf)
		return LOG_PUSH_LOCKED;
	result = flush_and_queue(item, buf, writes);
	buffer_release(buf);
	return result;
}

/* The copy in the cluster buffer is on disk, or its chunk is gone for good. */
static void finish_flush(struct inode_item *item)
{
	struct buffer *buf = NULL;

	/* Reclaim must not free the item while the tail list still knows it, so this comes first. */
	if (inode_has_flag(item->inode, INODE_STALE))
		log_item_done(&item->log);
	else
		log_item_done_at(&item->log, item->flush_lsn);
	mutex_lock(&item->lock);
	item->flushing = 0;
	if (!item->fields || inode_has_flag(item->inode, INODE_STALE)) {
		buf = item->buf;
		item->buf = NULL;
	}
	item->is_attached = false;
	mutex_unlock(&item->lock);
	buffer_put(buf);
}

void inode_item_written(struct log_item *log_item, struct buffer *buf, int err)
{
	struct inode_item *item = item_of(log_item);

	(void)buf;
	if (!err) {
		finish_flush(item);
		return;
	}
	if (log_is_shutdown(log_item->log)) {
		give_up(item);
		return;
	}
	mutex_lock(&item->lock);
	item->fields |= item->flushing;
	item->flushing = 0;
	item->is_attached = false;
	mutex_unlock(&item->lock);
}

void inode_item_make_stale(struct inode_item *item, struct buffer *buf)
{
	bool is_clean = inode_item_is_idle(item);

	inode_set_flag(item->inode, INODE_STALE);
	if (!is_clean)
		attach(item, buf);
}
