// SPDX-License-Identifier: GPL-2.0
/*
 * Listing.  (XFS: xfs_dir2_readdir.c.)
 *
 * The position of a name is its dataptr, whatever form the directory has; the position after it is that of the next
 * name, or the end of the last data block.  So each name is held back until the next one is found.  Blocks are
 * copied, so that names are handed out without any lock.
 */
#include "internal.h"

#include <userxfs/base/memory.h>

#define POSITION_MASK 0x7fffffffu	/* XFS's: a position fits a positive int */
#define READAHEAD_BYTES 32768u

struct listing {
	struct inode *dir;
	struct dir_op op;		/* for addresses */
	uint64_t from;			/* first position wanted */
	dir_emit emit;
	void *context;
	bool is_stopped;
	/* The name held back. */
	bool has_name;
	uint8_t bytes[UINT8_MAX];
	struct data_entry entry;
};

/* Hands out the name held back. */
static void release_name(struct listing *list, uint32_t next)
{
	if (!list->has_name || list->is_stopped)
		return;
	list->has_name = false;
	list->is_stopped = !list->emit(list->context, list->entry.name, list->entry.ino, list->entry.ftype,
				       next & POSITION_MASK);
}

static void add_name(struct listing *list, uint32_t position, const struct data_entry *entry)
{
	if (position < list->from)
		return;
	release_name(list, position);
	if (list->is_stopped)
		return;
	list->has_name = true;
	list->entry = *entry;
	memcpy(list->bytes, entry->name.bytes, entry->name.length);
	list->entry.name.bytes = list->bytes;
}

static void add_block(struct listing *list, const void *data, uint32_t db, uint32_t end)
{
	uint32_t off = DATA_HEADER_BYTES, place;
	struct data_entry entry;
	bool is_name;

	while (!list->is_stopped && data_next(list->op.geo, data, end, &off, &place, &is_name, &entry))
		if (is_name)
			add_name(list, addr_make(list->op.dg, db, place), &entry);
}

static void add_dots(struct listing *list, struct inum parent)
{
	struct data_entry dot = { { (const uint8_t *)".", 1 }, list->dir->ino, XFS_DIR3_FT_DIR };
	struct data_entry dotdot = { { (const uint8_t *)"..", 2 }, parent, XFS_DIR3_FT_DIR };

	add_name(list, addr_make(list->op.dg, 0, DATA_HEADER_BYTES), &dot);
	add_name(list, addr_make(list->op.dg, 0, dotdot_off(list->op.geo)), &dotdot);
}

static int list_short(struct listing *list, const void *bytes, uint32_t length)
{
	struct short_dir sf;
	int err;

	err = short_decode(list->dir, bytes, length, &sf);
	if (err)
		return err;
	add_dots(list, sf.parent);
	for (unsigned i = 0; i < sf.count && !list->is_stopped; i++)
		add_name(list, addr_make(list->op.dg, 0, sf.names[i].off), &sf.names[i].entry);
	release_name(list, addr_make(list->op.dg, 1, 0));
	return 0;
}

/* Copies data block @db, or the first that exists after it; *found false: there is none. */
static int copy_block(struct listing *list, uint32_t *db, const struct block_type *type, void *copy, uint32_t *end,
		      bool *found)
{
	const struct da_geometry *dg = list->op.dg;
	uint32_t window = READAHEAD_BYTES / dg->block_bytes;
	struct buffer *buf;
	struct extent ext;
	int err;

	map_lookup(&list->dir->map, FORK_DATA, data_fileblk(&list->op, *db), &ext, found);
	if (!*found)
		return 0;
	if (ext.off > data_fileblk(&list->op, *db)) {
		*found = ext.off < dg->leaf_fileblk;
		if (!*found)
			return 0;
		*db = (uint32_t)(ext.off / dg->fs_blocks);
	}
	err = da_read(NULL, list->dir, FORK_DATA, data_fileblk(&list->op, *db), false, type, &buf);
	if (err)
		return err;
	memcpy(copy, buf->data, dg->block_bytes);
	*end = data_end(&list->op, buf);
	da_release(NULL, buf);
	if (window > 1 && *db % window == 0)
		for (uint32_t i = 1; i <= window && data_fileblk(&list->op, *db + i) < ext.off + ext.count; i++)
			da_readahead(list->dir, FORK_DATA, data_fileblk(&list->op, *db + i), type);
	return 0;
}

/* Lists @form, LEAF and NODE alike: their data blocks. */
static int list_blocks(struct listing *list, enum dir_form form, void *copy)
{
	const struct block_type *type = form == DIR_FORM_BLOCK ? &block_dir_block : &block_dir_data;
	uint32_t db = addr_db(&list->op, (uint32_t)list->from), end = 0;
	bool exclusive, found = false;
	int err = 0;

	while (!list->is_stopped) {
		if (form == DIR_FORM_BLOCK && db > 0)
			break;
		err = da_lock_map(list->dir, FORK_DATA, &exclusive);
		if (err)
			break;
		err = copy_block(list, &db, type, copy, &end, &found);
		da_unlock_map(list->dir, exclusive);
		if (err || !found)
			break;
		add_block(list, copy, db, end);
		db++;
	}
	release_name(list, addr_make(list->op.dg, db, 0));
	return err;
}

int dir_list(struct inode *dir, uint64_t cookie, dir_emit emit, void *context)
{
	const struct geometry *geo = inode_geometry(dir);
	struct listing list = {
		.dir = dir,
		.op = { .dir = dir, .geo = geo, .dg = &geo->dir },
		.from = cookie,
		.emit = emit,
		.context = context,
	};
	uint8_t bytes[XFS_DINODE_MAX_SIZE];
	enum dir_form form = DIR_FORM_SHORT;
	uint32_t length = 0;
	bool exclusive;
	void *copy;
	int err;

	if (cookie >= POSITION_MASK)
		return 0;
	err = da_lock_map(dir, FORK_DATA, &exclusive);
	if (err)
		return err;
	err = dir_form(dir, &form);
	if (!err && form == DIR_FORM_SHORT) {
		length = dir->map.data.local_bytes;
		ensure(length <= sizeof(bytes));
		memcpy(bytes, dir->map.data.local, length);
	}
	da_unlock_map(dir, exclusive);
	if (err)
		return err;
	if (form == DIR_FORM_SHORT)
		return list_short(&list, bytes, length);

	copy = mem_alloc(geo->dir.block_bytes);
	if (!copy)
		return -ENOMEM;
	err = list_blocks(&list, form, copy);
	mem_free(copy);
	return err;
}
