/* SPDX-License-Identifier: GPL-2.0 */
/* Buffers in transactions: what of them is logged, and when they go home. */
#include "fake_item.h"

#include "log/internal.h"

static void setup(struct fixture *f)
{
	fixture_make(f, 300 << 20, "");
	fixture_mount(f, NULL);
}

static void teardown(struct fixture *f)
{
	fixture_unmount(f);
	assert_repair_clean(f);
	fixture_remove(f);
}

/* For tests that write where no volume has a block. */
static void teardown_unchecked(struct fixture *f)
{
	assert_int_equal(log_quiesce(f->log), 0);
	fixture_close(f);
	fixture_remove(f);
}

static const char *verify_anything(const struct geometry *geo, const void *data, size_t bytes, daddr_u64 daddr)
{
	return NULL;
}

static void seal_anything(const struct geometry *geo, void *data, size_t bytes, lsn_t lsn)
{
}

static const struct block_type any_type = {
	.name = "any",
	.log_type = XFS_BLFT_DIR_DATA_BUF,
	.crc_off = CRC_OFF_NONE,
	.lsn_off = LSN_OFF_NONE,
	.verify = verify_anything,
	.seal = seal_anything,
};

/* A daddr of free space, block @n of it. */
static daddr_u64 free_daddr(const struct fixture *f, unsigned n)
{
	return agblk_to_daddr(&f->geo, 1, 2000 + n);
}

static const struct xfs_buf_log_format *format_at(const struct log_vector *v, unsigned index)
{
	assert_true(index < v->region_count);
	assert_int_equal(v->regions[index].type, XLOG_REG_TYPE_BFORMAT);
	return log_vector_data(v, &v->regions[index]);
}

static struct log_vector *vector_of(struct buffer *buf)
{
	return ((struct buffer_item *)buf->log_item)->item.vector;
}

static void only_changed_chunks_are_logged(void **state)
{
	const struct xfs_buf_log_format *blf;
	struct log_vector *v;
	struct fixture f;
	struct buffer *buf;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	assert_int_equal(tx_buffer_get(tx, free_daddr(&f, 0), 8, &buf), 0);
	memset(buf->data, 'x', buf->bytes);
	buf->type = &any_type;
	tx_buffer_log(tx, buf, 0, 1);
	tx_buffer_log(tx, buf, 127, 129);
	tx_buffer_log(tx, buf, 4095, 4096);
	assert_int_equal(tx_commit(tx), 0);
	v = vector_of(buf);
	assert_int_equal(v->region_count, 3);
	blf = format_at(v, 0);
	assert_int_equal(blf->blf_type, XFS_LI_BUF);
	assert_int_equal(blf->blf_size, 3);
	assert_int_equal(blf->blf_flags, XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT);
	assert_int_equal(blf->blf_blkno, free_daddr(&f, 0));
	assert_int_equal(blf->blf_len, 8);
	assert_int_equal(blf->blf_map_size, 1);
	assert_int_equal(blf->blf_data_map[0], 0x80000003);
	assert_int_equal(v->regions[1].bytes, 256);
	assert_int_equal(v->regions[2].bytes, 128);
	teardown_unchecked(&f);
}

/* Until it is home everything that changed is logged each time, so that the tail may move past the older records. */
static void changes_add_up_until_the_buffer_is_home(void **state)
{
	struct fixture f;
	struct buffer *buf;
	struct tx *tx;

	setup(&f);
	for (unsigned i = 0; i < 3; i++) {
		tx = fixture_begin(&f);
		assert_int_equal(tx_buffer_get(tx, free_daddr(&f, 0), 8, &buf), 0);
		if (i == 0)
			memset(buf->data, 0, buf->bytes);
		buf->type = &any_type;
		tx_buffer_log(tx, buf, i * 256, i * 256 + 1);
		assert_int_equal(tx_commit(tx), 0);
		assert_int_equal(vector_of(buf)->region_count, i + 2);
		assert_int_equal(log_force(f.log, 0, NULL), 0);
	}
	assert_int_equal(log_quiesce(f.log), 0);
	tx = fixture_begin(&f);
	assert_int_equal(tx_buffer_get(tx, free_daddr(&f, 0), 8, &buf), 0);
	tx_buffer_log(tx, buf, 1024, 1025);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(vector_of(buf)->region_count, 2);
	teardown_unchecked(&f);
}

