// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include "memory.h"

#include <asm/io.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "compat.h"

#define BATCH (PAGE_SIZE / sizeof(struct page *))

/*
 * Protects the two below, and the host's numbers of memory not yet handed on: a number that an operation gives back
 * must not have become another's meanwhile.
 */
static DEFINE_MUTEX(naming_lock);
static struct elisa_request *naming;
static struct elisa_extent *extents;

static atomic_long_t pinned, copied;

int elisa_memory_init(void)
{
	extents = (struct elisa_extent *)get_zeroed_page(GFP_KERNEL);
	if (!extents)
		return -ENOMEM;
	naming = (struct elisa_request *)get_zeroed_page(GFP_KERNEL);
	if (!naming) {
		free_page((unsigned long)extents);
		return -ENOMEM;
	}
	return 0;
}

void elisa_memory_uninit(void)
{
	free_page((unsigned long)naming);
	free_page((unsigned long)extents);
}

static int make_room(struct elisa_memory *memory)
{
	unsigned long room = max(memory->room * 2, 16ul);
	struct elisa_run *runs;

	if (memory->count < memory->room)
		return 0;
	runs = kvmalloc_array(room, sizeof(*runs), GFP_KERNEL_ACCOUNT);
	if (!runs)
		return -ENOMEM;
	if (memory->count)
		memcpy(runs, memory->runs, memory->count * sizeof(*runs));
	kvfree(memory->runs);
	memory->runs = runs;
	memory->room = room;
	return 0;
}

static int append(struct elisa_memory *memory, unsigned long pfn)
{
	struct elisa_run *last = memory->count ? memory->runs + memory->count - 1 : NULL;
	int error;

	if (last && last->pfn + last->count == pfn) {
		last->count++;
	} else {
		error = make_room(memory);
		if (error)
			return error;
		memory->runs[memory->count++] = (struct elisa_run){ pfn, 1 };
	}
	memory->bytes += PAGE_SIZE;
	return 0;
}

/* Takes over the pins of PAGES[0..COUNT), also those that it had no room to note. */
static int append_pinned(struct elisa_memory *memory, struct page **pages, long count)
{
	for (long i = 0; i < count; i++) {
		int error = append(memory, page_to_pfn(pages[i]));

		if (error) {
			unpin_user_pages(pages + i, count - i);
			return error;
		}
		atomic_long_inc(&pinned);
	}
	return 0;
}

static int pin_all(struct elisa_memory *memory, unsigned long address, unsigned long count, struct page **pages,
		   struct elisa_why *why)
{
	unsigned long done = 0;

	while (done < count) {
		unsigned long at = address + done * PAGE_SIZE;
		int now = min(count - done, BATCH), got, error;

		/* Long-term: out of what moves or is given back (CMA, ZONE_MOVABLE). */
		if (memory->writable)
			got = pin_user_pages_fast(at, now, FOLL_LONGTERM | FOLL_WRITE, pages);
		else
			got = elisa_pin_to_read(at, now, pages);
		if (fatal_signal_pending(current)) {
			if (got > 0)
				unpin_user_pages(pages, got);
			return elisa_refuse(why, -EINTR, "interrupted");
		}
		if (got <= 0)
			return elisa_refuse(why, got ? got : -EFAULT, "no %s at %#lx that can be shared",
					    memory->writable ? "writable memory" : "memory", at);
		error = append_pinned(memory, pages, got);
		if (error)
			return elisa_refuse(why, error, "out of memory");
		done += got;
		cond_resched();
	}
	return 0;
}

static int check_place(const char *what, u64 address, u64 bytes, u64 limit, struct elisa_why *why)
{
	if (!IS_ALIGNED(address, PAGE_SIZE))
		return elisa_refuse(why, -EINVAL, "%s is not page-aligned (%#llx)", what, address);
	if (!bytes || !IS_ALIGNED(bytes, PAGE_SIZE))
		return elisa_refuse(why, -EINVAL, "%s is not a whole number of pages (%llu bytes)", what, bytes);
	if (bytes > limit)
		return elisa_refuse(why, -E2BIG, "%s has more than %llu MiB", what, limit >> 20);
	if (!access_ok((void __user *)address, bytes))
		return elisa_refuse(why, -EFAULT, "%s at %#llx is not in the process's memory", what, address);
	return 0;
}

int elisa_memory_pin(struct elisa_memory **pinned_memory, const char *what, u64 address, u64 bytes, u64 limit,
		     bool writable, struct elisa_why *why)
{
	int error = check_place(what, address, bytes, limit, why);
	struct elisa_memory *memory;
	struct page **pages;

	if (error)
		return error;
	memory = kzalloc(sizeof(*memory), GFP_KERNEL_ACCOUNT);
	pages = (struct page **)__get_free_page(GFP_KERNEL);
	if (!memory || !pages) {
		error = elisa_refuse(why, -ENOMEM, "out of memory");
		goto free;
	}
	error = account_locked_vm(current->mm, bytes >> PAGE_SHIFT, true);
	if (error) {
		elisa_refuse(why, error,
			     "%s: %llu KiB more exceed the limit of locked memory (RLIMIT_MEMLOCK, %lu KiB)", what,
			     bytes >> 10, rlimit(RLIMIT_MEMLOCK) >> 10);
		goto free;
	}
	memory->mm = current->mm;
	mmgrab(memory->mm);
	memory->writable = writable;
	error = pin_all(memory, address, bytes >> PAGE_SHIFT, pages, why);
	free_page((unsigned long)pages);
	if (error) {
		/* What is noted is uncharged with it. */
		account_locked_vm(memory->mm, (bytes - memory->bytes) >> PAGE_SHIFT, false);
		elisa_memory_destroy(memory);
		return error;
	}
	*pinned_memory = memory;
	return 0;

free:
	free_page((unsigned long)pages);
	kfree(memory);
	return error;
}

