/* SPDX-License-Identifier: GPL-2.0 */
/* Operations for the tests of failures; see operations.h. */
#include "operations.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <userxfs/base/error.h>

#include "bypath.h"
#include "disk.h"

#define KIB 1024u
#define FILE_BYTES (256u * KIB)
#define TREE_EXTENTS 600u

/* ---- making things ready ---- */

static void must(int err)
{
	if (err) {
		fprintf(stderr, "preparing failed: %s\n", strerror(-err));
		exit(1);
	}
}

/* Every eight bytes say which write they are of, and where. */
static int write_bytes(struct volume *vol, const char *path, uint64_t off, uint64_t count, uint32_t mark,
		       enum path_write how)
{
	uint64_t *words = aligned_alloc(4096, (count + 4095) & ~4095ull);
	int err;

	ensure(words);
	for (uint64_t i = 0; i < (count + 7) / 8; i++)
		words[i] = (uint64_t)mark << 32 | (off / 8 + i + 1);
	err = path_write(vol, path, off, words, count, how);
	free(words);
	return err;
}

static void make_file(struct volume *vol, const char *path, uint64_t count)
{
	must(path_create(vol, path, 0644));
	if (count)
		must(write_bytes(vol, path, 0, count, 1, PATH_WRITE));
	must(path_fsync(vol, path, false));
}

static void prepare_nothing(struct volume *vol)
{
	(void)vol;
}

static void prepare_small(struct volume *vol)
{
	make_file(vol, "f", 5000);
}

static void prepare_file(struct volume *vol)
{
	make_file(vol, "f", FILE_BYTES);
}

static uint32_t block_bytes(struct volume *vol)
{
	return vol->geo.block_bytes;
}

/* Gives every second block its own extent, @count more of them from number @first on. */
static int add_extents(struct volume *vol, const char *path, unsigned first, unsigned count)
{
	int err = 0;

	for (unsigned i = first; i < first + count && !err; i++)
		err = path_fallocate(vol, path, FALLOC_FL_KEEP_SIZE, 2ull * i * block_bytes(vol), block_bytes(vol));
	return err;
}

static uint64_t blocks_of(struct volume *vol, const char *path)
{
	struct inode_stat st;

	must(path_stat(vol, path, &st));
	return st.blocks_512 * 512 / block_bytes(vol);
}

/* The number of one-block extents that make the map have @tree_blocks of its own. */
static unsigned extents_for(struct volume *vol, unsigned tree_blocks)
{
	unsigned n = 0;

	must(path_create(vol, "probe", 0600));
	while (blocks_of(vol, "probe") < n + tree_blocks)
		must(add_extents(vol, "probe", n++, 1));
	must(path_unlink(vol, "probe"));
	disk_settle(vol);
	return n;
}

/* One extent short of that. */
static unsigned nearly;

static void prepare_nearly(struct volume *vol, unsigned tree_blocks)
{
	nearly = extents_for(vol, tree_blocks) - 1;
	make_file(vol, "f", 0);
	must(add_extents(vol, "f", 0, nearly));
}

static void prepare_nearly_tree(struct volume *vol)
{
	prepare_nearly(vol, 1);
}

static void prepare_nearly_split(struct volume *vol)
{
	prepare_nearly(vol, 2);
}

static void prepare_tree(struct volume *vol)
{
	make_file(vol, "f", 5000);
	must(add_extents(vol, "f", 10, TREE_EXTENTS));
}

static void prepare_two_dirs(struct volume *vol)
{
	must(path_mkdir(vol, "a"));
	must(path_mkdir(vol, "b"));
	make_file(vol, "a/f", 5000);
	make_file(vol, "b/g", 3000);
	must(path_mkdir(vol, "a/d"));
	must(path_mkdir(vol, "b/e"));
}

/* ---- names ---- */

static int create(struct volume *vol, unsigned step)
{
	(void)step;
	return path_create(vol, "new", 0640);
}

