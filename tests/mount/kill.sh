#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The daemon is killed with SIGKILL at random moments while several processes work on the volume and note what they do and what
# fsync has promised them (promises.py).  One copy of each image is recovered by the kernel and one by userxfs: xfs_repair finds
# nothing to repair in either, their trees are equal, and both keep the promises.  userxfs then works on with its copy.
#
# checker: what a volume that did not die holds keeps the promises, and those that are then broken are noticed.
#
# SEED=N chooses the seed, which is printed; KILLS=N how often (10, FULL=1: 120).  A kill whose volume is not what it should be
# leaves the image and the journals in a directory, which is printed.
#
# parts: trees plain checker
# not-under: asan
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh" in-memory
need_kernel_xfs

part=${1:-trees}
kills=${KILLS:-${FULL:+120}}
kills=${kills:-10}
seed=${SEED:-$RANDOM}
per_image=5				# kills of one volume, one after the other
case $part in
trees)
	geometries=("-m reflink=1,rmapbt=1 -l size=32m" "-b size=1024 -m reflink=1,rmapbt=1 -i nrext64=1 -l size=24m"
		"-s size=4096 -m rmapbt=1 -d agcount=3")
	;;
plain)
	geometries=("-m reflink=0,rmapbt=0 -l size=10m" "-l su=256k -m reflink=1 -d agcount=2"
		"-m reflink=0,rmapbt=0,finobt=0 -i size=2048 -n size=16k -l size=16m")
	;;
checker) ;;
esac
mount_options=("" "" dio io=sync writeback "" io=aio)
image=$work/image			# as the daemon left it
mnt=$work/mnt
RANDOM=$seed

promises()
{
	"$python" "$tests_dir/promises.py" "$@"
}

journal_has()
{
	pid_ended "$worker" || [ "$(wc -l <"$journals/p1")" -ge "$1" ]
} 2>/dev/null

# kill_daemon KILL: somewhere in the middle of the work.
kill_daemon()
{
	local status=0
	journals=$work/journals-$1
	mount_userxfs "$image" "$mnt" "${mount_options[$1 % ${#mount_options[@]}]}"
	promises work "$mnt/round$1" "$journals" --seed $((seed + $1)) --clear "$mnt/round$(($1 - 1))" >"$work/promises.log" 2>&1 &
	worker=$!
	wait_until 60 "the workers have begun" journal_has $((RANDOM % (RANDOM % 4 ? 1000 : 100) + 20))
	sleep "0.0$((RANDOM % 100))"
	kill -9 "${daemon_of[$mnt]}"
	{ wait "${daemon_of[$mnt]}" || true; } 2>/dev/null
	unset "daemon_of[$mnt]"
	wait $worker || status=$?
	umount -i -l "$mnt"
	expect "status of the workers" 0 $status
}

# A value that has blocks of its own belongs to an entry that is called incomplete until the value is written.  A crash leaves
# that entry, invisible, in XFS as here, and nothing but xfs_repair removes it.
check_recovered()
{
	local inodes
	if repair_image "$1" && ! grep -qE "$complaints" "$work/repair.log"; then
		return
	fi
	inodes=$(sed -n 's/^attribute entry .*, inode \([0-9]*\) is INCOMPLETE$/\1/p' "$work/repair.log" | sort -u | paste -sd '|')
	if [ -z "$inodes" ] || grep -vE "inode ($inodes)\>|^would clear attr fork$" "$work/repair.log" | grep -E "$complaints"; then
		cat "$work/repair.log"
		fail "xfs_repair -n $1 is not content"
	fi
	echo "an incomplete attribute in inode $inodes of $(basename "$1")"
}

# recover KILL: with the program that only recovers, or by a mount.
recover()
{
	local status=0
	cp --sparse=always "$image" "$work/by-kernel"
	cp --sparse=always "$image" "$work/by-userxfs"
	mount_kernel "$work/by-kernel" "$work/k"
	unmount_kernel "$work/k"
	if [ $(($1 % 2)) = 0 ]; then
		"$USERXFS" --recover "$work/by-userxfs" >"$work/recover.log" 2>&1 || status=$?
		[ $status -le 1 ] || fail "userxfs --recover: status $status"
	else
		mount_userxfs "$work/by-userxfs" "$work/u"
		unmount_userxfs "$work/u"
	fi
}

# judge: both copies are clean, they are equal, and they keep the promises.
judge()
{
	local who
	local -A counts
	for who in kernel userxfs; do
		check_recovered "$work/by-$who"
		mount_kernel "$work/by-$who" "$work/$who" ro,nouuid
		manifest "$work/$who" >"$work/$who.manifest"
		counts[$who]=$(free_counts "$work/$who")
		promises check "$work/$who/round$1" "$journals" >"$work/check-$who.log" || fail "recovered by $who: a promise is broken"
		unmount_kernel "$work/$who"
	done
	same_files "recovered" "$work/kernel.manifest" "$work/userxfs.manifest"
	like_counts "free blocks and inodes" "${counts[kernel]}" "${counts[userxfs]}"
}

# use: what userxfs has recovered can be worked on.
use()
{
	local dir=$work/used
	mount_userxfs "$work/by-userxfs" "$dir"
	mkdir "$dir/again"
	head -c 300000 /dev/urandom >"$work/data"
	cp "$work/data" "$dir/again/file"
	cp "$work/data" "$dir/again/removed"
	cmp "$work/data" "$dir/again/file"
	rm -r "$dir/again"
	unmount_userxfs "$dir"
	check_recovered "$work/by-userxfs"
}

# noticed TEXT: the checker complains, and says this.
noticed()
{
	if promises check "$mnt/round" "$journals" >"$work/check.log"; then
		fail "not noticed: $1"
	fi
	grep -q "$1" "$work/check.log" || { cat "$work/check.log"; fail "not said: $1"; }
}

check_the_checker()
{
	local -a ones others
	journals=$work/journals
	make_image image 320m
	mount_kernel "$image" "$mnt"
	promises work "$mnt/round" "$journals" --seed "$seed" --seconds 3
	promises check "$mnt/round" "$journals"
	mapfile -t ones < <(find "$mnt/round/p1" -type f -size +20k)
	mapfile -t others < <(find "$mnt/round/p2" -type f -size +20k)
	say "bytes of another file"
	dd if="${ones[0]}" of="${others[0]}" bs=512 count=8 skip=2 seek=9 conv=notrunc status=none
	noticed 'it may be of'
	say "a name that is missing"
	mv "${ones[0]}" "$mnt"
	noticed 'what is found is not what there was'
	unmount_kernel "$mnt"
}

if [ "$part" = checker ]; then
	check_the_checker
	exit
fi
say "$part: $kills kills, seed $seed"
operations=0
for ((kill = 0; kill < kills; kill++)); do
	if [ $((kill % per_image)) = 0 ]; then
		geometry=${geometries[kill / per_image % ${#geometries[@]}]}
		# shellcheck disable=SC2086
		make_image image 200m --unsupported $geometry
	fi
	save_evidence "$image" "$work/journals-$kill"
	kill_daemon $kill
	recover $kill
	judge $kill
	use
	evidence=()
	count=$(sed -n 's/ operations, 0 violations//p' "$work/check-userxfs.log")
	echo "kill $kill: $count operations; $geometry"
	operations=$((operations + count))
	rm -r "$journals" "$work"/*.log "$work/by-kernel"
	mv "$work/by-userxfs" "$image"
done
say "$kills kills, $operations operations, no promise broken"
