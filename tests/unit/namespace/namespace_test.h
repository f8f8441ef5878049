/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * What the tests of the namespace room share: an image, mounted, operations by path-less names, and the comparison
 * with what the kernel sees.
 */
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

#include <linux/fs.h>

#include <userxfs/base/error.h>
#include <userxfs/namespace.h>

#include "image.h"
#include "volume_lite.h"

struct fixture {
	char *image;
	struct volume_lite vol;
	struct namespace ns;
	struct inode *root;
};

static const struct credentials cred_user = { .uid = 1000, .gid = 100, .umask = 022 };

static inline struct name name_of(const char *s)
{
	return (struct name){ (const uint8_t *)s, (unsigned)strlen(s) };
}

static inline void fixture_mount(struct fixture *f)
{
	assert_int_equal(volume_lite_open(&f->vol, f->image), 0);
	namespace_init(&f->ns, f->vol.inodes);
	assert_int_equal(inode_get(f->vol.inodes, NULL, f->vol.geo.root, 0, &f->root), 0);
}

static inline struct fixture *fixture_create(uint64_t bytes, const char *mkfs_args)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->image = image_create(bytes, mkfs_args);
	fixture_mount(f);
	return f;
}

static inline unsigned fixture_inactivate(struct fixture *f)
{
	unsigned n = 0;

	while (namespace_inactivate_pass(&f->ns))
		n++;
	return n;
}

static inline void fixture_unmount(struct fixture *f)
{
	inode_put(f->root);
	fixture_inactivate(f);
	namespace_deinit(&f->ns);
	assert_int_equal(volume_lite_close(&f->vol), 0);
}

static inline void fixture_remount(struct fixture *f)
{
	fixture_unmount(f);
	fixture_mount(f);
}

static inline void fixture_destroy(struct fixture *f)
{
	fixture_unmount(f);
	assert_int_equal(image_check(f->image), 0);
	image_remove(f->image);
	free(f);
}

/* The power goes; what was forced to the log is on disk. */
static inline void fixture_crash(struct fixture *f)
{
	inode_put(f->root);
	namespace_deinit(&f->ns);
	volume_lite_abandon(&f->vol);
}

/* ---- operations that must succeed ---- */

static inline struct inode *make(struct fixture *f, struct inode *dir, const char *name, uint32_t mode)
{
	struct inode *inode;

	assert_int_equal(namespace_create(&f->ns, dir, name_of(name), mode, 0, &cred_user, &inode), 0);
	return inode;
}

static inline void make_and_put(struct fixture *f, struct inode *dir, const char *name, uint32_t mode)
{
	inode_put(make(f, dir, name, mode));
}

static inline struct inode *look(struct fixture *f, struct inode *dir, const char *name)
{
	struct inode *inode;

	assert_int_equal(namespace_lookup(&f->ns, dir, name_of(name), &inode), 0);
	return inode;
}

static inline int look_error(struct fixture *f, struct inode *dir, const char *name)
{
	struct inode *inode;
	int err = namespace_lookup(&f->ns, dir, name_of(name), &inode);

	if (!err)
		inode_put(inode);
	return err;
}

static inline int rename_flags(struct fixture *f, struct inode *a, const char *from, struct inode *b, const char *to,
			       uint32_t flags)
{
	return namespace_rename(&f->ns, a, name_of(from), b, name_of(to), flags, &cred_user);
}

static inline struct inode_stat stat_of(struct inode *inode)
{
	struct inode_stat st;

	inode_stat(inode, &st);
	return st;
}

/* ---- what is there, as lines of text ---- */

struct dumped_entry {
	char *name;
	struct inum ino;
};

struct dumped_dir {
	struct dumped_entry *entries;
	size_t count, capacity;
};

static inline bool dump_emit(void *context, struct name name, struct inum ino, uint8_t ftype, uint64_t next_cookie)
{
	struct dumped_dir *d = context;

	if (name.bytes[0] == '.' && (name.length == 1 || (name.length == 2 && name.bytes[1] == '.')))
		return true;
	if (d->count == d->capacity) {
		d->capacity = d->capacity ? 2 * d->capacity : 64;
		d->entries = realloc(d->entries, d->capacity * sizeof(*d->entries));
	}
	d->entries[d->count++] = (struct dumped_entry){ strndup((const char *)name.bytes, name.length), ino };
	return true;
}

