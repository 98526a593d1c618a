/* SPDX-License-Identifier: GPL-2.0-only */
/* The attacker's own driver: what elisa_guest.ko asks of the host, without its manners. */
#ifndef DRIVER_H
#define DRIVER_H

#include <elisa/hypercall.h>

extern struct elisa_request *request; /* a page, filled by the caller; the answer is in it */
extern u64 region;                    /* where the host's addresses begin */
extern u32 slot;                      /* of our sub context */
extern u32 attachment;

long hypercall(u64 gpa);
/* The answer's errno, or that of the hypercall. */
int ask(u32 op, u32 id);
int driver_connect(const char *object);
void driver_disconnect(void);
int driver_function(const char *name);
int driver_share(void *pages, unsigned int count);
#endif
