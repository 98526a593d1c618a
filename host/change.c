// SPDX-License-Identifier: GPL-2.0-only
#include "change.h"

#include <linux/delay.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/version.h>

#include "attachment.h"
#include "buffer.h"
#include "exchange.h"
#include "kvm.h"

/*
 * What a VM's memory that is named costs the host, which a guest's kernel must not drive without bound, as it may name
 * the same again and again: something for each piece, and for each page (elisa_run), if they are not together for the
 * host. A page's count of pins must not overflow either.
 */
static unsigned int piece_limit = 1 << 18;
module_param(piece_limit, uint, 0644);
MODULE_PARM_DESC(piece_limit, "pieces in which a VM may name memory, of all that it shares (262144)");
static unsigned int naming_limit = 32;
module_param(naming_limit, uint, 0644);
MODULE_PARM_DESC(naming_limit, "times that a VM may name as much memory as it has (32)");
#define TRIES 3 /* a page that is about to be moved is missing for a moment, and comes back as it is pinned */
#define BETWEEN_TRIES_MS 10
/* At pages that are not mapped, but still their file's; each time after twice as long as before. */
#define NEXT_LOOK (HZ / 10)
#define LATEST_LOOK (4 * HZ)

/* Notes that [FROM, TO) is to be looked at. With memory->lock held. */
static void note(struct elisa_area *area, unsigned long from, unsigned long to)
{
	area->from = min(area->from, from);
	area->to = max(area->to, to);
}

