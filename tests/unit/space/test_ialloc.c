// SPDX-License-Identifier: GPL-2.0
/* Inode numbers on real images. */
#include <stdlib.h>
#include <sys/stat.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/space/alloc.h>
#include <userxfs/space/ialloc.h>

#include "mounted.c"

#define MIB (1ull << 20)

static int teardown(void **state)
{
	if (vol.path)
		image_remove(vol.path);
	vol.path = NULL;
	return 0;
}

/* ---- numbers ---- */

struct numbers {
	uint64_t *v;
	unsigned count, room;
};

static void numbers_add(struct numbers *n, uint64_t v)
{
	if (n->count == n->room) {
		n->room = n->room ? 2 * n->room : 256;
		n->v = realloc(n->v, n->room * sizeof(*n->v));
		assert_non_null(n->v);
	}
	n->v[n->count++] = v;
}

static uint64_t numbers_take(struct numbers *n, unsigned i)
{
	uint64_t v = n->v[i];

	n->v[i] = n->v[--n->count];
	return v;
}

static int compare_u64(const void *a_ptr, const void *b_ptr)
{
	const uint64_t *a = a_ptr, *b = b_ptr;

	return *a < *b ? -1 : *a > *b;
}

static int collect(struct inum ino, void *context)
{
	numbers_add(context, ino.v);
	return 0;
}

/* What the inode trees have. */
static struct numbers walk_all(void)
{
	struct numbers found = { 0 };

	for (agno_t agno = 0; agno < vol.geo.ag_count; agno++)
		assert_int_equal(ialloc_walk(vol.space, agno, 0, collect, &found), 0);
	return found;
}

/* The trees have exactly @n, and ialloc_place() agrees. */
static void check_numbers(struct numbers *n)
{
	struct numbers found = walk_all();
	struct space_counts counts;
	struct inode_place place;

	qsort(n->v, n->count, sizeof(*n->v), compare_u64);
	assert_int_equal(found.count, n->count);
	for (unsigned i = 0; i < n->count; i++) {
		assert_int_equal(found.v[i], n->v[i]);
		assert_int_equal(ialloc_place(NULL, vol.space, (struct inum){ n->v[i] }, true, &place), 0);
		assert_true(place.off_bytes + vol.geo.inode_bytes <= place.count << SECTOR_UNIT_LOG);
	}
	space_counts(vol.space, &counts);
	assert_int_equal(counts.inodes - counts.free_inodes, n->count);
	free(found.v);
}

/* ---- operations ---- */

static int try_alloc(struct inum parent, uint32_t mode, struct inum *out)
{
	struct tx *tx;
	int err;

	err = tx_begin(vol.log, &log_reservations(vol.log)->create, ialloc_blocks_needed(&vol.geo), 0, &tx);
	if (err)
		return err;
	err = ialloc_alloc(tx, vol.space, parent, mode, out);
	if (err) {
		tx_cancel(tx);
		return err;
	}
	return tx_commit(tx);
}

static uint64_t alloc(uint64_t parent, uint32_t mode)
{
	struct inum ino;

	assert_int_equal(try_alloc((struct inum){ parent }, mode, &ino), 0);
	return ino.v;
}

static void free_inode(uint64_t ino)
{
	struct inode_chunk_freed freed;
	struct tx *tx;

	assert_int_equal(tx_begin(vol.log, &log_reservations(vol.log)->inode_free,
				  ialloc_free_blocks_needed(&vol.geo), TX_USE_POOL, &tx), 0);
	assert_int_equal(ialloc_free(tx, vol.space, (struct inum){ ino }, &freed), 0);
	if (freed.is_deleted)
		mounted_forget_clusters(tx, &freed);
	mounted_commit(tx);
}

/* ---- tests ---- */

/* The AGI is kept over the roll between making a chunk and taking an inode of it; a shutdown there lets go of it. */
static void agi_is_unlocked_when_the_log_ends_before_the_roll(void **state)
{
	struct inum ino;
	struct buffer *agi;
	struct tx *tx;

	mounted_create(300 * MIB, "");
	while (space_ag(vol.space, 0)->free_inodes)
		alloc(vol.geo.root.v, S_IFREG | 0644);
	assert_int_equal(tx_begin(vol.log, &log_reservations(vol.log)->create, ialloc_blocks_needed(&vol.geo), 0,
				  &tx), 0);
	log_shutdown(vol.log, SHUTDOWN_FORCED, "test");
	assert_int_equal(ialloc_alloc(tx, vol.space, vol.geo.root, S_IFREG | 0644, &ino), -EIO);
	tx_cancel(tx);
	assert_int_equal(buffer_find(vol.buffers, ag_header_daddr(&vol.geo, 0, 2),
				     vol.geo.sector_bytes >> SECTOR_UNIT_LOG, true, &agi), 0);
	assert_non_null(agi);
	buffer_release(agi);
	mounted_abandon();
}


