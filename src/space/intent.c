// SPDX-License-Identifier: GPL-2.0
/*
 * Intent and done log items, see <userxfs/space/intent.h>.
 *
 * On disk an intent is one region: type and region count (16 bits each), the number of entries (32), the id (64),
 * then the entries.  A done item has the same head with the intent's id and no entries, but for the EFD, which
 * repeats them. The id only has to be unique among the live intents of one log: the address of the intent is.
 */
#include <stdatomic.h>

#include <userxfs/base/error.h>
#include <userxfs/base/list.h>
#include <userxfs/base/memory.h>
#include <userxfs/space/intent.h>

/* The common head of the eight formats. */
struct intent_head {
	uint16_t type;
	uint16_t region_count;
	uint32_t entry_count;
	uint64_t id;
};

_Static_assert(sizeof(struct intent_head) == sizeof(struct xfs_efi_log_format), "EFI head");
_Static_assert(sizeof(struct intent_head) == sizeof(struct xfs_efd_log_format), "EFD head");
_Static_assert(sizeof(struct intent_head) == sizeof(struct xfs_rui_log_format), "RUI head");
_Static_assert(sizeof(struct intent_head) == sizeof(struct xfs_rud_log_format), "RUD head");
_Static_assert(sizeof(struct intent_head) == sizeof(struct xfs_cui_log_format), "CUI head");
_Static_assert(sizeof(struct intent_head) == sizeof(struct xfs_cud_log_format), "CUD head");
_Static_assert(sizeof(struct intent_head) == sizeof(struct xfs_bui_log_format), "BUI head");
_Static_assert(sizeof(struct intent_head) == sizeof(struct xfs_bud_log_format), "BUD head");
_Static_assert(offsetof(struct intent_head, id) == offsetof(struct xfs_cui_log_format, cui_id), "CUI id");
_Static_assert(offsetof(struct intent_head, id) == offsetof(struct xfs_cud_log_format, cud_cui_id), "CUD id");

struct intent_type {
	struct log_item_ops intent_ops, done_ops;
	uint32_t intent_region, done_region;	/* XLOG_REG_TYPE_* */
	uint32_t entry_bytes;
	bool done_repeats_entries;
};

/* An intent, or a done item (then .intent is what it ends, and .refs is not used). */
struct intent {
	struct log_item item;
	const struct intent_type *type;
	struct intent *intent;
	_Atomic uint32_t refs;
	uint32_t bytes;				/* of the region that follows */
	struct intent_head head;
};

static struct intent *intent_of(struct log_item *item)
{
	return container_of(item, struct intent, item);
}

static void intent_put(struct intent *intent)
{
	if (atomic_fetch_sub(&intent->refs, 1) != 1)
		return;
	log_item_done(&intent->item);
	mem_free(intent);
}

static void done_free(struct intent *done)
{
	intent_put(done->intent);
	mem_free(done);
}

static void intent_size(struct log_item *item, uint32_t *regions, uint32_t *bytes)
{
	*regions += 1;
	*bytes += intent_of(item)->bytes;
}

static void intent_format(struct log_item *item, struct log_region_writer *w)
{
	struct intent *intent = intent_of(item);

	log_region_add(w, intent->type->intent_region, &intent->head, intent->bytes);
}

static void done_format(struct log_item *item, struct log_region_writer *w)
{
	struct intent *done = intent_of(item);

	log_region_add(w, done->type->done_region, &done->head, done->bytes);
}

/* A committed intent stays until it is unpinned; one whose transaction failed has lost the log's reference. */
static void intent_release(struct log_item *item, bool dirty, bool aborted)
{
	if (aborted || !dirty)
		intent_put(intent_of(item));
}

static void done_release(struct log_item *item, bool dirty, bool aborted)
{
	if (aborted || !dirty)
		done_free(intent_of(item));
}

static void intent_unpin(struct log_item *item, bool aborted)
{
	intent_put(intent_of(item));
}

static void done_unpin(struct log_item *item, bool aborted)
{
	done_free(intent_of(item));
}

static lsn_t intent_committed(struct log_item *item, lsn_t lsn)
{
	return lsn;
}

