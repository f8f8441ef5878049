// SPDX-License-Identifier: GPL-2.0
/*
 * The inode's log item, see item.h.  (XFS: xfs_inode_item.c.)
 *
 * In the log an inode is two to four regions:
 *
 *	xfs_inode_log_format	number, place, which of the following are there
 *	xfs_log_dinode		the core, in host order, always
 *	data fork		inline bytes, extent list or B+tree root, when ilf_fields says so
 *	attribute fork		likewise
 *
 * A device number needs no region: it travels in ilf_u.
 */
#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>

#include "cache.h"

#define DATA_FORK_FIELDS (XFS_ILOG_DFORK | XFS_ILOG_DEV)

static struct inode_item *item_of(struct log_item *log_item)
{
	return container_of(log_item, struct inode_item, log);
}

/* So that a push finds the cluster in memory; if somebody has it just now, the push may have to read. */
static void hold_cluster(struct inode_item *item)
{
	const struct inode *inode = item->inode;
	struct buffer *buf;
	bool has_buffer;

	mutex_lock(&item->lock);
	has_buffer = item->buf;
	mutex_unlock(&item->lock);
	if (has_buffer || inode_has_flag(inode, INODE_STALE))
		return;
	if (buffer_find(inode->cache->buffers, inode->place.daddr, inode->place.count, true, &buf) || !buf)
		return;
	mutex_lock(&item->lock);
	if (!item->buf) {
		item->buf = buf;
		buffer_hold(buf);
	}
	mutex_unlock(&item->lock);
	buffer_release(buf);
}

/* Once per transaction that changed it. */
static int inode_item_precommit(struct tx *tx, struct log_item *log_item)
{
	struct inode_item *item = item_of(log_item);
	struct inode *inode = item->inode;

	/* Logged again only because the tail of the log is near. */
	if (!inode->map.log_fields)
		return 0;
	inode->change_count++;
	if (inode->cache->geo->has_bigtime)
		inode->di_flags2 |= XFS_DIFLAG2_BIGTIME;
	if (inode->map.log_fields & ~(uint32_t)XFS_ILOG_TIMESTAMP)
		item->data_changed = true;
	mutex_lock(&item->lock);
	item->fields |= inode->map.log_fields | XFS_ILOG_CORE;
	mutex_unlock(&item->lock);
	inode->map.log_fields = 0;
	hold_cluster(item);
	return 0;
}

static void inode_item_size(struct log_item *log_item, uint32_t *regions, uint32_t *bytes)
{
	const struct inode *inode = item_of(log_item)->inode;
	uint32_t flag;

	*regions += 4;
	*bytes += sizeof(struct xfs_inode_log_format) + sizeof(struct xfs_log_dinode);
	if (inode->map.data.format != FORK_DEVICE)
		*bytes += fork_log_bytes(&inode->map, FORK_DATA, &flag);
	if (inode->map.attr_space)
		*bytes += fork_log_bytes(&inode->map, FORK_ATTR, &flag);
}

static uint32_t region_type(uint32_t ilog_flag)
{
	switch (ilog_flag) {
	case XFS_ILOG_DDATA:
		return XLOG_REG_TYPE_ILOCAL;
	case XFS_ILOG_DEXT:
		return XLOG_REG_TYPE_IEXT;
	case XFS_ILOG_DBROOT:
		return XLOG_REG_TYPE_IBROOT;
	case XFS_ILOG_ADATA:
		return XLOG_REG_TYPE_IATTR_LOCAL;
	case XFS_ILOG_AEXT:
		return XLOG_REG_TYPE_IATTR_EXT;
	default:
		return XLOG_REG_TYPE_IATTR_BROOT;
	}
}

/* Adds the fork's region if there is anything to say; returns its bytes. */
static uint16_t format_fork(const struct inode *inode, enum fork_which which, struct xfs_inode_log_format *format,
			    struct log_region_writer *w)
{
	uint32_t flag, bytes = fork_log_bytes(&inode->map, which, &flag);

	if (!bytes)
		return 0;
	fork_log_fill(&inode->map, which, log_region_reserve(w, region_type(flag), bytes));
	format->ilf_fields |= flag;
	format->ilf_size++;
	return (uint16_t)bytes;
}

static void format_data_fork(const struct inode *inode, uint32_t fields, struct xfs_inode_log_format *format,
			     struct log_region_writer *w)
{
	if (!(fields & DATA_FORK_FIELDS))
		return;
	if (inode->map.data.format != FORK_DEVICE) {
		format->ilf_dsize = format_fork(inode, FORK_DATA, format, w);
		return;
	}
	format->ilf_fields |= XFS_ILOG_DEV;
	format->ilf_u.ilfu_rdev = inode->map.data.dev;
}

static void inode_item_format(struct log_item *log_item, struct log_region_writer *w)
{
	struct inode_item *item = item_of(log_item);
	struct inode *inode = item->inode;
	struct xfs_inode_log_format *format;
	uint32_t fields;

	mutex_lock(&item->lock);
	fields = item->fields | item->flushing;
	mutex_unlock(&item->lock);

	format = log_region_reserve(w, XLOG_REG_TYPE_IFORMAT, sizeof(*format));
	format->ilf_type = XFS_LI_INODE;
	format->ilf_size = 2;
	format->ilf_fields = XFS_ILOG_CORE;
	format->ilf_ino = inode->ino.v;
	format->ilf_blkno = (int64_t)inode->place.daddr;
	format->ilf_len = (int32_t)inode->place.count;
	format->ilf_boffset = (int32_t)inode->place.off_bytes;
	inode_encode_log(inode, atomic_load(&log_item->lsn),
			 log_region_reserve(w, XLOG_REG_TYPE_ICORE, sizeof(struct xfs_log_dinode)));
	format_data_fork(inode, fields, format, w);
	if (inode->map.attr_space && fields & XFS_ILOG_AFORK)
		format->ilf_asize = format_fork(inode, FORK_ATTR, format, w);
}

