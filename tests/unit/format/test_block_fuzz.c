// SPDX-License-Identifier: GPL-2.0
/*
 * Damaged blocks: whatever the bytes say, a verifier reads only its block, and what it accepts can be walked without
 * leaving it.  Meant for the address sanitizer; blocks lie in allocations of exactly their size.
 *
 * The same seed, the same damage.
 */
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "populated_image.h"

#define MIB (1ull << 20)
#define SAMPLES_PER_KIND 3
#define MAX_SAMPLES 96
#define MAX_INODE_SAMPLES 24
#define RANDOM_ROUNDS 3000

struct sample {
	const struct block_type *type;
	daddr_u64 daddr;
	struct inum ino;		/* of an inode sample */
	size_t bytes;
	uint8_t *good;			/* as the kernel wrote it */
	uint8_t *work;			/* damaged */
};

struct corpus {
	struct mapped_image image;
	struct sample blocks[MAX_SAMPLES], inodes[MAX_INODE_SAMPLES];
	unsigned block_count, inode_count;
};

static struct corpus corpora[2];
static unsigned corpus_count;

static void sample_init(struct sample *sample, const struct block_type *type, daddr_u64 daddr, const void *data,
			size_t bytes)
{
	sample->type = type;
	sample->daddr = daddr;
	sample->bytes = bytes;
	sample->good = aligned_alloc(512, bytes);
	sample->work = aligned_alloc(512, bytes);
	assert_true(sample->good && sample->work);
	memcpy(sample->good, data, bytes);
	memcpy(sample->work, data, bytes);
}

/* Inodes that differ in file type or in the format of a fork. */
static void sample_inodes(struct corpus *corpus, daddr_u64 daddr)
{
	const struct geometry *geo = &corpus->image.geo;
	struct fsblk b = daddr_to_fsblk(geo, daddr);
	agino_t first = agblk_to_agino(geo, fsblk_agblk(geo, b));

	for (uint32_t i = 0; i < geo->inodes_per_block && corpus->inode_count < MAX_INODE_SAMPLES; i++) {
		const struct xfs_dinode *dip = mapped_image_at(&corpus->image, daddr) + i * geo->inode_bytes;
		bool is_new = true;

		for (unsigned n = 0; n < corpus->inode_count; n++) {
			const struct xfs_dinode *other = (const void *)corpus->inodes[n].good;

			is_new &= other->di_mode != dip->di_mode || other->di_format != dip->di_format ||
				  other->di_aformat != dip->di_aformat || other->di_forkoff != dip->di_forkoff;
		}
		if (!is_new)
			continue;
		sample_init(&corpus->inodes[corpus->inode_count], NULL, daddr, dip, geo->inode_bytes);
		corpus->inodes[corpus->inode_count++].ino = inum_make(geo, fsblk_agno(geo, b), first + i);
	}
}

static void corpus_create(struct corpus *corpus, const char *mkfs_args)
{
	const struct geometry *geo = &corpus->image.geo;
	unsigned met[ARRAY_COUNT(block_kinds)] = { 0 };
	daddr_u64 end;

	populated_image_create(&corpus->image, 300 * MIB, mkfs_args);
	end = (geo->blocks << geo->block_log) >> SECTOR_UNIT_LOG;
	for (daddr_u64 daddr = 0; daddr < end; daddr = mapped_image_skip_hole(&corpus->image, daddr + 1)) {
		const struct block_kind *kind = is_log(geo, daddr) ? NULL : kind_at(&corpus->image, daddr);
		const void *data = mapped_image_at(&corpus->image, daddr);

		if (!kind)
			continue;
		if (kind->type == &block_inode_cluster)
			sample_inodes(corpus, daddr);
		if (met[kind - block_kinds]++ >= SAMPLES_PER_KIND)
			continue;
		assert_true(corpus->block_count < MAX_SAMPLES);
		sample_init(&corpus->blocks[corpus->block_count++], kind->type, daddr, data,
			    kind_bytes(kind, geo, data));
	}
}

