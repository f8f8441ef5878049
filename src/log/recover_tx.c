/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Putting transactions together from the operations in records.  (XFS: xlog_recover_process_data and what it calls.)
 *
 *	START			a transaction of this number begins
 *	-			a region: first the transaction's header, then those of its items
 *	CONTINUE		the first part of a region; more is in the next record
 *	WAS_CONT (CONTINUE)	a further part
 *	WAS_CONT END		the last part
 *	COMMIT			all of it is there
 *
 * The first region of an item says how many regions it has.  Operations of a transaction whose start lies before the
 * tail are nobody's.
 */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "recover.h"

enum {
	OPEN_MAX = 1024,		/* XFS has a handful */
	REGIONS_MAX = XFS_MAX_BLOCKSIZE / XFS_BLF_CHUNK / 2 + 1, /* XFS: XLOG_MAX_REGIONS_IN_ITEM */
	REGION_BYTES_MAX = 1 << 20,	/* a fork of the largest inode, a buffer, any intent: all are far below */
};

void tx_assembler_init(struct tx_assembler *a, int (*commit)(void *context, struct recovery_tx *tx), void *context)
{
	*a = (struct tx_assembler){ .commit = commit, .context = context };
	list_init(&a->open);
}

static void item_free(struct recovery_item *item)
{
	for (uint32_t i = 0; i < item->region_count; i++)
		mem_free(item->regions[i].data);
	mem_free(item->regions);
	mem_free(item);
}

static void tx_close(struct tx_assembler *a, struct recovery_tx *tx)
{
	while (!list_is_empty(&tx->items)) {
		struct recovery_item *item = list_first(&tx->items, struct recovery_item, node);

		list_remove(&item->node);
		item_free(item);
	}
	list_remove(&tx->node);
	a->open_count--;
	mem_free(tx);
}

void tx_assembler_deinit(struct tx_assembler *a)
{
	while (!list_is_empty(&a->open))
		tx_close(a, list_first(&a->open, struct recovery_tx, node));
}

static struct recovery_tx *find_open(struct tx_assembler *a, uint32_t tid)
{
	list_for_each(node, &a->open) {
		struct recovery_tx *tx = list_entry(node, struct recovery_tx, node);

		if (tx->tid == tid)
			return tx;
	}
	return NULL;
}

static int damaged(lsn_t lsn, const char *why)
{
	msg_error("log record %u:%u: %s; run xfs_repair", lsn_cycle(lsn), lsn_block(lsn), why);
	return -EFSCORRUPTED;
}

static int begin(struct tx_assembler *a, uint32_t tid, lsn_t lsn)
{
	struct recovery_tx *tx;

	if (a->open_count == OPEN_MAX)
		return damaged(lsn, "too many transactions at once");
	tx = mem_alloc_zeroed(sizeof(*tx));
	if (!tx)
		return -ENOMEM;
	tx->tid = tid;
	tx->lsn = lsn;
	list_init(&tx->items);
	list_push_back(&a->open, &tx->node);
	a->open_count++;
	return 0;
}

/* ---- regions --------------------------------------------------------------------------------------------------- */

static int add_header(struct recovery_tx *tx, const char *data, uint32_t bytes)
{
	if (bytes > sizeof(tx->header) - tx->header_bytes)
		return damaged(tx->lsn, "transaction with too long a header");
	memcpy((char *)&tx->header + tx->header_bytes, data, bytes);
	tx->header_bytes += bytes;
	if (tx->header_bytes >= sizeof(tx->header.th_magic) && tx->header.th_magic != XFS_TRANS_HEADER_MAGIC)
		return damaged(tx->lsn, "transaction with a bad header");
	return 0;
}

static struct recovery_item *last_item(const struct recovery_tx *tx)
{
	return list_is_empty(&tx->items) ? NULL : list_last(&tx->items, struct recovery_item, node);
}

/* How many regions the item says it has. */
static uint32_t regions_wanted(const struct recovery_item *item)
{
	uint16_t words[2];

	memcpy(words, item->regions[0].data, sizeof(words));
	return words[1];
}

static int new_item(struct recovery_tx *tx, const char *data, uint32_t bytes, struct recovery_item **out)
{
	struct recovery_item *item;
	uint16_t words[2];

	if (bytes < sizeof(words))
		return damaged(tx->lsn, "item that does not say what it is");
	memcpy(words, data, sizeof(words));
	if (!words[1] || words[1] > REGIONS_MAX)
		return damaged(tx->lsn, "item with a bad number of regions");
	item = mem_alloc_zeroed(sizeof(*item));
	if (!item)
		return -ENOMEM;
	item->type = words[0];
	list_push_back(&tx->items, &item->node);
	*out = item;
	return 0;
}

