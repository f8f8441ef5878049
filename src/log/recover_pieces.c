/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Directory blocks larger than a filesystem block whose parts do not lie side by side.  (XFS: discontiguous buffers.)
 *
 * The log has an item for each part that was changed, and nothing that says which belong together.  LSN and checksum
 * are in the first part alone and speak of all of them, so the parts are replayed as they come:
 *
 *   every part that was logged is replayed, however new the block on disk is; the log's last word is right, since
 *   what was changed in a block since its tail is all there, or the block was freed and nothing of it is replayed
 *
 * When all of the log has been replayed, the maps of the directories say what belongs together: whoever changes a
 * directory's block logs its inode in the same transaction.  Each block that got a part replayed is put together,
 * verified, and its LSN and checksum are set.
 *
 * Linux cannot replay such blocks: it takes each part for a whole block and refuses what it finds, or gives it a
 * checksum of its own.
 */
#include <string.h>
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/format/record.h>

#include "recover.h"

enum {
	PIECE_BUCKETS = 4096,
};

struct piece {
	struct list node;
	daddr_u64 daddr;
	uint32_t count;
	lsn_t lsn;			/* of its last change */
	bool is_joined;
};

/* Where an inode is that may be a directory with such blocks. */
struct directory {
	struct list node;
	uint64_t ino;
	daddr_u64 daddr;
	uint32_t count, off_bytes;	/* of its cluster; within it */
};

/* ---- the table ------------------------------------------------------------------------------------------------- */

static struct list *make_buckets(void)
{
	struct list *buckets = mem_alloc(PIECE_BUCKETS * sizeof(*buckets));

	for (unsigned i = 0; buckets && i < PIECE_BUCKETS; i++)
		list_init(&buckets[i]);
	return buckets;
}

int piece_table_init(struct piece_table *t)
{
	*t = (struct piece_table){ .pieces = make_buckets(), .directories = make_buckets() };
	return t->pieces && t->directories ? 0 : -ENOMEM;
}

void piece_table_deinit(struct piece_table *t)
{
	for (unsigned i = 0; t->pieces && i < PIECE_BUCKETS; i++) {
		list_for_each_safe(node, &t->pieces[i])
			mem_free(list_entry(node, struct piece, node));
	}
	for (unsigned i = 0; t->directories && i < PIECE_BUCKETS; i++) {
		list_for_each_safe(node, &t->directories[i])
			mem_free(list_entry(node, struct directory, node));
	}
	mem_free(t->pieces);
	mem_free(t->directories);
}

static struct piece *piece_find(const struct piece_table *t, daddr_u64 daddr, uint64_t count)
{
	list_for_each(node, &t->pieces[hash_u64(daddr) % PIECE_BUCKETS]) {
		struct piece *piece = list_entry(node, struct piece, node);

		if (piece->daddr == daddr && piece->count == count)
			return piece;
	}
	return NULL;
}

/* They go home as they are. */
static const char *piece_verify(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	(void)geo;
	(void)data;
	(void)bytes;
	(void)daddr;
	return NULL;
}

static const struct block_type piece_type = {
	.name = "part of a directory block",
	.crc_off = CRC_OFF_NONE,
	.lsn_off = LSN_OFF_NONE,
	.verify = piece_verify,
};

int recovery_dirty_piece(struct recovery *r, struct buffer *buf, lsn_t lsn)
{
	uint32_t count = (uint32_t)(buf->bytes >> SECTOR_UNIT_LOG);
	struct piece *piece = piece_find(&r->pieces, buf->daddr, count);

	if (!piece) {
		piece = mem_alloc_zeroed(sizeof(*piece));
		if (!piece)
			return -ENOMEM;
		piece->daddr = buf->daddr;
		piece->count = count;
		list_push_back(&r->pieces.pieces[hash_u64(buf->daddr) % PIECE_BUCKETS], &piece->node);
	}
	piece->lsn = lsn;
	recovery_dirty(r, buf, &piece_type, 0);
	return 0;
}

