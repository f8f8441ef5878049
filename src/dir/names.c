// SPDX-License-Identifier: GPL-2.0
/*
 * Names, and what form a directory has.  (XFS: xfs_dir2_hashname, xfs_dir2_isblock, xfs_dir2_isleaf.)
 */
#include "internal.h"

/* Lower case of ISO 8859-1, as volumes with case-insensitive names want it (XFS: xfs_ascii_ci_xfrm). */
static uint8_t fold_case(uint8_t c)
{
	bool is_upper = (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7);

	return is_upper ? c + 0x20 : c;
}

uint32_t dir_hash(const struct geometry *geo, struct name name)
{
	uint8_t folded[UINT8_MAX];

	if (!geo->has_ascii_ci)
		return da_hash(name.bytes, name.length);
	for (unsigned i = 0; i < name.length; i++)
		folded[i] = fold_case(name.bytes[i]);
	return da_hash(folded, name.length);
}

bool dir_name_matches(const struct geometry *geo, struct name a, struct name b)
{
	if (a.length != b.length)
		return false;
	if (!geo->has_ascii_ci)
		return !memcmp(a.bytes, b.bytes, a.length);
	for (unsigned i = 0; i < a.length; i++)
		if (fold_case(a.bytes[i]) != fold_case(b.bytes[i]))
			return false;
	return true;
}

void dir_complain(const struct inode *dir, const char *reason)
{
	msg_error("directory 0x%llx: %s", (unsigned long long)dir->ino.v, reason);
}

int dir_form(struct inode *dir, enum dir_form *out)
{
	const struct da_geometry *dg = &inode_geometry(dir)->dir;
	fileblk_t end;

	if (dir->map.data.format == FORK_LOCAL) {
		*out = DIR_FORM_SHORT;
		return 0;
	}
	if (dir->map.data.format == FORK_DEVICE)
		return dir_corrupt(dir, "has a device number");
	end = map_end(&dir->map, FORK_DATA);
	if (end == dg->fs_blocks) {
		if (dir->disk_size_bytes != dg->block_bytes)
			return dir_corrupt(dir, "is one block long but has another size");
		*out = DIR_FORM_BLOCK;
	} else if (end < dg->leaf_fileblk + dg->fs_blocks) {
		return dir_corrupt(dir, "has no leaf block");
	} else if (end > dg->free_fileblk + (dg->free_fileblk - dg->leaf_fileblk)) {
		return dir_corrupt(dir, "has blocks behind its last section");
	} else {
		*out = end == dg->leaf_fileblk + dg->fs_blocks ? DIR_FORM_LEAF : DIR_FORM_NODE;
	}
	return 0;
}

void dir_set_size(struct dir_op *op, uint64_t bytes)
{
	op->dir->disk_size_bytes = bytes;
	atomic_store(&op->dir->size_bytes, bytes);
	inode_log(op->tx, op->dir, false);
}
