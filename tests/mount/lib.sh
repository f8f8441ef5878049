# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by the scripts in this folder: a work directory of its own for each run, images, mounts by userxfs and by the kernel,
# checks, and cleaning up whatever happens.
#
# A script sources this, then states what it does with the helpers below.  It runs with "set -e": the first command that fails
# fails the test.  Environment: USERXFS, the daemon (default: that of build/release); TMPDIR, where images go (/var/tmp).

set -Eeuo pipefail
trap 'echo "$(basename "${BASH_SOURCE[0]}"), line $LINENO: $BASH_COMMAND: status $?" >&2' ERR
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
umask 022

tests_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project_dir=$(cd "$tests_dir/../.." && pwd)
: "${USERXFS:=$project_dir/build/release/src/fuse/userxfs}"
python=/usr/bin/python3
# "source lib.sh in-memory": in a test that waits for its disk more than it asks anything of it.
if [ "${1:-}" = in-memory ] && [ "$(df --output=avail -B1G /dev/shm 2>/dev/null | tail -n 1)" -ge 4 ] 2>/dev/null; then
	: "${TMPDIR:=/dev/shm}"
fi

work=$(mktemp -d "${TMPDIR:-/var/tmp}/userxfs-mount.XXXXXX")

# Reports of sanitizers go to files: a daemon in the background has no stderr.
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1}:log_path=$work/sanitizer"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}:log_path=$work/sanitizer"

declare -A daemon_of=()			# mountpoint -> pid of the daemon that serves it
background_pids=()			# of start_background
evidence=()				# files that a failure leaves in a directory, which is printed

say()
{
	echo "--- $*"
}

fail()
{
	echo "FAILED: $*"
	exit 1
}

# skip REASON: the last line of output says which prerequisite is missing.
skip()
{
	echo "$*"
	exit 77
}

is_root()
{
	[ "$(id -u)" = 0 ]
}

need_root()
{
	is_root || skip "needs root: $*"
}

need_command()
{
	local command
	for command; do
		command -v "$command" >/dev/null || skip "needs $command"
	done
}

# Kernel mounts of XFS images; as root they must work.
need_kernel_xfs()
{
	need_root "mounts XFS in the kernel, through a loop device"
}

is_sanitized()
{
	case $USERXFS in
	*asan*) return 0 ;;
	*) return 1 ;;
	esac
}

