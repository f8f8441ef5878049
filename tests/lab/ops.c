/* SPDX-License-Identifier: GPL-2.0 */
/* The words of a scenario: what they do to the volume, and to the model. */
#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>

#include "disk.h"
#include "model_ops.h"
#include "bypath.h"

enum { ARGS_MAX = 4 };

struct call {
	struct model *m;
	struct volume *vol;
	const char *a, *b;		/* the first two words after the operation's name; "." is the root */
	uint64_t n[ARGS_MAX];		/* the words as numbers; n[0] is the first */
	int variant;			/* of the operation's row in the table */
};

static struct object *object_of(struct call *c)
{
	struct entry *e = model_find(c->m, c->a);

	return e ? e->object : NULL;
}

/* What the kernel checks before it asks a filesystem. */
static bool is_file(struct call *c)
{
	struct object *o = object_of(c);

	return o && o->has_bytes;
}

static bool is_dir(struct call *c)
{
	struct object *o = object_of(c);

	return o && S_ISDIR(o->mode);
}

static bool is_below(const char *path, const char *dir)
{
	size_t length = strlen(dir);

	return strncmp(path, dir, length) == 0 && path[length] == '/';
}

static const char *real_path(const char *path)
{
	return strcmp(path, ".") == 0 ? "" : path;
}

static unsigned now(const struct call *c)
{
	return c->m->op_count;
}

/* ---- names ---- */

static int op_make(struct call *c)
{
	int err = path_mknod(c->vol, c->a, (uint32_t)c->variant, S_ISCHR(c->variant) ? 0x103 : 0);

	if (!err)
		model_enter(c->m, c->a, model_object(c->m, (uint32_t)c->variant & ~022u));
	if (!err && S_ISCHR(c->variant))
		model_find(c->m, c->a)->object->rdev = 0x103;
	return err;
}

static int op_tmpfile(struct call *c)
{
	int err = path_tmpfile(c->vol, c->a);

	if (!err)
		model_enter(c->m, c->a, model_object(c->m, S_IFREG | 0600));
	return err;
}

static int op_symlink(struct call *c)
{
	char target[1024];
	int err;

	ensure(c->n[1] < sizeof(target));
	model_target((unsigned)c->n[1], target);
	err = path_symlink(c->vol, c->a, target);
	if (!err) {
		struct object *o = model_object(c->m, S_IFLNK | 0777);

		o->target_length = (unsigned)c->n[1];
		model_enter(c->m, c->a, o);
	}
	return err;
}

static int op_link(struct call *c)
{
	int err = is_dir(c) ? -EPERM : path_link(c->vol, c->a, c->b);

	if (!err) {
		struct object *o = object_of(c);

		o->nlink++;
		model_enter(c->m, c->b, o);
	}
	return err;
}

static int op_remove(struct call *c)
{
	int err;

	if (is_dir(c) != (c->variant != 0))
		return -EINVAL;
	err = c->variant ? path_rmdir(c->vol, c->a) : path_unlink(c->vol, c->a);
	if (!err) {
		object_of(c)->nlink--;
		model_leave(c->m, c->a);
	}
	return err;
}

static void model_whiteout(struct model *m, const char *path)
{
	model_enter(m, path, model_object(m, S_IFCHR));
}

static int op_rename(struct call *c)
{
	struct entry *target = model_find(c->m, c->b);
	int err;

	if (is_below(c->b, c->a) || is_below(c->a, c->b))
		return -EINVAL;
	if (target && c->variant != RENAME_EXCHANGE && S_ISDIR(target->object->mode) != is_dir(c))
		return -EISDIR;
	err = path_rename(c->vol, c->a, c->b, (uint32_t)c->variant);
	if (err || strcmp(c->a, c->b) == 0)
		return err;
	if (c->variant == RENAME_EXCHANGE) {
		model_swap(c->m, c->a, c->b);
		return 0;
	}
	/* Two names of one file: nothing happens. */
	if (target && target->object == object_of(c))
		return 0;
	if (target) {
		target->object->nlink--;
		model_leave(c->m, c->b);
	}
	model_move(c->m, c->a, c->b);
	if (c->variant == RENAME_WHITEOUT)
		model_whiteout(c->m, c->a);
	return 0;
}

/* ---- data ---- */

