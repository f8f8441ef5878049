// SPDX-License-Identifier: GPL-2.0
/* Blocks made by hand, or taken from a fresh volume and changed: each rule broken once.  Needs no kernel. */
#include <userxfs/base/error.h>

#include "format_test.h"

#define BLOCK_BYTES 4096u

static struct mapped_image image;
static struct geometry *geo = &image.geo;
static void *block;			/* BLOCK_BYTES, alone in its allocation */
static daddr_u64 daddr;			/* where it pretends to live */

static int create_image(void **state)
{
	mapped_image_create(&image, 300ull << 20, "-b size=4096 -d agcount=4 -m rmapbt=1,reflink=1");
	block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);
	assert_non_null(block);
	daddr = agblk_to_daddr(geo, 1, 500);
	return 0;
}

static int remove_image(void **state)
{
	free(block);
	mapped_image_remove(&image);
	return 0;
}

static const char *verify(const struct block_type *type)
{
	return type->verify(geo, block, BLOCK_BYTES, daddr);
}

/* A header sector of AG 1, alone in its allocation. */
static void *copy_header(unsigned sector, daddr_u64 *where)
{
	void *copy = aligned_alloc(512, geo->sector_bytes);

	assert_non_null(copy);
	*where = ag_header_daddr(geo, 1, sector);
	memcpy(copy, mapped_image_at(&image, *where), geo->sector_bytes);
	return copy;
}

/* The AGF is refused with @words; then it is made good again. */
static void assert_agf(struct xfs_agf *agf, const struct xfs_agf *good, daddr_u64 where, const char *words)
{
	assert_string_equal(block_agf.verify(geo, agf, geo->sector_bytes, where), words);
	*agf = *good;
}

static void agf_rules(void **state)
{
	daddr_u64 where;
	struct xfs_agf *agf = copy_header(1, &where), good = *agf;

	assert_null(block_agf.verify(geo, agf, geo->sector_bytes, where));
	agf->agf_versionnum = cpu_to_be32(2);
	assert_agf(agf, &good, where, "wrong version");
	agf->agf_seqno = 0;
	assert_agf(agf, &good, where, "belongs to another AG");
	agf->agf_length = cpu_to_be32(geo->ag_blocks - 1);
	assert_agf(agf, &good, where, "wrong AG length");
	agf->agf_flfirst = cpu_to_be32(agfl_slots(geo));
	assert_agf(agf, &good, where, "free list outside the AGFL");
	agf->agf_flcount = cpu_to_be32(agfl_slots(geo) + 1);
	assert_agf(agf, &good, where, "free list outside the AGFL");
	agf->agf_longest = cpu_to_be32(be32_to_cpu(agf->agf_freeblks) + 1);
	assert_agf(agf, &good, where, "more free blocks than blocks");
	agf->agf_freeblks = cpu_to_be32(geo->ag_blocks + 1);
	assert_agf(agf, &good, where, "more free blocks than blocks");
	agf->agf_roots[XFS_BTNUM_BNOi] = cpu_to_be32(geo->ag_blocks);
	assert_agf(agf, &good, where, "impossible bnobt root");
	agf->agf_levels[XFS_BTNUM_CNTi] = cpu_to_be32(geo->cntbt.max_levels + 1);
	assert_agf(agf, &good, where, "impossible cntbt root");
	agf->agf_levels[XFS_BTNUM_RMAPi] = 0;
	assert_agf(agf, &good, where, "impossible rmapbt root");
	agf->agf_refcount_root = 0;
	assert_agf(agf, &good, where, "impossible refcountbt root");
	/* The same bytes as the AGF of AG 0, or read from a sector that holds another header. */
	assert_non_null(block_agf.verify(geo, agf, geo->sector_bytes, ag_header_daddr(geo, 0, 1)));
	assert_non_null(block_agf.verify(geo, agf, geo->sector_bytes, ag_header_daddr(geo, 1, 2)));
	free(agf);
}

