/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * A volume with the file room on it, and one nameless file, freed again at the end so that xfs_repair finds a clean
 * volume.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <userxfs/base/bits.h>
#include <userxfs/file.h>

#include "image.h"
#include "volume_lite.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

struct file_test {
	char *image;
	struct volume_lite vol;
	struct pagecache *pages;
	struct files *files;
	struct inode *inode;
	uint64_t free_before; /* blocks, before anything was written */
};

static inline struct inode *make_file(struct file_test *t)
{
	struct inode_template tmpl = { .mode = S_IFREG | 0644 };
	struct log *log = t->vol.log;
	struct inode *root, *inode;
	struct tx *tx;

	assert_int_equal(inode_get(t->vol.inodes, NULL, t->vol.geo.root, 0, &root), 0);
	assert_int_equal(
		tx_begin(log, &log_reservations(log)->create_tmpfile, ialloc_blocks_needed(&t->vol.geo), 0, &tx), 0);
	assert_int_equal(inode_create(tx, root, t->vol.inodes, &tmpl, &inode), 0);
	assert_int_equal(inode_unlinked_add(tx, inode), 0);
	assert_int_equal(tx_commit(tx), 0);
	inode_put(root);
	return inode;
}

static inline void free_file(struct file_test *t, struct inode *inode)
{
	struct log *log = t->vol.log;
	struct tx *tx;

	file_discard(inode);
	assert_int_equal(inode_free_blocks(inode, FORK_DATA, 0), 0);
	assert_int_equal(tx_begin(log, &log_reservations(log)->inode_free, ialloc_free_blocks_needed(&t->vol.geo),
				  TX_USE_POOL, &tx),
			 0);
	rwlock_write_lock(&inode->map_lock);
	inode_join(tx, inode, true);
	assert_int_equal(inode_free(tx, inode), 0);
	assert_int_equal(tx_commit(tx), 0);
	inode_put(inode);
}

static inline uint64_t free_blocks(struct file_test *t)
{
	struct space_counts counts;

	space_counts(t->vol.space, &counts);
	return counts.free_blocks;
}

static inline uint64_t used(struct file_test *t)
{
	return t->free_before - free_blocks(t);
}

static inline int file_test_setup(void **state)
{
	struct pagecache_options pages = {
		.budget_bytes = 64 * MIB,
		.dirty_background_bytes = 16 * MIB,
		.dirty_limit_bytes = 32 * MIB,
		.dirty_expire_ns = 30ull * 1000000000,
	};
	struct file_options files = { .iomap = { .alloc_size_log = 16 } };
	struct file_test *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->image = image_create(300 * MIB, "");
	assert_int_equal(volume_lite_open(&t->vol, t->image), 0);
	assert_int_equal(pagecache_create(t->vol.dev, &pages, &t->pages), 0);
	assert_int_equal(files_create(t->vol.inodes, t->pages, t->vol.dev, &files, &t->files), 0);
	t->inode = make_file(t);
	t->free_before = free_blocks(t);
	*state = t;
	return 0;
}

static inline int file_test_teardown(void **state)
{
	struct file_test *t = *state;

	free_file(t, t->inode);
	inode_cache_drop(t->vol.inodes);
	files_destroy(t->files);
	assert_int_equal(volume_lite_close(&t->vol), 0);
	pagecache_destroy(t->pages);
	assert_int_equal(image_check(t->image), 0);
	image_remove(t->image);
	free(t);
	return 0;
}

/* One write of @count bytes @byte of which the source gives only @good. */
struct bytes {
	struct write_source src; /* first member */
	uint64_t good;
	uint8_t byte;
};

static inline uint64_t give_bytes(struct write_source *src, uint64_t pos, void *to, uint64_t count)
{
	struct bytes *b = (struct bytes *)src;
	uint64_t n = pos < b->good ? min_u64(count, b->good - pos) : 0;

	memset(to, b->byte, n);
	return n;
}

static inline int put_some(struct inode *inode, uint64_t off, uint64_t count, uint64_t good, uint8_t byte,
			   uint64_t *done)
{
	struct bytes b = { .src = { .copy = give_bytes }, .good = good, .byte = byte };

	return file_write(inode, off, count, &b.src, 0, done);
}

static inline void put(struct inode *inode, uint64_t off, uint64_t count, uint8_t byte)
{
	uint64_t done = 0;

	assert_int_equal(put_some(inode, off, count, count, byte, &done), 0);
	assert_int_equal(done, count);
}

static inline uint8_t byte_at(struct inode *inode, uint64_t off)
{
	uint8_t byte = 0;
	struct iovec iov = { &byte, 1 };
	uint64_t done = 0;

	assert_int_equal(file_read(inode, off, &iov, 1, &done), 0);
	assert_int_equal(done, 1);
	return byte;
}

static inline void store_byte(struct inode *inode, uint64_t off, uint8_t byte)
{
	struct folio *folio;

	assert_int_equal(file_fault(inode, off, &folio), 0);
	folio->data[off - folio->off_bytes] = byte;
	folio_release(folio);
}

/* Forgets what is clean, so that the next read comes from disk. */
static inline void forget_pages(struct inode *inode)
{
	struct mapping *m;

	assert_int_equal(file_mapping(inode, &m), 0);
	assert_true(mapping_invalidate(m, 0, UINT64_MAX));
}
