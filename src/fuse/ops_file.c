/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests about open files.
 *
 * Write-only opens bypass the kernel's page cache (FOPEN_DIRECT_IO): their data are copied once, into our cache, in
 * requests as large as the write() was.  Opens that read keep the kernel's cache, which makes re-reads free.  A
 * write-back of mmap stores (FUSE_WRITE_CACHE) is the fault path's entry and is never answered with an error.
 */
#include "session.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/xattr.h>

#define COPY_MAX_BYTES (128u << 20)

static struct open_file *open_file(uint64_t fh)
{
	return (struct open_file *)(uintptr_t)fh;
}

static int check_open(struct session *s, struct inode *inode, uint32_t flags, bool writable)
{
	if (!writable)
		return 0;
	if (session_is_read_only(s))
		return -EROFS;
	if (inode->di_flags & XFS_DIFLAG_IMMUTABLE)
		return -EPERM;
	if (inode->di_flags & XFS_DIFLAG_APPEND && (!(flags & O_APPEND) || flags & O_TRUNC))
		return -EPERM;
	return 0;
}

static uint32_t choose_caching(struct session *s, uint32_t flags, bool *is_direct)
{
	*is_direct = s->options.direct_io || flags & O_DIRECT ||
		     (!s->options.writeback_cache && (flags & O_ACCMODE) == O_WRONLY);
	if (*is_direct)
		return FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH;
	return FOPEN_KEEP_CACHE | FOPEN_NOFLUSH;
}

