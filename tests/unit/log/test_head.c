/* SPDX-License-Identifier: GPL-2.0 */
/* Finding the head of logs in every state; the kernel, when there is one, must come to the same end. */
#include "fixture.h"

#include "log/internal.h"

/* What log_find_head() says of the image now. */
static int find(struct fixture *f, struct log_head *head)
{
	char sb[4096], why[256];
	int err;

	fixture_open(f);
	assert_int_equal(device_read(f->dev, 0, sb, sizeof(sb)), 0);
	assert_int_equal(geometry_decode(sb, sizeof(sb), f->dev->size_bytes, &f->geo, why, sizeof(why)), GEOMETRY_OK);
	err = log_find_head(f->dev, fixture_log_off(f), &f->geo, head);
	device_close(f->dev);
	return err;
}

/* Reads or writes a block of the log. */
static void log_block(struct fixture *f, uint64_t block, void *data, bool write)
{
	uint64_t off = fixture_log_off(f) + block * 512;

	fixture_open(f);
	assert_int_equal(write ? device_write(f->dev, off, data, 512, 0) : device_read(f->dev, off, data, 512), 0);
	device_close(f->dev);
}

static void fresh_log_is_clean(void **state)
{
	struct log_head head;
	struct fixture f;

	fixture_make(&f, 300 << 20, "");
	assert_int_equal(find(&f, &head), 0);
	assert_int_equal(head.state, LOG_CLEAN);
	assert_int_equal(head.cycle, 1);
	assert_int_equal(head.head, lsn_make(1, 2));
	assert_int_equal(head.last_record, 0);
	fixture_remove(&f);
}

static void empty_log_begins_at_its_start(void **state)
{
	char zeroes[4096] = "";
	struct log_head head;
	struct fixture f;

	fixture_make(&f, 300 << 20, "");
	assert_int_equal(find(&f, &head), 0);
	for (unsigned i = 0; i < 8; i++)
		log_block(&f, i, zeroes, true);
	assert_int_equal(find(&f, &head), 0);
	assert_int_equal(head.state, LOG_CLEAN);
	assert_int_equal(head.head, lsn_make(1, 0));
	assert_int_equal(head.last_record, UINT32_MAX);
	fixture_mount(&f, NULL);
	fixture_commit_label(&f, "first");
	fixture_unmount(&f);
	assert_repair_clean(&f);
	fixture_remove(&f);
}

/* Writes @n forced labels and crashes; *heads gets the head after each of them. */
static void write_labels(struct fixture *f, unsigned n, uint64_t *heads)
{
	fixture_mount(f, NULL);
	for (unsigned i = 0; i < n; i++) {
		char label[13];

		snprintf(label, sizeof(label), "label%u", i);
		fixture_commit_label(f, label);
		assert_int_equal(log_force(f->log, 0, NULL), 0);
		heads[i] = f->log->head % f->log->blocks;
	}
	fixture_crash(f);
}

static void log_with_records_is_dirty(void **state)
{
	struct log_head head;
	struct fixture f;
	uint64_t heads[3];

	fixture_make(&f, 300 << 20, "");
	write_labels(&f, 3, heads);
	assert_int_equal(find(&f, &head), 0);
	assert_int_equal(head.state, LOG_DIRTY);
	assert_int_equal(lsn_block(head.head), heads[2]);
	/*
	 * Everything was logged again in the second record, which was the oldest needed when the third was
	 * written.
	 */
	assert_int_equal(head.tail, lsn_make(1, (uint32_t)heads[0]));
	assert_int_equal(head.last_record, heads[1]);
	fixture_remove(&f);
}

static void dirty_log_is_not_written_to(void **state)
{
	struct log_options options = { .record_bytes = 0 };
	struct fixture f;
	uint64_t heads[1];

	fixture_make(&f, 300 << 20, "");
	write_labels(&f, 1, heads);
	fixture_open(&f);
	assert_int_equal(buffer_cache_create(f.dev, &f.geo, 1 << 20, &f.cache), 0);
	assert_int_equal(log_find_head(f.dev, fixture_log_off(&f), &f.geo, &f.head), 0);
	f.log = NULL;
	quiet();
	assert_int_equal(log_create(f.cache, f.dev, fixture_log_off(&f), &f.geo, &f.head, NULL, NULL, &options,
				    &f.log), -EINVAL);
	loud();
	fixture_close(&f);
	fixture_remove(&f);
}