static void inode_item_pin(struct log_item *log_item)
{
	atomic_fetch_add_explicit(&item_of(log_item)->pins, 1, memory_order_relaxed);
}

static void inode_item_unpin(struct log_item *log_item, bool aborted)
{
	(void)aborted;
	atomic_fetch_sub_explicit(&item_of(log_item)->pins, 1, memory_order_release);
}

/* What fsync waits for.  A rolled transaction may have committed it before the one that ends now. */
static void note_commit(struct inode_item *item)
{
	struct inode *inode = item->inode;

	inode->sync_sequence = atomic_load(&item->log.sequence);
	if (item->data_changed)
		inode->datasync_sequence = inode->sync_sequence;
	item->data_changed = false;
}

static void inode_item_release(struct log_item *log_item, bool dirty, bool aborted) NO_LOCK_ANALYSIS
{
	struct inode_item *item = item_of(log_item);

	(void)dirty;
	(void)aborted;
	note_commit(item);
	if (!item->unlock)
		return;
	item->unlock = false;
	rwlock_write_unlock(&item->inode->map_lock);
}

/* An inode of a freed chunk is never written home: the buffer's cancellation is what the log waits for. */
static lsn_t inode_item_committed(struct log_item *log_item, lsn_t lsn)
{
	return inode_has_flag(item_of(log_item)->inode, INODE_STALE) ? 0 : lsn;
}

static const struct log_item_ops inode_item_ops = {
	.name = "inode",
	.type = XFS_LI_INODE,
	.stays_at_roll = true,
	.size = inode_item_size,
	.format = inode_item_format,
	.precommit = inode_item_precommit,
	.pin = inode_item_pin,
	.unpin = inode_item_unpin,
	.release = inode_item_release,
	.committed = inode_item_committed,
	.push = inode_item_push,
	.written = inode_item_written,
};

void inode_item_init(struct inode_item *item, struct inode *inode, struct log *log)
{
	log_item_init(log, &item->log, &inode_item_ops);
	item->inode = inode;
	mutex_init(&item->lock, RANK_LEAF, 0, "inode item");
}

void inode_item_deinit(struct inode_item *item)
{
	ensure(!item->is_attached && !(atomic_load(&item->log.flags) & LOG_ITEM_IN_TAIL_LIST));
	buffer_put(item->buf);
	mutex_deinit(&item->lock);
}

bool inode_item_is_idle(struct inode_item *item)
{
	bool is_stale = inode_has_flag(item->inode, INODE_STALE);
	bool is_idle;

	if (atomic_load_explicit(&item->pins, memory_order_acquire))
		return false;
	if (atomic_load(&item->log.flags) & LOG_ITEM_IN_TAIL_LIST)
		return false;
	mutex_lock(&item->lock);
	is_idle = !item->is_attached && (is_stale || (!item->fields && !item->flushing));
	mutex_unlock(&item->lock);
	return is_idle;
}

/* ---- transactions ---- */

void inode_join(struct tx *tx, struct inode *inode, bool unlock)
{
	struct inode_item *item = inode_item(inode);

	ensure(rwlock_is_write_locked(&inode->map_lock));
	if (item->log.tx != tx)
		tx_join(tx, &item->log);
	item->unlock |= unlock;
}

void inode_log(struct tx *tx, struct inode *inode, bool timestamp_only)
{
	inode->map.log_fields |= timestamp_only ? XFS_ILOG_TIMESTAMP : XFS_ILOG_CORE;
	tx_mark_dirty(tx, &inode_item(inode)->log);
}

void inode_touch(struct tx *tx, struct inode *inode, unsigned times)
{
	struct timespec now = timestamp_clamp(inode->cache->geo, clock_wall());

	if (times & INODE_ATIME)
		inode->atime = now;
	if (times & INODE_MTIME)
		inode->mtime = now;
	if (times & INODE_CTIME)
		inode->ctime = now;
	if (times & INODE_BTIME)
		inode->btime = now;
	inode_log(tx, inode, true);
}

/* Fewer than ten: insertion sort. */
static void sort_inodes(struct inode **inodes, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		struct inode *moved = inodes[i];
		unsigned k = i;

		for (; k && (!inodes[k - 1] || (moved && moved->ino.v < inodes[k - 1]->ino.v)); k--)
			inodes[k] = inodes[k - 1];
		inodes[k] = moved;
	}
}

void inode_lock_maps(struct inode **inodes, unsigned n) NO_LOCK_ANALYSIS
{
	sort_inodes(inodes, n);
	for (unsigned i = 0; i < n; i++) {
		if (inodes[i] && (i == 0 || inodes[i] != inodes[i - 1]))
			rwlock_write_lock(&inodes[i]->map_lock);
	}
}

void inode_unlock_maps(struct inode **inodes, unsigned n) NO_LOCK_ANALYSIS
{
	for (unsigned i = n; i-- > 0;) {
		if (inodes[i] && (i == 0 || inodes[i] != inodes[i - 1]))
			rwlock_write_unlock(&inodes[i]->map_lock);
	}
}