/* Directories go round the AGs from the first one on, as measured on Linux (experiment E80). */
static void directories_go_round_the_ags(void **state)
{
	static const agno_t measured[] = { 0, 1, 2, 3, 0, 1, 2 };
	uint64_t dirs[ARRAY_COUNT(measured)];

	mounted_create(512 * MIB, "-d agcount=4");
	for (unsigned i = 0; i < ARRAY_COUNT(measured); i++) {
		dirs[i] = alloc(vol.geo.root.v, S_IFDIR | 0755);
		assert_int_equal(inum_agno(&vol.geo, (struct inum){ dirs[i] }), measured[i]);
	}
	for (unsigned i = 0; i < ARRAY_COUNT(measured); i++) {
		uint64_t file = alloc(dirs[i], S_IFREG | 0644);

		assert_int_equal(inum_agno(&vol.geo, (struct inum){ file }), measured[i]);
		free_inode(file);
		free_inode(dirs[i]);
	}
	mounted_check_and_remove();
}

/* Allocates and frees at random, then frees everything. */
static void churn(unsigned target)
{
	struct numbers base = walk_all(), mine = { 0 }, all = { 0 };
	struct space_counts before, after;

	mounted_settle();
	space_counts(vol.space, &before);
	while (mine.count < target) {
		uint64_t parent = mine.count && random_below(4) ? mine.v[random_below(mine.count)] : vol.geo.root.v;

		numbers_add(&mine, alloc(parent, random_below(20) ? S_IFREG | 0644 : S_IFDIR | 0755));
		if (random_below(4) == 0)
			free_inode(numbers_take(&mine, random_below(mine.count)));
	}
	for (unsigned i = 0; i < mine.count; i++)
		numbers_add(&all, mine.v[i]);
	for (unsigned i = 0; i < base.count; i++)
		numbers_add(&all, base.v[i]);
	check_numbers(&all);

	while (mine.count)
		free_inode(numbers_take(&mine, random_below(mine.count)));
	check_numbers(&base);
	mounted_settle();
	space_counts(vol.space, &after);
	/* Blocks of several chunks are kept. */
	if (vol.geo.inodes_per_block <= 64)
		assert_int_equal(after.allocated_inodes, before.allocated_inodes);
	free(base.v);
	free(mine.v);
	free(all.v);
}

static void churn_on(uint64_t size_bytes, const char *mkfs_args, unsigned target)
{
	random_seed(7);
	mounted_create(size_bytes, mkfs_args);
	churn(target);
	mounted_check_and_remove();
}

/* Thousands of inodes come and go, and the volume is clean. */
static void inodes_come_and_go(void **state)
{
	churn_on(512 * MIB, "-d agcount=4", 3000);
}

static void inodes_come_and_go_without_finobt(void **state)
{
	churn_on(512 * MIB, "-d agcount=4 -m finobt=0,inobtcount=0,reflink=0", 3000);
}

static void inodes_come_and_go_without_sparse(void **state)
{
	churn_on(512 * MIB, "-d agcount=4 -i sparse=0 -m inobtcount=0", 2000);
}

static void inodes_come_and_go_with_rmapbt(void **state)
{
	churn_on(512 * MIB, "-d agcount=4 -m rmapbt=1", 2000);
}

static void inodes_come_and_go_in_small_blocks(void **state)
{
	churn_on(512 * MIB, "-b size=1024 -d agcount=4 -m rmapbt=1", 4000);
}

static void inodes_come_and_go_with_large_inodes(void **state)
{
	churn_on(512 * MIB, "-i size=1024 -d agcount=2", 2000);
}

static void inodes_come_and_go_in_large_blocks(void **state)
{
	churn_on(1024 * MIB, "-b size=65536 -d agcount=2", 1500);
}

static void inodes_come_and_go_on_stripes(void **state)
{
	churn_on(1024 * MIB, "-d agcount=4,su=64k,sw=2", 2000);
}