static void agi_rules(void **state)
{
	daddr_u64 where;
	struct xfs_agi *agi = copy_header(2, &where), good = *agi;

	assert_null(block_agi.verify(geo, agi, geo->sector_bytes, where));
	agi->agi_unlinked[63] = cpu_to_be32(1);
	assert_string_equal(block_agi.verify(geo, agi, geo->sector_bytes, where),
			    "unlinked list starts outside the AG");
	*agi = good;
	agi->agi_freecount = cpu_to_be32(be32_to_cpu(agi->agi_count) + 1);
	assert_string_equal(block_agi.verify(geo, agi, geo->sector_bytes, where), "impossible inode counts");
	*agi = good;
	agi->agi_free_root = cpu_to_be32(NULLAGBLOCK);
	assert_string_equal(block_agi.verify(geo, agi, geo->sector_bytes, where), "impossible finobt root");
	free(agi);
}

static void agfl_rules(void **state)
{
	daddr_u64 where;
	struct xfs_agfl *agfl = copy_header(3, &where);
	__be32 *slot = (void *)(agfl + 1);

	assert_int_equal(agfl_slots(geo), 119);
	assert_null(block_agfl.verify(geo, agfl, geo->sector_bytes, where));
	slot[118] = cpu_to_be32(geo->ag_blocks);
	assert_string_equal(block_agfl.verify(geo, agfl, geo->sector_bytes, where), "lists a block outside the AG");
	free(agfl);
}

static void superblock_rules(void **state)
{
	struct xfs_dsb *sb = aligned_alloc(512, geo->sector_bytes);

	assert_non_null(sb);
	memcpy(sb, image.data, geo->sector_bytes);
	assert_null(block_superblock.verify(geo, sb, geo->sector_bytes, 0));
	sb->sb_fdblocks = cpu_to_be64(geo->blocks + 1);
	assert_string_equal(block_superblock.verify(geo, sb, geo->sector_bytes, 0), "more free blocks than blocks");
	/* A copy in another AG may be as old as mkfs. */
	assert_null(block_superblock.verify(geo, sb, geo->sector_bytes, ag_header_daddr(geo, 1, 0)));
	sb->sb_agblklog++;
	assert_non_null(block_superblock.verify(geo, sb, geo->sector_bytes, ag_header_daddr(geo, 1, 0)));
	free(sb);
}

static struct xfs_btree_block *make_bnobt(unsigned level, unsigned count)
{
	struct xfs_btree_block *b = memset(block, 0, BLOCK_BYTES);

	b->bb_magic = cpu_to_be32(XFS_ABTB_CRC_MAGIC);
	b->bb_level = cpu_to_be16(level);
	b->bb_numrecs = cpu_to_be16(count);
	b->bb_u.s.bb_leftsib = cpu_to_be32(NULLAGBLOCK);
	b->bb_u.s.bb_rightsib = cpu_to_be32(NULLAGBLOCK);
	b->bb_u.s.bb_blkno = cpu_to_be64(daddr);
	b->bb_u.s.bb_owner = cpu_to_be32(1);
	memcpy(b->bb_u.s.bb_uuid, geo->meta_uuid, 16);
	return b;
}

static void btree_rules(void **state)
{
	make_bnobt(0, geo->bnobt.max_leaf);
	assert_null(verify(&block_bnobt));
	assert_string_equal(verify(&block_cntbt), "wrong magic number");
	make_bnobt(0, geo->bnobt.max_leaf + 1);
	assert_string_equal(verify(&block_bnobt), "more records than fit the block");
	make_bnobt(1, geo->bnobt.max_node);
	assert_null(verify(&block_bnobt));
	make_bnobt(1, geo->bnobt.max_node + 1);
	assert_string_equal(verify(&block_bnobt), "more records than fit the block");
	make_bnobt(1, 0);
	assert_string_equal(verify(&block_bnobt), "inner block without pointers");
	make_bnobt(geo->bnobt.max_levels, 1);
	assert_string_equal(verify(&block_bnobt), "level above the tree's greatest height");
	make_bnobt(0, 1)->bb_u.s.bb_owner = 0;
	assert_string_equal(verify(&block_bnobt), "belongs to another AG");
	make_bnobt(0, 1)->bb_u.s.bb_rightsib = cpu_to_be32(geo->ag_blocks);
	assert_string_equal(verify(&block_bnobt), "sibling outside the AG");
	make_bnobt(0, 1)->bb_u.s.bb_leftsib = cpu_to_be32(500);	/* itself */
	assert_string_equal(verify(&block_bnobt), "sibling outside the AG");
}

