// SPDX-License-Identifier: GPL-2.0
/*
 * Names, and reading attributes.  (XFS: xfs_attr_get, xfs_attr_list, xfs_xattr.c.)
 */
#include "internal.h"

static const struct {
	const char *prefix;
	uint8_t flags;
} spaces[] = {
	[XATTR_USER] = { "user.", 0 },
	[XATTR_TRUSTED] = { "trusted.", XFS_ATTR_ROOT },
	[XATTR_SECURITY] = { "security.", XFS_ATTR_SECURE },
};

void attr_complain(const struct inode *inode, const char *reason)
{
	msg_error("attributes of inode 0x%llx: %s", (unsigned long long)inode->ino.v, reason);
}

int xattr_parse(const char *full_name, struct xattr_name *out)
{
	for (unsigned i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		size_t prefix = strlen(spaces[i].prefix), rest;

		if (strncmp(full_name, spaces[i].prefix, prefix))
			continue;
		rest = strlen(full_name + prefix);
		if (!rest)
			return -EINVAL;
		if (rest > UINT8_MAX)
			return -ERANGE;
		out->ns = (enum xattr_namespace)i;
		out->bytes = (const uint8_t *)full_name + prefix;
		out->length = (unsigned)rest;
		return 0;
	}
	return -EOPNOTSUPP;
}

void attr_op_init(struct attr_op *op, struct inode *inode, const struct xattr_name *name)
{
	const struct geometry *geo = inode_geometry(inode);

	ensure(name->length >= 1 && name->length <= UINT8_MAX);
	*op = (struct attr_op){
		.inode = inode,
		.geo = geo,
		.dg = &geo->attr,
		.space = spaces[name->ns].flags,
		.name = name->bytes,
		.name_length = name->length,
		.hash = da_hash(name->bytes, name->length),
	};
}

bool attr_matches(const struct attr_op *op, const uint8_t *name, unsigned length, uint8_t flags)
{
	return length == op->name_length && (flags & XFS_ATTR_NSP_ONDISK_MASK) == op->space &&
	       !(flags & XFS_ATTR_INCOMPLETE) == !op->wants_incomplete && !memcmp(name, op->name, length);
}

bool attr_is_empty(const struct inode *inode)
{
	const struct fork *fork = &inode->map.attr;

	return !fork->is_present || (fork->format == FORK_EXTENTS && !fork->extent_count);
}

int attr_roll(struct attr_op *op)
{
	int err = 0;

	if (tx_has_deferred(op->tx))
		err = tx_finish_deferred(op->tx);
	if (!err && tx_is_dirty(op->tx))
		err = tx_roll(op->tx);
	return err;
}

/* ---- getting ---- */

static int give(struct attr_op *op, const struct attr_value *value, void *out, size_t capacity, size_t *length)
{
	if (capacity && value->length > capacity)
		return -ERANGE;
	*length = value->length;
	if (!capacity)
		return 0;
	if (!value->local)
		return remote_read(op, value->blk, value->length, out);
	memcpy(out, value->local, value->length);
	return 0;
}

static int get_from_tree(struct attr_op *op, void *out, size_t capacity, size_t *length)
{
	struct attr_value value;
	struct buffer *leaf;
	struct leaf_key key;
	unsigned index;
	int err;

	err = attr_tree_read(op, &leaf, &index);
	if (err)
		return err;
	attr_leaf_get(leaf->data, index, &key);
	value = (struct attr_value){ key.value, key.value_length, key.value_blk };
	if (value.local)
		err = give(op, &value, out, capacity, length);
	da_release(op->tx, leaf);
	/* A remote value is read without the leaf locked. */
	return err || value.local ? err : give(op, &value, out, capacity, length);
}

static int get_locked(struct attr_op *op, void *out, size_t capacity, size_t *length)
{
	struct attr_value value;
	int err;

	if (attr_is_empty(op->inode))
		return -ENODATA;
	if (op->inode->map.attr.format != FORK_LOCAL)
		return get_from_tree(op, out, capacity, length);
	err = short_attr_find(op, &value);
	return err ? err : give(op, &value, out, capacity, length);
}

int xattr_get(struct inode *inode, const struct xattr_name *name, void *value, size_t capacity, size_t *length)
{
	struct attr_op op;
	bool exclusive;
	int err;

	attr_op_init(&op, inode, name);
	err = da_lock_map(inode, FORK_ATTR, &exclusive);
	if (err)
		return err;
	err = get_locked(&op, value, capacity, length);
	da_unlock_map(inode, exclusive);
	return err;
}

/* ---- listing ---- */

struct name_list {
	bool with_trusted;
	char *names;
	size_t capacity, used;
};

static int append(struct name_list *list, const char *prefix, const void *name, unsigned length)
{
	size_t prefix_length = strlen(prefix), bytes = prefix_length + length + 1;

	if (list->capacity) {
		if (bytes > list->capacity - list->used)
			return -ERANGE;
		memcpy(list->names + list->used, prefix, prefix_length);
		memcpy(list->names + list->used + prefix_length, name, length);
		list->names[list->used + bytes - 1] = '\0';
	}
	list->used += bytes;
	return 0;
}

static bool is_named(const struct attr_seen *seen, const char *name)
{
	return seen->name_length == strlen(name) && !memcmp(seen->name, name, seen->name_length);
}

static int list_one(void *context, const struct attr_seen *seen)
{
	struct name_list *list = context;
	int err = 0;

	if (seen->space & XFS_ATTR_SECURE)
		return append(list, "security.", seen->name, seen->name_length);
	if (!(seen->space & XFS_ATTR_ROOT))
		return append(list, "user.", seen->name, seen->name_length);
	if (is_named(seen, SGI_ACL_FILE))
		err = append(list, "system.posix_acl_access", "", 0);
	else if (is_named(seen, SGI_ACL_DEFAULT))
		err = append(list, "system.posix_acl_default", "", 0);
	if (err || !list->with_trusted)
		return err;
	return append(list, "trusted.", seen->name, seen->name_length);
}

int xattr_list(struct inode *inode, bool with_trusted, char *names, size_t capacity, size_t *length)
{
	struct name_list list = { .with_trusted = with_trusted, .names = names, .capacity = capacity };
	bool exclusive;
	int err;

	err = da_lock_map(inode, FORK_ATTR, &exclusive);
	if (err)
		return err;
	if (attr_is_empty(inode))
		err = 0;
	else if (inode->map.attr.format == FORK_LOCAL)
		err = short_attr_walk(inode, list_one, &list);
	else
		err = attr_tree_walk(inode, list_one, &list);
	da_unlock_map(inode, exclusive);
	if (!err)
		*length = list.used;
	return err;
}
