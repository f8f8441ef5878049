/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The power is cut at every write.
 *
 *	crash [--list] [--scenario NAME] [--seeds FROM-TO] [--operations N] [--mkfs ARGS] [--brief]
 *	      [--repair-every N] [--again-every N] [--unfix NAME] [--cut CUT [--again CUT] [--save FILE]] [--show]
 *
 * Scenarios (all of them, one, or random ones by seed; see model.h for the language) run on a volume in memory whose
 * disk remembers each write and flush (userxfs/device/recorder.h).  Then, for every position in that history and for
 * several choices of what of the loose writes arrived (--brief: two or three), the disk as the cut would leave it is
 * recovered, compared with the model, used a little, unmounted and given to xfs_repair -n (every N-th).  Every N-th
 * recovery is cut itself, at each of its writes, and done again.
 *
 * A violation is printed with what repeats it.  Exit status 1: there were violations; 2: usage.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/message.h>
#include <userxfs/base/unfix.h>
#include <userxfs/device/recorder.h>

#include "disk.h"
#include "model.h"
#include "bypath.h"
#include "scenarios.h"

#define DISK_BYTES (32ull << 20)
#define POISON_ID 0xffffu
#define MKFS_DEFAULT "-d agcount=2 -m rmapbt=1,reflink=1"

enum {
	POISON_CHUNK = 1 << 20,
	LOOSE_TRIED = 3,	/* of the loose writes at one position, so many are left out, or torn */
};

struct settings {
	const char *scenario, *mkfs, *cut, *again, *save;
	uint64_t first_seed, end_seed;
	unsigned operations, repair_every, again_every;
	bool brief, show;
};

struct totals {
	uint64_t scenarios, positions, cuts, repairs, violations;
};

/* One scenario as it ran. */
struct run {
	char name[128];
	const char *mkfs;
	struct model *model;
	struct recorder *rec;
	uint64_t *ends;			/* position after each operation, [0]: before the first that is cut */
	unsigned first_op;		/* operations up to this one are setup, and promised */
	uint64_t end;
};

static struct totals totals;

/* ---- running a scenario ---- */

/* Fills the volume and empties it again, so that its free blocks hold what no file may show. */
static void poison(struct disk *disk)
{
	uint8_t *bytes = malloc(POISON_CHUNK);
	struct volume *vol;
	uint64_t off = 0;

	ensure(bytes && disk_mount(disk, &vol) == 0);
	for (uint64_t i = 0; i < POISON_CHUNK; i++)
		bytes[i] = (uint8_t)((0xa55aull << 48 | (uint64_t)POISON_ID << 32) >> (8 * (i % 8)));
	ensure(path_create(vol, "poison", 0600) == 0);
	while (path_write(vol, "poison", off, bytes, POISON_CHUNK, PATH_WRITE) == 0)
		off += POISON_CHUNK;
	ensure(off >= 8 * POISON_CHUNK);
	path_fsync(vol, "poison", false);
	ensure(path_unlink(vol, "poison") == 0);
	disk_settle(vol);
	ensure(volume_unmount(vol, false) == 0);
	ensure(disk_is_clean(disk));
	free(bytes);
}

/* The volume that scenarios start from; made once for each @mkfs. */
static const char *starting_image(const char *mkfs)
{
	static char *image, *made_with;
	struct disk disk;

	if (made_with && strcmp(made_with, mkfs) == 0)
		return image;
	free(image);
	free(made_with);
	disk_create(&disk, DISK_BYTES);
	disk_format(&disk, mkfs);
	poison(&disk);
	image = malloc(DISK_BYTES);
	ensure(image);
	memcpy(image, disk.bytes, DISK_BYTES);
	made_with = strdup(mkfs);
	disk_destroy(&disk);
	return image;
}

static void step_through(struct run *r, struct volume *vol, const char *text, bool show)
{
	unsigned capacity = 0;
	int err;

	while (model_step(r->model, vol, &text, &err)) {
		unsigned op = model_op_count(r->model);

		if (op >= capacity) {
			capacity = op * 2;
			r->ends = realloc(r->ends, (capacity + 1) * sizeof(*r->ends));
			ensure(r->ends);
		}
		r->ends[op] = recorder_position(r->rec);
		if (strcmp(model_op_text(r->model, op), "sync") == 0 && !r->first_op)
			r->first_op = op;
		if (show)
			printf("  %4u  %6" PRIu64 "  %s%s%s\n", op, r->ends[op], model_op_text(r->model, op),
			       err ? ": " : "", err ? strerror(-err) : "");
	}
}

static void show_history(struct run *r)
{
	char text[64];

	for (uint64_t position = r->ends[r->first_op]; position < r->end; position++) {
		recorder_describe(r->rec, position, text, sizeof(text));
		printf("  %6" PRIu64 "  %s\n", position, text);
	}
}

