/* SPDX-License-Identifier: GPL-2.0 */
/* A device that fails: the volume stands still, and what was forced to the log is not lost. */
#include "namespace_test.h"

#include <userxfs/base/fault.h>

#define FAULT_BYTES (320ull << 20)

struct step {
	struct fixture *f;
	struct inode *a, *b;
	char text[700];
};

/* Every operation once. */
static int create_one(struct step *s)
{
	struct inode *inode;
	int err = namespace_create(&s->f->ns, s->a, name_of("created"), S_IFREG | 0600, 0, &cred_user, &inode);

	if (!err)
		inode_put(inode);
	return err;
}

static int mkdir_one(struct step *s)
{
	struct inode *inode;
	int err = namespace_create(&s->f->ns, s->a, name_of("made"), S_IFDIR | 0700, 0, &cred_user, &inode);

	if (!err)
		inode_put(inode);
	return err;
}

static int symlink_one(struct step *s)
{
	struct inode *inode;
	int err;

	memset(s->text, 't', sizeof(s->text) - 1);
	err = namespace_symlink(&s->f->ns, s->a, name_of("link"), s->text, &cred_user, &inode);
	if (!err)
		inode_put(inode);
	return err;
}

static int link_one(struct step *s)
{
	struct inode *inode;
	int err = namespace_lookup(&s->f->ns, s->a, name_of("created"), &inode);

	if (err)
		return err;
	err = namespace_link(&s->f->ns, inode, s->b, name_of("linked"));
	inode_put(inode);
	return err;
}

static int move_one(struct step *s)
{
	return rename_flags(s->f, s->a, "created", s->b, "moved", 0);
}

static int move_directory(struct step *s)
{
	return rename_flags(s->f, s->a, "made", s->b, "made", 0);
}

static int replace_one(struct step *s)
{
	return rename_flags(s->f, s->b, "moved", s->b, "linked", RENAME_WHITEOUT);
}

static int unlink_one(struct step *s)
{
	return namespace_unlink(&s->f->ns, s->a, name_of("link"));
}

static int unlink_whiteout(struct step *s)
{
	return namespace_unlink(&s->f->ns, s->b, name_of("moved"));
}

static int unlink_other(struct step *s)
{
	return namespace_unlink(&s->f->ns, s->b, name_of("linked"));
}

static int rmdir_one(struct step *s)
{
	return namespace_rmdir(&s->f->ns, s->b, name_of("made"));
}

static int (*const operations[])(struct step *s) = {
	create_one,  mkdir_one,  symlink_one,     link_one,     move_one,  move_directory,
	replace_one, unlink_one, unlink_whiteout, unlink_other, rmdir_one,
};

static void step_init(struct step *s, struct fixture *f)
{
	char name[40];

	*s = (struct step){ .f = f };
	s->a = make(f, f->root, "a", S_IFDIR | 0700);
	s->b = make(f, f->root, "b", S_IFDIR | 0700);
	/* Directories of more than one form. */
	for (unsigned i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "filler-%u", i);
		make_and_put(f, s->b, name, S_IFREG | 0600);
	}
}

static void step_deinit(struct step *s)
{
	inode_put(s->a);
	inode_put(s->b);
}

/* Runs everything until the device fails; then the volume stands still, and the kernel makes the best of it. */
static void fail_write(const char *model, unsigned n)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct step s;
	char text[40];
	int err = 0;

	assert_true(asprintf(&f->image, "%s.copy", model) > 0);
	assert_int_equal(image_shell("cp --sparse=always %s %s", model, f->image), 0);
	fixture_mount(f);
	step_init(&s, f);
	snprintf(text, sizeof(text), "device_write:nth=%u", n);
	assert_int_equal(fault_arm(text), 0);
	for (unsigned i = 0; i < 4 * sizeof(operations) / sizeof(operations[0]) && !err; i++) {
		err = operations[i % (sizeof(operations) / sizeof(operations[0]))](&s);
		if (!err && i % 3 == 0)
			err = log_force(f->vol.log, 0, NULL);
		if (!err && i % 5 == 0)
			fixture_inactivate(f);
		if (!err && i % 7 == 0)
			err = log_quiesce(f->vol.log);
	}
	fault_disarm_all();
	step_deinit(&s);
	inode_put(f->root);
	fixture_inactivate(f);
	namespace_deinit(&f->ns);
	if (log_is_shutdown(f->vol.log))
		volume_lite_abandon(&f->vol);
	else
		assert_int_equal(volume_lite_close(&f->vol), 0);
	fixture_recover_by_kernel(f);
	assert_int_equal(image_check(f->image), 0);
	image_remove(f->image);
	free(f);
}

static void a_write_that_fails_loses_nothing_that_was_forced(void **state)
{
	char *model;

	if (geteuid() != 0)
		skip();
	model = image_create(FAULT_BYTES, "");
	for (unsigned n = 1; n < 40; n += 3)
		fail_write(model, n);
	image_remove(model);
}

/* Enough pieces of one block for a B+tree; whatever the reservation gets is spent one piece at a time. */
static int fragment_one(struct step *s)
{
	struct inode *file;
	int err = namespace_lookup(&s->f->ns, s->a, name_of("created"), &file);

	if (err)
		return err;
	for (unsigned i = 0; i < 40 && !err; i++) {
		struct extent out[4];
		unsigned n = 4;
		struct tx *tx;

		err = tx_begin(s->f->vol.log, &log_reservations(s->f->vol.log)->write,
			       map_write_blocks(&file->map, 1), 0, &tx);
		if (err)
			break;
		rwlock_write_lock(&file->map_lock);
		inode_join(tx, file, true);
		err = map_write(tx, &file->map, FORK_DATA, 2 * i, 1, MAP_UNWRITTEN, 0, out, &n);
		if (err)
			tx_cancel(tx);
		else
			err = tx_commit(tx);
	}
	inode_put(file);
	return err;
}

static int (*const allocating[])(struct step *s) = {
	create_one,	fragment_one, mkdir_one,  symlink_one,	    link_one,	  move_one,
	move_directory, replace_one,  unlink_one, unlink_whiteout, unlink_other, rmdir_one,
};

/* Fails each allocation of one operation in turn until it has none left to fail. */
static void fail_each_allocation(struct step *s, int (*operation)(struct step *s))
{
	char text[40];
	int err = -ENOMEM;

	for (unsigned n = 1; err; n++) {
		snprintf(text, sizeof(text), "memory:nth=%u", n);
		assert_int_equal(fault_arm(text), 0);
		err = operation(s);
		fault_disarm_all();
		assert_true(err == 0 || err == -ENOMEM);
		assert_false(log_is_shutdown(s->f->vol.log));
	}
}

static void a_failed_allocation_fails_one_operation_and_not_the_volume(void **state)
{
	struct fixture *f = fixture_create(FAULT_BYTES, "");
	struct step s;

	step_init(&s, f);
	for (unsigned i = 0; i < sizeof(allocating) / sizeof(allocating[0]); i++)
		fail_each_allocation(&s, allocating[i]);
	step_deinit(&s);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_allocation_fails_one_operation_and_not_the_volume),
		cmocka_unit_test(a_write_that_fails_loses_nothing_that_was_forced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
