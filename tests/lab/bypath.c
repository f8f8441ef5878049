/* SPDX-License-Identifier: GPL-2.0 */
/* System calls by path; see bypath.h. */
#include "bypath.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <userxfs/base/error.h>

static const struct credentials root_user = { .umask = 022 };

static struct name name_of(const char *text)
{
	return (struct name){ (const uint8_t *)text, (unsigned)strlen(text) };
}

/* ---- walking ---- */

static int step_into(struct volume *vol, struct inode **at, struct name name)
{
	struct inode *next;
	int err = namespace_lookup(&vol->ns, *at, name, &next);

	inode_put(*at);
	*at = err ? NULL : next;
	return err;
}

static int walk(struct volume *vol, const char *path, size_t length, struct inode **out)
{
	int err = 0;

	*out = vol->root;
	inode_hold(*out);
	while (length && !err) {
		const char *slash = memchr(path, '/', length);
		size_t part = slash ? (size_t)(slash - path) : length;

		err = step_into(vol, out, (struct name){ (const uint8_t *)path, (unsigned)part });
		path += part + (slash != NULL);
		length -= part + (slash != NULL);
	}
	return err;
}

int path_get(struct volume *vol, const char *path, struct inode **out)
{
	return walk(vol, path, strlen(path), out);
}

/* The directory @path is in, referenced, and its last part. */
static int walk_parent(struct volume *vol, const char *path, struct inode **dir, struct name *last)
{
	const char *slash = strrchr(path, '/');

	*last = name_of(slash ? slash + 1 : path);
	return walk(vol, path, slash ? (size_t)(slash - path) : 0, dir);
}

/* ---- names ---- */

int path_mknod(struct volume *vol, const char *path, uint32_t mode, uint32_t rdev)
{
	struct inode *dir, *inode;
	struct name last;
	int err = walk_parent(vol, path, &dir, &last);

	if (err)
		return err;
	err = namespace_create(&vol->ns, dir, last, mode, rdev, &root_user, &inode);
	inode_put(dir);
	if (!err)
		inode_put(inode);
	return err;
}

int path_create(struct volume *vol, const char *path, uint32_t mode)
{
	return path_mknod(vol, path, S_IFREG | mode, 0);
}

int path_mkdir(struct volume *vol, const char *path)
{
	return path_mknod(vol, path, S_IFDIR | 0777, 0);
}

int path_symlink(struct volume *vol, const char *path, const char *target)
{
	struct inode *dir, *inode;
	struct name last;
	int err = walk_parent(vol, path, &dir, &last);

	if (err)
		return err;
	err = namespace_symlink(&vol->ns, dir, last, target, &root_user, &inode);
	inode_put(dir);
	if (!err)
		inode_put(inode);
	return err;
}

static int link_inode(struct volume *vol, struct inode *inode, const char *path)
{
	struct inode *dir;
	struct name last;
	int err = walk_parent(vol, path, &dir, &last);

	if (err)
		return err;
	err = namespace_link(&vol->ns, inode, dir, last);
	inode_put(dir);
	return err;
}

int path_link(struct volume *vol, const char *target, const char *path)
{
	struct inode *inode;
	int err = path_get(vol, target, &inode);

	if (err)
		return err;
	err = link_inode(vol, inode, path);
	inode_put(inode);
	return err;
}

int path_tmpfile(struct volume *vol, const char *path)
{
	struct inode *inode;
	int err = namespace_tmpfile(&vol->ns, vol->root, S_IFREG | 0600, &root_user, &inode);

	if (err)
		return err;
	err = link_inode(vol, inode, path);
	inode_put(inode);
	return err;
}

static int remove_name(struct volume *vol, const char *path,
		       int (*remove)(struct namespace *ns, struct inode *dir, struct name name))
{
	struct inode *dir;
	struct name last;
	int err = walk_parent(vol, path, &dir, &last);

	if (err)
		return err;
	err = remove(&vol->ns, dir, last);
	inode_put(dir);
	return err;
}

int path_unlink(struct volume *vol, const char *path)
{
	return remove_name(vol, path, namespace_unlink);
}

int path_rmdir(struct volume *vol, const char *path)
{
	return remove_name(vol, path, namespace_rmdir);
}

int path_rename(struct volume *vol, const char *from, const char *to, uint32_t flags)
{
	struct inode *old_dir, *new_dir;
	struct name old_last, new_last;
	int err = walk_parent(vol, from, &old_dir, &old_last);

	if (err)
		return err;
	err = walk_parent(vol, to, &new_dir, &new_last);
	if (!err) {
		err = namespace_rename(&vol->ns, old_dir, old_last, new_dir, new_last, flags, &root_user);
		inode_put(new_dir);
	}
	inode_put(old_dir);
	return err;
}

/* ---- files ---- */

