/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Damaging metadata blocks of one fork so that their checksums still match: what is left to catch are the checks.
 */
#include <fcntl.h>
#include <unistd.h>

#include <userxfs/base/message.h>
#include <userxfs/format/crc32c.h>
#include <userxfs/inode.h>

#include "image.h"

struct fuzz_blocks {
	size_t count, bytes;
	uint64_t off[4096];		/* in the image */
};

static uint64_t fuzz_state = 1;

static inline uint32_t fuzz_random(uint32_t below)
{
	fuzz_state = fuzz_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(fuzz_state >> 33) % below;
}

/* The blocks of @which, which are @fs_blocks long and contiguous. */
static inline void fuzz_find_blocks(struct inode *inode, enum fork_which which, uint32_t fs_blocks,
				    struct fuzz_blocks *out)
{
	const struct geometry *geo = inode_geometry(inode);
	struct extent ext;
	fileblk_t pos = 0;

	out->count = 0;
	out->bytes = (size_t)fs_blocks << geo->block_log;
	while (map_next(&inode->map, which, &pos, &ext))
		for (uint64_t i = 0; i + fs_blocks <= ext.count && out->count < 4096; i += fs_blocks)
			out->off[out->count++] = fsblk_to_bytes(geo, fsblk_add(ext.start, i));
}

/* Where the checksum of a block is, by its magic number; 0: not a block of ours (a remote value). */
static inline uint16_t fuzz_crc_off(const uint8_t *data)
{
	uint32_t magic = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];

	if (magic == XFS_DIR3_BLOCK_MAGIC || magic == XFS_DIR3_DATA_MAGIC || magic == XFS_DIR3_FREE_MAGIC)
		return XFS_DIR3_DATA_CRC_OFF;
	if (magic == XFS_ATTR3_RMT_MAGIC)
		return XFS_ATTR3_RMT_CRC_OFF;
	return XFS_DA3_NODE_CRC_OFF;
}

/* Changes a field or two: most in the header, where they hurt, the others anywhere. */
static inline void fuzz_mutate(uint8_t *data, size_t bytes)
{
	static const uint16_t interesting[] = { 0, 1, 2, 7, 8, 63, 64, 80, 255, 256, 0x7fff, 0x8000, 0xfff8, 0xffff };
	unsigned changes = 1 + fuzz_random(3);

	while (changes--) {
		size_t off = fuzz_random(2) ? fuzz_random(128) : fuzz_random((uint32_t)bytes - 2);
		uint16_t v = fuzz_random(2) ? interesting[fuzz_random(14)] : (uint16_t)fuzz_random(65536);

		off &= ~(size_t)1;
		data[off] = (uint8_t)(v >> 8);
		data[off + 1] = (uint8_t)v;
	}
}

/* Damages one block of the image at @path. */
static inline void fuzz_damage(const char *path, const struct fuzz_blocks *blocks)
{
	size_t pick = fuzz_random((uint32_t)blocks->count);
	uint8_t *data = malloc(blocks->bytes);
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, data, blocks->bytes, (off_t)blocks->off[pick]), (ssize_t)blocks->bytes);
	fuzz_mutate(data, blocks->bytes);
	crc32c_block_set(data, blocks->bytes, fuzz_crc_off(data));
	assert_int_equal(pwrite(fd, data, blocks->bytes, (off_t)blocks->off[pick]), (ssize_t)blocks->bytes);
	close(fd);
	free(data);
}

static inline void fuzz_quiet(void *context, enum message_level level, const char *line)
{
	(void)context;
	(void)level;
	(void)line;
}
