/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* What the files of the B+tree share: one block seen as numbered slots, and the path of a cursor. */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>
#include <userxfs/btree.h>

/*
 * One block of a tree.  A slot is a record (leaf) or a key (node; low and high key when overlapping), numbered from
 * 1; slot i of a node has pointer i.
 */
struct node {
	struct buffer *buf;		/* NULL: the root in the inode */
	struct xfs_btree_block *block;
	uint32_t level;
	uint32_t capacity;		/* pointers follow that many keys */
	uint32_t max;			/* slots that may be used */
};

/* A low key and, directly behind it where the tree is overlapping, a high key. */
struct key_pair {
	uint8_t bytes[2 * sizeof(union btree_key)] __attribute__((aligned(8)));
};

/* What is put into a block: a record, or keys with the pointer to the block below. */
struct entry {
	union {
		union btree_rec rec;
		struct key_pair keys;
	};
	union btree_ptr ptr;
};

enum side { SIDE_LEFT, SIDE_RIGHT };

/* node.c: bytes of one block */
static inline uint32_t node_count(const struct node *n)
{
	return be16_to_cpu(n->block->bb_numrecs);
}

size_t slot_bytes(const struct btree_ops *ops, uint32_t level);
void *node_slot(const struct btree_cursor *cur, const struct node *n, uint32_t index);
union btree_ptr *node_ptr_at(const struct btree_cursor *cur, const struct node *n, uint32_t index);
union btree_ptr ptr_copy(const struct btree_cursor *cur, const void *at);
/* The low key of slot @index, of records too. */
void node_low_key(const struct btree_cursor *cur, const struct node *n, uint32_t index, union btree_key *key);
void node_high_key(const struct btree_cursor *cur, const struct node *n, uint32_t index, union btree_key *key);
/* The keys that the parent of @n has to have; @n is not empty. */
void node_keys(const struct btree_cursor *cur, const struct node *n, struct key_pair *out);
size_t keys_bytes(const struct btree_ops *ops);

void node_set_count(struct btree_cursor *cur, struct node *n, uint32_t count);
void node_log_header(struct btree_cursor *cur, struct node *n);
/* Slots [first, end) and their pointers. */
void node_log_slots(struct btree_cursor *cur, struct node *n, uint32_t first, uint32_t end);
void node_insert_slot(struct btree_cursor *cur, struct node *n, uint32_t index, const struct entry *e);
void node_remove_slot(struct btree_cursor *cur, struct node *n, uint32_t index);
/* Copies @count slots with pointers, between two blocks of one level; counts are not touched, @to is logged. */
void node_copy_slots(struct btree_cursor *cur, struct node *to, uint32_t to_index, const struct node *from,
		     uint32_t from_index, uint32_t count);

union btree_ptr ptr_none(const struct btree_cursor *cur);
bool ptr_is_none(const struct btree_cursor *cur, const union btree_ptr *p);
bool ptr_is_equal(const struct btree_cursor *cur, const union btree_ptr *a, const union btree_ptr *b);
union btree_ptr node_sibling(const struct btree_cursor *cur, const struct node *n, enum side side);
void node_set_sibling(struct btree_cursor *cur, struct node *n, enum side side, const union btree_ptr *p);
union btree_ptr node_own_ptr(const struct btree_cursor *cur, const struct node *n);
daddr_u64 ptr_daddr(const struct btree_cursor *cur, const union btree_ptr *p);

/* cursor.c: the path */
/* One log line; always -EFSCORRUPTED. */
int btree_corrupted(const struct btree_cursor *cur, const struct node *n, const char *reason);
struct node path_node(const struct btree_cursor *cur, uint32_t level);
bool level_is_iroot(const struct btree_cursor *cur, uint32_t level);
/* Loads the root into the path.  *ptr_levels: height. */
int path_load_root(struct btree_cursor *cur);
/* Loads the child at the path's index of @level + 1; keeps what is there when it is the same block. */
int path_load_child(struct btree_cursor *cur, uint32_t level);
void path_set(struct btree_cursor *cur, uint32_t level, struct buffer *buf);
void path_release_below(struct btree_cursor *cur, uint32_t level);
/* Reads and checks one block; the caller releases it with cursor_release(). */
int node_read(struct btree_cursor *cur, uint32_t level, const union btree_ptr *p, struct node *out);
/* A new block, empty, zeroed, initialised. */
int node_create(struct btree_cursor *cur, uint32_t level, const union btree_ptr *near, struct node *out,
		union btree_ptr *ptr);
int node_free(struct btree_cursor *cur, struct node *n);
void cursor_release(struct btree_cursor *cur, struct buffer *buf);
void cursor_read_ahead(struct btree_cursor *cur, const struct node *n, enum side side);
/* -EFSCORRUPTED unless all of @left sorts before all of @right. */
int check_order(const struct btree_cursor *cur, const struct node *left, const struct node *right);
/* -EFSCORRUPTED unless @rec sorts between the records @before and @after of a leaf, as far as these exist. */
int check_place(const struct btree_cursor *cur, const struct node *leaf, const union btree_rec *rec, uint32_t before,
		uint32_t after);
/* To the first record of the tree. */
int path_to_first(struct btree_cursor *cur, bool *found);

/* update.c: keys above a changed block, neighbours */
/* Corrects the keys above the path's block at @level, up to where nothing changes any more. */
void update_keys(struct btree_cursor *cur, uint32_t level);
/* A duplicate of @cur moved to the @side neighbour of its block at @level. */
int neighbour_cursor(struct btree_cursor *cur, uint32_t level, enum side side, struct btree_cursor *out);
/* Moves one slot between the blocks at @level of two neighbouring cursors and corrects the keys above both. */
void shift_left(struct btree_cursor *left, struct btree_cursor *right, uint32_t level);
void shift_right(struct btree_cursor *left, struct btree_cursor *right, uint32_t level);
