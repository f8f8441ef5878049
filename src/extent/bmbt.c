// SPDX-License-Identifier: GPL-2.0
/*
 * The on-disk tree of a fork.
 *
 * Memory is changed first and says what the tree must hold; a change arrives here as a few records out and a few in.
 * Records are paired in order as far as they go, so that most changes only rewrite records where they are; what
 * remains is deleted or inserted.  Order within the tree holds after every step.
 */
#include "bmbt.h"

#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/space/alloc.h>

#include "edit.h"
#include "tree.h"

/* What the ops need beside the cursor. */
struct bmbt_host {
	struct bmbt_change *change;
	struct btree_limits limits;	/* an attr fork's tree is lower */
};

static struct bmbt_change *cursor_change(const struct btree_cursor *cur)
{
	const struct bmbt_host *host = cur->host;

	return host->change;
}

static struct fork *change_fork(const struct bmbt_change *change)
{
	return map_fork(change->map, change->which);
}

static uint32_t root_flag(enum fork_which which)
{
	return which == FORK_DATA ? XFS_ILOG_DBROOT : XFS_ILOG_ABROOT;
}

static struct rmap_owner bmbt_owner(const struct bmbt_change *change)
{
	return (struct rmap_owner){
		.owner = change->map->ino.v,
		.is_attr_fork = change->which == FORK_ATTR,
		.is_bmbt = true,
	};
}

/* ---- blocks ---- */

/*
 * One block for the tree, near @near.  When nothing has been allocated in this transaction yet, the AG must have room
 * for all blocks that splits may still want, since they come from the same or later AGs.
 */
static int alloc_tree_block(struct tx *tx, struct bmbt_change *change, struct fsblk near, uint32_t min_left,
			    struct fsblk *out)
{
	struct file_map *map = change->map;
	struct alloc_request req = {
		.how = ALLOC_NEAR,
		.target = near,
		.min_count = 1,
		.max_count = 1,
		.min_left = min_left,
		.owner = bmbt_owner(change),
		.resv = AG_RESV_NONE,
	};
	int err;

	if (!change->was_delayed && !tx_blocks_left(tx))
		return -ENOSPC;
	/* The delayed extent's reservation pays: lend it to the transaction. */
	if (change->was_delayed)
		tx_unuse_blocks(tx, 1);
	err = space_alloc(tx, map->space, &req);
	if (!err && fsblk_is_none(req.start) && min_left) {
		req.min_left = 0;
		req.target = (struct fsblk){ 0 };
		err = space_alloc(tx, map->space, &req);
		if (!err)
			tx_set_flags(tx, tx_flags(tx) | TX_LOW_SPACE);
	}
	if (!err && fsblk_is_none(req.start)) {
		msg_error("inode %llu: no block for its extent tree although one was reserved",
			  (unsigned long long)map->ino.v);
		err = -ENOSPC;
	}
	if (err) {
		if (change->was_delayed)
			tx_use_blocks(tx, 1);
		return err;
	}
	change->allocated++;
	map->block_count++;
	map_mark_dirty(tx, map, XFS_ILOG_CORE);
	*out = req.start;
	return 0;
}

static int bmbt_alloc_block(struct btree_cursor *cur, const union btree_ptr *near, union btree_ptr *out)
{
	struct bmbt_change *change = cursor_change(cur);
	uint32_t min_left = 0;
	struct fsblk start;
	int err;

	if (tx_highest_ag(cur->tx) == AGNO_NONE)
		min_left = be16_to_cpu(change_fork(change)->root->block.bb_level) + 1u;
	err = alloc_tree_block(cur->tx, change, (struct fsblk){ be64_to_cpu(near->l) }, min_left, &start);
	if (!err)
		out->l = cpu_to_be64(start.v);
	return err;
}

static void free_tree_block(struct tx *tx, struct bmbt_change *change, struct fsblk block)
{
	struct rmap_owner owner = bmbt_owner(change);

	space_free_deferred(tx, change->map->space, block, 1, &owner, AG_RESV_NONE, false);
	change->map->block_count--;
	map_mark_dirty(tx, change->map, XFS_ILOG_CORE);
}

static int bmbt_free_block(struct btree_cursor *cur, struct buffer *buf)
{
	free_tree_block(cur->tx, cursor_change(cur), daddr_to_fsblk(cur->geo, buf->daddr));
	return 0;
}

