// SPDX-License-Identifier: GPL-2.0-only
#include "attachment.h"

#include <asm/cpufeature.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "buffer.h"
#include "direct.h"
#include "entry.h"
#include "exchange.h"
#include "gate.h"
#include "inside.h"
#include "interpose.h"
#include "kvm.h"
#include "log.h"
#include "watchdog.h"

struct elisa_inside elisa_inside;
DEFINE_SRCU(elisa_call_srcu);
DEFINE_MUTEX(elisa_holders_lock);
/* All, by number; those that may be called are there, the others are NULL. Changed with elisa_lock held, read under
 * elisa_call_srcu. A number is not used again before all others were. */
static DEFINE_XARRAY_ALLOC1(by_number);
static u32 next_id;

/* Buffers that a CPU may have read ahead are cleared on the way out where the CPU leaks them: MDS, TAA, stale data of
 * MMIO and of the register file. */
static bool needs_verw(void)
{
	return boot_cpu_has_bug(X86_BUG_MDS) || boot_cpu_has_bug(X86_BUG_TAA) ||
	       boot_cpu_has_bug(X86_BUG_MMIO_STALE_DATA) || boot_cpu_has_bug(X86_BUG_RFDS);
}

struct elisa_event elisa_attachment_event(const struct elisa_attachment *attachment, u32 kind)
{
	return (struct elisa_event){
		.size = sizeof(struct elisa_event),
		.kind = kind,
		.attachment = attachment->id,
		.vm = attachment->vm->id,
		.pid = attachment->vm->pid,
		.uid = attachment->vm->uid,
	};
}

static void ask_manager(struct elisa_attachment *attachment)
{
	struct elisa_event event = elisa_attachment_event(attachment, ELISA_EVENT_ATTACH);

	elisa_notice_add(&attachment->object->events, attachment->notice, &event);
}

static void tell_gone(struct elisa_attachment *attachment)
{
	struct elisa_event event = elisa_attachment_event(attachment, ELISA_EVENT_DETACH);

	if (attachment->notice)
		elisa_notice_end(&attachment->object->events, attachment->notice, &event);
	else
		elisa_object_event(attachment->object, &event);
	attachment->notice = NULL;
}

static int charge_data(struct elisa_attachment *attachment, struct elisa_why *why)
{
	u64 bytes = elisa_whole_pages(attachment->object->code.data_bytes);
	int error = elisa_object_charge(attachment->object, bytes, why);

	if (!error)
		attachment->data_page_count = bytes >> PAGE_SHIFT;
	return error;
}

/* Before its object is put. */
static void free_data(struct elisa_attachment *attachment)
{
	u64 count = attachment->data_page_count;

	if (!count)
		return;
	for (unsigned int i = 0; i < ELISA_DATA_PTS; i++)
		elisa_ept_destroy(attachment->data_pts + i);
	for (u64 i = 0; attachment->data_pages && i < count; i++)
		elisa_page_free(&attachment->pages, attachment->data_pages[i]);
	kvfree(attachment->data_pages);
	attachment->data_pages = NULL;
	attachment->data_page_count = 0;
	elisa_object_uncharge(attachment->object, count << PAGE_SHIFT);
}

static void release(struct kref *ref)
{
	struct elisa_attachment *attachment = container_of(ref, struct elisa_attachment, ref);

	if (attachment->id)
		xa_erase(&by_number, attachment->id);
	elisa_notice_destroy(attachment->notice);
	for (int i = 0; i < ELISA_BUFFERS_MAX; i++)
		elisa_memory_destroy(attachment->buffers[i]);
	elisa_ept_destroy(&attachment->buffers_ept);
	elisa_ept_destroy(&attachment->extra_ept);
	elisa_memory_destroy(attachment->extra);
	elisa_ept_destroy(&attachment->gate_pt);
	elisa_ept_destroy(&attachment->entry_pt);
	free_data(attachment);
	elisa_page_free(&attachment->pages, attachment->gate_page);
	elisa_page_free(&attachment->pages, attachment->entry_page);
	elisa_page_free(&attachment->pages, attachment->info);
	WARN_ON(atomic_long_read(&attachment->pages.held));
	if (attachment->object)
		elisa_object_put(attachment->object);
	kfree(attachment);
	module_put(THIS_MODULE);
}

