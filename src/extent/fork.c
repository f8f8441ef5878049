// SPDX-License-Identifier: GPL-2.0
/*
 * Forks: their life, and their bytes in the inode and in the log.  (XFS: xfs_inode_fork.c, xfs_iformat_*,
 * xfs_iflush_fork.)
 *
 *	+----------------+---------------------------+-----------------+
 *	| inode core     | data fork                 | attr fork       |
 *	+----------------+---------------------------+-----------------+
 *	                  <------ fork_space -------> <-- attr_space -->
 *
 * Without an attr fork (di_forkoff 0) the data fork has all of it.
 */
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/extent/map.h>

#include "bmbt.h"
#include "edit.h"
#include "fork.h"
#include "load.h"

uint32_t fork_area_bytes(const struct file_map *map)
{
	return space_geometry(map->space)->inode_bytes - (uint32_t)sizeof(struct xfs_dinode);
}

/* Where fork @which stands in @dip. */
static void *fork_area(const struct file_map *map, enum fork_which which, const struct xfs_dinode *dip)
{
	return (char *)dip + sizeof(*dip) + (which == FORK_DATA ? 0 : map->fork_space);
}

static uint32_t fork_bytes(const struct file_map *map, enum fork_which which)
{
	return which == FORK_DATA ? map->fork_space : map->attr_space;
}

/* ---- life ---- */

void fork_clear(struct fork *fork)
{
	tree_clear(&fork->tree);
	mem_free(fork->local);
	btree_iroot_destroy(fork->root);
	fork->local = NULL;
	fork->local_bytes = 0;
	fork->root = NULL;
	fork->extent_count = 0;
	fork->dev = 0;
}

void fork_make_empty(struct fork *fork, enum fork_format format)
{
	fork_clear(fork);
	fork->format = format;
	fork->is_present = true;
	fork->is_loaded = true;
}

static void fork_init(struct fork *fork)
{
	memset(fork, 0, sizeof(*fork));
	fork->format = FORK_EXTENTS;
	fork->is_loaded = true;
}

void map_init(struct file_map *map, struct space *space, struct inum ino, struct rwlock *lock, struct log_item *item)
{
	memset(map, 0, sizeof(*map));
	map->space = space;
	map->ino = ino;
	map->lock = lock;
	map->item = item;
	map->fork_space = fork_area_bytes(map);
	fork_init(&map->data);
	fork_init(&map->attr);
	fork_init(&map->cow);
	map->data.is_present = true;
}

void map_deinit(struct file_map *map, bool discard)
{
	ensure(discard || !atomic_load(&map->delayed_blocks));
	fork_clear(&map->data);
	fork_clear(&map->attr);
	fork_clear(&map->cow);
}

/* ---- from disk ---- */

static int refuse(const struct file_map *map, enum fork_which which, const char *why)
{
	msg_error("inode %llu: %s fork: %s", (unsigned long long)map->ino.v, which == FORK_ATTR ? "attr" : "data",
		  why);
	return -EFSCORRUPTED;
}

static int decode_local(struct file_map *map, enum fork_which which, const struct xfs_dinode *dip, const void *area)
{
	struct fork *fork = map_fork(map, which);
	uint64_t bytes = be64_to_cpu(dip->di_size);

	if (which == FORK_ATTR) {
		if (map->attr_space < sizeof(struct xfs_attr_sf_hdr))
			return refuse(map, which, "no room for inline attributes");
		bytes = be16_to_cpu(((const struct xfs_attr_shortform *)area)->hdr.totsize);
	}
	if (bytes > fork_bytes(map, which))
		return refuse(map, which, "inline bytes do not fit the inode");
	fork->local = mem_alloc_zeroed(round_up_u64(bytes, 4));
	if (!fork->local)
		return -ENOMEM;
	memcpy(fork->local, area, bytes);
	fork->local_bytes = (uint32_t)bytes;
	return 0;
}

