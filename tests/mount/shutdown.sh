#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A volume that is shut down, by request or because its disk fails: changes get EIO, what is in memory can still be read, nothing
# is written any more, and what the log holds is recovered by the kernel and by userxfs alike.
#
# parts: request flush log home
# not-under: release
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
need_kernel_xfs

make_image image 400m -m rmapbt=1
mnt=$work/mnt
fault=
case ${1:?part} in
request) ;;
flush) fault=device_flush:nth=20 ;;
log)
	start=$(xfs_db -r -c 'sb 0' -c 'p logstart' "$work/image" | cut -d' ' -f3)
	start=$(($(xfs_db -r -c "convert fsblock $start daddr" "$work/image" | sed 's/.*(\([0-9]*\)).*/\1/') * 512))
	fault=device_write:nth=20:off=$start-$((start + (64 << 20)))
	;;
home) fault=device_write:every=1:off=512-1024 ;;	# the header of free space in the first group
esac

mount_userxfs "$work/image" "$mnt"
mkdir "$mnt/before"
head -c 300000 /dev/urandom >"$work/data"
cp "$work/data" "$mnt/before/synced"
unmount_userxfs "$mnt"

mount_userxfs "$work/image" "$mnt" "${fault:+fault=$fault}"
cmp "$work/data" "$mnt/before/synced"
head -c 100000 "$work/data" >"$mnt/before/acknowledged"
sync -d "$mnt/before/acknowledged"
case $1 in
request)
	crash_load "$mnt" --seed 5 --operations 500 --syncs
	# XFS_IOC_GOINGDOWN
	"$python" -c 'import fcntl, os, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, bytes(4))' "$mnt"
	;;
home)
	# What cannot be written home is tried again until the unmount, which gives up.
	crash_load "$mnt" --seed 5 --operations 500 --syncs
	may_end_with=32
	unmount_userxfs "$mnt"
	;;
*)
	say "work until the volume is gone"
	crash_load "$mnt" --seed 5 --seconds 60 --syncs
	;;
esac
grep -q "shutting down" "$work/mnt.log" || fail "it is not shut down"
if [ "$1" != home ]; then
	before=$(sha256sum "$work/image")
	fails_with "Input/output error" mkdir "$mnt/after"
	fails_with "Input/output error" truncate -s 5 "$mnt/before/synced"
	fails_with "Input/output error" mv "$mnt/before" "$mnt/renamed"
	fails_with "Input/output error" dd if=/dev/zero of="$mnt/before/synced" bs=4k count=1 conv=notrunc,fsync
	cmp "$work/data" "$mnt/before/synced"
	say "unmounted, nothing was written"
	may_end_with=32
	unmount_userxfs "$mnt"
	expect "checksum of the image after the shutdown" "$before" "$(sha256sum "$work/image")"
fi
recovered_alike image
mount_kernel "$work/by-userxfs" "$mnt" ro
cmp -n 100000 "$work/data" "$mnt/before/acknowledged"
cmp "$work/data" "$mnt/before/synced"
unmount_kernel "$mnt"
