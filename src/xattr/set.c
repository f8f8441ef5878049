// SPDX-License-Identifier: GPL-2.0
/*
 * Setting and removing.  (XFS: xfs_attr_set, xfs_attr_set_iter, xfs_attr_remove_iter.)
 *
 * What fits inline is one transaction.  In leaves, a new value next to an old one, or one in blocks of its own, takes
 * several, and after a crash between any two of them either the old or the new value is there, whole:
 *
 *	t0   add the new entry, flagged INCOMPLETE: lookups do not see it
 *	t1   map blocks for its value (several transactions); write the value
 *	t2   clear the new entry's flag, set the old one's: the moment of change
 *	t3   unmap the blocks of the old value (several transactions)
 *	t4   remove the old entry
 *
 * A value that cannot be written takes the new entry with it.  A crash after t0 or t2 leaves an entry with the flag.
 * The next change of that name removes it; blocks that it had are freed with the inode, as it does not know them.
 */
#include "internal.h"

#include <string.h>
#include <sys/xattr.h>

#include <userxfs/base/message.h>

static struct log *log_of(const struct inode *inode)
{
	return inode_cache_log(inode->cache);
}

/* The transaction takes the map_lock over. */
static int begin(struct attr_op *op, const struct tx_reservation *res, uint32_t blocks) NO_LOCK_ANALYSIS
{
	uint32_t flags = op->space & XFS_ATTR_ROOT ? TX_USE_POOL : 0;
	int err;

	err = tx_begin(log_of(op->inode), res, blocks, flags, &op->tx);
	if (err)
		return err;
	op->blocks = blocks;
	rwlock_write_lock(&op->inode->map_lock);
	inode_join(op->tx, op->inode, true);
	err = map_load(&op->inode->map, FORK_ATTR);
	if (!err)
		err = map_load(&op->inode->map, FORK_DATA);
	if (err)
		tx_cancel(op->tx);
	return err;
}

static int finish(struct attr_op *op, int err)
{
	if (err) {
		tx_cancel(op->tx);
		return err;
	}
	inode_touch(op->tx, op->inode, INODE_CTIME);
	return tx_commit(op->tx);
}

static bool may_change(const struct inode *inode)
{
	return !(inode->di_flags & (XFS_DIFLAG_IMMUTABLE | XFS_DIFLAG_APPEND));
}

static int exists(struct attr_op *op, bool *out)
{
	struct attr_value value;
	struct attr_tree at;
	int err;

	*out = false;
	if (attr_is_empty(op->inode))
		return 0;
	if (op->inode->map.attr.format != FORK_LOCAL)
		return attr_tree_find(op, &at, out);
	err = short_attr_find(op, &value);
	*out = !err;
	return err == -ENODATA ? 0 : err;
}

/* Removes the entry that has the INCOMPLETE flag, if there is one. */
static int remove_incomplete(struct attr_op *op, bool may_go_inline)
{
	struct attr_tree at;
	bool found;
	int err;

	op->wants_incomplete = true;
	err = attr_tree_find(op, &at, &found);
	if (!err && found)
		err = attr_tree_remove(op, &at, may_go_inline);
	return err;
}

/* The new entry becomes visible and the old one, if any, hidden; *old is where its value is. */
static int flip(struct attr_op *op, bool has_old, uint32_t value_blk, struct attr_value *old)
{
	struct da_block *leaf, old_leaf = { 0 };
	struct attr_tree at;
	struct leaf_key key;
	bool found = true;
	int err = 0;

	if (has_old) {
		op->wants_incomplete = false;
		err = attr_tree_find(op, &at, &found);
		if (!err && found)
			old_leaf = *attr_tree_leaf(&at);
	}
	if (!err && found) {
		op->wants_incomplete = true;
		err = attr_tree_find(op, &at, &found);
	}
	if (!err && !found)
		err = attr_corrupt(op->inode, "an entry vanished while it was being changed");
	if (err)
		return err;
	leaf = attr_tree_leaf(&at);
	attr_leaf_get(leaf->buf->data, leaf->index, &key);
	attr_tree_update(op, leaf->buf, leaf->index, key.flags & ~XFS_ATTR_INCOMPLETE, value_blk, op->value_length);
	if (!has_old)
		return 0;
	attr_leaf_get(old_leaf.buf->data, old_leaf.index, &key);
	*old = (struct attr_value){ key.value, key.value_length, key.value_blk };
	attr_tree_update(op, old_leaf.buf, old_leaf.index, key.flags | XFS_ATTR_INCOMPLETE, 0, 0);
	return 0;
}

/* Frees the value of the entry that is now INCOMPLETE, then the entry. */
static int remove_hidden(struct attr_op *op, const struct attr_value *value)
{
	int err;

	err = attr_roll(op);
	if (!err && !value->local && value->blk)
		err = remote_free(op, value->blk, value->length);
	return err ? err : remove_incomplete(op, true);
}