/* The first chunk of inodes is nearly full. */
static void prepare_chunk(struct volume *vol)
{
	char name[20];

	for (unsigned i = 0; i < 58; i++) {
		snprintf(name, sizeof(name), "old%u", i);
		must(path_create(vol, name, 0600));
	}
}

static int create_many(struct volume *vol, unsigned step)
{
	char name[20];

	snprintf(name, sizeof(name), "new%u", step);
	return path_create(vol, name, 0640);
}

static int make_dir(struct volume *vol, unsigned step)
{
	(void)step;
	return path_mkdir(vol, "new");
}

static int make_device(struct volume *vol, unsigned step)
{
	(void)step;
	return path_mknod(vol, "new", S_IFCHR | 0600, makedev(5, 1));
}

static int make_link(struct volume *vol, const char *name, unsigned length)
{
	char target[1025];

	memset(target, 't', length);
	target[length] = 0;
	return path_symlink(vol, name, target);
}

static int symlink_short(struct volume *vol, unsigned step)
{
	(void)step;
	return make_link(vol, "new", 30);
}

static int symlink_remote(struct volume *vol, unsigned step)
{
	(void)step;
	return make_link(vol, "new", 1000);
}

static void prepare_symlink(struct volume *vol)
{
	must(make_link(vol, "f", 1000));
}

static int link_file(struct volume *vol, unsigned step)
{
	(void)step;
	return path_link(vol, "f", "new");
}

static int unlink_file(struct volume *vol, unsigned step)
{
	(void)step;
	return path_unlink(vol, "f");
}

static int unlink_open(struct volume *vol, unsigned step)
{
	struct inode *inode;
	int err = path_get(vol, "f", &inode);

	(void)step;
	if (err)
		return err;
	file_opened(inode, true);
	err = path_unlink(vol, "f");
	disk_settle(vol);
	file_closed(inode, true);
	inode_put(inode);
	return err;
}

static void prepare_subdir(struct volume *vol)
{
	must(path_mkdir(vol, "d"));
}

static int remove_dir(struct volume *vol, unsigned step)
{
	(void)step;
	return path_rmdir(vol, "d");
}

static int rename_within(struct volume *vol, unsigned step)
{
	(void)step;
	return path_rename(vol, "a/f", "a/new", 0);
}

static int rename_between(struct volume *vol, unsigned step)
{
	(void)step;
	return path_rename(vol, "a/f", "b/new", 0);
}

static int rename_over(struct volume *vol, unsigned step)
{
	(void)step;
	return path_rename(vol, "a/f", "b/g", 0);
}

static int rename_dir(struct volume *vol, unsigned step)
{
	(void)step;
	return path_rename(vol, "a/d", "b/e", 0);
}

static int rename_exchange(struct volume *vol, unsigned step)
{
	(void)step;
	return path_rename(vol, "a/d", "b/g", RENAME_EXCHANGE);
}

static int rename_whiteout(struct volume *vol, unsigned step)
{
	(void)step;
	return path_rename(vol, "a/f", "b/g", RENAME_WHITEOUT);
}

static int rename_noreplace(struct volume *vol, unsigned step)
{
	(void)step;
	return path_rename(vol, "a/f", "b/new", RENAME_NOREPLACE);
}

static int tmpfile_linked(struct volume *vol, unsigned step)
{
	(void)step;
	return path_tmpfile(vol, "new");
}

/* ---- directories growing and shrinking ---- */

enum dir_form { FORM_SHORT, FORM_BLOCK, FORM_LEAF, FORM_NODE };

static enum dir_form form_of(struct volume *vol, const char *path)
{
	struct inode_stat st;
	uint64_t blocks;		/* of a directory */

	must(path_stat(vol, path, &st));
	blocks = st.blocks_512 * 512 / vol->geo.dir.block_bytes;
	if (blocks == 0)
		return FORM_SHORT;
	if (blocks == 1)
		return FORM_BLOCK;
	return blocks == st.size_bytes / vol->geo.dir.block_bytes + 1 ? FORM_LEAF : FORM_NODE;
}

