/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* A volume's log and buffers, without the rooms above: what the tests of this room start from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <userxfs/base/error.h>
#include <userxfs/base/fault.h>
#include <userxfs/base/memory.h>
#include <userxfs/base/message.h>
#include <userxfs/buffer.h>
#include <userxfs/device.h>
#include <userxfs/log/log.h>
#include <userxfs/log/tx.h>

#include "image.h"

static inline void quiet(void)
{
	message_set_level((enum message_level)-1);
}

static inline void loud(void)
{
	message_set_level(MESSAGE_INFO);
}

struct fixture {
	char *path, *log_path;		/* log_path: external log, or NULL */
	struct device *dev, *log_dev;
	struct geometry geo;
	struct buffer_cache *cache;
	struct log_head head;
	struct log *log;
	const struct tx_space_ops *space; /* context: the fixture */
};

static inline void fixture_open(struct fixture *f)
{
	struct device_options device_options = { .engine = DEVICE_ENGINE_SYNC };

	assert_int_equal(device_open(f->path, &device_options, &f->dev), 0);
	f->log_dev = f->dev;
	if (f->log_path)
		assert_int_equal(device_open(f->log_path, &device_options, &f->log_dev), 0);
}

static inline uint64_t fixture_log_off(const struct fixture *f)
{
	return f->log_path ? 0 : fsblk_to_bytes(&f->geo, f->geo.log_start);
}

/* Starts journaling on the open devices; the log must be clean. */
static inline void fixture_start(struct fixture *f, const struct log_options *options)
{
	struct log_options defaults = { .record_bytes = 0 };
	char sb[4096], why[256];

	assert_int_equal(device_read(f->dev, 0, sb, sizeof(sb)), 0);
	if (geometry_decode(sb, sizeof(sb), f->dev->size_bytes, &f->geo, why, sizeof(why)) != GEOMETRY_OK)
		fail_msg("%s", why);
	assert_int_equal(buffer_cache_create(f->dev, &f->geo, 8 << 20, &f->cache), 0);
	assert_int_equal(log_find_head(f->log_dev, fixture_log_off(f), &f->geo, &f->head), 0);
	assert_int_equal(f->head.state, LOG_CLEAN);
	assert_int_equal(log_create(f->cache, f->log_dev, fixture_log_off(f), &f->geo, &f->head, f->space, f,
				    options ? options : &defaults, &f->log), 0);
}

static inline void fixture_mount(struct fixture *f, const struct log_options *options)
{
	fixture_open(f);
	fixture_start(f, options);
}

static inline void fixture_close(struct fixture *f)
{
	log_destroy(f->log);
	f->log = NULL;
	buffer_cache_destroy(f->cache);
	if (f->log_dev != f->dev)
		device_close(f->log_dev);
	device_close(f->dev);
}

/* Leaves a clean log. */
static inline void fixture_unmount(struct fixture *f)
{
	assert_int_equal(log_quiesce(f->log), 0);
	assert_int_equal(log_write_unmount(f->log), 0);
	fixture_close(f);
}

/* What is only in memory is lost; what the log has is all there is. */
static inline void fixture_crash(struct fixture *f)
{
	quiet();
	log_shutdown(f->log, SHUTDOWN_FORCED, "test");
	fixture_close(f);
	loud();
}

/* What a test that failed has left behind. */
static char *fixture_leftovers[8];

static inline void fixture_clean_up(void)
{
	for (unsigned i = 0; i < 8; i++) {
		if (fixture_leftovers[i])
			unlink(fixture_leftovers[i]);
	}
}

static inline void fixture_note(const char *old, const char *path)
{
	static bool is_registered;

	if (!is_registered)
		atexit(fixture_clean_up);
	is_registered = true;
	for (unsigned i = 0; i < 8; i++) {
		char **slot = &fixture_leftovers[i];

		if (old ? *slot && !strcmp(*slot, old) : !*slot) {
			free(*slot);
			*slot = path ? strdup(path) : NULL;
			return;
		}
	}
}

/* In memory where there is a place for it: flushes cost nothing there. */
static inline void fixture_make(struct fixture *f, uint64_t bytes, const char *mkfs_args)
{
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	*f = (struct fixture){ .path = image_create(bytes, mkfs_args) };
	fixture_note(NULL, f->path);
}

/* With an external log of @log_bytes; @log_args: of "-l", may be empty. */
static inline void fixture_make_external(struct fixture *f, uint64_t bytes, uint64_t log_bytes, const char *log_args,
					 const char *mkfs_args)
{
	char log[] = "/var/tmp/userxfs-log-XXXXXX";
	int fd = mkstemp(log);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)log_bytes), 0);
	close(fd);
	fixture_make(f, bytes, "");
	f->log_path = strdup(log);
	fixture_note(NULL, log);
	assert_int_equal(image_shell("mkfs.xfs -q -f -K -l logdev=%s%s%s %s %s", log, *log_args ? "," : "", log_args,
				     mkfs_args, f->path), 0);
}

static inline void fixture_remove(struct fixture *f)
{
	fixture_note(f->path, NULL);
	image_remove(f->path);
	if (f->log_path) {
		fixture_note(f->log_path, NULL);
		image_remove(f->log_path);
	}
}

/* ---- transactions -------------------------------------------------------------------------------------------- */

static inline struct tx *fixture_begin(struct fixture *f)
{
	struct tx *tx;

	assert_int_equal(tx_begin(f->log, &log_reservations(f->log)->truncate, 0, 0, &tx), 0);
	return tx;
}

static inline struct buffer *fixture_read(struct fixture *f, struct tx *tx, unsigned agno, unsigned sector,
					  const struct block_type *type)
{
	struct buffer *buf;

	assert_int_equal(tx_buffer_read(tx, ag_header_daddr(&f->geo, agno, sector), f->geo.sector_bytes / 512, type,
					&buf), 0);
	return buf;
}

