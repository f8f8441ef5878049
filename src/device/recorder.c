/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A disk in memory with its history: see the contract.
 *
 * Two images are kept: .now, which is what the device reads, and .settled, which holds everything up to the flush
 * before the last cut that was asked for.  A cut is a copy of .settled and some of the events after it.
 */
#include <userxfs/device/recorder.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/memory.h>

#include "internal.h"
#include "queue.h"

enum {
	SECTOR_BYTES = 512,
	TORN_ONE_IN = 8,
};

struct event {
	bool is_flush;
	bool is_durable;		/* a write with DEVICE_FUA */
	uint64_t off_bytes, count_bytes;
	char *data;
};

struct recorder {
	struct mutex lock;
	uint64_t size_bytes;		/* [I] */
	char *initial;			/* [I] */
	char *now;			/* [lock] */
	struct event *events;		/* [lock] */
	uint64_t count, capacity;	/* [lock] */
	char *settled;			/* [lock] */
	uint64_t settled_to;		/* [lock] events before it are in .settled */
};

struct recording_device {
	struct device dev;
	struct queue queue;
	struct recorder *rec;		/* [I] */
};

/* ---- recording ------------------------------------------------------------------------------------------------- */

static struct event *add_event(struct recorder *rec) REQUIRES(rec->lock);

static struct event *add_event(struct recorder *rec)
{
	if (rec->count == rec->capacity) {
		uint64_t capacity = max_u64(1024, 2 * rec->capacity);
		struct event *events = mem_alloc_sure(capacity * sizeof(*events));

		if (rec->count)
			memcpy(events, rec->events, rec->count * sizeof(*events));
		mem_free(rec->events);
		rec->events = events;
		rec->capacity = capacity;
	}
	rec->events[rec->count] = (struct event){ .is_flush = false };
	return &rec->events[rec->count++];
}

static void add_flush(struct recorder *rec) REQUIRES(rec->lock);

static void add_flush(struct recorder *rec)
{
	add_event(rec)->is_flush = true;
}

static void add_write(struct recorder *rec, const struct device_request *req) REQUIRES(rec->lock);

static void add_write(struct recorder *rec, const struct device_request *req)
{
	struct event *e;

	if (req->flags & DEVICE_PREFLUSH)
		add_flush(rec);
	e = add_event(rec);
	e->is_durable = req->flags & DEVICE_FUA;
	e->off_bytes = req->off_bytes;
	e->count_bytes = req->length_bytes;
	e->data = mem_alloc_sure(req->length_bytes);
	request_copy(req, e->data);
	memcpy(rec->now + e->off_bytes, e->data, e->count_bytes);
}

static void recorder_perform(struct device *dev, struct device_request *req)
{
	struct recorder *rec = container_of(dev, struct recording_device, dev)->rec;

	mutex_lock(&rec->lock);
	if (req->op == DEVICE_READ)
		request_copy(req, rec->now + req->off_bytes);
	else if (req->op == DEVICE_WRITE)
		add_write(rec, req);
	else if (req->op == DEVICE_FLUSH)
		add_flush(rec);
	mutex_unlock(&rec->lock);
	req->err = 0;
}

static void recorder_close_device(struct device *dev)
{
	struct recording_device *d = container_of(dev, struct recording_device, dev);

	queue_deinit(&d->queue);
	mem_free(d);
}

static const struct device_ops recorder_ops = {
	.name = "recorder",
	.submit = queue_submit,
	.collect = queue_collect,
	.wake = queue_wake,
	.finish = recorder_perform,
	.perform = recorder_perform,
	.close = recorder_close_device,
};

