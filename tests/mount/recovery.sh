#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Dirty logs, left by the kernel and by killed daemons.  One copy of each image is recovered by the kernel and one by userxfs:
# xfs_repair finds nothing to repair in either, their trees are equal, and so are their free counts.
#
# parts: flushed unflushed open busy killed readonly
# not-under: asan flushed unflushed open killed
# not-under: release busy readonly
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_kernel_xfs
need_command xfs_io losetup

part=${1:-flushed}
geometries=(
	"-m reflink=1,rmapbt=1"
	"-b size=1024 -m reflink=1,rmapbt=1 -i nrext64=1"
	"-m reflink=0,rmapbt=0,finobt=0 -i size=2048"
	"-l su=256k -m rmapbt=1,reflink=0 -d agcount=2"
	"-s size=4096 -m reflink=1,rmapbt=0 -d agcount=3"
)
[ -n "${FULL:-}" ] || [[ ! $part =~ killed|busy ]] || geometries=("${geometries[@]:0:2}")

# dirty_kernel IMAGE MKFS...: a volume that the kernel had mounted when it was shut down.
dirty_kernel()
{
	local image=$1 mnt=$work/dirty flags="" status=0
	shift
	make_image "$image" 400m "$@"
	mount_kernel "$work/$image" "$mnt"
	[ "$part" = unflushed ] || flags=-f
	case $part in
	open)
		crash_load "$mnt" --seed $seed --operations 500 "--shutdown=$flags"
		;;
	busy)
		crash_load "$mnt" --seed $seed --fragments --seconds 3 &
		sleep 2
		xfs_io -x -c shutdown "$mnt"
		wait $! || status=$?
		;;
	*)
		crash_load "$mnt" --seed $seed --operations 600
		xfs_io -x -c "shutdown $flags" "$mnt"
		;;
	esac
	unmount_kernel "$mnt"
}

# dirty_userxfs IMAGE MKFS...: the same with a daemon that is killed.
dirty_userxfs()
{
	local image=$1 mnt=$work/dirty
	shift
	make_image "$image" 400m "$@"
	mount_userxfs "$work/$image" "$mnt"
	crash_load "$mnt" --seed $seed --seconds $((seed % 3 + 1)) --syncs &
	sleep "$((seed % 3)).$((seed % 7 + 2))"
	kill -9 "${daemon_of[$mnt]}"
	wait "${daemon_of[$mnt]}" || true
	unset "daemon_of[$mnt]"
	wait || true
	umount -i -l "$mnt"
}

# A read-only mount replays in memory: what is seen is the same, the image is what it was.
read_only()
{
	local image=$work/$1 before
	chmod 444 "$image"
	before=$(sha256sum "$image")
	mount_userxfs "$image" "$work/ro" ro
	manifest --without segments "$work/ro" >"$work/ro.manifest"
	free_counts "$work/ro" >"$work/ro.free"
	unmount_userxfs "$work/ro"
	expect "checksum of the image after a read-only mount" "$before" "$(sha256sum "$image")"
	chmod 644 "$image"
	mount_userxfs "$image" "$work/rw"
	manifest --without segments "$work/rw" >"$work/rw.manifest"
	unmount_userxfs "$work/rw"
	check_image "$image"
	same_files "replayed in memory, and on disk" "$work/ro.manifest" "$work/rw.manifest"
}

seed=1
for geometry in "${geometries[@]}"; do
	say "$part: $geometry"
	seed=$((seed + 1))
	# shellcheck disable=SC2086
	if [ "$part" = killed ]; then
		dirty_userxfs image $geometry
	else
		dirty_kernel image $geometry
	fi
	if [ "$part" = readonly ]; then
		read_only image
	else
		recovered_alike image
	fi
done