int recovery_note_inode(struct recovery *r, const struct buffer *buf, const struct xfs_dinode *dip)
{
	uint64_t ino = be64_to_cpu(dip->di_ino);
	struct list *bucket = &r->pieces.directories[hash_u64(ino) % PIECE_BUCKETS];
	struct directory *dir;

	if (!r->pieces.is_noting)
		return 0;
	list_for_each(node, bucket) {
		if (list_entry(node, struct directory, node)->ino == ino)
			return 0;
	}
	dir = mem_alloc_zeroed(sizeof(*dir));
	if (!dir)
		return -ENOMEM;
	dir->ino = ino;
	dir->daddr = buf->daddr;
	dir->count = (uint32_t)(buf->bytes >> SECTOR_UNIT_LOG);
	dir->off_bytes = (uint32_t)((const char *)dip - (const char *)buf->data);
	list_push_back(bucket, &dir->node);
	return 0;
}

/* ---- one block ------------------------------------------------------------------------------------------------- */

/* The block being gathered from a directory's extents. */
struct gathering {
	struct recovery *r;
	uint64_t ino;
	char *block;			/* geo->dir.block_bytes */
	fileblk_t next;			/* behind the last extent */
	uint64_t blocks;		/* that .maps cover */
	uint32_t map_count;
	struct buffer_map maps[BUFFER_MAX_MAPS];
};

static bool has_replayed_piece(const struct gathering *g, lsn_t *lsn)
{
	bool has_one = false;

	for (uint32_t i = 0; i < g->map_count; i++) {
		struct piece *piece = piece_find(&g->r->pieces, g->maps[i].daddr, g->maps[i].count);

		if (!piece)
			continue;
		piece->is_joined = has_one = true;
		*lsn = max_u64(*lsn, piece->lsn);
	}
	return has_one;
}

/* Copies the pieces to .block, or what has changed there back to them. */
static int copy_pieces(const struct gathering *g, bool back)
{
	char *at = g->block;

	for (uint32_t i = 0; i < g->map_count; i++) {
		struct buffer *buf;
		int err = recovery_read(g->r, g->maps[i].daddr, (uint32_t)g->maps[i].count, &buf);

		if (err)
			return err;
		if (!back) {
			memcpy(at, buf->data, buf->bytes);
		} else if (memcmp(buf->data, at, buf->bytes)) {
			memcpy(buf->data, at, buf->bytes);
			recovery_dirty(g->r, buf, &piece_type, 0);
		}
		at += buf->bytes;
		buffer_release(buf);
	}
	return 0;
}

static int seal_block(const struct gathering *g, lsn_t lsn)
{
	const struct geometry *geo = g->r->geo;
	const struct block_type *type =
		recovery_type_of(geo, g->block, geo->dir.block_bytes, g->maps[0].daddr);
	const char *why = "it is none";
	__be64 on_disk;

	if (type && type->log_type >= XFS_BLFT_DIR_BLOCK_BUF && type->log_type <= XFS_BLFT_DA_NODE_BUF)
		why = type->verify(geo, g->block, geo->dir.block_bytes, g->maps[0].daddr);
	if (why) {
		msg_error("directory block in %u pieces from daddr 0x%llx on, of inode %llu, cannot be replayed: %s; "
			  "run xfs_repair",
			  g->map_count, (unsigned long long)g->maps[0].daddr, (unsigned long long)g->ino, why);
		return -EFSCORRUPTED;
	}
	memcpy(&on_disk, g->block + type->lsn_off, sizeof(on_disk));
	if (recovery_lsn_is_newer(on_disk, lsn))
		lsn = be64_to_cpu(on_disk);
	block_seal(type, geo, g->block, geo->dir.block_bytes, lsn);
	return 0;
}

static int end_block(struct gathering *g)
{
	lsn_t lsn = 0;
	int err;

	if (g->map_count == 1 || !has_replayed_piece(g, &lsn))
		return 0;
	err = copy_pieces(g, false);
	if (!err)
		err = seal_block(g, lsn);
	return err ? err : copy_pieces(g, true);
}

