// SPDX-License-Identifier: GPL-2.0
/*
 * Freeing blocks later in the chain of transactions, with an intent (EFI) that says so in the log.
 * (XFS: xfs_free_extent_later, xfs_extent_free_defer_type, xfs_agfl_free_defer_type.)
 *
 * Blocks that an AGFL has too many are freed this way, too, because inside of a change of the trees there is no room
 * for another.  For recovery the two are the same.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/space/intent.h>

#include "alloc_private.h"

struct deferred_free {
	struct defer_item item;
	struct space *space;
	struct fsblk start;
	uint32_t count;
	struct rmap_owner owner;
	enum ag_reservation resv;
};

static struct deferred_free *from_item(const struct defer_item *item)
{
	return container_of((struct defer_item *)item, struct deferred_free, item);
}

/* Ascending, so that AGs are locked in order. */
static int compare(const struct defer_item *a, const struct defer_item *b)
{
	uint64_t x = from_item(a)->start.v, y = from_item(b)->start.v;

	return x < y ? -1 : x > y;
}

static struct log_item *create_intent(struct tx *tx, struct list *items, uint32_t count)
{
	struct log_item *intent = intent_create(tx, &intent_efi, count);
	uint32_t i = 0;

	list_for_each(node, items) {
		struct deferred_free *f = from_item(list_entry(node, struct defer_item, node));
		struct xfs_extent *entry = intent_entry(intent, i++);

		entry->ext_start = f->start.v;
		entry->ext_len = f->count;
	}
	ensure(i == count);
	return intent;
}

static struct log_item *create_done(struct tx *tx, struct log_item *intent, uint32_t count)
{
	return intent_create_done(tx, intent);
}

static void free_item(struct defer_item *item)
{
	mem_free(from_item(item));
}

static int finish_free(struct tx *tx, struct log_item *done, struct defer_item *item, void **state)
{
	struct deferred_free *f = from_item(item);
	int err;

	err = free_extent_try(tx, f->space, f->start, f->count, &f->owner, f->resv);
	if (err != -EAGAIN)
		free_item(item);
	return err;
}

static int finish_agfl_free(struct tx *tx, struct log_item *done, struct defer_item *item, void **state)
{
	struct deferred_free *f = from_item(item);
	const struct geometry *geo = f->space->geo;
	struct ag *ag = space_ag(f->space, fsblk_agno(geo, f->start));
	struct free_extent extent = { fsblk_agblk(geo, f->start), 1 };
	struct buffer *agf, *buf;
	int err;

	err = ag_read_agf(tx, ag, false, &agf);
	if (!err)
		err = free_extent_in_ag(tx, ag, agf, extent, &f->owner, AG_RESV_AGFL);
	/* Nobody can say which of the blocks that are together now are busy. */
	ag->busy_prefix.wanted = 0;
	/* A tree may have had it before: what is cached of it must not be written any more. */
	if (!err)
		err = tx_buffer_get(tx, fsblk_to_daddr(geo, f->start), geo->block_bytes >> SECTOR_UNIT_LOG, &buf);
	if (!err)
		tx_buffer_invalidate(tx, buf);
	free_item(item);
	return err;
}

static const struct defer_type defer_free = {
	.name = "free",
	.max_items = INTENT_MAX_ITEMS,
	.compare = compare,
	.create_intent = create_intent,
	.create_done = create_done,
	.finish_item = finish_free,
	.cancel_item = free_item,
	.abort_intent = intent_abort,
};

static const struct defer_type defer_agfl_free = {
	.name = "AGFL free",
	.max_items = INTENT_MAX_ITEMS,
	.compare = compare,
	.create_intent = create_intent,
	.create_done = create_done,
	.finish_item = finish_agfl_free,
	.cancel_item = free_item,
	.abort_intent = intent_abort,
};

static void defer(struct tx *tx, const struct defer_type *type, const struct deferred_free *template)
{
	struct deferred_free *f = mem_alloc_sure(sizeof(*f));

	*f = *template;
	tx_defer(tx, type, &f->item);
}

void space_free_deferred(struct tx *tx, struct space *space, struct fsblk start, uint32_t count,
			 const struct rmap_owner *owner, enum ag_reservation resv, bool skip_discard)
{
	struct deferred_free f = { .space = space, .start = start, .count = count, .owner = *owner, .resv = resv };

	defer(tx, &defer_free, &f);
}

void agfl_free_deferred(struct tx *tx, struct ag *ag, agblk_t agblk)
{
	struct deferred_free f = { .space = ag->space, .start = fsblk_make(ag->space->geo, ag->agno, agblk),
				   .count = 1, .owner = rmap_owner_ag, .resv = AG_RESV_AGFL };

	defer(tx, &defer_agfl_free, &f);
}

/* ---- after a crash ---- */

/* Whose the blocks were is not in the log: whatever the reverse map still says of them goes. */
static const struct rmap_owner any_owner = { .owner = XFS_RMAP_OWN_UNKNOWN };

int space_recover_efi(struct tx *tx, struct space *space, struct log_item *efi)
{
	struct list items = LIST_INIT(items);

	for (uint32_t i = 0; i < intent_entry_count(efi); i++) {
		const struct xfs_extent *entry = intent_entry(efi, i);

		if (!geometry_is_valid_extent(space->geo, (struct fsblk){ entry->ext_start }, entry->ext_len)) {
			msg_error("the log promises to free blocks that do not exist; run xfs_repair");
			return -EFSCORRUPTED;
		}
	}
	for (uint32_t i = 0; i < intent_entry_count(efi); i++) {
		const struct xfs_extent *entry = intent_entry(efi, i);
		struct deferred_free *f = mem_alloc_zeroed_sure(sizeof(*f));

		f->space = space;
		f->start = (struct fsblk){ entry->ext_start };
		f->count = entry->ext_len;
		f->owner = any_owner;
		f->resv = AG_RESV_NONE;
		list_push_back(&items, &f->item.node);
	}
	tx_defer_recovered(tx, &defer_free, &items, efi);
	return 0;
}
