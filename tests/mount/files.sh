#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What system calls do to files (files.py), with the different ways to use the kernel's page cache; as root also on the
# kernel's XFS, which must pass the same tests.
#
# parts: default dio writeback kernel
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"

make_image image 400m -m rmapbt=1
case ${1:?part} in
kernel)
	need_kernel_xfs
	mount_kernel "$work/image" "$work/mnt"
	"$python" "$tests_dir/files.py" "$work/mnt"
	unmount_kernel "$work/mnt"
	;;
*)
	options=$1
	[ "$1" = default ] && options=
	is_root && options=${options:+$options,}suid,dev
	chmod 755 "$work"
	mount_userxfs "$work/image" "$work/mnt" "$options"
	MODE=$1 "$python" "$tests_dir/files.py" "$work/mnt"
	unmount_userxfs "$work/mnt"
	;;
esac
check_image "$work/image"
