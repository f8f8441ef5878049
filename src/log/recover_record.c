/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reading records from the tail of the log to its head.  (XFS: xlog_do_recovery_pass, xlog_unpack_data.)
 *
 * Nothing in a record is believed before its header has been checked against where it stands and its checksum has
 * been compared.
 */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "recover.h"

enum {
	WINDOW_BLOCKS = (1 << 20) / BLOCK_BYTES,
	HEADER_BYTES_MAX = RECORD_BYTES_MAX / CYCLE_WORDS,
};

_Static_assert(HEADER_BYTES_MAX == RECORD_BYTES_MAX / (int)XLOG_HEADER_CYCLE_SIZE * BLOCK_BYTES,
	       "headers of a record");

int record_reader_init(struct record_reader *r, struct device *dev, uint64_t off_bytes, const struct geometry *geo,
		       const struct log_head *head)
{
	*r = (struct record_reader){
		.dev = dev,
		.off_bytes = off_bytes,
		.geo = geo,
		.blocks = blocks_to_bytes(geo, geo->log_blocks) / BLOCK_BYTES,
	};
	r->pos = lsn_to_pos(r->blocks, head->tail);
	r->end = lsn_to_pos(r->blocks, head->head);
	if (lsn_block(head->tail) >= r->blocks || r->pos > r->end || r->end - r->pos > r->blocks) {
		msg_error("the log's tail %u:%u does not lie behind its head %u:%u", lsn_cycle(head->tail),
			  lsn_block(head->tail), lsn_cycle(head->head), lsn_block(head->head));
		return -EFSCORRUPTED;
	}
	r->record = mem_alloc_aligned(sizeof(uint64_t), HEADER_BYTES_MAX + RECORD_BYTES_MAX);
	r->window = mem_alloc_aligned(max_u64(dev->alignment_bytes, 4096), WINDOW_BLOCKS * BLOCK_BYTES);
	return r->record && r->window ? 0 : -ENOMEM;
}

void record_reader_deinit(struct record_reader *r)
{
	mem_free(r->record);
	mem_free(r->window);
}

/* Fills the window from @pos on, up to the head or the physical end of the log. */
static int fill_window(struct record_reader *r, logpos_t pos)
{
	uint64_t block = pos % r->blocks;
	uint64_t count = min_u64(min_u64(WINDOW_BLOCKS, r->end - pos), r->blocks - block);

	r->window_pos = pos;
	r->window_blocks = count;
	return device_read(r->dev, r->off_bytes + block * BLOCK_BYTES, r->window, count * BLOCK_BYTES);
}

/* Copies @count blocks from @pos on, all of them before the head. */
static int read_blocks(struct record_reader *r, logpos_t pos, uint64_t count, char *to)
{
	while (count) {
		uint64_t skip, part;

		if (pos < r->window_pos || pos >= r->window_pos + r->window_blocks) {
			int err = fill_window(r, pos);

			if (err) {
				r->window_blocks = 0;
				msg_error("cannot read the log: %s", strerror(-err));
				return err;
			}
		}
		skip = pos - r->window_pos;
		part = min_u64(count, r->window_blocks - skip);
		memcpy(to, r->window + skip * BLOCK_BYTES, part * BLOCK_BYTES);
		to += part * BLOCK_BYTES;
		pos += part;
		count -= part;
	}
	return 0;
}

/* NULL, or why there is no record at .pos. */
static const char *header_verify(const struct record_reader *r, const struct xlog_rec_header *head)
{
	uint32_t len = be32_to_cpu(head->h_len);
	const char *why;

	if (be32_to_cpu(head->h_magicno) != XLOG_HEADER_MAGIC_NUM)
		return "there is none";
	why = record_header_verify(r->geo, head);
	if (why)
		return why;
	if (be32_to_cpu(head->h_fmt) != XLOG_FMT)
		return "written by a machine of another kind";
	if (be64_to_cpu(head->h_lsn) != pos_to_lsn(r->blocks, r->pos))
		return "it belongs elsewhere in the log";
	if ((record_headers_of(head) + len) / BLOCK_BYTES > r->end - r->pos)
		return "it goes on behind the head of the log";
	return NULL;
}

/* Puts back the first word of each block of payload. */
static void restore_words(char *record, char *payload, uint32_t payload_bytes)
{
	for (uint32_t i = 0; i < payload_bytes / BLOCK_BYTES; i++) {
		const struct xlog_rec_header *head = (const void *)record;
		const struct xlog_rec_ext_header *more =
			(const void *)(record + (size_t)(i / CYCLE_WORDS) * BLOCK_BYTES);
		const __be32 *kept = i < CYCLE_WORDS ? &head->h_cycle_data[i] : &more->xh_cycle_data[i % CYCLE_WORDS];

		memcpy(payload + (size_t)i * BLOCK_BYTES, kept, sizeof(*kept));
	}
}

int record_reader_try(struct record_reader *r, struct log_record *out, bool *found, const char **why)
{
	struct xlog_rec_header *head = (void *)r->record;
	uint32_t headers, len;
	char *payload;
	int err;

	*found = false;
	*why = NULL;
	if (r->pos == r->end)
		return 0;
	err = read_blocks(r, r->pos, 1, r->record);
	if (err)
		return err;
	*why = header_verify(r, head);
	if (*why)
		return -EFSCORRUPTED;
	headers = record_headers_of(head);
	len = be32_to_cpu(head->h_len);
	payload = r->record + headers;
	err = read_blocks(r, r->pos, (headers + len) / BLOCK_BYTES, r->record);
	if (err)
		return err;
	/* Only mkfs.xfs writes a record without; nothing has to be replayed from there on. */
	if (!head->h_crc || !record_crc_is_good(head, payload, len)) {
		*why = "wrong checksum";
		return -EFSBADCRC;
	}
	restore_words(r->record, payload, len);
	*out = (struct log_record){
		.lsn = be64_to_cpu(head->h_lsn),
		.payload = payload,
		.payload_bytes = len,
		.op_count = be32_to_cpu(head->h_num_logops),
	};
	r->pos += (headers + len) / BLOCK_BYTES;
	*found = true;
	return 0;
}

int record_reader_next(struct record_reader *r, struct log_record *out, bool *found)
{
	const char *why;
	int err = record_reader_try(r, out, found, &why);

	if (err && why)
		msg_error("log record at block %llu: %s; run xfs_repair", (unsigned long long)(r->pos % r->blocks),
			  why);
	return err;
}

int record_reader_skip(struct record_reader *r, bool *found)
{
	const struct xlog_rec_header *head = (const void *)r->record;

	*found = false;
	while (++r->pos < r->end) {
		int err = read_blocks(r, r->pos, 1, r->record);

		if (err)
			return err;
		*found = be32_to_cpu(head->h_magicno) == XLOG_HEADER_MAGIC_NUM &&
			 be64_to_cpu(head->h_lsn) == pos_to_lsn(r->blocks, r->pos);
		if (*found)
			return 0;
	}
	return 0;
}
