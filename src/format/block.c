// SPDX-License-Identifier: GPL-2.0
/*
 * Verifying and sealing any block by its type.  (XFS: the verify_read and verify_write halves of xfs_buf_ops.)
 */
#include <userxfs/format/block.h>

#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/format/crc32c.h>

#include "verify.h"

static const char *check_crc(const struct block_type *type, const struct geometry *geo, const void *data,
			     size_t bytes)
{
	if (type->verify_crc)
		return type->verify_crc(geo, data, bytes);
	if (type->crc_off + sizeof(__le32) > bytes)
		return WRONG_BUFFER_BYTES;
	return crc32c_block_is_valid(data, bytes, type->crc_off) ? NULL : "wrong checksum";
}

static void complain(const struct block_type *type, daddr_u64 daddr, const char *direction, const char *reason)
{
	msg_error("corrupt %s block at daddr 0x%llx (%s): %s", type->name, (unsigned long long)daddr, direction,
		  reason);
}

int block_verify_read(const struct block_type *type, const struct geometry *geo, const void *data, size_t bytes,
		      daddr_u64 daddr)
{
	const char *reason = check_crc(type, geo, data, bytes);

	if (reason) {
		complain(type, daddr, "read", reason);
		return -EFSBADCRC;
	}
	reason = type->verify(geo, data, bytes, daddr);
	if (reason) {
		complain(type, daddr, "read", reason);
		return -EFSCORRUPTED;
	}
	return 0;
}

int block_verify_write(const struct block_type *type, const struct geometry *geo, const void *data, size_t bytes,
		       daddr_u64 daddr)
{
	const char *reason = type->verify(geo, data, bytes, daddr);

	if (!reason)
		return 0;
	complain(type, daddr, "about to be written", reason);
	return -EFSCORRUPTED;
}

void block_seal(const struct block_type *type, const struct geometry *geo, void *data, size_t bytes, lsn_t lsn)
{
	__be64 lsn_be = cpu_to_be64(lsn);

	if (type->seal) {
		type->seal(geo, data, bytes, lsn);
		return;
	}
	if (type->lsn_off != LSN_OFF_NONE) {
		ensure(type->lsn_off + sizeof(lsn_be) <= bytes);
		memcpy(data + type->lsn_off, &lsn_be, sizeof(lsn_be));
	}
	if (type->crc_off != CRC_OFF_NONE)
		crc32c_block_set(data, bytes, type->crc_off);
}

const struct block_type *block_resolve_type(const struct block_type *type, const void *data)
{
	const struct xfs_da3_blkinfo *info = data;

	if (type != &block_dir_leaf_any && type != &block_attr_any)
		return type;
	switch (be16_to_cpu(info->hdr.magic)) {
	case XFS_DIR3_LEAF1_MAGIC:
		return &block_dir_leaf1;
	case XFS_DIR3_LEAFN_MAGIC:
		return &block_dir_leafn;
	case XFS_ATTR3_LEAF_MAGIC:
		return &block_attr_leaf;
	default:
		return type == &block_attr_any ? &block_attr_node : &block_da_node;
	}
}
