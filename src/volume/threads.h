/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* The threads of a mounted volume: each loops over one room's passes. */
#include <userxfs/volume.h>

/* Device threads alone come first: mounting already does I/O.  -EAGAIN, -ENOMEM. */
int volume_threads_start_device(struct volume *vol);
/* The rest, once every room exists. */
int volume_threads_start(struct volume *vol);
/* Stops housekeeping, writeback and log threads (device threads go on). */
void volume_threads_stop(struct volume *vol);
/* Stops the device threads and frees the object.  Harmless when never started. */
void volume_threads_destroy(struct volume *vol);
