#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Directories whose blocks lie in pieces; for recovery-dirblocks.sh.

    dirblocks.py prepare DIR    empty directories and one file; then everything is filled, and every other block freed
    dirblocks.py change DIR     many names come, some are synced and changed again; prints the names at the end
    dirblocks.py list DIR       prints the names
"""
import ctypes
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
PUNCH_KEEP_SIZE = 3
DIRECTORIES = ["d%d" % i for i in range(4)]


def prepare(top):
    for name in DIRECTORIES:
        os.mkdir(os.path.join(top, name))
    os.close(os.open(os.path.join(top, "file"), os.O_CREAT | os.O_WRONLY))
    fd = os.open(os.path.join(top, "filler"), os.O_CREAT | os.O_RDWR)
    block = os.fstatvfs(fd).f_bsize
    off, size = 0, 16 << 20
    while size >= block:
        try:
            os.posix_fallocate(fd, off, size)
            off += size
        except OSError:
            size //= 2
    os.fsync(fd)
    for at in range(block, off, 2 * block):
        if libc.fallocate(fd, PUNCH_KEEP_SIZE, ctypes.c_long(at), ctypes.c_long(block)):
            raise OSError(ctypes.get_errno(), "punch")
    os.close(fd)


def change(top):
    def path(name, i, letter):
        return os.path.join(top, name, letter * 150 + str(i))

    def link(name, numbers, letter):
        for i in numbers:
            os.link(os.path.join(top, "file"), path(name, i, letter))

    for name in DIRECTORIES:
        link(name, range(500), "a")
    os.sync()
    for name in DIRECTORIES:
        for i in range(0, 500, 3):
            os.unlink(path(name, i, "a"))
        link(name, range(100), "b")
    for i in range(400, 450):
        if i % 3:
            os.rename(path("d0", i, "a"), path("d1", i, "c"))
    # All of it is in the log; the last changes may be there alone.
    fd = os.open(os.path.join(top, "d2"), os.O_RDONLY)
    os.fsync(fd)
    show(top)


def show(top):
    for name in DIRECTORIES:
        for entry in sorted(os.listdir(os.path.join(top, name))):
            print(name, entry)


if __name__ == "__main__":
    {"prepare": prepare, "change": change, "list": show}[sys.argv[1]](sys.argv[2])
