/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Free space that lies: headers and trees damaged so that their checksums are right.  Allocation and freeing may
 * fail, with a log line, or not notice; they never crash and never go on for ever.
 */
#include <stdlib.h>

#include "mounted.c"

#include <userxfs/base/message.h>
#include <userxfs/space/alloc.h>

#include "space/alloc_private.h"

#define EXTENTS 60
#define ROUNDS 40

enum target { AGF_SECTOR = 1, AGFL_SECTOR = 3 };

static const struct rmap_owner owner = { .owner = XFS_RMAP_OWN_INODES, .skip_update = true };
static struct held {
	struct fsblk start;
	uint32_t count;
} extents[EXTENTS], held_at_first[EXTENTS];
static uint32_t lines;

static void count_line(void *context, enum message_level level, const char *line)
{
	lines++;
}

/* Some hundred free extents in AG 1; what the test holds is not freed any more. */
static void tear_free_space(void)
{
	for (uint32_t i = 0; i < EXTENTS * 8; i++) {
		struct alloc_request req = { .how = ALLOC_NEAR_THIS_AG, .target = fsblk_make(&vol.geo, 1, 100),
					     .min_count = 1, .max_count = 1 + i % 9, .owner = owner };
		struct tx *tx = mounted_begin(10);

		assert_int_equal(space_alloc(tx, vol.space, &req), 0);
		assert_false(fsblk_is_none(req.start));
		if (i % 2) {
			space_free_deferred(tx, vol.space, req.start, req.count, &owner, AG_RESV_NONE, true);
		} else if (i % 8 == 0) {
			extents[i / 8].start = req.start;
			extents[i / 8].count = req.count;
		}
		mounted_commit(tx);
		/* Else the next takes other blocks. */
		if (i % 20 == 19)
			assert_int_equal(log_force(vol.log, 0, NULL), 0);
	}
}

static void damage_agf(struct xfs_agf *agf)
{
	__be32 *fields[] = {
		&agf->agf_roots[XFS_BTNUM_BNOi], &agf->agf_roots[XFS_BTNUM_CNTi], &agf->agf_levels[XFS_BTNUM_BNOi],
		&agf->agf_levels[XFS_BTNUM_CNTi], &agf->agf_flfirst, &agf->agf_fllast, &agf->agf_flcount,
		&agf->agf_freeblks, &agf->agf_longest, &agf->agf_btreeblks, &agf->agf_length, &agf->agf_seqno,
	};
	__be32 *field = fields[random_below(sizeof(fields) / sizeof(fields[0]))];
	uint32_t value = be32_to_cpu(*field);

	*field = cpu_to_be32(random_below(3) ? value + random_below(5) - 2 : random_below(vol.geo.ag_blocks + 10));
}

static void damage_block(uint8_t *data, uint32_t bytes)
{
	uint32_t header = XFS_BTREE_SBLOCK_CRC_LEN;

	switch (random_below(4)) {
	case 0:				/* a record or a key */
		data[header + random_below(bytes - header)] = (uint8_t)random_below(256);
		break;
	case 1:				/* one of the first records, more likely to be looked at */
		data[header + random_below(200)] ^= (uint8_t)(1u << random_below(8));
		break;
	case 2:				/* level, count, siblings */
		data[4 + random_below(12)] ^= (uint8_t)(1u << random_below(8));
		break;
	default:			/* two records change places */
		for (uint32_t i = 0; i < 8; i++) {
			uint8_t byte = data[header + i];

			data[header + i] = data[header + 80 + i];
			data[header + 80 + i] = byte;
		}
	}
}

/* Changes one block of AG 1 on disk. */
static void damage(void)
{
	struct { const struct block_type *type; daddr_u64 daddr; uint32_t bytes; } blocks[] = {
		{ &block_agf, ag_header_daddr(&vol.geo, 1, AGF_SECTOR), vol.geo.sector_bytes },
		{ &block_agfl, ag_header_daddr(&vol.geo, 1, AGFL_SECTOR), vol.geo.sector_bytes },
		{ &block_bnobt, 0, vol.geo.block_bytes },
		{ &block_cntbt, 0, vol.geo.block_bytes },
	};
	uint32_t which = random_below(4);
	struct xfs_agf *agf;
	uint8_t *data;

	data = mem_alloc_aligned(4096, 65536);
	agf = mem_alloc_aligned(4096, 4096);
	assert_int_equal(device_read(vol.dev, blocks[0].daddr << 9, agf, vol.geo.sector_bytes), 0);
	blocks[2].daddr = agblk_to_daddr(&vol.geo, 1, be32_to_cpu(agf->agf_roots[XFS_BTNUM_BNOi]));
	blocks[3].daddr = agblk_to_daddr(&vol.geo, 1, be32_to_cpu(agf->agf_roots[XFS_BTNUM_CNTi]));
	assert_int_equal(device_read(vol.dev, blocks[which].daddr << 9, data, blocks[which].bytes), 0);
	if (which == 0)
		damage_agf((void *)data);
	else if (which == 1)
		data[sizeof(struct xfs_agfl) + random_below(24)] = (uint8_t)random_below(256);
	else
		damage_block(data, blocks[which].bytes);
	block_seal(blocks[which].type, &vol.geo, data, blocks[which].bytes, 0);
	assert_int_equal(device_write(vol.dev, blocks[which].daddr << 9, data, blocks[which].bytes, 0),
			 0);
	mem_free(agf);
	mem_free(data);
}

