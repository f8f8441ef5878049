/* SPDX-License-Identifier: GPL-2.0 */
/* Names, attributes, and the states a log can stop at. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>

#include "model_ops.h"

uint64_t model_hash(const void *bytes, size_t count)
{
	const uint8_t *byte = bytes;
	uint64_t h = count;

	for (size_t i = 0; i < count; i++)
		h = hash_u64(h ^ byte[i]);
	return h;
}

void model_target(unsigned length, char *to)
{
	for (unsigned i = 0; i < length; i++)
		to[i] = i % 64 == 63 ? '/' : (char)('a' + i % 26);
	to[length] = 0;
}

void model_xattr_value(unsigned op, unsigned length, uint8_t *to)
{
	for (unsigned i = 0; i < length; i++)
		to[i] = (uint8_t)hash_u64_pair(op, i);
}

/* ---- manifests ---- */

int model_line(char *to, size_t bytes, const char *path, uint32_t mode, uint32_t nlink, uint32_t uid, uint32_t rdev,
	       unsigned target_length)
{
	return snprintf(to, bytes, "/%s mode=%o links=%u uid=%u rdev=%x target=%u", path, mode, nlink, uid, rdev,
			target_length);
}

int model_xattr_line(char *to, size_t bytes, const char *name, uint64_t value_hash)
{
	return snprintf(to, bytes, " %s=%llx", name, (unsigned long long)value_hash);
}

