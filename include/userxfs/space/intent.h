/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Intents and their done items: the log's record of deferred work.  All four kinds that a volume of this program
 * writes look alike on disk and live alike in memory, so there is one implementation.  (XFS: xfs_extfree_item.c,
 * xfs_rmap_item.c, xfs_refcount_item.c, xfs_bmap_item.c.)
 *
 * An intent starts with two references: the log's, dropped when it is unpinned (or its transaction is cancelled), and
 * that of the work, dropped when the done item is on disk (or by intent_abort() when there will be none).  With the
 * last one it leaves the tail list and is freed, whichever of the two comes last.
 */
#include <stdint.h>

#include <userxfs/format/ondisk.h>
#include <userxfs/log/item.h>
#include <userxfs/log/recovery.h>
#include <userxfs/log/tx.h>
#include <userxfs/space/space.h>

#define INTENT_MAX_ITEMS 16	/* per intent (XFS: XFS_*_MAX_FAST_EXTENTS); BUI: 1 */

struct intent_type;

/* Entries: EFI xfs_extent_t; RUI and BUI struct xfs_map_extent; CUI struct xfs_phys_extent. */
extern const struct intent_type intent_efi, intent_rui, intent_cui, intent_bui;

/* A new intent of @count zeroed entries, joined to @tx and dirty; the caller fills all entries before the commit. */
struct log_item *intent_create(struct tx *tx, const struct intent_type *type, uint32_t count);
/* Entry @index of an intent. */
void *intent_entry(struct log_item *intent, uint32_t index);
/* The done item of @intent, joined to @tx and dirty.  An EFD gets the EFI's entries. */
struct log_item *intent_create_done(struct tx *tx, struct log_item *intent);
/* No done item will come (defer_type.abort_intent). */
void intent_abort(struct log_item *intent);

/* ---- after a crash ---- */

extern const struct recovery_item_type efi_recovery_type, efd_recovery_type, rui_recovery_type, rud_recovery_type,
	cui_recovery_type, cud_recovery_type, bui_recovery_type, bud_recovery_type;

/* The same intent in memory, in the tail list, with the work's reference alone. */
struct log_item *intent_adopt(struct log *log, const struct recovered_intent *from);
uint32_t intent_entry_count(struct log_item *intent);

/*
 * Queues what an adopted EFI, RUI or CUI promises in @tx (tx_defer_recovered()).  -EFSCORRUPTED, with a log line and
 * nothing queued: it cannot be meant.
 */
int space_recover_efi(struct tx *tx, struct space *space, struct log_item *efi);
int space_recover_rui(struct tx *tx, struct space *space, struct log_item *rui);
int space_recover_cui(struct tx *tx, struct space *space, struct log_item *cui);