static void each_piece_of_a_buffer_is_described_by_itself(void **state)
{
	const struct xfs_buf_log_format *blf;
	struct buffer_map maps[3];
	struct log_vector *v;
	struct fixture f;
	struct buffer *buf;
	struct tx *tx;

	setup(&f);
	for (unsigned i = 0; i < 3; i++)
		maps[i] = (struct buffer_map){ .daddr = free_daddr(&f, 10 - 3 * i), .count = 8 };
	tx = fixture_begin(&f);
	assert_int_equal(tx_buffer_get_maps(tx, maps, 3, &buf), 0);
	memset(buf->data, 'x', buf->bytes);
	buf->type = &any_type;
	/* The end of the first, nothing of the second, the start of the third. */
	tx_buffer_log(tx, buf, 4096 - 200, 4096);
	tx_buffer_log(tx, buf, 8192, 8193);
	assert_int_equal(tx_commit(tx), 0);
	v = vector_of(buf);
	assert_int_equal(v->region_count, 4);
	blf = format_at(v, 0);
	assert_int_equal(blf->blf_blkno, maps[0].daddr);
	assert_int_equal(blf->blf_size, 2);
	assert_int_equal(blf->blf_data_map[0], 0xc0000000);
	blf = format_at(v, 2);
	assert_int_equal(blf->blf_blkno, maps[2].daddr);
	assert_int_equal(blf->blf_size, 2);
	assert_int_equal(blf->blf_data_map[0], 1);
	teardown_unchecked(&f);
}

static void buffer_asked_for_twice_is_the_same(void **state)
{
	struct buffer *a, *b;
	struct fixture f;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	a = fixture_read(&f, tx, 0, 1, &block_agf);
	b = fixture_read(&f, tx, 0, 1, &block_agf);
	assert_ptr_equal(a, b);
	tx_buffer_release(tx, b);
	assert_ptr_equal(a->tx, tx);
	tx_buffer_release(tx, a);
	assert_int_equal(buffer_find(f.cache, a->daddr, 1, true, &b), 0);
	assert_ptr_equal(a, b);
	assert_null(b->tx);
	buffer_release(b);
	tx_cancel(tx);
	teardown(&f);
}

static void dirty_buffer_is_not_let_go_before_commit(void **state)
{
	struct fixture f;
	struct buffer *buf;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	buf = fixture_read(&f, tx, 0, 1, &block_agf);
	tx_buffer_log(tx, buf, 0, 128);
	tx_buffer_release(tx, buf);
	assert_ptr_equal(buf->tx, tx);
	assert_true(olock_is_locked(&buf->lock));
	assert_int_equal(tx_commit(tx), 0);
	assert_false(olock_is_locked(&buf->lock));
	teardown(&f);
}

static void pinned_buffer_does_not_go_home(void **state)
{
	enum tail_progress progress;
	struct fixture f;
	struct buffer *buf;

	setup(&f);
	fixture_commit_label(&f, "first");
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	fixture_commit_label(&f, "second");
	assert_true(tail_push(f.log, UINT64_MAX, &progress));
	assert_int_equal(progress, TAIL_PINNED);
	assert_int_equal(buffer_find(f.cache, 0, 1, true, &buf), 0);
	assert_non_null(buf);
	assert_int_equal(atomic_load(&buf->pins), 1);
	buffer_release(buf);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_true(tail_push(f.log, UINT64_MAX, &progress));
	assert_int_equal(progress, TAIL_PROGRESS);
	assert_true(tail_is_empty(f.log));
	teardown(&f);
}

static void block_is_sealed_with_the_lsn_of_its_checkpoint(void **state)
{
	struct xfs_agf agf;
	struct fixture f;
	lsn_t lsn;

	setup(&f);
	fixture_commit_label(&f, "one");
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	fixture_commit_label(&f, "two");
	lsn = pos_to_lsn(f.log->blocks, f.log->head);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(log_quiesce(f.log), 0);
	assert_int_equal(device_read(f.dev, ag_header_daddr(&f.geo, 0, 1) * 512, &agf, sizeof(agf)), 0);
	assert_int_equal(be64_to_cpu(agf.agf_lsn), lsn);
	teardown(&f);
}

/* ---- freed blocks -------------------------------------------------------------------------------------------- */

static struct buffer *make_and_free(struct fixture *f, struct fake_item *attached)
{
	struct buffer *buf;
	struct tx *tx = fixture_begin(f);

	assert_int_equal(tx_buffer_get(tx, free_daddr(f, 0), 8, &buf), 0);
	memset(buf->data, 'x', buf->bytes);
	buf->type = &any_type;
	tx_buffer_log_all(tx, buf);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(log_force(f->log, 0, NULL), 0);

