/* SPDX-License-Identifier: GPL-2.0 */
/* The engine of plain system calls: passing threads carry out what is queued with preadv and pwritev. */
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "internal.h"
#include "queue.h"

struct sync_engine {
	struct file_device file;
	struct queue queue;
};

static struct sync_engine *sync_engine(struct device *dev)
{
	return container_of(file_device(dev), struct sync_engine, file);
}

static void sync_close(struct device *dev)
{
	struct sync_engine *engine = sync_engine(dev);

	queue_deinit(&engine->queue);
	file_close(&engine->file);
	mem_free(engine);
}

static const struct device_ops sync_ops = {
	.name = "sync",
	.submit = queue_submit,
	.collect = queue_collect,
	.wake = queue_wake,
	.finish = file_perform,
	.perform = file_perform,
	.drop_exclusive = file_drop_exclusive,
	.close = sync_close,
};

int sync_engine_create(const struct file_device *file, struct device **out)
{
	struct sync_engine *engine = mem_alloc_zeroed(sizeof(*engine));

	if (!engine)
		return -ENOMEM;
	engine->file = *file;
	device_init(&engine->file.dev, &sync_ops);
	queue_init(&engine->queue, &engine->file.dev);
	*out = &engine->file.dev;
	return 0;
}
