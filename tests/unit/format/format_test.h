/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the format room's tests share: an image whose bytes lie in memory, and its geometry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <userxfs/base/bits.h>
#include <userxfs/format/block.h>
#include <userxfs/format/crc32c.h>
#include <userxfs/format/record.h>

#include "image.h"

struct mapped_image {
	char *path;
	int fd;
	const uint8_t *data;
	size_t bytes;
	struct geometry geo;
};

#define MAX_IMAGES 16

/* Images that exist; a test that fails leaves its own here, and they go when the program ends. */
static char *existing_images[MAX_IMAGES];

static inline void remove_existing_images(void)
{
	for (unsigned i = 0; i < MAX_IMAGES; i++)
		if (existing_images[i])
			unlink(existing_images[i]);
}

static inline void remember_image(char *path)
{
	static bool is_registered;
	unsigned i = 0;

	if (!is_registered)
		is_registered = atexit(remove_existing_images) == 0;
	while (i < MAX_IMAGES && existing_images[i] && strcmp(existing_images[i], path))
		i++;
	assert_true(i < MAX_IMAGES);
	existing_images[i] = path;
}

static inline void forget_image(const char *path)
{
	for (unsigned i = 0; i < MAX_IMAGES; i++)
		if (existing_images[i] == path)
			existing_images[i] = NULL;
}

/* Decodes the superblock and maps the whole file, read-only. */
static inline void mapped_image_open(struct mapped_image *image, char *path)
{
	enum geometry_verdict verdict;
	char why[256];
	struct stat st;

	remember_image(path);
	image->fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(image->fd >= 0);
	assert_int_equal(fstat(image->fd, &st), 0);
	image->path = path;
	image->bytes = (size_t)st.st_size;
	image->data = mmap(NULL, image->bytes, PROT_READ, MAP_SHARED, image->fd, 0);
	assert_ptr_not_equal(image->data, MAP_FAILED);
	verdict = geometry_decode(image->data, XFS_MAX_SECTORSIZE, image->bytes, &image->geo, why, sizeof(why));
	assert_int_equal(verdict, GEOMETRY_OK);
}

static inline void mapped_image_create(struct mapped_image *image, uint64_t bytes, const char *mkfs_args)
{
	mapped_image_open(image, image_create(bytes, mkfs_args));
}

static inline void mapped_image_close(struct mapped_image *image)
{
	munmap((void *)image->data, image->bytes);
	close(image->fd);
}

static inline void mapped_image_remove(struct mapped_image *image)
{
	mapped_image_close(image);
	forget_image(image->path);
	image_remove(image->path);
}

static inline const void *mapped_image_at(const struct mapped_image *image, daddr_u64 daddr)
{
	return image->data + (daddr << SECTOR_UNIT_LOG);
}

/* @daddr, or the next one behind it that is not in a hole of the file; the volume's end when there is none. */
static inline daddr_u64 mapped_image_skip_hole(const struct mapped_image *image, daddr_u64 daddr)
{
	off_t data = lseek(image->fd, (off_t)(daddr << SECTOR_UNIT_LOG), SEEK_DATA);

	if (data < 0)
		return image->bytes >> SECTOR_UNIT_LOG;
	return max_u64(daddr, round_down_u64((uint64_t)data, image->geo.block_bytes) >> SECTOR_UNIT_LOG);
}

/* A small generator of pseudo-random numbers: the same seed, the same test. */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}
