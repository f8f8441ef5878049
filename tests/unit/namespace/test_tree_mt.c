/* SPDX-License-Identifier: GPL-2.0 */
/* Several threads work in directories that all of them share. */
#include "namespace_test.h"

#include <userxfs/base/thread.h>

#define MT_BYTES (512ull << 20)

struct worker {
	struct thread thread;
	struct fixture *f;
	struct inode *shared[4];
	unsigned seed, number;
};

/* Works in directories that all share, on names that none does. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct namespace *ns = &w->f->ns;
	char name[32], other[32];

	for (unsigned i = 0; i < 600; i++) {
		struct inode *dir = w->shared[rand_r(&w->seed) % 4], *to = w->shared[rand_r(&w->seed) % 4], *inode;
		uint32_t mode = rand_r(&w->seed) % 4 ? S_IFREG | 0600 : S_IFDIR | 0700;

		snprintf(name, sizeof(name), "w%u-%u", w->number, (unsigned)rand_r(&w->seed) % 100);
		snprintf(other, sizeof(other), "w%u-%u", w->number, (unsigned)rand_r(&w->seed) % 100);
		switch (rand_r(&w->seed) % 5) {
		case 0:
		case 1:
			if (namespace_create(ns, dir, name_of(name), mode, 0, &cred_user, &inode) == 0)
				inode_put(inode);
			break;
		case 2:
			if (namespace_unlink(ns, dir, name_of(name)) == -EISDIR)
				namespace_rmdir(ns, dir, name_of(name));
			break;
		case 3:
			namespace_rename(ns, dir, name_of(name), to, name_of(other), 0, &cred_user);
			break;
		default:
			if (namespace_lookup(ns, dir, name_of(name), &inode) == 0) {
				namespace_link(ns, inode, to, name_of(other));
				inode_put(inode);
			}
			break;
		}
		if (i % 50 == 0)
			namespace_inactivate_pass(ns);
	}
	return NULL;
}

static void many_threads_share_directories(void **state)
{
	struct fixture *f = fixture_create(MT_BYTES, "-m rmapbt=1");
	struct worker workers[4];
	struct inode *shared[4];
	char name[8];

	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		shared[i] = make(f, i ? shared[i - 1] : f->root, name, S_IFDIR | 0700);
	}
	for (unsigned i = 0; i < 4; i++) {
		workers[i] = (struct worker){ .f = f, .seed = i + 1, .number = i };
		memcpy(workers[i].shared, shared, sizeof(shared));
		assert_int_equal(thread_create(&workers[i].thread, "worker", work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		thread_join(&workers[i].thread);
	for (unsigned i = 0; i < 4; i++) {
		assert_null(dir_verify(shared[i]));
		inode_put(shared[i]);
	}
	assert_false(log_is_shutdown(f->vol.log));
	fixture_inactivate(f);
	fixture_check_with_kernel(f);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_threads_share_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