static int change_something(struct tx *tx)
{
	struct alloc_request req = { .target = fsblk_make(&vol.geo, 1, 100 + random_below(3000)), .min_count = 1,
				     .max_count = 1 + random_below(30), .owner = owner };
	static const enum alloc_how ways[] = { ALLOC_NEAR_THIS_AG, ALLOC_EXACT, ALLOC_BY_SIZE_THIS_AG };
	uint32_t i = random_below(EXTENTS);

	if (random_below(3)) {
		req.how = ways[random_below(3)];
		return space_alloc(tx, vol.space, &req);
	}
	if (!extents[i].count)
		return 0;
	space_free_deferred(tx, vol.space, extents[i].start, extents[i].count, &owner, AG_RESV_NONE, true);
	extents[i].count = 0;
	return tx_finish_deferred(tx);
}

static void change_until_it_fails(void)
{
	for (uint32_t i = 0; i < 150; i++) {
		struct tx *tx;
		int err;

		err = tx_begin(vol.log, &log_reservations(vol.log)->truncate, 40, 0, &tx);
		if (err)
			return;
		err = change_something(tx);
		if (err) {
			assert_true(lines > 0);
			tx_cancel(tx);
			return;
		}
		if (tx_commit(tx))
			return;
	}
}

/* Mounts the damaged volume as far as that goes. */
static void try_damaged(void)
{
	struct device_options device_options = { 0 };
	struct log_options log_options = { 0 };
	struct log_head head;
	uint64_t log_off = fsblk_to_bytes(&vol.geo, vol.geo.log_start);
	struct xfs_dsb *sb = mem_alloc_aligned(XFS_MAX_SECTORSIZE, XFS_MAX_SECTORSIZE);
	int err;

	lines = 0;
	assert_int_equal(device_open(vol.path, &device_options, &vol.dev), 0);
	damage();
	assert_int_equal(device_read(vol.dev, 0, sb, XFS_MAX_SECTORSIZE), 0);
	assert_int_equal(buffer_cache_create(vol.dev, &vol.geo, BUFFER_BUDGET_BYTES, &vol.buffers), 0);
	assert_int_equal(space_create(vol.buffers, &vol.geo, &vol.space), 0);
	assert_int_equal(space_load(vol.space, sb, false), 0);
	assert_int_equal(log_find_head(vol.dev, log_off, &vol.geo, &head), 0);
	assert_int_equal(log_create(vol.buffers, vol.dev, log_off, &vol.geo, &head, &space_tx_ops, vol.space,
				    &log_options, &vol.log), 0);
	err = space_start(vol.space, vol.log);
	if (!err)
		err = ag_verify(space_ag(vol.space, 1));
	assert_true(!err || lines > 0);
	change_until_it_fails();
	mem_free(sb);
	mounted_abandon();
}

/* Forty times another damage. */
static void damaged_free_space_is_survived(void **state)
{
	char *path, *good;

	random_seed(11);
	mounted_create(300 << 20, "-b size=1k -d agcount=2");
	tear_free_space();
	path = vol.path;
	mounted_close();
	memcpy(held_at_first, extents, sizeof(extents));
	good = image_create(300 << 20, "");
	assert_int_equal(image_shell("cp --sparse=always %s %s", path, good), 0);
	message_set_sink(count_line, NULL);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct device_options options = { 0 };
		void *sb = mem_alloc_aligned(XFS_MAX_SECTORSIZE, XFS_MAX_SECTORSIZE);
		char why[256];

		assert_int_equal(image_shell("cp --sparse=always %s %s", good, path), 0);
		memcpy(extents, held_at_first, sizeof(extents));
		vol.path = path;
		assert_int_equal(device_open(path, &options, &vol.dev), 0);
		assert_int_equal(device_read(vol.dev, 0, sb, XFS_MAX_SECTORSIZE), 0);
		assert_int_equal(geometry_decode(sb, XFS_MAX_SECTORSIZE, vol.dev->size_bytes, &vol.geo, why,
						 sizeof(why)), GEOMETRY_OK);
		device_close(vol.dev);
		mem_free(sb);
		try_damaged();
	}
	message_set_sink(NULL, NULL);
	image_remove(good);
	image_remove(path);
	vol.path = NULL;
}

/*
 * A block of the AGFL also lies in an extent that this transaction has freed.  "Again after a roll" would be the
 * wrong answer to a tree that is half changed.
 */
static void agfl_block_inside_a_freed_extent_is_refused(void **state)
{
	struct ag *ag;
	struct buffer *agf;
	struct tx *tx;
	agblk_t agblk;

	mounted_create(300ull << 20, "");
	message_set_sink(count_line, NULL);
	ag = space_ag(vol.space, 0);
	tx = mounted_begin(0);
	assert_int_equal(ag_read_agf(tx, ag, false, &agf), 0);
	assert_int_equal(ag_fix_agfl(tx, ag, agf), 0);
	assert_int_equal(agfl_first(tx, ag, agf, &agblk), 0);
	busy_insert(tx, ag, agblk, 2);
	lines = 0;
	assert_int_equal(agfl_take(tx, ag, agf, &agblk, true), -EFSCORRUPTED);
	assert_int_equal(lines, 1);
	tx_cancel(tx);
	mounted_abandon();
	message_set_sink(NULL, NULL);
	image_remove(vol.path);
	vol.path = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agfl_block_inside_a_freed_extent_is_refused),
		cmocka_unit_test(damaged_free_space_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
