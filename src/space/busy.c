// SPDX-License-Identifier: GPL-2.0
/*
 * Busy extents; see busy.h.
 *
 * Each AG keeps its own in a treap: a binary search tree by block whose shape a hash of the block decides, so that it
 * is shallow whatever the order of insertion.  Extents in it never overlap.  An extent that is used again leaves the
 * tree at once (.count == 0) but lives on until the log has reported.
 */
#include "busy.h"

#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/base/unfix.h>
#include <userxfs/log/log.h>
#include <userxfs/space/alloc.h>

struct busy_extent {
	struct durable_callback durable;
	struct ag *ag;
	agblk_t start;
	uint32_t count;				/* 0: not in the tree */
	struct busy_extent *left, *right;
};

static uint64_t priority(const struct busy_extent *e)
{
	return hash_u64(e->start);
}

/* ---- the treap
 * -------------------------------------------------------------------------------------------------- */

/* Everything below @start to *@left, the rest to *@right. */
static void tree_split(struct busy_extent *root, agblk_t start, struct busy_extent **left, struct busy_extent **right)
{
	while (root) {
		if (root->start < start) {
			*left = root;
			left = &root->right;
			root = root->right;
		} else {
			*right = root;
			right = &root->left;
			root = root->left;
		}
	}
	*left = *right = NULL;
}

static struct busy_extent *tree_join(struct busy_extent *left, struct busy_extent *right)
{
	struct busy_extent *root = NULL, **place = &root;

	while (left && right) {
		if (priority(left) > priority(right)) {
			*place = left;
			place = &left->right;
			left = left->right;
		} else {
			*place = right;
			place = &right->left;
			right = right->left;
		}
	}
	*place = left ? left : right;
	return root;
}

static void tree_insert(struct busy_extent **root, struct busy_extent *e)
{
	while (*root && priority(*root) > priority(e))
		root = e->start < (*root)->start ? &(*root)->left : &(*root)->right;
	tree_split(*root, e->start, &e->left, &e->right);
	*root = e;
}

static void tree_remove(struct busy_extent **root, struct busy_extent *e)
{
	while (*root != e) {
		ensure(*root);
		root = e->start < (*root)->start ? &(*root)->left : &(*root)->right;
	}
	*root = tree_join(e->left, e->right);
	e->left = e->right = NULL;
}

/* The first extent that has a block in [@start, @end). */
static struct busy_extent *tree_first_overlap(struct busy_extent *root, agblk_t start, uint64_t end)
{
	struct busy_extent *best = NULL;

	while (root) {
		if ((uint64_t)root->start + root->count <= start) {
			root = root->right;
		} else {
			if (root->start < end)
				best = root;
			root = root->left;
		}
	}
	return best;
}

/* ---- life of one
 * ------------------------------------------------------------------------------------------------ */

/* It stops being busy.  [busy_lock] */
static void detach(struct ag *ag, struct busy_extent *e)
{
	tree_remove(&ag->busy, e);
	e->count = 0;
}

static void became_durable(struct durable_callback *durable, bool aborted)
{
	struct busy_extent *e = container_of(durable, struct busy_extent, durable);
	struct ag *ag = e->ag;

	mutex_lock(&ag->busy_lock);
	if (e->count)
		detach(ag, e);
	ag->busy_generation++;
	mutex_unlock(&ag->busy_lock);
	mem_free(e);
}

void busy_insert(struct tx *tx, struct ag *ag, agblk_t start, uint32_t count)
{
	struct busy_extent *e = mem_alloc_zeroed_sure(sizeof(*e));

	e->durable.run = became_durable;
	e->ag = ag;
	e->start = start;
	e->count = count;
	mutex_lock(&ag->busy_lock);
	/* Only a volume whose trees claim one block twice can free what is busy. */
	if (unfix(UNFIX_reuse_while_busy)) {
		e->count = 0;
	} else if (tree_first_overlap(ag->busy, start, (uint64_t)start + count)) {
		msg_error("AG %u: blocks %u+%u are freed a second time", ag->agno, start, count);
		e->count = 0;
	} else {
		tree_insert(&ag->busy, e);
	}
	mutex_unlock(&ag->busy_lock);
	tx_add_durable_callback(tx, &e->durable);
}