	tx = fixture_begin(f);
	assert_int_equal(tx_buffer_read(tx, free_daddr(f, 0), 8, &any_type, &buf), 0);
	if (attached)
		log_item_attach(&attached->item, buf);
	tx_buffer_invalidate(tx, buf);
	assert_int_equal(tx_commit(tx), 0);
	return buf;
}

static void freed_block_is_cancelled_and_stays_locked_until_that_is_durable(void **state)
{
	const struct xfs_buf_log_format *blf;
	struct fixture f;
	struct buffer *buf;

	setup(&f);
	buf = make_and_free(&f, NULL);
	assert_int_equal(vector_of(buf)->region_count, 1);
	blf = format_at(vector_of(buf), 0);
	assert_int_equal(blf->blf_flags, XFS_BLF_CANCEL);
	assert_int_equal(blf->blf_size, 1);
	assert_true(olock_is_locked(&buf->lock));
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	/* Gone, and never written. */
	assert_true(tail_is_empty(f.log));
	assert_int_equal(buffer_find(f.cache, free_daddr(&f, 0), 8, false, &buf), 0);
	assert_null(buf);
	teardown(&f);
}

static void freed_block_may_be_used_again_after_the_log_was_forced(void **state)
{
	struct fixture f;
	struct buffer *buf, *again;
	struct tx *tx;

	setup(&f);
	buf = make_and_free(&f, NULL);
	buffer_hold(buf);
	tx = fixture_begin(&f);
	/* Forces the log by itself. */
	assert_int_equal(tx_buffer_get(tx, free_daddr(&f, 0), 8, &again), 0);
	assert_ptr_equal(buf, again);
	assert_false(atomic_load(&buf->flags) & (BUFFER_STALE | BUFFER_VALID));
	buffer_put(buf);
	memset(again->data, 'y', again->bytes);
	again->type = &any_type;
	tx_buffer_log_all(tx, again);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(log_quiesce(f.log), 0);
	teardown_unchecked(&f);
}

static void block_freed_and_used_in_one_transaction_is_not_cancelled(void **state)
{
	struct fixture f;
	struct buffer *buf;
	struct tx *tx;

	setup(&f);
	tx = fixture_begin(&f);
	assert_int_equal(tx_buffer_get(tx, free_daddr(&f, 0), 8, &buf), 0);
	memset(buf->data, 0, buf->bytes);
	buf->type = &any_type;
	tx_buffer_log_all(tx, buf);
	tx_buffer_invalidate(tx, buf);
	assert_int_equal(tx_buffer_get(tx, free_daddr(&f, 0), 8, &buf), 0);
	tx_buffer_log(tx, buf, 0, 128);
	assert_int_equal(tx_commit(tx), 0);
	assert_false(olock_is_locked(&buf->lock));
	assert_int_equal(format_at(vector_of(buf), 0)->blf_flags, XFS_BLFT_DIR_DATA_BUF << XFS_BLFT_SHIFT);
	teardown_unchecked(&f);
}

static unsigned written_calls;
static int written_err;

static void note_written(struct log_item *item, struct buffer *buf, int err)
{
	assert_null(item->buffer);
	assert_true(olock_is_locked(&buf->lock));
	written_calls++;
	written_err = err;
}

static void release_nothing(struct log_item *item, bool dirty, bool aborted)
{
}

static const struct log_item_ops attached_ops = {
	.name = "attached",
	.type = XFS_LI_INODE,
	.size = fake_size,
	.format = fake_format,
	.release = release_nothing,
	.written = note_written,
};

static void items_of_a_freed_block_are_told_when_that_is_durable(void **state)
{
	struct fake_item item;
	struct fixture f;

	setup(&f);
	written_calls = 0;
	fake_init(&f, &item, &attached_ops, 0, 'i');
	make_and_free(&f, &item);
	assert_int_equal(written_calls, 0);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(written_calls, 1);
	assert_int_equal(written_err, 0);
	teardown(&f);
}

