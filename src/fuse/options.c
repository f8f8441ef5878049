/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command line: userxfs [-f] [-d] [-o OPTIONS] DEVICE MOUNTPOINT, userxfs --recover [-o OPTIONS] DEVICE, and
 * what mount(8) passes to a helper (SOURCE MOUNTPOINT -o OPTIONS -n -s -v -t TYPE).
 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/fault.h>
#include <userxfs/base/message.h>

/* For the kernel: handed on as they are. */
static const char *const passed_on[] = {
	"allow_other", "allow_root", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "dirsync",
	"auto_unmount",
};

/* For mount(8), systemd or XFS in the kernel: nothing for us to do. */
static const char *const ignored[] = {
	"rw", "defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner", "group",
	"default_permissions", "async", "relatime", "norelatime", "diratime", "nodiratime", "lazytime",
	"nolazytime", "mand", "nomand", "iversion", "noiversion", "silent", "loud", "attr2", "inode64",
	"largeio", "nolargeio", "noquota", "nouuid", "nodiscard", "discard", "noalign", "ikeep", "noikeep",
	"nonempty", "atime",
};
static const char *const ignored_prefixes[] = {
	"x-", "X-", "comment=", "user=", "uhelper=", "helper=", "logbufs=", "logbsize=", "subtype=",
	"context=", "fscontext=", "defcontext=", "rootcontext=",
};

static bool is_in(const char *word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(word, list[i]))
			return true;
	}
	return false;
}

static bool has_prefix(const char *word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!strncmp(word, list[i], strlen(list[i])))
			return true;
	}
	return false;
}

/* "64k", "1m", "2g", plain bytes. */
static int parse_size(const char *text, uint64_t *out)
{
	unsigned long long value;
	unsigned shift = 0;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text)
		return -EINVAL;
	switch (*end) {
	case 'k': case 'K': shift = 10; end++; break;
	case 'm': case 'M': shift = 20; end++; break;
	case 'g': case 'G': shift = 30; end++; break;
	case 't': case 'T': shift = 40; end++; break;
	default: break;
	}
	if (*end || value > UINT64_MAX >> shift)
		return -EINVAL;
	*out = (uint64_t)value << shift;
	return 0;
}

static int bad_value(const char *option, const char *expected)
{
	msg_error("option %s: %s", option, expected);
	return -EINVAL;
}

static int set_allocsize(struct command *cmd, const char *option, const char *value)
{
	uint64_t bytes;

	if (parse_size(value, &bytes) || !is_power_of_two(bytes) || bytes < 4096 || bytes > 1u << 30)
		return bad_value(option, "needs a power of two from 4k to 1g");
	cmd->volume.alloc_size_log = log2_floor(bytes);
	return 0;
}

static int set_engine(struct command *cmd, const char *option, const char *value)
{
	static const struct {
		const char *name;
		enum device_engine engine;
	} engines[] = {
		{ "uring", DEVICE_ENGINE_URING },
		{ "aio", DEVICE_ENGINE_AIO },
		{ "sync", DEVICE_ENGINE_SYNC },
	};

	for (unsigned i = 0; i < ARRAY_COUNT(engines); i++) {
		if (!strcmp(value, engines[i].name)) {
			cmd->volume.engine = engines[i].engine;
			return 0;
		}
	}
	return bad_value(option, "needs uring, aio or sync");
}

static int set_image_io(struct command *cmd, const char *option, const char *value)
{
	if (strcmp(value, "direct") && strcmp(value, "buffered"))
		return bad_value(option, "needs direct or buffered");
	cmd->volume.buffered = !strcmp(value, "buffered");
	return 0;
}

static int set_threads(struct command *cmd, const char *option, const char *value)
{
	uint64_t n;

	if (parse_size(value, &n) || n < 1 || n > 64)
		return bad_value(option, "needs a number from 1 to 64");
	cmd->fuse.threads = (unsigned)n;
	return 0;
}