/* Up to the first "sync" is setup. */
static void run_scenario(struct run *r, const char *text, bool show)
{
	struct device *dev;
	struct volume *vol;

	r->model = model_create();
	ensure(recorder_create(starting_image(r->mkfs), DISK_BYTES, &r->rec) == 0);
	ensure(recorder_device(r->rec, &dev) == 0);
	ensure(disk_mount_device(dev, &vol) == 0);
	step_through(r, vol, text, show);
	ensure(r->first_op);
	ensure(volume_unmount(vol, false) == 0);
	r->end = recorder_position(r->rec);
	if (show)
		show_history(r);
}

static void end_run(struct run *r)
{
	model_destroy(r->model);
	recorder_destroy(r->rec);
	free(r->ends);
}

/* ---- one cut ---- */

/* The last operation that had returned when event @position was under way. */
static unsigned op_done(const struct run *r, uint64_t position)
{
	unsigned op = r->first_op;

	while (op < model_op_count(r->model) && r->ends[op + 1] <= position)
		op++;
	return op;
}

/* A volume that was recovered can be worked with. */
static const char *use_it(struct volume *vol)
{
	static const char bytes[70000] = "after the crash";

	if (path_create(vol, "after", 0600))
		return "no file can be created";
	if (path_write(vol, "after", 0, bytes, sizeof(bytes), PATH_WRITE) || path_fsync(vol, "after", false))
		return "nothing can be written";
	if (path_unlink(vol, "after"))
		return "no file can be removed";
	disk_settle(vol);
	return NULL;
}

static const char *check_volume(struct run *r, struct volume *vol, uint64_t position)
{
	unsigned done = op_done(r, position), begun = done < model_op_count(r->model) ? done + 1 : done;

	return model_check(r->model, vol, done, begun) ? NULL : "it is not what it may be";
}

static const char *recover_and_check(struct run *r, struct disk *disk, uint64_t position, bool repair)
{
	struct volume *vol;
	const char *why;

	if (disk_mount(disk, &vol))
		return "it cannot be mounted";
	why = check_volume(r, vol, position);
	if (!why)
		why = use_it(vol);
	if (volume_unmount(vol, false) && !why)
		why = "it cannot be unmounted";
	totals.repairs += repair;
	if (!why && repair && !disk_is_clean(disk))
		why = "xfs_repair finds errors";
	return why;
}

static void report(struct run *r, const struct cut *cut, const struct cut *again, const char *why)
{
	unsigned done = op_done(r, cut->position);
	char name[64];

	totals.violations++;
	cut_format(cut, name, sizeof(name));
	printf("violation: %s --mkfs \"%s\" --cut %s", r->name, r->mkfs, name);
	if (again) {
		cut_format(again, name, sizeof(name));
		printf(" --again %s", name);
	}
	printf(": %s\n  operation %u (%s) had returned", why, done, model_op_text(r->model, done));
	if (done < model_op_count(r->model))
		printf(", %u (%s) was next", done + 1, model_op_text(r->model, done + 1));
	printf("\n");
	fflush(stdout);
}

static void check_cut(struct run *r, struct disk *disk, const struct cut *cut, const struct settings *set)
{
	const char *why;

	recorder_cut(r->rec, cut, disk->bytes);
	if (set->save && !set->again)
		disk_save(disk, set->save);
	totals.cuts++;
	why = recover_and_check(r, disk, cut->position, totals.cuts % set->repair_every == 0);
	if (why)
		report(r, cut, NULL, why);
}

/* ---- cuts of a recovery ---- */

/* Recovers what @cut left, recording it; NULL: it failed, which check_cut() has told. */
static struct recorder *record_recovery(struct run *r, struct disk *disk, const struct cut *cut)
{
	struct recorder *rec;
	struct device *dev;
	struct volume *vol;

	recorder_cut(r->rec, cut, disk->bytes);
	ensure(recorder_create(disk->bytes, disk->size_bytes, &rec) == 0);
	ensure(recorder_device(rec, &dev) == 0);
	if (disk_mount_device(dev, &vol)) {
		recorder_destroy(rec);
		return NULL;
	}
	volume_unmount(vol, false);
	return rec;
}

static void check_again(struct run *r, struct disk *disk, struct recorder *rec, const struct cut *cut,
			const struct cut *again, const struct settings *set)
{
	const char *why;

	recorder_cut(rec, again, disk->bytes);
	if (set->save)
		disk_save(disk, set->save);
	totals.cuts++;
	why = recover_and_check(r, disk, cut->position, totals.cuts % set->repair_every == 0);
	if (why)
		report(r, cut, again, why);
}

