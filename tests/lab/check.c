/* SPDX-License-Identifier: GPL-2.0 */
/* A recovered volume against the model. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <userxfs/base/error.h>

#include "model_private.h"
#include "bypath.h"

enum { LINES_MAX = 1024, NAMES_BYTES = 1 << 16 };

/* ---- what is there ---- */

struct tree {
	struct volume *vol;
	char *lines[LINES_MAX];
	unsigned count;
	char names[LINES_MAX][256];	/* of the directory being listed */
	const char *dir;
	const char *why;		/* it could not be read */
};

static void add_xattrs(struct volume *vol, const char *path, FILE *out)
{
	static char names[NAMES_BYTES], line[512];
	static uint8_t value[NAMES_BYTES];
	size_t length = 0, pos = 0, value_length;
	const char *sorted[XATTRS_MAX];
	unsigned count = 0;
	struct inode *inode;

	ensure(path_get(vol, path, &inode) == 0);
	if (xattr_list(inode, false, names, sizeof(names), &length) == 0) {
		while (pos < length && count < XATTRS_MAX) {
			unsigned at = count++;

			for (; at > 0 && strcmp(sorted[at - 1], names + pos) > 0; at--)
				sorted[at] = sorted[at - 1];
			sorted[at] = names + pos;
			pos += strlen(names + pos) + 1;
		}
	}
	for (unsigned i = 0; i < count; i++) {
		struct xattr_name name;

		if (xattr_parse(sorted[i], &name) || xattr_get(inode, &name, value, sizeof(value), &value_length))
			value_length = 0;
		model_xattr_line(line, sizeof(line), sorted[i], model_hash(value, value_length));
		fputs(line, out);
	}
	inode_put(inode);
}

/* The length of a symlink's target, or what no symlink has if it is another one. */
static unsigned target_length(struct volume *vol, const char *path)
{
	char target[1025], expected[1025];
	struct inode *inode;
	int err;

	ensure(path_get(vol, path, &inode) == 0);
	err = namespace_readlink(&vol->ns, inode, target, sizeof(target));
	inode_put(inode);
	if (err)
		return 9999;
	model_target((unsigned)strlen(target), expected);
	return strcmp(target, expected) == 0 ? (unsigned)strlen(target) : 9998;
}

static void add_line(struct tree *t, const char *path)
{
	char *line, text[512];
	struct inode_stat st;
	size_t length;
	FILE *out;
	int err = path_stat(t->vol, path, &st);

	if (err) {
		t->why = "a name leads to an inode that cannot be read";
		return;
	}
	out = open_memstream(&line, &length);
	ensure(out);
	model_line(text, sizeof(text), path, st.mode, st.nlink, st.uid,
		   S_ISCHR(st.mode) ? major(st.rdev) << 8 | minor(st.rdev) : 0,
		   S_ISLNK(st.mode) ? target_length(t->vol, path) : 0);
	fputs(text, out);
	add_xattrs(t->vol, path, out);
	fclose(out);
	ensure(t->count < LINES_MAX);
	t->lines[t->count++] = line;
}

struct listing {
	char (*names)[256];
	bool *is_dir;
	unsigned count;
};

static bool add_name(void *context, struct name name, struct inum ino, uint8_t ftype, uint64_t next_cookie)
{
	struct listing *l = context;

	if ((name.length == 1 && name.bytes[0] == '.') || (name.length == 2 && memcmp(name.bytes, "..", 2) == 0))
		return true;
	if (l->count == LINES_MAX)
		return false;
	snprintf(l->names[l->count], 256, "%.*s", (int)name.length, (const char *)name.bytes);
	l->is_dir[l->count++] = ftype == XFS_DIR3_FT_DIR;
	return true;
}

static void add_directory(struct tree *t, const char *path)
{
	struct listing l = { .names = calloc(LINES_MAX, 256), .is_dir = calloc(LINES_MAX, sizeof(bool)) };
	struct inode *dir;
	int err = path_get(t->vol, path, &dir);

	if (!err) {
		err = namespace_list(&t->vol->ns, dir, 0, add_name, &l);
		inode_put(dir);
	}
	if (err)
		t->why = "a directory cannot be listed";
	for (unsigned i = 0; i < l.count && !t->why; i++) {
		char below[PATH_BYTES];

		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", l.names[i]);
		add_line(t, below);
		if (l.is_dir[i] && !t->why)
			add_directory(t, below);
	}
	free(l.names);
	free(l.is_dir);
}

