/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mounting, the workers, and the ways a mount ends.
 *
 *   umount, plain fuse   the kernel closes the connection: reads give ENODEV, the workers end, then the volume is
 * unmounted
 *   umount, fuseblk      DESTROY arrives; its reply waits until the volume is unmounted
 *   SIGTERM, SIGINT      we ask for an unmount and go on serving: dirty mmap pages are still to come
 */
#include "session.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/clock.h>
#include <userxfs/base/error.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>

#define HEADER_BYTES 80u		/* in header and write_in: puts a write's data on a page boundary */

/* ---- mounting ---- */

static int check_fuse_device(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		msg_error("there is no FUSE here: /dev/fuse cannot be opened (%s); load it with \"modprobe fuse\"",
			  strerror(errno));
	else
		msg_error("/dev/fuse cannot be opened: %s; its mode must be 0666", strerror(errno));
	return -errno;
}

static void build_mount_options(struct session *s, char *out, size_t bytes)
{
	bool is_root = geteuid() == 0;
	char fsname[2 * sizeof(s->options.fsname)];
	size_t n = 0;

	/* Commas and backslashes in the source's name are escaped for the option parser. */
	for (const char *p = s->options.fsname; *p && n + 2 < sizeof(fsname); p++) {
		if (*p == ',' || *p == '\\')
			fsname[n++] = '\\';
		fsname[n++] = *p;
	}
	fsname[n] = 0;
	snprintf(out, bytes, "fsname=%s,subtype=userxfs,default_permissions%s%s%s%s", fsname,
		 is_root ? ",allow_other" : "", session_is_read_only(s) ? ",ro" : ",rw",
		 s->options.mount_options[0] ? "," : "", s->options.mount_options);
	if (s->is_fuseblk) {
		n = strlen(out);
		snprintf(out + n, bytes - n, ",blkdev,blksize=%u",
			 (unsigned)min_u64(s->vol->geo.block_bytes, 4096));
	}
}

/*
 * While mounting, what libfuse and fusermount3 would print goes into a file in memory, so that a failure is one line.
 * fusermount3 writes to its stderr, libfuse wherever we say.
 */
struct capture {
	int fd, saved_stderr;
};

static int capture_fd = -1;

static void capture_line(enum fuse_log_level level, const char *format, va_list ap)
{
	vdprintf(capture_fd, format, ap);
}

static void capture_begin(struct capture *c)
{
	*c = (struct capture){ .fd = memfd_create("mount messages", MFD_CLOEXEC), .saved_stderr = -1 };
	if (c->fd < 0)
		return;
	capture_fd = c->fd;
	fuse_set_log_func(capture_line);
	/* As root nobody but libfuse speaks, and lines of our own threads must not vanish. */
	if (geteuid()) {
		c->saved_stderr = fcntl(2, F_DUPFD_CLOEXEC, 3);
		dup2(c->fd, 2);
	}
}

/* Ends it; @line gets the first line captured, without what only says who speaks. */
static void capture_end(struct capture *c, char *line, size_t bytes)
{
	ssize_t n = c->fd < 0 ? 0 : pread(c->fd, line, bytes - 1, 0);

	line[max_s64(n, 0)] = 0;
	line[strcspn(line, "\n")] = 0;
	if (!strncmp(line, "fuse: ", 6))
		memmove(line, line + 6, strlen(line + 6) + 1);
	if (c->saved_stderr >= 0) {
		dup2(c->saved_stderr, 2);
		close(c->saved_stderr);
	}
	fuse_set_log_func(NULL);
	if (c->fd >= 0)
		close(c->fd);
	capture_fd = -1;
}

