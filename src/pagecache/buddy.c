/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page memory: a buddy allocator over regions of 4 MiB from mmap.
 *
 * Blocks are 4 KiB to 1 MiB, naturally aligned.  A region's side table holds, for the first page of each free block,
 * its order and list node; page memory itself is never touched here, so freed pages keep being mapped and warm.  A
 * few empty regions are kept: giving memory back and faulting it in again costs more than copying into it.
 */
#include "internal.h"

#include <sys/mman.h>

#include <userxfs/base/memory.h>

#define REGION_BYTES (4u << 20)
#define REGION_PAGES (REGION_BYTES / PAGE_BYTES)
#define KEPT_REGIONS 16			/* empty ones: 64 MiB */
#define NOT_FREE UINT8_MAX

struct free_block {
	struct list node;
	struct region *region;
};

struct region {
	struct list node;
	uint8_t *base;
	uint32_t free_pages;
	uint8_t order[REGION_PAGES]; /* of the free block that starts here, or NOT_FREE */
	struct free_block block[REGION_PAGES];
};

static unsigned bytes_to_order(uint32_t bytes)
{
	return log2_floor(bytes) - PAGE_LOG;
}

void buddy_init(struct buddy *b)
{
	for (unsigned i = 0; i < FOLIO_ORDERS; i++)
		list_init(&b->free[i]);
	list_init(&b->regions);
	b->mapped_bytes = 0;
	b->empty_regions = 0;
}

static void put_free(struct buddy *b, struct region *r, unsigned page, unsigned order)
{
	r->order[page] = (uint8_t)order;
	list_push_front(&b->free[order], &r->block[page].node);
}

static void take_free(struct region *r, unsigned page)
{
	r->order[page] = NOT_FREE;
	list_remove(&r->block[page].node);
}

static struct region *region_create(struct buddy *b)
{
	struct region *r = mem_alloc(sizeof(*r));
	void *raw;
	uintptr_t base;

	if (!r)
		return NULL;
	/* Twice as much, so that an aligned half can be kept. */
	raw = mmap(NULL, 2 * REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		   0);
	if (raw == MAP_FAILED) {
		mem_free(r);
		return NULL;
	}
	base = round_up_u64((uintptr_t)raw, REGION_BYTES);
	if (base > (uintptr_t)raw)
		munmap(raw, base - (uintptr_t)raw);
	munmap((void *)(base + REGION_BYTES), (uintptr_t)raw + REGION_BYTES - base);
	madvise((void *)base, REGION_BYTES, MADV_HUGEPAGE);
	r->base = (uint8_t *)base;
	r->free_pages = REGION_PAGES;
	for (unsigned i = 0; i < REGION_PAGES; i++) {
		r->order[i] = NOT_FREE;
		list_init(&r->block[i].node);
		r->block[i].region = r;
	}
	for (unsigned i = 0; i < REGION_PAGES; i += CHUNK_PAGES)
		put_free(b, r, i, FOLIO_ORDERS - 1);
	list_push_back(&b->regions, &r->node);
	b->mapped_bytes += REGION_BYTES;
	b->empty_regions++;
	return r;
}

static void region_destroy(struct buddy *b, struct region *r)
{
	for (unsigned i = 0; i < REGION_PAGES; i++)
		list_remove(&r->block[i].node);
	list_remove(&r->node);
	munmap(r->base, REGION_BYTES);
	b->mapped_bytes -= REGION_BYTES;
	mem_free(r);
}

void buddy_deinit(struct buddy *b)
{
	while (!list_is_empty(&b->regions))
		region_destroy(b, list_first(&b->regions, struct region, node));
}

static unsigned first_order_with_free(const struct buddy *b, unsigned order)
{
	while (order < FOLIO_ORDERS && list_is_empty(&b->free[order]))
		order++;
	return order;
}

bool buddy_has(const struct buddy *b, uint32_t bytes)
{
	return first_order_with_free(b, bytes_to_order(bytes)) < FOLIO_ORDERS;
}

void *buddy_alloc(struct buddy *b, uint32_t bytes, struct region **region)
{
	unsigned want = bytes_to_order(bytes), order = first_order_with_free(b, want);
	struct free_block *block;
	struct region *r;
	unsigned page;

	if (order == FOLIO_ORDERS) {
		if (!region_create(b))
			return NULL;
		order = FOLIO_ORDERS - 1;
	}
	block = list_first(&b->free[order], struct free_block, node);
	r = block->region;
	page = (unsigned)(block - r->block);
	take_free(r, page);
	while (order > want) {
		order--;
		put_free(b, r, page + (1u << order), order);
	}
	if (r->free_pages == REGION_PAGES)
		b->empty_regions--;
	r->free_pages -= 1u << want;
	*region = r;
	return r->base + (size_t)page * PAGE_BYTES;
}

void buddy_free(struct buddy *b, struct region *r, void *data, uint32_t bytes)
{
	unsigned order = bytes_to_order(bytes);
	unsigned page = (unsigned)(((uint8_t *)data - r->base) / PAGE_BYTES);

	r->free_pages += 1u << order;
	while (order < FOLIO_ORDERS - 1) {
		unsigned other = page ^ (1u << order);

		if (r->order[other] != order)
			break;
		take_free(r, other);
		page &= ~(1u << order);
		order++;
	}
	put_free(b, r, page, order);
	if (r->free_pages != REGION_PAGES)
		return;
	if (b->empty_regions >= KEPT_REGIONS)
		region_destroy(b, r);
	else
		b->empty_regions++;
}
