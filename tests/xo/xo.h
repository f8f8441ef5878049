/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * The xo language against the library, in one process: one system call per line of a script, and probes that show
 * what an outsider would see.  The same scripts were run on Linux 6.18 (expected.txt); see README.
 *
 * A script speaks of descriptors ("fd N" chooses one of 16) and paths ("$M/name").  Like the kernel's, inodes stay in
 * memory after the last close: the name cache here keeps a reference until "drop", unlink or unmount.
 */
#include <userxfs/volume.h>

#define XO_FDS 16
#define XO_NAMES 4096
#define XO_PATH_MAX 256

struct xo_file {
	struct inode *inode;		/* NULL: not open */
	bool writable, append, sync;
	char path[XO_PATH_MAX];
	bool is_mapped;
	uint64_t map_off, map_count;
	uint64_t error_seen;
};

struct xo_name {
	char path[XO_PATH_MAX];
	struct inode *inode;
};

struct xo {
	struct volume_options options;
	struct volume *vol;
	struct xo_file files[XO_FDS];
	int current;
	struct xo_name names[XO_NAMES];
	unsigned name_count;
	bool has_base;
	uint64_t base_free;		/* free blocks when "used" was zero */
	bool show_physical;
	unsigned unit_log;		/* extents are shown in units of this */
	bool has_attr_forks;		/* new files get an attr fork, as where a security module may label them */
};

/* ---- xo.c ---- */

/* "64k", "1m", "2g", "3b" (blocks of 4 KiB). */
uint64_t xo_number(const char *text);
struct xo_file *xo_current(struct xo *xo);
/* Prints "@line => value", or the error's name. */
void xo_print_result(const char *line, int err, uint64_t value);
/* Free blocks of the volume. */
uint64_t xo_free_blocks(struct xo *xo);
/* What threads would do by themselves, until there is nothing left. */
void xo_settle(struct xo *xo);
/* One line of a script. */
void xo_run_line(struct xo *xo, char *line);

/* ---- names.c ---- */

/* Referenced. */
int xo_walk(struct xo *xo, const char *path, bool create, struct inode **out);
int xo_mkdir(struct xo *xo, const char *path);
int xo_unlink(struct xo *xo, const char *path);
int xo_rename(struct xo *xo, const char *from, const char *to);
/* Forgets all names that nobody has open. */
void xo_drop_names(struct xo *xo);

/* ---- ops.c ---- */

int xo_open(struct xo *xo, struct xo_file *file, const char *path, const char *flags);
void xo_close(struct xo_file *file);
/* One write() of @count bytes @byte, of which the first @good can be read; *done as file_write(). */
int xo_write(struct xo_file *file, uint64_t off, uint64_t count, uint64_t good, uint8_t byte, uint32_t flags,
	     uint64_t *done);
/*
 * Writes of @chunk bytes until @count is reached or one is short; the first error, if nothing was written by that
 * call.
 */
int xo_write_chunks(struct xo_file *file, uint64_t off, uint64_t count, uint64_t chunk, uint8_t byte,
		    uint64_t *total);
int xo_read(struct xo_file *file, uint64_t off, uint64_t count, bool direct, uint8_t *first, uint64_t *done);
int xo_store(struct xo_file *file, uint64_t off, uint64_t count, uint8_t byte);
int xo_load(struct xo_file *file, uint64_t off);
int xo_falloc(struct xo_file *file, const char *mode, uint64_t off, uint64_t count);
int xo_sync_range(struct xo_file *file, uint64_t off, uint64_t count);
int xo_mount(struct xo *xo);
/* @forget: descriptors stay open over a remount only if they are closed first: none may be open. */
int xo_unmount(struct xo *xo);

/* ---- probe.c ---- */

void xo_probe(struct xo *xo, struct inode *inode, const char *label);
/* Runs of blocks that hold one byte only. */
void xo_print_fill(struct xo_file *file);
void xo_print_xflags(struct inode *inode);
/* "[0K+64K@24]": where a file's bytes lie on disk, the last extent marked L. */
void xo_print_place(struct xo *xo, struct inode *inode);
/* Prints @format with %f free and %b all blocks. */
void xo_print_statfs(struct xo *xo, const char *format);

/* ---- measure.c ---- */

/* Appends writes of @chunk bytes up to @total, as one table. */
void xo_trace_append(struct xo *xo, const char *path, uint64_t chunk, uint64_t total);
/* For each line "target,free blocks" of @table: speculation of one 4 KiB append to a file of @base bytes. */
void xo_trace_throttle(struct xo *xo, uint64_t base, const char *table);
