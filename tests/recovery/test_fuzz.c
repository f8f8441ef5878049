// SPDX-License-Identifier: GPL-2.0
/*
 * Dirty logs with random changes in them whose checksums are right again.  Recovery may take them or refuse them; it
 * must not crash, hang or work without bounds, and when it refuses while it replays, nothing has been written.
 *
 * LAB_FUZZ_ROUNDS: how many; LAB_FUZZ_SEED: the first one.  What fails says its seed.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <userxfs/base/hash.h>
#include <userxfs/base/message.h>

#include "forge.h"
#include "lab/bypath.h"

enum {
	ROUNDS = 60,			/* of each volume, when nobody says more */
	ROUND_SECONDS = 60,		/* a hang */
	RECORDS_MAX = 256,
	OPS_MAX = 1 << 14,
};

/* ---- a failure says its seed ----------------------------------------------------------------------------------- */

static uint64_t current_seed;

static void say_seed(void)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "LAB_FUZZ_SEED=%llu\n", (unsigned long long)current_seed);

	if (write(STDERR_FILENO, text, (size_t)n) != n)
		_exit(1);
}

static void on_signal(int sig)
{
	say_seed();
	signal(sig, SIG_DFL);
	raise(sig);
}

__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

static void watch(void)
{
	static const int signals[] = { SIGALRM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE };

	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], on_signal);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(say_seed);
}

/* ---- the log to be changed ------------------------------------------------------------------------------------- */

static void must(int err)
{
	assert_int_equal(err, 0);
}

/* Something of everything. */
static void work(struct volume *vol)
{
	static char bytes[256 << 10];
	char path[64];

	memset(bytes, 'x', sizeof(bytes));
	must(path_mkdir(vol, "d"));
	for (unsigned i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "d/a-file-with-a-name-%u", i);
		must(path_create(vol, path, 0644));
	}
	for (unsigned i = 0; i < 30; i++)
		must(path_write(vol, "d/a-file-with-a-name-1", i * 8192ull, bytes, 4096, PATH_WRITE_SYNC));
	must(path_write(vol, "d/a-file-with-a-name-2", 0, bytes, sizeof(bytes), PATH_WRITE_SYNC));
	must(path_setxattr(vol, "d/a-file-with-a-name-3", "user.a", bytes, 3000));
	must(path_symlink(vol, "link", "d/a-file-with-a-name-3"));
	must(path_rename(vol, "d/a-file-with-a-name-4", "moved", 0));
	must(path_truncate(vol, "d/a-file-with-a-name-1", 40000));
	must(log_force(vol->log, 0, NULL));
	for (unsigned i = 5; i < 30; i++) {
		snprintf(path, sizeof(path), "d/a-file-with-a-name-%u", i);
		must(path_unlink(vol, path));
	}
	must(path_truncate(vol, "d/a-file-with-a-name-2", 0));
	must(log_force(vol->log, 0, NULL));
}

/* Intents that nobody has finished, of extents that may make sense. */
static void add_intents(struct forge *f)
{
	static const uint16_t types[] = { XFS_LI_EFI, XFS_LI_RUI, XFS_LI_CUI, XFS_LI_BUI };
	struct verdict v;

	forge_replay(f, &v);
	forge_at_head(f);
	forge_start(f, 99);
	for (unsigned i = 0; i < 4; i++) {
		struct {
			uint16_t type, regions;
			uint32_t count;
			uint64_t id;
			union {
				struct xfs_extent extent;
				struct xfs_phys_extent phys;
				struct xfs_map_extent map;
			};
		} intent = { .type = types[i], .regions = 1, .count = 1, .id = 1000 + i };
		bool is_map = types[i] == XFS_LI_RUI || types[i] == XFS_LI_BUI;

		if (types[i] == XFS_LI_EFI)
			intent.extent = (struct xfs_extent){ .ext_start = 1500, .ext_len = 2 };
		else if (types[i] == XFS_LI_CUI)
			intent.phys = (struct xfs_phys_extent){ .pe_startblock = 1600, .pe_len = 3, .pe_flags = 1 };
		else
			intent.map = (struct xfs_map_extent){ .me_owner = f->geo.root.v + 4, .me_startblock = 1700,
							      .me_startoff = 100, .me_len = 2, .me_flags = 1 };
		forge_region(f, 99, &intent, is_map ? 16 + sizeof(intent.map) : 32);
	}
	forge_commit(f, 99);
	forge_write(f, v.head.tail);
}