/* A power cut in the middle of the last record: any of its blocks is still the old one. */
static void torn_last_record_ends_the_log_before_it(void **state)
{
	uint64_t heads[4];
	char old[512] = "", saved[512];
	struct log_head head;
	struct fixture f;

	fixture_make(&f, 300 << 20, "");
	write_labels(&f, 4, heads);
	assert_true(heads[3] - heads[2] >= 6);
	for (uint64_t block = heads[2]; block < heads[3]; block++) {
		log_block(&f, block, saved, false);
		log_block(&f, block, old, true);
		assert_int_equal(find(&f, &head), 0);
		assert_int_equal(lsn_block(head.head), heads[2]);
		assert_int_equal(head.state, LOG_DIRTY);
		log_block(&f, block, saved, true);
	}
	log_block(&f, heads[2] + 1, old, true);
	if (may_mount()) {
		kernel_mount(&f, true);
		assert_label(&f, "label2");
		assert_repair_clean(&f);
	}
	fixture_remove(&f);
}

/* The cycle number is right and the rest is not. */
static void record_with_a_wrong_checksum_ends_the_log(void **state)
{
	uint64_t heads[4];
	struct log_head head;
	struct fixture f;
	char data[512];

	fixture_make(&f, 300 << 20, "");
	write_labels(&f, 4, heads);
	log_block(&f, heads[1] + 2, data, false);
	data[100]++;
	log_block(&f, heads[1] + 2, data, true);
	quiet();
	assert_int_equal(find(&f, &head), 0);
	loud();
	assert_int_equal(lsn_block(head.head), heads[1]);
	if (may_mount()) {
		kernel_mount(&f, true);
		assert_label(&f, "label1");
	}
	fixture_remove(&f);
}

/*
 * The unmount record is whole and what came after it is not: clean, and what lies ahead must not be taken for
 * more.
 */
static void torn_record_after_the_unmount_record_leaves_a_clean_log(void **state)
{
	struct log_head head;
	uint64_t heads[3];
	struct fixture f;
	char zeroes[512] = "";

	fixture_make(&f, 300 << 20, "");
	write_labels(&f, 3, heads);
	/* The first record since mkfs.xfs is torn, the other two are there. */
	log_block(&f, 2, zeroes, true);
	assert_int_equal(find(&f, &head), 0);
	assert_int_equal(head.state, LOG_CLEAN);
	assert_int_equal(head.head, lsn_make(1, 2));
	/* One short record: then old ones of the same cycle would follow. */
	fixture_mount(&f, NULL);
	fixture_unmount(&f);
	assert_int_equal(find(&f, &head), 0);
	assert_int_equal(head.state, LOG_CLEAN);
	if (may_mount()) {
		kernel_mount(&f, false);
		assert_repair_clean(&f);
	}
	fixture_remove(&f);
}

static void log_of_another_volume_is_refused(void **state)
{
	struct log_head head;
	struct fixture f;

	fixture_make(&f, 300 << 20, "");
	assert_int_equal(find(&f, &head), 0);
	fixture_open(&f);
	f.geo.uuid[0]++;
	quiet();
	assert_int_equal(log_find_head(f.dev, fixture_log_off(&f), &f.geo, &head), -EFSCORRUPTED);
	loud();
	device_close(f.dev);
	fixture_remove(&f);
}

/* Whatever the bytes are, an answer comes. */
static void garbage_is_refused_or_understood(void **state)
{
	static const uint32_t log_blocks = 512;
	uint64_t seed = 1;
	struct geometry geo = {
		.block_bytes = 4096, .block_log = 12, .log_blocks = log_blocks, .log_sector_bytes = 512,
	};
	struct device *dev;
	char *bytes;

	assert_int_equal(device_create_memory(log_blocks * 4096, &dev), 0);
	bytes = device_memory(dev);
	quiet();
	for (unsigned round = 0; round < 300; round++) {
		struct log_head head;

		for (unsigned block = 0; block < log_blocks * 8; block++) {
			__be32 *words = (void *)(bytes + block * 512ull);

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			words[0] = cpu_to_be32(round % 3 ? (uint32_t)(seed >> 60) : (uint32_t)(seed >> 32));
			if (seed >> 33 & 1) {
				struct xlog_rec_header *rec = (void *)words;

				memset(rec, 0, sizeof(*rec));
				rec->h_magicno = cpu_to_be32(XLOG_HEADER_MAGIC_NUM);
				rec->h_cycle = cpu_to_be32((uint32_t)(seed >> 60));
				rec->h_version = cpu_to_be32(2);
				rec->h_len = cpu_to_be32((uint32_t)(seed >> 40 & 0x7fe00));
				rec->h_size = cpu_to_be32((uint32_t)(seed >> 35 & 0x7ffff));
				rec->h_num_logops = cpu_to_be32(1);
				rec->h_tail_lsn = cpu_to_be64(seed >> 20);
			}
		}
		if (log_find_head(dev, 0, &geo, &head) == 0)
			assert_true(lsn_block(head.head) < log_blocks * 8 && lsn_block(head.tail) < log_blocks * 8);
	}
	loud();
	device_close(dev);
}

