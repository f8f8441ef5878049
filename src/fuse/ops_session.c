/* SPDX-License-Identifier: GPL-2.0 */
/* Requests about the connection and the volume: INIT, DESTROY, STATFS, SYNCFS. */
#include "session.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#define OLDEST_MINOR 31

static const uint64_t wanted_flags =
	FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT | FUSE_DONT_MASK |
	FUSE_HAS_IOCTL_DIR | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
	FUSE_POSIX_ACL | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_EXPLICIT_INVAL_DATA | FUSE_HANDLE_KILLPRIV_V2 |
	FUSE_SETXATTR_EXT | FUSE_DIRECT_IO_ALLOW_MMAP_FLAG;

void op_init(struct request *r)
{
	const struct fuse_init_in *in = (const void *)r->body;
	struct session *s = r->s;
	uint64_t offered, flags = wanted_flags;
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = MAX_WRITE_BYTES,
		.time_gran = 1,
		.max_pages = MAX_WRITE_BYTES / 4096,
	};

	if (in->major != FUSE_KERNEL_VERSION || in->minor < OLDEST_MINOR) {
		msg_error("this kernel speaks FUSE %u.%u, userxfs needs 7.%u (Linux 5.2) or newer", in->major,
			  in->minor, OLDEST_MINOR);
		reply_error(r, -EPROTO);
		return;
	}
	offered = in->flags;
	if (in->flags & FUSE_INIT_EXT && r->body_bytes >= sizeof(*in))
		offered |= (uint64_t)in->flags2 << 32;
	if (s->options.writeback_cache)
		flags |= FUSE_WRITEBACK_CACHE;
	flags &= offered;
	s->minor = in->minor;
	s->has_setxattr_ext = flags & FUSE_SETXATTR_EXT;
	out.max_readahead = in->max_readahead;
	out.flags = (uint32_t)flags | (in->flags & FUSE_INIT_EXT);
	out.flags2 = (uint32_t)(flags >> 32);
	msg_debug("FUSE 7.%u, flags 0x%llx of 0x%llx", in->minor, (unsigned long long)flags,
		  (unsigned long long)offered);
	reply_data(r, &out, sizeof(out));
	mutex_lock(&s->lock);
	atomic_store(&s->initialised, true);
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

/* Sent by fuseblk mounts only; umount(2) returns with our reply, so it comes when everything is on disk. */
void op_destroy(struct request *r)
{
	struct session *s = r->s;

	atomic_store(&r->worker->holds_destroy, true);
	mutex_lock(&s->lock);
	atomic_store(&s->destroyed, true);
	cond_broadcast(&s->changed);
	while (!s->is_unmounted)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
	reply_error(r, 0);
}

void op_statfs(struct request *r)
{
	struct fuse_statfs_out out = { 0 };
	struct volume_statfs st;

	volume_statfs(r->s->vol, &st);
	out.st = (struct fuse_kstatfs){
		.blocks = st.blocks,
		.bfree = st.free_blocks,
		.bavail = st.free_blocks,
		.files = st.files,
		.ffree = st.free_files,
		.bsize = (uint32_t)st.block_bytes,
		.frsize = (uint32_t)st.block_bytes,
		.namelen = 255,
	};
	reply_data(r, &out, sizeof(out));
}

void op_syncfs(struct request *r)
{
	reply_error(r, volume_sync(r->s->vol));
}
