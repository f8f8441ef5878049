/* SPDX-License-Identifier: GPL-2.0 */
/* copy_file_range(2): a plain copy through the page cache. */
#include "internal.h"

#include <userxfs/base/memory.h>

#define COPY_BYTES (1u << 20)

int file_copy(struct inode *in, uint64_t in_off, struct inode *out, uint64_t out_off, uint64_t count, bool kill_priv,
	      uint64_t *done)
{
	uint64_t total = 0;
	uint8_t *buffer;
	int err = file_check_regular(in);

	if (!err)
		err = file_check_regular(out);
	if (err)
		return err;
	if (in == out && in_off < out_off + count && out_off < in_off + count)
		return -EINVAL;
	buffer = mem_alloc_aligned(PAGE_BYTES, COPY_BYTES);
	if (!buffer)
		return -ENOMEM;
	while (total < count) {
		struct iovec iov = { buffer, min_u64(count - total, COPY_BYTES) };
		uint64_t got = 0, put = 0;
		struct write_source src;

		err = file_read(in, in_off + total, &iov, 1, &got);
		if (err || !got)
			break;
		iov.iov_len = got;
		write_source_iov(&src, &iov, 1);
		err = file_write(out, out_off + total, got, &src, kill_priv ? FILE_WRITE_KILL_PRIV : 0, &put);
		total += put;
		if (err || put < got)
			break;
	}
	mem_free(buffer);
	if (err && !total)
		return err;
	*done = total;
	return 0;
}