/* libfuse's part of mounting; with its message on failure. */
static int mount_with_libfuse(struct session *s, char *said, size_t bytes)
{
	static const struct fuse_lowlevel_ops none;
	char mount_options[16384];
	char *argv[] = { "userxfs", "-o", mount_options, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	struct capture capture;
	int err = 0;

	build_mount_options(s, mount_options, sizeof(mount_options));
	capture_begin(&capture);
	s->fuse = fuse_session_new(&args, &none, sizeof(none), NULL);
	fuse_opt_free_args(&args);
	if (!s->fuse) {
		err = -EINVAL;
	} else if (fuse_session_mount(s->fuse, s->mountpoint)) {
		err = -EIO;
		fuse_session_destroy(s->fuse);
		s->fuse = NULL;
	}
	capture_end(&capture, said, bytes);
	return err;
}

int session_mount(struct session *s, struct volume *vol, const char *mountpoint, const struct fuse_options *options)
{
	char said[512];
	int err = check_fuse_device();

	if (err)
		return err;
	*s = (struct session){ .vol = vol, .options = *options, .mountpoint = mountpoint };
	s->is_fuseblk = options->is_block_device && geteuid() == 0 && !vol->options.off_bytes;
	mutex_init(&s->lock, RANK_LEAF, 0, "session");
	cond_init(&s->changed);
	list_init(&s->open_files);
	if (s->is_fuseblk && device_drop_exclusive(vol->dev))
		s->is_fuseblk = false;
	err = mount_with_libfuse(s, said, sizeof(said));
	if (err) {
		msg_error("cannot mount on %s: %s; %s", mountpoint, said[0] ? said : "libfuse gives no reason",
			  geteuid() ? "choose a directory of your own; fusermount3 (package fuse3) must be installed"
				    : "mounting needs CAP_SYS_ADMIN, which containers may lack");
		return err;
	}
	s->fd = fuse_session_fd(s->fuse);
	return 0;
}

/* ---- workers ---- */

static void serve(struct worker *w, const uint8_t *bytes_in, size_t bytes)
{
	struct request r = {
		.s = w->s,
		.worker = w,
		.in = (const void *)bytes_in,
		.body = bytes_in + sizeof(struct fuse_in_header),
		.body_bytes = (uint32_t)(bytes - sizeof(struct fuse_in_header)),
		.scratch = w->scratch,
	};

	atomic_store(&w->is_busy, true);
	if (atomic_load(&w->s->destroyed)) {
		/* The volume is being unmounted: late RELEASEs and FORGETs of a mount that is gone. */
		if (r.in->opcode == FUSE_FORGET || r.in->opcode == FUSE_BATCH_FORGET ||
		    r.in->opcode == FUSE_INTERRUPT)
			reply_none(&r);
		else
			reply_error(&r, -EIO);
	} else {
		request_dispatch(&r);
	}
	atomic_store(&w->is_busy, false);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct session *s = w->s;
	uint8_t *request = w->buffer + 4096 - HEADER_BYTES;

	for (;;) {
		ssize_t n = read(s->fd, request, MAX_WRITE_BYTES + 4096);

		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (n < (ssize_t)sizeof(struct fuse_in_header)) {
			if (n >= 0 || errno != ENODEV)
				msg_warning("reading /dev/fuse: %s", n < 0 ? strerror(errno) : "short message");
			break;
		}
		serve(w, request, (size_t)n);
	}
	mutex_lock(&s->lock);
	s->running--;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
	return NULL;
}

static unsigned default_threads(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return (unsigned)min_s64(16, max_s64(8, 2 * cpus));
}

static int start_worker(struct session *s, unsigned i)
{
	struct worker *w = &s->state[i];
	int err;

	w->s = s;
	w->buffer = mem_alloc_aligned(4096, MAX_WRITE_BYTES + 3 * 4096);
	w->scratch = mem_alloc_aligned(4096, MAX_WRITE_BYTES);
	if (!w->buffer || !w->scratch)
		return -ENOMEM;
	mutex_lock(&s->lock);
	s->running++;
	mutex_unlock(&s->lock);
	err = thread_create(&s->workers[i], "uxfs-fuse", worker_main, w);
	if (err) {
		mutex_lock(&s->lock);
		s->running--;
		mutex_unlock(&s->lock);
	}
	return err;
}

/* As root: larger read-ahead, and little dirty mmap data in the kernel that no space was promised for. */
static void tune_bdi(struct session *s)
{
	static const struct {
		const char *file, *value;
	} settings[] = { { "read_ahead_kb", "1024" }, { "max_bytes", "8388608" } };
	char path[128];

	if (geteuid())
		return;
	for (unsigned i = 0; i < ARRAY_COUNT(settings); i++) {
		int fd;

		snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u%s/%s", major(s->dev_number), minor(s->dev_number),
			 s->is_fuseblk ? "-fuseblk" : "", settings[i].file);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (write(fd, settings[i].value, strlen(settings[i].value)) < 0)
			msg_debug("%s: %s", path, strerror(errno));
		close(fd);
	}
}

int session_start(struct session *s)
{
	struct stat st;
	int err = 0;

	s->worker_count = s->options.threads ? s->options.threads : default_threads();
	s->workers = mem_alloc_zeroed(s->worker_count * sizeof(*s->workers));
	s->state = mem_alloc_zeroed(s->worker_count * sizeof(*s->state));
	if (!s->workers || !s->state)
		return -ENOMEM;
	for (unsigned i = 0; i < s->worker_count && !err; i++)
		err = start_worker(s, i);
	if (err)
		return err;
	mutex_lock(&s->lock);
	while (!atomic_load(&s->initialised) && s->running)
		cond_wait(&s->changed, &s->lock);
	if (!atomic_load(&s->initialised))
		err = -EPROTO;
	mutex_unlock(&s->lock);
	if (!err && !stat(s->mountpoint, &st)) {
		s->dev_number = st.st_dev;
		tune_bdi(s);
		session_register_helper(s);
	}
	return err;
}

void session_wait(struct session *s)
{
	mutex_lock(&s->lock);
	while (s->running && !atomic_load(&s->destroyed))
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
	atomic_store(&s->destroyed, true);
	/* Requests that were under way end; the one that holds DESTROY waits for us. */
	for (unsigned i = 0; i < s->worker_count; i++) {
		while (atomic_load(&s->state[i].is_busy) && !atomic_load(&s->state[i].holds_destroy))
			clock_sleep_ns(1000000);
	}
	open_files_free_all(s);
}

void session_unmounted(struct session *s)
{
	mutex_lock(&s->lock);
	s->is_unmounted = true;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

void session_destroy(struct session *s)
{
	for (unsigned i = 0; i < s->worker_count && s->state && s->workers; i++) {
		thread_join(&s->workers[i]);
		mem_free(s->state[i].buffer);
		mem_free(s->state[i].scratch);
	}
	mem_free(s->workers);
	mem_free(s->state);
	/*
	 * libfuse's part is left to the end of the process: only fuse_session_unmount() frees all of it, and that
	 * unmounts whatever is mounted there by now.
	 */
	close(s->fd);
	cond_deinit(&s->changed);
	mutex_deinit(&s->lock);
}
