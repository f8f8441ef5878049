#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# One volume of each geometry is populated by the kernel and read by userxfs, another is populated by userxfs and read by the
# kernel.  Both readers see the same: data, sizes, blocks, sparse layout, modes, owners, times, link counts, attributes, ACLs.
# And both writers have made the same.
#
# parts: blocks sectors groups directories trees features inodes log
# not-under: release sectors directories trees features
# not-under: asan blocks groups inodes log
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
need_kernel_xfs

# What the two writers may differ in: when they ran, and the room that Linux leaves for attributes in an inode when it has
# security modules, which decides how early a directory or an extent list moves out of it.
between_writers=ctime,btime,mtime,blocks,dirsize

# geometry NAME SIZE POPULATE-OPTIONS MKFS-OPTION...
geometry()
{
	local name=$1 size=$2 populate_options=$3 writer
	shift 3
	say "$name: mkfs.xfs $*"
	for writer in kernel userxfs; do
		make_image "$name" "$size" "$@"
		"mount_$writer" "$work/$name" "$work/mnt"
		# shellcheck disable=SC2086
		populate $populate_options "$work/mnt"
		"unmount_$writer" "$work/mnt"
		check_image "$work/$name"

		mount_userxfs "$work/$name" "$work/mnt" ro
		manifest "$work/mnt" >"$work/by-userxfs"
		unmount_userxfs "$work/mnt"
		mount_kernel "$work/$name" "$work/mnt" ro
		manifest "$work/mnt" >"$work/by-kernel"
		manifest --without $between_writers "$work/mnt" >"$work/populated-by-$writer"
		unmount_kernel "$work/mnt"
		same_files "$name populated by $writer" "$work/by-kernel" "$work/by-userxfs"
		rm -f "$work/$name"
	done
	same_files "$name, the two writers" "$work/populated-by-kernel" "$work/populated-by-userxfs"
}

case ${1:?part} in
blocks)
	geometry block-1k 400m "--block 1024" -b size=1024
	geometry block-2k-inode-1k 400m "--block 2048" -b size=2048 -i size=1024
	;;
sectors)
	geometry block-64k 600m "--block 65536 --dir-block 65536" -b size=65536
	geometry sector-4k 400m "" -s size=4096
	;;
groups)
	geometry ag-2 400m "" -d agcount=2
	geometry ag-32 2600m "" -d agcount=32
	;;
directories)
	geometry dir-16k 400m "--dir-block 16384" -n size=16384
	geometry dir-8k-of-1k 400m "--dir-block 8192 --block 1024" -b size=1024 -n size=8192 -d agcount=3
	;;
trees)
	geometry rmapbt 400m "" -m rmapbt=1
	geometry no-reflink 400m "" -m reflink=0
	geometry no-finobt 400m "" -m finobt=0,inobtcount=0
	;;
features)
	geometry nrext64 400m "" -i nrext64=1
	geometry no-bigtime 400m "--bigtime 0" -m bigtime=0
	geometry everything 600m "--block 1024" -m rmapbt=1,reflink=1,bigtime=1 -i nrext64=1 -b size=1024 -d agcount=8
	;;
inodes)
	geometry no-sparse 400m "" -i sparse=0
	geometry inode-1k 400m "" -i size=1024
	geometry inode-2k 400m "" -i size=2048
	;;
log)
	# What a RAID gives: stripe units for data and log.
	geometry stripes 400m "" -d su=64k,sw=4,agcount=4 -l su=64k,size=64m
	geometry log-v2-1k-64k 600m "--block 1024" -b size=1024 -l size=64m,sunit=8 -d agcount=5
	;;
esac
