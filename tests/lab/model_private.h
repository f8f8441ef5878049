/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Shared by the files of the model. */
#include <string.h>

#include "model.h"

enum {
	OBJECTS_MAX = 512,
	NAMES_MAX = 256,
	XATTRS_MAX = 12,
	PATH_BYTES = 320,
	FILE_BYTES_MAX = 2 << 20,
};

/* ---- the bytes of files (bytes.c) ---- */

enum change_kind {
	CHANGE_BYTES,			/* [off, off + count) written by operation .op */
	CHANGE_ZEROES,			/* [off, off + count) read as zeroes */
	CHANGE_LENGTH,			/* the size is .off, what lay behind it is gone */
	CHANGE_SHIFT,			/* extents moved: until the next promise its bytes may be anywhere in it */
	CHANGE_COPIED,			/* another file's bytes are in it: until the next promise anything may be */
	CHANGE_PROMISED,		/* .content, .size are on the disk */
};

struct change {
	unsigned op;
	enum change_kind kind;
	bool is_logged;			/* in the log's sequence: done when operation .op is */
	uint64_t off, count;
	uint64_t size;			/* of the file afterwards */
	uint8_t *content;		/* CHANGE_PROMISED */
};

/* One file's bytes: as they are now, and how they came to be. */
struct bytes {
	unsigned id;
	uint8_t *now;
	uint64_t size;
	struct change *changes;
	unsigned count, capacity;
};

void bytes_init(struct bytes *b, unsigned id);
void bytes_deinit(struct bytes *b);
/* What operation @op writes at @off into file @id. */
void bytes_pattern(unsigned id, unsigned op, uint64_t off, void *to, uint64_t count);
void bytes_write(struct bytes *b, unsigned op, uint64_t off, uint64_t count);
/* Bytes of another file's content, copied. */
void bytes_copy(struct bytes *b, unsigned op, const struct bytes *from, uint64_t count);
void bytes_zero(struct bytes *b, unsigned op, uint64_t off, uint64_t count);
/* Truncation or preallocation. */
void bytes_set_size(struct bytes *b, unsigned op, uint64_t size);
void bytes_collapse(struct bytes *b, unsigned op, uint64_t off, uint64_t count);
void bytes_insert(struct bytes *b, unsigned op, uint64_t off, uint64_t count);
void bytes_promise(struct bytes *b, unsigned op);
/*
 * Whether @seen of @size bytes may be the file after a crash: @done and @begun as for model_check(), @logged: the
 * last operation the log has.  If not, @why says what is wrong.
 */
bool bytes_check(const struct bytes *b, const uint8_t *seen, uint64_t size, unsigned done, unsigned begun,
		 unsigned logged, char *why, size_t why_bytes);

/* ---- names and objects (model.c) ---- */

struct xattr {
	char name[64];
	unsigned length, op;
};

struct object {
	uint32_t mode, uid, nlink, rdev;
	unsigned target_length;		/* of a symlink */
	unsigned promise_op;		/* the last operation that fsync of it makes durable */
	unsigned data_op;		/* ... that fdatasync does */
	struct xattr xattrs[XATTRS_MAX];
	unsigned xattr_count;
	struct bytes bytes;		/* of a regular file */
	bool has_bytes;
};

struct entry {
	char path[PATH_BYTES];
	struct object *object;
};

/* The names after one operation. */
struct state {
	char *manifest;			/* a line for each, sorted */
	struct entry *entries;		/* in the same order */
	unsigned count;
	unsigned floor;			/* operations up to this one are promised */
	char *text;			/* of the operation */
};

struct model {
	struct object *objects[OBJECTS_MAX];
	unsigned object_count;
	struct object root;
	struct entry entries[NAMES_MAX];
	unsigned entry_count;
	struct state *states;		/* 0: empty */
	unsigned op_count, capacity;
	unsigned floor;
};

/* The target of a symlink of @length bytes. */
void model_target(unsigned length, char *to);
void model_xattr_value(unsigned op, unsigned length, uint8_t *to);
/* One line of a manifest. */
int model_line(char *to, size_t bytes, const char *path, uint32_t mode, uint32_t nlink, uint32_t uid, uint32_t rdev,
	       unsigned target_length);
int model_xattr_line(char *to, size_t bytes, const char *name, uint64_t value_hash);
uint64_t model_hash(const void *bytes, size_t count);