static void make_dirty(struct forge *f, const char *mkfs_args, bool has_intents)
{
	struct disk copy;
	struct volume *vol;

	forge_make(f, mkfs_args);
	must(disk_mount(&f->disk, &vol));
	work(vol);
	disk_create(&copy, f->disk.size_bytes);
	memcpy(copy.bytes, f->disk.bytes, copy.size_bytes);
	must(volume_unmount(vol, true));
	memcpy(f->disk.bytes, copy.bytes, copy.size_bytes);
	disk_destroy(&copy);
	if (has_intents)
		add_intents(f);
}

/* ---- where to change it ---------------------------------------------------------------------------------------- */

struct target {
	struct forge *f;
	char *pristine;			/* the log */
	uint32_t records[RECORDS_MAX];	/* blocks, from the tail on */
	unsigned record_count;
	struct {
		uint32_t block, off;	/* its record; of the op header in the payload */
		uint32_t bytes;		/* of data */
	} ops[OPS_MAX];
	unsigned op_count;
	uint64_t seed;
};

static uint32_t draw(struct target *t, uint32_t below)
{
	t->seed = hash_u64(t->seed + 1);
	return (uint32_t)(t->seed >> 16) % below;
}

/* The byte at @off of a record's payload: the first four of each block are kept in the headers. */
static char *payload_byte(const struct target *t, uint32_t block, uint32_t off)
{
	char *record = forge_block(t->f, block);
	struct xlog_rec_header *head = (void *)record;
	uint32_t i = off / BLOCK_BYTES, headers = record_headers_of(head);
	struct xlog_rec_ext_header *more = (void *)(record + (size_t)(i / CYCLE_WORDS) * BLOCK_BYTES);

	if (off % BLOCK_BYTES >= sizeof(__be32))
		return record + headers + off;
	return (char *)(i < CYCLE_WORDS ? &head->h_cycle_data[i] : &more->xh_cycle_data[i % CYCLE_WORDS]) +
	       off % BLOCK_BYTES;
}

static void find_ops(struct target *t, uint32_t block)
{
	const struct xlog_rec_header *head = forge_block(t->f, block);
	uint32_t off = 0, count = be32_to_cpu(head->h_num_logops);

	for (uint32_t i = 0; i < count && t->op_count < OPS_MAX; i++) {
		struct xlog_op_header op;

		for (unsigned b = 0; b < sizeof(op); b++)
			((char *)&op)[b] = *payload_byte(t, block, off + b);
		t->ops[t->op_count].block = block;
		t->ops[t->op_count].off = off;
		t->ops[t->op_count++].bytes = be32_to_cpu(op.oh_len);
		off += (uint32_t)sizeof(op) + be32_to_cpu(op.oh_len);
	}
}

static void find_targets(struct target *t, struct forge *f)
{
	struct verdict v;

	*t = (struct target){ .f = f, .pristine = malloc(f->log_blocks * BLOCK_BYTES) };
	memcpy(t->pristine, forge_block(f, 0), f->log_blocks * BLOCK_BYTES);
	forge_replay(f, &v);
	if (v.err || v.head.state != LOG_DIRTY)
		fail_msg("%d %s", v.err, v.said);
	assert_true(v.report.transactions >= 3);
	for (uint64_t block = lsn_block(v.head.tail); block != lsn_block(v.head.head);) {
		const struct xlog_rec_header *head = forge_block(f, block);

		assert_true(t->record_count < RECORDS_MAX);
		t->records[t->record_count++] = (uint32_t)block;
		find_ops(t, (uint32_t)block);
		block += (record_headers_of(head) + be32_to_cpu(head->h_len)) / BLOCK_BYTES;
	}
}

/* ---- changes --------------------------------------------------------------------------------------------------- */

/* One, two, four or eight bytes become something that often hurts. */
static void change_number(struct target *t, uint32_t block, uint32_t off)
{
	static const uint64_t values[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff,
					   0x80000000, 0xffffffff, 1ull << 40, INT64_MAX, UINT64_MAX };
	unsigned width = 1u << draw(t, 4);
	uint64_t value = values[draw(t, sizeof(values) / sizeof(values[0]))];
	bool is_big_endian = draw(t, 2);
	uint32_t how = draw(t, 3);

	if (off % width)
		off -= off % width;
	for (unsigned i = 0; i < width; i++) {
		char *byte = payload_byte(t, block, off + i);
		unsigned shift = 8 * (is_big_endian ? width - 1 - i : i);

		if (how == 0)
			*byte = (char)(value >> shift);
		else if (how == 1)
			*byte = (char)draw(t, 256);
		else if (i == 0)
			*byte = (char)(*byte + (draw(t, 2) ? 1 : -1));
	}
}

