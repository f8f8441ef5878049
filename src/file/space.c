/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is done before -ENOSPC is an answer (XFS: xfs_flush_inodes, xfs_blockgc_flush_all, xfs_inodegc_flush).
 *
 * Dirty data hold indirect reservations that go back when they are written; speculation, unlinked files that nobody
 * freed yet and blocks whose freeing is not in the log yet are all space.
 */
#include "internal.h"

#include <userxfs/space/alloc.h>

void files_make_space(struct files *files)
{
	/* Whoever comes second finds the work done. */
	mutex_lock(&files->flush_lock);
	pagecache_write_all(files->pages, true);
	mutex_unlock(&files->flush_lock);
	prealloc_trim_pass(files, true);
	if (files->hooks.inactivate)
		files->hooks.inactivate(files->hooks.context);
	space_flush_busy(files->space);
}

int file_tx_begin(struct files *files, const struct tx_reservation *res, uint64_t blocks, uint32_t flags,
		  struct tx **out)
{
	int err = tx_begin(files->log, res, blocks, flags, out);

	if (err != -ENOSPC)
		return err;
	prealloc_trim_pass(files, false);
	return tx_begin(files->log, res, blocks, flags, out);
}
