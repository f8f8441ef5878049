/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Log records: operations packed into records, records written to the log's ring.  (XFS: xlog_write, xlog_sync.)
 *
 * A record on disk, of h_size = log->record_bytes at most:
 *
 *   | header | more headers | op header, data, op header, data ... | zeroes |
 *   '-- header_bytes -------'-- h_len --------------------------------------'
 *
 * The first word of each payload block is moved to the headers and replaced by the cycle number, so that every
 * block of the log starts with the cycle it was written in; that is how the head is found.  A record may run over
 * the physical end of the log; its blocks after that carry the next cycle.
 *
 * Records are put together in a staging area and written from there, several at once.  Only the last of a run is
 * written with FUA and all others durable before it; nothing counts before that, so the others need no order.  But
 * a power cut may leave holes in what no flush has made durable, and whoever looks for the head of the log does not
 * look back further than SCAN_BYTES: a long run flushes what it has written before each further staging area.
 */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/format/crc32c.h>
#include <userxfs/base/message.h>
#include <userxfs/base/unfix.h>

#include "internal.h"

enum {
	RECORD_STRUCT_BYTES = 328,	/* where 64-bit fields are aligned to 8 */
	RECORD_STRUCT_BYTES_I386 = 324,
};

_Static_assert(STAGING_BYTES >= 2 * RECORD_BYTES_MAX, "a record and the next fit");
_Static_assert(2 * STAGING_BYTES <= SCAN_BYTES, "recovery finds holes in what no flush has made durable");
_Static_assert(sizeof(struct xlog_rec_header) <= RECORD_STRUCT_BYTES, "the header as it is summed");

int records_init(struct log *log)
{
	log->staging = mem_alloc_aligned(max_u64(log->dev->alignment_bytes, 4096), STAGING_BYTES);
	return log->staging ? 0 : -ENOMEM;
}

void records_deinit(struct log *log)
{
	mem_free(log->staging);
}

uint32_t record_header_bytes(uint32_t record_bytes)
{
	return (uint32_t)div_round_up(record_bytes, XLOG_HEADER_CYCLE_SIZE) * BLOCK_BYTES;
}

uint32_t record_headers_of(const struct xlog_rec_header *head)
{
	uint32_t size = be32_to_cpu(head->h_size), len = be32_to_cpu(head->h_len);

	return record_header_bytes((uint32_t)max_u64(max_u64(size, len), 1));
}

/* ---- what a record must be ------------------------------------------------------------------------------------ */

const char *record_header_verify(const struct geometry *geo, const struct xlog_rec_header *head)
{
	uint32_t size = be32_to_cpu(head->h_size), len = be32_to_cpu(head->h_len);

	if (memcmp(&head->h_fs_uuid, geo->uuid, sizeof(geo->uuid)))
		return "it belongs to another volume";
	if (be32_to_cpu(head->h_version) != XLOG_VERSION_2)
		return "unknown version";
	if (len == 0 || len > RECORD_BYTES_MAX || len % BLOCK_BYTES || size > RECORD_BYTES_MAX)
		return "bad size";
	if (len > size && be32_to_cpu(head->h_num_logops) != 1)
		return "longer than it may be";
	return NULL;
}

/* The checksum as XFS computes it; @struct_bytes: sizeof(struct xlog_rec_header) of whoever wrote it. */
static uint32_t record_crc(const void *headers, uint32_t struct_bytes, const void *payload, uint32_t payload_bytes)
{
	static const __le32 zero;
	const char *p = headers;
	uint32_t off = offsetof(struct xlog_rec_header, h_crc);
	uint32_t crc;

	crc = crc32c(~0u, p, off);
	crc = crc32c(crc, &zero, sizeof(zero));
	crc = crc32c(crc, p + off + sizeof(zero), struct_bytes - off - sizeof(zero));
	/* Of the further headers only those that speak for payload. */
	for (uint32_t i = 1; i < div_round_up(payload_bytes, XLOG_HEADER_CYCLE_SIZE); i++)
		crc = crc32c(crc, p + (size_t)i * BLOCK_BYTES, sizeof(struct xlog_rec_ext_header));
	return ~crc32c(crc, payload, payload_bytes);
}

