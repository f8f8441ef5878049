// SPDX-License-Identifier: GPL-2.0
/* Directories, attributes and symlink targets inside an inode, made by hand. */
#include "format_test.h"

static struct mapped_image image;

static int create_image(void **state)
{
	mapped_image_create(&image, 300ull << 20, "-b size=4096 -d agcount=4");
	return 0;
}

static int remove_image(void **state)
{
	mapped_image_remove(&image);
	return 0;
}

/* A short form under construction. */
struct builder {
	uint8_t bytes[512];
	size_t used;
};

static void add(struct builder *b, const void *p, size_t bytes)
{
	memcpy(b->bytes + b->used, p, bytes);
	b->used += bytes;
}

static void add_number(struct builder *b, uint64_t v, unsigned bytes)
{
	for (unsigned i = bytes; i--;)
		b->bytes[b->used++] = (uint8_t)(v >> 8 * i);
}

static void start_directory(struct builder *b, uint8_t count, uint8_t wide, uint64_t parent)
{
	*b = (struct builder){ 0 };
	add_number(b, count, 1);
	add_number(b, wide, 1);
	add_number(b, parent, wide ? 8 : 4);
}

static void add_name(struct builder *b, const char *name, uint16_t off, uint64_t ino, unsigned ino_bytes)
{
	add_number(b, strlen(name), 1);
	add_number(b, off, 2);
	add(b, name, strlen(name));
	add_number(b, XFS_DIR3_FT_REG_FILE, 1);
	add_number(b, ino, ino_bytes);
}

/* Two names, as mkfs's root directory would have them: the first behind "." and "..", at 96. */
static void good_directory(struct builder *b)
{
	uint64_t root = image.geo.root.v;

	start_directory(b, 2, 0, root);
	add_name(b, "one", 96, root + 3, 4);
	add_name(b, "second", 120, root + 4, 4);
}

static const char *verify_directory(const struct builder *b)
{
	/* In an allocation of exactly its size, so that a sanitizer sees a byte too many. */
	uint8_t *exact = malloc(b->used);
	const char *reason;

	memcpy(exact, b->bytes, b->used);
	reason = dir_sf_verify(&image.geo, image.geo.root, exact, b->used);
	free(exact);
	return reason;
}

static void good_directories_verify(void **state)
{
	struct builder b;

	good_directory(&b);
	assert_null(verify_directory(&b));
	start_directory(&b, 0, 0, image.geo.root.v);
	assert_null(verify_directory(&b));
}

/* No prefix of a directory is a directory, and none is read beyond its end. */
static void truncated_directories_are_refused(void **state)
{
	struct builder b;

	good_directory(&b);
	for (size_t n = b.used; n-- > 1;) {
		b.used = n;
		assert_non_null(verify_directory(&b));
	}
}

static void impossible_directories_are_refused(void **state)
{
	uint64_t root = image.geo.root.v;
	struct builder b;

	good_directory(&b);
	b.bytes[0] = 3;					/* a name that is not there */
	assert_non_null(verify_directory(&b));
	good_directory(&b);
	b.bytes[6] = 0;					/* name without length */
	assert_non_null(verify_directory(&b));
	good_directory(&b);
	b.bytes[12] = XFS_DIR3_FT_MAX;
	assert_string_equal(verify_directory(&b), "name with an unknown file type");

	start_directory(&b, 1, 0, 5);			/* parent among the AG headers */
	add_name(&b, "x", 96, root + 3, 4);
	assert_string_equal(verify_directory(&b), "impossible parent");
	start_directory(&b, 1, 0, root);
	add_name(&b, "x", 96, image.geo.internal[0].v, 4);
	assert_string_equal(verify_directory(&b), "name of an impossible inode");
	start_directory(&b, 1, 0, root);
	add_name(&b, "x", 95, root + 3, 4);		/* where ".." still is */
	assert_string_equal(verify_directory(&b), "names out of order");
	start_directory(&b, 1, 0, root);
	add_name(&b, "x", 4090, root + 3, 4);
	assert_string_equal(verify_directory(&b), "names that would not fit a block");
}

