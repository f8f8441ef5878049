// SPDX-License-Identifier: GPL-2.0
/* Inode numbers taken and given back by several threads at once. */
#include <stdlib.h>
#include <sys/stat.h>

#include <userxfs/base/error.h>
#include <userxfs/base/thread.h>
#include <userxfs/space/ialloc.h>

#include "mounted.c"

#define MIB (1ull << 20)
#define THREADS 4
#define INODES 800

struct worker {
	struct thread thread;
	uint64_t state;			/* of its random numbers */
	uint64_t inodes[INODES];
	unsigned count;
	int err;
};

static struct worker workers[THREADS];

static uint32_t worker_random(struct worker *w, uint32_t below)
{
	w->state = w->state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->state >> 33) % below;
}

static int worker_alloc(struct worker *w)
{
	uint64_t parent = w->count && worker_random(w, 3) ? w->inodes[worker_random(w, w->count)] : vol.geo.root.v;
	struct inum ino;
	struct tx *tx;
	int err;

	err = tx_begin(vol.log, &log_reservations(vol.log)->create, ialloc_blocks_needed(&vol.geo), 0, &tx);
	if (err)
		return err;
	err = ialloc_alloc(tx, vol.space, (struct inum){ parent }, worker_random(w, 8) ? S_IFREG : S_IFDIR, &ino);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	w->inodes[w->count++] = ino.v;
	return tx_commit(tx);
}

static int worker_free(struct worker *w)
{
	unsigned i = worker_random(w, w->count);
	struct inode_chunk_freed freed;
	struct tx *tx;
	int err;

	err = tx_begin(vol.log, &log_reservations(vol.log)->inode_free, ialloc_free_blocks_needed(&vol.geo),
		       TX_USE_POOL, &tx);
	if (err)
		return err;
	err = ialloc_free(tx, vol.space, (struct inum){ w->inodes[i] }, &freed);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	if (freed.is_deleted)
		mounted_forget_clusters(tx, &freed);
	w->inodes[i] = w->inodes[--w->count];
	return tx_commit(tx);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	while (!w->err && w->count < INODES)
		w->err = w->count && worker_random(w, 3) == 0 ? worker_free(w) : worker_alloc(w);
	while (!w->err && w->count)
		w->err = worker_free(w);
	return NULL;
}

/* Nobody gets what somebody else has, nobody waits for ever, and the volume is clean. */
static void threads_take_and_give_inodes(void **state)
{
	mounted_create(512 * MIB, "-d agcount=4 -m rmapbt=1");
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .state = i };
		assert_int_equal(thread_create(&workers[i].thread, "worker", worker_run, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		thread_join(&workers[i].thread);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(workers[i].err, 0);
	mounted_check_and_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_take_and_give_inodes),
	};

	return cmocka_run_group_tests_name("ialloc_mt", tests, NULL, NULL);
}
