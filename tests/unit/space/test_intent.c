// SPDX-License-Identifier: GPL-2.0
/* Intents without their done items: what a crash in the middle of deferred work leaves to the kernel's recovery. */
#include <userxfs/base/error.h>
#include <userxfs/space/alloc.h>
#include <userxfs/space/intent.h>
#include <userxfs/space/rmap.h>

#include "mounted.c"

#define MIB (1ull << 20)

static const struct rmap_owner done_by_caller = { .skip_update = true };

static int teardown(void **state)
{
	if (vol.path)
		image_remove(vol.path);
	vol.path = NULL;
	return 0;
}

static struct extent alloc(struct tx *tx, uint32_t count)
{
	struct alloc_request req = {
		.how = ALLOC_NEAR, .target = fsblk_make(&vol.geo, 1, 1000), .min_count = count, .max_count = count,
		.owner = done_by_caller, .is_user_data = true,
	};

	assert_int_equal(space_alloc(tx, vol.space, &req), 0);
	assert_false(fsblk_is_none(req.start));
	return (struct extent){ .off = 5, .count = count, .start = req.start, .state = EXTENT_UNWRITTEN };
}

/* The EFI of blocks that nobody has: the kernel frees them. */
static void the_kernel_finishes_an_efi(void **state)
{
	struct log_item *intent;
	xfs_extent_t *entry;
	struct extent ext;
	struct tx *tx;

	mounted_create(512 * MIB, "-d agcount=4");
	tx = mounted_begin(100);
	intent = intent_create(tx, &intent_efi, 2);
	for (uint32_t i = 0; i < 2; i++) {
		ext = alloc(tx, 20);
		entry = intent_entry(intent, i);
		entry->ext_start = ext.start.v;
		entry->ext_len = (uint32_t)ext.count;
	}
	mounted_commit(tx);
	intent_abort(intent);
	mounted_recover_by_kernel_and_remove();
}

/* The RUI and CUI of an extent being unmapped: the kernel forgets its owner and frees it. */
static void the_kernel_finishes_a_rui_and_a_cui(void **state)
{
	struct log_item *rui, *cui;
	struct xfs_phys_extent *phys;
	struct xfs_map_extent *map;
	struct extent ext;
	struct tx *tx;

	mounted_create(512 * MIB, "-d agcount=4 -m rmapbt=1,reflink=1");
	tx = mounted_begin(100);
	ext = alloc(tx, 30);
	rmap_map_deferred(tx, vol.space, vol.geo.root, false, false, &ext);
	mounted_commit(tx);

	tx = mounted_begin(0);
	rui = intent_create(tx, &intent_rui, 1);
	map = intent_entry(rui, 0);
	*map = (struct xfs_map_extent){
		.me_owner = vol.geo.root.v, .me_startblock = ext.start.v, .me_startoff = ext.off,
		.me_len = (uint32_t)ext.count, .me_flags = XFS_RMAP_EXTENT_UNMAP | XFS_RMAP_EXTENT_UNWRITTEN,
	};
	cui = intent_create(tx, &intent_cui, 1);
	phys = intent_entry(cui, 0);
	*phys = (struct xfs_phys_extent){
		.pe_startblock = ext.start.v, .pe_len = (uint32_t)ext.count, .pe_flags = 2 /* decrease */,
	};
	mounted_commit(tx);
	intent_abort(rui);
	intent_abort(cui);
	mounted_recover_by_kernel_and_remove();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_kernel_finishes_an_efi),
		TEST(the_kernel_finishes_a_rui_and_a_cui),
	};

	return cmocka_run_group_tests_name("intent", tests, NULL, NULL);
}