static void corpus_destroy(struct corpus *corpus)
{
	for (unsigned i = 0; i < corpus->block_count; i++) {
		free(corpus->blocks[i].good);
		free(corpus->blocks[i].work);
	}
	for (unsigned i = 0; i < corpus->inode_count; i++) {
		free(corpus->inodes[i].good);
		free(corpus->inodes[i].work);
	}
	mapped_image_remove(&corpus->image);
}

/* ---- walks that believe the verifier ---- */

/* Reads all of [p, p + bytes), so that the sanitizer sees it. */
static void touch(const void *p, size_t bytes)
{
	const volatile uint8_t *b = p;

	for (size_t i = 0; i < bytes; i++)
		(void)b[i];
}

static void walk_dir_data(const struct geometry *geo, const void *data, size_t end)
{
	size_t off = sizeof(struct xfs_dir3_data_hdr);

	while (off < end) {
		const struct xfs_dir2_data_entry *entry = data + off;
		const struct xfs_dir2_data_unused *hole = data + off;
		bool is_hole = be16_to_cpu(hole->freetag) == XFS_DIR2_DATA_FREE_TAG;
		size_t bytes = is_hole ? be16_to_cpu(hole->length) : 0;

		if (!is_hole)
			bytes = round_up_u64(offsetof(struct xfs_dir2_data_entry, name) + entry->namelen + 1 + 2, 8);
		assert_true(bytes >= 8 && off + bytes <= end);
		touch(data + off, bytes);
		off += bytes;
	}
	assert_int_equal(off, end);
}

static void walk_dir_block(const struct geometry *geo, const void *data)
{
	const struct xfs_dir2_block_tail *tail = data + geo->dir.block_bytes - sizeof(*tail);
	const struct xfs_dir2_leaf_entry *entry = (const void *)tail;

	entry -= be32_to_cpu(tail->count);
	walk_dir_data(geo, data, (size_t)((const void *)entry - data));
	for (uint32_t i = 0; i < be32_to_cpu(tail->count); i++) {
		const struct xfs_dir2_data_entry *name = data + be32_to_cpu(entry[i].address) * 8ull;

		if (entry[i].address)
			touch(name->name, name->namelen);
	}
}

static void walk_dir_leaf(const struct geometry *geo, const void *data, bool has_bests)
{
	const struct xfs_dir3_leaf *leaf = data;
	const struct xfs_dir2_leaf_tail *tail = data + geo->dir.block_bytes - sizeof(*tail);

	touch(leaf->__ents, be16_to_cpu(leaf->hdr.count) * sizeof(leaf->__ents[0]));
	if (has_bests)
		touch((const __be16 *)(const void *)tail - be32_to_cpu(tail->bestcount),
		      be32_to_cpu(tail->bestcount) * sizeof(__be16));
}

static void walk_attr_leaf(const void *data)
{
	const struct xfs_attr3_leaf_hdr *hdr = data;
	const struct xfs_attr_leaf_entry *entry = data + sizeof(*hdr);

	for (unsigned i = 0; i < be16_to_cpu(hdr->count); i++) {
		const struct xfs_attr_leaf_name_local *local = data + be16_to_cpu(entry[i].nameidx);
		const struct xfs_attr_leaf_name_remote *remote = data + be16_to_cpu(entry[i].nameidx);

		if (entry[i].flags & XFS_ATTR_LOCAL)
			touch(local->nameval, local->namelen + be16_to_cpu(local->valuelen));
		else
			touch(remote->name, remote->namelen);
	}
	for (unsigned i = 0; i < XFS_ATTR_LEAF_MAPSIZE; i++)
		touch(data + be16_to_cpu(hdr->freemap[i].base), be16_to_cpu(hdr->freemap[i].size));
}

static void walk_btree(const void *data, const struct btree_limits *limits, size_t header, size_t record, size_t key,
		       size_t pointer)
{
	const struct xfs_btree_block *block = data;
	unsigned count = be16_to_cpu(block->bb_numrecs);

	if (!block->bb_level) {
		touch(data + header, count * record);
		return;
	}
	touch(data + header, count * key);
	touch(data + header + limits->max_node * key, count * pointer);
}

