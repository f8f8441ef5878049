#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Directory blocks of several filesystem blocks, on volumes whose free space is single blocks: each is one buffer in several
# pieces, and so it is logged.  Linux refuses such logs; what userxfs makes of them is judged by the kernel, which then
# mounts a clean volume, and by xfs_repair.
#
# parts: flushed unflushed killed
# not-under: asan unflushed
# not-under: release flushed
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_kernel_xfs
need_command xfs_io

part=${1:-flushed}
geometries=("-n size=16k" "-n size=64k" "-b size=1024 -n size=8k")

dirblocks()
{
	"$python" "$tests_dir/dirblocks.py" "$@"
}

# dirty_kernel IMAGE: shut down when the directories have grown and shrunk.
dirty_kernel()
{
	local flags=""
	mount_kernel "$1" "$work/k"
	[ "$part" = unflushed ] || flags=-f
	dirblocks change "$work/k" >"$work/wanted"
	xfs_io -x -c "shutdown $flags" "$work/k"
	unmount_kernel "$work/k"
}

dirty_userxfs()
{
	local mnt=$work/u
	mount_userxfs "$1" "$mnt"
	dirblocks change "$mnt" >"$work/wanted"
	kill -9 "${daemon_of[$mnt]}"
	wait "${daemon_of[$mnt]}" || true
	unset "daemon_of[$mnt]"
	umount -i -l "$mnt"
}

for geometry in "${geometries[@]}"; do
	say "$part: $geometry"
	image=$work/image
	# No trees that keep space for themselves: all that is free is in single blocks.
	# shellcheck disable=SC2086
	make_image image 96m --unsupported -d agcount=2 -m reflink=0,rmapbt=0,finobt=0 $geometry
	mount_kernel "$image" "$work/k"
	xfs_io -x -c "resblks 0" "$work/k" >"$work/resblks.log"
	dirblocks prepare "$work/k"
	unmount_kernel "$work/k"
	if [ "$part" = killed ]; then
		dirty_userxfs "$image"
	else
		dirty_kernel "$image"
	fi
	status=0
	"$USERXFS" --recover "$image" >"$work/recover.log" 2>&1 || status=$?
	tail -n 1 "$work/recover.log"
	expect "status of userxfs --recover" 1 $status
	check_sanitizers
	check_image "$image"
	mount_kernel "$image" "$work/k"
	dirblocks list "$work/k" >"$work/found"
	[ "$part" = unflushed ] || same_files "names after recovery" "$work/wanted" "$work/found"
	xfs_io -r -c bmap "$work/k/d0" >"$work/bmap"
	[ "$(grep -c : "$work/bmap")" -gt 20 ] || { cat "$work/bmap"; fail "the directory is not in pieces"; }
	unmount_kernel "$work/k"
	rm "$image"
done