static int compare_xattrs(const void *a, const void *b)
{
	return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

static void object_line(const struct entry *e, FILE *out)
{
	struct object *o = e->object;
	char line[512];

	model_line(line, sizeof(line), e->path, o->mode, o->nlink, o->uid, o->rdev, o->target_length);
	fputs(line, out);
	qsort(o->xattrs, o->xattr_count, sizeof(o->xattrs[0]), compare_xattrs);
	for (unsigned i = 0; i < o->xattr_count; i++) {
		uint8_t *value = malloc(o->xattrs[i].length + 1);

		ensure(value);
		model_xattr_value(o->xattrs[i].op, o->xattrs[i].length, value);
		model_xattr_line(line, sizeof(line), o->xattrs[i].name, model_hash(value, o->xattrs[i].length));
		free(value);
		fputs(line, out);
	}
	fputc('\n', out);
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

/* ---- states ---- */

static void save_state(struct model *m, const char *text)
{
	struct state *s;
	size_t length;
	FILE *out;

	if (m->op_count == m->capacity) {
		m->capacity = m->capacity ? 2 * m->capacity : 64;
		m->states = realloc(m->states, m->capacity * sizeof(*m->states));
		ensure(m->states);
	}
	s = &m->states[m->op_count];
	qsort(m->entries, m->entry_count, sizeof(m->entries[0]), compare_entries);
	out = open_memstream(&s->manifest, &length);
	ensure(out);
	for (unsigned i = 0; i < m->entry_count; i++)
		object_line(&m->entries[i], out);
	fclose(out);
	s->count = m->entry_count;
	s->entries = malloc((s->count + 1) * sizeof(*s->entries));
	ensure(s->entries);
	memcpy(s->entries, m->entries, s->count * sizeof(*s->entries));
	s->floor = m->floor;
	s->text = strdup(text);
	m->op_count++;
}

struct model *model_create(void)
{
	struct model *m = calloc(1, sizeof(*m));

	ensure(m);
	save_state(m, "");
	return m;
}

void model_destroy(struct model *m)
{
	for (unsigned i = 0; i < m->op_count; i++) {
		free(m->states[i].manifest);
		free(m->states[i].entries);
		free(m->states[i].text);
	}
	for (unsigned i = 0; i < m->object_count; i++) {
		if (m->objects[i]->has_bytes)
			bytes_deinit(&m->objects[i]->bytes);
		free(m->objects[i]);
	}
	free(m->states);
	free(m);
}

unsigned model_op_count(const struct model *m)
{
	return m->op_count - 1;
}

const char *model_op_text(const struct model *m, unsigned op)
{
	return m->states[op].text;
}

/* ---- objects and entries ---- */

struct object *model_object(struct model *m, uint32_t mode)
{
	struct object *o = calloc(1, sizeof(*o));

	ensure(o && m->object_count < OBJECTS_MAX);
	o->mode = mode;
	o->nlink = S_ISDIR(mode) ? 2 : 1;
	o->promise_op = o->data_op = m->op_count;
	if (S_ISREG(mode)) {
		bytes_init(&o->bytes, m->object_count + 1);
		o->has_bytes = true;
	}
	m->objects[m->object_count++] = o;
	return o;
}

struct entry *model_find(struct model *m, const char *path)
{
	for (unsigned i = 0; i < m->entry_count; i++) {
		if (strcmp(m->entries[i].path, path) == 0)
			return &m->entries[i];
	}
	return NULL;
}

/* The directory @path is in. */
static struct object *parent_of(struct model *m, const char *path)
{
	char parent[PATH_BYTES];
	const char *slash = strrchr(path, '/');
	struct entry *e;

	if (!slash)
		return &m->root;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	e = model_find(m, parent);
	ensure(e);
	return e->object;
}

/* A name came or went; @delta: of the directory's links. */
static void parent_changed(struct model *m, const char *path, int delta)
{
	struct object *dir = parent_of(m, path);

	dir->nlink += (uint32_t)delta;
	dir->promise_op = m->op_count;
}

void model_enter(struct model *m, const char *path, struct object *o)
{
	ensure(m->entry_count < NAMES_MAX);
	parent_changed(m, path, S_ISDIR(o->mode) ? 1 : 0);
	snprintf(m->entries[m->entry_count].path, PATH_BYTES, "%s", path);
	m->entries[m->entry_count++].object = o;
	o->promise_op = m->op_count;
}

void model_leave(struct model *m, const char *path)
{
	struct entry *e = model_find(m, path);

	ensure(e);
	parent_changed(m, path, S_ISDIR(e->object->mode) ? -1 : 0);
	e->object->promise_op = m->op_count;
	*e = m->entries[--m->entry_count];
}

/* Everything below @from goes to below @to. */
static void move_below(struct model *m, const char *from, const char *to)
{
	size_t length = strlen(from);

	for (unsigned i = 0; i < m->entry_count; i++) {
		char rest[PATH_BYTES];

		if (strncmp(m->entries[i].path, from, length) != 0 || m->entries[i].path[length] != '/')
			continue;
		snprintf(rest, sizeof(rest), "%s", m->entries[i].path + length);
		ensure((size_t)snprintf(m->entries[i].path, PATH_BYTES, "%s%s", to, rest) < PATH_BYTES);
	}
}

void model_move(struct model *m, const char *from, const char *to)
{
	struct object *o = model_find(m, from)->object;

	model_leave(m, from);
	model_enter(m, to, o);
	move_below(m, from, to);
}

void model_swap(struct model *m, const char *a, const char *b)
{
	struct object *first = model_find(m, a)->object, *second = model_find(m, b)->object;
	unsigned first_op = first->promise_op, second_op = second->promise_op;

	model_leave(m, a);
	model_leave(m, b);
	move_below(m, a, "\x01");
	move_below(m, b, a);
	move_below(m, "\x01", b);
	model_enter(m, a, second);
	model_enter(m, b, first);
	/* Only the directories are logged (XFS: xfs_cross_rename). */
	first->promise_op = first_op;
	second->promise_op = second_op;
}

void model_promise(struct model *m, struct object *o, bool data_only)
{
	unsigned op = data_only ? o->data_op : o->promise_op;

	if (o->has_bytes)
		bytes_promise(&o->bytes, m->op_count);
	if (op > m->floor)
		m->floor = op;
}

void model_promise_all(struct model *m)
{
	for (unsigned i = 0; i < m->entry_count; i++)
		model_promise(m, m->entries[i].object, false);
	m->floor = m->op_count;
}

bool model_step(struct model *m, struct volume *vol, const char **text, int *err)
{
	char line[1024];
	size_t length;

	do {
		*text += strspn(*text, " \t\n;");
		length = strcspn(*text, ";\n");
		if (!length)
			return false;
		ensure(length < sizeof(line));
		snprintf(line, sizeof(line), "%.*s", (int)length, *text);
		*text += length;
	} while (line[0] == '#');
	*err = model_op(m, vol, line);
	save_state(m, line);
	return true;
}
