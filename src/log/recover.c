/* SPDX-License-Identifier: GPL-2.0 */
/* Log recovery as a whole: two passes over what was committed.  (XFS: xlog_do_log_recovery.) */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "recover.h"

enum {
	CACHE_BYTES = 64 << 20,		/* of blocks that were only looked at */
	AHEAD = 48,			/* items whose blocks are being read */
	PROGRESS_S = 2,			/* between two lines that say how far it is */
};

/* Items of newer or rarer features, to be named when they are refused. */
static const char *name_of_unknown(uint16_t type)
{
	switch (type) {
	case XFS_LI_ATTRI:
	case XFS_LI_ATTRD:
		return "attribute intent";
	case 0x1248:
	case 0x1249:
		return "exchange of file ranges";
	case 0x124a:
	case 0x124b:
	case 0x124c:
	case 0x124d:
	case 0x124e:
	case 0x124f:
		return "realtime intent";
	case XFS_LI_IUNLINK:
		return "unlinked item";
	default:
		return "unknown";
	}
}

/* ---- types ----------------------------------------------------------------------------------------------------- */

static const char *check_quotaoff(const struct geometry *geo, const struct recovery_item *item)
{
	(void)geo;
	return item->regions[0].bytes >= offsetof(struct xfs_qoff_logformat, qf_pad) ? NULL : "is too short";
}

/* Pass 1 has taken note of it. */
static int replay_quotaoff(struct recovery *r, const struct recovery_item *item, lsn_t lsn)
{
	(void)r;
	(void)item;
	(void)lsn;
	return 0;
}

static const struct recovery_item_type quotaoff_type = {
	.name = "quotaoff",
	.type = XFS_LI_QUOTAOFF,
	.kind = RECOVERY_REPLAY,
	.order = RECOVERY_NORMAL,
	.check = check_quotaoff,
	.replay = replay_quotaoff,
};

static const struct recovery_item_type *find_type(const struct recovery *r, uint16_t type)
{
	if (type == XFS_LI_BUF)
		return &recovery_buffer_type;
	if (type == XFS_LI_QUOTAOFF)
		return &quotaoff_type;
	for (unsigned i = 0; i < r->options->type_count; i++) {
		if (r->options->types[i]->type == type)
			return r->options->types[i];
	}
	return NULL;
}

bool recovery_is_quota_off(const struct recovery *r, uint8_t dquot_type)
{
	return r->quota_off & dquot_type;
}

void recovery_count_inode(struct recovery *r)
{
	r->report->inodes++;
}

/* ---- pass 1 ---------------------------------------------------------------------------------------------------- */

static int check_item(const struct recovery *r, const struct recovery_item *item, lsn_t lsn)
{
	const struct recovery_item_type *type = find_type(r, item->type);
	const char *why;

	if (!type) {
		msg_error("the log holds an item that this program cannot replay: type 0x%x (%s); mount the volume "
			  "with the kernel once, then unmount it",
			  item->type, name_of_unknown(item->type));
		return -EOPNOTSUPP;
	}
	why = type->check(r->geo, item);
	if (!why)
		return 0;
	msg_error("log record %u:%u: %s item %s; run xfs_repair", lsn_cycle(lsn), lsn_block(lsn), type->name, why);
	return -EFSCORRUPTED;
}

static void note_quotaoff(struct recovery *r, const struct recovery_item *item)
{
	const struct xfs_qoff_logformat *format = item->regions[0].data;

	if (format->qf_flags & XFS_UQUOTA_ACCT)
		r->quota_off |= XFS_DQTYPE_USER;
	if (format->qf_flags & XFS_PQUOTA_ACCT)
		r->quota_off |= XFS_DQTYPE_PROJ;
	if (format->qf_flags & XFS_GQUOTA_ACCT)
		r->quota_off |= XFS_DQTYPE_GROUP;
}

static int check_transaction(void *context, struct recovery_tx *tx)
{
	struct recovery *r = context;

	list_for_each(node, &tx->items) {
		const struct recovery_item *item = list_entry(node, struct recovery_item, node);
		int err = check_item(r, item, tx->lsn);

		if (!err && recovery_buffer_is_cancel(item))
			err = recovery_note_cancelled(r, item);
		if (err)
			return err;
		if (item->type == XFS_LI_QUOTAOFF)
			note_quotaoff(r, item);
	}
	return 0;
}

/* ---- pass 2 ---------------------------------------------------------------------------------------------------- */

static int replay_item(struct recovery *r, const struct recovery_item *item, lsn_t lsn)
{
	const struct recovery_item_type *type = find_type(r, item->type);

	switch (type->kind) {
	case RECOVERY_INTENT:
		return recovery_note_intent(r, item, lsn);
	case RECOVERY_DONE:
		recovery_note_done(r, item);
		return 0;
	default:
		return type->replay(r, item, lsn);
	}
}

static bool comes_first(const struct recovery *r, const struct recovery_item *item)
{
	return find_type(r, item->type)->order == RECOVERY_FIRST;
}

