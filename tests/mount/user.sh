#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Mounting without root, through fusermount3: files are the user's, nobody else gets in, nothing needs privileges.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
need_command fusermount3

as_user=()
if is_root; then
	need_command setpriv
	fuse_for_all
	install -m 755 "$USERXFS" "$work/userxfs"
	chmod 755 "$work"
	mkdir "$work/home"
	chown nobody:nogroup "$work/home"
	as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
	daemon=$work/userxfs
	tests=$work/tests
	mkdir "$tests"
	install -m 644 "$tests_dir"/*.py "$tests/"
else
	mkdir "$work/home"
	daemon=$USERXFS
	tests=$tests_dir
fi
home=$work/home

user()
{
	"${as_user[@]}" "$@"
}

user sh -c "cd $home && printf 'boot\n0 0\nd--755 %d %d\n\$\n' \$(id -u) \$(id -g) >proto && truncate -s 320m image &&
	mkfs.xfs -q -p proto image && mkdir mnt"
say "mounted in the background, by a relative name"
user sh -c "cd $home && $daemon image mnt" || fail "an ordinary user cannot mount"
expect "type" fuse.userxfs "$(findmnt -no FSTYPE "$home/mnt")"
expect "source" "$home/image" "$(findmnt -no SOURCE "$home/mnt")"
say "system calls"
user "$python" "$tests/files.py" "$home/mnt"
say "a population"
user mkdir "$home/mnt/population"
user "$python" "$tests/populate.py" "$home/mnt/population"
user chmod u+r "$home/mnt/population/modes/0000"
user "$python" "$tests/manifest.py" --without blocks "$home/mnt/population" >"$work/before"
expect "owners" "$(user id -u)" "$(awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^uid=/) print substr($i, 5) }' "$work/before" | sort -u)"
if is_root; then
	say "nobody else gets in, not even root"
	fails_with "Permission denied" ls "$home/mnt"
fi
if user sh -c "$daemon -o allow_other $home/image $home/mnt" 2>"$work/other.err"; then
	fail "one image was mounted twice"
fi
say "unmounted"
user fusermount3 -u "$home/mnt"
wait_until 30 "the lock is free" flock -n "$home/image" true
check_image "$home/image"
user "$daemon" "$home/image" "$home/mnt"
user "$python" "$tests/manifest.py" --without blocks "$home/mnt/population" >"$work/after"
same_files "population" "$work/before" "$work/after"
say "SIGTERM"
user sh -c "echo last >$home/mnt/last"
pid=$(our_daemons | head -n 1)
kill -TERM "$pid"
wait_until 30 "the daemon has ended" pid_ended "$pid"
if is_mountpoint "$home/mnt"; then fail "still mounted"; fi
check_image "$home/image"
user "$daemon" -r "$home/image" "$home/mnt"
expect "what was written last" last "$(user cat "$home/mnt/last")"
user umount "$home/mnt" 2>/dev/null || user fusermount3 -u "$home/mnt"
wait_until 30 "the daemon has ended" eval '[ -z "$(our_daemons)" ]'
check_sanitizers
