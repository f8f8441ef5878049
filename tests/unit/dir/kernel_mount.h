/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Mounting an image with the kernel's XFS, for tests that run as root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "image.h"

static char kernel_dir[] = "/var/tmp/userxfs-kernel-XXXXXX";
static bool is_kernel_mounted;

/* Where a test cannot run it skips and says so; as root with kernel XFS it must run. */
#define NEED_KERNEL() \
	do { \
		if (geteuid()) { \
			print_message("needs root to mount with the kernel\n"); \
			skip(); \
		} \
		if (image_shell("grep -qw xfs /proc/filesystems || modprobe -q xfs")) { \
			print_message("needs a kernel with XFS\n"); \
			skip(); \
		} \
	} while (0)

static inline void kernel_mount(const char *image)
{
	assert_non_null(mkdtemp(kernel_dir));
	if (image_shell("mount -t xfs -o loop %s %s", image, kernel_dir)) {
		rmdir(kernel_dir);
		fail_msg("the kernel does not mount the image");
	}
	is_kernel_mounted = true;
}

static inline void kernel_unmount(void)
{
	if (!is_kernel_mounted)
		return;
	assert_int_equal(image_shell("umount %s", kernel_dir), 0);
	is_kernel_mounted = false;
	rmdir(kernel_dir);
	strcpy(kernel_dir + sizeof(kernel_dir) - 7, "XXXXXX");
}

/* A teardown that leaves nothing mounted when a test has failed. */
static inline int kernel_teardown(void **state)
{
	(void)state;
	kernel_unmount();
	return 0;
}