/* ---- one directory --------------------------------------------------------------------------------------------- */

static void add_map(struct gathering *g, struct fsblk start, uint64_t blocks)
{
	const struct geometry *geo = g->r->geo;
	struct buffer_map *last = g->map_count ? &g->maps[g->map_count - 1] : NULL;
	uint64_t count = blocks_to_bytes(geo, blocks) >> SECTOR_UNIT_LOG;
	daddr_u64 daddr = fsblk_to_daddr(geo, start);

	if (last && last->daddr + last->count == daddr)
		last->count += count;
	else
		g->maps[g->map_count++] = (struct buffer_map){ .daddr = daddr, .count = count };
	g->blocks += blocks;
}

/* The directory's next extent.  (XFS: xfs_dabuf_map.) */
static int gather(struct gathering *g, const struct xfs_bmbt_rec *rec)
{
	const struct geometry *geo = g->r->geo;
	struct extent ext = extent_decode(rec);
	int err = 0;

	/* What there is is judged by who reads the directory. */
	if (extent_verify(geo, &ext) || ext.state != EXTENT_WRITTEN)
		return 0;
	while (ext.count && !err) {
		uint64_t into = ext.off % geo->dir.fs_blocks;
		uint64_t part = min_u64(ext.count, geo->dir.fs_blocks - into);

		if (!into || ext.off != g->next)
			g->blocks = g->map_count = 0;
		if (g->blocks == into)
			add_map(g, ext.start, part);
		if (g->blocks == geo->dir.fs_blocks)
			err = end_block(g);
		ext.off += part;
		g->next = ext.off;
		ext.start = fsblk_add(ext.start, part);
		ext.count -= part;
	}
	return err;
}

static int gather_all(struct gathering *g, const void *records, uint64_t count)
{
	int err = 0;

	for (uint64_t i = 0; i < count && !err; i++)
		err = gather(g, (const struct xfs_bmbt_rec *)records + i);
	return err;
}

/* A verified copy. */
static int read_tree_block(struct gathering *g, struct fsblk at, char *copy)
{
	const struct geometry *geo = g->r->geo;
	const char *why = "a pointer leads out of the volume";
	struct buffer *buf;
	int err;

	if (geometry_is_valid_fsblk(geo, at)) {
		err = recovery_read(g->r, fsblk_to_daddr(geo, at), geo->block_bytes >> SECTOR_UNIT_LOG, &buf);
		if (err)
			return err;
		memcpy(copy, buf->data, buf->bytes);
		buffer_release(buf);
		why = block_bmbt.verify(geo, copy, geo->block_bytes, fsblk_to_daddr(geo, at));
	}
	if (!why)
		return 0;
	msg_error("the map of directory %llu is damaged: %s; run xfs_repair", (unsigned long long)g->ino, why);
	return -EFSCORRUPTED;
}

/* From the leftmost block of a level down, then along the leaves. */
static int gather_tree(struct gathering *g, struct fsblk at, uint64_t budget)
{
	const struct geometry *geo = g->r->geo;
	struct xfs_btree_block *block = mem_alloc_aligned(sizeof(uint64_t), geo->block_bytes);
	int err = block ? 0 : -ENOMEM;

	while (!err && !fsblk_is_none(at)) {
		const __be64 *first = (const void *)((const char *)block + XFS_BTREE_LBLOCK_CRC_LEN +
						     geo->bmbt.max_node * sizeof(struct xfs_bmbt_key));

		if (!budget--) {
			msg_error("the map of directory %llu has no end; run xfs_repair", (unsigned long long)g->ino);
			err = -EFSCORRUPTED;
			break;
		}
		err = read_tree_block(g, at, (char *)block);
		if (err)
			break;
		if (be16_to_cpu(block->bb_level)) {
			at = (struct fsblk){ be64_to_cpu(*first) };
			continue;
		}
		err = gather_all(g, (const char *)block + XFS_BTREE_LBLOCK_CRC_LEN, be16_to_cpu(block->bb_numrecs));
		at = (struct fsblk){ be64_to_cpu(block->bb_u.l.bb_rightsib) };
	}
	mem_free(block);
	return err;
}

