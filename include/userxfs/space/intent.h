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
#include <userxfs/log/tx.h>

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
