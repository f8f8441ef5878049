#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Changes the tree below DIR until it has done enough or the volume is gone; for the tests of log recovery.

    crashload.py DIR [--seed N] [--operations N] [--seconds N] [--syncs] [--all] [--swaps] [--attributes] [--fragments]
                 [--chains] [--shutdown FLAGS]

Creates, appends, truncates, punches, renames, links, attributes, symlinks, clones, unlinked files that stay open.  --syncs: an
fsync after every few operations.  --all: also what only XFS in the kernel does: ranges cloned and deduplicated, owners and
project numbers.  --swaps: extents are swapped with a donor's, as xfs_fsr does.  --attributes: mostly attributes, up to 64 KiB.  --fragments: instead, files of
thousands of extents that are cloned, cut and removed while the log is forced all the time.  --chains: the same, but nothing else
happens than chains of transactions, so that a log that ends anywhere ends within one.  --shutdown: at the end, with files still
open ("-f" or "").
"""
import argparse
import ctypes
import fcntl
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
FALLOCATE_MODES = (0, 1, 3, 16)
FICLONERANGE, FIDEDUPERANGE, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR = 0x4020940D, 0xC0189436, 0x801C581F, 0x401C5820


def clone_range(source, off, length, target, at):
    """Of open files; @length 0: to the end."""
    fcntl.ioctl(target, FICLONERANGE, struct.pack("=qQQQ", source, off, length, at))


def swap_extents(donor, path):
    subprocess.run(("xfs_io", "-c", "swapext " + donor, path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Load:
    def __init__(self, top, seed):
        self.rnd = random.Random(seed)
        self.files, self.dirs, self.held = [], [top], []

    def name(self):
        return os.path.join(self.rnd.choice(self.dirs), "f%06d" % self.rnd.randrange(10**6) + "x" * self.rnd.choice((0, 0, 0, 60, 150)))

    def create(self):
        path = self.name()
        with open(path, "wb") as file:
            file.write(self.rnd.randbytes(self.rnd.choice((0, 10, 3000, 5000, 70000))))
        self.files.append(path)

    def mkdir(self):
        path = self.name()
        os.mkdir(path)
        self.dirs.append(path)

    def append(self):
        with open(self.rnd.choice(self.files), "ab") as file:
            file.write(self.rnd.randbytes(self.rnd.choice((1, 4096, 30000, 300000))))

    def truncate(self):
        os.truncate(self.rnd.choice(self.files), self.rnd.choice((0, 1, 5000, 100000)))

    def fallocate(self):
        fd = os.open(self.rnd.choice(self.files), os.O_RDWR)
        blocks = os.fstat(fd).st_size // 4096 + 8
        libc.fallocate(fd, self.rnd.choice(FALLOCATE_MODES), self.rnd.randrange(blocks) * 4096,
                       self.rnd.choice((4096, 16384, 65536)))
        os.close(fd)

    def rename(self):
        old, new = self.rnd.choice(self.files), self.name()
        os.rename(old, new)
        self.files.remove(old)
        self.files.append(new)

    def setxattr(self):
        size = self.rnd.choice((1, 50, 300, 3000, 20000))
        os.setxattr(self.rnd.choice(self.files), "user.a%d" % self.rnd.randrange(20), self.rnd.randbytes(size))

    def removexattr(self):
        path = self.rnd.choice(self.files)
        names = os.listxattr(path)
        if names:
            os.removexattr(path, self.rnd.choice(names))

    def unlink(self):
        path = self.rnd.choice(self.files)
        self.files.remove(path)
        if self.rnd.random() < 0.2:
            self.held.append(open(path, "r+b"))
        os.unlink(path)

    def link(self):
        path = self.name()
        os.link(self.rnd.choice(self.files), path)
        self.files.append(path)

    def symlink(self):
        os.symlink("t" * self.rnd.choice((5, 100, 900)), self.name())

    def clone(self):
        path = self.name()
        if not subprocess.run(("cp", "--reflink=always", self.rnd.choice(self.files), path), stderr=subprocess.DEVNULL).returncode:
            self.files.append(path)

    def overwrite(self):
        path = self.rnd.choice(self.files)
        with open(path, "r+b") as file:
            file.seek(self.rnd.randrange(1 + os.path.getsize(path)))
            file.write(self.rnd.randbytes(5000))

    def scatter(self):
        fd = os.open(self.rnd.choice(self.files), os.O_RDWR)
        for k in range(60):
            os.pwrite(fd, b"z" * 100, k * 8192)
        os.close(fd)

    def fsync(self):
        fd = os.open(self.rnd.choice(self.files), os.O_RDWR)
        os.fsync(fd)
        os.close(fd)

    def clone_part(self):
        with open(self.rnd.choice(self.files), "r+b") as source, open(self.rnd.choice(self.files), "r+b") as target:
            blocks = os.fstat(source.fileno()).st_size // 4096
            if blocks:
                first = self.rnd.randrange(blocks)
                clone_range(source.fileno(), first * 4096, self.rnd.randrange(1, blocks - first + 1) * 4096,
                            target.fileno(), self.rnd.randrange(blocks) * 4096)

    def dedupe(self):
        """Two files that begin alike share that."""
        path = self.name()
        with open(self.rnd.choice(self.files), "rb") as source, open(path, "x+b") as target:
            length = os.fstat(source.fileno()).st_size // 4096 * 4096
            target.write(source.read(length))
            if length:
                request = struct.pack("=QQHHIqQQiI", 0, length, 1, 0, 0, target.fileno(), 0, 0, 0, 0)
                fcntl.ioctl(source.fileno(), FIDEDUPERANGE, request)
        self.files.append(path)

    def swap(self):
        """What xfs_fsr does."""
        path, donor = self.rnd.choice(self.files), self.name()
        with open(path, "rb") as source, open(donor, "xb") as target:
            target.write(source.read())
        swap_extents(donor, path)
        if self.rnd.random() < 0.5:
            os.unlink(donor)
        else:
            self.files.append(donor)

    def chown(self):
        os.chown(self.rnd.choice(self.files), self.rnd.randrange(5), self.rnd.randrange(5))

    def set_project(self):
        with open(self.rnd.choice(self.files), "rb") as file:
            attributes = bytearray(fcntl.ioctl(file, FS_IOC_FSGETXATTR, bytes(28)))
            struct.pack_into("=I", attributes, 12, self.rnd.randrange(5))
            fcntl.ioctl(file, FS_IOC_FSSETXATTR, bytes(attributes))

    def many_attributes(self):
        path = self.rnd.choice(self.files[:5])
        for _ in range(10):
            name = "user." + "n" * self.rnd.choice((1, 30, 200)) + "%d" % self.rnd.randrange(200)
            os.setxattr(path, name, self.rnd.randbytes(self.rnd.choice((0, 20, 200, 2000, 5000, 65536))))

    def step(self, args):
        ways = ((self.create, 30), (self.mkdir, 5), (self.append, 10), (self.truncate, 5), (self.fallocate, 7), (self.rename, 8),
                (self.setxattr, 7), (self.removexattr, 3), (self.unlink, 12), (self.link, 3), (self.symlink, 3), (self.clone, 4),
                (self.overwrite, 1), (self.scatter, 2), (self.fsync, 20 if args.syncs else 2))
        if args.all:
            ways += ((self.clone_part, 6), (self.dedupe, 3), (self.chown, 4), (self.set_project, 3))
        if args.swaps:
            ways += ((self.swap, 4), (self.scatter, 8))
        if args.attributes:
            ways += ((self.many_attributes, 60), (self.removexattr, 100))
        way = self.rnd.choices([w for w, _ in ways], [n for _, n in ways])[0]
        if len(self.files) < 5:
            way = self.create
        try:
            way()
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (5, 107):         # the volume is gone
                raise
            if error.errno not in (17, 28, 31, 95):
                print(way.__name__, error, file=sys.stderr)


def force_always(top):
    fd = os.open(os.path.join(top, "forced"), os.O_RDWR | os.O_CREAT)
    turn = 0
    try:
        while True:
            turn += 1
            os.pwrite(fd, b"x" * 100, turn % 50 * 8192)
            os.fsync(fd)
    except OSError:
        pass


def fragments(top, rnd, deadline):
    threading.Thread(target=force_always, args=(top,), daemon=True).start()
    turn = 0
    while time.monotonic() < deadline:
        turn += 1
        path = os.path.join(top, "fragments%d" % (turn % 3))
        clones = [os.path.join(top, "clone%d" % i) for i in range(2)]
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        for k in range(3000):
            os.pwrite(fd, b"z" * 4096, k * 8192)
        os.fsync(fd)
        for clone in clones:
            subprocess.run(("cp", "--reflink=auto", "--sparse=never", path, clone), stderr=subprocess.DEVNULL)
        for k in range(0, 2000, 3):
            os.pwrite(fd, b"y" * 4096, k * 8192)
        os.fsync(fd)
        os.ftruncate(fd, 0)
        os.close(fd)
        for clone in clones:
            os.truncate(clone, rnd.randrange(3) * 8000000)
        os.unlink(path)


def force_in_background(top):
    """A process that ends when the volume is gone, or is killed."""
    pid = os.fork()
    if pid:
        return pid
    try:
        fd = os.open(os.path.join(top, "forced"), os.O_RDWR | os.O_CREAT)
        while True:
            os.pwrite(fd, b"x" * 100, 0)
            os.fsync(fd)
    finally:
        os._exit(0)


def chains(top, rnd, deadline, swaps):
    forcing = force_in_background(top)
    try:
        make_chains(top, rnd, deadline, swaps)
    finally:
        os.kill(forcing, signal.SIGKILL)
        os.waitpid(forcing, 0)


def make_chains(top, rnd, deadline, swaps):
    block = os.statvfs(top).f_bsize
    paths = [os.path.join(top, "chain%d" % i) for i in range(4)]
    while time.monotonic() < deadline:
        fds = [os.open(path, os.O_RDWR | os.O_CREAT) for path in paths]
        for k in range(2000):
            os.pwrite(fds[0], b"z" * block, 2 * k * block)
        os.fsync(fds[0])
        for turn in range(4):
            try:
                clone_range(fds[0], 0, 0, fds[1], 0)
                clone_range(fds[0], 0, 0, fds[2], block * rnd.randrange(3))
            except OSError as error:
                if error.errno != 95:
                    raise
                # Without reflink: extents that are there to be freed.
                for k in range(1000):
                    os.pwrite(fds[1], b"y" * block, 2 * k * block)
                os.fsync(fds[1])
            for k in range(0, 1000, 2):
                os.pwrite(fds[0], b"y" * block, 2 * k * block)
            os.fsync(fds[0])
            libc.fallocate(fds[1], 3, rnd.randrange(1000) * block, 2000 * block)
            os.ftruncate(fds[2], rnd.randrange(2) * 1000 * block)
            if swaps and turn % 2:
                os.truncate(paths[3], 0)
                clone_or_copy(fds[0], fds[3])
                swap_extents(paths[3], paths[0])
            os.ftruncate(fds[1], 0)
        for fd, path in zip(fds, paths):
            os.close(fd)
            os.unlink(path)


def clone_or_copy(source, target):
    try:
        clone_range(source, 0, 0, target, 0)
    except OSError:
        size = os.fstat(source).st_size
        os.pwrite(target, os.pread(source, size, 0), 0)
        os.fsync(target)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--syncs", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--swaps", action="store_true")
    parser.add_argument("--attributes", action="store_true")
    parser.add_argument("--fragments", action="store_true")
    parser.add_argument("--chains", action="store_true")
    parser.add_argument("--shutdown")
    args = parser.parse_args()
    deadline = time.monotonic() + args.seconds
    load = Load(args.dir, args.seed)
    try:
        if args.fragments:
            fragments(args.dir, load.rnd, deadline)
        if args.chains:
            chains(args.dir, load.rnd, deadline, args.swaps)
        for _ in range(args.operations):
            if time.monotonic() >= deadline:
                break
            load.step(args)
    except OSError as error:
        if error.errno not in (5, 107, 2):
            raise
    if args.shutdown is not None:
        subprocess.run(("xfs_io", "-x", "-c", "shutdown " + args.shutdown, args.dir), check=True)


if __name__ == "__main__":
    main()