static int map_page(struct elisa_attachment *attachment, struct elisa_ept *pt, u64 offset, const void *page, u64 prot)
{
	if (!pt->table) {
		int error = elisa_ept_create(pt, &attachment->pages.allocator, ELISA_EPT_PT);

		if (error)
			return error;
	}
	return elisa_ept_map_range(pt, offset % ELISA_2M, elisa_page_physical(page), ELISA_PAGE, prot, ELISA_EPT_PT);
}

/* Its own copy of the code's writable data. */
static int build_data(struct elisa_attachment *attachment)
{
	const struct elisa_code *code = &attachment->object->code;
	u64 count = attachment->data_page_count;

	if (!count)
		return 0;
	attachment->data_pages = kvcalloc(count, sizeof(*attachment->data_pages), GFP_KERNEL_ACCOUNT);
	if (!attachment->data_pages)
		return -ENOMEM;
	for (u64 i = 0; i < count; i++) {
		u64 offset = i << PAGE_SHIFT;
		void *page = elisa_page_alloc(&attachment->pages);
		int error;

		if (!page)
			return -ENOMEM;
		attachment->data_pages[i] = page;
		memcpy(page, code->data + offset, min_t(u64, PAGE_SIZE, code->data_bytes - offset));
		error = map_page(attachment, attachment->data_pts + offset / ELISA_2M, offset, page,
				 ELISA_EPT_READ | ELISA_EPT_WRITE);
		if (error)
			return error;
	}
	return 0;
}

static void fill_info(struct elisa_attachment *attachment)
{
	const struct elisa_object *object = attachment->object;
	struct elisa_info *info = attachment->info;

	info->vm = attachment->vm->id;
	info->attachment = attachment->id;
	info->writable = attachment->writable;
	if (object->memory)
		info->memory = (struct elisa_range){ ELISA_BASE + ELISA_MEMORY_OFFSET, object->memory->bytes };
	if (object->code.data_bytes)
		info->data = (struct elisa_range){ ELISA_BASE + ELISA_DATA_OFFSET, object->code.data_bytes };
	for (u32 i = 0; i < ELISA_FUNCTIONS_MAX; i++)
		info->functions[i] =
			i < object->code.function_count ? object->code.functions[i].address : elisa_entry_refuse();
}

/* All that does not depend on a vCPU. */
static int build(struct elisa_attachment *attachment)
{
	bool vetted = attachment->object->flags & ELISA_CREATE_VETTED;
	int error;

	attachment->gate_page = elisa_page_alloc(&attachment->pages);
	attachment->entry_page = elisa_page_alloc(&attachment->pages);
	if (!attachment->gate_page || !attachment->entry_page)
		return -ENOMEM;
	elisa_gate_fill(attachment->gate_page, attachment->slot);
	elisa_entry_fill(attachment->entry_page, attachment->slot, vetted, needs_verw());
	error = map_page(attachment, &attachment->gate_pt, ELISA_GATE_OFFSET, attachment->gate_page, ELISA_EPT_EXEC);
	if (!error)
		error = map_page(attachment, &attachment->entry_pt, ELISA_GATE_OFFSET, attachment->entry_page,
				 ELISA_EPT_EXEC);
	if (!error)
		error = map_page(attachment, &attachment->entry_pt, ELISA_INFO_OFFSET, attachment->info,
				 ELISA_EPT_READ);
	if (!error)
		error = elisa_exchange_attach(attachment);
	return error ? error : build_data(attachment);
}

static u32 free_slot(const struct elisa_vm *vm)
{
	u32 slot = 0;

	do
		slot = elisa_slot_next(slot);
	while (slot && test_bit(slot, vm->slots_used));
	return slot;
}

static int check_vm(struct elisa_vm *vm, struct elisa_why *why)
{
	if (vm->kvm && elisa_vm_has_memory(vm->kvm, elisa_inside.base, ELISA_REGION_BYTES))
		return elisa_refuse(why, -EADDRINUSE,
				    "the VM has memory in the addresses kept for calls, from %#llx on",
				    elisa_inside.base);
	return 0;
}

/* The end of attaching, at once or after the manager's answer: cannot fail. */
static void publish(struct elisa_attachment *attachment)
{
	struct elisa_vm *vm = attachment->vm;

	WRITE_ONCE(attachment->state, 0);
	wake_up_all(&attachment->wait);
	/* The place was reserved. */
	xa_store(&by_number, attachment->id, attachment, GFP_KERNEL);
	smp_store_release(&vm->slots[attachment->slot], attachment);
	if (attachment->scheme == ELISA_SCHEME_GATE && !vm->callable++) {
		/* Every vCPU passes its next entry, and has VMFUNC on from then; nothing was cached of the new tables.
		 */
		elisa_kick_all_cpus();
	}
	if (attachment->scheme == ELISA_SCHEME_GATE)
		elisa_watchdog_start();
	elisa_log(ELISA_EVENT_ATTACH, attachment->object, attachment);
}

