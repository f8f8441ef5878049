/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* The command line. */
#include <stdbool.h>

#include <userxfs/volume.h>

#include "session.h"

struct command {
	struct volume_options volume;
	struct fuse_options fuse;
	char device[4096], mountpoint[4096], log_device[4096];
	bool foreground, debug;
	bool is_remount;
	bool is_recovery;		/* --recover: no mount */
	bool show_help, show_version;
	char remount_options[2048];
};

/* 0, or -EINVAL after one line on stderr that names the bad word and what to do. */
int command_parse(struct command *cmd, int argc, char **argv);
void command_usage(void);
