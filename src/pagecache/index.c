/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One mapping's folios by position (Linux: the xarray of an address_space): a radix tree of 64-way nodes over chunks
 * of 1 MiB. Each node knows which children exist and which hold a dirty (written-back) folio somewhere below, so that
 * the next one is found without looking at clean ones.
 *
 *            node  [present 64 bits][tag bits x 2]
 *           /    \
 *        node    node        height 2: chunks 0 .. 4095
 *        /  \
 *    chunk  chunk            256 page slots each
 */
#include "internal.h"

#include <userxfs/base/memory.h>

#define FANOUT_LOG 6
#define FANOUT (1u << FANOUT_LOG)

struct index_node {
	uint64_t present;
	uint64_t tags[TAG_COUNT];
	void *child[FANOUT];
};

static bool fits(unsigned height, uint64_t number)
{
	return height * FANOUT_LOG >= 64 || number >> (height * FANOUT_LOG) == 0;
}

static unsigned slot_of(uint64_t number, unsigned level)
{
	return (unsigned)(number >> (level * FANOUT_LOG)) & (FANOUT - 1);
}

struct chunk *page_index_find(struct index *ix, uint64_t number)
{
	void *p = ix->root;

	if (!p || !fits(ix->height, number))
		return NULL;
	for (unsigned level = ix->height; p && level > 0; level--)
		p = ((struct index_node *)p)->child[slot_of(number, level - 1)];
	return p;
}

/* A new root above the old one, whose numbers all fall into child 0. */
static bool grow(struct index *ix)
{
	struct index_node *node = mem_alloc_zeroed(sizeof(*node));

	if (!node)
		return false;
	node->child[0] = ix->root;
	node->present = 1;
	for (unsigned tag = 0; tag < TAG_COUNT; tag++) {
		bool tagged = ix->height ? ((struct index_node *)ix->root)->tags[tag] != 0
					 : ((struct chunk *)ix->root)->tagged[tag] != 0;
		node->tags[tag] = tagged;
	}
	ix->root = node;
	ix->height++;
	return true;
}

struct chunk *page_index_make(struct index *ix, uint64_t number)
{
	struct chunk *chunk = page_index_find(ix, number);
	void **link = &ix->root;

	if (chunk)
		return chunk;
	chunk = mem_alloc_zeroed(sizeof(*chunk));
	if (!chunk)
		return NULL;
	chunk->number = number;
	if (!ix->root) {
		/* An empty tree starts as high as it must be. */
		ix->height = 0;
		while (!fits(ix->height, number))
			ix->height++;
	}
	while (!fits(ix->height, number)) {
		if (!grow(ix))
			goto fail;
	}
	for (unsigned level = ix->height; level > 0; level--) {
		struct index_node *node = *link;
		unsigned slot = slot_of(number, level - 1);

		if (!node) {
			node = mem_alloc_zeroed(sizeof(*node));
			if (!node)
				goto fail;
			*link = node;
		}
		node->present |= 1ull << slot;
		link = &node->child[slot];
	}
	*link = chunk;
	return chunk;

fail:
	/* Nodes without a chunk below them are harmless: lookups end at a NULL child. */
	mem_free(chunk);
	return NULL;
}

static struct chunk *next_below(void *p, unsigned level, uint64_t base, uint64_t from, int tag)
{
	struct index_node *node = p;
	uint64_t mask, bits;

	if (!p)
		return NULL;
	if (level == 0) {
		struct chunk *chunk = p;

		return chunk->number >= from && (tag < 0 || chunk->tagged[tag]) ? chunk : NULL;
	}
	bits = tag < 0 ? node->present : node->tags[tag];
	mask = ~0ull;
	if (from > base)
		mask <<= slot_of(from, level - 1);
	for (bits &= mask; bits; bits &= bits - 1) {
		unsigned slot = (unsigned)__builtin_ctzll(bits);
		uint64_t child_base = base | (uint64_t)slot << ((level - 1) * FANOUT_LOG);
		struct chunk *found = next_below(node->child[slot], level - 1, child_base, from, tag);

		if (found)
			return found;
	}
	return NULL;
}

struct chunk *page_index_next(struct index *ix, uint64_t from, int tag)
{
	if (!fits(ix->height, from))
		return NULL;
	return next_below(ix->root, ix->height, 0, from, tag);
}

/* Whether the subtree became empty. */
static bool drop_below(void **link, unsigned level, struct chunk *chunk)
{
	struct index_node *node = *link;
	unsigned slot;

	if (level == 0) {
		mem_free(chunk);
		*link = NULL;
		return true;
	}
	slot = slot_of(chunk->number, level - 1);
	if (!drop_below(&node->child[slot], level - 1, chunk))
		return false;
	node->present &= ~(1ull << slot);
	for (unsigned tag = 0; tag < TAG_COUNT; tag++)
		node->tags[tag] &= ~(1ull << slot);
	if (node->present)
		return false;
	mem_free(node);
	*link = NULL;
	return true;
}

void page_index_drop(struct index *ix, struct chunk *chunk)
{
	drop_below(&ix->root, ix->height, chunk);
	if (!ix->root)
		ix->height = 0;
}

/* Returns whether anything below @p is tagged. */
static bool retag_below(void *p, unsigned level, struct chunk *chunk, enum index_tag tag)
{
	struct index_node *node = p;
	unsigned slot;

	if (level == 0)
		return chunk->tagged[tag] != 0;
	slot = slot_of(chunk->number, level - 1);
	if (retag_below(node->child[slot], level - 1, chunk, tag))
		node->tags[tag] |= 1ull << slot;
	else
		node->tags[tag] &= ~(1ull << slot);
	return node->tags[tag] != 0;
}

void page_index_retag(struct index *ix, struct chunk *chunk, enum index_tag tag)
{
	retag_below(ix->root, ix->height, chunk, tag);
}

static void free_nodes(void *p, unsigned level)
{
	struct index_node *node = p;

	if (!p || level == 0)
		return;
	for (unsigned i = 0; i < FANOUT; i++)
		free_nodes(node->child[i], level - 1);
	mem_free(node);
}

void page_index_deinit(struct index *ix)
{
	free_nodes(ix->root, ix->height);
	ix->root = NULL;
	ix->height = 0;
}
