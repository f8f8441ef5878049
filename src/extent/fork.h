/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Forks as containers, for the files of this room that change a fork's form. */
#include <userxfs/extent/map.h>

/* Bytes of the inode behind its core: data and attr fork together. */
uint32_t fork_area_bytes(const struct file_map *map);
/* Frees what a fork holds; the fork itself keeps its form. */
void fork_clear(struct fork *fork);
/* A present, loaded fork of @format with nothing in it. */
void fork_make_empty(struct fork *fork, enum fork_format format);
/* The XFS_ILOG_* bit that says a fork of this form has changed. */
uint32_t fork_ilog_flag(const struct fork *fork, enum fork_which which);
