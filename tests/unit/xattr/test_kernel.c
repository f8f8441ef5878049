// SPDX-License-Identifier: GPL-2.0
/* The kernel's XFS and this room read each other's attributes and ACLs alike, in all forms. */
#include "xattr_test.h"

#include "../dir/kernel_mount.h"

static const char *const cases[] = { "", "-b size=1024", "-i size=2048", "-m rmapbt=1,reflink=0 -i nrext64=1" };
static const char *const objects[] = { "none", "short", "leaf", "node", "remote", "mixed", "dir" };
#define OBJECTS (sizeof(objects) / sizeof(objects[0]))

static uint8_t ours[65536], theirs[65536];

static const char *kernel_path(const char *object)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", kernel_dir, object);
	return path;
}

/* The values are functions of the name, so that both sides can make them. */
static const char kernel_script[] =
	"set -e; cd %s; touch none short leaf node remote mixed; mkdir dir\n"
	"python3 - <<'END'\n"
	"import os\n"
	"def put(o, n, size): os.setxattr(o, n, bytes((i * 7 + len(n)) & 255 for i in range(size)))\n"
	"def fill(o, n, size, sizes=None):\n"
	"    for i in range(n):\n"
	"        space = ('user', 'trusted', 'security')[i %% 3]\n"
	"        put(o, '%%s.%%d%%s' %% (space, i, 'n' * (i %% 30)), size if not sizes else sizes[i %% len(sizes)])\n"
	"fill('short', 3, 10)\n"
	"fill('leaf', 12, 40)\n"
	"fill('node', 400, 100)\n"
	"fill('remote', 3, 65536, [65536, 5000, 20000])\n"
	"fill('mixed', 200, 0, [0, 10, 300, 3000, 30000])\n"
	"fill('dir', 20, 0, [0, 10, 300, 3000, 30000])\n"
	"for i in range(0, 200, 3): os.removexattr('mixed', 'user.%%d%%s' %% (i, 'n' * (i %% 30)))\n"
	"END\n";

static const char change_script[] =
	"cd %s && python3 -c 'import os\n"
	"for o in \"short leaf node remote mixed dir\".split():\n"
	"    for i, n in enumerate(os.listxattr(o)):\n"
	"        if i %% 2: os.removexattr(o, n)\n"
	"        else: os.setxattr(o, n, bytes(i * 50 %% 9000))'";

/* Compares all of an object's attributes with the kernel's; the kernel has the image mounted read-only beside us. */
static void assert_same_attributes(struct xattr_test *t, const char *object)
{
	size_t list_length, their_length, length, seen = 0;
	static char list[65536], their_list[65536];
	struct inode *inode = get_object(t, object);
	ssize_t got;

	assert_int_equal(xattr_list(inode, true, list, sizeof(list), &list_length), 0);
	got = listxattr(kernel_path(object), their_list, sizeof(their_list));
	assert_true(got >= 0);
	their_length = (size_t)got;
	/* Some systems make up security attributes of their own; here every one is on the disk. */
	assert_int_equal(list_length, their_length);
	assert_memory_equal(list, their_list, list_length);
	for (char *p = list; p < list + list_length; p += strlen(p) + 1, seen++) {
		if (!strncmp(p, "system.", 7))
			continue;
		assert_int_equal(get_attr(inode, p, ours, sizeof(ours), &length), 0);
		got = getxattr(kernel_path(object), p, theirs, sizeof(theirs));
		assert_int_equal(got, (ssize_t)length);
		assert_memory_equal(ours, theirs, length);
	}
	inode_put(inode);
}

/* The image is ours and the kernel's at once: neither writes. */
static void compare_all(struct xattr_test *t)
{
	char *copy;

	assert_true(asprintf(&copy, "%s.copy", t->image) > 0);
	assert_int_equal(image_shell("cp --sparse=always %s %s", t->image, copy), 0);
	kernel_mount(copy);
	xattr_test_mount(t);
	for (unsigned i = 0; i < OBJECTS; i++)
		assert_same_attributes(t, objects[i]);
	xattr_test_unmount(t);
	kernel_unmount();
	unlink(copy);
	free(copy);
}

static void attributes_of_the_kernel_read_alike(void **state)
{
	NEED_KERNEL();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xattr_test t = { 0 };

		print_message("mkfs.xfs %s\n", cases[i]);
		t.image = image_create(300ull << 20, cases[i]);
		kernel_mount(t.image);
		assert_int_equal(image_shell(kernel_script, kernel_dir), 0);
		kernel_unmount();
		compare_all(&t);
		assert_int_equal(image_check(t.image), 0);
		image_remove(t.image);
	}
}

