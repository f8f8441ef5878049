/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Replaying a dirty log: from its tail to its head, everything that was committed is written to where it belongs.
 * (XFS: xlog_recover, xlog_recover_item_ops.)
 *
 *   pass 1	every item of every committed transaction is checked and nothing is written, so that a log with an
 *		item that nobody knows, or a damaged one, leaves the volume as it was; freed blocks are noted
 *   pass 2	transaction by transaction, in the order of their commits, items are replayed
 *   end	the buffers are verified and written home; intents without a done item are handed to the caller
 *
 * A block or an inode that was written home after a change is newer than the log's copy of that change and stays as
 * it is.  Replaying may be cut off at any time and started again.
 *
 * The log room knows transactions and buffers.  What other items mean is known to the rooms that log them: each gives
 * a struct recovery_item_type.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <userxfs/base/list.h>
#include <userxfs/buffer.h>
#include <userxfs/device.h>
#include <userxfs/format/geometry.h>
#include <userxfs/log/log.h>

struct recovery;

struct recovery_region {
	void *data;			/* aligned to 8 */
	uint32_t bytes;
};

/* One item of a transaction in the log.  The first region begins with its type and the number of regions. */
struct recovery_item {
	struct list node;
	uint16_t type;			/* XFS_LI_* */
	uint32_t region_count, region_max;
	struct recovery_region *regions;
};

enum recovery_order {
	RECOVERY_FIRST,			/* with the buffers: others change what it makes */
	RECOVERY_NORMAL,
};

enum recovery_kind {
	RECOVERY_REPLAY,
	RECOVERY_INTENT,		/* kept until its done item, whose type is one higher, comes */
	RECOVERY_DONE,
};

struct recovery_item_type {
	const char *name;
	uint16_t type;			/* XFS_LI_* */
	enum recovery_kind kind;
	enum recovery_order order;
	/* Required.  NULL, or why this cannot be replayed.  After it .replay may rely on all lengths. */
	const char *(*check)(const struct geometry *geo, const struct recovery_item *item);
	/* Optional.  Starts reading what .replay will want: recovery_readahead(). */
	void (*readahead)(struct recovery *r, const struct recovery_item *item);
	/* Required of RECOVERY_REPLAY.  @lsn: of the transaction. */
	int (*replay)(struct recovery *r, const struct recovery_item *item, lsn_t lsn);
};

/* ---- for replaying ---- */

const struct geometry *recovery_geometry(const struct recovery *r);
/* Whether these blocks were freed later in the log: what the item says of them is void. */
bool recovery_is_cancelled(const struct recovery *r, daddr_u64 daddr, uint32_t count);
/* The block as it is after what was replayed so far, not verified; locked and referenced. */
int recovery_read(struct recovery *r, daddr_u64 daddr, uint32_t count, struct buffer **out);
/* It will be wanted soon. */
void recovery_readahead(struct recovery *r, daddr_u64 daddr, uint32_t count);
/* Whether what has this LSN on disk was written home after the transaction of @lsn.  (XFS: all ones is no LSN.) */
static inline bool recovery_lsn_is_newer(__be64 on_disk, lsn_t lsn)
{
	return be64_to_cpu(on_disk) != UINT64_MAX && be64_to_cpu(on_disk) > lsn;
}
/* Whether @count units from @daddr on are part of the volume. */
bool recovery_is_in_volume(const struct geometry *geo, int64_t daddr, uint64_t count);
/* The block was changed (buffer still locked).  @lsn: what it is sealed with; 0: it keeps its own. */
void recovery_dirty(struct recovery *r, struct buffer *buf, const struct block_type *type, lsn_t lsn);
/* An inode was changed in a buffer: its checksum is right again, the others' are left as they are. */
void recovery_dirty_inode(struct recovery *r, struct buffer *buf, struct xfs_dinode *dip);
/*
 * The same of one whose checksum was wrong before: its write was cut off.  It makes sense only when all of the log
 * has been replayed; then it is verified and gets its checksum.
 */
int recovery_dirty_torn_inode(struct recovery *r, struct buffer *buf, struct xfs_dinode *dip);
/*
 * The inode is as new as the transaction being replayed, by that or on disk already (buffer still locked).  Blocks of
 * directories that lie in several pieces are found through it.  -ENOMEM.
 */
int recovery_note_inode(struct recovery *r, const struct buffer *buf, const struct xfs_dinode *dip);
/*
 * @action is called with the inode at @dip in @buf as it is when all of the log has been replayed, unless it is free
 * by then or another.  -ENOMEM.
 */
int recovery_visit_later(struct recovery *r, const struct buffer *buf, const struct xfs_dinode *dip,
			 int (*action)(struct recovery *r, const struct xfs_dinode *dip));
/* One more was replayed (for the report). */
void recovery_count_inode(struct recovery *r);
/* Quotas of this kind (XFS_DQTYPE_*) were turned off later in the log. */
bool recovery_is_quota_off(const struct recovery *r, uint8_t dquot_type);

/* ---- the whole ---- */

/* An intent whose work has not been finished. */
struct recovered_intent {
	struct list node;		/* in the order they were logged */
	uint16_t type;			/* XFS_LI_* */
	uint64_t id;
	lsn_t lsn;
	struct list hash_node;		/* the log's */
	uint32_t bytes;			/* of the item's only region, which .check has seen */
	_Alignas(8) uint8_t data[];
};

struct recovery_report {
	uint64_t transactions;
	uint64_t buffers, inodes;	/* items replayed */
	uint64_t cancelled;		/* items whose blocks were freed later */
	uint64_t intents;		/* left over */
};

struct recovery_options {
	struct device *dev, *log_dev;
	uint64_t log_off_bytes;
	const struct geometry *geo;
	const struct log_head *head;	/* LOG_DIRTY */
	const struct recovery_item_type *const *types; /* buffers are known without */
	unsigned type_count;
	uint64_t memory_bytes;		/* of changed blocks, before they are written home; 0: 256 MiB */
};

/*
 * Replays and flushes.  On success the log is as dirty as before, and its head is one that log_create() takes after
 * .state was set to LOG_REPLAYED.  @intents gets struct recovered_intent, to be freed.
 *
 * Every failure has written one log line.  -EFSCORRUPTED, -EFSBADCRC, -EOPNOTSUPP (an unknown item): nothing was
 * written, unless the damage showed only in pass 2.
 */
int log_recover(const struct recovery_options *options, struct list *intents, struct recovery_report *report);
/* Empties a list of struct recovered_intent. */
void recovered_intents_free(struct list *intents);