/* ---- ops ---- */

static int bmbt_compare(const union btree_key *a, const union btree_key *b)
{
	uint64_t off_a = be64_to_cpu(a->bmbt.br_startoff), off_b = be64_to_cpu(b->bmbt.br_startoff);

	return off_a < off_b ? -1 : off_a > off_b;
}

static void bmbt_key_of_rec(const union btree_rec *rec, union btree_key *key)
{
	key->bmbt.br_startoff = cpu_to_be64(extent_decode(&rec->bmbt).off);
}

static void bmbt_high_key_of_rec(const union btree_rec *rec, union btree_key *key)
{
	struct extent ext = extent_decode(&rec->bmbt);

	key->bmbt.br_startoff = cpu_to_be64(extent_end(&ext) - 1);
}

static struct btree_iroot *bmbt_iroot(const struct btree_cursor *cur)
{
	return change_fork(cursor_change(cur))->root;
}

static void bmbt_iroot_log(struct btree_cursor *cur)
{
	struct bmbt_change *change = cursor_change(cur);

	map_mark_dirty(cur->tx, change->map, root_flag(change->which));
}

static const struct btree_ops bmbt_ops = {
	.name = "bmbt",
	.block = &block_bmbt,
	.magic = XFS_BMAP_CRC_MAGIC,
	.rec_bytes = sizeof(struct xfs_bmbt_rec),
	.key_bytes = sizeof(struct xfs_bmbt_key),
	.has_long_pointers = true,
	.is_root_in_inode = true,
	.compare = bmbt_compare,
	.key_of_rec = bmbt_key_of_rec,
	.high_key_of_rec = bmbt_high_key_of_rec,
	.iroot = bmbt_iroot,
	.iroot_log = bmbt_iroot_log,
	.alloc_block = bmbt_alloc_block,
	.free_block = bmbt_free_block,
};

static void cursor_init(struct btree_cursor *cur, struct bmbt_host *host, struct bmbt_change *change, struct tx *tx)
{
	const struct geometry *geo = space_geometry(change->map->space);

	host->change = change;
	host->limits = geo->bmbt;
	if (change->which == FORK_ATTR)
		host->limits.max_levels = geo->bmbt_max_levels_attr;
	btree_cursor_init(cur, &bmbt_ops, geo, &host->limits, space_cache(change->map->space), tx,
			  change->map->ino.v);
	cur->host = host;
}

/* ---- changing records ---- */

static int find_record(struct btree_cursor *cur, const struct extent *ext, bool expected)
{
	union btree_key key = { .bmbt = { cpu_to_be64(ext->off) } };
	bool found;
	int err;

	err = btree_lookup(cur, BTREE_EQ, &key, &found);
	if (err)
		return err;
	if (found != expected) {
		msg_error("inode %llu: extent tree on disk %s an extent at block %llu",
			  (unsigned long long)cur->block_owner, found ? "already has" : "lacks",
			  (unsigned long long)ext->off);
		return -EFSCORRUPTED;
	}
	return 0;
}

static int delete_record(struct btree_cursor *cur, const struct extent *ext)
{
	int err = find_record(cur, ext, true);

	return err ? err : btree_delete(cur);
}

static int insert_record(struct btree_cursor *cur, const struct extent *ext)
{
	union btree_rec rec;
	int err = find_record(cur, ext, false);

	if (err)
		return err;
	extent_encode(ext, &rec.bmbt);
	return btree_insert(cur, &rec);
}

static int update_record(struct btree_cursor *cur, const struct extent *from, const struct extent *to)
{
	union btree_rec rec;
	int err;

	if (from->off == to->off && from->count == to->count && from->state == to->state &&
	    fsblk_equal(from->start, to->start))
		return 0;
	err = find_record(cur, from, true);
	if (err)
		return err;
	extent_encode(to, &rec.bmbt);
	return btree_update(cur, &rec);
}

/*
 * Picks which records of the longer list have no partner, so that partners start at the same block where they can.
 * The two pair lists then have equal length.
 */
struct pairing {
	const struct extent *from[5], *to[5];
	const struct extent *gone[5], *fresh[5];
	unsigned pairs, gone_count, fresh_count;
};

