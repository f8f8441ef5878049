#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What is installed works: mount -t fuse.userxfs, an fstab line, remount, umount that waits for the daemon, df -T; the library
# and its headers; block devices as fuseblk, whose unmount and syncfs are synchronous.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
need_root "installs helpers for mount(8) and umount(8)"

# The helpers must be in /sbin to be found: they are put there for as long as the test runs.  One run at a time.
exec 9>/run/lock/userxfs-mount8-test
flock 9
for helper in mount umount; do
	[ ! -e /sbin/$helper.fuse.userxfs ] || skip "needs /sbin/$helper.fuse.userxfs not to be there: userxfs is installed"
done
cleanup_more()
{
	rm -f /sbin/mount.fuse.userxfs /sbin/umount.fuse.userxfs
}

say "meson install"
: "${BUILD:=$(dirname "$(dirname "$(dirname "$USERXFS")")")}"
DESTDIR=$work/root meson install -C "$BUILD" --no-rebuild --quiet >"$work/install.log" 2>&1
root=$work/root
prefix=$(meson introspect --buildoptions "$BUILD" | "$python" -c '
import json, sys
print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
for file in "$root$prefix/bin/userxfs" "$root$prefix/share/man/man8/userxfs.8" "$root/sbin/mount.fuse.userxfs" \
	"$root/sbin/umount.fuse.userxfs" "$root$prefix/include/userxfs/volume.h"; do
	[ -e "$file" ] || [ -L "$file" ] || fail "$file was not installed"
done
expect "the mount helper" "$prefix/bin/userxfs" "$(readlink "$root/sbin/mount.fuse.userxfs")"
man -l --warnings "$root$prefix/share/man/man8/userxfs.8" 2>&1 >/dev/null | grep . && fail "the man page has warnings"
ln -s "$root$prefix/bin/userxfs" /sbin/mount.fuse.userxfs
cp "$root/sbin/umount.fuse.userxfs" /sbin/

say "the library"
cat >"$work/example.c" <<'END'
#include <stdio.h>
#include <userxfs/volume.h>

int main(int argc, char **argv)
{
	struct volume_options options = { .device = argv[1], .read_only = true };
	struct volume_statfs st;
	struct volume *vol;

	if (volume_mount(&options, &vol))
		return 1;
	volume_statfs(vol, &st);
	printf("%llu\n", (unsigned long long)st.blocks);
	return volume_unmount(vol, false) ? 1 : 0;
}
END
make_image image 320m
libdir=$(dirname "$(find "$root$prefix" -name libuserxfs.a)")
export PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
sanitize=
is_sanitized && sanitize=-fsanitize=address,undefined
# shellcheck disable=SC2046,SC2086
gcc -D_GNU_SOURCE $sanitize "$work/example.c" $(pkg-config --cflags --libs libuserxfs) -o "$work/shared"
# shellcheck disable=SC2046,SC2086
gcc -D_GNU_SOURCE $sanitize $(pkg-config --cflags libuserxfs) "$work/example.c" "$libdir/libuserxfs.a" -luring -laio -pthread -o "$work/static"
blocks=$(xfs_db -r -c 'sb 0' -c 'print dblocks' "$work/image" | sed 's/.*= //')
logblocks=$(xfs_db -r -c 'sb 0' -c 'print logblocks' "$work/image" | sed 's/.*= //')
expect "through the static library" $((blocks - logblocks)) "$("$work/static" "$work/image")"
expect "through the shared library" $((blocks - logblocks)) "$(LD_LIBRARY_PATH=$libdir "$work/shared" "$work/image")"

is_free()
{
	flock -n "$1" true
}

say "mount -t fuse.userxfs"
mkdir -p "$work/mnt"
mount -t fuse.userxfs "$work/image" "$work/mnt"
expect "df -T" fuse.userxfs "$(df --output=fstype "$work/mnt" | tail -n 1)"
expect "the source" "$work/image" "$(findmnt -no SOURCE "$work/mnt")"
for i in $(seq 50); do head -c 200000 /dev/urandom >"$work/mnt/file-$i"; done
say "umount waits"
umount "$work/mnt"
is_free "$work/image" || fail "umount has returned before the daemon was done"
check_image "$work/image"

say "options of mount(8), fstab and systemd"
mount -t fuse.userxfs -o "defaults,nofail,_netdev,noatime,x-systemd.automount,x-gvfs-hide,user=root,inode64,cache_size=64m" \
	"$work/image" "$work/mnt"
expect "files" 50 "$(find "$work/mnt" -name 'file-*' | wc -l)"
umount "$work/mnt"
cat >"$work/fstab" <<END
$work/image $work/mnt fuse.userxfs rw,nofail,nosuid,nodev,x-systemd.requires=network.target,comment=hello 0 0
END
mount -T "$work/fstab" "$work/mnt"
findmnt -no OPTIONS "$work/mnt" | grep -q nosuid || fail "nosuid did not reach the kernel"
say "remount"
mount -o remount,ro "$work/mnt"
fails_with "Read-only file system" touch "$work/mnt/x"
mount -o remount,rw "$work/mnt"
touch "$work/mnt/x"
wait_until 20 "there is one daemon" eval '[ "$(our_daemons | wc -l)" = 1 ]'
say "umount -l does not wait, umount -f does no harm"
umount -l "$work/mnt"
wait_until 20 "the daemon has ended" is_free "$work/image"
mount -t fuse.userxfs "$work/image" "$work/mnt"
umount -f "$work/mnt"
wait_until 20 "the daemon has ended" is_free "$work/image"
check_image "$work/image"
say "read-only, with several users"
mount -t fuse.userxfs -r "$work/image" "$work/mnt"
mkdir -p "$work/mnt2"
mount -t fuse.userxfs -o ro "$work/image" "$work/mnt2"
fails_with "Read-only file system" touch "$work/mnt/y"
umount "$work/mnt" "$work/mnt2"
say "errors of mount(8)"
status=0
mount -t fuse.userxfs "$work/none" "$work/mnt" 2>"$work/mount.err" || status=$?
expect "status" 32 $status
grep -q "does not exist" "$work/mount.err" || fail "mount(8) does not show the error"
status=0
mount -t fuse.userxfs -o frobnicate "$work/image" "$work/mnt" 2>/dev/null || status=$?
expect "status" 1 $status

say "a block device: fuseblk"
loop=$(losetup -f --show "$work/image")
mount -t fuse.userxfs "$loop" "$work/mnt"
expect "df -T" fuseblk.userxfs "$(df --output=fstype "$work/mnt" | tail -n 1)"
for i in $(seq 50); do head -c 200000 /dev/urandom >"$work/mnt/block-$i"; done
(cd "$work/mnt" && sha256sum block-*) >"$work/sums"
say "syncfs reaches the daemon"
sync -f "$work/mnt"
getfattr --absolute-names --only-values -n system.userxfs.extents "$work/mnt/block-50" >"$work/extents"
grep -q written "$work/extents" && ! grep -q delayed "$work/extents" || fail "after syncfs: $(cat "$work/extents")"
echo more >"$work/mnt/more"
say "umount -i is synchronous"
umount -i "$work/mnt"
xfs_repair -n "$loop" >"$work/repair.log" 2>&1 || fail "$(cat "$work/repair.log")"
mkdir -p "$work/kernel"
mount -t xfs "$loop" "$work/kernel"
(cd "$work/kernel" && sha256sum --quiet -c "$work/sums")
expect "what was written last" more "$(cat "$work/kernel/more")"
say "a device that the kernel has mounted"
fails_with "is mounted on $work/kernel" "$USERXFS" "$loop" "$work/mnt"
umount "$work/kernel"
losetup -d "$loop"
wait_until 20 "all daemons have ended" eval '[ -z "$(our_daemons)" ]'
