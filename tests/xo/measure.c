// SPDX-License-Identifier: GPL-2.0
/* The two measuring programs: appending traces, and speculation as free space runs out. */
#include "xo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>

static uint64_t blocks_512(struct inode *inode)
{
	struct inode_stat stat;

	inode_stat(inode, &stat);
	return stat.blocks_512;
}

/* ---- appending ---- */

static bool print_row_extent(void *context, const struct extent *ext)
{
	bool *is_first = context;

	printf("%s%llu+%llu%c", *is_first ? "" : " ", (unsigned long long)ext->off, (unsigned long long)ext->count,
	       ext->state == EXTENT_DELAYED     ? 'D'
	       : ext->state == EXTENT_UNWRITTEN ? 'U'
						: 'W');
	*is_first = false;
	return true;
}

static void print_row(struct xo *xo, const char *event, uint64_t writes)
{
	struct inode *inode = xo_current(xo)->inode;
	struct inode_stat stat;
	bool is_first = true;

	inode_stat(inode, &stat);
	printf("%s,%llu,%llu,%llu,%lld,%lld,\"", event, (unsigned long long)writes,
	       (unsigned long long)stat.size_bytes, (unsigned long long)stat.blocks_512,
	       (long long)(stat.blocks_512 * 512 - round_up_u64(stat.size_bytes, 4096)),
	       (long long)(xo->base_free - xo_free_blocks(xo)));
	ensure(file_report(inode, 0, UINT64_MAX, print_row_extent, &is_first) == 0);
	printf("\"\n");
}

static void append(struct xo *xo, uint64_t chunk)
{
	uint64_t done = 0;

	ensure(xo_write(xo_current(xo), 0, chunk, chunk, 'a', 0, &done) == 0 && done == chunk);
}

static void reopen(struct xo *xo, const char *path, const char *flags)
{
	struct xo_file *file = xo_current(xo);

	if (file->inode)
		xo_close(file);
	ensure(xo_open(xo, file, path, flags) == 0);
}

static void sync_row(struct xo *xo, const char *event)
{
	ensure(file_fsync(xo_current(xo)->inode, false, NULL) == 0);
	print_row(xo, event, 0);
}

void xo_trace_append(struct xo *xo, const char *path, uint64_t chunk, uint64_t total)
{
	uint64_t last = UINT64_MAX, n = total / chunk;

	reopen(xo, path, "ca");
	xo->base_free = xo_free_blocks(xo);
	printf("event,nwrites,size_bytes,st_blocks512,prealloc_beyond_eof_bytes,bfree_used_blocks,extents_fsb_off+"
	       "len_flag\n");
	for (uint64_t i = 1; i <= n; i++) {
		append(xo, chunk);
		if (blocks_512(xo_current(xo)->inode) == last)
			continue;
		print_row(xo, "write", i);
		last = blocks_512(xo_current(xo)->inode);
	}
	print_row(xo, "before_close", n);
	reopen(xo, path, "r");
	print_row(xo, "after_close", 0);
	sync_row(xo, "after_fsync_ro");
	reopen(xo, path, "a");
	append(xo, chunk);
	print_row(xo, "reopen_append1", 1);
	reopen(xo, path, "r");
	print_row(xo, "after_2nd_close", 0);
	sync_row(xo, "after_2nd_fsync");
}

/* ---- throttling ---- */

/* Fills the volume with @filler until exactly @target blocks are free. */
static void leave_free(struct xo *xo, struct xo_file *filler, uint64_t target)
{
	struct inode_stat stat;

	while (xo_free_blocks(xo) > target) {
		inode_stat(filler->inode, &stat);
		ensure(xo_falloc(filler, "d", stat.size_bytes, (xo_free_blocks(xo) - target) * 4096) == 0);
	}
	ensure(xo_free_blocks(xo) == target);
}

static void throttle_row(struct xo *xo, struct xo_file *base, struct xo_file *filler, uint64_t base_bytes, char *row)
{
	const char *percent = strtok(row, ",");
	uint64_t target = xo_number(strtok(NULL, ",")), before, after, done;

	leave_free(xo, filler, target);
	before = blocks_512(base->inode);
	ensure(xo_write(base, base_bytes, 4096, 4096, 'a', 0, &done) == 0);
	after = blocks_512(base->inode);
	printf("%s,%llu,%.3f,%llu,%llu\n", percent, (unsigned long long)target, (double)target * 100 / 524288,
	       (unsigned long long)(after - before) / 8, (unsigned long long)(after - before));
	ensure(file_truncate(base->inode, base_bytes, true) == 0);
}

void xo_trace_throttle(struct xo *xo, uint64_t base_bytes, const char *table)
{
	struct xo_file *base = &xo->files[0], *filler = &xo->files[1];
	char row[128];
	uint64_t total;
	FILE *in;

	ensure(xo_open(xo, base, "base", "c") == 0 && xo_open(xo, filler, "filler", "c") == 0);
	ensure(xo_write_chunks(base, 0, base_bytes, 1u << 20, 'a', &total) == 0 && total == base_bytes);
	ensure(file_truncate(base->inode, base_bytes, true) == 0);
	ensure(file_fsync(base->inode, false, NULL) == 0);
	in = fopen(table, "r");
	ensure(in && fgets(row, sizeof(row), in));
	fputs(row, stdout);
	while (fgets(row, sizeof(row), in))
		throttle_row(xo, base, filler, base_bytes, row);
	fclose(in);
}