static int decode_extents(struct file_map *map, enum fork_which which, const void *area)
{
	const struct xfs_bmbt_rec *recs = area;
	struct fork *fork = map_fork(map, which);
	uint64_t count = fork->extent_count;
	struct extent_load load;
	int err = 0;

	if (count > fork_inline_extents(map, which))
		return refuse(map, which, "more extents than fit the inode");
	load_begin(&load, map, which);
	for (uint64_t i = 0; !err && i < count; i++) {
		struct extent ext = extent_decode(&recs[i]);

		err = load_extent(&load, &ext);
	}
	return err ? err : load_end(&load);
}

static int decode_btree(struct file_map *map, enum fork_which which, const void *area)
{
	struct fork *fork = map_fork(map, which);
	const char *why;

	/* Fewer would stand in the inode itself; the program that wrote this did not think so, and may be wrong
	 * elsewhere. */
	if (fork->extent_count <= fork_inline_extents(map, which))
		return refuse(map, which, "a tree for extents that fit the inode");
	fork->root = bmbt_create_root(map, which);
	why = btree_iroot_decode(area, fork_bytes(map, which), fork->root);
	if (why)
		return refuse(map, which, why);
	fork->is_loaded = false;
	return 0;
}

static int decode_fork(struct file_map *map, enum fork_which which, const struct xfs_dinode *dip, uint8_t format)
{
	const void *area = fork_area(map, which, dip);
	struct fork *fork = map_fork(map, which);

	fork->is_present = true;
	switch (format) {
	case XFS_DINODE_FMT_DEV:
		if (which != FORK_DATA)
			break;
		fork->format = FORK_DEVICE;
		fork->dev = be32_to_cpu(*(const __be32 *)area);
		return 0;
	case XFS_DINODE_FMT_LOCAL:
		fork->format = FORK_LOCAL;
		return decode_local(map, which, dip, area);
	case XFS_DINODE_FMT_EXTENTS:
		fork->format = FORK_EXTENTS;
		return decode_extents(map, which, area);
	case XFS_DINODE_FMT_BTREE:
		fork->format = FORK_BTREE;
		return decode_btree(map, which, area);
	}
	return refuse(map, which, "unknown format");
}

static void decode_counts(struct file_map *map, const struct xfs_dinode *dip)
{
	map->has_nrext64 = be64_to_cpu(dip->di_flags2) & XFS_DIFLAG2_NREXT64;
	if (map->has_nrext64) {
		map->data.extent_count = be64_to_cpu(dip->di_big_nextents);
		map->attr.extent_count = be32_to_cpu(dip->di_big_anextents);
	} else {
		map->data.extent_count = be32_to_cpu(dip->di_nextents);
		map->attr.extent_count = be16_to_cpu(dip->di_anextents);
	}
	map->block_count = be64_to_cpu(dip->di_nblocks);
}

int map_decode(struct file_map *map, const struct xfs_dinode *dip)
{
	uint32_t area = fork_area_bytes(map), split = (uint32_t)dip->di_forkoff << 3;
	int err;

	if (split >= area)
		return refuse(map, FORK_ATTR, "it starts outside the inode");
	map->fork_space = split ? split : area;
	map->attr_space = split ? area - split : 0;
	decode_counts(map, dip);
	err = decode_fork(map, FORK_DATA, dip, dip->di_format);
	if (!err && split)
		err = decode_fork(map, FORK_ATTR, dip, (uint8_t)dip->di_aformat);
	else if (!err && map->attr.extent_count)
		err = refuse(map, FORK_ATTR, "extents without a fork");
	if (err) {
		fork_clear(&map->data);
		fork_clear(&map->attr);
	}
	return err;
}

/* ---- to disk ---- */

static uint8_t disk_format(enum fork_format format)
{
	switch (format) {
	case FORK_DEVICE:
		return XFS_DINODE_FMT_DEV;
	case FORK_LOCAL:
		return XFS_DINODE_FMT_LOCAL;
	case FORK_EXTENTS:
		return XFS_DINODE_FMT_EXTENTS;
	case FORK_BTREE:
		break;
	}
	return XFS_DINODE_FMT_BTREE;
}

