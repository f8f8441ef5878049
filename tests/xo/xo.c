// SPDX-License-Identifier: GPL-2.0
/*
 * xo - runs a script of system calls against a volume in this process:
 *
 *	xo [--threads] [--attr-forks] [--allocsize LOG2] IMAGE <script
 *
 * Prints one line per command, "COMMAND => RESULT", as the program that ran the same scripts on Linux does.  Without
 * --threads the volume's passes are run by hand, at the places where a kernel would have had the time for them.
 */
#include "xo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>

#define ARGS_MAX 8
#define LINE_MAX_BYTES 1024

uint64_t xo_number(const char *text)
{
	char *end;
	uint64_t v;

	if (!text)
		return 0;
	v = strtoull(text, &end, 0);
	switch (*end | 32) {
	case 'k':
		return v << 10;
	case 'm':
		return v << 20;
	case 'g':
		return v << 30;
	case 'b':
		return v << 12;
	default:
		return v;
	}
}

static uint8_t byte_of(const char *text, uint8_t otherwise)
{
	return text ? (uint8_t)strtoul(text, NULL, 16) : otherwise;
}

struct xo_file *xo_current(struct xo *xo)
{
	return &xo->files[xo->current];
}

void xo_print_result(const char *line, int err, uint64_t value)
{
	if (err)
		printf("%s => %s\n", line, strerrorname_np(-err));
	else
		printf("%s => %llu\n", line, (unsigned long long)value);
}

uint64_t xo_free_blocks(struct xo *xo)
{
	struct volume_statfs statfs;

	volume_statfs(xo->vol, &statfs);
	return statfs.free_blocks;
}

void xo_settle(struct xo *xo)
{
	struct pagecache_counts counts;

	if (!xo->options.without_threads) {
		clock_sleep_ns(300 * 1000000ull);
		return;
	}
	do {
		while (volume_pass(xo->vol))
			;
		pagecache_counts(xo->vol->pages, &counts);
		if (counts.writeback_bytes)
			clock_sleep_ns(1000000);
	} while (counts.writeback_bytes);
}

/* ---- commands ---- */

struct command {
	const char *name;
	void (*run)(struct xo *xo, char **arg, const char *line);
};

static void run_fd(struct xo *xo, char **arg, const char *line)
{
	xo->current = atoi(arg[1]);
}

static void run_phys(struct xo *xo, char **arg, const char *line)
{
	xo->show_physical = atoi(arg[1]);
}

static void run_unit(struct xo *xo, char **arg, const char *line)
{
	xo->unit_log = (unsigned)atoi(arg[1]);
}

static void run_open(struct xo *xo, char **arg, const char *line)
{
	const char *flags = arg[2] ? arg[2] : "";
	const char *slash = strrchr(arg[1], '/');
	int err;

	if (xo_current(xo)->inode)
		xo_close(xo_current(xo));
	err = xo_open(xo, xo_current(xo), arg[1], flags);
	if (err)
		xo_print_result(line, err, 0);
	else
		printf("open %s %s\n", slash ? slash + 1 : arg[1], flags);
	if (!xo->has_base)
		xo->base_free = xo_free_blocks(xo);
	xo->has_base = true;
}

static void run_base(struct xo *xo, char **arg, const char *line)
{
	ensure(volume_sync(xo->vol) == 0);
	xo_settle(xo);
	xo->base_free = xo_free_blocks(xo);
	xo->has_base = true;
}

static void run_close(struct xo *xo, char **arg, const char *line)
{
	xo_close(xo_current(xo));
	printf("close\n");
}

static void run_w(struct xo *xo, char **arg, const char *line)
{
	uint64_t count = xo_number(arg[2]), done = 0;
	int err = xo_write(xo_current(xo), xo_number(arg[1]), count, count, byte_of(arg[3], 0xcd), 0, &done);

	xo_print_result(line, err, done);
}

static void run_w4(struct xo *xo, char **arg, const char *line)
{
	uint64_t total, chunk = arg[3] && arg[4] ? xo_number(arg[4]) : 4096;
	int err = xo_write_chunks(xo_current(xo), xo_number(arg[1]), xo_number(arg[2]), chunk, byte_of(arg[3], 0xcd),
				  &total);

	if (err)
		xo_print_result(line, err, 0);
	xo_print_result(line, 0, total);
}

static void run_wbad(struct xo *xo, char **arg, const char *line)
{
	uint64_t done = 0;
	int err = xo_write(xo_current(xo), xo_number(arg[1]), xo_number(arg[2]), xo_number(arg[3]),
			   byte_of(arg[3] ? arg[4] : NULL, 0xcd), 0, &done);

	xo_print_result(line, err, done);
}

