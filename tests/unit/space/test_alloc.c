/* SPDX-License-Identifier: GPL-2.0 */
/* Allocation and freeing on real images. */
#include "mounted.c"

#include <userxfs/base/bits.h>
#include <userxfs/space/alloc.h>

#define EXTENTS_MAX 6000

/* What the test has allocated and not freed. */
static struct {
	struct fsblk start;
	uint32_t count;
} extents[EXTENTS_MAX];
static uint32_t extent_count;
static uint64_t blocks_held;

static const struct rmap_owner owner = { .owner = XFS_RMAP_OWN_INODES };

static uint64_t free_blocks(void)
{
	struct space_counts c;

	space_counts(vol.space, &c);
	return c.free_blocks;
}

static void verify_all(void)
{
	for (agno_t agno = 0; agno < vol.geo.ag_count; agno++)
		assert_int_equal(ag_verify(space_ag(vol.space, agno)), 0);
}

static struct alloc_request request(enum alloc_how how, agno_t agno, agblk_t agblk, uint32_t min, uint32_t max)
{
	return (struct alloc_request){ .how = how, .target = fsblk_make(&vol.geo, agno, agblk), .min_count = min,
				       .max_count = max, .owner = owner };
}

static void remember(const struct alloc_request *req)
{
	assert_true(extent_count < EXTENTS_MAX);
	assert_true(geometry_is_valid_extent(&vol.geo, req->start, req->count));
	extents[extent_count].start = req->start;
	extents[extent_count++].count = req->count;
	blocks_held += req->count;
}

/* One transaction with one allocation; false: nothing fits. */
static bool alloc_one(struct alloc_request *req)
{
	struct tx *tx = mounted_begin(req->max_count);

	assert_int_equal(space_alloc(tx, vol.space, req), 0);
	mounted_commit(tx);
	if (fsblk_is_none(req->start))
		return false;
	remember(req);
	return true;
}

static void forget(uint32_t index)
{
	blocks_held -= extents[index].count;
	extents[index] = extents[--extent_count];
}

/* Frees a random part of a random extent, at once or deferred. */
static void free_some(struct tx *tx)
{
	uint32_t index = random_below(extent_count), count = extents[index].count;
	struct fsblk start = extents[index].start;

	if (count > 2 && random_below(3) == 0) {
		/* Only its end. */
		uint32_t part = 1 + random_below(count - 1);

		start = fsblk_add(start, count - part);
		count = part;
		extents[index].count -= part;
		blocks_held -= part;
	} else {
		forget(index);
	}
	if (random_below(2))
		assert_int_equal(space_free(tx, vol.space, start, count, &owner, AG_RESV_NONE), 0);
	else
		space_free_deferred(tx, vol.space, start, count, &owner, AG_RESV_NONE, false);
}

static void free_all(void)
{
	while (extent_count) {
		struct tx *tx = mounted_begin(0);

		for (int i = 0; i < 4 && extent_count; i++) {
			space_free_deferred(tx, vol.space, extents[extent_count - 1].start,
					    extents[extent_count - 1].count, &owner, AG_RESV_NONE, false);
			forget(extent_count - 1);
		}
		mounted_commit(tx);
	}
	assert_int_equal(blocks_held, 0);
}

static void allocate_at_random(uint32_t max_count)
{
	static const enum alloc_how ways[] = { ALLOC_NEAR, ALLOC_NEAR, ALLOC_NEAR_THIS_AG, ALLOC_EXACT,
					       ALLOC_BY_SIZE_THIS_AG, ALLOC_FIRST_AG };
	agno_t agno = random_below(vol.geo.ag_count);
	struct alloc_request req = request(ways[random_below(ARRAY_COUNT(ways))], agno,
					   random_below(geometry_ag_blocks(&vol.geo, agno)), 1,
					   1 + random_below(max_count));

	req.is_user_data = random_below(2);
	if (random_below(4) == 0)
		req.alignment = 1u << random_below(5);
	if (random_below(4) == 0) {
		req.prod = 4;
		req.mod = random_below(4);
	}
	if (extent_count < EXTENTS_MAX)
		alloc_one(&req);
}

