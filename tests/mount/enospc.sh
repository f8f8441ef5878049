#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Filling the volume: write() says ENOSPC where the kernel's does, within 1 % of the volume; what was acknowledged is there
# after unmounting; removing a file makes the volume usable again; mmap stores that msync acknowledged are kept.
#
# parts: one-file many-files small-writes mmap
# not-under: release many-files
# not-under: asan one-file
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"

cat >"$work/fill.py" <<'PYTHON'
"""Fills @top in the way of @part, until ENOSPC.  Prints the bytes acknowledged; keeps what they were in @book."""
import errno, json, os, random, sys

part, top, book = sys.argv[1:4]
os.chdir(top)
written = {}


def piece(name, i, size):
    return random.Random(f"{name}-{i}").randbytes(size)


def append(name, size, count):
    """Appends @count pieces of @size, going on after short writes.  False: no space."""
    fd = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    book_entry = written.setdefault(name, [size, 0])
    end = book_entry[1] + count * size
    try:
        while book_entry[1] < end:
            i, skip = divmod(book_entry[1], size)
            book_entry[1] += os.write(fd, piece(name, i, size)[skip:])
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    finally:
        os.close(fd)
    return True


def fill():
    if part == "one-file":
        append("big", 1 << 20, 1 << 20)
    elif part == "small-writes":
        while all(append(f"f{i}", 10007, 64) for i in range(4)):
            pass
    elif part == "many-files":
        i = 0
        try:
            while append(f"file-{i}", 30000, 3):
                i += 1
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    os.sync()


def check():
    for name, (size, count) in json.load(open(book)).items():
        with open(name, "rb") as file:
            done = 0
            i = 0
            while done < count:
                n = min(size, count - done)
                if file.read(n) != piece(name, i, size)[:n]:
                    raise AssertionError(f"{name} is wrong at {done}")
                done += n
                i += 1
            if file.read(1):
                raise AssertionError(f"{name} is longer than what was written")


if sys.argv[4:] == ["check"]:
    check()
else:
    fill()
    json.dump(written, open(book, "w"))
    print(sum(count for _, count in written.values()))
PYTHON

volume_bytes=$((320 << 20))

# fill WRITER: prints the bytes.
fill()
{
	make_image "$1" $volume_bytes
	"mount_$1" "$work/$1" "$work/mnt" >&2
	"$python" "$work/fill.py" "$part" "$work/mnt" "$work/book-$1"
}

within_one_percent()
{
	local difference=$(($1 - $2))
	[ ${difference#-} -le $((volume_bytes / 100)) ] || fail "userxfs took $1 bytes, the kernel $2"
	say "userxfs took $1 bytes, the kernel $2"
}

against_the_kernel()
{
	local ours kernels=
	if is_root; then
		fill kernel >"$work/count"
		kernels=$(cat "$work/count")
		unmount_kernel "$work/mnt"
	fi
	fill userxfs >"$work/count"
	ours=$(cat "$work/count")
	[ -z "$kernels" ] || within_one_percent "$ours" "$kernels"
	"$python" "$work/fill.py" "$part" "$work/mnt" "$work/book-userxfs" check
	unmount_userxfs "$work/mnt"
	check_image "$work/userxfs"
	say "what was acknowledged is there"
	mount_userxfs "$work/userxfs" "$work/mnt"
	"$python" "$work/fill.py" "$part" "$work/mnt" "$work/book-userxfs" check
	say "a removed file makes room"
	victim=$(find "$work/mnt" -type f -size +20k | sort | head -n 1 || true)
	rm "$victim"
	# As in XFS: blocks come back when the unlinked inode has been inactivated, at the latest when a write asks for them.
	"$python" -c 'import sys; open(sys.argv[1], "wb").write(bytes(20000))' "$work/mnt/new"
	sync "$work/mnt/new"
	unmount_userxfs "$work/mnt"
	check_image "$work/userxfs"
}

mmap_stores()
{
	cat >"$work/stores.py" <<-'PYTHON'
		import errno, mmap, os, sys
		path, step = sys.argv[1:3]
		SIZE = 8 << 20
		if step == "store":
		    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
		    os.ftruncate(fd, SIZE)
		    memory = mmap.mmap(fd, SIZE)
		    # The rest of the volume is filled between the stores and their write-back.
		    filler = os.path.dirname(path) + "/filler"
		    other = os.open(filler, os.O_CREAT | os.O_WRONLY, 0o644)
		    kept = []
		    def sync(start):
		        try:
		            memory.flush(start, 1 << 20)
		        except OSError as error:
		            assert error.errno == errno.ENOSPC, error
		            return
		        if start not in kept:
		            kept.append(start)
		    for start in range(0, SIZE, 1 << 20):
		        for pos in range(start, start + (1 << 20), 4096):
		            memory[pos:pos + 8] = b"%08d" % (pos >> 12)
		        if start == 0:
		            sync(start)
		        try:
		            while start == 1 << 20:
		                os.write(other, b"f" * (1 << 20))
		        except OSError as error:
		            assert error.errno == errno.ENOSPC
		    for start in range(0, SIZE, 1 << 20):
		        sync(start)
		    assert kept, "the first was acknowledged with plenty of space"
		    if sys.argv[3] == "room":
		        # What found no room was kept: it is written when there is some.
		        os.close(other)
		        os.unlink(filler)
		        for start in range(0, SIZE, 1 << 20):
		            memory.flush(start, 1 << 20)
		        kept = list(range(0, SIZE, 1 << 20))
		    print(" ".join(map(str, kept)))
		else:
		    with open(path, "rb") as file:
		        for start in map(int, sys.argv[3:]):
		            for pos in range(start, start + (1 << 20), 4096):
		                file.seek(pos)
		                assert file.read(8) == b"%08d" % (pos >> 12), f"{pos} is lost"
	PYTHON
	for room in no-room room; do
		make_image image $volume_bytes
		mount_userxfs "$work/image" "$work/mnt"
		kept=$("$python" "$work/stores.py" "$work/mnt/mapped" store $room)
		say "$room: acknowledged by msync: the megabytes at $kept"
		# shellcheck disable=SC2086
		"$python" "$work/stores.py" "$work/mnt/mapped" check $kept
		unmount_only "$work/mnt"
		# Data that nobody acknowledged may have found no room to the end: the daemon says so with its exit status.
		[ $room = room ] || may_end_with=32
		wait_daemon "$work/mnt"
		check_image "$work/image"
		mount_userxfs "$work/image" "$work/mnt" ro
		# shellcheck disable=SC2086
		"$python" "$work/stores.py" "$work/mnt/mapped" check $kept
		unmount_userxfs "$work/mnt"
	done
}

part=${1:?part}
if [ "$part" = mmap ]; then
	mmap_stores
else
	against_the_kernel
fi