static void run_r(struct xo *xo, char **arg, const char *line)
{
	uint64_t done = 0;
	uint8_t first;
	int err = xo_read(xo_current(xo), xo_number(arg[1]), xo_number(arg[2]), false, &first, &done);

	xo_print_result(line, err, done);
}

static void run_fill(struct xo *xo, char **arg, const char *line)
{
	uint64_t chunk = xo_number(arg[1]), total = 0, n = 0;
	struct xo_file *file = xo_current(xo);
	struct inode_stat stat;
	int err;

	inode_stat(file->inode, &stat);
	do {
		err = xo_write(file, stat.size_bytes + total, chunk, chunk, 0xf1, 0, &n);
		total += err ? 0 : n;
	} while (!err && n == chunk);
	printf("%s => wrote %llu, last=%s\n", line, (unsigned long long)total, err ? strerrorname_np(-err) : "short");
}

/* O_DIRECT through a descriptor of its own, whose close is a close. */
static void run_direct(struct xo *xo, char **arg, const char *line)
{
	bool is_write = arg[0][1] == 'w';
	uint64_t off = xo_number(arg[1]), count = xo_number(arg[2]), done = 0;
	struct xo_file file;
	uint8_t first = 0;
	int err;

	ensure(xo_open(xo, &file, xo_current(xo)->path, "") == 0);
	if (is_write)
		err = xo_write(&file, off, count, count, byte_of(arg[3], 0xdd), FILE_WRITE_DIRECT, &done);
	else
		err = xo_read(&file, off, count, true, &first, &done);
	xo_print_result(line, err, done);
	if (!is_write)
		printf("   first byte %02x\n", first);
	xo_close(&file);
}

static void run_mmap(struct xo *xo, char **arg, const char *line)
{
	struct xo_file *file = xo_current(xo);

	printf("%s\n", line);
	if (!file->inode) {
		xo_print_result(line, -EBADF, 0);
		return;
	}
	file->is_mapped = true;
	file->map_off = xo_number(arg[1]);
	file->map_count = xo_number(arg[2]);
}

static void run_ms(struct xo *xo, char **arg, const char *line)
{
	struct xo_file *file = xo_current(xo);
	int err;

	if (!file->is_mapped) {
		printf("%s => SIGSEGV\n", line);
		return;
	}
	if (arg[0][1] == 's')
		err = xo_store(file, xo_number(arg[1]), xo_number(arg[2]), byte_of(arg[2] ? arg[3] : NULL, 0xee));
	else
		err = xo_load(file, xo_number(arg[1]));
	printf("%s => %s\n", line, err ? "SIGBUS" : "ok");
}

static void run_fsync(struct xo *xo, char **arg, const char *line)
{
	struct xo_file *file = xo_current(xo);

	xo_print_result(line, file->inode ? file_fsync(file->inode, arg[0][1] == 'd', &file->error_seen) : -EBADF, 0);
}

static void run_sfr(struct xo *xo, char **arg, const char *line)
{
	xo_print_result(line, xo_sync_range(xo_current(xo), xo_number(arg[1]), xo_number(arg[2])), 0);
}

static void run_trunc(struct xo *xo, char **arg, const char *line)
{
	struct xo_file *file = xo_current(xo);

	xo_print_result(line, file->inode ? file_truncate(file->inode, xo_number(arg[1]), true) : -EBADF, 0);
}

static void run_falloc(struct xo *xo, char **arg, const char *line)
{
	xo_print_result(line, xo_falloc(xo_current(xo), arg[1], xo_number(arg[2]), xo_number(arg[3])), 0);
}

static void run_seek(struct xo *xo, char **arg, const char *line)
{
	int whence = arg[0][1] == 'd' ? SEEK_DATA : SEEK_HOLE, err;
	uint64_t found = 0;

	err = file_seek(xo_current(xo)->inode, xo_number(arg[1]), whence, &found);
	xo_print_result(line, err, found);
}

static void run_unlink(struct xo *xo, char **arg, const char *line)
{
	xo_print_result(line, xo_unlink(xo, arg[1]), 0);
}

static void run_rename(struct xo *xo, char **arg, const char *line)
{
	xo_print_result(line, xo_rename(xo, arg[1], arg[2]), 0);
}

static void change_xflags(struct xo *xo, const char *line, uint32_t xflag, struct inode_change *change)
{
	struct inode *inode = xo_current(xo)->inode;
	struct inode_stat stat;

	inode_stat(inode, &stat);
	change->valid |= CHANGE_XFLAGS;
	change->xflags = stat.xflags | xflag;
	xo_print_result(line, inode_change(inode, change), 0);
}

