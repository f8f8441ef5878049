// SPDX-License-Identifier: GPL-2.0
/* The iterator alone, over mappings that the test makes up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <userxfs/base/bits.h>
#include <userxfs/iomap.h>

#define PIECE 100u

static struct {
	unsigned begins, ends;
	int fail_at;			/* begin number that fails, from 1; 0: none */
	int end_err;
	uint64_t last_off, last_asked, last_done;
	bool has_source;
} script;

static int fake_begin(struct inode *inode, uint64_t off, uint64_t count, uint32_t flags, struct iomap *map,
		      struct iomap *source)
{
	if (++script.begins == (unsigned)script.fail_at)
		return -ENOSPC;
	map->type = IOMAP_MAPPED;
	map->off_bytes = round_down_u64(off, PIECE);
	map->count_bytes = PIECE;
	if (script.has_source) {
		*source = *map;
		source->count_bytes = PIECE / 2;
	}
	return 0;
}

static int fake_end(struct inode *inode, uint64_t off, uint64_t asked, uint64_t done, uint32_t flags,
		    struct iomap *map)
{
	script.ends++;
	script.last_off = off;
	script.last_asked = asked;
	script.last_done = done;
	return script.end_err;
}

static const struct iomap_ops fake_ops = { .name = "fake", .begin = fake_begin, .end = fake_end };

static int reset(void **state)
{
	memset(&script, 0, sizeof(script));
	return 0;
}

/* Each mapping is cut to the request, ended with what was done, and the next begins there. */
static void mappings_follow_each_other_through_the_range(void **state)
{
	struct iomap_iter iter = { .off = 30, .count = 200 };
	uint64_t total = 0;
	int ret;

	while ((ret = iomap_next(&iter, &fake_ops)) > 0) {
		uint64_t n = iomap_length(&iter);

		assert_true(n <= PIECE);
		total += n;
		iter.processed = (int64_t)n;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(total, 200);
	assert_int_equal(iter.off, 230);
	assert_int_equal(script.begins, 3);
	assert_int_equal(script.ends, 3);
	assert_int_equal(script.last_off, 200);
	assert_int_equal(script.last_asked, 30);
}

/* A part of a mapping may be handled; the rest is mapped anew. */
static void a_partly_handled_mapping_is_mapped_again(void **state)
{
	struct iomap_iter iter = { .count = PIECE };

	assert_int_equal(iomap_next(&iter, &fake_ops), 1);
	iter.processed = 40;
	assert_int_equal(iomap_next(&iter, &fake_ops), 1);
	assert_int_equal(script.last_done, 40);
	assert_int_equal(iter.off, 40);
	assert_int_equal(iomap_length(&iter), 60);
	iter.processed = 60;
	assert_int_equal(iomap_next(&iter, &fake_ops), 0);
}

/* Without progress the loop ends, unless the mapping was stale: then the same place is mapped again. */
static void no_progress_ends_the_loop_but_for_stale_mappings(void **state)
{
	struct iomap_iter iter = { .count = PIECE };

	assert_int_equal(iomap_next(&iter, &fake_ops), 1);
	iter.map.flags |= IOMAP_F_STALE;
	assert_int_equal(iomap_next(&iter, &fake_ops), 1);
	assert_int_equal(iter.off, 0);
	assert_int_equal(script.last_done, 0);
	assert_int_equal(iomap_next(&iter, &fake_ops), 0);
	assert_int_equal(script.ends, 2);
}

/* The actor's error is the answer; end has heard of it as nothing done. */
static void an_error_of_the_body_is_returned_after_end(void **state)
{
	struct iomap_iter iter = { .count = PIECE };

	assert_int_equal(iomap_next(&iter, &fake_ops), 1);
	iter.processed = -EFAULT;
	assert_int_equal(iomap_next(&iter, &fake_ops), -EFAULT);
	assert_int_equal(script.ends, 1);
	assert_int_equal(script.last_done, 0);
}

static void an_error_of_begin_is_returned_without_end(void **state)
{
	struct iomap_iter iter = { .count = 2 * PIECE };

	script.fail_at = 2;
	assert_int_equal(iomap_next(&iter, &fake_ops), 1);
	iter.processed = PIECE;
	assert_int_equal(iomap_next(&iter, &fake_ops), -ENOSPC);
	assert_int_equal(script.ends, 1);
	assert_int_equal(iter.off, PIECE);
}

/* What was handled counts, even when end fails afterwards. */
static void an_error_of_end_counts_only_without_progress(void **state)
{
	struct iomap_iter iter = { .count = 2 * PIECE };

	script.end_err = -EIO;
	assert_int_equal(iomap_next(&iter, &fake_ops), 1);
	iter.processed = PIECE;
	assert_int_equal(iomap_next(&iter, &fake_ops), 1);
	assert_int_equal(iomap_next(&iter, &fake_ops), -EIO);
}

/* Data that must be read from elsewhere bound the length, too. */
static void a_source_bounds_the_length(void **state)
{
	struct iomap_iter iter = { .count = PIECE };

	script.has_source = true;
	assert_int_equal(iomap_next(&iter, &fake_ops), 1);
	assert_int_equal(iomap_length(&iter), PIECE / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(mappings_follow_each_other_through_the_range, reset),
		cmocka_unit_test_setup(a_partly_handled_mapping_is_mapped_again, reset),
		cmocka_unit_test_setup(no_progress_ends_the_loop_but_for_stale_mappings, reset),
		cmocka_unit_test_setup(an_error_of_the_body_is_returned_after_end, reset),
		cmocka_unit_test_setup(an_error_of_begin_is_returned_without_end, reset),
		cmocka_unit_test_setup(an_error_of_end_counts_only_without_progress, reset),
		cmocka_unit_test_setup(a_source_bounds_the_length, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