static int op_write(struct call *c)
{
	struct object *o = object_of(c);
	uint64_t off = c->n[1], count = c->n[2];
	uint8_t *bytes;
	int err;

	if (!is_file(c))
		return -EINVAL;
	/* The kernel makes no page beyond EOF writable. */
	if (c->variant == PATH_STORE)
		count = off < o->bytes.size ? min_u64(count, o->bytes.size - off) : 0;
	bytes = aligned_alloc(4096, round_up_u64(count + 1, 4096));
	ensure(bytes);
	bytes_pattern(o->bytes.id, now(c), off, bytes, count);
	err = count ? path_write(c->vol, c->a, off, bytes, count, (enum path_write)c->variant) : 0;
	free(bytes);
	if (err || !count)
		return err;
	bytes_write(&o->bytes, now(c), off, count);
	if (c->variant == PATH_WRITE_SYNC)
		model_promise(c->m, o, false);
	return 0;
}

static int op_copy(struct call *c)
{
	struct object *from = object_of(c);
	struct entry *to = model_find(c->m, c->b);
	int err;

	if (!is_file(c) || !to || !to->object->has_bytes || from == to->object)
		return -EINVAL;
	err = path_copy(c->vol, c->a, c->b, c->n[2]);
	if (!err)
		bytes_copy(&to->object->bytes, now(c), &from->bytes, c->n[2]);
	return err;
}

static int op_truncate(struct call *c)
{
	struct object *o = object_of(c);
	int err = is_file(c) ? path_truncate(c->vol, c->a, c->n[1]) : -EINVAL;

	if (!err) {
		bytes_set_size(&o->bytes, now(c), c->n[1]);
		o->promise_op = o->data_op = now(c);
	}
	return err;
}

static void model_fallocate(struct object *o, unsigned op, int mode, uint64_t off, uint64_t count)
{
	switch (mode) {
	case 0:
		if (off + count > o->bytes.size)
			bytes_set_size(&o->bytes, op, off + count);
		break;
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
		bytes_zero(&o->bytes, op, off, count);
		break;
	case FALLOC_FL_ZERO_RANGE:
		bytes_zero(&o->bytes, op, off, count);
		if (off + count > o->bytes.size)
			bytes_set_size(&o->bytes, op, off + count);
		break;
	case FALLOC_FL_COLLAPSE_RANGE:
		bytes_collapse(&o->bytes, op, off, count);
		break;
	case FALLOC_FL_INSERT_RANGE:
		bytes_insert(&o->bytes, op, off, count);
		break;
	}
	o->promise_op = o->data_op = op;
}

static int op_fallocate(struct call *c)
{
	struct object *o = object_of(c);
	int err = is_file(c) ? path_fallocate(c->vol, c->a, c->variant, c->n[1], c->n[2]) : -EINVAL;

	if (!err)
		model_fallocate(o, now(c), c->variant, c->n[1], c->n[2]);
	return err;
}

/* ---- attributes ---- */

static int op_chmod(struct call *c)
{
	uint32_t mode = (uint32_t)strtoul(c->b, NULL, 8);
	struct object *o = object_of(c);
	int err = path_chmod(c->vol, c->a, mode);

	if (!err) {
		o->mode = (o->mode & S_IFMT) | mode;
		o->promise_op = now(c);
	}
	return err;
}

static int op_chown(struct call *c)
{
	struct object *o = object_of(c);
	int err = path_chown(c->vol, c->a, (uint32_t)c->n[1], 0);

	if (!err) {
		o->uid = (uint32_t)c->n[1];
		o->promise_op = now(c);
	}
	return err;
}

static struct xattr *find_xattr(struct object *o, const char *name)
{
	for (unsigned i = 0; i < o->xattr_count; i++) {
		if (strcmp(o->xattrs[i].name, name) == 0)
			return &o->xattrs[i];
	}
	return NULL;
}

static int op_setxattr(struct call *c)
{
	struct object *o = object_of(c);
	struct xattr *x = o ? find_xattr(o, c->b) : NULL;
	unsigned length = (unsigned)c->n[2];
	uint8_t *value;
	int err;

	if ((!is_file(c) && !is_dir(c)) || (!x && o->xattr_count == XATTRS_MAX))
		return -EPERM;
	value = malloc(length + 1);
	ensure(value);
	model_xattr_value(now(c), length, value);
	err = path_setxattr(c->vol, c->a, c->b, value, length);
	free(value);
	if (err)
		return err;
	if (!x)
		x = &o->xattrs[o->xattr_count++];
	*x = (struct xattr){ .length = length, .op = now(c) };
	snprintf(x->name, sizeof(x->name), "%s", c->b);
	o->promise_op = now(c);
	return 0;
}

