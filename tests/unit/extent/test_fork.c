// SPDX-License-Identifier: GPL-2.0
/* Forks from and to bytes, honest and hostile ones. */
#include "scratch.h"

#include <userxfs/base/bits.h>
#include <userxfs/base/message.h>

#include "extent/edit.h"
#include "extent/tree.h"

#define MIB (1024ull * 1024)
#define EXTENTS 1300u		/* with 1 KiB blocks: two levels below the root */
#define MAX_BLOCKS 200u

static unsigned complaints;

static void count_complaint(void *context, enum message_level level, const char *line)
{
	complaints++;
}

static uint64_t random_below(uint64_t *seed, uint64_t n)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (*seed >> 33) % n;
}

static void fill(struct scratch *s, unsigned extents)
{
	struct extent out;

	for (unsigned i = 0; i < extents; i++) {
		struct tx *tx = scratch_begin(s, 3 * map_write_blocks(&s->map, 1), 0);
		unsigned n = 1;

		assert_int_equal(map_write(tx, &s->map, FORK_DATA, i * 2, 1, i % 2 ? MAP_UNWRITTEN : 0, 0, &out, &n),
				 0);
		assert_int_equal(n, 1);
		scratch_commit(s, tx);
	}
}

static struct xfs_dinode *encoded(struct scratch *s)
{
	struct xfs_dinode *dip = calloc(1, s->geo.inode_bytes);

	read_inode(s, dip);
	fork_encode(&s->map, FORK_DATA, dip);
	fork_encode(&s->map, FORK_ATTR, dip);
	return dip;
}

/* Decodes and loads; what comes out must be usable. */
static int try_decode(struct scratch *s, const struct xfs_dinode *dip, struct file_map *map)
{
	int err;

	map_init(map, s->space, s->ino, &s->lock, &s->item);
	err = map_decode(map, dip);
	rwlock_write_lock(&s->lock);
	if (!err)
		err = map_load(map, FORK_DATA);
	if (!err)
		err = map_load(map, FORK_ATTR);
	rwlock_write_unlock(&s->lock);
	return err;
}

static void expect_same(const struct file_map *a, const struct file_map *b)
{
	fileblk_t pos_a = 0, pos_b = 0;
	struct extent ext_a, ext_b;

	while (map_next(a, FORK_DATA, &pos_a, &ext_a)) {
		assert_true(map_next(b, FORK_DATA, &pos_b, &ext_b));
		assert_true(ext_a.off == ext_b.off && ext_a.count == ext_b.count && ext_a.state == ext_b.state &&
			    fsblk_equal(ext_a.start, ext_b.start));
	}
	assert_false(map_next(b, FORK_DATA, &pos_b, &ext_b));
	assert_int_equal(a->data.extent_count, b->data.extent_count);
	assert_int_equal(a->block_count, b->block_count);
}

/* Inline list and tree read back as they were written. */
static void encoded_forks_decode_to_the_same(void **state)
{
	static const unsigned sizes[] = { 0, 7, 21, 22, EXTENTS };
	struct file_map copy;
	struct scratch s;

	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
		struct xfs_dinode *dip;

		scratch_open(&s, 512 * MIB, "-b size=1024");
		fill(&s, sizes[i]);
		assert_int_equal(log_quiesce(s.log), 0);
		dip = encoded(&s);
		assert_int_equal(try_decode(&s, dip, &copy), 0);
		expect_same(&s.map, &copy);
		map_deinit(&copy, false);
		free(dip);
		scratch_close(&s);
	}
}

/* Delayed extents are nobody's business on disk or in the log. */
static void delayed_extents_are_not_encoded(void **state)
{
	struct xfs_bmbt_rec recs[21];
	struct extent got;
	struct scratch s;
	uint32_t flag;

	scratch_open(&s, 512 * MIB, "");
	fill(&s, 3);
	rwlock_write_lock(&s.lock);
	assert_int_equal(delay_reserve(&s.map, FORK_DATA, 1, 1, 0, &got), 0);
	rwlock_write_unlock(&s.lock);
	assert_int_equal(fork_log_bytes(&s.map, FORK_DATA, &flag), 3 * sizeof(recs[0]));
	assert_int_equal(flag, XFS_ILOG_DEXT);
	fork_log_fill(&s.map, FORK_DATA, recs);
	assert_int_equal(extent_decode(&recs[1]).off, 2);
	assert_int_equal(fork_log_bytes(&s.map, FORK_ATTR, &flag), 0);
	rwlock_write_lock(&s.lock);
	delay_punch(&s.map, FORK_DATA, 0, UINT64_MAX);
	rwlock_write_unlock(&s.lock);
	scratch_close(&s);
}