static void run_extsize(struct xo *xo, char **arg, const char *line)
{
	struct inode_change change = { .valid = CHANGE_EXTENT_HINT,
				       .extent_hint_bytes = (uint32_t)xo_number(arg[1]) };

	change_xflags(xo, line, FS_XFLAG_EXTSIZE, &change);
}

static void run_append(struct xo *xo, char **arg, const char *line)
{
	struct inode_change change = { 0 };

	change_xflags(xo, line, FS_XFLAG_APPEND, &change);
}

static void run_xflags(struct xo *xo, char **arg, const char *line)
{
	xo_print_xflags(xo_current(xo)->inode);
}

static void run_p(struct xo *xo, char **arg, const char *line)
{
	xo_probe(xo, xo_current(xo)->inode, arg[1]);
}

static void run_c(struct xo *xo, char **arg, const char *line)
{
	xo_print_fill(xo_current(xo));
}

static void run_used(struct xo *xo, char **arg, const char *line)
{
	printf("  used=%lld\n", (long long)(xo->base_free - xo_free_blocks(xo)));
}

/* sync(2), and what follows it in the background. */
static void run_flush(struct xo *xo, char **arg, const char *line)
{
	ensure(volume_sync(xo->vol) == 0);
	xo_settle(xo);
}

static void run_sync(struct xo *xo, char **arg, const char *line)
{
	run_flush(xo, arg, line);
	printf("sync\n");
}

static void run_drop(struct xo *xo, char **arg, const char *line)
{
	xo_drop_names(xo);
	xo_settle(xo);
	printf("drop_caches\n");
}

static void run_ms_sleep(struct xo *xo, char **arg, const char *line)
{
	xo_settle(xo);
}

/* ---- what the scripts did with other programs ---- */

static void run_remount(struct xo *xo, char **arg, const char *line)
{
	xo->options.read_only = arg[1] && strcmp(arg[1], "ro") == 0;
	ensure(xo_unmount(xo) == 0);
	ensure(xo_mount(xo) == 0);
}

static void run_trim(struct xo *xo, char **arg, const char *line)
{
	prealloc_trim_pass(xo->vol->files, true);
}

static void run_statfs(struct xo *xo, char **arg, const char *line)
{
	xo_print_statfs(xo, line + strlen("statfs "));
}

static void run_mkdir(struct xo *xo, char **arg, const char *line)
{
	ensure(xo_mkdir(xo, arg[1]) == 0);
}

/* One write to a new file. */
static void run_dd(struct xo *xo, char **arg, const char *line)
{
	uint64_t count = xo_number(arg[2]), done;
	struct xo_file file;

	ensure(xo_open(xo, &file, arg[1], "c") == 0);
	ensure(xo_write(&file, 0, count, count, 0, 0, &done) == 0 && done == count);
	xo_close(&file);
}

static int allocate_new(struct xo *xo, const char *path, uint64_t count)
{
	struct xo_file file;
	int err = xo_open(xo, &file, path, "c");

	if (err)
		return err;
	err = xo_falloc(&file, "d", 0, count);
	xo_close(&file);
	return err;
}

static void run_fallocate(struct xo *xo, char **arg, const char *line)
{
	ensure(allocate_new(xo, arg[1], xo_number(arg[2])) == 0);
}

/* Files PREFIX0, PREFIX1, ... until there is no space for another. */
static void run_fallocate_all(struct xo *xo, char **arg, const char *line)
{
	char path[XO_PATH_MAX];
	unsigned n = 0;

	do
		snprintf(path, sizeof(path), "%s%u", arg[1], n++);
	while (allocate_new(xo, path, xo_number(arg[2])) == 0);
}

/* Every second MiB. */
static void run_punch_holes(struct xo *xo, char **arg, const char *line)
{
	uint64_t end = xo_number(arg[2]), step = xo_number(arg[3]);
	struct xo_file file;

	ensure(xo_open(xo, &file, arg[1], "") == 0);
	for (uint64_t off = 0; off < end; off += 2 * step)
		ensure(xo_falloc(&file, "p", off, step) == 0);
	xo_close(&file);
}

static void run_rm(struct xo *xo, char **arg, const char *line)
{
	ensure(xo_unlink(xo, arg[1]) == 0);
}

