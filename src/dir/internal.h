/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * What the files of this room share.
 *
 * The address space of a directory is divided in three, 32 GiB each: data blocks (names), the leaf section (hashes),
 * free blocks (how large each data block's largest hole is).  A data block is known by its number db, from 0; a name
 * by its dataptr, the byte offset of its entry in the data section divided by 8, which also is its readdir position.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/da.h>
#include <userxfs/dir.h>

/* One operation on one name.  (XFS: xfs_da_args.) */
struct dir_op {
	struct tx *tx;			/* NULL for readers */
	struct inode *dir;
	const struct geometry *geo;
	const struct da_geometry *dg;
	struct name name;
	uint32_t hash;
	struct inum ino;		/* what the name leads to */
	uint8_t ftype;
	uint32_t blocks;		/* left of the block reservation */
	bool only_check;		/* add: say whether it would fit, change nothing */
};

/* Where a name was found. */
struct dir_place {
	struct buffer *data;		/* the data block; to be released */
	uint32_t db;
	uint32_t off;			/* of the entry in it */
};

enum dir_form {
	DIR_FORM_SHORT,
	DIR_FORM_BLOCK,
	DIR_FORM_LEAF,
	DIR_FORM_NODE,
};

typedef struct xfs_dir2_leaf_entry leaf_entry;

#define BLOCK_TAIL_BYTES ((uint32_t)sizeof(struct xfs_dir2_block_tail))
#define LEAF_ENTRY_BYTES ((uint32_t)sizeof(leaf_entry))
#define DATA_HEADER_BYTES ((uint32_t)sizeof(struct xfs_dir3_data_hdr))

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ---- names.c ---- */

uint32_t dir_hash(const struct geometry *geo, struct name name);
bool dir_name_matches(const struct geometry *geo, struct name a, struct name b);
/* One line that says which directory is broken and how. */
void dir_complain(const struct inode *dir, const char *reason);

static inline int dir_corrupt(const struct inode *dir, const char *reason)
{
	dir_complain(dir, reason);
	return -EFSCORRUPTED;
}

/* The map is loaded. */
int dir_form(struct inode *dir, enum dir_form *out);
void dir_set_size(struct dir_op *op, uint64_t bytes);

/* ---- addresses ---- */

static inline uint32_t addr_db(const struct dir_op *op, uint32_t addr)
{
	return (uint32_t)(((uint64_t)addr << XFS_DIR2_DATA_ALIGN_LOG) >> op->dg->block_log);
}

static inline uint32_t addr_off(const struct dir_op *op, uint32_t addr)
{
	return (uint32_t)((uint64_t)addr << XFS_DIR2_DATA_ALIGN_LOG) & (op->dg->block_bytes - 1);
}

static inline uint32_t addr_make(const struct da_geometry *dg, uint32_t db, uint32_t off)
{
	return (uint32_t)((((uint64_t)db << dg->block_log) + off) >> XFS_DIR2_DATA_ALIGN_LOG);
}

static inline fileblk_t data_fileblk(const struct dir_op *op, uint32_t db)
{
	return (fileblk_t)db * op->dg->fs_blocks;
}

static inline uint32_t entry_bytes(const struct geometry *geo, unsigned name_bytes)
{
	uint32_t bytes = (uint32_t)offsetof(struct xfs_dir2_data_entry, name) + name_bytes + geo->has_ftype +
			 (uint32_t)sizeof(__be16);

	return (bytes + XFS_DIR2_DATA_ALIGN - 1) & ~(XFS_DIR2_DATA_ALIGN - 1u);
}

static inline uint32_t dotdot_off(const struct geometry *geo)
{
	return DATA_HEADER_BYTES + entry_bytes(geo, 1);
}

/* Where the first name after ".." stands. */
static inline uint32_t first_name_off(const struct geometry *geo)
{
	return dotdot_off(geo) + entry_bytes(geo, 2);
}

/* ---- data.c: data blocks, and the data part of the single block ---- */

struct data_entry {
	struct name name;
	struct inum ino;
	uint8_t ftype;
};

int data_read(struct dir_op *op, uint32_t db, struct buffer **out);
/* Maps and initialises data block @from or the first free one after it: one hole. */
int data_new(struct dir_op *op, uint32_t *db, struct buffer **out);
/* Gives data block @db back and shrinks the directory's size when it was the last.  -ENOSPC: see da_shrink(). */
int data_shrink(struct dir_op *op, uint32_t db, struct buffer *buf);
void data_init(struct dir_op *op, struct buffer *buf, uint32_t magic);
/* End of the names and holes. */
uint32_t data_end(const struct dir_op *op, const struct buffer *buf);
uint32_t data_longest(const struct buffer *buf);
uint32_t data_longest_off(const struct buffer *buf);
bool data_is_empty(const struct dir_op *op, const struct buffer *buf);
/* False when no name stands at @off. */
bool data_entry_at(const struct dir_op *op, const struct buffer *buf, uint32_t off, struct data_entry *out);
/* What stands at *off, which moves on; *is_name false for a hole.  False at the end, or when the bytes make no
 * sense. */
bool data_next(const struct geometry *geo, const void *data, uint32_t end, uint32_t *off, uint32_t *place,
	       bool *is_name, struct data_entry *out);
/* Takes [@off, @off + @bytes) out of the hole that starts at @hole_off. */
int data_use(struct dir_op *op, struct buffer *buf, uint32_t hole_off, uint32_t off, uint32_t bytes);
/* Makes [@off, @off + @bytes) a hole, merged with holes it touches. */
void data_free(struct dir_op *op, struct buffer *buf, uint32_t off, uint32_t bytes);
/* Writes the op's entry at @off, which is in use; without logging, for new blocks. */
void data_write_entry(const struct dir_op *op, struct buffer *buf, uint32_t off, const struct data_entry *entry);
/* ... of the op's name, logged. */
void data_put_op(struct dir_op *op, struct buffer *buf, uint32_t off);
/* Points the entry at @off to the op's inode. */
void data_replace(struct dir_op *op, struct buffer *buf, uint32_t off);
/* For new blocks: a hole, unlogged, and the table of the largest. */
void data_write_hole(struct buffer *buf, uint32_t off, uint32_t bytes);
void data_find_longest(const struct dir_op *op, struct buffer *buf);
void data_log_header(struct dir_op *op, struct buffer *buf);

/* ---- index.c: arrays of (hash, address) in hash order, some of them stale ---- */

static inline bool index_is_stale(const leaf_entry *entry)
{
	return be32_to_cpu(entry->address) == XFS_DIR2_NULL_DATAPTR;
}

/* First entry whose hash is not less than @hash. */
uint32_t index_search(const leaf_entry *entries, uint32_t count, uint32_t hash);
/* Makes room before @index by moving entries towards the nearest stale one; [*first, *end) changed.  Returns the
 * slot. */
uint32_t index_reuse_stale(leaf_entry *entries, uint32_t count, uint32_t index, uint32_t *first, uint32_t *end);
/* Removes the stale entries, towards the front; returns the number left. */
uint32_t index_compact(leaf_entry *entries, uint32_t count);
void index_set(leaf_entry *entry, uint32_t hash, uint32_t addr);
void index_sort(leaf_entry *entries, uint32_t count);

/* Compares the op's name with those of its hash in @entries from *index on.  *found: at *index, which *place
 * describes; else *index is where the name belongs (among entries [0, @count)). */
int index_find(struct dir_op *op, const leaf_entry *entries, uint32_t count, uint32_t *index, struct dir_place *place,
	       bool *found);

/* ---- the forms ---- */

/* short.c */
int short_lookup(struct dir_op *op);
int short_add(struct dir_op *op);
int short_remove(struct dir_op *op);
int short_replace(struct dir_op *op);
void short_init(struct dir_op *op, struct inum parent);

/* One directory in memory, to be edited and written back inline. */
struct short_name {
	struct data_entry entry;
	uint32_t off;			/* where it would stand in a block */
};

#define SHORT_MAX_NAMES 256

struct short_dir {
	struct inum parent;
	unsigned count;
	struct short_name names[SHORT_MAX_NAMES];
};

/* Names point into @bytes. */
int short_decode(struct inode *dir, const void *bytes, uint32_t length, struct short_dir *out);
uint32_t short_encoded_bytes(const struct geometry *geo, const struct short_dir *sf);
void short_encode(const struct geometry *geo, const struct short_dir *sf, void *bytes);

/* short_convert.c */
int short_to_block(struct dir_op *op);
/* When everything fits inline.  @buf stays as it is otherwise. */
int block_to_short(struct dir_op *op, struct buffer *buf);

/* block.c */
int block_lookup(struct dir_op *op);
int block_add(struct dir_op *op);
int block_remove(struct dir_op *op);
int block_replace(struct dir_op *op);

static inline struct xfs_dir2_block_tail *block_tail(const struct dir_op *op, const struct buffer *buf)
{
	return (void *)((char *)buf->data + op->dg->block_bytes - BLOCK_TAIL_BYTES);
}

static inline leaf_entry *block_entries(const struct dir_op *op, const struct buffer *buf)
{
	struct xfs_dir2_block_tail *tail = block_tail(op, buf);

	return (leaf_entry *)(void *)tail - be32_to_cpu(tail->count);
}

/* leaf.c */
int leaf_lookup(struct dir_op *op);
int leaf_add(struct dir_op *op);
int leaf_remove(struct dir_op *op);
int leaf_replace(struct dir_op *op);
/* leaf_convert.c */
int block_to_leaf(struct dir_op *op, struct buffer *buf);
/* When all names are in one block and the index fits behind them. */
int leaf_to_block(struct dir_op *op, struct buffer *leaf);
int leaf_to_node(struct dir_op *op, struct buffer *leaf);
/* When the root is a leaf, and the only one, and bests fit behind its entries. */
int node_to_leaf(struct dir_op *op, struct buffer *leaf);

/* Leaf blocks, leaf1 and leafn. */
static inline struct xfs_dir3_leaf *leaf_of(const struct buffer *buf)
{
	return buf->data;
}

static inline uint32_t leaf_count(const struct buffer *buf)
{
	return be16_to_cpu(leaf_of(buf)->hdr.count);
}

static inline uint32_t leaf_stale(const struct buffer *buf)
{
	return be16_to_cpu(leaf_of(buf)->hdr.stale);
}

static inline struct xfs_dir2_leaf_tail *leaf_tail(const struct dir_op *op, const struct buffer *buf)
{
	return (void *)((char *)buf->data + op->dg->block_bytes - sizeof(struct xfs_dir2_leaf_tail));
}

static inline uint32_t leaf_best_count(const struct dir_op *op, const struct buffer *buf)
{
	return be32_to_cpu(leaf_tail(op, buf)->bestcount);
}

static inline __be16 *leaf_bests(const struct dir_op *op, const struct buffer *buf)
{
	return (__be16 *)(void *)leaf_tail(op, buf) - leaf_best_count(op, buf);
}

void leaf_set_counts(struct dir_op *op, struct buffer *buf, uint32_t count, uint32_t stale);
void leaf_log_entries(struct dir_op *op, struct buffer *buf, uint32_t first, uint32_t end);
void leaf_log_bests(struct dir_op *op, struct buffer *buf, uint32_t first, uint32_t end);
/* Removes stale entries; logs. */
void leaf_compact(struct dir_op *op, struct buffer *buf);
/* Marks entry @index stale; logs. */
void leaf_make_stale(struct dir_op *op, struct buffer *buf, uint32_t index);
/* Inserts the op's hash with @addr at @index, where index_search() said; room is there.  Logs. */
void leaf_insert(struct dir_op *op, struct buffer *buf, uint32_t index, uint32_t hash, uint32_t addr);

/* node.c */
int node_lookup(struct dir_op *op);
int node_add(struct dir_op *op);
int node_remove_name(struct dir_op *op);
int node_replace(struct dir_op *op);
extern const struct da_leaf_ops dir_leaf_ops;

/* free.c: the free blocks of the node form */
struct free_slot {
	struct buffer *buf;		/* the free block; NULL when it does not exist */
	uint32_t fdb;			/* number of the free block, from 0 */
	uint32_t index;			/* of the data block's best in it */
};

static inline fileblk_t free_fileblk(const struct dir_op *op, uint32_t fdb)
{
	return op->dg->free_fileblk + (fileblk_t)fdb * op->dg->fs_blocks;
}

/* A data block with a hole of @bytes; *found false: none. */
int free_find(struct dir_op *op, uint32_t bytes, struct free_slot *slot, uint32_t *db, bool *found);
/* The slot of data block @db.  @create: the free block is made when it is missing. */
int free_slot_of(struct dir_op *op, uint32_t db, bool create, struct free_slot *slot);
/* Records data block's longest hole. */
int free_set(struct dir_op *op, struct free_slot *slot, uint32_t longest);
/* The data block is gone; a free block without use goes too. */
int free_clear(struct dir_op *op, struct free_slot *slot);
/* Makes free block @fdb from the bests of a leaf1. */
int free_create(struct dir_op *op, uint32_t fdb, const __be16 *bests, uint32_t count);

static inline struct xfs_dir3_free *free_of(const struct buffer *buf)
{
	return buf->data;
}
