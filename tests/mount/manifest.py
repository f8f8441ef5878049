#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints everything a program can see of the tree below DIR, one sorted line for each name.

    manifest.py [--without FIELD[,FIELD...]] DIR

Two mounts of the same volume, by the kernel and by userxfs, give the same manifest.  Fields: type and mode, uid, gid, nlink,
size, dirsize (of directories), blocks, mtime, ctime, btime, rdev, hard (the names of one inode), xattrs, data, segments (SEEK_DATA and SEEK_HOLE),
target, flags (project id and inode flags).
"""
import argparse
import array
import ctypes
import errno
import fcntl
import hashlib
import os
import stat
import struct
import sys

FS_IOC_FSGETXATTR = 0x801C581F
AT_FDCWD, AT_SYMLINK_NOFOLLOW, STATX_BTIME = -100, 0x100, 0x800
HUGE = 64 << 20
libc = ctypes.CDLL(None, use_errno=True)


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def birth_time(path):
    buffer = ctypes.create_string_buffer(256)
    if libc.statx(AT_FDCWD, os.fsencode(path), AT_SYMLINK_NOFOLLOW, STATX_BTIME, buffer):
        return "?"
    mask, = struct.unpack_from("=I", buffer, 0)
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, 80)
    return f"{seconds}.{nanoseconds:09}" if mask & STATX_BTIME else "none"


def xattrs(path):
    names = sorted(n for n in os.listxattr(path, follow_symlinks=False) if not n.startswith("system.userxfs"))
    values = []
    for name in names:
        value = os.getxattr(path, name, follow_symlinks=False)
        values.append(f"{name}:{len(value)}:{digest(value)}")
    return ",".join(values)


def segments(fd, size):
    """[start, end) of each stretch of data."""
    found, pos = [], 0
    while pos < size:
        try:
            start = os.lseek(fd, pos, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        pos = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, pos))
    return found


def show_segments(found):
    text = ",".join(f"{start}-{end}" for start, end in found)
    return digest(text.encode()) if len(found) > 40 else text


def content(fd, size):
    """Every byte of files that are not huge; of huge ones what is data."""
    hasher = hashlib.sha256()
    for start, end in [(0, size)] if size <= HUGE else segments(fd, size):
        os.lseek(fd, start, os.SEEK_SET)
        while start < end and (block := os.read(fd, min(1 << 20, end - start))):
            hasher.update(block)
            start += len(block)
        hasher.update(b"%d" % start)
    return hasher.hexdigest()[:16]


def flags(fd):
    fsx = array.array("B", bytes(28))
    fcntl.ioctl(fd, FS_IOC_FSGETXATTR, fsx)
    xflags, extsize, _, project, cowextsize = struct.unpack_from("=IIIII", fsx)
    # XFS_XFLAG_HASATTR says where attributes are, not what they are: it goes when the attribute fork goes.
    return f"{xflags & ~0x80000000:x}/{extsize}/{project}/{cowextsize}"


def describe(path, fields, first_names, top):
    st = os.lstat(path)
    size = "dirsize" if stat.S_ISDIR(st.st_mode) else "size"
    line = {"mode": f"{st.st_mode:o}", "uid": st.st_uid, "gid": st.st_gid, "nlink": st.st_nlink, size: st.st_size,
            "blocks": st.st_blocks, "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns, "rdev": f"{st.st_rdev:x}"}
    if "btime" in fields:
        line["btime"] = birth_time(path)
    if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
        line["hard"] = first_names.setdefault(st.st_ino, os.path.relpath(path, top))
    if "xattrs" in fields:
        line["xattrs"] = xattrs(path)
    if stat.S_ISLNK(st.st_mode):
        target = os.fsencode(os.readlink(path))
        line["target"] = f"{len(target)}:{digest(target)}"
    elif stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if "flags" in fields:
                line["flags"] = flags(fd)
            if stat.S_ISREG(st.st_mode):
                if "segments" in fields:
                    line["segments"] = show_segments(segments(fd, st.st_size))
                if "data" in fields:
                    line["data"] = content(fd, st.st_size)
        finally:
            os.close(fd)
    return " ".join(f"{key}={value}" for key, value in line.items() if key in fields or key == "mode")


def walk(top):
    """Every path below @top, directories in sorted order, so that "hard" names the same first name everywhere."""
    yield top
    stack = [top]
    while stack:
        directory = stack.pop()
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            yield path
            if stat.S_ISDIR(os.lstat(path).st_mode):
                stack.append(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", default="")
    parser.add_argument("dir")
    args = parser.parse_args()
    fields = {"uid", "gid", "nlink", "size", "dirsize", "blocks", "mtime", "ctime", "btime", "rdev", "hard", "xattrs", "data",
              "segments", "target", "flags"} - set(args.without.split(","))
    first_names = {}
    for path in walk(args.dir):
        print(ascii(os.path.relpath(path, args.dir)), describe(path, fields, first_names, args.dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
