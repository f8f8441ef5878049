/* SPDX-License-Identifier: GPL-2.0 */
/* Moving a buffer's bytes: one device request for each of its pieces on the disk. */
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "internal.h"

static int first_error(struct buffer_io *io)
{
	return atomic_load(&io->err);
}

static void note_error(struct buffer_io *io, int err)
{
	int none = 0;

	if (err)
		atomic_compare_exchange_strong(&io->err, &none, err);
}

static void piece_done(struct device_request *req)
{
	struct buffer_io *io = req->context;

	note_error(io, req->err);
	if (atomic_fetch_sub(&io->pending, 1) == 1)
		io->done(io);
}

static struct buffer_io *io_new(struct buffer *buf, enum device_op op, void (*done)(struct buffer_io *io))
{
	struct buffer_io *io = mem_alloc_zeroed_sure(sizeof(*io) + buf->map_count * sizeof(io->pieces[0]));
	char *data = buf->data;

	io->buf = buf;
	io->done = done;
	io->count = buf->map_count;
	atomic_init(&io->pending, buf->map_count);
	list_init(&io->node);
	for (uint32_t i = 0; i < io->count; i++) {
		struct buffer_piece *piece = &io->pieces[i];

		piece->iov.iov_base = data;
		piece->iov.iov_len = (size_t)buf->maps[i].count * SECTOR_UNIT_BYTES;
		data += piece->iov.iov_len;
		device_request_init(&piece->req, op, buf->maps[i].daddr << SECTOR_UNIT_LOG, &piece->iov, 1);
		piece->req.context = io;
		piece->req.done = done ? piece_done : NULL;
	}
	return io;
}

struct buffer_io *buffer_io_start(struct buffer *buf, enum device_op op, void (*done)(struct buffer_io *io))
{
	struct device *dev = buf->cache->dev;
	struct buffer_io *io = io_new(buf, op, done);
	uint32_t count = io->count;

	/* With .done the io may be gone after its last piece has been submitted. */
	for (uint32_t i = 0; i < count; i++)
		device_submit(dev, &io->pieces[i].req);
	return done ? NULL : io;
}

int buffer_io_wait(struct buffer_io *io)
{
	struct device *dev = io->buf->cache->dev;
	int err;

	for (uint32_t i = 0; i < io->count; i++)
		note_error(io, device_wait(dev, &io->pieces[i].req));
	err = first_error(io);
	mem_free(io);
	return err;
}

bool buffer_io_is_aligned(const struct buffer *buf)
{
	uint64_t mask = buf->cache->dev->alignment_bytes - 1;

	for (uint32_t i = 0; i < buf->map_count; i++) {
		const struct buffer_map *map = &buf->maps[i];

		if (((map->daddr | map->count) << SECTOR_UNIT_LOG) & mask)
			return false;
	}
	return true;
}

int buffer_io_bounce(struct buffer *buf, enum device_op op)
{
	struct device *dev = buf->cache->dev;
	char *data = buf->data;
	int err = 0;

	for (uint32_t i = 0; i < buf->map_count && !err; i++) {
		uint64_t off_bytes = buf->maps[i].daddr << SECTOR_UNIT_LOG;
		size_t bytes = (size_t)buf->maps[i].count * SECTOR_UNIT_BYTES;

		err = op == DEVICE_READ ? device_read(dev, off_bytes, data, bytes) :
					  device_write(dev, off_bytes, data, bytes, 0);
		data += bytes;
	}
	return err;
}
