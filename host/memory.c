// SPDX-License-Identifier: GPL-2.0-only
#include "memory.h"

#include <asm/msr.h>
#include <asm/vmx.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "change.h"
#include "vm.h"

#define BATCH (PAGE_SIZE / sizeof(struct page *))

static atomic_long_t pinned;
static atomic_t dying; /* destroyed, not yet unpinned */

struct workqueue_struct *elisa_memory_queue_of(const struct elisa_memory *memory)
{
	return memory->vm ? memory->vm->queue : elisa_memory_queue;
}

struct elisa_memory *elisa_memory_create(struct elisa_vm *vm)
{
	struct elisa_memory *memory = kzalloc(sizeof(*memory), GFP_KERNEL_ACCOUNT);

	if (memory) {
		memory->mm = current->mm;
		mmgrab(memory->mm);
		INIT_LIST_HEAD(&memory->areas);
		spin_lock_init(&memory->lock);
		INIT_DELAYED_WORK(&memory->look, elisa_change_look);
		INIT_WORK(&memory->orphan, elisa_change_orphan);
		memory->vm = vm;
		if (vm)
			kref_get(&vm->ref);
	}
	return memory;
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

static int append(struct elisa_memory *memory, struct page *page)
{
	struct elisa_run *last = memory->runs + memory->count - 1;
	unsigned long number = memory->bytes >> PAGE_SHIFT, shift = page_to_pfn(page) - number;
	int error;

	if (memory->count && last->shift == shift) {
		last->end++;
		return 0;
	}
	error = make_room(memory);
	if (error)
		return error;
	memory->runs[memory->count++] = (struct elisa_run){ number + 1, shift };
	return 0;
}

/* Takes over the pins of PAGES[0..COUNT), also those that it had no room to note. */
static int append_all(struct elisa_memory *memory, struct page **pages, long count)
{
	for (long i = 0; i < count; i++) {
		int error = append(memory, pages[i]);

		if (error) {
			unpin_user_pages(pages + i, count - i);
			return error;
		}
		memory->bytes += PAGE_SIZE;
		atomic_long_inc(&pinned);
	}
	return 0;
}

int elisa_memory_pin(struct elisa_memory *memory, unsigned long address, u64 bytes, struct elisa_why *why)
{
	unsigned long count = bytes >> PAGE_SHIFT, done = 0;
	u64 before = memory->bytes;
	struct page **pages;
	int error = 0;

	pages = (struct page **)__get_free_page(GFP_KERNEL);
	if (!pages)
		return elisa_refuse(why, -ENOMEM, "out of memory");
	error = account_locked_vm(memory->mm, count, true);
	if (error) {
		free_page((unsigned long)pages);
		return elisa_refuse(why, error,
				    "%lu more pages exceed the limit of locked memory (RLIMIT_MEMLOCK, %lu KiB)", count,
				    rlimit(RLIMIT_MEMLOCK) >> 10);
	}
	while (!error && done < count) {
		/* Long-term: out of what moves or is given back (CMA, ZONE_MOVABLE); writable, so that copy-on-write is
		 * over. */
		long got = pin_user_pages_fast(address + done * PAGE_SIZE, min(count - done, BATCH),
					       FOLL_WRITE | FOLL_LONGTERM, pages);

		if (got <= 0) {
			/* A VMM's addresses are not its guest's business. */
			error = elisa_refuse(why, got ? got : -EFAULT,
					     "no writable memory %#lx bytes from its start on", done * PAGE_SIZE);
		} else {
			error = append_all(memory, pages, got);
			if (error)
				elisa_refuse(why, error, "out of memory");
			else
				done += got;
		}
		if (!error && fatal_signal_pending(current))
			error = elisa_refuse(why, -EINTR, "interrupted");
		cond_resched();
	}
	/* What is noted is charged until it is destroyed. */
	if (error)
		account_locked_vm(memory->mm, count - ((memory->bytes - before) >> PAGE_SHIFT), false);
	free_page((unsigned long)pages);
	return error;
}

void elisa_memory_find_file(struct elisa_memory *memory, unsigned long address, u64 bytes)
{
	struct vm_area_struct *area;

	mmap_read_lock(memory->mm);
	area = find_vma(memory->mm, address);
	if (area && area->vm_start <= address && area->vm_end - address >= bytes && area->vm_file &&
	    area->vm_flags & VM_SHARED) {
		memory->file = get_file(area->vm_file);
		memory->file_offset = (u64)area->vm_pgoff * PAGE_SIZE + address - area->vm_start;
	}
	mmap_read_unlock(memory->mm);
}

static void destroy(struct work_struct *work)
{
	struct elisa_memory *memory = container_of(work, struct elisa_memory, work);
	unsigned long number = 0;

	elisa_change_forget(memory);
	for (const struct elisa_run *run = memory->runs; run < memory->runs + memory->count; number = run++->end) {
		unpin_user_page_range_dirty_lock(pfn_to_page(number + run->shift), run->end - number, true);
		atomic_long_sub(run->end - number, &pinned);
		cond_resched();
	}
	if (memory->bytes)
		account_locked_vm(memory->mm, memory->bytes >> PAGE_SHIFT, false);
	kvfree(memory->runs);
	if (memory->file)
		fput(memory->file);
	mmdrop(memory->mm);
	if (memory->vm)
		elisa_vm_put(memory->vm);
	kfree(memory);
	atomic_dec(&dying);
}

void elisa_memory_settle(void)
{
	unsigned long until = jiffies + HZ;

	while (atomic_read(&dying) && time_before(jiffies, until))
		usleep_range(500, 1000);
}

void elisa_memory_destroy(struct elisa_memory *memory)
{
	if (!memory)
		return;
	memory->object = NULL;
	INIT_WORK(&memory->work, destroy);
	atomic_inc(&dying);
	queue_work(elisa_memory_queue_of(memory), &memory->work);
}

static u32 largest_leaf(void)
{
	u64 capabilities;

	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, capabilities);
	if (capabilities & VMX_EPT_1GB_PAGE_BIT)
		return ELISA_EPT_PDPT;
	return capabilities & VMX_EPT_2MB_PAGE_BIT ? ELISA_EPT_PD : ELISA_EPT_PT;
}