static int gather_fork(struct gathering *g, const struct xfs_dinode *dip)
{
	const struct xfs_bmdr_block *root = dinode_data_fork(dip);
	size_t pair = sizeof(xfs_bmdr_key_t) + sizeof(xfs_bmdr_ptr_t);
	size_t capacity = (dinode_data_bytes(g->r->geo, dip) - sizeof(*root)) / pair;
	__be64 first;

	if (dip->di_format == XFS_DINODE_FMT_EXTENTS)
		return gather_all(g, root, dinode_data_extents(dip));
	if (dip->di_format != XFS_DINODE_FMT_BTREE)
		return 0;
	memcpy(&first, (const char *)(root + 1) + capacity * sizeof(xfs_bmdr_key_t), sizeof(first));
	return gather_tree(g, (struct fsblk){ be64_to_cpu(first) },
			   min_u64(be64_to_cpu(dip->di_nblocks), g->r->geo->blocks));
}

static int join_directory(struct recovery *r, const struct directory *dir, char *block, struct xfs_dinode *dip)
{
	struct gathering g = { .r = r, .ino = dir->ino, .block = block };
	struct buffer *buf;
	int err = recovery_read(r, dir->daddr, dir->count, &buf);

	if (err)
		return err;
	memcpy(dip, (const char *)buf->data + dir->off_bytes, r->geo->inode_bytes);
	buffer_release(buf);
	/* It may have been freed, or be another by now. */
	if (!S_ISDIR(be16_to_cpu(dip->di_mode)) || dinode_verify(r->geo, (struct inum){ dir->ino }, dip))
		return 0;
	return gather_fork(&g, dip);
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

/* The block was replayed as something else after it had been a piece. */
static bool has_become_another(const struct recovery *r, const struct buffer *buf)
{
	const struct block_type *type = recovery_type_of(r->geo, buf->data, buf->bytes, buf->daddr);

	if (recovery_is_dirty(buf))
		return buf->type != &piece_type;
	/* It is at home already. */
	return type && !type->verify(r->geo, buf->data, buf->bytes, buf->daddr);
}

/* What no directory has: a node of an attribute fork, which looks the same in the log. */
static int end_lone_piece(struct recovery *r, const struct piece *piece)
{
	struct buffer *buf;
	int err = recovery_read(r, piece->daddr, piece->count, &buf);

	if (err)
		return err;
	if (!block_attr_node.verify(r->geo, buf->data, buf->bytes, buf->daddr)) {
		recovery_dirty(r, buf, &block_attr_node, piece->lsn);
	} else if (!has_become_another(r, buf)) {
		msg_error("the log has a part of a directory block at daddr 0x%llx that belongs to no directory; "
			  "run xfs_repair",
			  (unsigned long long)piece->daddr);
		err = -EFSCORRUPTED;
	}
	buffer_release(buf);
	return err;
}

static int join_all(struct recovery *r, char *block, struct xfs_dinode *dip)
{
	int err;

	for (unsigned i = 0; i < PIECE_BUCKETS; i++) {
		list_for_each(node, &r->pieces.directories[i]) {
			err = join_directory(r, list_entry(node, struct directory, node), block, dip);
			if (err)
				return err;
		}
	}
	for (unsigned i = 0; i < PIECE_BUCKETS; i++) {
		list_for_each(node, &r->pieces.pieces[i]) {
			const struct piece *piece = list_entry(node, struct piece, node);

			err = piece->is_joined ? 0 : end_lone_piece(r, piece);
			if (err)
				return err;
		}
	}
	return 0;
}

int recovery_join_pieces(struct recovery *r)
{
	char *block = mem_alloc_aligned(sizeof(uint64_t), r->geo->dir.block_bytes);
	struct xfs_dinode *dip = mem_alloc_aligned(sizeof(uint64_t), r->geo->inode_bytes);
	int err = block && dip ? join_all(r, block, dip) : -ENOMEM;

	mem_free(block);
	mem_free(dip);
	return err;
}