int open_file_create(struct session *s, struct inode *inode, uint32_t flags, struct fuse_open_out *out)
{
	bool writable = (flags & O_ACCMODE) != O_RDONLY;
	struct open_file *file;
	struct mapping *m;
	int err = check_open(s, inode, flags, writable);

	if (err)
		return err;
	file = mem_alloc_zeroed(sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->inode = inode;
	file->flags = flags;
	file->is_writable = writable;
	if (S_ISREG(inode->mode)) {
		err = file_mapping(inode, &m);
		if (err)
			goto fail;
		mapping_error(m, &file->error_seen);
		if (writable && flags & O_TRUNC) {
			err = file_truncate(inode, 0, true);
			if (err)
				goto fail;
		}
		file_opened(inode, writable);
	}
	inode_hold(inode);
	mutex_lock(&s->lock);
	list_push_back(&s->open_files, &file->node);
	mutex_unlock(&s->lock);
	*out = (struct fuse_open_out){ .fh = (uintptr_t)file };
	out->open_flags = choose_caching(s, flags, &file->is_direct);
	return 0;

fail:
	mem_free(file);
	return err;
}

void open_file_free(struct session *s, struct open_file *file)
{
	mutex_lock(&s->lock);
	list_remove(&file->node);
	mutex_unlock(&s->lock);
	file_closed(file->inode, file->is_writable);
	inode_put(file->inode);
	mem_free(file);
}

void open_files_free_all(struct session *s)
{
	while (!list_is_empty(&s->open_files))
		open_file_free(s, list_first(&s->open_files, struct open_file, node));
}

/* Truncating by opening, by somebody who may not keep the set-id bits (FUSE_HANDLE_KILLPRIV_V2). */
static int kill_privileges(struct inode *inode, const struct fuse_open_in *arg)
{
	struct inode_change change = { .valid = CHANGE_KILL_PRIV | CHANGE_TOUCH };

	if (!(arg->open_flags & FUSE_OPEN_KILL_SUIDGID) || !(inode->mode & (S_ISUID | S_ISGID)))
		return 0;
	return inode_change(inode, &change);
}

void op_open(struct request *r)
{
	const struct fuse_open_in *arg = (const void *)r->body;
	struct fuse_open_out out;
	struct inode *inode;
	int err = node_get(r->s, r->in->nodeid, &inode);

	if (!err) {
		err = open_file_create(r->s, inode, arg->flags, &out);
		if (!err) {
			err = kill_privileges(inode, arg);
			if (err)
				open_file_free(r->s, open_file(out.fh));
		}
		inode_put(inode);
	}
	if (err)
		reply_error(r, err);
	else
		reply_data(r, &out, sizeof(out));
}

void op_release(struct request *r)
{
	const struct fuse_release_in *arg = (const void *)r->body;
	struct open_file *file = open_file(arg->fh);

	/* Nobody waits for what closing does; answer first. */
	reply_error(r, 0);
	open_file_free(r->s, file);
}

/* ---- read ---- */

/*
 * A reply that is short of what was asked means EOF to the kernel, which then cuts its size: what was too scattered
 * for one hold is copied, and an error is told.
 */
static int read_rest(struct inode *inode, uint64_t off, uint8_t *to, uint64_t count, uint64_t *done)
{
	int err = 0;

	while (!err && *done < count) {
		struct iovec iov = { to + *done, count - *done };
		uint64_t got = 0;

		err = file_read(inode, off + *done, &iov, 1, &got);
		if (!got)
			break;
		*done += got;
	}
	return err;
}

static void read_cached(struct request *r, struct open_file *file, const struct fuse_read_in *arg, uint64_t count)
{
	struct file_read_hold hold = { .count = 0 };
	struct iovec iov[2 + ARRAY_COUNT(hold.folios)];
	uint64_t done = 0, copied = 0;
	int pieces = 0, err;

	err = file_read_iov(file->inode, arg->offset, count, iov + 1, (int)ARRAY_COUNT(hold.folios), &pieces, &hold,
			    &done);
	if (!err && done < count)
		err = read_rest(file->inode, arg->offset + done, r->scratch, count - done, &copied);
	if (copied)
		iov[1 + pieces++] = (struct iovec){ r->scratch, copied };
	if (err)
		reply_error(r, err);
	else
		reply_iov(r, iov, pieces + 1);
	file_read_put(&hold);
}

void op_read(struct request *r)
{
	const struct fuse_read_in *arg = (const void *)r->body;
	uint64_t count = min_u64(arg->size, MAX_WRITE_BYTES), done = 0;
	struct open_file *file = open_file(arg->fh);
	int err;

	/* The request has the flags of now: fcntl(2) changes O_NOATIME. */
	node_accessed(r->s, file->inode, arg->flags);
	if (file->flags & O_DIRECT) {
		struct iovec iov = { r->scratch, count };

		err = file_read_direct(file->inode, arg->offset, &iov, 1, &done);
		if (err)
			reply_error(r, err);
		else
			reply_data(r, r->scratch, done);
	} else {
		read_cached(r, file, arg, count);
	}
}

/* ---- write ---- */

/*
 * A write-back when the kernel caches writes (-o writeback): its size runs ahead of ours, so it extends the file like
 * any write; what finds no space stays in the cache.
 */
static int write_back(struct inode *inode, uint64_t off, uint64_t count, const uint8_t *data, uint64_t unique)
{
	struct iovec iov = { (void *)(uintptr_t)data, count };
	struct write_source src;
	uint64_t done = 0;
	int err;

	write_source_iov(&src, &iov, 1);
	src.unique = unique;
	err = file_write(inode, off, count, &src, 0, &done);
	if (!err && done == count)
		return 0;
	if (off + count > atomic_load(&inode->size_bytes)) {
		err = file_truncate(inode, off + count, true);
		if (err)
			return err;
	}
	return file_fault_store(inode, off + done, count - done, data + done, unique);
}

static uint32_t write_flags(const struct request *r, const struct open_file *file, const struct fuse_write_in *arg)
{
	uint32_t flags = 0;

	if (arg->write_flags & FUSE_WRITE_KILL_SUIDGID)
		flags |= FILE_WRITE_KILL_PRIV;
	/* After writes through its own cache the kernel sends an FSYNC; after direct ones it does not. */
	if (file->is_direct && (arg->flags & O_SYNC) == O_SYNC)
		flags |= FILE_WRITE_SYNC;
	else if (file->is_direct && arg->flags & O_DSYNC)
		flags |= FILE_WRITE_DSYNC;
	if (file->flags & O_DIRECT)
		flags |= FILE_WRITE_DIRECT;
	return flags;
}

/*
 * File capabilities do not survive a change of the file.  The kernel sees to it for writes through its cache, not for
 * direct ones.
 */
static int kill_capabilities(struct inode *inode)
{
	struct xattr_name name;
	size_t length;
	int err;

	if (!inode->map.attr_space || xattr_parse("security.capability", &name) ||
	    xattr_get(inode, &name, NULL, 0, &length))
		return 0;
	rwlock_write_lock(&inode->io_lock);
	err = xattr_remove(inode, &name);
	rwlock_write_unlock(&inode->io_lock);
	return err == -ENODATA ? 0 : err;
}

void op_write(struct request *r)
{
	const struct fuse_write_in *arg = (const void *)r->body;
	const uint8_t *data = r->body + sizeof(*arg);
	struct open_file *file = open_file(arg->fh);
	struct fuse_write_out out = { 0 };
	struct write_source src;
	struct iovec iov;
	uint64_t done = 0;
	int err;

	if (arg->size > r->body_bytes - sizeof(*arg)) {
		reply_error(r, -EINVAL);
		return;
	}
	if (arg->write_flags & FUSE_WRITE_CACHE) {
		/* Address by node id: which descriptor it carries is the kernel's guess. */
		struct inode *inode;

		err = node_get(r->s, r->in->nodeid, &inode);
		if (!err) {
			if (r->s->options.writeback_cache)
				err = write_back(inode, arg->offset, arg->size, data, r->in->unique);
			else
				err = file_fault_store(inode, arg->offset, arg->size, data, r->in->unique);
			inode_put(inode);
		}
		done = arg->size;
	} else {
		iov = (struct iovec){ (void *)data, arg->size };
		write_source_iov(&src, &iov, 1);
		src.unique = file->is_direct ? 0 : r->in->unique;
		err = file->is_direct ? kill_capabilities(file->inode) : 0;
		if (!err)
			err = file_write(file->inode, arg->offset, arg->size, &src, write_flags(r, file, arg), &done);
	}
	if (err) {
		reply_error(r, err);
		return;
	}
	out.size = (uint32_t)done;
	reply_data(r, &out, sizeof(out));
}

void op_flush(struct request *r)
{
	/* close(2) neither flushes nor reports, as in XFS: do not ask again. */
	reply_error(r, -ENOSYS);
}

void op_fsync(struct request *r)
{
	const struct fuse_fsync_in *arg = (const void *)r->body;
	struct open_file *file = open_file(arg->fh);

	if (session_is_read_only(r->s))
		reply_error(r, 0);
	else
		reply_error(r, file_fsync(file->inode, arg->fsync_flags & FUSE_FSYNC_FDATASYNC, &file->error_seen));
}

/* ---- the rest ---- */

void op_fallocate(struct request *r)
{
	const struct fuse_fallocate_in *arg = (const void *)r->body;
	struct open_file *file = open_file(arg->fh);
	bool kill_priv = request_kills_privileges(r);
	uint16_t mode = file->inode->mode;
	int err = file_fallocate(file->inode, (int)arg->mode, arg->offset, arg->length, kill_priv);

	if (file->inode->mode != mode)
		node_attr_changed(r->s, r->in->nodeid);
	reply_error(r, err);
}

void op_lseek(struct request *r)
{
	const struct fuse_lseek_in *arg = (const void *)r->body;
	struct open_file *file = open_file(arg->fh);
	struct fuse_lseek_out out = { 0 };
	uint64_t found;
	int err = file_seek(file->inode, arg->offset, (int)arg->whence, &found);

	if (err) {
		reply_error(r, err);
		return;
	}
	out.offset = found;
	reply_data(r, &out, sizeof(out));
}

static int copy_range(struct request *r, uint64_t *done)
{
	const struct fuse_copy_file_range_in *arg = (const void *)r->body;
	struct open_file *in = open_file(arg->fh_in), *out = open_file(arg->fh_out);
	uint16_t mode;
	int err;

	if (arg->flags)
		return -EINVAL;
	/* In parts: who copies can be interrupted between them, and the old reply's count has 32 bits. */
	mode = out->inode->mode;
	err = file_copy(in->inode, arg->off_in, out->inode, arg->off_out, min_u64(arg->len, COPY_MAX_BYTES),
			request_kills_privileges(r), done);
	if (out->inode->mode != mode)
		node_attr_changed(r->s, arg->nodeid_out);
	return err;
}

void op_copy_file_range(struct request *r)
{
	struct fuse_write_out out = { 0 };
	uint64_t done = 0;
	int err = copy_range(r, &done);

	if (err) {
		reply_error(r, err);
		return;
	}
	out.size = (uint32_t)done;
	reply_data(r, &out, sizeof(out));
}

void op_copy_file_range_64(struct request *r)
{
	struct userxfs_fuse_copy_file_range_out out = { 0 };
	uint64_t done = 0;
	int err = copy_range(r, &done);

	if (err) {
		reply_error(r, err);
		return;
	}
	out.bytes_copied = done;
	reply_data(r, &out, sizeof(out));
}