static void run_ls(struct xo *xo, char **arg, const char *line)
{
	struct inode *inode;
	uint64_t ino;

	ensure(xo_walk(xo, arg[1], false, &inode) == 0);
	ino = inode->ino.v;
	printf("   %s ino=%llu ag=%llu", arg[1], (unsigned long long)ino, (unsigned long long)(ino >> 19));
	if (S_ISREG(inode->mode)) {
		printf(" ");
		xo_print_place(xo, inode);
	}
	printf("\n");
	inode_put(inode);
}

static void run_where(struct xo *xo, char **arg, const char *line)
{
	struct inode *inode;

	ensure(xo_walk(xo, arg[1], false, &inode) == 0);
	printf("%s  ", arg[1]);
	xo_print_place(xo, inode);
	printf("\n");
	inode_put(inode);
}

static void run_trace_append(struct xo *xo, char **arg, const char *line)
{
	xo_trace_append(xo, arg[1], xo_number(arg[2]), xo_number(arg[3]));
}

static void run_trace_throttle(struct xo *xo, char **arg, const char *line)
{
	xo_trace_throttle(xo, xo_number(arg[1]), arg[2]);
}

static const struct command commands[] = {
	{ "append", run_append },
	{ "base", run_base },
	{ "c", run_c },
	{ "close", run_close },
	{ "dd", run_dd },
	{ "dr", run_direct },
	{ "drop", run_drop },
	{ "dw", run_direct },
	{ "extsize", run_extsize },
	{ "falloc", run_falloc },
	{ "fallocate", run_fallocate },
	{ "fallocate_all", run_fallocate_all },
	{ "fd", run_fd },
	{ "fdatasync", run_fsync },
	{ "fill", run_fill },
	{ "flush", run_flush },
	{ "fsync", run_fsync },
	{ "ls", run_ls },
	{ "mkdir", run_mkdir },
	{ "mmap", run_mmap },
	{ "mr", run_ms },
	{ "ms", run_ms },
	{ "ms_sleep", run_ms_sleep },
	{ "open", run_open },
	{ "p", run_p },
	{ "phys", run_phys },
	{ "punch_holes", run_punch_holes },
	{ "r", run_r },
	{ "remount", run_remount },
	{ "rename", run_rename },
	{ "rm", run_rm },
	{ "sd", run_seek },
	{ "sfr", run_sfr },
	{ "sh", run_seek },
	{ "statfs", run_statfs },
	{ "sync", run_sync },
	{ "trace_append", run_trace_append },
	{ "trace_throttle", run_trace_throttle },
	{ "trim", run_trim },
	{ "trunc", run_trunc },
	{ "unit", run_unit },
	{ "unlink", run_unlink },
	{ "used", run_used },
	{ "w", run_w },
	{ "w4", run_w4 },
	{ "wbad", run_wbad },
	{ "where", run_where },
	{ "xflags", run_xflags },
};

void xo_run_line(struct xo *xo, char *line)
{
	char copy[LINE_MAX_BYTES], *arg[ARGS_MAX + 1] = { 0 };
	unsigned n = 0;

	line[strcspn(line, "\n")] = 0;
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word && n < ARGS_MAX; word = strtok(NULL, " "))
		arg[n++] = word;
	if (!n || arg[0][0] == '#')
		return;
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(arg[0], commands[i].name) == 0) {
			commands[i].run(xo, arg, line);
			return;
		}
	}
	printf("?? %s\n", line);
}

/* ---- the program ---- */

static const char *parse_arguments(struct xo *xo, int argc, char **argv)
{
	const char *image = NULL;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--threads") == 0)
			xo->options.without_threads = false;
		else if (strcmp(argv[i], "--attr-forks") == 0)
			xo->has_attr_forks = true;
		else if (strcmp(argv[i], "--allocsize") == 0 && i + 1 < argc)
			xo->options.alloc_size_log = (uint32_t)atoi(argv[++i]);
		else if (argv[i][0] != '-' && !image)
			image = argv[i];
		else
			return NULL;
	}
	return image;
}

int main(int argc, char **argv)
{
	static struct xo xo = { .options = { .without_threads = true }, .unit_log = 12 };
	char line[LINE_MAX_BYTES];
	int err;

	xo.options.device = parse_arguments(&xo, argc, argv);
	if (!xo.options.device) {
		fprintf(stderr, "usage: xo [--threads] [--attr-forks] [--allocsize LOG2] IMAGE <script\n");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	err = xo_mount(&xo);
	if (err)
		return 1;
	while (fgets(line, sizeof(line), stdin))
		xo_run_line(&xo, line);
	err = xo_unmount(&xo);
	if (err)
		fprintf(stderr, "xo: unmount: %s\n", strerror(-err));
	return err ? 1 : 0;
}