static int create(struct elisa_vm *vm, struct elisa_object *object, u32 scheme, u32 rights,
		  struct elisa_attachment **created, struct elisa_why *why)
{
	struct elisa_attachment *attachment;
	u32 slot = free_slot(vm);
	int error;

	if (!slot)
		return elisa_refuse(why, -ENOSPC, "the VM has as many objects attached as its EPTP list has places");
	attachment = kzalloc(sizeof(*attachment), GFP_KERNEL_ACCOUNT);
	if (!attachment)
		return elisa_refuse(why, -ENOMEM, "out of memory");
	if (!try_module_get(THIS_MODULE)) {
		kfree(attachment);
		return elisa_refuse(why, -ENODEV, "the host's module is being removed");
	}
	kref_init(&attachment->ref);
	INIT_LIST_HEAD(&attachment->pairs);
	INIT_WORK(&attachment->expel, elisa_watchdog_expel);
	init_waitqueue_head(&attachment->wait);
	elisa_pages_init(&attachment->pages);
	attachment->object = object;
	elisa_object_get(object);
	attachment->vm = vm;
	attachment->slot = slot;
	attachment->scheme = scheme;
	attachment->writable = rights == ELISA_RIGHT_WRITE;
	attachment->state = -EINPROGRESS;
	error = -ENOMEM;
	if (object->flags & ELISA_CREATE_ASK && !(attachment->notice = elisa_notice_create()))
		goto refuse;
	attachment->info = elisa_page_alloc(&attachment->pages);
	if (!attachment->info ||
	    xa_alloc_cyclic(&by_number, &attachment->id, NULL, xa_limit_32b, &next_id, GFP_KERNEL) < 0)
		goto refuse;
	fill_info(attachment);
	if (scheme == ELISA_SCHEME_GATE) {
		error = charge_data(attachment, why);
		if (error)
			goto put;
		error = build(attachment);
		if (error)
			goto refuse;
	} else if (scheme == ELISA_SCHEME_VMCALL) {
		error = elisa_interpose_attach(attachment, why);
		if (error)
			goto put;
	}
	*created = attachment;
	return 0;

refuse:
	elisa_refuse(why, error, "no memory for the attachment");
put:
	elisa_attachment_put(attachment);
	return error;
}

/* The manager has agreed, or is not asked. */
static int finish(struct elisa_attachment *attachment, struct elisa_why *why)
{
	if (attachment->scheme == ELISA_SCHEME_DIRECT)
		return elisa_direct_attach(attachment, why);
	publish(attachment);
	return 0;
}

int elisa_attach(struct elisa_vm *vm, const char *name, u32 scheme, struct elisa_attachment **created,
		 struct elisa_why *why)
{
	struct elisa_object *object = elisa_object_find(name);
	struct elisa_attachment *attachment;
	u32 rights = object ? elisa_object_rights(object, vm) : 0;
	int error;

	if (!object)
		return elisa_refuse(why, -ENOENT, "there is no object %.63s", name);
	if (!rights)
		return elisa_refuse(why, -EACCES, "object %s is not granted to this VM", object->name);
	list_for_each_entry(attachment, &vm->attachments, in_vm)
		if (attachment->object == object && attachment->scheme == scheme)
			return elisa_refuse(why, -EEXIST, "object %s is attached already", object->name);
	error = check_vm(vm, why);
	if (error)
		return error;
	error = create(vm, object, scheme, rights, &attachment, why);
	if (error)
		return error;
	list_add_tail(&attachment->in_vm, &vm->attachments);
	mutex_lock(&elisa_holders_lock);
	list_add_tail(&attachment->in_object, &object->attachments);
	mutex_unlock(&elisa_holders_lock);
	__set_bit(attachment->slot, vm->slots_used);
	kref_get(&vm->ref);
	*created = attachment;
	if (object->flags & ELISA_CREATE_ASK) {
		ask_manager(attachment);
		return -EINPROGRESS;
	}
	error = finish(attachment, why);
	if (error && error != -EINPROGRESS)
		elisa_detach(attachment);
	return error;
}

