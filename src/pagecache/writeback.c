/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writing dirty folios (Linux: iomap_writepages, iomap_ioend).
 *
 *   mapping_write     dirty folios in ascending order, each locked: wait for the write in flight, cut at the file's
 *   size, then for each dirty run: clear its dirty bits, ask the owner where it goes, add it to the I/O being built
 *   I/O grows while the next run is adjacent in the file and on disk and of the same kind; then it is submitted .done
 *   from a device pass; the owner converts extents and moves the size, then calls writeback_io_end()
 *
 * A folio has FOLIO_WRITEBACK while folio_blocks.io_count > 0; the writer itself counts as one while it is looking at
 * the folio, so that an early I/O cannot end the state before the last run is added.
 */
#include "internal.h"

#include <string.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/memory.h>

#define IO_MAX_BYTES (8u << 20)
#define IO_MAX_PIECES 1024u /* IOV_MAX */

struct writer {
	struct mapping *mapping;
	struct writeback_io *io; /* being built */
	uint64_t written_bytes;
	int err; /* first error of .map */
};

/* ---- folios under writeback ---- */

static void folio_begin_io(struct folio *f)
{
	struct mapping *m = f->mapping;

	if (atomic_fetch_add(&folio_blocks(f)->io_count, 1) != 0)
		return;
	atomic_fetch_or(&f->flags, FOLIO_WRITEBACK);
	mutex_lock(&m->lock);
	mapping_tag(m, f, TAG_WRITEBACK, true);
	mutex_unlock(&m->lock);
	folio_become_busy(f);
}

static void folio_end_io(struct mapping *m, struct folio *f)
{
	if (atomic_fetch_sub(&folio_blocks(f)->io_count, 1) != 1)
		return;
	mutex_lock(&m->lock);
	mapping_tag(m, f, TAG_WRITEBACK, false);
	mutex_unlock(&m->lock);
	atomic_fetch_and(&f->flags, ~(uint32_t)FOLIO_WRITEBACK);
	pagecache_folio_written(m->cache, f);
	pagecache_signal_ended(m->cache);
	folio_stop_being_busy(m);
}

/* ---- building and submitting ---- */

static void io_done(struct device_request *req)
{
	struct writeback_io *io = req->context;

	if (req->err && !io->err)
		io->err = req->err;
	io->mapping->ops->done(io->mapping->owner, io);
}

static void submit_io(struct writer *w)
{
	struct writeback_io *io = w->io;
	struct mapping *m = w->mapping;
	int err = 0;

	if (!io)
		return;
	w->io = NULL;
	atomic_fetch_add(&m->cache->writeback_bytes, io->padded_bytes);
	if (m->ops->submit)
		err = m->ops->submit(m->owner, io);
	if (err) {
		io->err = err;
		m->ops->done(m->owner, io);
		return;
	}
	device_request_init(&io->request, DEVICE_WRITE, io->device_off_bytes, io->iov, (int)io->iov_count);
	io->request.done = io_done;
	io->request.context = io;
	device_submit(m->cache->dev, &io->request);
}

static struct writeback_io *io_create(struct mapping *m, uint64_t off, const struct writeback_target *target)
{
	struct writeback_io *io = mem_alloc_zeroed_sure(sizeof(*io));

	io->mapping = m;
	io->owner = m->owner;
	io->off_bytes = off;
	io->device_off_bytes = target->device_off_bytes;
	io->kind = target->kind;
	list_init(&io->node);
	return io;
}

static bool io_can_grow(const struct writeback_io *io, uint64_t off, const struct writeback_target *target)
{
	return io->kind == target->kind && io->count_bytes == io->padded_bytes &&
	       io->off_bytes + io->count_bytes == off &&
	       io->device_off_bytes + io->padded_bytes == target->device_off_bytes &&
	       io->padded_bytes < IO_MAX_BYTES && io->iov_count < IO_MAX_PIECES;
}

static void io_reserve(struct writeback_io *io)
{
	if (io->iov_count < io->iov_capacity)
		return;
	io->iov_capacity = io->iov_capacity ? io->iov_capacity * 4 : 8;
	struct iovec *iov = mem_alloc_sure(io->iov_capacity * sizeof(*iov));
	struct folio **folios = mem_alloc_sure(io->iov_capacity * sizeof(*folios));

	if (io->iov_count) {
		memcpy(iov, io->iov, io->iov_count * sizeof(*iov));
		memcpy(folios, io->folios, io->folio_count * sizeof(*folios));
	}
	mem_free(io->iov);
	mem_free(io->folios);
	io->iov = iov;
	io->folios = folios;
}