# expect WHAT WANTED GOT
expect()
{
	[ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

# fails_with TEXT COMMAND...: the command fails and its stderr contains TEXT.
fails_with()
{
	local text=$1 out
	shift
	if out=$("$@" 2>&1 >/dev/null); then
		fail "'$*' succeeded; it should fail with '$text'"
	fi
	[[ $out == *"$text"* ]] || fail "'$*' said '$out', not '$text'"
}

# wait_until SECONDS WHAT COMMAND...
wait_until()
{
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		[ $SECONDS -lt $deadline ] || fail "waited in vain until $what"
		sleep 0.05
	done
}

start_background()
{
	"$@" &
	background_pids+=($!)
}

# ---- images ----

# What belongs to an image with an external log is in IMAGE.logdev; the functions below use it where it is.

# make_image NAME SIZE [MKFS OPTION...]: $work/NAME, whose root directory belongs to who runs the test.
make_image()
{
	local image=$work/$1 size=$2 proto=$work/$1.proto
	shift 2
	printf 'boot\n0 0\nd--755 %d %d\n$\n' "$(id -u)" "$(id -g)" >"$proto"
	truncate -s "$size" "$image"
	mkfs.xfs -q -f -K -p "$proto" "$@" "$image" >"$work/mkfs.out" 2>&1 || fail "mkfs.xfs $* $image: $(head -n 1 "$work/mkfs.out")"
	rm -f "$proto"
}

# What check_image must not find.
complaints='ALERT|^sb_(icount|ifree|fdblocks|frextents)|^agf_|^agi_|would have|would (reset|clear|correct|junk)'

# repair_image IMAGE [XFS_REPAIR OPTION...]: what xfs_repair -n says goes to $work/repair.log.
repair_image()
{
	local image=$1
	shift
	[ ! -e "$image.logdev" ] || set -- -l "$image.logdev" "$@"
	xfs_repair -n "$@" "$image" >"$work/repair.log" 2>&1
}

# check_image IMAGE [XFS_REPAIR OPTION...]: nothing to repair, a clean log, right counters.
check_image()
{
	if ! repair_image "$@" || grep -qE "$complaints" "$work/repair.log"; then
		cat "$work/repair.log"
		fail "xfs_repair -n $1 is not content"
	fi
}

# ---- mounting with userxfs ----

is_mountpoint()
{
	mountpoint -q "$1"
}

pid_ended()
{
	# A zombie has ended too: wait collects it.
	[ ! -e "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

mounted_or_ended()
{
	pid_ended "$2" || is_mountpoint "$1"
}

# mount_userxfs IMAGE DIR [OPTIONS]: in the foreground of a background job, so that its log and exit status are ours.
mount_userxfs()
{
	local image=$1 dir=$2 options=${3:-} log
	[ ! -e "$image.logdev" ] || options+=${options:+,}logdev=$image.logdev
	mkdir -p "$dir"
	log=$work/$(basename "$dir").log
	"$USERXFS" -f ${options:+-o "$options"} "$image" "$dir" >>"$log" 2>&1 &
	daemon_of[$dir]=$!
	wait_until 60 "$dir is mounted" mounted_or_ended "$dir" "${daemon_of[$dir]}"
	if pid_ended "${daemon_of[$dir]}"; then
		cat "$log"
		unset "daemon_of[$dir]"
		return 1
	fi
	# Answered only when the kernel and the daemon have agreed on the protocol.
	stat -f "$dir" >/dev/null
}

show_stacks()
{
	local task
	for task in "/proc/$1"/task/*; do
		echo "thread $(cat "$task/comm") in $(cat "$task/wchan" 2>/dev/null)"
	done
	if command -v gdb >/dev/null; then
		gdb -p "$1" -batch -ex 'thread apply all bt 25' 2>/dev/null | grep -E '^(#|Thread)' || true
	fi
}

# wait_daemon DIR: the daemon of DIR has flushed everything and ended well.
wait_daemon()
{
	local dir=$1 pid=${daemon_of[$1]} status=0 deadline=$((SECONDS + 120))
	until pid_ended "$pid"; do
		if [ $SECONDS -ge $deadline ]; then
			show_stacks "$pid"
			fail "the daemon of $dir (pid $pid) does not end"
		fi
		sleep 0.02
	done
	wait "$pid" || status=$?
	unset "daemon_of[$dir]"
	if [ $status != 0 ] && [ $status != "${may_end_with:-0}" ]; then
		cat "$work/$(basename "$dir").log"
		check_sanitizers
		fail "the daemon of $dir ended with status $status"
	fi
	may_end_with=
	check_sanitizers
}

unmount_only()
{
	if is_root; then
		umount -i "$1"
	else
		fusermount3 -u "$1"
	fi
}

unmount_userxfs()
{
	unmount_only "$1" || { fuser -vm "$1" || true; fail "cannot unmount $1"; }
	wait_daemon "$1"
}

# A sanitizer that found something has written a file; nothing else makes one.
check_sanitizers()
{
	local file
	for file in "$work"/sanitizer.*; do
		[ -e "$file" ] || continue
		head -n 120 "$file"
		fail "a sanitizer complains"
	done
}

# ---- mounting with the kernel ----

# mount_kernel IMAGE DIR [OPTIONS]
mount_kernel()
{
	local options=loop${3:+,$3} log=
	mkdir -p "$2"
	if [ -e "$1.logdev" ]; then
		log=$(losetup -f --show "$1.logdev")
		options+=,logdev=$log
	fi
	mount -t xfs -o "$options" "$1" "$2"
	# It goes with the last who uses it.
	[ -z "$log" ] || losetup -d "$log"
}

unmount_kernel()
{
	local loop
	loop=$(findmnt -no SOURCE "$1")
	umount "$1"
	# The last close of an autoclear loop device may be udev's.
	wait_until 20 "$loop is free" loop_is_free "$loop"
}

loop_is_free()
{
	[ -z "$(losetup -n -O BACK-FILE "$1" 2>/dev/null)" ] || ! losetup -n -O BACK-FILE "$1" 2>/dev/null | grep -qF "$work/"
}

# ---- users ----

# fuse_for_all: as root, /dev/fuse open to everybody (as on Debian, but not in every container) until the script ends.  Scripts
# that depend on its mode take turns.
fuse_for_all()
{
	exec 8>/run/lock/userxfs-test-dev-fuse
	flock 8
	fuse_mode=$(stat -c %a /dev/fuse)
	chmod 666 /dev/fuse
}

# ---- comparing ----

populate()
{
	"$python" "$tests_dir/populate.py" "$@"
}

manifest()
{
	"$python" "$tests_dir/manifest.py" "$@"
}

# same_files WHAT A B
same_files()
{
	if ! cmp -s "$2" "$3"; then
		diff "$2" "$3" | cut -c1-400 | head -n 40
		fail "$1: $(basename "$2") and $(basename "$3") differ"
	fi
}

# "free blocks, free inodes" as the mount counts them.
free_counts()
{
	stat -f -c '%f %d' "$1"
}

# like_counts WHAT "BLOCKS INODES" "BLOCKS INODES": of two volumes with the same files.  The order in which space was freed
# decides how many blocks the trees have that count it: a few may differ.
like_counts()
{
	local -a a b
	read -ra a <<<"$2"
	read -ra b <<<"$3"
	[ $((a[0] - b[0])) -le 8 ] && [ $((b[0] - a[0])) -le 8 ] && [ "${a[1]}" = "${b[1]}" ] || fail "$1: '$2' and '$3'"
}

# ---- dirty logs ----

# crash_load DIR ARGUMENTS...: see crashload.py
crash_load()
{
	"$python" "$tests_dir/crashload.py" "$@" >>"$work/load.log" 2>&1
}

# save_evidence IMAGE [FILE...]
save_evidence()
{
	evidence=("$@")
	[ ! -e "$1.logdev" ] || evidence+=("$1.logdev")
}

# copy_image FROM TO
copy_image()
{
	rm -f "$2.logdev"
	cp --sparse=always "$1" "$2"
	if [ -e "$1.logdev" ]; then
		cp --sparse=always "$1.logdev" "$2.logdev"
	fi
}

# recover_image IMAGE: by userxfs, without a mount.
recover_image()
{
	local options=
	[ ! -e "$1.logdev" ] || options=logdev=$1.logdev
	"$USERXFS" --recover ${options:+-o "$options"} "$1"
}

# recovered_alike IMAGE: the kernel and userxfs recover a copy each, and make the same of it.  Where intents were finished Linux
# has loaded the inodes they are about, and when it drops them gives back what is preallocated beyond their ends; userxfs leaves
# that to who closes the file next.
recovered_alike()
{
	local image=$work/$1 by_kernel=$work/by-kernel by_userxfs=$work/by-userxfs status=0 without
	save_evidence "$image"
	copy_image "$image" "$by_kernel"
	copy_image "$image" "$by_userxfs"
	mount_kernel "$by_kernel" "$work/k"
	unmount_kernel "$work/k"
	recover_image "$by_userxfs" >"$work/recover.log" 2>&1 || status=$?
	tail -n 1 "$work/recover.log"
	[ $status -le 1 ] || { cat "$work/recover.log"; fail "userxfs --recover: status $status"; }
	check_sanitizers
	check_image "$by_kernel"
	check_image "$by_userxfs"
	mount_kernel "$by_kernel" "$work/k" ro
	mount_kernel "$by_userxfs" "$work/u" ro,nouuid
	without=
	if grep -q 'finished [1-9]' "$work/recover.log"; then without="--without blocks"; fi
	# shellcheck disable=SC2086
	manifest $without "$work/k" >"$work/k.manifest"
	# shellcheck disable=SC2086
	manifest $without "$work/u" >"$work/u.manifest"
	same_files "after recovery" "$work/k.manifest" "$work/u.manifest"
	[ -n "$without" ] ||
		like_counts "free blocks and inodes after recovery" "$(free_counts "$work/k")" "$(free_counts "$work/u")"
	unmount_kernel "$work/u"
	unmount_kernel "$work/k"
	recover_image "$by_userxfs" >/dev/null || fail "userxfs --recover does not leave a clean log"
	evidence=()
}

# ---- cleaning up ----

# The daemons that have our work directory in their command line: those that went to the background too.
our_daemons()
{
	local proc words
	for proc in /proc/[0-9]*; do
		mapfile -d '' words <"$proc/cmdline" || continue
		[ ${#words[@]} -gt 2 ] || continue		# threads of the kernel have none
		if [[ ${words[0]##*/} == *userxfs* && ${words[*]} == *"$work/"* ]]; then
			echo "${proc#/proc/}"
		fi
	done 2>/dev/null
}

mounts_below()
{
	awk -v prefix="$1/" 'index($5, prefix) == 1 { print $5 }' /proc/self/mountinfo | tac
}

# Invoked in any state; must never fail or hang.
cleanup()
{
	local status=$? pid dir loop
	trap - EXIT ERR
	trap '' TERM INT HUP
	set +e
	for pid in "${background_pids[@]}"; do
		kill -9 "$pid" 2>/dev/null
	done
	if [ "$status" != 0 ] && [ "$status" != 77 ]; then
		for dir in "$work"/*.log; do
			[ -s "$dir" ] && { echo "--- $(basename "$dir"):"; tail -n 30 "$dir"; }
		done
	fi
	if [ "$status" != 0 ] && [ "$status" != 77 ] && [ ${#evidence[@]} -gt 0 ]; then
		dir=$(mktemp -d /var/tmp/userxfs-failed.XXXXXX)
		cp -r --sparse=always "${evidence[@]}" "$work"/*.log "$dir"
		echo "what was found is in $dir"
	fi
	for dir in $(mounts_below "$work"); do
		if is_root; then
			timeout 20 umount -i "$dir" 2>/dev/null || umount -i -l "$dir" 2>/dev/null
		else
			fusermount3 -u -z "$dir" 2>/dev/null
		fi
	done
	for _ in $(seq 100); do
		[ -n "$(our_daemons)" ] || break
		sleep 0.1
	done
	for pid in $(our_daemons); do
		echo "the daemon $pid had to be killed"
		[ "$status" = 0 ] && status=1
		kill -9 "$pid"
	done
	if is_root; then
		losetup -n -O NAME,BACK-FILE 2>/dev/null | while read -r loop dir; do
			[[ $dir == "$work"/* ]] && losetup -d "$loop"
		done
	fi
	if [ "$status" = 0 ]; then
		for dir in "$work"/sanitizer.*; do
			[ -e "$dir" ] && { head -n 120 "$dir"; status=1; }
		done
	fi
	[ -n "${fuse_mode:-}" ] && chmod "$fuse_mode" /dev/fuse
	[ "$(type -t cleanup_more)" = function ] && cleanup_more
	[ -z "$(mounts_below "$work")" ] && [ -z "${KEEP:-}" ] && rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP

[ -x "$USERXFS" ] || fail "$USERXFS is missing; build it with: ninja -C build/release"
USERXFS=$(readlink -f "$USERXFS")
export USERXFS
[ -e /dev/fuse ] || skip "needs FUSE: there is no /dev/fuse"
is_root || { command -v fusermount3 >/dev/null || skip "needs fusermount3 (package fuse3)"; }