void elisa_attachment_ready(struct elisa_attachment *attachment, int error)
{
	if (attachment->state != -EINPROGRESS)
		return;
	if (error)
		elisa_attachment_kill(attachment, error);
	else
		publish(attachment);
}

struct elisa_attachment *elisa_attachment_find(struct elisa_vm *vm, u32 id)
{
	struct elisa_attachment *attachment;

	list_for_each_entry(attachment, &vm->attachments, in_vm)
		if (attachment->id == id)
			return attachment;
	return NULL;
}

int elisa_attachment_answer(struct elisa_object *object, const struct elisa_ioc_answer *answer,
			    struct elisa_memory *extra, struct elisa_why *why)
{
	struct elisa_attachment *attachment;
	int error;

	list_for_each_entry(attachment, &object->attachments, in_object)
		if (attachment->id == answer->attachment && attachment->state == -EINPROGRESS && !attachment->direct)
			goto found;
	return elisa_refuse(why, -ENOENT, "nobody who asked to attach has the number %u any more", answer->attachment);

found:
	if (answer->error) {
		if (answer->error > 0 || answer->error < -MAX_ERRNO || answer->error == -EINPROGRESS)
			return elisa_refuse(why, -EINVAL, "%d is not a negative errno", answer->error);
		elisa_attachment_kill(attachment, answer->error);
		elisa_memory_destroy(extra);
		return 0;
	}
	if (extra && attachment->scheme != ELISA_SCHEME_GATE)
		return elisa_refuse(why, -EOPNOTSUPP, "memory of its own goes with calls through the gate only");
	if (extra) {
		if (extra->bytes > ELISA_EXTRA_MAX)
			return elisa_refuse(why, -E2BIG, "more than %lu GiB for one attachment", ELISA_EXTRA_MAX >> 30);
		error = elisa_ept_create(&attachment->extra_ept, &attachment->pages.allocator, ELISA_EPT_PDPT);
		if (!error)
			error = elisa_memory_map(extra, &attachment->extra_ept, 0, ELISA_EPT_READ | ELISA_EPT_WRITE);
		if (error) {
			elisa_ept_destroy(&attachment->extra_ept);
			return elisa_refuse(why, error, "no memory for the attachment");
		}
		attachment->extra = extra;
		extra->object = object;
		attachment->info->extra = (struct elisa_range){ ELISA_BASE + ELISA_EXTRA_OFFSET, extra->bytes };
	}
	attachment->info->value = answer->value;
	error = finish(attachment, why);
	if (error && error != -EINPROGRESS)
		elisa_attachment_kill(attachment, error);
	return 0;
}

/* Its entries of one vCPU's list are what no gate can make valid. */
static void close_slots(struct elisa_pair *pair)
{
	u32 slot = pair->attachment->slot;

	WRITE_ONCE(pair->cpu->list[ELISA_GATE_SLOT(slot)], ELISA_EPTP_NONE);
	WRITE_ONCE(pair->cpu->list[slot], ELISA_EPTP_NONE);
}

/* Its calls hold no lock any more: who waits for one need not wait. PAIRS is what it had. */
static void end_holders(struct elisa_attachment *attachment, struct list_head *pairs, int error)
{
	struct elisa_pair *pair;

	mutex_lock(&elisa_holders_lock);
	list_for_each_entry(pair, &attachment->pairs, in_attachment)
		if (cmpxchg(&pair->cpu->held, pair, NULL) == pair)
			WRITE_ONCE(pair->cpu->detached, error);
	list_splice_init(&attachment->pairs, pairs);
	list_del_init(&attachment->in_object);
	mutex_unlock(&elisa_holders_lock);
}

/* Calls that the host executes, and those who wake its client, are over when it returns. */
static void end_host_calls(struct elisa_attachment *attachment)
{
	/* They end by themselves, but find the attachment by its number as long as they wait for a lock. */
	if (attachment->scheme == ELISA_SCHEME_VMCALL)
		synchronize_srcu_expedited(&elisa_call_srcu);
	xa_store(&by_number, attachment->id, NULL, GFP_KERNEL);
	synchronize_srcu_expedited(&elisa_call_srcu);
}

