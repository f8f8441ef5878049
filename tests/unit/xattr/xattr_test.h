/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* A volume with inodes to set attributes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include <userxfs/dir.h>
#include <userxfs/xattr.h>

#include "image.h"
#include "volume_lite.h"

struct xattr_test {
	struct volume_lite vol;
	char *image;
	struct inode *root;
};

static inline struct name name_of(const char *s)
{
	return (struct name){ (const uint8_t *)s, (unsigned)strlen(s) };
}

/* A new object in the root; referenced. */
static inline struct inode *make_object(struct xattr_test *t, const char *name, uint16_t mode)
{
	struct inode_template tmpl = { .mode = mode, .nlink = S_ISDIR(mode) ? 2 : 1 };
	uint32_t dir_blocks = dir_add_blocks(&t->vol.geo, (unsigned)strlen(name));
	struct inode *child;
	struct tx *tx;

	assert_int_equal(tx_begin(t->vol.log, &log_reservations(t->vol.log)->create,
				  ialloc_blocks_needed(&t->vol.geo) + dir_blocks, 0, &tx), 0);
	rwlock_write_lock(&t->root->map_lock);
	assert_int_equal(inode_create(tx, t->root, t->vol.inodes, &tmpl, &child), 0);
	inode_join(tx, t->root, true);
	if (S_ISDIR(mode)) {
		dir_init(tx, child, t->root->ino);
		assert_int_equal(inode_change_nlink(tx, t->root, 1), 0);
	}
	assert_int_equal(dir_add(tx, t->root, name_of(name), child->ino, dir_ftype_of_mode(mode), dir_blocks), 0);
	inode_touch(tx, t->root, INODE_MTIME | INODE_CTIME);
	assert_int_equal(tx_commit(tx), 0);
	return child;
}

/* An object of the root by name; referenced. */
static inline struct inode *get_object(struct xattr_test *t, const char *name)
{
	struct inode *inode;
	struct inum ino;
	uint8_t ftype;

	assert_int_equal(dir_lookup(NULL, t->root, name_of(name), &ino, &ftype), 0);
	assert_int_equal(inode_get(t->vol.inodes, NULL, ino, 0, &inode), 0);
	return inode;
}

static inline void xattr_test_mount(struct xattr_test *t)
{
	assert_int_equal(volume_lite_open(&t->vol, t->image), 0);
	assert_int_equal(inode_get(t->vol.inodes, NULL, t->vol.geo.root, 0, &t->root), 0);
}

static inline void xattr_test_unmount(struct xattr_test *t)
{
	inode_put(t->root);
	assert_int_equal(volume_lite_close(&t->vol), 0);
}

static inline void xattr_test_start(struct xattr_test *t, const char *mkfs_args)
{
	memset(t, 0, sizeof(*t));
	t->image = image_create(300ull << 20, mkfs_args);
	xattr_test_mount(t);
}

static inline void xattr_test_end(struct xattr_test *t)
{
	xattr_test_unmount(t);
	assert_int_equal(image_check(t->image), 0);
	image_remove(t->image);
}

static inline struct xattr_name parsed(const char *full_name)
{
	struct xattr_name name;

	assert_int_equal(xattr_parse(full_name, &name), 0);
	return name;
}

static inline int set_attr(struct inode *inode, const char *full_name, const void *value, size_t length, int flags)
{
	struct xattr_name name = parsed(full_name);

	return xattr_set(inode, &name, value, length, flags);
}

static inline int get_attr(struct inode *inode, const char *full_name, void *value, size_t capacity, size_t *length)
{
	struct xattr_name name = parsed(full_name);

	return xattr_get(inode, &name, value, capacity, length);
}

static inline int remove_attr(struct inode *inode, const char *full_name)
{
	struct xattr_name name = parsed(full_name);

	return xattr_remove(inode, &name);
}