static void walk_block(const struct geometry *geo, const struct sample *sample)
{
	const struct block_type *type = sample->type;
	const void *data = sample->work;

	if (type == &block_dir_data)
		walk_dir_data(geo, data, sample->bytes);
	else if (type == &block_dir_block)
		walk_dir_block(geo, data);
	else if (type == &block_dir_leaf1 || type == &block_dir_leafn)
		walk_dir_leaf(geo, data, type == &block_dir_leaf1);
	else if (type == &block_dir_free)
		touch(((const struct xfs_dir3_free *)data)->bests,
		      be32_to_cpu(((const struct xfs_dir3_free *)data)->hdr.nvalid) * sizeof(__be16));
	else if (type == &block_attr_leaf)
		walk_attr_leaf(data);
	else if (type == &block_da_node || type == &block_attr_node)
		touch(((const struct xfs_da3_intnode *)data)->__btree,
		      be16_to_cpu(((const struct xfs_da3_intnode *)data)->hdr.__count) * 8);
	else if (type == &block_symlink)
		touch(data + sizeof(struct xfs_dsymlink_hdr),
		      be32_to_cpu(((const struct xfs_dsymlink_hdr *)data)->sl_bytes));
	else if (type == &block_attr_remote)
		touch(data + sizeof(struct xfs_attr3_rmt_hdr),
		      be32_to_cpu(((const struct xfs_attr3_rmt_hdr *)data)->rm_bytes));
	else if (type == &block_bnobt)
		walk_btree(data, &geo->bnobt, XFS_BTREE_SBLOCK_CRC_LEN, 8, 8, 4);
	else if (type == &block_rmapbt)
		walk_btree(data, &geo->rmapbt, XFS_BTREE_SBLOCK_CRC_LEN, 24, 40, 4);
	else if (type == &block_bmbt)
		walk_btree(data, &geo->bmbt, XFS_BTREE_LBLOCK_CRC_LEN, 16, 8, 8);
}

static void walk_dir_short(const struct geometry *geo, const void *data, size_t bytes)
{
	const struct xfs_dir2_sf_hdr *hdr = data;
	size_t off = (size_t)xfs_dir2_sf_hdr_size(hdr->i8count);

	for (unsigned i = 0; i < hdr->count; i++) {
		const struct xfs_dir2_sf_entry *entry = data + off;
		size_t length = sizeof(*entry) + entry->namelen + geo->has_ftype + (hdr->i8count ? 8 : 4);

		assert_true(entry->namelen && off + length <= bytes);
		touch(data + off, length);
		off += length;
	}
	assert_int_equal(off, bytes);
}

static void walk_inode(const struct geometry *geo, const struct xfs_dinode *dip)
{
	uint64_t size = be64_to_cpu(dip->di_size);

	if (!dip->di_mode)
		return;
	touch(dinode_data_fork(dip), dinode_data_bytes(geo, dip));
	touch(dinode_attr_fork(dip), dinode_attr_bytes(geo, dip));
	if (dip->di_format == XFS_DINODE_FMT_LOCAL) {
		assert_true(size <= dinode_data_bytes(geo, dip));
		if (S_ISDIR(be16_to_cpu(dip->di_mode)) && size)
			walk_dir_short(geo, dinode_data_fork(dip), size);
	}
	if (dip->di_format == XFS_DINODE_FMT_BTREE) {
		const struct xfs_bmdr_block *root = dinode_data_fork(dip);

		assert_true(sizeof(*root) + be16_to_cpu(root->bb_numrecs) * 16u <= dinode_data_bytes(geo, dip));
	}
	if (dip->di_format == XFS_DINODE_FMT_EXTENTS)
		touch(dinode_data_fork(dip), dinode_data_extents(dip) * sizeof(struct xfs_bmbt_rec));
	if (dip->di_forkoff && dip->di_aformat == XFS_DINODE_FMT_EXTENTS)
		touch(dinode_attr_fork(dip), dinode_attr_extents(dip) * sizeof(struct xfs_bmbt_rec));
}

/* ---- damage ---- */