/* The real ones; what is only promised is nobody's business on disk.  Returns their number. */
static uint64_t encode_extents(const struct fork *fork, struct xfs_bmbt_rec *recs)
{
	struct tree_cursor cur;
	struct irec rec;
	uint64_t n = 0;

	for (bool more = tree_first(&fork->tree, &cur, &rec); more; more = tree_next(&cur, &rec))
		if (rec.ext.state != EXTENT_DELAYED)
			extent_encode(&rec.ext, &recs[n++]);
	ensure(n == fork->extent_count);
	return n;
}

static void encode_counts(const struct file_map *map, struct xfs_dinode *dip)
{
	if (map->has_nrext64) {
		dip->di_big_nextents = cpu_to_be64(map->data.extent_count);
		dip->di_big_anextents = cpu_to_be32((uint32_t)map->attr.extent_count);
		dip->di_nrext64_pad = 0;
	} else {
		dip->di_v3_pad = 0;
		dip->di_nextents = cpu_to_be32((uint32_t)map->data.extent_count);
		dip->di_anextents = cpu_to_be16((uint16_t)map->attr.extent_count);
	}
	dip->di_nblocks = cpu_to_be64(map->block_count);
	dip->di_forkoff = (uint8_t)(map->attr_space ? map->fork_space >> 3 : 0);
	dip->di_format = disk_format(map->data.format);
	/* Without an attr fork the format still has to be one that verifiers know. */
	dip->di_aformat = (int8_t)(map->attr.is_present ? disk_format(map->attr.format) : XFS_DINODE_FMT_EXTENTS);
}

void fork_encode(const struct file_map *map, enum fork_which which, struct xfs_dinode *dip)
{
	const struct fork *fork = map_fork((struct file_map *)map, which);
	uint32_t bytes = fork_bytes(map, which);
	void *area;

	ensure(which != FORK_COW);
	encode_counts(map, dip);
	if (!fork->is_present || !bytes)
		return;
	area = fork_area(map, which, dip);
	memset(area, 0, bytes);
	switch (fork->format) {
	case FORK_DEVICE:
		*(__be32 *)area = cpu_to_be32(fork->dev);
		break;
	case FORK_LOCAL:
		memcpy(area, fork->local, fork->local_bytes);
		break;
	case FORK_EXTENTS:
		ensure(fork->extent_count <= fork_inline_extents(map, which));
		encode_extents(fork, area);
		break;
	case FORK_BTREE:
		btree_iroot_encode(fork->root, area, bytes);
		break;
	}
}

/* ---- to the log ---- */

/* A root in the log has the form that the kernel has in memory (XFS: if_broot). */
static uint32_t root_keys(const struct btree_iroot *root)
{
	return be16_to_cpu(root->block.bb_numrecs);
}

static uint32_t root_log_bytes(const struct btree_iroot *root)
{
	return (uint32_t)(XFS_BTREE_LBLOCK_CRC_LEN +
			  root_keys(root) * (sizeof(struct xfs_bmbt_key) + sizeof(xfs_bmbt_ptr_t)));
}

static void root_log_fill(const struct btree_iroot *root, const struct file_map *map, void *region)
{
	struct btree_iroot *from = (struct btree_iroot *)root;
	uint32_t n = root_keys(root);
	struct xfs_btree_block *to = region;
	char *keys = (char *)region + XFS_BTREE_LBLOCK_CRC_LEN;

	/* Recovery finds the pointers behind as many keys as the region has room for: exactly those in use. */
	memset(region, 0, XFS_BTREE_LBLOCK_CRC_LEN);
	to->bb_magic = cpu_to_be32(XFS_BMAP_CRC_MAGIC);
	to->bb_level = root->block.bb_level;
	to->bb_numrecs = root->block.bb_numrecs;
	to->bb_u.l.bb_leftsib = to->bb_u.l.bb_rightsib = cpu_to_be64(NULLFSBLOCK);
	to->bb_u.l.bb_blkno = cpu_to_be64(UINT64_MAX);
	to->bb_u.l.bb_owner = cpu_to_be64(map->ino.v);
	memcpy(&to->bb_u.l.bb_uuid, space_geometry(map->space)->meta_uuid, sizeof(to->bb_u.l.bb_uuid));
	memcpy(keys, btree_iroot_key(from, 1), n * sizeof(struct xfs_bmbt_key));
	memcpy(keys + n * sizeof(struct xfs_bmbt_key), btree_iroot_ptr(from, 1), n * sizeof(xfs_bmbt_ptr_t));
}

