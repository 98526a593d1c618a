/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory of a process or a VM that is kept where it is while it can be reached from inside: pinned, and charged to its
 * owner's RLIMIT_MEMLOCK.
 */
#ifndef HOST_MEMORY_H
#define HOST_MEMORY_H

#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>

#include "ept.h"
#include "why.h"
#include "work.h"

/* Physically contiguous pages: those of the memory from the end of the run before on up to END, not included. */
struct elisa_run {
	unsigned long end;
	unsigned long shift; /* page N of the memory is PFN N + SHIFT, which may wrap */
};

/* A part of the memory that lies together for its process, a VMM if it is a VM's. */
struct elisa_area {
	struct list_head list;
	struct mmu_interval_notifier notifier;
	struct elisa_memory *memory;
	gpa_t gpa;
	unsigned long address, bytes;
	unsigned long from, to; /* what has changed in it since it was last looked at; under memory->lock */
};

struct elisa_attachment;

struct elisa_vm;

struct elisa_memory {
	struct elisa_vm *vm;                 /* whose it is, referenced; NULL: a process of the host */
	struct work_struct work;             /* that destroys it */
	struct list_head areas;              /* in order */
	unsigned long vm_pages;              /* that the VM had when it last named some of this */
	spinlock_t lock;                     /* the areas' changes; taken in MMU notifiers */
	struct delayed_work look;            /* that looks whether it is still the VM's */
	unsigned int looks;                  /* in a row that could not tell; under lock */
	struct elisa_attachment *attachment; /* that it is a buffer of; with elisa_lock held */
	u32 buffer;                          /* its number there */
	struct elisa_object *object;         /* that a process gave it for; with elisa_lock held */
	struct work_struct orphan;           /* when that process has died */
	bool shared;                         /* it is whole, and looked after */
	struct mm_struct *mm;                /* charged */
	struct file *file; /* that it is a shared mapping of, if elisa_memory_find_file() has found one */
	u64 file_offset;
	u64 bytes;
	struct elisa_run *runs;
	unsigned long count, room;
};

/* Empty, of the calling process, which is the VM's VMM if there is a VM. NULL: no memory. */
struct elisa_memory *elisa_memory_create(struct elisa_vm *vm);

/*
 * Appends [ADDRESS, ADDRESS + BYTES) of the calling process, page-aligned, which lies at GPA of the calling vCPU's VM
 * if it is a VM's: when the VMM puts other memory there, and it is a buffer by then, the buffer is revoked. When the
 * process dies, so does what it is used for. After an error destroy it.
 */
int elisa_memory_add(struct elisa_memory *memory, gpa_t gpa, unsigned long address, u64 bytes, struct elisa_why *why);

/* It is whole, and buffer NUMBER of ATTACHMENT; or NULL: no more. With elisa_lock held. */
void elisa_memory_set_buffer(struct elisa_memory *memory, struct elisa_attachment *attachment, u32 number);

/* Notes which file it is a mapping of; called before or after it was added. */
void elisa_memory_find_file(struct elisa_memory *memory, unsigned long address, u64 bytes);

/*
 * The caller has made sure that nobody can reach it from inside any more. NULL is fine. Unpinned and uncharged a little
 * later, in a thread of its own: its owner can hold up whoever touches its address space.
 */
void elisa_memory_destroy(struct elisa_memory *memory);

/*
 * Maps all of it at OFFSET of EPT, with the largest leaves possible. After an error nothing is mapped any more, and the
 * caller flushes all CPUs if EPT was in use.
 */
int elisa_memory_map(const struct elisa_memory *memory, struct elisa_ept *ept, u64 offset, u64 prot);
void elisa_memory_unmap(const struct elisa_memory *memory, struct elisa_ept *ept, u64 offset);

/* Copies BYTES from OFFSET on; the caller checked that they are there. */
void elisa_memory_read(const struct elisa_memory *memory, u64 offset, void *to, u64 bytes);

/* A mapping into the kernel's space, or NULL; vunmap() undoes it. */
void *elisa_memory_vmap(const struct elisa_memory *memory);

/* Its pages one after another, from the one that holds OFFSET on. */
struct elisa_walk {
	const struct elisa_run *run;
	unsigned long page; /* in the memory */
};

/* Takes few steps however many runs there are: a guest's code makes the host look, with a lock held that others need.
 */
struct elisa_walk elisa_memory_walk(const struct elisa_memory *memory, u64 offset);

static inline struct page *elisa_walk_page(const struct elisa_walk *walk)
{
	return pfn_to_page(walk->page + walk->run->shift);
}

static inline void elisa_walk_next(struct elisa_walk *walk)
{
	if (++walk->page == walk->run->end)
		walk->run++;
}

/* The page that holds OFFSET. */
static inline struct page *elisa_memory_page(const struct elisa_memory *memory, u64 offset)
{
	struct elisa_walk walk = elisa_memory_walk(memory, offset);

	return elisa_walk_page(&walk);
}

/* Waits until all that was destroyed is unpinned, or for a second: an owner can hold that up. */
void elisa_memory_settle(void);
struct workqueue_struct *elisa_memory_queue_of(const struct elisa_memory *memory);

/* Pages that are pinned at this moment, by all. */
long elisa_memory_pinned(void);

#endif