/* A number from outside is believed only if the trees know it. */
static void untrusted_numbers_are_looked_up(void **state)
{
	struct inode_place place;
	struct inum ino;

	mounted_create(512 * MIB, "-d agcount=4");
	ino.v = alloc(vol.geo.root.v, S_IFREG);
	assert_int_equal(ialloc_place(NULL, vol.space, ino, true, &place), 0);
	free_inode(ino.v);
	assert_int_equal(ialloc_place(NULL, vol.space, ino, true, &place), -EINVAL);
	assert_int_equal(ialloc_place(NULL, vol.space, ino, false, &place), 0);
	ino.v += 100000;
	assert_int_equal(ialloc_place(NULL, vol.space, ino, true, &place), -EINVAL);
	ino.v = UINT64_MAX - 1;
	assert_int_equal(ialloc_place(NULL, vol.space, ino, true, &place), -EINVAL);
	assert_int_equal(ialloc_place(NULL, vol.space, ino, false, &place), -EFSCORRUPTED);
	mounted_check_and_remove();
}

/* More inodes than imaxpct allows are refused before anything changes. */
static void the_limit_on_inodes_holds(void **state)
{
	struct numbers mine = { 0 };
	struct space_counts counts;
	struct inum ino;
	int err;

	mounted_create(320 * MIB, "-d agcount=2 -i maxpct=1");
	while (!(err = try_alloc(vol.geo.root, S_IFREG, &ino)))
		numbers_add(&mine, ino.v);
	assert_int_equal(err, -ENOSPC);
	assert_false(log_is_shutdown(vol.log));
	space_counts(vol.space, &counts);
	assert_true(counts.allocated_inodes <= vol.geo.max_inodes);
	assert_true(counts.allocated_inodes + vol.geo.ialloc_inodes > vol.geo.max_inodes);
	assert_int_equal(counts.free_inodes, 0);
	while (mine.count)
		free_inode(numbers_take(&mine, mine.count - 1));
	free(mine.v);
	mounted_check_and_remove();
}

/* ---- sparse chunks ---- */

static const struct rmap_owner nobody = { .skip_update = true };

static void free_range(struct fsblk start, uint32_t count, enum ag_reservation resv)
{
	struct tx *tx = mounted_begin(0);

	space_free_deferred(tx, vol.space, start, count, &nobody, resv, false);
	mounted_commit(tx);
}

/* The longest free extent of AG @agno up to @count blocks; false when there is none or the counter says no. */
static bool take_range(agno_t agno, uint32_t count, enum ag_reservation resv, struct fsblk *start, uint32_t *taken)
{
	struct alloc_request req = {
		.how = ALLOC_BY_SIZE_THIS_AG, .target = fsblk_make(&vol.geo, agno, 0), .min_count = 1,
		.max_count = count, .owner = nobody, .resv = resv,
	};
	struct tx *tx;

	if (tx_begin(vol.log, &log_reservations(vol.log)->write, resv == AG_RESV_NONE ? count : 0, 0, &tx))
		return false;
	assert_int_equal(space_alloc(tx, vol.space, &req), 0);
	mounted_commit(tx);
	*start = req.start;
	*taken = req.count;
	return !fsblk_is_none(req.start);
}

struct ranges {
	struct numbers starts, counts;
	enum ag_reservation resv;
};

/* Takes all blocks that @ranges->resv lets have. */
static void take_all(struct ranges *ranges)
{
	bool is_usual = ranges->resv == AG_RESV_NONE;
	struct fsblk start;
	uint32_t taken;

	for (uint32_t count = is_usual ? 16384 : 1; count; count /= 4) {
		for (agno_t agno = 0; agno < vol.geo.ag_count; agno++) {
			while ((is_usual || space_ag(vol.space, agno)->metadata.reserved) &&
			       take_range(agno, count, ranges->resv, &start, &taken)) {
				numbers_add(&ranges->starts, start.v);
				numbers_add(&ranges->counts, taken);
			}
		}
	}
}

/* What the test freed around @whole. */
static bool is_given_back(struct fsblk whole, uint64_t block)
{
	int64_t i = (int64_t)(block - whole.v);

	return (i >= -3 && i < 8) || (i >= 64 && i < 264 && i % 2 == 0);
}

