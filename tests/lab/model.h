/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/*
 * What must be true after a crash.
 *
 * A scenario is a text: operations separated by ';' or line ends, words by blanks.  Each is carried out on a mounted
 * volume and, if it succeeds there, in the model:
 *
 *	create F | mkdir D | mknod F | tmpfile F | symlink F LENGTH | link F NEW | unlink F | rmdir D
 *	rename A B | exchange A B | whiteout A B
 *	write F OFF COUNT | direct F OFF COUNT | osync F OFF COUNT | store F OFF COUNT | copy F TO COUNT
 *	truncate F SIZE | alloc|keep|punch|zero|collapse|insert F OFF COUNT
 *	chmod F OCTAL | chown F UID | setxattr F NAME LENGTH | rmxattr F NAME
 *	fsync F | fdatasync F | sync        (promises)
 *	start F | flush F | force | pass    (progress without a promise: data handed to the disk; the same and
 *	                                    waited for; the log; one round of every pass)
 *
 * The log is one sequence, so what is recovered of names and attributes is the state after some operation: not an
 * earlier one than the last that was promised, not a later one than the last that was begun.  Data are not in that
 * sequence: each byte of a file is what it was when it was last promised, or what an operation since then has made
 * it, or zero where the file had nothing promised; never another file's.  Every byte written says whose it is.
 */
#include <stdbool.h>
#include <stdint.h>

#include <userxfs/volume.h>

struct model;

struct model *model_create(void);
void model_destroy(struct model *m);

/*
 * The next operation of *@text, carried out; *@text moves behind it.  False at the end.  *err: what the operation
 * answered; the model then has it not.  Ends the program for words it does not know.
 */
bool model_step(struct model *m, struct volume *vol, const char **text, int *err);
/* Operations so far.  They are numbered from 1; state 0 is the empty volume. */
unsigned model_op_count(const struct model *m);
/* The text of operation @op. */
const char *model_op_text(const struct model *m, unsigned op);

/*
 * Whether @vol, just recovered, may be what was left by a crash after operations 1..@done had returned and, if @begun
 * is larger than @done, while operation @begun was under way.  If not, the reason has been printed.
 */
bool model_check(struct model *m, struct volume *vol, unsigned done, unsigned begun);

/* A random scenario of @count operations, the same for the same seed.  free() it. */
char *model_random_scenario(uint64_t seed, unsigned count);