static void long_name(char *path, const char *dir, unsigned i)
{
	sprintf(path, "%s/%03u", dir, i);
	for (unsigned k = 0; k < 18; k++)
		strcat(path, "-ten-bytes");
}

static int add_name(struct volume *vol, const char *dir, unsigned i)
{
	char path[300];

	long_name(path, dir, i);
	return path_link(vol, "f", path);
}

static int take_name(struct volume *vol, const char *dir, unsigned i)
{
	char path[300];

	long_name(path, dir, i);
	return path_unlink(vol, path);
}

/* "d" gets as many names as make it of @form, less @short_of. */
static void prepare_dir(struct volume *vol, enum dir_form form, unsigned short_of)
{
	unsigned n = 0;

	make_file(vol, "f", 0);
	must(path_mkdir(vol, "probe"));
	while (form_of(vol, "probe") != form)
		must(add_name(vol, "probe", n++));
	for (unsigned i = 0; i < n; i++)
		must(take_name(vol, "probe", i));
	must(path_rmdir(vol, "probe"));
	disk_settle(vol);
	nearly = n - short_of;
	must(path_mkdir(vol, "d"));
	for (unsigned i = 0; i < nearly; i++)
		must(add_name(vol, "d", i));
}

static void prepare_short(struct volume *vol)
{
	prepare_dir(vol, FORM_BLOCK, 1);
}

static void prepare_full_block(struct volume *vol)
{
	prepare_dir(vol, FORM_LEAF, 1);
}

static void prepare_full_leaf(struct volume *vol)
{
	prepare_dir(vol, FORM_NODE, 1);
}

static void prepare_block(struct volume *vol)
{
	prepare_dir(vol, FORM_BLOCK, 0);
}

static void prepare_leaf(struct volume *vol)
{
	prepare_dir(vol, FORM_LEAF, 0);
}

static void prepare_node(struct volume *vol)
{
	prepare_dir(vol, FORM_NODE, 0);
}

static int grow_dir(struct volume *vol, unsigned step)
{
	return add_name(vol, "d", nearly + step);
}

static int shrink_dir(struct volume *vol, unsigned step)
{
	return take_name(vol, "d", nearly - 1 - step);
}

/* ---- writing ---- */

static int append(struct volume *vol, unsigned step)
{
	(void)step;
	return write_bytes(vol, "f", 5000, 100 * KIB, 2, PATH_WRITE);
}

static int overwrite(struct volume *vol, unsigned step)
{
	(void)step;
	return write_bytes(vol, "f", 3000, 100 * KIB, 2, PATH_WRITE);
}

static void prepare_hole(struct volume *vol)
{
	make_file(vol, "f", 0);
	must(path_truncate(vol, "f", FILE_BYTES));
}

static int fill_hole(struct volume *vol, unsigned step)
{
	(void)step;
	return write_bytes(vol, "f", 32 * KIB, 40 * KIB, 2, PATH_WRITE);
}

static int write_direct(struct volume *vol, unsigned step)
{
	static const unsigned offs[] = { 16 * KIB, FILE_BYTES + 64 * KIB };

	return write_bytes(vol, "f", offs[step], 64 * KIB, 2 + step, PATH_WRITE_DIRECT);
}

static int write_sync(struct volume *vol, unsigned step)
{
	(void)step;
	return write_bytes(vol, "f", 5000, 20 * KIB, 2, PATH_WRITE_SYNC);
}

static int store(struct volume *vol, unsigned step)
{
	(void)step;
	return write_bytes(vol, "f", 32 * KIB, 16 * KIB, 2, PATH_STORE);
}

static int overwrite_sync(struct volume *vol, unsigned step)
{
	(void)step;
	return write_bytes(vol, "f", 16 * KIB, 16 * KIB, 2, PATH_WRITE_SYNC);
}

static void prepare_unwritten(struct volume *vol)
{
	make_file(vol, "f", 0);
	must(path_fallocate(vol, "f", 0, 0, FILE_BYTES));
}

static int convert_unwritten(struct volume *vol, unsigned step)
{
	return write_bytes(vol, "f", (16 + 64 * step) * KIB, 8 * KIB, 2 + step, PATH_WRITE);
}