static void give_back(struct ranges *ranges, struct fsblk whole)
{
	for (unsigned i = 0; i < ranges->starts.count; i++) {
		uint64_t end = ranges->starts.v[i] + ranges->counts.v[i];

		for (uint64_t block = ranges->starts.v[i], first; block < end; block++) {
			first = block;
			while (block < end && !is_given_back(whole, block))
				block++;
			if (block > first)
				free_range((struct fsblk){ first }, (uint32_t)(block - first), ranges->resv);
		}
	}
	free(ranges->starts.v);
	free(ranges->counts.v);
}

static void alloc_some(struct numbers *mine, unsigned count)
{
	while (count--)
		numbers_add(mine, alloc(vol.geo.root.v, S_IFREG));
}

/*
 * With no room for a whole chunk a piece of one is made, and when there is room for the rest of it, that is added to
 * the same chunk; the chunk's blocks go back one run at a time.
 */
static void make_pieces(const char *mkfs_args)
{
	struct ranges usual = { .resv = AG_RESV_NONE }, reserved = { .resv = AG_RESV_METADATA };
	struct space_counts before, during;
	struct numbers mine = { 0 };
	struct fsblk whole, at;

	mounted_create(320 * MIB, mkfs_args);
	alloc_some(&mine, 61);		/* the rest of the chunk of the root directory */
	space_counts(vol.space, &before);
	assert_int_equal(space_set_pool(vol.space, 0), 0);
	take_all(&usual);
	if (vol.geo.has_finobt)
		take_all(&reserved);

	/* Room for transactions in single blocks, and seven blocks around the second half of a chunk. */
	whole.v = round_up_u64(usual.starts.v[0], 8) + 64;
	for (unsigned i = 0; i < 100; i++)
		free_range(fsblk_add(whole, 64 + 2 * i), 1, AG_RESV_NONE);
	free_range(fsblk_add(whole, 1), 7, AG_RESV_NONE);
	mounted_settle();
	alloc_some(&mine, 32);
	space_counts(vol.space, &during);
	assert_int_equal(during.allocated_inodes, before.allocated_inodes + 32);
	for (unsigned i = 61; i < 93; i++) {
		at = inum_to_fsblk(&vol.geo, (struct inum){ mine.v[i] });
		assert_true(at.v >= whole.v + 4 && at.v < whole.v + 8);
	}

	/* The first half is wanted next; one inode of it is enough to make it. */
	free_range((struct fsblk){ whole.v - 3 }, 3, AG_RESV_NONE);
	free_range(whole, 1, AG_RESV_NONE);
	mounted_settle();
	alloc_some(&mine, 1);
	space_counts(vol.space, &during);
	assert_int_equal(during.allocated_inodes, before.allocated_inodes + 64);
	at = inum_to_fsblk(&vol.geo, (struct inum){ mine.v[93] });
	assert_int_equal(at.v, whole.v);
	alloc_some(&mine, 20);

	while (mine.count)
		free_inode(numbers_take(&mine, random_below(mine.count)));
	give_back(&reserved, whole);
	give_back(&usual, whole);
	mounted_check_and_remove();
	free(mine.v);
}

static void pieces_of_a_chunk_come_together(void **state)
{
	make_pieces("-d agcount=2 -m reflink=0");
}

static void pieces_of_a_chunk_come_together_without_finobt(void **state)
{
	make_pieces("-d agcount=2 -m reflink=0,finobt=0,inobtcount=0");
}

/* Recovery by the kernel: chunks that came and went. */
static void the_kernel_recovers_chunks_that_are_gone(void **state)
{
	struct numbers mine = { 0 };

	mounted_create(512 * MIB, "-d agcount=4 -m rmapbt=1");
	for (unsigned i = 0; i < 20; i++)
		numbers_add(&mine, alloc(vol.geo.root.v, i < 4 ? S_IFDIR : S_IFREG));
	for (unsigned i = 0; i < 800; i++)
		numbers_add(&mine, alloc(mine.v[random_below(4)], S_IFREG));
	while (mine.count)
		free_inode(numbers_take(&mine, random_below(mine.count)));
	free(mine.v);
	mounted_recover_by_kernel_and_remove();
}

/* Whether xfs_db finds an inode of that number with a good checksum: then 0. */
static int dump_and_look(uint64_t ino)
{
	return image_shell("o=`xfs_db -r -c 'inode %llu' -c 'p v3.crc v3.inumber' %s`; case $o in "
			   "*correct*'inumber = %llu') ;; *) echo \"$o\"; exit 1 ;; esac",
			   (unsigned long long)ino, vol.path, (unsigned long long)ino);
}

