/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Reservations of AGs, at mount and unmount. */
#include "space_private.h"

/* Takes them.  -ENOSPC: the AG has less free blocks than its trees may need; it can be used all the same. */
int ag_resv_start(struct ag *ag);
void ag_resv_stop(struct ag *ag);