uint32_t fork_ilog_flag(const struct fork *fork, enum fork_which which)
{
	switch (fork->format) {
	case FORK_LOCAL:
		return which == FORK_DATA ? XFS_ILOG_DDATA : XFS_ILOG_ADATA;
	case FORK_EXTENTS:
		return which == FORK_DATA ? XFS_ILOG_DEXT : XFS_ILOG_AEXT;
	case FORK_BTREE:
		return which == FORK_DATA ? XFS_ILOG_DBROOT : XFS_ILOG_ABROOT;
	case FORK_DEVICE:
		break;
	}
	return XFS_ILOG_DEV;
}

uint32_t fork_log_bytes(const struct file_map *map, enum fork_which which, uint32_t *ilog_flag)
{
	const struct fork *fork = map_fork((struct file_map *)map, which);

	*ilog_flag = fork_ilog_flag(fork, which);
	switch (fork->format) {
	case FORK_LOCAL:
		return (uint32_t)round_up_u64(fork->local_bytes, 4);
	case FORK_EXTENTS:
		return (uint32_t)(fork->extent_count * sizeof(struct xfs_bmbt_rec));
	case FORK_BTREE:
		return root_log_bytes(fork->root);
	case FORK_DEVICE:
		break;
	}
	/* The number travels in the log format structure, not in a region. */
	return 0;
}

void fork_log_fill(const struct file_map *map, enum fork_which which, void *region)
{
	const struct fork *fork = map_fork((struct file_map *)map, which);

	switch (fork->format) {
	case FORK_LOCAL:
		memset(region, 0, round_up_u64(fork->local_bytes, 4));
		memcpy(region, fork->local, fork->local_bytes);
		break;
	case FORK_EXTENTS:
		encode_extents(fork, region);
		break;
	case FORK_BTREE:
		root_log_fill(fork->root, map, region);
		break;
	case FORK_DEVICE:
		break;
	}
}

void map_log_fork(struct tx *tx, struct file_map *map, enum fork_which which)
{
	map_mark_dirty(tx, map, XFS_ILOG_CORE | fork_ilog_flag(map_fork(map, which), which));
}

/* ---- inline bytes ---- */

void fork_local_resize(struct file_map *map, enum fork_which which, uint32_t bytes)
{
	struct fork *fork = map_fork(map, which);
	uint32_t kept = (uint32_t)min_u64(bytes, fork->local_bytes);
	void *local;

	ensure(fork->format == FORK_LOCAL && bytes <= fork_bytes(map, which));
	local = mem_alloc_zeroed_sure(round_up_u64(bytes, 4));
	memcpy(local, fork->local, kept);
	mem_free(fork->local);
	fork->local = local;
	fork->local_bytes = bytes;
}

void fork_set_local(struct file_map *map, enum fork_which which, const void *data, uint32_t bytes)
{
	struct fork *fork = map_fork(map, which);
	void *local;

	ensure(!fork->tree.count && !fork->extent_count && bytes <= fork_bytes(map, which));
	local = mem_alloc_zeroed_sure(round_up_u64(bytes, 4));
	if (data)
		memcpy(local, data, bytes);
	fork_make_empty(fork, FORK_LOCAL);
	fork->local = local;
	fork->local_bytes = bytes;
}

void fork_set_extents(struct file_map *map, enum fork_which which)
{
	fork_make_empty(map_fork(map, which), FORK_EXTENTS);
}

void fork_set_device(struct file_map *map, uint32_t dev)
{
	ensure(!map->data.tree.count);
	fork_make_empty(&map->data, FORK_DEVICE);
	map->data.dev = dev;
}