/* Wide numbers are used exactly when one is needed, and counted. */
static void wide_numbers_are_counted(void **state)
{
	struct geometry geo = image.geo;
	struct inum far;
	struct builder b;

	/* The same volume, had it 256 AGs of 1 TiB. */
	geo.agino_log = 31;
	geo.agblk_log = 28;
	geo.ag_count = 256;
	geo.ag_blocks = 1u << 28;
	geo.blocks = 256ull << 28;
	far = inum_make(&geo, 200, geo.root.v & 0xffff);

	start_directory(&b, 2, 1, geo.root.v);
	add_name(&b, "far", 96, far.v, 8);
	add_name(&b, "near", 120, geo.root.v + 3, 8);
	assert_null(dir_sf_verify(&geo, geo.root, b.bytes, b.used));
	b.bytes[1] = 2;
	assert_string_equal(dir_sf_verify(&geo, geo.root, b.bytes, b.used), "wrong count of wide inode numbers");
}

static void start_attributes(struct builder *b, uint16_t total, uint8_t count)
{
	*b = (struct builder){ 0 };
	add_number(b, total, 2);
	add_number(b, count, 1);
	add_number(b, 0, 1);
}

static void add_attribute(struct builder *b, uint8_t flags, const char *name, const char *value)
{
	add_number(b, strlen(name), 1);
	add_number(b, strlen(value), 1);
	add_number(b, flags, 1);
	add(b, name, strlen(name));
	add(b, value, strlen(value));
}

static void good_attributes(struct builder *b)
{
	start_attributes(b, 4 + 3 + 4 + 5 + 3 + 3 + 0, 2);
	add_attribute(b, 0, "name", "value");
	add_attribute(b, XFS_ATTR_SECURE, "sel", "");
}

static const char *verify_attributes(const struct builder *b, size_t bytes)
{
	uint16_t *exact = malloc(bytes);
	const char *reason;

	memcpy(exact, b->bytes, bytes);
	reason = attr_sf_verify(exact, bytes);
	free(exact);
	return reason;
}

static void good_attributes_verify(void **state)
{
	struct builder b;

	good_attributes(&b);
	assert_null(verify_attributes(&b, b.used));
	assert_null(verify_attributes(&b, b.used + 40));	/* the fork may have room left */
	start_attributes(&b, 4, 0);
	assert_null(verify_attributes(&b, b.used));
}

/* Neither a fork too small nor a total too small makes the verifier read on. */
static void truncated_attributes_are_refused(void **state)
{
	struct builder b;

	good_attributes(&b);
	for (size_t n = b.used; n-- > 1;) {
		assert_non_null(verify_attributes(&b, n));
		b.bytes[1] = (uint8_t)n;
		assert_non_null(verify_attributes(&b, n));
		b.bytes[1] = (uint8_t)b.used;
	}
}

static void impossible_attributes_are_refused(void **state)
{
	struct builder b;

	start_attributes(&b, 4 + 3 + 1, 1);
	add_attribute(&b, XFS_ATTR_INCOMPLETE, "x", "");
	assert_string_equal(attr_sf_verify(b.bytes, b.used), "attribute with impossible flags");
	start_attributes(&b, 4 + 3 + 1, 1);
	add_attribute(&b, XFS_ATTR_ROOT | XFS_ATTR_SECURE, "x", "");
	assert_string_equal(attr_sf_verify(b.bytes, b.used), "attribute with impossible flags");
	start_attributes(&b, 4 + 3, 1);
	add_attribute(&b, 0, "", "");
	assert_non_null(attr_sf_verify(b.bytes, b.used));
}

static void symlink_targets_are_checked(void **state)
{
	char target[XFS_SYMLINK_MAXLEN];

	memset(target, 'a', sizeof(target));
	assert_null(symlink_local_verify(target, 1));
	assert_null(symlink_local_verify(target, XFS_SYMLINK_MAXLEN - 1));
	assert_non_null(symlink_local_verify(target, XFS_SYMLINK_MAXLEN));
	assert_non_null(symlink_local_verify(target, 0));
	target[2] = '\0';
	assert_null(symlink_local_verify(target, 2));
	assert_non_null(symlink_local_verify(target, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_directories_verify),
		cmocka_unit_test(truncated_directories_are_refused),
		cmocka_unit_test(impossible_directories_are_refused),
		cmocka_unit_test(wide_numbers_are_counted),
		cmocka_unit_test(good_attributes_verify),
		cmocka_unit_test(truncated_attributes_are_refused),
		cmocka_unit_test(impossible_attributes_are_refused),
		cmocka_unit_test(symlink_targets_are_checked),
	};

	return cmocka_run_group_tests(tests, create_image, remove_image);
}
