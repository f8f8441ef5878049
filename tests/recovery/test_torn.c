// SPDX-License-Identifier: GPL-2.0
/*
 * Head and tail of logs that a power cut has left behind, with up to eight records under way that arrived in any
 * order, and of logs that are simply damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "forge.h"

/* A record with a transaction that says nothing much. */
static void put_transaction(struct forge *f, uint32_t tid)
{
	uint16_t done[8] = { XFS_LI_EFD, 1 };

	forge_start(f, tid);
	forge_region(f, tid, done, sizeof(done));
	forge_commit(f, tid);
}

static lsn_t write_transaction(struct forge *f, uint32_t tid, lsn_t tail, uint32_t payload_bytes)
{
	put_transaction(f, tid);
	if (payload_bytes)
		forge_fill(f, payload_bytes);
	return forge_write(f, tail);
}

static uint64_t replayed(const struct forge *f)
{
	struct verdict v;

	forge_replay(f, &v);
	if (v.err)
		fail_msg("refused: %s", v.said);
	return v.report.transactions;
}

static void assert_refused(const struct forge *f)
{
	struct verdict v;

	forge_replay(f, &v);
	assert_int_not_equal(v.err, 0);
	assert_int_equal(v.writes, 0);
	assert_true(*v.said);
}

/* ---- the newest records ---------------------------------------------------------------------------------------- */

static void newest_record_with_a_wrong_checksum_is_the_end(void **state)
{
	struct forge f;
	lsn_t tail;

	forge_make(&f, "");
	tail = write_transaction(&f, 1, 0, 0);
	for (unsigned i = 2; i < 12; i++)
		write_transaction(&f, i, tail, 2000);
	((char *)forge_block(&f, f.pos - 1))[100] ^= 1;
	assert_int_equal(replayed(&f), 10);
	forge_destroy(&f);
}

/* More than eight records ago nothing can have been under way. */
static void older_record_with_a_wrong_checksum_is_corruption(void **state)
{
	struct forge f;
	lsn_t tail;
	logpos_t old;

	forge_make(&f, "");
	tail = write_transaction(&f, 1, 0, 0);
	old = f.pos;
	for (unsigned i = 2; i < 14; i++)
		write_transaction(&f, i, tail, 2000);
	assert_int_equal(replayed(&f), 13);
	((char *)forge_block(&f, old + 2))[100] ^= 1;
	assert_refused(&f);
	forge_destroy(&f);
}

/* Records 5, 6 and 7 under way; any of them arrived, or a part of one. */
static void records_that_overtook_a_lost_one_are_not_replayed(void **state)
{
	for (unsigned mask = 0; mask < 8; mask++) {
		unsigned whole = mask & 1 ? (mask & 2 ? (mask & 4 ? 7 : 6) : 5) : 4;
		struct forge f;
		lsn_t tail;

		forge_make(&f, "");
		tail = write_transaction(&f, 1, 0, 0);
		for (unsigned i = 2; i < 5; i++)
			write_transaction(&f, i, tail, 3000);
		for (unsigned i = 0; i < 3; i++) {
			put_transaction(&f, 5 + i);
			forge_fill(&f, 3000);
			if (mask >> i & 1)
				forge_write(&f, tail);
			else
				forge_lose(&f);
		}
		assert_int_equal(replayed(&f), whole);
		forge_destroy(&f);
	}
}

/* Of a record of eight blocks that came before two whole ones, one block is missing. */
static void hole_in_a_record_under_way_ends_the_log_before_it(void **state)
{
	for (unsigned hole = 0; hole < 7; hole++) {
		char old[BLOCK_BYTES];
		struct forge f;
		logpos_t torn;
		lsn_t tail;

		forge_make(&f, "");
		tail = write_transaction(&f, 1, 0, 0);
		write_transaction(&f, 2, tail, 3000);
		torn = f.pos;
		memcpy(old, forge_block(&f, torn + hole), sizeof(old));
		for (unsigned i = 3; i < 6; i++)
			write_transaction(&f, i, tail, 3000);
		memcpy(forge_block(&f, torn + hole), old, sizeof(old));
		assert_int_equal(replayed(&f), 2);
		forge_destroy(&f);
	}
}

/* ---- a log that has wrapped ------------------------------------------------------------------------------------ */