/* Adds [@off, @off + @count) of @f, which goes to @target; @size: the file's, where the byte-exact end is cut. */
static void add_run(struct writer *w, struct folio *f, uint64_t off, uint64_t count, uint64_t size,
		    const struct writeback_target *target)
{
	struct writeback_io *io;

	if (!w->io || !io_can_grow(w->io, off, target)) {
		submit_io(w);
		w->io = io_create(w->mapping, off, target);
	}
	io = w->io;
	io_reserve(io);
	io->iov[io->iov_count++] = (struct iovec){ f->data + (off - f->off_bytes), count };
	io->padded_bytes += count;
	io->count_bytes += min_u64(count, size - off);
	w->written_bytes += count;
	folio_hold(f);
	folio_begin_io(f);
	io->folios[io->folio_count++] = f;
}

static int write_run(struct writer *w, struct folio *f, uint64_t off, uint64_t end, uint64_t size)
{
	struct mapping *m = w->mapping;

	folio_clear_dirty(f, off, end - off);
	while (off < end) {
		struct writeback_target target = { 0 };
		int err = m->ops->map(m->owner, off, end, &target);
		uint64_t count;

		if (err) {
			folio_set_dirty(f, off, end - off);
			mapping_set_error(m, err);
			return err;
		}
		count = min_u64(target.count_bytes, end - off);
		ensure(count > 0 && count % m->block_bytes == 0);
		if (!target.is_hole)
			add_run(w, f, off, count, size, &target);
		off += count;
	}
	return 0;
}

/* The folio is locked and in the mapping. */
static void write_folio(struct writer *w, struct folio *f)
{
	struct mapping *m = w->mapping;
	uint64_t size, limit, off, end, pos = f->off_bytes;
	int err;

	folio_wait_writeback(f);
	size = m->ops->size(m->owner);
	limit = min_u64(round_up_u64(size, m->block_bytes), f->off_bytes + f->bytes);
	if (limit > f->off_bytes && limit > size)
		memset(f->data + (size - f->off_bytes), 0, limit - size);
	folio_begin_io(f);
	if (limit < f->off_bytes + f->bytes) {
		uint64_t from = max_u64(limit, f->off_bytes);

		folio_clear_dirty(f, from, f->off_bytes + f->bytes - from);
	}
	while (pos < limit && folio_next_dirty(f, pos, limit, &off, &end)) {
		err = write_run(w, f, off, end, size);
		if (err && !w->err)
			w->err = err;
		pos = end;
	}
	folio_end_io(m, f);
}

static bool inflight_is_low(void *arg)
{
	struct pagecache *cache = arg;

	return atomic_load(&cache->writeback_bytes) < cache->options.max_inflight_bytes;
}

/* Writes dirty folios from @off on; stops after @budget bytes.  Returns where to go on, @end when through. */
static uint64_t write_some(struct writer *w, uint64_t off, uint64_t end, uint64_t budget)
{
	struct mapping *m = w->mapping;

	while (off < end && w->written_bytes < budget) {
		struct folio *f = mapping_next_flagged(m, off, end, TAG_DIRTY);

		if (!f) {
			off = end;
			break;
		}
		folio_lock(f);
		off = f->off_bytes + f->bytes;
		if (f->mapping == m && atomic_load(&f->flags) & FOLIO_DIRTY)
			write_folio(w, f);
		folio_release(f);
		if (!inflight_is_low(m->cache)) {
			submit_io(w);
			pagecache_wait_ended(m, inflight_is_low, m->cache);
		}
	}
	submit_io(w);
	return off;
}

int mapping_write(struct mapping *m, uint64_t off, uint64_t end)
{
	struct writer w = { .mapping = m };

	if (!atomic_load(&m->dirty_folios))
		return 0;
	write_some(&w, off, end, UINT64_MAX);
	return w.err;
}

void writeback_io_end(struct writeback_io *io, int err)
{
	struct mapping *m = io->mapping;

	if (err)
		mapping_set_error(m, err);
	atomic_fetch_sub(&m->cache->writeback_bytes, io->padded_bytes);
	/* The last folio may let the mapping's owner go: hold on until the end. */
	mapping_hold_busy(m);
	for (uint32_t i = 0; i < io->folio_count; i++) {
		if (err)
			atomic_fetch_or(&io->folios[i]->flags, FOLIO_ERROR);
		folio_end_io(m, io->folios[i]);
		folio_put(io->folios[i]);
	}
	mem_free(io->iov);
	mem_free(io->folios);
	mem_free(io);
	pagecache_signal_ended(m->cache);
	folio_stop_being_busy(m);
}

/* ---- waiting ---- */

static bool folio_is_written(void *arg)
{
	struct folio *f = arg;

	return !(atomic_load(&f->flags) & FOLIO_WRITEBACK);
}