/* An attribute leaf with one entry, whose name or value stands at @place. */
static struct xfs_attr3_leafblock *make_attr_leaf(uint8_t flags, unsigned place, unsigned first_used)
{
	struct xfs_attr3_leafblock *leaf = memset(block, 0, BLOCK_BYTES);

	leaf->hdr.info.hdr.magic = cpu_to_be16(XFS_ATTR3_LEAF_MAGIC);
	leaf->hdr.info.blkno = cpu_to_be64(daddr);
	leaf->hdr.info.owner = cpu_to_be64(geo->root.v);
	memcpy(leaf->hdr.info.uuid, geo->meta_uuid, 16);
	leaf->hdr.count = cpu_to_be16(1);
	leaf->hdr.firstused = cpu_to_be16(first_used);
	leaf->entries[0].flags = flags;
	leaf->entries[0].nameidx = cpu_to_be16(place);
	return leaf;
}

/* Names and values up to the last byte of the block, and one further. */
static void attr_leaf_names_stay_inside(void **state)
{
	struct xfs_attr_leaf_name_remote *remote = block + BLOCK_BYTES - 12;
	struct xfs_attr_leaf_name_local *local = block + BLOCK_BYTES - 12;

	make_attr_leaf(0, BLOCK_BYTES - 12, BLOCK_BYTES - 12);
	remote->namelen = 1;
	assert_null(verify(&block_attr_leaf));
	/* With its padding a second byte would end behind the block (XFS: xfs_attr_leaf_entsize_remote). */
	remote->namelen = 2;
	assert_string_equal(verify(&block_attr_leaf), "name that leaves the block");
	make_attr_leaf(0, BLOCK_BYTES - 8, BLOCK_BYTES - 12);
	assert_string_equal(verify(&block_attr_leaf), "name that leaves the block");

	make_attr_leaf(XFS_ATTR_LOCAL, BLOCK_BYTES - 12, BLOCK_BYTES - 12);
	local->namelen = 5;
	local->valuelen = cpu_to_be16(4);
	assert_null(verify(&block_attr_leaf));
	local->valuelen = cpu_to_be16(5);
	assert_string_equal(verify(&block_attr_leaf), "name or value that leaves the block");
	local->valuelen = cpu_to_be16(UINT16_MAX);
	assert_string_equal(verify(&block_attr_leaf), "name or value that leaves the block");
}

