// SPDX-License-Identifier: GPL-2.0
/* Block reservations of directory changes.  (XFS: XFS_DIRENTER_SPACE_RES, XFS_DIRREMOVE_SPACE_RES.) */
#include "internal.h"

uint32_t dir_add_blocks(const struct geometry *geo, unsigned name_length)
{
	(void)name_length;
	return da_enter_blocks(geo, FORK_DATA);
}

uint32_t dir_remove_blocks(const struct geometry *geo)
{
	return da_remove_blocks(geo, FORK_DATA);
}
