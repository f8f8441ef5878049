#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Dirty logs, left by the kernel and by killed daemons.  One copy of each image is recovered by the kernel and one by userxfs:
# xfs_repair finds nothing to repair in either, their trees are equal, and so are their free counts.
#
# flushed, unflushed, open (files), busy (chains of transactions): the kernel's XFS is shut down, with a flush of the log or
# without.  midrun, chains: the disk as it is at one moment while the kernel works on it.  The loop device's file lies on a
# volume with reflinks, and the copy is a clone of it: to clone takes the lock of the file that each write of the loop device
# takes, so the clone has every write that has ended, none that has not begun, and of those under way all or nothing.  That is a
# power cut of a disk without a volatile cache.  owners: extents swapped without reverse maps, where the blocks of extent trees
# change their owner; Linux refuses such logs (it asks for the checksum of an inode that it has not computed yet), so the tree is
# compared with what it was before the shutdown.  killed: the daemon is killed.  readonly: replayed in memory.
#
# parts: flushed unflushed open busy midrun chains killed readonly owners
# not-under: asan flushed unflushed open midrun chains killed
# not-under: release busy owners readonly chains
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" in-memory
need_kernel_xfs
need_command xfs_io losetup

part=${1:-flushed}
# mkfs options | options of crashload.py.  "external": with a log of its own beside the image.
volumes=(
	"-m reflink=1,rmapbt=1|--swaps"
	"-b size=1024 -m reflink=1,rmapbt=1 -i nrext64=1|--swaps"
	"-m reflink=0,rmapbt=0,finobt=0 -i size=2048|--attributes"
	"-l su=256k -m rmapbt=1,reflink=0 -d agcount=2|"
	"-s size=4096 -m reflink=1,rmapbt=0 -d agcount=3|"
	"-l logdev=external,size=64m -m rmapbt=1|"
	"-m rmapbt=1,inobtcount=0 -n size=16k|--attributes"
	"-n size=64k -b size=2048 -m reflink=1,rmapbt=0|"
	"-l size=14m --unsupported -m rmapbt=1,reflink=1|--syncs"
	"-b size=1024 -l size=5m,su=32k --unsupported -m reflink=0,rmapbt=0 -n size=4k|--attributes --syncs"
	"-i size=1024,nrext64=1 -m bigtime=0,rmapbt=1 -d agcount=5|--swaps"
	"-m crc=1,finobt=0,reflink=0,rmapbt=0 -i sparse=0 -l size=16m --unsupported|--syncs"
)
# In CI some of them, others in each part.
case ${FULL:-}$part in
1*) ;;
flushed) volumes=("${volumes[@]:2:4}") ;;
unflushed) volumes=("${volumes[@]:0:3}" "${volumes[8]}") ;;
open) volumes=("${volumes[6]}" "${volumes[9]}") ;;
owners) volumes=("${volumes[4]}" "${volumes[7]}") ;;
midrun) volumes=("${volumes[1]}" "${volumes[8]}") ;;
*) volumes=("${volumes[@]:0:2}") ;;
esac
copies=${FULL:+3}
copies=${copies:-2}			# of a volume while the kernel works on it
images=0 intents=0
mnt=$work/dirty

# make_volume IMAGE MKFS...
make_volume()
{
	local image=$1
	shift
	rm -f "$work/$image" "$work/$image.logdev"
	if [[ $* == *external* ]]; then
		truncate -s 64m "$work/$image.logdev"
	fi
	make_image "$image" 400m "${@/external/$work/$image.logdev}"
}

# end_work FLAGS PID: shuts $mnt down, and the load PID ends.
end_work()
{
	local flags=$1 worker=$2 status=0
	# shellcheck disable=SC2086
	xfs_io -x -c "shutdown $flags" "$mnt"
	wait "$worker" || status=$?
	expect "status of the load" 0 $status
	unmount_kernel "$mnt"
}

# judge IMAGE: $work/IMAGE is recovered alike.
judge()
{
	recovered_alike "$1"
	images=$((images + 1))
	if [[ $(tail -n 1 "$work/recover.log") =~ finished\ ([0-9]+)\ intents ]]; then
		intents=$((intents + BASH_REMATCH[1]))
	fi
}

