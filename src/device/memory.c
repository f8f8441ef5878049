/* SPDX-License-Identifier: GPL-2.0 */
/* A device in memory: requests are queued like those of the sync engine, and copied. */
#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>

#include "internal.h"
#include "queue.h"

struct memory_engine {
	struct device dev;
	struct queue queue;
	char *bytes;		/* [I] dev.size_bytes of them */
	bool is_borrowed;	/* [I] .bytes are somebody else's */
};

static struct memory_engine *memory_engine(struct device *dev)
{
	return container_of(dev, struct memory_engine, dev);
}

static void memory_perform(struct device *dev, struct device_request *req)
{
	char *bytes = memory_engine(dev)->bytes + req->off_bytes;

	if (req->op == DEVICE_DISCARD)
		memset(bytes, 0, req->length_bytes);
	else if (req->op != DEVICE_FLUSH)
		request_copy(req, bytes);
	req->err = 0;
}

static void memory_close(struct device *dev)
{
	struct memory_engine *engine = memory_engine(dev);

	queue_deinit(&engine->queue);
	if (!engine->is_borrowed)
		mem_free(engine->bytes);
	mem_free(engine);
}

static const struct device_ops memory_ops = {
	.name = "memory",
	.submit = queue_submit,
	.collect = queue_collect,
	.wake = queue_wake,
	.finish = memory_perform,
	.perform = memory_perform,
	.close = memory_close,
};

int device_create_memory_over(void *bytes, uint64_t size_bytes, struct device **out)
{
	struct memory_engine *engine = mem_alloc_zeroed(sizeof(*engine));

	if (!engine)
		return -ENOMEM;
	engine->bytes = bytes;
	engine->is_borrowed = true;
	engine->dev.size_bytes = size_bytes;
	engine->dev.alignment_bytes = 1;
	engine->dev.can_discard = true;
	device_init(&engine->dev, &memory_ops);
	queue_init(&engine->queue, &engine->dev);
	*out = &engine->dev;
	return 0;
}

int device_create_memory(uint64_t size_bytes, struct device **out)
{
	void *bytes = mem_alloc_zeroed(size_bytes);
	int err = bytes ? device_create_memory_over(bytes, size_bytes, out) : -ENOMEM;

	if (err)
		mem_free(bytes);
	else
		memory_engine(*out)->is_borrowed = false;
	return err;
}

void *device_memory(struct device *dev)
{
	ensure(dev->ops == &memory_ops);
	return memory_engine(dev)->bytes;
}
