/* SPDX-License-Identifier: GPL-2.0 */
/* Requests about names: create, link, remove, rename, list. */
#include "session.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

/* The directory a request is about and a name in its body at @off; the directory is referenced. */
static int dir_and_name(struct request *r, uint32_t off, struct inode **dir, struct name *name)
{
	int err = name_from_string(request_string(r, off), name);

	return err ? err : node_get(r->s, r->in->nodeid, dir);
}

/* Replies with an entry and hands the reference of @inode to the kernel, or with the error. */
static void reply_entry(struct request *r, int err, struct inode *inode)
{
	struct fuse_entry_out out;

	if (err) {
		reply_error(r, err);
		return;
	}
	node_entry(r->s, inode, &out);
	reply_data(r, &out, sizeof(out));
}

/* A device number from the kernel's 32-bit encoding (new_decode_dev). */
static uint32_t decode_rdev(uint32_t dev)
{
	return (uint32_t)makedev((dev & 0xfff00) >> 8, (dev & 0xff) | ((dev >> 12) & 0xfff00));
}

static int create_named(struct request *r, uint32_t name_off, uint32_t mode, uint32_t rdev, uint32_t umask,
			struct inode **out)
{
	struct credentials cred = request_credentials(r, umask);
	struct inode *dir;
	struct name name;
	int err = dir_and_name(r, name_off, &dir, &name);

	if (err)
		return err;
	err = namespace_create(&r->s->vol->ns, dir, name, mode, rdev, &cred, out);
	inode_put(dir);
	return err;
}

void op_mknod(struct request *r)
{
	const struct fuse_mknod_in *arg = (const void *)r->body;
	struct inode *inode = NULL;
	int err = create_named(r, sizeof(*arg), arg->mode, decode_rdev(arg->rdev), arg->umask, &inode);

	reply_entry(r, err, inode);
}

void op_mkdir(struct request *r)
{
	const struct fuse_mkdir_in *arg = (const void *)r->body;
	struct inode *inode = NULL;
	int err = create_named(r, sizeof(*arg), (arg->mode & 07777) | S_IFDIR, 0, arg->umask, &inode);

	reply_entry(r, err, inode);
}

void op_symlink(struct request *r)
{
	const char *string = request_string(r, 0);
	struct credentials cred = request_credentials(r, 0);
	const char *target = string ? request_string(r, (uint32_t)strlen(string) + 1) : NULL;
	struct inode *dir, *inode = NULL;
	struct name name;
	int err = target ? dir_and_name(r, 0, &dir, &name) : -EINVAL;

	if (!err) {
		err = namespace_symlink(&r->s->vol->ns, dir, name, target, &cred, &inode);
		inode_put(dir);
	}
	reply_entry(r, err, inode);
}

void op_link(struct request *r)
{
	const struct fuse_link_in *arg = (const void *)r->body;
	struct inode *dir, *inode = NULL;
	struct name name;
	int err = dir_and_name(r, sizeof(*arg), &dir, &name);

	if (err) {
		reply_error(r, err);
		return;
	}
	err = node_get(r->s, arg->oldnodeid, &inode);
	if (!err) {
		err = namespace_link(&r->s->vol->ns, inode, dir, name);
		if (err)
			inode_put(inode);
	}
	inode_put(dir);
	reply_entry(r, err, inode);
}

static void remove_name(struct request *r, int (*remove)(struct namespace *, struct inode *, struct name))
{
	struct inode *dir;
	struct name name;
	int err = dir_and_name(r, 0, &dir, &name);

	if (!err) {
		err = remove(&r->s->vol->ns, dir, name);
		inode_put(dir);
	}
	reply_error(r, err);
}

void op_unlink(struct request *r)
{
	remove_name(r, namespace_unlink);
}

void op_rmdir(struct request *r)
{
	remove_name(r, namespace_rmdir);
}

static void rename_names(struct request *r, uint32_t names_off, uint64_t new_dir_id, uint32_t flags)
{
	struct credentials cred = request_credentials(r, 0);
	const char *old_string = request_string(r, names_off);
	struct name old_name, new_name;
	struct inode *old_dir, *new_dir;
	int err = name_from_string(old_string, &old_name);

	if (!err)
		err = name_from_string(request_string(r, names_off + (uint32_t)strlen(old_string) + 1), &new_name);
	if (!err)
		err = node_get(r->s, r->in->nodeid, &old_dir);
	if (err) {
		reply_error(r, err);
		return;
	}
	err = node_get(r->s, new_dir_id, &new_dir);
	if (!err) {
		err = namespace_rename(&r->s->vol->ns, old_dir, old_name, new_dir, new_name, flags, &cred);
		inode_put(new_dir);
	}
	inode_put(old_dir);
	reply_error(r, err);
}

void op_rename(struct request *r)
{
	const struct fuse_rename_in *arg = (const void *)r->body;

	rename_names(r, sizeof(*arg), arg->newdir, 0);
}

void op_rename2(struct request *r)
{
	const struct fuse_rename2_in *arg = (const void *)r->body;

	rename_names(r, sizeof(*arg), arg->newdir, arg->flags);
}

static void reply_created(struct request *r, int err, struct inode *inode, uint32_t flags)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;

	if (!err) {
		/* It is new: there is nothing to truncate. */
		err = open_file_create(r->s, inode, flags & ~(uint32_t)O_TRUNC, &out.open);
		if (err)
			inode_put(inode);
	}
	if (err) {
		reply_error(r, err);
		return;
	}
	node_entry(r->s, inode, &out.entry);
	reply_data(r, &out, sizeof(out));
}

