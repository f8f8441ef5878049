/* SPDX-License-Identifier: GPL-2.0 */
/* The free counter, the reserve pool, reservations of AGs: against the numbers that Linux gives. */
#include "mounted.c"

#include <userxfs/base/bits.h>
#include <userxfs/space/alloc.h>

static struct space_counts counts(void)
{
	struct space_counts c;

	space_counts(vol.space, &c);
	return c;
}

/* What statfs shows right after mkfs is what Linux 6.18 shows, for each set of trees with reservations. */
static void free_blocks_after_mkfs_are_as_in_linux(void **state)
{
	static const struct {
		const char *mkfs_args;
		uint64_t free_blocks, free_without_pool;
	} variants[] = {
		{ "", 496100, 504292 },
		{ "-m reflink=0", 499145, 507337 },
		{ "-m reflink=0,finobt=0", 499656, 507848 },
		{ "-m rmapbt=1", 489907, 498099 },
	};

	for (size_t i = 0; i < ARRAY_COUNT(variants); i++) {
		mounted_create(2ull << 30, variants[i].mkfs_args);
		assert_int_equal(counts().free_blocks, variants[i].free_blocks);
		assert_int_equal(counts().blocks, 524288 - 16384);
		assert_int_equal(space_set_pool(vol.space, 0), 0);
		assert_int_equal(counts().free_blocks, variants[i].free_without_pool);
		mounted_check_and_remove();
	}
}

/* Everything can be taken down to what is set aside; then only the pool gives. */
static void the_last_blocks_come_from_the_pool(void **state)
{
	uint64_t all, pool;

	mounted_create(300 << 20, "");
	all = counts().free_blocks;
	pool = counts().pool_available;
	assert_true(pool > 100);
	assert_int_equal(space_take(vol.space, all + 1, false), -ENOSPC);
	assert_int_equal(space_take(vol.space, all, false), 0);
	assert_int_equal(counts().free_blocks, 0);
	assert_int_equal(space_take(vol.space, 1, false), -ENOSPC);
	assert_int_equal(space_take(vol.space, pool + 1, true), -ENOSPC);
	assert_int_equal(space_take(vol.space, 100, true), 0);
	assert_int_equal(counts().pool_available, pool - 100);

	/* What comes back goes to the pool first. */
	space_give(vol.space, 60);
	assert_int_equal(counts().pool_available, pool - 40);
	assert_int_equal(counts().free_blocks, 0);
	space_give(vol.space, all + 40);
	assert_int_equal(counts().pool_available, pool);
	assert_int_equal(counts().free_blocks, all);
	mounted_check_and_remove();
}

/* A pool of another size takes from, and gives to, the free counter. */
static void the_pool_can_be_resized(void **state)
{
	uint64_t all, pool;

	mounted_create(300 << 20, "");
	all = counts().free_blocks;
	pool = counts().pool_blocks;
	assert_int_equal(space_set_pool(vol.space, 10), 0);
	assert_int_equal(counts().free_blocks, all + pool - 10);
	assert_int_equal(space_set_pool(vol.space, 1000), 0);
	assert_int_equal(counts().free_blocks, all + pool - 1000);
	assert_int_equal(counts().pool_available, 1000);

	/* More than there is: what is missing comes from what is given back. */
	assert_int_equal(space_take(vol.space, all + pool - 1000 - 500, false), 0);
	assert_int_equal(space_set_pool(vol.space, 2000), 0);
	assert_int_equal(counts().pool_available, 1500);
	assert_int_equal(counts().free_blocks, 0);
	space_give(vol.space, all + pool - 1500);
	assert_int_equal(counts().pool_available, 2000);
	assert_int_equal(counts().free_blocks, all + pool - 2000);
	assert_int_equal(space_set_pool(vol.space, pool), 0);
	assert_int_equal(counts().free_blocks, all);
	mounted_check_and_remove();
}

/* A transaction's reservation leaves the counter at once; what it did not use comes back. */
static void reservations_of_transactions_come_back(void **state)
{
	uint64_t all;
	struct tx *tx;

	mounted_create(300 << 20, "");
	all = counts().free_blocks;
	tx = mounted_begin(1000);
	assert_int_equal(counts().free_blocks, all - 1000);
	tx_cancel(tx);
	assert_int_equal(counts().free_blocks, all);
	assert_int_equal(tx_begin(vol.log, &log_reservations(vol.log)->write, all + 1, 0, &tx), -ENOSPC);
	assert_int_equal(counts().free_blocks, all);
	mounted_check_and_remove();
}

