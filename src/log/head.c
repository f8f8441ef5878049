/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the log begins and ends.  (XFS: xlog_find_head, xlog_find_tail, xlog_verify_head, xlog_verify_tail.)
 *
 * Every block of the log starts with the cycle in which it was written (a record's first block with a magic number,
 * then the cycle), so a log looks like this, and the head is where N - 1 begins:
 *
 *   block 0                 head                  end
 *   | N  N  N  N  N  N  N  N | N-1 N-1 N-1 N-1 N-1 |        N - 1 is 0 in a log that never wrapped
 *
 * What was being written in a crash may have holes: blocks of N - 1 among those of N, not further back than
 * SCAN_BYTES.  The first such hole is the head; if that is in the middle of a record, the record's start is; and if
 * one of the last records before it does not match its checksum, that one's start is.
 *
 * The window is what lies behind the head: the last blocks up to it, in the order they were written.
 */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "recover.h"

enum {
	CHECKED_RECORDS = XLOG_MAX_ICLOGS,	/* before the head, by checksum */
};

struct scan {
	struct device *dev;
	uint64_t off_bytes;
	const struct geometry *geo;
	uint64_t blocks;		/* of the log */

	uint64_t head;			/* block; .blocks while it is the physical end */
	char *window;			/* .window_blocks blocks that end at .head */
	uint64_t window_blocks;
};

/* A record found in the window. */
struct found_record {
	uint64_t index;			/* of its first block in the window */
	uint64_t blocks;		/* with headers */
	const struct xlog_rec_header *head;
};

/* ---- reading ------------------------------------------------------------------------------------------------- */

static uint32_t cycle_of(const void *block)
{
	__be32 words[2];

	memcpy(words, block, sizeof(words));
	return be32_to_cpu(words[0]) == XLOG_HEADER_MAGIC_NUM ? be32_to_cpu(words[1]) : be32_to_cpu(words[0]);
}

static int read_cycle(const struct scan *s, uint64_t block, uint32_t *cycle)
{
	char data[BLOCK_BYTES];
	int err = device_read(s->dev, s->off_bytes + block * BLOCK_BYTES, data, sizeof(data));

	if (!err)
		*cycle = cycle_of(data);
	return err;
}

static const char *window_block(const struct scan *s, uint64_t index)
{
	return s->window + index * BLOCK_BYTES;
}

/* The log's block at @index of the window. */
static uint64_t block_at(const struct scan *s, uint64_t index)
{
	uint64_t first = s->head + s->blocks - s->window_blocks;

	return (first + index) % s->blocks;
}

/* Reads up to @blocks blocks before the head; not across the start of a log that never wrapped. */
static int read_window(struct scan *s, uint64_t blocks, bool has_wrapped)
{
	uint64_t before_end, from_start;
	int err = 0;

	s->window_blocks = min_u64(blocks, has_wrapped ? s->blocks : s->head);
	s->window = mem_alloc(s->window_blocks * BLOCK_BYTES + 1);
	if (!s->window)
		return -ENOMEM;
	from_start = min_u64(s->window_blocks, s->head);
	before_end = s->window_blocks - from_start;
	if (before_end)
		err = device_read(s->dev, s->off_bytes + (s->blocks - before_end) * BLOCK_BYTES, s->window,
				  before_end * BLOCK_BYTES);
	if (!err && from_start)
		err = device_read(s->dev, s->off_bytes + (s->head - from_start) * BLOCK_BYTES,
				  s->window + before_end * BLOCK_BYTES, from_start * BLOCK_BYTES);
	return err;
}

/* The head is at @index of the window now. */
static void move_head(struct scan *s, uint64_t index)
{
	s->head = block_at(s, index);
	s->window_blocks = index;
}

/* ---- cycles -------------------------------------------------------------------------------------------------- */

/* The first block of those at the end that all have @cycle: somewhere in (@first, @last]. */
static int search_cycle(const struct scan *s, uint64_t first, uint64_t last, uint32_t cycle, uint64_t *out)
{
	while (last - first > 1) {
		uint64_t middle = first + (last - first) / 2;
		uint32_t found;
		int err = read_cycle(s, middle, &found);

		if (err)
			return err;
		if (found == cycle)
			last = middle;
		else
			first = middle;
	}
	*out = last;
	return 0;
}