static int write_inode(struct inode *inode, uint64_t off, const void *bytes, uint64_t count, enum path_write how)
{
	static const uint32_t flags[] = {
		[PATH_WRITE_DIRECT] = FILE_WRITE_DIRECT,
		[PATH_WRITE_SYNC] = FILE_WRITE_SYNC,
	};
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = count };
	struct write_source src;
	uint64_t done = 0;
	int err;

	if (how == PATH_STORE)
		return file_fault_store(inode, off, count, bytes, 0);
	write_source_iov(&src, &iov, 1);
	err = file_write(inode, off, count, &src, how == PATH_WRITE ? 0 : flags[how], &done);
	return err ? err : done == count ? 0 : -EIO;
}

int path_write(struct volume *vol, const char *path, uint64_t off, const void *bytes, uint64_t count,
	       enum path_write how)
{
	struct inode *inode;
	int err = path_get(vol, path, &inode);

	if (err)
		return err;
	file_opened(inode, true);
	err = write_inode(inode, off, bytes, count, how);
	file_closed(inode, true);
	inode_put(inode);
	return err;
}

int path_read(struct volume *vol, const char *path, uint64_t off, void *bytes, uint64_t count, uint64_t *done)
{
	struct iovec iov = { .iov_base = bytes, .iov_len = count };
	struct inode *inode;
	int err = path_get(vol, path, &inode);

	if (err)
		return err;
	err = file_read(inode, off, &iov, 1, done);
	inode_put(inode);
	return err;
}

int path_truncate(struct volume *vol, const char *path, uint64_t size)
{
	struct inode *inode;
	int err = path_get(vol, path, &inode);

	if (err)
		return err;
	err = file_truncate(inode, size, true);
	inode_put(inode);
	return err;
}

int path_fallocate(struct volume *vol, const char *path, int mode, uint64_t off, uint64_t count)
{
	struct inode *inode;
	int err = path_get(vol, path, &inode);

	if (err)
		return err;
	err = file_fallocate(inode, mode, off, count, false);
	inode_put(inode);
	return err;
}

int path_fsync(struct volume *vol, const char *path, bool datasync)
{
	struct inode *inode;
	int err = path_get(vol, path, &inode);

	if (err)
		return err;
	err = file_fsync(inode, datasync, NULL);
	inode_put(inode);
	return err;
}

int path_copy(struct volume *vol, const char *from, const char *to, uint64_t count)
{
	struct inode *in, *out;
	uint64_t done;
	int err = path_get(vol, from, &in);

	if (err)
		return err;
	err = path_get(vol, to, &out);
	if (!err) {
		err = file_copy(in, 0, out, 0, count, false, &done);
		inode_put(out);
	}
	inode_put(in);
	return err;
}

/* ---- attributes ---- */

static int change(struct volume *vol, const char *path, const struct inode_change *what)
{
	struct inode *inode;
	int err = path_get(vol, path, &inode);

	if (err)
		return err;
	err = inode_change(inode, what);
	inode_put(inode);
	return err;
}

int path_chmod(struct volume *vol, const char *path, uint32_t mode)
{
	return change(vol, path, &(struct inode_change){ .valid = CHANGE_MODE, .mode = (uint16_t)mode });
}

int path_chown(struct volume *vol, const char *path, uint32_t uid, uint32_t gid)
{
	return change(vol, path,
		      &(struct inode_change){ .valid = CHANGE_UID | CHANGE_GID, .uid = uid, .gid = gid });
}

int path_setxattr(struct volume *vol, const char *path, const char *name, const void *value, size_t length)
{
	struct xattr_name parsed;
	struct inode *inode;
	int err = xattr_parse(name, &parsed);

	if (!err)
		err = path_get(vol, path, &inode);
	if (err)
		return err;
	rwlock_write_lock(&inode->io_lock);
	err = value ? xattr_set(inode, &parsed, value, length, 0) : xattr_remove(inode, &parsed);
	rwlock_write_unlock(&inode->io_lock);
	inode_put(inode);
	return err;
}

int path_set_flags(struct volume *vol, const char *path, uint32_t xflags)
{
	return change(vol, path, &(struct inode_change){ .valid = CHANGE_XFLAGS, .xflags = xflags });
}

int path_set_acl(struct volume *vol, const char *path)
{
	static const struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} entries[5];
	} value = { 2,			/* of system.posix_acl_access, see <linux/posix_acl_xattr.h> */
		    { { 0x01, 6, UINT32_MAX },	/* owner */
		      { 0x02, 4, 1000 },
		      { 0x04, 4, UINT32_MAX },	/* group */
		      { 0x10, 6, UINT32_MAX },	/* mask */
		      { 0x20, 0, UINT32_MAX } } };	/* others */
	struct inode *inode;
	int err = path_get(vol, path, &inode);

	if (err)
		return err;
	rwlock_write_lock(&inode->io_lock);
	err = acl_set(inode, ACL_KIND_ACCESS, &value, sizeof(value));
	rwlock_write_unlock(&inode->io_lock);
	inode_put(inode);
	return err;
}

int path_stat(struct volume *vol, const char *path, struct inode_stat *out)
{
	struct inode *inode;
	int err = path_get(vol, path, &inode);

	if (err)
		return err;
	inode_stat(inode, out);
	inode_put(inode);
	return 0;
}
