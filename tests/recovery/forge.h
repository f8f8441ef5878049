/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Logs made by hand on a small volume in memory, and damaged ones: what recovery must survive.  A volume is recovered
 * on top of it: the disk itself never changes.
 */
#include <userxfs/log/recovery.h>

#include "lab/disk.h"
#include "log/internal.h"

struct forge {
	struct disk disk;
	struct geometry geo;
	uint64_t log_off, log_blocks;
	logpos_t pos;			/* where the next record goes */
	uint32_t h_size;
	char *payload;			/* of that record */
	uint32_t bytes, ops;
};

/* A new volume of 32 MiB; its log is clean. */
void forge_make(struct forge *f, const char *mkfs_args);
void forge_destroy(struct forge *f);
/* Where the log ends now is where the next record goes. */
void forge_at_head(struct forge *f);

/* The record in the making gets an operation. */
void forge_op(struct forge *f, uint32_t tid, uint8_t client, uint8_t flags, const void *data, uint32_t bytes);
void forge_region(struct forge *f, uint32_t tid, const void *data, uint32_t bytes);
void forge_start(struct forge *f, uint32_t tid);
void forge_commit(struct forge *f, uint32_t tid);
/* Fills it up to @payload_bytes with regions of nobody. */
void forge_fill(struct forge *f, uint32_t payload_bytes);
/* Writes it and returns its LSN.  @tail 0: its own. */
lsn_t forge_write(struct forge *f, lsn_t tail);
/* Takes back what was written since @pos, in a log that never wrapped. */
void forge_rewind(struct forge *f, logpos_t pos);
/* Only moves on, as if it had not reached the disk. */
lsn_t forge_lose(struct forge *f);

lsn_t forge_lsn(const struct forge *f);
/* A block of the log. */
void *forge_block(const struct forge *f, uint64_t block);
/* Makes the checksum of the record at @block right again, whatever it has become; false: it has no such. */
bool forge_seal(const struct forge *f, uint64_t block);

struct verdict {
	int err;
	uint64_t writes;		/* that reached the device */
	struct log_head head;
	struct recovery_report report;
	char said[4096];		/* error lines */
};

/* Finds the head and replays, no more. */
void forge_replay(const struct forge *f, struct verdict *v);
/* The same; the disk changes.  @memory_bytes: see struct recovery_options. */
void forge_replay_home(const struct forge *f, uint64_t memory_bytes, struct verdict *v);
/* All of recovery: intents, orphans, counters.  *copy, when not NULL: the disk as it is then. */
void forge_recover(const struct forge *f, struct verdict *v, struct disk *copy);