static void fill(struct inode *inode, unsigned count, const uint32_t *sizes, unsigned kinds)
{
	static const char *const spaces[] = { "user", "trusted", "security" };
	static uint8_t value[65536];
	char name[300];

	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s.%u%.*s", spaces[i % 3], i, (int)(i % 30),
			 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
		for (uint32_t k = 0; k < sizeof(value); k++)
			value[k] = (uint8_t)(k * 13 + i);
		assert_int_equal(set_attr(inode, name, value, sizes[i % kinds], 0), 0);
	}
}

static void attributes_of_ours_are_the_kernels(void **state)
{
	static const uint32_t small[] = { 10 }, medium[] = { 100 }, large[] = { 65536, 5000, 20000 },
			      mixed[] = { 0, 10, 300, 3000, 30000 };

	NEED_KERNEL();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct inode *inodes[OBJECTS];
		struct xattr_test t;

		print_message("mkfs.xfs %s\n", cases[i]);
		xattr_test_start(&t, cases[i]);
		for (unsigned k = 0; k < OBJECTS; k++)
			inodes[k] = make_object(&t, objects[k], k == OBJECTS - 1 ? S_IFDIR | 0755 : S_IFREG | 0644);
		fill(inodes[1], 3, small, 1);
		fill(inodes[2], 12, medium, 1);
		fill(inodes[3], 400, medium, 1);
		fill(inodes[4], 3, large, 3);
		fill(inodes[5], 200, mixed, 5);
		fill(inodes[6], 20, mixed, 5);
		for (unsigned k = 0; k < OBJECTS; k++)
			inode_put(inodes[k]);
		xattr_test_unmount(&t);
		assert_int_equal(image_check(t.image), 0);
		compare_all(&t);

		/* The kernel changes them; we read again. */
		kernel_mount(t.image);
		assert_int_equal(image_shell(change_script, kernel_dir), 0);
		kernel_unmount();
		compare_all(&t);
		assert_int_equal(image_check(t.image), 0);
		image_remove(t.image);
	}
}

/* An ACL set by the kernel reads as the same bytes, and the other way round. */
static void acls_are_the_kernels(void **state)
{
	struct xattr_test t = { 0 };
	struct inode *inode;
	size_t length;
	ssize_t got;

	NEED_KERNEL();
	if (image_shell("command -v setfacl >/dev/null")) {
		print_message("needs setfacl\n");
		skip();
	}
	t.image = image_create(300ull << 20, "");
	kernel_mount(t.image);
	assert_int_equal(image_shell("cd %s && mkdir a b && setfacl -m u:1234:rwx,g:77:rx,m:rw a && "
				     "setfacl -d -m u:5:rw a", kernel_dir), 0);
	got = getxattr(kernel_path("a"), "system.posix_acl_access", theirs, sizeof(theirs));
	assert_true(got > 0);
	kernel_unmount();

	xattr_test_mount(&t);
	inode = get_object(&t, "a");
	assert_int_equal(acl_get(inode, ACL_KIND_ACCESS, ours, sizeof(ours), &length), 0);
	assert_int_equal(length, got);
	assert_memory_equal(ours, theirs, length);
	assert_int_equal(acl_get(inode, ACL_KIND_DEFAULT, ours, sizeof(ours), &length), 0);
	inode_put(inode);
	inode = get_object(&t, "b");
	assert_int_equal(acl_set(inode, ACL_KIND_DEFAULT, ours, length), 0);
	assert_int_equal(acl_set(inode, ACL_KIND_ACCESS, theirs, (size_t)got), 0);
	inode_put(inode);
	xattr_test_unmount(&t);
	assert_int_equal(image_check(t.image), 0);

	kernel_mount(t.image);
	assert_int_equal(image_shell("cd %s && getfacl -n a | tail -n +2 >a.acl; getfacl -n b | tail -n +2 >b.acl; "
				     "cmp a.acl b.acl && test $(stat -c %%a a) = $(stat -c %%a b)", kernel_dir), 0);
	kernel_unmount();
	image_remove(t.image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(attributes_of_the_kernel_read_alike, kernel_teardown),
		cmocka_unit_test_teardown(attributes_of_ours_are_the_kernels, kernel_teardown),
		cmocka_unit_test_teardown(acls_are_the_kernels, kernel_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
