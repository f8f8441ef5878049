/* SPDX-License-Identifier: GPL-2.0 */
/* Several threads find, create, free and forget inodes. */
#include "inode_test.h"

#include <userxfs/base/thread.h>

#define THREADS 4

struct racer {
	struct thread thread;
	struct mounted *m;
	struct inode *root;
	unsigned seed;
};

static void run(struct mounted *m, void *(*body)(void *))
{
	struct inode *root = root_of(m);
	struct racer racers[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){ .m = m, .root = root, .seed = i + 1 };
		assert_int_equal(thread_create(&racers[i].thread, "race", body, &racers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		thread_join(&racers[i].thread);
	inode_put(root);
}

static void *get_and_drop(void *arg)
{
	struct racer *r = arg;

	for (unsigned i = 0; i < 2000; i++) {
		uint64_t which = rand_r(&r->seed) % 3;
		struct inode *inode;

		if (inode_get(r->m->vol.inodes, NULL, (struct inum){ r->m->vol.geo.root.v + which }, 0, &inode))
			continue;
		if (i % 16 == 0)
			inode_cache_drop(r->m->vol.inodes);
		inode_put(inode);
	}
	return NULL;
}

static void getters_and_reclaim_race(void **state)
{
	struct mounted *m = mounted_create("");

	run(m, get_and_drop);
	mounted_destroy(m);
}

/* Creates and frees, writes home and drops: numbers are used again while their last lives are still on their way. */
static void *create_and_free(void *arg)
{
	struct racer *r = arg;
	struct mounted *m = r->m;
	struct inode *held[24] = { NULL };

	for (unsigned i = 0; i < 400; i++) {
		unsigned slot = (unsigned)rand_r(&r->seed) % 24;

		if (held[slot]) {
			inode_put(held[slot]);
			held[slot] = NULL;
			free_queued(m);
		} else {
			held[slot] = create_nameless(m, r->root, S_IFREG | 0600);
		}
		if (i % 40 == 0)
			log_force(m->vol.log, 0, NULL);
		if (i % 64 == 0)
			inode_cache_drop(m->vol.inodes);
		log_tail_pass(m->vol.log);
	}
	for (unsigned slot = 0; slot < 24; slot++)
		inode_put(held[slot]);
	free_queued(m);
	return NULL;
}

static void creators_and_the_log_race(void **state)
{
	struct mounted *m = mounted_create("-d agcount=2");

	run(m, create_and_free);
	free_queued(m);
	mounted_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(getters_and_reclaim_race),
		cmocka_unit_test(creators_and_the_log_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