/* Records of 31 KiB until @left blocks before the log has been gone round once. */
static lsn_t go_round(struct forge *f, uint64_t left, unsigned *tid)
{
	logpos_t start = f->pos;
	lsn_t tail = forge_lsn(f);

	while (start + f->log_blocks - f->pos > left + 64)
		write_transaction(f, (*tid)++, tail, 31 << 10);
	return tail;
}

static void wrapped_log_is_replayed_from_tail_to_head(void **state)
{
	unsigned tid = 1;
	struct forge f;

	forge_make(&f, "");
	for (unsigned round = 0; round < 3; round++) {
		unsigned first = tid;
		struct verdict v;

		go_round(&f, 200, &tid);
		forge_replay(&f, &v);
		if (v.err)
			fail_msg("round %u refused: %s", round, v.said);
		assert_int_equal(v.report.transactions, tid - first);
		assert_true(lsn_block(v.head.head) < lsn_block(v.head.tail) ||
			    lsn_cycle(v.head.head) == lsn_cycle(v.head.tail));
	}
	forge_destroy(&f);
}

/*
 * The log is full up to its tail at T.  The tail moves on to the record after next, and two records go out that know:
 * the first is lost, the second has come over what T was.  (XFS: xlog_verify_tail.)
 */
static void tail_that_was_written_over_moves_on(void **state)
{
	unsigned tid = 1;
	lsn_t tail, fourth;
	struct verdict v;
	struct forge f;

	forge_make(&f, "");
	tail = forge_lsn(&f);
	for (unsigned i = 0; i < 3; i++)
		write_transaction(&f, tid++, tail, 31 << 10);
	fourth = write_transaction(&f, tid++, tail, 31 << 10);
	while (lsn_to_pos(f.log_blocks, tail) + f.log_blocks - f.pos > 63)
		write_transaction(&f, tid++, tail, 31 << 10);
	assert_int_equal(replayed(&f), tid - 1);

	put_transaction(&f, tid);
	forge_fill(&f, 31 << 10);
	forge_lose(&f);
	write_transaction(&f, tid + 1, fourth, 31 << 10);
	forge_replay(&f, &v);
	if (v.err)
		fail_msg("refused: %s", v.said);
	assert_true(v.head.tail > tail && v.head.tail <= fourth);
	assert_true(v.report.transactions >= tid - 4 && v.report.transactions < tid);
	forge_destroy(&f);
}

/* Damage further away from the head than anything under way can reach is what it looks like. */
static void damage_behind_the_reach_of_the_head_is_corruption(void **state)
{
	unsigned tid = 1;
	struct forge f;
	logpos_t damaged;

	forge_make(&f, "");
	damaged = f.pos + 20 * 63;
	go_round(&f, 1000, &tid);
	((char *)forge_block(&f, damaged + 7))[50] ^= 1;
	assert_refused(&f);
	forge_destroy(&f);
}

/* ---- headers that lie ------------------------------------------------------------------------------------------ */

static void tails_that_point_nowhere_are_refused(void **state)
{
	struct forge f;
	lsn_t first, tails[6];

	forge_make(&f, "");
	first = write_transaction(&f, 1, 0, 2000);
	tails[0] = lsn_make(1, (uint32_t)f.log_blocks);		/* outside */
	tails[1] = lsn_make(1, UINT32_MAX);
	tails[2] = lsn_make(1, lsn_block(first) + 500);		/* before the head */
	tails[3] = lsn_make(2, lsn_block(first));		/* a cycle that has not been */
	tails[4] = lsn_make(0, lsn_block(first));		/* one that is gone */
	tails[5] = lsn_make(1, lsn_block(first) + 3000);
	for (unsigned i = 0; i < 6; i++) {
		logpos_t pos = f.pos;

		write_transaction(&f, 2, tails[i], 2000);
		assert_refused(&f);
		forge_rewind(&f, pos);
	}
	forge_destroy(&f);
}

/* The tail lies in the middle of a record, far from the head: there is nothing to go on with. */
static void tail_in_the_middle_of_a_record_is_refused(void **state)
{
	unsigned tid = 1;
	struct forge f;
	lsn_t first;

	forge_make(&f, "");
	first = write_transaction(&f, tid++, 0, 31 << 10);
	for (unsigned i = 0; i < 20; i++)
		write_transaction(&f, tid++, first, 31 << 10);
	write_transaction(&f, tid++, lsn_make(lsn_cycle(first), lsn_block(first) + 5), 31 << 10);
	assert_refused(&f);
	forge_destroy(&f);
}