/* The head is before the first block that carries the cycle before the one it should. */
static void stop_at_hole(struct scan *s, uint32_t old_cycle)
{
	uint64_t head = s->head;

	for (uint64_t i = 0; i < s->window_blocks; i++) {
		uint32_t stop = block_at(s, i) < head ? old_cycle : old_cycle - 1;

		if (cycle_of(window_block(s, i)) == stop) {
			move_head(s, i);
			return;
		}
	}
}

/* Sets .head by cycles alone.  *is_empty: nothing was ever written. */
static int find_by_cycles(struct scan *s, bool *is_empty)
{
	uint32_t first, last, old;
	int err;

	err = read_cycle(s, 0, &first);
	if (!err)
		err = read_cycle(s, s->blocks - 1, &last);
	if (err)
		return err;
	*is_empty = first == 0 && last == 0;
	if (*is_empty) {
		s->head = 0;
		return 0;
	}
	if (first == 0 || (last == 0 && first != 1)) {
		msg_error("the log starts with cycle %u and ends with %u: this is no log", first, last);
		return -EFSCORRUPTED;
	}
	/* One cycle everywhere: it ends at the physical end. */
	old = first == last ? last - 1 : last;
	s->head = s->blocks;
	if (first != last)
		err = search_cycle(s, 0, s->blocks - 1, last, &s->head);
	if (!err)
		err = read_window(s, SCAN_BYTES / BLOCK_BYTES, last != 0);
	if (!err)
		stop_at_hole(s, old);
	return err;
}

/* ---- records ------------------------------------------------------------------------------------------------- */

static bool is_header(const void *block)
{
	__be32 magic;

	memcpy(&magic, block, sizeof(magic));
	return be32_to_cpu(magic) == XLOG_HEADER_MAGIC_NUM;
}

/* NULL, or why nothing can be made of it. */
static const char *header_verify(const struct scan *s, const struct xlog_rec_header *head)
{
	const char *why = record_header_verify(s->geo, head);

	if (why)
		return why;
	if (lsn_block(be64_to_cpu(head->h_tail_lsn)) >= s->blocks)
		return "its tail is out of bounds";
	return NULL;
}

/* The last record that begins before @end of the window.  *found is false when there is none. */
static int last_record(const struct scan *s, uint64_t end, struct found_record *out, bool *found)
{
	*found = false;
	while (end-- > 0) {
		const struct xlog_rec_header *head = (const void *)window_block(s, end);
		const char *why;

		if (!is_header(head))
			continue;
		why = header_verify(s, head);
		if (why) {
			msg_error("log record at block %llu: %s", (unsigned long long)block_at(s, end), why);
			return -EFSCORRUPTED;
		}
		out->index = end;
		out->head = head;
		out->blocks = (record_headers_of(head) + be32_to_cpu(head->h_len)) / BLOCK_BYTES;
		*found = true;
		return 0;
	}
	return 0;
}

/* A record of which the end is missing is none. */
static int drop_partial_record(struct scan *s)
{
	struct found_record last;
	bool found;
	int err = last_record(s, s->window_blocks, &last, &found);

	if (err)
		return err;
	if (!found) {
		msg_error("no log record before block %llu", (unsigned long long)s->head);
		return -EFSCORRUPTED;
	}
	if (last.index + last.blocks != s->window_blocks)
		move_head(s, last.index);
	return 0;
}

static bool has_good_crc(const struct scan *s, const struct found_record *r)
{
	uint32_t payload = be32_to_cpu(r->head->h_len);

	return record_crc_is_good(r->head, window_block(s, r->index) + r->blocks * BLOCK_BYTES - payload, payload);
}

/* Whether the log is still needed from before @r on: nothing before its tail is looked at. */
static bool is_at_tail(const struct scan *s, const struct found_record *r, lsn_t tail)
{
	return block_at(s, r->index) == lsn_block(tail);
}

