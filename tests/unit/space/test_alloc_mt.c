/* SPDX-License-Identifier: GPL-2.0 */
/* Allocation and freeing by several threads: nobody waits for ever, nothing is given away twice, nothing is lost. */
#include "mounted.c"

#include <userxfs/base/thread.h>
#include <userxfs/space/alloc.h>

#define THREADS 3
#define STEPS 400
#define EXTENTS_MAX 64

struct worker {
	struct thread thread;
	uint64_t random;
	uint32_t allocated, failed;
	int err;
	uint32_t extent_count;
	struct {
		struct fsblk start;
		uint32_t count;
	} extents[EXTENTS_MAX];
};

static const struct rmap_owner owner = { .owner = XFS_RMAP_OWN_INODES };
static struct worker workers[THREADS];

static uint32_t roll_dice(struct worker *w, uint32_t sides)
{
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->random >> 33) % sides;
}

/* Two allocations in one transaction: the second may need an AG below the first's. */
static int allocate(struct worker *w)
{
	struct tx *tx;
	int err;

	err = tx_begin(vol.log, &log_reservations(vol.log)->truncate, 40, 0, &tx);
	for (int i = 0; !err && i < 2; i++) {
		struct alloc_request req = {
			.how = ALLOC_NEAR, .owner = owner, .is_user_data = true, .min_count = 1,
			.max_count = 1 + roll_dice(w, 20),
			.target = fsblk_make(&vol.geo, roll_dice(w, vol.geo.ag_count), 100 + roll_dice(w, 5000)),
		};

		err = space_alloc(tx, vol.space, &req);
		if (err || fsblk_is_none(req.start)) {
			w->failed++;
			continue;
		}
		w->allocated++;
		w->extents[w->extent_count].start = req.start;
		w->extents[w->extent_count++].count = req.count;
	}
	return err ? err : tx_commit(tx);
}

static int free_one(struct worker *w)
{
	uint32_t i = roll_dice(w, w->extent_count);
	struct tx *tx;
	int err;

	err = tx_begin(vol.log, &log_reservations(vol.log)->truncate, 0, 0, &tx);
	if (err)
		return err;
	space_free_deferred(tx, vol.space, w->extents[i].start, w->extents[i].count, &owner, AG_RESV_NONE, false);
	w->extents[i] = w->extents[--w->extent_count];
	return tx_commit(tx);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (uint32_t i = 0; !w->err && i < STEPS; i++) {
		if (w->extent_count + 2 > EXTENTS_MAX || (w->extent_count && roll_dice(w, 2)))
			w->err = free_one(w);
		else
			w->err = allocate(w);
		if (!w->err && i % 100 == 50)
			w->err = log_force(vol.log, 0, NULL);
	}
	while (!w->err && w->extent_count)
		w->err = free_one(w);
	return NULL;
}

static void run_workers(const char *mkfs_args)
{
	struct space_counts before, after;

	mounted_create(300 << 20, mkfs_args);
	space_counts(vol.space, &before);
	memset(workers, 0, sizeof(workers));
	for (uint32_t i = 0; i < THREADS; i++) {
		workers[i].random = i + 1;
		assert_int_equal(thread_create(&workers[i].thread, "allocator", work, &workers[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		thread_join(&workers[i].thread);
		assert_int_equal(workers[i].err, 0);
		assert_true(workers[i].allocated > STEPS / 3);
		assert_true(workers[i].failed < STEPS / 10);
	}
	for (agno_t agno = 0; agno < vol.geo.ag_count; agno++)
		assert_int_equal(ag_verify(space_ag(vol.space, agno)), 0);
	space_counts(vol.space, &after);
	assert_in_range(before.free_blocks - after.free_blocks, 0, 40);
	mounted_check_and_remove();
}

/* Each has its own AGs most of the time. */
static void threads_share_four_ags(void **state)
{
	run_workers("");
}

/* There are more of them than AGs. */
static void threads_share_two_ags(void **state)
{
	run_workers("-d agcount=2 -m rmapbt=1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_share_four_ags),
		cmocka_unit_test(threads_share_two_ags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