void busy_forget_all(struct ag *ag)
{
	/* Their callbacks have run: the log is gone. */
	ensure(!ag->busy);
}

uint64_t busy_generation(struct ag *ag)
{
	uint64_t generation;

	mutex_lock(&ag->busy_lock);
	generation = ag->busy_generation;
	mutex_unlock(&ag->busy_lock);
	return generation;
}

bool busy_overlaps(struct ag *ag, agblk_t start, uint32_t count)
{
	bool overlaps;

	mutex_lock(&ag->busy_lock);
	overlaps = tree_first_overlap(ag->busy, start, (uint64_t)start + count) != NULL;
	mutex_unlock(&ag->busy_lock);
	return overlaps;
}

/* ---- allocation
 * ------------------------------------------------------------------------------------------------- */

/*
 * Cuts @e out of [*@start, *@end).  In the middle, the part on the left is kept when it is long enough for the whole
 * wish; else the right one when it is much longer than that, so that it can serve again; else the left one when it is
 * enough.
 */
static bool cut(const struct busy_extent *e, const struct busy_trim *trim, agblk_t *start, agblk_t *end)
{
	agblk_t busy_end = e->start + e->count;

	if (e->start <= *start && busy_end >= *end)
		return false;
	if (e->start <= *start)
		*start = busy_end;
	else if (busy_end >= *end)
		*end = e->start;
	else if (e->start - *start >= trim->max_count)
		*end = e->start;
	else if (*end - busy_end >= 4ull * trim->max_count)
		*start = busy_end;
	else if (e->start - *start >= trim->min_count)
		*end = e->start;
	else
		return false;
	return true;
}

bool busy_trim(struct ag *ag, struct busy_trim *trim, agblk_t *start, uint32_t *count)
{
	agblk_t first = *start, end = *start + *count;
	struct busy_extent *e;
	bool was_busy = false;

	mutex_lock(&ag->busy_lock);
	while (end > first && (e = tree_first_overlap(ag->busy, first, end))) {
		was_busy = true;
		if (!cut(e, trim, &first, &end))
			end = first;
		else if (end - first < trim->min_count)
			end = first;
	}
	if (was_busy)
		trim->generation = ag->busy_generation;
	mutex_unlock(&ag->busy_lock);
	*start = first;
	*count = end - first;
	return was_busy;
}

int busy_flush(struct ag *ag, uint64_t generation)
{
	struct log *log = space_log(ag->space);
	bool has_changed;
	int err;

	err = log_force(log, 0, NULL);
	if (err)
		return err;
	mutex_lock(&ag->busy_lock);
	has_changed = ag->busy_generation != generation;
	mutex_unlock(&ag->busy_lock);
	return has_changed ? 0 : -EAGAIN;
}

int busy_wait(struct ag *ag, agblk_t start, uint32_t count)
{
	int err = 0;

	for (;;) {
		uint64_t generation = busy_generation(ag);

		if (err || !busy_overlaps(ag, start, count))
			return err;
		err = busy_flush(ag, generation);
	}
}

int busy_reuse(struct ag *ag, agblk_t start, uint32_t count)
{
	uint64_t end = (uint64_t)start + count;
	struct busy_extent *e;
	bool must_wait = false;

	mutex_lock(&ag->busy_lock);
	while (!must_wait && (e = tree_first_overlap(ag->busy, start, end))) {
		if (e->start >= start && (uint64_t)e->start + e->count <= end)
			detach(ag, e);
		else if (e->start < start && (uint64_t)e->start + e->count <= end)
			e->count = start - e->start;
		else
			must_wait = true;
	}
	mutex_unlock(&ag->busy_lock);
	return must_wait ? busy_wait(ag, start, count) : 0;
}

/* Everything that is busy now was freed by transactions that have committed, but for what the caller itself holds. */
int space_flush_busy(struct space *space)
{
	return log_force(space_log(space), 0, NULL);
}