static int grow_regions(struct recovery_item *item)
{
	uint32_t max = item->region_max ? 2 * item->region_max : 4;
	struct recovery_region *regions = mem_resize(item->regions, max * sizeof(*regions));

	if (!regions)
		return -ENOMEM;
	item->regions = regions;
	item->region_max = max;
	return 0;
}

static int add_region(struct recovery_tx *tx, const char *data, uint32_t bytes)
{
	struct recovery_item *item = last_item(tx);
	struct recovery_region *region;
	int err = 0;

	if (!item || item->region_count == regions_wanted(item))
		err = new_item(tx, data, bytes, &item);
	if (!err && item->region_count == item->region_max)
		err = grow_regions(item);
	if (err)
		return err;
	region = &item->regions[item->region_count];
	region->data = mem_alloc(max_u64(bytes, 1));
	if (!region->data)
		return -ENOMEM;
	memcpy(region->data, data, bytes);
	region->bytes = bytes;
	item->region_count++;
	return 0;
}

static int continue_region(struct recovery_tx *tx, const char *data, uint32_t bytes)
{
	struct recovery_item *item = last_item(tx);
	struct recovery_region *region;
	void *longer;

	if (tx->header_bytes < sizeof(tx->header))
		return add_header(tx, data, bytes);
	if (!item)
		return damaged(tx->lsn, "rest of a region that has no beginning");
	region = &item->regions[item->region_count - 1];
	if (bytes > REGION_BYTES_MAX - region->bytes)
		return damaged(tx->lsn, "region that does not end");
	longer = mem_resize(region->data, max_u64(region->bytes + bytes, 1));
	if (!longer)
		return -ENOMEM;
	memcpy((char *)longer + region->bytes, data, bytes);
	region->data = longer;
	region->bytes += bytes;
	return 0;
}

/* ---- operations ------------------------------------------------------------------------------------------------ */

static int commit(struct tx_assembler *a, struct recovery_tx *tx)
{
	const struct recovery_item *item = last_item(tx);
	int err;

	if (tx->header_bytes < sizeof(tx->header) ||
	    (item && item->region_count != regions_wanted(item)))
		return damaged(tx->lsn, "transaction that ends in the middle");
	err = a->commit(a->context, tx);
	tx_close(a, tx);
	return err;
}

static int process(struct tx_assembler *a, lsn_t lsn, uint32_t tid, uint8_t flags, const char *data, uint32_t bytes)
{
	struct recovery_tx *tx = find_open(a, tid);

	if (flags & XLOG_START_TRANS) {
		/* One of the same number was cut off by an earlier crash. */
		if (tx)
			tx_close(a, tx);
		return begin(a, tid, lsn);
	}
	if (!tx)
		return 0;
	flags &= (uint8_t)~XLOG_END_TRANS;
	if (flags & XLOG_WAS_CONT_TRANS)
		flags &= (uint8_t)~XLOG_CONTINUE_TRANS;
	switch (flags) {
	case 0:
	case XLOG_CONTINUE_TRANS:
		if (!bytes)
			return 0;
		if (tx->header_bytes < sizeof(tx->header))
			return add_header(tx, data, bytes);
		return add_region(tx, data, bytes);
	case XLOG_WAS_CONT_TRANS:
		return continue_region(tx, data, bytes);
	case XLOG_COMMIT_TRANS:
		return commit(a, tx);
	case XLOG_UNMOUNT_TRANS:
		tx_close(a, tx);
		return 0;
	default:
		return damaged(lsn, "operation of an unknown kind");
	}
}

int tx_assembler_add(struct tx_assembler *a, const struct log_record *record)
{
	const char *p = record->payload;
	uint32_t left = record->payload_bytes;

	for (uint32_t i = 0; i < record->op_count; i++) {
		struct xlog_op_header op;
		uint32_t bytes;
		int err;

		if (left < sizeof(op))
			return damaged(record->lsn, "operation behind the end");
		memcpy(&op, p, sizeof(op));
		p += sizeof(op);
		left -= (uint32_t)sizeof(op);
		bytes = be32_to_cpu(op.oh_len);
		if (op.oh_clientid != XFS_TRANSACTION && op.oh_clientid != XFS_LOG)
			return damaged(record->lsn, "operation of nobody");
		if (bytes > left)
			return damaged(record->lsn, "operation that leaves the record");
		err = process(a, record->lsn, be32_to_cpu(op.oh_tid), op.oh_flags, p, bytes);
		if (err)
			return err;
		p += bytes;
		left -= bytes;
	}
	return 0;
}
