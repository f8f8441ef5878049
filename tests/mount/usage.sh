#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Bad usage: one line that names the cause and the next step, exit status 1 for the command line and 32 for what cannot be
# mounted; errors reach the shell although the daemon goes to the background.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"

# refused STATUS LINE ARGUMENT...: LINE is a pattern of [[ == ]] for the whole output.
refused()
{
	local status=$1 line=$2 out got=0
	shift 2
	cases=$((cases + 1))
	out=$("$USERXFS" "$@" 2>&1 </dev/null) || got=$?
	expect "exit status of userxfs $*" "$status" "$got"
	[ "$(wc -l <<<"$out")" = 1 ] || fail "userxfs $* says more than one line: $out"
	# shellcheck disable=SC2053
	[[ $out == $line ]] || fail "userxfs $*: '$out' is not like '$line'"
	if is_mountpoint "$work/mnt"; then fail "userxfs $* has mounted something"; fi
	check_sanitizers
}

# poke IMAGE OFFSET BYTES: overwrites bytes of an image.
poke()
{
	printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# copy NAME: a fresh copy of the good image.
copy()
{
	cp --sparse=always "$work/good" "$work/$1"
}

cases=0
mnt=$work/mnt
mkdir "$mnt"
make_image good 320m
good=$work/good

say "command line"
refused 1 "userxfs: image and mountpoint are missing: userxfs IMAGE|DEVICE MOUNTPOINT; see userxfs --help"
refused 1 "userxfs: the mountpoint is missing: *; see userxfs --help" "$good"
refused 1 "userxfs: one argument too many: \"extra\"; see userxfs --help" "$good" "$mnt" extra
refused 1 "userxfs: unknown argument \"-q\"; see userxfs --help" -q "$good" "$mnt"
refused 1 "userxfs: unknown argument \"-o\"; see userxfs --help" "$good" "$mnt" -o
refused 1 "userxfs: unknown option \"frobnicate\"; see userxfs --help" "$good" "$mnt" -o rw,frobnicate
refused 1 "userxfs: unknown option \"frob=7\"; see userxfs --help" "$good" "$mnt" -o frob=7
refused 1 "userxfs: option offset=x: needs a multiple of 512 bytes" "$good" "$mnt" -o offset=x
refused 1 "userxfs: option offset=1000: needs a multiple of 512 bytes" "$good" "$mnt" -o offset=1000
refused 1 "userxfs: option cache_size=1: needs a size of 8m or more" "$good" "$mnt" -o cache_size=1
refused 1 "userxfs: option allocsize=5000: needs a power of two from 4k to 1g" "$good" "$mnt" -o allocsize=5000
refused 1 "userxfs: option io=magic: needs uring, aio or sync" "$good" "$mnt" -o io=magic
refused 1 "userxfs: option threads=0: needs a number from 1 to 64" "$good" "$mnt" -o threads=0
refused 1 "userxfs: *nosuchpoint*" "$good" "$mnt" -o fault=nosuchpoint

say "mountpoint"
refused 32 "userxfs: $mnt/missing: No such file or directory; make the mountpoint with mkdir" "$good" "$mnt/missing"
refused 32 "userxfs: $good: not a directory; choose a directory as mountpoint" "$good" "$good"

say "image"
refused 32 "userxfs: $work/none does not exist; check the path, or make it: mkfs.xfs *" "$work/none" "$mnt"
refused 32 "userxfs: $work is a directory; give an image file or a block device" "$work" "$mnt"
refused 32 "userxfs: /dev/null is neither a regular file nor a block device*" /dev/null "$mnt"
: >"$work/empty"
refused 32 "userxfs: $work/empty is empty; make a filesystem on it with mkfs.xfs first" "$work/empty" "$mnt"
head -c 300 /dev/zero >"$work/tiny"
refused 32 "userxfs: $work/tiny: not an XFS volume: *; *" "$work/tiny" "$mnt"
head -c 1000000 /dev/urandom >"$work/noise"
refused 32 "userxfs: $work/noise: not an XFS volume*" "$work/noise" "$mnt"
copy truncated
truncate -s 100m "$work/truncated"
refused 32 "userxfs: $work/truncated: *; *" "$work/truncated" "$mnt"
refused 32 "userxfs: $good ends before offset *; check the offset option" "$good" "$mnt" -o offset=10g
refused 32 "userxfs: $good: not an XFS volume*" "$good" "$mnt" -o offset=1m
copy bad-crc
poke "$work/bad-crc" 108 'changedlabel'
refused 32 "userxfs: $work/bad-crc: *checksum*; *" "$work/bad-crc" "$mnt"

say "features"
copy version-4
xfs_db -x -c 'sb 0' -c 'write -d versionnum 0xb4a4' "$work/version-4" >/dev/null 2>&1
refused 32 "userxfs: $work/version-4: *version 4*" "$work/version-4" "$mnt"
copy incompat
xfs_db -x -c 'sb 0' -c 'write -d features_incompat 0x8000000b' "$work/incompat" >/dev/null 2>&1
refused 32 "userxfs: $work/incompat: unknown incompatible features (0x80000000)*" "$work/incompat" "$mnt"
copy rocompat
xfs_db -x -c 'sb 0' -c 'write -d features_ro_compat 0x8000000d' "$work/rocompat" >/dev/null 2>&1
refused 32 "userxfs: $work/rocompat: *0x80000000*-o ro*" "$work/rocompat" "$mnt"
"$USERXFS" -o ro "$work/rocompat" "$mnt" || fail "features that allow reading do not"
unmount_only "$mnt"
truncate -s 100m "$work/rtdev"
truncate -s 320m "$work/realtime"
mkfs.xfs -q -f -K -r "rtdev=$work/rtdev" "$work/realtime"
refused 32 "userxfs: $work/realtime: *realtime*" "$work/realtime" "$mnt"
truncate -s 64m "$work/logdev"
truncate -s 320m "$work/external"
mkfs.xfs -q -f -K -l "logdev=$work/logdev,size=64m" "$work/external"
refused 32 "userxfs: $work/external: this volume has an external log; name it with -o logdev=DEVICE" "$work/external" "$mnt"
refused 32 "userxfs: $good: this volume's log is internal; mount it without logdev=" "$good" "$mnt" -o "logdev=$work/logdev"
refused 32 "userxfs: norecovery works only together with ro*" "$good" "$mnt" -o norecovery

say "in use"
mount_userxfs "$good" "$work/first"
refused 32 "userxfs: $good is in use by *userxfs* (pid ${daemon_of[$work/first]}); unmount it there first" "$good" "$mnt"
refused 32 "userxfs: $good is in use by *userxfs* (pid ${daemon_of[$work/first]}); unmount it there first" -o ro "$good" "$mnt"
say "a log that is not clean"
: >"$work/first/file"
sync "$work/first/file"
cp --sparse=always "$good" "$work/dirty"
"$USERXFS" -o ro,norecovery "$work/dirty" "$mnt" || fail "ro,norecovery does not mount a dirty volume"
unmount_only "$mnt"
refused 16 "userxfs: --recover needs one image or device and no mountpoint*" --recover "$work/dirty" "$mnt"
refused 16 "userxfs: --recover needs one image or device and no mountpoint*" --recover -o ro,norecovery "$work/dirty"
refused 8 "userxfs: $work/nothing does not exist*" --recover "$work/nothing"
unmount_userxfs "$work/first"

say "permission"
chmod 600 "$good"
if is_root; then
	chmod 755 "$work"
	daemon=$USERXFS
	install -m 755 "$USERXFS" "$work/userxfs"
	printf '#!/bin/sh\nexec setpriv --reuid=nobody --regid=nogroup --clear-groups %s/userxfs "$@"\n' "$work" >"$work/as-nobody"
	chmod 755 "$work/as-nobody"
	USERXFS=$work/as-nobody
	refused 32 "userxfs: no permission to open $good; ask its owner for access, or run as root" "$good" "$mnt"
	chmod 644 "$good"
	refused 32 "userxfs: $good cannot be written *; mount it read-only with -o ro" "$good" "$mnt"
	fuse_for_all
	refused 32 "userxfs: cannot mount on $mnt: fusermount3: user has no write access to mountpoint $mnt; *" -o ro "$good" "$mnt"
	chmod 600 /dev/fuse
	refused 32 "userxfs: /dev/fuse cannot be opened: Permission denied; its mode must be 0666" -o ro "$good" "$mnt"
	chmod 666 /dev/fuse
	USERXFS=$daemon
	say "no FUSE"
	# A mount namespace of its own, where /dev has no fuse.
	cat >"$work/without-fuse" <<-END
		#!/bin/sh
		mount -t tmpfs none /dev && exec $daemon "\$@"
	END
	chmod 755 "$work/without-fuse"
	out=$(unshare -m "$work/without-fuse" "$good" "$mnt" 2>&1) && fail "mounted without FUSE"
	expect "without FUSE" "userxfs: there is no FUSE here: /dev/fuse cannot be opened (No such file or directory); load it with \"modprobe fuse\"" "$out"
	say "mounted by the kernel"
	mount_kernel "$good" "$work/kernel"
	refused 32 "userxfs: $good is mounted on $work/kernel by the kernel (/dev/loop*); unmount it first" "$good" "$mnt"
	unmount_kernel "$work/kernel"
	mount_userxfs "$good" "$work/first"
	kill -9 "${daemon_of[$work/first]}"
	wait "${daemon_of[$work/first]}" || true
	refused 32 "userxfs: $work/first: *; an earlier mount died there: unmount it with fusermount3 -u" "$work/dirty" "$work/first"
	umount "$work/first"
fi

say "not an error"
out=$("$USERXFS" --version)
[[ $out == "userxfs "[0-9]* ]] || fail "--version: $out"
"$USERXFS" --help | grep -q '^usage: userxfs' || fail "--help"
echo "$cases cases"
