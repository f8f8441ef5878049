/* SPDX-License-Identifier: GPL-2.0 */
#include "forge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/format/crc32c.h>
#include <userxfs/inode.h>
#include <userxfs/space/ialloc.h>
#include <userxfs/space/intent.h>

enum {
	DISK_BYTES = 32 << 20,
	RECORD_STRUCT_BYTES = 328,
};

/* ---- a device that counts -------------------------------------------------------------------------------------- */

struct counting {
	struct device dev;
	struct device *under;		/* an overlay: what is below never changes */
	struct list finished;
	uint64_t *writes;
};

static struct counting *counting(struct device *dev)
{
	return container_of(dev, struct counting, dev);
}

static void counting_perform(struct device *dev, struct device_request *req)
{
	struct counting *c = counting(dev);
	uint64_t off = req->off_bytes;

	req->err = 0;
	for (int i = 0; i < req->iov_count && !req->err; i++) {
		size_t count = req->iov[i].iov_len;

		if (req->op == DEVICE_READ)
			req->err = device_read(c->under, off, req->iov[i].iov_base, count);
		else if (req->op == DEVICE_WRITE)
			req->err = device_write(c->under, off, req->iov[i].iov_base, count, 0);
		off += count;
	}
	if (req->op == DEVICE_WRITE)
		++*c->writes;
}

static void counting_submit(struct device *dev, struct device_request *req)
{
	counting_perform(dev, req);
	list_push_back(&counting(dev)->finished, &req->node);
}

static void counting_collect(struct device *dev, bool wait, struct list *out)
{
	list_splice_back(out, &counting(dev)->finished);
}

static void counting_wake(struct device *dev)
{
}

static void counting_close(struct device *dev)
{
	device_close(counting(dev)->under);
	free(counting(dev));
}

static const struct device_ops counting_ops = {
	.name = "counting",
	.submit = counting_submit,
	.collect = counting_collect,
	.wake = counting_wake,
	.perform = counting_perform,
	.close = counting_close,
};

/* With @shows the writes reach the disk. */
static struct device *counting_open(const struct disk *disk, bool shows, uint64_t *writes)
{
	struct counting *c = calloc(1, sizeof(*c));

	ensure(device_create_memory_over(disk->bytes, disk->size_bytes, &c->under) == 0);
	if (!shows)
		ensure(device_create_overlay(c->under, &c->under) == 0);
	c->dev.size_bytes = disk->size_bytes;
	c->dev.alignment_bytes = 1;
	c->writes = writes;
	list_init(&c->finished);
	device_init(&c->dev, &counting_ops);
	return &c->dev;
}

/* ---- the volume ------------------------------------------------------------------------------------------------ */

void forge_make(struct forge *f, const char *mkfs_args)
{
	char why[256];

	*f = (struct forge){ .h_size = 32 << 10 };
	disk_create(&f->disk, DISK_BYTES);
	disk_format(&f->disk, mkfs_args);
	ensure(geometry_decode(f->disk.bytes, 4096, f->disk.size_bytes, &f->geo, why, sizeof(why)) == GEOMETRY_OK);
	f->log_off = fsblk_to_bytes(&f->geo, f->geo.log_start);
	f->log_blocks = blocks_to_bytes(&f->geo, f->geo.log_blocks) / BLOCK_BYTES;
	f->payload = calloc(1, RECORD_BYTES_MAX);
	forge_at_head(f);
}

void forge_destroy(struct forge *f)
{
	disk_destroy(&f->disk);
	free(f->payload);
}

void forge_at_head(struct forge *f)
{
	struct log_head head;
	struct device *dev;

	ensure(device_create_memory_over(f->disk.bytes, f->disk.size_bytes, &dev) == 0);
	ensure(log_find_head(dev, f->log_off, &f->geo, &head) == 0);
	device_close(dev);
	f->pos = lsn_to_pos(f->log_blocks, head.head);
}

/* ---- records --------------------------------------------------------------------------------------------------- */

void *forge_block(const struct forge *f, uint64_t block)
{
	return f->disk.bytes + f->log_off + block % f->log_blocks * BLOCK_BYTES;
}

lsn_t forge_lsn(const struct forge *f)
{
	return pos_to_lsn(f->log_blocks, f->pos);
}