/* name=value options of our own. */
static int set_valued(struct command *cmd, const char *option, bool *known)
{
	const char *value = strchr(option, '=') + 1;
	uint64_t bytes;

	*known = true;
	if (!strncmp(option, "offset=", 7)) {
		if (parse_size(value, &bytes) || bytes % 512)
			return bad_value(option, "needs a multiple of 512 bytes");
		cmd->volume.off_bytes = bytes;
	} else if (!strncmp(option, "logdev=", 7)) {
		snprintf(cmd->log_device, sizeof(cmd->log_device), "%s", value);
		cmd->volume.log_device = cmd->log_device;
	} else if (!strncmp(option, "cache_size=", 11)) {
		if (parse_size(value, &bytes) || bytes < 8u << 20)
			return bad_value(option, "needs a size of 8m or more");
		cmd->volume.cache_bytes = bytes;
	} else if (!strncmp(option, "allocsize=", 10)) {
		return set_allocsize(cmd, option, value);
	} else if (!strncmp(option, "io=", 3)) {
		return set_engine(cmd, option, value);
	} else if (!strncmp(option, "image_io=", 9)) {
		return set_image_io(cmd, option, value);
	} else if (!strncmp(option, "threads=", 8)) {
		return set_threads(cmd, option, value);
	} else if (!strncmp(option, "fsname=", 7)) {
		snprintf(cmd->fuse.fsname, sizeof(cmd->fuse.fsname), "%s", value);
	} else if (!strncmp(option, "fault=", 6)) {
		return fault_arm(value);
	} else {
		*known = false;
	}
	return 0;
}

static bool set_flag(struct command *cmd, const char *option)
{
	static const struct {
		const char *name;
		size_t off;
	} flags[] = {
		{ "ro", offsetof(struct command, volume.read_only) },
		{ "norecovery", offsetof(struct command, volume.no_recovery) },
		{ "sync", offsetof(struct command, volume.sync_always) },
		{ "noatime", offsetof(struct command, volume.no_atime) },
		{ "strictatime", offsetof(struct command, volume.strict_atime) },
		{ "writeback", offsetof(struct command, fuse.writeback_cache) },
		{ "dio", offsetof(struct command, fuse.direct_io) },
		{ "debug", offsetof(struct command, debug) },
	};

	for (unsigned i = 0; i < ARRAY_COUNT(flags); i++) {
		if (!strcmp(option, flags[i].name)) {
			*(bool *)((char *)cmd + flags[i].off) = true;
			return true;
		}
	}
	return false;
}

static void append(char *list, size_t bytes, const char *word)
{
	size_t n = strlen(list);

	snprintf(list + n, bytes - n, "%s%s", n ? "," : "", word);
}

static int set_option(struct command *cmd, const char *option)
{
	bool known = false;
	int err = 0;

	if (!*option)
		return 0;
	if (strchr(option, '=')) {
		err = set_valued(cmd, option, &known);
		if (known || err)
			return err;
	}
	if (set_flag(cmd, option))
		return 0;
	if (is_in(option, passed_on, ARRAY_COUNT(passed_on))) {
		append(cmd->fuse.mount_options, sizeof(cmd->fuse.mount_options), option);
		return 0;
	}
	if (is_in(option, ignored, ARRAY_COUNT(ignored)) ||
	    has_prefix(option, ignored_prefixes, ARRAY_COUNT(ignored_prefixes)))
		return 0;
	msg_error("unknown option \"%s\"; see userxfs --help", option);
	return -EINVAL;
}

/*
 * A remount comes with everything /proc/mounts shows (user_id=0, ...) and whatever mount(8) was told.  Only flags of
 * the kernel's mount can change; the rest is left out.
 */
static void set_remount_option(struct command *cmd, const char *option)
{
	static const char *const changeable[] = {
		"remount", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime", "noatime",
		"relatime", "norelatime", "strictatime", "nostrictatime", "diratime", "nodiratime", "sync", "async",
		"dirsync", "lazytime", "nolazytime", "bind",
	};

	if (is_in(option, changeable, ARRAY_COUNT(changeable)))
		append(cmd->remount_options, sizeof(cmd->remount_options), option);
}

static bool has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *p = list; (p = strstr(p, word)) != NULL; p += length) {
		if ((p == list || p[-1] == ',') && (p[length] == 0 || p[length] == ','))
			return true;
	}
	return false;
}

static int set_options(struct command *cmd, const char *list)
{
	char *copy = strdup(list), *rest = copy, *option;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	cmd->is_remount |= has_word(list, "remount");
	while (!err && (option = strsep(&rest, ",")) != NULL) {
		if (cmd->is_remount)
			set_remount_option(cmd, option);
		else
			err = set_option(cmd, option);
	}
	free(copy);
	return err;
}