static void change_at_random(uint32_t steps, uint32_t percent_alloc, uint32_t max_count)
{
	for (uint32_t i = 0; i < steps; i++) {
		if (random_below(100) < percent_alloc) {
			allocate_at_random(max_count);
		} else if (extent_count) {
			struct tx *tx = mounted_begin(0);

			free_some(tx);
			mounted_commit(tx);
		}
		if (i % 500 == 499)
			verify_all();
	}
}

static void create(uint64_t image_bytes, const char *mkfs_args)
{
	extent_count = 0;
	blocks_held = 0;
	mounted_create(image_bytes, mkfs_args);
}

struct shape {
	uint64_t image_bytes;
	const char *mkfs_args;
	uint32_t steps, max_count;
};

static const struct shape shapes[] = {
	{ 300ull << 20, "", 1500, 40 },
	{ 300ull << 20, "-b size=1k -d agcount=2", 6000, 6 },
	{ 300ull << 20, "-b size=1k -d agcount=2 -m rmapbt=1", 4000, 6 },
	{ 500ull << 20, "-m rmapbt=1 -d agcount=4", 1500, 30 },
	{ 1000ull << 20, "-b size=64k", 500, 8 },
	{ 400ull << 20, "-m reflink=0,finobt=0 -s size=4096", 1000, 20 },
};

static void start(const struct shape *shape, uint64_t seed)
{
	random_seed(seed);
	create(shape->image_bytes, shape->mkfs_args);
}

/* Whatever is allocated and freed, the trees stay right, the counters follow, and everything comes back. */
static void random_changes_leave_a_clean_volume(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		uint64_t before;

		start(&shapes[i], i + 1);
		before = free_blocks();
		change_at_random(shapes[i].steps, 65, shapes[i].max_count);
		assert_true(extent_count > 0);
		/* Trees that grew count as used up to their next change. */
		assert_in_range(before - free_blocks() - blocks_held, 0, 200);
		mounted_settle();
		verify_all();
		change_at_random(shapes[i].steps / 2, 30, shapes[i].max_count);
		free_all();
		verify_all();
		assert_in_range(before - free_blocks(), 0, 60);
		mounted_check_and_remove();
	}
}

/*
 * Every other block of a large extent is freed and then the rest at random: the trees become three levels high and
 * low again, and the AGFLs long and short with them.  Four extents a transaction is what its log reservation is for.
 */
static void high_trees_come_and_go(void **state)
{
	static const char *mkfs_args[] = { "-b size=1k -d agcount=2", "-b size=1k -d agcount=2 -m rmapbt=1" };
	static struct fsblk rest[4][3200];

	for (size_t i = 0; i < ARRAY_COUNT(mkfs_args); i++) {
		uint32_t count = 0, levels;
		struct ag *ag;
		uint64_t before;

		create(300ull << 20, mkfs_args[i]);
		before = free_blocks();
		ag = space_ag(vol.space, 1);
		while (count < 4 * 3200) {
			struct alloc_request req = request(ALLOC_NEAR_THIS_AG, 1, 5000, 6400, 6400);
			struct tx *tx = mounted_begin(6400);

			assert_int_equal(space_alloc(tx, vol.space, &req), 0);
			assert_int_equal(req.count, 6400);
			mounted_commit(tx);
			for (uint32_t b = 0; b < 6400; b += 8) {
				tx = mounted_begin(0);
				for (uint32_t j = b; j < b + 8; j += 2, count++) {
					rest[count / 3200][count % 3200] = fsblk_add(req.start, j + 1);
					space_free_deferred(tx, vol.space, fsblk_add(req.start, j), 1, &owner,
							    AG_RESV_NONE, false);
				}
				mounted_commit(tx);
			}
		}
		levels = ag->bno_level;
		assert_true(levels >= 3);
		assert_true(ag->agfl_count >= 8);
		verify_all();
		while (count) {
			struct tx *tx = mounted_begin(0);

			for (uint32_t j = 0; j < 4; j++) {
				uint32_t k = random_below(count--);
				struct fsblk *slot = &rest[k / 3200][k % 3200];

				space_free_deferred(tx, vol.space, *slot, 1, &owner, AG_RESV_NONE, false);
				*slot = rest[count / 3200][count % 3200];
			}
			mounted_commit(tx);
			if (count % 3200 == 0)
				verify_all();
		}
		assert_true(ag->bno_level < levels);
		assert_in_range(before - free_blocks(), 0, 60);
		mounted_check_and_remove();
	}
}