/* The kernel's logs too: after its crash, after its unmount, and at the very end of the log. */
static void kernel_logs_are_understood(void **state)
{
	struct log_head head;
	struct fixture f;

	if (!may_mount())
		skip();
	fixture_make(&f, 300 << 20, "");
	assert_int_equal(image_shell(
		"m=$(mktemp -d); d=$(losetup -f --show %s); mount $d $m && cp -r /usr/include/linux $m/ && "
		"xfs_io -x -c 'shutdown -f' $m; r=$?; umount $m; losetup -d $d; rmdir $m; exit $r", f.path), 0);
	assert_int_equal(find(&f, &head), 0);
	assert_int_equal(head.state, LOG_DIRTY);
	/* "log tail: 2 head: 1234 state: <DIRTY>" */
	assert_int_equal(image_shell("xfs_logprint -t %s 2>/dev/null | "
				     "grep -q 'log tail: %u head: %u state: <DIRTY>'", f.path,
				     lsn_block(head.tail), lsn_block(head.head)), 0);
	kernel_mount(&f, true);
	assert_int_equal(find(&f, &head), 0);
	assert_int_equal(head.state, LOG_CLEAN);
	fixture_mount(&f, NULL);
	fixture_commit_label(&f, "ours");
	fixture_unmount(&f);
	assert_label(&f, "ours");
	assert_repair_clean(&f);
	fixture_remove(&f);
}

/* Whatever size the kernel's records have, ours go on behind them. */
static void our_records_follow_larger_ones_of_the_kernel(void **state)
{
	struct log_head head;
	struct fixture f;

	if (!may_mount())
		skip();
	fixture_make(&f, 300 << 20, "");
	assert_int_equal(image_shell(
		"m=$(mktemp -d); d=$(losetup -f --show %s); mount -o logbsize=256k $d $m && "
		"cp -r /usr/include/linux $m/; "
		"r=$?; umount $m; losetup -d $d; rmdir $m; exit $r", f.path), 0);
	assert_int_equal(find(&f, &head), 0);
	assert_int_equal(head.state, LOG_CLEAN);
	fixture_mount(&f, NULL);
	fixture_commit_label(&f, "small");
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	fixture_crash(&f);
	kernel_mount(&f, true);
	assert_label(&f, "small");
	assert_repair_clean(&f);
	fixture_remove(&f);
}

/* Unmount records in many places of a small log, also up to its end. */
static void head_is_found_wherever_it_is(void **state)
{
	struct log_head head;
	struct fixture f;
	unsigned cycle;

	fixture_make(&f, 300 << 20, "");
	assert_int_equal(image_shell("mkfs.xfs --unsupported -q -f -K -l size=6m %s 2>/dev/null", f.path), 0);
	do {
		logpos_t end;

		fixture_mount(&f, NULL);
		for (unsigned i = 0; i < 12; i++) {
			fixture_commit_all(&f, "somewhere");
			assert_int_equal(log_force(f.log, 0, NULL), 0);
		}
		/* Near the end: by single blocks, so that some record ends with it. */
		while (f.log->blocks - f.log->head % f.log->blocks < 300 && f.log->head % f.log->blocks > 100) {
			struct tx *tx = fixture_begin(&f);

			fixture_set_label(&f, tx, "near");
			assert_int_equal(tx_commit(tx), 0);
			assert_int_equal(log_force(f.log, 0, NULL), 0);
			if (f.log->head % f.log->blocks == 0)
				break;
		}
		assert_int_equal(log_quiesce(f.log), 0);
		assert_int_equal(log_write_unmount(f.log), 0);
		end = f.log->head;
		cycle = (uint32_t)(end / f.log->blocks);
		fixture_close(&f);
		assert_int_equal(find(&f, &head), 0);
		assert_int_equal(head.state, LOG_CLEAN);
		assert_int_equal(lsn_block(head.head), end % (6 << 11));
		assert_int_equal(lsn_cycle(head.head), cycle);
	} while (cycle < 4);
	assert_repair_clean(&f);
	fixture_remove(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fresh_log_is_clean),
		cmocka_unit_test(empty_log_begins_at_its_start),
		cmocka_unit_test(log_with_records_is_dirty),
		cmocka_unit_test(dirty_log_is_not_written_to),
		cmocka_unit_test(torn_last_record_ends_the_log_before_it),
		cmocka_unit_test(record_with_a_wrong_checksum_ends_the_log),
		cmocka_unit_test(torn_record_after_the_unmount_record_leaves_a_clean_log),
		cmocka_unit_test(log_of_another_volume_is_refused),
		cmocka_unit_test(garbage_is_refused_or_understood),
		cmocka_unit_test(kernel_logs_are_understood),
		cmocka_unit_test(our_records_follow_larger_ones_of_the_kernel),
		cmocka_unit_test(head_is_found_wherever_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
