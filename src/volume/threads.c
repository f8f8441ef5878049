/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The threads of a mounted volume.  Each waits for one kind of work and runs its pass until there is none:
 *
 *   device      completes or performs I/O
 *   log         writes checkpoints and pushes the tail
 *   writeback   writes dirty file data, keeps the page cache within its budget
 *   completion  conversions and size updates of data that reached the disk
 *   keeper      last puts of inodes, trimming of speculation, memory of inodes and buffers
 */
#include "threads.h"

#include <stdatomic.h>
#include <unistd.h>

#include <userxfs/base/clock.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/base/thread.h>

#define DEVICE_THREADS 2
#define WRITEBACK_POLL_NS (5 * NS_PER_SEC)	/* the kernel's dirty_writeback_interval */
#define LOG_POLL_NS (30 * NS_PER_SEC)
#define KEEPER_POLL_NS (1 * NS_PER_SEC)
#define TRIM_INTERVAL_NS (300 * NS_PER_SEC)	/* XFS: fs.xfs.speculative_prealloc_lifetime */

struct volume_threads {
	struct thread device[DEVICE_THREADS];
	struct thread log, writeback, completion, keeper;
	_Atomic bool device_stop, stop;
	struct mutex keeper_lock;
	struct cond keeper_wake;
	bool keeper_has_work;
};

static void *device_main(void *arg)
{
	struct volume *vol = arg;

	while (!atomic_load(&vol->threads->device_stop))
		device_pass(vol->dev, true);
	return NULL;
}

static void *log_main(void *arg)
{
	struct volume *vol = arg;

	while (!atomic_load(&vol->threads->stop)) {
		bool more = log_write_pass(vol->log);

		more |= log_tail_pass(vol->log);
		if (!more)
			log_wait_work(vol->log, clock_now_ns() + LOG_POLL_NS);
	}
	return NULL;
}

static void *writeback_main(void *arg)
{
	struct volume *vol = arg;

	while (!atomic_load(&vol->threads->stop)) {
		bool more = pagecache_writeback_pass(vol->pages);

		pagecache_reclaim_pass(vol->pages);
		if (!more)
			pagecache_wait_work(vol->pages, clock_now_ns() + WRITEBACK_POLL_NS);
	}
	return NULL;
}

static void *completion_main(void *arg)
{
	struct volume *vol = arg;

	while (!atomic_load(&vol->threads->stop)) {
		if (!file_completion_pass(vol->files))
			file_completion_wait(vol->files, clock_now_ns() + KEEPER_POLL_NS);
	}
	return NULL;
}

static void keeper_wake(void *context)
{
	struct volume_threads *t = context;

	mutex_lock(&t->keeper_lock);
	t->keeper_has_work = true;
	cond_signal(&t->keeper_wake);
	mutex_unlock(&t->keeper_lock);
}

static void *keeper_main(void *arg)
{
	struct volume *vol = arg;
	struct volume_threads *t = vol->threads;
	uint64_t next_trim = clock_now_ns() + TRIM_INTERVAL_NS;

	while (!atomic_load(&t->stop)) {
		while (!atomic_load(&t->stop) && namespace_inactivate_pass(&vol->ns))
			;
		inode_reclaim_pass(vol->inodes);
		buffer_cache_shrink(vol->buffers);
		if (clock_now_ns() >= next_trim) {
			prealloc_trim_pass(vol->files, false);
			next_trim = clock_now_ns() + TRIM_INTERVAL_NS;
		}
		mutex_lock(&t->keeper_lock);
		if (!t->keeper_has_work && !atomic_load(&t->stop))
			cond_wait_until(&t->keeper_wake, &t->keeper_lock, clock_now_ns() + KEEPER_POLL_NS);
		t->keeper_has_work = false;
		mutex_unlock(&t->keeper_lock);
	}
	return NULL;
}

int volume_threads_start_device(struct volume *vol)
{
	struct volume_threads *t;
	int err;

	t = mem_alloc_zeroed(sizeof(*t));
	if (!t)
		return -ENOMEM;
	mutex_init(&t->keeper_lock, RANK_LEAF, 0, "keeper");
	cond_init(&t->keeper_wake);
	vol->threads = t;
	for (int i = 0; i < DEVICE_THREADS; i++) {
		err = thread_create(&t->device[i], "uxfs-device", device_main, vol);
		if (err) {
			volume_threads_destroy(vol);
			return err;
		}
	}
	return 0;
}

int volume_threads_start(struct volume *vol)
{
	struct volume_threads *t = vol->threads;
	int err;

	err = thread_create(&t->completion, "uxfs-complete", completion_main, vol);
	if (!err)
		err = thread_create(&t->writeback, "uxfs-writeback", writeback_main, vol);
	if (!err && !vol->is_read_only)
		err = thread_create(&t->log, "uxfs-log", log_main, vol);
	if (!err)
		err = thread_create(&t->keeper, "uxfs-keeper", keeper_main, vol);
	if (err) {
		msg_error("cannot start a thread: error %d; raise the process limit and mount again", -err);
		volume_threads_stop(vol);
		return err;
	}
	inode_cache_set_wake(vol->inodes, keeper_wake, t);
	return 0;
}

void volume_threads_stop(struct volume *vol)
{
	struct volume_threads *t = vol->threads;

	if (!t)
		return;
	atomic_store(&t->stop, true);
	keeper_wake(t);
	if (t->log.is_running)
		log_wake(vol->log);
	if (t->writeback.is_running)
		pagecache_wake(vol->pages);
	if (t->completion.is_running)
		file_completion_wake(vol->files);
	thread_join(&t->keeper);
	thread_join(&t->writeback);
	thread_join(&t->completion);
	thread_join(&t->log);
	if (vol->inodes)
		inode_cache_set_wake(vol->inodes, NULL, NULL);
}

void volume_threads_destroy(struct volume *vol)
{
	struct volume_threads *t = vol->threads;

	if (!t)
		return;
	atomic_store(&t->device_stop, true);
	for (int i = 0; i < DEVICE_THREADS; i++) {
		device_wake(vol->dev);
		thread_join(&t->device[i]);
	}
	cond_deinit(&t->keeper_wake);
	mutex_deinit(&t->keeper_lock);
	mem_free(t);
	vol->threads = NULL;
}
