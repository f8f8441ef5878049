#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Four processes append slowly, each to its own file: speculative preallocation keeps the files apart, and they end with as few
# extents as on the kernel's XFS, run side by side.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
need_kernel_xfs

cat >"$work/append.py" <<'PYTHON'
import os, sys, time
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
for i in range(200):
    os.write(fd, b"%08d" % i * 2048)
    if i % 40 == 39:
        os.fsync(fd)
    time.sleep(0.01)
PYTHON

for writer in kernel userxfs; do
	make_image $writer 1g
	mount_$writer "$work/$writer" "$work/$writer.mnt"
done
pids=()
for writer in kernel userxfs; do
	for i in 1 2 3 4; do
		"$python" "$work/append.py" "$work/$writer.mnt/file-$i" &
		pids+=($!)
	done
done
for pid in "${pids[@]}"; do wait "$pid"; done
unmount_kernel "$work/kernel.mnt"
unmount_userxfs "$work/userxfs.mnt"

extents()
{
	local i
	for i in 1 2 3 4; do
		xfs_db -r -c "path /file-$i" -c 'print core.nextents' "$work/$1" | sed 's/.*= //'
	done | awk '{ sum += $1 } END { print sum }'
}

for writer in kernel userxfs; do check_image "$work/$writer"; done
say "extents: kernel $(extents kernel), userxfs $(extents userxfs)"
# When the writes meet writeback differs between any two runs: one extent more for each file is the same.
[ "$(extents userxfs)" -le $(($(extents kernel) + 4)) ] || fail "userxfs leaves more extents"
