/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unmounting on our own account, and making umount(8) wait for us.
 *
 * Both start mount(8), umount(8) or fusermount3 while the workers serve: these programs may look at the mount.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <userxfs/base/message.h>

#define UMOUNT_HELPER "/sbin/umount.fuse.userxfs"

/* Runs a program quietly to its end.  Its exit status; 127: it could not be started. */
static int run_program(const char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open("/dev/null", O_RDWR);

		if (fd >= 0) {
			dup2(fd, 1);
			dup2(fd, 2);
		}
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return 127;
	return WEXITSTATUS(status);
}

/*
 * umount(8) asked to unmount an absolute path looks for helpers only when its own table (/run/mount/utab) knows the
 * mount; so the mount is entered there, without mounting anything.
 */
void session_register_helper(struct session *s)
{
	const char *const argv[] = { "mount", "-i", "-f", "-t", "fuse.userxfs", "-o", "uhelper=fuse.userxfs", "--",
				     s->options.fsname, s->mountpoint, NULL };

	if (geteuid() || s->is_fuseblk || access(UMOUNT_HELPER, X_OK))
		return;
	if (run_program(argv))
		msg_debug("umount(8) will not wait: mount -f failed");
}

static int try_unmount(struct session *s, bool lazy)
{
	const char *const by_user[] = { "fusermount3", "-u", "-q", lazy ? "-z" : "--", lazy ? "--" : s->mountpoint,
					lazy ? s->mountpoint : NULL, NULL };
	const char *const by_root[] = { "umount", "-i", lazy ? "-l" : "--", lazy ? "--" : s->mountpoint,
					lazy ? s->mountpoint : NULL, NULL };

	if (geteuid())
		return run_program(by_user) ? -EBUSY : 0;
	/* umount(8) also forgets what was entered in its table. */
	if (!run_program(by_root))
		return 0;
	return umount2(s->mountpoint, lazy ? MNT_DETACH : 0) ? -errno : 0;
}

/* Something else may be mounted there by now. */
static bool is_ours(const struct session *s)
{
	struct stat st;

	return !s->dev_number || (!stat(s->mountpoint, &st) && st.st_dev == s->dev_number);
}

void session_unmount(struct session *s)
{
	int err;

	if (!is_ours(s))
		return;
	err = try_unmount(s, false);
	if (err == -EINVAL)
		return;			/* not mounted any more */
	if (err) {
		msg_warning("%s is still in use: detached; userxfs ends when the last file is closed", s->mountpoint);
		err = try_unmount(s, true);
	}
	if (err)
		msg_error("cannot unmount %s: %s; close what uses it and unmount it by hand", s->mountpoint,
			  strerror(-err));
}
