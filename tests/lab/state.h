/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * All that can be seen of a volume: names, types, permissions, links, attributes, sizes, bytes.  For the question
 * whether an operation has happened or not.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/volume.h>

struct state_entry {
	char *line;			/* path, then everything but data and size */
	uint64_t size_bytes;
	uint8_t *bytes;			/* of regular files */
};

struct state {
	struct state_entry *entries;	/* sorted by line */
	unsigned count, capacity;
	char *why;			/* it could not be read; or NULL */
};

/* Read through a mounted volume. */
void state_read(struct volume *vol, struct state *out);
void state_free(struct state *s);

/* How alike two states must be. */
enum likeness {
	ALIKE_WHOLLY,
	ALIKE_BUT_DATA,			/* sizes and bytes of regular files are not looked at */
};
bool state_is_like(const struct state *a, const struct state *b, enum likeness likeness);
/*
 * Whether the data in @s are what may be left half way from @before to @after: size between the two, each byte one of
 * theirs at its place, or zero.  @shifted: each sector is one of theirs at any place, or zero.
 */
bool state_data_is_between(const struct state *s, const struct state *before, const struct state *after,
			   bool shifted);
/* Prints the first difference. */
void state_explain(const struct state *s, const struct state *expected, const char *title);
