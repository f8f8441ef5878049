/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the files of log recovery share. */
#include <userxfs/log/recovery.h>

#include "internal.h"

/* ---- records (recover_record.c) ------------------------------------------------------------------------------ */

/* Reads records from one position to another. */
struct record_reader {
	struct device *dev;
	uint64_t off_bytes;
	const struct geometry *geo;
	uint64_t blocks;		/* of the log */
	logpos_t pos, end;
	char *record;			/* the current one, its payload with the words back that its headers kept */
	char *window;			/* WINDOW_BLOCKS blocks read at once */
	logpos_t window_pos;
	uint64_t window_blocks;
};

struct log_record {
	lsn_t lsn;
	const char *payload;
	uint32_t payload_bytes;
	uint32_t op_count;
};

/* -EFSCORRUPTED when @head names no part of the log; -ENOMEM.  Deinit also after a failure. */
int record_reader_init(struct record_reader *r, struct device *dev, uint64_t off_bytes, const struct geometry *geo,
		       const struct log_head *head);
void record_reader_deinit(struct record_reader *r);
/*
 * The next record, valid until the next call; *found is false at the end.  -EFSCORRUPTED, -EFSBADCRC: .pos stays, and
 * *why says why there is no record.
 */
int record_reader_try(struct record_reader *r, struct log_record *out, bool *found, const char **why);
/* The same; every failure has written a log line. */
int record_reader_next(struct record_reader *r, struct log_record *out, bool *found);
/* Goes on to the next place that begins like the record that should be there; *found is false when there is none. */
int record_reader_skip(struct record_reader *r, bool *found);

/* ---- transactions (recover_tx.c) ------------------------------------------------------------------------------ */

struct recovery_tx {
	struct list node;
	uint32_t tid;
	lsn_t lsn;			/* of the record it starts in */
	struct xfs_trans_header header;
	uint32_t header_bytes;		/* of it, read so far */
	struct list items;		/* struct recovery_item */
};

/* Puts transactions together; several may be under way. */
struct tx_assembler {
	struct list open;		/* struct recovery_tx */
	unsigned open_count;
	/* Called for each transaction that was committed. */
	int (*commit)(void *context, struct recovery_tx *tx);
	void *context;
};

void tx_assembler_init(struct tx_assembler *a, int (*commit)(void *context, struct recovery_tx *tx), void *context);
/* What has no commit is dropped. */
void tx_assembler_deinit(struct tx_assembler *a);
int tx_assembler_add(struct tx_assembler *a, const struct log_record *record);

/* ---- freed blocks (recover_cancel.c) -------------------------------------------------------------------------- */

/* Which, and how often they still will be. */
struct cancel_table {
	struct list *buckets;
	uint64_t bucket_count, count;
};

int cancel_table_init(struct cancel_table *t);
void cancel_table_deinit(struct cancel_table *t);
/* Pass 1. */
int cancel_table_add(struct cancel_table *t, daddr_u64 daddr, uint32_t count);
/* Pass 2: one time less. */
void cancel_table_drop(struct cancel_table *t, daddr_u64 daddr, uint32_t count);

/* ---- directory blocks in pieces (recover_pieces.c) ------------------------------------------------------------ */

/* Pieces that were replayed, and the directories they may belong to. */
struct piece_table {
	struct list *pieces, *directories; /* PIECE_BUCKETS of each */
	bool is_noting;			/* the transaction being replayed has pieces: its inodes are noted */
};

int piece_table_init(struct piece_table *t);
void piece_table_deinit(struct piece_table *t);
/* The buffer was changed by a transaction of @lsn. */
int recovery_dirty_piece(struct recovery *r, struct buffer *buf, lsn_t lsn);
/* All of the log has been replayed: the blocks are whole again, with LSN and checksum.  -EFSCORRUPTED. */
int recovery_join_pieces(struct recovery *r);

/* ---- buffers (recover_buffer.c) ------------------------------------------------------------------------------- */

enum {
	INTENT_BUCKETS = 1024,
};

struct recovery {
	const struct recovery_options *options;
	const struct geometry *geo;
	struct recovery_report *report;
	struct cancel_table cancelled;
	uint8_t quota_off;		/* XFS_DQTYPE_* */
	struct buffer_cache *cache;	/* of pass 2 */
	struct list writes;		/* what was changed */
	uint64_t dirty_bytes, kept_bytes; /* ... that could not be written before the end */
	struct list torn;		/* struct torn_inode */
	struct list *intents;		/* struct recovered_intent.node */
	struct list intent_buckets[INTENT_BUCKETS]; /* ... .hash_node */
	struct piece_table pieces;
	struct list visits;		/* struct visit */
};

extern const struct recovery_item_type recovery_buffer_type;
/* Clusters whose inodes have been sealed one by one. */
extern const struct block_type recovery_cluster_type;

/* By magic number; NULL: none that is known. */
const struct block_type *recovery_type_of(const struct geometry *geo, const void *data, size_t bytes,
					  daddr_u64 daddr);

/* Pass 1: notes freed blocks. */
int recovery_note_cancelled(struct recovery *r, const struct recovery_item *item);
/* Whether @item's buffers come first, after the others or last of all (XFS: xlog_recover_buf_reorder). */
bool recovery_buffer_is_cancel(const struct recovery_item *item);
bool recovery_buffer_has_unlinked(const struct recovery_item *item);
/* Whether it may be of a part of a directory block. */
bool recovery_buffer_is_piece(const struct recovery *r, const struct recovery_item *item);

/* ---- inodes that are visited at the end (recover_visit.c) ------------------------------------------------------ */

int recovery_visit_all(struct recovery *r);
void recovery_forget_visits(struct recovery *r);

/* ---- what was changed (recover_home.c) ------------------------------------------------------------------------- */

bool recovery_is_dirty(const struct buffer *buf);
/* All of the log has been replayed: verifies what was changed, then writes it home. */
int recovery_write_home(struct recovery *r);
/* Before that, when much has been changed: writes what makes sense already. */
int recovery_limit_memory(struct recovery *r);
void recovery_forget_torn(struct recovery *r);

/* ---- intents (recover_intent.c) -------------------------------------------------------------------------------- */

int recovery_note_intent(struct recovery *r, const struct recovery_item *item, lsn_t lsn);
void recovery_note_done(struct recovery *r, const struct recovery_item *item);
