/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory of a process or a VM that is kept where it is while it can be reached from inside: pinned, and charged to its
 * owner's RLIMIT_MEMLOCK.
 */
#ifndef HOST_MEMORY_H
#define HOST_MEMORY_H

#include <linux/mm_types.h>

#include "ept.h"
#include "why.h"
#include "work.h"

struct elisa_run {
	unsigned long pfn, count; /* physically contiguous pages */
};

struct elisa_memory {
	struct work_struct work; /* that destroys it */
	struct mm_struct *mm;    /* charged */
	struct file *file;       /* that it is a shared mapping of, if elisa_memory_find_file() has found one */
	u64 file_offset;
	u64 bytes;
	struct elisa_run *runs;
	unsigned long count, room;
};

/* Empty, of the calling process. NULL: no memory. */
struct elisa_memory *elisa_memory_create(void);

/* Appends [ADDRESS, ADDRESS + BYTES) of the calling process, page-aligned. After an error destroy it. */
int elisa_memory_add(struct elisa_memory *memory, unsigned long address, u64 bytes, struct elisa_why *why);

/* Notes which file it is a mapping of; called before or after it was added. */
void elisa_memory_find_file(struct elisa_memory *memory, unsigned long address, u64 bytes);

/*
 * The caller has made sure that nobody can reach it from inside any more. NULL is fine. Unpinned and uncharged a little
 * later, in a thread of its own: its owner can hold up whoever touches its address space.
 */
void elisa_memory_destroy(struct elisa_memory *memory);

/* Maps all of it at OFFSET of EPT, with the largest leaves possible. After an error nothing is mapped. */
int elisa_memory_map(const struct elisa_memory *memory, struct elisa_ept *ept, u64 offset, u64 prot);
void elisa_memory_unmap(const struct elisa_memory *memory, struct elisa_ept *ept, u64 offset);

/* Copies BYTES from OFFSET on; the caller checked that they are there. */
void elisa_memory_read(const struct elisa_memory *memory, u64 offset, void *to, u64 bytes);

/* A mapping into the kernel's space, or NULL; vunmap() undoes it. */
void *elisa_memory_vmap(const struct elisa_memory *memory);

/* The page that holds OFFSET. */
struct page *elisa_memory_page(const struct elisa_memory *memory, u64 offset);

/* Pages that are pinned at this moment, by all. */
long elisa_memory_pinned(void);

#endif