static int add_extent(struct volume *vol, unsigned step)
{
	return add_extents(vol, "f", nearly + step, 1);
}

static int copy(struct volume *vol, unsigned step)
{
	return step ? path_copy(vol, "f", "new", 60 * KIB) : path_create(vol, "new", 0600);
}

/* Dirty data, and a name, for the calls that make them durable. */
static int then(struct volume *vol, unsigned step, int (*sync)(struct volume *vol))
{
	if (step == 0)
		return write_bytes(vol, "f", 5000, 50 * KIB, 2, PATH_WRITE);
	return step == 1 ? path_create(vol, "new", 0600) : sync(vol);
}

static int sync_file(struct volume *vol)
{
	return path_fsync(vol, "f", false);
}

static int sync_data(struct volume *vol)
{
	return path_fsync(vol, "f", true);
}

static int fsync_file(struct volume *vol, unsigned step)
{
	return then(vol, step, sync_file);
}

static int fdatasync_file(struct volume *vol, unsigned step)
{
	return then(vol, step, sync_data);
}

static int sync_all(struct volume *vol, unsigned step)
{
	return then(vol, step, volume_sync);
}

/* ---- sizes and space ---- */

static int truncate_down(struct volume *vol, unsigned step)
{
	(void)step;
	return path_truncate(vol, "f", 100001);
}

static int truncate_up(struct volume *vol, unsigned step)
{
	(void)step;
	return path_truncate(vol, "f", 700001);
}

static int truncate_to_0(struct volume *vol, unsigned step)
{
	(void)step;
	return path_truncate(vol, "f", 0);
}

static int allocate(struct volume *vol, unsigned step)
{
	(void)step;
	return path_fallocate(vol, "f", 0, 100 * KIB, FILE_BYTES);
}

static int allocate_keep(struct volume *vol, unsigned step)
{
	(void)step;
	return path_fallocate(vol, "f", FALLOC_FL_KEEP_SIZE, 200 * KIB, FILE_BYTES);
}

static int punch(struct volume *vol, unsigned step)
{
	(void)step;
	return path_fallocate(vol, "f", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 30001, 100000);
}

static int zero(struct volume *vol, unsigned step)
{
	(void)step;
	return path_fallocate(vol, "f", FALLOC_FL_ZERO_RANGE, 30001, FILE_BYTES);
}

static int collapse(struct volume *vol, unsigned step)
{
	(void)step;
	return path_fallocate(vol, "f", FALLOC_FL_COLLAPSE_RANGE, 64 * KIB, 32 * KIB);
}

static int insert(struct volume *vol, unsigned step)
{
	(void)step;
	return path_fallocate(vol, "f", FALLOC_FL_INSERT_RANGE, 64 * KIB, 32 * KIB);
}

/* Several extents to shift. */
static void prepare_pieces(struct volume *vol)
{
	make_file(vol, "f", FILE_BYTES);
	for (unsigned i = 1; i < 8; i += 2)
		must(path_fallocate(vol, "f", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, i * 16 * KIB, 16 * KIB));
}

/* ---- attributes ---- */

static int set_mode(struct volume *vol, unsigned step)
{
	(void)step;
	return path_chmod(vol, "f", 0604);
}

static int set_owner(struct volume *vol, unsigned step)
{
	(void)step;
	return path_chown(vol, "f", 1000, 100);
}

static int set_flags(struct volume *vol, unsigned step)
{
	(void)step;
	return path_set_flags(vol, "f", FS_XFLAG_NOATIME | FS_XFLAG_NODUMP);
}

static int set_xattr(struct volume *vol, const char *path, unsigned i, unsigned length)
{
	static char value[65536];
	char name[40];

	memset(value, 'a' + (int)(i % 26), length);
	snprintf(name, sizeof(name), "user.name-%u", i);
	return path_setxattr(vol, path, name, value, length);
}

static int xattr_inline(struct volume *vol, unsigned step)
{
	return set_xattr(vol, "f", step, 20);
}

