/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inodes that are looked at once more when all of the log has been replayed: what they lead to is whole then.  In the
 * middle of the log it may be something that is freed later on, and was never written.
 */
#include <userxfs/base/memory.h>

#include "recover.h"

struct visit {
	struct list node;
	uint64_t ino;
	daddr_u64 daddr;
	uint32_t count, off_bytes;	/* of its cluster; within it */
	int (*action)(struct recovery *r, const struct xfs_dinode *dip);
};

int recovery_visit_later(struct recovery *r, const struct buffer *buf, const struct xfs_dinode *dip,
			 int (*action)(struct recovery *r, const struct xfs_dinode *dip))
{
	struct visit *visit = mem_alloc_zeroed(sizeof(*visit));

	if (!visit)
		return -ENOMEM;
	visit->ino = be64_to_cpu(dip->di_ino);
	visit->daddr = buf->daddr;
	visit->count = (uint32_t)(buf->bytes >> SECTOR_UNIT_LOG);
	visit->off_bytes = (uint32_t)((const char *)dip - (const char *)buf->data);
	visit->action = action;
	list_push_back(&r->visits, &visit->node);
	return 0;
}

static int visit_inode(struct recovery *r, const struct visit *visit)
{
	const struct xfs_dinode *dip;
	struct buffer *buf;
	int err = recovery_read(r, visit->daddr, visit->count, &buf);

	if (err)
		return err;
	dip = (const void *)((const char *)buf->data + visit->off_bytes);
	/* It may have been freed, or its whole chunk. */
	if (be16_to_cpu(dip->di_magic) == XFS_DINODE_MAGIC && be64_to_cpu(dip->di_ino) == visit->ino &&
	    dip->di_mode && !dinode_verify(r->geo, (struct inum){ visit->ino }, dip))
		err = visit->action(r, dip);
	buffer_release(buf);
	return err;
}

void recovery_forget_visits(struct recovery *r)
{
	list_for_each_safe(node, &r->visits) {
		list_remove(node);
		mem_free(list_entry(node, struct visit, node));
	}
}

int recovery_visit_all(struct recovery *r)
{
	int err = 0;

	list_for_each(node, &r->visits) {
		err = visit_inode(r, list_entry(node, struct visit, node));
		if (err)
			break;
	}
	return err;
}