static int set_argument(struct command *cmd, const char *word)
{
	if (!cmd->device[0]) {
		snprintf(cmd->device, sizeof(cmd->device), "%s", word);
	} else if (!cmd->mountpoint[0]) {
		snprintf(cmd->mountpoint, sizeof(cmd->mountpoint), "%s", word);
	} else {
		msg_error("one argument too many: \"%s\"; see userxfs --help", word);
		return -EINVAL;
	}
	return 0;
}

/* A word that starts with "-"; *i moves when it takes the next one. */
static int set_dashed(struct command *cmd, int argc, char **argv, int *i)
{
	const char *word = argv[*i];

	if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
		cmd->show_help = true;
	} else if (!strcmp(word, "-V") || !strcmp(word, "--version")) {
		cmd->show_version = true;
	} else if (!strcmp(word, "-f") || !strcmp(word, "--foreground")) {
		cmd->foreground = true;
	} else if (!strcmp(word, "-d") || !strcmp(word, "--debug")) {
		cmd->debug = true;
	} else if (!strcmp(word, "-r") || !strcmp(word, "--read-only")) {
		cmd->volume.read_only = true;
	} else if (!strcmp(word, "--recover")) {
		cmd->is_recovery = true;
	} else if (!strcmp(word, "-n") || !strcmp(word, "-s") || !strcmp(word, "-v") || !strcmp(word, "-w")) {
		/* of mount(8) */
	} else if ((!strcmp(word, "-o") || !strcmp(word, "-t")) && *i + 1 < argc) {
		(*i)++;
		return word[1] == 'o' ? set_options(cmd, argv[*i]) : 0;
	} else if (!strncmp(word, "-o", 2) && word[2]) {
		return set_options(cmd, word + 2);
	} else {
		msg_error("unknown argument \"%s\"; see userxfs --help", word);
		return -EINVAL;
	}
	return 0;
}

int command_parse(struct command *cmd, int argc, char **argv)
{
	int err = 0;

	*cmd = (struct command){ 0 };
	for (int i = 1; i < argc && !err; i++)
		err = argv[i][0] == '-' && argv[i][1] ? set_dashed(cmd, argc, argv, &i) : set_argument(cmd, argv[i]);
	if (err || cmd->show_help || cmd->show_version)
		return err;
	cmd->volume.device = cmd->device;
	if (cmd->is_recovery) {
		if (cmd->device[0] && !cmd->mountpoint[0] && !cmd->volume.no_recovery)
			return 0;
		msg_error("--recover needs one image or device and no mountpoint; see userxfs --help");
		return -EINVAL;
	}
	if (!cmd->device[0] || !cmd->mountpoint[0]) {
		msg_error("%s missing: userxfs IMAGE|DEVICE MOUNTPOINT; see userxfs --help",
			  cmd->device[0] ? "the mountpoint is" : "image and mountpoint are");
		return -EINVAL;
	}
	return 0;
}

void command_usage(void)
{
	puts("usage: userxfs [-f] [-d] [-o OPTION[,OPTION...]] IMAGE|DEVICE MOUNTPOINT\n"
	     "       userxfs --recover [-o OPTION[,OPTION...]] IMAGE|DEVICE\n"
	     "\n"
	     "Mounts an XFS volume read-write in this process.\n"
	     "\n"
	     "  -f, --foreground     stay in the foreground, log to stderr\n"
	     "  -d, --debug          more log lines\n"
	     "  -r, --read-only      same as -o ro\n"
	     "      --recover        replay the log if it is dirty, do not mount; exit status as fsck(8)\n"
	     "  -V, --version\n"
	     "\n"
	     "Options:\n"
	     "  ro                   read-only (a dirty log is replayed in memory); norecovery: as it is\n"
	     "  offset=BYTES         where the volume starts in the image\n"
	     "  logdev=DEVICE        external log\n"
	     "  image_io=HOW         direct (default) or buffered: past or through the page cache below the image\n"
	     "  cache_size=SIZE      memory for file data (default: a quarter of RAM, at most 4g)\n"
	     "  allocsize=SIZE       fixed speculative preallocation instead of XFS's dynamic one\n"
	     "  io=uring|aio|sync    how the image is read and written (default: the best there is)\n"
	     "  threads=N            FUSE request threads\n"
	     "  dio, writeback       other ways to use the kernel's page cache; see userxfs(8)\n"
	     "  noatime, strictatime (default: relatime), sync\n"
	     "  fault=SPEC           arm a fault point; see userxfs(8)\n"
	     "  allow_other, suid, dev, ...   passed to the kernel\n"
	     "\n"
	     "Unmount with umount or fusermount3 -u.");
}