/* Runs wherever the VMM's memory changes, with locks of the memory management held. */
static bool invalidate(struct mmu_interval_notifier *notifier, const struct mmu_notifier_range *range,
		       unsigned long seq)
{
	struct elisa_area *area = container_of(notifier, struct elisa_area, notifier);
	struct elisa_memory *memory = area->memory;

	spin_lock(&memory->lock);
	mmu_interval_set_seq(notifier, seq);
	if (range->event == MMU_NOTIFY_RELEASE && memory->vm) {
		elisa_vm_orphan(memory->vm);
	} else if (range->event == MMU_NOTIFY_RELEASE) {
		queue_work(elisa_queue, &memory->orphan);
	} else if (memory->vm) { /* what a process of the host maps is its own business */
		note(area, range->start, range->end);
		if (memory->shared)
			mod_delayed_work(elisa_memory_queue_of(memory), &memory->look, 0);
		memory->looks = 0;
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

static void uncharge(struct elisa_vm *vm, u64 bytes)
{
	if (!vm)
		return;
	atomic_dec(&vm->areas);
	atomic_long_sub(bytes >> PAGE_SHIFT, &vm->named);
}

static int charge(const struct elisa_memory *memory, u64 bytes, struct elisa_why *why)
{
	struct elisa_vm *vm = memory->vm;
	unsigned int pieces = atomic_inc_return(&vm->areas), most = READ_ONCE(piece_limit);
	unsigned long pages = atomic_long_add_return(bytes >> PAGE_SHIFT, &vm->named);
	unsigned int times = READ_ONCE(naming_limit);
	int error = 0;

	if (pieces > most)
		error = elisa_refuse(why, -ENOSPC, "the VM has named memory in %u pieces already (piece_limit)", most);
	else if (pages > size_mul(times, memory->vm_pages))
		error = elisa_refuse(why, -ENOSPC, "the VM has named %u times its memory already (naming_limit)",
				     times);
	if (error)
		uncharge(vm, bytes);
	return error;
}

static int check(const struct elisa_memory *memory, unsigned long address, u64 bytes, struct elisa_why *why)
{
	if (!bytes || !IS_ALIGNED(address, PAGE_SIZE) || !IS_ALIGNED(bytes, PAGE_SIZE))
		return elisa_refuse(why, -EINVAL, "memory is not a whole number of pages");
	if (address + bytes < address)
		return elisa_refuse(why, -EFAULT, "memory wraps around");
	if (memory->mm != current->mm)
		return elisa_refuse(why, -EPERM, "the memory is another process's");
	return 0;
}

/* From when it returns on, nothing changes in the area without a word. */
static int watch(struct elisa_area *area)
{
	sigset_t blocked, before;
	int error;

	/*
	 * The first of an address space gives up when a signal waits (mm_take_all_locks()), be it a timer's or the kick
	 * of a vCPU, and nobody would try again. It need not be waited for by who is killed.
	 */
	siginitsetinv(&blocked, sigmask(SIGKILL));
	sigprocmask(SIG_BLOCK, &blocked, &before);
	error = mmu_interval_notifier_insert(&area->notifier, area->memory->mm, area->address, area->bytes,
					     &operations);
	sigprocmask(SIG_SETMASK, &before, NULL);
	/* A change that had begun before is not told of, nor what begins while it lasts: it is over after this. */
	if (!error)
		mmu_interval_read_begin(&area->notifier);
	return error;
}

int elisa_memory_add(struct elisa_memory *memory, gpa_t gpa, unsigned long address, u64 bytes, struct elisa_why *why)
{
	struct elisa_area *area;
	int error;

	error = check(memory, address, bytes, why);
	if (!error && memory->vm)
		error = charge(memory, bytes, why);
	if (error)
		return error;
	area = kzalloc(sizeof(*area), GFP_KERNEL_ACCOUNT);
	if (!area) {
		error = elisa_refuse(why, -ENOMEM, "out of memory");
		goto uncharge;
	}
	area->memory = memory;
	area->gpa = gpa;
	area->address = address;
	area->bytes = bytes;
	reset(area);
	/* Before it is pinned: no change is missed. */
	error = watch(area);
	if (error) {
		elisa_refuse(why, error, "cannot watch the memory (error %d)", error);
		goto free_area;
	}
	/* Uncharged with the memory from here on. */
	list_add_tail(&area->list, &memory->areas);
	return elisa_memory_pin(memory, address, bytes, why);

free_area:
	kfree(area);
uncharge:
	uncharge(memory->vm, bytes);
	return error;
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
		mod_delayed_work(elisa_memory_queue_of(memory), &memory->look, 0);
}

void elisa_change_forget(struct elisa_memory *memory)
{
	struct elisa_area *area, *next;

	list_for_each_entry(area, &memory->areas, list) {
		mmu_interval_notifier_remove(&area->notifier);
		cond_resched();
	}
	cancel_delayed_work_sync(&memory->look);
	cancel_work_sync(&memory->orphan);
	list_for_each_entry_safe(area, next, &memory->areas, list) {
		uncharge(memory->vm, area->bytes);
		kfree(area);
		cond_resched();
	}
}

/* What is at an address now. */
enum state {
	SAME,
	CACHED, /* not mapped, but its page of the file: it is about to go, or comes back when it is touched */
	OTHER,
};

/* Nothing is faulted in, which its owner could hold up: a page of a file that is not mapped now may be cached still. */
static enum state cached_state(struct vm_area_struct *area, unsigned long address, struct page *page)
{
	pgoff_t index = linear_page_index(area, address);
	struct page *now;

	if (!area->vm_file || !(area->vm_flags & VM_SHARED))
		return OTHER;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
	if (is_vm_hugetlb_page(area)) {
		index = linear_hugepage_index(area, address);
		page = compound_head(page);
	}
#endif
	now = find_get_page(area->vm_file->f_mapping, index);
	if (now)
		put_page(now);
	return now == page ? CACHED : OTHER;
}

static enum state mapped_state(struct mm_struct *mm, unsigned long address, const struct page *page)
{
	struct page *now = NULL;
	long got;

	/* FOLL_FORCE: a page that is unmapped to see who uses it is there all the same. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
	got = get_user_pages_remote(mm, address, 1, FOLL_WRITE | FOLL_FORCE | FOLL_NOFAULT, &now, NULL, NULL);
#else
	got = get_user_pages_remote(mm, address, 1, FOLL_WRITE | FOLL_FORCE | FOLL_NOFAULT, &now, NULL);
#endif
	if (got != 1)
		return OTHER;
	put_page(now);
	return now == page ? SAME : OTHER;
}

static enum state state_of(struct mm_struct *mm, unsigned long address, struct page *page)
{
	struct vm_area_struct *area;
	enum state state = OTHER;

	mmap_read_lock(mm);
	area = vma_lookup(mm, address);
	/* These kernels fault huge pages in whatever they are told: it is not asked whether they are mapped, and those
	 * of a private mapping count as changed. */
	if (area && !(LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0) && is_vm_hugetlb_page(area)))
		state = mapped_state(mm, address, page);
	if (area && state == OTHER)
		state = cached_state(area, address, page);
	mmap_read_unlock(mm);
	return state;
}

static enum state settled_state_of(struct mm_struct *mm, unsigned long address, struct page *page)
{
	enum state state = OTHER;

	for (unsigned int i = 0; i < TRIES && state == OTHER; i++) {
		if (i)
			msleep(BETWEEN_TRIES_MS);
		state = state_of(mm, address, page);
	}
	return state;
}

/* The worst of the area, which lies at OFFSET of the memory, where it has changed. */
static enum state area_state(const struct elisa_memory *memory, const struct elisa_area *area, u64 offset,
			     unsigned long from, unsigned long to)
{
	enum state worst = SAME;
	struct elisa_walk walk;

	from = max(from & PAGE_MASK, area->address);
	to = min(to, area->address + area->bytes);
	if (from >= to)
		return SAME;
	walk = elisa_memory_walk(memory, offset + from - area->address);
	for (unsigned long at = from; at < to && worst != OTHER; at += PAGE_SIZE, elisa_walk_next(&walk)) {
		worst = max(worst, settled_state_of(memory->mm, at, elisa_walk_page(&walk)));
		cond_resched();
	}
	return worst;
}

/* Looks at what has changed in an area since it was last looked at; what it cannot tell stays to be looked at. */
static enum state look_at(struct elisa_memory *memory, struct elisa_area *area, u64 offset)
{
	unsigned long from, to;
	enum state state;

	spin_lock(&memory->lock);
	from = area->from;
	to = area->to;
	reset(area);
	spin_unlock(&memory->lock);
	if (from >= to)
		return SAME;
	/* It was told before the change, which may be under way still. A later one queues the work again. */
	mmu_interval_read_begin(&area->notifier);
	state = area_state(memory, area, offset, from, to);
	if (state == CACHED) {
		spin_lock(&memory->lock);
		note(area, from, to);
		spin_unlock(&memory->lock);
	}
	return state;
}

static enum state memory_state(struct elisa_memory *memory)
{
	enum state worst = SAME;
	struct elisa_area *area;
	u64 offset = 0;

	list_for_each_entry(area, &memory->areas, list) {
		worst = max(worst, look_at(memory, area, offset));
		if (worst == OTHER)
			break;
		offset += area->bytes;
	}
	return worst;
}

/*
 * A hole that is made in a file unmaps first, and takes the pages later, one by one and without a word. So for as long
 * again as that may have taken so far; but pages may also stay as they are for good. A look takes a microsecond or two
 * for each page: a thousandth of a CPU, for each buffer.
 */
static unsigned long until_next_look(const struct elisa_memory *memory)
{
	return min_t(unsigned long, (unsigned long)NEXT_LOOK << min(memory->looks, 16u),
		     LATEST_LOOK + HZ * (memory->bytes >> 22));
}

void elisa_change_look(struct work_struct *work)
{
	struct elisa_memory *memory = container_of(to_delayed_work(work), struct elisa_memory, look);
	enum state state;

	if (!mmget_not_zero(memory->mm))
		return;
	state = memory_state(memory);
	mmput(memory->mm);
	spin_lock(&memory->lock);
	if (state == CACHED && memory->shared) {
		queue_delayed_work(elisa_memory_queue_of(memory), &memory->look, until_next_look(memory));
		memory->looks++;
	}
	spin_unlock(&memory->lock);
	if (state != OTHER)
		return;
	mutex_lock(&elisa_lock);
	if (memory->attachment)
		elisa_buffer_revoke(memory->attachment, memory->buffer);
	mutex_unlock(&elisa_lock);
}

/*
 * The process has died that is charged, while others have its file: a client has no attachment any more, an object no
 * manager; what another process had shared for its client is no buffer any more.
 */
void elisa_change_orphan(struct work_struct *work)
{
	struct elisa_memory *memory = container_of(work, struct elisa_memory, orphan);
	struct elisa_object *object;

	mutex_lock(&elisa_lock);
	object = memory->object;
	if (memory->attachment && memory->attachment->vm->mm == memory->mm) {
		elisa_attachment_kill(memory->attachment, -ENOTCONN);
	} else if (memory->attachment) {
		elisa_buffer_revoke(memory->attachment, memory->buffer);
	} else if (object) {
		elisa_object_get(object);
		elisa_object_abandon(object);
		elisa_object_put(object);
	}
	mutex_unlock(&elisa_lock);
}

bool elisa_change_is_backed(struct elisa_vm *vm, const struct elisa_memory *memory)
{
	const struct elisa_area *area;

	list_for_each_entry(area, &memory->areas, list) {
		if (vm->kvm && !elisa_vm_is_backed(vm->kvm, area->gpa, area->bytes, area->address))
			return false;
		cond_resched();
	}
	return true;
}

void elisa_change_recheck(struct work_struct *work)
{
	struct elisa_vm *vm = container_of(work, struct elisa_vm, recheck);
	struct elisa_attachment *attachment;

	mutex_lock(&elisa_lock);
	/* Else there are no slots any more. */
	if (!vm->gone)
		list_for_each_entry(attachment, &vm->attachments, in_vm) {
			for (u32 i = 0; i < ELISA_BUFFERS_MAX; i++)
				if (attachment->buffers[i] && !elisa_change_is_backed(vm, attachment->buffers[i]))
					elisa_buffer_revoke(attachment, i);
			elisa_exchange_recheck(attachment);
		}
	elisa_vm_put(vm);
	mutex_unlock(&elisa_lock);
}
