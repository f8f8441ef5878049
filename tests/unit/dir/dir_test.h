/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* A volume with one directory and one file that all its names link to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <userxfs/dir.h>

#include "image.h"
#include "volume_lite.h"

struct dir_test {
	struct volume_lite vol;
	char *image;
	struct inode *dir, *file;
};

static inline struct name name_of(const char *s)
{
	return (struct name){ (const uint8_t *)s, (unsigned)strlen(s) };
}

/* Adds @name for @child to @parent in a running transaction that has both joined. */
static inline void link_child(struct tx *tx, struct inode *parent, struct inode *child, const char *name)
{
	uint32_t blocks = dir_add_blocks(inode_geometry(parent), (unsigned)strlen(name));

	assert_int_equal(dir_add(tx, parent, name_of(name), child->ino, dir_ftype_of_mode(child->mode), blocks), 0);
	inode_touch(tx, parent, INODE_MTIME | INODE_CTIME);
}

/* A new file or directory in @parent; referenced. */
static inline struct inode *make_child(struct volume_lite *vol, struct inode *parent, const char *name, uint16_t mode)
{
	struct inode_template tmpl = { .mode = mode, .nlink = S_ISDIR(mode) ? 2 : 1 };
	uint64_t blocks = ialloc_blocks_needed(&vol->geo) + dir_add_blocks(&vol->geo, (unsigned)strlen(name));
	struct inode *child;
	struct tx *tx;

	assert_int_equal(tx_begin(vol->log, &log_reservations(vol->log)->create, blocks, 0, &tx), 0);
	rwlock_write_lock(&parent->map_lock);
	assert_int_equal(inode_create(tx, parent, vol->inodes, &tmpl, &child), 0);
	inode_join(tx, parent, true);
	if (S_ISDIR(mode)) {
		dir_init(tx, child, parent->ino);
		assert_int_equal(inode_change_nlink(tx, parent, 1), 0);
	}
	link_child(tx, parent, child, name);
	assert_int_equal(tx_commit(tx), 0);
	return child;
}

static inline void dir_test_mount(struct dir_test *t)
{
	struct inode *root;
	struct inum ino;
	uint8_t ftype;

	assert_int_equal(volume_lite_open(&t->vol, t->image), 0);
	assert_int_equal(inode_get(t->vol.inodes, NULL, t->vol.geo.root, 0, &root), 0);
	if (dir_lookup(NULL, root, name_of("dir"), &ino, &ftype) == 0) {
		assert_int_equal(inode_get(t->vol.inodes, NULL, ino, 0, &t->dir), 0);
		assert_int_equal(dir_lookup(NULL, root, name_of("file"), &ino, &ftype), 0);
		assert_int_equal(inode_get(t->vol.inodes, NULL, ino, 0, &t->file), 0);
	} else {
		t->dir = make_child(&t->vol, root, "dir", S_IFDIR | 0755);
		t->file = make_child(&t->vol, root, "file", S_IFREG | 0644);
	}
	inode_put(root);
}

static inline void dir_test_unmount(struct dir_test *t)
{
	inode_put(t->dir);
	inode_put(t->file);
	assert_int_equal(volume_lite_close(&t->vol), 0);
}

static inline void dir_test_start(struct dir_test *t, uint64_t bytes, const char *mkfs_args)
{
	memset(t, 0, sizeof(*t));
	t->image = image_create(bytes, mkfs_args);
	dir_test_mount(t);
}

static inline void dir_test_end(struct dir_test *t)
{
	dir_test_unmount(t);
	assert_int_equal(image_check(t->image), 0);
	image_remove(t->image);
}

static inline struct tx *begin_change(struct dir_test *t, uint64_t blocks)
{
	struct inode *both[] = { t->dir, t->file };
	struct tx *tx;

	assert_int_equal(tx_begin(t->vol.log, &log_reservations(t->vol.log)->link, blocks, 0, &tx), 0);
	inode_lock_maps(both, 2);
	inode_join(tx, t->dir, true);
	inode_join(tx, t->file, true);
	return tx;
}

/* One transaction each: links @name to the file, removes it. */
static inline void add_name(struct dir_test *t, const char *name)
{
	struct tx *tx = begin_change(t, dir_add_blocks(&t->vol.geo, (unsigned)strlen(name)));

	link_child(tx, t->dir, t->file, name);
	assert_int_equal(inode_change_nlink(tx, t->file, 1), 0);
	assert_int_equal(tx_commit(tx), 0);
}

static inline void remove_name(struct dir_test *t, const char *name)
{
	uint32_t blocks = dir_remove_blocks(&t->vol.geo);
	struct tx *tx = begin_change(t, blocks);

	assert_int_equal(dir_remove(tx, t->dir, name_of(name), t->file->ino, blocks), 0);
	inode_touch(tx, t->dir, INODE_MTIME | INODE_CTIME);
	assert_int_equal(inode_change_nlink(tx, t->file, -1), 0);
	assert_int_equal(tx_commit(tx), 0);
}

static inline bool has_name(struct dir_test *t, const char *name)
{
	struct inum ino;
	uint8_t ftype;
	int err = dir_lookup(NULL, t->dir, name_of(name), &ino, &ftype);

	assert_true(err == 0 || err == -ENOENT);
	if (!err) {
		assert_true(inum_equal(ino, t->file->ino));
		assert_int_equal(ftype, XFS_DIR3_FT_REG_FILE);
	}
	return !err;
}

static inline void assert_dir_is_sound(struct dir_test *t)
{
	const char *reason = dir_verify(t->dir);

	if (reason)
		fail_msg("directory: %s", reason);
	rwlock_read_lock(&t->dir->map_lock);
	reason = map_verify(&t->dir->map);
	rwlock_read_unlock(&t->dir->map_lock);
	if (reason)
		fail_msg("map: %s", reason);
}
