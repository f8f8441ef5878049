/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One file's bytes and what a crash may leave of them.
 *
 * Every eight bytes written say whose they are: a mark, the file, the operation, the place.
 */
#include <stdio.h>
#include <stdlib.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

#include "model_private.h"

#define MARK 0xa55aull
#define BLOCK 4096u			/* no block of a test volume is larger */
#define SMALLEST_BLOCK 1024u

void bytes_init(struct bytes *b, unsigned id)
{
	*b = (struct bytes){ .id = id, .now = calloc(1, FILE_BYTES_MAX) };
	ensure(b->now);
}

void bytes_deinit(struct bytes *b)
{
	for (unsigned i = 0; i < b->count; i++)
		free(b->changes[i].content);
	free(b->changes);
	free(b->now);
}

static uint8_t pattern_at(unsigned id, unsigned op, uint64_t off)
{
	uint64_t word = MARK << 48 | (uint64_t)(id & 0xffff) << 32 | (uint64_t)(op & 0xffff) << 16;

	word |= off / 8 & 0xffff;
	return (uint8_t)(word >> (8 * (off % 8)));
}

void bytes_pattern(unsigned id, unsigned op, uint64_t off, void *to, uint64_t count)
{
	uint8_t *byte = to;

	for (uint64_t i = 0; i < count; i++)
		byte[i] = pattern_at(id, op, off + i);
}

/* ---- history ---- */

static struct change *add(struct bytes *b, unsigned op, enum change_kind kind, uint64_t off, uint64_t count)
{
	struct change *c;

	if (b->count == b->capacity) {
		b->capacity = b->capacity ? 2 * b->capacity : 16;
		b->changes = realloc(b->changes, b->capacity * sizeof(*b->changes));
		ensure(b->changes);
	}
	c = &b->changes[b->count++];
	*c = (struct change){ .op = op, .kind = kind, .off = off, .count = count, .size = b->size };
	return c;
}

void bytes_write(struct bytes *b, unsigned op, uint64_t off, uint64_t count)
{
	ensure(off + count <= FILE_BYTES_MAX);
	bytes_pattern(b->id, op, off, b->now + off, count);
	b->size = max_u64(b->size, off + count);
	add(b, op, CHANGE_BYTES, off, count);
}

void bytes_copy(struct bytes *b, unsigned op, const struct bytes *from, uint64_t count)
{
	count = min_u64(count, from->size);
	memcpy(b->now, from->now, count);
	b->size = max_u64(b->size, count);
	add(b, op, CHANGE_COPIED, 0, count);
}

void bytes_zero(struct bytes *b, unsigned op, uint64_t off, uint64_t count)
{
	uint64_t end = min_u64(off + count, b->size);

	if (off < end)
		memset(b->now + off, 0, end - off);
	add(b, op, CHANGE_ZEROES, off, count)->is_logged = true;
}

void bytes_set_size(struct bytes *b, unsigned op, uint64_t size)
{
	ensure(size <= FILE_BYTES_MAX);
	if (size < b->size)
		memset(b->now + size, 0, b->size - size);
	b->size = size;
	add(b, op, CHANGE_LENGTH, size, 0)->is_logged = true;
}

void bytes_collapse(struct bytes *b, unsigned op, uint64_t off, uint64_t count)
{
	memmove(b->now + off, b->now + off + count, b->size - off - count);
	memset(b->now + b->size - count, 0, count);
	b->size -= count;
	add(b, op, CHANGE_SHIFT, off, count);
}

void bytes_insert(struct bytes *b, unsigned op, uint64_t off, uint64_t count)
{
	ensure(b->size + count <= FILE_BYTES_MAX);
	memmove(b->now + off + count, b->now + off, b->size - off);
	memset(b->now + off, 0, count);
	b->size += count;
	add(b, op, CHANGE_SHIFT, off, count);
}

void bytes_promise(struct bytes *b, unsigned op)
{
	struct change *c = add(b, op, CHANGE_PROMISED, 0, 0);

	c->content = malloc(b->size + 1);
	ensure(c->content);
	memcpy(c->content, b->now, b->size);
}

/* ---- checking ---- */

/* The last promise kept when operations up to @done have returned: its index, -1 without. */
static int last_promise(const struct bytes *b, unsigned done)
{
	int last = -1;

	for (unsigned i = 0; i < b->count && b->changes[i].op <= done; i++) {
		if (b->changes[i].kind == CHANGE_PROMISED)
			last = (int)i;
	}
	return last;
}

