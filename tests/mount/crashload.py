#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Changes the tree below DIR until it has done enough or the volume is gone; for the tests of log recovery.

    crashload.py DIR [--seed N] [--operations N] [--seconds N] [--syncs] [--fragments] [--shutdown FLAGS]

Creates, appends, truncates, punches, renames, links, attributes, symlinks, clones, unlinked files that stay open.  --syncs: an
fsync after every few operations.  --fragments: instead, files of thousands of extents that are cloned, cut and removed while the
log is forced all the time, so that long chains of transactions are cut in the middle.  --shutdown: at the end, with files still
open ("-f" or "").
"""
import argparse
import ctypes
import os
import random
import subprocess
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
FALLOCATE_MODES = (0, 1, 3, 16)


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
        libc.fallocate(fd, self.rnd.choice(FALLOCATE_MODES), ctypes.c_long(self.rnd.randrange(blocks) * 4096),
                       ctypes.c_long(self.rnd.choice((4096, 16384, 65536))))
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

    def step(self, syncs):
        ways = ((self.create, 30), (self.mkdir, 5), (self.append, 10), (self.truncate, 5), (self.fallocate, 7), (self.rename, 8),
                (self.setxattr, 7), (self.removexattr, 3), (self.unlink, 12), (self.link, 3), (self.symlink, 3), (self.clone, 4),
                (self.overwrite, 1), (self.scatter, 2), (self.fsync, 20 if syncs else 2))
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--syncs", action="store_true")
    parser.add_argument("--fragments", action="store_true")
    parser.add_argument("--shutdown")
    args = parser.parse_args()
    deadline = time.monotonic() + args.seconds
    load = Load(args.dir, args.seed)
    try:
        if args.fragments:
            fragments(args.dir, load.rnd, deadline)
        for _ in range(args.operations):
            if time.monotonic() >= deadline:
                break
            load.step(args.syncs)
    except OSError as error:
        if error.errno not in (5, 107, 2):
            raise
    if args.shutdown is not None:
        subprocess.run(("xfs_io", "-x", "-c", "shutdown " + args.shutdown, args.dir), check=True)


if __name__ == "__main__":
    main()