bool record_crc_is_good(const struct xlog_rec_header *head, const void *payload, uint32_t payload_bytes)
{
	uint32_t want = le32_to_cpu(head->h_crc);

	return !want || want == record_crc(head, RECORD_STRUCT_BYTES, payload, payload_bytes) ||
	       want == record_crc(head, RECORD_STRUCT_BYTES_I386, payload, payload_bytes);
}

/* ---- writing the staging area -------------------------------------------------------------------------------- */

/* Two pieces when the end of the log is in between. */
static int write_range(struct log *log, logpos_t pos, const char *data, uint64_t bytes, uint32_t flags)
{
	uint64_t block = pos % log->blocks;
	uint64_t first = min_u64(bytes, (log->blocks - block) * BLOCK_BYTES);
	int err;

	if (unfix(UNFIX_log_without_flush))
		flags &= ~DEVICE_PREFLUSH;
	err = device_write(log->dev, log->off_bytes + block * BLOCK_BYTES, data, first, flags);
	if (!err && first < bytes)
		err = device_write(log->dev, log->off_bytes, data + first, bytes - first, flags & ~DEVICE_PREFLUSH);
	return err;
}

/* Writes the first @bytes of the staging area, and forgets them. */
static void write_staged(struct record_writer *w, uint64_t bytes, uint32_t flags)
{
	struct log *log = w->log;

	ensure(!w->open_bytes && bytes <= w->closed_bytes);
	if (!bytes)
		return;
	if (!w->err)
		w->err = log_is_shutdown(log) ? -EIO : write_range(log, w->start, log->staging, bytes, flags);
	w->start += bytes / BLOCK_BYTES;
	w->closed_bytes -= bytes;
	memmove(log->staging, log->staging + bytes, w->closed_bytes);
	w->wrote = true;
}

/* ---- putting a record together ------------------------------------------------------------------------------- */

static char *open_record(const struct record_writer *w)
{
	return w->log->staging + w->closed_bytes;
}

static logpos_t open_position(const struct record_writer *w)
{
	return w->start + w->closed_bytes / BLOCK_BYTES;
}

/* Where the open record must end at the latest: so that it, and the next, ends at a multiple of round_bytes. */
static uint32_t record_limit(const struct record_writer *w)
{
	const struct log *log = w->log;
	uint32_t lead = (uint32_t)(open_position(w) % log->blocks * BLOCK_BYTES % log->round_bytes);

	if (log->record_bytes - lead < log->header_bytes + 2 * BLOCK_BYTES)
		return log->record_bytes;
	return log->record_bytes - lead;
}

void record_writer_init(struct log *log, struct record_writer *w)
{
	*w = (struct record_writer){ .log = log, .start = log->head, .tid = log->next_tid++ };
}

logpos_t record_position(const struct record_writer *w)
{
	return open_position(w);
}

static void begin_record(struct record_writer *w)
{
	const struct log *log = w->log;

	if (w->closed_bytes + log->record_bytes > STAGING_BYTES)
		write_staged(w, w->closed_bytes, w->wrote ? DEVICE_PREFLUSH : 0);
	memset(open_record(w), 0, log->header_bytes);
	w->open_bytes = log->header_bytes;
	w->op_count = 0;
}

/* Moves the first word of each payload block to the headers; puts the cycle there. */
static void stamp_cycles(const struct log *log, char *record, uint32_t payload_bytes, logpos_t pos)
{
	uint64_t to_end = log->blocks - pos % log->blocks;
	uint32_t cycle = (uint32_t)(pos / log->blocks);
	uint32_t blocks = payload_bytes / BLOCK_BYTES, headers = log->header_bytes / BLOCK_BYTES;
	struct xlog_rec_header *head = (void *)record;

	for (uint32_t i = 1; i < headers; i++) {
		struct xlog_rec_ext_header *more = (void *)(record + (size_t)i * BLOCK_BYTES);

		more->xh_cycle = cpu_to_be32(i < to_end ? cycle : cycle + 1);
	}
	for (uint32_t i = 0; i < blocks; i++) {
		struct xlog_rec_ext_header *more = (void *)(record + (size_t)(i / CYCLE_WORDS) * BLOCK_BYTES);
		__be32 *kept = i < CYCLE_WORDS ? &head->h_cycle_data[i] : &more->xh_cycle_data[i % CYCLE_WORDS];
		__be32 *word = (void *)(record + log->header_bytes + (size_t)i * BLOCK_BYTES);

		*kept = *word;
		*word = cpu_to_be32(headers + i < to_end ? cycle : cycle + 1);
	}
}

