/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests to the host's module. It may sleep, which to this kernel is a vCPU that does not run. */
#ifndef GUEST_REQUEST_H
#define GUEST_REQUEST_H

#include <linux/errno.h>
#include <linux/types.h>
#include <elisa/hypercall.h>

#include "why.h"

int elisa_request_init(void);
void elisa_request_uninit(void);

/* Zeroed but for what it is about; never NULL, so that letting go cannot fail. One at a time for a thread. */
struct elisa_request *elisa_request_get(enum elisa_op op, u32 id);
void elisa_request_put(struct elisa_request *request);
/* The host's answer: 0, or a negative errno and why. */
int elisa_request_make(struct elisa_request *request, struct elisa_why *why);

/* A request that is about nothing but an id. */
int elisa_request_simple(enum elisa_op op, u32 id, struct elisa_why *why);

/* Was what the host was to let go let go, now or before? Else the host may still use our memory. */
static inline bool elisa_request_released(int error)
{
	return !error || error == -ENOENT || error == -ENODEV || error == -ENOTCONN;
}

#endif
