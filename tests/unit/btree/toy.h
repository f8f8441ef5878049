/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * B+trees in an array of memory, with tiny blocks, for tests.  toy.c also stands in for the buffer and log rooms'
 * functions that the tree calls: blocks that are read are counted and may not be locked twice, and every logged range
 * is copied to a shadow, so that a test can look at the tree as a replay of the log would leave it.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/btree.h>

enum toy_kind {
	TOY_SHORT,		/* short pointers, root in a header: alloc records by start */
	TOY_OVERLAPPING,	/* the same, rmap records */
	TOY_INODE,		/* long pointers, root in an inode: bmbt records */
	TOY_KINDS
};

#define TOY_BLOCKS 4096
#define TOY_BLOCK_BYTES 512u
#define TOY_OWNER 0

struct toy {
	enum toy_kind kind;
	const struct btree_ops *ops;
	struct geometry geo;
	struct btree_limits limits;
	struct tx *tx;				/* not NULL, never looked into */
	uint32_t root, levels;			/* short pointers */
	struct btree_iroot *iroot;
	uint32_t blocks_allocated;
	uint64_t reads;
	uint64_t read_limit;			/* a test fails when more blocks are read */
};

void toy_create(struct toy *toy, enum toy_kind kind, uint32_t max_leaf, uint32_t max_node, uint32_t max_root);
void toy_destroy(struct toy *toy);
void toy_cursor(struct toy *toy, struct btree_cursor *cur, bool with_tx);
/* One record: covers [start, start + length), @value goes along. */
union btree_rec toy_rec(const struct toy *toy, uint32_t start, uint32_t length, uint32_t value);
void toy_rec_get(const struct toy *toy, const union btree_rec *rec, uint32_t *start, uint32_t *length,
		 uint32_t *value);
union btree_key toy_key(const struct toy *toy, uint32_t start);
/* The transaction ends: buffers are let go. */
void toy_commit(struct toy *toy);
/* Buffers that somebody holds. */
uint32_t toy_held(void);
/* Exchanges the blocks with what a replay would have made of them. */
void toy_swap_shadow(struct toy *toy);
/* The bytes of an allocated block; NULL when @block is free. */
uint8_t *toy_block(uint32_t block);

uint64_t toy_random(void);
void toy_random_seed(uint64_t seed);