/* Logs the bytes of an AG's AGF as they are. */
static inline void fixture_log_agf(struct fixture *f, struct tx *tx, unsigned agno)
{
	struct buffer *buf = fixture_read(f, tx, agno, 1, &block_agf);

	tx_buffer_log(tx, buf, 0, f->geo.sector_bytes);
}

/* Gives the volume a label (12 bytes). */
static inline void fixture_set_label(struct fixture *f, struct tx *tx, const char *label)
{
	struct buffer *buf = fixture_read(f, tx, 0, 0, &block_superblock);
	struct xfs_dsb *sb = buf->data;

	memset(sb->sb_fname, 0, sizeof(sb->sb_fname));
	memcpy(sb->sb_fname, label, strnlen(label, sizeof(sb->sb_fname)));
	tx_buffer_log(tx, buf, 0, sizeof(*sb));
}

/* Logs the headers and tree roots of an AG wholly, as they are. */
static inline void fixture_log_ag(struct fixture *f, struct tx *tx, unsigned agno)
{
	static const struct block_type *const headers[] = { &block_agf, &block_agi, &block_agfl };
	struct buffer *agf = fixture_read(f, tx, agno, 1, &block_agf);
	struct buffer *agi = fixture_read(f, tx, agno, 2, &block_agi), *buf;
	const struct xfs_agf *a = agf->data;
	const struct xfs_agi *i = agi->data;
	struct {
		agblk_t agblk;
		const struct block_type *type;
	} roots[] = {
		{ be32_to_cpu(a->agf_roots[0]), &block_bnobt },
		{ be32_to_cpu(a->agf_roots[1]), &block_cntbt },
		{ be32_to_cpu(i->agi_root), &block_inobt },
		{ be32_to_cpu(i->agi_free_root), &block_finobt },
	};

	for (unsigned n = 0; n < 3; n++)
		tx_buffer_log_all(tx, fixture_read(f, tx, agno, n + 1, headers[n]));
	for (unsigned n = 0; n < 4; n++) {
		assert_int_equal(tx_buffer_read(tx, agblk_to_daddr(&f->geo, agno, roots[n].agblk),
						f->geo.block_bytes / 512, roots[n].type, &buf), 0);
		tx_buffer_log_all(tx, buf);
	}
}

/* A large transaction: a label and all of every AG's roots. */
static inline void fixture_commit_all(struct fixture *f, const char *label)
{
	struct tx *tx = fixture_begin(f);

	fixture_set_label(f, tx, label);
	for (unsigned agno = 0; agno < f->geo.ag_count; agno++) {
		fixture_log_ag(f, tx, agno);
		assert_int_equal(tx_roll(tx), 0);
	}
	assert_int_equal(tx_commit(tx), 0);
}

static inline void fixture_commit_label(struct fixture *f, const char *label)
{
	struct tx *tx = fixture_begin(f);

	fixture_set_label(f, tx, label);
	for (unsigned agno = 0; agno < f->geo.ag_count; agno++)
		fixture_log_agf(f, tx, agno);
	assert_int_equal(tx_commit(tx), 0);
}

/* ---- oracles ------------------------------------------------------------------------------------------------- */

static inline const char *log_argument(const struct fixture *f)
{
	static char text[512];

	snprintf(text, sizeof(text), "%s%s", f->log_path ? "-l " : "", f->log_path ? f->log_path : "");
	return text;
}

/* The label on disk is @label. */
static inline void assert_label(struct fixture *f, const char *label)
{
	assert_int_equal(image_shell("xfs_db -r %s -c 'sb 0' -c 'p fname' %s | grep -q '\"%s'", log_argument(f),
				     f->path, label), 0);
}

static inline void assert_repair_clean(struct fixture *f)
{
	assert_int_equal(image_shell("xfs_repair -n %s %s >%s.check 2>&1 || { cat %s.check; rm %s.check; exit 1; }; "
				     "! grep -i 'dirty log\\|ERROR' %s.check; r=$?; rm -f %s.check; exit $r",
				     log_argument(f), f->path, f->path, f->path, f->path, f->path, f->path), 0);
}

/* Has the kernel mount it, which must (0: not; 1; 2: may) recover its log, and unmount it. */
static inline void kernel_mount_may(struct fixture *f, unsigned recovers)
{
	assert_int_equal(image_shell(
		"m=$(mktemp -d); log=%s; d=; l=\n"
		"end() { umount $m 2>/dev/null; for i in $d $l; do losetup -d $i; done; rmdir $m; }\n"
		"d=$(losetup -f --show %s) && { [ -z \"$log\" ] || l=$(losetup -f --show $log); } || "
		"{ end; exit 1; }\n"
		"mount -t xfs -o nouuid${l:+,logdev=$l} $d $m || { dmesg | tail -20; end; exit 1; }\n"
		"ls $m >/dev/null; umount $m; n=${d#/dev/}\n"
		"found=$(dmesg | grep \"XFS ($n)\" | tac | sed '/Mounting V5/q' | grep -c 'Starting recovery')\n"
		"[ -n \"$(dmesg 2>/dev/null | head -1)\" ] || found=%u\n"
		"end; [ 2 = %u -o \"$found\" = %u ]\n", f->log_path ? f->log_path : "", f->path, recovers, recovers,
		recovers), 0);
}

static inline void kernel_mount(struct fixture *f, bool recovers)
{
	kernel_mount_may(f, recovers);
}

static inline void kernel_recover(struct fixture *f)
{
	kernel_mount_may(f, 2);
}

static inline bool may_mount(void)
{
	return geteuid() == 0 && image_shell("test -e /dev/loop-control") == 0;
}