int recorder_device(struct recorder *rec, struct device **out)
{
	struct recording_device *d = mem_alloc_zeroed(sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->rec = rec;
	d->dev.size_bytes = rec->size_bytes;
	d->dev.alignment_bytes = SECTOR_BYTES;
	device_init(&d->dev, &recorder_ops);
	queue_init(&d->queue, &d->dev);
	*out = &d->dev;
	return 0;
}

static char *image_copy(const void *bytes, uint64_t size_bytes)
{
	char *copy = mem_alloc(size_bytes);

	if (copy)
		memcpy(copy, bytes, size_bytes);
	return copy;
}

int recorder_create(const void *bytes, uint64_t size_bytes, struct recorder **out)
{
	struct recorder *rec = mem_alloc_zeroed(sizeof(*rec));

	if (!rec)
		return -ENOMEM;
	mutex_init(&rec->lock, RANK_DEVICE, ORDER_ENGINE, "recorder");
	rec->size_bytes = size_bytes;
	rec->initial = image_copy(bytes, size_bytes);
	rec->now = image_copy(bytes, size_bytes);
	rec->settled = image_copy(bytes, size_bytes);
	if (!rec->initial || !rec->now || !rec->settled) {
		recorder_destroy(rec);
		return -ENOMEM;
	}
	*out = rec;
	return 0;
}

void recorder_destroy(struct recorder *rec)
{
	if (!rec)
		return;
	for (uint64_t i = 0; i < rec->count; i++)
		mem_free(rec->events[i].data);
	mem_free(rec->events);
	mem_free(rec->settled);
	mem_free(rec->now);
	mem_free(rec->initial);
	mutex_deinit(&rec->lock);
	mem_free(rec);
}

uint64_t recorder_position(struct recorder *rec)
{
	uint64_t position;

	mutex_lock(&rec->lock);
	position = rec->count;
	mutex_unlock(&rec->lock);
	return position;
}

void recorder_describe(struct recorder *rec, uint64_t position, char *text, size_t bytes)
{
	const struct event *e;

	mutex_lock(&rec->lock);
	ensure(position < rec->count);
	e = &rec->events[position];
	if (e->is_flush)
		snprintf(text, bytes, "flush");
	else
		snprintf(text, bytes, "write %" PRIu64 "+%" PRIu64 "%s", e->off_bytes, e->count_bytes,
			 e->is_durable ? " durable" : "");
	mutex_unlock(&rec->lock);
}

void recorder_read_all(struct recorder *rec, void *bytes)
{
	mutex_lock(&rec->lock);
	memcpy(bytes, rec->now, rec->size_bytes);
	mutex_unlock(&rec->lock);
}

/* ---- cutting --------------------------------------------------------------------------------------------------- */

/* The position after the last flush before @position. */
static uint64_t last_flush(const struct recorder *rec, uint64_t position)
{
	while (position > 0 && !rec->events[position - 1].is_flush)
		position--;
	return position;
}

/* Whether event @i may be missing when the power goes at @position. */
static bool is_loose(const struct recorder *rec, uint64_t i, uint64_t position)
{
	const struct event *e = &rec->events[i];

	return !e->is_flush && (i == position || !e->is_durable);
}

/* The event under way at @position counts. */
static uint64_t end_of_loose(const struct recorder *rec, uint64_t position)
{
	return position < rec->count ? position + 1 : position;
}

static uint64_t count_loose(const struct recorder *rec, uint64_t position)
{
	uint64_t count = 0;

	for (uint64_t i = last_flush(rec, position); i < end_of_loose(rec, position); i++)
		count += is_loose(rec, i, position);
	return count;
}

uint64_t recorder_loose_count(struct recorder *rec, uint64_t position)
{
	uint64_t count;

	mutex_lock(&rec->lock);
	ensure(position <= rec->count);
	count = count_loose(rec, position);
	mutex_unlock(&rec->lock);
	return count;
}

static void apply(char *image, const struct event *e)
{
	memcpy(image + e->off_bytes, e->data, e->count_bytes);
}

/* Sectors of @e: the first @count of them, or with @seed some. */
static void apply_sectors(char *image, const struct event *e, uint64_t count, uint64_t seed)
{
	for (uint64_t i = 0; i * SECTOR_BYTES < e->count_bytes; i++) {
		uint64_t off = i * SECTOR_BYTES, n = min_u64(SECTOR_BYTES, e->count_bytes - off);

		if (seed ? hash_u64_pair(seed, i) & 1 : i < count)
			memcpy(image + e->off_bytes + off, e->data + off, n);
	}
}

/* Event @e, one of the loose ones, as @cut wants it; @seed is its own. */
static void apply_random(char *image, const struct event *e, uint64_t quarters, uint64_t seed)
{
	if (hash_u64(seed) % 4 >= quarters)
		return;
	if (hash_u64(seed + 1) % TORN_ONE_IN == 0)
		apply_sectors(image, e, 0, hash_u64(seed + 2) | 1);
	else
		apply(image, e);
}

/* @number: of the event among the loose ones. */
static void apply_loose(char *image, const struct event *e, uint64_t number, const struct cut *cut)
{
	bool is_it = number == cut->which;

	switch (cut->kind) {
	case CUT_NONE:
		return;
	case CUT_ALL:
		apply(image, e);
		return;
	case CUT_ALL_BUT:
		if (!is_it)
			apply(image, e);
		return;
	case CUT_ONLY:
		if (is_it)
			apply(image, e);
		return;
	case CUT_TORN:
		if (number < cut->which)
			apply(image, e);
		else if (is_it)
			apply_sectors(image, e, div_round_up(e->count_bytes, 2 * SECTOR_BYTES), 0);
		return;
	case CUT_RANDOM:
		/* In one cut many arrive, in another few. */
		apply_random(image, e, 1 + hash_u64(cut->which) % 3,
			     hash_u64_pair(cut->which, cut->position << 20 | number));
		return;
	case CUT_KIND_COUNT:
		break;
	}
	ensure(false);
}

static void settle_to(struct recorder *rec, uint64_t position)
{
	if (position < rec->settled_to) {
		memcpy(rec->settled, rec->initial, rec->size_bytes);
		rec->settled_to = 0;
	}
	for (; rec->settled_to < position; rec->settled_to++) {
		if (!rec->events[rec->settled_to].is_flush)
			apply(rec->settled, &rec->events[rec->settled_to]);
	}
}

void recorder_cut(struct recorder *rec, const struct cut *cut, void *bytes)
{
	uint64_t number = 0, from;

	mutex_lock(&rec->lock);
	ensure(cut->position <= rec->count);
	from = last_flush(rec, cut->position);
	settle_to(rec, from);
	memcpy(bytes, rec->settled, rec->size_bytes);
	for (uint64_t i = from; i < end_of_loose(rec, cut->position); i++) {
		const struct event *e = &rec->events[i];

		if (is_loose(rec, i, cut->position))
			apply_loose(bytes, e, number++, cut);
		else if (!e->is_flush)
			apply(bytes, e);
	}
	mutex_unlock(&rec->lock);
}

/* ---- names of cuts --------------------------------------------------------------------------------------------- */

static const char *const kind_names[CUT_KIND_COUNT] = { "none", "all", "all-but", "only", "torn", "random" };

static bool has_which(enum cut_kind kind)
{
	return kind != CUT_NONE && kind != CUT_ALL;
}

void cut_format(const struct cut *cut, char *text, size_t bytes)
{
	if (has_which(cut->kind))
		snprintf(text, bytes, "%" PRIu64 ":%s:%" PRIu64, cut->position, kind_names[cut->kind], cut->which);
	else
		snprintf(text, bytes, "%" PRIu64 ":%s", cut->position, kind_names[cut->kind]);
}

bool cut_parse(const char *text, struct cut *out)
{
	char kind[16];
	int fields;

	*out = (struct cut){ .kind = CUT_KIND_COUNT };
	fields = sscanf(text, "%" SCNu64 ":%15[a-z-]:%" SCNu64, &out->position, kind, &out->which);
	for (unsigned i = 0; fields >= 2 && i < CUT_KIND_COUNT; i++) {
		if (strcmp(kind, kind_names[i]) == 0)
			out->kind = (enum cut_kind)i;
	}
	return out->kind != CUT_KIND_COUNT && has_which(out->kind) == (fields == 3);
}
