// SPDX-License-Identifier: GPL-2.0
/*
 * Directory operations: finds the form and hands over.  (XFS: xfs_dir_createname, xfs_dir_lookup, xfs_dir_removename,
 * xfs_dir_replace, xfs_dir_canenter, xfs_dir_init.)
 */
#include "internal.h"

#include <dirent.h>
#include <sys/stat.h>

struct form_ops {
	int (*lookup)(struct dir_op *op);
	int (*add)(struct dir_op *op);
	int (*remove)(struct dir_op *op);
	int (*replace)(struct dir_op *op);
};

static const struct form_ops forms[] = {
	[DIR_FORM_SHORT] = { short_lookup, short_add, short_remove, short_replace },
	[DIR_FORM_BLOCK] = { block_lookup, block_add, block_remove, block_replace },
	[DIR_FORM_LEAF] = { leaf_lookup, leaf_add, leaf_remove, leaf_replace },
	[DIR_FORM_NODE] = { node_lookup, node_add, node_remove_name, node_replace },
};

static struct dir_op op_make(struct tx *tx, struct inode *dir, struct name name, uint32_t blocks)
{
	const struct geometry *geo = inode_geometry(dir);

	ensure(name.length >= 1 && name.length <= UINT8_MAX);
	return (struct dir_op){
		.tx = tx,
		.dir = dir,
		.geo = geo,
		.dg = &geo->dir,
		.name = name,
		.hash = dir_hash(geo, name),
		.blocks = blocks,
	};
}

/* Loads the map and finds the form. */
static int form_of(struct inode *dir, const struct form_ops **out)
{
	enum dir_form form = DIR_FORM_SHORT;
	int err = 0;

	if (!map_is_loaded(&dir->map, FORK_DATA))
		err = map_load(&dir->map, FORK_DATA);
	if (!err)
		err = dir_form(dir, &form);
	if (!err)
		*out = &forms[form];
	return err;
}

void dir_init(struct tx *tx, struct inode *dir, struct inum parent)
{
	struct dir_op op = op_make(tx, dir, (struct name){ (const uint8_t *)".", 1 }, 0);

	short_init(&op, parent);
}

int dir_lookup(struct tx *tx, struct inode *dir, struct name name, struct inum *out, uint8_t *ftype)
{
	struct dir_op op = op_make(tx, dir, name, 0);
	const struct form_ops *form;
	bool exclusive = false;
	int err;

	if (name.length == 1 && name.bytes[0] == '.') {
		*out = dir->ino;
		*ftype = XFS_DIR3_FT_DIR;
		return 0;
	}
	if (!tx) {
		err = da_lock_map(dir, FORK_DATA, &exclusive);
		if (err)
			return err;
	}
	err = form_of(dir, &form);
	if (!err)
		err = form->lookup(&op);
	if (!tx)
		da_unlock_map(dir, exclusive);
	if (err)
		return err;
	*out = op.ino;
	*ftype = op.ftype;
	return 0;
}

int dir_add(struct tx *tx, struct inode *dir, struct name name, struct inum ino, uint8_t ftype, uint32_t blocks)
{
	struct dir_op op = op_make(tx, dir, name, blocks);
	const struct form_ops *form;
	int err;

	op.ino = ino;
	op.ftype = ftype;
	err = form_of(dir, &form);
	return err ? err : form->add(&op);
}

int dir_can_enter(struct tx *tx, struct inode *dir, struct name name)
{
	struct dir_op op = op_make(tx, dir, name, 0);
	const struct form_ops *form;
	int err;

	op.only_check = true;
	/* Any number that is wide if the volume has wide ones: the name's own is not known yet. */
	op.ino = inum_make(op.geo, op.geo->ag_count - 1, 0);
	err = form_of(dir, &form);
	return err ? err : form->add(&op);
}

int dir_remove(struct tx *tx, struct inode *dir, struct name name, struct inum ino, uint32_t blocks)
{
	struct dir_op op = op_make(tx, dir, name, blocks);
	const struct form_ops *form;
	int err;

	op.ino = ino;
	err = form_of(dir, &form);
	return err ? err : form->remove(&op);
}

int dir_replace(struct tx *tx, struct inode *dir, struct name name, struct inum ino, uint8_t ftype, uint32_t blocks)
{
	struct dir_op op = op_make(tx, dir, name, blocks);
	const struct form_ops *form;
	int err;

	op.ino = ino;
	op.ftype = ftype;
	err = form_of(dir, &form);
	return err ? err : form->replace(&op);
}

int dir_is_empty(struct inode *dir, bool *is_empty)
{
	const struct fork *fork = &dir->map.data;
	const struct xfs_dir2_sf_hdr *hdr = fork->local;

	*is_empty = fork->format == FORK_LOCAL && fork->local_bytes >= sizeof(hdr->count) && !hdr->count;
	return 0;
}

int dir_make_room_for_attributes(struct tx *tx, struct inode *dir, uint32_t blocks)
{
	struct dir_op op = op_make(tx, dir, (struct name){ (const uint8_t *)".", 1 }, blocks);

	return dir->map.data.format == FORK_LOCAL ? short_to_block(&op) : 0;
}

uint8_t dir_ftype_of_mode(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return XFS_DIR3_FT_REG_FILE;
	case S_IFDIR:
		return XFS_DIR3_FT_DIR;
	case S_IFCHR:
		return XFS_DIR3_FT_CHRDEV;
	case S_IFBLK:
		return XFS_DIR3_FT_BLKDEV;
	case S_IFIFO:
		return XFS_DIR3_FT_FIFO;
	case S_IFSOCK:
		return XFS_DIR3_FT_SOCK;
	case S_IFLNK:
		return XFS_DIR3_FT_SYMLINK;
	default:
		return XFS_DIR3_FT_UNKNOWN;
	}
}

uint8_t dir_dtype_of_ftype(uint8_t ftype)
{
	static const uint8_t dtypes[XFS_DIR3_FT_MAX] = {
		[XFS_DIR3_FT_UNKNOWN] = DT_UNKNOWN, [XFS_DIR3_FT_REG_FILE] = DT_REG, [XFS_DIR3_FT_DIR] = DT_DIR,
		[XFS_DIR3_FT_CHRDEV] = DT_CHR, [XFS_DIR3_FT_BLKDEV] = DT_BLK, [XFS_DIR3_FT_FIFO] = DT_FIFO,
		[XFS_DIR3_FT_SOCK] = DT_SOCK, [XFS_DIR3_FT_SYMLINK] = DT_LNK, [XFS_DIR3_FT_WHT] = DT_WHT,
	};

	return ftype < XFS_DIR3_FT_MAX ? dtypes[ftype] : DT_UNKNOWN;
}