static int compare_lines(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;

	/* By path, as the model sorts. */
	while (*x == *y && *x != ' ' && *x) {
		x++;
		y++;
	}
	return (*x == ' ' ? 0 : (unsigned char)*x) - (*y == ' ' ? 0 : (unsigned char)*y);
}

/* free() it. */
static char *manifest_of(struct volume *vol, const char **why)
{
	struct tree *t = calloc(1, sizeof(*t));
	char *text;
	size_t length;
	FILE *out;

	ensure(t);
	t->vol = vol;
	add_directory(t, "");
	*why = t->why;
	qsort(t->lines, t->count, sizeof(t->lines[0]), compare_lines);
	out = open_memstream(&text, &length);
	ensure(out);
	for (unsigned i = 0; i < t->count; i++) {
		fprintf(out, "%s\n", t->lines[i]);
		free(t->lines[i]);
	}
	fclose(out);
	free(t);
	return text;
}

/* ---- comparing ---- */

static bool check_file(struct volume *vol, const struct entry *e, unsigned done, unsigned begun, unsigned logged,
		       char *why, size_t why_bytes)
{
	static uint8_t seen[FILE_BYTES_MAX + 4096];
	struct inode_stat st;
	uint64_t count = 0;
	char reason[512];

	if (path_stat(vol, e->path, &st) || st.size_bytes > FILE_BYTES_MAX) {
		snprintf(why, why_bytes, "%s: its size makes no sense", e->path);
		return false;
	}
	if (st.size_bytes && (path_read(vol, e->path, 0, seen, st.size_bytes, &count) || count != st.size_bytes)) {
		snprintf(why, why_bytes, "%s: cannot be read", e->path);
		return false;
	}
	if (bytes_check(&e->object->bytes, seen, st.size_bytes, done, begun, logged, reason, sizeof(reason)))
		return true;
	snprintf(why, why_bytes, "%s (if the log ends with operation %u): %s", e->path, logged, reason);
	return false;
}

static bool check_files(struct model *m, struct volume *vol, unsigned done, unsigned begun, unsigned logged,
			char *why, size_t why_bytes)
{
	const struct state *s = &m->states[logged];

	for (unsigned i = 0; i < s->count; i++) {
		if (s->entries[i].object->has_bytes &&
		    !check_file(vol, &s->entries[i], done, begun, logged, why, why_bytes))
			return false;
	}
	return true;
}

/* The lines that only one of them has. */
static void print_differences(const char *expected, const char *seen)
{
	while (*expected || *seen) {
		size_t a = strcspn(expected, "\n"), b = strcspn(seen, "\n");
		const char *next_a = expected + a + (expected[a] != 0), *next_b = seen + b + (seen[b] != 0);
		int order = !*expected ? 1 : !*seen ? -1 : compare_lines(&expected, &seen);

		if (order == 0 && (a != b || memcmp(expected, seen, a) != 0))
			printf("    - %.*s\n    + %.*s\n", (int)a, expected, (int)b, seen);
		else if (order < 0)
			printf("    - %.*s\n", (int)a, expected);
		else if (order > 0)
			printf("    + %.*s\n", (int)b, seen);
		if (order <= 0)
			expected = next_a;
		if (order >= 0)
			seen = next_b;
	}
}

bool model_check(struct model *m, struct volume *vol, unsigned done, unsigned begun)
{
	unsigned first = m->states[done].floor, matches = 0;
	char why[1024] = "";
	const char *unreadable;
	char *seen = manifest_of(vol, &unreadable);
	bool is_good = false;

	for (unsigned logged = first; logged <= begun && !is_good && !unreadable; logged++) {
		if (strcmp(m->states[logged].manifest, seen) != 0)
			continue;
		matches++;
		is_good = check_files(m, vol, done, begun, logged, why, sizeof(why));
	}
	if (unreadable) {
		printf("  %s\n", unreadable);
	} else if (!is_good && matches) {
		printf("  %s\n", why);
	} else if (!is_good) {
		printf("  the names are not those after any operation from %u (promised) to %u (begun); after %u:\n",
		       first, begun, done);
		print_differences(m->states[done].manifest, seen);
	}
	free(seen);
	return is_good;
}