/* Those that no longer fit into the inode. */
static int xattr_leaf(struct volume *vol, unsigned step)
{
	return set_xattr(vol, "f", 100 + step, 200);
}

static void prepare_xattr_leaf(struct volume *vol)
{
	prepare_small(vol);
	for (unsigned i = 0; i < block_bytes(vol) / 250; i++)
		must(set_xattr(vol, "f", i, 200));
}

static void prepare_xattr_node(struct volume *vol)
{
	prepare_small(vol);
	for (unsigned i = 0; i < 3 * block_bytes(vol) / 250; i++)
		must(set_xattr(vol, "f", i, 200));
	must(set_xattr(vol, "f", 50, 9000));
}

static int xattr_remote(struct volume *vol, unsigned step)
{
	return set_xattr(vol, "f", 100 + step, 20000);
}

/* The same name again: a remote value, then a short one. */
static int xattr_replace(struct volume *vol, unsigned step)
{
	return set_xattr(vol, "f", 50, step ? 30 : 7000);
}

static int remove_xattr(struct volume *vol, unsigned step)
{
	char name[40];

	snprintf(name, sizeof(name), "user.name-%u", step ? step : 50);
	return path_setxattr(vol, "f", name, NULL, 0);
}

static int set_acl(struct volume *vol, unsigned step)
{
	(void)step;
	return path_set_acl(vol, "f");
}

/* ---- the volume itself ---- */

static int nothing(struct volume *vol, unsigned step)
{
	(void)vol;
	(void)step;
	return 0;
}

/* Something of everything, so that a log that was left dirty has much to tell. */
static void prepare_all(struct volume *vol)
{
	prepare_two_dirs(vol);
	prepare_tree(vol);
	must(path_unlink(vol, "f"));
	disk_settle(vol);
	prepare_node(vol);
	for (unsigned i = 0; i < 5; i++)
		must(set_xattr(vol, "f", i, 200));
	must(set_xattr(vol, "a/f", 1, 9000));
	must(path_rename(vol, "a/f", "b/g", RENAME_WHITEOUT));
	must(make_link(vol, "link", 1000));
	must(write_bytes(vol, "b/g", 0, 50 * KIB, 3, PATH_WRITE_SYNC));
}

/* And a file without a name. */
static void prepare_orphan(struct volume *vol)
{
	prepare_all(vol);
	make_file(vol, "gone", 50000);
	must(path_unlink(vol, "gone"));
}

static int dirty_everything(struct volume *vol, unsigned step)
{
	switch (step) {
	case 0:
		return path_create(vol, "new", 0600);
	case 1:
		return write_bytes(vol, "new", 0, 200 * KIB, 2, PATH_WRITE);
	default:
		return path_unlink(vol, "f");
	}
}

#define NAMES(op, made, does) { .name = (op), .prepare = (made), .run = (does) }
#define STEPS(op, n, made, does) { .name = (op), .steps = (n), .prepare = (made), .run = (does) }
#define DATA(op, n, made, does) \
	{ .name = (op), .steps = (n), .prepare = (made), .run = (does), .leaves = LEAVES_PART, .file = "f" }