static void attr_leaf_rules(void **state)
{
	struct xfs_attr_leaf_name_remote *remote = block + BLOCK_BYTES - 16;

	make_attr_leaf(0, BLOCK_BYTES - 16, BLOCK_BYTES - 12);
	assert_string_equal(verify(&block_attr_leaf), "entry that leads outside the names");
	make_attr_leaf(0, BLOCK_BYTES - 14, BLOCK_BYTES - 16);
	assert_string_equal(verify(&block_attr_leaf), "entry that leads outside the names");
	make_attr_leaf(0x40, BLOCK_BYTES - 16, BLOCK_BYTES - 16);
	assert_string_equal(verify(&block_attr_leaf), "entry with impossible flags");
	make_attr_leaf(0, BLOCK_BYTES - 16, 80);
	assert_string_equal(verify(&block_attr_leaf), "entries and names overlap");
	/* 0 stands for the end of the block only where 16 bits cannot say it. */
	make_attr_leaf(0, BLOCK_BYTES - 16, 0);
	assert_string_equal(verify(&block_attr_leaf), "entries and names overlap");

	make_attr_leaf(0, BLOCK_BYTES - 16, BLOCK_BYTES - 16);
	remote->namelen = 1;
	remote->valuelen = cpu_to_be32(3000);
	assert_string_equal(verify(&block_attr_leaf), "value without blocks");
	remote->valueblk = cpu_to_be32(1);
	assert_null(verify(&block_attr_leaf));
	remote->valuelen = cpu_to_be32(XFS_XATTR_SIZE_MAX + 1);
	assert_string_equal(verify(&block_attr_leaf), "value longer than any value");
	remote->valuelen = 0;
	make_attr_leaf(0, BLOCK_BYTES - 16, BLOCK_BYTES - 16)->hdr.freemap[2].base = cpu_to_be16(BLOCK_BYTES);
	remote->namelen = 1;
	assert_null(verify(&block_attr_leaf));
	((struct xfs_attr3_leafblock *)block)->hdr.freemap[2].size = cpu_to_be16(4);
	assert_string_equal(verify(&block_attr_leaf), "hole outside the block");
}

/* A remote value of two blocks: a header in each, an LSN in none. */
static void remote_values_have_a_header_in_each_block(void **state)
{
	uint8_t *value = aligned_alloc(BLOCK_BYTES, 2 * BLOCK_BYTES);
	struct xfs_attr3_rmt_hdr *hdr[2] = { (void *)value, (void *)(value + BLOCK_BYTES) };

	assert_non_null(value);
	memset(value, 'v', 2 * BLOCK_BYTES);
	for (unsigned i = 0; i < 2; i++) {
		hdr[i]->rm_magic = cpu_to_be32(XFS_ATTR3_RMT_MAGIC);
		hdr[i]->rm_offset = cpu_to_be32(i * (BLOCK_BYTES - sizeof(*hdr[i])));
		hdr[i]->rm_bytes = cpu_to_be32(i ? 10 : BLOCK_BYTES - sizeof(*hdr[i]));
		hdr[i]->rm_owner = cpu_to_be64(geo->root.v);
		hdr[i]->rm_blkno = cpu_to_be64(daddr + i * 8);
		memcpy(hdr[i]->rm_uuid, geo->meta_uuid, 16);
	}
	block_seal(&block_attr_remote, geo, value, 2 * BLOCK_BYTES, 1234);
	assert_int_equal(be64_to_cpu(hdr[1]->rm_lsn), UINT64_MAX);
	assert_int_equal(block_verify_read(&block_attr_remote, geo, value, 2 * BLOCK_BYTES, daddr), 0);
	value[2 * BLOCK_BYTES - 1] ^= 1;
	assert_int_equal(block_verify_read(&block_attr_remote, geo, value, 2 * BLOCK_BYTES, daddr), -EFSBADCRC);
	hdr[1]->rm_blkno = hdr[0]->rm_blkno;
	assert_int_equal(block_verify_write(&block_attr_remote, geo, value, 2 * BLOCK_BYTES, daddr), -EFSCORRUPTED);
	free(value);
}

static void make_dquots(uint32_t first_id)
{
	struct xfs_dqblk *dqb = memset(block, 0, BLOCK_BYTES);

	for (unsigned i = 0; i < BLOCK_BYTES / sizeof(*dqb); i++) {
		dqb[i].dd_diskdq.d_magic = cpu_to_be16(XFS_DQUOT_MAGIC);
		dqb[i].dd_diskdq.d_version = XFS_DQUOT_VERSION;
		dqb[i].dd_diskdq.d_type = XFS_DQTYPE_GROUP;
		dqb[i].dd_diskdq.d_id = cpu_to_be32(first_id + i);
		memcpy(dqb[i].dd_uuid, geo->meta_uuid, 16);
	}
}

