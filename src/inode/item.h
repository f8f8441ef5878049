/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * An inode's log item: what has changed since the inode was last written home, and the way home.  (XFS:
 * xfs_inode_log_item.)
 *
 *	map.log_fields	changed in the running transaction
 *	.fields		committed, not yet copied into the cluster buffer; every commit logs all of them again,
 *			because the newest log copy is the only one recovery may have left
 *	.flushing	copied into the cluster buffer, whose write has not ended; logged again for the same reason
 *
 * Flushing takes one cluster at a time: a push for one inode copies all of its dirty, unpinned neighbours, so that
 * they share a write.  While anything is dirty the item holds a reference to its cluster buffer if that was in memory
 * when the change was committed, so that a push need not read.
 */
#include <userxfs/buffer.h>
#include <userxfs/inode.h>
#include <userxfs/log/item.h>

struct inode_item {
	struct log_item log;
	struct inode *inode;		/* [I] */
	bool unlock;			/* [m] .release unlocks the map lock */
	bool data_changed;		/* [m] since the last commit, more than timestamps */
	_Atomic uint32_t pins;
	struct mutex lock;		/* RANK_LEAF, of the following */
	uint32_t fields;		/* XFS_ILOG_* */
	uint32_t flushing;
	bool is_attached;		/* to .buf, until its write ends */
	lsn_t flush_lsn;		/* where in the log the flushed state is */
	struct buffer *buf;		/* referenced, or NULL */
};

void inode_item_init(struct inode_item *item, struct inode *inode, struct log *log);
/* Forgets what it holds; the log has let go of it or is shut down. */
void inode_item_deinit(struct inode_item *item);
/* The log and the cluster buffer have let go of it, and nothing remains to be written. */
bool inode_item_is_idle(struct inode_item *item);

/* flush.c: the log's .push and .written. */
enum log_push_result inode_item_push(struct log_item *log_item, struct list *writes);
void inode_item_written(struct log_item *log_item, struct buffer *buf, int err);
/* The cluster in @buf (locked) is being freed: the item waits for the buffer's cancellation to be on disk. */
void inode_item_make_stale(struct inode_item *item, struct buffer *buf);