static void pair_up(const struct bmbt_change *change, struct pairing *p)
{
	unsigned surplus_old = change->old_count > change->new_count ? change->old_count - change->new_count : 0;
	unsigned surplus_new = change->new_count > change->old_count ? change->new_count - change->old_count : 0;
	unsigned i = 0, j = 0;

	*p = (struct pairing){ 0 };
	while (i < change->old_count || j < change->new_count) {
		bool is_same = i < change->old_count && j < change->new_count &&
			       change->old[i].off == change->new[j].off;

		if (surplus_old && !is_same) {
			p->gone[p->gone_count++] = &change->old[i++];
			surplus_old--;
		} else if (surplus_new && !is_same) {
			p->fresh[p->fresh_count++] = &change->new[j++];
			surplus_new--;
		} else {
			p->from[p->pairs] = &change->old[i++];
			p->to[p->pairs++] = &change->new[j++];
		}
	}
}

static int apply_pairs(struct btree_cursor *cur, const struct pairing *p)
{
	int err = 0;

	/* What moves right goes last to first, the rest first to last: no record ever passes another. */
	for (unsigned i = p->pairs; !err && i-- > 0;)
		if (p->to[i]->off > p->from[i]->off)
			err = update_record(cur, p->from[i], p->to[i]);
	for (unsigned i = 0; !err && i < p->pairs; i++)
		if (p->to[i]->off <= p->from[i]->off)
			err = update_record(cur, p->from[i], p->to[i]);
	return err;
}

static int to_extents(struct tx *tx, struct bmbt_change *change);

int bmbt_replace(struct tx *tx, struct bmbt_change *change)
{
	struct btree_cursor cur;
	struct bmbt_host host;
	struct pairing p;
	int err = 0;

	pair_up(change, &p);
	cursor_init(&cur, &host, change, tx);
	for (unsigned i = 0; !err && i < p.gone_count; i++)
		err = delete_record(&cur, p.gone[i]);
	if (!err)
		err = apply_pairs(&cur, &p);
	for (unsigned i = 0; !err && i < p.fresh_count; i++)
		err = insert_record(&cur, p.fresh[i]);
	btree_cursor_deinit(&cur);
	if (!err && change_fork(change)->extent_count <= fork_inline_extents(change->map, change->which))
		err = to_extents(tx, change);
	return err;
}

int bmbt_push_root_down(struct tx *tx, struct file_map *map)
{
	struct bmbt_change change = { .map = map, .which = FORK_DATA };
	struct btree_cursor cur;
	struct bmbt_host host;
	int err;

	cursor_init(&cur, &host, &change, tx);
	err = btree_iroot_push_down(&cur);
	btree_cursor_deinit(&cur);
	return err;
}

/* ---- changing the form ---- */

uint32_t bmbt_root_capacity(const struct file_map *map)
{
	const struct geometry *geo = space_geometry(map->space);

	return btree_iroot_capacity(geo->inode_bytes - sizeof(struct xfs_dinode));
}

uint32_t bmbt_root_max_keys(const struct file_map *map, enum fork_which which)
{
	return btree_iroot_capacity(which == FORK_DATA ? map->fork_space : map->attr_space);
}

struct btree_iroot *bmbt_create_root(const struct file_map *map, enum fork_which which)
{
	return btree_iroot_create(bmbt_root_capacity(map), bmbt_root_max_keys(map, which));
}

static int fill_leaf(struct tx *tx, const struct bmbt_change *change, struct fsblk block)
{
	const struct fork *fork = change_fork(change);
	const struct geometry *geo = tx_geometry(tx);
	struct tree_cursor at;
	struct buffer *buf;
	struct irec rec;
	uint32_t n = 0;
	int err;

	err = tx_buffer_get(tx, fsblk_to_daddr(geo, block), geo->block_bytes >> SECTOR_UNIT_LOG, &buf);
	if (err)
		return err;
	buf->type = &block_bmbt;
	btree_block_init(&bmbt_ops, geo, buf->data, buf->bytes, buf->daddr, 0, change->map->ino.v);
	for (bool more = tree_first(&fork->tree, &at, &rec); more; more = tree_next(&at, &rec)) {
		if (rec.ext.state == EXTENT_DELAYED)
			continue;
		ensure(n < geo->bmbt.max_leaf);
		extent_encode(&rec.ext, btree_rec_at(&bmbt_ops, buf->data, ++n));
	}
	((struct xfs_btree_block *)buf->data)->bb_numrecs = cpu_to_be16((uint16_t)n);
	tx_buffer_log(tx, buf, 0, (uint32_t)(btree_block_bytes(&bmbt_ops) + n * sizeof(struct xfs_bmbt_rec)));
	return 0;
}