void folio_wait_writeback(struct folio *f)
{
	if (!folio_is_written(f))
		pagecache_wait_ended(f->mapping, folio_is_written, f);
}

void mapping_wait(struct mapping *m, uint64_t off, uint64_t end)
{
	while (off < end) {
		struct folio *f = mapping_next_flagged(m, off, end, TAG_WRITEBACK);

		if (!f)
			return;
		off = f->off_bytes + f->bytes;
		pagecache_wait_ended(m, folio_is_written, f);
		folio_put(f);
	}
}

/* ---- everything ---- */

/* The first busy mapping that @round has not seen yet, kept busy; it becomes the last of the list. */
static struct mapping *next_of_round(struct pagecache *cache, uint64_t round)
{
	struct mapping *m = NULL;

	mutex_lock(&cache->lock);
	if (!list_is_empty(&cache->dirty)) {
		struct mapping *first = list_first(&cache->dirty, struct mapping, dirty_node);

		if (first->round != round) {
			m = first;
			m->round = round;
			m->dirtied_ns = clock_now_ns();
			m->busy_folios++;
			list_move_back(&cache->dirty, &m->dirty_node);
		}
	}
	mutex_unlock(&cache->lock);
	return m;
}

static int start_all_of(struct mapping *m)
{
	return mapping_write(m, 0, UINT64_MAX);
}

static int finish_all_of(struct mapping *m)
{
	uint64_t before, after;
	int err, io_err;

	mapping_error(m, &before);
	err = mapping_write(m, 0, UINT64_MAX);
	mapping_wait(m, 0, UINT64_MAX);
	io_err = mapping_error(m, &after);
	return err || after == before ? err : io_err;
}

static int discard_all_of(struct mapping *m)
{
	mapping_truncate(m, 0, UINT64_MAX);
	return 0;
}

/* Calls @visit once for each busy mapping; the first error. */
static int walk_busy(struct pagecache *cache, int (*visit)(struct mapping *m))
{
	struct mapping *m;
	uint64_t round;
	int err = 0;

	/* Two walks at once would take each other's marks for their own, and skip or visit again and again. */
	mutex_lock(&cache->walk_lock);
	mutex_lock(&cache->lock);
	round = ++cache->round;
	mutex_unlock(&cache->lock);
	while ((m = next_of_round(cache, round)) != NULL) {
		int ret = visit(m);

		if (!err)
			err = ret;
		folio_stop_being_busy(m);
	}
	mutex_unlock(&cache->walk_lock);
	return err;
}

int pagecache_write_all(struct pagecache *cache, bool wait)
{
	/* First everything is started, then waited for: the device sees it all at once. */
	int err = walk_busy(cache, start_all_of), ret = wait ? walk_busy(cache, finish_all_of) : 0;

	return err ? err : ret;
}

void pagecache_discard_all(struct pagecache *cache)
{
	walk_busy(cache, discard_all_of);
}

/* ---- background ---- */

static bool is_over_background(struct pagecache *cache)
{
	return atomic_load(&cache->dirty_bytes) > cache->options.dirty_background_bytes;
}

/* The mapping to write next, kept busy; NULL when there is nothing to do now. */
static struct mapping *pick_mapping(struct pagecache *cache, uint64_t *from)
{
	bool is_over = is_over_background(cache);
	struct mapping *picked = NULL;

	mutex_lock(&cache->lock);
	list_for_each(node, &cache->dirty) {
		struct mapping *m = list_entry(node, struct mapping, dirty_node);

		if (!atomic_load(&m->dirty_folios))
			continue;
		/* The list is in the order of .dirtied_ns: the rest is younger still. */
		if (!is_over && m->dirtied_ns + cache->options.dirty_expire_ns > clock_now_ns())
			break;
		m->busy_folios++;
		*from = m->writeback_from;
		picked = m;
		break;
	}
	mutex_unlock(&cache->lock);
	return picked;
}

bool pagecache_writeback_pass(struct pagecache *cache)
{
	uint64_t from, next;
	struct mapping *m = pick_mapping(cache, &from);
	struct writer w = { .mapping = m };

	if (!m)
		return false;
	next = write_some(&w, from, UINT64_MAX, 32u << 20);
	mutex_lock(&cache->lock);
	m->writeback_from = next == UINT64_MAX ? 0 : next;
	if (next == UINT64_MAX) {
		m->dirtied_ns = clock_now_ns();
		list_move_back(&cache->dirty, &m->dirty_node);
	}
	mutex_unlock(&cache->lock);
	folio_stop_being_busy(m);
	return w.written_bytes > 0;
}