static void assert_header_refused(struct forge *f, size_t off, uint32_t value)
{
	char saved[BLOCK_BYTES];
	void *block;
	__be32 word = cpu_to_be32(value);
	logpos_t at = f->pos;

	write_transaction(f, 2, 0, 2000);
	block = forge_block(f, at);
	memcpy(saved, block, sizeof(saved));
	memcpy((char *)block + off, &word, sizeof(word));
	forge_seal(f, at % f->log_blocks);
	assert_refused(f);
	forge_rewind(f, at);
}

static void headers_that_lie_are_refused(void **state)
{
	static const uint32_t lengths[] = { 0, 100, 513, 1 << 20, UINT32_MAX, 0x80000000 };
	static const uint32_t sizes[] = { (256 << 10) + 1, 1 << 20, UINT32_MAX, 512 };
	struct forge f;

	forge_make(&f, "");
	for (unsigned i = 0; i < 6; i++)
		assert_header_refused(&f, offsetof(struct xlog_rec_header, h_len), lengths[i]);
	for (unsigned i = 0; i < 4; i++)
		assert_header_refused(&f, offsetof(struct xlog_rec_header, h_size), sizes[i]);
	assert_header_refused(&f, offsetof(struct xlog_rec_header, h_version), 1);
	assert_header_refused(&f, offsetof(struct xlog_rec_header, h_fmt), 5);
	assert_header_refused(&f, offsetof(struct xlog_rec_header, h_lsn) + 4, 7);
	assert_header_refused(&f, offsetof(struct xlog_rec_header, h_fs_uuid), 7);
	forge_destroy(&f);
}

/* Of mkfs.xfs before 4.1x with a large stripe unit: its unmount record is longer than the size it names. */
static void unmount_record_longer_than_its_size_is_clean(void **state)
{
	uint32_t data[2] = { 0x556e, 0 };
	struct verdict v;
	struct forge f;
	logpos_t at;

	forge_make(&f, "");
	f.h_size = 64 << 10;
	at = f.pos;
	forge_op(&f, 1, XFS_LOG, XLOG_UNMOUNT_TRANS, data, sizeof(data));
	f.bytes = 60 << 10;
	forge_write(&f, 0);
	((struct xlog_rec_header *)forge_block(&f, at))->h_size = cpu_to_be32(32 << 10);
	forge_seal(&f, at % f.log_blocks);
	forge_replay(&f, &v);
	if (v.err)
		fail_msg("refused: %s", v.said);
	assert_int_equal(v.head.state, LOG_CLEAN);
	assert_int_equal(lsn_to_pos(f.log_blocks, v.head.head), f.pos);
	forge_destroy(&f);
}

/* Only the record of mkfs.xfs has none, and that is never replayed. */
static void record_without_a_checksum_is_not_replayed(void **state)
{
	struct forge f;
	logpos_t at;

	forge_make(&f, "");
	at = f.pos;
	write_transaction(&f, 1, 0, 2000);
	((struct xlog_rec_header *)forge_block(&f, at))->h_crc = 0;
	assert_refused(&f);
	forge_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(newest_record_with_a_wrong_checksum_is_the_end),
		cmocka_unit_test(older_record_with_a_wrong_checksum_is_corruption),
		cmocka_unit_test(records_that_overtook_a_lost_one_are_not_replayed),
		cmocka_unit_test(hole_in_a_record_under_way_ends_the_log_before_it),
		cmocka_unit_test(wrapped_log_is_replayed_from_tail_to_head),
		cmocka_unit_test(tail_that_was_written_over_moves_on),
		cmocka_unit_test(damage_behind_the_reach_of_the_head_is_corruption),
		cmocka_unit_test(tails_that_point_nowhere_are_refused),
		cmocka_unit_test(tail_in_the_middle_of_a_record_is_refused),
		cmocka_unit_test(headers_that_lie_are_refused),
		cmocka_unit_test(unmount_record_longer_than_its_size_is_clean),
		cmocka_unit_test(record_without_a_checksum_is_not_replayed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