/* The new entry cannot be finished: it goes again, unless a transaction with changes must end in a shutdown. */
static int take_back(struct attr_op *op, uint32_t blk, int err)
{
	int undo_err = 0;

	if (tx_is_dirty(op->tx))
		return err;
	if (blk)
		undo_err = remote_free(op, blk, op->value_length);
	if (!undo_err)
		undo_err = remove_incomplete(op, true);
	if (!undo_err)
		undo_err = attr_roll(op);
	if (undo_err)
		msg_warning("inode %llu: an attribute that could not be set left an unfinished entry: %s; "
			    "set it again",
			    (unsigned long long)op->inode->ino.v, strerror(-undo_err));
	return err;
}

static int set_in_tree(struct attr_op *op, bool has_old)
{
	bool is_local = attr_is_local(op->geo, op->name_length, op->value_length);
	struct attr_value old = { 0 };
	uint32_t blk = 0;
	int err;

	/* Together with the addition, so that the disk never sees a leaf without entries. */
	err = remove_incomplete(op, false);
	if (err)
		return err;
	op->adds_incomplete = has_old || !is_local;
	err = attr_tree_add(op);
	if (err || !op->adds_incomplete)
		return err;
	err = attr_roll(op);
	if (!err && !is_local)
		err = remote_allocate(op, &blk);
	if (!err && !is_local)
		err = remote_write(op, blk);
	if (err)
		return take_back(op, blk, err);
	err = flip(op, has_old, blk, &old);
	if (err || !has_old)
		return err;
	return remove_hidden(op, &old);
}

/* Blocks that setting may take (XFS: xfs_attr_calc_size). */
static uint32_t set_blocks(const struct attr_op *op)
{
	uint32_t blocks = da_enter_blocks(op->geo, FORK_ATTR), value;

	if (attr_is_local(op->geo, op->name_length, op->value_length)) {
		bool may_split_twice = op->name_length + op->value_length > op->geo->block_bytes / 2 - 16;

		return may_split_twice ? 2 * blocks : blocks;
	}
	value = remote_blocks(op->geo, op->value_length);
	return blocks + value + da_map_blocks(op->geo, FORK_ATTR, value);
}

static int set(struct attr_op *op, int flags)
{
	bool has_old, fits;
	int err;

	err = exists(op, &has_old);
	if (!err && has_old && flags & XATTR_CREATE)
		err = -EEXIST;
	if (!err && !has_old && flags & XATTR_REPLACE)
		err = -ENODATA;
	if (!err)
		err = attr_note_feature(op);
	if (err)
		return err;
	if (attr_is_empty(op->inode) || op->inode->map.attr.format == FORK_LOCAL) {
		err = short_attr_set(op, &fits);
		if (err || fits)
			return err;
		err = short_attr_to_leaf(op);
		if (err)
			return err;
	}
	return set_in_tree(op, has_old);
}

int xattr_set(struct inode *inode, const struct xattr_name *name, const void *value, size_t length, int flags)
{
	struct attr_op op;
	int err;

	if (length > XFS_XATTR_SIZE_MAX)
		return -E2BIG;
	if (!may_change(inode))
		return -EPERM;
	attr_op_init(&op, inode, name);
	op.value = length ? value : "";
	op.value_length = (uint32_t)length;
	err = attr_fork_add(inode,
			    (uint32_t)(sizeof(struct xfs_attr_sf_hdr) + offsetof(struct xfs_attr_sf_entry, nameval) +
				       name->length + length),
			    op.space & XFS_ATTR_ROOT);
	if (err)
		return err;
	err = begin(&op, &log_reservations(log_of(inode))->attr_set, set_blocks(&op));
	return err ? err : finish(&op, set(&op, flags));
}

static int remove_from_tree(struct attr_op *op)
{
	struct attr_value value;
	struct da_block *leaf;
	struct attr_tree at;
	struct leaf_key key;
	bool found;
	int err;

	err = attr_tree_find(op, &at, &found);
	if (err || !found)
		return err ? err : -ENODATA;
	leaf = attr_tree_leaf(&at);
	attr_leaf_get(leaf->buf->data, leaf->index, &key);
	if (key.value || !key.value_blk)
		return attr_tree_remove(op, &at, true);
	value = (struct attr_value){ .length = key.value_length, .blk = key.value_blk };
	attr_tree_update(op, leaf->buf, leaf->index, key.flags | XFS_ATTR_INCOMPLETE, 0, 0);
	return remove_hidden(op, &value);
}

int xattr_remove(struct inode *inode, const struct xattr_name *name)
{
	struct attr_op op;
	int err;

	if (!may_change(inode))
		return -EPERM;
	attr_op_init(&op, inode, name);
	err = begin(&op, &log_reservations(log_of(inode))->attr_remove, da_remove_blocks(op.geo, FORK_ATTR));
	if (err)
		return err;
	if (attr_is_empty(inode))
		err = -ENODATA;
	else if (inode->map.attr.format == FORK_LOCAL)
		err = short_attr_remove(&op);
	else
		err = remove_from_tree(&op);
	return finish(&op, err);
}