/* A few bytes, words of tempting values, or a copied stretch. */
static void damage(struct sample *sample, uint64_t *seed)
{
	static const uint32_t tempting[] = { 0, 1, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff };
	uint64_t kind = next_random(seed) % 8, dice = next_random(seed);
	/* Mostly in the first bytes and the last: that is where counts and places stand. */
	size_t span = dice % 4 == 0 ? sample->bytes : min_u64(sample->bytes, 128);
	size_t at = next_random(seed) % span;

	if (dice % 8 == 1)
		at = sample->bytes - 1 - at;
	if (kind < 3) {
		sample->work[at] ^= (uint8_t)(1u << (dice >> 32) % 8);
	} else if (kind < 5) {
		sample->work[at] = (uint8_t)(dice >> 40);
	} else if (kind < 7) {
		uint32_t value = tempting[(dice >> 24) % ARRAY_COUNT(tempting)];
		size_t width = dice >> 60 & 1 ? 2 : 4;

		/* Or a place shortly before the end. */
		if (dice >> 61 & 1)
			value = (uint32_t)(sample->bytes - (dice >> 24) % 9 * 4);

		at = round_down_u64(at, width);
		for (size_t i = 0; i < width && at + i < sample->bytes; i++)
			sample->work[at + i] = (uint8_t)(value >> 8 * (width - 1 - i));
	} else {
		size_t from = dice % sample->bytes, count = min_u64(32, sample->bytes - (from > at ? from : at));

		memmove(sample->work + at, sample->work + from, count);
	}
}

static void restore(struct sample *sample)
{
	memcpy(sample->work, sample->good, sample->bytes);
}

static const char *verify_sample(const struct geometry *geo, const struct sample *sample)
{
	if (!sample->type)
		return dinode_verify(geo, sample->ino, (const void *)sample->work);
	return sample->type->verify(geo, sample->work, sample->bytes, sample->daddr);
}

static void verify_and_walk(const struct geometry *geo, const struct sample *sample)
{
	if (verify_sample(geo, sample))
		return;
	if (sample->type)
		walk_block(geo, sample);
	else
		walk_inode(geo, (const void *)sample->work);
}

