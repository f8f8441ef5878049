/* SPDX-License-Identifier: GPL-2.0 */
/* Where data are: lseek(SEEK_DATA, SEEK_HOLE) and extent reports (Linux: fs/iomap/seek.c, fiemap.c). */
#include "internal.h"

#include <unistd.h>

/* The first byte of the mapping, from iter->off on, that is data (or hole); its end when there is none. */
static uint64_t seek_mapping(const struct iomap_iter *iter, struct mapping *m, bool data)
{
	uint64_t end = iter->off + iomap_length(iter);

	switch (iter->map.type) {
	case IOMAP_HOLE:
		return data ? end : iter->off;
	case IOMAP_UNWRITTEN:
		/* Data only where somebody has stored into the cache. */
		return mapping_seek_cached(m, iter->off, end, data);
	default:
		return data ? iter->off : end;
	}
}

int file_seek(struct inode *inode, uint64_t off, int whence, uint64_t *out)
{
	struct iomap_iter iter = { .inode = inode, .off = off };
	bool data = whence == SEEK_DATA;
	uint64_t size, found = 0;
	struct mapping *m;
	int ret = file_mapping(inode, &m);

	if (ret)
		return ret;
	if (!data && whence != SEEK_HOLE)
		return -EINVAL;
	rwlock_read_lock(&inode->io_lock);
	size = file_size(inode);
	if (off >= size) {
		ret = -ENXIO;
		goto out;
	}
	iter.count = size - off;
	found = size;
	while ((ret = iomap_next(&iter, &seek_ops)) > 0) {
		uint64_t end = iter.off + iomap_length(&iter), at = seek_mapping(&iter, m, data);

		if (at < end) {
			found = at;
			ret = 0;
			break;
		}
		iter.processed = (int64_t)iomap_length(&iter);
	}
	if (!ret && data && found == size)
		ret = -ENXIO;
out:
	rwlock_read_unlock(&inode->io_lock);
	if (!ret)
		*out = min_u64(found, size);
	return ret;
}

int file_report(struct inode *inode, uint64_t off, uint64_t count,
		bool (*emit)(void *context, const struct extent *ext), void *context)
{
	const struct geometry *geo = inode_geometry(inode);
	fileblk_t pos = bytes_to_blocks_down(geo, off);
	fileblk_t end = off + count < off ? UINT64_MAX : bytes_to_blocks_up(geo, off + count);
	struct extent ext;
	bool found;
	int err;

	rwlock_read_lock(&inode->io_lock);
	rwlock_write_lock(&inode->map_lock);
	err = map_load(&inode->map, FORK_DATA);
	while (!err && pos < end) {
		map_lookup(&inode->map, FORK_DATA, pos, &ext, &found);
		if (!found || ext.off >= end || !emit(context, &ext))
			break;
		pos = ext.off + ext.count;
	}
	rwlock_write_unlock(&inode->map_lock);
	rwlock_read_unlock(&inode->io_lock);
	return err;
}
