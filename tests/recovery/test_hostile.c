// SPDX-License-Identifier: GPL-2.0
/* Logs whose records are whole and whose contents lie: each is refused, says why, and nothing is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "forge.h"

enum { TID = 77 };

/* One transaction with @count regions, each of the bytes and length that follow. */
struct region {
	const void *data;
	uint32_t bytes;
};

static void forge_tx(struct forge *f, const struct region *regions, unsigned count)
{
	forge_start(f, TID);
	for (unsigned i = 0; i < count; i++)
		forge_region(f, TID, regions[i].data, regions[i].bytes);
	forge_commit(f, TID);
	forge_write(f, 0);
}

static void assert_refused(const struct forge *f, int err, const char *why)
{
	struct verdict v;

	forge_replay(f, &v);
	assert_int_equal(v.writes, 0);
	if (v.err != err || !strstr(v.said, why))
		fail_msg("wanted \"%s\", got %d, \"%s\"", why, v.err, v.said);
}

/* ---- operations ------------------------------------------------------------------------------------------------ */

static void operation_longer_than_its_record_is_refused(void **state)
{
	struct xlog_op_header op = {
		.oh_tid = cpu_to_be32(TID), .oh_clientid = XFS_TRANSACTION, .oh_len = cpu_to_be32(600),
	};
	struct forge f;

	forge_make(&f, "");
	forge_start(&f, TID);
	/* Only 512 bytes of payload are there. */
	memcpy(f.payload + f.bytes, &op, sizeof(op));
	f.bytes += sizeof(op);
	f.ops++;
	forge_write(&f, 0);
	assert_refused(&f, -EFSCORRUPTED, "operation that leaves the record");
	forge_destroy(&f);
}

static void more_operations_than_there_are_are_refused(void **state)
{
	struct forge f;

	forge_make(&f, "");
	forge_start(&f, TID);
	forge_commit(&f, TID);
	f.ops = 1000;
	forge_write(&f, 0);
	assert_refused(&f, -EFSCORRUPTED, "operation");
	forge_destroy(&f);
}

/* It began before the tail: what it has to say is home. */
static void transaction_without_a_start_is_nobodys(void **state)
{
	static const char garbage[64] = "garbage";
	struct verdict v;
	struct forge f;

	forge_make(&f, "");
	forge_region(&f, TID, garbage, sizeof(garbage));
	forge_commit(&f, TID);
	forge_write(&f, 0);
	forge_replay(&f, &v);
	assert_int_equal(v.err, 0);
	assert_int_equal(v.report.transactions, 0);
	forge_destroy(&f);
}

static void operation_of_an_unknown_client_or_kind_is_refused(void **state)
{
	struct forge f;
	lsn_t tail;

	forge_make(&f, "");
	forge_op(&f, TID, 0x11, 0, NULL, 0);
	tail = forge_write(&f, 0);
	assert_refused(&f, -EFSCORRUPTED, "operation of nobody");
	forge_rewind(&f, lsn_to_pos(f.log_blocks, tail));
	forge_start(&f, TID);
	forge_op(&f, TID, XFS_TRANSACTION, 0x80, NULL, 0);
	forge_write(&f, 0);
	assert_refused(&f, -EFSCORRUPTED, "unknown kind");
	forge_destroy(&f);
}

static void rest_of_a_region_without_beginning_is_refused(void **state)
{
	struct forge f;

	forge_make(&f, "");
	forge_start(&f, TID);
	forge_op(&f, TID, XFS_TRANSACTION, XLOG_WAS_CONT_TRANS, "rest", 4);
	forge_write(&f, 0);
	assert_refused(&f, -EFSCORRUPTED, "no beginning");
	forge_destroy(&f);
}

/* ---- items ----------------------------------------------------------------------------------------------------- */

static void unknown_item_is_refused_and_named(void **state)
{
	static const struct {
		uint16_t type;
		const char *name;
	} types[] = {
		{ XFS_LI_ATTRI, "type 0x1246 (attribute intent)" },
		{ XFS_LI_ATTRD, "type 0x1247 (attribute intent)" },
		{ XFS_LI_IUNLINK, "type 0x1238 (unlinked item)" },
		{ 0x1248, "type 0x1248 (exchange of file ranges)" },
		{ 0x124a, "type 0x124a (realtime intent)" },
		{ 0x1234, "type 0x1234 (unknown)" },
		{ 0, "type 0x0 (unknown)" },
	};
	struct forge f;

	forge_make(&f, "");
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint16_t words[16] = { types[i].type, 1 };
		logpos_t pos = f.pos;

		forge_tx(&f, &(struct region){ words, sizeof(words) }, 1);
		assert_refused(&f, -EOPNOTSUPP, types[i].name);
		forge_rewind(&f, pos);
	}
	forge_destroy(&f);
}