/* A volume whose free space was torn to pieces is as good when it is mounted again. */
static void a_second_mount_goes_on(void **state)
{
	start(&shapes[1], 77);
	change_at_random(2000, 80, 5);
	mounted_close();
	mounted_open();
	verify_all();
	change_at_random(1000, 50, 5);
	free_all();
	mounted_check_and_remove();
}

/* What the log says is enough for Linux to bring the trees up to date, deferred frees included. */
static void linux_recovers_the_changes(void **state)
{
	start(&shapes[2], 5);
	change_at_random(800, 70, 6);
	free_all();
	mounted_recover_by_kernel_and_remove();
}

/* The smallest hole that fits wins, near the target: the blocks that Linux chose for ten files, holes, and three
 * more. */
static void near_allocation_chooses_as_linux_does(void **state)
{
	static const struct {
		uint32_t count, agblk;
	} again[] = { { 5, 10 }, { 25, 184 }, { 16, 40 } };
	struct fsblk first[10];
	struct tx *tx;

	create(1ull << 30, "");
	/* Where the inodes of the files are. */
	for (uint32_t i = 0; i < 10; i++) {
		struct alloc_request req = request(ALLOC_NEAR, 0, 16, 16, 16);

		req.is_user_data = true;
		assert_true(alloc_one(&req));
		assert_int_equal(fsblk_agblk(&vol.geo, req.start), 24 + 16 * i);
		first[i] = req.start;
	}
	tx = mounted_begin(0);
	for (uint32_t i = 1; i < 8; i += 2)
		space_free_deferred(tx, vol.space, first[i], 16, &owner, AG_RESV_NONE, false);
	mounted_commit(tx);
	assert_int_equal(log_force(vol.log, 0, NULL), 0);

	tx = mounted_begin(100);
	for (size_t i = 0; i < ARRAY_COUNT(again); i++) {
		struct alloc_request req = request(ALLOC_NEAR, 0, 16, again[i].count, again[i].count);

		req.is_user_data = true;
		assert_int_equal(space_alloc(tx, vol.space, &req), 0);
		assert_int_equal(fsblk_agblk(&vol.geo, req.start), again[i].agblk);
		assert_int_equal(req.count, again[i].count);
		space_free_deferred(tx, vol.space, req.start, req.count, &owner, AG_RESV_NONE, false);
	}
	mounted_commit(tx);
	/* The test has freed some itself. */
	extent_count = 0;
	blocks_held = 0;
	for (uint32_t i = 0; i < 10; i += i < 8 ? 2 : 1) {
		struct alloc_request req = { .start = first[i], .count = 16 };

		remember(&req);
	}
	free_all();
	mounted_check_and_remove();
}

/* Freed blocks are not given away before the freeing is on disk. */
static void busy_blocks_wait_for_the_log(void **state)
{
	struct alloc_request req, again;
	struct tx *tx;

	create(300 << 20, "");
	req = request(ALLOC_NEAR, 1, 1000, 50, 50);
	assert_true(alloc_one(&req));
	free_all();
	again = request(ALLOC_EXACT, 1, fsblk_agblk(&vol.geo, req.start) + 10, 1, 10);
	assert_false(alloc_one(&again));
	assert_int_equal(log_force(vol.log, 0, NULL), 0);
	assert_true(alloc_one(&again));
	assert_int_equal(again.count, 10);
	free_all();

	/* When nothing else is left, the allocation itself forces the log. */
	tx = mounted_begin(vol.geo.ag_blocks);
	req = request(ALLOC_BY_SIZE_THIS_AG, 2, 0, 1000, vol.geo.ag_blocks);
	assert_int_equal(space_alloc(tx, vol.space, &req), 0);
	assert_false(fsblk_is_none(req.start));
	mounted_commit(tx);
	tx = mounted_begin(0);
	assert_int_equal(space_free(tx, vol.space, req.start, req.count, &owner, AG_RESV_NONE), 0);
	mounted_commit(tx);
	again = request(ALLOC_BY_SIZE_THIS_AG, 2, 0, req.count - 100, req.count);
	assert_true(alloc_one(&again));
	free_all();
	mounted_check_and_remove();
}

