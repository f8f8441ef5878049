/* SPDX-License-Identifier: GPL-2.0 */
/* What can be seen of a volume; see state.h. */
#include "state.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#include "bypath.h"

enum { SECTOR = 512, NAMES_BYTES = 1 << 16, PATH_BYTES = 512 };

/* ---- reading ---- */

static uint64_t hash_bytes(const void *bytes, size_t count)
{
	const uint8_t *byte = bytes;
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < count; i++)
		h = (h ^ byte[i]) * 0x100000001b3ull;
	return h;
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_xattr(struct inode *inode, const char *full_name, FILE *out)
{
	static uint8_t value[NAMES_BYTES];
	struct xattr_name name;
	size_t length = 0;
	int err;

	if (strcmp(full_name, "system.posix_acl_access") == 0)
		err = acl_get(inode, ACL_KIND_ACCESS, value, sizeof(value), &length);
	else
		err = xattr_parse(full_name, &name) ?: xattr_get(inode, &name, value, sizeof(value), &length);
	if (!err)
		fprintf(out, " %s=%zu:%016llx", full_name, length, (unsigned long long)hash_bytes(value, length));
	return err;
}

static int add_xattrs(struct inode *inode, FILE *out)
{
	static char names[NAMES_BYTES];
	const char *sorted[1000];
	size_t length = 0;
	unsigned n = 0;
	int err = xattr_list(inode, false, names, sizeof(names), &length);

	if (err)
		return err;
	for (size_t pos = 0; pos < length; pos += strlen(names + pos) + 1) {
		ensure(n < 1000);
		sorted[n++] = names + pos;
	}
	qsort(sorted, n, sizeof(*sorted), compare_text);
	for (unsigned i = 0; i < n && !err; i++)
		err = add_xattr(inode, sorted[i], out);
	return err;
}

static int add_target(struct volume *vol, struct inode *inode, FILE *out)
{
	char target[XFS_SYMLINK_MAXLEN + 1];
	int err = namespace_readlink(&vol->ns, inode, target, sizeof(target));

	if (!err)
		fprintf(out, " -> %s", target);
	return err;
}

static int read_data(struct inode *inode, struct state_entry *e)
{
	struct iovec iov = { .iov_len = e->size_bytes };
	uint64_t done = 0;
	int err;

	iov.iov_base = e->bytes = malloc(e->size_bytes + 1);
	ensure(e->bytes);
	if (!e->size_bytes)
		return 0;
	err = file_read(inode, 0, &iov, 1, &done);
	return err ? err : done == e->size_bytes ? 0 : -EIO;
}

static int read_entry(struct volume *vol, const char *path, struct inode *inode, struct state_entry *e)
{
	struct inode_stat st;
	size_t length;
	FILE *out = open_memstream(&e->line, &length);
	int err = 0;

	ensure(out);
	inode_stat(inode, &st);
	/* Room for attributes is made before there are any. */
	fprintf(out, "/%s %o links %u owner %u:%u flags %x", path, st.mode, st.nlink, st.uid, st.gid,
		st.xflags & ~(uint32_t)FS_XFLAG_HASATTR);
	if (S_ISCHR(st.mode) || S_ISBLK(st.mode))
		fprintf(out, " device %x", st.rdev);
	if (S_ISLNK(st.mode))
		err = add_target(vol, inode, out);
	err = err ?: add_xattrs(inode, out);
	fclose(out);
	if (!err && S_ISREG(st.mode)) {
		e->size_bytes = st.size_bytes;
		err = read_data(inode, e);
	}
	return err;
}

struct names {
	char (*text)[256];
	unsigned count, capacity;
};

static bool add_name(void *context, struct name name, struct inum ino, uint8_t ftype, uint64_t next_cookie)
{
	struct names *names = context;

	(void)ino, (void)ftype, (void)next_cookie;
	if ((name.length == 1 && name.bytes[0] == '.') || (name.length == 2 && memcmp(name.bytes, "..", 2) == 0))
		return true;
	if (names->count == names->capacity) {
		names->capacity = names->capacity ? 2 * names->capacity : 64;
		names->text = realloc(names->text, names->capacity * sizeof(*names->text));
		ensure(names->text);
	}
	snprintf(names->text[names->count++], 256, "%.*s", (int)name.length, (const char *)name.bytes);
	return true;
}

static struct state_entry *new_entry(struct state *s)
{
	if (s->count == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : 64;
		s->entries = realloc(s->entries, s->capacity * sizeof(*s->entries));
		ensure(s->entries);
	}
	s->entries[s->count] = (struct state_entry){ .line = NULL };
	return &s->entries[s->count++];
}

static int read_tree(struct volume *vol, const char *path, struct state *s);

