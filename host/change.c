// SPDX-License-Identifier: GPL-2.0-only
#include "change.h"

#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/version.h>

#include "attachment.h"
#include "kvm.h"

#define TRIES 3 /* a page that is about to be moved is missing for a moment, and comes back as it is pinned */
#define BETWEEN_TRIES_MS 10

/* Runs wherever the VMM's memory changes, with locks of the memory management held. */
static bool invalidate(struct mmu_interval_notifier *notifier, const struct mmu_notifier_range *range,
		       unsigned long seq)
{
	struct elisa_area *area = container_of(notifier, struct elisa_area, notifier);
	struct elisa_memory *memory = area->memory;

	spin_lock(&memory->lock);
	mmu_interval_set_seq(notifier, seq);
	/* When the VMM ends, so do its vCPUs. */
	if (range->event != MMU_NOTIFY_RELEASE) {
		area->from = min(area->from, range->start);
		area->to = max(area->to, range->end);
		if (memory->shared)
			queue_work(elisa_queue, &memory->look);
	}
	spin_unlock(&memory->lock);
	return true;
}

static const struct mmu_interval_notifier_ops operations = { .invalidate = invalidate };

static void reset(struct elisa_area *area)
{
	area->from = ULONG_MAX;
	area->to = 0;
}

int elisa_memory_add_guest(struct elisa_memory *memory, gpa_t gpa, unsigned long address, u64 bytes,
			   struct elisa_why *why)
{
	struct elisa_area *area = kzalloc(sizeof(*area), GFP_KERNEL_ACCOUNT);
	int error;

	if (!area)
		return elisa_refuse(why, -ENOMEM, "out of memory");
	area->memory = memory;
	area->gpa = gpa;
	area->address = address;
	area->bytes = bytes;
	reset(area);
	/* Before it is pinned: no change is missed. */
	error = mmu_interval_notifier_insert(&area->notifier, memory->mm, address, bytes, &operations);
	if (error) {
		kfree(area);
		return elisa_refuse(why, error, "cannot watch the memory at %#llx (error %d)", gpa, error);
	}
	list_add_tail(&area->list, &memory->areas);
	return elisa_memory_add(memory, address, bytes, why);
}

void elisa_memory_set_buffer(struct elisa_memory *memory, struct elisa_attachment *attachment, u32 number)
{
	memory->attachment = attachment;
	memory->buffer = number;
	spin_lock(&memory->lock);
	memory->shared = attachment;
	spin_unlock(&memory->lock);
	/* What has changed since it was pinned. */
	if (attachment)
		queue_work(elisa_queue, &memory->look);
}

void elisa_change_forget(struct elisa_memory *memory)
{
	struct elisa_area *area, *next;

	list_for_each_entry(area, &memory->areas, list)
		mmu_interval_notifier_remove(&area->notifier);
	cancel_work_sync(&memory->look);
	list_for_each_entry_safe(area, next, &memory->areas, list)
		kfree(area);
}

static struct page *page_at(struct mm_struct *mm, unsigned long address)
{
	struct page *page = NULL;
	long got;

	/* FOLL_FORCE: a page that is unmapped to see who uses it is there all the same. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
	got = get_user_pages_remote(mm, address, 1, FOLL_WRITE | FOLL_FORCE | FOLL_NOFAULT, &page, NULL, NULL);
#else
	got = get_user_pages_remote(mm, address, 1, FOLL_WRITE | FOLL_FORCE | FOLL_NOFAULT, &page, NULL);
#endif
	return got == 1 ? page : NULL;
}

/* Nothing is faulted in, which its owner could hold up: a page of a file that is not mapped now may be cached still. */
static bool is_cached(struct mm_struct *mm, unsigned long address, const struct page *page)
{
	struct vm_area_struct *area = vma_lookup(mm, address);
	struct page *cached;

	if (!area || !area->vm_file || !(area->vm_flags & VM_SHARED))
		return false;
	cached = find_get_page(area->vm_file->f_mapping, linear_page_index(area, address));
	if (cached)
		put_page(cached);
	return cached == page;
}

static bool is_same(struct mm_struct *mm, unsigned long address, const struct page *page)
{
	struct page *now;
	bool same;

	mmap_read_lock(mm);
	now = page_at(mm, address);
	same = now ? now == page : is_cached(mm, address, page);
	mmap_read_unlock(mm);
	if (now)
		put_page(now);
	return same;
}

static bool stays_same(struct mm_struct *mm, unsigned long address, const struct page *page)
{
	for (unsigned int i = 0; i < TRIES; i++) {
		if (is_same(mm, address, page))
			return true;
		msleep(BETWEEN_TRIES_MS);
	}
	return false;
}

/* Whether the area, which lies at OFFSET of the memory, still has the pages that were pinned where it has changed. */
static bool area_is_same(const struct elisa_memory *memory, const struct elisa_area *area, u64 offset,
			 unsigned long from, unsigned long to)
{
	struct elisa_walk walk;

	from = max(from & PAGE_MASK, area->address);
	to = min(to, area->address + area->bytes);
	if (from >= to)
		return true;
	walk = elisa_memory_walk(memory, offset + from - area->address);
	for (unsigned long at = from; at < to; at += PAGE_SIZE, elisa_walk_next(&walk)) {
		if (!stays_same(memory->mm, at, elisa_walk_page(&walk)))
			return false;
		cond_resched();
	}
	return true;
}

static bool memory_is_same(struct elisa_memory *memory)
{
	struct elisa_area *area;
	u64 offset = 0;

	list_for_each_entry(area, &memory->areas, list) {
		unsigned long from, to;

		spin_lock(&memory->lock);
		from = area->from;
		to = area->to;
		reset(area);
		spin_unlock(&memory->lock);
		if (!area_is_same(memory, area, offset, from, to))
			return false;
		offset += area->bytes;
	}
	return true;
}

void elisa_change_look(struct work_struct *work)
{
	struct elisa_memory *memory = container_of(work, struct elisa_memory, look);
	bool same;

	if (!mmget_not_zero(memory->mm))
		return;
	same = memory_is_same(memory);
	mmput(memory->mm);
	if (same)
		return;
	mutex_lock(&elisa_lock);
	if (memory->attachment)
		elisa_attachment_revoke(memory->attachment, memory->buffer);
	mutex_unlock(&elisa_lock);
}

bool elisa_change_is_backed(struct elisa_vm *vm, const struct elisa_memory *memory)
{
	const struct elisa_area *area;

	list_for_each_entry(area, &memory->areas, list)
		if (!elisa_vm_is_backed(vm->kvm, area->gpa, area->bytes, area->address))
			return false;
	return true;
}

void elisa_change_recheck(struct work_struct *work)
{
	struct elisa_vm *vm = container_of(work, struct elisa_vm, recheck);
	struct elisa_attachment *attachment;

	mutex_lock(&elisa_lock);
	/* Else there are no slots any more. */
	if (!vm->gone)
		list_for_each_entry(attachment, &vm->attachments, in_vm)
			for (u32 i = 0; i < ELISA_BUFFERS_MAX; i++)
				if (attachment->buffers[i] && !elisa_change_is_backed(vm, attachment->buffers[i]))
					elisa_attachment_revoke(attachment, i);
	elisa_vm_put(vm);
	mutex_unlock(&elisa_lock);
}