/* Changes after a promise that may have reached the disk. */
struct since {
	const struct bytes *b;
	unsigned first, end;		/* indices of .changes */
	const uint8_t *promised;	/* content */
	uint64_t promised_size;
	unsigned logged;
};

static struct since changes_since(const struct bytes *b, unsigned done, unsigned begun, unsigned logged)
{
	int promise = last_promise(b, done);
	struct since s = { .b = b, .first = (unsigned)(promise + 1), .logged = logged };

	if (promise >= 0) {
		s.promised = b->changes[promise].content;
		s.promised_size = b->changes[promise].size;
	}
	for (s.end = s.first; s.end < b->count && b->changes[s.end].op <= begun; s.end++)
		;
	return s;
}

static bool has_moved(const struct since *s)
{
	for (unsigned i = s->first; i < s->end; i++) {
		if (s->b->changes[i].kind == CHANGE_SHIFT || s->b->changes[i].kind == CHANGE_COPIED)
			return true;
	}
	return false;
}

static bool is_certain(const struct since *s, const struct change *c)
{
	return c->is_logged && c->op <= s->logged;
}

static bool may_be_size(const struct since *s, uint64_t size)
{
	uint64_t before = s->promised_size;
	bool may = size == before;

	for (unsigned i = s->first; i < s->end; i++) {
		const struct change *c = &s->b->changes[i];

		if (c->kind == CHANGE_BYTES)
			/* Each I/O that ends moves the size: to its own end, or that of the write. */
			may |= size > before && size <= c->size && (size == c->size || size % SMALLEST_BLOCK == 0);
		else if (c->kind == CHANGE_LENGTH)
			may = size == c->size || (may && !is_certain(s, c));
		before = c->size;
	}
	return may;
}

/* Whether all of [off, end) that lies in whole blocks of @c; its edges are zeroed in memory first. */
static bool is_in_whole_blocks(const struct change *c, uint64_t off)
{
	return off >= round_up_u64(c->off, BLOCK) && off < round_down_u64(c->off + c->count, BLOCK);
}

static bool may_be_byte(const struct since *s, uint64_t off, uint8_t byte)
{
	uint8_t promised = off < s->promised_size ? s->promised[off] : 0;
	bool may = byte == promised;

	for (unsigned i = s->first; i < s->end; i++) {
		const struct change *c = &s->b->changes[i];

		if (c->kind == CHANGE_BYTES && off >= c->off && off < c->off + c->count) {
			may |= byte == pattern_at(s->b->id, c->op, off);
		} else if (c->kind == CHANGE_ZEROES && off >= c->off && off < c->off + c->count) {
			if (is_certain(s, c) && is_in_whole_blocks(c, off))
				may = byte == 0;
			may |= byte == 0;
		} else if (c->kind == CHANGE_LENGTH && off >= c->off) {
			if (is_certain(s, c))
				may = false;
			may |= byte == 0;
		}
	}
	return may;
}

/* Its own bytes, or zero: the upper half of a word says whose it is, the same at every place. */
static bool is_own(const struct bytes *b, uint64_t off, uint8_t byte)
{
	return byte == 0 || off % 8 < 4 || byte == pattern_at(b->id, 0, off);
}

static bool has_copies(const struct bytes *b)
{
	for (unsigned i = 0; i < b->count; i++) {
		if (b->changes[i].kind == CHANGE_COPIED)
			return true;
	}
	return false;
}

bool bytes_check(const struct bytes *b, const uint8_t *seen, uint64_t size, unsigned done, unsigned begun,
		 unsigned logged, char *why, size_t why_bytes)
{
	struct since s = changes_since(b, done, begun, logged);
	bool moved = has_moved(&s), copied = has_copies(b);

	if (!moved && !may_be_size(&s, size)) {
		snprintf(why, why_bytes, "the size is %llu; promised was %llu, now it is %llu",
			 (unsigned long long)size, (unsigned long long)s.promised_size, (unsigned long long)b->size);
		return false;
	}
	for (uint64_t off = 0; off < size; off++) {
		uint64_t word;

		if (moved ? copied || is_own(b, off, seen[off]) : may_be_byte(&s, off, seen[off]))
			continue;
		memcpy(&word, seen + off / 8 * 8, sizeof(word));
		snprintf(why, why_bytes,
			 "byte %llu is 0x%02x (with its neighbours 0x%016llx); promised was 0x%02x, now it is 0x%02x",
			 (unsigned long long)off, seen[off], (unsigned long long)word,
			 off < s.promised_size ? s.promised[off] : 0, b->now[off]);
		return false;
	}
	return true;
}
