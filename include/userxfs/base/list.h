/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * An intrusive doubly linked ring.  A head and a node are the same type; an unlinked node points at itself.
 * No locking: the owner of the head says which lock guards it.
 */
#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name) { &(name), &(name) }

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert_between(struct list *node, struct list *prev, struct list *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

/* Inserts @node right after @head (first place). */
static inline void list_push_front(struct list *head, struct list *node)
{
	list_insert_between(node, head, head->next);
}

/* Inserts @node right before @head (last place). */
static inline void list_push_back(struct list *head, struct list *node)
{
	list_insert_between(node, head->prev, head);
}

/* Unlinks @node and leaves it pointing at itself; harmless on an unlinked node. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

static inline void list_move_back(struct list *head, struct list *node)
{
	list_remove(node);
	list_push_back(head, node);
}

/* Appends all of @from to @to and leaves @from empty. */
static inline void list_splice_back(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_last(head, type, member) list_entry((head)->prev, type, member)
#define list_for_each(node, head) for (struct list *node = (head)->next; node != (head); node = node->next)
/* The current node may be removed inside the loop. */
#define list_for_each_safe(node, head) \
	for (struct list *node = (head)->next, *node##_next = node->next; node != (head); \
	     node = node##_next, node##_next = node->next)
