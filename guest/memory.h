/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory of this VM that the host is to use: of a process, pinned and charged; or a copy of it. */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include <linux/mm_types.h>
#include <linux/types.h>

#include "request.h"

struct elisa_run {
	unsigned long pfn, count;
};

struct elisa_memory {
	struct list_head list; /* these two are for whoever holds it */
	u32 number;
	struct mm_struct *mm; /* charged, its structure held; NULL: a copy */
	char *copy;
	bool writable; /* to the host */
	u64 bytes;
	struct elisa_run *runs; /* in order; what lies together in physical memory is one */
	unsigned long count, room;
};

int elisa_memory_init(void);
void elisa_memory_uninit(void);

/*
 * Pins BYTES of the calling process. WHAT is what messages call it. Errors: EINVAL (not whole pages), E2BIG (more than
 * LIMIT), EFAULT (not mapped, or not writable), ENOMEM (RLIMIT_MEMLOCK, or none left), EINTR (the process is killed).
 */
int elisa_memory_pin(struct elisa_memory **memory, const char *what, u64 address, u64 bytes, u64 limit, bool writable,
		     struct elisa_why *why);
/* Copies BYTES of the calling process to pages of our own; what remains of the last is zero. */
int elisa_memory_copy(struct elisa_memory **memory, u64 address, u64 bytes, struct elisa_why *why);
/* The host must not use it any more. NULL is allowed. */
void elisa_memory_destroy(struct elisa_memory *memory);
/* For memory that the host may use for ever: keeps it. */
void elisa_memory_abandon(struct elisa_memory *memory);

/*
 * Makes a request that is also about MEMORY: the host has it afterwards if that succeeds, and has not if it fails;
 * after ELISA_OP_OBJECT_CODE, which copies, it never has.
 */
int elisa_memory_request(const struct elisa_memory *memory, struct elisa_request *request, struct elisa_why *why);

long elisa_memory_pinned(void); /* pages */
long elisa_memory_copied(void);

#endif
