/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * A disk in memory that remembers in which order it was written and flushed, and can be looked at as it may be after
 * the power was cut at any moment.
 *
 * The history is a sequence of events: writes and flushes, numbered from 0.  Cut at position P, events 0 to P-1 have
 * happened, and event P, if it is a write, may have been under way.  What was written before the last flush is on the
 * disk.  Of the loose writes, those since then and the one under way, any may have arrived, wholly or some of its
 * 512-byte sectors, whatever their order.  (A write with DEVICE_PREFLUSH is a flush and a write; one with DEVICE_FUA
 * is a write and, for itself alone, a flush.)
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/device.h>

struct recorder;

/* A disk that holds a copy of @bytes. */
int recorder_create(const void *bytes, uint64_t size_bytes, struct recorder **out);
/* No device of it is open. */
void recorder_destroy(struct recorder *rec);

/* What reads and writes it; closing the device leaves the recorder.  Alignment 512 bytes. */
int recorder_device(struct recorder *rec, struct device **out);

/* The number of events so far. */
uint64_t recorder_position(struct recorder *rec);
/* Event number @position in words: "write 512+4096 durable", "flush". */
void recorder_describe(struct recorder *rec, uint64_t position, char *text, size_t bytes);
/* What the disk reads like now. */
void recorder_read_all(struct recorder *rec, void *bytes);

/* Which of the loose writes arrived. */
enum cut_kind {
	CUT_NONE,
	CUT_ALL,
	CUT_ALL_BUT,			/* all except number .which */
	CUT_ONLY,			/* number .which alone */
	CUT_TORN,			/* those before number .which, and the first half of it */
	CUT_RANDOM,			/* chosen by seed .which, one in eight of them torn */
	CUT_KIND_COUNT,
};

struct cut {
	uint64_t position;
	enum cut_kind kind;
	uint64_t which;
};

/* The loose writes at @position. */
uint64_t recorder_loose_count(struct recorder *rec, uint64_t position);
/* Fills @bytes with what the disk holds after @cut.  Cheapest for positions in ascending order. */
void recorder_cut(struct recorder *rec, const struct cut *cut, void *bytes);

/* "POSITION:KIND[:WHICH]", for instance "812:all-but:3". */
void cut_format(const struct cut *cut, char *text, size_t bytes);
bool cut_parse(const char *text, struct cut *out);
