#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fio writes with checksums in every block and verifies them: in the mount that wrote, after a remount, and through the kernel.
#
# parts: buffered random direct mmap together
# not-under: release
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
need_command fio

size=48m
is_sanitized && size=16m

common="--aux-path=$work --directory=$work/mnt --verify=crc32c --verify_fatal=1 --randseed=7 --group_reporting --minimal"


# The part's jobs, as fio options.
jobs()
{
	case $part in
	buffered)
		echo --name=seq --rw=write --bs=64k --ioengine=psync --size=$size --numjobs=2
		echo --name=small --rw=write --bs=3000 --ioengine=psync --size=4m
		echo --name=sync --rw=write --bs=16k --ioengine=psync --size=2m --fsync=8
		;;
	random)
		echo --name=rand4k --rw=randwrite --bs=4k --ioengine=psync --size=$size
		echo --name=randodd --rw=randwrite --bsrange=512-20k --bs_unaligned=1 --ioengine=psync --size=8m
		;;
	direct)
		echo --name=uring --rw=randwrite --bs=8k --ioengine=io_uring --iodepth=16 --direct=1 --size=$size
		echo --name=uringseq --rw=write --bs=256k --ioengine=io_uring --iodepth=8 --direct=1 --size=$size
		echo --name=sync --rw=randwrite --bs=4k --ioengine=psync --direct=1 --size=4m --sync=1
		;;
	mmap)
		echo --name=mmap --rw=randwrite --bs=4k --ioengine=mmap --size=$size
		echo --name=mmapseq --rw=write --bs=64k --ioengine=mmap --size=$size --fsync=64
		;;
	together)
		# Several jobs at once on one file, each with its own part of it, by different engines; and many files at once.
		# (fio's mmap engine does not keep to an offset: it has a file of its own.)
		echo --name=one-a --filename=shared --rw=randwrite --bs=4k --ioengine=psync --size=8m --offset=0
		echo --name=one-b --filename=shared --rw=randwrite --bs=4k --ioengine=io_uring --iodepth=8 --direct=1 --size=8m --offset=8m
		echo --name=one-c --filename=shared --rw=randwrite --bs=16k --ioengine=psync --fsync=16 --size=8m --offset=16m
		echo --name=mapped --rw=randwrite --bs=4k --ioengine=mmap --size=8m
		echo --name=many --rw=randwrite --bs=8k --ioengine=psync --size=8m --nrfiles=64 --file_service_type=random --numjobs=2
		;;
	esac
}

# run_jobs MODE-OPTIONS: one fio for each job, all at once.
run_jobs()
{
	local pids=() line pid status=0 i=0
	# Jobs that share a file must be one fio: each process lays the file out anew, over the others' blocks.
	if [ "$part" = together ]; then
		# shellcheck disable=SC2046,SC2086
		fio $common "$@" $(jobs) >"$work/fio.out" 2>&1 || { tail -n 20 "$work/fio.out"; fail "fio $*"; }
		return
	fi
	while IFS= read -r line; do
		i=$((i + 1))
		# shellcheck disable=SC2086
		fio $common "$@" $line >"$work/fio-$i.out" 2>&1 &
		pids+=($!)
	done < <(jobs)
	i=0
	for pid in "${pids[@]}"; do
		i=$((i + 1))
		wait "$pid" || { status=1; tail -n 20 "$work/fio-$i.out"; }
	done
	[ $status = 0 ] || fail "fio $*"
}

part=${1:?part}
make_image image 1g
mount_userxfs "$work/image" "$work/mnt"
say "write and verify"
run_jobs --do_verify=1
unmount_userxfs "$work/mnt"
check_image "$work/image"
say "verify after a remount"
mount_userxfs "$work/image" "$work/mnt"
run_jobs --verify_only
say "overwrite in place, with new checksums"
run_jobs --do_verify=1 --overwrite=1 --verify=crc32c
unmount_userxfs "$work/mnt"
check_image "$work/image"
if is_root; then
	say "verify through the kernel"
	mount_kernel "$work/image" "$work/mnt"
	run_jobs --verify_only
	unmount_kernel "$work/mnt"
fi
