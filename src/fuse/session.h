/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * A FUSE session: one mounted volume answering requests on /dev/fuse.
 *
 * Each worker thread reads a request, performs it and writes the reply itself: handing over to another thread costs
 * more than most requests take.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <userxfs/base/lock.h>
#include <userxfs/base/thread.h>
#include <userxfs/volume.h>

#include "protocol.h"

#define MAX_WRITE_BYTES (1u << 20)
#define ATTR_TIMEOUT_SEC 3600

struct fuse_options {
	char fsname[4096];		/* what /proc/mounts shows as the source */
	char mount_options[2048];	/* for the kernel and fusermount3, comma-separated */
	bool is_block_device;		/* mount as fuseblk when root */
	bool writeback_cache;		/* -o writeback */
	bool direct_io;			/* -o dio: no kernel page cache at all */
	unsigned threads;		/* 0: by the number of CPUs */
};

struct session {
	struct volume *vol;		/* [I] */
	struct fuse_options options;	/* [I] */
	const char *mountpoint;		/* [I] absolute */
	int fd;				/* [I] /dev/fuse */
	void *fuse;			/* [I] libfuse's session, for mounting only */
	bool is_fuseblk;		/* [I] */
	dev_t dev_number;		/* st_dev of the mount; 0: not known */
	uint32_t minor;			/* protocol minor of this connection */
	bool has_setxattr_ext;		/* SETXATTR has the long form */
	_Atomic bool initialised, destroyed;
	struct mutex lock;
	struct cond changed;		/* initialised, a worker ended */
	unsigned running;		/* [lock] workers */
	struct list open_files;		/* [lock] every struct open_file the kernel has not released */
	bool is_unmounted;		/* [lock] the volume is: DESTROY may be answered */
	struct thread *workers;
	struct worker *state;		/* one for each of .workers */
	unsigned worker_count;
};

struct worker {
	struct session *s;
	_Atomic bool is_busy;		/* serving a request */
	_Atomic bool holds_destroy;	/* ... which is DESTROY */
	uint8_t *buffer, *scratch;
};

/* One request being served; lives on its worker's stack. */
struct request {
	struct session *s;
	struct worker *worker;
	const struct fuse_in_header *in;
	const uint8_t *body;		/* behind the header */
	uint32_t body_bytes;
	uint8_t *scratch;		/* the worker's reply buffer, MAX_WRITE_BYTES, page-aligned */
	bool replied;
};

/* Mounts @vol on @mountpoint.  One log line on failure. */
int session_mount(struct session *s, struct volume *vol, const char *mountpoint, const struct fuse_options *options);
/* Starts the workers and waits for the kernel's INIT. */
int session_start(struct session *s);
/* Returns when the kernel has let the mount go and no request is under way: the volume can be unmounted. */
void session_wait(struct session *s);
/* The volume is unmounted: answers DESTROY. */
void session_unmounted(struct session *s);
void session_destroy(struct session *s);
/* As root: makes umount(8) call umount.fuse.userxfs, which waits for us (unmount.c). */
void session_register_helper(struct session *s);
/* Asks the kernel to unmount; what is still in use is detached and goes on being served until it is closed. */
void session_unmount(struct session *s);

/* ---- replies (reply.c) ---- */

void reply_error(struct request *r, int err);
void reply_data(struct request *r, const void *data, size_t bytes);
/* @iov has one free entry in front. */
void reply_iov(struct request *r, struct iovec *iov, int count);
/* A message that answers no request (FUSE_NOTIFY_*). */
void send_notification(struct session *s, enum fuse_notify_code code, const void *data, size_t bytes);
/* No reply at all (FORGET). */
void reply_none(struct request *r);

/* Runs one request (dispatch.c). */
void request_dispatch(struct request *r);

/* ---- operations, by topic ---- */

void op_init(struct request *r);
void op_destroy(struct request *r);
void op_statfs(struct request *r);
void op_syncfs(struct request *r);

void op_lookup(struct request *r);
void op_forget(struct request *r);
void op_batch_forget(struct request *r);
void op_getattr(struct request *r);
void op_statx(struct request *r);
void op_setattr(struct request *r);
void op_readlink(struct request *r);

void op_mknod(struct request *r);
void op_mkdir(struct request *r);
void op_symlink(struct request *r);
void op_link(struct request *r);
void op_unlink(struct request *r);
void op_rmdir(struct request *r);
void op_rename(struct request *r);
void op_rename2(struct request *r);
void op_create(struct request *r);
void op_tmpfile(struct request *r);
void op_opendir(struct request *r);
void op_releasedir(struct request *r);
void op_readdir(struct request *r);
void op_readdirplus(struct request *r);
void op_fsyncdir(struct request *r);

void op_open(struct request *r);
void op_release(struct request *r);
void op_read(struct request *r);
void op_write(struct request *r);
void op_flush(struct request *r);
void op_fsync(struct request *r);
void op_fallocate(struct request *r);
void op_lseek(struct request *r);
void op_copy_file_range(struct request *r);
void op_copy_file_range_64(struct request *r);

void op_getxattr(struct request *r);
void op_setxattr(struct request *r);
void op_listxattr(struct request *r);
void op_removexattr(struct request *r);
void op_ioctl(struct request *r);

/* ---- shared by operations (node.c) ---- */

/* The inode a node id stands for, referenced.  -ESTALE. */
int node_get(struct session *s, uint64_t nodeid, struct inode **out);
/* Fills an entry reply and hands the caller's reference to the kernel (one lookup). */
void node_entry(struct session *s, struct inode *inode, struct fuse_entry_out *out);
void node_attr(struct session *s, struct inode *inode, struct fuse_attr *out);
/* How long the kernel may keep attributes: not while blocks may change by themselves. */
uint64_t node_attr_timeout(struct inode *inode);
/*
 * Moves the access time, unless the mount or the descriptor (@open_flags) says not to.  Before the reply: after it
 * the file may be closed.
 */
void node_accessed(struct session *s, struct inode *inode, uint32_t open_flags);
/*
 * Makes the kernel ask for the attributes of @nodeid again: a request changed more of them than the kernel expects.
 * Before the reply, so that who made it sees them.
 */
void node_attr_changed(struct session *s, uint64_t nodeid);
/* A name in the body, NUL-terminated, at @off; NULL when it is not. */
const char *request_string(struct request *r, uint32_t off);
/* -ENAMETOOLONG, -EINVAL */
int name_from_string(const char *string, struct name *out);
struct credentials request_credentials(const struct request *r, uint32_t umask);
/*
 * Whether the set-id bits of a changed file must go, where the request does not say it: FUSE does not carry the
 * caller's capabilities, so root is taken to have CAP_FSETID and nobody else.
 */
static inline bool request_kills_privileges(const struct request *r)
{
	return r->in->uid != 0;
}

static inline bool session_is_read_only(const struct session *s)
{
	return s->vol->is_read_only;
}

/* An open file (fh). */
struct open_file {
	struct list node;		/* in session.open_files */
	struct inode *inode;		/* referenced */
	uint32_t flags;			/* of open(2) */
	bool is_writable;
	bool is_direct;			/* FOPEN_DIRECT_IO */
	uint64_t error_seen;
};

/* ops_file.c, for CREATE and TMPFILE too: opens @inode (takes a reference of its own). */
int open_file_create(struct session *s, struct inode *inode, uint32_t flags, struct fuse_open_out *out);
void open_file_free(struct session *s, struct open_file *file);
/* Closes what the kernel never released: an unmount cuts queued RELEASEs off. */
void open_files_free_all(struct session *s);
