/* SPDX-License-Identifier: GPL-2.0 */
/* The room's object: binds the page cache to the inode cache. */
#include "internal.h"

#include <userxfs/base/memory.h>

static void pin_inode(void *owner)
{
	struct inode *inode = owner;

	atomic_fetch_add(&inode->data_pins, 1);
}

static void unpin_inode(void *owner)
{
	struct inode *inode = owner;

	atomic_fetch_sub_explicit(&inode->data_pins, 1, memory_order_release);
}

static void evict_inode(struct inode *inode)
{
	mapping_destroy(inode->mapping, log_is_shutdown(inode_cache_log(inode->cache)));
	inode->mapping = NULL;
}

static bool needs_inactivation(struct inode *inode)
{
	return S_ISREG(inode->mode) && atomic_load(&inode->flags) & (INODE_EOFBLOCKS | INODE_COWBLOCKS);
}

int files_create(struct inode_cache *inodes, struct pagecache *pages, struct device *data_dev,
		 const struct file_options *options, struct files **out)
{
	struct files *files = mem_alloc_zeroed(sizeof(*files));

	if (!files)
		return -ENOMEM;
	files->inodes = inodes;
	files->pages = pages;
	files->dev = data_dev;
	files->space = inode_cache_space(inodes);
	files->log = inode_cache_log(inodes);
	files->geo = space_geometry(files->space);
	files->options = *options;
	mutex_init(&files->completion_lock, RANK_LEAF, 0, "completions");
	cond_init(&files->completion_work);
	list_init(&files->completions);
	mutex_init(&files->flush_lock, RANK_FREEZE, 0, "flush for space");
	inode_cache_set_private(inodes, INODE_PRIVATE_FILES, files);
	iomap_set_options(inodes, &files->options.iomap);
	pagecache_set_pin_ops(pages, pin_inode, unpin_inode);
	inode_cache_set_evict(inodes, evict_inode);
	inode_cache_set_needs_inactivation(inodes, needs_inactivation);
	*out = files;
	return 0;
}

void files_destroy(struct files *files)
{
	if (!files)
		return;
	ensure(list_is_empty(&files->completions));
	mutex_deinit(&files->flush_lock);
	cond_deinit(&files->completion_work);
	mutex_deinit(&files->completion_lock);
	mem_free(files);
}

int file_check_regular(const struct inode *inode)
{
	if (S_ISDIR(inode->mode))
		return -EISDIR;
	return S_ISREG(inode->mode) ? 0 : -EINVAL;
}

int file_mapping(struct inode *inode, struct mapping **out)
{
	struct mapping *m = __atomic_load_n(&inode->mapping, __ATOMIC_ACQUIRE);
	struct files *files = inode_files(inode);
	int err = file_check_regular(inode);

	if (err)
		return err;
	if (!m) {
		mutex_lock(&inode->state_lock);
		m = inode->mapping;
		if (!m)
			err = mapping_create(files->pages, files->geo->block_bytes, &file_writeback_ops, inode, &m);
		if (!err)
			__atomic_store_n(&inode->mapping, m, __ATOMIC_RELEASE);
		mutex_unlock(&inode->state_lock);
		if (err)
			return err;
	}
	*out = m;
	return 0;
}

void files_set_hooks(struct files *files, const struct file_hooks *hooks)
{
	files->hooks = *hooks;
}

void file_discard(struct inode *inode)
{
	if (inode->mapping)
		mapping_truncate(inode->mapping, 0, UINT64_MAX);
}

void file_opened(struct inode *inode, bool writable)
{
	if (writable)
		atomic_fetch_add(&inode->write_opens, 1);
}