static void dquot_rules(void **state)
{
	struct xfs_dqblk *dqb = block;

	make_dquots(30);
	dqb[29].dd_lsn = cpu_to_be64(5);
	block_seal(&block_dquot, geo, block, BLOCK_BYTES, 6);
	assert_int_equal(be64_to_cpu(dqb[29].dd_lsn), 5);
	assert_int_equal(block_verify_read(&block_dquot, geo, block, BLOCK_BYTES, daddr), 0);
	dqb[7].dd_diskdq.d_id = cpu_to_be32(9);
	assert_string_equal(verify(&block_dquot), "records out of order");
	make_dquots(30);
	dqb[29].dd_diskdq.d_type = XFS_DQTYPE_GROUP | XFS_DQTYPE_USER;
	assert_string_equal(verify(&block_dquot), "record of an unknown type");
}

/* An index that would begin before the block's header. */
static void directory_index_stays_inside(void **state)
{
	struct xfs_dir3_data_hdr *hdr = memset(block, 0, BLOCK_BYTES);
	struct xfs_dir2_block_tail *tail = block + BLOCK_BYTES - sizeof(*tail);

	hdr->hdr.magic = cpu_to_be32(XFS_DIR3_BLOCK_MAGIC);
	hdr->hdr.blkno = cpu_to_be64(daddr);
	hdr->hdr.owner = cpu_to_be64(geo->root.v);
	memcpy(hdr->hdr.uuid, geo->meta_uuid, 16);
	tail->count = cpu_to_be32((BLOCK_BYTES - sizeof(*hdr) - sizeof(*tail)) / 8);
	assert_string_equal(verify(&block_dir_block), "impossible number of index entries");
	tail->count = cpu_to_be32(UINT32_MAX);
	assert_string_equal(verify(&block_dir_block), "impossible number of index entries");
	tail->count = cpu_to_be32(3);
	tail->stale = cpu_to_be32(4);
	assert_string_equal(verify(&block_dir_block), "impossible number of index entries");
}

static void node_rules(void **state)
{
	struct xfs_da3_intnode *node = memset(block, 0, BLOCK_BYTES);

	node->hdr.info.hdr.magic = cpu_to_be16(XFS_DA3_NODE_MAGIC);
	node->hdr.info.blkno = cpu_to_be64(daddr);
	node->hdr.info.owner = cpu_to_be64(geo->root.v);
	memcpy(node->hdr.info.uuid, geo->meta_uuid, 16);
	node->hdr.__level = cpu_to_be16(1);
	node->hdr.__count = cpu_to_be16(2);
	node->__btree[0].before = node->__btree[1].before = cpu_to_be32(1);
	assert_null(verify(&block_attr_node));
	assert_string_equal(verify(&block_da_node), "pointer to an impossible block");
	node->__btree[0].hashval = cpu_to_be32(7);
	assert_string_equal(verify(&block_attr_node), "hashes out of order");
	node->__btree[0].hashval = 0;
	node->__btree[1].before = 0;				/* the root itself */
	assert_string_equal(verify(&block_attr_node), "pointer to an impossible block");
	node->hdr.__level = cpu_to_be16(XFS_DA_NODE_MAXDEPTH);
	assert_string_equal(verify(&block_attr_node), "impossible level");
	node->hdr.__level = cpu_to_be16(1);
	node->hdr.__count = cpu_to_be16(geo->attr.node_entries + 1);
	assert_string_equal(verify(&block_attr_node), "impossible number of entries");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(superblock_rules),
		cmocka_unit_test(agf_rules),
		cmocka_unit_test(agi_rules),
		cmocka_unit_test(agfl_rules),
		cmocka_unit_test(btree_rules),
		cmocka_unit_test(attr_leaf_names_stay_inside),
		cmocka_unit_test(attr_leaf_rules),
		cmocka_unit_test(remote_values_have_a_header_in_each_block),
		cmocka_unit_test(dquot_rules),
		cmocka_unit_test(directory_index_stays_inside),
		cmocka_unit_test(node_rules),
	};

	return cmocka_run_group_tests(tests, create_image, remove_image);
}