/* Recovery by the kernel: the log has no inode's bytes, only that there are new ones. */
static void the_kernel_makes_new_inodes_again(void **state)
{
	struct numbers mine = { 0 };

	mounted_create(512 * MIB, "-d agcount=4");
	alloc_some(&mine, 200);
	assert_int_equal(log_force(vol.log, 0, NULL), 0);
	mounted_abandon();
	mounted_run_in_kernel(":");
	for (unsigned i = 0; i < mine.count; i += 20)
		assert_int_equal(dump_and_look(mine.v[i]), 0);
	free(mine.v);
	image_remove(vol.path);
	vol.path = NULL;
}

struct lie {
	const char *commands;		/* of xfs_db, on the trees of AG 0 */
	bool is_seen_by_place;
};

/*
 * Records that cannot be, roots that lead nowhere, counts that do not hold: an error, and the volume stops.  The
 * checksums are right in all of them.
 */
static void lying_trees_are_refused(void **state)
{
#define INOBT "-c 'agi 0' -c 'addr root' -c 'write -d recs[1]."
#define FINOBT "-c 'agi 0' -c 'addr free_root' -c 'write -d recs[1]."
	static const struct lie lies[] = {
		{ INOBT "freecount 70'", true },
		{ INOBT "freecount 3'", true },
		{ INOBT "free 0'", true },
		{ INOBT "count 0'", true },
		{ INOBT "count 60'", true },
		{ INOBT "holemask 0xffff'", true },
		{ INOBT "holemask 1'", true },
		{ INOBT "startino 1'", true },
		{ INOBT "startino 0xfffffff0'", false },
		{ INOBT "startino 256'", false },
		{ FINOBT "freecount 70'", false },
		{ FINOBT "free 0xfffffffffffffff0' " FINOBT "freecount 60'", false },
		{ FINOBT "startino 192'", false },
		{ FINOBT "startino 0xfffffff0'", false },
		{ "-c 'agi 0' -c 'addr free_root' -c 'write -d numrecs 0'", false },
		{ "-c 'agi 0' -c 'addr root' -c 'write -d numrecs 0'", false },
		{ "-c 'agi 0' -c 'addr root' -c 'write -d level 1'", true },
		{ "-c 'agi 0' -c 'write -d root 5'", true },
		{ "-c 'agi 0' -c 'write -d free_root 24'", false },
	};

	for (unsigned i = 0; i < ARRAY_COUNT(lies); i++) {
		struct numbers found = { 0 };
		struct inode_place place;
		struct inum ino;
		int err;

		vol.path = image_create(320 * MIB, "-d agcount=2");
		assert_int_equal(image_shell("xfs_db -x %s %s >/dev/null", lies[i].commands, vol.path), 0);
		mounted_open();
		err = ialloc_place(NULL, vol.space, vol.geo.root, true, &place);
		if (lies[i].is_seen_by_place ? !err : err && err != -EINVAL)
			fail_msg("%s: placing gives %d", lies[i].commands, err);
		if (lies[i].is_seen_by_place && !ialloc_walk(vol.space, 0, 0, collect, &found))
			fail_msg("%s: the walk is fine", lies[i].commands);
		err = try_alloc(vol.geo.root, S_IFREG, &ino);
		if (err != -EFSCORRUPTED && err != -EFSBADCRC)
			fail_msg("%s: allocation gives %d", lies[i].commands, err);
		free(found.v);
		mounted_abandon();
		image_remove(vol.path);
		vol.path = NULL;
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(agi_is_unlocked_when_the_log_ends_before_the_roll),
		TEST(directories_go_round_the_ags),
		TEST(inodes_come_and_go),
		TEST(inodes_come_and_go_without_finobt),
		TEST(inodes_come_and_go_without_sparse),
		TEST(inodes_come_and_go_with_rmapbt),
		TEST(inodes_come_and_go_in_small_blocks),
		TEST(inodes_come_and_go_with_large_inodes),
		TEST(inodes_come_and_go_in_large_blocks),
		TEST(inodes_come_and_go_on_stripes),
		TEST(untrusted_numbers_are_looked_up),
		TEST(the_limit_on_inodes_holds),
		TEST(pieces_of_a_chunk_come_together),
		TEST(pieces_of_a_chunk_come_together_without_finobt),
		TEST(the_kernel_recovers_chunks_that_are_gone),
		TEST(the_kernel_makes_new_inodes_again),
		TEST(lying_trees_are_refused),
	};

	return cmocka_run_group_tests_name("ialloc", tests, NULL, NULL);
}
