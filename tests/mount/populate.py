#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Fills the directory DIR with everything an XFS volume can hold, the same way each time.

    populate.py [--dir-block BYTES] [--block BYTES] [--bigtime 0|1] DIR

All file types, modes and owners, sparse and preallocated files, attributes of all sizes in all namespaces, access control
lists, hard links, directories of every form (and shrunk back from every form), short and long symbolic links, times far away.
As an ordinary user it leaves out what needs root: devices, owners, trusted and security attributes.
"""
import argparse
import ctypes
import os
import random
import socket
import struct
import sys

FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 16
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
is_root = os.geteuid() == 0


def fallocate(fd, mode, start, length):
    if libc.fallocate(fd, mode, start, length):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "fallocate")


def data(seed, length):
    return random.Random(seed).randbytes(length)


def make(path, *pieces):
    """A file of (offset, bytes) pieces."""
    with open(path, "wb") as file:
        for start, content in pieces:
            file.seek(start)
            file.write(content)


def regular_files(block):
    os.mkdir("files")
    make("files/empty")
    make("files/one-byte", (0, b"x"))
    for size in (511, 512, 4095, 4096, 4097, 65536, 100001, 3 << 20):
        make(f"files/size-{size}", (0, data(size, size)))
    make("files/text", (0, b"line\n" * 5000))
    make("files/rewritten", (0, data(1, 50000)), (10000, data(2, 5000)), (49999, b"end"))
    with open("files/appended", "ab") as file:
        for i in range(60):
            file.write(data(i, 777))
            file.flush()
    with open("files/truncated-down", "wb") as file:
        file.write(data(3, 300000))
        file.flush()
        file.truncate(12345)
    with open("files/truncated-up", "wb") as file:
        file.write(data(4, 1000))
        file.flush()
        file.truncate(900000)
    with open("files/truncated-both", "wb") as file:
        file.write(data(5, 200000))
        file.flush()
        file.truncate(7)
        file.truncate(70000)
        file.seek(60000)
        file.write(b"tail")


def sparse_files(block):
    os.mkdir("sparse")
    make("sparse/hole-first", (1 << 20, data(10, 5000)))
    make("sparse/hole-middle", (0, data(11, 5000)), (2 << 20, data(12, 5000)))
    make("sparse/hole-last", (0, data(13, 5000)))
    os.truncate("sparse/hole-last", 5 << 20)
    make("sparse/all-hole")
    os.truncate("sparse/all-hole", 1 << 30)
    make("sparse/far", ((1 << 42) + 12345, data(14, 70000)))
    make("sparse/comb", *((i * 2 * block, data(i, block)) for i in range(400)))
    make("sparse/few", *((i * 3 * block, data(i, block)) for i in range(6)))
    with open("sparse/preallocated", "wb") as file:
        fallocate(file.fileno(), 0, 0, 1 << 20)
        file.seek(300000)
        file.write(data(15, 100000))
    with open("sparse/keep-size", "wb") as file:
        file.write(data(16, 10000))
        file.flush()
        fallocate(file.fileno(), FALLOC_KEEP_SIZE, 0, 512 << 10)
    with open("sparse/punched", "wb") as file:
        file.write(data(17, 1 << 20))
        file.flush()
        os.fsync(file.fileno())
        for i in range(1, 12, 2):
            fallocate(file.fileno(), FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, i * 65536 + 100, 65536)
    with open("sparse/zeroed", "wb") as file:
        file.write(data(18, 1 << 20))
        file.flush()
        fallocate(file.fileno(), FALLOC_ZERO_RANGE, 100000, 300000)
    with open("sparse/checker", "wb") as file:
        file.write(data(19, 300 * block))
        file.flush()
        os.fsync(file.fileno())
        for i in range(0, 300, 2):
            fallocate(file.fileno(), FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, i * block, block)


def special_files():
    os.mkdir("special")
    os.mkfifo("special/fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("special/socket")
    if is_root:
        os.mknod("special/null", 0o20666, os.makedev(1, 3))
        os.mknod("special/big-minor", 0o20600, os.makedev(511, 262143))
        os.mknod("special/block", 0o60660, os.makedev(8, 17))
    os.mkdir("links")
    # The root of a path in an inode, and in blocks of its own.
    for length in (1, 20, 150, 300, 336, 500, 900, 1000, 1023):
        os.symlink(("t%d/" % length * 300)[:length], f"links/to-{length}")


def names_and_links():
    os.mkdir("names")
    make("names/" + "n" * 255, (0, b"long"))
    make("names/with space", (0, b"1"))
    make("names/\u00fcml\u00e4ut \u65e5\u672c", (0, b"2"))
    make(b"names/\xff\xfe\x01 not utf-8".decode("utf-8", "surrogateescape"), (0, b"3"))
    make("names/new\nline", (0, b"4"))
    make("names/target", (0, b"linked"))
    os.mkdir("names/other")
    for i in range(40):
        os.link("names/target", f"names/other/link-{i}")
    path = "names"
    for i in range(30):
        path += f"/depth-{i}"
        os.mkdir(path)
    make(path + "/bottom", (0, b"deep"))


def fill(directory, count, style):
    """@count entries; names of mixed lengths give blocks of mixed fill."""
    os.mkdir(directory)
    first = f"{directory}/entry-{style}-0"
    make(first)
    for i in range(1, count):
        name = f"{directory}/entry-{style}-{i}" + "z" * (i * 7 % 23)
        os.link(first, name)


def directories(dir_block):
    os.mkdir("dirs")
    leaf, node = dir_block // 40, dir_block // 8 + 300
    os.mkdir("dirs/empty")
    fill("dirs/short", 3, "s")
    fill("dirs/block", min(30, leaf), "b")
    fill("dirs/leaf", leaf * 2, "l")
    fill("dirs/node", node, "n")
    # Grown, then shrunk: to nothing, to a few, with holes everywhere.
    for name, keep in (("emptied", lambda i: False), ("few-left", lambda i: i % 97 == 0), ("holes", lambda i: i % 2)):
        fill(f"dirs/{name}", node, "x")
        for i, entry in enumerate(sorted(os.listdir(f"dirs/{name}"))):
            if not keep(i):
                os.unlink(f"dirs/{name}/{entry}")
    os.mkdir("dirs/moved")
    for i in range(200):
        make(f"dirs/moved/a{i}", (0, b"%d" % i))
    for i in range(0, 200, 3):
        os.rename(f"dirs/moved/a{i}", f"dirs/moved/renamed-to-a-longer-name-{i}")
    for i in range(1, 200, 3):
        os.rename(f"dirs/moved/a{i}", f"dirs/short/a{i}")
    os.mkdir("dirs/parent-changes")
    os.rename("dirs/parent-changes", "dirs/moved/now-here")


def attributes():
    os.mkdir("xattrs")
    namespaces = ["user", "trusted", "security"] if is_root else ["user"]
    for size in (0, 1, 30, 200, 254, 255, 256, 1000, 3000, 4000, 4096, 20000, 65536):
        path = f"xattrs/size-{size}"
        make(path, (0, b"x"))
        # Not one name in three namespaces: xfs_repair 6.1 refuses equal hashes in neighbouring leaves, whoever wrote them.
        for space in namespaces:
            os.setxattr(path, f"{space}.value-{space[0]}", data(size, size))
    make("xattrs/many-small")
    for i in range(8):
        os.setxattr("xattrs/many-small", f"user.a{i}", b"v%d" % i)
    make("xattrs/leaf")
    for i in range(50):
        os.setxattr("xattrs/leaf", f"user.attribute-{i}", data(i, 20))
    make("xattrs/node")
    for i in range(700):
        os.setxattr("xattrs/node", f"user.attribute-{i}-" + "n" * (i % 60), data(i, i % 90))
    make("xattrs/shrunk")
    for i in range(400):
        os.setxattr("xattrs/shrunk", f"user.attribute-{i}", data(i, 60))
    for i in range(400):
        if i % 100:
            os.removexattr("xattrs/shrunk", f"user.attribute-{i}")
    make("xattrs/all-removed")
    for i in range(100):
        os.setxattr("xattrs/all-removed", f"user.attribute-{i}", data(i, 60))
    for i in range(100):
        os.removexattr("xattrs/all-removed", f"user.attribute-{i}")
    make("xattrs/replaced")
    for size in (10, 3000, 40000, 100, 65536, 0, 5000):
        os.setxattr("xattrs/replaced", "user.value", data(size, size))
    make("xattrs/mixed")
    for i in range(30):
        os.setxattr("xattrs/mixed", f"user.{i}", data(i, (i * 997) % 7000))
    os.setxattr("xattrs/mixed", "user." + "n" * 250, b"long name")
    make("xattrs/with-data", (0, data(77, 200000)))
    os.setxattr("xattrs/with-data", "user.big", data(78, 9000))
    os.mkdir("xattrs/directory")
    os.setxattr("xattrs/directory", "user.on-dir", data(79, 500))
    if is_root:
        os.symlink("nowhere", "xattrs/symlink")
        os.setxattr("xattrs/symlink", "trusted.on-link", b"t" * 400, follow_symlinks=False)
        os.setxattr("xattrs/size-1", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))


def acl(*entries):
    """A POSIX ACL as setxattr takes it, of (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def access_control():
    none = 0xFFFFFFFF
    user_obj, user, group_obj, group, mask, other = 1, 2, 4, 8, 16, 32
    os.mkdir("acls")
    make("acls/file", (0, b"acl"))
    full = acl((user_obj, 6, none), (user, 4, 1001), (user, 6, 1002), (group_obj, 4, none), (group, 6, 2001), (mask, 6, none),
               (other, 0, none))
    os.setxattr("acls/file", "system.posix_acl_access", full)
    make("acls/minimal")
    os.setxattr("acls/minimal", "system.posix_acl_access", acl((user_obj, 7, none), (group_obj, 5, none), (other, 1, none)))
    make("acls/large")
    os.setxattr("acls/large", "system.posix_acl_access",
                acl((user_obj, 6, none), *((user, 4, 5000 + i) for i in range(200)), (group_obj, 4, none), (mask, 4, none),
                    (other, 0, none)))
    os.mkdir("acls/inherit")
    os.setxattr("acls/inherit", "system.posix_acl_default",
                acl((user_obj, 7, none), (user, 5, 1001), (group_obj, 5, none), (group, 7, 2001), (mask, 7, none), (other, 0, none)))
    make("acls/inherit/file")
    os.mkdir("acls/inherit/dir")
    make("acls/inherit/dir/file")
    os.mkfifo("acls/inherit/fifo")
    make("acls/changed")
    os.setxattr("acls/changed", "system.posix_acl_access", full)
    os.chmod("acls/changed", 0o750)
    make("acls/removed")
    os.setxattr("acls/removed", "system.posix_acl_access", full)
    os.removexattr("acls/removed", "system.posix_acl_access")


def modes_and_owners():
    os.mkdir("modes")
    for mode in (0o000, 0o400, 0o644, 0o777, 0o1644, 0o2755, 0o4755, 0o7777):
        make(f"modes/{mode:04o}")
        os.chmod(f"modes/{mode:04o}", mode)
    os.mkdir("modes/sticky")
    os.chmod("modes/sticky", 0o1777)
    os.mkdir("modes/setgid")
    if is_root:
        for uid, gid in ((1, 2), (1000, 100), (65534, 65534), (4000000000, 4000000001)):
            make(f"modes/owner-{uid}")
            os.chown(f"modes/owner-{uid}", uid, gid)
        os.symlink("x", "modes/owned-link")
        os.lchown("modes/owned-link", 7, 8)
        os.chown("modes/setgid", 5, 6)
        os.chmod("modes/setgid", 0o2775)
        make("modes/setgid/inherits")
        os.mkdir("modes/setgid/dir-inherits")
        make("modes/chown-clears-suid")
        os.chmod("modes/chown-clears-suid", 0o6755)
        os.chown("modes/chown-clears-suid", 9, 9)


def times(bigtime):
    os.mkdir("times")
    moments = [0, 1, -1, -(1 << 31), (1 << 31) - 1, 1234567890, -315619200]    # the last: 1960
    if bigtime:
        moments += [1 << 31, 2208988800, 2240611200, 16299260424]    # 2040, 2041, the last bigtime second
    for moment in moments:
        path = f"times/at{moment}"
        make(path)
        os.utime(path, ns=(moment * 10**9 + 7, moment * 10**9 + 123456789))
    os.mkdir("times/dir")
    os.utime("times/dir", ns=(10**18, 10**18 + 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir-block", type=int, default=4096)
    parser.add_argument("--block", type=int, default=4096)
    parser.add_argument("--bigtime", type=int, default=1)
    parser.add_argument("dir")
    args = parser.parse_args()
    os.umask(0o022)
    os.chdir(args.dir)
    regular_files(args.block)
    sparse_files(args.block)
    special_files()
    names_and_links()
    directories(args.dir_block)
    attributes()
    access_control()
    modes_and_owners()
    times(args.bigtime)
    return 0


if __name__ == "__main__":
    sys.exit(main())
