/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* The operations of a scenario, and what they need of the model. */
#include "model_private.h"

/* Carries out one line on the volume and, if that succeeds, in the model.  What the volume answered. */
int model_op(struct model *m, struct volume *vol, const char *line);

struct object *model_object(struct model *m, uint32_t mode);
struct entry *model_find(struct model *m, const char *path);
void model_enter(struct model *m, const char *path, struct object *o);
void model_leave(struct model *m, const char *path);
void model_move(struct model *m, const char *from, const char *to);
void model_swap(struct model *m, const char *a, const char *b);
/* An object's state as it is now is on the disk (@data_only: for fdatasync); everything's is. */
void model_promise(struct model *m, struct object *o, bool data_only);
void model_promise_all(struct model *m);