static bool has_pieces(const struct recovery *r, const struct recovery_tx *tx)
{
	list_for_each(node, &tx->items) {
		if (recovery_buffer_is_piece(r, list_entry(node, struct recovery_item, node)))
			return true;
	}
	return false;
}

/*
 * Within a transaction: what makes blocks comes before the inodes in them; unlinked pointers after the inodes, which
 * are free by then; and what says that blocks were freed last: until then it keeps others from being replayed.
 * (XFS: xlog_recover_reorder_trans.)
 */
static void reorder(const struct recovery *r, struct recovery_tx *tx)
{
	struct list normal = LIST_INIT(normal), unlinked = LIST_INIT(unlinked), cancels = LIST_INIT(cancels);

	list_for_each_safe(node, &tx->items) {
		const struct recovery_item *item = list_entry(node, struct recovery_item, node);

		if (recovery_buffer_is_cancel(item))
			list_move_back(&cancels, node);
		else if (recovery_buffer_has_unlinked(item))
			list_move_back(&unlinked, node);
		else if (!comes_first(r, item))
			list_move_back(&normal, node);
	}
	list_splice_back(&tx->items, &normal);
	list_splice_back(&tx->items, &unlinked);
	list_splice_back(&tx->items, &cancels);
}

static void start_reading(struct recovery *r, const struct recovery_item *item)
{
	const struct recovery_item_type *type = find_type(r, item->type);

	if (type->readahead)
		type->readahead(r, item);
}

static int replay_transaction(void *context, struct recovery_tx *tx)
{
	struct recovery *r = context;
	const struct list *ahead;
	unsigned lead = 0;

	reorder(r, tx);
	ahead = tx->items.next;
	r->pieces.is_noting = has_pieces(r, tx);
	list_for_each(node, &tx->items) {
		int err;

		for (; ahead != &tx->items && lead < AHEAD; lead++, ahead = ahead->next)
			start_reading(r, list_entry(ahead, struct recovery_item, node));
		err = replay_item(r, list_entry(node, struct recovery_item, node), tx->lsn);
		if (err)
			return err;
		lead--;
	}
	r->report->transactions++;
	return recovery_limit_memory(r);
}

/* ---- passes ---------------------------------------------------------------------------------------------------- */

static void tell_progress(const struct record_reader *reader, unsigned pass, logpos_t start, uint64_t *next_ns)
{
	uint64_t now = clock_now_ns();

	if (now < *next_ns)
		return;
	msg_info("replaying the log, pass %u of 2: %llu%%", pass,
		 (unsigned long long)((reader->pos - start) * 100 / max_u64(reader->end - start, 1)));
	*next_ns = now + PROGRESS_S * NS_PER_SEC;
}

static int run_pass(struct recovery *r, unsigned pass)
{
	const struct recovery_options *options = r->options;
	uint64_t next_ns = clock_now_ns() + PROGRESS_S * NS_PER_SEC;
	struct record_reader reader;
	struct tx_assembler assembler;
	struct log_record record;
	bool found = true;
	logpos_t start;
	int err;

	tx_assembler_init(&assembler, pass == 1 ? check_transaction : replay_transaction, r);
	err = record_reader_init(&reader, options->log_dev, options->log_off_bytes, options->geo, options->head);
	start = reader.pos;
	while (!err && found) {
		err = record_reader_next(&reader, &record, &found);
		if (!err && found)
			err = tx_assembler_add(&assembler, &record);
		tell_progress(&reader, pass, start, &next_ns);
	}
	record_reader_deinit(&reader);
	tx_assembler_deinit(&assembler);
	return err;
}

void recovered_intents_free(struct list *intents)
{
	list_for_each_safe(node, intents) {
		list_remove(node);
		mem_free(list_entry(node, struct recovered_intent, node));
	}
}

static int replay(struct recovery *r)
{
	int err = buffer_cache_create(r->options->dev, r->geo, CACHE_BYTES, &r->cache);

	if (err)
		return err;
	err = run_pass(r, 2);
	if (!err)
		err = recovery_write_home(r);
	if (!err)
		err = device_flush(r->options->dev);
	buffer_cancel_list(&r->writes);
	buffer_cache_destroy(r->cache);
	return err;
}

int log_recover(const struct recovery_options *options, struct list *intents, struct recovery_report *report)
{
	struct recovery r = {
		.options = options,
		.geo = options->geo,
		.report = report,
		.intents = intents,
	};
	int err;

	*report = (struct recovery_report){ .transactions = 0 };
	list_init(&r.writes);
	list_init(&r.torn);
	list_init(&r.visits);
	for (unsigned i = 0; i < INTENT_BUCKETS; i++)
		list_init(&r.intent_buckets[i]);
	err = cancel_table_init(&r.cancelled);
	if (!err)
		err = piece_table_init(&r.pieces);
	if (!err)
		err = run_pass(&r, 1);
	if (!err)
		err = replay(&r);
	piece_table_deinit(&r.pieces);
	cancel_table_deinit(&r.cancelled);
	recovery_forget_torn(&r);
	recovery_forget_visits(&r);
	if (err)
		recovered_intents_free(intents);
	return err;
}