/* Every bit of the first 256 bytes, then one of every byte; then damage upon damage. */
static void torture(const struct geometry *geo, struct sample *sample, uint64_t *seed)
{
	for (size_t bit = 0; bit < min_u64(sample->bytes, 256) * 8; bit++) {
		sample->work[bit / 8] ^= (uint8_t)(1u << bit % 8);
		verify_and_walk(geo, sample);
		sample->work[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t at = 256; at < sample->bytes; at++) {
		uint8_t mask = (uint8_t)(1u << next_random(seed) % 8);

		sample->work[at] ^= mask;
		verify_and_walk(geo, sample);
		sample->work[at] ^= mask;
	}
	for (unsigned round = 0; round < RANDOM_ROUNDS; round++) {
		for (uint64_t n = 1 + next_random(seed) % 4; n; n--)
			damage(sample, seed);
		verify_and_walk(geo, sample);
		restore(sample);
	}
}

static void damaged_blocks_are_read_within_bounds(void **state)
{
	uint64_t seed = 20;

	for (unsigned c = 0; c < corpus_count; c++)
		for (unsigned i = 0; i < corpora[c].block_count; i++)
			torture(&corpora[c].image.geo, &corpora[c].blocks[i], &seed);
}

static void damaged_inodes_are_read_within_bounds(void **state)
{
	uint64_t seed = 21;

	for (unsigned c = 0; c < corpus_count; c++) {
		assert_true(corpora[c].inode_count > 8);
		for (unsigned i = 0; i < corpora[c].inode_count; i++) {
			assert_null(verify_sample(&corpora[c].image.geo, &corpora[c].inodes[i]));
			torture(&corpora[c].image.geo, &corpora[c].inodes[i], &seed);
		}
	}
}

static void discard_message(void *context, enum message_level level, const char *line)
{
}

/* Without a new checksum, no single bit goes unnoticed: one bit in each of 200 places. */
static void every_flipped_bit_breaks_the_checksum(void **state)
{
	uint64_t seed = 22;

	message_set_sink(discard_message, NULL);
	for (unsigned i = 0; i < corpora[0].block_count; i++) {
		struct sample *sample = &corpora[0].blocks[i];
		size_t checked = sample->bytes;

		if (sample->type == &block_dquot)
			checked -= checked % sizeof(struct xfs_dqblk);
		for (unsigned n = 0; n < 200; n++) {
			uint64_t bit = next_random(&seed) % (checked * 8);

			sample->work[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(block_verify_read(sample->type, &corpora[0].image.geo, sample->work,
							   sample->bytes, sample->daddr), -EFSBADCRC);
			restore(sample);
		}
	}
	message_set_sink(NULL, NULL);
}

/* A block read from another place than its own, or of another volume, is not believed. */
static void misplaced_and_foreign_blocks_are_refused(void **state)
{
	struct geometry other = corpora[0].image.geo;

	other.meta_uuid[7] ^= 0x10;
	for (unsigned i = 0; i < corpora[0].block_count; i++) {
		struct sample *sample = &corpora[0].blocks[i];
		daddr_u64 elsewhere = sample->daddr ^ (corpora[0].image.geo.block_bytes >> SECTOR_UNIT_LOG);

		if (sample->type != &block_superblock)
			assert_non_null(verify_sample(&other, sample));
		/* Inodes and quota records say no address; their numbers are checked by who reads them. */
		if (sample->type == &block_superblock || sample->type == &block_inode_cluster ||
		    sample->type == &block_dquot)
			continue;
		assert_non_null(sample->type->verify(&corpora[0].image.geo, sample->work, sample->bytes, elsewhere));
	}
}

/* A buffer of any wrong size is refused, not read beyond. */
static void wrong_sizes_are_refused(void **state)
{
	for (unsigned i = 0; i < corpora[0].block_count; i++) {
		struct sample *sample = &corpora[0].blocks[i];

		assert_non_null(sample->type->verify(&corpora[0].image.geo, sample->work, 0, sample->daddr));
		assert_non_null(sample->type->verify(&corpora[0].image.geo, sample->work, sample->bytes - 8,
						     sample->daddr));
	}
}

/* The types that stand for several kinds find out which one it is. */
static void mixed_types_resolve(void **state)
{
	for (unsigned i = 0; i < corpora[0].block_count; i++) {
		struct sample *sample = &corpora[0].blocks[i];
		const struct block_type *type = sample->type, *mixed = NULL;

		if (type == &block_dir_leaf1 || type == &block_dir_leafn || type == &block_da_node)
			mixed = &block_dir_leaf_any;
		else if (type == &block_attr_leaf || type == &block_attr_node)
			mixed = &block_attr_any;
		if (!mixed)
			continue;
		assert_int_equal(block_verify_read(mixed, &corpora[0].image.geo, sample->work, sample->bytes,
						   sample->daddr), 0);
		assert_ptr_equal(block_resolve_type(mixed, sample->work), type);
	}
	assert_ptr_equal(block_resolve_type(&block_agf, NULL), &block_agf);
}

static int create_corpora(void **state)
{
	const char *lacks = kernel_mount_lacks();

	if (lacks) {
		print_message("%s\n", lacks);
		return 0;
	}
	corpus_create(&corpora[0], "-b size=4096 -d agcount=4 -m rmapbt=1 -i nrext64=1");
	corpus_create(&corpora[1], "-b size=1024 -d agcount=4 -n size=4096");
	corpus_count = ARRAY_COUNT(corpora);
	return 0;
}

static int destroy_corpora(void **state)
{
	for (unsigned i = 0; i < corpus_count; i++)
		corpus_destroy(&corpora[i]);
	return 0;
}

static int skip_without_corpora(void **state)
{
	if (!corpus_count)
		skip();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(damaged_blocks_are_read_within_bounds, skip_without_corpora),
		cmocka_unit_test_setup(damaged_inodes_are_read_within_bounds, skip_without_corpora),
		cmocka_unit_test_setup(every_flipped_bit_breaks_the_checksum, skip_without_corpora),
		cmocka_unit_test_setup(misplaced_and_foreign_blocks_are_refused, skip_without_corpora),
		cmocka_unit_test_setup(wrong_sizes_are_refused, skip_without_corpora),
		cmocka_unit_test_setup(mixed_types_resolve, skip_without_corpora),
	};

	return cmocka_run_group_tests(tests, create_corpora, destroy_corpora);
}