/* The oldest of the last records that does not match its checksum ends the log. */
static int drop_torn_records(struct scan *s)
{
	struct found_record r;
	uint64_t end = s->window_blocks, bad = UINT64_MAX;
	lsn_t tail = 0;
	bool found;

	for (unsigned i = 0; i < CHECKED_RECORDS; i++) {
		int err = last_record(s, end, &r, &found);

		if (err)
			return err;
		/* The window may begin in the middle of one. */
		if (!found)
			break;
		if (!tail)
			tail = be64_to_cpu(r.head->h_tail_lsn);
		if (r.index + r.blocks != end || !has_good_crc(s, &r))
			bad = r.index;
		if (is_at_tail(s, &r, tail))
			break;
		end = r.index;
	}
	if (bad != UINT64_MAX) {
		msg_warning("torn write in the log at block %llu: it ends there",
			    (unsigned long long)block_at(s, bad));
		move_head(s, bad);
	}
	return 0;
}

static bool is_unmount_record(const struct scan *s, const struct found_record *r)
{
	uint64_t payload = r->index + r->blocks - be32_to_cpu(r->head->h_len) / BLOCK_BYTES;
	struct xlog_op_header op;

	if (be32_to_cpu(r->head->h_num_logops) != 1)
		return false;
	memcpy(&op, window_block(s, payload), sizeof(op));
	return op.oh_flags & XLOG_UNMOUNT_TRANS;
}

/*
 * Several records may be under way at a time.  When the first of them did not arrive, the others may have been
 * written over what the last whole record calls the tail: they knew one further on.  All before that was home by
 * then, so records that have been written over are not needed.  @flight_blocks: how far behind the head that can be.
 */
static int skip_overwritten(const struct scan *s, struct log_head *head, uint64_t flight_blocks)
{
	logpos_t end = lsn_to_pos(s->blocks, head->head) + flight_blocks - s->blocks;
	lsn_t tail = head->tail;
	struct record_reader reader;
	bool found = true;
	int err = record_reader_init(&reader, s->dev, s->off_bytes, s->geo, head);

	while (!err && found && reader.pos < end) {
		struct log_record record;
		const char *why;

		err = record_reader_try(&reader, &record, &found, &why);
		if (!err || !why)
			continue;
		/* Without another the damage is found again, and reported, when all is read. */
		err = record_reader_skip(&reader, &found);
		if (!err && found)
			tail = pos_to_lsn(s->blocks, reader.pos);
	}
	record_reader_deinit(&reader);
	if (err)
		return err;
	if (tail != head->tail)
		msg_warning("the log's tail at block %u was written over: it is at block %u now",
			    lsn_block(head->tail), lsn_block(tail));
	head->tail = tail;
	return 0;
}

/* Head and tail from the last record before the head. */
static int conclude(const struct scan *s, struct log_head *out)
{
	struct found_record last;
	uint64_t flight_blocks;
	uint32_t cycle;
	bool found;
	int err = last_record(s, s->window_blocks, &last, &found);

	if (!err && (!found || last.index + last.blocks != s->window_blocks)) {
		msg_error("the log has no whole record before block %llu", (unsigned long long)s->head);
		err = -EFSCORRUPTED;
	}
	if (err)
		return err;
	cycle = be32_to_cpu(last.head->h_cycle);
	/* It runs up to the physical end or over it. */
	if (block_at(s, last.index) + last.blocks >= s->blocks)
		cycle++;
	*out = (struct log_head){
		.head = lsn_make(cycle, (uint32_t)(s->head % s->blocks)),
		.cycle = cycle,
		.last_record = (uint32_t)block_at(s, last.index),
	};
	out->tail = out->head;
	out->state = LOG_CLEAN;
	if (is_unmount_record(s, &last))
		return 0;
	out->tail = be64_to_cpu(last.head->h_tail_lsn);
	out->state = LOG_DIRTY;
	flight_blocks = min_u64(XLOG_MAX_ICLOGS * (uint64_t)be32_to_cpu(last.head->h_size) / BLOCK_BYTES,
				s->blocks);
	return skip_overwritten(s, out, flight_blocks);
}