int elisa_memory_copy(struct elisa_memory **copy, u64 address, u64 bytes, struct elisa_why *why)
{
	struct elisa_memory *memory = kzalloc(sizeof(*memory), GFP_KERNEL_ACCOUNT);
	int error = -ENOMEM;

	if (!memory)
		return elisa_refuse(why, -ENOMEM, "out of memory");
	memory->copy = __vmalloc(bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN);
	for (u64 done = 0; memory->copy && done < bytes; done += PAGE_SIZE) {
		error = append(memory, vmalloc_to_pfn(memory->copy + done));
		if (error)
			break;
		atomic_long_inc(&copied);
	}
	if (error) {
		elisa_refuse(why, error, "no memory for a copy of %llu bytes", bytes);
	} else if (copy_from_user(memory->copy, (const void __user *)address, bytes)) {
		error = elisa_refuse(why, -EFAULT, "no memory of %llu bytes at %#llx", bytes, address);
	} else {
		*copy = memory;
		return 0;
	}
	elisa_memory_destroy(memory);
	return error;
}

static void unpin(struct elisa_memory *memory)
{
	for (unsigned long i = 0; i < memory->count; i++) {
		unpin_user_page_range_dirty_lock(pfn_to_page(memory->runs[i].pfn), memory->runs[i].count,
						 memory->writable);
		atomic_long_sub(memory->runs[i].count, &pinned);
		cond_resched();
	}
	if (memory->bytes)
		account_locked_vm(memory->mm, memory->bytes >> PAGE_SHIFT, false);
	mmdrop(memory->mm);
}

void elisa_memory_destroy(struct elisa_memory *memory)
{
	if (!memory)
		return;
	if (memory->mm) {
		unpin(memory);
	} else {
		atomic_long_sub(memory->bytes >> PAGE_SHIFT, &copied);
		vfree(memory->copy);
	}
	kvfree(memory->runs);
	kfree(memory);
}

void elisa_memory_abandon(struct elisa_memory *memory)
{
	pr_err("%llu KiB stay pinned for good: the host does not give them back\n", memory->bytes >> 10);
	if (memory->mm)
		mmdrop(memory->mm);
	kvfree(memory->runs);
	kfree(memory);
}

/* Sends what is in EXTENTS; *ID is 0 at first, and may be another number each time. */
static int name_piece(u32 count, u32 *id, struct elisa_why *why)
{
	int error;

	memset(naming, 0, sizeof(*naming));
	naming->size = sizeof(*naming);
	naming->op = ELISA_OP_MEMORY;
	naming->memory.id = *id;
	naming->memory.extents = count;
	naming->memory.gpa = virt_to_phys(extents);
	error = elisa_request_make(naming, why);
	if (!error)
		*id = naming->memory.id;
	return error;
}

static void unname(u32 id)
{
	struct elisa_why why;

	memset(naming, 0, sizeof(*naming));
	naming->size = sizeof(*naming);
	naming->op = ELISA_OP_MEMORY_RELEASE;
	naming->memory.id = naming->id = id;
	/* A number that the host has forgotten already is all right. */
	elisa_request_make(naming, &why);
}

static int name(const struct elisa_memory *memory, u32 *id, struct elisa_why *why)
{
	unsigned long done = 0;
	int error = 0;

	while (!error && done < memory->count) {
		u32 count = min_t(unsigned long, memory->count - done, ELISA_EXTENTS_MAX);

		for (u32 i = 0; i < count; i++)
			extents[i] = (struct elisa_extent){ PFN_PHYS(memory->runs[done + i].pfn),
							    (u64)memory->runs[done + i].count << PAGE_SHIFT };
		error = name_piece(count, id, why);
		done += count;
		if (!error && fatal_signal_pending(current))
			error = elisa_refuse(why, -EINTR, "interrupted");
		cond_resched();
	}
	return error;
}

int elisa_memory_request(const struct elisa_memory *memory, struct elisa_request *request, struct elisa_why *why)
{
	u32 id = 0;
	int error;

	error = mutex_lock_killable(&naming_lock);
	if (error)
		return elisa_refuse(why, error, "interrupted");
	error = name(memory, &id, why);
	if (!error) {
		request->memory.id = id;
		error = elisa_request_make(request, why);
	}
	if (id && (error || request->op == ELISA_OP_OBJECT_CODE))
		unname(id);
	mutex_unlock(&naming_lock);
	return error;
}

long elisa_memory_pinned(void)
{
	return atomic_long_read(&pinned);
}

long elisa_memory_copied(void)
{
	return atomic_long_read(&copied);
}