/* The recovery from @cut, cut everywhere in a way of its own. */
static void cut_recovery(struct run *r, struct disk *disk, const struct cut *cut, const struct settings *set)
{
	struct recorder *rec = record_recovery(r, disk, cut);
	struct cut again;

	if (!rec)
		return;
	if (set->again) {
		if (!cut_parse(set->again, &again) || again.position > recorder_position(rec)) {
			fprintf(stderr, "\"%s\" is not a cut of this recovery\n", set->again);
			exit(2);
		}
		check_again(r, disk, rec, cut, &again, set);
	}
	for (uint64_t i = 0; !set->again && i <= recorder_position(rec); i++) {
		again = (struct cut){ .position = i, .kind = CUT_RANDOM, .which = cut->position + i };
		check_again(r, disk, rec, cut, &again, set);
	}
	recorder_destroy(rec);
}

/* ---- all cuts of a scenario ---- */

struct cutter {
	struct run *run;
	struct disk *disk;
	const struct settings *set;
};

static void try_cut(struct cutter *c, uint64_t position, enum cut_kind kind, uint64_t which)
{
	struct cut cut = { .position = position, .kind = kind, .which = which };

	check_cut(c->run, c->disk, &cut, c->set);
	if (c->set->again_every && totals.cuts % c->set->again_every == 0)
		cut_recovery(c->run, c->disk, &cut, c->set);
}

/* Which of @loose writes is tried as number @i: the first ones tried are the youngest and the oldest. */
static uint64_t pick(uint64_t position, uint64_t loose, unsigned i)
{
	if (i == 0)
		return loose - 1;
	return i == 1 ? 0 : hash_u64_pair(position, i) % loose;
}

/* One write of several is late, or torn, or many are. */
static void cut_in_one_way(struct cutter *c, uint64_t position, uint64_t loose)
{
	static const enum cut_kind kinds[] = { CUT_TORN, CUT_RANDOM, CUT_ALL_BUT };
	enum cut_kind kind = kinds[position % ARRAY_COUNT(kinds)];

	if (loose == 1)
		try_cut(c, position, CUT_TORN, 0);
	else
		try_cut(c, position, kind, kind == CUT_RANDOM ? position : pick(position, loose, position % 2 + 1));
}

static void cut_in_many_ways(struct cutter *c, uint64_t position, uint64_t loose)
{
	for (unsigned i = 0; i < LOOSE_TRIED && i < loose; i++) {
		uint64_t which = pick(position, loose, i);

		try_cut(c, position, CUT_TORN, which);
		if (loose > 1)
			try_cut(c, position, CUT_ALL_BUT, which);
		if (loose > 2)
			try_cut(c, position, CUT_ONLY, which);
	}
	if (loose > 1) {
		try_cut(c, position, CUT_RANDOM, 2 * position + 1);
		try_cut(c, position, CUT_RANDOM, 2 * position + 2);
	}
}

static void cut_at(struct cutter *c, uint64_t position, bool was_flushed)
{
	uint64_t loose = recorder_loose_count(c->run->rec, position);

	totals.positions++;
	if (was_flushed || position == c->run->ends[c->run->first_op])
		try_cut(c, position, CUT_NONE, 0);
	if (!loose)
		return;
	try_cut(c, position, CUT_ALL, 0);
	if (c->set->brief)
		cut_in_one_way(c, position, loose);
	else
		cut_in_many_ways(c, position, loose);
}

static void cut_everywhere(struct run *r, const struct settings *set)
{
	struct cutter c = { .run = r, .set = set };
	uint64_t loose_before = 0;
	struct disk disk;

	c.disk = &disk;
	disk_create(&disk, DISK_BYTES);
	for (uint64_t position = r->ends[r->first_op]; position <= r->end; position++) {
		uint64_t loose = recorder_loose_count(r->rec, position);

		cut_at(&c, position, loose < loose_before);
		loose_before = loose;
	}
	disk_destroy(&disk);
}

static void examine(const char *name, const char *text, const char *mkfs, const struct settings *set)
{
	struct run r = { .mkfs = mkfs };
	struct totals before = totals;
	struct disk disk;
	struct cut cut;

	snprintf(r.name, sizeof(r.name), "%s", name);
	run_scenario(&r, text, set->show);
	if (set->cut) {
		if (!cut_parse(set->cut, &cut) || cut.position > r.end) {
			fprintf(stderr, "\"%s\" is not a cut of this scenario\n", set->cut);
			exit(2);
		}
		disk_create(&disk, DISK_BYTES);
		if (set->again)
			cut_recovery(&r, &disk, &cut, set);
		else
			check_cut(&r, &disk, &cut, set);
		disk_destroy(&disk);
	} else {
		cut_everywhere(&r, set);
	}
	totals.scenarios++;
	printf("%-32s %4u operations, %5" PRIu64 " positions, %6" PRIu64 " cuts, %" PRIu64 " violations\n", r.name,
	       model_op_count(r.model) - r.first_op, totals.positions - before.positions, totals.cuts - before.cuts,
	       totals.violations - before.violations);
	fflush(stdout);
	end_run(&r);
}

