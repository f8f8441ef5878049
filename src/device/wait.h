/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* Waiting for requests: see wait.c. */
#include <userxfs/device.h>

/* struct device_request.is_done */
enum {
	REQUEST_PENDING,
	REQUEST_DONE,
	REQUEST_AWAITED,	/* pending, and a thread sleeps until it is done */
};

/* Takes a request that was done before it reached the engine. */
void wait_settled(struct device *dev, struct device_request *req);
