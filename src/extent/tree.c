// SPDX-License-Identifier: GPL-2.0
/*
 * The in-core extent tree.  (XFS: xfs_iext_tree.c; the shape is the same, the details are not.)
 *
 *                   +------+------+                     node: keys and children
 *                   |  k0  |  k1  |
 *                   +--+---+--+---+
 *             +--------+      +--------+
 *   +---------+---------+     +--------+----------+
 *   | rec rec rec  .  . | <-> | rec rec rec rec . |     leaves: packed records, chained both ways
 *   +-------------------+     +-------------------+
 *
 * A record takes 16 bytes: the two words that the disk uses (format/record.h), in host order.  A delayed extent has a
 * start that no volume can have (upper 32 of its 52 bits set) with the indirect reservation in the lower 20 bits.
 *
 * Key i of a node is at most the offset of every record below child i and greater than that of every record below
 * child i - 1.  It need not be equal to the smallest: removing a leaf's first record leaves the key alone.  Nothing
 * is to the left of child 0, whatever its key.
 *
 * A file with few extents has one leaf that starts with room for 2 records and doubles.  A full leaf at the right
 * edge is left full when something is appended, so that files written front to back have dense trees.
 */
#include "tree.h"

#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#define LEAF_RECORDS 30		/* 504 bytes with the header */
#define LEAF_FIRST_RECORDS 2
#define NODE_CHILDREN 31	/* 504 bytes */

#define OFF_SHIFT 9
#define OFF_MASK ((1ull << BMBT_STARTOFF_BITLEN) - 1)
#define COUNT_BITS 21
#define COUNT_MASK ((1ull << COUNT_BITS) - 1)
#define START_LOW_BITS 43
#define START_LOW_MASK ((1ull << START_LOW_BITS) - 1)
#define INDIRECT_BITS 20
#define INDIRECT_MASK ((1ull << INDIRECT_BITS) - 1)
#define DELAYED_START (((1ull << BMBT_STARTBLOCK_BITLEN) - 1) & ~INDIRECT_MASK)

struct packed {
	uint64_t l0, l1;
};

struct tree_leaf {
	struct tree_leaf *prev, *next;
	uint16_t count, capacity;
	struct packed recs[];
};

struct tree_node {
	uint16_t count;
	fileblk_t keys[NODE_CHILDREN];
	void *children[NODE_CHILDREN];	/* nodes, or leaves at level 1 */
};

/* ---- packed records ---- */

static fileblk_t packed_off(const struct packed *p)
{
	return p->l0 >> OFF_SHIFT & OFF_MASK;
}

static struct packed pack(const struct irec *rec)
{
	const struct extent *ext = &rec->ext;
	uint64_t start = ext->start.v;

	ensure(ext->off <= OFF_MASK && ext->count && ext->count <= COUNT_MASK);
	if (ext->state == EXTENT_DELAYED) {
		ensure(rec->indirect <= INDIRECT_MASK);
		start = DELAYED_START | rec->indirect;
	} else {
		ensure(start < DELAYED_START && ext->state != EXTENT_HOLE && !rec->indirect);
	}
	return (struct packed){
		.l0 = (uint64_t)(ext->state == EXTENT_UNWRITTEN) << 63 | ext->off << OFF_SHIFT |
		      start >> START_LOW_BITS,
		.l1 = (start & START_LOW_MASK) << COUNT_BITS | ext->count,
	};
}

static void unpack(const struct packed *p, struct irec *out)
{
	uint64_t start = (p->l0 & ((1ull << OFF_SHIFT) - 1)) << START_LOW_BITS | p->l1 >> COUNT_BITS;

	out->ext.off = packed_off(p);
	out->ext.count = p->l1 & COUNT_MASK;
	if ((start & DELAYED_START) == DELAYED_START) {
		out->ext.start = FSBLK_NONE;
		out->ext.state = EXTENT_DELAYED;
		out->indirect = (uint32_t)(start & INDIRECT_MASK);
	} else {
		out->ext.start = (struct fsblk){ start };
		out->ext.state = p->l0 >> 63 ? EXTENT_UNWRITTEN : EXTENT_WRITTEN;
		out->indirect = 0;
	}
}