/* Counting the AGs gives what the superblock of a clean volume says. */
static void a_recount_finds_the_same(void **state)
{
	struct space_counts trusted, recounted;
	struct xfs_dsb *sb;

	mounted_create(600 << 20, "-m rmapbt=1");
	sb = mem_alloc_aligned(XFS_MAX_SECTORSIZE, XFS_MAX_SECTORSIZE);
	assert_int_equal(device_read(vol.dev, 0, sb, XFS_MAX_SECTORSIZE), 0);
	space_stop(vol.space);
	assert_int_equal(space_load(vol.space, sb, false), 0);
	trusted = counts();
	sb->sb_fdblocks = cpu_to_be64(5);
	sb->sb_icount = sb->sb_ifree = cpu_to_be64(1);
	assert_int_equal(space_load(vol.space, sb, true), 0);
	recounted = counts();
	assert_memory_equal(&trusted, &recounted, sizeof(trusted));
	mem_free(sb);
	mounted_check_and_remove();
}

/* Starting and stopping again and again takes and gives the same. */
static void reservations_of_ags_come_back(void **state)
{
	struct space_counts before;

	mounted_create(600 << 20, "-m rmapbt=1");
	before = counts();
	for (int i = 0; i < 3; i++) {
		struct space_counts stopped, again;

		space_stop(vol.space);
		stopped = counts();
		assert_int_equal(stopped.pool_blocks, 0);
		assert_true(stopped.free_blocks > before.free_blocks + before.pool_blocks);
		assert_int_equal(space_start(vol.space, vol.log), 0);
		again = counts();
		assert_memory_equal(&again, &before, sizeof(before));
	}
	mounted_check_and_remove();
}

/*
 * An AG's trees may have no reservation (the volume was too full at mount, or says so), and a deferred change no
 * blocks of its own: the block that a tree has taken all the same is gone from the free counter.
 */
static void trees_without_a_reservation_take_from_the_free_counter(void **state)
{
	struct tx *tx;
	uint64_t before;
	struct ag *ag;

	mounted_create(300 << 20, "-m reflink=1");
	ag = space_ag(vol.space, 0);
	ag->metadata.reserved = 1;
	tx = mounted_begin(1);
	before = counts().raw_free_blocks;
	ag_resv_account_alloc(tx, ag, AG_RESV_METADATA, 5);
	assert_int_equal(ag->metadata.reserved, 0);
	assert_int_equal(tx_blocks_left(tx), 0);
	assert_int_equal(counts().raw_free_blocks, before - 3);

	/* Also when there is nothing left in it. */
	assert_int_equal(space_take(vol.space, counts().free_blocks, false), 0);
	assert_int_equal(space_set_pool(vol.space, 0), 0);
	assert_int_equal(space_take(vol.space, counts().free_blocks, false), 0);
	before = counts().raw_free_blocks;
	ag_resv_account_alloc(tx, ag, AG_RESV_METADATA, 2);
	assert_int_equal(counts().raw_free_blocks, before - 2);
	tx_cancel(tx);
	mounted_abandon();
	image_remove(vol.path);
	vol.path = NULL;
}

/* Delayed blocks are counted apart. */
static void delayed_blocks_are_counted(void **state)
{
	mounted_create(300 << 20, "");
	space_add_delayed(vol.space, 21);
	space_add_delayed(vol.space, -6);
	assert_int_equal(counts().delayed_blocks, 15);
	space_add_delayed(vol.space, -15);
	assert_int_equal(space_low_threshold(vol.space, 3), vol.geo.blocks / 100 * 3);
	mounted_check_and_remove();
}

static bool set_quota_flags(struct xfs_dsb *sb, void *context)
{
	__be16 flags = cpu_to_be16(*(uint16_t *)context);
	bool changes = sb->sb_qflags != flags;

	sb->sb_qflags = flags;
	return changes;
}

static int change_quota_flags(uint16_t flags)
{
	size_t first = offsetof(struct xfs_dsb, sb_qflags);

	return space_change_superblock(vol.space, 0, first, first + sizeof(__be16), set_quota_flags, &flags);
}

/* What is changed is still so after the next mount; what stays as it was is no change. */
static void the_superblock_is_changed_through_the_log(void **state)
{
	mounted_create(300 << 20, "");
	assert_int_equal(change_quota_flags(7), 0);
	mounted_close();
	assert_int_equal(image_shell("xfs_db -r -c 'sb 0' -c 'p qflags' %s | grep -q '= 0x7$'", vol.path), 0);
	mounted_open();
	assert_int_equal(change_quota_flags(7), 0);
	assert_int_equal(change_quota_flags(0), 0);
	mounted_check_and_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(free_blocks_after_mkfs_are_as_in_linux),
		cmocka_unit_test(the_last_blocks_come_from_the_pool),
		cmocka_unit_test(trees_without_a_reservation_take_from_the_free_counter),
		cmocka_unit_test(the_pool_can_be_resized),
		cmocka_unit_test(reservations_of_transactions_come_back),
		cmocka_unit_test(a_recount_finds_the_same),
		cmocka_unit_test(reservations_of_ags_come_back),
		cmocka_unit_test(delayed_blocks_are_counted),
		cmocka_unit_test(the_superblock_is_changed_through_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