/* A root in the log stands as the kernel's recovery expects: pointers right behind the keys in use. */
static void logged_root_is_tight(void **state)
{
	struct scratch s;
	uint32_t flag, bytes, n;
	struct xfs_btree_block *root;
	__be64 *keys;

	scratch_open(&s, 512 * MIB, "-b size=1024");
	fill(&s, 300);
	n = be16_to_cpu(s.map.data.root->block.bb_numrecs);
	bytes = fork_log_bytes(&s.map, FORK_DATA, &flag);
	assert_int_equal(flag, XFS_ILOG_DBROOT);
	assert_int_equal(bytes, 72 + n * 16);
	root = malloc(bytes);
	fork_log_fill(&s.map, FORK_DATA, root);
	keys = (__be64 *)(void *)((char *)root + 72);
	assert_int_equal(be32_to_cpu(root->bb_magic), XFS_BMAP_CRC_MAGIC);
	assert_int_equal(be64_to_cpu(keys[0]), 0);
	assert_memory_equal(&keys[n], btree_iroot_ptr(s.map.data.root, 1), n * 8);
	free(root);
	scratch_close(&s);
}

/* Inline bytes: kept, padded, resized; device numbers. */
static void inline_bytes_come_back(void **state)
{
	struct file_map copy;
	struct scratch s;
	struct xfs_dinode *dip;
	char region[8];
	uint32_t flag;

	scratch_open(&s, 512 * MIB, "");
	map_init(&copy, s.space, s.ino, &s.lock, &s.item);
	fork_set_local(&copy, FORK_DATA, "hello", 5);
	assert_int_equal(fork_log_bytes(&copy, FORK_DATA, &flag), 8);
	assert_int_equal(flag, XFS_ILOG_DDATA);
	memset(region, 'x', sizeof(region));
	fork_log_fill(&copy, FORK_DATA, region);
	assert_memory_equal(region, "hello\0\0\0", 8);
	fork_local_resize(&copy, FORK_DATA, 7);
	assert_memory_equal(copy.data.local, "hello\0\0", 7);
	fork_local_resize(&copy, FORK_DATA, 2);
	dip = calloc(1, s.geo.inode_bytes);
	fork_encode(&copy, FORK_DATA, dip);
	dip->di_size = cpu_to_be64(2);
	map_deinit(&copy, false);

	assert_int_equal(try_decode(&s, dip, &copy), 0);
	assert_int_equal(copy.data.format, FORK_LOCAL);
	assert_int_equal(copy.data.local_bytes, 2);
	assert_memory_equal(copy.data.local, "he", 2);
	fork_set_extents(&copy, FORK_DATA);
	fork_set_device(&copy, 0x12345);
	fork_encode(&copy, FORK_DATA, dip);
	map_deinit(&copy, false);
	assert_int_equal(try_decode(&s, dip, &copy), 0);
	assert_int_equal(copy.data.format, FORK_DEVICE);
	assert_int_equal(copy.data.dev, 0x12345);
	map_deinit(&copy, false);
	free(dip);
	scratch_close(&s);
}