/* Like find -printf '%P %y %m %n %U %G %T@ %l': the size only where it is not the form of a directory. */
static inline void dump_inode(struct fixture *f, struct inode *inode, const char *path, FILE *out)
{
	static const char types[] = "?pc?d?b?-?l?s";
	struct inode_stat st = stat_of(inode);
	char target[XFS_SYMLINK_MAXLEN + 1] = "";
	char type = types[(st.mode & S_IFMT) >> 12];

	if (S_ISLNK(st.mode))
		assert_int_equal(namespace_readlink(&f->ns, inode, target, sizeof(target)), 0);
	fprintf(out, "%s %c %o %u %u %u %lld.%09ld0 %s\n", path, type == '-' ? 'f' : type, st.mode & 07777, st.nlink,
		st.uid, st.gid, (long long)st.mtime.tv_sec, st.mtime.tv_nsec, target);
}

static inline void dump_tree(struct fixture *f, struct inode *dir, const char *path, FILE *out)
{
	struct dumped_dir d = { 0 };

	assert_int_equal(namespace_list(&f->ns, dir, 0, dump_emit, &d), 0);
	for (size_t i = 0; i < d.count; i++) {
		struct inode *inode;
		char *child;

		assert_true(asprintf(&child, "%s%s%s", path, *path ? "/" : "", d.entries[i].name) > 0);
		assert_int_equal(inode_get(f->vol.inodes, NULL, d.entries[i].ino, 0, &inode), 0);
		dump_inode(f, inode, child, out);
		if (S_ISDIR(inode->mode))
			dump_tree(f, inode, child, out);
		inode_put(inode);
		free(child);
		free(d.entries[i].name);
	}
	free(d.entries);
}

/* Writes the dump of the whole tree to IMAGE.ours. */
static inline void fixture_dump(struct fixture *f)
{
	char *path;
	FILE *out;

	assert_true(asprintf(&path, "%s.ours", f->image) > 0);
	out = fopen(path, "w");
	assert_non_null(out);
	dump_tree(f, f->root, "", out);
	fclose(out);
	free(path);
}

/*
 * Mounts the (unmounted) image with the kernel, compares what it sees with the dump, unmounts.  Needs root.  0: the
 * same.
 */
static inline int fixture_compare_with_kernel(struct fixture *f)
{
	char mountpoint[] = "/tmp/userxfs-namespace-XXXXXX";
	int err;

	assert_non_null(mkdtemp(mountpoint));
	err = image_shell("mount -o loop,noatime %s %s", f->image, mountpoint);
	if (!err) {
		err = image_shell("cd %s && find . -mindepth 1 -printf '%%P %%y %%m %%n %%U %%G %%T@ %%l\\n' | "
				  "LC_ALL=C sort >%s.theirs", mountpoint, f->image);
		err |= image_shell("umount %s", mountpoint);
	}
	rmdir(mountpoint);
	if (!err)
		err = image_shell("LC_ALL=C sort %s.ours | diff - %s.theirs | head -20 | grep . && exit 1; exit 0",
				  f->image, f->image);
	image_shell("rm -f %s.ours %s.theirs", f->image, f->image);
	return err;
}

/* Unmounts, checks, compares with what the kernel sees where it may mount, mounts again. */
static inline void fixture_check_with_kernel(struct fixture *f)
{
	fixture_dump(f);
	fixture_unmount(f);
	assert_int_equal(image_check(f->image), 0);
	if (geteuid() == 0)
		assert_int_equal(fixture_compare_with_kernel(f), 0);
	fixture_mount(f);
}

/* Mounts and unmounts with the kernel, which recovers the log. */
static inline void fixture_recover_by_kernel(struct fixture *f)
{
	char mountpoint[] = "/tmp/userxfs-namespace-XXXXXX";
	int err;

	assert_non_null(mkdtemp(mountpoint));
	err = image_shell("mount -o loop %s %s && umount %s", f->image, mountpoint, mountpoint);
	rmdir(mountpoint);
	assert_int_equal(err, 0);
}
