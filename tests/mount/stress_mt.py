#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""One of several processes that work at once in the directory DIR for SECONDS: files of its own, whose contents it knows, and
files, names and directories that all of them share and whose contents only have to be whole.

    stress_mt.py DIR NUMBER SECONDS      works, then checks its own files
    stress_mt.py DIR NUMBER check        checks what the process of that number left
"""
import errno
import json
import mmap
import os
import random
import sys
import time

BLOCK = 512
EXPECTED = (errno.EINVAL, errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


class Worker:
    def __init__(self, number, seed):
        self.number, self.random = number, random.Random(seed)
        self.own = {}                  # name -> content

    def shared(self):
        return f"shared/{self.random.choice('abcdefgh')}"

    def own_write(self):
        name = f"own-{self.number}/f{self.random.randrange(20)}"
        content = self.own.setdefault(name, bytearray())
        start, data = self.random.randrange(200000), self.random.randbytes(self.random.randrange(1, 60000))
        with open(name, "r+b" if os.path.exists(name) else "w+b", buffering=0) as file:
            file.seek(start)
            assert file.write(data) == len(data)
            if self.random.randrange(8) == 0:
                os.fsync(file.fileno())
        content.extend(bytes(max(0, start + len(data) - len(content))))
        content[start:start + len(data)] = data

    def own_map(self):
        name = self.pick_own()
        if not name or not self.own[name]:
            return
        content = self.own[name]
        with open(name, "r+b") as file, mmap.mmap(file.fileno(), len(content)) as memory:
            start = self.random.randrange(len(content))
            data = self.random.randbytes(min(5000, len(content) - start))
            memory[start:start + len(data)] = data
        content[start:start + len(data)] = data

    def own_truncate(self):
        name = self.pick_own()
        if name:
            size = self.random.randrange(250000)
            os.truncate(name, size)
            del self.own[name][size:]
            self.own[name].extend(bytes(size - len(self.own[name])))

    def own_remove(self):
        name = self.pick_own()
        if name:
            os.unlink(name)
            del self.own[name]

    def own_rename(self):
        name = self.pick_own()
        if name:
            new = f"own-{self.number}/f{self.random.randrange(20)}"
            os.rename(name, new)
            self.own[new] = self.own.pop(name)

    def own_check(self, name=None):
        name = name or self.pick_own()
        if name:
            with open(name, "rb") as file:
                got = file.read()
            if got != self.own[name]:
                where = next((i for i, (a, b) in enumerate(zip(got, self.own[name])) if a != b), "the end")
                raise AssertionError(f"{name} is wrong at {where}; {len(got)} bytes, {len(self.own[name])} expected")

    def pick_own(self):
        return self.random.choice(sorted(self.own)) if self.own else None

    def shared_write(self):
        """Blocks of one byte each, of one write each: a reader must never see a mixed one."""
        fd = os.open(self.shared(), os.O_CREAT | os.O_RDWR)
        try:
            os.pwrite(fd, bytes([self.random.randrange(1, 256)]) * BLOCK, self.random.randrange(100) * BLOCK)
            os.pread(fd, 65536, 0)
        finally:
            os.close(fd)

    def shared_names(self):
        name, other = self.shared() + "n", self.shared() + "n"
        action = self.random.randrange(7)
        if action == 0:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        elif action == 1:
            os.unlink(name)
        elif action == 2:
            os.rename(name, other)
        elif action == 3:
            os.link(name, other)
        elif action == 4:
            os.symlink("x" * self.random.randrange(1, 1000), other)
        elif action == 5:
            os.mkdir(name + "d")
            os.close(os.open(f"{name}d/inside", os.O_CREAT | os.O_WRONLY))
        else:
            os.rename(name + "d", f"{other}d/{self.number}")    # also into itself

    def shared_attributes(self):
        name = self.shared()
        os.chmod(name, self.random.randrange(0o600, 0o777))
        os.setxattr(name, f"user.{self.random.randrange(20)}", self.random.randbytes(self.random.randrange(3000)))

    def shared_remove_tree(self):
        top = self.shared() + "nd"
        for directory, _, files in os.walk(top, topdown=False):
            for file in files:
                os.unlink(f"{directory}/{file}")
            os.rmdir(directory)

    def shared_read(self):
        os.listdir("shared")
        for entry in os.scandir("shared"):
            entry.stat(follow_symlinks=False)

    def run(self, seconds):
        end, count = time.monotonic() + seconds, 0
        choices = [self.own_write] * 6 + [self.own_map, self.own_truncate, self.own_remove, self.own_rename] + [self.own_check] * 2 + \
            [self.shared_write] * 4 + [self.shared_names] * 6 + [self.shared_attributes, self.shared_remove_tree, self.shared_read]
        while time.monotonic() < end:
            action = self.random.choice(choices)
            try:
                action()
            except OSError as error:
                if action.__name__.startswith("own") or error.errno not in EXPECTED:
                    raise
            count += 1
        return count


def main():
    top, number, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.chdir(top)
    book = f"../stress-book-{number}"
    worker = Worker(number, number)
    if what == "check":
        worker.own = {name: bytes.fromhex(content) for name, content in json.load(open(book)).items()}
        assert sorted(os.listdir(f"own-{number}")) == sorted(os.path.basename(n) for n in worker.own), "names"
    else:
        os.makedirs(f"own-{number}", exist_ok=True)
        os.makedirs("shared", exist_ok=True)
        count = worker.run(float(what))
        json.dump({name: content.hex() for name, content in worker.own.items()}, open(book, "w"))
        print(f"process {number}: {count} operations")
    for name in worker.own:
        worker.own_check(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
