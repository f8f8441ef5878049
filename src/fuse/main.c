/* SPDX-License-Identifier: GPL-2.0 */
/*
 * userxfs: mounts an XFS volume and serves it.
 *
 * The process forks first; the child opens the volume, mounts and waits for the kernel's INIT, then tells the parent
 * through a pipe, which exits 0.  So every error reaches the shell, and a mount that has returned works.
 * Exit status: 0; 1 usage; 32 the mount failed (mount(8)'s code).
 *
 * With --recover it only replays the log, in the foreground.  Exit status as fsck(8)'s: 0 the log was clean; 1 it was
 * replayed; 4 it could not be; 8 the volume could not be opened; 16 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <userxfs/base/message.h>
#include <userxfs/base/thread.h>

#include "options.h"

#define EXIT_USAGE 1
#define EXIT_MOUNT 32

enum {
	RECOVERY_CLEAN = 0,
	RECOVERY_DONE_NOW = 1,
	RECOVERY_IMPOSSIBLE = 4,
	RECOVERY_FAILED = 8,
	RECOVERY_USAGE = 16,
};

static void syslog_sink(void *context, enum message_level level, const char *line)
{
	static const int priority[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

	syslog(priority[level], "%s", line);
}

/* Names that stay valid after chdir("/"), and a mountpoint that is a directory. */
static int resolve_paths(struct command *cmd)
{
	char resolved[PATH_MAX];
	struct statfs sfs;
	struct stat st;

	/* The attributes of a dead mount may be cached, its statfs is not. */
	if (stat(cmd->mountpoint, &st) || statfs(cmd->mountpoint, &sfs)) {
		msg_error("%s: %s; %s", cmd->mountpoint, strerror(errno),
			  errno == ENOENT   ? "make the mountpoint with mkdir"
			  : errno == ENOTCONN ? "an earlier mount died there: unmount it with fusermount3 -u"
					      : "choose another mountpoint");
		return -errno;
	}
	if (!S_ISDIR(st.st_mode)) {
		msg_error("%s: not a directory; choose a directory as mountpoint", cmd->mountpoint);
		return -ENOTDIR;
	}
	if (realpath(cmd->mountpoint, resolved))
		snprintf(cmd->mountpoint, sizeof(cmd->mountpoint), "%s", resolved);
	/* /proc/mounts shows the name that was given, unless it means something else elsewhere. */
	if (!cmd->fuse.fsname[0] && cmd->device[0] == '/')
		snprintf(cmd->fuse.fsname, sizeof(cmd->fuse.fsname), "%s", cmd->device);
	if (realpath(cmd->device, resolved))
		snprintf(cmd->device, sizeof(cmd->device), "%s", resolved);
	if (!cmd->fuse.fsname[0])
		snprintf(cmd->fuse.fsname, sizeof(cmd->fuse.fsname), "%s", cmd->device);
	if (cmd->log_device[0] && realpath(cmd->log_device, resolved))
		snprintf(cmd->log_device, sizeof(cmd->log_device), "%s", resolved);
	if (!stat(cmd->device, &st))
		cmd->fuse.is_block_device = S_ISBLK(st.st_mode);
	return 0;
}

/* Flags of a mounted filesystem change without the daemon: mount(8) does it, told not to call us again. */
static int remount(const struct command *cmd)
{
	execlp("mount", "mount", "-i", "-o", cmd->remount_options, cmd->mountpoint, (char *)NULL);
	msg_error("cannot run mount(8): %s", strerror(errno));
	return EXIT_MOUNT;
}

/* ---- recovery without a mount ---- */

static int recover(const struct command *cmd)
{
	struct volume_recovery_report report;
	int err = volume_recover(&cmd->volume, &report);

	if (err == -EUCLEAN || (err && report.was_dirty))
		return RECOVERY_IMPOSSIBLE;
	if (err)
		return RECOVERY_FAILED;
	if (!report.was_dirty) {
		printf("%s: the log is clean\n", cmd->device);
		return RECOVERY_CLEAN;
	}
	printf("%s: replayed %llu transactions: %llu buffers, %llu inodes; finished %llu intents, freed %llu "
	       "unlinked inodes%s\n",
	       cmd->device, (unsigned long long)report.log.transactions, (unsigned long long)report.log.buffers,
	       (unsigned long long)report.log.inodes, (unsigned long long)report.log.intents,
	       (unsigned long long)report.orphans,
	       cmd->volume.read_only ? "; in memory only, nothing was written" : "");
	return RECOVERY_DONE_NOW;
}

