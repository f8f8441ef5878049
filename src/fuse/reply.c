/* SPDX-License-Identifier: GPL-2.0 */
/* Replies: one writev each. */
#include "session.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

static void send_reply(struct request *r, int err, struct iovec *iov, int count)
{
	struct fuse_out_header out = { .error = err, .unique = r->in->unique, .len = sizeof(out) };
	ssize_t n;

	ensure(!r->replied);
	r->replied = true;
	iov[0] = (struct iovec){ &out, sizeof(out) };
	for (int i = 1; i < count; i++)
		out.len += (uint32_t)iov[i].iov_len;
	n = writev(r->s->fd, iov, count);
	/* ENOENT: the request was interrupted; ENODEV: the mount is gone. */
	if (n < 0 && errno != ENOENT && errno != ENODEV)
		msg_warning("reply to request %u failed: %s", r->in->opcode, strerror(errno));
}

void reply_error(struct request *r, int err)
{
	struct iovec iov[1];

	ensure(err <= 0);
	send_reply(r, err, iov, 1);
}

void reply_data(struct request *r, const void *data, size_t bytes)
{
	struct iovec iov[2] = { [1] = { (void *)data, bytes } };

	send_reply(r, 0, iov, bytes ? 2 : 1);
}

void reply_iov(struct request *r, struct iovec *iov, int count)
{
	send_reply(r, 0, iov, count);
}

void send_notification(struct session *s, enum fuse_notify_code code, const void *data, size_t bytes)
{
	struct fuse_out_header out = { .error = (int)code, .len = (uint32_t)(sizeof(out) + bytes) };
	struct iovec iov[2] = { { &out, sizeof(out) }, { (void *)data, bytes } };

	/* ENOENT: the kernel does not know the inode any more. */
	if (writev(s->fd, iov, 2) < 0 && errno != ENOENT && errno != ENODEV)
		msg_debug("notification %d failed: %s", (int)code, strerror(errno));
}

void reply_none(struct request *r)
{
	r->replied = true;
}
