/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Memory.  All of the library's allocations pass here, so that tests can make the n-th one fail.
 * The plain calls return NULL when there is none (or when the "memory" fault point fires); the _sure calls never
 * return NULL and are for the places where a transaction is already dirty: they abort the process when the
 * system has nothing left.
 */
#include <stddef.h>

void *mem_alloc(size_t size_bytes);
void *mem_alloc_zeroed(size_t size_bytes);
/* @alignment_bytes: a power of two, at least sizeof(void *). */
void *mem_alloc_aligned(size_t alignment_bytes, size_t size_bytes);
void *mem_resize(void *old, size_t size_bytes);

void *mem_alloc_sure(size_t size_bytes);
void *mem_alloc_zeroed_sure(size_t size_bytes);
void *mem_alloc_aligned_sure(size_t alignment_bytes, size_t size_bytes);

/* NULL is fine. */
void mem_free(void *p);
