#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What system calls do to files on a mounted XFS volume, one test for each function.

    files.py DIR [NAME...]

The same program runs on the kernel's XFS, to see that it asks for nothing but what XFS does.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import subprocess
import sys
import time
import traceback

RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO_RANGE, INSERT = 1, 2, 8, 16, 32
AT_FDCWD, AT_SYMLINK_FOLLOW, STATX_BTIME = -100, 0x400, 0x800
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
is_fuse = False                 # set in main
is_writeback = "writeback" in os.environ.get("MODE", "")    # what is written stays in the kernel until it is synced


def checked(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def renameat2(old, new, flags):
    checked(libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


def fallocate(fd, mode, start, length):
    checked(libc.fallocate(fd, mode, start, length))


def link_open_file(fd, name):
    checked(libc.linkat(AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, os.fsencode(name), AT_SYMLINK_FOLLOW))


class raises:
    """with raises(errno.X, ...): the body fails with one of these errors."""

    def __init__(self, *codes):
        self.codes = codes

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        names = [errno.errorcode[c] for c in self.codes]
        assert error is not None, f"succeeded, not {names}"
        if isinstance(error, OSError):
            assert error.errno in self.codes, f"{errno.errorcode.get(error.errno)} instead of {names}"
            return True
        return False


def make(name, content=b""):
    with open(name, "wb") as file:
        file.write(content)


def read(name):
    with open(name, "rb") as file:
        return file.read()


def as_user(uid, function, gid=None):
    """Runs @function in a child without privileges; True: it did not raise."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(gid or uid)
            os.setuid(uid)
            function()
        except BaseException as error:
            print("as user:", repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


# ---- names ----

def test_rename_replaces_and_noreplace_refuses():
    make("a", b"1")
    make("b", b"2")
    with raises(errno.EEXIST):
        renameat2("a", "b", RENAME_NOREPLACE)
    renameat2("a", "c", RENAME_NOREPLACE)
    os.rename("c", "b")
    assert read("b") == b"1" and not os.path.exists("c")


def test_rename_exchanges_a_file_and_a_directory():
    make("file", b"f")
    os.mkdir("dir")
    make("dir/inside", b"i")
    os.mkdir("other")
    os.rename("file", "other/file")
    renameat2("other/file", "dir", RENAME_EXCHANGE)
    assert read("dir") == b"f" and read("other/file/inside") == b"i"
    assert os.stat(".").st_nlink == 2 + 1 and os.stat("other").st_nlink == 3


def test_rename_leaves_a_whiteout():
    make("file", b"f")
    renameat2("file", "moved", RENAME_WHITEOUT)
    st = os.lstat("file")
    assert stat.S_ISCHR(st.st_mode) and st.st_rdev == 0 and read("moved") == b"f"


def test_rename_refuses_what_cannot_be():
    os.mkdir("dir")
    os.mkdir("full")
    make("full/file")
    make("file")
    with raises(errno.ENOTEMPTY, errno.EEXIST):
        os.rename("dir", "full")
    with raises(errno.EISDIR):
        os.rename("file", "dir")
    with raises(errno.ENOTDIR):
        os.rename("dir", "file")
    with raises(errno.EINVAL):
        os.rename("full", "full/below")
    with raises(errno.ENOENT):
        os.rename("nothing", "x")


def test_directories_know_their_parent_after_a_move():
    os.makedirs("a/b")
    os.mkdir("c")
    os.rename("a/b", "c/b")
    assert os.stat("c/b/..").st_ino == os.stat("c").st_ino
    assert os.stat("a").st_nlink == 2 and os.stat("c").st_nlink == 3


def test_names_of_255_bytes_are_the_longest():
    make("n" * 255)
    with raises(errno.ENAMETOOLONG):
        make("n" * 256)
    assert os.listdir(".") == ["n" * 255]


def test_removing_what_is_not_there_or_not_empty():
    os.makedirs("dir/sub")
    make("file")
    with raises(errno.ENOTEMPTY):
        os.rmdir("dir")
    with raises(errno.ENOTDIR):
        os.rmdir("file")
    with raises(errno.EISDIR, errno.EPERM):
        os.unlink("dir")
    with raises(errno.ENOENT):
        os.unlink("none")


def test_hard_links_count_and_directories_have_none():
    make("file", b"x")
    for i in range(10):
        os.link("file", f"link-{i}")
    assert os.stat("link-3").st_nlink == 11
    os.unlink("file")
    assert os.stat("link-3").st_nlink == 10 and read("link-9") == b"x"
    os.mkdir("dir")
    with raises(errno.EPERM):
        os.link("dir", "dir-link")


def test_listing_goes_on_while_entries_are_removed():
    os.mkdir("dir")
    for i in range(3000):
        make(f"dir/entry-{i}")
    seen = []
    with os.scandir("dir") as listing:
        for entry in listing:
            seen.append(entry.name)
            if len(seen) % 3 == 0:
                os.unlink(f"dir/{entry.name}")
    assert len(seen) == len(set(seen)) == 3000, len(seen)
    assert len(os.listdir("dir")) == 2000


def test_a_listing_can_be_taken_up_in_the_middle():
    os.mkdir("dir")
    names = {f"entry-{i}" for i in range(1500)}
    for name in names:
        make(f"dir/{name}")
    first = subprocess.run(["ls", "-U", "dir"], capture_output=True, text=True, check=True).stdout.split()
    make("dir/new")
    second = subprocess.run(["ls", "-U", "dir"], capture_output=True, text=True, check=True).stdout.split()
    assert set(first) == names and set(second) == names | {"new"}


def test_symbolic_links_of_all_lengths():
    for length in (1, 100, 335, 336, 337, 1000, 1023):
        os.symlink("x" * length, f"l{length}")
        assert os.readlink(f"l{length}") == "x" * length
        assert os.lstat(f"l{length}").st_size == length
    with raises(errno.ENAMETOOLONG):
        os.symlink("x" * 1025, "too-long")


# ---- open files ----

def test_unlinked_files_live_while_they_are_open():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"data" * 1000)
    os.unlink("file")
    assert os.fstat(fd).st_nlink == 0
    os.pwrite(fd, b"more", 100000)
    assert os.pread(fd, 4, 100000) == b"more" and os.pread(fd, 4, 0) == b"data"
    os.ftruncate(fd, 3)
    assert os.fstat(fd).st_size == 3
    os.close(fd)


def test_tmpfile_has_no_name_until_it_is_linked():
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"temporary")
    assert os.fstat(fd).st_nlink == 0 and os.listdir(".") == []
    link_open_file(fd, "linked")
    os.close(fd)
    assert read("linked") == b"temporary" and os.stat("linked").st_nlink == 1
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o640)
    with raises(errno.ENOENT):
        link_open_file(fd, "not-this")
    os.close(fd)


def test_append_goes_to_the_end_whoever_writes():
    one = os.open("file", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    two = os.open("file", os.O_WRONLY | os.O_APPEND)
    for i in range(100):
        os.write(one, b"one!")
        os.write(two, b"two!")
    assert read("file") == b"one!two!" * 100


def test_truncation_at_open_and_both_ways():
    make("file", b"x" * 10000)
    os.close(os.open("file", os.O_WRONLY | os.O_TRUNC))
    assert os.stat("file").st_size == 0 and os.stat("file").st_blocks == 0
    os.truncate("file", 5000)
    assert read("file") == bytes(5000)
    make("file", b"y" * 5000)
    os.truncate("file", 100)
    os.truncate("file", 5000)
    assert read("file") == b"y" * 100 + bytes(4900)


def test_exclusive_creation():
    make("file")
    with raises(errno.EEXIST):
        os.open("file", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.symlink("nowhere", "link")
    with raises(errno.EEXIST):
        os.open("link", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


# ---- data ----

def test_mapped_stores_and_writes_see_each_other():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 40000)
    memory = mmap.mmap(fd, 40000)
    memory[10000:10004] = b"mmap"
    assert os.pread(fd, 4, 10000) == b"mmap"
    os.pwrite(fd, b"write", 20000)
    assert memory[20000:20005] == b"write"
    memory[20002:20003] = b"I"
    os.pwrite(fd, b"W", 20000)
    assert memory[20000:20005] == b"WrIte"
    memory.flush()
    os.fsync(fd)
    assert os.pread(fd, 5, 20000) == b"WrIte" and os.pread(fd, 4, 10000) == b"mmap"
    memory.close()
    os.close(fd)
    assert read("file")[20000:20005] == b"WrIte"


def test_a_private_mapping_changes_nothing():
    make("file", b"a" * 8192)
    fd = os.open("file", os.O_RDWR)
    memory = mmap.mmap(fd, 8192, flags=mmap.MAP_PRIVATE)
    memory[0:4] = b"bbbb"
    assert read("file") == b"a" * 8192


def test_direct_and_buffered_io_see_each_other():
    make("file", b"a" * 65536)
    fd = os.open("file", os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, 8192)
    buffer[:] = b"d" * 8192
    assert os.pwritev(fd, [buffer], 8192) == 8192
    assert read("file") == b"a" * 8192 + b"d" * 8192 + b"a" * 49152
    with open("file", "r+b") as other:
        other.seek(8192)
        other.write(b"B" * 4096)
    assert os.preadv(fd, [buffer], 8192) == 8192
    assert buffer[:] == b"B" * 4096 + b"d" * 4096
    # Past EOF, and over it.
    assert os.pwritev(fd, [buffer], 1 << 20) == 8192
    assert os.fstat(fd).st_size == (1 << 20) + 8192
    assert os.preadv(fd, [buffer], 524288) == 8192 and buffer[:] == bytes(8192)


def test_synchronous_writes_need_no_more():
    fd = os.open("file", os.O_CREAT | os.O_WRONLY | os.O_DSYNC)
    os.write(fd, b"x" * 10000)
    fd2 = os.open("file2", os.O_CREAT | os.O_WRONLY | os.O_SYNC)
    os.write(fd2, b"x" * 10000)
    if is_fuse:
        for name in ("file", "file2"):
            assert b"delayed" not in os.getxattr(name, "system.userxfs.extents")


def test_fallocate_allocates_within_and_past_the_end():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    fallocate(fd, 0, 0, 100000)
    st = os.fstat(fd)
    assert st.st_size == 100000 and st.st_blocks >= 196
    assert read("file") == bytes(100000)
    fallocate(fd, KEEP_SIZE, 100000, 100000)
    assert os.fstat(fd).st_size == 100000 and os.fstat(fd).st_blocks >= 391
    os.close(fd)
    # What was asked for stays when the file is closed.
    assert os.stat("file").st_blocks >= 391


def test_fallocate_punches_and_zeroes():
    make("file", b"x" * 100000)
    fd = os.open("file", os.O_RDWR)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 10001, 50000)
    assert read("file") == b"x" * 10001 + bytes(50000) + b"x" * 39999
    assert os.fstat(fd).st_blocks < 200 - 80
    fallocate(fd, ZERO_RANGE, 90000, 20000)
    assert read("file") == b"x" * 10001 + bytes(50000) + b"x" * 29999 + bytes(20000)
    fallocate(fd, ZERO_RANGE | KEEP_SIZE, 109000, 90000)
    assert os.fstat(fd).st_size == 110000
    with raises(errno.EOPNOTSUPP, errno.EINVAL):
        fallocate(fd, PUNCH_HOLE, 0, 4096)
    with raises(errno.EFBIG):
        fallocate(fd, 0, 1 << 62, 1 << 62)
    with raises(errno.EINVAL):
        fallocate(fd, 0, 0, 0)


def test_seek_finds_data_and_holes():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, b"a" * 4096, 0)
    os.pwrite(fd, b"b" * 4096, 1 << 20)
    os.ftruncate(fd, 2 << 20)
    for step in ("not written back yet", "written back"):
        # Speculation may make the end of the first piece later, but not by more than it can be.
        assert os.lseek(fd, 0, os.SEEK_DATA) == 0, step
        hole = os.lseek(fd, 0, os.SEEK_HOLE)
        assert 4096 <= hole < 1 << 20, (step, hole)
        assert os.lseek(fd, hole, os.SEEK_DATA) == 1 << 20, step
        assert os.lseek(fd, 1 << 20, os.SEEK_HOLE) >= (1 << 20) + 4096, step
        os.fsync(fd)
    with raises(errno.ENXIO):
        os.lseek(fd, 2 << 20, os.SEEK_DATA)
    fallocate(fd, 0, 1500000, 100000)
    with raises(errno.ENXIO):
        os.lseek(fd, 1500000, os.SEEK_DATA)


def test_blocks_are_counted_before_they_are_allocated():
    fd = os.open("file", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"x" * 1000000)
    assert is_writeback or os.fstat(fd).st_blocks >= 1954
    os.close(fd)
    os.sync()


def test_copy_file_range_copies():
    content = os.urandom(300000)
    make("from", content)
    source, target = os.open("from", os.O_RDONLY), os.open("to", os.O_CREAT | os.O_RDWR)
    done = 0
    while done < 250000:
        n = os.copy_file_range(source, target, 250000 - done, 1000 + done, 7 + done)
        assert n > 0
        done += n
    assert read("to") == bytes(7) + content[1000:251000]
    assert os.copy_file_range(source, target, 1000, 400000, 0) == 0


def test_large_offsets():
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    far = (1 << 62) + 12345
    os.pwrite(fd, b"far", far)
    assert os.fstat(fd).st_size == far + 3 and os.pread(fd, 10, far) == b"far"
    os.fsync(fd)
    os.ftruncate(fd, 0)
    assert os.fstat(fd).st_blocks == 0
    with raises(errno.EFBIG, errno.EINVAL):
        os.pwrite(fd, b"x", (1 << 63) - 1)


# ---- attributes ----

def test_times_change_as_they_must():
    make("file", b"x")
    os.utime("file", ns=(10**18 + 1, 10**18 + 2))
    assert (os.stat("file").st_atime_ns, os.stat("file").st_mtime_ns) == (10**18 + 1, 10**18 + 2)
    before = time.time_ns() - 10**8
    with open("file", "ab") as file:
        file.write(b"y")
    st = os.stat("file")
    assert st.st_mtime_ns >= before and st.st_ctime_ns >= before
    os.mkdir("dir")
    os.utime("dir", ns=(0, 0))
    make("dir/new")
    assert os.stat("dir").st_mtime_ns >= before
    os.utime("dir", ns=(0, 0))
    os.unlink("dir/new")
    assert os.stat("dir").st_mtime_ns >= before
    old = os.stat("file").st_ctime_ns
    time.sleep(0.02)
    os.link("file", "link")
    assert os.stat("file").st_ctime_ns > old


def test_truncation_to_the_same_size_changes_times_only_through_a_descriptor():
    for name, size in ("empty", 0), ("full", 5000):
        make(name, b"x" * size)
        os.utime(name, ns=(10**18, 10**18))
        os.truncate(name, size)
        assert os.stat(name).st_mtime_ns == 10**18, name
        with open(name, "r+b") as file:
            os.ftruncate(file.fileno(), size)
        assert os.stat(name).st_mtime_ns != 10**18, name
        os.utime(name, ns=(10**18, 10**18))
        os.truncate(name, size + 1)
        assert os.stat(name).st_mtime_ns != 10**18, name


def test_changed_flags_change_the_change_time():
    make("file")
    fd = os.open("file", os.O_RDONLY)
    old = os.stat("file").st_ctime_ns
    time.sleep(0.02)
    fcntl.ioctl(fd, 0x40086602, struct.pack("=q", 0x40))        # FS_IOC_SETFLAGS, FS_NODUMP_FL
    os.close(fd)
    assert os.stat("file").st_ctime_ns > old or is_writeback        # then the kernel goes by its own


def test_listing_and_following_change_the_access_time():
    os.mkdir("dir")
    make("dir/file")
    os.symlink("dir", "link")
    for name, look in ("dir", os.listdir), ("link", os.readlink):
        os.utime(name, ns=(10**18, 10**18), follow_symlinks=False)
        look(name)
        assert os.stat(name, follow_symlinks=False).st_atime_ns != 10**18, name


def test_reading_changes_the_access_time_but_not_with_noatime():
    for name, flags, changes in ("read", 0, True), ("noatime", os.O_NOATIME, False):
        make(name, b"x" * 5000)
        os.utime(name, ns=(10**18 + 1, 10**18 + 2))
        fd = os.open(name, os.O_RDONLY | flags)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)      # what the kernel has is read without us
        assert os.read(fd, 5000) == b"x" * 5000
        os.close(fd)
        assert (os.stat(name).st_atime_ns != 10**18 + 1) == changes, name


def test_statx_knows_the_time_of_birth():
    before = time.time() - 0.1
    make("file")
    os.utime("file", (0, 0))
    buffer = ctypes.create_string_buffer(256)
    checked(libc.statx(AT_FDCWD, b"file", 0, STATX_BTIME, buffer))
    mask, = struct.unpack_from("=I", buffer, 0)
    seconds, = struct.unpack_from("=q", buffer, 80)
    assert mask & STATX_BTIME and before - 1 <= seconds <= time.time()


def test_attribute_flags_create_and_replace():
    make("file")
    with raises(errno.ENODATA):
        os.setxattr("file", "user.a", b"1", os.XATTR_REPLACE)
    os.setxattr("file", "user.a", b"1", os.XATTR_CREATE)
    with raises(errno.EEXIST):
        os.setxattr("file", "user.a", b"2", os.XATTR_CREATE)
    os.setxattr("file", "user.a", b"3", os.XATTR_REPLACE)
    assert os.getxattr("file", "user.a") == b"3"
    os.removexattr("file", "user.a")
    with raises(errno.ENODATA):
        os.getxattr("file", "user.a")
    with raises(errno.ENODATA):
        os.removexattr("file", "user.a")
    with raises(errno.EOPNOTSUPP):
        os.setxattr("file", "nonsense.a", b"1")
    with raises(errno.E2BIG, errno.ERANGE):
        os.setxattr("file", "user.a", bytes(65537))
    os.symlink("x", "link")
    with raises(errno.EPERM):
        os.setxattr("link", "user.a", b"1", follow_symlinks=False)


def test_extents_can_be_asked_for():
    if not is_fuse:
        return
    with open("file", "wb") as file:
        file.write(b"x" * 100000)
        file.flush()
        assert is_writeback or b"delayed" in os.getxattr("file", "system.userxfs.extents")
        os.fsync(file.fileno())
        lines = os.getxattr("file", "system.userxfs.extents").decode().split("\n")
        assert lines[0].startswith("0+25 written @"), lines
    with raises(errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL):
        os.setxattr("file", "system.userxfs.extents", b"")
    assert "system.userxfs.extents" not in os.listxattr("file")


# ---- needs root ----

def root_test_setgid_directories_hand_on_their_group():
    os.mkdir("dir")
    os.chown("dir", 0, 4321)
    os.chmod("dir", 0o2777)
    make("dir/file")
    os.mkdir("dir/sub")
    assert os.stat("dir/file").st_gid == 4321
    assert os.stat("dir/sub").st_gid == 4321 and os.stat("dir/sub").st_mode & 0o2000
    # A member of another group may not make setgid programs this way.
    assert as_user(1234, lambda: os.close(os.open("dir/mine", os.O_CREAT | os.O_WRONLY, 0o2755)))
    assert os.stat("dir/mine").st_gid == 4321 and not os.stat("dir/mine").st_mode & 0o2000


def root_test_suid_goes_when_a_user_writes():
    make("source", b"y" * 4096)

    def change(name, how, flags=0):
        fd = os.open(name, os.O_WRONLY | flags)
        how(fd)
        os.close(fd)

    def copy(fd):
        source = os.open("source", os.O_RDONLY)
        assert os.copy_file_range(source, fd, 4096) == 4096
        os.close(source)

    def write(name, flags=0):
        change(name, lambda fd: os.write(fd, mmap.mmap(-1, 4096)), flags)

    ways = {
        "written": write,
        "direct": lambda name: write(name, os.O_DIRECT),
        "truncated": lambda name: os.truncate(name, os.stat(name).st_size // 2),
        "allocated": lambda name: change(name, lambda fd: fallocate(fd, 0, 0, 8192)),
        "punched": lambda name: change(name, lambda fd: fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 4096)),
        "copied": lambda name: change(name, copy),
    }
    for name, way in ways.items():
        make(name, b"x" * 4096)
        os.chmod(name, 0o6777)
        way(name)
        assert os.stat(name).st_mode & 0o7777 == 0o6777, f"root's {name}"
        os.chmod(name, 0o6777)
        assert as_user(1234, lambda: way(name)), name
        assert os.stat(name).st_mode & 0o7777 == 0o777, name
    make("root", b"x")
    os.setxattr("root", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))
    write("root")
    with raises(errno.ENODATA):
        os.getxattr("root", "security.capability")


def root_test_chown_clears_suid():
    make("file")
    os.chmod("file", 0o6755)
    os.chown("file", 1000, 1000)
    assert os.stat("file").st_mode & 0o7777 == 0o755


def root_test_permissions_are_checked():
    make("secret", b"s")
    os.chmod("secret", 0o600)
    os.mkdir("closed")
    os.chmod("closed", 0o700)
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    make("sticky/roots")

    def try_all():
        for action in (lambda: open("secret"), lambda: os.listdir("closed"), lambda: os.mkdir("here"),
                       lambda: os.unlink("sticky/roots"), lambda: os.chmod("secret", 0o777)):
            with raises(errno.EACCES, errno.EPERM):
                action()
        with raises(errno.EPERM):
            os.setxattr("sticky", "trusted.x", b"1")
    assert as_user(1234, try_all)


def root_test_immutable_and_append_only():
    make("file", b"old")
    subprocess.run(["chattr", "+i", "file"], check=True)
    try:
        assert "i" in subprocess.run(["lsattr", "file"], capture_output=True, text=True, check=True).stdout.split()[0]
        for action in (lambda: open("file", "ab"), lambda: os.unlink("file"), lambda: os.rename("file", "x"),
                       lambda: os.chmod("file", 0o600), lambda: os.link("file", "y"), lambda: os.truncate("file", 0),
                       lambda: os.setxattr("file", "user.a", b"1"), lambda: os.utime("file", (0, 0))):
            with raises(errno.EPERM, errno.EACCES):
                action()
    finally:
        subprocess.run(["chattr", "-i", "file"], check=True)
    subprocess.run(["chattr", "+a", "file"], check=True)
    try:
        with open("file", "ab") as file:
            file.write(b" and new")
        for action in (lambda: open("file", "r+b"), lambda: os.unlink("file"), lambda: os.truncate("file", 0)):
            with raises(errno.EPERM):
                action()
    finally:
        subprocess.run(["chattr", "-a", "file"], check=True)
    assert read("file") == b"old and new"
    os.mkdir("dir")
    subprocess.run(["chattr", "+i", "dir"], check=True)
    try:
        with raises(errno.EPERM, errno.EACCES):
            make("dir/new")
    finally:
        subprocess.run(["chattr", "-i", "dir"], check=True)


def fsxattr(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return struct.unpack("=IIIII8x", fcntl.ioctl(fd, 0x801C581F, bytes(28)))
    finally:
        os.close(fd)


def set_fsxattr(path, xflags, extsize, project):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, 0x401C5820, struct.pack("=IIIII8x", xflags, extsize, 0, project, 0))
    finally:
        os.close(fd)


def root_test_project_ids_are_inherited():
    os.mkdir("dir")
    set_fsxattr("dir", 0x200, 0, 4242)          # PROJINHERIT
    make("dir/file")
    os.mkdir("dir/sub")
    assert fsxattr("dir/file")[3] == 4242 and fsxattr("dir/sub")[3] == 4242 and fsxattr("dir/sub")[0] & 0x200
    make("outside")
    assert fsxattr("outside")[3] == 0
    with raises(errno.EXDEV):
        os.rename("outside", "dir/outside")
    with raises(errno.EXDEV):
        os.link("outside", "dir/outside")


def root_test_extent_size_hints():
    make("file")
    set_fsxattr("file", 0x800, 65536, 0)        # EXTSIZE
    assert fsxattr("file")[1] == 65536
    # Within the file, where closing trims nothing.
    os.truncate("file", 1 << 20)
    with open("file", "r+b") as file:
        file.seek(100000)
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
    assert os.stat("file").st_blocks == 128
    with raises(errno.EINVAL):
        set_fsxattr("file", 0x800, 1000, 0)


def root_test_devices_and_fifos():
    os.mkfifo("fifo", 0o644)
    os.mknod("null", 0o20666, os.makedev(1, 3))
    with open("null", "wb") as file:
        file.write(b"x")
    pid = os.fork()
    if pid == 0:
        with open("fifo", "wb") as file:
            file.write(b"through")
        os._exit(0)
    assert read("fifo") == b"through"
    os.waitpid(pid, 0)


def root_test_file_handles_survive_forgetting():
    os.mkdir("dir")
    make("dir/file", b"by handle")
    buffer = ctypes.create_string_buffer(8 + 128)
    struct.pack_into("=I", buffer, 0, 128)
    mount_id = ctypes.c_int()
    checked(libc.name_to_handle_at(AT_FDCWD, b"dir/file", buffer, ctypes.byref(mount_id), 0))
    with open("/proc/sys/vm/drop_caches", "w") as drop:
        drop.write("2")
    mount_fd = os.open(".", os.O_RDONLY)
    fd = checked(libc.open_by_handle_at(mount_fd, buffer, os.O_RDONLY))
    assert os.read(fd, 100) == b"by handle"
    os.close(fd)
    os.unlink("dir/file")
    with open("/proc/sys/vm/drop_caches", "w") as drop:
        drop.write("2")
    # The kernel tells of closing and forgetting when it likes, and the file is there until then.
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.close(checked(libc.open_by_handle_at(mount_fd, buffer, os.O_RDONLY)))
        except OSError as error:
            assert error.errno == errno.ESTALE, error
            break
        with open("/proc/sys/vm/drop_caches", "w") as drop:
            drop.write("2")
    else:
        raise AssertionError("the handle of a file that is gone still opens it")


def main():
    global is_fuse
    top = os.path.abspath(sys.argv[1])
    is_fuse = any(line.split()[4] == os.path.realpath(top) and " - fuse" in line for line in open("/proc/self/mountinfo"))
    failed = count = 0
    for name, function in list(globals().items()):
        if not name.startswith("test_") and not (name.startswith("root_test_") and os.geteuid() == 0):
            continue
        if sys.argv[2:] and not any(word in name for word in sys.argv[2:]):
            continue
        os.mkdir(f"{top}/{name}")
        os.chmod(f"{top}/{name}", 0o755)
        os.chdir(f"{top}/{name}")
        count += 1
        try:
            function()
        except BaseException as error:
            failed += 1
            where = " < ".join(f"line {f.lineno}" for f in reversed(traceback.extract_tb(error.__traceback__)[1:]))
            print(f"FAILED: {name.replace('_', ' ')}: {error!r}, {where}")
        os.chdir(top)
    print(f"{count} tests, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