int elisa_memory_map(const struct elisa_memory *memory, struct elisa_ept *ept, u64 offset, u64 prot)
{
	u32 largest = largest_leaf();
	unsigned long number = 0;

	for (const struct elisa_run *run = memory->runs; run < memory->runs + memory->count; number = run++->end) {
		u64 at = (u64)number << PAGE_SHIFT;
		int error = elisa_ept_map_range(ept, offset + at, (hpa_t)(number + run->shift) << PAGE_SHIFT,
						(u64)(run->end - number) << PAGE_SHIFT, prot, largest);

		if (error) {
			if (at)
				elisa_ept_unmap_range(ept, offset, at);
			return error;
		}
		cond_resched();
	}
	return 0;
}

void elisa_memory_unmap(const struct elisa_memory *memory, struct elisa_ept *ept, u64 offset)
{
	WARN_ON(elisa_ept_unmap_range(ept, offset, memory->bytes));
}

struct elisa_walk elisa_memory_walk(const struct elisa_memory *memory, u64 offset)
{
	unsigned long page = offset >> PAGE_SHIFT, low = 0, high = memory->count;

	/* The first run that ends behind it. */
	while (low < high) {
		unsigned long middle = (low + high) / 2;

		if (memory->runs[middle].end <= page)
			low = middle + 1;
		else
			high = middle;
	}
	return (struct elisa_walk){ memory->runs + low, page };
}

void elisa_memory_read(const struct elisa_memory *memory, u64 offset, void *to, u64 bytes)
{
	struct elisa_walk walk = elisa_memory_walk(memory, offset);
	u64 in_page = offset_in_page(offset);

	while (bytes) {
		u64 now = min_t(u64, bytes, PAGE_SIZE - in_page);

		memcpy(to, page_address(elisa_walk_page(&walk)) + in_page, now);
		to += now;
		bytes -= now;
		in_page = 0;
		elisa_walk_next(&walk);
	}
}

void *elisa_memory_vmap(const struct elisa_memory *memory)
{
	unsigned long count = memory->bytes >> PAGE_SHIFT;
	struct page **pages = kvmalloc_array(count, sizeof(*pages), GFP_KERNEL);
	struct elisa_walk walk = { memory->runs, 0 };
	void *address;

	if (!pages)
		return NULL;
	for (; walk.page < count; elisa_walk_next(&walk))
		pages[walk.page] = elisa_walk_page(&walk);
	address = vmap(pages, count, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	return address;
}

long elisa_memory_pinned(void)
{
	return atomic_long_read(&pinned);
}
