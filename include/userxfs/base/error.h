/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Error numbers and the assertion.
 *
 * Functions return 0 or a negative errno; outputs are untouched on failure unless their contract says
 * otherwise.  Two numbers have a meaning of their own here, as in XFS:
 *
 *   -EFSCORRUPTED  a metadata block contradicts itself or its place (the disk lies)
 *   -EFSBADCRC     a metadata block's checksum does not match its bytes
 *
 * Whoever returns one of them first has written one log line that names the place and the reason.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef EFSCORRUPTED
#define EFSCORRUPTED EUCLEAN
#define EFSBADCRC EBADMSG
#endif

/* Our own bug, never the disk's: prints file, line and condition and aborts.  Stays in release builds. */
#define ensure(cond) ((cond) ? (void)0 : ensure_failed(#cond, __FILE__, __LINE__, __func__))

_Noreturn void ensure_failed(const char *cond, const char *file, int line, const char *func);
