/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fails the n-th allocation and the n-th read, write and flush of the device, n = 1, 2, ... until nothing fails any
 * more, around every operation, and looks at what is left.
 *
 *   failures [--operation NAME] [--mkfs ARGS] [--fault KIND [--nth N]] [--positions N] [--full] [--list]
 *
 * What must hold of each: the operation has failed and not happened, or succeeded and happened, also after the next
 * mount; the volume is clean for xfs_repair -n, after recovery if it was shut down; nothing hangs, crashes or leaks.
 */
#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/fault.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "bypath.h"
#include "disk.h"
#include "state.h"

#define DISK_BYTES (32ull << 20)
#define PAGE 4096u
#define HANG_SECONDS 30
#define STATES_MAX 80

static const char *const variants[] = { "-m reflink=1,rmapbt=1", "-b size=1k -m reflink=1,rmapbt=1" };

static const enum fault_point points[] = { FAULT_memory, FAULT_device_read, FAULT_device_write, FAULT_device_flush };
static const char *const point_names[] = { "memory", "device_read", "device_write", "device_flush" };
enum { POINT_COUNT = 4 };

static struct settings {
	const char *operation, *mkfs, *fault;
	uint64_t nth;
	uint64_t positions;		/* of each kind and operation; UINT64_MAX: all */
} set = { .positions = 25 };

static struct totals {
	uint64_t operations, fired, errors, shutdowns, repairs, violations;
} totals;

/* ---- which case this is, also when it ends the program ---- */

static char case_text[300];

static void say_case(void)
{
	static const char before[] = "  again with: failures ";

	(void)!write(STDOUT_FILENO, before, sizeof(before) - 1);
	(void)!write(STDOUT_FILENO, case_text, strlen(case_text));
	(void)!write(STDOUT_FILENO, "\n", 1);
}

static void on_signal(int number)
{
	const char *what = number == SIGALRM ? "it hangs\n" : "it crashes\n";

	(void)!write(STDOUT_FILENO, what, strlen(what));
	say_case();
	if (number == SIGALRM)
		_exit(1);
	signal(number, SIG_DFL);
	raise(number);
}

/* There when the sanitizer is. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static void watch_for_the_worst(void)
{
	signal(SIGALRM, on_signal);
	signal(SIGABRT, on_signal);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(say_case);
}

static bool violation(const char *what)
{
	printf("VIOLATION: %s\n", what);
	fflush(stdout);
	say_case();
	totals.violations++;
	return false;
}

/* ---- the same each time, so that images can be compared ---- */