static void attached_items_are_told_of_the_write(void **state)
{
	struct list list = LIST_INIT(list);
	struct fake_item item;
	struct fixture f;
	struct buffer *buf;

	setup(&f);
	written_calls = 0;
	fake_init(&f, &item, &attached_ops, 0, 'i');
	assert_int_equal(buffer_read(f.cache, ag_header_daddr(&f.geo, 0, 1), 1, &block_agf, &buf), 0);
	log_item_attach(&item.item, buf);
	assert_int_equal(fault_arm("device_write:nth=1"), 0);
	quiet();
	assert_int_equal(buffer_write(buf), -EIO);
	loud();
	fault_disarm_all();
	assert_int_equal(written_calls, 1);
	assert_int_equal(written_err, -EIO);
	assert_true(atomic_load(&item.item.flags) & LOG_ITEM_FAILED);
	log_item_attach(&item.item, buf);
	buffer_queue_write(buf, &list);
	buffer_release(buf);
	assert_int_equal(buffer_submit_list(f.cache, &list, false, true), 0);
	assert_int_equal(written_calls, 2);
	assert_int_equal(written_err, 0);
	teardown(&f);
}

/* ---- new inode chunks ---------------------------------------------------------------------------------------- */

static void ordered_buffer_goes_home_without_being_logged(void **state)
{
	struct fake_item described;
	struct fixture f;
	struct buffer *buf;
	struct tx *tx;
	char data[4096];

	setup(&f);
	fake_init(&f, &described, &fake_ops, 24, 'd');
	described.is_done_item = true;
	tx = fixture_begin(&f);
	assert_int_equal(tx_buffer_get(tx, free_daddr(&f, 0), 8, &buf), 0);
	memset(buf->data, 'o', buf->bytes);
	buf->type = &any_type;
	tx_buffer_set_inodes(tx, buf, true);
	tx_buffer_set_ordered(tx, buf);
	fake_join_dirty(tx, &described);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(f.log->current->region_count, 1);
	assert_int_equal(atomic_load(&buf->pins), 1);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(atomic_load(&buf->pins), 0);
	assert_false(tail_is_empty(f.log));
	assert_int_equal(log_quiesce(f.log), 0);
	assert_int_equal(device_read(f.dev, free_daddr(&f, 0) * 512, data, sizeof(data)), 0);
	assert_int_equal(data[4095], 'o');
	teardown_unchecked(&f);
}

/*
 * The item that describes the chunk must stay in the log until the chunk is home, whatever is logged of it
 * meanwhile.
 */
static void new_chunk_keeps_its_first_place_in_the_log(void **state)
{
	struct fake_item described;
	struct fixture f;
	struct buffer *buf;
	struct tx *tx;
	lsn_t first;

	setup(&f);
	fake_init(&f, &described, &fake_ops, 24, 'd');
	described.is_done_item = true;
	tx = fixture_begin(&f);
	assert_int_equal(tx_buffer_get(tx, free_daddr(&f, 0), 8, &buf), 0);
	memset(buf->data, 0, buf->bytes);
	buf->type = &any_type;
	tx_buffer_set_inodes(tx, buf, true);
	tx_buffer_set_ordered(tx, buf);
	fake_join_dirty(tx, &described);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	first = tail_first(f.log);

	tx = fixture_begin(&f);
	assert_int_equal(tx_buffer_get(tx, free_daddr(&f, 0), 8, &buf), 0);
	tx_buffer_set_inodes(tx, buf, false);
	tx_buffer_log(tx, buf, 96, 100);
	assert_int_equal(tx_commit(tx), 0);
	assert_int_equal(format_at(vector_of(buf), 0)->blf_flags & XFS_BLF_INODE_BUF, XFS_BLF_INODE_BUF);
	assert_int_equal(log_force(f.log, 0, NULL), 0);
	assert_int_equal(tail_first(f.log), first);
	teardown_unchecked(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_changed_chunks_are_logged),
		cmocka_unit_test(changes_add_up_until_the_buffer_is_home),
		cmocka_unit_test(each_piece_of_a_buffer_is_described_by_itself),
		cmocka_unit_test(buffer_asked_for_twice_is_the_same),
		cmocka_unit_test(dirty_buffer_is_not_let_go_before_commit),
		cmocka_unit_test(pinned_buffer_does_not_go_home),
		cmocka_unit_test(block_is_sealed_with_the_lsn_of_its_checkpoint),
		cmocka_unit_test(freed_block_is_cancelled_and_stays_locked_until_that_is_durable),
		cmocka_unit_test(freed_block_may_be_used_again_after_the_log_was_forced),
		cmocka_unit_test(block_freed_and_used_in_one_transaction_is_not_cancelled),
		cmocka_unit_test(items_of_a_freed_block_are_told_when_that_is_durable),
		cmocka_unit_test(attached_items_are_told_of_the_write),
		cmocka_unit_test(ordered_buffer_goes_home_without_being_logged),
		cmocka_unit_test(new_chunk_keeps_its_first_place_in_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
