/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * One allocation group in an array of memory, with tiny blocks, for tests of the trees' logic.  toy_ag.c stands in
 * for the log room and for the allocator: blocks of trees come from the upper half of the AG, freed extents and
 * deferred work are only written down.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/log/log.h>
#include <userxfs/log/tx.h>
#include <userxfs/space/alloc.h>

#define TOY_BLOCKS 8192u		/* of the AG */
#define TOY_DATA_BLOCKS 2048u		/* of them, for the tests to map: [TOY_FIRST_BLOCK, TOY_DATA_BLOCKS) */
#define TOY_FIRST_BLOCK 16u
#define TOY_BLOCK_BYTES 512u

struct toy_ag {
	struct geometry geo;
	struct ag ag;
	struct buffer agf;
	struct xfs_agf agf_data;
	uint32_t tree_blocks;		/* allocated */
	uint32_t accounted;		/* of those, against the reservation of the rmapbt */
	struct tx_reservations reservations;
	/* space_free_deferred(): how often each block was freed. */
	uint8_t freed[TOY_BLOCKS];
};

extern struct toy_ag toy;

/* An empty rmapbt and refcountbt with at most @max_leaf records and @max_node keys a block. */
void toy_ag_create(uint32_t max_leaf, uint32_t max_node);
void toy_ag_destroy(void);
/* Of a transaction that changes reference counts. */
void toy_set_log_reservation(uint32_t log_bytes);
struct tx *toy_tx(void);
/* Lets go of all buffers. */
void toy_ag_commit(void);

void toy_random_seed(uint64_t seed);
uint32_t toy_random(uint32_t below);