/* Good ones before it are not replayed either. */
static void unknown_item_at_the_end_keeps_all_from_being_written(void **state)
{
	uint16_t words[16] = { 0x7777, 1 };
	struct xfs_buf_log_format blf = { .blf_type = XFS_LI_BUF, .blf_size = 2, .blf_len = 1, .blf_map_size = 1,
					  .blf_flags = XFS_BLFT_SB_BUF << XFS_BLFT_SHIFT, .blf_data_map = { 1 } };
	char label[XFS_BLF_CHUNK];
	struct forge f;
	lsn_t tail;

	forge_make(&f, "");
	memcpy(label, f.disk.bytes, sizeof(label));
	label[108]++;
	forge_start(&f, TID);
	forge_region(&f, TID, &blf, sizeof(blf));
	forge_region(&f, TID, label, sizeof(label));
	forge_commit(&f, TID);
	tail = forge_write(&f, 0);
	forge_start(&f, TID + 1);
	forge_region(&f, TID + 1, words, sizeof(words));
	forge_commit(&f, TID + 1);
	forge_write(&f, tail);
	assert_refused(&f, -EOPNOTSUPP, "type 0x7777");
	forge_destroy(&f);
}

static void region_counts_that_lie_are_refused(void **state)
{
	static const uint16_t counts[] = { 0, 2, 3, 600, UINT16_MAX };
	struct forge f;

	forge_make(&f, "");
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint16_t words[16] = { XFS_LI_EFI, counts[i] };
		logpos_t pos = f.pos;

		forge_tx(&f, &(struct region){ words, sizeof(words) }, 1);
		assert_refused(&f, -EFSCORRUPTED,
			       counts[i] && counts[i] < 500 ? "ends in the middle" : "bad number of regions");
		forge_rewind(&f, pos);
	}
	forge_destroy(&f);
}

static void transaction_without_a_good_header_is_refused(void **state)
{
	struct xfs_trans_header head = { .th_magic = 0x12345678 };
	struct forge f;
	logpos_t pos;

	forge_make(&f, "");
	pos = f.pos;
	forge_op(&f, TID, XFS_TRANSACTION, XLOG_START_TRANS, NULL, 0);
	forge_region(&f, TID, &head, sizeof(head));
	forge_write(&f, 0);
	assert_refused(&f, -EFSCORRUPTED, "bad header");
	forge_rewind(&f, pos);
	forge_op(&f, TID, XFS_TRANSACTION, XLOG_START_TRANS, NULL, 0);
	forge_commit(&f, TID);
	forge_write(&f, 0);
	assert_refused(&f, -EFSCORRUPTED, "ends in the middle");
	forge_rewind(&f, pos);
	forge_op(&f, TID, XFS_TRANSACTION, XLOG_START_TRANS, NULL, 0);
	forge_region(&f, TID, f.disk.bytes, 100);
	forge_write(&f, 0);
	assert_refused(&f, -EFSCORRUPTED, "too long a header");
	forge_destroy(&f);
}

/* ---- buffers --------------------------------------------------------------------------------------------------- */

static void assert_buffer_refused(struct forge *f, const struct xfs_buf_log_format *blf, uint32_t blf_bytes,
				  uint32_t data_bytes, const char *why)
{
	static const char data[XFS_MAX_BLOCKSIZE];
	struct region regions[] = { { blf, blf_bytes }, { data, data_bytes } };
	logpos_t pos = f->pos;

	forge_tx(f, regions, data_bytes ? 2 : 1);
	assert_refused(f, -EFSCORRUPTED, why);
	forge_rewind(f, pos);
}

