/* SPDX-License-Identifier: MIT */
/* What call.S shares with C. */
#ifndef ELISA_CALL_H
#define ELISA_CALL_H

#include "../include/uapi/elisa/layout.h"

/* Offsets in struct elisa_function. */
#define CALL_SLOT 0
#define CALL_INDEX 4
#define CALL_ENTER 8

#define CALL_HYPERCALL 0x454c4954 /* ELISA_HYPERCALL_CALL, whose header is for C alone */

#ifndef __ASSEMBLER__

#include "elisa.h"

void elisa_call_first(void);
void elisa_call_vmcall(void);
void elisa_call_direct(void);
void elisa_call_ioctl(void);

/* Lets this thread call through the gate: 0 or -errno. */
long elisa_thread_prepare(const struct elisa_function *function);

/* The call by ELISA_IOC_CALL. */
long elisa_call_by_ioctl(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
			 uint64_t a4);

#endif
#endif
