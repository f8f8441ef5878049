/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The iterator (Linux: fs/iomap/iter.c).
 *
 * Each step ends the previous mapping with what was processed, then begins the next.  Without progress the loop ends,
 * except when the mapping was found stale: then it maps again at the same place.
 */
#include "internal.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

uint64_t iomap_length(const struct iomap_iter *iter)
{
	uint64_t end = iter->map.off_bytes + iter->map.count_bytes;

	if (iter->source.type != IOMAP_HOLE && iter->source.count_bytes)
		end = min_u64(end, iter->source.off_bytes + iter->source.count_bytes);
	return min_u64(iter->count, end - iter->off);
}

/* Tells the previous mapping how far it went and moves on.  1: go on; 0: done; -errno. */
static int finish_step(struct iomap_iter *iter, const struct iomap_ops *ops)
{
	uint64_t done = iter->processed > 0 ? (uint64_t)iter->processed : 0;
	bool is_stale = iter->map.flags & IOMAP_F_STALE;
	int err = 0;

	ensure(done <= iomap_length(iter));
	if (ops->end)
		err = ops->end(iter->inode, iter->off, iomap_length(iter), done, iter->flags, &iter->map);
	if (iter->processed < 0)
		return (int)iter->processed;
	if (err && !done)
		return err;
	if (!done && !is_stale)
		return 0;
	iter->off += done;
	iter->count -= done;
	return iter->count > 0;
}

int iomap_next(struct iomap_iter *iter, const struct iomap_ops *ops)
{
	int ret;

	if (iter->map.count_bytes) {
		ret = finish_step(iter, ops);
		iter->map = (struct iomap){ 0 };
		iter->source = (struct iomap){ 0 };
		iter->processed = 0;
		if (ret <= 0)
			return ret;
	}
	if (!iter->count)
		return 0;
	iter->source = (struct iomap){ .type = IOMAP_HOLE };
	ret = ops->begin(iter->inode, iter->off, iter->count, iter->flags, &iter->map, &iter->source);
	if (ret) {
		iter->map.count_bytes = 0;
		return ret;
	}
	ensure(iter->map.off_bytes <= iter->off && iter->map.off_bytes + iter->map.count_bytes > iter->off);
	return 1;
}

bool iomap_is_valid(struct inode *inode, const struct iomap *map)
{
	return (uint32_t)map->cookie == atomic_load_explicit(&inode->map.data.sequence, memory_order_acquire);
}