/* ---- searching ---- */

/* The child whose range of keys @off falls into. */
static unsigned child_index(const struct tree_node *node, fileblk_t off)
{
	unsigned low = 0, high = node->count;

	while (high - low > 1) {
		unsigned mid = (low + high) / 2;

		if (node->keys[mid] <= off)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* How many records of @leaf start at or before @off. */
static unsigned leaf_rank(const struct tree_leaf *leaf, fileblk_t off)
{
	unsigned low = 0, high = leaf->count;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (packed_off(&leaf->recs[mid]) <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct tree_leaf *find_leaf(const struct extent_tree *tree, fileblk_t off)
{
	void *at = tree->root;

	for (unsigned level = tree->height; level > 1; level--) {
		struct tree_node *node = at;

		at = node->children[child_index(node, off)];
	}
	return at;
}

static bool cursor_get(const struct tree_cursor *cur, struct irec *out)
{
	if (!cur->leaf)
		return false;
	unpack(&cur->leaf->recs[cur->index], out);
	return true;
}

/* The last record that starts at or before @off. */
static bool find_at_or_before(const struct extent_tree *tree, fileblk_t off, struct tree_cursor *cur)
{
	unsigned rank;

	cur->leaf = find_leaf(tree, off);
	if (!cur->leaf)
		return false;
	rank = leaf_rank(cur->leaf, off);
	if (rank) {
		cur->index = rank - 1;
		return true;
	}
	/* The key was smaller than the leaf's first record. */
	cur->leaf = cur->leaf->prev;
	if (!cur->leaf)
		return false;
	cur->index = cur->leaf->count - 1u;
	return true;
}

bool tree_lookup(const struct extent_tree *tree, fileblk_t off, struct tree_cursor *cur, struct irec *out)
{
	struct irec rec;

	if (!find_at_or_before(tree, off, cur))
		return tree_first(tree, cur, out);
	cursor_get(cur, &rec);
	if (extent_end(&rec.ext) <= off)
		return tree_next(cur, out);
	*out = rec;
	return true;
}

bool tree_lookup_before(const struct extent_tree *tree, fileblk_t off, struct tree_cursor *cur, struct irec *out)
{
	cur->leaf = NULL;
	return off && find_at_or_before(tree, off - 1, cur) && cursor_get(cur, out);
}

bool tree_first(const struct extent_tree *tree, struct tree_cursor *cur, struct irec *out)
{
	cur->leaf = find_leaf(tree, 0);
	cur->index = 0;
	return cursor_get(cur, out);
}

bool tree_last(const struct extent_tree *tree, struct tree_cursor *cur, struct irec *out)
{
	return tree_lookup_before(tree, UINT64_MAX, cur, out);
}

bool tree_next(struct tree_cursor *cur, struct irec *out)
{
	if (cur->leaf && ++cur->index >= cur->leaf->count) {
		cur->leaf = cur->leaf->next;
		cur->index = 0;
	}
	return cursor_get(cur, out);
}

bool tree_prev(struct tree_cursor *cur, struct irec *out)
{
	if (cur->leaf && cur->index-- == 0) {
		cur->leaf = cur->leaf->prev;
		if (cur->leaf)
			cur->index = cur->leaf->count - 1u;
	}
	return cursor_get(cur, out);
}

/* ---- inserting ---- */

static struct tree_leaf *leaf_create(unsigned capacity)
{
	struct tree_leaf *leaf = mem_alloc_sure(sizeof(*leaf) + capacity * sizeof(leaf->recs[0]));

	leaf->prev = leaf->next = NULL;
	leaf->count = 0;
	leaf->capacity = (uint16_t)capacity;
	return leaf;
}

/* Makes the only leaf larger; it is reached from the root alone. */
static void grow_root_leaf(struct extent_tree *tree)
{
	struct tree_leaf *old = tree->root, *leaf;
	unsigned capacity = old->capacity * 2u < LEAF_RECORDS ? old->capacity * 2u : LEAF_RECORDS;

	leaf = leaf_create(capacity);
	leaf->count = old->count;
	memcpy(leaf->recs, old->recs, old->count * sizeof(old->recs[0]));
	mem_free(old);
	tree->root = leaf;
}

static void leaf_put(struct tree_leaf *leaf, unsigned index, const struct packed *p)
{
	memmove(&leaf->recs[index + 1], &leaf->recs[index], (leaf->count - index) * sizeof(leaf->recs[0]));
	leaf->recs[index] = *p;
	leaf->count++;
}

/* Moves what is from @keep on into a new leaf to the right. */
static struct tree_leaf *leaf_split(struct tree_leaf *leaf, unsigned keep)
{
	struct tree_leaf *right = leaf_create(LEAF_RECORDS);

	right->count = (uint16_t)(leaf->count - keep);
	memcpy(right->recs, &leaf->recs[keep], right->count * sizeof(leaf->recs[0]));
	leaf->count = (uint16_t)keep;
	right->prev = leaf;
	right->next = leaf->next;
	if (leaf->next)
		leaf->next->prev = right;
	leaf->next = right;
	return right;
}

/* Returns the new right neighbour when the leaf had to be split; *key separates the two. */
static struct tree_leaf *leaf_insert(struct tree_leaf *leaf, const struct packed *p, fileblk_t *key)
{
	unsigned index = leaf_rank(leaf, packed_off(p));
	struct tree_leaf *right;
	bool is_append;

	ensure(!index || packed_off(&leaf->recs[index - 1]) != packed_off(p));
	if (leaf->count < leaf->capacity) {
		leaf_put(leaf, index, p);
		return NULL;
	}
	is_append = index == leaf->count && !leaf->next;
	right = leaf_split(leaf, is_append ? leaf->count : leaf->count / 2u);
	if (is_append || index > leaf->count)
		leaf_put(right, index - leaf->count, p);
	else
		leaf_put(leaf, index, p);
	*key = packed_off(&right->recs[0]);
	return right;
}

static void node_put(struct tree_node *node, unsigned index, fileblk_t key, void *child)
{
	unsigned behind = node->count - index;

	memmove(&node->keys[index + 1], &node->keys[index], behind * sizeof(node->keys[0]));
	memmove(&node->children[index + 1], &node->children[index], behind * sizeof(node->children[0]));
	node->keys[index] = key;
	node->children[index] = child;
	node->count++;
}

static void node_append(struct tree_node *to, const struct tree_node *from, unsigned first)
{
	unsigned count = from->count - first;

	memcpy(&to->keys[to->count], &from->keys[first], count * sizeof(to->keys[0]));
	memcpy(&to->children[to->count], &from->children[first], count * sizeof(to->children[0]));
	to->count = (uint16_t)(to->count + count);
}

/* Puts @child behind child @index; returns the new right neighbour when the node had to be split. */
static struct tree_node *node_insert(struct tree_node *node, unsigned index, fileblk_t *key, void *child)
{
	struct tree_node *right;
	unsigned keep;

	index++;
	if (node->count < NODE_CHILDREN) {
		node_put(node, index, *key, child);
		return NULL;
	}
	right = mem_alloc_sure(sizeof(*right));
	right->count = 0;
	keep = index == node->count ? node->count : node->count / 2u;
	node_append(right, node, keep);
	node->count = (uint16_t)keep;
	if (index > keep || !right->count)
		node_put(right, index - keep, *key, child);
	else
		node_put(node, index, *key, child);
	*key = right->keys[0];
	return right;
}

static void *insert_below(void *at, unsigned level, const struct packed *p, fileblk_t *key)
{
	struct tree_node *node = at;
	unsigned index;
	void *right;

	if (level == 1)
		return leaf_insert(at, p, key);
	index = child_index(node, packed_off(p));
	if (packed_off(p) < node->keys[index])
		node->keys[index] = packed_off(p);
	right = insert_below(node->children[index], level - 1, p, key);
	return right ? node_insert(node, index, key, right) : NULL;
}

void tree_insert(struct extent_tree *tree, const struct irec *rec)
{
	struct packed p = pack(rec);
	struct tree_leaf *leaf = tree->root;
	struct tree_node *root;
	fileblk_t key = 0;
	void *right;

	if (!tree->root) {
		tree->root = leaf_create(LEAF_FIRST_RECORDS);
		tree->height = 1;
	} else if (tree->height == 1 && leaf->count == leaf->capacity && leaf->capacity < LEAF_RECORDS) {
		grow_root_leaf(tree);
	}
	tree->count++;
	right = insert_below(tree->root, tree->height, &p, &key);
	if (!right)
		return;
	root = mem_alloc_sure(sizeof(*root));
	root->count = 0;
	node_put(root, 0, 0, tree->root);
	node_put(root, 1, key, right);
	tree->root = root;
	tree->height++;
}

void tree_update(struct extent_tree *tree, const struct irec *rec)
{
	struct tree_cursor cur;

	ensure(find_at_or_before(tree, rec->ext.off, &cur));
	ensure(packed_off(&cur.leaf->recs[cur.index]) == rec->ext.off);
	((struct tree_leaf *)cur.leaf)->recs[cur.index] = pack(rec);
}

/* ---- removing ---- */

static void leaf_free(struct tree_leaf *leaf)
{
	if (leaf->prev)
		leaf->prev->next = leaf->next;
	if (leaf->next)
		leaf->next->prev = leaf->prev;
	mem_free(leaf);
}

static unsigned child_count(const void *child, unsigned level)
{
	return level == 1 ? ((const struct tree_leaf *)child)->count : ((const struct tree_node *)child)->count;
}

static unsigned child_room(unsigned level)
{
	return level == 1 ? LEAF_RECORDS : NODE_CHILDREN;
}

static void node_take(struct tree_node *node, unsigned index)
{
	unsigned behind = node->count - index - 1u;

	memmove(&node->keys[index], &node->keys[index + 1], behind * sizeof(node->keys[0]));
	memmove(&node->children[index], &node->children[index + 1], behind * sizeof(node->children[0]));
	node->count--;
}

/* Moves all of child @index + 1 to the end of child @index; they are of @level. */
static void merge_children(struct tree_node *node, unsigned index, unsigned level)
{
	if (level == 1) {
		struct tree_leaf *left = node->children[index], *right = node->children[index + 1];

		memcpy(&left->recs[left->count], right->recs, right->count * sizeof(left->recs[0]));
		left->count = (uint16_t)(left->count + right->count);
		leaf_free(right);
	} else {
		struct tree_node *right = node->children[index + 1];

		node_append(node->children[index], right, 0);
		mem_free(right);
	}
	node_take(node, index + 1);
}

/* Keeps blocks at least half full where a neighbour has the room; an empty child goes in any case. */
static void balance_child(struct tree_node *node, unsigned index, unsigned level)
{
	unsigned count = child_count(node->children[index], level), room = child_room(level);

	if (!count) {
		if (level == 1)
			leaf_free(node->children[index]);
		else
			mem_free(node->children[index]);
		node_take(node, index);
		return;
	}
	if (count >= room / 2)
		return;
	if (index && child_count(node->children[index - 1], level) + count <= room)
		merge_children(node, index - 1, level);
	else if (index + 1 < node->count && child_count(node->children[index + 1], level) + count <= room)
		merge_children(node, index, level);
}

static void remove_below(void *at, unsigned level, fileblk_t off)
{
	struct tree_leaf *leaf = at;
	struct tree_node *node = at;
	unsigned index;

	if (level == 1) {
		index = leaf_rank(leaf, off);
		ensure(index && packed_off(&leaf->recs[index - 1]) == off);
		memmove(&leaf->recs[index - 1], &leaf->recs[index], (leaf->count - index) * sizeof(leaf->recs[0]));
		leaf->count--;
		return;
	}
	index = child_index(node, off);
	remove_below(node->children[index], level - 1, off);
	balance_child(node, index, level - 1);
}

void tree_remove(struct extent_tree *tree, fileblk_t off)
{
	ensure(tree->root);
	remove_below(tree->root, tree->height, off);
	tree->count--;
	while (tree->height > 1 && child_count(tree->root, tree->height) == 1) {
		struct tree_node *old = tree->root;

		tree->root = old->children[0];
		tree->height--;
		mem_free(old);
	}
	if (!tree->count)
		tree_clear(tree);
}

/* ---- life ---- */

void tree_init(struct extent_tree *tree)
{
	*tree = (struct extent_tree){ 0 };
}

static void free_below(void *at, unsigned level)
{
	struct tree_node *node = at;

	for (unsigned i = 0; level > 1 && i < node->count; i++)
		free_below(node->children[i], level - 1);
	mem_free(at);
}

void tree_clear(struct extent_tree *tree)
{
	if (tree->root)
		free_below(tree->root, tree->height);
	tree_init(tree);
}

/* ---- checking ---- */

struct tree_check {
	const struct tree_leaf *last_leaf;
	fileblk_t next_off;		/* no record may start before it */
	uint64_t count;
};

static const char *check_leaf(const struct tree_leaf *leaf, struct tree_check *check)
{
	struct irec rec;

	if (!leaf->count || leaf->count > leaf->capacity)
		return "a leaf of the extent tree has an impossible count";
	if (leaf->prev != check->last_leaf || (check->last_leaf && check->last_leaf->next != leaf))
		return "the chain of leaves is broken";
	for (unsigned i = 0; i < leaf->count; i++) {
		unpack(&leaf->recs[i], &rec);
		if (!rec.ext.count || rec.ext.off < check->next_off)
			return "extents are out of order";
		check->next_off = extent_end(&rec.ext);
		check->count++;
	}
	check->last_leaf = leaf;
	return NULL;
}

static const char *check_below(const void *at, unsigned level, fileblk_t low, fileblk_t high,
			       struct tree_check *check)
{
	const struct tree_node *node = at;
	const struct tree_leaf *leaf = at;
	const char *why = NULL;

	if (level == 1) {
		why = check_leaf(leaf, check);
		if (!why && (packed_off(&leaf->recs[0]) < low || packed_off(&leaf->recs[leaf->count - 1]) >= high))
			why = "a leaf lies outside its keys";
		return why;
	}
	if (!node->count || node->count > NODE_CHILDREN)
		return "a node of the extent tree has an impossible count";
	for (unsigned i = 0; !why && i < node->count; i++)
		why = check_below(node->children[i], level - 1, i ? node->keys[i] : low,
				  i + 1u < node->count ? node->keys[i + 1] : high, check);
	return why;
}

const char *tree_verify(const struct extent_tree *tree)
{
	struct tree_check check = { 0 };
	const char *why;

	if (!tree->root)
		return tree->count || tree->height ? "an empty extent tree counts records" : NULL;
	why = check_below(tree->root, tree->height, 0, UINT64_MAX, &check);
	if (!why && check.last_leaf->next)
		why = "the chain of leaves is too long";
	if (!why && check.count != tree->count)
		why = "the extent tree's count is wrong";
	return why;
}
