/* SPDX-License-Identifier: GPL-2.0 */
/* Each kind of operation, small enough to be cut everywhere. */
#include <userxfs/base/bits.h>

#include "scenarios.h"

/* Few of these fill a directory's inode. */
#define LONG "a-name-that-is-longer-than-others-so-that-few-of-its-kind-need-a-block-of-their-own-"

const struct scenario scenarios[] = {
	{ "create", "mkdir d; sync; create d/a; force; create b; fsync d/a" },
	{ "mkdir", "sync; mkdir d; mkdir d/e; fsync d; rmdir d/e; sync" },
	{ "mknod", "sync; mknod n; fsync n" },
	{ "tmpfile", "sync; tmpfile t; write t 0 9000; fsync t" },
	{ "symlink", "sync; symlink s 20; symlink r 900; force; unlink r; sync" },
	{ "link", "create a; sync; link a b; force; unlink a; fsync ." },
	{ "unlink", "create a; write a 0 30000; create b; sync; unlink a; force; pass; create c; "
		    "write c 0 30000; sync" },
	{ "rename", "mkdir d; create a; create d/b; sync; rename a d/c; force; rename d/c d/b; fsync d/b" },
	{ "rename-directory", "mkdir d; mkdir e; mkdir d/x; create d/x/f; sync; rename d/x e/y; fsync e/y; sync" },
	{ "exchange", "mkdir d; create a; create d/b; write a 0 100; write d/b 0 200; sync; "
		      "exchange a d/b; fsync d" },
	{ "whiteout", "create a; sync; whiteout a b; fsync b" },
	{ "append", "create a; write a 0 5000; sync; write a 5000 9000; flush a; write a 14000 100; fsync a" },
	{ "overwrite", "create a; write a 0 40000; sync; write a 4096 8192; fdatasync a; write a 0 100; fsync a" },
	{ "hole", "create a; truncate a 200000; sync; write a 8192 4096; flush a; write a 100000 10; fsync a" },
	{ "direct", "create a; write a 0 8192; sync; direct a 4096 16384; direct a 65536 8192; fsync a" },
	{ "osync", "create a; sync; osync a 0 5000; osync a 5000 5000" },
	{ "store", "create a; truncate a 60000; sync; store a 4096 8192; flush a; store a 30000 100; fsync a" },
	{ "truncate-down", "create a; write a 0 60000; sync; truncate a 10000; fsync a; truncate a 0; sync" },
	{ "truncate-up", "create a; write a 0 5000; sync; truncate a 50000; fsync a; write a 49000 3000; fsync a" },
	{ "alloc", "create a; write a 0 5000; sync; alloc a 0 40000; fsync a; write a 8192 8192; fsync a" },
	{ "keep", "create a; write a 0 5000; sync; keep a 4096 65536; write a 5000 20000; fsync a" },
	{ "punch", "create a; write a 0 60000; sync; punch a 4096 16384; fsync a; punch a 30000 100; fsync a" },
	{ "zero", "create a; write a 0 60000; sync; zero a 8192 8192; fsync a; zero a 50000 20000; fsync a" },
	{ "collapse", "create a; write a 0 60000; sync; collapse a 8192 8192; fsync a" },
	{ "insert", "create a; write a 0 60000; sync; insert a 8192 8192; fsync a" },
	{ "copy", "create a; create b; write a 0 40000; sync; copy a b 40000; fsync b" },
	{ "attributes", "create a; sync; chmod a 600; chown a 7; fsync a" },
	{ "xattr", "create a; sync; setxattr a user.x0 20; fsync a; setxattr a user.x1 300; "
		   "setxattr a user.x0 30; fsync a" },
	{ "xattr-remote", "create a; setxattr a user.x0 10; sync; setxattr a user.x1 9000; fsync a; "
			  "setxattr a user.x1 7000; fsync a; rmxattr a user.x1; fsync a" },
	{ "xattr-of-directory", "mkdir d; create d/a; sync; setxattr d user.x0 50; fsync d; "
				"rmxattr d user.x0; sync" },
	/* What was freed is given to somebody else at once: never before the free is on the disk. */
	{ "reuse", "create a; write a 0 900000; sync; unlink a; pass; create b; write b 0 900000; fsync b; "
		   "create c" },
	{ "reuse-direct", "create a; write a 0 900000; sync; truncate a 0; create b; direct b 0 900000; "
			  "osync b 0 10" },
	{ "reuse-inode", "create a; create b; sync; unlink a; pass; create c; write c 0 100; fsync c" },
	/* The log goes on while data are on their way. */
	{ "size-after-data", "create a; write a 0 4096; sync; write a 4096 65536; start a; force; create b; force; "
			     "flush a" },
	{ "written-after-data", "create a; keep a 0 65536; sync; write a 0 30000; start a; force; pass; "
				"force; fsync a" },
	{ "flush-then-force", "create a; sync; write a 0 70000; flush a; force; write a 70000 70000; "
			      "flush a; force" },
	/* Blocks that change at both ends. */
	{ "directory-block", "mkdir d; create d/" LONG "1; create d/" LONG "2; create d/" LONG "3; "
			     "create d/" LONG "4; "
			     "create d/" LONG "5; create d/" LONG "6; sync; pass; pass; create d/x; fsync d/x; "
			     "unlink d/" LONG "2; fsync d" },
	{ "directory-grows", "mkdir d; sync; create d/" LONG "1; fsync d; create d/" LONG "2; create d/" LONG "3; "
			     "create d/" LONG "4; fsync d; unlink d/" LONG "1; unlink d/" LONG "2; sync" },
};

const unsigned scenario_count = ARRAY_COUNT(scenarios);
