#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Works on a volume that is going to die, keeps a journal of it elsewhere, and checks what is left against the journal.

    promises.py work DIR JOURNALS [--seed N] [--workers N] [--seconds N] [--clear OLD]
    promises.py check DIR JOURNALS

work: each worker is a process that writes one operation at a time to its journal, does it, and writes how it ended.  A worker has
a directory of its own and names of its own in a directory that all share.  --clear removes the tree OLD meanwhile.  Exit status 0
when the volume went away or the time was over, 2 when an operation failed as it should not.

check, of each worker:

  - The names, link counts, modes, targets and attributes are what the worker had made of them after one of its operations: each
    happened entirely or not at all, none before one that is missing.  That operation is not before what an fsync promised.
  - Each byte of each file is one that may be there.  After an fsync: the last one written.  Later writes may have happened or
    not, byte by byte; what a truncation or hole that is known to have happened has removed is zeroes, and stays so.
  - Each size is one that the file may have had.

What is written carries in each 16 bytes of a sector of 512 the file, the operation and the sector, so that bytes of another file,
or of another place or time in the same one, cannot pass.  Where a block was truncated or punched in part the rest may be old or
zeroes: only whole blocks are given back by a transaction, the edges are data like any other.
"""
import argparse
import collections
import ctypes
import errno
import hashlib
import json
import mmap
import os
import random
import signal
import stat
import struct
import sys
import time

BLOCK, SECTOR, INFINITY, MAGIC = 4096, 512, 1 << 62, 0x73707578
LARGEST = 192 << 10
KEEP_SIZE, PUNCH, ZERO = 1, 2, 16
GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENODEV)
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)


# ---- what is written ----

def pattern(value, start, end):
    """The bytes [start, end) of a file that hold @value: 0, or (file, operation, how far it was copied)."""
    if not value:
        return bytes(end - start)
    number, operation, delta = value
    first, last = (start - delta) // SECTOR, (end - delta + SECTOR - 1) // SECTOR
    whole = b"".join(struct.pack("<4I", MAGIC, number, operation, s) * (SECTOR // 16) for s in range(first, last))
    skip = start - delta - first * SECTOR
    return whole[skip:skip + end - start]


def describe(data):
    """What the start of @data says of its origin."""
    at = data.find(struct.pack("<I", MAGIC))
    if at >= 0 and len(data) >= at + 16:
        return "file %d operation %d sector %d" % struct.unpack_from("<4I", data, at)[1:]
    return "zeroes" if not any(data) else data[:16].hex()


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


# ---- what a worker knows ----

class Contents:
    """Of one file: for each stretch of bytes the values that may be on the disk, and the one that is in memory."""

    def __init__(self):
        self.pieces = [[0, INFINITY, (0,), 0]]          # start, end, values that may be there, the value now
        self.size = self.least = self.most = 0

    def split(self, at):
        for i, (start, end, may, now) in enumerate(self.pieces):
            if start < at < end:
                self.pieces[i:i + 1] = [[start, at, may, now], [at, end, may, now]]
                return

    def between(self, start, end):
        if start >= end:
            return []
        self.split(start)
        self.split(end)
        return [piece for piece in self.pieces if start <= piece[0] < end]

    def write(self, start, end, value, sure=False):
        for piece in self.between(start, end):
            piece[2:] = (value,) if sure else tuple(dict.fromkeys(piece[2] + (value,))), value
        self.size, self.most = max(self.size, end), max(self.most, end)
        if sure:
            self.least = max(self.least, end)

    def zero(self, start, end, sure):
        """@sure: whole blocks are known to be gone."""
        inner = (-(-start // BLOCK) * BLOCK, end // BLOCK * BLOCK if end < INFINITY else end)
        if sure and inner[0] < inner[1]:
            self.write_zeroes(*inner, True)
            self.write_zeroes(start, inner[0], False)
            self.write_zeroes(inner[1], end, False)
        else:
            self.write_zeroes(start, end, False)

    def write_zeroes(self, start, end, sure):
        for piece in self.between(start, end):
            piece[2:] = (0,) if sure else tuple(dict.fromkeys(piece[2] + (0,))), 0

    def resize(self, size, sure):
        if size < self.size:
            self.zero(size, INFINITY, sure)
        self.size = size
        self.least, self.most = (size, size) if sure else (min(self.least, size), max(self.most, size))

    def synced(self, start=0, end=INFINITY):
        for piece in self.between(start, end) if end < INFINITY else self.pieces:
            piece[2] = (piece[3],)
        if end == INFINITY:
            self.least = self.most = self.size
            self.merge()

    def merge(self):
        merged = []
        for piece in self.pieces:
            if merged and merged[-1][2:] == piece[2:]:
                merged[-1][1] = piece[1]
            else:
                merged.append(piece)
        self.pieces = merged

    def copied(self, start, end, shift):
        """The values in memory of [start, end), as they are @shift further on."""
        for piece in self.between(start, end):
            value = piece[3] and piece[3][:2] + (piece[3][2] + shift,)
            yield piece[0] + shift, piece[1] + shift, value

    def violation(self, data):
        """Why @data cannot be what the file holds, or None."""
        if not self.least <= len(data) <= self.most:
            return "size %d, not %d to %d" % (len(data), self.least, self.most)
        for start, end, may, _ in self.pieces:
            end = min(end, len(data))
            if start >= end:
                break
            found, wanted = data[start:end], [pattern(value, start, end) for value in may]
            if found in wanted:
                continue
            for at, bytes_there in enumerate(zip(found, *wanted)):
                if bytes_there[0] not in bytes_there[1:]:
                    sector = (start + at) // SECTOR * SECTOR
                    return "byte %d of [%d, %d) is of %s; it may be of %s" % (
                        start + at, start, end, describe(data[sector:sector + SECTOR]), may)
        return None


class Names:
    """What the metadata of one worker are after some of its operations."""

    def __init__(self):
        self.names = {}                                 # path -> ("f", file), ("d",), ("l", target)
        self.modes, self.attributes, self.inos = {}, collections.defaultdict(dict), {}
        self.touched = collections.defaultdict(int)     # file or directory -> its last operation

    def apply(self, index, record, result):
        operation, args = record[0], record[1:]
        if operation == "create":
            self.names[args[0]] = ("f", args[1])
            self.modes[args[1]], self.inos[args[1]] = 0o644, result and result[1]
            self.touch(index, args[1], args[0])
        elif operation == "mkdir":
            self.names[args[0]] = ("d",)
            self.touch(index, args[0] + "/", args[0])
        elif operation == "symlink":
            self.names[args[0]] = ("l", args[1])
            self.touch(index, None, args[0])
        elif operation == "link":
            self.names[args[1]] = self.names[args[0]]
            self.touch(index, self.names[args[0]][-1], args[1])
        elif operation == "rename":
            self.rename(index, *args)
        elif operation in ("unlink", "rmdir"):
            self.touch(index, self.names.pop(args[0])[-1], args[0])
        elif operation == "chmod":
            self.modes[args[0]] = args[1]
            self.touch(index, args[0])
        elif operation == "setxattr":
            self.attributes[args[0]][args[1]] = args[2]
            if args[2] is None:
                del self.attributes[args[0]][args[1]]
            self.touch(index, args[0])
        elif operation in ("truncate", "fallocate"):
            self.touch(index, args[0])

    def touch(self, index, what, *paths):
        self.touched[what] = index
        for path in paths:
            self.touched[os.path.dirname(path) + "/"] = index

    def rename(self, index, old, new):
        if new in self.names:
            self.touch(index, self.names[new][-1])
        moved = {path: entry for path, entry in self.names.items() if path == old or path.startswith(old + "/")}
        for path in moved:
            del self.names[path]
        for path, entry in moved.items():
            self.names[new + path[len(old):]] = entry
            if entry[0] == "d":
                self.touched[new + path[len(old):] + "/"] = self.touched[path + "/"]
        self.touch(index, self.names[new][-1], old, new)

    def seen(self):
        """As found() shows it."""
        links = collections.Counter(entry[1] for entry in self.names.values() if entry[0] == "f")
        return {path: entry if entry[0] != "f" else
                ("f", self.inos[entry[1]], links[entry[1]], self.modes[entry[1]], self.attributes[entry[1]])
                for path, entry in self.names.items()}


# ---- doing it ----

class Worker:
    def __init__(self, top, journal, number, seed):
        self.rnd = random.Random(seed * 1000 + number)
        self.top, self.number, self.serial = top, number, 0
        self.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.index, self.names, self.contents = 0, Names(), {}
        self.own, self.dirs = "p%d" % number, ["p%d" % number]
        self.buffer = mmap.mmap(-1, LARGEST)            # aligned, for direct writes
        self.held = []

    def note(self, record):
        os.write(self.journal, json.dumps(record).encode() + b"\n")

    def do(self, record, action):
        """One operation: its intention and its end are in the journal."""
        self.index += 1
        self.note(record)
        result = ["ok", action()]
        self.note(result)
        self.names.apply(self.index, record, result)
        apply_data(self.contents, self.index, record, result, True)
        return result[1]

    def path(self, name):
        return os.path.join(self.top, name)

    def new_name(self):
        self.serial += 1
        name = "%d" % self.serial + "x" * self.rnd.choice((0, 0, 8, 60, 150))
        if self.rnd.random() < 0.3:
            return "shared/%s_%s" % (self.own, name)
        return self.rnd.choice(self.dirs) + "/" + name

    def files(self):
        return [path for path, entry in self.names.names.items() if entry[0] == "f"]

    def a_file(self):
        path = self.rnd.choice(self.files())
        return path, self.names.names[path][1]

    def opened(self, path, flags, action):
        fd = os.open(self.path(path), flags)
        try:
            return action(fd)
        finally:
            os.close(fd)

    def create(self):
        path, number = self.new_name(), self.number << 20 | self.index

        def action():
            fd = os.open(self.path(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
            ino = os.fstat(fd).st_ino
            os.close(fd)
            return ino
        self.do(["create", path, number], action)
        if self.rnd.random() < 0.7:
            self.write_at(path, number, 0, self.length())

    def length(self):
        return self.rnd.choice((1, 100, 511, 512, 3000, 4096, 5000, 16384, 30000, 65536, self.rnd.randrange(1, 70000)))

    def write_at(self, path, number, off, length, flags=0):
        length = min(length, LARGEST - off)
        if length <= 0:
            return
        data = pattern((number, self.index + 1, 0), off, off + length)

        def action():
            source = data
            if flags & os.O_DIRECT:
                self.buffer[:length] = data
                source = memoryview(self.buffer)[:length]
            if self.opened(path, os.O_RDWR | flags, lambda fd: os.pwrite(fd, source, off)) != length:
                os.statvfs(self.top)                    # is it gone?
                raise OSError(errno.ENOSPC, "short write")
        self.do(["write", number, off, length, bool(flags & os.O_DSYNC)], action)

    def append(self):
        path, number = self.a_file()
        self.write_at(path, number, self.contents[number].size, self.length())

    def overwrite(self):
        path, number = self.a_file()
        off = self.rnd.randrange(self.contents[number].size + 1)
        self.write_at(path, number, off, self.length(), self.rnd.choice((0, 0, 0, os.O_DSYNC)))

    def write_beyond(self):
        path, number = self.a_file()
        self.write_at(path, number, self.contents[number].size + self.rnd.randrange(40000), self.length())

    def direct(self):
        path, number = self.a_file()
        off = self.rnd.randrange(self.contents[number].size + 1) // BLOCK * BLOCK
        self.write_at(path, number, off, self.rnd.randrange(1, 9) * BLOCK, os.O_DIRECT)

    def store(self):
        path, number = self.a_file()
        size = self.contents[number].size
        if not size:
            return
        off = self.rnd.randrange(size)
        length = min(self.length(), size - off)
        data = pattern((number, self.index + 1, 0), off, off + length)
        fd = os.open(self.path(path), os.O_RDWR)
        with mmap.mmap(fd, size) as memory:
            os.close(fd)

            def action():
                memory[off:off + length] = data
            self.do(["store", number, off, length], action)
            if self.rnd.random() < 0.5:
                start = off // mmap.PAGESIZE * mmap.PAGESIZE
                self.do(["msync", number, start, off + length - start], lambda: memory.flush(start, off + length - start))

    def copy(self):
        path, number = self.a_file()
        other, to = self.a_file()
        size = self.contents[number].size
        if number == to or not size:
            return
        off, at = (self.rnd.randrange(s + 1) // BLOCK * BLOCK for s in (size, self.contents[to].size))
        length = min(size - off, LARGEST - at, self.rnd.choice((BLOCK, 65536, LARGEST)))
        if length <= 0:
            return

        def action():
            return self.opened(path, os.O_RDONLY, lambda a: self.opened(
                other, os.O_RDWR, lambda b: os.copy_file_range(a, b, length, off, at)))
        self.do(["copy", number, off, to, at, length], action)

    def truncate(self):
        path, number = self.a_file()
        size = self.rnd.choice((0, 1, 4096, 5000, 50000, self.contents[number].size // 2))
        self.do(["truncate", number, size], lambda: os.truncate(self.path(path), size))

    def fallocate(self):
        path, number = self.a_file()
        mode = self.rnd.choice((0, KEEP_SIZE, PUNCH | KEEP_SIZE, PUNCH | KEEP_SIZE, ZERO, ZERO | KEEP_SIZE))
        off = self.rnd.randrange(self.contents[number].size + 1)
        length = min(self.rnd.choice((300, 4096, 20000, 65536)), LARGEST - off)
        if length <= 0:
            return

        def action():
            def call(fd):
                if libc.fallocate(fd, mode, off, length):
                    raise OSError(ctypes.get_errno(), "fallocate")
            self.opened(path, os.O_RDWR, call)
        self.do(["fallocate", number, mode, off, length], action)

    def mkdir(self):
        if len(self.dirs) > 6:
            return
        path = self.new_name()
        if path.startswith("shared/"):
            return
        self.do(["mkdir", path], lambda: os.mkdir(self.path(path)))
        self.dirs.append(path)

    def rmdir(self):
        empty = [d for d in self.dirs[1:] if not any(p.startswith(d + "/") for p in self.names.names)]
        if empty:
            self.do(["rmdir", empty[0]], lambda: os.rmdir(self.path(empty[0])))
            self.dirs.remove(empty[0])

    def rename(self):
        old, number = self.a_file()
        new = self.new_name()
        if self.rnd.random() < 0.4:                     # over another file
            new = self.rnd.choice(self.files())
            if self.names.names[new][1] == number:
                return
        self.do(["rename", old, new], lambda: os.rename(self.path(old), self.path(new)))

    def rename_directory(self):
        if len(self.dirs) < 2:
            return
        old, new = self.rnd.choice(self.dirs[1:]), self.new_name()
        if new.startswith(("shared/", old + "/")):
            return
        self.do(["rename", old, new], lambda: os.rename(self.path(old), self.path(new)))
        self.dirs = [new + d[len(old):] if d == old or d.startswith(old + "/") else d for d in self.dirs]

    def link(self):
        old, _ = self.a_file()
        new = self.new_name()
        self.do(["link", old, new], lambda: os.link(self.path(old), self.path(new)))

    def symlink(self):
        new, target = self.new_name(), "t" * self.rnd.choice((5, 100, 900))
        self.do(["symlink", new, target], lambda: os.symlink(target, self.path(new)))

    def unlink(self):
        paths = [path for path, entry in self.names.names.items() if entry[0] != "d"]
        path = self.rnd.choice(paths)
        if self.names.names[path][0] == "f" and self.rnd.random() < 0.2:
            self.held = self.held[-3:] + [open(self.path(path), "rb")]
        self.do(["unlink", path], lambda: os.unlink(self.path(path)))

    def chmod(self):
        path, number = self.a_file()
        mode = self.rnd.choice((0o600, 0o640, 0o755))
        self.do(["chmod", number, mode], lambda: os.chmod(self.path(path), mode))

    def setxattr(self):
        path, number = self.a_file()
        name = "user.a%d" % self.rnd.randrange(12)
        value = self.rnd.randbytes(self.rnd.choice((1, 50, 300, 1500, 3000, 9000)))
        self.do(["setxattr", number, name, digest(value)], lambda: os.setxattr(self.path(path), name, value))

    def removexattr(self):
        path, number = self.a_file()
        for name in self.names.attributes[number]:
            self.do(["setxattr", number, name, None], lambda: os.removexattr(self.path(path), name))
            return

    def fsync(self):
        path, number = self.a_file()
        way = self.rnd.choice(("fsync", "fsync", "fdatasync"))
        self.do([way, number], lambda: self.opened(path, os.O_RDONLY, getattr(os, way)))

    def fsync_directory(self):
        path = self.rnd.choice(self.dirs + ["shared"])
        self.do(["fsyncdir", path], lambda: self.opened(path, os.O_RDONLY, os.fsync))

    WAYS = ((create, 14), (append, 14), (overwrite, 12), (write_beyond, 4), (direct, 4), (store, 6), (copy, 4), (truncate, 7),
            (fallocate, 8), (mkdir, 2), (rmdir, 1), (rename, 9), (rename_directory, 1), (link, 3), (symlink, 2), (unlink, 9),
            (chmod, 2), (setxattr, 8), (removexattr, 3), (fsync, 14), (fsync_directory, 3))

    def run(self, deadline):
        ways, weights = zip(*self.WAYS)
        self.do(["mkdir", self.own], lambda: os.mkdir(self.path(self.own)))
        while time.monotonic() < deadline:
            count = len(self.files())
            way = self.rnd.choices(ways, weights)[0]
            if count < 8:
                way = Worker.create
            elif count > 40:
                way = Worker.unlink
            way(self)


def apply_data(contents, index, record, result, sure):
    """@result: None when it is not known how the operation ended; @sure: its transactions are known to have happened."""
    operation, args = record[0], record[1:]
    if operation == "create":
        contents[args[1]] = Contents()
        return
    of = contents.get(args[0])
    if operation == "write":
        of.write(args[1], args[1] + args[2], (args[0], index, 0), args[3] and result is not None)
    elif operation == "store":
        of.write(args[1], args[1] + args[2], (args[0], index, 0))
    elif operation == "copy":
        length = args[4] if result is None else result[1]
        for start, end, value in list(of.copied(args[1], args[1] + length, args[3] - args[1])):
            contents[args[2]].write(start, end, value)
    elif operation == "truncate":
        of.resize(args[1], sure)
    elif operation == "fallocate":
        mode, off, length = args[1:]
        if mode & (PUNCH | ZERO):
            of.zero(off, off + length, sure)
        if not mode & KEEP_SIZE and off + length > of.size:
            of.resize(off + length, sure)
    elif operation in ("fsync", "fdatasync") and result:
        of.synced()
    elif operation == "msync" and result:
        of.synced(args[1], args[1] + args[2])


def work_alone(args, number):
    worker = Worker(args.dir, os.path.join(args.journals, "p%d" % number), number, args.seed)
    try:
        worker.run(time.monotonic() + args.seconds)
    except OSError as error:
        if error.errno not in GONE:
            print("worker %d, operation %d: %s" % (number, worker.index, error), file=sys.stderr)
            return 2
    return 0


def clear(top):
    try:
        for path, dirs, files in os.walk(top, topdown=False):
            for name in files + [d for d in dirs if os.path.islink(os.path.join(path, d))]:
                os.unlink(os.path.join(path, name))
            os.rmdir(path)
    except OSError as error:
        if error.errno not in GONE + (errno.ENOENT, errno.ENOTEMPTY):
            print("clearing:", error, file=sys.stderr)
            return 2
    return 0


def work(args):
    os.makedirs(args.journals)
    os.makedirs(os.path.join(args.dir, "shared"))
    jobs = [lambda number=number: work_alone(args, number) for number in range(1, args.workers + 1)]
    if args.clear:
        jobs.append(lambda: clear(args.clear))
    children = []
    for job in jobs:
        pid = os.fork()
        if not pid:
            signal.alarm(300)
            os._exit(job())
        children.append(pid)
    worst = 0
    for pid in children:
        _, status = os.waitpid(pid, 0)
        # A store to a page of a volume that is gone is a SIGBUS.
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS):
            worst = max(worst, os.WEXITSTATUS(status) if os.WIFEXITED(status) else 3)
    return worst


# ---- checking it ----

def read_journal(path):
    """(record, result or None) of each operation."""
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    records = [[lines[i], lines[i + 1] if i + 1 < len(lines) else None] for i in range(0, len(lines), 2)]
    return records


def found(top, worker):
    """path -> what is there, of the names of one worker."""
    there = {}

    def look(path):
        full = os.path.join(top, path)
        info = os.lstat(full)
        if stat.S_ISDIR(info.st_mode):
            there[path] = ("d",)
            for name in os.listdir(full):
                look(path + "/" + name)
        elif stat.S_ISLNK(info.st_mode):
            there[path] = ("l", os.readlink(full))
        else:
            attributes = {name: digest(os.getxattr(full, name)) for name in os.listxattr(full) if name.startswith("user.")}
            there[path] = ("f", info.st_ino, info.st_nlink, info.st_mode & 0o7777, attributes)
    if os.path.exists(os.path.join(top, worker)):
        look(worker)
    for name in os.listdir(os.path.join(top, "shared")) if os.path.exists(os.path.join(top, "shared")) else []:
        if name.startswith(worker + "_"):
            look("shared/" + name)
    return there


def alike(wanted, there):
    """Equal; the inode number of a file whose creation never returned is not known."""
    if wanted.keys() != there.keys():
        return False
    return all(wanted[path] == there[path] or (wanted[path][0] == "f" and wanted[path][1] is None and
                                               there[path][0] == "f" and wanted[path][2:] == there[path][2:])
               for path in wanted)


def promised(names, record):
    """The last operation that this sync, which was answered, has made durable."""
    if record[0] == "fsyncdir":
        return names.touched[record[1] + "/"]
    return names.touched[record[1]] if record[0] == "fsync" else 0


def differences(wanted, there):
    for path in sorted(wanted.keys() | there.keys()):
        if wanted.get(path) != there.get(path):
            yield "  %s: wanted %s, found %s" % (path[:60], wanted.get(path), there.get(path))


def check_worker(top, journal, worker):
    records = read_journal(journal)
    names, least = Names(), 0
    for index, (record, result) in enumerate(records, 1):
        if result:
            least = max(least, promised(names, record))
        names.apply(index, record, result)
    there = found(top, worker)
    names, matching, here = Names(), None, None
    for index in range(0, len(records) + 1):
        if index:
            names.apply(index, *records[index - 1])
        if index >= least:
            here = names.seen()
            if index == least:
                first = here
            if alike(here, there):
                matching = index
                break
    if matching is None:
        print("%s: what is found is not what there was after any operation from %d, which is promised, to %d" %
              (worker, least, len(records)))
        print("after %d:" % least, *differences(first, there), sep="\n")
        print("after %d:" % len(records), *differences(here, there), sep="\n")
        return 1, len(records)
    contents, failures = {}, 0
    for index, (record, result) in enumerate(records, 1):
        apply_data(contents, index, record, result, index <= matching)
    for path, entry in names.names.items():
        if entry[0] == "f":
            with open(os.path.join(top, path), "rb") as file:
                why = contents[entry[1]].violation(file.read())
            if why:
                print("%s: %s (file %d, operations match up to %d)" % (path[:60], why, entry[1], matching))
                failures += 1
    return failures, len(records)


def check(args):
    failures = operations = 0
    for worker in sorted(os.listdir(args.journals)):
        more, count = check_worker(args.dir, os.path.join(args.journals, worker), worker)
        failures += more
        operations += count
    print("%d operations, %d violations" % (operations, failures))
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("work", "check"))
    parser.add_argument("dir")
    parser.add_argument("journals")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clear")
    args = parser.parse_args()
    return {"work": work, "check": check}[args.what](args)


if __name__ == "__main__":
    sys.exit(main())
