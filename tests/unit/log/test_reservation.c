/* SPDX-License-Identifier: GPL-2.0 */
/* The reservations are XFS's: xfs_db prints its own. */
#include "fixture.h"

/* Their places in what "xfs_db -c logres" prints (struct xfs_trans_resv). */
static const struct {
	const char *name;
	size_t off;
	unsigned type;
} rows[] = {
#define ROW(name, type) { #name, offsetof(struct tx_reservations, name), type }
	ROW(write, 0), ROW(truncate, 1), ROW(rename, 2), ROW(link, 3), ROW(remove, 4), ROW(symlink, 5),
	ROW(create, 6), ROW(create_tmpfile, 7), ROW(mkdir, 8), ROW(inode_free, 9), ROW(inode_change, 10),
	ROW(attr_add_fork, 12), ROW(attr_remove, 17), ROW(superblock, 24),
#undef ROW
};

static void read_geometry(const char *path, struct geometry *geo)
{
	struct device_options options = { .read_only = true, .engine = DEVICE_ENGINE_SYNC };
	struct device *dev;
	char sb[4096], why[256];

	assert_int_equal(device_open(path, &options, &dev), 0);
	assert_int_equal(device_read(dev, 0, sb, sizeof(sb)), 0);
	assert_int_equal(geometry_decode(sb, sizeof(sb), dev->size_bytes, geo, why, sizeof(why)), GEOMETRY_OK);
	device_close(dev);
}

/*
 * @exact: equal.  Else at least as large: newer versions of XFS think the reverse mapping tree of a volume with
 * shared blocks one level higher than the xfs_db that is asked.
 */
static void compare_with_xfs_db(const char *mkfs_args, bool exact)
{
	char *path = image_create(1 << 30, mkfs_args);
	struct tx_reservations res;
	struct geometry geo;
	char command[512], line[256];
	unsigned bytes[64] = { 0 }, counts[64] = { 0 };
	FILE *f;

	read_geometry(path, &geo);
	tx_reservations_init(&geo, &res);
	snprintf(command, sizeof(command), "xfs_db -r -c logres %s", path);
	f = popen(command, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned type, b, c;

		if (sscanf(line, "type %u logres %u logcount %u", &type, &b, &c) == 3 && type < 64) {
			bytes[type] = b;
			counts[type] = c;
		}
	}
	pclose(f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct tx_reservation *r = (const void *)((const char *)&res + rows[i].off);

		unsigned count = counts[rows[i].type] ? counts[rows[i].type] : 1;

		if (exact ? r->log_bytes != bytes[rows[i].type] : r->log_bytes < bytes[rows[i].type])
			fail_msg("%s: %s: %u, XFS %u", mkfs_args, rows[i].name, r->log_bytes, bytes[rows[i].type]);
		assert_int_equal(r->log_count, count);
	}
	/* An attribute takes a fixed part and one for each block. */
	assert_true(res.attr_set.log_bytes >= bytes[15] + bytes[16]);
	image_remove(path);
}

static void reservations_equal_xfs_ones(void **state)
{
	compare_with_xfs_db("", true);
	compare_with_xfs_db("-m reflink=0,rmapbt=0,finobt=0", true);
	compare_with_xfs_db("-m rmapbt=1,reflink=1 -d agcount=8", false);
	compare_with_xfs_db("-b size=1024 -m rmapbt=1", false);
	compare_with_xfs_db("-n size=16k -i size=1024", true);
	compare_with_xfs_db("-s size=4096 -n size=64k", true);
}

/* The smallest log mkfs.xfs makes is large enough for every chain. */
static void smallest_log_is_large_enough(void **state)
{
	static const char *const args[] = {
		"", "-b size=1024", "-m rmapbt=1,reflink=1", "-l su=64k,version=2", "-s size=4096",
		"-n size=64k -m rmapbt=1",
		"-i size=1024 -b size=2048",
	};

	for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
		struct fixture f;
		char *path = image_create(1 << 30, "");
		unsigned mib;

		/* mkfs.xfs refuses what is too small. */
		for (mib = 1; mib < 128; mib++) {
			if (image_shell("mkfs.xfs --unsupported -q -f -d agcount=2 %s -l size=%um %s >/dev/null 2>&1",
					args[i], mib, path) == 0)
				break;
		}
		assert_true(mib < 128);
		f = (struct fixture){ .path = path };
		fixture_mount(&f, NULL);
		fixture_commit_label(&f, "small");
		fixture_unmount(&f);
		assert_repair_clean(&f);
		fixture_remove(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reservations_equal_xfs_ones),
		cmocka_unit_test(smallest_log_is_large_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