int log_find_head(struct device *dev, uint64_t off_bytes, const struct geometry *geo, struct log_head *out)
{
	struct scan s = {
		.dev = dev,
		.off_bytes = off_bytes,
		.geo = geo,
		.blocks = blocks_to_bytes(geo, geo->log_blocks) / BLOCK_BYTES,
	};
	bool is_empty = false;
	int err;

	if (s.blocks < 2 || s.blocks > UINT32_MAX) {
		msg_error("a log of %llu blocks", (unsigned long long)s.blocks);
		return -EFSCORRUPTED;
	}
	err = find_by_cycles(&s, &is_empty);
	if (!err && is_empty) {
		*out = (struct log_head){ .head = lsn_make(1, 0), .tail = lsn_make(1, 0), .cycle = 1,
					  .last_record = UINT32_MAX };
		return 0;
	}
	if (!err)
		err = drop_partial_record(&s);
	if (!err)
		err = drop_torn_records(&s);
	if (!err)
		err = conclude(&s, out);
	mem_free(s.window);
	return err;
}

/* ---- what lies ahead ----------------------------------------------------------------------------------------- */

/* A block that reads as part of the cycle before. */
static void make_old_block(const struct geometry *geo, char *block, lsn_t lsn, lsn_t tail)
{
	struct xlog_rec_header *head = (void *)block;

	memset(block, 0, BLOCK_BYTES);
	head->h_magicno = cpu_to_be32(XLOG_HEADER_MAGIC_NUM);
	head->h_cycle = cpu_to_be32(lsn_cycle(lsn));
	head->h_version = cpu_to_be32(XLOG_VERSION_2);
	head->h_lsn = cpu_to_be64(lsn);
	head->h_tail_lsn = cpu_to_be64(tail);
	head->h_fmt = cpu_to_be32(XLOG_FMT);
	memcpy(&head->h_fs_uuid, geo->uuid, sizeof(head->h_fs_uuid));
}

/* Looks at @count blocks from @block on, which should carry a cycle below @cycle, and makes them so. */
static int clear_range(struct device *dev, uint64_t off_bytes, const struct geometry *geo, uint64_t block,
		       uint64_t count, uint32_t cycle, lsn_t tail)
{
	uint64_t off = off_bytes + block * BLOCK_BYTES;
	bool is_stale = false;
	char *data;
	int err;

	if (!count)
		return 0;
	data = mem_alloc_aligned(max_u64(dev->alignment_bytes, BLOCK_BYTES), count * BLOCK_BYTES);
	if (!data)
		return -ENOMEM;
	err = device_read(dev, off, data, count * BLOCK_BYTES);
	for (uint64_t i = 0; !err && i < count; i++)
		is_stale |= cycle_of(data + i * BLOCK_BYTES) >= cycle;
	if (!err && is_stale) {
		for (uint64_t i = 0; i < count; i++)
			make_old_block(geo, data + i * BLOCK_BYTES, lsn_make(cycle - 1, (uint32_t)(block + i)), tail);
		err = device_write(dev, off, data, count * BLOCK_BYTES, DEVICE_FUA);
	}
	mem_free(data);
	return err;
}

int log_clear_ahead(struct device *dev, uint64_t off_bytes, const struct geometry *geo, const struct log_head *head)
{
	uint64_t blocks = blocks_to_bytes(geo, geo->log_blocks) / BLOCK_BYTES;
	uint64_t used = lsn_to_pos(blocks, head->head) - lsn_to_pos(blocks, head->tail);
	uint64_t block = lsn_block(head->head), count = min_u64(SCAN_BYTES / BLOCK_BYTES, blocks / 2);
	uint64_t to_end;
	int err;

	/* What is still needed is not cleared. */
	count = min_u64(count, blocks - min_u64(used, blocks));
	to_end = min_u64(count, blocks - block);

	err = clear_range(dev, off_bytes, geo, block, to_end, head->cycle, head->tail);
	if (!err)
		err = clear_range(dev, off_bytes, geo, 0, count - to_end, head->cycle + 1, head->tail);
	return err;
}