static lsn_t done_committed(struct log_item *item, lsn_t lsn)
{
	return 0;
}

/* Nothing writes an intent home: it goes when its work is done.  The done item is in the log or about to be. */
static enum log_push_result intent_push(struct log_item *item, struct list *writes)
{
	return LOG_PUSH_PINNED;
}

#define INTENT_OPS(name_, type_) { \
	.name = (name_), .type = (type_), .size = intent_size, .format = intent_format, .release = intent_release, \
	.unpin = intent_unpin, .committed = intent_committed, .push = intent_push }
#define DONE_OPS(name_, type_) { \
	.name = (name_), .type = (type_), .size = intent_size, .format = done_format, .release = done_release, \
	.unpin = done_unpin, .committed = done_committed }

const struct intent_type intent_efi = {
	.intent_ops = INTENT_OPS("efi", XFS_LI_EFI),
	.done_ops = DONE_OPS("efd", XFS_LI_EFD),
	.intent_region = XLOG_REG_TYPE_EFI_FORMAT,
	.done_region = XLOG_REG_TYPE_EFD_FORMAT,
	.entry_bytes = sizeof(xfs_extent_t),
	.done_repeats_entries = true,
};

const struct intent_type intent_rui = {
	.intent_ops = INTENT_OPS("rui", XFS_LI_RUI),
	.done_ops = DONE_OPS("rud", XFS_LI_RUD),
	.intent_region = XLOG_REG_TYPE_RUI_FORMAT,
	.done_region = XLOG_REG_TYPE_RUD_FORMAT,
	.entry_bytes = sizeof(struct xfs_map_extent),
};

const struct intent_type intent_cui = {
	.intent_ops = INTENT_OPS("cui", XFS_LI_CUI),
	.done_ops = DONE_OPS("cud", XFS_LI_CUD),
	.intent_region = XLOG_REG_TYPE_CUI_FORMAT,
	.done_region = XLOG_REG_TYPE_CUD_FORMAT,
	.entry_bytes = sizeof(struct xfs_phys_extent),
};

const struct intent_type intent_bui = {
	.intent_ops = INTENT_OPS("bui", XFS_LI_BUI),
	.done_ops = DONE_OPS("bud", XFS_LI_BUD),
	.intent_region = XLOG_REG_TYPE_BUI_FORMAT,
	.done_region = XLOG_REG_TYPE_BUD_FORMAT,
	.entry_bytes = sizeof(struct xfs_map_extent),
};

static struct intent *intent_new(struct log *log, const struct intent_type *type, const struct log_item_ops *ops,
				 uint32_t entries)
{
	uint32_t bytes = sizeof(struct intent_head) + entries * type->entry_bytes;
	struct intent *intent = mem_alloc_zeroed_sure(offsetof(struct intent, head) + bytes);

	log_item_init(log, &intent->item, ops);
	intent->type = type;
	intent->bytes = bytes;
	intent->head.type = ops->type;
	intent->head.region_count = 1;
	intent->head.entry_count = entries;
	return intent;
}

struct log_item *intent_create(struct tx *tx, const struct intent_type *type, uint32_t count)
{
	struct intent *intent = intent_new(tx_log(tx), type, &type->intent_ops, count);

	ensure(count > 0);
	intent->head.id = (uintptr_t)intent;
	atomic_init(&intent->refs, 2);
	tx_join(tx, &intent->item);
	tx_mark_dirty(tx, &intent->item);
	return &intent->item;
}

void *intent_entry(struct log_item *item, uint32_t index)
{
	struct intent *intent = intent_of(item);

	ensure(index < intent->head.entry_count);
	return (char *)(&intent->head + 1) + (size_t)index * intent->type->entry_bytes;
}

struct log_item *intent_create_done(struct tx *tx, struct log_item *item)
{
	struct intent *intent = intent_of(item);
	const struct intent_type *type = intent->type;
	uint32_t entries = type->done_repeats_entries ? intent->head.entry_count : 0;
	struct intent *done = intent_new(tx_log(tx), type, &type->done_ops, entries);

