// SPDX-License-Identifier: GPL-2.0
/* Paths: looked up once, then kept in memory as the kernel's name cache does. */
#include "xo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <userxfs/base/error.h>

static const struct credentials root_user = { .umask = 022 };

static struct name name_of(const char *text)
{
	return (struct name){ (const uint8_t *)text, (unsigned)strlen(text) };
}

static const char *strip(const char *path)
{
	return strncmp(path, "$M/", 3) == 0 ? path + 3 : path;
}

static struct xo_name *find(struct xo *xo, const char *path)
{
	for (unsigned i = 0; i < xo->name_count; i++) {
		if (strcmp(xo->names[i].path, path) == 0)
			return &xo->names[i];
	}
	return NULL;
}

static void remember(struct xo *xo, const char *path, struct inode *inode)
{
	struct xo_name *name = &xo->names[xo->name_count++];

	ensure(xo->name_count <= XO_NAMES);
	snprintf(name->path, sizeof(name->path), "%s", path);
	name->inode = inode;
	inode_hold(inode);
}

static void forget(struct xo *xo, struct xo_name *name)
{
	struct inode *inode = name->inode;

	*name = xo->names[--xo->name_count];
	inode_put(inode);
}

/* The directory of @path, referenced, and the last part's name. */
static int walk_parent(struct xo *xo, const char *path, struct inode **dir, const char **last)
{
	const char *slash = strrchr(path, '/');
	char parent[XO_PATH_MAX];

	if (!slash) {
		*dir = xo->vol->root;
		inode_hold(*dir);
		*last = path;
		return 0;
	}
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	*last = slash + 1;
	return xo_walk(xo, parent, false, dir);
}

/* What a security module's label would have made room for, without the label. */
static void add_attr_fork(struct xo *xo, struct inode *inode)
{
	struct tx *tx;

	ensure(tx_begin(xo->vol->log, &log_reservations(xo->vol->log)->inode_change, 0, 0, &tx) == 0);
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	ensure(map_set_split(tx, &inode->map, map_default_split(&inode->map)) == 0);
	inode_log(tx, inode, false);
	ensure(tx_commit(tx) == 0);
}

static int create_file(struct xo *xo, struct inode *dir, const char *name, struct inode **out)
{
	int err = namespace_create(&xo->vol->ns, dir, name_of(name), S_IFREG | 0666, 0, &root_user, out);

	if (!err && xo->has_attr_forks)
		add_attr_fork(xo, *out);
	return err;
}

int xo_walk(struct xo *xo, const char *path, bool create, struct inode **out)
{
	struct xo_name *name;
	struct inode *dir;
	const char *last;
	int err;

	path = strip(path);
	name = find(xo, path);
	if (name) {
		inode_hold(name->inode);
		*out = name->inode;
		return 0;
	}
	err = walk_parent(xo, path, &dir, &last);
	if (err)
		return err;
	err = namespace_lookup(&xo->vol->ns, dir, name_of(last), out);
	if (err == -ENOENT && create)
		err = create_file(xo, dir, last, out);
	inode_put(dir);
	if (!err)
		remember(xo, path, *out);
	return err;
}

int xo_mkdir(struct xo *xo, const char *path)
{
	struct inode *dir, *inode;
	const char *last;
	int err;

	path = strip(path);
	err = walk_parent(xo, path, &dir, &last);
	if (err)
		return err;
	err = namespace_create(&xo->vol->ns, dir, name_of(last), S_IFDIR | 0777, 0, &root_user, &inode);
	inode_put(dir);
	if (err)
		return err;
	remember(xo, path, inode);
	inode_put(inode);
	return 0;
}

int xo_unlink(struct xo *xo, const char *path)
{
	struct xo_name *name;
	struct inode *dir;
	const char *last;
	int err;

	path = strip(path);
	err = walk_parent(xo, path, &dir, &last);
	if (err)
		return err;
	err = namespace_unlink(&xo->vol->ns, dir, name_of(last));
	inode_put(dir);
	name = err ? NULL : find(xo, path);
	if (name)
		forget(xo, name);
	return err;
}

int xo_rename(struct xo *xo, const char *from, const char *to)
{
	struct inode *old_dir, *new_dir;
	const char *old_last, *new_last;
	struct xo_name *name;
	int err;

	from = strip(from);
	to = strip(to);
	err = walk_parent(xo, from, &old_dir, &old_last);
	if (err)
		return err;
	err = walk_parent(xo, to, &new_dir, &new_last);
	if (!err) {
		err = namespace_rename(&xo->vol->ns, old_dir, name_of(old_last), new_dir, name_of(new_last), 0,
				       &root_user);
		inode_put(new_dir);
	}
	inode_put(old_dir);
	if (err)
		return err;
	name = find(xo, to);
	if (name)
		forget(xo, name);
	name = find(xo, from);
	if (name)
		snprintf(name->path, sizeof(name->path), "%s", to);
	return 0;
}

void xo_drop_names(struct xo *xo)
{
	while (xo->name_count)
		forget(xo, &xo->names[xo->name_count - 1]);
}