/* ---- the command ---- */

static void examine_named(const struct settings *set)
{
	char name[64];

	for (unsigned i = 0; i < scenario_count; i++) {
		if (set->scenario && strcmp(set->scenario, scenarios[i].name) != 0)
			continue;
		snprintf(name, sizeof(name), "--scenario %s", scenarios[i].name);
		examine(name, scenarios[i].text, set->mkfs ? set->mkfs : MKFS_DEFAULT, set);
	}
}

static void examine_random(const struct settings *set)
{
	static const char *const geometries[] = {
		MKFS_DEFAULT,
		"-d agcount=2 -b size=1024 -m rmapbt=1,reflink=0",
		"-d agcount=2 -m rmapbt=0,reflink=0,finobt=0",
		"-d agcount=2 -n size=16k",
		"-d agcount=2 -i size=1024,nrext64=1 -m rmapbt=0,reflink=0",
	};

	for (uint64_t seed = set->first_seed; seed < set->end_seed; seed++) {
		char *text = model_random_scenario(seed, set->operations), name[128];
		const char *mkfs = set->mkfs ? set->mkfs : geometries[seed % ARRAY_COUNT(geometries)];

		snprintf(name, sizeof(name), "--seeds %" PRIu64 "-%" PRIu64 " --operations %u", seed, seed,
			 set->operations);
		examine(name, text, mkfs, set);
		free(text);
	}
}

static void usage(void)
{
	fprintf(stderr, "usage: crash [--list] [--scenario NAME] [--seeds FROM-TO] [--operations N] [--mkfs ARGS]\n"
			"             [--brief] [--repair-every N] [--again-every N] [--unfix NAME]\n"
			"             [--cut CUT [--again CUT] [--save FILE]] [--show]\n");
	exit(2);
}

static void list_scenarios(void)
{
	for (unsigned i = 0; i < scenario_count; i++)
		printf("%-24s %s\n", scenarios[i].name, scenarios[i].text);
	exit(0);
}

static void turn_on(const char *name)
{
#ifdef USERXFS_LAB
	if (unfix_turn_on(name))
		return;
	fprintf(stderr, "there is no switch \"%s\"; see userxfs/base/unfix.h\n", name);
#else
	fprintf(stderr, "%s: this build has no switches; configure one with -Dlab=true\n", name);
#endif
	exit(2);
}

static void parse(int argc, char **argv, struct settings *set)
{
	static const struct option options[] = {
		{ "list", no_argument, NULL, 'l' },
		{ "scenario", required_argument, NULL, 's' },
		{ "seeds", required_argument, NULL, 'S' },
		{ "operations", required_argument, NULL, 'o' },
		{ "mkfs", required_argument, NULL, 'm' },
		{ "brief", no_argument, NULL, 'b' },
		{ "repair-every", required_argument, NULL, 'r' },
		{ "again-every", required_argument, NULL, 'a' },
		{ "unfix", required_argument, NULL, 'u' },
		{ "cut", required_argument, NULL, 'c' },
		{ "again", required_argument, NULL, 'A' },
		{ "save", required_argument, NULL, 'f' },
		{ "show", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	*set = (struct settings){ .operations = 60, .repair_every = 1 };
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			list_scenarios();
			break;
		case 's':
			set->scenario = optarg;
			break;
		case 'S':
			if (sscanf(optarg, "%" SCNu64 "-%" SCNu64, &set->first_seed, &set->end_seed) != 2)
				usage();
			set->end_seed++;
			break;
		case 'o':
			set->operations = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			set->mkfs = optarg;
			break;
		case 'b':
			set->brief = true;
			break;
		case 'r':
			set->repair_every = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'a':
			set->again_every = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'A':
			set->again = optarg;
			break;
		case 'u':
			turn_on(optarg);
			break;
		case 'c':
			set->cut = optarg;
			break;
		case 'f':
			set->save = optarg;
			break;
		case 'v':
			set->show = true;
			break;
		default:
			usage();
		}
	}
	if (optind < argc || !set->repair_every)
		usage();
}

int main(int argc, char **argv)
{
	struct settings set;

	parse(argc, argv, &set);
	message_set_level(MESSAGE_ERROR);
	if (!set.end_seed || set.scenario)
		examine_named(&set);
	if (set.end_seed)
		examine_random(&set);
	printf("%" PRIu64 " scenarios, %" PRIu64 " positions, %" PRIu64 " cuts (%" PRIu64
	       " of them given to xfs_repair), %" PRIu64 " violations\n",
	       totals.scenarios, totals.positions, totals.cuts, totals.repairs, totals.violations);
	return totals.violations ? 1 : totals.scenarios ? 0 : 2;
}