static struct timespec fixed_wall(void)
{
	return (struct timespec){ .tv_sec = 1700000000 };
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

static void no_sleep(uint64_t duration_ns)
{
	(void)duration_ns;
}

static void keep_quiet(void *context, enum message_level level, const char *line)
{
	(void)context, (void)level, (void)line;
}

/* Generation numbers come from here. */
ssize_t getrandom(void *bytes, size_t count, unsigned flags)
{
	(void)flags;
	memset(bytes, 0x5a, count);
	return (ssize_t)count;
}

/* ---- the image: a private copy of a prepared one, page by page ---- */

static struct disk model;		/* as prepared */
static struct disk work;		/* what the operation sees: .bytes privately over model's file */

static void work_open(void)
{
	work = model;
	work.bytes = mmap(NULL, DISK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, model.fd, 0);
	ensure(work.bytes != MAP_FAILED);
}

static void work_reset(void)
{
	ensure(madvise(work.bytes, DISK_BYTES, MADV_DONTNEED) == 0);
}

/* Which pages are no longer the model's. */
static unsigned work_changed(uint32_t *pages)
{
	static uint64_t flags[DISK_BYTES / PAGE];
	int fd = open("/proc/self/pagemap", O_RDONLY);
	unsigned n = 0;

	ensure(fd >= 0);
	ensure(pread(fd, flags, sizeof(flags), (off_t)((uintptr_t)work.bytes / PAGE * 8)) == sizeof(flags));
	close(fd);
	for (uint32_t i = 0; i < DISK_BYTES / PAGE; i++) {
		/* Present or swapped, and not the file's. */
		if ((flags[i] >> 62) && !(flags[i] >> 61 & 1))
			pages[n++] = i;
	}
	return n;
}

/* What xfs_repair says of the work, through the model's file. */
static bool work_is_clean(const uint32_t *pages, unsigned n)
{
	char *saved = malloc((size_t)n * PAGE + 1);
	bool is_clean;

	ensure(saved);
	for (unsigned i = 0; i < n; i++) {
		memcpy(saved + (size_t)i * PAGE, model.bytes + (size_t)pages[i] * PAGE, PAGE);
		memcpy(model.bytes + (size_t)pages[i] * PAGE, work.bytes + (size_t)pages[i] * PAGE, PAGE);
	}
	is_clean = disk_is_clean(&model);
	for (unsigned i = 0; i < n; i++)
		memcpy(model.bytes + (size_t)pages[i] * PAGE, saved + (size_t)i * PAGE, PAGE);
	free(saved);
	return is_clean;
}

/* ---- images that were clean already ---- */

static struct {
	uint64_t *hashes;
	unsigned count, capacity;
} seen;

/* The log apart: once it is clean, nobody reads what is in it. */
static uint64_t hash_of(const uint32_t *pages, unsigned n, const struct geometry *geo)
{
	uint64_t log_start = fsblk_to_bytes(geo, geo->log_start) / PAGE;
	uint64_t log_end = log_start + (uint64_t)geo->log_blocks * geo->block_bytes / PAGE;
	uint64_t h = 0;

	for (unsigned i = 0; i < n; i++) {
		const uint64_t *word = (const void *)(work.bytes + (size_t)pages[i] * PAGE);

		if (pages[i] >= log_start && pages[i] < log_end)
			continue;
		h = hash_u64(h + pages[i]);
		for (unsigned k = 0; k < PAGE / 8; k++)
			h = (h ^ word[k]) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
	}
	return h;
}

static bool is_new(uint64_t hash)
{
	for (unsigned i = 0; i < seen.count; i++) {
		if (seen.hashes[i] == hash)
			return false;
	}
	if (seen.count == seen.capacity) {
		seen.capacity = seen.capacity ? 2 * seen.capacity : 64;
		seen.hashes = realloc(seen.hashes, seen.capacity * sizeof(*seen.hashes));
		ensure(seen.hashes);
	}
	seen.hashes[seen.count++] = hash;
	return true;
}

static bool check_image(const struct geometry *geo)
{
	static uint32_t pages[DISK_BYTES / PAGE];
	unsigned n = work_changed(pages);

	if (!is_new(hash_of(pages, n, geo)))
		return true;
	totals.repairs++;
	return work_is_clean(pages, n) ? true : violation("xfs_repair finds something");
}

/* ---- one run ---- */

struct outcome {
	unsigned done;			/* steps that succeeded */
	int err;			/* of the step after them, or of mounting */
	bool has_mounted, was_shut_down, fired;
	int unmount_err;
	int fsync_err;			/* what fsync told afterwards, who had the file open before */
	uint64_t hits;
	struct geometry geo;
};

static unsigned step_count(const struct operation *op)
{
	return op->steps ? op->steps : 1;
}

static void arm(unsigned kind, uint64_t nth)
{
	char text[80];

	snprintf(text, sizeof(text), "%s:nth=%" PRIu64 ":times=1", point_names[kind], nth);
	ensure(fault_arm(text) == 0);
}

static void disarm(unsigned kind, struct outcome *out)
{
	out->hits = fault_count(points[kind], false);
	out->fired = fault_count(points[kind], true) > 0;
	fault_disarm_all();
}

static void run_steps(const struct operation *op, struct volume *vol, unsigned steps, struct outcome *out)
{
	while (out->done < steps && !out->err) {
		out->err = op->run(vol, out->done);
		if (!out->err)
			out->done++;
	}
	disk_settle(vol);
}

/* Somebody who has the file open from before on. */
struct onlooker {
	struct inode *inode;
	uint64_t seen;
};

static void onlooker_init(struct onlooker *o, const struct operation *op, struct volume *vol)
{
	struct mapping *m;

	*o = (struct onlooker){ .inode = NULL };
	if (!op->file)
		return;
	ensure(path_get(vol, op->file, &o->inode) == 0 && file_mapping(o->inode, &m) == 0);
	mapping_error(m, &o->seen);
}

static void onlooker_deinit(struct onlooker *o, struct outcome *out)
{
	if (!o->inode)
		return;
	out->fsync_err = file_fsync(o->inode, false, &o->seen);
	out->was_shut_down = log_is_shutdown(inode_cache_log(o->inode->cache));
	if (out->fsync_err && !out->was_shut_down && file_fsync(o->inode, false, &o->seen))
		violation("fsync tells of the same error twice");
	inode_put(o->inode);
}

/* From the prepared image to after the unmount. */
static void run_once(const struct operation *op, unsigned steps, unsigned kind, uint64_t nth, struct outcome *out)
{
	struct onlooker onlooker;
	struct volume *vol;

	*out = (struct outcome){ .done = 0 };
	work_reset();
	if (op->is_mount)
		arm(kind, nth);
	out->err = disk_mount(&work, &vol);
	if (op->is_mount)
		disarm(kind, out);
	if (out->err)
		return;
	out->has_mounted = true;
	out->geo = vol->geo;
	onlooker_init(&onlooker, op, vol);
	if (!op->is_mount)
		arm(kind, nth);
	run_steps(op, vol, steps, out);
	out->was_shut_down = log_is_shutdown(vol->log);
	onlooker_deinit(&onlooker, out);
	out->unmount_err = volume_unmount(vol, true);
	if (!op->is_mount)
		disarm(kind, out);
}

/* ---- what is left ---- */

static struct state states[STATES_MAX + 1]; /* after so many steps, without failures */

static int mount_read_only(struct volume **out)
{
	struct volume_options options = {
		.device = "disk",
		.cache_bytes = 32u << 20,
		.without_threads = true,
		.read_only = true,
	};
	int err = device_create_memory_over(work.bytes, work.size_bytes, &options.opened);

	return err ? err : volume_mount(&options, out);
}

static bool read_work(struct state *out)
{
	struct volume *vol;

	if (mount_read_only(&vol))
		return violation("it cannot be mounted afterwards");
	state_read(vol, out);
	volume_unmount(vol, true);
	return true;
}

/* A mount that replays the log, if there is something to replay. */
static bool recover(struct geometry *geo)
{
	struct volume *vol;

	if (disk_mount(&work, &vol))
		return violation("it cannot be recovered");
	*geo = vol->geo;
	disk_settle(vol);
	return volume_unmount(vol, true) ? violation("it cannot be unmounted after recovery") : true;
}

static bool explain(const struct state *is, unsigned done, const char *what)
{
	state_explain(is, &states[done], "what it should be");
	return violation(what);
}

static bool is_one_of(const struct state *is, unsigned first, unsigned last, enum likeness likeness)
{
	for (unsigned i = first; i <= last; i++) {
		if (state_is_like(is, &states[i], likeness))
			return true;
	}
	return false;
}

/* The states that may be found: what succeeded, or, when the volume stood still, any before it. */
static bool check_state(const struct operation *op, const struct outcome *out, const struct state *is)
{
	bool is_stopped = out->was_shut_down || !out->has_mounted || out->unmount_err;
	unsigned next = out->done + (out->done < step_count(op));
	unsigned first = is_stopped ? 0 : out->done;
	unsigned last = is_stopped && out->has_mounted ? next : out->done;

	if (is->why)
		return explain(is, out->done, "it cannot be read");
	if (is_one_of(is, first, last, ALIKE_WHOLLY))
		return true;
	if (op->leaves == LEAVES_NOTHING || !out->has_mounted)
		return explain(is, out->done, out->err ? "there are leftovers" : "what succeeded is missing");
	/* Data may be lost only to those who are told. */
	if (!out->err && !out->fsync_err && !is_stopped)
		return explain(is, out->done, "data are lost without an error");
	if (!is_one_of(is, first, is_stopped ? last : next, ALIKE_BUT_DATA))
		return explain(is, out->done, "something other than data is left of what failed");
	/* What earlier steps wrote may be lost with the rest. */
	if (!state_data_is_between(is, &states[0], &states[next], op->leaves == LEAVES_SHIFTED))
		return explain(is, out->done, "data that nobody wrote");
	return true;
}

static bool judge(const struct operation *op, struct outcome *out)
{
	bool needs_recovery = out->was_shut_down || !out->has_mounted || out->unmount_err || op->is_recovery;
	struct state is;
	bool is_good;

	if (needs_recovery && !recover(&out->geo))
		return false;
	if (!check_image(&out->geo) || !read_work(&is))
		return false;
	is_good = check_state(op, out, &is);
	state_free(&is);
	return is_good;
}

/* ---- all cases of an operation ---- */

static void name_case(const struct operation *op, const char *mkfs_args, unsigned kind, uint64_t nth)
{
	snprintf(case_text, sizeof(case_text), "--operation %s --fault %s --nth %" PRIu64 " --mkfs '%s'", op->name,
		 point_names[kind], nth, mkfs_args);
}

/* False: nothing failed any more. */
static bool examine(const struct operation *op, const char *mkfs_args, unsigned kind, uint64_t nth)
{
	struct outcome out;

	name_case(op, mkfs_args, kind, nth);
	alarm(HANG_SECONDS);
	run_once(op, step_count(op), kind, nth, &out);
	totals.fired += out.fired;
	totals.errors += out.fired && (out.err || out.unmount_err);
	totals.shutdowns += out.fired && out.was_shut_down;
	if (!out.fired && (out.err || out.unmount_err || out.was_shut_down))
		violation("it fails though nothing was made to fail");
	judge(op, &out);
	alarm(0);
	return out.fired;
}

static void examine_kind(const struct operation *op, const char *mkfs_args, unsigned kind)
{
	struct outcome out;
	uint64_t stride;

	if (set.nth) {
		examine(op, mkfs_args, kind, set.nth);
		return;
	}
	name_case(op, mkfs_args, kind, UINT64_MAX);
	run_once(op, step_count(op), kind, UINT64_MAX, &out);
	stride = max_u64(1, (out.hits + set.positions - 1) / set.positions);
	/* One after another: with one failed, there may be more to fail than before. */
	for (uint64_t nth = 1; examine(op, mkfs_args, kind, nth); nth += stride)
		;
}

/* Makes the image that every case starts from. */
static void prepare(const struct operation *op, const char *mkfs_args)
{
	struct volume *vol;
	char *dirty = NULL;

	memset(model.bytes, 0, DISK_BYTES);
	disk_format(&model, mkfs_args);
	ensure(disk_mount(&model, &vol) == 0);
	op->prepare(vol);
	if (op->is_recovery) {
		ensure(log_force(vol->log, 0, NULL) == 0);
		dirty = malloc(DISK_BYTES);
		ensure(dirty);
		memcpy(dirty, model.bytes, DISK_BYTES);
	}
	ensure(volume_unmount(vol, true) == 0);
	if (dirty)
		memcpy(model.bytes, dirty, DISK_BYTES);
	free(dirty);
}

/* What it looks like after each step when nothing fails. */
static bool remember_states(const struct operation *op)
{
	struct outcome out;

	for (unsigned i = 0; i <= step_count(op); i++) {
		alarm(HANG_SECONDS);
		run_once(op, i, 0, UINT64_MAX, &out);
		if (out.err || out.unmount_err || out.was_shut_down) {
			printf("%s: %s\n", op->name, strerror(-(out.err ? out.err : out.unmount_err)));
			return violation("it does not even succeed when nothing fails");
		}
		if (!check_image(&out.geo) || !read_work(&states[i]))
			return false;
	}
	return true;
}

static void examine_operation(const struct operation *op, const char *mkfs_args)
{
	struct totals before = totals;
	uint64_t start_ns = now_ns();

	snprintf(case_text, sizeof(case_text), "--operation %s --mkfs '%s'", op->name, mkfs_args);
	ensure(step_count(op) <= STATES_MAX);
	seen.count = 0;
	prepare(op, mkfs_args);
	if (remember_states(op)) {
		for (unsigned kind = 0; kind < POINT_COUNT; kind++) {
			if (!set.fault || strcmp(set.fault, point_names[kind]) == 0)
				examine_kind(op, mkfs_args, kind);
		}
	}
	for (unsigned i = 0; i <= step_count(op); i++)
		state_free(&states[i]);
	snprintf(case_text, sizeof(case_text), "--operation %s --mkfs '%s'", op->name, mkfs_args);
	if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
		violation("memory leaks");
	totals.operations++;
	printf("%-22s %-34s %4" PRIu64 " failures, %3" PRIu64 " errors, %3" PRIu64 " shutdowns, %3" PRIu64
	       " violations (%.1f s)\n",
	       op->name, mkfs_args, totals.fired - before.fired, totals.errors - before.errors,
	       totals.shutdowns - before.shutdowns, totals.violations - before.violations,
	       (double)(now_ns() - start_ns) / NS_PER_SEC);
	fflush(stdout);
}

/* ---- arguments ---- */

static void usage(void)
{
	fputs("failures [--operation NAME] [--mkfs ARGS] [--fault KIND [--nth N]]\n"
	      "         [--positions N | --full] [--list]\n",
	      stderr);
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "operation", required_argument, NULL, 'o' }, { "mkfs", required_argument, NULL, 'm' },
		{ "fault", required_argument, NULL, 'f' },     { "nth", required_argument, NULL, 'n' },
		{ "positions", required_argument, NULL, 'p' }, { "full", no_argument, NULL, 'F' },
		{ "list", no_argument, NULL, 'l' },	       { NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'o':
			set.operation = optarg;
			break;
		case 'm':
			set.mkfs = optarg;
			break;
		case 'f':
			set.fault = optarg;
			break;
		case 'n':
			set.nth = strtoull(optarg, NULL, 10);
			break;
		case 'p':
			set.positions = strtoull(optarg, NULL, 10);
			break;
		case 'F':
			set.positions = UINT64_MAX;
			break;
		case 'l':
			for (unsigned i = 0; i < operation_count; i++)
				puts(operations[i].name);
			exit(0);
		default:
			usage();
		}
	}
	if (optind < argc || !set.positions || (set.nth && !set.fault))
		usage();
}

