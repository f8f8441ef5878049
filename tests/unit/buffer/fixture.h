/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* A cache over a disk in memory, and a block type whose rules are easily kept or broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <userxfs/base/error.h>
#include <userxfs/base/fault.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/buffer.h>
#include <userxfs/format/crc32c.h>

#define DISK_BYTES (8u << 20)
#define TEST_MAGIC 0x54455354u

struct test_block {
	uint32_t magic;
	__le32 crc;
	__be64 lsn;
	uint64_t daddr;
	uint32_t value;
	uint32_t pad;
};

static inline const char *test_block_verify(const struct geometry *geo, const void *data, size_t bytes,
					    daddr_u64 daddr)
{
	const struct test_block *b = data;

	if (b->magic != TEST_MAGIC)
		return "bad magic";
	return b->daddr == daddr ? NULL : "wrong place";
}

static const struct block_type test_type = {
	.name = "test",
	.log_type = XFS_BLFT_BTREE_BUF,
	.crc_off = offsetof(struct test_block, crc),
	.lsn_off = offsetof(struct test_block, lsn),
	.verify = test_block_verify,
};

static inline const char *any_block_verify(const struct geometry *geo, const void *data, size_t bytes,
					    daddr_u64 daddr)
{
	return NULL;
}

static inline void any_block_seal(const struct geometry *geo, void *data, size_t bytes, lsn_t lsn)
{
}

static inline const char *any_block_verify_crc(const struct geometry *geo, const void *data, size_t bytes)
{
	return NULL;
}

/* Anything at all. */
static const struct block_type any_type __attribute__((unused)) = {
	.name = "any",
	.log_type = XFS_BLFT_BTREE_BUF,
	.crc_off = CRC_OFF_NONE,
	.lsn_off = LSN_OFF_NONE,
	.verify = any_block_verify,
	.seal = any_block_seal,
	.verify_crc = any_block_verify_crc,
};

struct fixture {
	struct device *dev;
	struct geometry geo;
	struct buffer_cache *cache;
};

static inline void fixture_init(struct fixture *f, size_t budget_bytes)
{
	memset(f, 0, sizeof(*f));
	assert_int_equal(device_create_memory(DISK_BYTES, &f->dev), 0);
	assert_int_equal(buffer_cache_create(f->dev, &f->geo, budget_bytes, &f->cache), 0);
}

static inline void fixture_deinit(struct fixture *f)
{
	buffer_cache_destroy(f->cache);
	device_close(f->dev);
}

/* Makes a good block at @daddr of the disk. */
static inline void fixture_make_block(struct fixture *f, daddr_u64 daddr, size_t bytes, uint32_t value)
{
	struct test_block *b = (void *)((char *)device_memory(f->dev) + daddr * 512);

	memset(b, 0, bytes);
	b->magic = TEST_MAGIC;
	b->daddr = daddr;
	b->value = value;
	crc32c_block_set(b, bytes, test_type.crc_off);
}

static inline const struct test_block *fixture_disk_block(struct fixture *f, daddr_u64 daddr)
{
	return (const void *)((const char *)device_memory(f->dev) + daddr * 512);
}

static inline bool has_flag(struct buffer *buf, uint32_t flag)
{
	return atomic_load(&buf->flags) & flag;
}

static inline void quiet(void)
{
	message_set_level((enum message_level)-1);
}

static inline void loud(void)
{
	message_set_level(MESSAGE_INFO);
}
