// SPDX-License-Identifier: GPL-2.0
/*
 * Recovery of a volume whose log is dirty.  (XFS: xfs_log_mount, xfs_log_mount_finish.)
 *
 * It is a short mount of its own, before the real one, that leaves a clean log behind:
 *
 *	replay		everything committed goes home; log_recover()
 *	intents		work that a crash cut off is finished, in the order it was begun; what follows from it comes
 *			after the last of them
 *	staging		blocks of copies on write that did not end are freed
 *	orphans		unlinked inodes that nobody has open any more are freed
 *	counters	the superblock gets the sums over all AGs
 *
 * Cut off at any point, it can begin again.
 *
 * A read-only mount does the same on top of a device that keeps what is written to it in memory: the image stays as
 * it is, byte for byte, and what is seen is what a real recovery would have left.
 */
#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/extent/map.h>
#include <userxfs/space/intent.h>
#include <userxfs/space/refcount.h>

#include "volume_private.h"

static const struct recovery_item_type *const item_types[] = {
	&inode_recovery_type, &dquot_recovery_type, &icreate_recovery_type,
	&efi_recovery_type, &efd_recovery_type, &rui_recovery_type, &rud_recovery_type,
	&cui_recovery_type, &cud_recovery_type, &bui_recovery_type, &bud_recovery_type,
};

/* ---- intents --------------------------------------------------------------------------------------------------- */

/* An intent found in the log, in memory again. */
struct adopted {
	struct list node;
	uint16_t type;
	struct log_item *item;
};

/* All of them before the first transaction: they keep the tail of the log where it is. */
static void adopt_all(struct volume *vol, struct list *recovered, struct list *adopted)
{
	while (!list_is_empty(recovered)) {
		struct recovered_intent *from = list_first(recovered, struct recovered_intent, node);
		struct adopted *a = mem_alloc_zeroed_sure(sizeof(*a));

		a->type = from->type;
		a->item = intent_adopt(vol->log, from);
		list_push_back(adopted, &a->node);
		list_remove(&from->node);
		mem_free(from);
	}
}

static int queue_work(struct tx *tx, struct volume *vol, const struct adopted *a)
{
	switch (a->type) {
	case XFS_LI_EFI:
		return space_recover_efi(tx, vol->space, a->item);
	case XFS_LI_RUI:
		return space_recover_rui(tx, vol->space, a->item);
	case XFS_LI_CUI:
		return space_recover_cui(tx, vol->space, a->item);
	default:
		return inode_recover_bui(tx, vol->inodes, a->item);
	}
}

static int begin(struct volume *vol, struct tx **out)
{
	/* For a tree that grows; what keeps reservations of its own takes nothing from here. */
	uint64_t blocks = 2 * BTREE_MAX_LEVELS;
	int err = tx_begin(vol->log, &log_reservations(vol->log)->truncate, blocks, TX_USE_POOL, out);

	/* On a full volume the trees that free space need none. */
	return err == -ENOSPC ? tx_begin(vol->log, &log_reservations(vol->log)->truncate, 0, 0, out) : err;
}

/* *taken: the item is no longer ours. */
static int finish_one(struct volume *vol, const struct adopted *a, struct list *chains, bool *taken)
{
	struct tx *tx;
	int err = begin(vol, &tx);

	if (err)
		return err;
	err = queue_work(tx, vol, a);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	*taken = true;
	return tx_commit_captured(tx, chains);
}

static int finish_chain(struct volume *vol, struct deferred_chain *chain)
{
	struct tx *tx;
	int err = begin(vol, &tx);

	return err ? err : tx_commit_chain(tx, chain);
}

static int finish_all(struct volume *vol, struct list *adopted, struct list *chains)
{
	int err = 0;

	while (!err && !list_is_empty(adopted)) {
		struct adopted *a = list_first(adopted, struct adopted, node);
		bool taken = false;

		err = finish_one(vol, a, chains, &taken);
		if (taken) {
			list_remove(&a->node);
			mem_free(a);
		}
	}
	while (!err && !list_is_empty(chains))
		err = finish_chain(vol, list_first(chains, struct deferred_chain, node));
	return err;
}

static void abort_all(struct list *adopted, struct list *chains)
{
	list_for_each_safe(node, adopted) {
		struct adopted *a = list_entry(node, struct adopted, node);

		intent_abort(a->item);
		list_remove(&a->node);
		mem_free(a);
	}
	while (!list_is_empty(chains))
		deferred_chain_cancel(list_first(chains, struct deferred_chain, node));
}

static int finish_intents(struct volume *vol, struct list *recovered)
{
	struct list adopted = LIST_INIT(adopted), chains = LIST_INIT(chains);
	int err;

	adopt_all(vol, recovered, &adopted);
	err = finish_all(vol, &adopted, &chains);
	if (!err)
		return log_force(vol->log, 0, NULL);
	log_shutdown(vol->log, SHUTDOWN_CORRUPT_INCORE, "log recovery");
	abort_all(&adopted, &chains);
	return err;
}