static int op_rmxattr(struct call *c)
{
	struct object *o = object_of(c);
	struct xattr *x = o ? find_xattr(o, c->b) : NULL;
	int err = path_setxattr(c->vol, c->a, c->b, NULL, 0);

	if (err)
		return err;
	*x = o->xattrs[--o->xattr_count];
	o->promise_op = now(c);
	return 0;
}

/* ---- promises and progress ---- */

static int op_fsync(struct call *c)
{
	struct object *o = strcmp(c->a, ".") == 0 ? &c->m->root : object_of(c);
	int err = path_fsync(c->vol, real_path(c->a), c->variant);

	if (!err)
		model_promise(c->m, o, c->variant);
	return err;
}

static int op_sync(struct call *c)
{
	int err = volume_sync(c->vol);

	if (!err)
		model_promise_all(c->m);
	return err;
}

static int op_flush(struct call *c)
{
	struct inode *inode;
	int err = path_get(c->vol, c->a, &inode);

	if (err)
		return err;
	err = c->variant ? file_flush_start(inode, 0, UINT64_MAX) : file_flush(inode, 0, UINT64_MAX);
	inode_put(inode);
	return err;
}

static int op_force(struct call *c)
{
	return log_force(c->vol->log, 0, NULL);
}

static int op_pass(struct call *c)
{
	volume_pass(c->vol);
	return 0;
}

/* ---- the table ---- */

static const struct op {
	const char *word;
	unsigned args;
	int (*run)(struct call *c);
	int variant;
} table[] = {
	{ "create", 1, op_make, S_IFREG | 0666 },
	{ "mkdir", 1, op_make, S_IFDIR | 0777 },
	{ "mknod", 1, op_make, S_IFCHR | 0666 },
	{ "tmpfile", 1, op_tmpfile, 0 },
	{ "symlink", 2, op_symlink, 0 },
	{ "link", 2, op_link, 0 },
	{ "unlink", 1, op_remove, 0 },
	{ "rmdir", 1, op_remove, 1 },
	{ "rename", 2, op_rename, 0 },
	{ "exchange", 2, op_rename, RENAME_EXCHANGE },
	{ "whiteout", 2, op_rename, RENAME_WHITEOUT },
	{ "write", 3, op_write, PATH_WRITE },
	{ "direct", 3, op_write, PATH_WRITE_DIRECT },
	{ "osync", 3, op_write, PATH_WRITE_SYNC },
	{ "store", 3, op_write, PATH_STORE },
	{ "copy", 3, op_copy, 0 },
	{ "truncate", 2, op_truncate, 0 },
	{ "alloc", 3, op_fallocate, 0 },
	{ "keep", 3, op_fallocate, FALLOC_FL_KEEP_SIZE },
	{ "punch", 3, op_fallocate, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
	{ "zero", 3, op_fallocate, FALLOC_FL_ZERO_RANGE },
	{ "collapse", 3, op_fallocate, FALLOC_FL_COLLAPSE_RANGE },
	{ "insert", 3, op_fallocate, FALLOC_FL_INSERT_RANGE },
	{ "chmod", 2, op_chmod, 0 },
	{ "chown", 2, op_chown, 0 },
	{ "setxattr", 3, op_setxattr, 0 },
	{ "rmxattr", 2, op_rmxattr, 0 },
	{ "fsync", 1, op_fsync, 0 },
	{ "fdatasync", 1, op_fsync, 1 },
	{ "sync", 0, op_sync, 0 },
	{ "flush", 1, op_flush, 0 },
	{ "start", 1, op_flush, 1 },
	{ "force", 0, op_force, 0 },
	{ "pass", 0, op_pass, 0 },
};

static const struct op *find_op(const char *word)
{
	for (unsigned i = 0; i < ARRAY_COUNT(table); i++) {
		if (strcmp(table[i].word, word) == 0)
			return &table[i];
	}
	return NULL;
}

int model_op(struct model *m, struct volume *vol, const char *line)
{
	char copy[1024], *words[ARGS_MAX + 2] = { NULL }, *at;
	struct call c = { .m = m, .vol = vol };
	const struct op *op;
	unsigned count = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " \t", &at); word && count <= ARGS_MAX; word = strtok_r(NULL, " \t", &at))
		words[count++] = word;
	op = count ? find_op(words[0]) : NULL;
	if (!op || op->args != count - 1) {
		fprintf(stderr, "\"%s\" is not an operation\n", line);
		exit(2);
	}
	c.a = words[1];
	c.b = words[2];
	c.variant = op->variant;
	for (unsigned i = 0; i < op->args; i++)
		c.n[i] = strtoull(words[i + 1], NULL, 0);
	return op->run(&c);
}