/* ---- the daemon ---- */

struct daemon {
	struct session session;
	sigset_t signals;
};

static void *signal_main(void *arg)
{
	struct daemon *d = arg;
	int sig;

	for (;;) {
		if (sigwait(&d->signals, &sig))
			continue;
		if (sig == SIGUSR1)
			return NULL;
		msg_info("%s: unmounting %s", strsignal(sig), d->session.mountpoint);
		session_unmount(&d->session);
	}
}

static void detach(void)
{
	int fd = open("/dev/null", O_RDWR);

	openlog("userxfs", LOG_PID, LOG_DAEMON);
	message_set_sink(syslog_sink, NULL);
	if (fd >= 0) {
		dup2(fd, 0);
		dup2(fd, 1);
		dup2(fd, 2);
		if (fd > 2)
			close(fd);
	}
	if (chdir("/"))
		msg_debug("chdir: %s", strerror(errno));
}

/* Mounts and serves until the end; @ready_fd: where to tell that it works (-1 in the foreground). */
static int run(struct command *cmd, int ready_fd)
{
	static struct daemon d;
	struct thread signals = { 0 };
	struct volume *vol;
	int err, status = 0;

	sigemptyset(&d.signals);
	sigaddset(&d.signals, SIGTERM);
	sigaddset(&d.signals, SIGINT);
	sigaddset(&d.signals, SIGHUP);
	sigaddset(&d.signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &d.signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	err = volume_mount(&cmd->volume, &vol);
	if (err)
		return EXIT_MOUNT;
	err = session_mount(&d.session, vol, cmd->mountpoint, &cmd->fuse);
	if (err) {
		volume_unmount(vol, true);
		return EXIT_MOUNT;
	}
	if (!session_start(&d.session) && !thread_create(&signals, "uxfs-signal", signal_main, &d)) {
		if (ready_fd >= 0) {
			detach();
			if (write(ready_fd, "", 1) != 1)
				msg_debug("the parent is gone");
			close(ready_fd);
		}
	} else {
		session_unmount(&d.session);
		status = EXIT_MOUNT;
	}
	session_wait(&d.session);
	if (volume_unmount(vol, true))
		status = EXIT_MOUNT;
	session_unmounted(&d.session);
	if (signals.is_running) {
		pthread_kill(signals.native, SIGUSR1);
		thread_join(&signals);
	}
	session_destroy(&d.session);
	return status;
}

/* The parent's part: its exit status is the mount's. */
static int wait_ready(int fd, pid_t child)
{
	int status;
	char byte;

	if (read(fd, &byte, 1) == 1)
		return 0;
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	return EXIT_MOUNT;
}

int main(int argc, char **argv)
{
	static struct command cmd;
	int pipe_fds[2];
	pid_t child;

	if (command_parse(&cmd, argc, argv))
		return cmd.is_recovery ? RECOVERY_USAGE : EXIT_USAGE;
	if (cmd.show_help || cmd.show_version) {
		if (cmd.show_version)
			puts("userxfs " USERXFS_VERSION);
		else
			command_usage();
		return 0;
	}
	if (cmd.debug)
		message_set_level(MESSAGE_DEBUG);
	if (cmd.is_remount)
		return remount(&cmd);
	if (cmd.is_recovery)
		return recover(&cmd);
	if (resolve_paths(&cmd))
		return EXIT_MOUNT;
	if (cmd.foreground)
		return run(&cmd, -1);
	if (pipe2(pipe_fds, O_CLOEXEC)) {
		msg_error("pipe: %s", strerror(errno));
		return EXIT_MOUNT;
	}
	child = fork();
	if (child < 0) {
		msg_error("fork: %s", strerror(errno));
		return EXIT_MOUNT;
	}
	if (child) {
		close(pipe_fds[1]);
		return wait_ready(pipe_fds[0], child);
	}
	close(pipe_fds[0]);
	setsid();
	return run(&cmd, pipe_fds[1]);
}