/* Where the attr fork may start, as xfs_attr_shortform_bytesfit says. */
static void splits_follow_the_kernel(void **state)
{
	struct file_map map;
	struct scratch s;
	uint32_t split;

	scratch_open(&s, 512 * MIB, "");
	map_init(&map, s.space, s.ino, &s.lock, &s.item);
	assert_int_equal(map_default_split(&map), 192);
	/* 336 bytes behind the core; an attr fork keeps 36 for its root, a data fork 52. */
	assert_true(map_can_split(&map, 20, &split));
	assert_int_equal(split, 296);
	assert_true(map_can_split(&map, 100, &split));
	assert_int_equal(split, 232);
	assert_true(map_can_split(&map, 280, &split));
	assert_int_equal(split, 56);
	assert_false(map_can_split(&map, 281, &split));
	assert_false(map_can_split(&map, 1000, &split));
	fork_set_local(&map, FORK_DATA, NULL, 200);
	assert_true(map_can_split(&map, 136, &split));
	assert_int_equal(split, 200);
	assert_false(map_can_split(&map, 137, &split));
	fork_set_device(&map, 1);
	assert_int_equal(map_default_split(&map), 8);
	assert_true(map_can_split(&map, 300, &split));
	assert_int_equal(split, 8);
	map_deinit(&map, false);
	scratch_close(&s);
}

/* ---- hostile ---- */

/* Whatever the bytes of an inode are: a map that holds together, or -EFSCORRUPTED with a reason. */
static void damaged_inodes_are_refused_or_sound(void **state)
{
	static const unsigned sizes[] = { 15, EXTENTS };
	uint64_t seed = 11;
	unsigned refused = 0;

	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
		struct file_map copy;
		struct scratch s;
		struct xfs_dinode *good, *bad;

		scratch_open(&s, 512 * MIB, "-b size=1024");
		fill(&s, sizes[i]);
		assert_int_equal(log_quiesce(s.log), 0);
		good = encoded(&s);
		bad = malloc(s.geo.inode_bytes);
		message_set_sink(count_complaint, NULL);
		for (unsigned round = 0; round < 3000; round++) {
			unsigned before = complaints;
			int err;

			memcpy(bad, good, s.geo.inode_bytes);
			for (unsigned n = 1 + (unsigned)random_below(&seed, 3); n; n--) {
				uint64_t first = random_below(&seed, 3) ? sizeof(*bad) : 0;
				uint64_t at = first +
					      random_below(&seed, (first ? s.geo.inode_bytes : sizeof(*bad)) - first);

				((uint8_t *)bad)[at] ^= (uint8_t)(1u << random_below(&seed, 8));
			}
			err = try_decode(&s, bad, &copy);
			assert_true(err == 0 || err == -EFSCORRUPTED || err == -EFSBADCRC || err == -EIO);
			if (err) {
				refused++;
				assert_true(complaints > before);
			} else {
				assert_null(tree_verify(&copy.data.tree));
			}
			map_deinit(&copy, true);
		}
		message_set_sink(NULL, NULL);
		free(good);
		free(bad);
		scratch_close(&s);
	}
	assert_true(refused > 1000);
}

struct blocks {
	struct fsblk at[MAX_BLOCKS];
	unsigned level[MAX_BLOCKS];
	unsigned count;
};

static void read_block(struct scratch *s, struct fsblk b, void *data)
{
	assert_int_equal(device_read(s->dev, fsblk_to_bytes(&s->geo, b), data, s->geo.block_bytes), 0);
}

static void write_block(struct scratch *s, struct fsblk b, void *data)
{
	block_seal(&block_bmbt, &s->geo, data, s->geo.block_bytes, 0);
	assert_int_equal(device_write(s->dev, fsblk_to_bytes(&s->geo, b), data, s->geo.block_bytes, 0), 0);
}

static __be64 *node_ptr(struct scratch *s, void *data, unsigned index)
{
	return (__be64 *)(void *)((char *)data + 72 + s->geo.bmbt.max_node * 8) + index;
}

static void collect(struct scratch *s, struct fsblk b, unsigned level, struct blocks *out)
{
	uint8_t data[1024] __attribute__((aligned(8)));

	out->at[out->count] = b;
	out->level[out->count++] = level;
	read_block(s, b, data);
	if (!level)
		return;
	for (unsigned i = 0; i < be16_to_cpu(((struct xfs_btree_block *)(void *)data)->bb_numrecs); i++)
		collect(s, (struct fsblk){ be64_to_cpu(*node_ptr(s, data, i)) }, level - 1, out);
}

