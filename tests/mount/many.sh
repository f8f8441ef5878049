#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Many things in one place: a directory of 200,000 entries, created, listed, half deleted, listed; a file of 200,000 extents,
# written, read, truncated.
#
# parts: entries extents
# not-under: asan entries
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"

count=200000
is_sanitized && count=20000

entries()
{
	cat >"$work/entries.py" <<-'PYTHON'
		import os, sys
		top, count, step = sys.argv[1], int(sys.argv[2]), sys.argv[3]
		os.chdir(top)
		if step == "create":
		    for i in range(count):
		        os.close(os.open(f"entry-{i:06}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
		if step == "delete-odd":
		    for i in range(1, count, 2):
		        os.unlink(f"entry-{i:06}")
		wanted = {f"entry-{i:06}" for i in range(0, count, 1 if step == "create" else 2)}
		listed = os.listdir(".")
		assert len(listed) == len(set(listed)), "a name was listed twice"
		assert set(listed) == wanted, f"listed {len(listed)} names, not {len(wanted)}"
		for i in range(0, count, count // 50):
		    os.stat(f"entry-{i:06}")
		    assert not os.path.exists(f"entry-{i:06}x")
	PYTHON
	make_image image 2g
	mount_userxfs "$work/image" "$work/mnt"
	mkdir "$work/mnt/dir"
	say "$count entries"
	"$python" "$work/entries.py" "$work/mnt/dir" $count create
	unmount_userxfs "$work/mnt"
	check_image "$work/image"
	mount_userxfs "$work/image" "$work/mnt"
	say "half of them deleted"
	"$python" "$work/entries.py" "$work/mnt/dir" $count delete-odd
	unmount_userxfs "$work/mnt"
	check_image "$work/image"
	if is_root; then
		mount_kernel "$work/image" "$work/mnt" ro
		"$python" "$work/entries.py" "$work/mnt/dir" $count list
		unmount_kernel "$work/mnt"
	fi
	say "all deleted"
	mount_userxfs "$work/image" "$work/mnt"
	rm -r "$work/mnt/dir"
	mkdir "$work/mnt/dir"
	"$python" "$work/entries.py" "$work/mnt/dir" 100 create
	unmount_userxfs "$work/mnt"
	check_image "$work/image"
}

# The blocks that hold data have their number in them.
extents()
{
	cat >"$work/extents.py" <<-'PYTHON'
		import ctypes, os, struct, sys
		path, count, step = sys.argv[1], int(sys.argv[2]), sys.argv[3]
		BLOCK = 1024
		libc = ctypes.CDLL(None, use_errno=True)
		libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
		def block(i):
		    return struct.pack("<Q", i) * (BLOCK // 8)
		if step == "make":
		    with open(path, "wb") as file:
		        for i in range(0, 2 * count, 1000):
		            file.write(b"".join(block(j) for j in range(i, i + 1000)))
		        file.flush()
		        os.fsync(file.fileno())
		        for i in range(1, 2 * count, 2):
		            if libc.fallocate(file.fileno(), 3, i * BLOCK, BLOCK):
		                raise OSError(ctypes.get_errno(), "punch")
		if step == "check":
		    with open(path, "rb") as file:
		        for i in range(0, 2 * count, 1000):
		            wanted = b"".join(bytes(BLOCK) if j % 2 else block(j) for j in range(i, i + 1000))
		            assert file.read(1000 * BLOCK) == wanted, f"wrong data near block {i}"
		    assert os.stat(path).st_blocks >= count * 2
		if step == "seek":
		    fd = os.open(path, os.O_RDONLY)
		    for i in range(0, 2 * count - 2, 2 * count // 100 * 2):
		        assert os.lseek(fd, i * BLOCK, os.SEEK_HOLE) == (i + 1) * BLOCK
		        assert os.lseek(fd, (i + 1) * BLOCK, os.SEEK_DATA) == (i + 2) * BLOCK
		if step == "truncate":
		    os.truncate(path, count * BLOCK)
		    os.truncate(path, 10 * BLOCK)
	PYTHON
	make_image image 1g -b size=1024
	mount_userxfs "$work/image" "$work/mnt"
	say "$count extents"
	"$python" "$work/extents.py" "$work/mnt/file" $count make
	"$python" "$work/extents.py" "$work/mnt/file" $count check
	unmount_userxfs "$work/mnt"
	check_image "$work/image"
	extents_now=$(xfs_db -r -c 'path /file' -c 'print core.nextents' "$work/image" 2>/dev/null | sed 's/.*= //')
	expect "extents on disk" $count "$extents_now"
	mount_userxfs "$work/image" "$work/mnt"
	"$python" "$work/extents.py" "$work/mnt/file" $count check
	"$python" "$work/extents.py" "$work/mnt/file" $count seek
	unmount_userxfs "$work/mnt"
	if is_root; then
		mount_kernel "$work/image" "$work/mnt" ro
		"$python" "$work/extents.py" "$work/mnt/file" $count check
		unmount_kernel "$work/mnt"
	fi
	say "truncated"
	mount_userxfs "$work/image" "$work/mnt"
	"$python" "$work/extents.py" "$work/mnt/file" $count truncate
	expect "blocks after truncation" 10 "$(stat -c %b "$work/mnt/file")"
	unmount_userxfs "$work/mnt"
	check_image "$work/image"
}

"${1:?part}"