static void examine_variant(const char *mkfs_args)
{
	for (unsigned i = 0; i < operation_count; i++) {
		if (!set.operation || strcmp(set.operation, operations[i].name) == 0)
			examine_operation(&operations[i], mkfs_args);
	}
}

int main(int argc, char **argv)
{
	static const struct clock_ops clock = { now_ns, fixed_wall, no_sleep };

	parse(argc, argv);
	clock_set_ops(&clock);
	if (!set.nth)
		message_set_sink(keep_quiet, NULL);
	watch_for_the_worst();
	disk_create(&model, DISK_BYTES);
	work_open();
	if (set.mkfs)
		examine_variant(set.mkfs);
	for (unsigned i = 0; i < sizeof(variants) / sizeof(variants[0]) && !set.mkfs; i++)
		examine_variant(variants[i]);
	printf("%" PRIu64 " operations, %" PRIu64 " failures, of them %" PRIu64 " errors and %" PRIu64
	       " shutdowns, %" PRIu64 " images given to xfs_repair, %" PRIu64 " violations\n",
	       totals.operations, totals.fired, totals.errors, totals.shutdowns, totals.repairs, totals.violations);
	munmap(work.bytes, DISK_BYTES);
	disk_destroy(&model);
	free(seen.hashes);
	return totals.violations ? 1 : totals.operations ? 0 : 2;
}
