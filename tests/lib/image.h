/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Images for tests: made by mkfs.xfs in a private temporary directory, checked by xfs_repair -n. */
#include <stdint.h>

/*
 * Makes a sparse file of @size_bytes and formats it: "mkfs.xfs -q -f @mkfs_args FILE".  Returns its path (free()d by
 * image_remove()).  Fails the running test when mkfs does.
 */
char *image_create(uint64_t size_bytes, const char *mkfs_args);
/* Runs a shell command made like printf; returns its exit status. */
int image_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* 0 when "xfs_repair -n" calls the image clean; prints what it says otherwise. */
int image_check(const char *path);
void image_remove(char *path);
