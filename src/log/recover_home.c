/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What replaying has changed, on its way home.
 *
 * Blocks are verified when all is done, not before: until then a torn one may make no sense.  When there is too much
 * in memory, those go home that do make sense already.
 */
#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#include "recover.h"

enum {
	DIRTY_BYTES_MAX = 256 << 20,	/* written home before there is more */
};

void recovery_dirty(struct recovery *r, struct buffer *buf, const struct block_type *type, lsn_t lsn)
{
	buf->type = type;
	if (lsn)
		atomic_store(&buf->lsn, lsn);
	if (buffer_queue_write(buf, &r->writes))
		r->dirty_bytes += buf->bytes;
}

bool recovery_is_dirty(const struct buffer *buf)
{
	return atomic_load(&((struct buffer *)(uintptr_t)buf)->flags) & BUFFER_QUEUED;
}

/* ---- inodes whose write was cut off ---------------------------------------------------------------------------- */

struct torn_inode {
	struct list node;
	daddr_u64 daddr;
	uint32_t count, off_bytes;
};

void recovery_dirty_inode(struct recovery *r, struct buffer *buf, struct xfs_dinode *dip)
{
	dinode_seal(r->geo, dip);
	recovery_dirty(r, buf, &recovery_cluster_type, 0);
}

int recovery_dirty_torn_inode(struct recovery *r, struct buffer *buf, struct xfs_dinode *dip)
{
	struct torn_inode *torn = mem_alloc_zeroed(sizeof(*torn));

	if (!torn)
		return -ENOMEM;
	torn->daddr = buf->daddr;
	torn->count = (uint32_t)(buf->bytes >> SECTOR_UNIT_LOG);
	torn->off_bytes = (uint32_t)((char *)dip - (char *)buf->data);
	list_push_back(&r->torn, &torn->node);
	recovery_dirty(r, buf, &recovery_cluster_type, 0);
	return 0;
}

static int seal_torn(struct recovery *r, const struct torn_inode *torn)
{
	struct xfs_dinode *dip;
	struct buffer *buf;
	const char *why;
	int err = buffer_read(r->cache, torn->daddr, torn->count, NULL, &buf);

	if (err)
		return err;
	dip = (void *)((char *)buf->data + torn->off_bytes);
	why = dip->di_mode ? dinode_verify(r->geo, (struct inum){ be64_to_cpu(dip->di_ino) }, dip) : NULL;
	if (why) {
		msg_error("inode %llu cannot be replayed: %s; run xfs_repair",
			  (unsigned long long)be64_to_cpu(dip->di_ino), why);
		err = -EFSCORRUPTED;
	} else {
		dinode_seal(r->geo, dip);
		/* It may have been written already. */
		recovery_dirty(r, buf, &recovery_cluster_type, 0);
	}
	buffer_release(buf);
	return err;
}

void recovery_forget_torn(struct recovery *r)
{
	while (!list_is_empty(&r->torn)) {
		struct torn_inode *torn = list_first(&r->torn, struct torn_inode, node);

		list_remove(&torn->node);
		mem_free(torn);
	}
}

static int seal_all_torn(struct recovery *r)
{
	int err = 0;

	list_for_each(node, &r->torn) {
		err = seal_torn(r, list_entry(node, struct torn_inode, node));
		if (err)
			return err;
	}
	recovery_forget_torn(r);
	return 0;
}

/* ---- home ------------------------------------------------------------------------------------------------------ */

/* Nothing is written if anything is wrong. */
static int verify_all(struct recovery *r)
{
	list_for_each(node, &r->writes) {
		struct buffer *buf = list_entry(node, struct buffer, queue_node);
		int err = block_verify_write(buf->type, r->geo, buf->data, buf->bytes, buf->daddr);

		if (err)
			return err;
	}
	return 0;
}

static int write_list(struct recovery *r)
{
	int err = buffer_submit_list(r->cache, &r->writes, false, true);

	if (err)
		return err;
	r->dirty_bytes = 0;
	buffer_cache_shrink(r->cache);
	return 0;
}

int recovery_write_home(struct recovery *r)
{
	int err = seal_all_torn(r);

	if (!err)
		err = recovery_visit_all(r);
	if (!err)
		err = recovery_join_pieces(r);
	if (!err)
		err = verify_all(r);
	return err ? err : write_list(r);
}

/* Before the end: what makes sense already. */
static int write_some(struct recovery *r)
{
	struct list later = LIST_INIT(later);
	uint64_t bytes = 0;
	int err;

	list_for_each_safe(node, &r->writes) {
		struct buffer *buf = list_entry(node, struct buffer, queue_node);

		if (!buf->type->verify(r->geo, buf->data, buf->bytes, buf->daddr))
			continue;
		bytes += buf->bytes;
		list_move_back(&later, node);
	}
	err = write_list(r);
	list_splice_back(&r->writes, &later);
	r->dirty_bytes = r->kept_bytes = bytes;
	return err;
}

int recovery_limit_memory(struct recovery *r)
{
	uint64_t limit = r->options->memory_bytes ? r->options->memory_bytes : DIRTY_BYTES_MAX;

	return r->dirty_bytes > r->kept_bytes + limit ? write_some(r) : 0;
}