void forge_op(struct forge *f, uint32_t tid, uint8_t client, uint8_t flags, const void *data, uint32_t bytes)
{
	struct xlog_op_header op = {
		.oh_tid = cpu_to_be32(tid),
		.oh_len = cpu_to_be32(bytes),
		.oh_clientid = client,
		.oh_flags = flags,
	};

	ensure(f->bytes + sizeof(op) + bytes <= RECORD_BYTES_MAX);
	memcpy(f->payload + f->bytes, &op, sizeof(op));
	if (bytes)
		memcpy(f->payload + f->bytes + sizeof(op), data, bytes);
	f->bytes += (uint32_t)sizeof(op) + bytes;
	f->ops++;
}

void forge_region(struct forge *f, uint32_t tid, const void *data, uint32_t bytes)
{
	forge_op(f, tid, XFS_TRANSACTION, 0, data, bytes);
}

void forge_start(struct forge *f, uint32_t tid)
{
	struct xfs_trans_header head = {
		.th_magic = XFS_TRANS_HEADER_MAGIC,
		.th_type = XFS_TRANS_CHECKPOINT,
		.th_tid = (int32_t)tid,
	};

	forge_op(f, tid, XFS_TRANSACTION, XLOG_START_TRANS, NULL, 0);
	forge_region(f, tid, &head, sizeof(head));
}

void forge_commit(struct forge *f, uint32_t tid)
{
	forge_op(f, tid, XFS_TRANSACTION, XLOG_COMMIT_TRANS, NULL, 0);
}

void forge_fill(struct forge *f, uint32_t payload_bytes)
{
	static const char zeroes[4096];

	while (f->bytes + OP_BYTES < payload_bytes)
		forge_region(f, 0xdead, zeroes,
			     (uint32_t)min_u64(sizeof(zeroes), payload_bytes - f->bytes - OP_BYTES) & ~3u);
}

/* Returns the record's blocks, put together. */
static char *make_record(struct forge *f, lsn_t tail, uint32_t *bytes)
{
	uint32_t headers = record_header_bytes(f->h_size);
	uint32_t payload = (uint32_t)max_u64(round_up_u64(f->bytes, BLOCK_BYTES), BLOCK_BYTES);
	char *record = calloc(1, headers + payload);
	struct xlog_rec_header *head = (void *)record;

	memcpy(record + headers, f->payload, f->bytes);
	head->h_magicno = cpu_to_be32(XLOG_HEADER_MAGIC_NUM);
	head->h_cycle = cpu_to_be32((uint32_t)(f->pos / f->log_blocks));
	head->h_version = cpu_to_be32(XLOG_VERSION_2);
	head->h_len = cpu_to_be32(payload);
	head->h_lsn = cpu_to_be64(forge_lsn(f));
	head->h_tail_lsn = cpu_to_be64(tail ? tail : forge_lsn(f));
	head->h_num_logops = cpu_to_be32(f->ops);
	head->h_fmt = cpu_to_be32(XLOG_FMT);
	memcpy(&head->h_fs_uuid, f->geo.uuid, sizeof(head->h_fs_uuid));
	head->h_size = cpu_to_be32(f->h_size);
	f->bytes = f->ops = 0;
	*bytes = headers + payload;
	return record;
}

static __be32 *kept_word(char *record, uint32_t i)
{
	struct xlog_rec_ext_header *more = (void *)(record + (size_t)(i / CYCLE_WORDS) * BLOCK_BYTES);
	struct xlog_rec_header *head = (void *)record;

	return i < CYCLE_WORDS ? &head->h_cycle_data[i] : &more->xh_cycle_data[i % CYCLE_WORDS];
}

/* The first word of each block but the first is its cycle. */
static void stamp(const struct forge *f, char *record, uint32_t headers, uint32_t bytes)
{
	for (uint32_t i = 1; i < bytes / BLOCK_BYTES; i++) {
		__be32 *word = (void *)(record + (size_t)i * BLOCK_BYTES);

		if (i >= headers / BLOCK_BYTES)
			*kept_word(record, i - headers / BLOCK_BYTES) = *word;
		*word = cpu_to_be32((uint32_t)((f->pos + i) / f->log_blocks));
	}
}

static uint32_t crc_of(const char *record, uint32_t headers, uint32_t payload)
{
	uint32_t off = offsetof(struct xlog_rec_header, h_crc);
	__le32 zero = 0;
	uint32_t crc = crc32c(~0u, record, off);

	crc = crc32c(crc, &zero, sizeof(zero));
	crc = crc32c(crc, record + off + sizeof(zero), RECORD_STRUCT_BYTES - off - sizeof(zero));
	for (uint32_t i = 1; i < div_round_up(payload, XLOG_HEADER_CYCLE_SIZE); i++)
		crc = crc32c(crc, record + (size_t)i * BLOCK_BYTES, sizeof(struct xlog_rec_ext_header));
	return ~crc32c(crc, record + headers, payload);
}

