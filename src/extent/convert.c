// SPDX-License-Identifier: GPL-2.0
/*
 * Writeback's part: delayed becomes unwritten.  (XFS: xfs_bmapi_convert_delalloc.)
 *
 * Always the whole delayed extent from its own start, however little of it is being written, so that a file grows on
 * disk in large pieces.  Each piece is a transaction that reserves no blocks: the delayed extent did.
 */
#include <userxfs/base/error.h>
#include <userxfs/extent/delay.h>
#include <userxfs/log/log.h>

#include "alloc.h"
#include "edit.h"
#include "write.h"

/* Lock held.  Makes the head of the delayed extent around @off real.  *changed: it was delayed. */
static int convert_head(struct tx *tx, struct file_map *map, enum fork_which which, fileblk_t off, bool *changed)
{
	struct tree_cursor cur;
	struct fsblk start;
	struct irec rec;
	int err;

	*changed = false;
	if (!tree_lookup(&map_fork(map, which)->tree, off, &cur, &rec) || rec.ext.off > off)
		return -EAGAIN;
	if (rec.ext.state != EXTENT_DELAYED)
		return 0;
	err = edit_check_count(map, which, 1);
	if (err)
		return err;
	*changed = true;
	err = map_make_real(tx, map, which, rec.ext.off, rec.ext.count, MAP_UNWRITTEN, 0,
			    map_min_left(tx, map, which), &start);
	return !err && fsblk_is_none(start) ? -ENOSPC : err;
}

/* One transaction.  *covered: the extent at @off is real, and in *got. */
static int convert_step(struct file_map *map, enum fork_which which, fileblk_t off, bool *covered, struct extent *got,
			uint32_t *sequence)
{
	struct log *log = space_log(map->space);
	struct fork *fork = map_fork(map, which);
	struct tree_cursor cur;
	struct irec rec;
	struct tx *tx;
	bool changed;
	int err;

	err = tx_begin(log, &log_reservations(log)->write, 0, TX_USE_POOL, &tx);
	if (err)
		return err;
	rwlock_write_lock(map->lock);
	tx_join(tx, map->item);
	err = map_load(map, which);
	if (!err)
		err = convert_head(tx, map, which, off, &changed);
	if (err)
		goto cancel;
	*covered = tree_lookup(&fork->tree, off, &cur, &rec) && rec.ext.off <= off && rec.ext.state != EXTENT_DELAYED;
	if (*covered) {
		*got = rec.ext;
		*sequence = atomic_load(&fork->sequence);
	}
	if (changed)
		err = tx_commit(tx);
	else
		tx_cancel(tx);
	rwlock_write_unlock(map->lock);
	return err;

cancel:
	tx_cancel(tx);
	rwlock_write_unlock(map->lock);
	return err;
}

int delay_convert(struct file_map *map, enum fork_which which, fileblk_t off, struct extent *got, uint32_t *sequence)
{
	bool covered = false;
	int err = 0;

	while (!err && !covered)
		err = convert_step(map, which, off, &covered, got, sequence);
	return err;
}
