/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the files of this room know of each other. */
#include <userxfs/volume.h>

#define SUPERBLOCK_READ_BYTES 32768u /* the largest sector */

/* ---- mount.c ---- */

/* Reads and judges the superblock; @sb gets what was read. */
int volume_read_superblock(struct volume *vol, uint8_t *sb, size_t bytes);
/*
 * Makes the rooms that transactions need, from the buffers to the namespace, on devices that are open.  @recount: the
 * superblock's counters are not to be trusted.
 */
int volume_start_metadata(struct volume *vol, const uint8_t *sb, uint64_t log_off, const struct log_head *head,
			  bool recount);
/*
 * Frees the rooms that exist, in reverse order; the devices stay.  Nothing is in flight and nothing dirty is left, or
 * the log is shut down.
 */
void volume_stop_rooms(struct volume *vol);
int volume_reset_quota_flags(struct volume *vol);
/* The counters into the superblock, everything home, the unmount record. */
int volume_leave_clean_log(struct volume *vol);

/* ---- recover.c ---- */

/*
 * Replays the dirty log and finishes what it left unfinished; the log is clean afterwards.  Before and after it no
 * room exists, only the devices; .geo is what the replayed superblock says.  A read-only volume gets its devices
 * covered, so that nothing of it reaches them.  @sb is scratch.
 */
int volume_replay(struct volume *vol, uint64_t log_off, const struct log_head *head, uint8_t *sb,
		  struct volume_recovery_report *report);
