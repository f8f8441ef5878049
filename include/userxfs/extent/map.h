/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * A file's block map: its forks (data, attributes, copy-on-write) and what they count.  (XFS: xfs_ifork, xfs_bmap.c,
 * the in-core extent tree, the bmbt.)
 *
 * The room stands below inodes: a struct file_map is embedded in its owner, which lends it a lock and a log item.
 *
 * Invariants, checked by map_verify():
 *   - a fork's extents are sorted by .off, never overlap, never have .count == 0;
 *   - every delayed extent holds .count blocks and its own indirect reservation of the free counter;
 *     map->delayed_blocks is the sum of delayed .count over data and cow fork plus real blocks of the cow fork;
 *   - .extent_count counts real extents only; in EXTENTS form they fit in the fork's inline space.
 *
 * A change merges what it puts in with neighbours that continue it (same state, adjacent in file and on disk, at most
 * EXTENT_MAX_BLOCKS; delayed ones adjacent in the file).
 *
 * Every change of an extent bumps its fork's .sequence under the lock held exclusively; mappings handed out are valid
 * as long as the sequence they were made with (XFS: xfs_iext_inc_seq).
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/base/lock.h>
#include <userxfs/btree.h>
#include <userxfs/format/geometry.h>
#include <userxfs/format/record.h>
#include <userxfs/log/item.h>
#include <userxfs/log/tx.h>
#include <userxfs/space/alloc.h>
#include <userxfs/space/space.h>

enum fork_which { FORK_DATA, FORK_ATTR, FORK_COW };

enum fork_format {
	FORK_DEVICE,			/* special files: the device number; no extents */
	FORK_LOCAL,			/* bytes inline */
	FORK_EXTENTS,
	FORK_BTREE,
};

/* In-core B+tree of extents, real and delayed; see src/extent/tree.c.  All zeroes: empty. */
struct extent_tree {
	void *root;
	uint32_t height;
	uint64_t count;			/* records */
};

struct fork {
	enum fork_format format;	/* [m] */
	bool is_present;		/* [m] attr and cow forks may be absent */
	bool is_loaded;			/* [m] extents are in memory (BTREE forks load on first use) */
	uint64_t extent_count;		/* [m] real extents, as on disk */
	_Atomic uint32_t sequence;	/* [m to change] */
	struct extent_tree tree;	/* [m] */
	void *local;			/* [m] LOCAL: .local_bytes of them */
	uint32_t local_bytes;
	struct btree_iroot *root;	/* [m] BTREE */
	uint32_t dev;			/* [m] DEVICE: as on disk (xfs_dev_t), host order */
};

struct file_map {
	struct space *space;		/* [I] */
	struct inum ino;		/* [I] */
	struct rwlock *lock;		/* [I] the owner's map lock, [m] */
	struct log_item *item;		/* [I] the owner's item; joined by the owner before a change */
	uint64_t block_count;		/* [m] di_nblocks */
	_Atomic uint64_t delayed_blocks; /* [m to change] */
	uint32_t fork_space;		/* [m] bytes of the data fork's area in the inode */
	uint32_t attr_space;		/* [m] bytes of the attr fork's area; 0: no attr fork area */
	uint32_t log_fields;		/* [m] XFS_ILOG_* changed and not logged; the owner's item clears it */
	bool is_reflink;		/* [m] may share blocks */
	bool has_nrext64;		/* [I] extent counters are 64 bit */
	bool is_directory;		/* [I] hints for the allocator */
	bool uses_filestream_hint;	/* [I] reserved for inode32: false */
	uint32_t extent_hint_blocks;	/* [m] effective extent size hint; 0 none */
	uint32_t cow_hint_blocks;	/* [m] effective CoW hint; 0: default 32 */
	struct fork data, attr, cow;
};

static inline struct fork *map_fork(struct file_map *map, enum fork_which which)
{
	return which == FORK_DATA ? &map->data : which == FORK_ATTR ? &map->attr : &map->cow;
}

/* ---- life, bytes on disk ---- */

