// SPDX-License-Identifier: GPL-2.0
/* What an outsider sees: stat, statfs, fiemap without a flush, contents. */
#include "xo.h"

#include <stdio.h>
#include <string.h>

#include <userxfs/base/error.h>

#define EXTENTS_MAX 8192
#define SHOWN_MAX 24
#define SHOWN_HEAD 12
#define SHOWN_TAIL 4
#define FILL_UNIT 4096u
#define FILL_MIXED 256 /* no byte */

struct extent_list {
	struct extent extents[EXTENTS_MAX];
	unsigned count;
};

static bool collect(void *context, const struct extent *ext)
{
	struct extent_list *list = context;

	ensure(list->count < EXTENTS_MAX);
	list->extents[list->count++] = *ext;
	return true;
}

static char state_letter(const struct extent *ext)
{
	switch (ext->state) {
	case EXTENT_DELAYED:
		return 'D';
	case EXTENT_UNWRITTEN:
		return 'U';
	default:
		return 'W';
	}
}

static void print_extent(struct xo *xo, const struct extent *ext)
{
	const struct geometry *geo = &xo->vol->geo;

	printf("%llu+%llu%c", (unsigned long long)(blocks_to_bytes(geo, ext->off) >> xo->unit_log),
	       (unsigned long long)(blocks_to_bytes(geo, ext->count) >> xo->unit_log), state_letter(ext));
	if (xo->show_physical && ext->state != EXTENT_DELAYED)
		printf("@%llu", (unsigned long long)(fsblk_to_bytes(geo, ext->start) >> xo->unit_log));
}

static const struct extent_list *report(struct inode *inode)
{
	static struct extent_list list;

	list.count = 0;
	ensure(file_report(inode, 0, UINT64_MAX, collect, &list) == 0);
	return &list;
}

static void print_extents(struct xo *xo, struct inode *inode)
{
	const struct extent_list *list = report(inode);

	printf("[");
	for (unsigned i = 0; i < list->count; i++) {
		/* A long list is shown by its two ends. */
		if (list->count > SHOWN_MAX && i == SHOWN_HEAD) {
			printf(" ...(%u extents)...", list->count);
			i = list->count - SHOWN_TAIL;
		}
		if (i)
			printf(" ");
		print_extent(xo, &list->extents[i]);
	}
	printf("]");
}

void xo_print_place(struct xo *xo, struct inode *inode)
{
	const struct geometry *geo = &xo->vol->geo;
	const struct extent_list *list = report(inode);

	printf("[");
	for (unsigned i = 0; i < list->count; i++) {
		const struct extent *ext = &list->extents[i];

		printf("%s%lluK+%lluK:%s@%llu", i ? " " : "",
		       (unsigned long long)(blocks_to_bytes(geo, ext->off) >> 10),
		       (unsigned long long)(blocks_to_bytes(geo, ext->count) >> 10), i + 1 == list->count ? "L" : "",
		       (unsigned long long)(fsblk_to_bytes(geo, ext->start) >> xo->unit_log));
	}
	printf("]");
}

void xo_probe(struct xo *xo, struct inode *inode, const char *label)
{
	struct inode_stat stat;

	inode_stat(inode, &stat);
	printf("  P%s%s size=%llu blk512=%llu used=%lld ", label ? " " : "", label ? label : "",
	       (unsigned long long)stat.size_bytes, (unsigned long long)stat.blocks_512,
	       (long long)(xo->base_free - xo_free_blocks(xo)));
	print_extents(xo, inode);
	printf("\n");
}

/* The byte that fills @data, or FILL_MIXED. */
static int fill_of(const uint8_t *data, uint64_t count)
{
	for (uint64_t i = 1; i < count; i++) {
		if (data[i] != data[0])
			return FILL_MIXED;
	}
	return data[0];
}

static void print_run(int fill, unsigned long count)
{
	if (count)
		printf(" %lux%s%02x", count, fill == FILL_MIXED ? "mix" : "",
		       fill == FILL_MIXED ? 0 : (unsigned)fill);
}

void xo_print_fill(struct xo_file *file)
{
	uint8_t page[FILL_UNIT];
	unsigned long run = 0;
	int fill = 0;
	struct inode_stat stat;

	inode_stat(file->inode, &stat);
	printf("  C");
	for (uint64_t off = 0; off < stat.size_bytes; off += FILL_UNIT) {
		struct iovec iov = { page, sizeof(page) };
		uint64_t n = 0;
		int now;

		memset(page, 0, sizeof(page));
		ensure(file_read(file->inode, off, &iov, 1, &n) == 0);
		now = fill_of(page, n);
		if (run && now != fill) {
			print_run(fill, run);
			run = 0;
		}
		fill = now;
		run++;
	}
	print_run(fill, run);
	printf("\n");
}

void xo_print_xflags(struct inode *inode)
{
	struct inode_stat stat;

	inode_stat(inode, &stat);
	printf("  xflags=0x%x nextents=%llu extsize=%u cowextsize=%u\n", stat.xflags,
	       (unsigned long long)stat.extent_count, stat.extent_hint_bytes, stat.cow_hint_bytes);
}

void xo_print_statfs(struct xo *xo, const char *format)
{
	struct volume_statfs statfs;

	volume_statfs(xo->vol, &statfs);
	for (const char *p = format; *p; p++) {
		if (p[0] == '%' && p[1] == 'f')
			printf("%llu", (unsigned long long)statfs.free_blocks);
		else if (p[0] == '%' && p[1] == 'b')
			printf("%llu", (unsigned long long)statfs.blocks);
		else
			putchar(*p);
		p += p[0] == '%' && (p[1] == 'f' || p[1] == 'b');
	}
	printf("\n");
}