/* Calls return ERROR from now on. When it returns, nothing that the attachment made reachable is any more. */
static void disconnect(struct elisa_attachment *attachment, int error)
{
	struct elisa_pair *pair, *next;
	LIST_HEAD(pairs);

	WRITE_ONCE(attachment->state, error);
	list_for_each_entry(pair, &attachment->pairs, in_attachment)
		close_slots(pair);
	/*
	 * Whoever is inside leaves, sees the state and is aborted. What CPUs have cached of the attachment's EPTPs
	 * (guest-physical and combined mappings, also of their paging structures) dies here, before roots, tables and
	 * what they mapped are used again.
	 */
	elisa_flush_all_cpus();
	/* A client that sleeps looks why, and calls. */
	elisa_attachment_wake(attachment);
	/* The host's own calls go on, with their locks; they may wait for one that a call has held which is aborted. */
	if (attachment->scheme != ELISA_SCHEME_VMCALL)
		end_holders(attachment, &pairs, error);
	end_host_calls(attachment);
	if (attachment->scheme == ELISA_SCHEME_VMCALL)
		end_holders(attachment, &pairs, error);
	/* VM entries and exits that have seen a pair are over after this. */
	synchronize_rcu_expedited();
	list_for_each_entry_safe(pair, next, &pairs, in_attachment) {
		list_del(&pair->in_attachment);
		list_del(&pair->in_cpu);
		/* Its calls count no more: others may make up for them before the watchdog looks again. */
		pair->cpu->asked = false;
		elisa_pair_destroy(pair);
	}
	attachment->pair_count = 0;
	elisa_ept_destroy(&attachment->extra_ept);
	elisa_memory_destroy(attachment->extra);
	attachment->extra = NULL;
	free_data(attachment);
	elisa_buffers_forget(attachment);
	elisa_exchange_leave(attachment);
	if (attachment->scheme == ELISA_SCHEME_VMCALL)
		elisa_interpose_detach(attachment);
	if (attachment->scheme == ELISA_SCHEME_DIRECT)
		elisa_direct_detach(attachment);
	tell_gone(attachment);
	elisa_log(ELISA_EVENT_DETACH, attachment->object, attachment);
	elisa_object_put(attachment->object);
	attachment->object = NULL;
}

void elisa_attachment_kill(struct elisa_attachment *attachment, int error)
{
	if (attachment->object)
		disconnect(attachment, error);
}

/* The last attachment is gone: vCPUs that sleep in HLT pass an entry, which takes VM functions away. */
static void nudge_all(struct elisa_vm *vm)
{
	for (unsigned int i = 0; !vm->gone && i < KVM_MAX_VCPUS; i++)
		if (vm->cpus[i])
			elisa_vcpu_nudge(vm->cpus[i]->vcpu);
}

struct elisa_attachment *elisa_attachment_of_number(u32 number)
{
	return xa_load(&by_number, number);
}

void elisa_attachment_wake(struct elisa_attachment *attachment)
{
	if (attachment->vm->kvm) {
		elisa_vm_interrupt(attachment->vm);
	} else {
		atomic64_inc(&attachment->woken);
		wake_up_all(&attachment->wait);
	}
}

void elisa_attachment_wake_number(const struct elisa_object *object, u32 number)
{
	int index = srcu_read_lock(&elisa_call_srcu);
	struct elisa_attachment *attachment = elisa_attachment_of_number(number);

	if (attachment && READ_ONCE(attachment->object) == object)
		elisa_attachment_wake(attachment);
	srcu_read_unlock(&elisa_call_srcu, index);
}

void elisa_attachment_put(struct elisa_attachment *attachment)
{
	kref_put(&attachment->ref, release);
}

void elisa_detach(struct elisa_attachment *attachment)
{
	struct elisa_vm *vm = attachment->vm;

	if (vm->slots[attachment->slot] == attachment) {
		WRITE_ONCE(vm->slots[attachment->slot], NULL);
		if (attachment->scheme == ELISA_SCHEME_GATE && !--vm->callable) {
			nudge_all(vm);
			/* Entries that have seen it callable hold the module after this. */
			synchronize_rcu_expedited();
		}
	}
	elisa_attachment_kill(attachment, -ENOTCONN);
	/* Calls that the host executes and that found it in its slot: kill() has not waited for those of a dead one. */
	synchronize_srcu_expedited(&elisa_call_srcu);
	__clear_bit(attachment->slot, vm->slots_used);
	list_del(&attachment->in_vm);
	elisa_attachment_put(attachment);
	elisa_vm_put(vm);
}