static uint32_t change_op(struct target *t)
{
	unsigned i = draw(t, t->op_count);
	uint32_t block = t->ops[i].block, off = t->ops[i].off;

	switch (draw(t, 10)) {
	case 0:
		change_number(t, block, off + draw(t, sizeof(struct xlog_op_header)));
		break;
	case 1: case 2: case 3:		/* what it is */
		if (t->ops[i].bytes)
			change_number(t, block,
				      off + OP_BYTES + draw(t, t->ops[i].bytes < 64 ? t->ops[i].bytes : 64));
		break;
	default:
		if (t->ops[i].bytes)
			change_number(t, block, off + OP_BYTES + draw(t, t->ops[i].bytes));
	}
	return block;
}

static uint32_t change_header(struct target *t)
{
	static const uint32_t values[] = {
		0, 1, 512, 1024, 0x7e00, 0x8000, 0x40000, 0x40200, 0x7fffffff, UINT32_MAX
	};
	uint32_t block = t->records[draw(t, t->record_count)];
	uint32_t off = draw(t, 12) * 4;
	__be32 *word = (void *)((char *)forge_block(t->f, block) + off);

	/* Up to the first kept word, or the size at the end. */
	if (draw(t, 6) == 0)
		word = &((struct xlog_rec_header *)forge_block(t->f, block))->h_size;
	*word = draw(t, 2) ? cpu_to_be32(values[draw(t, sizeof(values) / sizeof(values[0]))]) :
		cpu_to_be32(be32_to_cpu(*word) + 1 - 2 * draw(t, 2));
	return block;
}

static void change(struct target *t)
{
	unsigned count = 1 + draw(t, 4);

	/* A header last: nothing is found by it any more. */
	for (unsigned i = 0; i < count; i++)
		forge_seal(t->f, change_op(t));
	if (draw(t, 10) == 0)
		forge_seal(t->f, change_header(t));
}

static void put_back(const struct target *t)
{
	memcpy(forge_block(t->f, 0), t->pristine, t->f->log_blocks * BLOCK_BYTES);
}

/* ---- the test -------------------------------------------------------------------------------------------------- */

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void changed_logs_are_taken_or_refused(const char *mkfs_args, bool has_intents)
{
	uint64_t first = setting("LAB_FUZZ_SEED", 1), rounds = setting("LAB_FUZZ_ROUNDS", ROUNDS);
	unsigned refused = 0, refused_later = 0;
	static struct target t;
	struct forge f;

	watch();
	make_dirty(&f, mkfs_args, has_intents);
	find_targets(&t, &f);
	for (current_seed = first; current_seed < first + rounds; current_seed++) {
		struct verdict v;

		alarm(ROUND_SECONDS);
		t.seed = hash_u64(current_seed);
		change(&t);
		forge_replay(&f, &v);
		if (v.err && (v.writes || !*v.said))
			fail_msg("LAB_FUZZ_SEED=%llu: %d, %llu writes, said \"%s\"", (unsigned long long)current_seed,
				 v.err, (unsigned long long)v.writes, v.said);
		refused += v.err != 0;
		if (!v.err) {
			forge_recover(&f, &v, NULL);
			refused_later += v.err != 0;
		}
		put_back(&t);
	}
	alarm(0);
	print_message("%llu logs: %u refused, %u could not be finished, the others were replayed\n",
		      (unsigned long long)rounds, refused, refused_later);
	free(t.pristine);
	forge_destroy(&f);
}

static void changed_logs_of_a_plain_volume(void **state)
{
	changed_logs_are_taken_or_refused("", false);
}

static void changed_logs_with_unfinished_work(void **state)
{
	changed_logs_are_taken_or_refused("-m reflink=1", true);
}

static void changed_logs_of_a_volume_with_everything(void **state)
{
	changed_logs_are_taken_or_refused("-b size=1024 -n size=4096 -m rmapbt=1,reflink=1 -i nrext64=1", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changed_logs_of_a_plain_volume),
		cmocka_unit_test(changed_logs_with_unfinished_work),
		cmocka_unit_test(changed_logs_of_a_volume_with_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
