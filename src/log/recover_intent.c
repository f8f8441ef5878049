/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Intents in the log: those whose done item comes later are of no interest.  (XFS: xlog_recover_intent_item,
 * xlog_recover_release_intent.)
 */
#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "recover.h"

enum {
	LIVE_MAX = 1 << 17,		/* at one time; far more than a log can promise to finish */
};

/* What all intents and done items begin with. */
struct intent_prefix {
	uint16_t type, region_count;
	uint32_t entry_count;
	uint64_t id;
};

static struct intent_prefix prefix_of(const struct recovery_item *item)
{
	struct intent_prefix prefix;

	memcpy(&prefix, item->regions[0].data, sizeof(prefix));
	return prefix;
}

static struct list *bucket_of(struct recovery *r, uint16_t type, uint64_t id)
{
	return &r->intent_buckets[hash_u64_pair(type, id) % INTENT_BUCKETS];
}

int recovery_note_intent(struct recovery *r, const struct recovery_item *item, lsn_t lsn)
{
	const struct recovery_region *region = &item->regions[0];
	struct intent_prefix prefix = prefix_of(item);
	struct recovered_intent *intent;

	if (r->report->intents == LIVE_MAX) {
		msg_error("the log holds more unfinished work than any volume has; run xfs_repair");
		return -EFSCORRUPTED;
	}
	intent = mem_alloc_zeroed(sizeof(*intent) + region->bytes);
	if (!intent)
		return -ENOMEM;
	intent->type = item->type;
	intent->id = prefix.id;
	intent->lsn = lsn;
	intent->bytes = region->bytes;
	memcpy(intent->data, region->data, region->bytes);
	list_push_back(r->intents, &intent->node);
	list_push_back(bucket_of(r, intent->type, intent->id), &intent->hash_node);
	r->report->intents++;
	return 0;
}

void recovery_note_done(struct recovery *r, const struct recovery_item *item)
{
	uint16_t type = (uint16_t)(item->type - 1);
	uint64_t id = prefix_of(item).id;

	/* One whose intent lies before the tail ends nothing. */
	list_for_each(node, bucket_of(r, type, id)) {
		struct recovered_intent *intent = list_entry(node, struct recovered_intent, hash_node);

		if (intent->type != type || intent->id != id)
			continue;
		list_remove(&intent->node);
		list_remove(&intent->hash_node);
		mem_free(intent);
		r->report->intents--;
		return;
	}
}
