#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Several processes at once create, write, map, truncate, rename and remove, in directories of their own and in shared ones, while
# memory is scarce; then everything is checked here, after a remount and through the kernel.
#
# parts: plain small-cache rmapbt-1k
# not-under: release
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"

seconds=10
processes="1 2 3 4"
options= mkfs=
case ${1:?part} in
small-cache) options=cache_size=8m ;;
rmapbt-1k) mkfs="-m rmapbt=1 -b size=1024 -d agcount=8" ;;
esac

# all WHAT: every process at once.
all()
{
	local number pids=() pid
	for number in $processes; do
		"$python" "$tests_dir/stress_mt.py" "$work/mnt" "$number" "$1" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || fail "a process has found something wrong"
	done
}

# shellcheck disable=SC2086
make_image image 1g $mkfs
mount_userxfs "$work/image" "$work/mnt" $options
all $seconds
unmount_userxfs "$work/mnt"
check_image "$work/image"
mount_userxfs "$work/image" "$work/mnt" $options
# The manifest first: once read, unwritten blocks are data for SEEK_DATA in the kernel.
manifest --without blocks "$work/mnt" >"$work/by-userxfs"
all check
unmount_userxfs "$work/mnt"
check_image "$work/image"
if is_root; then
	mount_kernel "$work/image" "$work/mnt" ro
	manifest --without blocks "$work/mnt" >"$work/by-kernel"
	all check
	unmount_kernel "$work/mnt"
	same_files "the tree" "$work/by-kernel" "$work/by-userxfs"
fi
