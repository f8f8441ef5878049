/* SPDX-License-Identifier: GPL-2.0 */
/* Images for tests; see image.h. */
#include "image.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <userxfs/base/error.h>

int image_shell(const char *format, ...)
{
	char *command;
	va_list ap;
	int status;

	va_start(ap, format);
	ensure(vasprintf(&command, format, ap) >= 0);
	va_end(ap);
	status = system(command);
	free(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

char *image_create(uint64_t size_bytes, const char *mkfs_args)
{
	const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp";
	char *path;
	int fd;

	ensure(asprintf(&path, "%s/userxfs-test-XXXXXX", dir) >= 0);
	fd = mkstemp(path);
	ensure(fd >= 0);
	ensure(ftruncate(fd, (off_t)size_bytes) == 0);
	close(fd);
	ensure(image_shell("mkfs.xfs -q -f -K %s %s", mkfs_args, path) == 0);
	return path;
}

int image_check(const char *path)
{
	return image_shell("xfs_repair -n %s >%s.check 2>&1; status=$?; [ $status = 0 ] || cat %s.check; "
			   "rm -f %s.check; exit $status", path, path, path, path);
}

void image_remove(char *path)
{
	unlink(path);
	free(path);
}
