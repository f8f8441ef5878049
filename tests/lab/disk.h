/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * Volumes small enough to be copied for every experiment, in memory.  mkfs.xfs makes them (with --unsupported, which
 * lifts its lower limit of 300 MB), xfs_repair -n judges them.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/volume.h>

/* An image in memory that other programs can open. */
struct disk {
	uint64_t size_bytes;
	char *bytes;			/* shared with .fd */
	int fd;
};

void disk_create(struct disk *disk, uint64_t size_bytes);
/* Formats it: "mkfs.xfs @mkfs_args".  Ends the program when mkfs does not like them. */
void disk_format(struct disk *disk, const char *mkfs_args);
void disk_destroy(struct disk *disk);

/* Writes the image to a file, for somebody to look at. */
void disk_save(const struct disk *disk, const char *path);
/* Whether "xfs_repair -n" finds nothing; otherwise what it says has been printed. */
bool disk_is_clean(const struct disk *disk);

/* Mounts without threads, with a small cache; the volume closes @dev. */
int disk_mount_device(struct device *dev, struct volume **out);
/* The same over the disk's own bytes. */
int disk_mount(struct disk *disk, struct volume **out);
/* Everything that threads would do by themselves, until there is nothing left. */
void disk_settle(struct volume *vol);
