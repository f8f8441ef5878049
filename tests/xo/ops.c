// SPDX-License-Identifier: GPL-2.0
/* The system calls, made of the library's. */
#include "xo.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

/* ---- descriptors ---- */

int xo_open(struct xo *xo, struct xo_file *file, const char *path, const char *flags)
{
	struct inode *inode;
	int err = xo_walk(xo, path, strchr(flags, 'c') != NULL, &inode);
	struct mapping *m;

	if (err)
		return err;
	*file = (struct xo_file){
		.inode = inode,
		.writable = !strchr(flags, 'r'),
		.append = strchr(flags, 'a') != NULL,
		.sync = strchr(flags, 's') != NULL,
	};
	snprintf(file->path, sizeof(file->path), "%s", path);
	if (file_mapping(inode, &m) == 0)
		mapping_error(m, &file->error_seen);
	file_opened(inode, file->writable);
	return 0;
}

void xo_close(struct xo_file *file)
{
	file_closed(file->inode, file->writable);
	inode_put(file->inode);
	file->inode = NULL;
}

/* ---- write ---- */

struct bad_source {
	struct write_source base; /* first member */
	uint64_t good; /* bytes that can be read */
	uint8_t byte;
};

static uint64_t copy_good(struct write_source *src, uint64_t pos, void *to, uint64_t count)
{
	const struct bad_source *bad = (const struct bad_source *)src;
	uint64_t n = pos < bad->good ? min_u64(count, bad->good - pos) : 0;

	memset(to, bad->byte, n);
	return n;
}

int xo_write(struct xo_file *file, uint64_t off, uint64_t count, uint64_t good, uint8_t byte, uint32_t flags,
	     uint64_t *done)
{
	struct bad_source src = { .base = { .copy = copy_good }, .good = good, .byte = byte };

	if (!file->inode || !file->writable)
		return -EBADF;
	if (off + count > INT64_MAX)
		return -EINVAL;
	if (file->append)
		flags |= FILE_WRITE_APPEND;
	if (file->sync)
		flags |= FILE_WRITE_SYNC;
	return file_write(file->inode, off, count, &src.base, flags, done);
}

int xo_write_chunks(struct xo_file *file, uint64_t off, uint64_t count, uint64_t chunk, uint8_t byte, uint64_t *total)
{
	uint64_t n;
	int err;

	*total = 0;
	while (*total < count) {
		err = xo_write(file, off + *total, chunk, chunk, byte, 0, &n);
		if (err)
			return err;
		*total += n;
		if (n < chunk)
			break;
	}
	return 0;
}

/* ---- read ---- */

int xo_read(struct xo_file *file, uint64_t off, uint64_t count, bool direct, uint8_t *first, uint64_t *done)
{
	struct iovec iov = { .iov_len = count };
	int err;

	if (!file->inode)
		return -EBADF;
	if (posix_memalign(&iov.iov_base, PAGE_BYTES, count))
		return -ENOMEM;
	if (direct)
		err = file_read_direct(file->inode, off, &iov, 1, done);
	else
		err = file_read(file->inode, off, &iov, 1, done);
	if (!err && *done)
		*first = *(uint8_t *)iov.iov_base;
	free(iov.iov_base);
	return err;
}

/* ---- mmap ---- */

/* One page at a time, as the processor does: each store faults. */
int xo_store(struct xo_file *file, uint64_t off, uint64_t count, uint8_t byte)
{
	uint64_t end = off + count;

	while (off < end) {
		uint64_t n = min_u64(end - off, PAGE_BYTES - off % PAGE_BYTES);
		struct folio *folio;
		int err = file_fault(file->inode, off, &folio);

		if (err)
			return err;
		memset(folio->data + (off - folio->off_bytes), byte, n);
		folio_release(folio);
		off += n;
	}
	return 0;
}

int xo_load(struct xo_file *file, uint64_t off)
{
	struct folio *folio;
	int err = file_read_fault(file->inode, off, &folio);

	if (!err)
		folio_release(folio);
	return err;
}

/* ---- everything else ---- */

int xo_falloc(struct xo_file *file, const char *letters, uint64_t off, uint64_t count)
{
	int mode = 0;

	for (const char *p = letters; *p; p++) {
		if (*p == 'k')
			mode |= FALLOC_FL_KEEP_SIZE;
		else if (*p == 'p')
			mode |= FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		else if (*p == 'c')
			mode |= FALLOC_FL_COLLAPSE_RANGE;
		else if (*p == 'z')
			mode |= FALLOC_FL_ZERO_RANGE;
		else if (*p == 'i')
			mode |= FALLOC_FL_INSERT_RANGE;
		else if (*p == 'u')
			mode |= FALLOC_FL_UNSHARE_RANGE;
	}
	return file->inode ? file_fallocate(file->inode, mode, off, count, false) : -EBADF;
}

int xo_sync_range(struct xo_file *file, uint64_t off, uint64_t count)
{
	return file->inode ? file_flush(file->inode, off, off + count) : -EBADF;
}

int xo_mount(struct xo *xo)
{
	return volume_mount(&xo->options, &xo->vol);
}

int xo_unmount(struct xo *xo)
{
	int err;

	for (unsigned i = 0; i < XO_FDS; i++) {
		if (xo->files[i].inode)
			xo_close(&xo->files[i]);
	}
	xo_drop_names(xo);
	err = volume_unmount(xo->vol, false);
	xo->vol = NULL;
	return err;
}
