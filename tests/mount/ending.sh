#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# However a mount ends, everything is on the volume: umount, SIGTERM, SIGINT, an unmount while files are open, at once mounted
# again.  Also what is only in the kernel's page cache (mmap), and files that were unlinked while open.
#
# not-under: release
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"

# write_things DIR: data by write(), by mmap without msync, sizes, names; nothing is synced.
cat >"$work/things.py" <<'PYTHON'
import mmap, os, sys
step, top = sys.argv[1:3]
os.chdir(top)
DATA = bytes(range(256)) * 4096
if step == "write":
    open("written", "wb").write(DATA)
    fd = os.open("mapped", os.O_CREAT | os.O_RDWR, 0o600)
    os.ftruncate(fd, len(DATA))
    memory = mmap.mmap(fd, len(DATA))
    memory[:] = DATA
    fd = os.open("mapped-old", os.O_CREAT | os.O_RDWR, 0o600)
    os.write(fd, bytes(len(DATA)))
    memory2 = mmap.mmap(fd, len(DATA))
    memory2[1000:2000] = DATA[1000:2000]
    os.makedirs("a/b/c", exist_ok=True)
    open("a/b/c/file", "w").write("deep")
    os.rename("a/b/c/file", "a/b/moved")
    os.setxattr("a/b/moved", "user.x", b"y" * 3000)
    os.symlink("t" * 700, "link")
    open("gone", "w").write("gone")
    os.unlink("gone")
    os._exit(0)    # without closing anything in order
else:
    assert open("written", "rb").read() == DATA, "written"
    assert open("mapped", "rb").read() == DATA, "mapped"
    got = open("mapped-old", "rb").read()
    assert got[1000:2000] == DATA[1000:2000] and not any(got[:1000]) and not any(got[2000:]), "mapped-old"
    assert open("a/b/moved").read() == "deep" and not os.listdir("a/b/c")
    assert os.getxattr("a/b/moved", "user.x") == b"y" * 3000
    assert os.readlink("link") == "t" * 700
    assert not os.path.exists("gone")
PYTHON

things()
{
	"$python" "$work/things.py" "$@"
}

# Judged by the kernel where there is one to ask.
check_things()
{
	check_image "$work/image"
	if is_root; then
		mount_kernel "$work/image" "$work/mnt" ro
		things check "$work/mnt"
		unmount_kernel "$work/mnt"
	else
		mount_userxfs "$work/image" "$work/mnt" ro
		things check "$work/mnt"
		unmount_userxfs "$work/mnt"
	fi
}

fresh()
{
	make_image image 320m
	mount_userxfs "$work/image" "$work/mnt" "${1:-}"
}

say "umount"
fresh
things write "$work/mnt"
unmount_userxfs "$work/mnt"
check_things

for signal in TERM INT HUP; do
	say "SIG$signal"
	fresh
	things write "$work/mnt"
	kill -$signal "${daemon_of[$work/mnt]}"
	wait_daemon "$work/mnt"
	if is_mountpoint "$work/mnt"; then fail "SIG$signal: still mounted"; fi
	check_things
done

for mode in writeback dio sync io=sync io=aio threads=1; do
	say "-o $mode"
	fresh $mode
	things write "$work/mnt"
	things check "$work/mnt"
	unmount_userxfs "$work/mnt"
	check_things
done

say "SIGTERM while files are open: served on until they are closed"
fresh
things write "$work/mnt"
exec 7>"$work/mnt/still-open"
echo before >&7
kill -TERM "${daemon_of[$work/mnt]}"
wait_until 10 "it is detached" eval '! is_mountpoint "$work/mnt"'
echo after >&7
exec 7>&-
wait_daemon "$work/mnt"
check_things
mount_userxfs "$work/image" "$work/mnt" ro
expect "what was written then" "before after" "$(tr '\n' ' ' <"$work/mnt/still-open" | sed 's/ $//')"
unmount_userxfs "$work/mnt"

say "an unlinked file that is open at the end is freed"
fresh
free=$(free_counts "$work/mnt")
"$python" - "$work/mnt" <<'PYTHON' &
import os, signal, sys, time
os.chdir(sys.argv[1])
fd = os.open("unlinked", os.O_CREAT | os.O_RDWR)
os.write(fd, b"x" * 1000000)
os.unlink("unlinked")
os.fsync(fd)
assert os.pread(fd, 3, 999997) == b"xxx"
os.chdir("/")
open(sys.argv[1] + "/ready", "w").close()
time.sleep(60)
PYTHON
holder=$!
background_pids+=($holder)
wait_until 10 "the file is open" test -e "$work/mnt/ready"
umount -i -l "$work/mnt" 2>/dev/null || fusermount3 -u -z "$work/mnt"
kill -9 $holder
wait $holder 2>/dev/null || true
wait_daemon "$work/mnt"
check_image "$work/image"
mount_userxfs "$work/image" "$work/mnt"
rm "$work/mnt/ready"
sync "$work/mnt"
wait_until 10 "blocks and inodes are back" eval '[ "$(free_counts "$work/mnt")" = "$free" ]'
unmount_userxfs "$work/mnt"

say "unmounted and mounted again at once, in the background"
make_image image 320m
for i in 1 2 3 4 5; do
	until "$USERXFS" "$work/image" "$work/mnt" 2>"$work/again.log"; do
		grep -q 'is in use by' "$work/again.log" || fail "$(cat "$work/again.log")"
	done
	echo $i >"$work/mnt/file-$i"
	expect "files" $i "$(find "$work/mnt" -name 'file-*' | wc -l)"
	unmount_only "$work/mnt"
done
wait_until 30 "the last daemon has ended" eval '[ -z "$(our_daemons)" ]'
check_image "$work/image"
