/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * System calls by path on a mounted library volume, without FUSE: what the tests of crashes and failures do to a
 * volume.  0 or -errno.  Paths are relative to the root: "dir/file"; "" is the root.
 */
#include <userxfs/volume.h>

/* Referenced. */
int path_get(struct volume *vol, const char *path, struct inode **out);

int path_create(struct volume *vol, const char *path, uint32_t mode);
int path_mkdir(struct volume *vol, const char *path);
/* A special file. */
int path_mknod(struct volume *vol, const char *path, uint32_t mode, uint32_t rdev);
int path_symlink(struct volume *vol, const char *path, const char *target);
int path_link(struct volume *vol, const char *target, const char *path);
int path_unlink(struct volume *vol, const char *path);
int path_rmdir(struct volume *vol, const char *path);
int path_rename(struct volume *vol, const char *from, const char *to, uint32_t flags);
/* O_TMPFILE in the root, then linked. */
int path_tmpfile(struct volume *vol, const char *path);

/* How a file is written. */
enum path_write { PATH_WRITE, PATH_WRITE_DIRECT, PATH_WRITE_SYNC, PATH_STORE };
/* All @count bytes or an error (a short write is one). */
int path_write(struct volume *vol, const char *path, uint64_t off, const void *bytes, uint64_t count,
	       enum path_write how);
/* *done: how many were there. */
int path_read(struct volume *vol, const char *path, uint64_t off, void *bytes, uint64_t count, uint64_t *done);
int path_truncate(struct volume *vol, const char *path, uint64_t size);
int path_fallocate(struct volume *vol, const char *path, int mode, uint64_t off, uint64_t count);
int path_fsync(struct volume *vol, const char *path, bool datasync);
int path_copy(struct volume *vol, const char *from, const char *to, uint64_t count);

int path_chmod(struct volume *vol, const char *path, uint32_t mode);
int path_chown(struct volume *vol, const char *path, uint32_t uid, uint32_t gid);
/* @name: "user.x".  @value NULL: removed. */
int path_setxattr(struct volume *vol, const char *path, const char *name, const void *value, size_t length);
/* @xflags: FS_XFLAG_* */
int path_set_flags(struct volume *vol, const char *path, uint32_t xflags);
/* An access ACL that no mode can express: user 1000 may read. */
int path_set_acl(struct volume *vol, const char *path);
int path_stat(struct volume *vol, const char *path, struct inode_stat *out);