void op_create(struct request *r)
{
	const struct fuse_create_in *arg = (const void *)r->body;
	struct inode *inode = NULL;
	int err = create_named(r, sizeof(*arg), (arg->mode & 07777) | S_IFREG, 0, arg->umask, &inode);

	reply_created(r, err, inode, arg->flags);
}

void op_tmpfile(struct request *r)
{
	const struct fuse_create_in *arg = (const void *)r->body;
	struct credentials cred = request_credentials(r, arg->umask);
	struct inode *dir, *inode = NULL;
	int err = node_get(r->s, r->in->nodeid, &dir);

	if (!err) {
		err = namespace_tmpfile(&r->s->vol->ns, dir, (arg->mode & 07777) | S_IFREG, &cred, &inode);
		inode_put(dir);
	}
	reply_created(r, err, inode, arg->flags);
}

/* ---- listing ---- */

void op_opendir(struct request *r)
{
	struct fuse_open_out out = { .open_flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE };

	reply_data(r, &out, sizeof(out));
}

void op_releasedir(struct request *r)
{
	reply_error(r, 0);
}

/* Entries are gathered first and looked up afterwards: listing holds the directory's locks. */
struct listing {
	uint8_t *buffer;		/* struct listed, back to back */
	size_t used, capacity;
	size_t room;			/* reply bytes left */
	size_t entry_bytes;		/* of the reply, besides the name */
};

struct listed {
	struct inum ino;
	uint64_t next_cookie;
	uint32_t length;
	uint8_t ftype;
	uint8_t name[];
};

static size_t listed_bytes(unsigned length)
{
	return round_up_u64(sizeof(struct listed) + length, 8);
}

static bool gather(void *context, struct name name, struct inum ino, uint8_t ftype, uint64_t next_cookie)
{
	struct listing *l = context;
	size_t reply = FUSE_DIRENT_ALIGN(l->entry_bytes + name.length);
	struct listed *entry = (void *)(l->buffer + l->used);

	if (reply > l->room || l->used + listed_bytes(name.length) > l->capacity)
		return false;
	entry->ino = ino;
	entry->next_cookie = next_cookie;
	entry->length = name.length;
	entry->ftype = ftype;
	memcpy(entry->name, name.bytes, name.length);
	l->used += listed_bytes(name.length);
	l->room -= reply;
	return true;
}

static size_t put_dirent(struct fuse_dirent *out, const struct listed *entry)
{
	out->ino = entry->ino.v;
	out->off = entry->next_cookie;
	out->namelen = entry->length;
	out->type = dir_dtype_of_ftype(entry->ftype);
	memcpy(out->name, entry->name, entry->length);
	return FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry->length);
}

static bool is_dot_or_dotdot(const struct listed *entry)
{
	return entry->name[0] == '.' && (entry->length == 1 || (entry->length == 2 && entry->name[1] == '.'));
}

static size_t put_direntplus(struct session *s, struct fuse_direntplus *out, const struct listed *entry)
{
	struct inode *inode;
	size_t bytes = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + entry->length);

	memset(out, 0, bytes);
	/* An entry without a node id is just a name: the kernel looks it up when it needs it. */
	if (!is_dot_or_dotdot(entry) && !inode_get(s->vol->inodes, NULL, entry->ino, 0, &inode))
		node_entry(s, inode, &out->entry_out);
	put_dirent(&out->dirent, entry);
	return bytes;
}

static void list(struct request *r, bool plus)
{
	const struct fuse_read_in *arg = (const void *)r->body;
	struct listing l = {
		.capacity = MAX_WRITE_BYTES / 2,
		.room = min_u64(arg->size, MAX_WRITE_BYTES / 2),
		.entry_bytes = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET,
	};
	uint8_t *out = r->scratch;
	struct inode *dir;
	int err = node_get(r->s, r->in->nodeid, &dir);

	if (err) {
		reply_error(r, err);
		return;
	}
	/* The reply is never longer than what is gathered plus what each entry adds: two halves of the scratch
	 * buffer. */
	l.buffer = r->scratch + MAX_WRITE_BYTES / 2;
	err = namespace_list(&r->s->vol->ns, dir, arg->offset, gather, &l);
	if (err && l.used == 0) {
		reply_error(r, err);
	} else {
		node_accessed(r->s, dir, arg->flags);
		for (size_t pos = 0; pos < l.used;) {
			const struct listed *entry = (const void *)(l.buffer + pos);

			if (plus)
				out += put_direntplus(r->s, (void *)out, entry);
			else
				out += put_dirent((void *)out, entry);
			pos += listed_bytes(entry->length);
		}
		reply_data(r, r->scratch, (size_t)(out - r->scratch));
	}
	inode_put(dir);
}

void op_readdir(struct request *r)
{
	list(r, false);
}

void op_readdirplus(struct request *r)
{
	list(r, true);
}

void op_fsyncdir(struct request *r)
{
	const struct fuse_fsync_in *arg = (const void *)r->body;
	struct inode *dir;
	int err = node_get(r->s, r->in->nodeid, &dir);

	if (!err) {
		if (!session_is_read_only(r->s))
			err = file_fsync(dir, arg->fsync_flags & FUSE_FSYNC_FDATASYNC, NULL);
		inode_put(dir);
	}
	reply_error(r, err);
}
