/* SPDX-License-Identifier: GPL-2.0 */
/* Which operation serves which request, and how much body it must have at least. */
#include "session.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

struct operation {
	void (*run)(struct request *r);
	uint32_t min_body;
	bool changes;			/* refused on read-only volumes */
};

static const struct operation operations[] = {
	[FUSE_INIT] = { op_init, 16, false },
	[FUSE_DESTROY] = { op_destroy, 0, false },
	[FUSE_STATFS] = { op_statfs, 0, false },
	[FUSE_SYNCFS] = { op_syncfs, 0, false },
	[FUSE_LOOKUP] = { op_lookup, 1, false },
	[FUSE_FORGET] = { op_forget, sizeof(struct fuse_forget_in), false },
	[FUSE_BATCH_FORGET] = { op_batch_forget, sizeof(struct fuse_batch_forget_in), false },
	[FUSE_GETATTR] = { op_getattr, sizeof(struct fuse_getattr_in), false },
	[FUSE_STATX_OP] = { op_statx, 0, false },
	[FUSE_SETATTR] = { op_setattr, sizeof(struct fuse_setattr_in), true },
	[FUSE_READLINK] = { op_readlink, 0, false },
	[FUSE_MKNOD] = { op_mknod, sizeof(struct fuse_mknod_in) + 1, true },
	[FUSE_MKDIR] = { op_mkdir, sizeof(struct fuse_mkdir_in) + 1, true },
	[FUSE_SYMLINK] = { op_symlink, 2, true },
	[FUSE_LINK] = { op_link, sizeof(struct fuse_link_in) + 1, true },
	[FUSE_UNLINK] = { op_unlink, 1, true },
	[FUSE_RMDIR] = { op_rmdir, 1, true },
	[FUSE_RENAME] = { op_rename, sizeof(struct fuse_rename_in) + 2, true },
	[FUSE_RENAME2] = { op_rename2, sizeof(struct fuse_rename2_in) + 2, true },
	[FUSE_CREATE] = { op_create, sizeof(struct fuse_create_in) + 1, true },
	[FUSE_TMPFILE] = { op_tmpfile, sizeof(struct fuse_create_in), true },
	[FUSE_OPENDIR] = { op_opendir, sizeof(struct fuse_open_in), false },
	[FUSE_RELEASEDIR] = { op_releasedir, sizeof(struct fuse_release_in), false },
	[FUSE_READDIR] = { op_readdir, sizeof(struct fuse_read_in), false },
	[FUSE_READDIRPLUS] = { op_readdirplus, sizeof(struct fuse_read_in), false },
	[FUSE_FSYNCDIR] = { op_fsyncdir, sizeof(struct fuse_fsync_in), false },
	[FUSE_OPEN] = { op_open, sizeof(struct fuse_open_in), false },
	[FUSE_RELEASE] = { op_release, sizeof(struct fuse_release_in), false },
	[FUSE_READ] = { op_read, sizeof(struct fuse_read_in), false },
	[FUSE_WRITE] = { op_write, sizeof(struct fuse_write_in), true },
	[FUSE_FLUSH] = { op_flush, sizeof(struct fuse_flush_in), false },
	[FUSE_FSYNC] = { op_fsync, sizeof(struct fuse_fsync_in), false },
	[FUSE_FALLOCATE] = { op_fallocate, sizeof(struct fuse_fallocate_in), true },
	[FUSE_LSEEK] = { op_lseek, sizeof(struct fuse_lseek_in), false },
	[FUSE_COPY_FILE_RANGE] = { op_copy_file_range, sizeof(struct fuse_copy_file_range_in), true },
	[FUSE_COPY_FILE_RANGE_64_OP] = { op_copy_file_range_64, sizeof(struct fuse_copy_file_range_in), true },
	[FUSE_GETXATTR] = { op_getxattr, sizeof(struct fuse_getxattr_in) + 1, false },
	[FUSE_SETXATTR] = { op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE + 1, true },
	[FUSE_LISTXATTR] = { op_listxattr, sizeof(struct fuse_getxattr_in), false },
	[FUSE_REMOVEXATTR] = { op_removexattr, 1, true },
	[FUSE_IOCTL] = { op_ioctl, sizeof(struct fuse_ioctl_in), false },
};

void request_dispatch(struct request *r)
{
	const struct operation *op = NULL;

	if (r->in->opcode < ARRAY_COUNT(operations))
		op = &operations[r->in->opcode];
	if (r->in->opcode == FUSE_INTERRUPT) {
		/* Requests are short; the one it means is answered anyway. */
		reply_none(r);
	} else if (!op || !op->run) {
		reply_error(r, -ENOSYS);
	} else if (r->body_bytes < op->min_body) {
		reply_error(r, -EINVAL);
	} else if (op->changes && session_is_read_only(r->s)) {
		reply_error(r, -EROFS);
	} else {
		op->run(r);
	}
	ensure(r->replied);
}