/* Completes the open record's header; it names @tail. */
static void close_record(struct record_writer *w, lsn_t tail)
{
	struct log *log = w->log;
	char *record = open_record(w);
	struct xlog_rec_header *head = (void *)record;
	logpos_t pos = open_position(w);
	uint32_t limit = record_limit(w), lead = log->record_bytes - limit, total, payload;

	total = (uint32_t)(round_up_u64(w->open_bytes + lead, log->round_bytes) - lead);
	total = (uint32_t)max_u64(total, log->header_bytes + BLOCK_BYTES);
	total = (uint32_t)min_u64(total, round_up_u64(limit, BLOCK_BYTES));
	memset(record + w->open_bytes, 0, total - w->open_bytes);
	payload = total - log->header_bytes;

	head->h_magicno = cpu_to_be32(XLOG_HEADER_MAGIC_NUM);
	head->h_cycle = cpu_to_be32((uint32_t)(pos / log->blocks));
	head->h_version = cpu_to_be32(XLOG_VERSION_2);
	head->h_len = cpu_to_be32(payload);
	head->h_lsn = cpu_to_be64(pos_to_lsn(log->blocks, pos));
	head->h_tail_lsn = cpu_to_be64(tail);
	head->h_prev_block = cpu_to_be32(log->previous_record);
	head->h_num_logops = cpu_to_be32(w->op_count);
	head->h_fmt = cpu_to_be32(XLOG_FMT);
	memcpy(&head->h_fs_uuid, log->geo->uuid, sizeof(head->h_fs_uuid));
	head->h_size = cpu_to_be32(log->record_bytes);
	stamp_cycles(log, record, payload, pos);
	head->h_crc = cpu_to_le32(record_crc(record, RECORD_STRUCT_BYTES, record + log->header_bytes, payload));

	log->previous_record = (uint32_t)(pos % log->blocks);
	w->closed_bytes += total;
	w->open_bytes = 0;
}

/* ---- operations ---------------------------------------------------------------------------------------------- */

/* Room in the open record; a new one is begun when there is not enough for an op header and @least bytes. */
static uint32_t make_room(struct record_writer *w, uint32_t least)
{
	if (w->open_bytes && w->open_bytes + OP_BYTES + least > record_limit(w))
		close_record(w, pos_to_lsn(w->log->blocks, w->log->durable_tail));
	if (!w->open_bytes)
		begin_record(w);
	return record_limit(w) - (uint32_t)w->open_bytes - OP_BYTES;
}

static void put_op(struct record_writer *w, uint8_t client, uint8_t flags, const void *data, uint32_t bytes)
{
	struct xlog_op_header op = {
		.oh_tid = cpu_to_be32(w->tid),
		.oh_len = cpu_to_be32(bytes),
		.oh_clientid = client,
		.oh_flags = flags,
	};
	char *to = open_record(w) + w->open_bytes;

	memcpy(to, &op, sizeof(op));
	if (bytes)
		memcpy(to + sizeof(op), data, bytes);
	w->open_bytes += sizeof(op) + bytes;
	w->op_count++;
}

void record_add_op(struct record_writer *w, uint8_t client, uint8_t flags, const void *data, uint32_t bytes)
{
	const char *from = data;
	uint32_t room = make_room(w, bytes ? 4 : 0) & ~3u;
	uint8_t continued = 0;

	while (bytes > room) {
		put_op(w, client, flags | XLOG_CONTINUE_TRANS | continued, from, room);
		from += room;
		bytes -= room;
		continued = XLOG_WAS_CONT_TRANS;
		room = make_room(w, 4) & ~3u;
	}
	put_op(w, client, flags | continued | (continued ? XLOG_END_TRANS : 0), from, bytes);
}

int record_finish(struct record_writer *w, lsn_t tail)
{
	struct log *log = w->log;
	uint64_t before = w->closed_bytes;
	bool is_apart = log->dev != log->data_dev;

	ensure(w->open_bytes);
	/* What goes before it is on its way home or in the first records. */
	close_record(w, tail);
	write_staged(w, before, 0);
	if (is_apart && !w->err)
		w->err = device_flush(log->data_dev);
	write_staged(w, w->closed_bytes, DEVICE_FUA | (is_apart && !w->wrote ? 0 : DEVICE_PREFLUSH));
	return w->err;
}