# shut_down LOAD...: a volume that the kernel had mounted when it was shut down.
shut_down()
{
	local flags=""
	[ "$part" = unflushed ] || flags=-f
	mount_kernel "$work/image" "$mnt"
	case $part in
	open)
		crash_load "$mnt" --seed $seed --operations 500 --all "$@" "--shutdown=$flags"
		unmount_kernel "$mnt"
		;;
	busy)
		crash_load "$mnt" --seed $seed --fragments --seconds 60 &
		sleep 2
		[ $((seed % 2)) = 0 ] || flags=""
		end_work "$flags" $!
		;;
	*)
		crash_load "$mnt" --seed $seed --operations 600 --all "$@"
		xfs_io -x -c "shutdown $flags" "$mnt"
		unmount_kernel "$mnt"
		;;
	esac
	judge image
}

# copied LOAD...: copies of the disk while the kernel works, and at last one that is shut down.
copied()
{
	local i worker
	mount_kernel "$work/host.mnt/image" "$mnt"
	if [ "$part" = chains ]; then
		set -- --chains "$@"
	else
		set -- --all "$@"
	fi
	crash_load "$mnt" --seed $seed --seconds 60 "$@" &
	worker=$!
	for ((i = 1; i <= copies; i++)); do
		sleep "1.$((RANDOM % 10))"
		cp --reflink=always "$work/host.mnt/image" "$work/host.mnt/copy$i"
	done
	end_work "" $worker
	for ((i = 1; i <= copies; i++)); do
		judge host.mnt/copy$i
		rm "$work/host.mnt/copy$i"
	done
	judge host.mnt/image
}

# killed LOAD...: a daemon that is killed.
killed()
{
	mount_userxfs "$work/image" "$mnt"
	crash_load "$mnt" --seed $seed --seconds $((seed % 3 + 1)) --syncs "$@" &
	sleep "$((seed % 3)).$((seed % 7 + 2))"
	kill -9 "${daemon_of[$mnt]}"
	{ wait "${daemon_of[$mnt]}" || true; } 2>/dev/null
	unset "daemon_of[$mnt]"
	wait || true
	umount -i -l "$mnt"
	judge image
}

# owners LOAD...: extents swapped by the kernel.
owners()
{
	local image=$work/image
	mount_kernel "$image" "$mnt"
	crash_load "$mnt" --seed $seed --operations 400 --all --swaps "$@"
	sync
	manifest --without segments,blocks "$mnt" >"$work/wanted.manifest"
	xfs_io -x -c "shutdown -f" "$mnt"
	unmount_kernel "$mnt"
	save_evidence "$image"
	copy_image "$image" "$work/by-userxfs"
	expect "status of userxfs --recover" 1 "$(recover_image "$work/by-userxfs" >"$work/recover.log" 2>&1 && echo 0 || echo $?)"
	check_image "$work/by-userxfs"
	mount_kernel "$work/by-userxfs" "$mnt" ro
	manifest --without segments,blocks "$mnt" >"$work/u.manifest"
	unmount_kernel "$mnt"
	same_files "before and after" "$work/wanted.manifest" "$work/u.manifest"
	evidence=()
	images=$((images + 1))
}

# A read-only mount replays in memory: what is seen is the same, the image is what it was.
read_only()
{
	local image=$work/image before
	mount_kernel "$image" "$mnt"
	crash_load "$mnt" --seed $seed --operations 600 --all "$@"
	xfs_io -x -c "shutdown -f" "$mnt"
	unmount_kernel "$mnt"
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
	images=$((images + 1))
}

if [[ $part =~ midrun|chains ]]; then
	make_image host 6g
	mount_kernel "$work/host" "$work/host.mnt"
fi
seed=1
for volume in "${volumes[@]}"; do
	geometry=${volume%|*}
	load=${volume#*|}
	say "$part: $geometry"
	seed=$((seed + 1))
	# shellcheck disable=SC2086
	case $part in
	midrun | chains)
		# With a log of its own beside it the copy would be of two moments.
		if [[ $geometry == *external* ]]; then continue; fi
		make_volume host.mnt/image $geometry
		copied $load
		;;
	killed)
		make_volume image $geometry
		killed $load
		;;
	owners)
		if [[ $geometry == *rmapbt=1* ]]; then continue; fi
		make_volume image $geometry
		owners $load
		;;
	readonly)
		make_volume image $geometry
		read_only $load
		;;
	*)
		make_volume image $geometry
		shut_down $load
		;;
	esac
done
say "$part: $images images recovered alike, $intents intents finished"