static void collect_all(struct scratch *s, struct blocks *out)
{
	struct btree_iroot *root = s->map.data.root;
	unsigned level = be16_to_cpu(root->block.bb_level);

	out->count = 0;
	for (unsigned i = 1; i <= be16_to_cpu(root->block.bb_numrecs); i++)
		collect(s, (struct fsblk){ be64_to_cpu(*btree_iroot_ptr(root, i)) }, level - 1, out);
}

static int reload(struct scratch *s, const struct xfs_dinode *dip, struct fsblk b, void *data)
{
	uint8_t saved[1024] __attribute__((aligned(8)));
	struct file_map copy;
	int err;

	read_block(s, b, saved);
	write_block(s, b, data);
	buffer_cache_drop(s->cache);
	err = try_decode(s, dip, &copy);
	if (!err)
		assert_null(tree_verify(&copy.data.tree));
	map_deinit(&copy, true);
	assert_int_equal(device_write(s->dev, fsblk_to_bytes(&s->geo, b), saved, s->geo.block_bytes, 0), 0);
	buffer_cache_drop(s->cache);
	return err;
}

/* Trees that lead in circles, skip levels or count wrongly are refused; random damage never does harm. */
static void damaged_trees_are_refused_or_sound(void **state)
{
	struct xfs_btree_block *block;
	struct xfs_dinode *dip;
	struct blocks blocks;
	uint8_t data[1024] __attribute__((aligned(8)));
	struct scratch s;
	uint64_t seed = 5;

	scratch_open(&s, 512 * MIB, "-b size=1024");
	fill(&s, EXTENTS);
	assert_int_equal(log_quiesce(s.log), 0);
	dip = encoded(&s);
	collect_all(&s, &blocks);
	assert_true(blocks.level[0] == 1 && blocks.count > 20);
	message_set_sink(count_complaint, NULL);
	block = (void *)data;

	/* A node that is its own child. */
	read_block(&s, blocks.at[0], data);
	*node_ptr(&s, data, 2) = cpu_to_be64(blocks.at[0].v);
	assert_int_equal(reload(&s, dip, blocks.at[0], data), -EFSCORRUPTED);
	/* A child that is there twice. */
	read_block(&s, blocks.at[0], data);
	*node_ptr(&s, data, 2) = *node_ptr(&s, data, 1);
	assert_int_equal(reload(&s, dip, blocks.at[0], data), -EFSCORRUPTED);
	/* A leaf that is its own neighbour. */
	read_block(&s, blocks.at[2], data);
	block->bb_u.l.bb_rightsib = cpu_to_be64(blocks.at[2].v);
	assert_int_equal(reload(&s, dip, blocks.at[2], data), -EFSCORRUPTED);
	/* One record too few for the inode's count. */
	read_block(&s, blocks.at[blocks.count - 1], data);
	block->bb_numrecs = cpu_to_be16(be16_to_cpu(block->bb_numrecs) - 1u);
	assert_int_equal(reload(&s, dip, blocks.at[blocks.count - 1], data), -EFSCORRUPTED);
	/* Another file's. */
	read_block(&s, blocks.at[2], data);
	block->bb_u.l.bb_owner = cpu_to_be64(s.ino.v + 1);
	assert_int_equal(reload(&s, dip, blocks.at[2], data), -EFSCORRUPTED);

	for (unsigned round = 0; round < 1500; round++) {
		struct fsblk b = blocks.at[random_below(&seed, blocks.count)];
		int err;

		read_block(&s, b, data);
		for (unsigned n = 1 + (unsigned)random_below(&seed, 3); n; n--)
			data[random_below(&seed, random_below(&seed, 2) ? 72 : sizeof(data))] ^=
				(uint8_t)(1u << random_below(&seed, 8));
		err = reload(&s, dip, b, data);
		assert_true(err == 0 || err == -EFSCORRUPTED || err == -EFSBADCRC || err == -EIO);
	}
	message_set_sink(NULL, NULL);
	free(dip);
	scratch_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(encoded_forks_decode_to_the_same),
		scratch_test(delayed_extents_are_not_encoded),
		scratch_test(logged_root_is_tight),
		scratch_test(inline_bytes_come_back),
		scratch_test(splits_follow_the_kernel),
		scratch_test(damaged_inodes_are_refused_or_sound),
		scratch_test(damaged_trees_are_refused_or_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