/* Exact means there or not at all; at least min_count; as far as the free extent goes. */
static void exact_allocation_is_exact(void **state)
{
	struct alloc_request req;

	create(300 << 20, "");
	req = request(ALLOC_EXACT, 1, 2000, 10, 20);
	assert_true(alloc_one(&req));
	assert_int_equal(fsblk_agblk(&vol.geo, req.start), 2000);
	assert_int_equal(req.count, 20);
	req = request(ALLOC_EXACT, 1, 2010, 1, 20);
	assert_false(alloc_one(&req));
	req = request(ALLOC_EXACT, 1, 1990, 11, 20);
	assert_false(alloc_one(&req));
	req = request(ALLOC_EXACT, 1, 1990, 5, 20);
	assert_true(alloc_one(&req));
	assert_int_equal(req.count, 10);
	free_all();
	mounted_check_and_remove();
}

/* Alignment, bounds and remainders are kept. */
static void wishes_are_kept(void **state)
{
	struct alloc_request req;

	create(300 << 20, "");
	for (uint32_t i = 0; i < 200; i++) {
		agblk_t agblk;

		req = request(random_below(2) ? ALLOC_NEAR_THIS_AG : ALLOC_BY_SIZE_THIS_AG, random_below(4),
			      random_below(15000), 1 + random_below(8), 8 + random_below(60));
		req.alignment = 1u << random_below(6);
		if (random_below(2)) {
			req.prod = 8;
			req.mod = random_below(8);
		}
		assert_true(alloc_one(&req));
		assert_in_range(req.count, req.min_count, req.max_count);
		agblk = fsblk_agblk(&vol.geo, req.start);
		assert_int_equal(agblk % req.alignment, 0);
		if (req.prod && req.count != req.max_count && req.count >= req.prod)
			assert_true(req.count % req.prod == req.mod || req.count - req.min_count < req.prod);
	}
	for (uint32_t i = 0; i < 50; i++) {
		req = request(ALLOC_NEAR_THIS_AG, 1, random_below(15000), 4, 4);
		req.min_agblk = 3000 + random_below(3000);
		req.max_agblk = req.min_agblk + 500;
		assert_true(alloc_one(&req));
		assert_in_range(fsblk_agblk(&vol.geo, req.start), req.min_agblk, req.max_agblk);
	}
	free_all();
	verify_all();
	mounted_check_and_remove();
}

/* An AG gives all but what its trees may need; when one is full the next is taken; at the end nothing fits. */
static void a_full_volume_says_so(void **state)
{
	uint64_t before, kept = 0;
	struct alloc_request req;

	create(300 << 20, "-m rmapbt=1");
	before = free_blocks();
	do {
		struct space_counts c;
		uint64_t most;

		space_counts(vol.space, &c);
		most = min_u64(c.free_blocks, 100000);
		if (!most)
			break;
		req = request(ALLOC_NEAR, 0, 100, 1, (uint32_t)most);
	} while (alloc_one(&req));
	verify_all();
	for (agno_t agno = 0; agno < vol.geo.ag_count; agno++) {
		struct ag *ag = space_ag(vol.space, agno);

		assert_true(ag->free_blocks + ag->agfl_count >= ag_resv_needed(ag, AG_RESV_NONE));
		kept += ag->free_blocks;
	}
	assert_true(blocks_held > before - 100);
	assert_true(kept > 0);
	free_all();
	assert_in_range(before - free_blocks(), 0, 20);
	mounted_check_and_remove();
}

/* A tree's block comes out of its reservation, and not out of the transaction's. */
static void reservations_pay_for_trees(void **state)
{
	struct alloc_request req;
	struct ag *ag;
	uint32_t reserved;
	uint64_t before;
	struct tx *tx;

	create(300 << 20, "");
	ag = space_ag(vol.space, 1);
	reserved = ag->metadata.reserved;
	before = free_blocks();
	assert_true(reserved > 10);
	tx = mounted_begin(0);
	req = request(ALLOC_NEAR_THIS_AG, 1, 100, 1, 1);
	req.resv = AG_RESV_METADATA;
	assert_int_equal(space_alloc(tx, vol.space, &req), 0);
	assert_false(fsblk_is_none(req.start));
	mounted_commit(tx);
	assert_int_equal(ag->metadata.reserved, reserved - 1);
	assert_int_equal(free_blocks(), before);
	tx = mounted_begin(0);
	space_free_deferred(tx, vol.space, req.start, 1, &owner, AG_RESV_METADATA, true);
	mounted_commit(tx);
	assert_int_equal(ag->metadata.reserved, reserved);
	assert_int_equal(free_blocks(), before);
	mounted_check_and_remove();
}