const struct operation operations[] = {
	NAMES("create", prepare_nothing, create),
	STEPS("create-many", 6, prepare_chunk, create_many),
	NAMES("mkdir", prepare_nothing, make_dir),
	NAMES("mknod", prepare_nothing, make_device),
	NAMES("symlink", prepare_nothing, symlink_short),
	NAMES("symlink-remote", prepare_nothing, symlink_remote),
	NAMES("unlink-symlink", prepare_symlink, unlink_file),
	NAMES("link", prepare_small, link_file),
	NAMES("unlink", prepare_small, unlink_file),
	NAMES("unlink-tree", prepare_tree, unlink_file),
	NAMES("unlink-open", prepare_small, unlink_open),
	NAMES("unlink-attributes", prepare_xattr_node, unlink_file),
	NAMES("rmdir", prepare_subdir, remove_dir),
	NAMES("rename", prepare_two_dirs, rename_within),
	NAMES("rename-between", prepare_two_dirs, rename_between),
	NAMES("rename-over", prepare_two_dirs, rename_over),
	NAMES("rename-directory", prepare_two_dirs, rename_dir),
	NAMES("rename-exchange", prepare_two_dirs, rename_exchange),
	NAMES("rename-whiteout", prepare_two_dirs, rename_whiteout),
	NAMES("rename-noreplace", prepare_two_dirs, rename_noreplace),
	NAMES("tmpfile-link", prepare_nothing, tmpfile_linked),

	STEPS("directory-to-block", 2, prepare_short, grow_dir),
	STEPS("directory-to-leaf", 2, prepare_full_block, grow_dir),
	STEPS("directory-to-node", 2, prepare_full_leaf, grow_dir),
	STEPS("directory-from-node", 3, prepare_node, shrink_dir),
	STEPS("directory-from-leaf", 3, prepare_leaf, shrink_dir),
	STEPS("directory-from-block", 2, prepare_block, shrink_dir),

	DATA("append", 1, prepare_small, append),
	DATA("overwrite", 1, prepare_file, overwrite),
	DATA("fill-hole", 1, prepare_hole, fill_hole),
	DATA("write-direct", 2, prepare_file, write_direct),
	DATA("write-sync", 1, prepare_small, write_sync),
	DATA("overwrite-sync", 1, prepare_file, overwrite_sync),
	DATA("store", 1, prepare_hole, store),
	DATA("convert-unwritten", 2, prepare_unwritten, convert_unwritten),
	STEPS("extents-to-tree", 2, prepare_nearly_tree, add_extent),
	STEPS("extents-split", 2, prepare_nearly_split, add_extent),
	DATA("fsync", 3, prepare_small, fsync_file),
	DATA("fdatasync", 3, prepare_small, fdatasync_file),
	DATA("sync", 3, prepare_small, sync_all),
	{ .name = "copy", .steps = 2, .prepare = prepare_file, .run = copy, .leaves = LEAVES_PART },

	DATA("truncate-down", 1, prepare_file, truncate_down),
	DATA("truncate-up", 1, prepare_file, truncate_up),
	DATA("truncate-to-0", 1, prepare_file, truncate_to_0),
	DATA("truncate-tree", 1, prepare_tree, truncate_to_0),
	DATA("fallocate", 1, prepare_file, allocate),
	DATA("fallocate-keep-size", 1, prepare_file, allocate_keep),
	DATA("punch-hole", 1, prepare_file, punch),
	DATA("zero-range", 1, prepare_file, zero),
	{ .name = "collapse-range", .prepare = prepare_pieces, .run = collapse, .leaves = LEAVES_SHIFTED },
	{ .name = "insert-range", .prepare = prepare_pieces, .run = insert, .leaves = LEAVES_SHIFTED },

	NAMES("chmod", prepare_small, set_mode),
	NAMES("chown", prepare_small, set_owner),
	NAMES("file-flags", prepare_small, set_flags),
	STEPS("setxattr", 2, prepare_small, xattr_inline),
	STEPS("setxattr-leaf", 2, prepare_small, xattr_leaf),
	STEPS("setxattr-node", 6, prepare_xattr_leaf, xattr_leaf),
	NAMES("setxattr-remote", prepare_xattr_leaf, xattr_remote),
	STEPS("setxattr-replace", 2, prepare_xattr_node, xattr_replace),
	STEPS("removexattr", 2, prepare_xattr_node, remove_xattr),
	NAMES("acl", prepare_small, set_acl),

	{ .name = "mount", .is_mount = true, .prepare = prepare_all, .run = nothing },
	{ .name = "unmount", .steps = 3, .prepare = prepare_small, .run = dirty_everything,
	  .leaves = LEAVES_PART },
	{ .name = "recovery", .is_mount = true, .is_recovery = true, .prepare = prepare_orphan, .run = nothing },
};

const unsigned operation_count = sizeof(operations) / sizeof(operations[0]);
