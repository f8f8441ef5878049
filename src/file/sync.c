/* SPDX-License-Identifier: GPL-2.0 */
/* Getting data and what is needed to reach them onto stable storage (XFS: xfs_file_fsync). */
#include "internal.h"

int file_flush_start(struct inode *inode, uint64_t off, uint64_t end)
{
	struct mapping *m;
	int err = file_mapping(inode, &m);

	return err ? err : mapping_write(m, off, end);
}

int file_flush(struct inode *inode, uint64_t off, uint64_t end)
{
	uint64_t before, after;
	struct mapping *m;
	int err = file_mapping(inode, &m), io_err;

	if (err)
		return err;
	mapping_error(m, &before);
	err = mapping_write(m, off, end);
	mapping_wait(m, off, end);
	io_err = mapping_error(m, &after);
	if (!err && after != before)
		err = io_err;
	return err;
}

/* Each descriptor sees each recorded error once. */
static int new_error(struct mapping *m, uint64_t *error_seen)
{
	uint64_t sequence;
	int err = mapping_error(m, &sequence);

	if (!error_seen || *error_seen == sequence)
		return 0;
	*error_seen = sequence;
	return err;
}

int file_fsync(struct inode *inode, bool datasync, uint64_t *error_seen)
{
	struct files *files = inode_files(inode);
	uint64_t sequence;
	bool was_flushed = false;
	int err = 0, seen = 0, log_err = 0;

	if (S_ISREG(inode->mode)) {
		struct mapping *m;

		err = file_mapping(inode, &m);
		if (err)
			return err;
		err = file_flush(inode, 0, UINT64_MAX);
		seen = new_error(m, error_seen);
		atomic_fetch_and(&inode->flags, ~(uint32_t)INODE_TRUNCATED);
	}
	rwlock_read_lock(&inode->map_lock);
	sequence = datasync ? inode->datasync_sequence : inode->sync_sequence;
	rwlock_read_unlock(&inode->map_lock);
	if (sequence && !log_is_durable(files->log, sequence))
		log_err = log_force(files->log, sequence, &was_flushed);
	if (!log_err && !was_flushed)
		log_err = log_flush_device(files->log);
	if (err)
		return err;
	return seen ? seen : log_err;
}

int files_flush_all(struct files *files, bool wait)
{
	return pagecache_write_all(files->pages, wait);
}