	done->intent = intent;
	done->head.id = intent->head.id;
	memcpy(&done->head + 1, &intent->head + 1, (size_t)entries * type->entry_bytes);
	tx_join(tx, &done->item);
	tx_mark_dirty(tx, &done->item);
	return &done->item;
}

void intent_abort(struct log_item *item)
{
	intent_put(intent_of(item));
}

/* ---- after a crash ---- */

static const struct intent_type *type_of(uint16_t log_type)
{
	static const struct intent_type *const types[] = { &intent_efi, &intent_rui, &intent_cui, &intent_bui };

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (types[i]->intent_ops.type == log_type || types[i]->done_ops.type == log_type)
			return types[i];
	}
	return NULL;
}

/* Extents of EFIs and EFDs of 32-bit machines are not padded. */
#define PACKED_EXTENT_BYTES 12

static const char *check_intent(const struct geometry *geo, const struct recovery_item *item)
{
	const struct intent_type *type = type_of(item->type);
	const struct recovery_region *region = &item->regions[0];
	struct intent_head head;
	uint64_t room;

	(void)geo;
	if (item->region_count != 1 || region->bytes < sizeof(head))
		return "is of a wrong length";
	memcpy(&head, region->data, sizeof(head));
	room = region->bytes - sizeof(head);
	if (item->type != type->intent_ops.type)
		return NULL;
	if (!head.entry_count)
		return "promises nothing";
	if (room == (uint64_t)head.entry_count * type->entry_bytes ||
	    (type == &intent_efi && room == (uint64_t)head.entry_count * PACKED_EXTENT_BYTES))
		return NULL;
	return "has another number of entries than it says";
}

#define INTENT_RECOVERY(name_, type_, kind_) \
	{ .name = (name_), .type = (type_), .kind = (kind_), .order = RECOVERY_NORMAL, .check = check_intent }

const struct recovery_item_type efi_recovery_type = INTENT_RECOVERY("efi", XFS_LI_EFI, RECOVERY_INTENT);
const struct recovery_item_type efd_recovery_type = INTENT_RECOVERY("efd", XFS_LI_EFD, RECOVERY_DONE);
const struct recovery_item_type rui_recovery_type = INTENT_RECOVERY("rui", XFS_LI_RUI, RECOVERY_INTENT);
const struct recovery_item_type rud_recovery_type = INTENT_RECOVERY("rud", XFS_LI_RUD, RECOVERY_DONE);
const struct recovery_item_type cui_recovery_type = INTENT_RECOVERY("cui", XFS_LI_CUI, RECOVERY_INTENT);
const struct recovery_item_type cud_recovery_type = INTENT_RECOVERY("cud", XFS_LI_CUD, RECOVERY_DONE);
const struct recovery_item_type bui_recovery_type = INTENT_RECOVERY("bui", XFS_LI_BUI, RECOVERY_INTENT);
const struct recovery_item_type bud_recovery_type = INTENT_RECOVERY("bud", XFS_LI_BUD, RECOVERY_DONE);

static void copy_entries(struct intent *intent, const struct recovered_intent *from)
{
	const char *entries = (const char *)from->data + sizeof(struct intent_head);
	uint32_t count = intent->head.entry_count, bytes = intent->type->entry_bytes;
	bool is_packed = from->bytes - sizeof(struct intent_head) != (uint64_t)count * bytes;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t step = is_packed ? PACKED_EXTENT_BYTES : bytes;

		memcpy((char *)(&intent->head + 1) + (size_t)i * bytes, entries + (size_t)i * step, step);
	}
}

struct log_item *intent_adopt(struct log *log, const struct recovered_intent *from)
{
	const struct intent_type *type = type_of(from->type);
	struct intent_head head;
	struct intent *intent;

	memcpy(&head, from->data, sizeof(head));
	intent = intent_new(log, type, &type->intent_ops, head.entry_count);
	intent->head.id = from->id;
	copy_entries(intent, from);
	atomic_init(&intent->refs, 1);
	log_item_recovered(&intent->item, from->lsn);
	return &intent->item;
}

uint32_t intent_entry_count(struct log_item *item)
{
	return intent_of(item)->head.entry_count;
}