static int read_names(struct volume *vol, const char *path, struct inode *dir, struct state *s)
{
	struct names names = { .text = NULL };
	char child[PATH_BYTES];
	const char *wrong = dir_verify(dir);
	int err = wrong ? -EFSCORRUPTED : namespace_list(&vol->ns, dir, 0, add_name, &names);

	for (unsigned i = 0; i < names.count && !err; i++) {
		ensure(snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", names.text[i]) < PATH_BYTES);
		err = read_tree(vol, child, s);
	}
	free(names.text);
	return err;
}

static int read_tree(struct volume *vol, const char *path, struct state *s)
{
	struct inode *inode;
	int err = path_get(vol, path, &inode);

	if (!err) {
		err = read_entry(vol, path, inode, new_entry(s));
		if (!err && S_ISDIR(inode->mode))
			err = read_names(vol, path, inode, s);
		inode_put(inode);
	}
	if (err && !s->why)
		ensure(asprintf(&s->why, "/%s cannot be read: %s", path, strerror(-err)) > 0);
	return err;
}

static int compare_entries(const void *a, const void *b)
{
	const struct state_entry *left = a, *right = b;

	return strcmp(left->line, right->line);
}

void state_read(struct volume *vol, struct state *out)
{
	*out = (struct state){ .count = 0 };
	if (read_tree(vol, "", out) == 0)
		qsort(out->entries, out->count, sizeof(*out->entries), compare_entries);
}

void state_free(struct state *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		free(s->entries[i].line);
		free(s->entries[i].bytes);
	}
	free(s->entries);
	free(s->why);
	*s = (struct state){ .count = 0 };
}

/* ---- comparing ---- */

static bool has_same_data(const struct state_entry *a, const struct state_entry *b)
{
	if (!a->bytes || !b->bytes)
		return !a->bytes && !b->bytes;
	return a->size_bytes == b->size_bytes && memcmp(a->bytes, b->bytes, a->size_bytes) == 0;
}

bool state_is_like(const struct state *a, const struct state *b, enum likeness likeness)
{
	if (a->why || b->why || a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		if (strcmp(a->entries[i].line, b->entries[i].line) != 0)
			return false;
		if (likeness == ALIKE_WHOLLY && !has_same_data(&a->entries[i], &b->entries[i]))
			return false;
	}
	return true;
}

static bool is_same_path(const char *line, const char *other)
{
	size_t length = strcspn(line, " ");

	return strncmp(line, other, length) == 0 && other[length] == ' ';
}

/* The regular file of the same path, or an empty one. */
static const struct state_entry *same_file(const struct state *s, const char *line)
{
	static const struct state_entry none;

	for (unsigned i = 0; i < s->count; i++) {
		if (s->entries[i].bytes && is_same_path(line, s->entries[i].line))
			return &s->entries[i];
	}
	return &none;
}

static bool has_at(const struct state_entry *e, uint64_t off, uint8_t byte)
{
	return off < e->size_bytes && e->bytes[off] == byte;
}

static bool has_sector(const struct state_entry *e, const uint8_t *sector, uint64_t count)
{
	for (uint64_t off = 0; off + count <= e->size_bytes; off += SECTOR) {
		if (memcmp(e->bytes + off, sector, count) == 0)
			return true;
	}
	return false;
}

static bool is_zero(const uint8_t *bytes, uint64_t count)
{
	return !count || (!bytes[0] && memcmp(bytes, bytes + 1, count - 1) == 0);
}

static bool is_shifted(const struct state_entry *e, const struct state_entry *a, const struct state_entry *b)
{
	for (uint64_t off = 0; off < e->size_bytes; off += SECTOR) {
		uint64_t count = min_u64(SECTOR, e->size_bytes - off);

		if (!is_zero(e->bytes + off, count) && !has_sector(a, e->bytes + off, count) &&
		    !has_sector(b, e->bytes + off, count))
			return false;
	}
	return true;
}

static bool is_between(const struct state_entry *e, const struct state_entry *a, const struct state_entry *b)
{
	for (uint64_t off = 0; off < e->size_bytes; off++) {
		if (e->bytes[off] && !has_at(a, off, e->bytes[off]) && !has_at(b, off, e->bytes[off]))
			return false;
	}
	return true;
}

bool state_data_is_between(const struct state *s, const struct state *before, const struct state *after, bool shifted)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct state_entry *e = &s->entries[i];
		const struct state_entry *a = same_file(before, e->line), *b = same_file(after, e->line);

		if (!e->bytes)
			continue;
		if (e->size_bytes < min_u64(a->size_bytes, b->size_bytes) ||
		    e->size_bytes > max_u64(a->size_bytes, b->size_bytes))
			return false;
		if (shifted ? !is_shifted(e, a, b) : !is_between(e, a, b))
			return false;
	}
	return true;
}

static void explain_data(const struct state_entry *a, const struct state_entry *b)
{
	uint64_t off = 0;

	while (off < a->size_bytes && off < b->size_bytes && a->bytes[off] == b->bytes[off])
		off++;
	printf("    size %llu instead of %llu, bytes differ from %llu on: %s\n", (unsigned long long)a->size_bytes,
	       (unsigned long long)b->size_bytes, (unsigned long long)off, a->line);
}

void state_explain(const struct state *s, const struct state *expected, const char *title)
{
	printf("  compared with %s:\n", title);
	if (s->why)
		printf("    %s\n", s->why);
	for (unsigned i = 0; i < s->count || i < expected->count; i++) {
		const char *is = i < s->count ? s->entries[i].line : "(nothing)";
		const char *should = i < expected->count ? expected->entries[i].line : "(nothing)";

		if (!is || strcmp(is, should) != 0) {
			printf("    is     %s\n    should %s\n", is ? is : "(unreadable)", should);
			return;
		}
		if (!has_same_data(&s->entries[i], &expected->entries[i]))
			explain_data(&s->entries[i], &expected->entries[i]);
	}
}