/* All forks empty and absent but for an empty data fork in EXTENTS form. */
void map_init(struct file_map *map, struct space *space, struct inum ino, struct rwlock *lock, struct log_item *item);
/* Frees memory.  Delayed blocks must be gone (ensured), except after a shutdown (@discard). */
void map_deinit(struct file_map *map, bool discard);
/* Takes the forks out of a verified inode (sets fork_space and attr_space from di_forkoff).  -EFSCORRUPTED,
 * -ENOMEM. */
int map_decode(struct file_map *map, const struct xfs_dinode *dip);
/* Writes fork @which into its area of an inode image and the counts into the core; the same bytes go to the log. */
void fork_encode(const struct file_map *map, enum fork_which which, struct xfs_dinode *dip);
/* Bytes that fork @which's log region needs (multiple of 4), and the region itself; its
 * XFS_ILOG_{D,A}{DATA,EXT,BROOT}. 0 bytes: there is nothing to log, and the flag must not be set either (XFS:
 * xfs_inode_item_format_data_fork). */
uint32_t fork_log_bytes(const struct file_map *map, enum fork_which which, uint32_t *ilog_flag);
void fork_log_fill(const struct file_map *map, enum fork_which which, void *region);

/* Makes sure the extents are in memory.  Lock held exclusively (or shared when map_is_loaded()).  Reads the bmbt. */
int map_load(struct file_map *map, enum fork_which which);
bool map_is_loaded(const struct file_map *map, enum fork_which which);

/* ---- inline bytes (LOCAL); changing them needs a transaction's memory and does not fail ---- */

/* Makes the inline bytes @bytes long, keeping contents from the front; what is added is zero.  Ensures the space. */
void fork_local_resize(struct file_map *map, enum fork_which which, uint32_t bytes);
/* Replaces whatever fork it was by @bytes inline bytes (NULL: zeroes); no extents may exist. */
void fork_set_local(struct file_map *map, enum fork_which which, const void *data, uint32_t bytes);
/* LOCAL to empty EXTENTS; the caller has copied the bytes away. */
void fork_set_extents(struct file_map *map, enum fork_which which);
void fork_set_device(struct file_map *map, uint32_t dev);
/* Marks the fork's inline bytes or extents as changed in @tx. */
void map_log_fork(struct tx *tx, struct file_map *map, enum fork_which which);

/* ---- attribute fork ---- */

/* Bytes of the data fork when an attr fork is made without knowing for what (XFS: xfs_default_attroffset). */
uint32_t map_default_split(const struct file_map *map);

/*
 * Whether the inode's areas can be split so that the attr fork has at least @attr_bytes and the data fork still fits;
 * *new_fork_space is then the data fork's area.  (XFS: xfs_attr_shortform_bytesfit, xfs_default_attroffset.)
 */
bool map_can_split(const struct file_map *map, uint32_t attr_bytes, uint32_t *new_fork_space);
/* Sets the split and an empty attr fork in EXTENTS form (or changes the split of a LOCAL attr fork that fits).  If
 * the data fork no longer fits inline as EXTENTS it becomes BTREE (may allocate); LOCAL data must fit (caller's
 * care). */
int map_set_split(struct tx *tx, struct file_map *map, uint32_t fork_space);
/* The attr fork is empty: gives its area back to the data fork, unless that is a tree: then an empty attr fork
 * stays. */
void map_remove_attr_fork(struct tx *tx, struct file_map *map);

/* ---- queries (lock held shared, loaded) ---- */

/* The extent that holds @off, else the first one after it; *found false (out untouched) when there is neither. */
void map_lookup(const struct file_map *map, enum fork_which which, fileblk_t off, struct extent *out, bool *found);
/* The last extent that starts before @off. */
void map_lookup_before(const struct file_map *map, enum fork_which which, fileblk_t off, struct extent *out,
		       bool *found);
/* Fills @out with what covers [@off, @off + @count), holes included; trimmed to the range unless @entire.  *n: in
 * capacity, out number.  (XFS: xfs_bmapi_read.) */