static void buffers_that_lie_are_refused(void **state)
{
	const struct xfs_buf_log_format good = {
		.blf_type = XFS_LI_BUF, .blf_size = 2, .blf_blkno = 8, .blf_len = 8, .blf_map_size = 1,
		.blf_flags = XFS_BLFT_BTREE_BUF << XFS_BLFT_SHIFT, .blf_data_map = { 1 },
	};
	uint32_t bytes = offsetof(struct xfs_buf_log_format, blf_data_map) + 4;
	struct xfs_buf_log_format blf = good;
	struct forge f;

	forge_make(&f, "");
	blf.blf_blkno = (32 << 20) / 512;
	assert_buffer_refused(&f, &blf, bytes, 128, "outside the volume");
	blf.blf_blkno = (32 << 20) / 512 - 4;
	assert_buffer_refused(&f, &blf, bytes, 128, "outside the volume");
	blf.blf_blkno = -8;
	assert_buffer_refused(&f, &blf, bytes, 128, "outside the volume");
	blf.blf_blkno = INT64_MAX - 3;
	assert_buffer_refused(&f, &blf, bytes, 128, "outside the volume");
	blf = good;
	blf.blf_len = 0;
	assert_buffer_refused(&f, &blf, bytes, 128, "outside the volume");
	blf.blf_len = 1000;
	assert_buffer_refused(&f, &blf, bytes, 128, "longer than any block");
	blf = good;
	blf.blf_map_size = 2;
	assert_buffer_refused(&f, &blf, bytes, 128, "too short");
	blf.blf_map_size = UINT32_MAX;
	assert_buffer_refused(&f, &blf, bytes, 128, "too short");
	blf = good;
	assert_buffer_refused(&f, &blf, 12, 128, "too short");
	assert_buffer_refused(&f, &blf, bytes, 256, "of another size");
	assert_buffer_refused(&f, &blf, bytes, 100, "of another size");
	blf.blf_data_map[0] = 5;
	assert_buffer_refused(&f, &blf, bytes, 128, "fewer regions");
	blf.blf_data_map[0] = 0;
	assert_buffer_refused(&f, &blf, bytes, 128, "more regions");
	blf = good;
	blf.blf_len = 1;
	blf.blf_data_map[0] = 1 << 4;
	assert_buffer_refused(&f, &blf, bytes, 128, "behind the end");
	/* The superblock as a B+tree block. */
	blf = good;
	blf.blf_blkno = 0;
	assert_buffer_refused(&f, &blf, bytes, 128, "does not become what the log says");
	forge_destroy(&f);
}

static void part_of_an_inode_is_no_cluster(void **state)
{
	struct xfs_buf_log_format blf = {
		.blf_type = XFS_LI_BUF, .blf_size = 2, .blf_blkno = 64, .blf_len = 9, .blf_map_size = 1,
		.blf_flags = XFS_BLFT_DINO_BUF << XFS_BLFT_SHIFT | XFS_BLF_INODE_BUF, .blf_data_map = { 1 },
	};
	struct forge f;

	forge_make(&f, "-i size=2048");
	assert_buffer_refused(&f, &blf, offsetof(struct xfs_buf_log_format, blf_data_map) + 4, 128, "no cluster");
	forge_destroy(&f);
}

/* ---- inodes ---------------------------------------------------------------------------------------------------- */

struct inode_regions {
	struct xfs_inode_log_format format;
	struct xfs_log_dinode core;
	char fork[2048];
	uint32_t core_bytes, fork_bytes;
};

static void good_inode(const struct forge *f, struct inode_regions *i)
{
	daddr_u64 daddr = fsblk_to_daddr(&f->geo, inum_to_fsblk(&f->geo, f->geo.root));

	*i = (struct inode_regions){
		.format = {
			.ilf_type = XFS_LI_INODE, .ilf_size = 3, .ilf_fields = XFS_ILOG_CORE | XFS_ILOG_DEXT,
			.ilf_dsize = 16, .ilf_ino = f->geo.root.v, .ilf_blkno = (int64_t)daddr,
			.ilf_len = (int32_t)(f->geo.cluster_bytes / 512),
		},
		.core = {
			.di_magic = XFS_DINODE_MAGIC, .di_mode = 0040755, .di_version = 3, .di_nlink = 2,
			.di_format = XFS_DINODE_FMT_EXTENTS, .di_aformat = XFS_DINODE_FMT_EXTENTS,
			.di_ino = f->geo.root.v,
		},
		.core_bytes = sizeof(i->core),
		.fork_bytes = 16,
	};
}

static void assert_inode_refused(struct forge *f, const struct inode_regions *i, const char *why)
{
	struct region regions[] = {
		{ &i->format, sizeof(i->format) }, { &i->core, i->core_bytes }, { i->fork, i->fork_bytes },
	};
	logpos_t pos = f->pos;

	forge_tx(f, regions, i->format.ilf_size < 3 ? 2 : 3);
	assert_refused(f, -EFSCORRUPTED, why);
	forge_rewind(f, pos);
}