static void seal(char *record, uint32_t headers, uint32_t payload)
{
	struct xlog_rec_header *head = (void *)record;

	head->h_crc = cpu_to_le32(crc_of(record, headers, payload));
}

lsn_t forge_write(struct forge *f, lsn_t tail)
{
	uint32_t headers = record_header_bytes(f->h_size), bytes;
	lsn_t lsn = forge_lsn(f);
	char *record = make_record(f, tail, &bytes);

	stamp(f, record, headers, bytes);
	seal(record, headers, bytes - headers);
	for (uint32_t i = 0; i < bytes / BLOCK_BYTES; i++)
		memcpy(forge_block(f, f->pos + i), record + (size_t)i * BLOCK_BYTES, BLOCK_BYTES);
	f->pos += bytes / BLOCK_BYTES;
	free(record);
	return lsn;
}

lsn_t forge_lose(struct forge *f)
{
	lsn_t lsn = forge_lsn(f);

	f->pos += (record_header_bytes(f->h_size) +
		   max_u64(round_up_u64(f->bytes, BLOCK_BYTES), BLOCK_BYTES)) / BLOCK_BYTES;
	f->bytes = f->ops = 0;
	return lsn;
}

void forge_rewind(struct forge *f, logpos_t pos)
{
	memset(forge_block(f, pos), 0, (f->pos - pos) * BLOCK_BYTES);
	f->pos = pos;
}

bool forge_seal(const struct forge *f, uint64_t block)
{
	struct xlog_rec_header *head = forge_block(f, block);
	uint32_t headers = record_headers_of(head), payload = be32_to_cpu(head->h_len);

	if (headers > RECORD_BYTES_MAX || payload > RECORD_BYTES_MAX || payload % BLOCK_BYTES ||
	    (headers + payload) / BLOCK_BYTES > f->log_blocks - block)
		return false;
	seal((char *)head, headers, payload);
	return true;
}

/* ---- recovering ------------------------------------------------------------------------------------------------ */

static void note_error(void *context, enum message_level level, const char *line)
{
	struct verdict *v = context;
	size_t used = strlen(v->said);

	if (level == MESSAGE_ERROR)
		snprintf(v->said + used, sizeof(v->said) - used, "%s\n", line);
}

static void replay(const struct forge *f, struct verdict *v, bool shows, uint64_t memory_bytes)
{
	static const struct recovery_item_type *const types[] = {
		&inode_recovery_type, &dquot_recovery_type, &icreate_recovery_type,
		&efi_recovery_type, &efd_recovery_type, &rui_recovery_type, &rud_recovery_type,
		&cui_recovery_type, &cud_recovery_type, &bui_recovery_type, &bud_recovery_type,
	};
	struct recovery_options options = {
		.log_off_bytes = f->log_off, .geo = &f->geo, .head = &v->head,
		.types = types, .type_count = sizeof(types) / sizeof(types[0]), .memory_bytes = memory_bytes,
	};
	struct list intents = LIST_INIT(intents);

	*v = (struct verdict){ .err = 0 };
	message_set_sink(note_error, v);
	options.dev = options.log_dev = counting_open(&f->disk, shows, &v->writes);
	v->err = log_find_head(options.dev, f->log_off, &f->geo, &v->head);
	if (!v->err && v->head.state == LOG_DIRTY)
		v->err = log_recover(&options, &intents, &v->report);
	recovered_intents_free(&intents);
	device_close(options.dev);
	message_set_sink(NULL, NULL);
}

void forge_replay(const struct forge *f, struct verdict *v)
{
	replay(f, v, false, 0);
}

void forge_replay_home(const struct forge *f, uint64_t memory_bytes, struct verdict *v)
{
	replay(f, v, true, memory_bytes);
}

void forge_recover(const struct forge *f, struct verdict *v, struct disk *copy)
{
	struct volume_options options = { .device = "disk", .without_threads = true, .cache_bytes = 4 << 20 };
	struct volume_recovery_report report = { .was_dirty = false };

	*v = (struct verdict){ .err = 0 };
	message_set_sink(note_error, v);
	if (copy) {
		disk_create(copy, f->disk.size_bytes);
		memcpy(copy->bytes, f->disk.bytes, f->disk.size_bytes);
	}
	options.opened = counting_open(copy ? copy : &f->disk, copy, &v->writes);
	v->err = volume_recover(&options, &report);
	v->report = report.log;
	message_set_sink(NULL, NULL);
}