void map_read(const struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count, bool entire,
	      struct extent *out, unsigned *n);
/* One past the last block of the fork; 0 when empty. */
fileblk_t map_end(const struct file_map *map, enum fork_which which);
/* First unused run of @count blocks at or after @from. */
fileblk_t map_first_unused(const struct file_map *map, enum fork_which which, uint64_t count, fileblk_t from);
/* A cursor over all extents: *pos starts as 0; false at the end. */
bool map_next(const struct file_map *map, enum fork_which which, fileblk_t *pos, struct extent *out);
bool map_has_delayed(const struct file_map *map);

/* ---- changes in a transaction (lock held exclusively, item joined) ---- */

enum map_flag {
	MAP_UNWRITTEN = 1 << 0,		/* allocate unwritten */
	MAP_CONVERT = 1 << 1,		/* turn unwritten into written (with MAP_UNWRITTEN: written into unwritten) */
	MAP_CONTIGUOUS = 1 << 2,	/* one extent or nothing */
	MAP_METADATA = 1 << 3,		/* directory, attribute, symlink blocks */
	MAP_NO_ALLOC_DELAYED = 1 << 4,	/* leave delayed extents alone */
};

/*
 * Makes [@off, @off + @count) real: allocates holes, converts delayed blocks (their reservation pays) and, with
 * MAP_CONVERT, switches states; existing extents are reported as they are.  May do less than asked: out[0..*n) covers
 * from @off on, trimmed to the range.  @total: blocks the whole operation needs.  *n == 0: no space (with
 * MAP_CONTIGUOUS or none left). A reservation of map_write_blocks() must be in @tx for holes.  (XFS:
 * xfs_bmapi_write.)
 */
int map_write(struct tx *tx, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
	      uint32_t flags, uint64_t total, struct extent *out, unsigned *n);
/* Block reservation for mapping @count new blocks: data plus worst bmbt growth (XFS: XFS_DIOSTRAT_SPACE_RES etc.). */
uint64_t map_write_blocks(const struct file_map *map, uint64_t count);

/*
 * Unmaps from the end of [@off, @off + @count) backwards, at most @max_extents pieces; real blocks are freed deferred
 * (or dropped from their sharers), delayed ones released.  *left: blocks of the range still to do (0: done).
 * Splitting an extent in the middle may need a bmbt block: from the tx's reservation.  (XFS: __xfs_bunmapi.)
 */
int map_unmap(struct tx *tx, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
	      unsigned max_extents, uint64_t *left);
/* The same, but real blocks are neither freed nor dropped from their sharers: something else does that (XFS:
 * XFS_BMAPI_REMAP). */
int map_take_out(struct tx *tx, struct file_map *map, enum fork_which which, fileblk_t off, uint64_t count,
		 unsigned max_extents, uint64_t *left);
/* Maps real blocks that something else allocated (reflink, CoW completion) into a hole of the data or attr fork. */
int map_insert_real(struct tx *tx, struct file_map *map, enum fork_which which, const struct extent *ext);
/* Takes real blocks out of the CoW fork without freeing them: they have been mapped elsewhere. */
void map_forget_cow(struct file_map *map, fileblk_t off, uint64_t count);
/* Moves extents of [@from, end) by @shift blocks, one per call; *next: go on there, UINT64_MAX: done (COLLAPSE,
 * INSERT). */
int map_shift_left(struct tx *tx, struct file_map *map, fileblk_t *next, uint64_t shift, bool *done);
int map_shift_right(struct tx *tx, struct file_map *map, fileblk_t *next, uint64_t shift, fileblk_t stop, bool *done);
int map_split(struct tx *tx, struct file_map *map, fileblk_t off);

/* ---- memory and disk agree (tests) ---- */
/* NULL or what is wrong. */
const char *map_verify(const struct file_map *map);
/* The bmbt of a BTREE fork holds exactly the real extents in memory.  No transaction has changed it and not
 * committed. -EFSCORRUPTED with a log line; also -EIO. */
int map_verify_disk(const struct file_map *map, enum fork_which which);