/* total and min_left keep an AG from being begun that cannot finish the operation. */
static void an_ag_without_room_for_the_rest_is_skipped(void **state)
{
	struct alloc_request req;
	struct ag *ag;
	uint32_t most;

	create(300 << 20, "");
	ag = space_ag(vol.space, 1);
	req = request(ALLOC_NEAR_THIS_AG, 1, 100, 500, 500);
	assert_true(alloc_one(&req));
	most = ag->free_blocks - ag_resv_needed(ag, AG_RESV_NONE) - ag_min_agfl(ag) + ag->agfl_count;
	req = request(ALLOC_NEAR, 1, 100, 10, 10);
	req.total = most + 1;
	assert_true(alloc_one(&req));
	assert_int_not_equal(fsblk_agno(&vol.geo, req.start), 1);
	req = request(ALLOC_NEAR_THIS_AG, 1, 100, 10, 10);
	req.min_left = most;
	assert_false(alloc_one(&req));
	req.min_left = 10;
	req.total = most - 10;
	assert_true(alloc_one(&req));
	free_all();
	mounted_check_and_remove();
}

/* With an AG locked, a lower one is not waited for, and not taken for a wish that names it. */
static void lower_ags_are_not_waited_for(void **state)
{
	struct alloc_request req;
	struct tx *tx;

	create(300 << 20, "");
	tx = mounted_begin(100);
	req = request(ALLOC_NEAR, 2, 100, 1, 1);
	assert_int_equal(space_alloc(tx, vol.space, &req), 0);
	assert_int_equal(fsblk_agno(&vol.geo, req.start), 2);
	assert_int_equal(tx_highest_ag(tx), 2);
	remember(&req);
	req = request(ALLOC_NEAR_THIS_AG, 1, 100, 1, 1);
	assert_int_equal(space_alloc(tx, vol.space, &req), 0);
	assert_true(fsblk_is_none(req.start));
	req = request(ALLOC_NEAR, 1, 100, 1, 1);
	assert_int_equal(space_alloc(tx, vol.space, &req), 0);
	assert_int_equal(fsblk_agno(&vol.geo, req.start), 2);
	remember(&req);
	mounted_commit(tx);
	free_all();
	mounted_check_and_remove();
}

/* Blocks that are free already, and blocks that are none, are refused as corruption. */
static void freeing_twice_is_found_out(void **state)
{
	struct tx *tx;

	create(300 << 20, "");
	tx = mounted_begin(0);
	assert_int_equal(space_free(tx, vol.space, fsblk_make(&vol.geo, 1, 5000), 10, &owner, AG_RESV_NONE),
			 -EFSCORRUPTED);
	assert_int_equal(space_free(tx, vol.space, fsblk_make(&vol.geo, 1, 0), 1, &owner, AG_RESV_NONE),
			 -EFSCORRUPTED);
	tx_cancel(tx);
	mounted_abandon();
	image_remove(vol.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(near_allocation_chooses_as_linux_does),
		cmocka_unit_test(exact_allocation_is_exact),
		cmocka_unit_test(wishes_are_kept),
		cmocka_unit_test(busy_blocks_wait_for_the_log),
		cmocka_unit_test(reservations_pay_for_trees),
		cmocka_unit_test(an_ag_without_room_for_the_rest_is_skipped),
		cmocka_unit_test(lower_ags_are_not_waited_for),
		cmocka_unit_test(freeing_twice_is_found_out),
		cmocka_unit_test(a_full_volume_says_so),
		cmocka_unit_test(random_changes_leave_a_clean_volume),
		cmocka_unit_test(high_trees_come_and_go),
		cmocka_unit_test(a_second_mount_goes_on),
		cmocka_unit_test(linux_recovers_the_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
