#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A data write that fails: fsync tells each descriptor that was open once, and nobody who opened the file later; metadata go on.
#
# not-under: release
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"

make_image image 400m
mnt=$work/mnt
mount_userxfs "$work/image" "$mnt"
head -c $((1 << 20)) /dev/urandom >"$mnt/file"
number=$(stat -c %i "$mnt/file")
unmount_userxfs "$mnt"

# Where its first block is.
block=$(xfs_db -r -c "inode $number" -c 'dblock 0' -c 'daddr' "$work/image" | sed 's/.* \([0-9]*\)$/\1/')
mount_userxfs "$work/image" "$mnt" "fault=device_write:nth=1:off=$((block * 512))-$((block * 512 + 4096))"
"$python" - "$mnt/file" <<'PYTHON'
import errno, os, sys

def fsync(fd):
    try:
        os.fsync(fd)
        return 0
    except OSError as e:
        return e.errno

path = sys.argv[1]
first, second = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
os.pwrite(first, b"x" * 8192, 0)
told = [fsync(fd) for fd in (first, first, second, second)]
later = os.open(path, os.O_RDWR)
told.append(fsync(later))
assert told == [errno.EIO, 0, errno.EIO, 0, 0], told
# The cache has the new bytes still, and what is written now arrives.
assert os.pread(first, 8192, 0) == b"x" * 8192
os.pwrite(first, b"y" * 8192, 0)
assert fsync(first) == 0
PYTHON
mkdir "$mnt/after"
unmount_userxfs "$mnt"
check_image "$work/image"
mount_userxfs "$work/image" "$mnt"
expect "first bytes" yyyy "$(head -c 4 "$mnt/file")"
test -d "$mnt/after"
unmount_userxfs "$mnt"