static fileblk_t first_real(const struct extent_tree *tree)
{
	struct tree_cursor at;
	struct irec rec;
	bool found = tree_first(tree, &at, &rec);

	while (found && rec.ext.state == EXTENT_DELAYED)
		found = tree_next(&at, &rec);
	ensure(found);
	return rec.ext.off;
}

int bmbt_from_extents(struct tx *tx, struct bmbt_change *change)
{
	const struct geometry *geo = tx_geometry(tx);
	struct fork *fork = change_fork(change);
	struct btree_iroot *root;
	struct fsblk block;
	int err;

	root = bmbt_create_root(change->map, change->which);
	err = alloc_tree_block(tx, change, inum_to_fsblk(geo, change->map->ino), 0, &block);
	if (err)
		goto free_root;
	err = fill_leaf(tx, change, block);
	if (err)
		goto free_root;
	root->block.bb_numrecs = cpu_to_be16(1);
	*btree_iroot_key(root, 1) = cpu_to_be64(first_real(&fork->tree));
	*btree_iroot_ptr(root, 1) = cpu_to_be64(block.v);
	fork->root = root;
	fork->format = FORK_BTREE;
	change->map->log_fields &= ~(uint32_t)(change->which == FORK_DATA ? XFS_ILOG_DEXT : XFS_ILOG_AEXT);
	map_mark_dirty(tx, change->map, XFS_ILOG_CORE | root_flag(change->which));
	return 0;

free_root:
	btree_iroot_destroy(root);
	return err;
}

/* The few extents left stand in one leaf below the root: gives both up. */
static int to_extents(struct tx *tx, struct bmbt_change *change)
{
	const struct geometry *geo = tx_geometry(tx);
	struct fork *fork = change_fork(change);
	struct fsblk block = { be64_to_cpu(*btree_iroot_ptr(fork->root, 1)) };
	struct buffer *buf;
	int err;

	if (be16_to_cpu(fork->root->block.bb_level) != 1 || be16_to_cpu(fork->root->block.bb_numrecs) != 1) {
		msg_error("inode %llu: %llu extents are spread over more than one leaf",
			  (unsigned long long)change->map->ino.v, (unsigned long long)fork->extent_count);
		return -EFSCORRUPTED;
	}
	err = tx_buffer_read(tx, fsblk_to_daddr(geo, block), geo->block_bytes >> SECTOR_UNIT_LOG, &block_bmbt, &buf);
	if (err)
		return err;
	free_tree_block(tx, change, block);
	tx_buffer_invalidate(tx, buf);
	btree_iroot_destroy(fork->root);
	fork->root = NULL;
	fork->format = FORK_EXTENTS;
	change->map->log_fields &= ~root_flag(change->which);
	map_mark_dirty(tx, change->map,
		       XFS_ILOG_CORE | (change->which == FORK_DATA ? XFS_ILOG_DEXT : XFS_ILOG_AEXT));
	return 0;
}

/* ---- reading all records ---- */

struct visit {
	int (*fn)(const struct extent *ext, void *context);
	void *context;
};

static int visit_record(struct btree_cursor *cur, const union btree_rec *rec, void *context)
{
	const struct visit *visit = context;
	struct extent ext = extent_decode(&rec->bmbt);

	return visit->fn(&ext, visit->context);
}

int bmbt_for_each(const struct file_map *map, enum fork_which which,
		  int (*visit)(const struct extent *ext, void *context), void *context)
{
	struct bmbt_change change = { .map = (struct file_map *)map, .which = which };
	struct visit v = { visit, context };
	struct btree_cursor cur;
	struct bmbt_host host;
	int err;

	cursor_init(&cur, &host, &change, NULL);
	err = btree_query_all(&cur, visit_record, &v);
	btree_cursor_deinit(&cur);
	return err;
}

int bmbt_verify(const struct file_map *map, enum fork_which which)
{
	struct bmbt_change change = { .map = (struct file_map *)map, .which = which };
	struct btree_cursor cur;
	struct bmbt_host host;
	int err;

	cursor_init(&cur, &host, &change, NULL);
	err = btree_verify(&cur);
	btree_cursor_deinit(&cur);
	return err;
}