static void inodes_that_lie_are_refused(void **state)
{
	struct xfs_btree_block *root;
	struct inode_regions i;
	struct forge f;

	forge_make(&f, "");
	good_inode(&f, &i);
	i.fork_bytes = 400;
	assert_inode_refused(&f, &i, "longer than its room");
	good_inode(&f, &i);
	i.core.di_forkoff = 1;
	assert_inode_refused(&f, &i, "longer than its room");
	i.core.di_forkoff = 200;
	assert_inode_refused(&f, &i, "attribute fork outside");
	good_inode(&f, &i);
	i.format.ilf_fields = XFS_ILOG_CORE;
	assert_inode_refused(&f, &i, "wrong number of regions");
	good_inode(&f, &i);
	i.format.ilf_size = 2;
	assert_inode_refused(&f, &i, "wrong number of regions");
	good_inode(&f, &i);
	i.format.ilf_fields |= XFS_ILOG_DDATA;
	assert_inode_refused(&f, &i, "fork of two kinds");
	good_inode(&f, &i);
	i.core_bytes = 100;
	assert_inode_refused(&f, &i, "core of another length");
	good_inode(&f, &i);
	i.core.di_magic = 0;
	assert_inode_refused(&f, &i, "core that is none");
	good_inode(&f, &i);
	i.core.di_ino++;
	assert_inode_refused(&f, &i, "two inodes");
	good_inode(&f, &i);
	i.format.ilf_ino = i.core.di_ino = UINT64_MAX;
	assert_inode_refused(&f, &i, "impossible inode");
	good_inode(&f, &i);
	i.format.ilf_blkno = 32 << 11;
	assert_inode_refused(&f, &i, "outside the volume");
	good_inode(&f, &i);
	i.format.ilf_boffset = i.format.ilf_len * 512;
	assert_inode_refused(&f, &i, "outside its cluster");
	i.format.ilf_boffset = 1;
	assert_inode_refused(&f, &i, "outside its cluster");
	/* A root with more records than there are bytes. */
	good_inode(&f, &i);
	i.format.ilf_fields = XFS_ILOG_CORE | XFS_ILOG_DBROOT;
	i.core.di_format = XFS_DINODE_FMT_BTREE;
	i.fork_bytes = 88;
	root = (void *)i.fork;
	root->bb_magic = cpu_to_be32(XFS_BMAP_CRC_MAGIC);
	root->bb_level = cpu_to_be16(1);
	root->bb_numrecs = cpu_to_be16(300);
	assert_inode_refused(&f, &i, "too many records");
	i.fork_bytes = 20;
	assert_inode_refused(&f, &i, "too short a root");
	/* Whole, but no inode can be like that. */
	good_inode(&f, &i);
	i.core.di_format = XFS_DINODE_FMT_DEV;
	assert_inode_refused(&f, &i, "cannot be replayed");
	forge_destroy(&f);
}

/* ---- intents --------------------------------------------------------------------------------------------------- */

static void intents_with_counts_that_lie_are_refused(void **state)
{
	static const uint16_t types[] = { XFS_LI_EFI, XFS_LI_RUI, XFS_LI_CUI, XFS_LI_BUI };
	static const uint32_t counts[] = { 0, 2, 1000, UINT32_MAX };
	struct forge f;

	forge_make(&f, "");
	for (unsigned t = 0; t < 4; t++) {
		for (unsigned c = 0; c < 4; c++) {
			struct {
				uint16_t type, regions;
				uint32_t count;
				uint64_t id;
				char entry[32];
			} intent = { types[t], 1, counts[c], 1, "" };
			/* Of one entry. */
			uint32_t bytes = types[t] == XFS_LI_EFI || types[t] == XFS_LI_CUI ? 32 : 48;
			logpos_t pos = f.pos;

			forge_tx(&f, &(struct region){ &intent, bytes }, 1);
			assert_refused(&f, -EFSCORRUPTED,
				       counts[c] ? "another number of entries" : "promises nothing");
			forge_rewind(&f, pos);
		}
	}
	forge_destroy(&f);
}

/* It is replayed; what it promises shows only when the volume is there. */
static void intent_of_impossible_blocks_ends_the_mount(void **state)
{
	struct {
		uint16_t type, regions;
		uint32_t count;
		uint64_t id, start;
		uint32_t length, pad;
	} efi = { XFS_LI_EFI, 1, 1, 1, 1ull << 50, 4, 0 };
	struct verdict v;
	struct forge f;

	forge_make(&f, "");
	forge_tx(&f, &(struct region){ &efi, sizeof(efi) }, 1);
	forge_recover(&f, &v, NULL);
	assert_int_equal(v.err, -EUCLEAN);
	assert_non_null(strstr(v.said, "run xfs_repair"));
	forge_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operation_longer_than_its_record_is_refused),
		cmocka_unit_test(more_operations_than_there_are_are_refused),
		cmocka_unit_test(transaction_without_a_start_is_nobodys),
		cmocka_unit_test(operation_of_an_unknown_client_or_kind_is_refused),
		cmocka_unit_test(rest_of_a_region_without_beginning_is_refused),
		cmocka_unit_test(unknown_item_is_refused_and_named),
		cmocka_unit_test(unknown_item_at_the_end_keeps_all_from_being_written),
		cmocka_unit_test(region_counts_that_lie_are_refused),
		cmocka_unit_test(transaction_without_a_good_header_is_refused),
		cmocka_unit_test(buffers_that_lie_are_refused),
		cmocka_unit_test(part_of_an_inode_is_no_cluster),
		cmocka_unit_test(inodes_that_lie_are_refused),
		cmocka_unit_test(intents_with_counts_that_lie_are_refused),
		cmocka_unit_test(intent_of_impossible_blocks_ends_the_mount),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
