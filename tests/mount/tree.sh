#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Real trees copied in with cp -a: they compare equal here and through the kernel; half of them removed, some renamed, copied
# again; nothing to repair, and the free blocks and inodes are those that a repaired copy counts.
#
# parts: includes documents many
# not-under: release includes
# not-under: asan many documents
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"

# pick TREE COUNT: the first COUNT files of a real tree, with their directories, below $work/source.
pick()
{
	mkdir -p "$work/source/$(basename "$1")"
	(cd "$1" && find . -xdev \( -type f -o -type l \) -size -512k 2>/dev/null | sort | sed -n "1,$2p") >"$work/list"
	# Special bits and links are part of it; what an ordinary user may not read is not.
	(cd "$1" && tar cf - --no-recursion --ignore-failed-read -T "$work/list" 2>/dev/null) |
		tar xpf - -C "$work/source/$(basename "$1")"
	rm -f "$work/list"
}

copy_and_compare()
{
	cp -a "$work/source" "$work/mnt/$1"
	diff -r --no-dereference "$work/source" "$work/mnt/$1" || fail "the copy $1 differs"
}

# Every second entry of each directory, and whole directories.
remove_half()
{
	find "$1" -depth -mindepth 3 ! -type d | awk 'NR % 2' | tr '\n' '\0' | xargs -0 rm -f
	find "$1" -depth -mindepth 2 -type d | awk 'NR % 5 == 0' | tr '\n' '\0' | xargs -0 rm -rf
}

rename_some()
{
	local i=0 file
	find "$1" -mindepth 3 -type f | awk 'NR % 40 == 0' >"$work/list"
	while IFS= read -r file; do
		i=$((i + 1))
		case $((i % 3)) in
		0) mv "$file" "$file.renamed-to-something-longer" ;;
		1) mv "$file" "$1/moved-up-$i" ;;
		2) mv "$file" "$(dirname "$file")/r$i" ;;
		esac
	done <"$work/list"
	rm -f "$work/list"
}

compare_through_kernel()
{
	is_root || return 0
	mount_kernel "$work/image" "$work/mnt" ro
	diff -r --no-dereference "$work/source" "$work/mnt/second" || fail "the kernel reads the copy differently"
	manifest --without blocks "$work/mnt" >"$work/by-kernel"
	unmount_kernel "$work/mnt"
	same_files "the tree" "$work/by-kernel" "$work/by-userxfs"
}

# disk_counts IMAGE: free blocks, allocated and free inodes.  Blocks of the trees that xfs_repair builds anew, and may pack
# tighter, count as free.
disk_counts()
{
	local agno agcount
	agcount=$(xfs_db -r -c "sb 0" -c "p agcount" "$1" | sed 's/.*= //')
	{
		xfs_db -r -c "sb 0" -c "p fdblocks icount ifree" "$1"
		for ((agno = 0; agno < agcount; agno++)); do
			xfs_db -r -c "agf $agno" -c "p refcntblocks" -c "agi $agno" -c "p ino_blocks fino_blocks" "$1"
		done
	} | awk '$1 == "icount" || $1 == "ifree" { print; next } { blocks += $3 } END { print "blocks", blocks }'
}

# What the volume says is free is what xfs_repair counts in a copy whose trees and counters it makes anew.
no_space_leaked()
{
	local before after
	cp --sparse=always "$work/image" "$work/repaired"
	before=$(disk_counts "$work/image")
	xfs_repair "$work/repaired" >"$work/repair.log" 2>&1 || fail "xfs_repair: $(tail -n 3 "$work/repair.log")"
	after=$(disk_counts "$work/repaired")
	expect "free blocks and inodes" "$after" "$before"
}

# Fewer names than this, as where documentation was left out when the system was installed, would test nothing.
at_least=1000
case ${1:?part} in
includes)
	pick /usr/include 100000
	size=1g
	options=
	;;
documents)
	pick /usr/share/doc 8000
	size=1g
	options="-m rmapbt=1"
	;;
many)
	each=12000 enough=21000 at_least=20000
	is_sanitized && each=1500 enough=3000 at_least=2000
	for tree in /usr/share /usr/lib /usr/include; do
		pick "$tree" $each
		[ "$(find "$work/source" | wc -l)" -lt $enough ] || break
	done
	size=3g
	options="-b size=1024"
	;;
esac
[ "$(find "$work/source" | wc -l)" -ge $at_least ] || skip "needs $at_least files in /usr to copy"
say "$(find "$work/source" | wc -l) names, $(du -sm "$work/source" | cut -f1) MiB"
# shellcheck disable=SC2086
make_image image $size $options
mount_userxfs "$work/image" "$work/mnt"
empty=$(free_counts "$work/mnt")
say "copy"
copy_and_compare first
say "remove half, rename some"
remove_half "$work/mnt/first"
rename_some "$work/mnt/first"
find "$work/mnt/first" | sed "s|^$work/mnt/||" | sort >"$work/left"
unmount_userxfs "$work/mnt"
check_image "$work/image"
say "copy again"
mount_userxfs "$work/image" "$work/mnt"
find "$work/mnt/first" | sed "s|^$work/mnt/||" | sort >"$work/left-after"
same_files "what was left" "$work/left" "$work/left-after"
copy_and_compare second
unmount_userxfs "$work/mnt"
check_image "$work/image"
mount_userxfs "$work/image" "$work/mnt" ro
manifest --without blocks "$work/mnt" >"$work/by-userxfs"
unmount_userxfs "$work/mnt"
compare_through_kernel
no_space_leaked
say "remove all"
mount_userxfs "$work/image" "$work/mnt"
rm -rf "$work/mnt/first" "$work/mnt/second"
unmount_userxfs "$work/mnt"
check_image "$work/image"
no_space_leaked
mount_userxfs "$work/image" "$work/mnt"
# Blocks of trees that grew stay theirs: a handful.
left=$((${empty%% *} - $(stat -f -c %f "$work/mnt")))
[ $left -lt 200 ] || fail "$left blocks are missing after everything was removed"
unmount_userxfs "$work/mnt"
