/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the tests of the inode room share: an image, mounted, and nameless inodes on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/log/tx.h>

#include "image.h"
#include "volume_lite.h"

#define TEST_IMAGE_BYTES (320ull << 20)

struct mounted {
	char *image;
	struct volume_lite vol;
};

static inline struct mounted *mounted_create(const char *mkfs_args)
{
	struct mounted *m = calloc(1, sizeof(*m));

	m->image = image_create(TEST_IMAGE_BYTES, mkfs_args);
	assert_int_equal(volume_lite_open(&m->vol, m->image), 0);
	return m;
}

/* Everything that was written must be readable again. */
static inline void mounted_remount(struct mounted *m)
{
	assert_int_equal(volume_lite_close(&m->vol), 0);
	assert_int_equal(volume_lite_open(&m->vol, m->image), 0);
}

static inline void mounted_destroy(struct mounted *m)
{
	assert_int_equal(volume_lite_close(&m->vol), 0);
	assert_int_equal(image_check(m->image), 0);
	image_remove(m->image);
	free(m);
}

static inline struct inode *root_of(struct mounted *m)
{
	struct inode *root;

	assert_int_equal(inode_get(m->vol.inodes, NULL, m->vol.geo.root, 0, &root), 0);
	return root;
}

/* A nameless inode, on the unlinked list. */
static inline struct inode *create_nameless(struct mounted *m, struct inode *parent, uint32_t mode)
{
	struct inode_template tmpl = { .mode = (uint16_t)mode, .uid = 1000, .gid = 100 };
	struct inode *inode;
	struct tx *tx;

	assert_int_equal(tx_begin(m->vol.log, &log_reservations(m->vol.log)->create_tmpfile,
				  ialloc_blocks_needed(&m->vol.geo), 0, &tx), 0);
	assert_int_equal(inode_create(tx, parent, m->vol.inodes, &tmpl, &inode), 0);
	assert_int_equal(inode_unlinked_add(tx, inode), 0);
	assert_int_equal(tx_commit(tx), 0);
	return inode;
}

/* Frees an unlinked inode that has no blocks. */
static inline void free_nameless(struct mounted *m, struct inode *inode)
{
	struct tx *tx;

	assert_int_equal(tx_begin(m->vol.log, &log_reservations(m->vol.log)->inode_free, 0, 0, &tx), 0);
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	assert_int_equal(inode_free(tx, inode), 0);
	assert_int_equal(tx_commit(tx), 0);
}

/* Drains the inactivation queue. */
static inline unsigned free_queued(struct mounted *m)
{
	struct inode *inode;
	unsigned n = 0;

	while (inode_take_inactive(m->vol.inodes, &inode)) {
		free_nameless(m, inode);
		inode_put(inode);
		n++;
	}
	return n;
}