/* ---- what else a crash leaves behind --------------------------------------------------------------------------- */

static int free_staging(struct volume *vol)
{
	int err = 0;

	for (agno_t agno = 0; agno < vol->geo.ag_count && !err; agno++)
		err = refcount_free_leftover_cow(vol->space, agno);
	return err;
}

/*
 * One that is broken stays where it is: that costs its space, not the volume.  But when the disk or memory fails, the
 * log must not become clean: it is what makes the next recovery look for them again.
 */
static int free_orphans(struct volume *vol, uint64_t *count)
{
	int err = inode_recover_unlinked(vol->inodes);

	while (namespace_inactivate_pass(&vol->ns))
		(*count)++;
	if (vol->ns.has_leftovers)
		return -EIO;
	if (err != -EFSCORRUPTED && err != -EFSBADCRC)
		return err;
	msg_warning("%s: not all unlinked inodes could be freed; run xfs_repair", vol->options.device);
	return 0;
}

/* ---- the short mount ------------------------------------------------------------------------------------------- */

static int finish(struct volume *vol, struct list *intents, struct volume_recovery_report *report)
{
	int err = finish_intents(vol, intents);

	if (!err)
		err = free_staging(vol);
	if (!err)
		err = volume_reset_quota_flags(vol);
	if (!err)
		err = free_orphans(vol, &report->orphans);
	if (!err)
		err = log_quiesce(vol->log);
	return err ? err : volume_leave_clean_log(vol);
}

static int replay_and_finish(struct volume *vol, uint64_t log_off, const struct log_head *head, uint8_t *sb,
			     struct volume_recovery_report *report)
{
	struct recovery_options options = {
		.dev = vol->dev,
		.log_dev = vol->log_dev,
		.log_off_bytes = log_off,
		.geo = &vol->geo,
		.head = head,
		.types = item_types,
		.type_count = sizeof(item_types) / sizeof(item_types[0]),
	};
	struct log_head replayed = *head;
	struct list intents = LIST_INIT(intents);
	int err;

	err = log_recover(&options, &intents, &report->log);
	if (err)
		return err;
	replayed.state = LOG_REPLAYED;
	/* Of the volume as it is now: it may have grown. */
	err = volume_read_superblock(vol, sb, SUPERBLOCK_READ_BYTES);
	if (!err)
		err = volume_start_metadata(vol, sb, log_off, &replayed, true);
	if (!err)
		err = finish(vol, &intents, report);
	if (err && vol->log) {
		log_shutdown(vol->log, SHUTDOWN_FORCED, "log recovery failed");
		/* Items leave the log before the inodes go that they are parts of. */
		log_quiesce(vol->log);
	}
	recovered_intents_free(&intents);
	volume_stop_rooms(vol);
	return err;
}

/* Nothing that is written from here on reaches the disk. */
static int cover_devices(struct volume *vol)
{
	bool is_internal = vol->log_dev == vol->dev;
	int err = device_create_overlay(vol->dev, &vol->dev);

	if (is_internal)
		vol->log_dev = vol->dev;
	else if (!err)
		err = device_create_overlay(vol->log_dev, &vol->log_dev);
	return err;
}

int volume_replay(struct volume *vol, uint64_t log_off, const struct log_head *head, uint8_t *sb,
		  struct volume_recovery_report *report)
{
	const char *device = vol->options.device;
	bool was_read_only = vol->is_read_only;
	int err = 0;

	/* Features that this program can only read keep it from replaying as well. */
	vol->is_read_only = false;
	err = volume_read_superblock(vol, sb, SUPERBLOCK_READ_BYTES);
	vol->is_read_only = was_read_only;
	if (!err && was_read_only)
		err = cover_devices(vol);
	if (err)
		return err;
	msg_info("%s: starting recovery of the log%s", device, was_read_only ? ", in memory only" : "");
	report->was_dirty = true;
	vol->is_read_only = false;
	err = replay_and_finish(vol, log_off, head, sb, report);
	vol->is_read_only = was_read_only;
	if (err) {
		msg_error("%s: the log could not be replayed: %s; mount the volume with the kernel, look at it with "
			  "-o ro,norecovery, or run xfs_repair",
			  device, strerror(-err));
		return -EUCLEAN;
	}
	msg_info("%s: ending recovery: %llu transactions, %llu buffers, %llu inodes, %llu intents, %llu orphans",
		 device, (unsigned long long)report->log.transactions, (unsigned long long)report->log.buffers,
		 (unsigned long long)report->log.inodes, (unsigned long long)report->log.intents,
		 (unsigned long long)report->orphans);
	return 0;
}
